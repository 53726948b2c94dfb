"""Questions: every way to choose neurons is answered by one compiled function."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from kerasexplain import Contrast

X = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")


def network(*shape: int) -> keras.Model:
    keras.utils.set_random_seed(3)
    size = int(np.prod(shape))
    outputs = [layers.Dense(size), *([layers.Reshape(shape)] if len(shape) > 1 else [])]
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="relu"), *outputs])


def functions(analyzer: kerasexplain.Analyzer) -> int:
    return len(analyzer._first.program._functions)


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["lrp.epsilon", "gradient", "deep_lift"])
def test_every_kind_of_selection_is_one_function(name: str) -> None:
    model = network(5)
    analyzer = kerasexplain.create_analyzer(name, model)
    largest = analyzer.explain(X)
    before = functions(analyzer)
    np.testing.assert_array_equal(largest.neuron, model.predict(X, verbose=0).argmax(axis=1))
    index = analyzer.explain(X, largest.neuron)
    np.testing.assert_array_equal(index.relevance, largest.relevance)
    np.testing.assert_array_equal(index.neuron, largest.neuron)
    weights = analyzer.explain(X, np.eye(5, dtype="float32")[largest.neuron])
    np.testing.assert_allclose(weights.relevance, largest.relevance, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(weights.explained, largest.explained, rtol=1e-6)
    assert weights.neuron.dtype.kind == "f"
    twice = analyzer.explain(X, 2 * np.eye(5, dtype="float32")[largest.neuron])
    np.testing.assert_allclose(twice.explained, 2 * largest.explained, rtol=1e-6)
    if name != "deep_lift":
        apart = [analyzer.explain(X, neuron) for neuron in (3, 1)]
        contrast = analyzer.explain(X, Contrast(3, 1))
        np.testing.assert_allclose(contrast.explained, apart[0].explained - apart[1].explained, rtol=1e-4, atol=1e-5)
    assert functions(analyzer) == before


def test_outputs_of_several_axes_too() -> None:
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", network(2, 3))
    largest = analyzer.explain(X)
    assert largest.neuron.shape == (4, 2)
    index = analyzer.explain(X, largest.neuron)
    np.testing.assert_array_equal(index.relevance, largest.relevance)
    np.testing.assert_array_equal(index.neuron, largest.neuron)
    assert functions(analyzer) == 1


def test_the_last_neuron_is_not_taken_for_the_largest() -> None:
    """Negative indices, which count from the end, are others than the mark for the largest output."""
    model = network(5)
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", model)
    for neuron in (-1, -2):
        found = analyzer.explain(X, neuron)
        np.testing.assert_array_equal(found.neuron, [5 + neuron] * 4)
        np.testing.assert_allclose(found.explained, model.predict(X, verbose=0)[:, neuron], rtol=1e-5)
