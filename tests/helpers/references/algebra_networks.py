"""Networks for the algebra of rules: as Keras models, and as the reference in `algebra.py` has them."""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from helpers.references import algebra
from helpers.references.algebra import RELU, TANH, Array, Elementwise, Network, Rules, Step

BATCH, NEURON = 3, 1
OPTIONS: dict[str, Any] = {"dtype": "float64"}
FUNCTIONS = {"relu": RELU, "tanh": TANH}
LINEAR = ["gradient", "normalized"]
NONLINEARITIES = ["ignore", "gradient", "slope", "repeat"]
MAXIMA = ["gradient", "radial", "softmax limit", "relu chain"]
BIASES = ["absorbed", "ignored", "as_input"]
NETWORKS = [f"{kind} {f}" for kind in ("mlp", "cnn") for f in FUNCTIONS]
#: All of them where there are maxima; without any, one rule for them is as good as another.
CHOICES = [
    (network, Rules(*rules))
    for network in NETWORKS
    for rules in itertools.product(LINEAR, NONLINEARITIES, MAXIMA if "cnn" in network else MAXIMA[:1], BIASES)
    if network != "cnn tanh" or rules[3] == "absorbed"
]
of_every_network = pytest.mark.parametrize("network", NETWORKS)


class Case(NamedTuple):
    """A Keras model, its input, and the same as the reference has them."""

    model: keras.Model
    x: Array
    network: Network
    flat: Array

    def relevance(self, rules: Rules, **options: Any) -> tuple[Array, dict[str, Array]]:
        """Shaped like the model's input, and the biases by layer, summed over positions."""
        R, biases = algebra.relevance(self.network, self.flat, NEURON, rules, **options)
        of_layer = {}
        for k, S in biases.items():
            if name := self.network[k - 1].name:
                units = self.model.get_layer(name).bias.shape[0]
                of_layer[name] = S.reshape(BATCH, -1, units).sum(axis=1)
        return R.reshape(self.x.shape), of_layer

    def analyzer(self, name: str, **options: Any) -> kerasexplain.Analyzer:
        return kerasexplain.create_analyzer(name, self.model, jit_compile=False, **options)


def mlp(f: str, biased: bool) -> keras.Model:
    x = inputs = keras.Input((5,), **OPTIONS)
    x = layers.Dense(6, f, use_bias=biased, name="dense1", **OPTIONS)(x)
    x = layers.Dense(4, f, use_bias=biased, name="dense2", **OPTIONS)(x)
    return keras.Model(inputs, layers.Dense(3, use_bias=biased, name="logits", **OPTIONS)(x))


def cnn(f: str, biased: bool) -> keras.Model:
    """A maximum behind a function (with relu: of zeros, too), an overlapping one before it (of negative values too)."""
    options = {"use_bias": biased, **OPTIONS}
    x = inputs = keras.Input((6, 6, 2), **OPTIONS)
    x = layers.Conv2D(3, 3, padding="same", activation=f, name="conv1", **options)(x)
    pooled = layers.MaxPooling2D(2, **OPTIONS)(x)
    x = layers.Conv2D(3, 3, padding="same", name="conv2", **options)(pooled)
    x = layers.MaxPooling2D(2, strides=1, **OPTIONS)(x)
    x = layers.Activation(f, **OPTIONS)(x)
    skip = layers.Conv2D(3, 2, name="skip", **options)(pooled)
    x = layers.Add(**OPTIONS)([x, skip])
    x = layers.Activation(f, **OPTIONS)(x)
    x = layers.AveragePooling2D((1, 2), **OPTIONS)(x)
    x = layers.Flatten(**OPTIONS)(x)
    return keras.Model(inputs, layers.Dense(3, name="logits", **options)(x))


def mlp_steps(f: Elementwise, w: dict[str, list[Array]]) -> list[Step]:
    return [
        Step(algebra.dense(*w["dense1"]), (0,), "dense1"),
        Step(f, (1,)),
        Step(algebra.dense(*w["dense2"]), (2,), "dense2"),
        Step(f, (3,)),
        Step(algebra.dense(*w["logits"]), (4,), "logits"),
    ]


def cnn_steps(f: Elementwise, w: dict[str, list[Array]]) -> list[Step]:
    rows = np.array([[0, 1], [2, 3]])  # the average pooling's windows, of 1 by 2
    return [
        Step(algebra.convolution(algebra.pixels(6, 6, 3, same=True), 72, *w["conv1"]), (0,), "conv1"),
        Step(f, (1,)),
        Step(algebra.max_pooling(algebra.pixels(6, 6, 2, 2), 3), (2,)),
        Step(algebra.convolution(algebra.pixels(3, 3, 3, same=True), 27, *w["conv2"]), (3,), "conv2"),
        Step(algebra.max_pooling(algebra.pixels(3, 3, 2), 3), (4,)),
        Step(f, (5,)),
        Step(algebra.convolution(algebra.pixels(3, 3, 2), 27, *w["skip"]), (3,), "skip"),
        Step(algebra.add(12), (6, 7)),
        Step(f, (8,)),
        Step(algebra.average_pooling(rows, 12, 3), (9,)),
        Step(algebra.dense(*w["logits"]), (10,), "logits"),
    ]


@functools.cache
def case(network: str, biased: bool = True) -> Case:
    kind, f = network.split()
    model = {"mlp": mlp, "cnn": cnn}[kind](f, biased)
    rng = np.random.default_rng(3)
    for variable in model.weights:
        variable.assign(rng.uniform(-1, 1, variable.shape))
    x = rng.normal(size=(BATCH, *model.input_shape[1:])).astype("float32").astype("float64")  # `predict` would round it
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    steps = {"mlp": mlp_steps, "cnn": cnn_steps}[kind](FUNCTIONS[f], weights)
    return Case(model, x, steps, x.reshape(BATCH, -1))


def assert_agrees(found: Array, expected: Array) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
