"""Nonlinearities, element by element, and maxima: against closed forms, and against a search through every window."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasexplain
from kerasexplain.rules import GradientRule, Ignore, Slope, SoftmaxLimit, WinnerTakesAll

pytestmark = pytest.mark.formula

Array = np.ndarray
graph_and_xla = pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])


def each(function: Callable[[float], float]) -> Callable[[Array], Array]:
    return lambda z: np.array([function(float(a)) for a in z.ravel()]).reshape(z.shape)


#: (f(z) - f(0)) / z in forms that do not cancel near zero, for z other than 0.
CHORDS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": each(lambda z: math.tanh(z / 2) / (2 * z)),
    "tanh": each(lambda z: math.tanh(z) / z),
    "softplus": each(lambda z: math.log1p(math.expm1(z) / 2) / z),  # log((1 + e^z) / 2)
    "silu": each(lambda z: 1 / (1 + math.exp(-z))),
    "elu": each(lambda z: 1.0 if z > 0 else math.expm1(z) / z),
    "exponential": each(lambda z: math.expm1(z) / z),
    "relu": each(lambda z: float(z > 0)),
}
#: f'(0), which the slope has to be at zero itself.
AT_ZERO = {"sigmoid": 0.25, "tanh": 1.0, "softplus": 0.5, "gelu": 0.5, "silu": 0.5, "elu": 1.0, "exponential": 1.0}
#: The bare quotient of a sigmoid is off by 1e-4 at z = 1e-12 in float64, and by a factor of two at 1e-7 in float32.
SLOPE_TOLERANCE = {"float64": 1e-13, "float32": 1e-6}


def slopes(activation: str, z: Array, dtype: str, jit_compile: bool) -> Array:
    """The relevance of each z, (samples, n), per unit of z, where every f(z) has as much as it is large."""
    inputs = keras.Input(z.shape[1:], dtype=dtype)
    total = ops.sum(layers.Activation(activation, dtype=dtype)(inputs), axis=1, keepdims=True)
    analyzer = kerasexplain.create_analyzer("lrp.bias_as_input", keras.Model(inputs, total), jit_compile=jit_compile)
    return analyzer.analyze(z.astype(dtype)) / z.astype(dtype)


@graph_and_xla
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("activation", CHORDS)
def test_the_slope_of_the_chord_through_zero(activation: str, dtype: str, jit_compile: bool) -> None:
    magnitudes = np.concatenate([np.logspace(-12, 0.5, 120), [0.00999, 0.01001, 0.0999, 0.1001]])
    # In the precision of the test: rounding z is no part of the rule's error. Positive and negative ones are samples
    # of their own, since their f(z) may cancel in the sum.
    z = np.stack([magnitudes, -magnitudes]).astype(dtype).astype("float64")
    found = slopes(activation, z, dtype, jit_compile)
    np.testing.assert_allclose(found, CHORDS[activation](z), rtol=SLOPE_TOLERANCE[dtype], atol=0)


@graph_and_xla
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_slope_of_gelu(dtype: str, jit_compile: bool) -> None:
    """GELU is z times 1 + erf(...), up to a factor: its own quotient does not cancel, but the sum rounds."""
    z = np.concatenate([np.logspace(-12, 0.3, 120), -np.logspace(-12, 0.3, 120)]).astype(dtype)[None]
    quotient = ops.convert_to_numpy(keras.activations.gelu(ops.convert_to_tensor(z))) / z
    rounding = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(
        slopes("gelu", z, dtype, jit_compile), quotient, rtol=SLOPE_TOLERANCE[dtype], atol=2 * rounding
    )


@pytest.mark.parametrize("activation", AT_ZERO)
def test_at_zero_the_slope_is_the_derivative(activation: str) -> None:
    """x = (1, 1) and W = (3, -3) cancel to z = 0. y = 2 f(z) + 1, so that what is explained is not zero with f(0)."""
    inputs = keras.Input((2,), dtype="float64")
    hidden, out = layers.Dense(1, use_bias=False, dtype="float64"), layers.Dense(1, dtype="float64")
    model = keras.Model(inputs, out(layers.Activation(activation, dtype="float64")(hidden(inputs))))
    hidden.set_weights([np.array([[3.0], [-3.0]])])
    out.set_weights([np.array([[2.0]]), np.array([1.0])])
    # Relevance per unit is 1 at y, 2 at f, 2 f'(0) at z.
    relevance = kerasexplain.create_analyzer("lrp.bias_as_input", model).analyze(np.array([[1.0, 1.0]]))
    slope = AT_ZERO[activation]
    np.testing.assert_allclose(relevance, [[6 * slope, -6 * slope]], rtol=1e-12)


def through(activation: str, rule: Any, z: Array) -> tuple[Array, Array]:
    """Relevance at an activation's output and at its input."""
    inputs = keras.Input((len(z),), dtype="float64")
    before = layers.Dense(len(z), use_bias=False, name="before", dtype="float64")
    after = layers.Dense(1, use_bias=False, dtype="float64")
    y = layers.Activation(activation, name="f", dtype="float64")(before(inputs))
    model = keras.Model(inputs, after(y))
    before.set_weights([np.eye(len(z))])
    after.set_weights([np.linspace(-1, 2, len(z))[:, None]])
    analyzer = kerasexplain.create_analyzer("lrp", model, rule=[("f", rule), (layers.Dense, "Z")])
    found = analyzer.explain(z[None], layers=["f", "before"]).layers
    return found["f"][0], found["before"][0]


Z_VALUES = np.array([-2.0, -0.5, 0.25, 1.0, 3.0])


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "gelu", "softplus", "elu", "softsign"])
def test_ignore_passes_relevance_as_it_is(activation: str) -> None:
    at_output, at_input = through(activation, Ignore(), Z_VALUES)
    assert np.all(at_output != 0)
    np.testing.assert_allclose(at_input, at_output, rtol=1e-12)


def test_ignore_and_a_relu() -> None:
    """A dead unit is handed no relevance, and passes none; a live one passes what it gets."""
    at_output, at_input = through("relu", Ignore(), Z_VALUES)
    np.testing.assert_array_equal(at_output != 0, Z_VALUES > 0)
    np.testing.assert_allclose(at_input, at_output, rtol=1e-12)


@pytest.mark.parametrize(
    ("activation", "value", "derivative"),
    [
        ("sigmoid", lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
        ("tanh", np.tanh, lambda z: 1 - np.tanh(z) ** 2),
        ("softplus", lambda z: np.log1p(np.exp(z)), lambda z: 1 / (1 + np.exp(-z))),
        ("exponential", np.exp, np.exp),
    ],
)
def test_the_gradient_rule(activation: str, value: Any, derivative: Any) -> None:
    at_output, at_input = through(activation, GradientRule(), Z_VALUES)
    z = Z_VALUES
    np.testing.assert_allclose(at_input, z * derivative(z) * at_output / value(z), rtol=1e-12)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softplus", "exponential"])
def test_the_slope_rule(activation: str) -> None:
    at_output, at_input = through(activation, Slope(), Z_VALUES)
    f = {"sigmoid": lambda z: 1 / (1 + np.exp(-z)), "tanh": np.tanh, "exponential": np.exp}
    f["softplus"] = lambda z: np.log1p(np.exp(z))
    z, f = Z_VALUES, f[activation]
    np.testing.assert_allclose(at_input, (f(z) - f(0.0)) * at_output / f(z), rtol=1e-11)


# ----------------------------------------------------------------------------------------------------------- maxima

Candidates = Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]


def windows(shape: tuple[int, ...], pool: int, stride: int, padding: str) -> Candidates:
    """Each position of the output with the positions of the input that its window really holds, first ones first."""
    starts, ends = [], []
    for n in shape:
        if padding == "valid":
            starts.append([i * stride for i in range((n - pool) // stride + 1)])
        else:
            count = math.ceil(n / stride)
            before = max((count - 1) * stride + pool - n, 0) // 2
            starts.append([i * stride - before for i in range(count)])
        ends.append(n)
    for out in itertools.product(*(range(len(s)) for s in starts)):
        corner = [s[i] for s, i in zip(starts, out, strict=True)]
        ranges = [range(max(c, 0), min(c + pool, n)) for c, n in zip(corner, ends, strict=True)]
        yield out, list(itertools.product(*ranges))


def searched(x: Array, R: Array, candidates: Candidates, ties: str) -> Array:
    """Relevance of x (batch, *space, channels): each R goes to its window's winner, or is shared by the winners."""
    found = np.zeros_like(x)
    for out, inside in candidates:
        for b, c in itertools.product(range(x.shape[0]), range(x.shape[-1])):
            values = [x[(b, *position, c)] for position in inside]
            winners = [p for p, value in zip(inside, values, strict=True) if value == max(values)]
            winners = winners[:1] if ties == "first" else winners
            for position in winners:
                found[(b, *position, c)] += R[(b, *out, c)] / len(winners)
    return found


def with_ties(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Small integers, and none of them zero: relevance per unit of activation has no value there."""
    return np.random.default_rng(seed).choice([-3.0, -2.0, -1.0, 1.0, 2.0], shape)


def analyzed(model: keras.Model, x: Any, R: Array, ties: str, jit_compile: bool) -> Any:
    analyzer = kerasexplain.create_analyzer(
        "lrp.z",
        model,
        maximum=WinnerTakesAll(ties=ties),
        start=R,
        neuron_selection_mode="all",
        jit_compile=jit_compile,
        stabilizer=1e-16,
    )
    return analyzer.analyze(x)


SPACES = {1: (7,), 2: (5, 6), 3: (3, 4, 3)}


@graph_and_xla
@pytest.mark.parametrize("ties", ["first", "share"])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("pool", "stride"), [(2, 2), (3, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_max_pooling(rank: int, pool: int, stride: int, padding: str, ties: str, jit_compile: bool) -> None:
    space = SPACES[rank]
    dtype = "float64" if rank < 3 else "float32"  # TensorFlow has no other maximum in three dimensions
    layer = getattr(layers, f"MaxPooling{rank}D")(pool, strides=stride, padding=padding, dtype=dtype)
    inputs = keras.Input((*space, 2), dtype=dtype)
    model = keras.Model(inputs, layer(inputs))
    x, R = with_ties((2, *space, 2)), np.random.default_rng(1).uniform(-1, 1, (2, *model.output_shape[1:]))
    expected = searched(x, R, windows(space, pool, stride, padding), ties)
    found = analyzed(model, x, R, ties, jit_compile)
    np.testing.assert_allclose(found, expected, rtol=0, atol={"float64": 1e-12, "float32": 1e-6}[dtype])


REDUCTIONS: dict[str, tuple[int, Callable[[Any], Any], tuple[int, ...]]] = {
    "GlobalMaxPooling1D": (1, lambda x: layers.GlobalMaxPooling1D(dtype="float64")(x), (1,)),
    "GlobalMaxPooling2D": (2, lambda x: layers.GlobalMaxPooling2D(keepdims=True, dtype="float64")(x), (1, 2)),
    "GlobalMaxPooling3D": (3, lambda x: layers.GlobalMaxPooling3D(dtype="float64")(x), (1, 2, 3)),
    "ops.max of one axis": (2, lambda x: ops.max(x, axis=2), (2,)),
    "ops.max of two axes": (2, lambda x: ops.max(x, axis=(1, -2), keepdims=True), (1, 2)),
    "ops.amax": (1, lambda x: ops.amax(x, axis=1), (1,)),
}


@graph_and_xla
@pytest.mark.parametrize("ties", ["first", "share"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_maximum_of_whole_axes(name: str, ties: str, jit_compile: bool) -> None:
    rank, reduce, axes = REDUCTIONS[name]
    inputs = keras.Input((*SPACES[rank], 2), dtype="float64")
    model = keras.Model(inputs, reduce(inputs))
    x = with_ties((2, *SPACES[rank], 2))
    R = np.random.default_rng(1).uniform(-1, 1, (2, *model.output_shape[1:]))
    kept = [range(1) if axis in axes else range(n) for axis, n in enumerate(SPACES[rank], start=1)]
    full = [range(n) if axis in axes else None for axis, n in enumerate(SPACES[rank], start=1)]
    candidates = (
        (out, list(itertools.product(*(whole or [i] for whole, i in zip(full, out, strict=True)))))
        for out in itertools.product(*kept)
    )
    expected = searched(x, R.reshape(2, *(len(k) for k in kept), 2), candidates, ties)
    np.testing.assert_allclose(analyzed(model, x, R, ties, jit_compile), expected, rtol=0, atol=1e-12)


@graph_and_xla
@pytest.mark.parametrize("ties", ["first", "share"])
@pytest.mark.parametrize("operands", [2, 3])
@pytest.mark.parametrize("by", ["layer", "operation"])
def test_a_maximum_of_operands(by: str, operands: int, ties: str, jit_compile: bool) -> None:
    if by == "operation" and operands == 3:
        pytest.skip("ops.maximum takes two")
    inputs = [keras.Input((4, 5), dtype="float64") for _ in range(operands)]
    y = layers.Maximum(dtype="float64")(inputs) if by == "layer" else ops.maximum(*inputs)
    xs = [with_ties((2, 4, 5), seed) for seed in range(operands)]
    R = np.random.default_rng(9).uniform(-1, 1, (2, 4, 5))
    found = analyzed(keras.Model(inputs, y), xs, R, ties, jit_compile)
    stacked = np.stack(xs)
    won = stacked == stacked.max(axis=0)
    share = won & (np.cumsum(won, axis=0) == 1) if ties == "first" else won / won.sum(axis=0)
    for given, expected in zip(found, share * R, strict=True):
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-12)


@pytest.mark.xla
@pytest.mark.parametrize("ties", ["first", "share"])
def test_xla_and_the_plain_graph_break_the_ties_of_a_network_alike(ties: str) -> None:
    """Inputs that repeat make every window of every pooling layer a tie."""
    x = inputs = keras.Input((12, 12, 2), dtype="float32")
    x = layers.MaxPooling2D(3, strides=2, padding="same")(layers.Conv2D(4, 3, activation="relu")(x))
    overlapping = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = layers.Concatenate()([layers.MaxPooling2D(2)(x), overlapping[:, :2, :2]])
    x = layers.Maximum()([x[..., :4], x[..., 4:]])
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalMaxPooling2D()(x)))
    images = np.repeat(np.repeat(with_ties((2, 3, 3, 2)), 4, axis=1), 4, axis=2)
    graph, xla = (
        kerasexplain.create_analyzer("lrp.z", model, maximum=WinnerTakesAll(ties=ties), jit_compile=jit).analyze(images)
        for jit in (False, True)
    )
    assert np.abs(graph).max() > 0
    np.testing.assert_allclose(xla, graph, rtol=0, atol=2e-5 * np.abs(graph).max())


def test_the_two_ways_with_ties_are_two() -> None:
    inputs = keras.Input((4, 1), dtype="float64")
    model = keras.Model(inputs, layers.MaxPooling1D(4, dtype="float64")(inputs))
    x, R = np.array([[[1.0], [2.0], [2.0], [2.0]]]), np.array([[[6.0]]])
    assert analyzed(model, x, R, "first", False).ravel().tolist() == [0.0, 6.0, 0.0, 0.0]
    assert analyzed(model, x, R, "share", False).ravel().tolist() == [0.0, 2.0, 2.0, 2.0]


@pytest.mark.parametrize("ties", ["first", "share"])
def test_the_limit_of_softmax_shares_a_negative_maximum_equally_whoever_wins_a_tie(ties: str) -> None:
    """It is not the backend's gradient, though it may give all of a positive maximum to the first winner as well."""
    inputs = keras.Input((4, 1), dtype="float64")
    pooled = layers.MaxPooling1D(2, dtype="float64")(inputs)
    model = keras.Model(inputs, layers.Flatten(dtype="float64")(pooled))
    x = np.array([[-1.0, -3.0, 2.0, 1.0]])[..., None]
    analyzer = kerasexplain.create_analyzer(
        "lrp.z", model, maximum=SoftmaxLimit(ties=ties), neuron_selection_mode="all"
    )
    np.testing.assert_allclose(analyzer.analyze(x)[0, :, 0], [-0.5, -0.5, 2.0, 0.0], rtol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.sqrt(ops.maximum(x, 0.01)),
        lambda x: ops.sqrt(ops.square(x) + 1e-3),
        lambda x: ops.sqrt(ops.clip(x, 0.1, 5.0)),
        lambda x: ops.sqrt(ops.relu(x) + 1e-6),
    ],
)
def test_roots_of_what_stays_above_zero(function: Callable[[Any], Any]) -> None:
    given = keras.Input((3,), dtype="float64")
    hidden = layers.Dense(4, dtype="float64")(given)
    model = keras.Model(given, layers.Dense(2, dtype="float64")(function(hidden)))
    found = kerasexplain.create_analyzer("lrp.bias_as_input", model).explain(
        np.random.default_rng(0).normal(size=(4, 3)), 0, bias=True
    )
    biases = sum(part.sum(axis=tuple(range(1, part.ndim))) for part in found.bias.values())
    np.testing.assert_allclose(found.relevance.sum(axis=1) + biases, found.explained, rtol=1e-12)
    with pytest.raises(kerasexplain.UnsupportedModelError, match="sqrt"):
        kerasexplain.create_analyzer("lrp.epsilon", keras.Model(given, layers.Dense(1)(ops.sqrt(ops.relu(hidden)))))


def test_a_minimum_moves_relevance_even_where_it_is_zero() -> None:
    """Of rules that give relevance to zeros: the smaller of two takes what the minimum has, whatever it is."""
    a, b = keras.Input((4,)), keras.Input((4,))
    dense = layers.Dense(1, use_bias=False)
    model = keras.Model([a, b], dense(layers.Minimum()([a, b])))
    dense.kernel.assign([[1.0], [-2.0], [3.0], [0.5]])
    x = [np.array([[0.0, 2.0, 5.0, 0.0]], "float32"), np.array([[1.0, 3.0, 4.0, 6.0]], "float32")]
    for name in ("lrp.flat", "lrp.w_square"):
        analyzer = kerasexplain.create_analyzer(name, model)
        of_a, of_b = analyzer.analyze(x)
        weights = np.ones(4) if name == "lrp.flat" else np.array([1.0, 4.0, 9.0, 0.25])
        expected = 8.0 * weights / weights.sum()  # -2 * 2 + 3 * 4
        np.testing.assert_allclose(of_a, [expected * [1, 1, 0, 1]], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(of_b, [expected * [0, 0, 1, 0]], rtol=1e-5, atol=1e-6)
        assert [row.treatment for row in analyzer.rows if row.type == "Minimum"] == ["routing"]
