# %% [markdown]
# # Images: a convolutional network
#
# Which strokes make a digit a 3? A small network for handwritten digits (scikit-learn's, 8x8 pixels), explained by
# three analyzers side by side.

# %%
import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

import kerasexplain
from kerasexplain import metrics, visualize

keras.utils.set_random_seed(0)
digits = load_digits()
images = (digits.images[..., None] / 16).astype("float32")
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(16, 3, padding="same", activation="relu", name="strokes"),
        layers.Conv2D(32, 3, activation="relu", name="corners"),
        layers.MaxPooling2D(name="pool"),
        layers.Flatten(name="flatten"),
        layers.Dense(10, activation="softmax", name="digit"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(images[200:], digits.target[200:], epochs=6, verbose=0)
print(f"accuracy {model.evaluate(images[:200], digits.target[:200], verbose=0)[1]:.2f}")

# %% [markdown]
# The model ends in a softmax; what is explained is what goes into it, of the digit that was read. `print(analyzer)`
# says which rule every operation follows.

# %%
x = images[:4]
names = ["gradient", "lrp.epsilon_plus", "lrp.gamma"]
analyzers = {name: kerasexplain.create_analyzer(name, model) for name in names}
print(analyzers["lrp.epsilon_plus"])
picture = visualize.grid(1 - x, {name: analyzer.analyze(x) for name, analyzer in analyzers.items()})
picture.save("image_cnn.png")

# %% [markdown]
# **What to look for.** Red speaks for the digit, blue against it. The gradient says where a change of a pixel would
# matter, and that is all over the image; relevance says where what is there matters, and lies on the strokes. Blue on
# a stroke is what makes the digit look like another one: `kerasexplain.Contrast(3, against=5)` asks for that alone.
#
# The audit says whether the map has told everything, and perturbation whether it is true to the model: the output
# falls sooner when the most relevant pixels are taken away first.

# %%
audit = analyzers["lrp.epsilon_plus"].audit(x)
print(audit)
np.testing.assert_allclose(audit.explained, audit.inputs + audit.biases, rtol=1e-3)

perturbation = metrics.RegionPerturbation(fill=0.0)
chance = perturbation(kerasexplain.create_analyzer("random", model), images[:64])
verdict = perturbation(analyzers["lrp.epsilon_plus"], images[:64]).against(chance)
print(verdict)
assert verdict.verdict == "better"
