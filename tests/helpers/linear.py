"""Linear models, of which every metric can be computed by hand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers


def linear(weights: Any, dtype: str = "float64") -> keras.Model:
    """`f(x) = sum_i w_i x_i`, for weights shaped like a sample, or with a last axis of several outputs behind it.

    Args:
        weights: `(*sample, outputs)`; of an array of one axis it is one output.
        dtype: Of the model.
    """
    w = np.asarray(weights, dtype)
    w = w[:, None] if w.ndim == 1 else w
    x = inputs = keras.Input(w.shape[:-1], dtype=dtype)
    x = x if w.ndim == 2 else layers.Reshape((-1,), dtype=dtype)(x)
    model = keras.Model(inputs, layers.Dense(w.shape[-1], use_bias=False, name="linear", dtype=dtype)(x), name="linear")
    model.get_layer("linear").set_weights([w.reshape(-1, w.shape[-1])])
    return model


def convolutional(side: int = 6, channels: int = 2, outputs: int = 3, activation: str | None = None) -> keras.Model:
    """A small network for images in double precision."""
    x = inputs = keras.Input((side, side, channels), dtype="float64")
    x = layers.Conv2D(4, 3, activation="relu", name="conv", dtype="float64")(x)
    x = layers.Flatten(dtype="float64")(x)
    return keras.Model(inputs, layers.Dense(outputs, activation, name="logits", dtype="float64")(x), name="small")
