# %% [markdown]
# # The wolf, the dog and the snow: training on relevance
#
# In the photographs of a well-known story wolves stand in snow and dogs do not, and the network learns to see snow.
# Here the animals are handwritten digits, each with a background of its own in training. At the test every digit stands
# on the background of another, and a network that has learned backgrounds is wrong every time.
#
#     python examples/wolf_and_dog.py -o wolf_and_dog/
#
# Where the digit is, is known in training, as a box. What can be done with that is compared: nothing; the gradient
# outside of the box penalised, "right for the right reasons"; the relevance outside penalised, under three rules; and,
# for how good it can get, a network that never sees a background, in training nor at the test. Then it is shown how a
# network games such a loss, and what prevents it. Needs the `examples` extra.
#
# Source of the penalised gradient: Ross, Hughes and Doshi-Velez 2017, "Right for the Right Reasons".

# %%
from __future__ import annotations

import argparse
import os
import pathlib
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from kerasexplain import create_analyzer, visualize
from kerasexplain.training import RelevanceModel, RelevanceOfBiases, RelevanceOutside

parser = argparse.ArgumentParser(
    description="Digits on backgrounds that give them away: trained with and without relevance."
)
parser.add_argument("-o", "--out", type=pathlib.Path, default=pathlib.Path("wolf_and_dog"), help="folder of the images")
parser.add_argument("--seeds", type=int, default=5, help="how many times each training is repeated")
parser.add_argument("--epochs", type=int, default=25, help="of each training")
parser.add_argument("--quick", action="store_true", help="without the ways that do not help, and without the games")
# In a notebook the command line is the kernel's.
options = parser.parse_args([] if "ipykernel" in sys.modules else None)
options.out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## Images
#
# An image has 16 x 16 pixels: a digit of 8 x 8 somewhere, on a smooth pattern that belongs to its number. Around the
# digit, inside of the box, there is no background.

# %%
SIDE, SIZE, TRAINED = 16, 8, 1200


def patterns() -> np.ndarray:
    """A smooth random pattern for each of ten numbers, from 0 to 0.6."""
    found = np.random.default_rng(0).standard_normal((10, SIDE, SIDE))
    for _ in range(2):
        found = (found + np.roll(found, 1, axis=1) + np.roll(found, 1, axis=2)) / 2
    low, high = found.min((1, 2), keepdims=True), found.max((1, 2), keepdims=True)
    return 0.6 * (found - low) / (high - low)


def placed(digits: np.ndarray, backgrounds: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images of digits on patterns, told by number, and the boxes."""
    images = patterns()[backgrounds] + 0.05 * rng.standard_normal((len(digits), SIDE, SIDE))
    boxes = np.zeros_like(images)
    for image, box, digit in zip(images, boxes, digits, strict=True):
        row, column = rng.integers(0, SIDE - SIZE + 1, 2)
        inside = np.s_[row : row + SIZE, column : column + SIZE]
        image[inside], box[inside] = np.where(digit > 0.3, digit, 0), 1
    return images[..., None].astype("float32"), boxes.astype("float32")


rng = np.random.default_rng(0)
data = load_digits()
order = rng.permutation(len(data.target))
digits, numbers = data.images[order] / 16, data.target[order]
y_train, y_test = numbers[:TRAINED], numbers[TRAINED:]
x_train, box_train = placed(digits[:TRAINED], y_train, rng)
elsewhere = (y_test + rng.integers(1, 10, len(y_test))) % 10
x_test, box_test = placed(digits[TRAINED:], elsewhere, rng)
x_seen, _ = placed(digits[TRAINED:], y_test, rng)

# %% [markdown]
# ## Trainings
#
# Every training has the same network, steps and optimizer. The weights of the losses over relevance were chosen of 1,
# 2, 4 and 10 by one training each. Each way is compiled once; for every seed its network gets new weights.

# %%
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SQUARES = RelevanceOutside(normalize=False, power=2)
#: What relevance is, the losses over it, and how much they count. None is the task alone.
WAYS: dict[str, tuple[Any, Any, Any] | None] = {
    "plain": None,
    "gradient (RRR)": ("gradient", SQUARES, 10.0),
    "lrp.epsilon_plus": ("lrp.epsilon_plus", RelevanceOutside(), 2.0),
    "lrp.z_plus": ("lrp.z_plus", RelevanceOutside(), 2.0),
    "lrp.gamma": ("lrp.gamma", RelevanceOutside(), 2.0),
    "no background": None,
}


def network() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )


def made(way: tuple[Any, Any, Any] | None) -> keras.Model:
    """A compiled model for a way to train."""
    model = network()
    if way is not None:
        analyzer, losses, weights = way
        model = RelevanceModel(model, analyzer, losses, weights=weights)
    model.compile(keras.optimizers.Adam(0.002), LOSS, metrics=["accuracy"])
    return model


def train(model: keras.Model, x: np.ndarray, seed: int) -> dict[str, list[float]]:
    """Trains a model from new weights; its optimizer begins anew, too."""
    keras.utils.set_random_seed(seed)
    fresh = network()
    getattr(model, "network", model).set_weights(fresh.get_weights())
    for variable in model.optimizer.variables:
        if variable is not model.optimizer._learning_rate:
            variable.assign(np.zeros(variable.shape, variable.dtype))
    masks = {"mask": box_train} if isinstance(model, RelevanceModel) else {}
    return model.fit(x, y_train, **masks, epochs=options.epochs, batch_size=64, verbose=0).history


def accuracy(model: keras.Model, x: np.ndarray) -> float:
    return float(np.mean(np.argmax(model.predict(x, verbose=0), axis=1) == y_test))


if options.quick:
    WAYS = {name: WAYS[name] for name in ("plain", "lrp.z_plus")}
found: dict[str, np.ndarray] = {}
models: dict[str, keras.Model] = {}
for name, way in WAYS.items():
    models[name] = made(way)
    hide = name == "no background"
    given = x_train * box_train[..., None] if hide else x_train
    rows = []
    for seed in range(options.seeds):
        train(models[name], given, seed)
        at_test = x_test * box_test[..., None] if hide else x_test
        seen = x_seen if not hide else at_test
        rows.append([accuracy(models[name], at_test), accuracy(models[name], seen)])
    found[name] = np.array(rows)
    error = found[name][:, 0].std(ddof=1) / np.sqrt(options.seeds) if options.seeds > 1 else float("nan")
    mean = found[name].mean(axis=0)
    print(
        f"{name:20} other backgrounds {mean[0]:.3f} (standard error {error:.3f}), those of the training {mean[1]:.3f}"
    )

plain = found["plain"][:, 0].mean()
for name in found if "no background" in found else ():
    recovered = (found[name][:, 0].mean() - plain) / (found["no background"][:, 0].mean() - plain)
    print(f"{name:20} recovers {recovered:.0%} of what there is to be recovered")

# %% [markdown]
# ## What they look at
#
# Relevance of the same test images, for the plain network and for one trained on relevance, under a rule that was not
# trained with.

# %%
shown = x_test[:4]
figure = Figure(figsize=(8, 6), layout="constrained")
axes = figure.subplots(3, 4)
axes[0, 0].set_ylabel("image")
for row, name in enumerate(["plain", "lrp.z_plus"], start=1):
    trained = getattr(models[name], "network", models[name])
    maps = visualize.heatmap(create_analyzer("lrp.gamma", trained).analyze(shown))
    axes[row, 0].set_ylabel("plain training" if name == "plain" else "trained on relevance")
    for axis, colours, output in zip(axes[row], maps, trained.predict(shown, verbose=0), strict=True):
        axis.imshow(colours)
        axis.set_title(f"says {output.argmax()}", fontsize=10)
for axis, image, number, other in zip(axes[0], shown, y_test, elsewhere, strict=False):
    axis.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
    axis.set_title(f"{number}, where {other}s were", fontsize=10)
for axis in axes.flat:
    axis.set_xticks([])
    axis.set_yticks([])
figure.savefig(options.out / "maps.png", dpi=120)

# %% [markdown]
# ## Gaming the loss
#
# A loss over relevance can fall while the network goes by the background as before. The accuracy on held-out images
# whose backgrounds are exchanged tells: it needs nothing but the boxes. Sums that are not normalised fall with the size
# of the outputs, and relevance that goes to biases instead of the digit is not missed. A share does not fall so easily;
# that of the biases can be a loss of its own; a second rule has to be deceived, too; and classes other than the label's
# have relevance as well, which target="all" judges.

# %%
GAMES: dict[str, tuple[Any, Any, Any, str]] = {
    "a sum, not a share": ("lrp.gamma", RelevanceOutside(normalize=False), 1.0, "label"),
    "a share": ("lrp.gamma", RelevanceOutside(), 2.0, "label"),
    "a share, and that of biases": ("lrp.gamma", [RelevanceOutside(), RelevanceOfBiases()], [2.0, 0.3], "label"),
    "a share under two rules": (["lrp.gamma", "lrp.epsilon_plus"], RelevanceOutside(), 2.0, "label"),
    "a share for all classes": ("lrp.gamma", RelevanceOutside(), 2.0, "all"),
}
games: dict[str, dict[str, float]] = {}
if options.quick:
    GAMES = {}
for name, (analyzer, losses, weights, target) in GAMES.items():
    judged = RelevanceModel(network(), analyzer, losses, weights=weights, target=target)
    judged.compile(keras.optimizers.Adam(0.002), LOSS, metrics=["accuracy"])
    train(judged, x_train, seed=0)
    plainly = RelevanceModel(models["plain"], analyzer, losses, target=target)
    plainly.compile(loss=LOSS)
    of_plain, of_judged = (
        model.evaluate(x_train[:200], y_train[:200], box_train[:200], verbose=0, return_dict=True)
        for model in (plainly, judged)
    )
    biases = create_analyzer("lrp.gamma", judged.network).explain(x_train[:200], y_train[:200], bias=True)
    taken = sum(np.abs(bias).reshape(200, -1).sum(axis=1) for bias in biases.bias.values())
    games[name] = {
        "plain": of_plain["relevance_outside"],
        "trained": of_judged["relevance_outside"],
        "biases": float(np.mean(taken / (taken + np.abs(biases.relevance).sum(axis=(1, 2, 3))))),
        "exchanged": accuracy(judged, x_test),
    }
    told = games[name]
    print(
        f"{name:28} relevance outside {told['plain']:.3f} after plain training, {told['trained']:.3f} now, share of "
        f"biases {told['biases']:.2f}, accuracy on exchanged backgrounds {told['exchanged']:.3f}"
    )
