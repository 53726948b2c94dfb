"""Every linear rule, written a second time as a formula of matrices, on every layer with a kernel.

The matrix of a layer is its Jacobian, taken by calling the Keras layer on unit vectors: it knows nothing of kernels,
strides or padding, and so shares no code with the rule under test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import pytest
from helpers.uncompiled import uncompiled
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from keras import layers

import kerasexplain
from kerasexplain.rules import (
    ZB,
    AlphaBeta,
    BiasAsInput,
    Epsilon,
    Flat,
    Gamma,
    LinearRule,
    WSquare,
    Z,
    ZPlus,
    ZPlusFast,
)

pytestmark = pytest.mark.formula

TOLERANCE = 1e-10
STABILIZER = 1e-7  # the default, keras.config.epsilon()
Array = np.ndarray

RULES: list[LinearRule] = [
    *(Z(), Z(bias=False), BiasAsInput()),
    *(Epsilon(), Epsilon(0.25), Epsilon(0.25, bias=False)),
    *(ZPlus(), ZPlus(stabilizer=0.1), ZPlusFast()),
    *(AlphaBeta(1, 0), AlphaBeta(2, 1), AlphaBeta(1.4, 0.4), AlphaBeta(2, 1, bias=False, stabilizer=0.1)),
    *(Gamma(), Gamma(3.0), Gamma(bias=False, stabilizer=0.1)),
    *(ZB(-1, 1), ZB(-1.5, 2.0, stabilizer=0.1), WSquare(), WSquare(stabilizer=0.1), Flat(), Flat(stabilizer=0.1)),
]


def pos(a: Array) -> Array:
    return np.maximum(a, 0)


def neg(a: Array) -> Array:
    return np.minimum(a, 0)


def quotient(n: Array, d: Array) -> Array:
    """n / d; 0 where d is 0: nothing there is in proportion to anything."""
    return np.divide(n, d, out=np.zeros_like(n), where=d != 0)


def matrix_form(rule: Any, x: Array, W: Array, b: Array, R: Array) -> tuple[Array, Array]:
    """Relevance of x (samples, inputs) and of b (samples, outputs), for `z = x W + b` with relevance R."""
    z, nothing = x @ W + b, np.zeros_like(R)
    stabilizer = getattr(rule, "stabilizer", None) or STABILIZER

    def st(d: Array, by: float = stabilizer) -> Array:
        return d + np.where(d < 0, -by, by)

    match rule:
        case Z(bias=False):
            return x * (quotient(R, x @ W) @ W.T), nothing
        case Z() | BiasAsInput():
            return x * (quotient(R, z) @ W.T), b * quotient(R, z)
        case Epsilon(epsilon=epsilon, bias=bias):
            s = R / st(z if bias else x @ W, STABILIZER if epsilon is None else epsilon)
            return x * (s @ W.T), b * s * bias
        case ZPlus():
            s = R / st(pos(x) @ pos(W) + neg(x) @ neg(W))
            return pos(x) * (s @ pos(W).T) + neg(x) * (s @ neg(W).T), nothing
        case ZPlusFast():
            s = R / st(x @ pos(W))
            return x * (s @ pos(W).T), nothing
        case AlphaBeta(alpha=alpha, beta=beta, bias=bias):
            s1 = R / st(pos(x) @ pos(W) + neg(x) @ neg(W) + bias * pos(b))
            # What has no negative contribution at all gets none: s2 is then finite, and multiplied by zeros.
            s2 = R / st(pos(x) @ neg(W) + neg(x) @ pos(W) + bias * neg(b))
            for_z = pos(x) * (s1 @ pos(W).T) + neg(x) * (s1 @ neg(W).T)
            against_z = pos(x) * (s2 @ neg(W).T) + neg(x) * (s2 @ pos(W).T)
            return alpha * for_z - beta * against_z, bias * (alpha * pos(b) * s1 - beta * neg(b) * s2)
        case Gamma(gamma=gamma, bias=bias):
            b = b * bias
            Wp, Wn, bp, bn = W + gamma * pos(W), W + gamma * neg(W), b + gamma * pos(b), b + gamma * neg(b)
            sign = np.sign(x @ W + b)
            p = np.where(sign > 0, R / st(pos(x) @ Wp + neg(x) @ Wn + bp), 0)
            n = np.where(sign < 0, R / st(pos(x) @ Wn + neg(x) @ Wp + bn), 0)
            of_x = pos(x) * (p @ Wp.T + n @ Wn.T) + neg(x) * (p @ Wn.T + n @ Wp.T)
            return of_x, p * bp + n * bn
        case ZB(low=low, high=high):
            low, high = (np.broadcast_to(bound, x.shape[1:]) for bound in (low, high))
            s = R / st(x @ W - low @ pos(W) - high @ neg(W))
            return x * (s @ W.T) - low * (s @ pos(W).T) - high * (s @ neg(W).T), nothing
        case WSquare():
            squared = W**2
            return R / st(squared.sum(axis=0)) @ squared.T, nothing
        case Flat():
            connected = (W != 0).astype(float)
            return R / st(connected.sum(axis=0)) @ connected.T, nothing
    raise NotImplementedError(rule)


@pytest.fixture(autouse=True)
def eagerly() -> Iterator[None]:
    """Every example has shapes of its own: tracing a graph for each would take far longer than computing it."""
    with uncompiled():
        yield


def jacobian(chain: Sequence[Any], shape: tuple[int, ...]) -> tuple[Array, Array, tuple[int, ...]]:
    """W (inputs, outputs) and b (outputs,) of an affine chain of layers, and the shape of its output."""
    size = int(np.prod(shape))
    probes = np.concatenate([np.zeros((1, size)), np.eye(size)]).reshape(-1, *shape)
    y = probes
    for layer in chain:
        y = layer(y)
    y = np.asarray(y)
    flat = y.reshape(len(y), -1)
    return flat[1:] - flat[0], flat[0], y.shape[1:]


def randomize(chain: Sequence[Any], rng: np.random.Generator) -> None:
    """Weights of both signs and far enough from zero for a sum of them to be no accident."""
    for layer in chain:
        for variable in layer.weights:
            low = 0.5 if variable.name == "moving_variance" else -1.0
            variable.assign(rng.uniform(low, 1.0, variable.shape))


def check(chain: Sequence[Any], shape: tuple[int, ...], seed: int, rules: Sequence[Any] = RULES) -> None:
    """Compares every rule on a chain of layers that is one linear operation, for signed and non-negative inputs."""
    rng = np.random.default_rng(seed)
    inputs = keras.Input(shape, dtype="float64")
    models = []
    for before in ([], [layers.ReLU(dtype="float64")]):
        y = inputs
        for layer in (*before, *chain):
            y = layer(y)
        models.append(keras.Model(inputs, y))
    randomize(chain, rng)
    W, b, out_shape = jacobian(chain, shape)
    x, R = rng.uniform(-1, 1, (2, *shape)), rng.uniform(-1, 1, (2, *out_shape))
    for model, a in zip(models, (x, np.maximum(x, 0)), strict=True):
        for rule in rules:
            what = f"{rule!r}, {'non-negative' if a is not x else 'signed'} input"
            analyzer = kerasexplain.create_analyzer(
                "lrp", model, rule=rule, start=R, neuron_selection_mode="all", jit_compile=False
            )
            explanation = analyzer.explain(x, bias=True)
            of_x, of_b = matrix_form(rule, a.reshape(2, -1), W, b, R.reshape(2, -1))
            close(explanation.relevance.reshape(2, -1), of_x, what)
            entries = list(explanation.bias.values())
            assert len(entries) == int(np.any(b != 0)), what
            for entry in entries:
                # A bias entry is summed over the positions that share it: it covers the last axes.
                close(entry, of_b.reshape(2, -1, *entry.shape[1:]).sum(axis=1), f"bias, {what}")


def close(found: Array, expected: Array, what: str) -> None:
    scale = max(np.abs(expected).max(), 1e-3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * scale, err_msg=what)


few = settings(
    max_examples=3,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # the examples are small as they are: nothing is won by shrinking them
)
seeds = st.integers(0, 2**16)
Drawn = tuple[str, dict[str, Any], tuple[int, ...]]


def built(drawn: Drawn) -> tuple[Any, tuple[int, ...]]:
    kind, arguments, shape = drawn
    return getattr(layers, kind)(**arguments, dtype="float64"), shape


@st.composite
def convolutions(draw: Any, kind: str) -> Drawn:
    """A convolution of any kind: its class, its arguments and the shape of its input."""
    rank = int(re.search(r"(\d)D", kind)[1])
    depthwise, transposed, separable = "Depthwise" in kind, "Transpose" in kind, "Separable" in kind
    kernel = draw(st.integers(1, 3 if rank < 3 else 2))
    strided = draw(st.booleans())
    strides = draw(st.integers(2, 3)) if strided else 1
    # Keras has no transposed convolution that is dilated, on a CPU, and none that is strided and dilated.
    dilation = 1 if strided or transposed else draw(st.integers(1, 2))
    paddings = ["valid", "same", *(["causal"] if kind == "Conv1D" else [])]
    more: dict[str, Any] = {}
    if not depthwise:
        more["filters"] = draw(st.integers(1, 3))
    if depthwise or separable:
        more["depth_multiplier"] = draw(st.integers(1, 2))
    more |= {"kernel_size": kernel, "strides": strides, "dilation_rate": dilation, "use_bias": draw(st.booleans())}
    more["padding"] = draw(st.sampled_from(paddings))
    sizes = [(kernel - 1) * dilation + 1 + draw(st.integers(0, 3 if rank < 3 else 1)) for _ in range(rank)]
    return kind, more, (*sizes, draw(st.integers(1, 3)))


@st.composite
def denses(draw: Any) -> Drawn:
    arguments = {"units": draw(st.integers(1, 4)), "use_bias": draw(st.booleans())}
    return "Dense", arguments, (*draw(st.lists(st.integers(1, 3), max_size=2)), draw(st.integers(1, 5)))


#: Equation, output shape, bias axes and the shape of an input: where axes are kept, joined, split, moved and summed.
EINSUMS = [
    ("ab,bc->ac", (3,), "c", (4,)),
    ("abc,cd->abd", (3, 4), "d", (3, 2)),
    ("abc,cde->abde", (3, 2, 3), "de", (3, 4)),
    ("abcd,cde->abe", (3, 2), "e", (3, 2, 2)),
    ("abc,bd->adc", (3, 2), "dc", (4, 2)),
    ("abc,cd->ad", (2,), "d", (3, 2)),
    ("abc,cd->ad", (2,), None, (3, 2)),
]


SINGLE = (
    *("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"),
    *("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
)
STRATEGIES: dict[str, Callable[[], st.SearchStrategy[Drawn]]] = {
    "Dense": denses,
    **{kind: (lambda kind=kind: convolutions(kind)) for kind in SINGLE},
}


@pytest.mark.parametrize("kind", STRATEGIES)
def test_a_layer(kind: str) -> None:
    @few
    @given(drawn=STRATEGIES[kind](), seed=seeds)
    def run(drawn: Drawn, seed: int) -> None:
        layer, shape = built(drawn)
        check([layer], shape, seed)

    run()


@pytest.mark.parametrize(("equation", "output_shape", "bias_axes", "shape"), EINSUMS)
def test_an_einsum_dense(
    equation: str, output_shape: tuple[int, ...], bias_axes: str | None, shape: tuple[int, ...]
) -> None:
    layer = layers.EinsumDense(equation, output_shape, bias_axes=bias_axes, dtype="float64")
    check([layer], shape, seed=0)


@pytest.mark.parametrize("kind", STRATEGIES)
def test_a_layer_with_batch_normalization_folded_into_it(kind: str) -> None:
    @settings(few, max_examples=2)
    @given(drawn=STRATEGIES[kind](), seed=seeds)
    def run(drawn: Drawn, seed: int) -> None:
        layer, shape = built(drawn)
        check([layer, layers.BatchNormalization(dtype="float64")], shape, seed)

    run()


@pytest.mark.parametrize("rank", [1, 2])
def test_groups(rank: int) -> None:
    # Few rules: outside of a graph, Keras compiles a grouped convolution with XLA every time it is called.
    layer = getattr(layers, f"Conv{rank}D")(4, 2, groups=2, padding="same", dtype="float64")
    check([layer], (3, 2, 4)[-rank - 1 :], seed=rank, rules=[AlphaBeta(2, 1), Flat()])


@pytest.mark.parametrize("kind", ["SeparableConv1D", "SeparableConv2D"])
def test_a_separable_convolution_is_two_layers(kind: str) -> None:
    rank = int(kind[-2])

    @few
    @given(drawn=convolutions(kind), seed=seeds)
    def run(drawn: Drawn, seed: int) -> None:
        layer, shape = built(drawn)
        rng = np.random.default_rng(seed)
        inputs = keras.Input(shape, dtype="float64")
        model = keras.Model(inputs, layer(inputs))
        randomize([layer], rng)
        depthwise = getattr(layers, f"DepthwiseConv{rank}D")(
            layer.kernel_size,
            strides=layer.strides,
            dilation_rate=layer.dilation_rate,
            padding=layer.padding,
            depth_multiplier=layer.depth_multiplier,
            use_bias=False,
            dtype="float64",
        )
        W1, b1, between = jacobian([depthwise], shape)  # builds it
        depthwise.set_weights([np.asarray(layer.depthwise_kernel)])
        W1, b1, between = jacobian([depthwise], shape)
        pointwise = getattr(layers, f"Conv{rank}D")(layer.filters, 1, use_bias=layer.use_bias, dtype="float64")
        jacobian([pointwise], between)
        bias = [np.asarray(layer.bias)] if layer.use_bias else []
        pointwise.set_weights([np.asarray(layer.pointwise_kernel), *bias])
        W2, b2, out_shape = jacobian([pointwise], between)
        x, R = rng.uniform(-1, 1, (2, *shape)), rng.uniform(-1, 1, (2, *out_shape))
        for rule in (Z(), Epsilon(0.25), ZPlus(), AlphaBeta(2, 1), Gamma(), WSquare(), Flat()):
            analyzer = kerasexplain.create_analyzer("lrp", model, rule=rule, start=R, neuron_selection_mode="all")
            flat = x.reshape(2, -1)
            middle, _ = matrix_form(rule, flat @ W1 + b1, W2, b2, R.reshape(2, -1))
            of_x, _ = matrix_form(rule, flat, W1, b1, middle)
            close(analyzer.analyze(x).reshape(2, -1), of_x, repr(rule))

    run()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_zero_padding_is_folded_into_the_convolution_behind_it(rank: int) -> None:
    """Padded positions are no inputs: the Jacobian is by the positions that are."""
    widths = [(1, 2), (0, 1), (2, 0)][:rank]
    padding = getattr(layers, f"ZeroPadding{rank}D")(widths if rank > 1 else widths[0], dtype="float64")
    convolution = getattr(layers, f"Conv{rank}D")(2, 2, dtype="float64")
    check([padding, convolution], (3, 3, 2, 2)[-rank - 1 :], seed=rank)


@pytest.mark.parametrize("rule", [Flat(), WSquare(), ZB(-1, 1), AlphaBeta(2, 1)], ids=repr)
def test_zero_padding_and_a_valid_convolution_are_a_convolution_with_padding_same(rule: LinearRule) -> None:
    same = layers.Conv2D(3, 3, padding="same", dtype="float64")
    valid = layers.Conv2D(3, 3, dtype="float64")
    inputs = keras.Input((4, 5, 2), dtype="float64")
    one, other = keras.Model(inputs, same(inputs)), keras.Model(inputs, valid(layers.ZeroPadding2D()(inputs)))
    rng = np.random.default_rng(0)
    randomize([same], rng)
    valid.set_weights(same.get_weights())
    x = rng.uniform(-1, 1, (2, 4, 5, 2))
    found = [
        kerasexplain.create_analyzer("lrp", model, rule=rule, neuron_selection_mode="all").analyze(x)
        for model in (one, other)
    ]
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-12 * np.abs(found[0]).max())


@pytest.mark.parametrize(
    ("low", "high"),
    [
        pytest.param([-1.0, -2.0], [1.0, 1.5], id="per channel"),
        pytest.param(-np.arange(1.0, 25.0).reshape(3, 4, 2), np.full((3, 4, 2), 1.25), id="per position"),
        pytest.param(-1.0, [1.0, 1.5], id="mixed"),
    ],
)
def test_the_bounds_of_zb_may_be_arrays(low: Any, high: Any) -> None:
    layer = layers.Conv2D(3, 2, padding="same", dtype="float64")
    inputs = keras.Input((3, 4, 2), dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    rng = np.random.default_rng(0)
    randomize([layer], rng)
    W, b, out_shape = jacobian([layer], (3, 4, 2))
    x, R = rng.uniform(-1, 1, (2, 3, 4, 2)), rng.uniform(-1, 1, (2, *out_shape))
    analyzer = kerasexplain.create_analyzer("lrp", model, rule=ZB(low, high), start=R, neuron_selection_mode="all")
    flat = [np.broadcast_to(bound, (3, 4, 2)).reshape(-1) for bound in (low, high)]
    of_x, _ = matrix_form(ZB(*flat), x.reshape(2, -1), W, b, R.reshape(2, -1))
    close(analyzer.analyze(x).reshape(2, -1), of_x, "ZB")
