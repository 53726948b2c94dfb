"""The networks whose attributions other programs have computed: the same architectures, in Keras 3.

The weights are in the reference files beside the attributions; `load` puts them in.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

DATA = pathlib.Path(__file__).parents[1] / "data"


def mlp(dtype: str) -> keras.Model:
    x = inputs = keras.Input((20,), dtype=dtype)
    x = layers.Dense(32, "relu", name="dense1", dtype=dtype)(x)
    x = layers.Dense(16, "relu", name="dense2", dtype=dtype)(x)
    return keras.Model(inputs, layers.Dense(5, name="dense3", dtype=dtype)(x))


def cnn20(dtype: str) -> keras.Model:
    x = inputs = keras.Input((20, 20, 3), dtype=dtype)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1", dtype=dtype)(x)
    x = layers.MaxPooling2D(2, dtype=dtype)(x)
    x = layers.Conv2D(12, 3, strides=2, activation="relu", name="conv2", dtype=dtype)(x)
    x = layers.Conv2D(16, 1, activation="relu", name="conv3", dtype=dtype)(x)
    x = layers.AveragePooling2D(2, dtype=dtype)(x)
    x = layers.Flatten(dtype=dtype)(x)
    return keras.Model(inputs, layers.Dense(5, name="dense", dtype=dtype)(x))


def bn_cnn(dtype: str) -> keras.Model:
    x = inputs = keras.Input((12, 12, 3), dtype=dtype)
    x = layers.Conv2D(8, 3, padding="same", name="conv1", dtype=dtype)(x)
    x = layers.BatchNormalization(epsilon=1e-3, name="bn1", dtype=dtype)(x)
    x = layers.ReLU(dtype=dtype)(x)
    x = layers.Conv2D(12, 3, use_bias=False, name="conv2", dtype=dtype)(x)
    x = layers.BatchNormalization(epsilon=1e-3, name="bn2", dtype=dtype)(x)
    x = layers.ReLU(dtype=dtype)(x)
    x = layers.GlobalAveragePooling2D(dtype=dtype)(x)
    return keras.Model(inputs, layers.Dense(5, name="dense", dtype=dtype)(x))


def residual(dtype: str) -> keras.Model:
    x = inputs = keras.Input((12, 12, 3), dtype=dtype)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1", dtype=dtype)(x)
    y = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv2", dtype=dtype)(x)
    y = layers.Conv2D(8, 3, padding="same", name="conv3", dtype=dtype)(y)
    x = layers.ReLU(dtype=dtype)(layers.Add(dtype=dtype)([x, y]))
    y = layers.Conv2D(12, 2, strides=2, name="conv4", dtype=dtype)(x)
    skip = layers.Conv2D(12, 1, strides=2, name="proj", dtype=dtype)(x)
    x = layers.ReLU(dtype=dtype)(layers.Add(dtype=dtype)([y, skip]))
    x = layers.GlobalAveragePooling2D(dtype=dtype)(x)
    return keras.Model(inputs, layers.Dense(5, name="dense", dtype=dtype)(x))


ZENNIT: dict[str, Callable[[str], keras.Model]] = {"mlp": mlp, "cnn20": cnn20, "bn_cnn": bn_cnn, "residual": residual}
INNVESTIGATE = ("mlp", "mlp_nobias", "cnn")


def from_spec(spec: str, dtype: str = "float64") -> keras.Model:
    """A chain of layers, from a JSON list of `[class, name, arguments]`."""
    x = inputs = None
    for kind, name, arguments in json.loads(spec):
        if kind == "InputLayer":
            x = inputs = keras.Input(arguments["batch_input_shape"][1:], dtype=dtype)
        else:
            x = getattr(layers, kind)(name=name, dtype=dtype, **arguments)(x)
    return keras.Model(inputs, x)


def load(model: keras.Model, weights: Mapping[str, np.ndarray], key: str) -> keras.Model:
    """Puts in the weights, which are found under `key.format(layer=..., weight=...)`."""
    for layer in model.layers:
        if layer.variables:
            names = [key.format(layer=layer.name, weight=variable.name) for variable in layer.variables]
            layer.set_weights([weights[name].astype(layer.dtype) for name in names])
    return model


def read(folder: str, name: str) -> dict[str, Any]:
    """All arrays of a reference file."""
    with np.load(DATA / folder / f"{name}.npz") as arrays:
        return dict(arrays)


def zennit(name: str, dtype: str) -> tuple[keras.Model, dict[str, Any]]:
    """A network of `data/zennit` and everything its file holds."""
    arrays = read("zennit", name)
    return load(ZENNIT[name](dtype), arrays, "keras__{layer}__{weight}"), arrays


def innvestigate(name: str) -> tuple[keras.Model, dict[str, Any]]:
    """A network of `data/innvestigate` and everything its file holds."""
    arrays = read("innvestigate", f"{name}.f64")
    return load(from_spec(str(arrays["spec"])), arrays, "w/{layer}/{weight}"), arrays
