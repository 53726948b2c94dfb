"""Files that an earlier version saved can be read: they lie in `tests/data/saved_by_0.1.0`."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest

from kerasexplain import Explanation, load_analyzer, rules

SAVED = pathlib.Path(__file__).parents[1] / "data" / "saved_by_0.1.0"


@pytest.fixture
def known() -> dict[str, np.ndarray]:
    """Inputs, weights and what the earlier version answered."""
    with np.load(SAVED / "model.npz") as file:
        return dict(file)


@pytest.fixture
def model(known: dict[str, np.ndarray]) -> keras.Model:
    hidden, logits = keras.layers.Dense(5, activation="relu", name="hidden"), keras.layers.Dense(3, name="logits")
    model = keras.Sequential([keras.layers.Input((6,)), hidden, logits])
    model.set_weights([known[f"weight_{i}"] for i in range(4)])
    return model


def test_an_analyzer_with_rules(model: keras.Model, known: dict[str, np.ndarray]) -> None:
    analyzer = load_analyzer(SAVED / "override.json", model)

    assert analyzer.method.override == [("hidden", rules.AlphaBeta(2, 1)), (keras.layers.Dense, rules.Gamma(0.5))]
    relevance = analyzer.analyze(known["x"], [2, 0])
    np.testing.assert_allclose(relevance, known["relevance"], rtol=1e-5, atol=1e-6)


def test_an_analyzer_with_patterns(model: keras.Model, known: dict[str, np.ndarray]) -> None:
    relevance = load_analyzer(SAVED / "pattern_net.h5", model).analyze(known["x"], 1)

    np.testing.assert_allclose(relevance, known["pattern_net"], rtol=1e-5, atol=1e-6)


def test_an_explanation(known: dict[str, np.ndarray]) -> None:
    explanation = Explanation.load(SAVED / "explanation.h5")

    np.testing.assert_array_equal(explanation.relevance, known["relevance"])
    np.testing.assert_array_equal(explanation.neuron, [2, 0])
    assert list(explanation.layers) == ["hidden"]
    assert explanation.audit is not None
    assert explanation.analyzer["analyzer"] == "lrp.epsilon"
