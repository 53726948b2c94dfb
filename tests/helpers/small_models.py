"""Small models and random arrays for them, for tests that are about something else."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers


def random(*shape: int) -> np.ndarray:
    """Normally distributed numbers."""
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def dense() -> keras.Model:
    """A ReLU between two Dense layers."""
    return keras.Sequential([keras.Input((4,)), layers.Dense(5, activation="relu", name="one"), layers.Dense(3)])


def ids_model(dtype: str) -> keras.Model:
    """A table that integers of that dtype look up, and a Dense layer."""
    return keras.Sequential(
        [keras.Input((6,), dtype=dtype), layers.Embedding(30, 4), layers.Flatten(), layers.Dense(2, activation="tanh")]
    )
