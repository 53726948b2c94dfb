# %% [markdown]
# # Images: a network of keras.applications with a head of your own
#
# A MobileNetV2 whose weights stay as they are, and a head that is trained. **Here its weights are random**, because
# nothing is downloaded: pass `weights="imagenet"` for those that have been trained. Everything else stays the same.

# %%
import keras
import numpy as np
from keras import layers, ops
from sklearn.datasets import load_digits

import kerasexplain
from kerasexplain import visualize

keras.utils.set_random_seed(0)
digits = load_digits()
some = digits.target < 2
small = (digits.images[some][..., None] / 16).astype("float32")
images = ops.convert_to_numpy(ops.image.resize(np.repeat(small, 3, axis=-1), (32, 32)))
labels = digits.target[some]

base = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None, pooling="avg")
base.trainable = False
inputs = keras.Input((32, 32, 3))
scaled = layers.Rescaling(2.0, -1.0, name="scaled")(inputs)
features = base(scaled, training=False)
scale = layers.Normalization(name="scale")
found = keras.Model(inputs, features).predict(images, verbose=0)
scale.adapt(found)
model = keras.Model(inputs, layers.Dense(2, name="head")(scale(features)))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])

# %% [markdown]
# The weights of the base never change, so that it ran once above, and the head is trained on what it gave.

# %%
head = keras.Sequential([keras.Input(found.shape[1:]), *model.layers[-2:]])
head.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
head.fit(found[60:], labels[60:], epochs=40, verbose=0)
accuracy = model.evaluate(images[:60], labels[:60], verbose=0)[1]
print(f"accuracy {accuracy:.2f}")

# %% [markdown]
# The model in the model is traced through, every BatchNormalization of it is folded into the convolution before it,
# and preprocessing that is part of the model is explained with it. `deep_lift` explains what differs from a black
# image: in so deep a network most of an output comes from biases, and these cancel.

# %%
analyzer = kerasexplain.create_analyzer("deep_lift", model, reference_inputs=0.0)
explanation = analyzer.explain(images[:4])
print(model.predict(images[:4], verbose=0), explanation.explained, explanation.reference)
picture = visualize.strip([*visualize.overlay(images[:4], explanation.relevance)])
picture.save("transfer.png")

# %% [markdown]
# **What to look for.** The relevance of all pixels adds up to the difference of the two outputs, and
# `completeness_error` says how well. With random weights the map is rough. With trained ones, compare `deep_lift`,
# `lrp.epsilon_plus` and `lrp.gamma` by `kerasexplain.compare(model, images)` before you believe any: on deep networks
# they differ, and a famous one may be worse than chance.

# %%
difference = np.abs(explanation.explained - explanation.reference).max()
print(f"relevance adds up to {np.abs(explanation.completeness_error).max() / difference:.1e} of the difference")
assert np.abs(explanation.completeness_error).max() < 1e-2 * difference
assert accuracy > 0.8
