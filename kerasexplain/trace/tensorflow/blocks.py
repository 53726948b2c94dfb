"""Convolutions with holes, as TensorFlow computes them: on blocks of the image that it puts into the batch.

`SpaceToBatchND`, a convolution, `BatchToSpaceND` are one dilated convolution, which keeps samples apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.trace.tensorflow.table.products import convolved
from kerasexplain.trace.tensorflow.values import UntranslatableError, integers

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Blocks:
    """A tensor taken apart into blocks: what is to be done to it, once it is known how it is put together again.

    Attributes:
        x: The tensor.
        widths: The padding of each of its axes.
        rates: By the axis: how far the entries of a block are apart.
        steps: What is done to the tensor, in order.
        shape, dtype: Of the tensor.
    """

    x: Any
    widths: list[list[int]]
    rates: dict[int, int]
    steps: tuple[Callable[[Tensor], Tensor], ...] = ()

    def then(self, step: Callable[[Tensor], Tensor], rates: dict[int, int] | None = None) -> Blocks:
        return dataclasses.replace(self, steps=(*self.steps, step), rates=self.rates if rates is None else rates)


def apart(op: Any, x: Tensor, block: Any, paddings: Any) -> Blocks:
    """`SpaceToBatchND`."""
    rates = integers(block, "block")
    widths = [[0, 0], *np.reshape(integers(paddings, "widths"), (-1, 2)).tolist()]
    widths += [[0, 0]] * (len(x.shape) - len(widths))
    return Blocks(x, widths, dict(enumerate(rates, start=1)))


def together(op: Any, blocks: Blocks, block: Any, crops: Any) -> Tensor:
    """`BatchToSpaceND`: what is cut off at an end of the output is an end of the padded input that is not needed."""
    if list(blocks.rates.values()) != integers(block, "block"):
        raise UntranslatableError("the blocks are put together in another way than they were taken apart")
    cuts = [[0, 0], *np.reshape(integers(crops, "crops"), (-1, 2)).tolist()]
    cuts += [[0, 0]] * (len(blocks.widths) - len(cuts))
    widths = [[a - c, b - d] for (a, b), (c, d) in zip(blocks.widths, cuts, strict=True)]
    if min(width for pair in widths for width in pair) < 0:
        raise UntranslatableError("it cuts off more of the blocks than they were padded by")
    x = ops.pad(blocks.x, widths) if any(map(any, widths)) else blocks.x
    for step in blocks.steps:
        x = step(x)
    return x


def within(op: Any, operands: list[Any]) -> Blocks:
    """An operation on blocks."""
    blocks, *rest = operands
    if not isinstance(blocks, Blocks):
        raise UntranslatableError("it joins blocks of an image with something else")
    if op.type in ("Conv2D", "Conv3D", "DepthwiseConv2dNative"):
        last = len(op.inputs[0].shape) - 1
        dilation = tuple(blocks.rates.get(axis, 1) for axis in range(1, last))
        return blocks.then(lambda x: convolved(op, x, rest[0], dilation))
    if op.type == "ExpandDims":
        (axis,) = integers(rest[0], "axis")
        axis %= len(op.outputs[0].shape)
        rates = {at + (at >= axis): rate for at, rate in blocks.rates.items()}
        return blocks.then(lambda x: ops.expand_dims(x, axis), rates)
    if op.type == "Squeeze":
        (axis,) = (axis % len(op.inputs[0].shape) for axis in op.get_attr("squeeze_dims"))
        rates = {at - (at > axis): rate for at, rate in blocks.rates.items()}
        return blocks.then(lambda x: ops.squeeze(x, axis), rates)
    raise UntranslatableError("it is done to blocks of an image, which lie in the batch there")


TABLE = {"BatchToSpaceND": together, "SpaceToBatchND": apart}
