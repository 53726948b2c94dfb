"""Arrays that people hand in to be looked at, checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np


def real_array(values: Any, what: str, expected: str, ranks: Collection[int]) -> np.ndarray:
    """The values as an array of finite real numbers, of whatever type they have.

    Args:
        values: An array, or nested lists.
        what: How messages call them, such as "relevance".
        expected: What they should be, a sentence without its end.
        ranks: How many axes they may have.

    Raises:
        ValueError: They are something else, or there is none, or one is NaN or infinite.
    """
    if isinstance(values, Mapping):
        raise ValueError(f"{expected}; got a dict with {list(values)}: pass one of its entries")
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{expected}; got arrays of different shapes: pass one of them") from None
    if array.dtype.kind not in "biuf" and array.dtype != "bfloat16":
        raise ValueError(f"{expected}, in real numbers; got {array.dtype} ({type(values).__name__})")
    if array.ndim not in ranks:
        raise ValueError(f"{expected}; got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{expected}; got the empty shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} holds values that are NaN or infinite")
    return array


def check_sample(sample: Any, count: int) -> None:
    """Raises ValueError unless the value is the index of one of the samples."""
    if isinstance(sample, bool) or not isinstance(sample, (int, np.integer)) or not 0 <= sample < count:
        raise ValueError(f"there are {count} samples: sample must be from 0 to {count - 1}, got {sample!r}")
