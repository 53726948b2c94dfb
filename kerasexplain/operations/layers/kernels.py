"""Layers that multiply by a kernel, also a quantised one, and embeddings."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kerasexplain.graph import linear
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.primitives import Call, Lookup, Primitive, live
from kerasexplain.operations.catalogue import Step, describes, keras_class, opaque
from kerasexplain.operations.layers.activations import activation_steps

Tensor = Any

_LINEAR = {
    "Dense": linear.dense,
    "EinsumDense": linear.einsum_dense,
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), linear.convolution),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), linear.depthwise_convolution),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), linear.transposed_convolution),
}


@describes(*(f"layers.{name}" for name in _LINEAR))
def _linear(call: Call) -> list[Step]:
    layer = call.operation
    kind = keras_class(layer)
    assert kind is not None
    mode = getattr(layer, "quantization_mode", None)
    if mode is None:
        return [Step(_LINEAR[kind.__name__](layer)), *activation_steps(layer.activation, suffix=True)]
    known = isinstance(layer, keras.layers.Dense) or hasattr(layer, "_adjust_scale_for_dequant")
    if mode != "int8" or layer.lora_enabled or not known:
        return [Step(opaque(call, f"its {mode} kernel has no rule: explain the model before it is quantised"))]
    return _quantized(layer, _LINEAR[kind.__name__](layer), call.inputs[0].shape)


def _quantized(layer: Any, linear: Linear, shape: tuple[int | None, ...]) -> list[Step]:
    """A kernel kept in integers of 8 bits; the layer rounds what it multiplies by it to 8 bits as well.

    To relevance the kernel is what those numbers stand for, and rounding is a nonlinearity of its own, so that the
    output is the layer's and nothing is lost.
    """
    is_dense = isinstance(layer, keras.layers.Dense)

    def kernel() -> Tensor:
        scale = live(layer.kernel_scale)
        return ops.cast(layer._kernel, scale.dtype) / (scale if is_dense else layer._adjust_scale_for_dequant(scale))

    def rounded(x: Tensor) -> Tensor:
        # Keras 3.12 makes the quantizer with its axis, later versions say it at each call.
        says_axis = "axis" in inspect.signature(layer.inputs_quantizer).parameters
        along = {"axis": -1 if is_dense else layer.quantization_axis} if says_axis else {}
        integers, scale = layer.inputs_quantizer(x, **along)
        return x + ops.stop_gradient(ops.cast(integers, x.dtype) / ops.cast(scale, x.dtype) - x)

    primitive = Elementwise(rounded, keeps_sign=True, smooth=False)
    rounding = Step(primitive, suffix="/rounding", type="rounding", shape=shape)
    steps = [
        Step(dataclasses.replace(linear, kernel=kernel, is_derived=True)),
        *activation_steps(layer.activation, suffix=True),
    ]
    return [rounding, *steps] if getattr(layer, "inputs_quantizer", None) else steps


@describes("layers.SeparableConv1D", "layers.SeparableConv2D")
def _separable(call: Call) -> list[Step]:
    layer = call.operation
    depthwise, pointwise = linear.separable_convolution(layer)
    axis = -1 if layer.data_format == "channels_last" else 1
    between = list(layer.compute_output_shape(call.inputs[0].shape))
    between[axis] = call.inputs[0].shape[axis] * layer.depth_multiplier
    return [
        Step(depthwise, suffix="/depthwise", type=f"{type(layer).__name__} (depthwise)", shape=tuple(between)),
        Step(pointwise, suffix="/pointwise", type=f"{type(layer).__name__} (pointwise)"),
        *activation_steps(layer.activation, suffix=True),
    ]


@describes("layers.Embedding")
def _embedding(call: Call) -> Primitive:
    return Lookup(_table_lookup(call.operation))


@describes("layers.ReversibleEmbedding")
def _reversible_embedding(call: Call) -> Primitive:
    layer = call.operation
    if not (call.kwargs.get("reverse") or True in call.args):
        return Lookup(_table_lookup(layer))
    if getattr(layer, "quantization_mode", None) is not None or layer.logit_soft_cap is not None:
        return opaque(call, "a quantised or softly capped table that is used in reverse has no rule")
    return Linear(
        product=ops.matmul,
        kernel=lambda: ops.transpose(live(layer.embeddings)) if layer.tie_weights else live(layer.reverse_embeddings),
        bias=None,
        bias_shape=None,
        bias_axis=None,
        scaled=lambda kernel, scale: kernel * scale,
    )


def _table_lookup(layer: Any) -> Callable[[Tensor], Tensor]:
    quantized = getattr(layer, "quantization_mode", None) is not None
    return lambda indices: layer.quantized_call(indices) if quantized else layer.call(indices)
