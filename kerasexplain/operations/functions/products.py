"""Products that sum: matmul, einsum, tensordot, convolutions. With one constant operand they are linear operations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kerasexplain.graph.linear import Linear
from kerasexplain.graph.primitives import Call, Mixing, Primitive, Product, now
from kerasexplain.operations.batches import MIXES
from kerasexplain.operations.catalogue import describes, describes_class, opaque
from kerasexplain.operations.convolutions import GroupedConvolution, TransposedConvolution

Tensor = Any


def _is_activation(call: Call, leaf: Any) -> bool:
    return any(leaf is value for value in call.inputs)


def _of_two(call: Call, more_axes: int = 0) -> Primitive:
    """A product of the first two arguments: linear where one is a constant, else a product of activations."""
    first, second = (_is_activation(call, operand) for operand in call.args[:2])
    if first and second:
        if call.args[0] is call.args[1]:
            return opaque(call, "it multiplies a tensor by itself")
        return Product(call.function())
    constant = call.args[1] if first else call.args[0]

    def product(x: Tensor, kernel: Tensor) -> Tensor:
        operands = (x, kernel) if first else (kernel, x)
        return call.operation.call(*operands, *call.args[2:], **call.kwargs)

    return Linear(
        product=product,
        kernel=lambda: ops.convert_to_tensor(now(constant)),
        bias=None,
        bias_shape=None,
        bias_axis=None,
        scaled=None,
        more_axes=more_axes,
    )


def _ranks(call: Call) -> tuple[int, int]:
    return len(call.args[0].shape), len(call.args[1].shape)


@describes("ops.Matmul")
def _matmul(call: Call) -> Primitive:
    first, second = (_is_activation(call, operand) for operand in call.args[:2])
    rank, other = _ranks(call)
    if first and second:
        # With two axes, the batch would be one of those that the matrices have.
        return _of_two(call) if min(rank, other) >= 3 else opaque(call, MIXES)
    of_x, of_constant = (rank, other) if first else (other, rank)
    constant = call.args[1] if first else call.args[0]
    in_a_matrix = of_x < (2 if first else 3)
    # A constant with as many axes is stretched along the batch, or is none that belongs to every sample.
    along_batch = of_constant > 2 and (of_constant > of_x or (of_constant == of_x and constant.shape[0] != 1))
    if in_a_matrix or along_batch:
        return opaque(call, MIXES)
    linear = _of_two(call, more_axes=-1 if of_constant == 1 else 0)
    if not isinstance(linear, Linear) or not first or of_constant != 2:
        return linear
    return dataclasses.replace(linear, scaled=lambda kernel, scale: kernel * scale, summed=(-1, 0))


@describes("ops.Dot")
def _dot(call: Call) -> Primitive:
    rank, other = _ranks(call)
    if not _is_activation(call, call.args[0]) or _is_activation(call, call.args[1]) or rank < 2:
        return opaque(call, MIXES)
    return _of_two(call, more_axes=other - 2)


@describes("ops.Tensordot")
def _tensordot(call: Call) -> Primitive:
    rank, other = _ranks(call)
    axes = call.operation.axes
    summed = list(range(rank - axes, rank)) if isinstance(axes, int) else keras.tree.flatten(axes[0])
    first_alone = _is_activation(call, call.args[0]) and not _is_activation(call, call.args[1])
    if not first_alone or 0 in {axis % rank for axis in summed}:
        return opaque(call, MIXES)
    return _of_two(call, more_axes=other - 2 * len(summed))


@describes("ops.Outer", "ops.Vdot", "ops.Kron", "ops.Correlate")
def _flattening(call: Call) -> Primitive:
    return opaque(call, "it treats the batch as an axis like any other")


@describes("ops.Cross")
def _cross(call: Call) -> Primitive:
    if keras.backend.backend() == "torch":  # whatever axis is asked for
        return opaque(call, "Keras on PyTorch takes the first axis of size 3 for the vectors, be it the batch")
    return _of_two(call)


@describes("ops.Einsum")
def _einsum(call: Call) -> Primitive:
    terms, output = _terms(call.operation.subscripts, len(call.args))
    if not _keeps_batch(call, terms, output):
        return opaque(call, MIXES)
    if len(terms) == 1:
        return Mixing(call.function())  # a sum along axes or diagonals
    if len(terms) > 2:
        return opaque(call, "a product of more than two operands has no rule: multiply two at a time")
    given = next(term for term, operand in zip(terms, call.args, strict=True) if _is_activation(call, operand))
    return _of_two(call, more_axes=len(output) - len(given))


def _terms(subscripts: str, count: int) -> tuple[list[str], str]:
    """The letters of each operand and of the output; an ellipsis stands as one letter."""
    equation = subscripts.replace(" ", "").replace("...", "*")
    operands, arrow, output = equation.partition("->")
    if not arrow:
        once = sorted(letter for letter in set(operands) - {",", "*"} if operands.count(letter) == 1)
        output = "".join(["*" if "*" in operands else "", *once])
    terms = operands.split(",")
    assert len(terms) == count
    return terms, output


def _keeps_batch(call: Call, terms: list[str], output: str) -> bool:
    """Whether the batch comes first in every activation and in the output, and in constants first or not at all."""
    batch = output[:1]
    return bool(batch) and all(
        (term.startswith(batch) and term.count(batch) == 1) or (batch not in term and not _is_activation(call, operand))
        for term, operand in zip(terms, call.args, strict=True)
    )


@describes_class(GroupedConvolution)
@describes_class(TransposedConvolution)
@describes("ops.Conv", "ops.DepthwiseConv")
def _convolution(call: Call) -> Primitive:
    kernel = call.args[1] if len(call.args) > 1 else call.kwargs["kernel"]
    if not _is_activation(call, call.args[0]) or _is_activation(call, kernel):
        return opaque(call, "its kernel is an activation")
    linear = _of_two(call)
    if not isinstance(linear, Linear):
        return linear
    kind = type(call.operation).__name__
    channels = 1 if call.operation.data_format == "channels_first" else -1
    in_one_group = kind == "Conv" and kernel.shape[-2] == call.inputs[0].shape[channels]
    return dataclasses.replace(
        linear,
        scaled=_PER_CHANNEL[kind],
        summed=(channels, -2) if in_one_group else None,
        terms={
            "Conv": math.prod(kernel.shape[:-1]),
            "GroupedConvolution": math.prod(kernel.shape[:-1]),
            "DepthwiseConv": math.prod(kernel.shape[:-2]),
        }.get(kind),
    )


#: How output channels are found in a kernel.
_PER_CHANNEL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Conv": lambda kernel, scale: kernel * scale,
    "GroupedConvolution": lambda kernel, scale: kernel * scale,
    "TransposedConvolution": lambda kernel, scale: kernel * scale[:, None],
    "DepthwiseConv": lambda kernel, scale: kernel * ops.reshape(scale, kernel.shape[-2:]),
}
