"""Operations of TensorFlow that are not translated: they run as they are, and have no rule."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from kerasexplain.graph.primitives import Call, Primitive
from kerasexplain.operations.catalogue import describes_class, opaque
from kerasexplain.trace.tensorflow.raw import raw, said
from kerasexplain.trace.tensorflow.values import Handle, UntranslatableError, is_sizes

#: What of keras.ops does what an operation does that is not translated.
_INSTEAD = {
    "Conv": "ops.conv",
    "Dilation2D": "ops.max_pool",
    "ExtractVolumePatches": "ops.image.extract_patches",
    "FractionalAvgPool": "ops.average_pool",
    "FractionalMaxPool": "ops.max_pool",
    "GatherNd": "ops.take_along_axis",
    "ImageProjectiveTransformV3": "ops.image.affine_transform",
    "MaxPoolWithArgmax": "ops.max_pool",
    "ScatterNd": "ops.where",
    "SegmentSum": "ops.matmul with a constant matrix",
    "TensorScatterUpdate": "ops.where",
    "UnsortedSegmentSum": "ops.matmul with a constant matrix",
}


class TensorFlowOperation(keras.Operation):
    """One operation of a TensorFlow graph, as it is.

    Args:
        op: The operation.
        resources: Those of its operands that are no tensors of values, by their positions.
    """

    def __init__(self, op: Any, resources: dict[int, Any]) -> None:
        super().__init__()
        self.op, self.shown_type = op, op.type
        self._run, self._resources = raw(op), resources

    def call(self, *operands: Any) -> Any:
        given = list(operands)
        for position, resource in sorted(self._resources.items()):
            given.insert(position, resource.tensor)
        # It may take no other precision than that of the model's own code.
        given = [_as(x, like.dtype) for x, like in zip(given, self.op.inputs, strict=True)]
        real = [x.dtype for x in operands if getattr(x.dtype, "is_floating", False)]
        outputs = tf.nest.map_structure(lambda y: _as(y, real[0]) if real else y, self._run(*given))
        return list(outputs) if isinstance(outputs, tuple) else outputs


@describes_class(TensorFlowOperation)
def _unknown(call: Call) -> Primitive:
    op = call.operation.op
    instead = _INSTEAD.get(op.type)
    way_out = f"{instead} does what it does" if instead else "write it by keras.ops"
    return opaque(call, f"the TensorFlow operation {said(op)} is not translated: {way_out}")


def _as(x: Any, dtype: Any) -> Any:
    """Real numbers in another precision."""
    differs = dtype.is_floating and getattr(x.dtype, "is_floating", False) and x.dtype != dtype
    return tf.cast(x, dtype) if differs else x


def kept(op: Any, operands: list[Any]) -> Any:
    """An operation that is not translated, run on symbolic tensors."""
    if any(x.dtype == tf.string for x in (*op.inputs, *op.outputs)):
        raise UntranslatableError(
            "it reads text, which has no relevance: look it up in front of the model, and explain the rest, from the "
            "first numbers on"
        )
    if any(map(is_sizes, operands)):
        raise UntranslatableError("it takes a size that is not known when the model is traced")
    if op.type in ("EagerPyFunc", "PyFunc", "PyFuncStateless"):
        raise UntranslatableError("it runs a function of Python, which no graph can look into: write it by keras.ops")
    if op.op_def.is_stateful:
        raise UntranslatableError("it gives something else in each run, or reads a resource")
    resources = {i: value for i, value in enumerate(operands) if isinstance(value, Handle)}
    return TensorFlowOperation(op, resources)(*(value for value in operands if not isinstance(value, Handle)))
