"""Helpers that the tests of opening share."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from helpers.backends import of_the_backend
from kerasexplain import create_analyzer

RNG = np.random.default_rng(0)


X = RNG.normal(size=(3, 6, 4))


def conserves(model: keras.Model, x: Any, neuron: Any = None, name: str = "lrp.bias_as_input") -> None:
    """The twin gives the model's output, and what inputs and biases hold adds up to what is explained."""
    explanation = create_analyzer(name, model).explain(x, neuron, bias=True)
    for given, expected in zip(keras.tree.flatten(explanation.output), keras.tree.flatten(model(x)), strict=True):
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)
    parts = [*keras.tree.flatten(explanation.relevance), *explanation.bias.values()]
    sums = [np.asarray(part).reshape(len(explanation.explained), -1) for part in parts]
    moved = sum(np.abs(part).sum(1) for part in sums)
    assert np.all(np.abs(sum(part.sum(1) for part in sums) - explanation.explained) <= 1e-5 * moved)


def built(model: keras.Model, x: Any = X) -> keras.Model:
    model(x)
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(size=variable.shape) * 0.5)
    return model


class Raw(layers.Layer):
    """Code of the backend, which does not run on symbolic tensors."""

    def call(self, x: Any) -> Any:
        return of_the_backend(x)


def with_raw(kind: type) -> keras.Model:
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(2, name="last")(kind(name="raw")(layers.Dense(4)(inputs))))
