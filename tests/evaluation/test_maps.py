"""Relevance maps that can be compared: channels, cells, lengths, classes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kerasexplain import Contrast, InputError
from kerasexplain.evaluation.strategies import maps

pytestmark = pytest.mark.once("arrays alone")


def test_a_cell_gets_what_lies_in_it_by_area() -> None:
    # Three pixels in two cells: the one in the middle is shared.
    found = maps.shrunk(np.array([[[1.0, 2.0, 4.0]] * 3]), 2)
    row = [1 + 1, 1 + 4]
    np.testing.assert_allclose(found, [np.array([row, row]) * 1.5])


@pytest.mark.parametrize("shape", [(7, 5), (32, 16), (9, 8, 10)])
def test_pooling_keeps_the_sum(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    given = rng.normal(size=(3, *shape))
    found = maps.shrunk(given, 6)
    assert found.shape == (3, *(min(length, 6) for length in shape))
    np.testing.assert_allclose(found.reshape(3, -1).sum(axis=1), given.reshape(3, -1).sum(axis=1))


def test_maps_of_one_axis_are_taken_as_they_are(rng: np.random.Generator) -> None:
    given = rng.normal(size=(3, 100))
    np.testing.assert_array_equal(maps.shrunk(given, 6), given)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((2, 6, 6, 3), -1),  # an image
        ((2, 4, 6, 6, 3), -1),  # a volume
        ((2, 20, 5), -1),  # a signal
        ((2, 6, 6), None),  # an image without channels
        ((2, 9), None),  # a table, or tokens
    ],
)
def test_channels_are_found(shape: tuple[int, ...], axis: int | None, rng: np.random.Generator) -> None:
    given = rng.normal(size=shape)
    np.testing.assert_array_equal(maps.summed(given), given if axis is None else given.sum(axis=axis))


def test_channels_first_are_those_of_keras(rng: np.random.Generator) -> None:
    given = rng.normal(size=(2, 3, 6, 6))
    keras.config.set_image_data_format("channels_first")
    try:
        np.testing.assert_array_equal(maps.summed(given), given.sum(axis=1))
    finally:
        keras.config.set_image_data_format("channels_last")


def test_channels_can_be_told(rng: np.random.Generator) -> None:
    given = rng.normal(size=(2, 20, 5))
    np.testing.assert_array_equal(maps.summed(given, None), given)
    np.testing.assert_array_equal(maps.summed(given, 1), given.sum(axis=1))
    assert maps.summed(given[:, 0, 0]).shape == (2, 1)
    for axis in (0, 3, -3, "last"):
        with pytest.raises(ValueError, match=r"is the axis of channels, of relevance of shape \(2, 20, 5\)"):
            maps.summed(given, axis)


def test_maps_have_length_1_and_zeros_stay() -> None:
    given = np.array([[3.0, -4.0], [0.0, 0.0], [3e-200, -4e-200], [-3e200, 4e200]])
    np.testing.assert_allclose(maps.normalized(given), [[0.6, -0.8], [0, 0], [0.6, -0.8], [-0.6, 0.8]], rtol=1e-6)


def test_classes_are_indices_or_one_hot() -> None:
    expected = [2, 0, 1]
    for given in ([2, 0, 1], [[2], [0], [1]], np.array([2.0, 0.0, 1.0]), np.eye(3)[expected]):
        assert maps.class_indices(given).tolist() == expected
    for wrong in ([0.5, 1.0], [-1, 0], ["cat"], np.zeros((2, 3)), np.zeros((2, 2, 2))):
        with pytest.raises(InputError, match="labels are the index of each sample's class"):
            maps.class_indices(wrong)


def test_what_holds_for_all_samples() -> None:
    for selection in (None, 3, (1, 2), Contrast(1), Contrast(1, 2)):
        assert maps.holds_for_all(selection)
    for selection in ([1, 2], np.ones((2, 3)), Contrast([1, 2]), lambda batch: batch[1]):
        assert not maps.holds_for_all(selection)
