"""Labels as targets of relevance, and what speaks against them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.foundation.errors import InputError

Tensor = Any

#: How far rows of probabilities may be from a sum of 1: as far as half precision takes them.
_TOLERANCE = 1e-2
_WAY_OUT = "choose target='prediction' or 'all', or pass a function (x, y) -> integers, or weights of the outputs"


def of_output(y: Any, output: int | str, names: Sequence[str]) -> Any:
    """The labels of one output, of the labels as `fit` takes them: one array, a list, or a dict by the outputs' names.

    Raises:
        InputError: It has none.
    """
    if isinstance(y, dict):
        name = output if isinstance(output, str) else names[output]
        if name not in y:
            raise InputError(f"there are no labels for the output {name!r}, only for {sorted(y)}")
        return y[name]
    if not isinstance(y, (list, tuple)):
        return y
    if len(y) != len(names):
        raise InputError(f"labels are an array for each output, {list(names)}; got a list of {len(y)}")
    return y[names.index(output) if isinstance(output, str) else output]


def as_indices(y: Any, classes: int, count: Any) -> Tensor:
    """The label of each sample as an index, of labels as losses take them: integers, or rows of one for each class.

    Raises:
        InputError: There are none, or they have another shape.
    """
    if classes == 1:  # one output serves two classes, or a regression
        return ops.zeros((count,), dtype="int64")
    if y is None:
        raise InputError(f"target='label' needs labels, and there is no y: {_WAY_OUT}")
    y = ops.convert_to_tensor(y)
    if len(y.shape) == 2 and y.shape[1] == classes:
        return ops.cast(ops.argmax(y, axis=-1), "int64")
    if len(y.shape) > 2 or (len(y.shape) == 2 and y.shape[1] != 1):
        raise InputError(
            f"labels are one integer for each sample, or one-hot rows of {classes}; got the shape {tuple(y.shape)}"
        )
    return ops.cast(ops.reshape(y, (-1,)), "int64")


def check_labels(y: Any, classes: int) -> None:
    """Raises InputError unless these numbers are labels of classes: one of them for each sample."""
    if classes == 1 or y is None:
        return
    values = np.asarray(ops.convert_to_numpy(y) if hasattr(y, "shape") else y)
    if values.dtype.kind not in "biuf":
        raise InputError(f"labels are integers, or rows of one for each class; got {values.dtype}")
    if values.ndim == 2 and values.shape[1] == classes:
        values = values.astype("float64")
        if not ((values >= 0).all() and (np.abs(values.sum(axis=1) - 1) < _TOLERANCE).all()):
            raise InputError(
                "target='label' explains one class for each sample, and there are rows of labels that are not one-hot "
                f"or do not sum to 1, such as {values[np.abs(values.sum(axis=1) - 1).argmax()].tolist()!s:.80}: "
                f"{_WAY_OUT}"
            )
    elif values.ndim == 1 or values.shape[1:] == (1,):
        wrong = values[~((values >= 0) & (values < classes) & (values == np.floor(values)))]
        if wrong.size:
            raise InputError(
                f"target='label' needs integers from 0 to {classes - 1}, one class for each of the {classes} outputs; "
                f"there is {wrong.reshape(-1)[0]}: {_WAY_OUT}"
            )
