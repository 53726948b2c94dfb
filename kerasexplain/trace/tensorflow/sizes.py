"""Arithmetic on shapes, where sizes may be open: what code does with `tf.shape(x)` before it reshapes by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from kerasexplain.trace.tensorflow.table.rearranging import slices_of
from kerasexplain.trace.tensorflow.table.registry import registers
from kerasexplain.trace.tensorflow.values import (
    Size,
    Spread,
    StepsFirst,
    UntranslatableError,
    Weight,
    is_constant,
    is_sizes,
    is_symbolic,
    plain,
    sizes_of,
)

#: By the type of the operation: a function of it and its operands; it gives None where they hold no sizes.
TABLE: dict[str, Callable[..., Any]] = {}


_sizes = registers(TABLE)


def _elementwise(compute: Callable[..., Any]) -> Callable[..., Any]:
    def run(op: Any, *operands: Any) -> Any:
        if not any(map(is_sizes, operands)) or not all(is_sizes(x) or is_constant(x) for x in operands):
            return None
        return plain(compute(*(np.asarray(x, dtype=object) for x in operands)))

    return run


TABLE.update(
    {
        "Mul": _elementwise(np.multiply),
        "FloorDiv": _elementwise(np.floor_divide),
        "AddV2": _elementwise(np.add),
        "Sub": _elementwise(np.subtract),
        "Identity": _elementwise(lambda x: x),
        "StopGradient": _elementwise(lambda x: x),
        "Prod": _elementwise(lambda x, axis: np.prod(x, axis=tuple(np.ravel(axis).astype(int)))),
        "ExpandDims": _elementwise(lambda x, axis: np.expand_dims(x, int(axis))),
        "GatherV2": _elementwise(lambda x, indices, axis: np.take(x, indices.astype(int), axis=int(axis))),
    }
)


def _equality(op: Any, x: Any, y: Any) -> Any:
    """An open size equals itself; of any other it is not known."""
    if not (is_sizes(x) or is_sizes(y)) or any(map(is_symbolic, (x, y))):
        return None
    x, y = np.broadcast_arrays(np.asarray(x, dtype=object), np.asarray(y, dtype=object))
    same = []
    for one, other in zip(x.ravel(), y.ravel(), strict=True):
        if one != other and (isinstance(one, Size) or isinstance(other, Size)):
            raise UntranslatableError("it compares a size that is not known when the model is traced")
        same.append(one == other)
    found = np.asarray(same, dtype=bool).reshape(x.shape)
    return found if op.type == "Equal" else ~found


TABLE.update({"Equal": _equality, "NotEqual": _equality})


@_sizes("Cast", "Reshape", "Squeeze")
def _rearranged(op: Any, x: Any, *shape: Any) -> Any:
    if not is_sizes(x):
        return None
    if op.type == "Reshape":
        return np.reshape(x, [int(size) for size in np.ravel(shape[0])])
    return np.squeeze(x) if op.type == "Squeeze" else x


@_sizes("Shape")
def _shape(op: Any, x: Any) -> Any:
    return _of_dtype(op, sizes_of(_with_shape(x)))


@_sizes("ShapeN")
def _shapes(op: Any, *xs: Any) -> Any:
    return [_of_dtype(op, sizes_of(_with_shape(x))) for x in xs]


@_sizes("Size")
def _size(op: Any, x: Any) -> Any:
    return _of_dtype(op, plain(np.prod(np.asarray(sizes_of(_with_shape(x)), dtype=object))))


@_sizes("Rank")
def _rank(op: Any, x: Any) -> Any:
    return np.asarray(len(_with_shape(x).shape), dtype="int32")


def _with_shape(x: Any) -> Any:
    if not (is_symbolic(x) or is_constant(x) or is_sizes(x) or isinstance(x, (Weight, Spread, StepsFirst))):
        raise UntranslatableError("it asks for the shape of something other than a tensor of numbers")
    return x


def _of_dtype(op: Any, found: Any) -> Any:
    return found if is_sizes(found) else np.asarray(found).astype(op.outputs[0].dtype.as_numpy_dtype)


@_sizes("Pack")
def _packed(op: Any, *entries: Any) -> Any:
    if not any(map(is_sizes, entries)) or any(map(is_symbolic, entries)):
        return None
    return plain(np.stack([np.asarray(entry, dtype=object) for entry in entries], axis=op.get_attr("axis")))


@_sizes("ConcatV2")
def _joined(op: Any, *entries: Any) -> Any:
    *parts, axis = entries
    if not any(map(is_sizes, parts)):
        return None
    return plain(np.concatenate([np.asarray(part, dtype=object) for part in parts], axis=int(axis)))


@_sizes("StridedSlice")
def _sliced(op: Any, x: Any, *bounds: Any) -> Any:
    if not is_sizes(x):
        return None
    return plain(x[slices_of(op, *bounds)])


@_sizes("Slice")
def _part(op: Any, x: Any, begin: Any, size: Any) -> Any:
    if not is_sizes(x):
        return None
    start, count = int(np.ravel(begin)[0]), int(np.ravel(size)[0])
    return plain(x[start:] if count == -1 else x[start : start + count])


@_sizes("Unpack")
def _unpacked(op: Any, x: Any) -> Any:
    return [plain(entry) for entry in x] if is_sizes(x) else None


@_sizes("BroadcastArgs")
def _broadcast_shapes(op: Any, one: Any, other: Any) -> Any:
    if not (is_sizes(one) or is_sizes(other)):
        return None
    rank = max(len(one), len(other))
    pairs = zip(*([1] * (rank - len(shape)) + list(shape) for shape in (one, other)), strict=True)
    return plain([a if b in (1, a) else b for a, b in pairs])


@_sizes("Maximum", "Minimum")
def _extremum(op: Any, x: Any, y: Any) -> Any:
    """The greater of an open size and a number up to 1 is the size: there is a sample at least."""
    if not (is_sizes(x) or is_sizes(y)) or not all(is_sizes(z) or is_constant(z) for z in (x, y)):
        return None
    size, other = (x, y) if is_sizes(x) else (y, x)
    if np.ndim(size) or np.ndim(other) or isinstance(np.ravel(other)[0], Size) or int(np.ravel(other)[0]) > 1:
        raise UntranslatableError("it compares a size that is not known when the model is traced")
    return size if op.type == "Maximum" else other


@_sizes("Fill")
def _filled(op: Any, shape: Any, value: Any) -> Any:
    if not is_sizes(shape) or not is_constant(value):
        return None
    return _spread(np.full([1, *_known(shape[1:])], value), shape)


@_sizes("Tile")
def _tiled(op: Any, x: Any, repeats: Any) -> Any:
    if not is_sizes(repeats) or not (is_constant(x) or isinstance(x, Weight)):
        return None
    if not x.shape or x.shape[0] != 1:
        raise UntranslatableError("it repeats a constant whose first axis is not of size one for every sample")
    times = [1, *_known(repeats[1:])]
    return _spread(np.tile(x, times) if is_constant(x) else x.then(lambda w: tf.tile(w, times)), repeats)


@_sizes("BroadcastTo")
def _broadcast(op: Any, x: Any, shape: Any) -> Any:
    if not is_sizes(shape) or not (is_constant(x) or isinstance(x, Weight)):
        return None
    wanted = [1, *_known(shape[1:])]
    if len(x.shape) == len(wanted) and x.shape[0] not in (1, None):
        raise UntranslatableError("it repeats a constant whose first axis is not of size one for every sample")
    return _spread(
        np.broadcast_to(x, wanted) if is_constant(x) else x.then(lambda w: tf.broadcast_to(w, wanted)), shape
    )


def _known(sizes: Any) -> list[int]:
    if any(isinstance(size, Size) for size in sizes):
        raise UntranslatableError("a constant has several sizes that are not known when the model is traced")
    return [int(size) for size in sizes]


def _spread(constant: Any, shape: Any) -> Spread:
    if shape[0] != Size("batch"):
        raise UntranslatableError("a constant has a size that is not known when the model is traced")
    return Spread(constant)
