"""The first steps of iNNvestigate's README, with nothing changed but the import.

    python examples/innvestigate_readme.py
    python examples/innvestigate_readme.py -o digits.png

A small network learns to read the handwritten digits of scikit-learn, which takes seconds, and a dozen analyzers say
what it looked at. iNNvestigate 2.1.2 runs every call on `innvestigate` below as well, with the same names and options.
Needs the `demo` extra: pip install "kerasexplain[demo]".
"""

from __future__ import annotations

import argparse
import os
import pathlib
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import kerasexplain as innvestigate

ANALYZERS: dict[str, dict[str, Any]] = {
    "gradient": {"postprocess": "abs"},
    "smoothgrad": {"augment_by_n": 32, "noise_scale": 0.2},
    "deconvnet": {},
    "guided_backprop": {},
    "input_t_gradient": {},
    "integrated_gradients": {"steps": 32},
    "lrp.z": {},
    "lrp.epsilon": {"epsilon": 0.1},
    "lrp.alpha_2_beta_1": {},
    "lrp.sequential_preset_a_flat": {},
    "deep_taylor": {},
    "deep_taylor.bounded": {"low": 0.0, "high": 1.0},
}


def images() -> tuple[np.ndarray, np.ndarray]:
    """Images `(n, 8, 8, 1)` with ink from 0 to 1, and the digits they show."""
    digits = load_digits()
    return digits.images[..., None].astype("float32") / 16, digits.target


def trained(x: np.ndarray, y: np.ndarray, epochs: int = 20) -> keras.Model:
    """A network that ends in a softmax, as those that come with their weights do."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model


def analyses(model: keras.Model, x: np.ndarray) -> dict[str, np.ndarray]:
    """The relevance of the largest output by every analyzer."""
    found = {}
    for name, options in ANALYZERS.items():
        analyzer = innvestigate.create_analyzer(name, model, **options)
        found[name] = analyzer.analyze(x)
    return found


def of_neurons(model: keras.Model, x: np.ndarray, neurons: Sequence[int]) -> dict[str, np.ndarray]:
    """The relevance for and against each of some digits in the same images."""
    analyzer = innvestigate.create_analyzer("lrp.z", model, neuron_selection_mode="index")
    return {f"lrp.z for {neuron}": analyzer.analyze(x, neuron) for neuron in neurons}


def normalized(a: np.ndarray) -> np.ndarray:
    """Channels added up, and each image scaled to -1..1."""
    summed = a.sum(axis=-1)
    largest = np.abs(summed).max(axis=(1, 2), keepdims=True)
    return summed / np.where(largest > 0, largest, 1)


def drawn(x: np.ndarray, found: dict[str, np.ndarray]) -> Figure:
    """A row for the digits, and one for each analysis of them."""
    rows = {"digits": x[..., 0], **{name: normalized(a) for name, a in found.items()}}
    figure = Figure(figsize=(len(x) + 2.5, len(rows)))
    axes = figure.subplots(len(rows), len(x))
    for row, (name, maps) in zip(axes, rows.items(), strict=True):
        colours: dict[str, Any] = {"cmap": "seismic", "clim": (-1, 1)} if name in found else {"cmap": "gray_r"}
        for axis, one in zip(row, maps, strict=True):
            axis.imshow(one, **colours)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, rotation=0, horizontalalignment="right", verticalalignment="center")
    figure.subplots_adjust(left=2.5 / (len(x) + 2.5), right=0.99, bottom=0.01, top=0.99)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, analyzes, and writes the image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("-o", "--out", type=pathlib.Path, default=pathlib.Path("innvestigate_readme.png"))
    options = parser.parse_args(arguments)

    x, y = images()
    model = trained(x[:-100], y[:-100], options.epochs)
    shown = np.stack([x[-100:][y[-100:] == digit][0] for digit in range(10)])
    read = model.predict(shown, verbose=0).argmax(axis=1)

    # iNNvestigate refuses a softmax. Here it may stay: what is explained is the logit, either way.
    model = innvestigate.model_wo_softmax(model)
    found = {**analyses(model, shown), **of_neurons(model, shown, (3, 8))}
    drawn(shown, found).savefig(options.out, dpi=100)
    print(f"read: {' '.join(map(str, read))}")
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
