"""Pooling, patches put together again, and operations on images."""

from __future__ import annotations

from kerasexplain.graph.maximum import adaptive_maximum, pooling_maximum
from kerasexplain.graph.primitives import Call, Mixing, Pooling, Primitive
from kerasexplain.operations.catalogue import describes
from kerasexplain.operations.images import resampling


@describes("ops.AveragePool", "ops.AdaptiveAveragePool")
def _average_pool(call: Call) -> Primitive:
    return Pooling(call.function(), lambda domain: domain)


@describes("ops.MaxPool")
def _max_pool(call: Call) -> Primitive:
    return pooling_maximum(call)


@describes("ops.AdaptiveMaxPool")
def _adaptive_max_pool(call: Call) -> Primitive:
    return adaptive_maximum(call)


@describes("ops.Fold")
def _fold(call: Call) -> Primitive:
    return Mixing(call.function())


@describes("ops.RGBToGrayscale", "ops.GaussianBlur", "ops.SobelEdges")
def _filter(call: Call) -> Primitive:
    return Mixing(call.function())


@describes("ops.Resize")
def _resize(call: Call) -> Primitive:
    return resampling(call, call.function())


@describes("ops.ScaleAndTranslate")
def _scale_and_translate(call: Call) -> Primitive:
    return Mixing(call.function())
