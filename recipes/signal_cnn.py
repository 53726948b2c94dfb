# %% [markdown]
# # A signal
#
# When did it happen? A pulse and a breath, drawn here, at 64 samples a second; in half of the recordings the pulse
# has a short bump, which a convolution shall find.

# %%
import keras
import numpy as np
from keras import layers

import kerasexplain
from kerasexplain import visualize

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
time = np.arange(256) / 64
has_bump = np.arange(200) % 2
pulse = np.sin(2 * np.pi * (time + rng.random((200, 1)))) + 0.1 * rng.normal(size=(200, 256))
breath = np.sin(2 * np.pi * 0.4 * (time + rng.random((200, 1))))
where = rng.uniform(1, 3, (200, 1))
pulse += has_bump[:, None] * 1.2 * np.exp(-(((time - where) / 0.06) ** 2))
signal = np.stack([pulse, breath], axis=-1).astype("float32")

inputs = keras.Input((256, 2), name="signal")
hidden = layers.Conv1D(16, 15, activation="relu", name="shapes")(inputs)
model = keras.Model(inputs, layers.Dense(2, name="bump")(layers.GlobalMaxPooling1D(name="strongest")(hidden)))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
model.fit(signal[40:], has_bump[40:], epochs=50, batch_size=20, verbose=0)
accuracy = model.evaluate(signal[:40], has_bump[:40], verbose=0)[1]
print(f"accuracy {accuracy:.2f}")

# %%
found = kerasexplain.create_analyzer("lrp.epsilon", model).explain(signal[:40], 1, audit=True)
look = {"sampling_rate": 64, "channels": ["pulse", "breath"], "titles": ["without a bump", "with one"]}
picture = visualize.signals(signal[:2], found.relevance[:2], samples=[0, 1], **look)
picture.savefig("signal_cnn.png")

# %% [markdown]
# **What to look for.** Both recordings are asked the same question, what speaks for a bump (`1`), so that their
# colours can be compared. The ground is red where the pulse has its bump, and next to nothing lies on the breath.
# Relevance on a channel that should not matter is worth a closer look at the data.

# %%
of_time = np.abs(found.relevance[1::2]).sum(axis=-1)
late = np.abs(time[of_time.argmax(axis=1)] - where[1:40:2, 0])
print(f"the strongest moment lies {np.median(late):.3f} s from the bump")
assert accuracy > 0.9
assert np.median(late) < 0.15
audit = found.audit
np.testing.assert_allclose(audit.inputs + audit.biases + audit.lost, audit.explained, rtol=1e-3, atol=1e-3)
