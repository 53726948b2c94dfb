"""Explanations against a baseline: the reference in `baseline.py`, checked by itself, and the analyzers against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from helpers.references import algebra, baseline
from helpers.references.algebra import RELU, TANH, Array, Step
from helpers.references.baseline_networks import (
    BATCH,
    MAXIMA,
    NETWORKS,
    NEURON,
    OPTIONS,
    RULES,
    Case,
    Weights,
    assert_agrees,
    by_every_maximum,
    by_every_rule,
    case,
    of_every_network,
    of_some_networks,
    with_maxima,
    zeros,
)
from keras import layers

import kerasexplain

pytestmark = pytest.mark.formula

# The reference by itself.


@of_every_network
def test_the_reference_computes_what_keras_computes(network: str) -> None:
    c = case(network)
    np.testing.assert_allclose(c.explained(c.x), c.model.predict(c.x, verbose=0)[:, NEURON], rtol=0, atol=1e-12)


@by_every_maximum
@by_every_rule
@of_every_network
def test_the_reference_sums_to_the_difference(network: str, rule: str, maximum: str) -> None:
    c = case(network)
    for references in (zeros(c), c.baselines[:1], c.baselines):
        R = c.relevance(references, rule=rule, maximum=maximum).reshape(BATCH, -1)
        difference = c.explained(c.x) - c.explained(references).mean()
        assert np.all(np.abs(R.sum(axis=1) - difference) <= 1e-12 * np.abs(R).sum(axis=1))


@by_every_maximum
@by_every_rule
@of_every_network
def test_the_reference_is_symmetric(network: str, rule: str, maximum: str) -> None:
    c = case(network)
    forth = c.relevance(c.baselines[:1], c.x[:1], rule=rule, maximum=maximum)
    back = c.relevance(c.x[:1], c.baselines[:1], rule=rule, maximum=maximum)
    assert_agrees(back, -forth)


@by_every_rule
@pytest.mark.parametrize("network", [name for name in NETWORKS if name != "gated"])  # the algebra has no products
def test_close_to_the_baseline_multipliers_are_the_gradient(network: str, rule: str) -> None:
    c = case(network)
    flat = c.x.reshape(BATCH, -1)
    near = flat + 1e-7 * np.random.default_rng(0).normal(size=flat.shape)
    m = baseline.multipliers(c.network, flat, near, NEURON, rule)
    gradient, _ = algebra.relevance(c.network, flat, NEURON, algebra.Rules("gradient", "gradient"))
    np.testing.assert_allclose(m, gradient, rtol=0, atol=1e-5 * np.abs(gradient).max())


def test_the_smaller_of_two_by_hand() -> None:
    """Section 3.5.3: min(i1, i2) = i1 - relu(i1 - i2), from 0. Rescale gives all to the smaller, RevealCancel half."""
    steps = [
        Step(algebra.dense(np.array([[1.0], [-1.0]])), (0,)),
        Step(RELU, (1,)),
        Step(algebra.Linear((np.array([[1.0], [0.0]]), np.array([[-1.0]])), np.zeros(1)), (0, 2)),
    ]
    x, reference = np.array([[5.0, 3.0], [2.0, 6.0]]), np.zeros((1, 2))
    rescaled = baseline.relevance(steps, x, reference, 0, "rescale")
    np.testing.assert_allclose(rescaled, [[0, 3], [2, 0]], rtol=0, atol=1e-15)
    cancelled = baseline.relevance(steps, x, reference, 0, "reveal_cancel")
    np.testing.assert_allclose(cancelled, [[1.5, 1.5], [1, 1]], rtol=0, atol=1e-15)


def test_what_cancels_is_revealed() -> None:
    """relu(i1 - i2) is 0 at x and at x', but not of its parts alone: what an exact 0 is handed reaches i1 and i2."""
    steps = [
        Step(algebra.dense(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])), (0,)),
        Step(RELU, (1,)),
        Step(algebra.dense(np.array([[1.0], [1.0]])), (2,)),
        Step(TANH, (3,)),
        Step(algebra.dense(np.array([[1.0]])), (4,)),
    ]
    x, reference = np.array([[2.0, 2.0, 1.0]]), np.zeros((1, 3))
    R = baseline.relevance(steps, x, reference, 0, "reveal_cancel")
    # relu: dy+ = (2 + 0) / 2, m+ = 1 / 2; dy- = (0 - 2) / 2, m- = 1 / 2. tanh: dz+ = 1, dz- = 0, so that m+ is
    # tanh(1), and m-, of nothing, is the mean of the slopes at 0 and at 1.
    m = (np.tanh(1) + (1 + 1 - np.tanh(1) ** 2) / 2) / 2
    np.testing.assert_allclose(R, [[m, -m, np.tanh(1)]], rtol=1e-14)


def test_a_multiplier_of_nothing_is_what_it_approaches() -> None:
    reference, negative = np.array([0.3]), np.array([-1.2])
    of_nothing, _ = baseline.reveal_cancel(TANH, reference, np.zeros(1), negative)
    of_little, _ = baseline.reveal_cancel(TANH, reference, np.full(1, 1e-6), negative)
    np.testing.assert_allclose(of_nothing, of_little, rtol=1e-5)


def test_two_ways_to_take_a_maximum_disagree() -> None:
    """a = 1, b = 3, a' = 2, b' = 0. The softmax: b wins, and has all of 3 - 2. The chain: b - a rises from -2 to 2, and
    its relu to 2, with slope 1 / 2; half of a's -1 and of b's 3.
    """
    x, reference = np.array([1.0, 3.0]), np.array([2.0, 0.0])
    found = {name: (x - reference) * rule(x, reference) for name, rule in baseline.MAXIMA.items()}
    np.testing.assert_allclose(found["softmax limit"], [0, 1], rtol=0, atol=1e-15)
    np.testing.assert_allclose(found["relu chain"], [-0.5, 1.5], rtol=0, atol=1e-15)


def composed_softmax(x: Array, reference: Array, e: float) -> Array:
    """Contributions to e log sum exp(x_i / e), by the slopes of exp and of log; all of E divided by the largest."""
    top = max(x.max(), reference.max())
    E, E_reference = np.exp((x - top) / e), np.exp((reference - top) / e)
    soft = [e * np.log(np.exp((v - v.max()) / e).sum()) + v.max() for v in (x, reference)]
    return (E - E_reference) / (E - E_reference).sum() * (soft[0] - soft[1])


def test_the_softmax_limit_is_a_limit(rng: np.random.Generator) -> None:
    """The difference shrinks with e, like e log n; that takes an e that is small beside the maxima's difference."""
    for n in (2, 3, 5):
        drawn = (rng.normal(size=(2, n)) for _ in range(60))
        pairs = [(x, y) for x, y in drawn if abs(x.max() - y.max()) > 0.05]
        assert {x.max() > y.max() for x, y in pairs} == {True, False}
        for x, reference in pairs:
            limit = (x - reference) * baseline.softmax_limit(x, reference)
            for e in (1e-3, 1e-4):
                assert np.abs(composed_softmax(x, reference, e) - limit).max() <= 2 * e * np.log(n)


def test_the_softmax_limit_where_several_win() -> None:
    """Each of p winners has an equal part; the multiplier of a winner in both is log(p / q) / (p - q)."""
    x, reference = np.array([2.0, 2.0, 0.0]), np.array([1.0, 0.5, -1.0])
    contributions = (x - reference) * baseline.softmax_limit(x, reference)
    np.testing.assert_allclose(contributions, [0.5, 0.5, 0], rtol=1e-15)
    np.testing.assert_allclose(contributions, composed_softmax(x, reference, 1e-3), rtol=0, atol=2e-3)
    even = np.zeros(4)
    np.testing.assert_allclose(baseline.softmax_limit(even, even), [0.25] * 4, rtol=1e-15)
    x, reference = np.array([1.0, 1.0, 0.0]), np.array([1.0, -1.0, -1.0])
    np.testing.assert_allclose(baseline.softmax_limit(x, reference), [np.log(2), 0, 0], rtol=1e-15)
    moved = np.array([1.0 + 1e-8, 1.0, 0.0])  # a little, for a slope of the first; beside a small e
    slope = composed_softmax(moved, reference, 1e-3)[0] / 1e-8
    np.testing.assert_allclose(slope, np.log(2), rtol=1e-4)


@by_every_maximum
def test_multipliers_of_a_maximum_sum_to_its_difference(maximum: str, rng: np.random.Generator) -> None:
    drawn = [rng.normal(size=(2, 200, 5)), rng.integers(-2, 3, size=(2, 200, 5)).astype(float)]
    for x, reference in drawn:
        contributions = (x - reference) * baseline.MAXIMA[maximum](x, reference)
        difference = x.max(axis=-1) - reference.max(axis=-1)
        np.testing.assert_allclose(contributions.sum(axis=-1), difference, rtol=0, atol=1e-12)


def test_two_candidates_of_a_chain_are_relu_of_their_difference(rng: np.random.Generator) -> None:
    """max(a, b) = a + relu(b - a) as the operations that it says, with Rescale."""
    x, reference = rng.normal(size=(2, 50, 2))
    difference = algebra.dense(np.array([[-1.0], [1.0]]))
    steps = [
        Step(difference, (0,)),
        Step(RELU, (1,)),
        Step(algebra.Linear((np.array([[1.0], [0.0]]), np.eye(1)), np.zeros(1)), (0, 2)),
    ]
    m = baseline.multipliers(steps, x, reference, 0)
    np.testing.assert_allclose(baseline.relu_chain(x, reference), m, rtol=1e-12)


@with_maxima
def test_the_maxima_make_a_difference(network: str) -> None:
    c = case(network)
    soft, chain = (c.relevance(c.baselines, maximum=maximum) for maximum in MAXIMA)
    assert np.abs(soft - chain).max() > 0.01 * np.abs(soft).max()


@of_every_network
def test_the_rules_make_a_difference(network: str) -> None:
    c = case(network)
    rescale, reveal_cancel = (c.relevance(c.baselines, rule=rule) for rule in RULES)
    assert np.abs(rescale - reveal_cancel).max() > 0.01 * np.abs(rescale).max()


# The analyzers.

#: As the option `reference_inputs`, and as the reference takes them.
REFERENCES: dict[str, Callable[[Case], tuple[Any, Array]]] = {
    "a number": lambda c: (0.25, np.full((1, *c.x.shape[1:]), 0.25)),
    "one": lambda c: (c.baselines[0], c.baselines[:1]),
    "several": lambda c: (c.baselines, c.baselines),
}


@pytest.mark.parametrize("references", REFERENCES)
@by_every_rule
@of_every_network
def test_deep_lift_agrees_with_the_reference(network: str, rule: str, references: str) -> None:
    c = case(network)
    option, expected = REFERENCES[references](c)
    found = c.analyzer("deep_lift", reference_inputs=option, rule=rule).analyze(c.x, NEURON)
    assert_agrees(found, c.relevance(expected, rule=rule))


@pytest.mark.parametrize("references", REFERENCES)
@of_every_network
def test_propagation_against_a_baseline_agrees_with_the_reference(network: str, references: str) -> None:
    c = case(network)
    option, expected = REFERENCES[references](c)
    found = c.analyzer("lrp.baseline", reference_inputs=option).analyze(c.x, NEURON)
    assert_agrees(found, c.relevance(expected))


@pytest.mark.parametrize("references", REFERENCES)
@with_maxima
def test_a_chain_of_relus_agrees_with_the_reference(network: str, references: str) -> None:
    c = case(network)
    option, expected = REFERENCES[references](c)
    maximum = kerasexplain.rules.ReluChain()
    found = c.analyzer("lrp.baseline", reference_inputs=option, maximum=maximum).analyze(c.x, NEURON)
    assert_agrees(found, c.relevance(expected, maximum="relu chain"))


@pytest.mark.parametrize("name", ["deep_lift", "lrp.baseline"])
def test_the_baseline_is_zero_and_the_rule_rescale(name: str) -> None:
    c = case("mlp")
    assert_agrees(c.analyzer(name).analyze(c.x, NEURON), c.relevance(zeros(c)))


@of_some_networks
def test_an_analyzer_sums_to_the_difference(network: str) -> None:
    c = case(network)
    difference = c.explained(c.x) - c.explained(c.baselines).mean()
    for name, options in [("deep_lift", {"rule": rule}) for rule in RULES] + [("lrp.baseline", {})]:
        R = c.analyzer(name, reference_inputs=c.baselines, **options).analyze(c.x, NEURON).reshape(BATCH, -1)
        assert np.all(np.abs(R.sum(axis=1) - difference) <= 1e-10 * np.abs(R).sum(axis=1))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("deep_lift", {"rule": "rescale"}),
        ("deep_lift", {"rule": "reveal_cancel"}),
        ("lrp.baseline", {}),
        ("lrp.baseline", {"maximum": kerasexplain.rules.ReluChain()}),
    ],
    ids=["rescale", "reveal_cancel", "softmax limit", "relu chain"],
)
@of_some_networks
def test_an_analyzer_is_symmetric(network: str, name: str, options: dict[str, Any]) -> None:
    """Input and baseline exchanged, relevance is negated."""
    c = case(network)
    forth = c.analyzer(name, reference_inputs=c.baselines[0], **options).analyze(c.x[:1], NEURON)
    back = c.analyzer(name, reference_inputs=c.x[0], **options).analyze(c.baselines[:1], NEURON)
    assert_agrees(back, -forth)


@pytest.mark.parametrize("name", ["deep_lift", "lrp.baseline"])
def test_at_its_baseline_a_sample_has_no_relevance(name: str) -> None:
    c = case("pooled last")
    found = c.analyzer(name, reference_inputs=c.x[1]).analyze(c.x, NEURON)
    assert not found[1].any()
    assert found[0].any()
    assert_agrees(found, c.relevance(c.x[1:2]))


def test_maxima_that_several_candidates_reach() -> None:
    """Inputs and weights of few values: of the same ones, in x, in the baseline, or in both."""
    x = inputs = keras.Input((4, 4, 1), **OPTIONS)
    x = layers.Conv2D(2, 2, padding="same", activation="relu", name="conv", **OPTIONS)(x)
    x = layers.MaxPooling2D(2, **OPTIONS)(x)
    x = layers.Conv2D(2, 1, activation="tanh", name="mix", **OPTIONS)(x)
    x = layers.Flatten(**OPTIONS)(x)
    model = keras.Model(inputs, layers.Dense(3, name="logits", **OPTIONS)(x))
    rng = np.random.default_rng(2)
    w = few_values(model, rng)
    network = [
        Step(algebra.convolution(algebra.pixels(4, 4, 2, same=True), 16, *w["conv"]), (0,)),
        Step(RELU, (1,)),
        Step(algebra.max_pooling(algebra.pixels(4, 4, 2, 2), 2), (2,)),
        Step(algebra.convolution(algebra.pixels(2, 2, 1), 8, *w["mix"]), (3,)),
        Step(TANH, (4,)),
        Step(algebra.dense(*w["logits"]), (5,)),
    ]
    data = rng.integers(-1, 2, size=(7, 4, 4, 1)).astype(float)
    c = Case(model, data[:6], data[6:], network)
    assert_agrees(c.analyzer("deep_lift", reference_inputs=data[6]).analyze(c.x, NEURON), c.relevance(c.baselines))


def test_differences_that_are_exactly_zero() -> None:
    """Of hidden units, of parts that are not; and of all the positive, or negative, parts of a unit."""
    x = inputs = keras.Input((5,), **OPTIONS)
    for k in range(3):
        x = layers.Dense(4, "relu", name=f"dense{k}", **OPTIONS)(x)
    model = keras.Model(inputs, layers.Dense(3, name="logits", **OPTIONS)(x))
    rng = np.random.default_rng(2)
    w = few_values(model, rng)
    network = []
    for k in range(3):
        network += [Step(algebra.dense(*w[f"dense{k}"]), (2 * k,)), Step(RELU, (2 * k + 1,))]
    network.append(Step(algebra.dense(*w["logits"]), (6,)))
    data = rng.integers(-1, 2, size=(21, 5)).astype(float)
    c = Case(model, data[:20], data[20:], network)
    values, references = (algebra.forward(network, part) for part in (c.x, c.baselines))
    moved = values[2] - references[2]
    assert (moved == 0).any()
    assert any((part == 0).any() for part in baseline.parts(network[2].operation, [moved]))
    for rule in RULES:
        found = c.analyzer("deep_lift", reference_inputs=data[20], rule=rule).analyze(c.x, NEURON)
        assert_agrees(found, c.relevance(c.baselines, rule=rule))


def few_values(model: keras.Model, rng: np.random.Generator) -> Weights:
    """Kernels of quarters, and biases between two of them: nothing comes to lie where relu has no slope."""
    for variable in model.weights:
        drawn = rng.integers(-2, 3, variable.shape) / 4
        variable.assign(drawn + 1 / 8**5 if "bias" in variable.name else drawn)
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def test_an_elementwise_function_of_the_input_itself() -> None:
    """No linear operation is before it: there is nothing to reveal, and the rule is Rescale."""
    x = inputs = keras.Input((6,), **OPTIONS)
    x = layers.Activation("tanh", **OPTIONS)(x)
    model = keras.Model(inputs, layers.Dense(3, name="logits", **OPTIONS)(x))
    rng = np.random.default_rng(0)
    data = rng.normal(size=(BATCH + 1, 6)).astype("float32").astype("float64")
    c = Case(
        model,
        data[:BATCH],
        data[BATCH:],
        [Step(TANH, (0,)), Step(algebra.dense(*model.get_layer("logits").get_weights()), (1,))],
    )
    for rule in RULES:
        found = c.analyzer("deep_lift", reference_inputs=c.baselines[0], rule=rule).analyze(c.x, NEURON)
        assert_agrees(found, c.relevance(c.baselines))
