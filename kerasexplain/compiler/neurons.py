"""The explained neurons, as tensors of a compiled function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

Tensor = Any


def mask(kind: str, values: Tensor | None, flat: Tensor, ranking: Tensor) -> tuple[Tensor, Tensor | None]:
    """How much each output is explained, `(batch, outputs)` like the flat output, and the flat index, if it is one.

    Args:
        kind: "max", "index", "target" or "weights"; under "target" an index of -1 is that of the largest output.
        values: The indices or weights.
        flat: The flat output.
        ranking: What says which is the largest, most often the flat output itself.
    """
    if kind == "weights":
        return ops.cast(values, flat.dtype), None
    index = values if kind == "index" else ops.argmax(ranking, axis=-1)
    if kind == "target":
        assert values is not None
        index = ops.where(values == -1, ops.cast(index, values.dtype), values)
    outputs = ops.shape(flat)[-1] if flat.shape[-1] is None else flat.shape[-1]
    return ops.one_hot(index, outputs, dtype=flat.dtype), index


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
