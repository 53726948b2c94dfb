"""Code that writes out what a layer or a function of Keras does has the relevance of that layer or function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from helpers.opening import conserves
from helpers.small_models import random
from keras import layers, ops

from kerasexplain import UnsupportedModelError, create_analyzer

X = random(3, 6)
ANALYZERS = ("lrp.epsilon", "lrp.z_plus", "lrp.bias_as_input", "lrp.alpha_2_beta_1")


def _layer(function: Callable[[Any], Any]) -> layers.Layer:
    class Of(layers.Layer):
        def call(self, x: Any) -> Any:
            return function(x)

    return Of()


def _between(layer: layers.Layer) -> keras.Model:
    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Dense(2)(layer(layers.Dense(5)(inputs))))


def _same(one: keras.Model, other: keras.Model, x: np.ndarray) -> None:
    other.set_weights(one.get_weights())
    for name in ANALYZERS:
        expected, found = (create_analyzer(name, model).analyze(x, 1) for model in (one, other))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6 * np.abs(expected).max(), err_msg=name)


def _gelu(x: Any) -> Any:
    return 0.5 * x * (1.0 + ops.erf(x / math.sqrt(2.0)))


def _soft_shrink(x: Any) -> Any:
    return ops.where(x > 0.5, x - 0.5, ops.where(x < -0.5, x + 0.5, ops.zeros_like(x)))


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": _gelu,
    "hard_silu": lambda x: x * ops.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "leaky_relu": lambda x: ops.relu(x) - 0.2 * ops.relu(-x),
    "mish": lambda x: x * ops.tanh(ops.softplus(x)),
    "sigmoid": lambda x: 1.0 / (1.0 + ops.exp(-x)),
    "silu": lambda x: x * ops.sigmoid(x),
    "soft_shrink": _soft_shrink,
    "softplus": lambda x: ops.log(1.0 + ops.exp(x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_activation_that_is_written_out_is_the_activation(name: str) -> None:
    written = _between(_layer(FUNCTIONS[name]))
    _same(_between(layers.Activation(name)), written, X)
    assert len(create_analyzer("lrp.epsilon", written).rows) == 3


def test_constants_of_several_numbers_are_no_part_of_a_function() -> None:
    rates = np.array([1.0, 2.0, 0.5, -1.0, 3.0], "float32")
    conserves(_between(_layer(lambda x: x * ops.sigmoid(x * rates))), X, 1)
    conserves(_between(_layer(lambda x: ops.where(x > 0, x, x * rates))), X, 1)


@pytest.mark.parametrize(
    "function", [ops.log, ops.reciprocal, lambda x: ops.sqrt(ops.abs(x)), lambda x: ops.power(ops.abs(x), 0.3)]
)
def test_a_function_without_a_value_or_a_slope_at_zero_is_refused(function: Callable[[Any], Any]) -> None:
    with pytest.raises(UnsupportedModelError):
        create_analyzer("lrp.epsilon", _between(_layer(function)))


def _softmax(x: Any, largest: Callable[[Any], Any] | None = None) -> Any:
    powers = ops.exp(x if largest is None else x - largest(x))
    return powers / ops.sum(powers, axis=-1, keepdims=True)


SOFTMAX: dict[str, Callable[[Any], Any]] = {
    "plainly": _softmax,
    "less the largest": lambda x: _softmax(x, lambda x: ops.max(x, axis=-1, keepdims=True)),
    "less the largest, held": lambda x: _softmax(x, lambda x: ops.stop_gradient(ops.max(x, -1, keepdims=True))),
}


@pytest.mark.parametrize("how", SOFTMAX)
def test_softmax_that_is_written_out_is_softmax(how: str) -> None:
    def model(softmax: Callable[[Any], Any]) -> keras.Model:
        def attention(x: Any) -> Any:
            return ops.matmul(softmax(ops.matmul(x, ops.transpose(x, (0, 2, 1)))), x)

        inputs = keras.Input((3, 2))
        y = _layer(attention)(layers.Dense(4)(inputs))
        return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(y)))

    _same(model(ops.softmax), model(SOFTMAX[how]), random(3, 3, 2))


def test_a_final_softmax_that_is_written_out_is_set_aside() -> None:
    model = _between(_layer(lambda x: x))
    outputs = SOFTMAX["less the largest"](model.output)
    analyzer = create_analyzer("lrp.epsilon", keras.Model(model.inputs, outputs))
    np.testing.assert_array_equal(analyzer.analyze(X, 1), create_analyzer("lrp.epsilon", model).analyze(X, 1))


def test_what_only_looks_like_softmax_is_not_taken_for_it() -> None:
    def of_others(x: Any) -> Any:
        return ops.exp(x) / ops.sum(ops.exp(0.5 * x), axis=-1, keepdims=True)

    inputs = keras.Input((3, 2))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(_layer(of_others)(layers.Dense(4)(inputs)))))
    assert "Softmax" not in [row.type for row in create_analyzer("lrp.epsilon", model).rows]


def test_what_is_read_elsewhere_too_is_no_part_of_a_function() -> None:
    def twice(x: Any) -> Any:
        gate = ops.sigmoid(x)
        return ops.concatenate([x * gate, gate], axis=-1)

    conserves(_between(_layer(twice)), X, 1)
    types = [row.type for row in create_analyzer("lrp.epsilon", _between(_layer(twice))).rows]
    assert "Sigmoid" in types


class Frozen(layers.Layer):
    """BatchNormalization with its statistics as weights, written out."""

    def build(self, shape: Any) -> None:
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        given = [self.add_weight(shape=shape[-1:], name=name, initializer="ones") for name in names]
        self.gamma, self.beta, self.mean, self.variance = given

    def call(self, x: Any) -> Any:
        scale = self.gamma * ops.rsqrt(self.variance + 1e-3)
        return (x - self.mean) * scale + self.beta


@pytest.mark.parametrize("linear", [layers.Dense, layers.Conv1D, layers.Conv1DTranspose])
def test_normalisation_that_is_written_out_is_folded_as_the_layer_is(linear: Any) -> None:
    def model(norm: layers.Layer) -> keras.Model:
        inputs = keras.Input((5, 4))
        x = linear(6, **({} if linear is layers.Dense else {"kernel_size": 2}))(inputs)
        return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.ReLU()(norm(x)))))

    one, other = model(layers.BatchNormalization()), model(Frozen())
    rng = np.random.default_rng(0)
    for weight in one.weights:
        weight.assign(np.asarray(weight) + rng.uniform(0.1, 0.5, weight.shape))
    _same(one, other, random(3, 5, 4))
    assert len(create_analyzer("lrp.epsilon", other).rows) == len(create_analyzer("lrp.epsilon", one).rows)


def test_a_product_between_two_changes_of_shape_is_that_of_the_layer() -> None:
    class Between(layers.Layer):
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(shape=(6, 3), name="kernel")
            self.bias = self.add_weight(shape=(3,), name="bias")

        def call(self, x: Any) -> Any:
            y = ops.matmul(ops.reshape(x, (-1, 6)), self.kernel)
            return ops.reshape(y, (-1, 4, 3)) + self.bias

    def model(layer: layers.Layer) -> keras.Model:
        inputs = keras.Input((4, 6))
        return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layer(inputs))))

    _same(model(layers.Dense(3)), model(Between()), random(3, 4, 6))


def test_bounds_that_are_computed_from_weights_are_live() -> None:
    class Bounded(layers.Layer):
        def build(self, shape: Any) -> None:
            self.bound = self.add_weight(shape=(), initializer="ones")

        def call(self, x: Any) -> Any:
            return ops.clip(x, -0.5 * self.bound, 0.5 * self.bound)

    model = _between(Bounded())
    analyzer = create_analyzer("lrp.epsilon", model)
    before = analyzer.analyze(X, 0)
    model.layers[2].bound.assign(0.1)
    assert np.abs(analyzer.analyze(X, 0) - before).max() > 1e-4
    np.testing.assert_allclose(analyzer.analyze(X, 0), create_analyzer("lrp.epsilon", model).analyze(X, 0), atol=1e-6)


def test_numbers_behind_a_linear_operation_are_no_normalisation() -> None:
    def model(scaled: Callable[[Any], Any]) -> keras.Model:
        return _between(_layer(scaled))

    rows = create_analyzer("lrp.epsilon", model(lambda x: 2.0 * x + 1.0)).rows
    assert [row.type for row in rows] == ["Dense", "Multiply", "Add", "Dense"]


class Cell(layers.Layer):
    """The cell of an LSTM, written out, with pieces of the products added."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.state_size = units, [units, units]

    def build(self, shape: Any) -> None:
        gates = 4 * self.units
        self.kernel = self.add_weight(shape=(shape[-1], gates), name="kernel")
        self.recurrent = self.add_weight(shape=(self.units, gates), name="recurrent")
        self.bias = self.add_weight(shape=(gates,), name="bias")

    def call(self, x: Any, states: Any) -> Any:
        h, c = states
        of_x = ops.split(ops.matmul(x, self.kernel) + self.bias, 4, axis=-1)
        of_h = ops.split(ops.matmul(h, self.recurrent), 4, axis=-1)
        i, f, g, o = (a + b for a, b in zip(of_x, of_h, strict=True))
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]


def test_a_recurrent_cell_that_is_written_out_has_the_relevance_of_keras_own() -> None:
    inputs = keras.Input((4, 3))

    def model(recurrent: layers.Layer) -> keras.Model:
        return keras.Model(inputs, layers.Dense(2)(recurrent(inputs)))

    _same(model(layers.LSTM(5)), model(layers.RNN(Cell(5))), random(3, 4, 3))


def test_a_transposed_convolution_by_an_operation_is_that_of_the_layer() -> None:
    class Up(layers.Layer):
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(shape=(3, 3, 4, shape[-1]), name="kernel")

        def call(self, x: Any) -> Any:
            return ops.conv_transpose(x, self.kernel, strides=2, padding="same")

    def model(up: layers.Layer) -> keras.Model:
        inputs = keras.Input((4, 4, 2))
        return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(up(inputs))))

    one = model(layers.Conv2DTranspose(4, 3, strides=2, padding="same", use_bias=False))
    _same(one, model(Up()), random(3, 4, 4, 2))


def _mean(x: Any) -> Any:
    return ops.mean(x, axis=-1, keepdims=True)


def _centred(x: Any) -> Any:
    c = x - _mean(x)
    return c * ops.rsqrt(_mean(ops.square(c)) + 1e-3)


def _by_root(x: Any) -> Any:
    return (x - _mean(x)) / ops.sqrt(_mean(ops.square(x - _mean(x))) + 1e-3)


def _as_tensorflow_has_it(x: Any) -> Any:
    mean = _mean(x)
    r = ops.rsqrt(_mean(ops.square(x - ops.stop_gradient(mean))) + 1e-3)
    return x * r + (0.0 - mean * r)


def _mean_square(x: Any) -> Any:
    return x * ops.rsqrt(_mean(x * x) + 1e-3)


def _unit(x: Any) -> Any:
    return x / ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis=-1, keepdims=True), 1e-12))


NORMALISATIONS: dict[str, tuple[layers.Layer, Callable[[Any], Any]]] = {
    "centred first": (layers.LayerNormalization(epsilon=1e-3, center=False, scale=False), _centred),
    "by a root": (layers.LayerNormalization(epsilon=1e-3, center=False, scale=False), _by_root),
    "in TensorFlow's order": (
        layers.LayerNormalization(epsilon=1e-3, center=False, scale=False),
        _as_tensorflow_has_it,
    ),
    "by the mean square": (layers.RMSNormalization(epsilon=1e-3), _mean_square),
    "to length one": (layers.UnitNormalization(), _unit),
}


@pytest.mark.parametrize("how", NORMALISATIONS)
def test_normalisation_by_the_input_itself_is_that_layer(how: str) -> None:
    layer, function = NORMALISATIONS[how]
    one, other = _between(layer), _between(_layer(function))
    weights = [w for w in one.weights if "scale" not in w.path]
    other.set_weights([np.asarray(w) for w in weights])
    x = X.astype("float32")
    for name in ("lrp.epsilon", "lrp.alpha_2_beta_1", "lrp.flat", "deep_lift"):
        # At a baseline of zeros the length has no gradient, and what bounds it decides.
        options = {"reference_inputs": 0.3} if name == "deep_lift" else {}
        expected, found = (create_analyzer(name, model, **options).analyze(x, 1) for model in (one, other))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=5e-6 * np.abs(expected).max(), err_msg=name)
    assert len(create_analyzer("deep_lift", other).rows) <= 5


def _over_another(x: Any) -> Any:
    """Divides by the root of another value's mean square."""
    return x * ops.rsqrt(_mean(ops.square(ops.tanh(x))) + 1e-3)


def _read_elsewhere(x: Any) -> Any:
    r = ops.rsqrt(_mean(ops.square(x)) + 1e-3)
    return ops.concatenate([x * r, ops.broadcast_to(r, ops.shape(x))], axis=-1)


def test_what_only_resembles_a_normalisation_is_not_taken_for_one() -> None:
    analyzer = create_analyzer("lrp.epsilon", _between(_layer(_over_another)))
    assert "DetachStatistics()" not in [row.treatment for row in analyzer.rows]
    with pytest.raises(UnsupportedModelError, match="rsqrt"):
        create_analyzer("lrp.epsilon", _between(_layer(_read_elsewhere)))
