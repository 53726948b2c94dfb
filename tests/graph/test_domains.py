"""The domains of values: interval arithmetic never says more than is true."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

import kerasexplain
from kerasexplain.graph.domains import ANY, NONNEGATIVE, UNIT, Interval

pytestmark = pytest.mark.once("intervals are Python's")

bounds = st.one_of(st.just(-math.inf), st.just(math.inf), st.floats(-5, 5))
intervals = st.tuples(bounds, bounds).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: Interval(*pair))


def inside(interval: Interval, share: float) -> float:
    low, high = max(interval.low, -1e3), min(interval.high, 1e3)
    return low + share * (high - low)


@given(intervals, intervals, st.floats(0, 1), st.floats(0, 1))
def test_sums_products_and_unions_hold_every_value(a: Interval, b: Interval, s: float, t: float) -> None:
    x, y = inside(a, s), inside(b, t)
    for result, value in ((a + b, x + y), (a * b, x * y), (a | b, x), (a | b, y)):
        assert result.low - 1e-9 <= value <= result.high + 1e-9
        assert not math.isnan(result.low)
        assert not math.isnan(result.high)


def test_intervals_print_as_mathematicians_write_them() -> None:
    shown = [str(interval) for interval in (ANY, UNIT, NONNEGATIVE, Interval(-math.inf, 2))]
    assert shown == ["any", "[0, 1]", "[0, inf)", "(-inf, 2]"]


def test_gates_and_signs() -> None:
    assert UNIT.is_gate
    assert UNIT.nonnegative
    assert not Interval(0, 1.5).is_gate
    assert not Interval(-0.1, 1).nonnegative
    assert Interval(-1, 3) & UNIT == UNIT


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: ops.relu(x),
    "1 - x": lambda x: 1 - x,
    "1 - sigmoid": lambda x: 1 - ops.sigmoid(x),
    "-x": lambda x: -x,
    "x * -2": lambda x: x * -2.0,
    "x / -4": lambda x: x / -4.0,
    "x ** 2": lambda x: x**2,
    "x ** 3": lambda x: ops.relu(x) ** 3,
    "x * x - x": lambda x: x * x - ops.relu(x),
    "product": lambda x: ops.tanh(x) * ops.sigmoid(x),
    "sum": lambda x: ops.sum(ops.sigmoid(x), -1),
    "mean": lambda x: ops.mean(ops.sigmoid(x) - 3.0, -1),
    "max": lambda x: ops.max(x, -1),
    "maximum": lambda x: ops.maximum(x, 0.3),
    "minimum": lambda x: ops.minimum(ops.relu(x), 0.3),
    "clip": lambda x: ops.clip(x, -0.5, 0.5),
    "gelu": lambda x: ops.gelu(x),
    "silu": lambda x: ops.silu(x),
    "hard_silu": lambda x: ops.hard_silu(x),
    "mish": lambda x: layers.Activation("mish")(x),
    "log_sigmoid": lambda x: ops.log_sigmoid(x),
    "softmax": lambda x: ops.softmax(x),
    "leaky": lambda x: ops.leaky_relu(x),
    "relu6": lambda x: layers.ReLU(max_value=1.0, threshold=0.2)(x),
    "padded": lambda x: ops.pad(ops.sigmoid(x) + 1.0, ((0, 0), (1, 0))),
    "rescaled": lambda x: layers.Rescaling(-0.5, 0.25)(ops.sigmoid(x)),
    "average": lambda x: layers.Average()([ops.sigmoid(x), ops.sigmoid(x) + 4.0]),
    "difference": lambda x: layers.Subtract()([ops.sigmoid(x), ops.tanh(x)]),
    "concatenated": lambda x: ops.concatenate([ops.sigmoid(x), ops.tanh(x)], -1),
    "normed": lambda x: layers.BatchNormalization()(ops.relu(x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_inferred_ranges_hold_the_values_that_occur(name: str) -> None:
    x = inputs = keras.Input((6,))
    y = FUNCTIONS[name](x)
    model = keras.Model(inputs, layers.Dense(1, name="reader")(ops.reshape(y, (-1, int(np.prod(y.shape[1:]) or 1)))))
    analyzer = kerasexplain.create_analyzer("lrp.z_plus", model)
    domain = next(row.domain for row in analyzer.rows if row.name == "reader")
    values = np.asarray(keras.Model(inputs, y)(np.random.default_rng(0).normal(0, 3, size=(500, 6))))
    assert domain.low - 1e-6 <= values.min()
    assert values.max() <= domain.high + 1e-6


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_what_is_known_changes_the_cost_and_not_the_relevance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(3, use_bias=True)(layers.Dense(5, "relu")(inputs)))
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    x = rng.uniform(0, 1, size=(4, 6))
    for name in ("lrp.z_plus", "lrp.alpha_2_beta_1", "lrp.gamma"):
        known = kerasexplain.create_analyzer(name, model, input_range=(0, 1))
        assert known.rows[0].domain == UNIT
        unknown = kerasexplain.create_analyzer(name, model)
        assert unknown.rows[0].domain == ANY
        expected = unknown.analyze(x)
        np.testing.assert_allclose(known.analyze(x), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
