"""Layers that normalise, by statistics of the training data or of the input itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kerasexplain.graph.primitives import Affine, Call, Primitive, live, placed
from kerasexplain.operations.batches import MIXES, axes_of, has_batch_axis
from kerasexplain.operations.catalogue import describes, opaque
from kerasexplain.operations.statistics import Weight, group_statistics, layer_statistics, unit_statistics

Tensor = Any


@describes("layers.BatchNormalization", masked=True)
def _batch_normalization(call: Call) -> Primitive:
    layer = call.operation
    if isinstance(layer.axis, (list, tuple)):
        return opaque(call, "BatchNormalization over several axes has no rule yet")
    rank = len(call.inputs[0].shape)

    def scale() -> Tensor:
        factor = ops.rsqrt(live(layer.moving_variance) + layer.epsilon)
        return factor * live(layer.gamma) if layer.scale else factor

    def offset() -> Tensor:
        shift = -live(layer.moving_mean) * scale()
        return shift + live(layer.beta) if layer.center else shift

    axis = layer.axis % rank - rank

    def placed_scale() -> Tensor:
        return placed(scale(), None, rank, axis)

    return BatchNorm(placed_scale, offset, tuple(layer.moving_mean.shape), axis, per_channel=scale)


@dataclasses.dataclass(frozen=True, eq=False)
class BatchNorm(Affine):
    """BatchNormalization at inference; `per_channel` gives its scale as a vector, for folding it."""

    per_channel: Callable[[], Tensor] = lambda: None


@describes("layers.LayerNormalization", "layers.RMSNormalization", masked=True)
def _layer_normalization(call: Call) -> Primitive:
    layer = call.operation
    shape = call.inputs[0].shape
    if has_batch_axis(call):
        return opaque(call, MIXES)
    rms = isinstance(layer, keras.layers.RMSNormalization)
    # LayerNormalization(rms_scaling=True) divides by the standard deviation about the mean, without centring.
    centres = not rms and not getattr(layer, "rms_scaling", False)
    return layer_statistics(
        shape,
        sorted(axes_of(layer.axis, len(shape))),
        layer.epsilon,
        _weight(layer, "scale" if rms else "gamma"),
        _weight(layer, "beta") if centres else None,
        centres=centres,
        about_mean=not rms,
    )


@describes("layers.GroupNormalization", masked=True)
def _group_normalization(call: Call) -> Primitive:
    layer = call.operation
    gamma, beta = _weight(layer, "gamma"), _weight(layer, "beta")
    return group_statistics(call.inputs[0].shape, layer.axis, layer.groups, layer.epsilon, gamma, beta)


@describes("layers.UnitNormalization", masked=True)
def _unit_normalization(call: Call) -> Primitive:
    if has_batch_axis(call):
        return opaque(call, MIXES)
    return unit_statistics(call.operation.axis, order=2, epsilon=1e-12)


def _weight(layer: Any, name: str) -> Weight:
    """A weight of the layer as it is now; None where it has none of that name."""
    return None if getattr(layer, name, None) is None else lambda: live(getattr(layer, name))
