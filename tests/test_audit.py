"""The audit: what each operation received, delivered, gave to its bias and lost."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest
from helpers.small_models import dense
from keras import layers

import kerasexplain
from kerasexplain import create_analyzer

OPTIONS: dict[str, dict[str, Any]] = {
    "lrp": {"rule": "Z"},
    "lrp.alpha_beta": {"alpha": 2},
    "lrp.sequential_preset_b_flat_until_idx": {"until_layer_idx": 1},
    "lrp.epsilon_gamma_box": {"low": 0, "high": 1},
    "deep_taylor.bounded": {"low": 0, "high": 1},
}
NAMES = [
    name
    for name in kerasexplain.analyzer_names()
    if name.startswith(("lrp", "deep_taylor", "excitation")) and name != "lrp.baseline"
]


def by_name(audit: kerasexplain.Audit) -> dict[str, Any]:
    return {row.name: row for row in audit.rows}


def network() -> keras.Model:
    x = inputs = keras.Input((6, 6, 2), dtype="float64")
    options = {"dtype": "float64"}
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="conv", **options)(x)
    y = layers.Conv2D(3, 1, name="branch", **options)(x)
    x = layers.Add(name="add", **options)([x, y])
    x = layers.MaxPooling2D(2, name="pool", **options)(x)
    x = layers.Flatten(name="flatten", **options)(x)
    model = keras.Model(inputs, layers.Dense(3, name="dense", **options)(x))
    rng = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(0.5 * rng.normal(size=variable.shape))
    return model


def test_a_case_done_by_hand() -> None:
    x = inputs = keras.Input((2,), dtype="float64")
    x = layers.Dense(2, name="hidden", activation="relu", dtype="float64")(x)
    model = keras.Model(inputs, layers.Dense(1, name="out", dtype="float64")(x))
    weights = [[[1.0, 2.0], [3.0, -1.0]], [0.5, 0.25], [[2.0], [4.0]], [1.0]]
    model.set_weights([np.array(values) for values in weights])
    # h = relu([1 + 6 + 0.5, 2 - 2 + 0.25]) = [7.5, 0.25], y = 15 + 1 + 1 = 17
    audit = create_analyzer("lrp.z", model).audit(np.array([[1.0, 2.0]]))
    rows = by_name(audit)
    assert rows["out"].received == pytest.approx([17.0])
    assert rows["out"].delivered == pytest.approx([16.0])
    assert rows["out"].bias == pytest.approx([1.0])
    # Of 15 for h0 the bias takes 0.5 / 7.5, of 1 for h1 all of it, for 2 and -2 cancel.
    assert rows["hidden"].received == pytest.approx([16.0])
    assert rows["hidden"].bias == pytest.approx([2.0])
    assert rows["hidden"].delivered == pytest.approx([14.0])
    assert rows["hidden/relu"].lost == pytest.approx([0.0], abs=1e-12)
    assert audit.inputs == pytest.approx([14.0])
    assert audit.biases == pytest.approx([3.0])
    assert audit.explained == pytest.approx([17.0])


def test_what_epsilon_absorbs_is_lost_by_hand() -> None:
    inputs = keras.Input((2,), dtype="float64")
    model = keras.Model(inputs, layers.Dense(1, use_bias=False, name="out", dtype="float64")(inputs))
    model.set_weights([np.array([[1.0], [2.0]])])
    # z = 4, epsilon = 1: each input gets x w 4 / 5, together 16 / 5 of 4
    audit = create_analyzer("lrp.epsilon", model, epsilon=1.0).audit(np.array([[2.0, 1.0]]))
    assert audit.rows[0].delivered == pytest.approx([3.2])
    assert audit.lost == pytest.approx([0.8])


@pytest.mark.formula
@pytest.mark.parametrize("name", NAMES)
def test_the_audit_of_every_method_agrees_with_its_relevance(name: str, rng: np.random.Generator) -> None:
    model, x = network(), rng.uniform(size=(4, 6, 6, 2))
    analyzer = create_analyzer(name, model, **OPTIONS.get(name, {}))
    audit, explanation = analyzer.audit(x, [0, 1, 2, 0]), analyzer.explain(x, [0, 1, 2, 0], bias=True)
    tolerance = {"rtol": 1e-9, "atol": 1e-9 * max(1.0, np.abs(explanation.relevance).sum())}
    np.testing.assert_allclose(audit.inputs, explanation.relevance.sum(axis=(1, 2, 3)), **tolerance)
    biases = sum(bias.reshape(4, -1).sum(axis=1) for bias in explanation.bias.values())
    np.testing.assert_allclose(audit.biases, biases + np.zeros(4), **tolerance)
    started = np.maximum(explanation.explained, 0) if name.startswith("deep_taylor") else explanation.explained
    np.testing.assert_allclose(audit.explained, started, **tolerance)
    np.testing.assert_allclose(audit.inputs + audit.biases + audit.lost, audit.explained, **tolerance)
    assert [row.name for row in audit.rows] == [row.name for row in analyzer.rows]


@pytest.mark.parametrize("name", ["lrp.z", "lrp.bias_as_input"])
def test_nothing_is_lost_where_the_rule_is_exact(name: str, rng: np.random.Generator) -> None:
    audit = create_analyzer(name, network()).audit(rng.uniform(size=(4, 6, 6, 2)))
    for row in audit.rows:
        np.testing.assert_allclose(row.lost, 0, atol=1e-12 * max(1.0, np.abs(row.received).max()))


def test_a_tensor_that_two_operations_read_receives_from_both(rng: np.random.Generator) -> None:
    x = rng.uniform(size=(4, 6, 6, 2))
    analyzer = create_analyzer("lrp.z", network())
    rows = by_name(analyzer.audit(x, 0))
    layers_of = analyzer.explain(x, 0, layers=["conv/relu", "branch"]).layers
    np.testing.assert_allclose(rows["branch"].received, layers_of["branch"].sum(axis=(1, 2, 3)), atol=1e-12)
    np.testing.assert_allclose(rows["conv/relu"].received, layers_of["conv/relu"].sum(axis=(1, 2, 3)), atol=1e-12)
    # The activation feeds the branch and the sum: it gets what the branch delivers, and its own part of the sum.
    of_sum = rows["add"].delivered - rows["branch"].received
    np.testing.assert_allclose(rows["conv/relu"].received, rows["branch"].delivered + of_sum, atol=1e-12)
    assert np.abs(of_sum).min() > 1e-6


def test_fan_out_between_an_absolute_rule_and_a_proportional_one_by_hand() -> None:
    inputs = keras.Input((2,), dtype="float64")
    below, branch, top = (
        layers.Dense(size, use_bias=False, name=name, dtype="float64")
        for name, size in (("below", 2), ("branch", 2), ("top", 1))
    )
    h = below(inputs)
    model = keras.Model(inputs, top(layers.Add(name="add", dtype="float64")([h, branch(h)])))
    for layer, kernel in ((below, [[1, 0], [0, 1]]), (branch, [[1, 2], [1, 0]]), (top, [[1], [1]])):
        layer.set_weights([np.array(kernel, float)])
    analyzer = create_analyzer("lrp", model, rule=[("branch", "Flat"), ("*", "Z")])
    x = np.array([[1.0, 3.0]])
    # h = [1, 3], branch = [4, 2], sum = [5, 5], y = 10: of the sum's [5, 5], h gets [1, 3] and the branch [4, 2], of
    # which flat gives each half: h gets [3, 3] more.
    rows = by_name(analyzer.audit(x))
    assert rows["branch"].received == pytest.approx([6.0])
    assert rows["below"].received == pytest.approx([10.0])
    assert all(row.lost == pytest.approx([0.0], abs=1e-5) for row in rows.values())
    np.testing.assert_allclose(analyzer.explain(x, layers=["below"]).layers["below"], [[4.0, 6.0]], rtol=1e-6)
    np.testing.assert_allclose(analyzer.analyze(x), [[4.0, 6.0]], rtol=1e-6)


def test_separable_convolutions_and_operations_of_several_outputs_are_audited(rng: np.random.Generator) -> None:
    inputs = keras.Input((6, 6, 2))
    x = layers.SeparableConv2D(4, 3, depth_multiplier=3)(inputs)
    first, second = keras.ops.split(x, 2, axis=-1)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(first * 2.0 + second))
    audit = create_analyzer("lrp.bias_as_input", model).audit(rng.normal(size=(3, 6, 6, 2)))
    np.testing.assert_allclose(audit.inputs + audit.biases, audit.explained, rtol=1e-4, atol=1e-5)
    assert max(np.abs(row.lost).max() for row in audit.rows) < 1e-5


def test_an_audit_prints_as_a_table_with_its_sum() -> None:
    text = str(create_analyzer("lrp.z", network()).audit(np.ones((2, 6, 6, 2))))
    lines = text.splitlines()
    assert lines[0] == "relevance per operation, mean of 2 samples"
    assert lines[2].split() == ["operation", "type", "rule", "received", "delivered", "bias", "lost"]
    assert any(line.split()[0] == "branch" for line in lines[4:-1])
    assert lines[-1].startswith("explained ")
    assert " = inputs " in lines[-1]


def test_a_gradient_has_no_audit() -> None:
    with pytest.raises(ValueError, match="'gradient' propagates no relevance that could be audited"):
        create_analyzer("gradient", network()).audit(np.ones((1, 6, 6, 2)))


def test_an_explanation_brings_its_audit_along_from_the_same_pass() -> None:
    analyzer = create_analyzer("lrp.epsilon", network(), epsilon=0.1)
    x = np.random.default_rng(0).normal(size=(5, 6, 6, 2))
    found = analyzer.explain(x, layers=["conv"], bias=True, audit=True, batch_size=2)
    assert found.audit is not None
    alone = analyzer.audit(x)
    for row, expected in zip(found.audit.rows, alone.rows, strict=True):
        assert (row.name, row.type, row.rule) == (expected.name, expected.type, expected.rule)
        for name in ("received", "delivered", "bias", "lost"):
            np.testing.assert_allclose(getattr(row, name), getattr(expected, name), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.audit.inputs, found.relevance.sum(axis=(1, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(by_name(found.audit)["conv"].bias, found.bias["conv"].sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.audit.explained, found.explained, rtol=1e-12)
    assert analyzer.explain(x).audit is None


def test_a_stream_is_audited_batch_by_batch() -> None:
    analyzer = create_analyzer("lrp.alpha_1_beta_0", network())
    x = np.random.default_rng(0).normal(size=(5, 6, 6, 2))
    whole, streamed = analyzer.audit(x), analyzer.audit(iter([x[:2], x[2:4], x[4:]]))
    np.testing.assert_allclose(streamed.lost, whole.lost, rtol=1e-12, atol=1e-13)
    assert [row.received.shape for row in streamed.rows] == [(5,)] * len(whole.rows)


def test_relevance_that_overflows_is_not_audited() -> None:
    inputs = keras.Input((2,), dtype="float64")
    model = keras.Model(inputs, layers.Dense(2, use_bias=False, dtype="float64")(inputs))
    model.set_weights([np.array([[1.0, 0.0], [-1.0, 0.0]])])
    with pytest.raises(kerasexplain.NotFiniteError):
        create_analyzer("lrp.z", model, start=np.array([np.inf, 0.0])).audit(np.array([[2.0, 1.0]]))


def test_an_audit_speaks_where_the_inputs_get_almost_nothing() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    model.layers[0].set_weights([np.full((4, 3), 1e-4), np.array([5.0, 0, 0])])
    analyzer, x = create_analyzer("lrp.epsilon", model), np.ones((2, 4), "float32")
    with pytest.warns(UserWarning, match=r"the inputs get 0.008 % of what is explained.*lrp.epsilon_IB"):
        found = analyzer.explain(x, 0, audit=True)
    assert "0.008 %" in str(found.audit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        analyzer.audit(x, 0)  # it is said once
        create_analyzer("lrp.epsilon", dense()).audit(x)
