"""The algebra of rules: what is said about it, of the reference in `algebra.py`, and the analyzer against that."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from helpers.references import algebra
from helpers.references.algebra import Array, Elementwise, Linear, Maximum, Rules, Step
from helpers.references.algebra_networks import (
    BATCH,
    CHOICES,
    LINEAR,
    MAXIMA,
    NEURON,
    NONLINEARITIES,
    OPTIONS,
    assert_agrees,
    case,
    of_every_network,
)
from keras import layers

import kerasexplain

pytestmark = pytest.mark.formula

# What the reference computes.


@pytest.mark.parametrize("biased", [False, True])
@of_every_network
def test_the_reference_computes_what_keras_computes(network: str, biased: bool) -> None:
    c = case(network, biased)
    found = algebra.forward(c.network, c.flat)[-1]
    np.testing.assert_allclose(found, c.model.predict(c.x, verbose=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (2, 1), (3, 2), (2, 3)])
def test_windows_are_where_keras_has_them(size: int, stride: int, rng: np.random.Generator) -> None:
    x = rng.normal(size=(1, 5, 6, 2))
    kernel = rng.normal(size=(size, size, 2, 3))
    for padding in ("same", "valid"):
        operation = algebra.convolution(algebra.pixels(5, 6, size, stride, padding == "same"), 60, kernel)
        expected = keras.ops.convert_to_numpy(keras.ops.conv(x, kernel, stride, padding))
        np.testing.assert_allclose(operation(x.reshape(1, -1)), expected.reshape(1, -1), rtol=0, atol=1e-12)


def test_the_networks_have_what_is_to_be_told_apart() -> None:
    """Windows of zeros, of negative values, and with several positive ones."""
    c = case("cnn relu")
    values = algebra.forward(c.network, c.flat)
    first, second = (values[step.operands[0]][:, step.operation.windows] for step in (c.network[2], c.network[4]))
    assert (first == 0).all(axis=-1).any()
    assert (second < 0).all(axis=-1).any()
    assert ((first > 0).sum(axis=-1) > 1).any()
    assert ((second > 0).any(axis=-1) & (second < 0).any(axis=-1)).any()


def test_the_gradient_is_the_gradient(rng: np.random.Generator) -> None:
    c = case("cnn tanh")
    R, _ = c.relevance(Rules("gradient", "gradient", "gradient"))
    step = 1e-6 * rng.normal(size=c.flat.shape)
    ahead, behind = (algebra.forward(c.network, c.flat + sign * step)[-1][:, NEURON] for sign in (1, -1))
    np.testing.assert_allclose((R.reshape(BATCH, -1) * step).sum(axis=1), (ahead - behind) / 2, rtol=1e-6)


def test_shares_by_hand() -> None:
    mixed, negative = np.array([3.0, -2.0, 1.0, 3.0]), np.array([-1.0, -4.0, -2.0])
    expected = {
        "gradient": ([1, 0, 0, 0], [1, 0, 0]),
        "radial": ([3 / 7, 0, 1 / 7, 3 / 7], [4 / 7, 1 / 7, 2 / 7]),
        "softmax limit": ([1 / 2, 0, 0, 1 / 2], [1 / 3, 1 / 3, 1 / 3]),
        "relu chain": ([1, 0, 0, 0], [1, 0, 0]),
    }
    for name, shares in expected.items():
        np.testing.assert_allclose(algebra.shares(name, mixed), shares[0], rtol=1e-15)
        np.testing.assert_allclose(algebra.shares(name, negative), shares[1], rtol=1e-15)


@pytest.mark.parametrize("name", MAXIMA)
def test_shares_sum_to_one(name: str, rng: np.random.Generator) -> None:
    a = np.concatenate([rng.integers(-3, 4, size=(200, 4)), rng.integers(-3, 1, size=(200, 4)), np.zeros((1, 4))])
    shares = algebra.shares(name, a)
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=-1), 1, rtol=1e-12)


def test_a_relu_chain_without_a_baseline_goes_to_the_winner(rng: np.random.Generator) -> None:
    a = rng.integers(-3, 4, size=(200, 4)).astype(float)
    np.testing.assert_array_equal(algebra.shares("relu chain", a), algebra.shares("gradient", a))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_softmax_limit_is_what_the_softmax_approaches(sign: int, rng: np.random.Generator) -> None:
    """Against 0, by the slopes of exp and log, of m = e log sum exp(a_i / e)."""
    a = sign * rng.permutation(np.linspace(0.2, 2.0, 40)).reshape(10, 4)
    e = 1e-3
    top = np.maximum(a.max(axis=-1, keepdims=True), 0) / e
    difference = np.exp(a / e - top) - np.exp(-top)
    shares = difference / difference.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(shares, algebra.shares("softmax limit", a), rtol=0, atol=1e-12)


# What is said about the rules.


@pytest.mark.parametrize("alpha", [2.5, -0.5])
def test_scaling_equivalence(alpha: float, rng: np.random.Generator) -> None:
    """Multiplying by a constant: as a matrix alpha I, and as a function f(a) = alpha a. The table's rows, and no other.

    Gradient of the matrix is gradient, slope and repeat of the function, and scales by alpha; normalized is ignore, and
    scales by 1.
    """
    scale = Elementwise(lambda a: alpha * a, lambda a: np.full_like(a, alpha))
    a, S = rng.normal(size=(2, 4, 5))
    by = {"gradient": {"gradient", "slope", "repeat"}, "normalized": {"ignore"}}
    for linear, equivalent in by.items():
        (taken,), _ = algebra.linear_rule(Rules(linear), Linear((alpha * np.eye(5),), np.zeros(5)), [a], S)
        np.testing.assert_allclose(taken, (alpha if linear == "gradient" else 1) * S, rtol=1e-14)
        for name in NONLINEARITIES:
            same = np.allclose(algebra.nonlinearity_rule(name, scale, a, S), taken, rtol=1e-14)
            assert same == (name in equivalent), (linear, name)


def test_a_maximum_with_a_constant_as_a_nonlinearity(rng: np.random.Generator) -> None:
    """max(a, c) with c <= 0, as a maximum of two of which a's share counts, and as a function of a.

    Gradient matches gradient, whatever c. Radial matches slope where c = 0, and where a > 0 (both are 1); it is only a
    suspicion that it does everywhere: of a = -1 and c = -2, a has radially the share (1 / 1) / (1 / 1 + 1 / 2) = 2 / 3,
    and the slope -1 / -1 = 1.
    """
    a, S = rng.normal(size=(2, 50))

    def both(c: float, maximum: str, nonlinearity: str) -> tuple[Array, Array]:
        f = Elementwise(lambda a: np.maximum(a, c), lambda a: np.where(a > c, 1.0, 0.0))
        share = algebra.shares(maximum, np.stack([a, np.full_like(a, c)], axis=-1))[:, 0]
        return share * S, algebra.nonlinearity_rule(nonlinearity, f, a, S)

    for c in (0.0, -0.3, -2.0):
        np.testing.assert_allclose(*both(c, "gradient", "gradient"), rtol=1e-14)
        radial, slope = both(c, "radial", "slope")
        np.testing.assert_allclose(radial[a > 0], slope[a > 0], rtol=1e-14)
        assert np.allclose(radial, slope, rtol=1e-14) == (c == 0)
    assert algebra.shares("radial", np.array([-1.0, -2.0]))[0] == pytest.approx(2 / 3)


@pytest.mark.parametrize("network", ["mlp relu", "cnn relu"])
def test_slope_is_gradient_for_relu(network: str) -> None:
    c = case(network)
    for maximum in MAXIMA:
        slope, gradient = (c.relevance(Rules("gradient", name, maximum))[0] for name in ("slope", "gradient"))
        np.testing.assert_allclose(slope, gradient, rtol=1e-12)


@of_every_network
def test_relevance_and_its_quotient_are_two_forms_of_one_thing(network: str) -> None:
    """Q = R / a turns normalized into gradient and ignore into slope, and the output's value at the start into 1."""
    c = case(network, biased=False)
    R, _ = c.relevance(Rules("normalized", "ignore"))
    Q, _ = c.relevance(Rules("gradient", "slope"))
    assert_agrees(c.x * Q, R)


@of_every_network
def test_the_sum_over_a_layer_is_conserved(network: str) -> None:
    """Of R, and of a Q: at every value through which all of the network passes."""
    c = case(network, biased=False)
    values = algebra.forward(c.network, c.flat)
    explained = values[-1][:, NEURON]
    bypassed = {4, 5, 6, 7} if "cnn" in network else set()
    for rules in (Rules("normalized", "ignore"), Rules("gradient", "slope")):
        weighs = rules.linear == "gradient"
        start = algebra.chosen(values[-1], NEURON, "one" if weighs else "output")
        S = algebra.carry(c.network, values, start, rules).values
        for k in set(range(len(values))) - bypassed:
            held = S[k] * values[k] if weighs else S[k]
            assert np.all(np.abs(held.sum(axis=1) - explained) <= 1e-12 * np.abs(held).sum(axis=1)), k


@of_every_network
def test_blaming_the_biases_closes_the_sum(network: str) -> None:
    """With a 1 for every bias as an input of its own, what arrives there and at the input is what was explained."""
    c = case(network)
    explained = algebra.forward(c.network, c.flat)[-1][:, NEURON]
    for rules in (Rules("gradient", "slope", bias="as_input"), Rules("normalized", "ignore", bias="as_input")):
        R, biases = c.relevance(rules, times_input=rules.linear == "gradient")
        total = R.reshape(BATCH, -1).sum(axis=1) + sum(S.sum(axis=1) for S in biases.values())
        np.testing.assert_allclose(total, explained, rtol=1e-10)
        assert set(biases) == {step.name for step in c.network if step.name}


def test_the_two_forms_blame_the_same_biases() -> None:
    c = case("cnn tanh")
    R, of_R = c.relevance(Rules("normalized", "ignore", bias="as_input"))
    Q, of_Q = c.relevance(Rules("gradient", "slope", bias="as_input"), times_input=True)
    assert_agrees(Q, R)
    for name, S in of_R.items():
        assert_agrees(of_Q[name], S)


def test_normalized_divides_and_the_quotient_does_not() -> None:
    """A unit that is nearly 0 of large terms, which biases are blamed for: absorbed, its bias makes them larger."""
    steps = [Step(algebra.dense(np.array([[1.0], [-1.0]]), np.array([-0.999])), (0,))]
    x = np.array([[2.0, 1.0]])
    absorbed, _ = algebra.relevance(steps, x, 0, Rules("normalized", "ignore"))
    quotient, _ = algebra.relevance(steps, x, 0, Rules("gradient", "slope"))
    np.testing.assert_allclose(quotient, [[1, -1]])
    np.testing.assert_allclose(absorbed, [[2, -1]])
    ignored, _ = algebra.relevance(steps, x, 0, Rules("normalized", "ignore", bias="ignored"))
    np.testing.assert_allclose(ignored, [[0.002, -0.001]], rtol=1e-9)


# The analyzer.


@pytest.mark.parametrize(
    ("network", "rules"), CHOICES, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_the_analyzer_agrees_with_the_reference(network: str, rules: Rules) -> None:
    c = case(network)
    R, biases = c.relevance(rules)
    explanation = c.analyzer("lrp.algebra", **rules._asdict()).explain(c.x, NEURON, bias=rules.bias == "as_input")
    assert np.abs(R).max() > 0
    assert_agrees(explanation.relevance, R)
    assert set(explanation.bias) == set(biases)
    for name, S in biases.items():
        assert_agrees(explanation.bias[name], S)


@pytest.mark.parametrize("maximum", MAXIMA)
def test_maxima_of_few_values(maximum: str) -> None:
    """Several winners, all of them negative, all of them 0, and 0 beside negative ones."""
    windows = np.array(
        [[3, 3, 1, -2], [-1, -1, -2, -4], [0, 0, 0, 0], [-1, 0, 0, -2], [-1, 2, 0, 2], [-3, -1, 0, -2.0]]
    )
    model = keras.Sequential(
        [keras.Input((24, 1), **OPTIONS), layers.MaxPooling1D(4, **OPTIONS), layers.Flatten(**OPTIONS)]
    )
    analyzer = kerasexplain.create_analyzer("lrp.algebra", model, linear="gradient", maximum=maximum)
    found = analyzer.analyze(windows.reshape(1, 24, 1), np.ones((1, 6)))  # every output with the weight 1
    assert_agrees(found.reshape(6, 4), algebra.shares(maximum, windows))


@pytest.mark.parametrize("linear", LINEAR)
@of_every_network
def test_the_result_times_the_input(network: str, linear: str) -> None:
    c = case(network)
    rules = Rules(linear, "slope", bias="as_input")
    R, biases = c.relevance(rules, times_input=True)
    explanation = c.analyzer("lrp.algebra", times_input=True, **rules._asdict()).explain(c.x, NEURON, bias=True)
    assert_agrees(explanation.relevance, R)
    for name, S in biases.items():
        assert_agrees(explanation.bias[name], S)


@pytest.mark.parametrize("start", ["one", "output"])
@pytest.mark.parametrize("linear", LINEAR)
def test_the_start_can_be_chosen(linear: str, start: str) -> None:
    c = case("mlp tanh")
    rules = Rules(linear, "repeat")
    R, _ = c.relevance(rules, start=start)
    assert_agrees(c.analyzer("lrp.algebra", start=start, **rules._asdict()).analyze(c.x, NEURON), R)


@pytest.mark.parametrize("network", ["mlp relu", "cnn relu"])
def test_slope_and_gradient_of_the_analyzer_are_the_same_for_relu(network: str) -> None:
    c = case(network)
    slope, gradient = (
        c.analyzer("lrp.algebra", linear="gradient", nonlinearity=name).analyze(c.x, NEURON)
        for name in ("slope", "gradient")
    )
    assert_agrees(slope, gradient)
    assert_agrees(gradient, c.analyzer("gradient").analyze(c.x, NEURON))


@of_every_network
def test_both_forms_of_the_analyzer_are_the_same(network: str) -> None:
    c = case(network, biased=False)
    R = c.analyzer("lrp.algebra", linear="normalized", nonlinearity="ignore").analyze(c.x, NEURON)
    Q = c.analyzer("lrp.algebra", linear="gradient", nonlinearity="slope", times_input=True).analyze(c.x, NEURON)
    assert_agrees(Q, R)
    explained = c.model.predict(c.x, verbose=0)[:, NEURON]
    np.testing.assert_allclose(Q.reshape(BATCH, -1).sum(axis=1), explained, rtol=1e-10)


@pytest.mark.parametrize("start", ["one", "output"])
@pytest.mark.parametrize("network", ["mlp relu", "cnn relu"])
def test_repeat_is_the_deconvolution_method(network: str, start: str) -> None:
    c = case(network)
    found = c.analyzer("lrp.algebra", linear="gradient", nonlinearity="repeat", start=start).analyze(c.x, NEURON)
    assert_agrees(found, c.analyzer("deconvnet", start=start).analyze(c.x, NEURON))


@pytest.mark.parametrize(("bias", "name"), [("absorbed", "lrp.z"), ("ignored", "lrp.z_IB")])
@of_every_network
def test_normalized_and_ignore_are_relevance_propagation(network: str, bias: str, name: str) -> None:
    c = case(network)
    found = c.analyzer("lrp.algebra", linear="normalized", nonlinearity="ignore", maximum="gradient", bias=bias)
    assert_agrees(found.analyze(c.x, NEURON), c.analyzer(name).analyze(c.x, NEURON))


@of_every_network
def test_biases_as_inputs_close_the_sum_of_the_analyzer(network: str) -> None:
    """In both forms; and normalized they are what `lrp.bias_as_input` has."""
    c = case(network)
    explained = c.model.predict(c.x, verbose=0)[:, NEURON]
    other = c.analyzer("lrp.bias_as_input").explain(c.x, NEURON, bias=True)
    for linear, nonlinearity in (("gradient", "slope"), ("normalized", "ignore")):
        options = {"linear": linear, "nonlinearity": nonlinearity, "bias": "as_input"}
        found = c.analyzer("lrp.algebra", times_input=linear == "gradient", **options).explain(c.x, NEURON, bias=True)
        total = found.relevance.reshape(BATCH, -1).sum(axis=1) + sum(S.sum(axis=1) for S in found.bias.values())
        np.testing.assert_allclose(total, explained, rtol=1e-9)
        assert_agrees(found.relevance, other.relevance)
        for name, S in found.bias.items():
            assert_agrees(S, other.bias[name])


@pytest.mark.parametrize(
    ("linear", "nonlinearity"),
    [("gradient", "gradient"), ("gradient", "slope"), ("gradient", "repeat"), ("normalized", "ignore")],
)
@pytest.mark.parametrize("alpha", [2.5, -0.5])
def test_scaling_by_a_layer_or_by_a_matrix(alpha: float, linear: str, nonlinearity: str) -> None:
    found = []
    for scale in (layers.Rescaling(alpha, **OPTIONS), layers.Dense(6, use_bias=False, name="scale", **OPTIONS)):
        x = inputs = keras.Input((5,), **OPTIONS)
        x = layers.Dense(6, "tanh", name="dense", **OPTIONS)(x)
        x = scale(x)
        model = keras.Model(inputs, layers.Dense(3, name="logits", **OPTIONS)(x))
        rng = np.random.default_rng(0)
        for name in ("dense", "logits"):
            layer = model.get_layer(name)
            layer.set_weights([rng.uniform(-1, 1, variable.shape) for variable in layer.weights])
        if scale.weights:
            scale.set_weights([alpha * np.eye(6)])
        analyzer = kerasexplain.create_analyzer("lrp.algebra", model, linear=linear, nonlinearity=nonlinearity)
        found.append(analyzer.analyze(np.linspace(-1, 1, 10, dtype="float32").reshape(2, 5), NEURON))
    assert_agrees(*found)


def test_the_nonlinearity_of_repeat_has_to_be_zero_at_zero() -> None:
    """relu(0) = tanh(0) = 0, but sigmoid(0) = 1 / 2: repeated, it would make relevance where there is none."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, "sigmoid"), layers.Dense(2)])
    with pytest.raises(Exception, match=r"sigmoid|[Rr]epeat"):
        kerasexplain.create_analyzer("lrp.algebra", model, nonlinearity="repeat").analyze(np.ones((1, 4)), 0)


def test_maxima_of_the_reference_are_those_of_keras() -> None:
    """First come the first row's candidates: the winner of several is the same."""
    x = np.zeros((1, 4, 4, 1))
    x[0, 1, 0, 0] = x[0, 0, 1, 0] = 1
    operation = algebra.max_pooling(algebra.pixels(4, 4, 2, 2), 1)
    assert isinstance(operation, Maximum)
    taken = algebra.maximum_rule("gradient", operation, x.reshape(1, -1), np.ones((1, 4)))
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.MaxPooling2D(2), layers.Flatten()])
    found = kerasexplain.create_analyzer("gradient", model).analyze(x, np.ones((1, 4)))
    np.testing.assert_array_equal(found.reshape(1, -1), taken)
