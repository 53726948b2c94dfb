"""PatternNet and PatternAttribution: the reference in `patterns.py`, by itself, and the analyzers against it."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from helpers.references import algebra, patterns
from helpers.references.algebra import RELU, Array, Network, Step
from helpers.references.patterns import Kernel
from keras import layers

import kerasexplain

pytestmark = pytest.mark.formula

SAMPLES, BATCH, NEURON = 60, 3, 1
OPTIONS: dict[str, Any] = {"dtype": "float64"}
TYPES = ["relu", "linear"]
METHODS = ["net", "attribution"]


class Case(NamedTuple):
    """A Keras model, data to learn from, an input, and the network as the reference has it."""

    model: keras.Model
    data: Array
    x: Array
    network: Network
    kernels: dict[str, Kernel]

    def patterns(self, pattern_type: str) -> dict[str, Array]:
        flat = self.data.reshape(SAMPLES, -1)
        return patterns.patterns(self.network, self.kernels, flat, pattern_type)

    def relevance(self, pattern_type: str, method: str) -> Array:
        flat = self.x.reshape(BATCH, -1)
        found = self.patterns(pattern_type)
        return patterns.relevance(self.network, self.kernels, found, flat, NEURON, method).reshape(self.x.shape)

    def fitted(self, method: str, **options: Any) -> kerasexplain.Analyzer:
        analyzer = kerasexplain.create_analyzer(f"pattern.{method}", self.model, jit_compile=False, **options)
        analyzer.fit(self.data)
        return analyzer


def mlp() -> tuple[keras.Model, dict[str, Kernel], list[Step]]:
    x = inputs = keras.Input((6,), **OPTIONS)
    x = layers.Dense(8, "relu", name="dense1", **OPTIONS)(x)
    x = layers.ReLU(**OPTIONS)(layers.Dense(7, name="dense2", **OPTIONS)(x))  # a layer of its own
    model = randomized(keras.Model(inputs, layers.Dense(3, name="logits", **OPTIONS)(x)))
    kernels = {name: patterns.dense(*model.get_layer(name).get_weights()) for name in ("dense1", "dense2", "logits")}
    steps = []
    for name in kernels:
        steps += [Step(algebra.dense(*model.get_layer(name).get_weights()), (len(steps),), name)]
        steps += [Step(RELU, (len(steps),))]
    return model, kernels, steps[:-1]


def cnn() -> tuple[keras.Model, dict[str, Kernel], list[Step]]:
    """Zero-padded (with strides: at the right and below only), then not; the last kernel is read by no ReLU."""
    x = inputs = keras.Input((6, 6, 2), **OPTIONS)
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1", **OPTIONS)(x)
    x = layers.MaxPooling2D(2, strides=1, **OPTIONS)(x)
    x = layers.Conv2D(3, 2, padding="same", strides=2, activation="relu", name="conv2", **OPTIONS)(x)
    x = layers.Conv2D(5, 2, activation="relu", name="conv3", **OPTIONS)(x)
    x = layers.AveragePooling2D(2, **OPTIONS)(x)
    x = layers.Flatten(**OPTIONS)(x)
    model = randomized(keras.Model(inputs, layers.Dense(3, name="logits", **OPTIONS)(x)))
    w = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    windows = {
        "conv1": algebra.pixels(6, 6, 3, same=True),
        "conv2": algebra.pixels(5, 5, 2, 2, same=True),
        "conv3": algebra.pixels(3, 3, 2),
    }
    kernels = {name: patterns.convolution(window, *w[name]) for name, window in windows.items()}
    steps = [
        Step(algebra.convolution(windows["conv1"], 72, *w["conv1"]), (0,), "conv1"),
        Step(RELU, (1,)),
        Step(algebra.max_pooling(algebra.pixels(6, 6, 2), 4), (2,)),
        Step(algebra.convolution(windows["conv2"], 100, *w["conv2"]), (3,), "conv2"),
        Step(RELU, (4,)),
        Step(algebra.convolution(windows["conv3"], 27, *w["conv3"]), (5,), "conv3"),
        Step(RELU, (6,)),
        Step(algebra.average_pooling(algebra.pixels(2, 2, 2), 20, 5), (7,)),
        Step(algebra.dense(*w["logits"]), (8,), "logits"),
    ]
    return model, kernels | {"logits": patterns.dense(*w["logits"])}, steps


def randomized(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(rng.uniform(-1, 1, variable.shape))
    return model


NETWORKS = {"mlp": mlp, "cnn": cnn}
of_every_network = pytest.mark.parametrize("network", NETWORKS)
of_every_type = pytest.mark.parametrize("pattern_type", TYPES)
by_every_method = pytest.mark.parametrize("method", METHODS)


@functools.cache
def case(network: str) -> Case:
    model, kernels, steps = NETWORKS[network]()
    data = np.random.default_rng(2).normal(0.3, 1, size=(SAMPLES + BATCH, *model.input_shape[1:]))
    data = data.astype("float32").astype("float64")  # `predict` would round it to float32
    return Case(model, data[:SAMPLES], data[SAMPLES:], steps, kernels)


def assert_agrees(found: Array, expected: Array) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


# The reference by itself.


@of_every_network
def test_the_reference_computes_what_keras_computes(network: str) -> None:
    c = case(network)
    found = algebra.forward(c.network, c.x.reshape(BATCH, -1))[-1]
    np.testing.assert_allclose(found, c.model.predict(c.x, verbose=0), rtol=0, atol=1e-12)


@of_every_network
def test_a_kernel_is_the_same_operation_in_both_forms(network: str) -> None:
    c = case(network)
    values = algebra.forward(c.network, c.x.reshape(BATCH, -1))
    for k, step in enumerate(c.network, 1):
        if kernel := c.kernels.get(step.name):
            patches = kernel.patches(values[step.operands[0]])
            z = np.einsum("bpe,eu->bpu", patches, kernel.weights) + kernel.bias
            np.testing.assert_allclose(z.reshape(BATCH, -1), values[k], rtol=0, atol=1e-12)


@of_every_type
@of_every_network
def test_a_unit_finds_all_of_its_pattern(network: str, pattern_type: str) -> None:
    """w^T a = 1: the signal a y holds all that w finds in it."""
    c = case(network)
    for name, a in c.patterns(pattern_type).items():
        products = np.einsum("eu,eu->u", c.kernels[name].weights, a)
        assert np.all(np.isclose(products, 1, rtol=1e-10) | ((a == 0).all(axis=0) & (products == 0)))


@pytest.mark.parametrize("bias", [0.0, 0.7])
def test_a_pattern_is_the_signal_and_not_the_filter(bias: float) -> None:
    """Section 3, figure 2: x = (1, 0) s + (1, 1) d, and the filter (1, -1), which finds s whatever d is.

    The linear pattern is the direction of the signal, up to what signal and distractor have in common by chance.
    """
    s, d = np.random.default_rng(0).normal(size=(2, 4000, 1))
    x = s * [1.0, 0.0] + d * [1.0, 1.0]
    kernel = patterns.dense(np.array([[1.0], [-1.0]]), np.array([bias]))
    a = patterns.pattern(kernel, x, positive=False)
    np.testing.assert_allclose(a[:, 0], [1, 0], rtol=0, atol=0.05)
    np.testing.assert_allclose(a, np.cov(x.T, s.T)[:2, 2:] / np.var(s, ddof=1), rtol=1e-10)


def test_the_positive_regime_has_a_pattern_of_its_own() -> None:
    """Where y > 0 the signal comes along (1, 0), elsewhere along (0, 1): of one filter (1, 1), and no distractor.

    E+[x y] - E+[x] E[y] is then along (1, 0) alone. The linear estimator mixes the two.
    """
    s = np.random.default_rng(0).normal(size=(1000, 1))
    x = np.where(s > 0, s * [1.0, 0.0], s * [0.0, 1.0])
    kernel = patterns.dense(np.ones((2, 1)), np.zeros(1))
    np.testing.assert_allclose(patterns.pattern(kernel, x, positive=True), [[1], [0]], rtol=0, atol=1e-12)
    mixed = patterns.pattern(kernel, x, positive=False)
    assert mixed.min() > 0.4


def test_estimators_by_hand() -> None:
    """The bias decides where y > 0, and changes E+; it does not change the covariance."""
    x = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0], [3.0, 3.0]])
    w = np.array([[1.0], [2.0]])
    kernel = patterns.dense(w, np.array([-4.0]))  # y = 0, -1, -2, 5
    # E[y] = 1/2, E[x] = (3/2, 3/2); E[x y] = (10/4, 14/4), cov = (7/4, 11/4); w^T cov = 29/4.
    np.testing.assert_allclose(patterns.pattern(kernel, x, positive=False), [[7 / 29], [11 / 29]], rtol=1e-14)
    # y > 0 in the last alone: E+[x y] = (15, 15), E+[x] E[y] = (3/2, 3/2); both entries 27/2, w^T of which is 81/2.
    np.testing.assert_allclose(patterns.pattern(kernel, x, positive=True), [[1 / 3], [1 / 3]], rtol=1e-14)
    kernel = kernel._replace(bias=np.array([-3.0]))  # y = 1, 0, -1, 6
    # y > 0 in the first and the last: E+[x y] = (18, 20) / 2, E+[x] = (3/2, 5/2), E[y] = 3/2: (27/4, 25/4), of 77/4.
    np.testing.assert_allclose(patterns.pattern(kernel, x, positive=True), [[27 / 77], [25 / 77]], rtol=1e-14)
    np.testing.assert_allclose(patterns.pattern(kernel, x, positive=False), [[7 / 29], [11 / 29]], rtol=1e-14)


def test_a_kernel_entry_that_sees_padding_sees_nothing() -> None:
    """A 3 x 3 kernel at the corners of 2 x 2 pixels: entry (0, 0) sees the first pixel only, from the last position."""
    rng = np.random.default_rng(0)
    x = rng.normal(1, 1, size=(50, 4))
    kernel = patterns.convolution(algebra.pixels(2, 2, 3, same=True), rng.normal(size=(3, 3, 1, 1)), np.zeros(1))
    y = x @ algebra.matrix(kernel.windows, kernel.weights, 4)
    a = patterns.pattern(kernel, x, positive=False)[:, 0]
    cov = [np.cov(x[:, 0], y[:, 3], ddof=0)[0, 1], np.cov(x.reshape(-1), y.reshape(-1), ddof=0)[0, 1]]
    assert a[0] / a[4] == pytest.approx(cov[0] / cov[1])  # the entry in the middle sees a pixel from every position


def test_a_unit_that_is_never_positive_has_no_pattern() -> None:
    kernel = patterns.dense(np.ones((2, 1)), np.array([-100.0]))
    x = np.random.default_rng(0).normal(size=(20, 2))
    np.testing.assert_array_equal(patterns.pattern(kernel, x, positive=True), 0)
    assert patterns.pattern(kernel, x, positive=False).any()


@by_every_method
def test_without_distractor_and_functions_patterns_return_the_input(method: str) -> None:
    """A single linear unit, and data that are only signal, x = a s: PatternNet gives a y = x, and the attribution sums
    to y.
    """
    a, w = np.random.default_rng(0).normal(size=(2, 5, 1))
    x = np.random.default_rng(1).normal(size=(20, 1)) @ a.T
    kernels = {"unit": patterns.dense(w, np.zeros(1))}
    network = [Step(algebra.dense(w), (0,), "unit")]
    found = patterns.patterns(network, kernels, x, "relu")
    R = patterns.relevance(network, kernels, found, x, 0, method)
    if method == "net":
        np.testing.assert_allclose(R, x, rtol=0, atol=1e-10)
    else:
        np.testing.assert_allclose(R.sum(axis=1), (x @ w)[:, 0], rtol=1e-10)


@of_every_network
def test_types_differ_where_a_relu_follows_and_only_there(network: str) -> None:
    c = case(network)
    relu, linear = (c.patterns(pattern_type) for pattern_type in TYPES)
    np.testing.assert_array_equal(relu["logits"], linear["logits"])
    for name in set(c.kernels) - {"logits"}:
        assert np.abs(relu[name] - linear[name]).max() > 0.05 * np.abs(linear[name]).max()


# The analyzers.


@by_every_method
@of_every_type
@of_every_network
def test_patterns_of_the_analyzer_agree_with_the_reference(network: str, pattern_type: str, method: str) -> None:
    c = case(network)
    found = c.fitted(method, pattern_type=pattern_type).method.patterns
    expected = c.patterns(pattern_type)
    assert set(found) == set(expected)
    for name, a in expected.items():
        assert_agrees(np.asarray(found[name]), a.reshape(c.kernels[name].shape))


@by_every_method
@of_every_type
@of_every_network
def test_the_analyzer_agrees_with_the_reference(network: str, pattern_type: str, method: str) -> None:
    c = case(network)
    R = c.relevance(pattern_type, method)
    assert np.abs(R).max() > 0
    assert_agrees(c.fitted(method, pattern_type=pattern_type).analyze(c.x, NEURON), R)


@by_every_method
def test_the_positive_regime_is_the_default(method: str) -> None:
    c = case("cnn")
    assert_agrees(c.fitted(method).analyze(c.x, NEURON), c.relevance("relu", method))


@by_every_method
def test_a_unit_without_a_pattern_hands_on_nothing(method: str) -> None:
    """It is never positive in the data, but in the first sample explained."""
    x = inputs = keras.Input((4,), **OPTIONS)
    x = layers.Dense(3, "relu", name="dense", **OPTIONS)(x)
    model = randomized(keras.Model(inputs, layers.Dense(2, name="logits", **OPTIONS)(x)))
    w = {name: model.get_layer(name).get_weights() for name in ("dense", "logits")}
    w["dense"][1][0] = -100.0
    model.get_layer("dense").set_weights(w["dense"])
    steps = [
        Step(algebra.dense(*w["dense"]), (0,), "dense"),
        Step(RELU, (1,)),
        Step(algebra.dense(*w["logits"]), (2,), "logits"),
    ]
    data = np.random.default_rng(0).normal(size=(SAMPLES, 4)).astype("float32").astype("float64")
    x = data[:BATCH].copy()
    x[0] = 200 * np.sign(w["dense"][0][:, 0])
    c = Case(model, data, x, steps, {name: patterns.dense(*weights) for name, weights in w.items()})
    analyzer = c.fitted(method)
    assert not np.asarray(analyzer.method.patterns["dense"])[:, 0].any()
    assert_agrees(analyzer.analyze(c.x, NEURON), c.relevance("relu", method))
