"""Slices of a stored array: those of numpy, and no more rows read than are needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kerasexplain.store.slicing import sliced

pytestmark = pytest.mark.once("slices are numpy's")

SHAPE = (7, 3, 2)
WHOLE = np.arange(np.prod(SHAPE)).reshape(SHAPE)


def part(key: Any, shape: tuple[int, ...] = SHAPE) -> tuple[Any, set[int]]:
    """What is sliced, and which rows were read for it."""
    whole, seen = WHOLE[: shape[0]], set[int]()

    def read(low: int, high: int) -> np.ndarray:
        seen.update(range(low, high))
        return whole[low:high]

    return sliced(read, shape, key), seen


@given(arrays.basic_indices(SHAPE, allow_newaxis=True, allow_ellipsis=True))
def test_basic_keys(key: Any) -> None:
    np.testing.assert_array_equal(part(key)[0], WHOLE[key])


@given(st.lists(st.integers(-7, 6)), st.sampled_from([(), (slice(1, 3),), (Ellipsis, 0), (slice(None), 1)]))
def test_lists_of_rows(rows: list[int], rest: tuple[Any, ...]) -> None:
    key = (np.array(rows, int), *rest)
    found, seen = part(key)
    np.testing.assert_array_equal(found, WHOLE[key])
    assert seen == {row % 7 for row in rows}


@given(arrays.arrays(bool, 7))
def test_truth_values(mask: np.ndarray) -> None:
    found, seen = part(mask)
    np.testing.assert_array_equal(found, WHOLE[mask])
    assert seen == set(np.flatnonzero(mask).tolist())


@pytest.mark.parametrize("key", [3, -1, slice(5, 1, -2), slice(2, 4), [4, 1, 4], (slice(1, 2), 0), ([1, 2], [0, 1])])
def test_only_the_rows_that_are_asked_for_are_read(key: Any) -> None:
    found, seen = part(key)
    np.testing.assert_array_equal(found, WHOLE[key])
    rows = np.arange(7)[key[0] if isinstance(key, tuple) else key]
    assert seen <= set(range(int(np.min(rows)), int(np.max(rows)) + 1))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (7, "7 is out of range: there are 7 samples"),
        ([0, -8], "out of range"),
        (1.5, "integers, slices or truth values"),
        ("relevance", "integers, slices or truth values"),
        (np.ones(6, bool), r"a mask of the shape \(6,\)"),
    ],
)
def test_what_is_no_key(key: Any, said: str) -> None:
    with pytest.raises(IndexError, match=said):
        part(key)


@pytest.mark.parametrize(
    "key", [True, np.False_, np.array(3), [[True] * 3] * 7, np.ones((7, 3, 2), bool), (None, 2), (True, 0), [[0, 1]]]
)
def test_keys_of_other_axes(key: Any) -> None:
    np.testing.assert_array_equal(part(key)[0], WHOLE[key])


def test_of_nothing() -> None:
    assert part([], (0, 3, 2))[0].shape == (0, 3, 2)
    assert part(slice(None), (0, 3, 2))[0].shape == (0, 3, 2)
