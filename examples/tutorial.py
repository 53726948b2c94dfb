# %% [markdown]
# # Relevance propagation, step by step
#
# From the squared gradient to deep Taylor decomposition and LRP-alpha-beta, on an MLP and on a convolutional network
# with sum pooling. The rules are written out in NumPy first, then compared with the library's; and at every stage the
# relevance is added up, and held against the logit that it should explain.
#
#     python examples/tutorial.py -o tutorial/
#
# The data are scikit-learn's handwritten digits, and both networks are trained here, in seconds. The last part is about
# a larger network, the LeNet-5 of the LRP toolbox, and runs where `KERASEXPLAIN_REFERENCE_DATA` names the folder that
# holds `nets/nets.py`. Needs the `examples` extra: `pip install "kerasexplain[examples]"`.
#
# Sources: Bach et al. 2015 (alpha-beta), Montavon et al. 2017 (deep Taylor decomposition, the rules z+ and zB).

# %%
from __future__ import annotations

import argparse
import os
import pathlib
import runpy
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from kerasexplain import create_analyzer, visualize
from kerasexplain.metrics import RegionPerturbation, Scores, Sparseness, judge

parser = argparse.ArgumentParser(description="Sensitivity analysis, z+, zB and alpha-beta, step by step.")
parser.add_argument("-o", "--out", type=pathlib.Path, default=pathlib.Path("tutorial"), help="folder of the images")
parser.add_argument("--digits", type=int, default=100, help="how many digits are measured at the end")
# In a notebook the command line is the kernel's.
options = parser.parse_args([] if "ipykernel" in sys.modules else None)
options.out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Digits, and two networks
#
# The digits have 16 x 16 pixels (twice the original's, by interpolation) from -1, black, to 1. Both networks end in
# logits: it is the logit of the predicted class that will be explained. In the MLP two hidden layers of ReLU follow
# each other; the other network has three convolutions, and each of its two poolings takes the mean of 2 x 2 positions,
# which is a sum whose factor of 4 the next kernel makes up for.

# %%
BLACK, WHITE = -1.0, 1.0
keras.utils.set_random_seed(0)
digits = load_digits()
enlarged = ndimage.zoom(digits.images / 16.0, (1, 2, 2), order=1)
pixels = (2.0 * enlarged - 1.0).astype("float32")[..., None]
x_train, x_test, y_train, y_test = train_test_split(pixels, digits.target, test_size=0.25, random_state=0)

mlp = keras.Sequential(
    [
        keras.Input((16, 16, 1)),
        layers.Flatten(),
        layers.Dense(300, activation="relu", name="hidden1"),
        layers.Dense(100, activation="relu", name="hidden2"),
        layers.Dense(10, name="logits"),
    ],
    name="mlp",
)
cnn = keras.Sequential(
    [
        keras.Input((16, 16, 1)),
        layers.Conv2D(16, 3, activation="relu", name="conv1"),
        layers.AveragePooling2D(2, name="pool1"),
        layers.Conv2D(32, 4, activation="relu", name="conv2"),
        layers.AveragePooling2D(2, name="pool2"),
        layers.Conv2D(64, 2, activation="relu", name="conv3"),
        layers.Flatten(),
        layers.Dense(10, name="logits"),
    ],
    name="cnn",
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
for model in (mlp, cnn):
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    model.fit(x_train, y_train, batch_size=32, epochs=10, verbose=0)
    print(f"{model.name}: accuracy {model.evaluate(x_test, y_test, verbose=0)[1]:.3f} on {len(x_test)} unseen digits")

first = np.array([np.flatnonzero(y_test == digit)[0] for digit in range(10)])
x, y = x_test[first], y_test[first]  # one of each digit
SHOWN = [0, 2, 3, 5, 6, 8]


def save(file: str, images: np.ndarray, maps: dict[str, np.ndarray]) -> None:
    """Writes an image of some of the digits and their maps."""
    columns = {title: relevance[SHOWN] for title, relevance in maps.items()}
    visualize.grid(images[SHOWN], columns, labels=[str(digit) for digit in SHOWN]).save(options.out / file)


# %% [markdown]
# ## 1. Sensitivity analysis
#
# The square of the logit's derivative says which pixels the logit would change with, were they changed a little. That
# is not what the logit is made of, and the sum shows it: it is the squared length of the gradient, and has nothing to
# do with the value of the logit.

# %%
sensitivity = create_analyzer("sensitivity", mlp).explain(x)
logit = sensitivity.explained
assert (logit > 0).all()  # what follows explains positive logits


def sums(relevance: np.ndarray) -> np.ndarray:
    """The sum over everything but the samples."""
    return relevance.reshape(len(relevance), -1).sum(axis=1, dtype="float64")


def told(stage: str, relevance: np.ndarray, explained: np.ndarray) -> float:
    """Prints the sums beside the logits, and returns the largest difference as a share of the logit."""
    total = sums(relevance)
    worst = float(np.max(np.abs(total - explained) / np.abs(explained)))
    print(f"{stage:<34} sums {np.round(total[:4], 3)}  logits {np.round(explained[:4], 3)}  off by {worst:.2g} at most")
    return worst


off_sensitivity = told("mlp, sensitivity", sensitivity.relevance, logit)
assert off_sensitivity > 0.1
save("1_sensitivity.png", x, {"sensitivity": sensitivity.relevance})

# %% [markdown]
# ## 2. The rules z+ and zB, by hand
#
# Relevance starts as the logit and is handed down, layer by layer; each unit divides what it has among the units below
# in proportion to what these contributed to it. For hidden layers, whose inputs are not negative, the contribution of
# unit i to unit j is taken as `a_i W_ij+`: only what excites counts (z+). A pixel may be negative, but lies in a box
# from l to h; there it is `x_i W_ij - l W_ij+ - h W_ij-`, which is never negative either (zB). A pixel that is black
# can be relevant under zB, which it could not where contributions are multiples of a pixel whose black is 0.
#
# ReLU passes relevance on as it is. Biases get nothing. So each layer hands down all that it received, but for a unit
# without any excitation from below, which is on by its bias alone.


# %%
def divided(shares: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """`R_i = sum_j share_ij / (sum_i share_ij) R_j`, for shares `(samples, i, j)` that are not negative; 0 / 0 is 0."""
    whole = shares.sum(axis=1)
    per_share = np.divide(relevance, whole, out=np.zeros_like(whole), where=whole > 0)
    return np.einsum("nij,nj->ni", shares, per_share)


def by_z_plus(a: np.ndarray, W: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    return divided(a[:, :, None] * np.maximum(W, 0.0), relevance)


def by_z_b(pixel: np.ndarray, W: np.ndarray, relevance: np.ndarray, low: float, high: float) -> np.ndarray:
    return divided(pixel[:, :, None] * W - low * np.maximum(W, 0.0) - high * np.minimum(W, 0.0), relevance)


W1, W2, W3 = (mlp.get_layer(name).get_weights()[0].astype("float64") for name in ("hidden1", "hidden2", "logits"))
activations = keras.Model(mlp.inputs, [layer.output for layer in mlp.layers])
a0, a1, a2, a3 = (np.asarray(a, "float64") for a in activations.predict(x, verbose=0))

R3 = np.where(np.arange(10) == a3.argmax(axis=1)[:, None], a3, 0.0)  # of the output, only the logit in question
R2 = by_z_plus(a2, W3, R3)
R1 = by_z_plus(a1, W2, R2)
R0 = by_z_b(a0, W1, R1, BLACK, WHITE)
for stage, relevance in (("logits", R3), ("hidden2", R2), ("hidden1", R1), ("pixels", R0)):
    assert told(f"mlp, by hand, {stage}", relevance, logit) < 1e-5

# %% [markdown]
# ## 3. The same by the library
#
# `deep_taylor.bounded` is z+ for every layer with a kernel and zB for the first. It is asked for the relevance of the
# hidden layers, too. All of it has to agree with what was computed by hand.

# %%
deep_taylor = create_analyzer("deep_taylor.bounded", mlp, low=BLACK, high=WHITE)
print(deep_taylor)
by_library = deep_taylor.explain(x, layers=["hidden1", "hidden2"])
for stage, relevance, expected in (
    ("hidden2", by_library.layers["hidden2"], R2),
    ("hidden1", by_library.layers["hidden1"], R1),
    ("pixels", by_library.relevance.reshape(len(x), -1), R0),
):
    difference = np.abs(relevance - expected).max() / np.abs(expected).max()
    print(f"mlp, {stage}: the library and the formula differ by {difference:.1g} of the largest relevance")
    assert difference < 1e-4
assert told("mlp, deep Taylor", by_library.relevance, logit) < 1e-4
save("3_deep_taylor.png", x, {"sensitivity": sensitivity.relevance, "deep Taylor": by_library.relevance})

# %% [markdown]
# ## 4. A convolutional network
#
# A convolution is a Dense layer whose weights recur, and the rules are the same. Sum pooling has weights of 1: each of
# the pooled positions gets its share of the sum, `R_i = a_i / (sum of the pool) R_j`. Here is that line in NumPy,
# beside the library.

# %%
on_cnn = create_analyzer("sensitivity", cnn).explain(x)
cnn_logit = on_cnn.explained
assert (cnn_logit > 0).all()
told("cnn, sensitivity", on_cnn.relevance, cnn_logit)

STAGES = ["conv3", "pool2", "conv2", "pool1", "conv1"]
cnn_taylor = create_analyzer("deep_taylor.bounded", cnn, low=BLACK, high=WHITE).explain(x, layers=STAGES)
for stage in STAGES:
    assert told(f"cnn, deep Taylor, {stage}", cnn_taylor.layers[stage], cnn_logit) < 1e-3
assert told("cnn, deep Taylor, pixels", cnn_taylor.relevance, cnn_logit) < 1e-3

conv1 = keras.Model(cnn.inputs, cnn.get_layer("conv1").output).predict(x, verbose=0).astype("float64")
pools = conv1.reshape(len(x), 7, 2, 7, 2, 16)
total = pools.sum(axis=(2, 4), keepdims=True)
received = cnn_taylor.layers["pool1"].reshape(len(x), 7, 1, 7, 1, 16)
expected = (np.divide(pools, total, out=np.zeros_like(pools), where=total > 0) * received).reshape(conv1.shape)
difference = np.abs(cnn_taylor.layers["conv1"] - expected).max() / np.abs(expected).max()
print(f"cnn, sum pooling: the library and the formula differ by {difference:.1g} of the largest relevance")
assert difference < 1e-4
save("4_convolutions.png", x, {"sensitivity": on_cnn.relevance, "deep Taylor": cnn_taylor.relevance})

# %% [markdown]
# ## 5. Alpha-beta
#
# So far nothing could speak against the digit. The rule with alpha 2 and beta 1 counts what excites a unit twice, and
# what inhibits it once with a minus: `R_i = sum_j (2 a_i W_ij+ / (sum of these) - a_i W_ij- / (sum of these)) R_j`. Two
# less one is one, so the sum is kept wherever a unit has both; one without inhibition gives back twice of what it got,
# and one without excitation takes it with a minus. The first layer keeps zB.

# %%
alpha_beta = create_analyzer("lrp.alpha_2_beta_1_IB", cnn, input_layer_rule=(BLACK, WHITE)).explain(x, layers=STAGES)
for stage in STAGES:
    told(f"cnn, alpha-beta, {stage}", alpha_beta.layers[stage], cnn_logit)
off_alpha_beta = told("cnn, alpha-beta, pixels", alpha_beta.relevance, cnn_logit)
maps = {
    "mlp: sensitivity": sensitivity.relevance,
    "mlp: deep Taylor": by_library.relevance,
    "cnn: sensitivity": on_cnn.relevance,
    "cnn: deep Taylor": cnn_taylor.relevance,
    "cnn: alpha-beta": alpha_beta.relevance,
}
save("5_alpha_beta.png", x, maps)
assert off_alpha_beta < 1e-2

# %% [markdown]
# ## 6. What was gained?
#
# Looks are not a measure. For the digits of the test set: how sparse a map is (its Gini index), which share of it is
# negative, which share lies on pixels that are fully black; and whether it is faithful, by the area over the
# perturbation curve: 2 x 2 pixels at a time are overwritten, with noise or with black, the most relevant first.

# %%
METRICS = [
    Sparseness(),
    RegionPerturbation(size=2, steps=32, fill="uniform"),
    RegionPerturbation(size=2, steps=32, fill="low"),
]
METHODS = {
    "random": ("random", {}),
    "sensitivity": ("sensitivity", {}),
    "deep Taylor": ("deep_taylor.bounded", {"low": BLACK, "high": WHITE}),
    "alpha-beta": ("lrp.alpha_2_beta_1_IB", {"input_layer_rule": (BLACK, WHITE)}),
}
x_many = x_test[: options.digits]
black = x_many == BLACK
measured: dict[tuple[str, str], tuple[float, float, list[Scores]]] = {}
print(f"{'':<18}{'sparseness':>12}{'negative':>10}{'on black':>10}{'AOPC noise':>12}{'AOPC black':>12}")
for model in (mlp, cnn):
    for title, (name, given) in METHODS.items():
        analyzer = create_analyzer(name, model, **given)
        relevance = analyzer.analyze(x_many)
        strength = np.abs(relevance)
        negative = float((-np.minimum(relevance, 0.0)).sum() / strength.sum())
        on_black = float((strength * black).sum() / strength.sum())
        found = judge(analyzer, METRICS, x_many, relevance=relevance, name=title)
        measured[model.name, title] = (negative, on_black, found)
        numbers = [found[0].mean, negative, on_black, found[1].mean, found[2].mean]
        formats = (">12.2f", ">10.0%", ">10.0%", ">12.2f", ">12.2f")
        print(f"{model.name}, {title:<13}" + "".join(map(format, numbers, formats)))
for model in (mlp, cnn):
    for title in ("deep Taylor", "alpha-beta"):
        for other in ("sensitivity", "random"):
            for number in (1, 2):
                against = measured[model.name, title][2][number].against(measured[model.name, other][2][number])
                print(f"{model.name}, fill {METRICS[number].fill}: {against}")

# %% [markdown]
# What came out, on TensorFlow (other backends draw other weights):
#
# * **The sums hold.** Under z+ and zB every layer's relevance is the logit, to 2e-7 of it in single precision, and
#   under alpha-beta here as well: in these networks every unit that gets relevance has both excitation and inhibition
#   below it. The squared gradient misses the logit by up to 100 %.
# * **On the MLP the map of deep Taylor decomposition says nothing to the eye**: with a Gini index of 0.08 it is nearly
#   the same everywhere. Pixels in the corners are black in all images; their weights act as a bias and stay as they
#   were drawn, and zB gives them relevance. It is no worse for that: its small differences order the pixels better than
#   the clear map of sensitivity does, 9.5 to 8.4 with noise.
# * **The convolutional network has no weights for corners**: a Gini index of 0.51, and one sees what it goes by: the
#   hole of the 0, and the gaps of the others, which are black and have to be.
# * **Alpha-beta is sparser** on the convolutional network (0.61), with 18 % of negative relevance; sensitivity is
#   sparser still (0.78), which is no merit by itself.
# * **Overwriting with noise, alpha-beta wins**: on the convolutional network an AOPC of 8.9 (sensitivity 6.7, random
#   order 2.5), better than sensitivity on 97 of 100 digits. Deep Taylor decomposition with 6.9 is hardly ahead of
#   sensitivity.
# * **Overwriting with black, LRP loses**: on the convolutional network deep Taylor decomposition (0.1) and alpha-beta
#   (0.0) fall behind sensitivity (1.2), and all three behind random order (2.0). A third of the relevance under zB is
#   on black pixels, and to paint those black changes nothing. A fill asks a question of its own, and a map that
#   explains what is missing answers another one.
# * **A result is one network's**: trained again by PyTorch, which draws other weights, alpha-beta is ahead of random
#   order under black as well, by 2.7, though by half as much as with noise (5.4).

# %% [markdown]
# ## 7. A larger network
#
# The LeNet-5 of the LRP toolbox has the same parts: three convolutions of ReLU, each followed by sum pooling, and one
# of 1 x 1 for the logits, on MNIST.

# %%
nets = pathlib.Path(os.environ.get("KERASEXPLAIN_REFERENCE_DATA", "")) / "nets"
lenet_off: dict[str, float] = {}
if (nets / "nets.py").exists():
    lenet, _ = runpy.run_path(str(nets / "nets.py"))["build"]("mnist_lenet5_toolbox")
    with np.load(nets / "mnist_test1000.npz") as mnist:
        one_each = [np.flatnonzero(mnist["labels"] == digit)[0] for digit in range(10)]
        images = mnist["images"][one_each]
    x_mnist = np.pad(images / np.float32(127.5) - 1.0, ((0, 0), (2, 2), (2, 2)), constant_values=BLACK)[..., None]
    columns = {}
    for title, (name, given) in METHODS.items():
        if title != "random":
            explanation = create_analyzer(name, lenet, **given).explain(x_mnist)
            lenet_off[title] = told(f"lenet, {title}", explanation.relevance, explanation.explained)
            assert title == "sensitivity" or lenet_off[title] < 1e-3
            columns[title] = explanation.relevance
    save("7_lenet.png", x_mnist, columns)
else:
    print("the LeNet-5 is left out: KERASEXPLAIN_REFERENCE_DATA names no folder that holds nets/nets.py")

# %%
print(f"written: {', '.join(path.name for path in sorted(options.out.glob('*.png')))} in {options.out}")
