"""Sparseness, complexity and completeness, by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from helpers.linear import linear

from kerasexplain import create_analyzer
from kerasexplain.metrics import Completeness, Complexity, Sparseness

pytestmark = pytest.mark.formula

nan = float("nan")
MAPS = np.array([[0.0, 1, -3, 0], [2, 2, 2, -2], [0, 0, 5, 0], [0, 0, 0, 0]])


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return linear([1.0, 2, 3, 4])


def test_gini_index(model: keras.Model) -> None:
    # Shares of 0, 0, 1/4 and 3/4 by weights of -3, -1, 1 and 3, over 4.
    found = Sparseness()(model, np.ones((4, 4)), relevance=MAPS)
    np.testing.assert_allclose(found.values, [(0.25 + 2.25) / 4, 0, 3 / 4, nan], atol=1e-15)


def test_entropy(model: keras.Model) -> None:
    found = Complexity()(model, np.ones((4, 4)), relevance=MAPS)
    expected = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    np.testing.assert_allclose(found.values, [expected, np.log(4), 0, nan], atol=1e-15)
    assert not np.signbit(found.values[2])


def test_channels_are_summed_first() -> None:
    relevance = np.array([[[1.0, -1.0], [1.0, 1.0]]])
    model = linear(np.ones((2, 2, 1)))
    assert Complexity()(model, np.ones((1, 2, 2)), relevance=relevance).values == [0]
    assert Sparseness()(model, np.ones((1, 2, 2)), relevance=relevance).values == [0.5]


def test_completeness(model: keras.Model) -> None:
    x = np.array([[1.0, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]])
    relevance = np.array([[1.0, 2, 3, 3], [1, 0, 0, 0], [-1, 0, 0, 0]])
    found = Completeness()(model, x, relevance=relevance)
    np.testing.assert_allclose(found.values, [0.1, nan, 2])  # of 10, 0 and 1


def test_completeness_against_a_baseline(model: keras.Model, rng: np.random.Generator) -> None:
    x, baseline = rng.normal(size=(3, 4)), rng.normal(size=4)
    analyzer = create_analyzer("deep_lift", model, reference_inputs=baseline)
    assert Completeness()(analyzer, x).mean < 1e-9
    explanation = analyzer.explain(x)
    assert Completeness()(model, x, relevance=explanation).mean < 1e-9
    without = Completeness()(model, x, relevance=explanation.relevance).values
    np.testing.assert_allclose(without, np.abs((baseline @ [1, 2, 3, 4]) / (x @ [1, 2, 3, 4])))


def test_directions() -> None:
    assert Sparseness().better == Complexity().better == "neither"
    assert Completeness().better == "lower"
