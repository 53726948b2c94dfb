"""Layers that join several activations, and sums with constants."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.graph.domains import ANY, Interval
from kerasexplain.graph.maximum import maximum_of_operands, minimum_of_operands
from kerasexplain.graph.primitives import Affine, Call, Mixing, Primitive, Product, now
from kerasexplain.operations.catalogue import describes, opaque

Tensor = Any


def affine_constant(
    call: Call, offset: Any, scale: Any = None, factor: Interval | None = None, negate: bool = False
) -> Primitive:
    """`x * scale + offset` (or `- offset`) with constants; `offset` may be a live variable."""
    rank = len(call.inputs[0].shape)
    shape = tuple(offset.shape)
    if len(shape) == rank and shape[0] == 1:
        shape = shape[1:]
    elif len(shape) >= rank:
        return opaque(call, f"the constant it adds has a batch axis of its own (shape {tuple(offset.shape)})")
    shift = Interval(float(offset.min()), float(offset.max())) if isinstance(offset, np.ndarray) else ANY

    def value() -> Tensor:
        tensor = ops.reshape(ops.convert_to_tensor(now(offset)), shape)
        return -tensor if negate else tensor

    return Affine(
        scale=None if scale is None else (lambda: ops.convert_to_tensor(scale)),
        offset=value,
        bias_shape=shape,
        factor=Interval(1.0, 1.0) if factor is None else factor,
        shift=shift * Interval(-1.0, -1.0) if negate else shift,
    )


@describes("layers.Add", "layers.Average", "layers.Subtract")
def _add(call: Call) -> Primitive:
    positions = operand_positions(call)
    name = type(call.operation).__name__

    def combine(*domains: Interval) -> Interval:
        operands = [domains[i] for i in positions]
        if name == "Subtract":
            return operands[0] + operands[1] * Interval(-1.0, -1.0)
        total = operands[0]
        for other in operands[1:]:
            total = total + other
        share = 1.0 / len(operands) if name == "Average" else 1.0
        return total * Interval(share, share)

    return Mixing(call.function(), combine)


def operand_positions(call: Call) -> list[int]:
    """For each operand of the call, in order, its place among the call's (unique) inputs."""
    places = {id(value): i for i, value in enumerate(call.inputs)}
    return [places[id(leaf)] for leaf in keras.tree.flatten((call.args, call.kwargs)) if id(leaf) in places]


@describes("layers.Multiply")
def _multiply(call: Call) -> Primitive:
    if len(operand_positions(call)) != len(call.inputs):
        return opaque(call, "it multiplies a tensor by itself")
    return Product(call.function(), elementwise=True)


@describes("layers.Dot")
def _dot(call: Call) -> Primitive:
    if len(call.inputs) != 2 or call.operation.normalize:
        return opaque(call, "it multiplies a tensor by itself or normalises it")
    return Product(call.function())


@describes("layers.Maximum")
def _maximum(call: Call) -> Primitive:
    return maximum_of_operands(call)


@describes("layers.Minimum")
def _minimum(call: Call) -> Primitive:
    return minimum_of_operands(call)
