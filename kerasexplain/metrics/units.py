"""Units: the parts of a sample that are removed or kept together."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerasexplain.foundation.errors import InputError

#: So many units lie along the longest side of an image where nothing else is asked for: 9 pixels of 224.
ALONG = 24


@dataclasses.dataclass(frozen=True)
class Units:
    """The parts of a sample, numbered through all inputs of the model.

    Attributes:
        numbers: For each input, the number of the unit at every position; -1 where nothing is ever removed.
        channels: For each input, the axis of a batch that holds channels; None where every number is a position.
        count: How many units there are.
    """

    numbers: list[np.ndarray]
    channels: list[int | None]
    count: int

    @classmethod
    def of(
        cls,
        inputs: Sequence[np.ndarray],
        names: Sequence[str],
        *,
        size: Any = None,
        regions: Any = None,
        which: Any = None,
    ) -> Units:
        """The units of such samples.

        Positions run over all axes but that of the channels; a feature of a table and a token are a position each.

        Args:
            inputs: Samples, an array for each input of the model.
            names: Of the inputs.
            size: Of a unit, along every axis: one number, or one for each axis. None: a 24th of the longest side.
            regions: Instead, an integer for each position: what has the same number is one unit, and a negative
                one is never removed.
            which: Name or index of the only input of which something is removed; None for all.

        Raises:
            InputError: size, regions or which do not fit the inputs.
        """
        chosen = _chosen(which, names)
        numbers, channels, count = [], [], 0
        for i, x in enumerate(inputs):
            axis = channel_axis(x.ndim)
            sides = tuple(side for at, side in enumerate(x.shape) if at not in (0, axis))
            own = np.full(sides, -1)
            if i in chosen:
                own = _given(regions, sides) if regions is not None else _grid(sides, size)
                if own.max(initial=-1) < 0:
                    raise InputError(f"the model's input {names[i]!r} has no part that could be removed")
                own = np.where(own < 0, -1, own + count)
                count = int(own.max()) + 1
            numbers.append(own)
            channels.append(axis)
        return cls(numbers, channels, count)

    def sums(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """The sum of values over every unit and its channels, `(samples, count)`, in double precision."""
        total = np.zeros((len(values[0]), self.count))
        for array, numbers in zip(self.positions(values), self.numbers, strict=True):
            flat, own = array.reshape(len(array), -1), numbers.ravel()
            for i, row in enumerate(flat):
                total[i] += np.bincount(own[own >= 0], weights=row[own >= 0], minlength=self.count)
        return total

    def positions(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The sum of values over channels, in double precision: an array for each input, shaped as its positions."""
        pairs = zip(values, self.channels, strict=True)
        return [np.asarray(v, "float64") if axis is None else v.sum(axis=axis, dtype="float64") for v, axis in pairs]

    def at(self, flags: np.ndarray) -> list[np.ndarray]:
        """Where the flagged units lie: for each input an array of truth values that broadcasts to it.

        Args:
            flags: Truth values, `(rows, count)`.
        """
        wide = np.concatenate([flags, np.zeros((len(flags), 1), bool)], axis=1)  # the last one is for -1
        found = [wide[:, numbers] for numbers in self.numbers]
        pairs = zip(found, self.channels, strict=True)
        return [array if axis is None else np.expand_dims(array, axis) for array, axis in pairs]


def channel_axis(rank: int) -> int | None:
    """The axis of a batch of that rank that holds channels; None where there is none, as in tables and ids."""
    if rank < 3:
        return None
    return 1 if keras.config.image_data_format() == "channels_first" and rank > 3 else rank - 1


def position_axes(rank: int) -> tuple[int, ...]:
    """The axes of a batch of that rank that are positions."""
    return tuple(axis for axis in range(1, rank) if axis != channel_axis(rank))


def pooled_axes(rank: int) -> tuple[int, ...]:
    """The axes of such a batch along which values are of one kind: samples and positions; in a table, samples."""
    return (0, *position_axes(rank)) if rank > 2 else (0,)


def _chosen(which: Any, names: Sequence[str]) -> set[int]:
    if which is None:
        return set(range(len(names)))
    if which in names:
        return {list(names).index(which)}
    if isinstance(which, int) and not isinstance(which, bool) and 0 <= which < len(names):
        return {which}
    raise InputError(f"which={which!r} is no input of the model: its inputs are {list(names)}")


def _given(regions: Any, sides: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(regions)
    if array.shape != sides or array.dtype.kind not in "iu":
        raise InputError(f"regions must be integers of shape {sides}, got {array.dtype} of shape {array.shape}")
    kept = array >= 0
    numbers = np.full(sides, -1)
    numbers[kept] = np.unique(array[kept], return_inverse=True)[1]  # without gaps, so that they can be counted
    return numbers


def _grid(sides: tuple[int, ...], size: Any) -> np.ndarray:
    """The numbers of a regular grid; the last unit of an axis may be smaller."""
    if size is None:
        size = 1 if len(sides) < 2 and max(sides, default=1) <= 4 * ALONG else max(1, round(max(sides) / ALONG))
    sizes = list(size) if isinstance(size, (list, tuple)) else [size] * len(sides)
    if len(sizes) != len(sides):
        raise InputError(f"size must be a number, or one for each of the {len(sides)} axes of {sides}; got {size!r}")
    counts = [math.ceil(side / step) for side, step in zip(sides, sizes, strict=True)]
    places = np.ix_(*(np.arange(side) // step for side, step in zip(sides, sizes, strict=True)))
    return np.broadcast_to(np.ravel_multi_index(places, counts), sides).astype("int64")
