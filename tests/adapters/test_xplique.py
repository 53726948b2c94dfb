"""The metrics of Xplique take an analyzer as it is: their numbers are those that numpy computes."""

from __future__ import annotations

import importlib
from typing import Any

import keras
import numpy as np
import pytest
from helpers.evaluated import cnn, images, labels
from keras import layers

from kerasexplain import Analyzer, create_analyzer

pytest.importorskip("xplique", reason="tox run -e xplique has it")
metrics = importlib.import_module("xplique.metrics")

pytestmark = pytest.mark.tensorflow("Xplique is for TensorFlow")


def one_hot(indices: np.ndarray, dtype: str = "float32") -> np.ndarray:
    return np.eye(5, dtype=dtype)[indices]


def linear(channels: int) -> keras.Sequential:
    """Whose relevance, w x, is what the output falls by where x is set to zero."""
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((8, 8, channels)), layers.Flatten(), layers.Dense(5, use_bias=False)])


def curve(model: keras.Model, x: np.ndarray, targets: np.ndarray, maps: np.ndarray, insertion: bool) -> float:
    """The area under the mean output of the target class, from no pixel to all of them, in ten steps."""
    order = np.argsort(maps.mean(axis=-1).reshape(len(x), -1), axis=-1)[:, ::-1]
    pixels = x.reshape(len(x), -1, x.shape[-1])
    scores = []
    for step in np.linspace(0, order.shape[1], 11, dtype=int):
        chosen = np.zeros(order.shape, bool)
        np.put_along_axis(chosen, order[:, :step], True, axis=1)
        kept = np.where(chosen[..., None] == insertion, pixels, 0).reshape(x.shape)
        scores.append(np.mean(np.sum(model.predict(kept, verbose=0) * targets, axis=-1)))
    return float(np.mean(np.add(scores[:-1], scores[1:])) / 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_deletion_and_insertion(channels: int, dtype: str) -> None:
    model, x = cnn(channels), images(channels)
    targets = one_hot(labels(model, x), dtype)
    analyzer = create_analyzer("lrp.epsilon", model)
    maps = analyzer(x, targets)
    np.testing.assert_array_equal(maps, analyzer.analyze(x, labels(model, x)))
    for metric, insertion in ((metrics.Deletion, False), (metrics.Insertion, True)):
        found = metric(model, x, targets, steps=10)(maps)
        assert found == pytest.approx(curve(model, x, targets, maps, insertion), rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_mu_fidelity_is_one_where_relevance_is_what_the_output_falls_by(channels: int) -> None:
    model, x = linear(channels), images(channels)
    targets = one_hot(np.array([0, 1, 2, 3]))
    maps = create_analyzer("lrp.z", model)(x, targets)
    metric = metrics.MuFidelity(model, x, targets, grid_size=4, nb_samples=20)
    assert metric(maps) == pytest.approx(1.0, abs=2e-3)  # nearly equal numbers may change ranks
    assert metric(-maps) == pytest.approx(-1.0, abs=2e-3)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_average_stability_calls_the_analyzer_itself(dtype: str) -> None:
    model, x = linear(3), images(3)
    indices = np.array([0, 1, 2, 3])
    metric = metrics.AverageStability(model, x, one_hot(indices, dtype), nb_samples=3)
    assert metric(create_analyzer("gradient", model)) == 0.0
    weights = np.moveaxis(model.layers[-1].get_weights()[0].reshape(8, 8, 3, 5), -1, 0)[indices]
    changes = np.asarray(metric.noisy_masks)[None] * weights[:, None]
    expected = np.sqrt(np.sum(changes**2, axis=(2, 3, 4))).mean()
    assert metric(create_analyzer("lrp.z", model)) == pytest.approx(expected, rel=1e-4)


def test_metrics_of_maps_alone() -> None:
    model, x = cnn(3), images(3)
    maps = create_analyzer("lrp.epsilon", model)(x, one_hot(labels(model, x)))
    sizes = np.sort(np.abs(maps).mean(axis=-1).reshape(4, -1))
    shares = sizes / sizes.sum(axis=1, keepdims=True)
    entropy = -np.sum(shares * np.log(np.maximum(shares, 1e-12)), axis=1)
    assert metrics.Complexity()(maps) == pytest.approx(entropy.mean(), rel=1e-4)
    ranks = np.arange(1, 65)
    gini = 2 * np.sum(ranks * shares, axis=1) / 64 - 65 / 64
    assert metrics.Sparseness()(maps) == pytest.approx(gini.mean(), rel=1e-4)


def test_metrics_that_train_models_make_their_analyzers() -> None:
    x = images(1, count=8)
    y = one_hot(np.arange(8) % 5)

    def learn(x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> keras.Model:
        return linear(1)  # the same every time

    def explainer(model: keras.Model, **options: Any) -> Analyzer:
        return create_analyzer("lrp.z", model, **options)

    representative, _ = metrics.MeGe(learn, x, y, k_splits=4).evaluate(explainer)
    # The same model, whatever the split: maps do not differ, if any prediction is right.
    assert np.isnan(representative) or representative == pytest.approx(1.0, abs=1e-3)
