"""The check that an operation treats every sample of a batch alike: only then is a sample's relevance its own."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.graph.primitives import Call

MIXES = "it mixes the samples of a batch"
MOVES = "it moves values from one sample of the batch to another"


def axes_of(axis: Any, rank: int) -> set[int]:
    """The axes that an operation's `axis` means, counted from the front; None means all."""
    if axis is None:
        return set(range(rank))
    return {a % rank for a in ([axis] if isinstance(axis, int) else axis)}


def has_batch_axis(call: Call) -> bool:
    """Whether the operation's `axis` is, or is among others, that of the batch."""
    return 0 in axes_of(call.operation.axis, len(call.inputs[0].shape))


def keeps_samples_apart(call: Call) -> bool:
    """Whether an operation that rearranges values does so within samples.

    Where its arguments do not say so, it is tried out by exchanging two samples, and by changing one.
    """
    if any(_batch_axis(value) for value in call.inputs) or type(call.operation).__name__ in _MOVERS:
        return moved_batch_axis(call) is not None
    return _is_within_samples(call) or _commutes_with_exchange(call)


#: Operations that may take the batch away from the front; those that may meet it elsewhere.
_MOVERS = ("Transpose", "Swapaxes", "Moveaxis")
AWAY_FROM_FRONT = (*_MOVERS, "GetItem", "Unstack", "Split", "Squeeze", "Multiply", "Divide", "TrueDivide")


def _batch_axis(value: Any) -> int:
    return getattr(value, "batch_axis", 0)


def moved_batch_axis(call: Call) -> int | None:
    """Where the batch is in the output of an operation, given where it is in its inputs; None if that is not told."""
    operation, name = call.operation, type(call.operation).__name__
    batch, rank = max(map(_batch_axis, call.inputs), default=0), len(call.inputs[0].shape) if call.inputs else 0
    if name in _MOVERS:
        return _permutation(operation, rank).index(batch)
    if batch == 0 or name in ("Multiply", "Divide", "TrueDivide"):
        return batch if len(call.inputs) == 1 or batch == 0 else None
    if name == "GetItem":
        return _after_index(call.args[1] if len(call.args) > 1 else call.kwargs.get("key"), batch)
    if name in ("Split", "Unstack", "Squeeze"):
        axes = axes_of(operation.axis, rank)
        gone = 0 if name == "Split" else sum(axis < batch for axis in axes)
        return None if batch in axes else batch - gone
    return None


def _permutation(operation: Any, rank: int) -> list[int]:
    """Where each axis of the output comes from."""
    name, order = type(operation).__name__, list(range(rank))
    if name == "Transpose":
        return [axis % rank for axis in operation.axes] if operation.axes else order[::-1]
    if name == "Swapaxes":
        one, other = operation.axis1 % rank, operation.axis2 % rank
        order[one], order[other] = order[other], order[one]
        return order
    return list(np.moveaxis(np.empty(order), operation.source, operation.destination).shape)


def _after_index(key: Any, batch: int) -> int | None:
    """Where the batch is behind an index that takes it as a whole: integers in front of it drop their axes."""
    keys = key if isinstance(key, tuple) else (key,)
    before = keys[:batch]
    simple = all(isinstance(k, (int, slice)) and not isinstance(k, bool) for k in before)
    if not simple or (len(keys) > batch and keys[batch] not in (slice(None), Ellipsis)):
        return None
    return batch - sum(isinstance(k, int) for k in before)


def _is_within_samples(call: Call) -> bool:
    """Whether an operation stays within samples, as its arguments alone tell; False where they do not decide."""
    operation, shape = call.operation, call.inputs[0].shape
    name, rank = type(operation).__name__, len(call.inputs[0].shape)
    if name in ("Copy", "Identity", "DepthToSpace", "SpaceToDepth"):
        return True
    if name == "Reshape":
        target = tuple(operation.compute_output_spec(keras.KerasTensor(shape)).shape)
        known = None not in shape[1:] and None not in target[1:]
        # In row-major order a sample's values stay together; they fill whole rows where the sizes say so.
        values = getattr(call.inputs[0], "fold", 1) * math.prod(shape[1:]) if known else 0
        return bool(values) and values % math.prod(target[1:]) == 0
    if name == "GetItem":
        key = call.args[1] if len(call.args) > 1 else call.kwargs.get("key")
        first = key[0] if isinstance(key, tuple) and key else key
        return first is Ellipsis or (isinstance(first, slice) and first == slice(None))
    if name in ("Concatenate", "Flip", "Roll", "Repeat", "Split", "Squeeze", "Take", "TakeAlongAxis", "Unstack"):
        return operation.axis is not None and 0 not in axes_of(operation.axis, rank)
    if name == "Tile":
        return not isinstance(operation.repeats, int) and len(operation.repeats) == rank and operation.repeats[0] == 1
    if name in ("ExpandDims", "Stack"):
        return 0 not in axes_of(operation.axis, rank + 1)
    return False


def _commutes_with_exchange(call: Call) -> bool:
    batch = max((5 if value.shape[0] is None else value.shape[0] for value in call.inputs), default=1)
    if batch == 1:
        return True
    order = np.array([1, 0, *range(2, batch)])
    xs = []
    for value in call.inputs:
        shape = (batch, *(4 if size is None else size for size in value.shape[1:]))
        xs.append(np.arange(np.prod(shape), dtype="float32").reshape(shape))
    function = call.function()
    try:
        plain, permuted, changed = (
            [ops.convert_to_numpy(y) for y in keras.tree.flatten(function(*map(ops.convert_to_tensor, given)))]
            for given in (xs, [x[order] for x in xs], [np.concatenate([x[:1] + 0.5, x[1:]]) for x in xs])
        )
    except Exception:  # whatever the backend raises: it cannot be run on a batch of that size
        return False
    # Of two samples, each may be given to the other: what a change of the first does to the rest shows that.
    return all(
        len(y) == batch and np.array_equal(y[order], z) and np.array_equal(y[1:], other[1:])
        for y, z, other in zip(plain, permuted, changed, strict=True)
    )
