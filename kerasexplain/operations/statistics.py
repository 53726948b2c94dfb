"""Normalisation by statistics of the input itself, for the layers and for the operations of the same names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from kerasexplain.graph.primitives import Statistics, placed

Tensor = Any
#: Gives a weight as it is now; None where there is none.
Weight = Callable[[], Tensor] | None


def layer_statistics(
    shape: Sequence[int | None],
    axes: Sequence[int],
    epsilon: float,
    gamma: Weight,
    beta: Weight,
    *,
    centres: bool = True,
    about_mean: bool = True,
) -> Statistics:
    """`(x - mean) / sigma * gamma + beta` over some axes of each sample.

    Args:
        shape: The input's shape.
        axes: Where the statistics are taken, and what gamma and beta are shaped like.
        epsilon: Added to the variance.
        gamma, beta: The weights.
        centres: Whether the mean is taken off the input.
        about_mean: Whether sigma is the deviation about the mean; else it is the root of the mean square.
    """
    axes = sorted(axes)
    spread = [shape[axis] if axis in axes else 1 for axis in range(len(shape))]
    of_beta: Any = tuple(spread[axes[0] :])

    def normalize(x: Tensor, detach: Any, tap: Tensor | None) -> Tensor:
        centred = x - ops.mean(x, axis=axes, keepdims=True) if about_mean else x
        variance = ops.mean(ops.square(centred), axis=axes, keepdims=True)
        y = (centred if centres else x) * detach(ops.rsqrt(variance + epsilon))
        if gamma is not None:
            y = y * ops.reshape(ops.cast(gamma(), x.dtype), spread)
        if beta is None:
            return y
        return y + placed(ops.reshape(ops.cast(beta(), x.dtype), of_beta), tap, len(x.shape))

    return Statistics(normalize, None if beta is None else of_beta)


def group_statistics(
    shape: Sequence[int | None], axis: int, groups: int, epsilon: float, gamma: Weight, beta: Weight
) -> Statistics:
    """The same for each group of channels, over all other axes of the sample."""
    axis %= len(shape)
    channels = shape[axis]
    after = len(shape) - 1 - axis
    assert channels is not None

    def normalize(x: Tensor, detach: Any, tap: Tensor | None) -> Tensor:
        sizes = ops.shape(x)
        grouped = ops.reshape(x, (*sizes[:axis], groups, channels // groups, *sizes[axis + 1 :]))
        axes = [i for i in range(1, len(shape) + 1) if i != axis]
        centred = grouped - ops.mean(grouped, axis=axes, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=axes, keepdims=True)
        y = ops.reshape(centred * detach(ops.rsqrt(variance + epsilon)), sizes)
        if gamma is not None:
            y = y * ops.reshape(ops.cast(gamma(), x.dtype), (channels, *(1,) * after))
        return y if beta is None else y + placed(ops.cast(beta(), x.dtype), tap, len(shape), -1 - after)

    return Statistics(normalize, None if beta is None else (channels,))


def unit_statistics(axis: Any, order: int, epsilon: float) -> Statistics:
    """`x / norm(x)`, the norm at least epsilon."""

    def normalize(x: Tensor, detach: Any, tap: Tensor | None) -> Tensor:
        if order == 2:
            inverse = ops.minimum(ops.rsqrt(ops.sum(ops.square(x), axis=axis, keepdims=True)), 1.0 / epsilon)
        else:
            inverse = 1.0 / ops.maximum(ops.norm(x, ord=order, axis=axis, keepdims=True), epsilon)
        return x * detach(inverse)

    return Statistics(normalize, quadratic=order == 2)
