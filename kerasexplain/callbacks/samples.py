"""The samples that callbacks look at, with their labels, chosen once."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from kerasexplain.foundation.errors import InputError
from kerasexplain.frames import is_frame
from kerasexplain.runtime.streams import batches_of, is_stream


@dataclasses.dataclass(frozen=True)
class WatchedSamples:
    """Some samples.

    Attributes:
        x: As `analyze` takes it.
        y: Their labels, as `fit` takes them; None without labels.
        count: How many they are.
    """

    x: Any
    y: Any
    count: int

    @classmethod
    def of(cls, data: Any, limit: int | None) -> WatchedSamples:
        """The first samples of data.

        Args:
            data: `(x, y)`, x alone, or a stream of batches of either: a `tf.data.Dataset`, a `PyDataset`, a generator.
            limit: How many are taken at most; None for all.

        Raises:
            InputError: There are none.
        """
        if data is None:
            raise InputError("there is no data to look at: data=None")
        parts: list[tuple[Any, Any]] = []
        count = 0
        for part in batches_of(data) if is_stream(data) else [data]:
            x, y = part[:2] if isinstance(part, tuple) and len(part) > 1 else (_alone(part), None)
            rest = None if limit is None else limit - count
            parts.append((_cut(x, rest), _cut(y, rest)))
            count += len(keras.tree.flatten(parts[-1][0])[0])
            if limit is not None and count >= limit:
                break
        if not count:
            raise InputError("there is no data to look at")
        x, y = (_joined([part[i] for part in parts]) for i in range(2))
        return cls(x, y, count)

    @property
    def labels(self) -> np.ndarray | None:
        """The index of every sample's true class; None if the labels are not those of classes."""
        if self.y is None or isinstance(self.y, (dict, list, tuple)):
            return None
        y = np.asarray(self.y)
        if y.dtype.kind not in "biuf":
            return None
        if y.ndim == 2 and y.shape[1] > 1:
            is_one_hot = bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())
            return y.argmax(axis=1) if is_one_hot else None
        y = y.reshape(len(y), -1)
        if y.shape[1] != 1 or not np.array_equal(y, np.round(y)) or (y < 0).any():
            return None
        return y[:, 0].astype(np.int64)


def _alone(part: Any) -> Any:
    return part[0] if isinstance(part, tuple) else part


def _cut(values: Any, count: int | None) -> Any:
    if values is None:
        return None
    if isinstance(values, list) and not all(hasattr(value, "__array__") for value in values):
        values = np.asarray(values)  # numbers in lists, and no arrays of several inputs

    def of(values: Any) -> Any:
        if is_frame(values) and hasattr(values, "iloc"):
            return values.iloc[:count]  # with the names of its columns
        array = np.asarray(values)
        if not array.ndim:
            raise InputError(f"samples are the first axis, but here is a single {array.dtype}: batch the data")
        return array[:count]

    return keras.tree.map_structure(of, values)


def _joined(parts: list[Any]) -> Any:
    if parts[0] is None or len(parts) == 1:
        return parts[0]
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)
