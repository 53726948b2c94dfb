"""What compares with a baseline and decides, chooses, repeats itself or is constant: all of it can be explained."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import UnsupportedModelError, create_analyzer

every = pytest.mark.parametrize("name", ["deep_lift", "lrp.baseline"])


@pytest.fixture(autouse=True)
def double_precision() -> Any:
    policy = keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy(policy)


def x_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape)


def model_of(build: Any, *shape: int) -> keras.Model:
    """A model around some code, between two linear layers."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(shape)
    y = build(layers.Dense(3, bias_initializer="random_normal")(inputs))
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(y)))


def check_complete(name: str, model: keras.Model, x: np.ndarray, **options: Any) -> Any:
    found = create_analyzer(name, model, reference_inputs=-0.3, **options).explain(x, 1)
    scale = np.abs(found.relevance).max()
    assert scale > 1e-3
    assert np.abs(found.completeness_error).max() < 1e-9 * scale
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
    check_complete(name, model, x)


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
