"""Operations that move, repeat, join, cut, pad or look up values."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from kerasexplain.trace.tensorflow.table.registry import number, translates, word
from kerasexplain.trace.tensorflow.values import (
    Handle,
    Size,
    StepsFirst,
    UntranslatableError,
    integers,
    is_constant,
    is_sizes,
    is_symbolic,
    sizes_of,
    target_shape,
    weight,
)

Tensor = Any


@translates("Reshape")
def _reshape(op: Any, x: Tensor, shape: Any) -> Tensor:
    return ops.reshape(x, target_shape(_with_rest(x, shape) if is_sizes(shape) else shape))


def _with_rest(x: Tensor, shape: Any) -> Any:
    """A shape with open sizes, with the number in place of -1 where it follows from what is known."""
    entries, own = np.ravel(shape).tolist(), np.ravel(sizes_of(x)).tolist()
    if -1 not in entries:
        return shape
    given = np.prod(np.asarray([size for size in entries if size != -1], dtype=object))
    return np.asarray([np.prod(np.asarray(own, dtype=object)) // given if size == -1 else size for size in entries])


@translates("Transpose")
def _transpose(op: Any, x: Tensor, order: Any) -> Tensor:
    axes = integers(order, "axes")
    if isinstance(x, StepsFirst):
        return x.transposed(axes)
    if axes[:2] == [1, 0] and axes[2:] == sorted(axes[2:]) and x.shape[1] is not None and len(axes) > 2:
        return StepsFirst.of(x)
    return x if axes == sorted(axes) else ops.transpose(x, axes)


@translates("ExpandDims")
def _expand(op: Any, x: Tensor, axis: Any) -> Tensor:
    return ops.expand_dims(x, integers(axis, "axis")[0])


@translates("Squeeze")
def _squeeze(op: Any, x: Tensor) -> Tensor:
    axes = list(op.get_attr("squeeze_dims")) or [axis for axis, size in enumerate(x.shape) if size == 1]
    return ops.squeeze(x, axis=tuple(axes)) if axes else x


@translates("ConcatV2")
def _concatenate(op: Any, *operands: Any) -> Tensor:
    *xs, axis = operands
    (along,) = integers(axis, "axis")
    return xs[0] if len(xs) == 1 else ops.concatenate(xs, axis=along)


@translates("Pack")
def _stack(op: Any, *xs: Tensor) -> Tensor:
    if len(xs) == 1:
        return ops.expand_dims(xs[0], op.get_attr("axis"))
    if op.get_attr("axis") == 0 and all(is_symbolic(x) and x.shape == xs[0].shape and len(x.shape) for x in xs):
        return StepsFirst.stacked(list(xs))
    return ops.stack(list(xs), axis=op.get_attr("axis"))


@translates("Unpack")
def _unstack(op: Any, x: Tensor) -> list[Tensor]:
    if isinstance(x, StepsFirst):
        if op.get_attr("axis") == 0:
            return x.entries()
        x = x.whole()
    return list(ops.unstack(x, num=op.get_attr("num"), axis=op.get_attr("axis")))


@translates("Split")
def _split(op: Any, axis: Any, x: Tensor) -> list[Tensor]:
    return list(ops.split(x, op.get_attr("num_split"), axis=integers(axis, "axis")[0]))


@translates("SplitV")
def _split_at(op: Any, x: Tensor, sizes: Any, axis: Any) -> list[Tensor]:
    (along,), lengths = integers(axis, "axis"), integers(sizes, "sizes")
    if -1 in lengths:
        lengths[lengths.index(-1)] = x.shape[along] - sum(lengths) - 1
    return list(ops.split(x, list(np.cumsum(lengths)[:-1]), axis=along))


@translates("Slice")
def _slice(op: Any, x: Tensor, begin: Any, size: Any) -> Tensor:
    starts = integers(begin, "start")
    counts = [-1 if isinstance(entry, Size) else int(entry) for entry in np.ravel(size)]
    whole = [count == -1 or count == n for count, n in zip(counts, x.shape, strict=True)]
    key = tuple(
        slice(None) if start == 0 and all_of_it else slice(start, None if count == -1 else start + count)
        for start, count, all_of_it in zip(starts, counts, whole, strict=True)
    )
    return x[key]


@translates("StridedSlice")
def _strided_slice(op: Any, x: Tensor, begin: Any, end: Any, strides: Any) -> Tensor:
    key = slices_of(op, begin, end, strides, shape=x.shape)
    if isinstance(x, StepsFirst):
        if len(key) and isinstance(key[0], int) and all(rest == slice(None) for rest in key[1:]):
            return x.step(key[0])
        x = x.whole()
    return x[key]


def slices_of(op: Any, begin: Any, end: Any, strides: Any, shape: Any = None) -> tuple[Any, ...]:
    """The index, as Python writes it, that an operation takes a slice by."""
    masks = {name: op.get_attr(f"{name}_mask") for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    starts, ends, steps = (np.ravel(bound).tolist() for bound in (begin, end, strides))
    key: list[Any] = []
    axis = 0
    after_ellipsis = 0
    for i in range(len(steps)):
        bit = 1 << i
        if masks["ellipsis"] & bit:
            key.append(Ellipsis)
            after_ellipsis = 1
            continue
        if masks["new_axis"] & bit:
            key.append(None)
            continue
        if masks["shrink_axis"] & bit:
            key.append(_known_bound(starts[i]))
            axis += 1
            continue
        start = None if masks["begin"] & bit else _known_bound(starts[i])
        stop = None if masks["end"] & bit or isinstance(ends[i], Size) else _known_bound(ends[i])
        step = _known_bound(steps[i])
        if step == 1 and start == 0:
            start = None
        if shape is not None and not after_ellipsis and step == 1 and stop is not None:
            size = shape[axis] if axis < len(shape) else None
            stop = None if size is not None and stop >= size else stop
        key.append(slice(start, stop, None if step == 1 else step))
        axis += 1
    return tuple(key)


def _known_bound(bound: Any) -> int:
    if isinstance(bound, Size):
        raise UntranslatableError("it cuts at a size that is not known when the model is traced")
    return int(bound)


@translates("Gather", "GatherV2")
def _gather(op: Any, table: Any, indices: Any, axis: Any = 0) -> Tensor:
    (along,) = integers(axis, "axis")
    batched = op.get_attr("batch_dims") if op.type == "GatherV2" else 0
    if not batched:
        return ops.take(table, number(indices), axis=along)
    if batched == 1 and len(table.shape) == len(indices.shape) and along == len(table.shape) - 1 == 1:
        return ops.take_along_axis(table, indices, axis=along)
    if batched == 1 and along == 1 and len(indices.shape) == 2:
        spread = ops.reshape(indices, (-1, indices.shape[1], *[1] * (len(table.shape) - 2)))
        return ops.take_along_axis(table, ops.broadcast_to(spread, _like(table, indices)), axis=1)
    raise UntranslatableError(f"it looks up with batch_dims={batched} along the axis {along}: use ops.take_along_axis")


def _like(table: Any, indices: Any) -> tuple[Any, ...]:
    if None in (table.shape[0], *table.shape[2:]):
        raise UntranslatableError("it looks up for every sample of a batch whose size is open")
    return (table.shape[0], indices.shape[1], *table.shape[2:])


@translates("ResourceGather")
def _gather_from_variable(op: Any, table: Any, indices: Any) -> Tensor:
    if not isinstance(table, Handle) or op.get_attr("batch_dims"):
        raise UntranslatableError("it looks up in something other than a variable")
    dtype = op.get_attr("dtype")
    return ops.take(weight(lambda: table.read(dtype)), indices, axis=0)


@translates("Pad", "PadV2", "MirrorPad")
def _pad(op: Any, x: Tensor, paddings: Any, fill: Any = None) -> Tensor:
    widths = np.reshape(integers(paddings, "widths"), (-1, 2)).tolist()
    if op.type == "MirrorPad":
        return ops.pad(x, widths, mode=word(op, "mode").lower())
    if fill is not None and not is_constant(fill):
        raise UntranslatableError("it pads with a number that is computed")
    return ops.pad(x, widths) if fill is None or number(fill) == 0 else ops.pad(x, widths, constant_values=number(fill))


@translates("Tile")
def _tile(op: Any, x: Tensor, repeats: Any) -> Tensor:
    return ops.tile(x, integers(repeats, "numbers of copies"))


@translates("BroadcastTo")
def _broadcast(op: Any, x: Tensor, shape: Any) -> Tensor:
    wanted = np.ravel(shape).tolist()
    if is_sizes(shape):
        # The batch is as it is already; only other axes are stretched, by being repeated.
        own = [1] * (len(wanted) - len(x.shape)) + np.ravel(sizes_of(x)).tolist()
        if any(isinstance(size, Size) and size != mine for size, mine in zip(wanted, own, strict=True)):
            raise UntranslatableError("it stretches an axis to a size that is not known when the model is traced")
        times = [1 if size == mine else int(size) for size, mine in zip(wanted, own, strict=True)]
        return ops.tile(x, times)
    return ops.broadcast_to(x, tuple(int(size) for size in wanted))


@translates("ReverseV2")
def _reverse(op: Any, x: Tensor, axis: Any) -> Tensor:
    axes = integers(axis, "axes")
    if isinstance(x, StepsFirst):
        if axes == [0]:
            return x.reversed()
        x = x.whole()
    return ops.flip(x, axis=axes[0] if len(axes) == 1 else tuple(axes))


@translates("Roll")
def _roll(op: Any, x: Tensor, shift: Any, axis: Any) -> Tensor:
    for by, along in zip(integers(shift, "shift"), integers(axis, "axis"), strict=True):
        x = ops.roll(x, by, axis=along)
    return x


@translates("OneHot")
def _one_hot(op: Any, indices: Tensor, depth: Any, on: Any, off: Any) -> Tensor:
    if (number(on), number(off)) != (1, 0):
        raise UntranslatableError("its vectors hold other values than one and zero: scale those of ops.one_hot")
    axis = op.get_attr("axis")
    return ops.one_hot(indices, integers(depth, "depth")[0], axis=axis, dtype=op.get_attr("T").name)


@translates("MatrixBandPart")
def _band(op: Any, x: Tensor, lower: Any, upper: Any) -> Tensor:
    below, above = integers(lower, "bands")[0], integers(upper, "bands")[0]
    x = ops.triu(x, k=-below) if below >= 0 else x
    return ops.tril(x, k=above) if above >= 0 else x


@translates("MatrixDiagPart", "MatrixDiagPartV3")
def _diagonal(op: Any, x: Tensor, offset: Any = None, fill: Any = None) -> Tensor:
    offsets = [0] if offset is None else integers(offset, "diagonal")
    if len(set(offsets)) > 1:
        raise UntranslatableError("it takes several diagonals at once: ops.diagonal takes one")
    return ops.diagonal(x, offset=offsets[0], axis1=-2, axis2=-1)
