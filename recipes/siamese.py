# %% [markdown]
# # Pairs: a siamese network
#
# Why are these two digits alike? An encoder that both branches share, trained so that equal digits have similar
# embeddings. BiLRP explains the similarity, which is the dot product of two embeddings, by pairs of pixels.

# %%
import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

import kerasexplain

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
digits = load_digits()
images = (digits.images[..., None] / 16).astype("float32")
encoder = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(16, 3, activation="relu", name="strokes"),
        layers.Conv2D(16, 3, activation="relu", name="corners"),
        layers.Flatten(),
        layers.Dense(8, name="embedding"),
    ],
    name="encoder",
)
left, right = keras.Input((8, 8, 1), name="left"), keras.Input((8, 8, 1), name="right")
siamese = keras.Model([left, right], layers.Dot(1, name="similarity")([encoder(left), encoder(right)]))
first, second = rng.integers(0, len(images), (2, 6000))
equal = digits.target[first] == digits.target[second]
keep = equal | (rng.random(6000) < 0.15)
first, second, equal = first[keep], second[keep], equal[keep]
siamese.compile(keras.optimizers.Adam(0.003), keras.losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])
siamese.fit([images[first], images[second]], equal.astype("float32")[:, None], epochs=10, verbose=0)

# %% [markdown]
# The analyzer is that of the encoder. It takes one pass for each entry of the embedding and each image.

# %%
one, other = images[digits.target == 3][:2], images[digits.target == 3][2:4]
analyzer = kerasexplain.create_analyzer("lrp.gamma", siamese.get_layer("encoder"))
found = kerasexplain.bilrp(analyzer, one, other)
picture = found.to_image(1 - one, 1 - other, k=20)
picture.save("siamese.png")
print(found.top(3))

# %% [markdown]
# **What to look for.** A line joins a pixel of the one image with a pixel of the other that make them alike: red
# lines between matching strokes are what one hopes for. Lines between empty corners or frames mean that the encoder
# compares something else than the digits.

# %%
similarity = siamese.predict([one, other], verbose=0)[:, 0]
print("similarity", similarity, "explained by pairs of pixels", found.total)
ink = (found.of_left * (one[..., 0] > 0).reshape(found.of_left.shape)).sum() / found.of_left.sum()
print(f"share on ink {ink:.2f}")
assert ink > 0.9
assert np.all(similarity > 0)
