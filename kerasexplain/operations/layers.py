"""What the layers of `keras.layers` are to relevance."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.domains import ANY, UNIT, Interval
from kerasexplain.operations import elementwise, linear
from kerasexplain.operations.base import (
    Affine,
    Call,
    Mixing,
    Nonlinear,
    Pooling,
    Primitive,
    Product,
    Routing,
    Scale,
    Statistics,
    live,
    placed,
)
from kerasexplain.operations.catalogue import Step, describe, describes, keras_class, opaque
from kerasexplain.operations.elementwise import Elementwise
from kerasexplain.operations.maximum import Maximum, operand_candidates, reduction_candidates, window_candidates

Tensor = Any


def activation_steps(function: Any, suffix: bool) -> list[Step]:
    """The step for an activation function, or a layer given as one; none for the identity."""
    if isinstance(function, keras.layers.Layer):
        slot = object()  # stands for the activation's input, of which no activation layer asks anything
        (step,) = describe(Call(function, (slot,), {}, (slot,)))
        own_name = f"/{function.name}" if suffix else ""
        return [dataclasses.replace(step, suffix=own_name, operation=function, type=type(function).__name__)]
    name = _activation_name(function)
    if name == "linear":
        return []
    layer = keras.layers.Activation(function)
    label = str(name or getattr(function, "__name__", type(function).__name__))
    primitive: Primitive | None = None
    if name == "softmax":
        primitive = Nonlinear(function, UNIT)
    elif name == "log_softmax":
        primitive = Nonlinear(function, Interval(-np.inf, 0.0))
    elif name is not None:
        primitive = elementwise.named(name, function)
    if primitive is None:
        primitive = opaque(_applied(layer), f"the activation {label!r} is not known to act element by element")
    return [Step(primitive, suffix=f"/{label}" if suffix else "", operation=layer, type=label)]


def _activation_name(function: Any) -> str | None:
    name = getattr(function, "__name__", "")
    known = any(getattr(module, name, None) is function for module in (keras.activations, keras.ops))
    return {"exp": "exponential", "absolute": "abs"}.get(name, name) if known else None


def _applied(layer: Any) -> Any:
    return lambda x: layer.call(x)


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
    return [Step(_LINEAR[kind.__name__](layer)), *activation_steps(layer.activation, suffix=True)]


@describes("layers.SeparableConv1D", "layers.SeparableConv2D")
def _separable(call: Call) -> list[Step]:
    layer = call.operation
    depthwise, pointwise = linear.separable_convolution(layer)
    axis = -1 if layer.data_format == "channels_last" else 1
    channels = (axis, call.inputs[0].shape[axis] * layer.depth_multiplier)
    return [
        Step(depthwise, suffix="/depthwise", type=f"{type(layer).__name__} (depthwise)", channels=channels),
        Step(pointwise, suffix="/pointwise", type=f"{type(layer).__name__} (pointwise)"),
        *activation_steps(layer.activation, suffix=True),
    ]


@describes("layers.Activation")
def _activation(call: Call) -> list[Step]:
    return activation_steps(call.operation.activation, suffix=False) or [Step(Routing(lambda x: x))]


@describes("layers.ReLU")
def _relu(call: Call) -> Primitive:
    layer = call.operation
    low = 0.0 if not layer.negative_slope else -np.inf
    if layer.max_value is None and not layer.threshold:
        return Elementwise(call.function(), homogeneous=True, range=Interval(low), keeps_sign=True, rectifies=low == 0)
    high = np.inf if layer.max_value is None else float(layer.max_value)
    at_zero = -float(layer.negative_slope * layer.threshold)
    return Elementwise(call.function(), at_zero=at_zero, range=Interval(low, high), keeps_sign=low == 0, smooth=False)


@describes("layers.LeakyReLU", "layers.PReLU")
def _leaky_relu(call: Call) -> Primitive:
    return Elementwise(call.function(), homogeneous=True, keeps_sign=True)


@describes("layers.ELU")
def _elu(call: Call) -> Primitive:
    return Elementwise(call.function(), keeps_sign=True)


@describes("layers.Softmax")
def _softmax(call: Call) -> Primitive:
    if len(call.inputs) > 1:
        return opaque(call, "softmax with a mask has no rule yet")
    return Nonlinear(call.function(), UNIT)


@describes(
    "layers.Flatten",
    "layers.Reshape",
    "layers.Permute",
    "layers.RepeatVector",
    "layers.Cropping1D",
    "layers.Cropping2D",
    "layers.Cropping3D",
    "layers.UpSampling1D",
    "layers.UpSampling3D",
    "layers.Concatenate",
    "layers.Identity",
)
def _routing(call: Call) -> Primitive:
    return Routing(call.function())


@describes("layers.ZeroPadding1D", "layers.ZeroPadding2D", "layers.ZeroPadding3D")
def _zero_padding(call: Call) -> Primitive:
    return Routing(call.function(), pads=True)


@describes("layers.UpSampling2D")
def _upsampling(call: Call) -> Primitive:
    if call.operation.interpolation == "nearest":
        return Routing(call.function())
    return Mixing(call.function())


@describes(
    "layers.Dropout",
    "layers.SpatialDropout1D",
    "layers.SpatialDropout2D",
    "layers.SpatialDropout3D",
    "layers.AlphaDropout",
    "layers.GaussianDropout",
    "layers.GaussianNoise",
    "layers.ActivityRegularization",
)
def _inactive(call: Call) -> Primitive:
    return Routing(lambda x: x)


@describes("layers.BatchNormalization")
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


@describes("layers.Rescaling")
def _rescaling(call: Call) -> Primitive:
    layer = call.operation
    if keras.config.image_data_format() == "channels_first" and (np.ndim(layer.scale) or np.ndim(layer.offset)):
        return opaque(call, "rescaling by channels that come first has no rule yet")
    # Rounded as Keras rounds them: a Python number is a float32 first.
    dtype = "float64" if layer.compute_dtype == "float64" else "float32"
    scale, offset = (ops.convert_to_numpy(ops.cast(value, dtype)) for value in (layer.scale, layer.offset))
    factor = Interval(float(scale.min()), float(scale.max()))
    if not np.any(offset):
        return Scale(lambda x: x * ops.cast(scale, x.dtype), factor)
    return affine_constant(call, offset, scale, factor)


@describes("layers.Normalization")
def _normalization(call: Call) -> Primitive:
    layer = call.operation
    if layer.invert or getattr(layer, "mean", None) is None:
        return opaque(call, "an inverted or unadapted Normalization has no rule")

    def scale() -> Tensor:
        sigma = ops.sqrt(ops.convert_to_tensor(layer.variance))
        return 1.0 / ops.maximum(sigma, keras.config.epsilon())

    shape = tuple(layer.mean.shape)
    drop = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    return Affine(scale, lambda: ops.reshape(-layer.mean * scale(), shape[drop:]), shape[drop:])


def affine_constant(call: Call, offset: Any, scale: Any = None, factor: Interval | None = None) -> Primitive:
    """`x * scale + offset` with constants; `offset` may be a live variable."""
    rank = len(call.inputs[0].shape)
    shape = tuple(offset.shape)
    if len(shape) == rank and shape[0] == 1:
        shape = shape[1:]
    elif len(shape) >= rank:
        return opaque(call, f"the constant it adds has a batch axis of its own (shape {tuple(offset.shape)})")
    shift = Interval(float(offset.min()), float(offset.max())) if isinstance(offset, np.ndarray) else ANY
    return Affine(
        scale=None if scale is None else (lambda: ops.convert_to_tensor(scale)),
        offset=lambda: ops.reshape(ops.convert_to_tensor(offset), shape),
        bias_shape=shape,
        factor=Interval(1.0, 1.0) if factor is None else factor,
        shift=shift,
    )


@describes("layers.LayerNormalization", "layers.RMSNormalization")
def _layer_normalization(call: Call) -> Primitive:
    layer = call.operation
    rank = len(call.inputs[0].shape)
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    if [axis % rank for axis in axes] != [rank - 1]:
        return opaque(call, "it normalises over axes other than the last")
    # LayerNormalization(rms_scaling=True) divides by the standard deviation about the mean, without centring.
    rms, centres = isinstance(layer, keras.layers.RMSNormalization), not getattr(layer, "rms_scaling", False)
    gamma = getattr(layer, "gamma", getattr(layer, "scale", None))
    beta = getattr(layer, "beta", None)

    def normalize(x: Tensor, detach: Any, tap: Tensor | None) -> Tensor:
        centred = x if rms else x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        y = (centred if centres else x) * detach(ops.rsqrt(variance + layer.epsilon))
        if gamma is not None and not isinstance(gamma, bool):
            y = y * ops.cast(gamma, x.dtype)
        return y if beta is None else y + placed(ops.cast(beta, x.dtype), tap, len(x.shape))

    return Statistics(normalize, None if beta is None else tuple(beta.shape))


@describes("layers.Add", "layers.Average", "layers.Subtract")
def _add(call: Call) -> Primitive:
    positions = operand_positions(call)
    name = type(call.operation).__name__

    def combine(*domains: Interval) -> Interval:
        operands = [domains[i] for i in positions]
        if name == "Subtract":
            return operands[0] + operands[1] * Interval(-1.0, -1.0)
        total = operands[0]
        for other in operands[1:]:
            total = total + other
        share = 1.0 / len(operands) if name == "Average" else 1.0
        return total * Interval(share, share)

    return Mixing(call.function(), combine)


def operand_positions(call: Call) -> list[int]:
    """For each operand of the call, in order, its place among the call's (unique) inputs."""
    places = {id(value): i for i, value in enumerate(call.inputs)}
    return [places[id(leaf)] for leaf in keras.tree.flatten((call.args, call.kwargs)) if id(leaf) in places]


@describes("layers.Multiply")
def _multiply(call: Call) -> Primitive:
    if len(operand_positions(call)) != len(call.inputs):
        return opaque(call, "it multiplies a tensor by itself")
    return Product(call.function(), elementwise=True)


@describes("layers.Dot")
def _dot(call: Call) -> Primitive:
    if len(call.inputs) != 2 or call.operation.normalize:
        return opaque(call, "it multiplies a tensor by itself or normalises it")
    return Product(call.function())


@describes("layers.Maximum")
def _maximum(call: Call) -> Primitive:
    return Maximum(call.function(), operand_candidates, first=True)


@describes("layers.Minimum")
def _minimum(call: Call) -> Primitive:
    return Routing(call.function())  # the smaller operand takes all


@describes("layers.MaxPooling1D", "layers.MaxPooling2D", "layers.MaxPooling3D")
def _max_pooling(call: Call) -> Primitive:
    layer = call.operation
    channels_last = layer.data_format == "channels_last"
    rank = len(call.inputs[0].shape) - 2
    pool_size, strides = ((n,) * rank if isinstance(n, int) else n for n in (layer.pool_size, layer.strides))
    candidates = window_candidates(pool_size, strides, layer.padding, channels_last)
    # With padding, the gradient that XLA makes goes to another of equal winners than the plain graph's.
    return Maximum(call.function(), candidates, first=layer.padding == "valid")


@describes("layers.GlobalMaxPooling1D", "layers.GlobalMaxPooling2D", "layers.GlobalMaxPooling3D")
def _global_max_pooling(call: Call) -> Primitive:
    layer = call.operation
    return Maximum(call.function(), reduction_candidates(_spatial(call), layer.keepdims), first=False)


@describes("layers.AveragePooling1D", "layers.AveragePooling2D", "layers.AveragePooling3D")
@describes("layers.GlobalAveragePooling1D", "layers.GlobalAveragePooling2D", "layers.GlobalAveragePooling3D")
def _average_pooling(call: Call) -> Primitive:
    return Pooling(call.function(), lambda domain: domain)


def _spatial(call: Call) -> list[int]:
    rank = len(call.inputs[0].shape)
    return list(range(1, rank - 1)) if call.operation.data_format == "channels_last" else list(range(2, rank))
