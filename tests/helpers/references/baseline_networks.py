"""Networks for explanations against a baseline: as Keras models, and as the reference in `baseline.py` has them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from helpers.references import algebra, baseline
from helpers.references.algebra import RELU, SIGMOID, TANH, Array, Network, Step

BATCH, BASELINES, NEURON = 3, 2, 1
OPTIONS: dict[str, Any] = {"dtype": "float64"}
MAXIMA = ["softmax limit", "relu chain"]
RULES = ["rescale", "reveal_cancel"]
Weights = dict[str, list[Array]]


class Case(NamedTuple):
    """A Keras model, its input, some baselines, and the network as the reference has it."""

    model: keras.Model
    x: Array
    baselines: Array
    network: Network

    def relevance(self, references: Array, x: Array | None = None, **options: Any) -> Array:
        x = self.x if x is None else x
        flat = references.reshape(len(references), -1)
        return baseline.relevance(self.network, x.reshape(len(x), -1), flat, NEURON, **options).reshape(x.shape)

    def explained(self, x: Array) -> Array:
        return algebra.forward(self.network, x.reshape(len(x), -1))[-1][:, NEURON]

    def analyzer(self, name: str, **options: Any) -> kerasexplain.Analyzer:
        return kerasexplain.create_analyzer(name, self.model, jit_compile=False, **options)


def mlp() -> keras.Model:
    x = inputs = keras.Input((6,), **OPTIONS)
    for k, f in enumerate(["tanh", "sigmoid", "relu"], 1):
        x = layers.Dense(9 - k, f, name=f"dense{k}", **OPTIONS)(x)
    return keras.Model(inputs, layers.Dense(3, name="logits", **OPTIONS)(x))


def mlp_steps(w: Weights) -> list[Step]:
    steps = []
    for k, f in enumerate([TANH, SIGMOID, RELU], 1):
        steps += [Step(algebra.dense(*w[f"dense{k}"]), (len(steps),)), Step(f, (len(steps) + 1,))]
    return [*steps, Step(algebra.dense(*w["logits"]), (len(steps),))]


def pooled_last() -> keras.Model:
    """Windows of zeros are what relu leaves behind; these do not overlap."""
    x = inputs = keras.Input((6, 6, 2), **OPTIONS)
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="conv1", **OPTIONS)(x)
    x = layers.MaxPooling2D(2, **OPTIONS)(x)
    x = layers.Conv2D(4, 2, activation="tanh", name="conv2", **OPTIONS)(x)
    x = layers.Flatten(**OPTIONS)(x)
    return keras.Model(inputs, layers.Dense(3, name="logits", **OPTIONS)(x))


def pooled_last_steps(w: Weights) -> list[Step]:
    return [
        Step(algebra.convolution(algebra.pixels(6, 6, 3, same=True), 72, *w["conv1"]), (0,)),
        Step(RELU, (1,)),
        Step(algebra.max_pooling(algebra.pixels(6, 6, 2, 2), 3), (2,)),
        Step(algebra.convolution(algebra.pixels(3, 3, 2), 27, *w["conv2"]), (3,)),
        Step(TANH, (4,)),
        Step(algebra.dense(*w["logits"]), (5,)),
    ]


def pooled_first() -> keras.Model:
    """The maximum of what a convolution gives, positive or not, in windows that overlap; and of tanh."""
    x = inputs = keras.Input((7, 7, 2), **OPTIONS)
    x = layers.Conv2D(3, 3, name="conv1", **OPTIONS)(x)
    x = layers.MaxPooling2D(3, strides=1, **OPTIONS)(x)
    x = layers.Activation("relu", **OPTIONS)(x)
    x = layers.Conv2D(4, 2, padding="same", activation="tanh", name="conv2", **OPTIONS)(x)
    x = layers.MaxPooling2D(2, strides=1, **OPTIONS)(x)
    x = layers.Flatten(**OPTIONS)(x)
    return keras.Model(inputs, layers.Dense(3, name="logits", **OPTIONS)(x))


def pooled_first_steps(w: Weights) -> list[Step]:
    return [
        Step(algebra.convolution(algebra.pixels(7, 7, 3), 98, *w["conv1"]), (0,)),
        Step(algebra.max_pooling(algebra.pixels(5, 5, 3), 3), (1,)),
        Step(RELU, (2,)),
        Step(algebra.convolution(algebra.pixels(3, 3, 2, same=True), 27, *w["conv2"]), (3,)),
        Step(TANH, (4,)),
        Step(algebra.max_pooling(algebra.pixels(3, 3, 2), 4), (5,)),
        Step(algebra.dense(*w["logits"]), (6,)),
    ]


def residual() -> keras.Model:
    x = inputs = keras.Input((6,), **OPTIONS)
    x = layers.Dense(7, "tanh", name="dense1", **OPTIONS)(x)
    y = layers.Dense(8, "relu", name="dense2", **OPTIONS)(x)
    y = layers.Dense(7, name="dense3", **OPTIONS)(y)
    x = layers.Activation("sigmoid", **OPTIONS)(layers.Add(**OPTIONS)([x, y]))
    return keras.Model(inputs, layers.Dense(3, name="logits", **OPTIONS)(x))


def residual_steps(w: Weights) -> list[Step]:
    return [
        Step(algebra.dense(*w["dense1"]), (0,)),
        Step(TANH, (1,)),
        Step(algebra.dense(*w["dense2"]), (2,)),
        Step(RELU, (3,)),
        Step(algebra.dense(*w["dense3"]), (4,)),
        Step(algebra.add(7), (2, 5)),
        Step(SIGMOID, (6,)),
        Step(algebra.dense(*w["logits"]), (7,)),
    ]


def gated() -> keras.Model:
    """A product of two branches, one of which no function follows."""
    x = inputs = keras.Input((6,), **OPTIONS)
    a = layers.Dense(7, name="signal", **OPTIONS)(x)
    b = layers.Dense(7, "sigmoid", name="gate", **OPTIONS)(x)
    x = layers.Multiply(**OPTIONS)([a, b])
    x = layers.Dense(8, "tanh", name="dense", **OPTIONS)(x)
    return keras.Model(inputs, layers.Dense(3, name="logits", **OPTIONS)(x))


def gated_steps(w: Weights) -> list[Step]:
    return [
        Step(algebra.dense(*w["signal"]), (0,)),
        Step(algebra.dense(*w["gate"]), (0,)),
        Step(SIGMOID, (2,)),
        Step(algebra.Product(), (1, 3)),
        Step(algebra.dense(*w["dense"]), (4,)),
        Step(TANH, (5,)),
        Step(algebra.dense(*w["logits"]), (6,)),
    ]


def averaged() -> keras.Model:
    """A network with functions of averages, which are linear, too."""
    x = inputs = keras.Input((6, 6, 2), **OPTIONS)
    x = layers.Conv2D(3, 3, activation="tanh", name="conv", **OPTIONS)(x)
    x = layers.AveragePooling2D(2, **OPTIONS)(x)
    x = layers.Activation("sigmoid", **OPTIONS)(x)
    x = layers.Flatten(**OPTIONS)(x)
    return keras.Model(inputs, layers.Dense(3, name="logits", **OPTIONS)(x))


def averaged_steps(w: Weights) -> list[Step]:
    return [
        Step(algebra.convolution(algebra.pixels(6, 6, 3), 72, *w["conv"]), (0,)),
        Step(TANH, (1,)),
        Step(algebra.average_pooling(algebra.pixels(4, 4, 2, 2), 48, 3), (2,)),
        Step(SIGMOID, (3,)),
        Step(algebra.dense(*w["logits"]), (4,)),
    ]


def normalized() -> keras.Model:
    """A normalization of what a kernel gives is part of it: the two are one linear operation."""
    x = inputs = keras.Input((6,), **OPTIONS)
    x = layers.Dense(8, name="dense", **OPTIONS)(x)
    x = layers.BatchNormalization(name="bn", **OPTIONS)(x)
    x = layers.Activation("relu", **OPTIONS)(x)
    return keras.Model(inputs, layers.Dense(3, name="logits", **OPTIONS)(x))


def normalized_steps(w: Weights) -> list[Step]:
    kernel, bias = w["dense"]
    gamma, beta, mean, variance = w["bn"]
    scale = gamma / np.sqrt(variance + 1e-3)
    return [
        Step(algebra.dense(kernel * scale, (bias - mean) * scale + beta), (0,)),
        Step(RELU, (1,)),
        Step(algebra.dense(*w["logits"]), (2,)),
    ]


NETWORKS: dict[str, tuple[Callable[[], keras.Model], Callable[[Weights], list[Step]]]] = {
    "mlp": (mlp, mlp_steps),
    "pooled last": (pooled_last, pooled_last_steps),
    "pooled first": (pooled_first, pooled_first_steps),
    "residual": (residual, residual_steps),
    "gated": (gated, gated_steps),
    "averaged": (averaged, averaged_steps),
    "normalized": (normalized, normalized_steps),
}
of_every_network = pytest.mark.parametrize("network", NETWORKS)
of_some_networks = pytest.mark.parametrize("network", ["pooled first", "gated"])
by_every_rule = pytest.mark.parametrize("rule", RULES)
by_every_maximum = pytest.mark.parametrize("maximum", MAXIMA)
with_maxima = pytest.mark.parametrize("network", [name for name in NETWORKS if "pooled" in name])


@functools.cache
def case(network: str) -> Case:
    """Of numbers with few digits: a first layer's sums are exact, in whatever order. Of a constant image they are then
    equal wherever they see the same, and so are its maxima.
    """
    make, steps = NETWORKS[network]
    model = make()
    rng = np.random.default_rng(5)
    for variable in model.weights:
        drawn = np.round(rng.uniform(-1, 1, variable.shape) * 256) / 256
        variable.assign(np.abs(drawn) if "variance" in variable.name else drawn)
    data = np.round(rng.normal(size=(BATCH + BASELINES, *model.input_shape[1:])) * 256) / 256
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    return Case(model, data[:BATCH], data[BATCH:], steps(weights))


def zeros(c: Case) -> Array:
    return np.zeros((1, *c.x.shape[1:]))


def assert_agrees(found: Array, expected: Array) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
