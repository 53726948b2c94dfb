"""A small network, and something to learn that one can see: whether the upper or the lower half is brighter."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers


def data(count: int = 24, size: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    y = np.arange(count) % 2
    x = 0.3 * rng.random((count, size, size, 1))
    half = size // 2
    x[y == 0, :half] += 0.5
    x[y == 1, half:] += 0.5
    return x.astype("float32"), y


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="subclassed")
        self.conv = layers.Conv2D(4, 3, activation="relu", name="conv")
        self.flatten = layers.Flatten(name="flatten")
        self.logits = layers.Dense(2, name="logits")

    def call(self, x: Any) -> Any:
        return self.logits(self.flatten(self.conv(x)))


def network(kind: str = "functional") -> keras.Model:
    """A compiled model: "sequential", "functional" or "subclassed", the last of which has not been called."""
    conv = layers.Conv2D(4, 3, activation="relu", name="conv")
    flatten, logits = layers.Flatten(name="flatten"), layers.Dense(2, name="logits")
    inputs = keras.Input((6, 6, 1), name="image")
    model: keras.Model
    if kind == "sequential":
        model = keras.Sequential([inputs, conv, flatten, logits])
    elif kind == "functional":
        model = keras.Model(inputs, logits(flatten(conv(inputs))))
    else:
        model = Subclassed()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.03), loss, metrics=["accuracy"])
    return model


def fit(model: keras.Model, callbacks: list[Any], epochs: int = 3, **options: Any) -> Any:
    x, y = data()
    return model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks, **options)
