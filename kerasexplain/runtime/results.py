"""The results of all batches: in arrays or callbacks, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from kerasexplain.foundation.errors import InputError, plain
from kerasexplain.runtime.streams import Batch, behind


class Output:
    """Arrays that relevance is written to.

    Args:
        out: What has a shape, a dtype and takes `out[rows] = values`; in the input's structure if there are several.

    Attributes:
        written: How many samples there were so far.

    Raises:
        InputError: It cannot be written to, or holds something else than floating-point numbers.
    """

    def __init__(self, out: Any) -> None:
        self._names = set(out) if isinstance(out, dict) else None
        self._arrays = keras.tree.flatten(out)
        self.written = 0
        for array in self._arrays:
            if not hasattr(array, "dtype") or not hasattr(array, "__setitem__") or not array.shape:
                raise InputError(f"out must be an array that can be written to, got {type(array).__name__}")
            if getattr(array.dtype, "kind", "") != "f":
                raise InputError(f"out must hold floating-point numbers, got {array.dtype}")
            if _is_read_only(array):
                raise InputError("out can only be read: pass an array that can be written to")

    def put(self, rows: slice, relevance: Any) -> None:
        """Writes the relevance of some samples.

        Raises:
            InputError: It does not fit.
        """
        names = set(relevance) if isinstance(relevance, dict) else None
        if names != self._names:
            raise InputError(f"out is {_told(self._names)}, but the relevance is {_told(names)}")
        values = keras.tree.flatten(relevance)
        if len(values) != len(self._arrays):
            raise InputError(f"out has {len(self._arrays)} arrays, but the relevance is that of {len(values)} inputs")
        for array, value in zip(self._arrays, values, strict=True):
            if tuple(array.shape[1:]) != value.shape[1:] or len(array) < rows.stop:
                expected = (f"at least {rows.stop}", *value.shape[1:])
                raise InputError(f"out has shape {tuple(array.shape)}, but it must hold {expected}")
            fitting = _fitting(value, array.dtype)
            try:
                array[rows] = fitting
            except (TypeError, ValueError) as error:
                raise InputError(f"out, of type {type(array).__name__}, takes no values: {plain(error)}") from error
        self.written = rows.stop

    def check_count(self, samples: int) -> None:
        """Raises InputError unless there are as many rows as samples."""
        for array in self._arrays:
            if len(array) != samples:
                raise InputError(f"out has {len(array)} rows, but there are {samples} samples")


def _is_read_only(array: Any) -> bool:
    """Whether an array of numpy, or a dataset of an HDF5 file, can only be read."""
    flags, file = getattr(array, "flags", None), getattr(array, "file", None)
    return not getattr(flags, "writeable", True) or getattr(file, "mode", "") == "r"


def _told(names: set[str] | None) -> str:
    return "no dict" if names is None else f"a dict with {sorted(names)}"


def _fitting(value: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The values in a dtype, which may round them.

    Raises:
        InputError: Values that are finite would not be so any more.
    """
    with np.errstate(over="ignore"):
        fitting = value.astype(dtype, copy=False)
    if np.isinf(fitting).any() and np.isfinite(value[np.isinf(fitting)]).any():
        largest = np.abs(value[np.isfinite(value)]).max()
        raise InputError(
            f"out holds {dtype}, of {np.finfo(dtype).max:.4g} at most, but there is relevance of {largest:.4g}: pass "
            f"an array of {value.dtype}"
        )
    return fitting


def deliver(found: Iterable[tuple[Batch, Any]], out: Any, callback: Callable[[slice, Any], None] | None) -> Any:
    """Hands out relevance batch by batch, in a thread of its own.

    Args:
        found: Batches, and their relevance.
        out: Where it is written to; None for nowhere.
        callback: What else is called with `(rows, relevance)`.

    Returns:
        out.

    Raises:
        InputError: out does not fit.
    """
    output = None if out is None else Output(out)

    def use(rows: slice, relevance: Any) -> None:
        if output is not None:
            output.put(rows, relevance)
        if callback is not None:
            callback(rows, relevance)

    with behind(use) as later:
        for batch, relevance in found:
            if output is not None and batch.total is not None:
                output.check_count(batch.total)
            later(batch.rows, relevance)
    if output is not None:
        output.check_count(output.written)
    return out


class Progress:
    """A progress bar over samples.

    Args:
        total: How many there are; None where that is not known.
    """

    def __init__(self, total: int | None) -> None:
        self._bar = keras.utils.Progbar(total, verbose=1, unit_name="sample")
        self._done = 0.0

    def __call__(self, samples: float) -> None:
        """So many more samples are done, or parts of them."""
        self._done += samples
        self._bar.update(int(self._done + 1e-6))

    def end(self) -> None:
        """There are no more."""
        self._bar.update(int(self._done + 1e-6), finalize=True)
