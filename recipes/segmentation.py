# %% [markdown]
# # Images: a segmentation
#
# Why is this region called a disk? The output is an image itself; what is explained is the sum over a region of it.
# The data are drawn here: disks, which shall be found, and squares, which shall not.

# %%
import keras
import numpy as np
from keras import layers

import kerasexplain
from kerasexplain import visualize

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
down, right = np.mgrid[:24, :24]
images = 0.2 * rng.random((240, 24, 24, 1)).astype("float32")
disks = np.zeros((240, 24, 24), bool)
for image, disk in zip(images, disks, strict=True):
    (y, x), (top, left) = rng.integers(5, 19, 2), rng.integers(1, 15, 2)
    disk[(down - y) ** 2 + (right - x) ** 2 <= 16] = True
    image[top : top + 7, left : left + 7] += 0.6
    image[disk] = 0.7 + 0.1 * rng.random((disk.sum(), 1))

model = keras.Sequential(
    [
        keras.Input((24, 24, 1)),
        *(layers.Conv2D(12, 5, padding="same", activation="relu", name=f"conv{number}") for number in range(3)),
        layers.Conv2D(1, 1, name="disk"),
    ]
)
model.compile(keras.optimizers.Adam(0.01), keras.losses.BinaryCrossentropy(from_logits=True))
model.fit(images[20:], disks[20:, ..., None].astype("float32"), epochs=25, batch_size=20, verbose=0)

# %% [markdown]
# `target=` takes a region, shaped like the output: here all pixels that the model itself calls a disk.

# %%
x = images[:4]
region = model.predict(x, verbose=0) > 0
overlap = (region[..., 0] & disks[:4]).sum() / (region[..., 0] | disks[:4]).sum()
print(f"overlap with the disks {overlap:.2f}")
explanation = kerasexplain.create_analyzer("lrp.epsilon", model).explain(x, target=region, audit=True)
picture = visualize.strip(visualize.outlined(x, region, explanation.relevance))
picture.save("segmentation.png")

# %% [markdown]
# **What to look for.** The green line is the region that was explained. Relevance outside of it is context: what else
# the model looked at to call the region a disk, such as a gap between it and a square. A model that went by something
# else, a watermark say, would show it here. No relevance can come from farther away than the model can see.

# %%
near = np.zeros_like(region)
for sample, i, j in np.argwhere(region[..., 0]):
    near[sample, max(i - 6, 0) : i + 7, max(j - 6, 0) : j + 7] = True
assert np.abs(explanation.relevance[~near]).max() < 1e-6
assert overlap > 0.6
audit = explanation.audit
np.testing.assert_allclose(audit.inputs + audit.biases + audit.lost, audit.explained, rtol=1e-3, atol=1e-3)
