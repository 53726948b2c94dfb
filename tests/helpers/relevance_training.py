"""A small training on relevance: data with a mark that gives the class away, a network, and its RelevanceModel."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from kerasexplain.training import RelevanceModel, RelevanceOutside


def data(count: int = 32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures whose class is the brighter half inside, and a mark at the border that gives it away."""
    rng = np.random.default_rng(1)
    y = np.arange(count) % 2
    x = 0.3 * rng.random((count, 8, 8, 1))
    x[y == 0, 1:4, 1:7] += 0.4
    x[y == 1, 4:7, 1:7] += 0.4
    x[y == 0, 0, 0] = 1.0
    x[y == 1, 0, 7] = 1.0
    mask = np.zeros((count, 8, 8))
    mask[:, 1:7, 1:7] = 1
    return x.astype("float32"), y, mask.astype("float32")


def network(dropout: float = 0.0) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Conv2D(4, 3, padding="same", activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(name="flatten"),
            layers.Dropout(dropout, name="dropout"),
            layers.Dense(2, name="logits"),
        ]
    )


def trained(losses: Any = None, analyzer: Any = "lrp.epsilon_plus", **options: Any) -> RelevanceModel:
    model = RelevanceModel(options.pop("model", None) or network(), analyzer, losses or RelevanceOutside(), **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


def evaluated(model: keras.Model, *given: Any, **options: Any) -> dict[str, float]:
    return model.evaluate(*given, verbose=0, return_dict=True, **options)
