"""Slices of arrays that are read row by row, as numpy has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def sliced(read: Callable[[int, int], np.ndarray], shape: tuple[int, ...], key: Any) -> Any:
    """The part of an array that a key chooses; no more rows are read than it needs.

    Args:
        read: `(low, high) -> rows`, of the first axis.
        shape: Of the array.
        key: As numpy takes it.

    Raises:
        IndexError: It is none, or out of range.
    """
    count = shape[0]
    first, rest = (key[0] if key else Ellipsis, key[1:]) if isinstance(key, tuple) else (key, ())
    if isinstance(first, slice):
        chosen = range(*first.indices(count))
        low, high = (min(chosen), max(chosen) + 1) if chosen else (0, 0)
        rows = read(low, high)[:: abs(chosen.step)]
        within: Any = (slice(None, None, -1 if chosen.step < 0 else 1), *rest)
        return rows[within]
    wanted = _indices(first, count)
    if wanted is None:
        return read(0, count)[key]
    numbers, where = np.unique(wanted, return_inverse=True)
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1) if numbers.size else []
    parts = [read(int(run[0]), int(run[-1]) + 1) for run in runs]
    rows = np.concatenate(parts) if parts else read(0, 0)
    within = (where.reshape(wanted.shape) if wanted.ndim else int(where.ravel()[0]), *rest)
    return rows[within]


def _indices(first: Any, count: int) -> np.ndarray | None:
    """The rows that an integer, integers, or a truth value for each row choose; None of what is about other axes too.

    Raises:
        IndexError: It is no key, or out of range.
    """
    wanted = np.asarray(first)
    if first is Ellipsis or first is None or (wanted.dtype == bool and wanted.ndim != 1):
        return None
    if wanted.dtype == bool:
        if len(wanted) != count:
            raise IndexError(f"a mask of the shape {wanted.shape} does not fit {count} samples")
        return np.flatnonzero(wanted)
    if wanted.dtype.kind not in "iu" and wanted.size:
        raise IndexError(f"samples are chosen by integers, slices or truth values, got {first!r:.60}")
    wanted = wanted.astype("int64")
    if np.any((wanted < -count) | (wanted >= count)):
        raise IndexError(f"{first!r:.60} is out of range: there are {count} samples")
    return wanted % max(1, count)
