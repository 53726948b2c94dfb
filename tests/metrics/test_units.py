"""The parts that are removed together."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasexplain import InputError
from kerasexplain.metrics.units import Units

pytestmark = pytest.mark.once("numpy alone")


@pytest.mark.parametrize(
    ("shape", "size", "count"),
    [
        ((9,), None, 9),  # features of a table, or tokens
        ((9,), 2, 5),
        ((96,), None, 96),
        ((240,), None, 24),
        ((10, 3), None, 10),  # a signal
        ((240, 3), None, 24),
        ((8, 8, 3), None, 64),
        ((224, 224, 3), None, 25 * 25),
        ((224, 224, 3), 16, 14 * 14),
        ((6, 9, 1), (6, 3), 3),
        ((4, 6, 8, 2), 2, 2 * 3 * 4),
        ((48, 48, 48, 1), None, 24**3),
        ((), None, 1),
    ],
)
def test_number_of_parts(shape: tuple[int, ...], size: Any, count: int) -> None:
    units = Units.of([np.zeros((2, *shape))], ["x"], size=size)
    assert units.count == count
    assert units.sums([np.ones((2, *shape))]).sum(axis=1) == pytest.approx(np.prod(shape))


def test_a_grid_is_numbered_by_rows() -> None:
    units = Units.of([np.zeros((1, 3, 4, 5))], ["x"], size=2)
    np.testing.assert_array_equal(units.numbers[0], [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]])
    np.testing.assert_array_equal(units.sums([np.ones((1, 3, 4, 5))]), [[20, 20, 10, 10]])


def test_regions_have_any_numbers() -> None:
    regions = np.array([[5, 5], [-1, 300]])
    units = Units.of([np.zeros((1, 2, 2, 3))], ["x"], regions=regions)
    assert units.count == 2
    at = units.at(np.array([[True, False], [False, True]]))[0]
    assert at.shape == (2, 2, 2, 1)
    np.testing.assert_array_equal(at[..., 0], [[[1, 1], [0, 0]], [[0, 0], [0, 1]]])


def test_parts_of_several_inputs_are_numbered_through() -> None:
    units = Units.of([np.zeros((1, 2)), np.zeros((1, 3, 4))], ["a", "b"])
    assert units.count == 5
    np.testing.assert_array_equal(units.numbers[1], [2, 3, 4])
    only = Units.of([np.zeros((1, 2)), np.zeros((1, 3, 4))], ["a", "b"], which="b")
    np.testing.assert_array_equal(only.numbers[0], [-1, -1])
    np.testing.assert_array_equal(only.numbers[1], [0, 1, 2])


def test_channels_first() -> None:
    known = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        units = Units.of([np.zeros((1, 3, 4, 5))], ["x"], size=1)
        assert units.numbers[0].shape == (4, 5)
        assert units.at(np.ones((1, 20), bool))[0].shape == (1, 1, 4, 5)
    finally:
        keras.config.set_image_data_format(known)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 9), st.integers(0, 2**16))
def test_every_value_is_in_one_part(shape: list[int], size: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(2, *shape))
    units = Units.of([x], ["x"], size=size)
    np.testing.assert_allclose(units.sums([x]).sum(axis=1), x.reshape(2, -1).sum(axis=1), atol=1e-9)
    each = [units.at(np.tile(np.arange(units.count) == unit, (2, 1)))[0] for unit in range(units.count)]
    assert np.all(sum(np.broadcast_to(flags, x.shape).astype(int) for flags in each) == 1)
    sums = np.stack([np.where(flags, x, 0).reshape(2, -1).sum(axis=1) for flags in each], axis=1)
    np.testing.assert_allclose(units.sums([x]), sums, atol=1e-9)


@pytest.mark.parametrize("which", [2, -1, "c", True, 1.0])
def test_inputs_that_are_none(which: Any) -> None:
    with pytest.raises(InputError, match=r"its inputs are \['a', 'b'\]"):
        Units.of([np.zeros((1, 2)), np.zeros((1, 3))], ["a", "b"], which=which)
