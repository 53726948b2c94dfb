"""Pooling layers."""

from __future__ import annotations

from kerasexplain.graph.maximum import Maximum, adaptive_maximum, pooling_maximum, reduction_candidates
from kerasexplain.graph.primitives import Call, Pooling, Primitive
from kerasexplain.operations.catalogue import describes


@describes("layers.MaxPooling1D", "layers.MaxPooling2D", "layers.MaxPooling3D")
def _max_pooling(call: Call) -> Primitive:
    return pooling_maximum(call)


@describes("layers.AdaptiveMaxPooling1D", "layers.AdaptiveMaxPooling2D", "layers.AdaptiveMaxPooling3D")
def _adaptive_max_pooling(call: Call) -> Primitive:
    return adaptive_maximum(call)


@describes("layers.GlobalMaxPooling1D", "layers.GlobalMaxPooling2D", "layers.GlobalMaxPooling3D")
def _global_max_pooling(call: Call) -> Primitive:
    layer = call.operation
    return Maximum(call.function(), reduction_candidates(_spatial(call), layer.keepdims), first=False)


@describes("layers.AveragePooling1D", "layers.AveragePooling2D", "layers.AveragePooling3D")
@describes("layers.AdaptiveAveragePooling1D", "layers.AdaptiveAveragePooling2D", "layers.AdaptiveAveragePooling3D")
@describes("layers.GlobalAveragePooling1D", "layers.GlobalAveragePooling2D", "layers.GlobalAveragePooling3D")
def _average_pooling(call: Call) -> Primitive:
    return Pooling(call.function(), lambda domain: domain)


def _spatial(call: Call) -> list[int]:
    rank = len(call.inputs[0].shape)
    return list(range(1, rank - 1)) if call.operation.data_format == "channels_last" else list(range(2, rank))
