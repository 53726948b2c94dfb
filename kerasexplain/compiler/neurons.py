"""The explained neurons, as tensors of a compiled function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

Tensor = Any


#: Among indices: the largest output, and none.
LARGEST, NONE = -1, -2


def mask(
    kind: str, values: Tensor | None, given: Tensor | None, flat: Tensor, ranking: Tensor
) -> tuple[Tensor, Tensor | None]:
    """How much each output is explained, `(batch, outputs)` like the flat output, and the flat index, if it is one.

    Args:
        kind: "max", "index", "weights"; "target", an index or `LARGEST`, and `NONE` for what is neither; or "any",
            where the numbers say which.
        values: The indices; of "any", `LARGEST` and `NONE` may be among them.
        given: The weights; of "any" they are added, and may be one of 0 for all outputs.
        flat: The flat output.
        ranking: What says which is the largest, most often the flat output itself.
    """
    if kind == "weights":
        return ops.cast(given, flat.dtype), None
    index: Any = ops.argmax(ranking, axis=-1) if kind == "max" else values
    if kind in ("any", "target"):
        assert values is not None
        index = ops.where(ops.equal(values, LARGEST), ops.cast(ops.argmax(ranking, axis=-1), values.dtype), values)
    outputs = ops.shape(flat)[-1] if flat.shape[-1] is None else flat.shape[-1]
    if kind == "target":
        is_known = ops.logical_and(index >= 0, index < ops.cast(outputs, index.dtype))
        index = ops.where(is_known, index, ops.cast(NONE, index.dtype))
    chosen = ops.one_hot(index, outputs, dtype=flat.dtype)
    return (chosen + ops.cast(given, flat.dtype) if kind == "any" else chosen), index


def flattened(output: Tensor) -> Tensor:
    """`(batch, outputs)`: most outputs are that already, and every operation of a graph takes time to be made."""
    return output if len(output.shape) == 2 else ops.reshape(output, (ops.shape(output)[0], -1))


def unravelled(index: Tensor, shape: Sequence[Any]) -> Tensor:
    """A flat index into arrays of that shape, which need not be known yet: one column per axis, if it has several."""
    if len(shape) <= 1:
        return index
    columns = []
    for size in reversed(shape):
        size = ops.cast(size, index.dtype)
        columns.append(index % size)
        index = index // size
    return ops.stack(columns[::-1], axis=-1)
