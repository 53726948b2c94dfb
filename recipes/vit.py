# %% [markdown]
# # Images: a vision transformer
#
# A ViT of two blocks for handwritten digits: sixteen patches of 2x2 pixels. Attention maps say where a head looked;
# relevance says what of it counted.

# %%
import keras
import numpy as np
from keras import layers, ops
from sklearn.datasets import load_digits

import kerasexplain
from kerasexplain import metrics, visualize

keras.utils.set_random_seed(0)
digits = load_digits()
images = (digits.images[..., None] / 16).astype("float32")


class Positions(layers.Layer):
    """Adds what is learnt for every position."""

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], initializer="random_normal", name="table")

    def call(self, x):
        return x + ops.convert_to_tensor(self.table)


inputs = keras.Input((8, 8, 1), name="digit")
x = layers.Reshape((16, 32))(layers.Conv2D(32, 2, strides=2, name="patches")(inputs))
x = Positions(name="positions")(x)
for number in range(2):
    normal = layers.LayerNormalization(name=f"before_attention{number}")(x)
    x = x + layers.MultiHeadAttention(4, 8, name=f"attention{number}")(normal, normal)
    normal = layers.LayerNormalization(name=f"before_dense{number}")(x)
    x = x + layers.Dense(32, name=f"down{number}")(layers.Dense(64, activation="gelu", name=f"up{number}")(normal))
pooled = layers.GlobalAveragePooling1D(name="pool")(layers.LayerNormalization(name="last")(x))
model = keras.Model(inputs, layers.Dense(10, name="logits")(pooled), name="vit")
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
model.fit(images[200:], digits.target[200:], epochs=15, batch_size=64, verbose=0)
accuracy = model.evaluate(images[:200], digits.target[:200], verbose=0)[1]
print(f"accuracy {accuracy:.2f}")

# %%
names = ["gradient", "input_t_gradient", "lrp.attention"]
analyzers = {name: kerasexplain.create_analyzer(name, model) for name in names}
picture = visualize.grid(1 - images[:4], {name: analyzer.analyze(images[:4]) for name, analyzer in analyzers.items()})
picture.save("vit.png")

# %% [markdown]
# **What to look for.** Relevance comes in patches, as the model cuts the image. Empty pixels have none, because
# nothing of what is zero is passed on. The maps of LRP for attention are smoother than gradients; whether they are
# truer is measured, against a random order.

# %%
perturbation = metrics.RegionPerturbation(fill=0.0, size=2)
chance = perturbation(kerasexplain.create_analyzer("random", model), images[:64])
verdict = perturbation(analyzers["lrp.attention"], images[:64]).against(chance)
print(verdict)
assert accuracy > 0.8
assert verdict.verdict == "better"
assert np.all(analyzers["lrp.attention"].analyze(images[:8])[images[:8] == 0] == 0)
