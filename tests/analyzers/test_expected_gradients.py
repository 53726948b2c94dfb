"""Expected gradients: by hand, in the limit of many draws, and the choice of a background."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import InputError, create_analyzer

pytestmark = pytest.mark.usefixtures("double_precision")


def x_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape)


def linear(*weights: float) -> keras.Model:
    model = keras.Sequential([keras.Input((len(weights),)), layers.Dense(1)])
    model.set_weights([np.reshape(weights, (-1, 1)), np.array([0.5])])
    return model


def curved() -> keras.Model:
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(2)(layers.Dense(6, "tanh")(inputs)))


def test_a_linear_model_by_hand() -> None:
    """`R = w (x - mean of the background)`, whatever is drawn, if every background sample is drawn equally often."""
    background = np.array([[1.0, 0.0], [3.0, 2.0]])
    analyzer = create_analyzer("expected_gradients", linear(2.0, -1.0), background=background, samples=6)
    found = analyzer.explain(np.array([[4.0, 4.0]]), 0)
    np.testing.assert_allclose(found.relevance, [[2.0 * (4 - 2), -1.0 * (4 - 1)]], rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.reference, [2.0 * 2 - 1.0 * 1 + 0.5], rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.completeness_error, 0, atol=1e-14)


def test_a_square_by_hand() -> None:
    """y = sum x^2: along a line `int (x - b) 2 (b + t (x - b)) dt = x^2 - b^2`, and so is the mean over b."""
    inputs = keras.Input((3,))
    model = keras.Model(inputs, ops.sum(ops.square(inputs), axis=1, keepdims=True))
    x, background = x_of(2, 3), x_of(5, 3) + 1
    options: dict[str, Any] = {"background": background, "samples": 4000, "batch_size": 1000}
    found = create_analyzer("expected_gradients", model, **options).explain(x, 0)
    expected = x**2 - (background**2).mean(axis=0)
    np.testing.assert_allclose(found.relevance, expected, rtol=0, atol=0.02 * np.abs(expected).max())


def test_from_one_sample_it_is_integrated_gradients() -> None:
    model, x, one = curved(), x_of(3, 4), x_of(1, 4)[0]
    options: dict[str, Any] = {"background": one, "samples": 300}
    found = create_analyzer("expected_gradients", model, **options).explain(x, 1)
    expected = create_analyzer("integrated_gradients", model, reference_inputs=one).explain(x, 1)
    np.testing.assert_allclose(found.relevance, expected.relevance, rtol=0, atol=1e-3)
    np.testing.assert_allclose(found.reference, expected.reference, rtol=0, atol=1e-14)
    assert np.abs(found.completeness_error).max() < 1e-3


@pytest.mark.formula
def test_the_mean_over_seeds_is_the_expectation_with_few_draws() -> None:
    model, x, background = curved(), x_of(1, 4), x_of(7, 4)
    seeds = [
        create_analyzer("expected_gradients", model, background=background, samples=3, seed=seed).analyze(x, 1)[0]
        for seed in range(60)
    ]
    expected = create_analyzer("integrated_gradients", model, reference_inputs=background).analyze(x, 1)[0]
    error = np.std(seeds, axis=0) / np.sqrt(len(seeds))
    assert error.max() > 0
    assert np.all(np.abs(np.mean(seeds, axis=0) - expected) < 4 * error)


def test_fit_draws_the_same_samples_whatever_runs_at_once() -> None:
    model, data, x = curved(), x_of(50, 4), x_of(2, 4)

    def fitted(given: Any, seed: int = 0, **options: Any) -> Any:
        return create_analyzer("expected_gradients", model, samples=8, seed=seed).fit(given, **options)

    analyzer = fitted(data)
    (drawn,) = analyzer.method.drawn
    assert drawn.shape == (8, 4)
    assert len({row.tobytes() for row in drawn} & {row.tobytes() for row in data}) == 8
    for other in (fitted(data, batch_size=3), fitted(iter([data[:5], data[5:]]))):
        np.testing.assert_array_equal(other.method.drawn[0], drawn)
    assert not np.array_equal(fitted(data, seed=1).method.drawn[0], drawn)
    given = create_analyzer("expected_gradients", model, samples=8, background=drawn)
    np.testing.assert_array_equal(analyzer.analyze(x, 0), given.analyze(x, 0))
    np.testing.assert_allclose(analyzer.analyze(x, 0, batch_size=1), given.analyze(x, 0), rtol=0, atol=1e-14)
    assert fitted(data[:5]).method.drawn[0].shape == (5, 4)  # all there are


def test_ids_are_moved_where_they_are_looked_up() -> None:
    """The mean of embeddings is linear in them: an id has its share of the change from the mean background."""
    ids, background = np.array([[1, 2, 3]]), np.array([[4, 0, 0], [5, 1, 2]])
    inputs = keras.Input((3,), dtype="int32")
    embedded = layers.Embedding(6, 4, name="table")(inputs)
    model = keras.Model(inputs, layers.Dense(1, use_bias=False, name="last")(ops.mean(embedded, axis=1)))
    found = create_analyzer("expected_gradients", model, background=background, samples=4).explain(ids, 0)
    value = model.get_layer("table").get_weights()[0] @ model.get_layer("last").get_weights()[0][:, 0] / 3
    np.testing.assert_allclose(found.relevance, value[ids] - value[background].mean(axis=0), rtol=0, atol=1e-14)


def test_what_is_missing_or_does_not_fit_is_told() -> None:
    model = curved()
    with pytest.raises(ValueError, match=r"needs a background: call analyzer\.fit\(data\)"):
        create_analyzer("expected_gradients", model).analyze(x_of(1, 4))
    with pytest.raises(InputError, match=r"background for '.*' must fit one sample, \(4,\)"):
        create_analyzer("expected_gradients", model, background=x_of(3, 5)).analyze(x_of(1, 4))
    with pytest.raises(InputError, match=r"background for '.*' holds no sample: its shape is \(0, 4\)"):
        create_analyzer("expected_gradients", model, background=x_of(0, 4)).analyze(x_of(1, 4))
    with pytest.raises(ValueError, match="samples must be an integer of at least 1"):
        create_analyzer("expected_gradients", model, samples=0)
