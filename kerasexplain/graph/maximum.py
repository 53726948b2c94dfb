"""Maxima: pooling, global pooling, reductions and Maximum, all seen as a choice among candidates; and minima."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.graph.domains import Interval, union
from kerasexplain.graph.primitives import Call, Primitive, Routing

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Maximum(Primitive):
    """`y = max_k c_k` over the candidates c of each output element.

    Attributes:
        function: The ordinary computation.
        candidates: `(*xs) -> c` of shape `(*y.shape, candidates)`, a selection among the inputs.
        first: Whether the backend's gradient already goes to the first winner alone.
    """

    function: Callable[..., Tensor]
    candidates: Callable[..., Tensor]
    first: bool

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        return self.function(*xs)

    def domain(self, *domains: Interval) -> Interval:
        return union(domains)


@dataclasses.dataclass(frozen=True, eq=False)
class Minimum(Routing):
    """`y = min_k c_k`: the smallest takes all. Against a baseline it is `-max_k(-c_k)`.

    Attributes:
        candidates: As of a maximum.
    """

    chooses: bool = True
    candidates: Callable[..., Tensor] = dataclasses.field(kw_only=True)


def pooling_maximum(call: Call) -> Maximum:
    """Max pooling, as the layer or the operation of the call says."""
    pooling, rank = call.operation, len(call.inputs[0].shape) - 2
    pool_size, strides = (
        (n,) * rank if isinstance(n, int) else tuple(n)
        for n in (pooling.pool_size, pooling.pool_size if pooling.strides is None else pooling.strides)
    )
    candidates = window_candidates(pool_size, strides, pooling.padding, pooling.data_format == "channels_last")
    # With padding, the gradient that XLA makes goes to another of equal winners than the plain graph's; and in three
    # dimensions it goes to all of them on some processors.
    return Maximum(call.function(), candidates, first=pooling.padding == "valid" and rank < 3)


def window_candidates(
    pool_size: Sequence[int], strides: Sequence[int], padding: str, channels_last: bool
) -> Callable[[Tensor], Tensor]:
    """The candidates of each pooling window; padded positions are -inf and never win."""

    def candidates(x: Tensor) -> Tensor:
        first_axis = 1 if channels_last else 2
        widths = [[0, 0] for _ in x.shape]
        outputs = []
        for axis, (k, stride) in enumerate(zip(pool_size, strides, strict=True), start=first_axis):
            n = ops.shape(x)[axis]
            if padding == "same" and x.shape[axis] is None:
                raise ValueError('shared winners in max pooling with padding="same" need an input of known size')
            outputs.append(-(-n // stride) if padding == "same" else (n - k) // stride + 1)
            missing = max((outputs[-1] - 1) * stride + k - n, 0) if padding == "same" else 0
            widths[axis] = [missing // 2, missing - missing // 2]
        if any(any(width) for width in widths):
            x = ops.pad(x, widths, constant_values=float("-inf"))
        seen = []
        for offsets in itertools.product(*(range(k) for k in pool_size)):
            index = [slice(None)] * len(x.shape)
            for axis, (offset, stride, m) in enumerate(zip(offsets, strides, outputs, strict=True), start=first_axis):
                index[axis] = slice(offset, offset + (m - 1) * stride + 1, stride)
            seen.append(x[tuple(index)])
        return ops.stack(seen, axis=-1)

    return candidates


def adaptive_maximum(call: Call) -> Maximum:
    """Max pooling to a given size, whose windows may overlap and differ in size by one."""
    pooling, rank = call.operation, len(call.inputs[0].shape) - 2
    sizes = (pooling.output_size,) * rank if isinstance(pooling.output_size, int) else tuple(pooling.output_size)
    first_axis = 1 if pooling.data_format == "channels_last" else 2
    return Maximum(call.function(), adaptive_candidates(sizes, first_axis), first=False)


def adaptive_candidates(sizes: Sequence[int], first_axis: int) -> Callable[[Tensor], Tensor]:
    """The candidates of each adaptive pooling window: of n positions, from `i n // m` to `ceil((i + 1) n / m)`."""

    def candidates(x: Tensor) -> Tensor:
        y = ops.expand_dims(x, -1)
        for axis, m in enumerate(sizes, start=first_axis):
            n = x.shape[axis]
            if n is None:
                raise ValueError("shared winners in adaptive max pooling need an input of known size")
            windows = [range(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
            width = max(map(len, windows))
            # A window with one position less is filled up by a position that is -inf and never wins.
            indices = [[*window, *(n for _ in range(width - len(window)))] for window in windows]
            edge = [[0, int(i == axis)] for i in range(len(y.shape))]
            seen = ops.take(ops.pad(y, edge, constant_values=float("-inf")), np.asarray(indices).ravel(), axis=axis)
            shape = ops.shape(y)
            split = ops.reshape(seen, (*shape[:axis], m, width, *shape[axis + 1 :]))
            last = ops.moveaxis(split, axis + 1, -1)
            y = ops.reshape(last, (*shape[:axis], m, *shape[axis + 1 : -1], shape[-1] * width))
        return y

    return candidates


def reduction_candidates(axes: Sequence[int], keepdims: bool) -> Callable[[Tensor], Tensor]:
    """The candidates of a maximum over whole axes."""

    def candidates(x: Tensor) -> Tensor:
        rank = len(x.shape)
        reduced = sorted(axis % rank for axis in axes)
        kept = [axis for axis in range(rank) if axis not in reduced]
        sizes = ops.shape(x)
        shape = [1 if axis in reduced else sizes[axis] for axis in range(rank) if keepdims or axis in kept]
        count = 1
        for axis in reduced:
            count *= sizes[axis]
        return ops.reshape(ops.transpose(x, kept + reduced), (*shape, count))

    return candidates


def maximum_of_operands(call: Call) -> Maximum:
    """The larger of some operands. Of equal ones TensorFlow's gradient goes to the first, others' to all."""
    return Maximum(call.function(), operand_candidates, first=keras.backend.backend() == "tensorflow")


def minimum_of_operands(call: Call) -> Minimum:
    """The smaller of some operands."""
    return Minimum(call.function(), candidates=operand_candidates)


def operand_candidates(*xs: Tensor) -> Tensor:
    """The candidates of an elementwise maximum of several tensors."""
    shape = ops.shape(sum(xs[1:], xs[0]))
    return ops.stack([ops.broadcast_to(x, shape) for x in xs], axis=-1)
