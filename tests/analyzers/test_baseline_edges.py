"""Comparisons with a baseline through operations that decide, choose, repeat themselves or are constant."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import UnsupportedModelError, create_analyzer

pytestmark = [pytest.mark.formula, pytest.mark.usefixtures("double_precision")]

#: The two are one with Rescale; JAX takes long to compile each.
NAMES = ["deep_lift"] if keras.backend.backend() == "jax" else ["deep_lift", "lrp.baseline"]
every = pytest.mark.parametrize("name", NAMES)


def x_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape)


def model_of(build: Any, *shape: int) -> keras.Model:
    """A model around some code, between two linear layers."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(shape)
    y = build(layers.Dense(3, bias_initializer="random_normal")(inputs))
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(y)))


def check_complete(name: str, model: keras.Model, x: np.ndarray, limit: float = 1e-9, **options: Any) -> Any:
    found = create_analyzer(name, model, reference_inputs=-0.3, **options).explain(x, 1)
    scale = np.abs(found.relevance).max()
    assert scale > 1e-3
    assert np.abs(found.completeness_error).max() < limit * scale
    return found


# ---- What is decided at the input holds at the baseline ----------------------------------------------------------


@every
def test_a_comparison_is_that_of_the_input(name: str) -> None:
    """y = 3 x where x > 0.5, else x - 1: at the baseline 0 the branches are those of x, and give 0 and -1."""
    inputs = keras.Input((3,))
    model = keras.Model(inputs, ops.sum(ops.where(inputs > 0.5, 3.0 * inputs, inputs - 1.0), axis=1, keepdims=True))
    x = np.array([[1.0, 0.25, 2.0], [-1.0, 0.0, 0.5]])
    found = create_analyzer(name, model).explain(x, 0)
    np.testing.assert_allclose(found.relevance, [[3.0, 0.25, 6.0], [-1.0, 0.0, 0.5]], rtol=0, atol=1e-15)
    np.testing.assert_allclose(found.reference, [-1.0, -3.0], rtol=0, atol=1e-15)
    assert np.abs(found.completeness_error).max() < 1e-14


DECIDING = {
    "as a factor": lambda x: x * ops.cast(ops.greater(x, 0), x.dtype),
    "of two conditions": lambda x: ops.where(ops.logical_and(x > 0, x < 1), ops.tanh(x), 0.5),
    "of what is largest": lambda x: x * ops.one_hot(ops.argmax(x, axis=-1), 3, dtype=x.dtype),
    "before a maximum": lambda x: ops.max(ops.where(x > 0, x, -9.0), axis=1),
    "before softmax": lambda x: ops.softmax(ops.where(x > 0, x, -1e9), axis=1) * x,
    "by the mean of what is left": lambda x: layers.GlobalAveragePooling1D()(layers.Masking()(ops.relu(x))),
    "by attention": lambda x: layers.MultiHeadAttention(1, 2)(x, x, attention_mask=x @ ops.transpose(x, (0, 2, 1)) > 0),
}


@every
@pytest.mark.parametrize("how", DECIDING)
def test_sums_close_over_masks_made_of_real_numbers(name: str, how: str) -> None:
    model, x = model_of(DECIDING[how], 4, 3), x_of(3, 4, 3)
    # Softmax is a quadrature of 16 nodes, whose error depends on how far the scores are apart.
    check_complete(name, model, x, limit=1e-7 if how in ("before softmax", "by attention") else 1e-9)


@every
def test_what_the_mask_of_the_input_hides_gets_nothing(name: str) -> None:
    inputs = keras.Input((5, 2))
    masked = layers.Masking()(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Dense(3, "tanh")(masked))))
    x = x_of(2, 5, 2)
    x[0, 3:] = 0
    found = create_analyzer(name, model, reference_inputs=0.2).explain(x, 1)
    assert not found.relevance[0, 3:].any()
    assert np.abs(found.relevance[1, 3:]).min() > 1e-6
    assert np.abs(found.completeness_error).max() < 1e-12
    # The baseline's mean is over three steps, too: all of them are alike, so it is that of any number of them.
    alike = model.predict(np.full((1, 5, 2), 0.2), verbose=0)[0, 1]
    np.testing.assert_allclose(found.reference, alike, rtol=0, atol=1e-12)


def test_other_modified_gradients_have_no_rule_for_a_comparison() -> None:
    model = model_of(DECIDING["as a factor"], 4, 3)
    with pytest.raises(UnsupportedModelError, match="comparison"):
        create_analyzer("guided_backprop", model).analyze(x_of(2, 4, 3))


# ---- Constants are the same at the baseline ----------------------------------------------------------------------


@every
@pytest.mark.parametrize(
    ("build", "plain"),
    [
        (lambda x: ops.tanh(x) + ops.zeros_like(x), ops.tanh),
        (lambda x: ops.tanh(x) * ops.full_like(x, 2.0) - ops.ones_like(x), lambda x: 2.0 * ops.tanh(x)),
        (lambda x: ops.maximum(x, ops.zeros_like(x)), ops.relu),
        (lambda x: x / ops.cast(ops.shape(x)[1], x.dtype), lambda x: x / 4.0),
        (lambda x: ops.where(x > 5.0, ops.ones_like(x), x), lambda x: x),
    ],
)
def test_what_is_made_of_a_shape_gets_nothing(name: str, build: Any, plain: Any) -> None:
    model, without, x = model_of(build, 4, 3), model_of(plain, 4, 3), x_of(3, 4, 3)
    found = check_complete(name, model, x)
    expected = create_analyzer(name, without, reference_inputs=-0.3).analyze(x, 1)
    np.testing.assert_allclose(found.relevance, expected, rtol=0, atol=1e-14)


# ---- A minimum is a maximum upside down --------------------------------------------------------------------------

MINIMA = {
    "of operands": (
        lambda x: ops.minimum(x, ops.tanh(2.0 * x)),
        lambda x: -ops.maximum(-x, -ops.tanh(2.0 * x)),
    ),
    "of layers": (
        lambda x: layers.Minimum()([x, ops.tanh(2.0 * x), x * x]),
        lambda x: -layers.Maximum()([-x, -ops.tanh(2.0 * x), -(x * x)]),
    ),
    "along an axis": (lambda x: ops.min(x, axis=1), lambda x: -ops.max(-x, axis=1)),
    "along two": (lambda x: ops.amin(x, axis=(1, -1), keepdims=True), lambda x: -ops.amax(-x, axis=(1, 2))),
}


@every
@pytest.mark.parametrize("maximum", ["SoftmaxLimit", "ReluChain"])
@pytest.mark.parametrize("which", MINIMA)
def test_a_minimum_is_minus_the_maximum_of_the_negatives(name: str, maximum: str, which: str) -> None:
    (model, negated), x = (model_of(build, 4, 3) for build in MINIMA[which]), x_of(3, 4, 3)
    found = check_complete(name, model, x, maximum=maximum)
    expected = create_analyzer(name, negated, reference_inputs=-0.3, maximum=maximum).analyze(x, 1)
    np.testing.assert_allclose(found.relevance, expected, rtol=0, atol=1e-14)


@every
def test_the_smaller_operand_at_both_places(name: str) -> None:
    """min(1, 3) - min(2, 0) = 1: of the negatives the maximum falls, and so the winner at the baseline gets it all."""
    a, b = keras.Input((1,), name="a"), keras.Input((1,), name="b")
    model = keras.Model([a, b], ops.minimum(a, b))
    x, baseline = [np.array([[1.0]]), np.array([[3.0]])], [np.array([2.0]), np.array([0.0])]
    for maximum, expected in (("SoftmaxLimit", [0.0, 1.0]), ("ReluChain", [-0.5, 1.5])):
        found = create_analyzer(name, model, reference_inputs=baseline, maximum=maximum).explain(x, 0)
        np.testing.assert_allclose(np.ravel(list(found.relevance)), expected, rtol=0, atol=1e-15)


@every
def test_pooling_of_negatives(name: str) -> None:
    """As a minimum within windows is written."""
    model = model_of(lambda x: -layers.MaxPooling1D(2, strides=1)(-x), 4, 3)
    pairs = model_of(lambda x: ops.minimum(x[:, :-1], x[:, 1:]), 4, 3)
    x = x_of(3, 4, 3)
    found = check_complete(name, model, x)
    expected = create_analyzer(name, pairs, reference_inputs=-0.3).analyze(x, 1)
    np.testing.assert_allclose(found.relevance, expected, rtol=0, atol=1e-14)


# ---- Recurrent layers run at the baseline beside the input -------------------------------------------------------

RANDOM = {"bias_initializer": "random_normal"}
RECURRENT = {
    "LSTM": lambda x: layers.LSTM(3, **RANDOM)(x),
    "GRU": lambda x: layers.GRU(3, **RANDOM)(x),
    "GRU, reset before": lambda x: layers.GRU(3, reset_after=False, **RANDOM)(x),
    "SimpleRNN": lambda x: layers.SimpleRNN(3, activation="relu", **RANDOM)(x),
    "unrolled": lambda x: layers.LSTM(3, unroll=True, **RANDOM)(x),
    "backwards": lambda x: layers.LSTM(3, go_backwards=True, return_sequences=True, **RANDOM)(x),
    "both ways": lambda x: layers.Bidirectional(layers.GRU(3, return_sequences=True, **RANDOM), merge_mode="mul")(x),
    "stacked cells": lambda x: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])(x),
    "states": lambda x: ops.concatenate(layers.LSTM(3, return_state=True)(x), axis=-1),
    "from a state": lambda x: layers.GRU(3)(x, initial_state=ops.tanh(x[:, 0])),
    "images": lambda x: layers.ConvLSTM1D(2, 2)(ops.expand_dims(x, -1)),
    "masked": lambda x: layers.LSTM(3, return_sequences=True)(layers.Masking()(ops.relu(x - 0.5))),
    "masked both ways": lambda x: layers.Bidirectional(layers.LSTM(3))(layers.Masking()(ops.relu(x - 0.5))),
}


@every
@pytest.mark.formula
@pytest.mark.parametrize("which", RECURRENT)
def test_sums_close_through_recurrent_layers(name: str, which: str) -> None:
    model, x = model_of(RECURRENT[which], 4, 3), x_of(3, 4, 3)
    found = check_complete(name, model, x)
    if "masked" not in which:
        at_baseline = model.predict(np.full((1, 4, 3), -0.3), verbose=0)[0, 1]
        np.testing.assert_allclose(found.reference, at_baseline, rtol=0, atol=1e-12)


CELLS = {"LSTM": layers.LSTMCell, "GRU": layers.GRUCell, "SimpleRNN": layers.SimpleRNNCell}


@every
@pytest.mark.parametrize(
    ("kind", "jit_compile"),
    [
        *(pytest.param(kind, False, marks=pytest.mark.formula) for kind in CELLS),
        pytest.param("LSTM", True, marks=pytest.mark.xla),
    ],
)
def test_a_loop_is_its_steps_one_after_the_other(name: str, kind: str, jit_compile: bool) -> None:
    cell = CELLS[kind](3, **RANDOM)

    def by_hand(x: Any) -> Any:
        states = [ops.zeros_like(x[:, 0]) for _ in range(2 if kind == "LSTM" else 1)]
        for t in (3, 2, 1, 0):
            y, states = cell(x[:, t], states)
        return y

    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, layers.Dense(2)(layers.RNN(cell, go_backwards=True)(inputs)))
    unrolled = keras.Model(inputs, model.layers[-1](by_hand(inputs)))
    x, options = x_of(3, 4, 3), {"reference_inputs": -0.3, "jit_compile": jit_compile}
    found = create_analyzer(name, model, **options).explain(x, 1)
    expected = create_analyzer(name, unrolled, **options).explain(x, 1)
    scale = np.abs(expected.relevance).max()
    np.testing.assert_allclose(found.relevance, expected.relevance, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(found.reference, expected.reference, rtol=0, atol=1e-12)
    assert np.abs(found.completeness_error).max() < 1e-12 * scale


@every
def test_steps_that_the_mask_of_the_input_leaves_out(name: str) -> None:
    """They get nothing, and the baseline leaves them out as well: what is left is a shorter sequence."""
    inputs, mask = keras.Input((5, 3)), keras.Input((5,), dtype="bool")
    model = keras.Model([inputs, mask], layers.Dense(2)(layers.LSTM(4)(inputs, mask=mask)))
    x, seen = x_of(2, 5, 3), np.array([[True, True, True, False, False], [True] * 5])
    found = create_analyzer(name, model, reference_inputs=[0.4, 0]).explain([x, seen], 1)
    free = keras.Input((None, 3))
    shorter = keras.Model(free, model.layers[-1](model.layers[-2](free)))
    expected = create_analyzer(name, shorter, reference_inputs=0.4).explain(x[:1, :3], 1)
    of_x = next(iter(found.relevance.values())) if isinstance(found.relevance, dict) else found.relevance[0]
    np.testing.assert_allclose(of_x[0, :3], expected.relevance[0], rtol=0, atol=1e-12)
    assert not of_x[0, 3:].any()
    np.testing.assert_allclose(found.reference[0], expected.reference[0], rtol=0, atol=1e-12)


class Deciding(layers.Layer):
    """A cell of one's own, which decides something in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.state_size = self.output_size = 3
        self.dense = layers.Dense(3, "tanh")

    def build(self, shape: Any) -> None:
        self.dense.build(shape)

    def call(self, x: Any, states: Any) -> Any:
        (h,) = states
        h = ops.where(x > 0, 0.5 * h + self.dense(x), h * self.dense(x))
        return h, [h]


@every
def test_a_cell_that_compares_is_refused(name: str) -> None:
    """The layer's own loop would decide anew at the baseline."""
    cell = Deciding()
    with pytest.raises(UnsupportedModelError, match="comparison"):
        create_analyzer(name, model_of(lambda x: layers.RNN(cell)(x), 4, 3)).analyze(x_of(3, 4, 3))


def test_reveal_cancel_in_a_recurrent_layer() -> None:
    model, x = model_of(RECURRENT["SimpleRNN"], 4, 3), x_of(3, 4, 3)
    reveal = check_complete("deep_lift", model, x, rule="reveal_cancel")
    rescale = check_complete("deep_lift", model, x)
    assert np.abs(reveal.relevance - rescale.relevance).max() > 1e-3
    check_complete("deep_lift", model_of(RECURRENT["LSTM"], 4, 3), x, rule="reveal_cancel")


@pytest.mark.formula
@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU])
def test_single_precision_through_many_steps(kind: type) -> None:
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    model, x = model_of(lambda x: kind(8, **RANDOM)(x), 40, 3), x_of(3, 40, 3).astype("float32")
    found = create_analyzer("deep_lift", model, reference_inputs=-0.3).explain(x, 1)
    change = found.explained.astype("float64") - found.reference
    size = np.abs(found.relevance).sum(axis=(1, 2), dtype="float64")
    assert (np.abs(found.relevance.sum(axis=(1, 2), dtype="float64") - change) < 1e-6 * size).all()


# ---- Single precision ----------------------------------------------------------------------------------------------


def test_single_precision_through_a_normalisation_of_almost_nothing() -> None:
    """The sum of all sizes is hundreds of times the change: with single products 2.1e-8 of it are left over."""
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    h = inputs = keras.Input((20, 3))
    for dilation in (1, 2, 4):
        branch = layers.Conv1D(8, 3, padding="causal", dilation_rate=dilation)(h)
        h = layers.Conv1D(8, 1)(h) + layers.ReLU()(layers.LayerNormalization(epsilon=1e-6)(branch))
    model = keras.Model(inputs, layers.Dense(2)(h[:, -1]))
    found = create_analyzer("deep_lift", model).explain(x_of(300, 20, 3).astype("float32"), 0)
    change = found.explained.astype("float64") - found.reference
    of_sizes = (found.relevance.sum(axis=(1, 2), dtype="float64") - change) / np.abs(found.relevance).sum(axis=(1, 2))
    assert np.abs(found.relevance).sum() > 20 * np.abs(change).sum()
    assert np.sqrt(np.mean(of_sizes**2)) < 1.75e-8
