# %% [markdown]
# # Several inputs
#
# Image, number or category: which decided? A model with three inputs by name, explained in one go. The data are drawn
# here: a patch of an image and an age decide, the town does not.

# %%
import keras
import numpy as np
from keras import layers

import kerasexplain

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
labels = np.arange(400) % 2
scan = rng.random((400, 12, 12, 1)).astype("float32")
scan[labels == 1, 3:7, 3:7] += 1.0
age = (rng.uniform(-1, 1, (400, 1)) + labels[:, None]).astype("float32")
town = np.eye(3, dtype="float32")[rng.integers(0, 3, 400)]
given = {"scan": scan, "age": age, "town": town}

inputs = {name: keras.Input(values.shape[1:], name=name) for name, values in given.items()}
seen = layers.Flatten()(layers.Conv2D(4, 3, activation="relu", name="edges")(inputs["scan"]))
joined = layers.Concatenate()([layers.Dense(4, activation="relu")(seen), inputs["age"], inputs["town"]])
model = keras.Model(inputs, layers.Dense(1, name="risk")(layers.Dense(8, activation="relu")(joined)))
model.compile(keras.optimizers.Adam(0.01), keras.losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])
model.fit(given, labels, epochs=8, verbose=0)
print(f"accuracy {model.evaluate(given, labels, verbose=0)[1]:.2f}")

# %% [markdown]
# Relevance has the structure of the inputs, a dict here. Relevance of all inputs is in one unit, that of the output,
# so that an image can be compared with a number: sum it up.

# %%
explanation = kerasexplain.create_analyzer("lrp.epsilon", model).explain(given, audit=True)
shares = {name: np.abs(part.reshape(400, -1).sum(axis=1)).mean() for name, part in explanation.relevance.items()}
print({name: round(float(share), 2) for name, share in shares.items()})
names = {"town": [("town", "Bonn"), ("town", "Kiel"), ("town", "Ulm")]}
picture = explanation.to_figure(given, names, sample=1)
picture.savefig("several_inputs.png")

# %% [markdown]
# **What to look for.** Each panel has its own kind of picture. The town is one category in three columns, which the
# names say: its bar is their sum. It does not decide here, and gets little; an input that gets much and should not is
# a leak.

# %%
assert shares["town"] < 0.5 * shares["scan"]
audit = explanation.audit
np.testing.assert_allclose(audit.inputs + audit.biases + audit.lost, audit.explained, rtol=1e-3, atol=1e-3)
