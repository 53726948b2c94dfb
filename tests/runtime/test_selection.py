"""The selection of an output: a neuron, weights, a region or a contrast of each sample."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from helpers.small_models import dense, random
from keras import layers

from kerasexplain import Contrast, InputError, create_analyzer


def test_floating_point_labels_are_refused_and_weights_are_not() -> None:
    model, x = dense(), random(3, 4)
    analyzer = create_analyzer("lrp.epsilon", model)
    for labels in ([0.0, 2.0, 1.0], [[0.0], [2.0], [1.0]]):
        with pytest.raises(InputError, match=r"labels are integers, pass y.astype\(int\)"):
            analyzer.analyze(x, np.array(labels))
    with pytest.raises(InputError, match="labels are integers"):
        analyzer.analyze(x[:2], np.array([2.0, 1.0]))
    one_hot = analyzer.explain(x, np.array([0.0, 1.0, 0.0])).explained
    np.testing.assert_allclose(one_hot, model.predict(x, verbose=0)[:, 1], rtol=1e-5)


def test_neurons_of_outputs_of_open_size() -> None:
    model = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(4, 3, padding="same", activation="relu"), layers.Conv2D(2, 1)]
    )
    for height, width in ((10, 12), (7, 9)):
        x = random(2, height, width, 3)
        y = model.predict(x, verbose=0)
        analyzer = create_analyzer("lrp.epsilon", model)
        found = analyzer.explain(x, (3, 4, 1))
        np.testing.assert_allclose(found.explained, y[:, 3, 4, 1], rtol=1e-5, atol=1e-6)
        found = analyzer.explain(x, Contrast((3, 4, 1), against=(3, 4, 0)))
        np.testing.assert_allclose(found.explained, y[:, 3, 4, 1] - y[:, 3, 4, 0], rtol=1e-4, atol=1e-6)
        found = create_analyzer("lrp.epsilon", model, neuron_selection_mode="all").explain(x)
        np.testing.assert_allclose(found.explained, y.reshape(2, -1).sum(axis=1), rtol=1e-4, atol=1e-5)
        with pytest.raises(IndexError):
            analyzer.explain(x, (3, width, 1))


def test_masks_of_regions() -> None:
    model = keras.Sequential([keras.Input((5, 6, 3)), layers.Conv2D(2, 3, padding="same")])
    x = random(4, 5, 6, 3)
    y = model.predict(x, verbose=0)
    region = np.zeros((5, 6, 2), bool)
    region[1:3, 2:4, 1] = True
    each = np.stack([np.roll(region, shift, axis=0) for shift in range(4)])
    analyzer = create_analyzer("lrp.epsilon", model, batch_size=3)
    for mask in (region, region.astype("uint8"), each, each.astype(int)):
        expected = (y * mask).reshape(4, -1).sum(axis=1)
        np.testing.assert_allclose(analyzer.explain(x, mask).explained, expected, rtol=1e-4, atol=1e-6)
    two = create_analyzer("lrp.epsilon", dense()).explain(x[:, 0, :4, 0], [True, False, True])
    np.testing.assert_allclose(two.explained, two.output[:, 0] + two.output[:, 2], rtol=1e-5)


@pytest.mark.parametrize("batch_size", [2, 4, 8])
def test_a_mask_of_a_region_is_one_whatever_the_batch_size(batch_size: int) -> None:
    x = np.random.default_rng(0).normal(size=(8, 4, 3)).astype("float32")
    inputs = keras.Input((4, 3))
    analyzer = create_analyzer("lrp.epsilon", keras.Model(inputs, keras.layers.Dense(2)(inputs)))
    mask = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])  # which could be two indices, one for each axis, of four samples
    expected = analyzer.analyze(x, mask.astype(bool))
    np.testing.assert_allclose(analyzer.analyze(x, mask, batch_size=batch_size), expected, rtol=1e-5, atol=1e-6)
    indices = np.tile(mask, (2, 1))
    both = np.concatenate([analyzer.analyze(x[i : i + 1], tuple(indices[i])) for i in range(8)])
    np.testing.assert_allclose(analyzer.analyze(x, indices, batch_size=batch_size), both, rtol=1e-5, atol=1e-6)


def test_indices_of_every_integer_dtype() -> None:
    inputs = keras.Input((5,))
    analyzer = create_analyzer("lrp.epsilon", keras.Model(inputs, keras.layers.Dense(3)(inputs)))
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    expected = analyzer.analyze(x, [0, 2, 1, 2])
    for dtype in ("uint8", "uint16", "uint32", "uint64", "int8", "int64"):
        np.testing.assert_array_equal(analyzer.analyze(x, np.array([0, 2, 1, 2], dtype)), expected)


def test_target_is_another_name_of_the_selection() -> None:
    analyzer, x = create_analyzer("lrp.epsilon", dense()), random(3, 4)
    expected = analyzer.analyze(x, [2, 0, 1])
    np.testing.assert_array_equal(analyzer.analyze(x, target=[2, 0, 1]), expected)
    np.testing.assert_array_equal(analyzer.explain(x, target=[2, 0, 1]).relevance, expected)
    (found,) = (found for _, found in analyzer.explain_batches(x, target=[2, 0, 1]))
    np.testing.assert_array_equal(found.relevance, expected)
    assert analyzer.audit(x, target=1).explained == pytest.approx(analyzer.audit(x, 1).explained)
    with pytest.raises(ValueError, match="target= is another name of neuron_selection="):
        analyzer.analyze(x, 0, target=0)


def test_one_hot_labels_are_read_alike_as_floating_point_numbers_and_as_integers() -> None:
    model, x = dense(), random(3, 4)
    analyzer = create_analyzer("lrp.epsilon", model, batch_size=2)
    expected = analyzer.analyze(x, [2, 0, 1])
    labels = np.eye(3)[[2, 0, 1]]
    for dtype in ("float32", "float64", "int64", "int32", "uint8", "bool"):
        np.testing.assert_array_equal(analyzer(x, labels.astype(dtype)), expected)
    # As many samples as outputs: a vector of three is indices, a matrix of three by three is not.
    np.testing.assert_array_equal(analyzer(x, np.array([1, 0, 1])), analyzer.analyze(x, [1, 0, 1]))
    both = analyzer.explain(x, np.array([[1, 1, 0]] * 3))
    np.testing.assert_allclose(both.explained, both.output[:, :2].sum(axis=1), rtol=1e-5)


def test_integers_that_are_neither_labels_nor_indices_are_refused() -> None:
    analyzer, x = create_analyzer("lrp.epsilon", dense()), random(3, 4)
    for weights in ([[1, -1, 0]] * 3, [[0, 2, 0]] * 3):
        with pytest.raises(InputError, match=r"one-hot labels.*pass targets.astype\(float\)"):
            analyzer(x, np.array(weights))
    one = create_analyzer("lrp.epsilon", keras.Sequential([keras.Input((4,)), layers.Dense(1)]))
    for column in ([[1], [1], [1]], [[-1], [1], [-1]], [[0], [1], [0]]):
        with pytest.raises(InputError, match="a column for every output"):
            one(x, np.array(column))
    expected = one.analyze(x)
    np.testing.assert_array_equal(one(x, np.array([[0], [0], [0]])), expected)
    np.testing.assert_array_equal(one(x, np.array([[-1.0]] * 3)), -expected)


def test_integers_for_an_output_without_axes_are_indices() -> None:
    inputs = keras.Input((4,))
    scalar = keras.Model(inputs, keras.ops.squeeze(layers.Dense(1)(inputs), axis=-1))
    analyzer, x = create_analyzer("lrp.epsilon", scalar), random(3, 4)
    assert np.any(analyzer.analyze(x, [0, 0, 0]))
    np.testing.assert_array_equal(analyzer.analyze(x, [0, 0, 0]), analyzer.analyze(x))
