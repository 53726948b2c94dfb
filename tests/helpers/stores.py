"""Data for stores, and what interrupts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

N = 50


class InterruptionError(Exception):
    """Ends a run in the middle."""


def after(samples: int) -> Callable[[int], None]:
    """A callback that ends a run when so many samples are on the disk."""

    def end(done: int) -> None:
        if done >= samples:
            raise InterruptionError

    return end


def batches(x: np.ndarray, size: int, labels: np.ndarray | None = None) -> Iterator[Any]:
    for begin in range(0, len(x), size):
        part = x[begin : begin + size]
        yield part if labels is None else (part, labels[begin : begin + size])
