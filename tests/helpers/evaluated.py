"""Small models and samples for libraries of metrics."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers


def images(channels: int, count: int = 4, size: int = 8) -> np.ndarray:
    """Random images, channels last, no two pixels alike."""
    return np.random.default_rng(channels).uniform(0.1, 1.0, (count, size, size, channels)).astype("float32")


def cnn(channels: int, size: int = 8, classes: int = 5, activation: str | None = None) -> keras.Sequential:
    """A small convolutional network with biases."""
    keras.utils.set_random_seed(channels)
    return keras.Sequential(
        [
            keras.Input((size, size, channels)),
            layers.Conv2D(4, 3, activation="relu", bias_initializer="random_normal", name="conv"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Flatten(name="flatten"),
            layers.Dense(classes, activation=activation, bias_initializer="random_normal", name="dense"),
        ]
    )


def labels(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """The class of each sample that the model finds."""
    return np.argmax(model.predict(x, verbose=0), axis=-1)
