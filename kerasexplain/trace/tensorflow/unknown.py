"""Operations of TensorFlow that are not translated: they run as they are, and have no rule."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from kerasexplain.graph.primitives import Call, Primitive
from kerasexplain.operations.catalogue import describes_class, opaque
from kerasexplain.trace.tensorflow.raw import raw, said
from kerasexplain.trace.tensorflow.values import Handle, UntranslatableError

#: What of keras.ops does what an operation does that is not translated.
_INSTEAD = {
    "Conv": "ops.conv",
    "Dilation2D": "ops.max_pool",
    "ExtractVolumePatches": "ops.image.extract_patches",
    "FractionalAvgPool": "ops.average_pool",
    "FractionalMaxPool": "ops.max_pool",
    "GatherNd": "ops.take_along_axis",
    "ImageProjectiveTransformV3": "ops.image.affine_transform",
    "LRN": "ops.normalize",
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
        outputs = self._run(*given)
        return list(outputs) if isinstance(outputs, tuple) else outputs


@describes_class(TensorFlowOperation)
def _unknown(call: Call) -> Primitive:
    op = call.operation.op
    instead = _INSTEAD.get(op.type)
    way_out = f"{instead} does what it does" if instead else "write it by keras.ops"
    return opaque(call, f"the TensorFlow operation {said(op)} is not translated: {way_out}")


def kept(op: Any, operands: list[Any]) -> Any:
    """An operation that is not translated, run on symbolic tensors."""
    if any(x.dtype == tf.string for x in (*op.inputs, *op.outputs)):
        raise UntranslatableError(
            "it reads text, which has no relevance: look it up in front of the model, and explain the rest, from the "
            "first numbers on"
        )
    if op.type in ("EagerPyFunc", "PyFunc", "PyFuncStateless"):
        raise UntranslatableError("it runs a function of Python, which no graph can look into: write it by keras.ops")
    resources = {i: value for i, value in enumerate(operands) if isinstance(value, Handle)}
    return TensorFlowOperation(op, resources)(*(value for value in operands if not isinstance(value, Handle)))
