"""Arrays that people hand in to be looked at: checked, and told apart by their shapes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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


def is_signal(shape: Sequence[int]) -> bool:
    """Whether samples of that shape, batch first, are signals (time, then channels), and no images without channels."""
    return len(shape) == 3 and 4 * shape[2] <= shape[1]


def channels_last(values: Any) -> np.ndarray:
    """Images and volumes with their channels at the end, wherever the model has them; all else as it is."""
    array, channels = np.asarray(values), (1, 3, 4)
    is_first = array.ndim in (4, 5) and array.shape[1] in channels and array.shape[-1] not in channels
    return np.moveaxis(array, 1, -1) if is_first else array


def check_sample(sample: Any, count: int) -> None:
    """Raises ValueError unless the value is the index of one of the samples."""
    if isinstance(sample, bool) or not isinstance(sample, (int, np.integer)) or not 0 <= sample < count:
        raise ValueError(f"there are {count} samples: sample must be from 0 to {count - 1}, got {sample!r}")
