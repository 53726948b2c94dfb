"""The relevance maps of many samples, small and of one length, so that they can be compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kerasexplain.analyzer import Analyzer
from kerasexplain.explanation import Explanation, entry
from kerasexplain.foundation.arrays import is_signal
from kerasexplain.foundation.errors import InputError
from kerasexplain.runtime.inputs import as_array
from kerasexplain.runtime.selection import Contrast
from kerasexplain.runtime.streams import batches_of, is_stream
from kerasexplain.store import Store

#: So many explanations of a store are read at once.
HELD_AT_ONCE = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Maps:
    """Relevance maps.

    Attributes:
        values: `(n, *shape)` in single precision: channels summed, pooled, each divided by its length, the square root
            of its sum of squares. A map of zeros stays one.
        positions: Where the samples are in the data, `(n,)`.
        outputs: What the model gave for them, `(n, classes)`; None unless it gives one row of several numbers.
        classes: Their true classes, `(n,)`; None without labels.
    """

    values: np.ndarray
    positions: np.ndarray
    outputs: np.ndarray | None
    classes: np.ndarray | None

    @property
    def predicted(self) -> np.ndarray | None:
        """The index of each sample's largest output, `(n,)`."""
        return None if self.outputs is None else self.outputs.argmax(axis=1)


class OfClass:
    """Samples with their classes, of all of them or of one class.

    Args:
        data: As `Analyzer.analyze` takes them.
        labels: The class of each, as a number or a row that is one-hot; for a stream also a function from a batch, as
            the stream gives it, to that of its samples.
        of: The class whose samples are taken; None for all.

    Attributes:
        given: What an analyzer is given.

    Raises:
        InputError: The labels are not those of classes, or there is none of that class.
    """

    def __init__(self, data: Any, labels: Any, of: int | None) -> None:
        if callable(labels) and not is_stream(data):
            raise InputError("labels= is a function of a stream's batches, but the data are arrays: pass an array")
        if of is not None and labels is None:
            raise InputError(f"of={of} takes the samples of a class, and needs their classes: pass labels=")
        self._of, self._label = of, labels if callable(labels) else None
        self._classes = None if labels is None or callable(labels) else class_indices(labels)
        self._positions: list[np.ndarray] = []
        self._found: list[np.ndarray] = []
        self._seen = 0
        self.given: Any = data
        if is_stream(data):
            self.given = data if labels is None else self._batches(data)
        elif labels is not None:
            assert self._classes is not None
            kept = self._kept(self._next(len(self._classes) if data is None else _count(data)))
            self._check_all_labels()
            if not len(kept):
                raise self._nothing()
            if of is not None and data is not None:
                self.given = rows_of(data, kept)

    def held(self, store: Store, target: Any) -> Iterator[tuple[slice, Explanation]]:
        """The explanations of these samples that a store has.

        Raises:
            InputError: It holds other numbers of samples, or explanations of something else than the target.
        """
        if is_stream(self.given):
            raise InputError("the samples of a store are those of arrays: pass the arrays as data, or None")
        if self._classes is not None:
            taken = np.concatenate(self._positions)
        else:
            taken = np.arange(len(store) if self.given is None else _count(self.given))
        total = self._seen or len(taken)
        if total != len(store):
            raise InputError(f"the store has {len(store)} samples, and there are {total}")
        for begin in range(0, len(taken), HELD_AT_ONCE):
            rows = slice(begin, min(begin + HELD_AT_ONCE, len(taken)))
            found = store[taken[rows]]
            if target is not None and not np.all(np.asarray(found.neuron) == target):
                raise InputError(
                    f"the store explains other outputs of these samples than {target}: make one with target={target}"
                )
            yield rows, found

    def result(self, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Where the samples are in the data, and their classes, after all of them have been read.

        Args:
            count: How many were explained.

        Raises:
            InputError: There are other numbers of labels and of samples.
        """
        if self._classes is None and self._label is None:
            return np.arange(count), None
        self._check_all_labels()
        positions, classes = np.concatenate(self._positions), np.concatenate(self._found)
        return positions, classes

    def _batches(self, data: Any) -> Iterator[Any]:
        for batch in batches_of(data):
            x = batch[0] if isinstance(batch, tuple) else batch
            count = _count(x)
            classes = self._next(count) if self._label is None else class_indices(self._label(batch))
            if len(classes) != count:
                raise InputError(f"labels= gave {len(classes)} classes for a batch of {count} samples")
            kept = self._kept(classes)
            if self._of is None:
                yield batch
            elif len(kept):
                yield rows_of(x, kept)
        if self._of is not None and not sum(map(len, self._positions)):
            raise self._nothing()

    def _next(self, count: int) -> np.ndarray:
        """The classes of the next samples, from those of all."""
        assert self._classes is not None
        classes = self._classes[self._seen : self._seen + count]
        if len(classes) < count:
            raise InputError(f"there are {len(self._classes)} labels, but at least {self._seen + count} samples")
        return classes

    def _kept(self, classes: np.ndarray) -> np.ndarray:
        """Which of some samples are taken; that is noted."""
        kept = np.arange(len(classes)) if self._of is None else np.flatnonzero(classes == self._of)
        self._positions.append(self._seen + kept)
        self._found.append(classes[kept])
        self._seen += len(classes)
        return kept

    def _nothing(self) -> InputError:
        return InputError(f"of={self._of}: no sample has that class")

    def _check_all_labels(self) -> None:
        if self._classes is not None and self._seen != len(self._classes):
            raise InputError(f"there are {len(self._classes)} labels for {self._seen} samples")


def collected(
    analyzer: Analyzer | Store,
    samples: OfClass,
    target: Any,
    *,
    which: int | str | None,
    axis: int | str | None,
    size: int,
    batch_size: int | str | None,
    verbose: int,
) -> Maps:
    """The maps of samples, batch by batch.

    Args:
        analyzer: What explains them; or a store with their explanations.
        samples: The samples.
        target, batch_size, verbose: As for `Analyzer.analyze`.
        which: Index or name of the input, for a model with several.
        axis: The axis of the channels, counted with that of the batch, as for `summed`.
        size: As for `pooled`.

    Raises:
        InputError: As `Analyzer.analyze`, or maps differ in shape.
    """
    values: list[np.ndarray] = []
    outputs: list[np.ndarray | None] = []
    count = 0
    if isinstance(analyzer, Store):
        output, found = analyzer.output_explained, samples.held(analyzer, target)
    else:
        output = analyzer.options.output
        found = analyzer.explain_batches(samples.given, target, batch_size=batch_size, verbose=verbose)
    for rows, explanation in found:
        relevance = np.asarray(entry(explanation.relevance, which), dtype=np.float64)
        values.append(normalized(shrunk(summed(relevance, axis), size)))
        outputs.append(_scores(output, explanation))
        count = rows.stop
    shapes = sorted({part.shape[1:] for part in values})
    if len(shapes) > 1:
        raise InputError(
            f"samples of different sizes have maps of different shapes, {shapes}, which cannot be compared: pass "
            f"size= of at most the smallest sample's, now {size}"
        )
    positions, classes = samples.result(count)
    scores = [part for part in outputs if part is not None]
    return Maps(np.concatenate(values), positions, np.concatenate(scores) if scores else None, classes)


def class_indices(labels: Any) -> np.ndarray:
    """Classes as integers, of integers or of rows that are one-hot.

    Raises:
        InputError: They are neither.
    """
    given = as_array(labels)
    if given.dtype.kind in "biuf":
        if given.ndim == 2 and given.shape[1] > 1 and ((given == 0) | (given == 1)).all():
            if (given.sum(axis=1) == 1).all():
                return given.argmax(axis=1)
        elif given.ndim == 1 or (given.ndim == 2 and given.shape[1] == 1):
            flat = given.reshape(-1)
            if np.array_equal(flat, np.round(flat)) and (flat >= 0).all():
                return flat.astype(np.int64)
    raise InputError(
        f"labels are the index of each sample's class, or rows that are one-hot; got {given.dtype} {given.shape}"
    )


def summed(relevance: np.ndarray, axis: int | str | None = "auto") -> np.ndarray:
    """Relevance without channels, `(n, *shape)`.

    Args:
        relevance: `(n, ...)`.
        axis: The axis of the channels, counted with that of the batch; None where there is none. "auto" is that of
            `keras.config.image_data_format()` in images and volumes, `(n, height, width, channels)` and beyond; the
            last of signals, `(n, time, channels)`, where it is at most a quarter of the other; and none elsewhere.

    Raises:
        ValueError: There is no such axis.
    """
    if relevance.ndim == 1:
        relevance = relevance[:, None]
    if axis == "auto":
        axis = None
        if relevance.ndim > 3:
            axis = 1 if keras.config.image_data_format() == "channels_first" else -1
        elif is_signal(relevance.shape):
            axis = -1
    if axis is None:
        return relevance
    if isinstance(axis, str) or not (0 < axis < relevance.ndim or -relevance.ndim < axis < 0):
        raise ValueError(
            f'axis={axis!r} is the axis of channels, of relevance of shape {relevance.shape}: "auto", None, or from 1 '
            f"to {relevance.ndim - 1}"
        )
    without = relevance.sum(axis=axis)
    return without[:, None] if without.ndim == 1 else without


def shrunk(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps of two axes or more, added up to at most `size` cells along each; of one axis, as they are.

    What lies across the border of two cells is shared by area, so that each map keeps its sum.

    Args:
        maps: `(n, *shape)`.
        size: How many cells.
    """
    if maps.ndim < 3:
        return maps
    for axis in range(1, maps.ndim):
        if maps.shape[axis] > size:
            maps = np.moveaxis(np.tensordot(maps, _shares(maps.shape[axis], size), axes=(axis, 1)), -1, axis)
    return maps


def normalized(maps: np.ndarray) -> np.ndarray:
    """Maps of length 1, in single precision; a map of zeros stays one."""
    flat = maps.reshape(len(maps), -1)
    largest = np.abs(flat).max(axis=1, keepdims=True, initial=0.0)
    flat = flat / np.where(largest > 0, largest, 1.0)  # squares of very small numbers would be zero
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return (flat / np.where(length > 0, length, 1.0)).astype(np.float32).reshape(maps.shape) + np.float32(0)


def rows_of(x: Any, rows: np.ndarray) -> Any:
    """Some samples of x, in x's structure.

    Args:
        x: As `Analyzer.analyze` takes it.
        rows: Which, ascending.
    """
    if isinstance(x, (list, tuple)) and len(x) and not hasattr(x[0], "__array__"):
        x = np.asarray(x)  # numbers in lists, and no arrays of several inputs

    def of(array: Any) -> Any:
        is_indexed = hasattr(array, "dtype") and not keras.ops.is_tensor(array)  # numpy, memmap, HDF5
        return (array if is_indexed else as_array(array))[rows]

    return keras.tree.map_structure(of, x)


def holds_for_all(target: Any) -> bool:
    """Whether a selection needs no entry for each sample."""
    sides = (target.target, target.against) if isinstance(target, Contrast) else (target,)
    return not callable(target) and all(np.ndim(side) == 0 or isinstance(side, tuple) for side in sides)


def _shares(length: int, size: int) -> np.ndarray:
    """Which share of every position lies in every cell, `(size, length)`."""
    edges = np.arange(size + 1) * (length / size)
    begin, end = np.arange(length), np.arange(1, length + 1)
    overlap = np.minimum(edges[1:, None], end) - np.maximum(edges[:-1, None], begin)
    return np.maximum(overlap, 0.0)


def _scores(explained: int | str, explanation: Explanation) -> np.ndarray | None:
    """The explained output of the model, where it has one row of several numbers for every sample."""
    output = explanation.output
    if isinstance(output, (dict, list, tuple)):
        by_name = output if isinstance(output, dict) else dict(enumerate(output))
        output = by_name.get(explained)
    if not isinstance(output, np.ndarray) or output.ndim != 2 or output.shape[1] < 2:
        return None
    return output.astype(np.float32)


def _count(x: Any) -> int:
    return len(keras.tree.flatten(x)[0])
