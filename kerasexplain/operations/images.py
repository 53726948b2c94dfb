"""Images at another size: linear in their pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from kerasexplain.graph.primitives import Call, Mixing, Primitive, Routing
from kerasexplain.operations.catalogue import opaque

Tensor = Any


def resampling(call: Call, function: Callable[[Tensor], Tensor]) -> Primitive:
    """The primitive of a resampling layer or operation, which has the attributes of `ops.image.resize`."""
    how = call.operation
    if len(call.inputs[0].shape) != 4:
        return opaque(call, "it takes the batch for an axis of the image")
    if how.pad_to_aspect_ratio and how.fill_value:
        return opaque(call, f"it pads with the constant {how.fill_value}")
    if how.interpolation == "area":
        return opaque(call, "TensorFlow has no gradient of interpolation='area'")
    return (Routing if how.interpolation == "nearest" else Mixing)(in_single_precision(function))


def in_single_precision(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """TensorFlow resizes in single precision, and its gradients take no other."""
    return lambda x: ops.cast(function(ops.cast(x, "float32")), x.dtype)
