"""A small network, an analyzer of it, and samples."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kerasexplain import create_analyzer
from kerasexplain.analyzer import Analyzer
from tests.helpers.stores import N


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(3, 3, activation="relu", bias_initializer="normal", name="conv")(inputs)
    return keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(keras.layers.Flatten()(x)), name="small")


@pytest.fixture(scope="module")
def analyzer(model: keras.Model) -> Analyzer:
    return create_analyzer("lrp.epsilon", model, batch_size=8)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(N, 6, 6, 2)).astype("float32")
