"""Preprocessing in a model is no part of what is explained: the map is that of the model behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import create_analyzer

Tensor = Any
SHAPE = (8, 8, 2)


def adapted(layer: Any) -> Any:
    layer.adapt(images())
    return layer


def trained(layer: Any) -> Any:
    layer.build((None, *SHAPE))
    for weight, value in zip(layer.weights, (0.5, 3.0, 100.0, 900.0), strict=True):
        weight.assign(np.full(weight.shape, value))
    return layer


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype("float32")


#: What comes before the network.
BEFORE: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "Rescaling": lambda: layers.Rescaling(1 / 127.5, -1),
    "Normalization": lambda: adapted(layers.Normalization(axis=-1)),
    "BatchNormalization": lambda: trained(layers.BatchNormalization()),
    "written out": lambda: lambda x: x / 255.0 - 0.5,
    "nested": lambda: keras.Sequential([layers.Input(SHAPE), layers.Rescaling(1 / 255), layers.Rescaling(2.0, -1)]),
    "behind augmentation": lambda: keras.Sequential(
        [layers.Input(SHAPE), layers.RandomFlip(), layers.Permute((2, 1, 3)), layers.Rescaling(1 / 127.5, -1)]
    ),
}
NAMES = ("lrp.z_plus", "lrp.epsilon_plus", "lrp.epsilon", "lrp.alpha_2_beta_1", "lrp.gamma", "lrp.flat", "deep_taylor")


@pytest.mark.formula
@pytest.mark.parametrize("before", BEFORE)
def test_the_map_is_that_of_the_network_behind(before: str) -> None:
    network = keras.Sequential(
        [layers.Input(SHAPE), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]
    )
    given = keras.Input(SHAPE)
    preprocess = BEFORE[before]()
    whole, front = keras.Model(given, network(preprocess(given))), keras.Model(given, preprocess(given))
    x = images()
    for name in NAMES:
        expected = create_analyzer(name, network).analyze(front.predict(x, verbose=0), 1)
        if before == "behind augmentation":
            expected = expected.transpose(0, 2, 1, 3)
        found = create_analyzer(name, whole).analyze(x, 1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max(), err_msg=name)


def test_offsets_are_biases_where_biases_are_inputs() -> None:
    given = keras.Input((4,))
    model = keras.Model(given, layers.Dense(2)(layers.Rescaling(0.5, -1)(given)))
    found = create_analyzer("lrp.bias_as_input", model).explain(np.ones((2, 4), "float32"), 0, bias=True)
    assert "rescaling" in " ".join(found.bias)
    total = found.relevance.sum(axis=1) + sum(part.reshape(2, -1).sum(axis=1) for part in found.bias.values())
    np.testing.assert_allclose(total, found.explained, rtol=1e-5, atol=1e-6)


def test_within_a_network_nothing_changes() -> None:
    given = keras.Input((4,))
    hidden = layers.Dense(5, activation="relu")(given)
    model = keras.Model(given, layers.Dense(2)(layers.Rescaling(0.5, 3.0)(hidden)))
    (row,) = [row for row in create_analyzer("lrp.epsilon", model).rows if row.type == "Rescaling"]
    assert not row.preprocesses
