"""The table of TensorFlow's operations, tried out: what each does by `tf.*`, and the same by `keras.ops`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

Tensor = Any
Function = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class Case:
    """A function of one tensor in two spellings, and the types of the operations that it is about."""

    types: tuple[str, ...]
    tf: Function
    keras: Function


def case(types: str, of_tf: Function, of_keras: Function) -> Case:
    return Case(tuple(types.split()), of_tf, of_keras)


K = np.random.default_rng(1)
MATRIX = K.normal(size=(6, 6))
KERNEL = K.normal(size=(3, 3, 4, 4)) * 0.4
DEPTHWISE = K.normal(size=(3, 3, 4, 1))
GROUPED = K.normal(size=(3, 3, 2, 4)) * 0.4
VOLUME = (K.normal(size=(2, 2, 2, 2, 3)) * 0.5).astype("float32")
VECTOR = K.normal(size=(6,))
CHANNELS = K.normal(size=(4,))
VARIABLE = tf.Variable(CHANNELS)
POSITIVE = K.uniform(0.5, 1.5, size=(4,))

#: Functions of (batch, 6).
OF_VECTORS = [
    *(
        case(kind, of_tf, of_keras)
        for kind, of_tf, of_keras in (
            ("Abs", tf.abs, ops.abs),
            ("Asinh", tf.asinh, ops.arcsinh),
            ("Atan", tf.atan, ops.arctan),
            ("Ceil", lambda x: x + tf.math.ceil(x), lambda x: x + ops.ceil(x)),
            ("Cos", tf.cos, ops.cos),
            ("Cosh", tf.cosh, ops.cosh),
            ("Elu", tf.nn.elu, ops.elu),
            ("Erf", tf.math.erf, ops.erf),
            ("Erfc", tf.math.erfc, getattr(ops, "erfc", lambda x: 1.0 - ops.erf(x))),
            ("Exp", tf.exp, ops.exp),
            ("Expm1", tf.math.expm1, ops.expm1),
            ("Floor", lambda x: x + tf.floor(x), lambda x: x + ops.floor(x)),
            ("LogSoftmax", tf.nn.log_softmax, ops.log_softmax),
            ("Neg", tf.negative, ops.negative),
            ("Relu", tf.nn.relu, ops.relu),
            ("Relu6", tf.nn.relu6, ops.relu6),
            ("Rint", lambda x: x + tf.math.rint(x), lambda x: x + ops.round(x)),
            ("Round", lambda x: x + tf.round(x), lambda x: x + ops.round(x)),
            ("Selu", tf.nn.selu, ops.selu),
            ("Sigmoid", tf.sigmoid, ops.sigmoid),
            ("Sin", tf.sin, ops.sin),
            ("Sinh", tf.sinh, ops.sinh),
            ("Softmax", tf.nn.softmax, ops.softmax),
            ("Softplus", tf.nn.softplus, ops.softplus),
            ("Softsign", tf.nn.softsign, ops.softsign),
            ("Square", tf.square, ops.square),
            ("Tan", lambda x: tf.tan(0.3 * x), lambda x: ops.tan(0.3 * x)),
            ("Tanh", tf.tanh, ops.tanh),
        )
    ),
    case("Asin", lambda x: tf.asin(tf.tanh(x)), lambda x: ops.arcsin(ops.tanh(x))),
    case("Acos", lambda x: tf.acos(tf.tanh(x)), lambda x: ops.arccos(ops.tanh(x))),
    case("Atanh", lambda x: tf.atanh(0.5 * tf.tanh(x)), lambda x: ops.arctanh(0.5 * ops.tanh(x))),
    case("Acosh", lambda x: x * tf.acosh(2 + x * x), lambda x: x * ops.arccosh(2 + x * x)),
    case("Erfinv", lambda x: tf.math.erfinv(0.5 * tf.tanh(x)), lambda x: ops.erfinv(0.5 * ops.tanh(x))),
    case("Log1p", lambda x: tf.math.log1p(tf.nn.relu(x)), lambda x: ops.log1p(ops.relu(x))),
    case("Log", lambda x: x * tf.math.log(tf.exp(x) + 1), lambda x: x * ops.log(ops.exp(x) + 1)),
    case("Reciprocal", lambda x: x * tf.math.reciprocal(1 + x * x), lambda x: x * ops.reciprocal(1 + x * x)),
    case("Inv", lambda x: x * tf.raw_ops.Inv(x=1 + x * x), lambda x: x * ops.reciprocal(1 + x * x)),
    case("Rsqrt", lambda x: x * tf.math.rsqrt(1 + x * x), lambda x: x * ops.rsqrt(1 + x * x)),
    case("Sqrt", lambda x: tf.sqrt(1 + tf.nn.relu(x)), lambda x: ops.sqrt(1 + ops.relu(x))),
    case("Sign", lambda x: x + tf.sign(x), lambda x: x + ops.sign(x)),
    case("LeakyRelu", lambda x: tf.nn.leaky_relu(x, 0.3), lambda x: ops.leaky_relu(x, 0.3)),
    case("Pow", lambda x: tf.pow(x, 3.0), lambda x: ops.power(x, 3.0)),
    case("SquaredDifference", lambda x: tf.math.squared_difference(x, 0.5), lambda x: ops.square(x - 0.5)),
    case("AddN", lambda x: tf.add_n([x, tf.tanh(x), x]), lambda x: ops.add(ops.add(x, ops.tanh(x)), x)),
    case("Add AddV2", lambda x: tf.raw_ops.Add(x=x, y=VECTOR) + VECTOR, lambda x: x + VECTOR + VECTOR),
    case("Sub", lambda x: 1.0 - (x - VECTOR), lambda x: 1.0 - (x - VECTOR)),
    case("Mul", lambda x: x * VECTOR, lambda x: x * VECTOR),
    case("RealDiv", lambda x: x / (2 + VECTOR**2), lambda x: x / (2 + VECTOR**2)),
    case("Div", lambda x: tf.raw_ops.Div(x=x, y=tf.cast(3.0, x.dtype)), lambda x: x / 3.0),
    case("DivNoNan", lambda x: tf.math.divide_no_nan(x, 3.0), lambda x: ops.divide_no_nan(x, 3.0)),
    case("Maximum", lambda x: tf.maximum(x, 0.2), lambda x: ops.maximum(x, 0.2)),
    case("Minimum", lambda x: tf.minimum(x, 0.2), lambda x: ops.minimum(x, 0.2)),
    case("Atan2", lambda x: x + tf.atan2(x, 1.0), lambda x: x + ops.arctan2(x, 1.0)),
    case("FloorDiv", lambda x: x + x // 0.25, lambda x: x + ops.floor_divide(x, 0.25)),
    case("FloorMod", lambda x: x + tf.math.floormod(x, 0.25), lambda x: x + ops.mod(x, 0.25)),
    case(
        "ClipByValue",
        lambda x: tf.raw_ops.ClipByValue(
            t=x, clip_value_min=tf.cast(-0.5, x.dtype), clip_value_max=tf.cast(0.4, x.dtype)
        ),
        lambda x: ops.clip(x, -0.5, 0.4),
    ),
    case("Greater SelectV2", lambda x: tf.where(x > 0.1, x, 0.5 * x), lambda x: ops.where(x > 0.1, x, 0.5 * x)),
    case(
        "GreaterEqual Less LogicalAnd",
        lambda x: tf.where((x >= -0.5) & (x < 0.5), x, 2 * x),
        lambda x: ops.where(ops.logical_and(x >= -0.5, x < 0.5), x, 2 * x),
    ),
    case(
        "LessEqual LogicalOr",
        lambda x: tf.where((x <= -0.5) | (x > 0.5), x, 2 * x),
        lambda x: ops.where(ops.logical_or(x <= -0.5, x > 0.5), x, 2 * x),
    ),
    case(
        "Equal LogicalNot",
        lambda x: tf.where(tf.logical_not(tf.equal(x, 0.0)), x, 2 * x),
        lambda x: ops.where(ops.logical_not(ops.equal(x, 0.0)), x, 2 * x),
    ),
    case(
        "NotEqual",
        lambda x: tf.where(tf.not_equal(x, 0.0), x, 2 * x),
        lambda x: ops.where(ops.not_equal(x, 0.0), x, 2 * x),
    ),
    case(
        "IsFinite", lambda x: tf.where(tf.math.is_finite(x), x, 2 * x), lambda x: ops.where(ops.isfinite(x), x, 2 * x)
    ),
    case("IsInf", lambda x: tf.where(tf.math.is_inf(x), x, 2 * x), lambda x: ops.where(ops.isinf(x), x, 2 * x)),
    case("IsNan", lambda x: tf.where(tf.math.is_nan(x), x, 2 * x), lambda x: ops.where(ops.isnan(x), x, 2 * x)),
    case("Select", lambda x: tf.compat.v1.where(x > 0.1, x, 3 * x), lambda x: ops.where(x > 0.1, x, 3 * x)),
    case("Cast", lambda x: x * tf.cast(x > 0, x.dtype), lambda x: x * ops.cast(x > 0, x.dtype)),
    case("Identity", tf.identity, lambda x: x),
    case("IdentityN", lambda x: tf.identity_n([x, 2 * x])[0], lambda x: x),
    case("Snapshot", lambda x: tf.raw_ops.Snapshot(input=x), lambda x: x),
    case("CheckNumerics", lambda x: tf.debugging.check_numerics(x, "here"), lambda x: x),
    case("EnsureShape", lambda x: tf.ensure_shape(x, (None, 6)), lambda x: x),
    case("DebugGradientIdentity", lambda x: tf.raw_ops.DebugGradientIdentity(input=x), lambda x: x),
    case("PlaceholderWithDefault", lambda x: tf.compat.v1.placeholder_with_default(x, (None, 6)), lambda x: x),
    case("StopGradient", lambda x: x + tf.stop_gradient(tf.tanh(x)), lambda x: x + ops.stop_gradient(ops.tanh(x))),
    case(
        "PreventGradient",
        lambda x: x + tf.raw_ops.PreventGradient(input=tf.tanh(x)),
        lambda x: x + ops.stop_gradient(ops.tanh(x)),
    ),
    case("OnesLike", lambda x: x + tf.ones_like(x), lambda x: x + ops.ones_like(x)),
    case("ZerosLike", lambda x: x + tf.zeros_like(x), lambda x: x + ops.zeros_like(x)),
    case("MatMul", lambda x: x @ tf.constant(MATRIX), lambda x: ops.matmul(x, MATRIX)),
    case("MatMul", lambda x: tf.matmul(x, tf.constant(MATRIX), transpose_b=True), lambda x: ops.matmul(x, MATRIX.T)),
    case(
        "BiasAdd", lambda x: tf.nn.bias_add(x @ tf.constant(MATRIX), VECTOR), lambda x: ops.matmul(x, MATRIX) + VECTOR
    ),
    case("Sum", lambda x: x * tf.reduce_sum(x, 1, keepdims=True), lambda x: x * ops.sum(x, 1, keepdims=True)),
    case("Mean", lambda x: x - tf.reduce_mean(x, -1, keepdims=True), lambda x: x - ops.mean(x, -1, keepdims=True)),
    case("Max", lambda x: x + tf.reduce_max(x, 1, keepdims=True), lambda x: x + ops.max(x, 1, keepdims=True)),
    case("Min", lambda x: x + tf.reduce_min(x, 1, keepdims=True), lambda x: x + ops.min(x, 1, keepdims=True)),
    case("Prod", lambda x: x + tf.reduce_prod(x, 1, keepdims=True), lambda x: x + ops.prod(x, 1, keepdims=True)),
    case(
        "EuclideanNorm",
        lambda x: x + tf.math.reduce_euclidean_norm(x, 1, keepdims=True),
        lambda x: x + ops.sqrt(ops.sum(x * x, axis=1, keepdims=True)),
    ),
    case(
        "All",
        lambda x: tf.where(tf.reduce_all(x > 0, 1, keepdims=True), x, 2 * x),
        lambda x: ops.where(ops.all(x > 0, 1, keepdims=True), x, 2 * x),
    ),
    case(
        "Any",
        lambda x: tf.where(tf.reduce_any(x > 1, 1, keepdims=True), x, 2 * x),
        lambda x: ops.where(ops.any(x > 1, 1, keepdims=True), x, 2 * x),
    ),
    case(
        "ArgMax OneHot",
        lambda x: x * tf.one_hot(tf.argmax(x, 1), 6, dtype=x.dtype),
        lambda x: x * ops.one_hot(ops.argmax(x, 1), 6, dtype=x.dtype),
    ),
    case(
        "ArgMin",
        lambda x: x * tf.one_hot(tf.argmin(x, 1), 6, dtype=x.dtype),
        lambda x: x * ops.one_hot(ops.argmin(x, 1), 6, dtype=x.dtype),
    ),
    case("Cumsum", lambda x: tf.cumsum(x, 1), lambda x: ops.cumsum(x, 1)),
    case(
        "Cumsum",
        lambda x: tf.cumsum(x, 1, exclusive=True, reverse=True),
        lambda x: ops.flip(ops.cumsum(ops.flip(x, 1), 1) - ops.flip(x, 1), 1),
    ),
    case("TopKV2", lambda x: tf.math.top_k(x, 6)[0], lambda x: ops.top_k(x, 6)[0]),
    case(
        "Einsum", lambda x: tf.einsum("ab,bc->ac", x, tf.constant(MATRIX)), lambda x: ops.einsum("ab,bc->ac", x, MATRIX)
    ),
    case(
        "Reshape Transpose",
        lambda x: tf.reshape(tf.transpose(tf.reshape(x, [-1, 2, 3]), [0, 2, 1]), [tf.shape(x)[0], 6]),
        lambda x: ops.reshape(ops.transpose(ops.reshape(x, (-1, 2, 3)), (0, 2, 1)), (-1, 6)),
    ),
    case(
        "ExpandDims Squeeze",
        lambda x: tf.squeeze(tf.expand_dims(x, 1), 1),
        lambda x: ops.squeeze(ops.expand_dims(x, 1), 1),
    ),
    case(
        "ConcatV2 Split",
        lambda x: tf.concat(tf.split(x, 3, 1)[::-1], 1),
        lambda x: ops.concatenate(ops.split(x, 3, 1)[::-1], 1),
    ),
    case(
        "SplitV",
        lambda x: tf.concat(tf.split(x, [1, 2, 3], 1)[::-1], 1),
        lambda x: ops.concatenate(ops.split(x, [1, 3], 1)[::-1], 1),
    ),
    case(
        "Pack Unpack",
        lambda x: tf.stack(tf.unstack(x, axis=1)[::-1], axis=1),
        lambda x: ops.stack(ops.unstack(x, axis=1)[::-1], axis=1),
    ),
    case(
        "Slice",
        lambda x: tf.pad(tf.slice(x, [0, 1], [-1, 4]), [[0, 0], [1, 1]]),
        lambda x: ops.pad(x[:, 1:5], [[0, 0], [1, 1]]),
    ),
    case(
        "StridedSlice",
        lambda x: tf.concat([x[:, ::2], x[:, 1::2]], 1),
        lambda x: ops.concatenate([x[:, ::2], x[:, 1::2]], 1),
    ),
    case(
        "GatherV2",
        lambda x: tf.gather(x, [5, 4, 3, 2, 1, 0], axis=1),
        lambda x: ops.take(x, [5, 4, 3, 2, 1, 0], axis=1),
    ),
    case("Pad", lambda x: tf.pad(x, [[0, 0], [1, 0]])[:, :6], lambda x: ops.pad(x, [[0, 0], [1, 0]])[:, :6]),
    case(
        "PadV2",
        lambda x: tf.pad(tf.nn.relu(x), [[0, 0], [1, 0]], constant_values=-1.0)[:, 1:],
        lambda x: ops.pad(ops.relu(x), [[0, 0], [1, 0]], constant_values=-1.0)[:, 1:],
    ),
    case(
        "MirrorPad",
        lambda x: tf.pad(x, [[0, 0], [2, 0]], "REFLECT")[:, :6],
        lambda x: ops.pad(x, [[0, 0], [2, 0]], mode="reflect")[:, :6],
    ),
    case("Tile", lambda x: tf.tile(x, [1, 2])[:, 3:9], lambda x: ops.tile(x, [1, 2])[:, 3:9]),
    case(
        "BroadcastTo",
        lambda x: tf.reduce_sum(tf.broadcast_to(x[:, None], [tf.shape(x)[0], 2, 6]), 1),
        lambda x: ops.sum(ops.tile(x[:, None], [1, 2, 1]), 1),
    ),
    case("ReverseV2", lambda x: tf.reverse(x, [1]), lambda x: ops.flip(x, 1)),
    case("Roll", lambda x: tf.roll(x, 2, 1), lambda x: ops.roll(x, 2, 1)),
    case(
        "Fill Range",
        lambda x: x * tf.fill([6], tf.cast(tf.size(x[:1]) + tf.rank(x), x.dtype)) + tf.range(6.0, dtype=x.dtype),
        lambda x: x * np.full(6, 8.0) + np.arange(6.0),
    ),
    case(
        "Gather",
        lambda x: x * tf.raw_ops.Gather(params=tf.constant(VECTOR), indices=[5, 4, 3, 2, 1, 0]),
        lambda x: x * VECTOR[::-1],
    ),
    case(
        "MatrixDiagPartV3",
        lambda x: tf.linalg.diag_part(x[:, :, None] * tf.constant(MATRIX)),
        lambda x: ops.diagonal(x[:, :, None] * MATRIX, axis1=1, axis2=2),
    ),
    case(
        "MatrixBandPart",
        lambda x: tf.reduce_sum(tf.linalg.band_part(x[:, :, None] * tf.constant(MATRIX), 1, 2), 1),
        lambda x: ops.sum(ops.tril(ops.triu(x[:, :, None] * MATRIX, -1), 2), 1),
    ),
    case("Mul Sigmoid", tf.nn.silu, ops.silu),
    case("Mul", lambda x: tf.nn.gelu(x), lambda x: ops.gelu(x, approximate=False)),
    case("Tanh Pow", lambda x: tf.nn.gelu(x, approximate=True), lambda x: ops.gelu(x, approximate=True)),
]


def _of_sizes(x: Tensor) -> Tensor:
    """Twice x, by way of its sizes."""
    whole, other = tf.shape_n([x, x])
    rest = tf.size(x) // tf.shape(x)[0]
    flat = tf.reshape(x, tf.stack([whole[0], rest]))
    return tf.ensure_shape(tf.reshape(2 * flat, tf.raw_ops.BroadcastArgs(s0=other, s1=whole)), x.shape)


def _printing(x: Tensor) -> Tensor:
    """Twice x, with a side effect."""
    tf.print("", end="")
    return 2 * x


def _by_steps(x: Tensor) -> Tensor:
    """Sums along the second axis, by a loop over it."""
    steps = tf.TensorArray(x.dtype, size=8).unstack(tf.transpose(x, [1, 0, 2, 3]))
    sums = tf.TensorArray(x.dtype, size=8)

    def step(i: Tensor, total: Tensor, sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total = total + steps.read(i)
        return i + 1, total, sums.write(i, total)

    *_, sums = tf.while_loop(lambda i, *_: i < 8, step, [0, tf.zeros_like(x[:, 0]), sums])
    return tf.transpose(sums.stack(), [1, 0, 2, 3])


def _pushed(x: Tensor) -> Tensor:
    """Three times x, by way of a list."""
    items = tf.raw_ops.EmptyTensorList(element_shape=[-1, 8, 8, 4], max_num_elements=-1, element_dtype=x.dtype)
    for entry in (x, 2 * x):
        items = tf.raw_ops.TensorListPushBack(input_handle=items, tensor=entry)
    count = tf.raw_ops.TensorListLength(input_handle=items)
    _, last = tf.raw_ops.TensorListPopBack(input_handle=items, element_shape=[-1, 8, 8, 4], element_dtype=x.dtype)
    return tf.ensure_shape(last, x.shape) + x * tf.cast(count - 1, x.dtype)


def _normalised(x: Tensor, kind: str) -> Tensor:
    """Normalised by statistics of training, in single precision."""
    scale, offset, mean, variance = (tf.constant(c, "float32") for c in (POSITIVE, CHANNELS, CHANNELS, POSITIVE))
    given = {"x": tf.cast(x, "float32"), "scale": scale, "offset": offset, "mean": mean, "variance": variance}
    return tf.cast(getattr(tf.raw_ops, kind)(**given, epsilon=1e-3, is_training=False)[0], x.dtype)


#: Functions of (batch, 8, 8, 4).
OF_IMAGES = [
    case("Conv2D", lambda x: tf.nn.conv2d(x, KERNEL, 1, "SAME"), lambda x: ops.conv(x, KERNEL, padding="same")),
    case(
        "Conv2D",
        lambda x: tf.nn.conv2d(x, KERNEL, 1, [[0, 0], [1, 1], [2, 0], [0, 0]]),
        lambda x: ops.conv(ops.pad(x, [[0, 0], [1, 1], [2, 0], [0, 0]]), KERNEL),
    ),
    case(
        "SpaceToBatchND BatchToSpaceND",
        lambda x: tf.nn.convolution(x, KERNEL, padding="SAME", dilations=2),
        lambda x: ops.conv(x, KERNEL, padding="same", dilation_rate=2),
    ),
    case(
        "DepthwiseConv2dNative",
        lambda x: tf.nn.depthwise_conv2d(x, DEPTHWISE, [1, 1, 1, 1], "SAME"),
        lambda x: ops.depthwise_conv(x, DEPTHWISE, padding="same"),
    ),
    case(
        "Conv2DBackpropInput",
        lambda x: tf.nn.conv2d_transpose(x, KERNEL, [tf.shape(x)[0], 16, 16, 4], 2, "SAME")[:, ::2, ::2],
        lambda x: ops.conv_transpose(x, KERNEL, strides=2, padding="same")[:, ::2, ::2],
    ),
    case("MaxPool", lambda x: tf.nn.max_pool2d(x, 2, 1, "SAME"), lambda x: ops.max_pool(x, 2, 1, "same")),
    case(
        "MaxPoolV2",
        lambda x: tf.raw_ops.MaxPoolV2(input=x, ksize=[1, 2, 2, 1], strides=[1, 1, 1, 1], padding="SAME"),
        lambda x: ops.max_pool(x, 2, 1, "same"),
    ),
    case("AvgPool", lambda x: tf.nn.avg_pool2d(x, 2, 1, "SAME"), lambda x: ops.average_pool(x, 2, 1, "same")),
    case(
        "SpaceToDepth DepthToSpace",
        lambda x: tf.nn.depth_to_space(tf.nn.space_to_depth(x, 2) * 2, 2),
        lambda x: ops.depth_to_space(ops.space_to_depth(x, 2) * 2, 2),
    ),
    case(
        "ExtractImagePatches",
        lambda x: tf.image.extract_patches(x, [1, 2, 2, 1], [1, 1, 1, 1], [1, 1, 1, 1], "SAME")[..., :4],
        lambda x: ops.image.extract_patches(x, 2, strides=1, padding="same")[..., :4],
    ),
    case(
        "ResizeBilinear",
        lambda x: tf.cast(tf.image.resize(x, (16, 16)), x.dtype)[:, :8, :8],
        lambda x: ops.image.resize(x, (16, 16))[:, :8, :8],
    ),
    case(
        "ResizeNearestNeighbor",
        lambda x: tf.image.resize(x, (16, 16), "nearest")[:, :8, :8],
        lambda x: ops.image.resize(x, (16, 16), interpolation="nearest")[:, :8, :8],
    ),
    case(
        "ResizeBicubic",
        lambda x: tf.cast(tf.image.resize(x, (16, 16), "bicubic"), x.dtype)[:, :8, :8],
        lambda x: ops.image.resize(x, (16, 16), interpolation="bicubic")[:, :8, :8],
    ),
    case(
        "BatchMatMulV2",
        lambda x: tf.matmul(x, x, transpose_b=True)[..., :4],
        lambda x: ops.matmul(x, ops.swapaxes(x, -1, -2))[..., :4],
    ),
    case(
        "FusedBatchNormV3",
        lambda x: _normalised(x, "FusedBatchNormV3"),
        lambda x: (x - CHANNELS) * (POSITIVE / np.sqrt(POSITIVE + 1e-3)) + CHANNELS,
    ),
    case(
        "BatchMatMul",
        lambda x: tf.raw_ops.BatchMatMul(x=x, y=x, adj_x=True),
        lambda x: ops.matmul(ops.swapaxes(x, -1, -2), x),
    ),
    case(
        "BatchMatMulV3",
        lambda x: tf.raw_ops.BatchMatMulV3(x=x, y=x, Tout=x.dtype, adj_x=True),
        lambda x: ops.matmul(ops.swapaxes(x, -1, -2), x),
    ),
    case("MatrixDiagPart", lambda x: tf.raw_ops.MatrixDiagPart(input=x), lambda x: ops.diagonal(x, axis1=-2, axis2=-1)),
    case("Shape Size ShapeN BroadcastArgs", _of_sizes, lambda x: 2 * x),
    case("Rank", lambda x: x * tf.cast(tf.raw_ops.Rank(input=x), x.dtype), lambda x: x * 4),
    case("PartitionedCall", lambda x: tf.function(lambda y: 2 * tf.nn.relu(y))(x), lambda x: 2 * ops.relu(x)),
    case("StatefulPartitionedCall", lambda x: tf.function(_printing)(x), lambda x: 2 * x),
    case("If", lambda x: tf.cond(tf.constant(True), lambda: _printing(x), lambda: x), lambda x: 2 * x),
    case(
        "While",
        lambda x: tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, _printing(y)), [0, x])[1],
        lambda x: 4 * x,
    ),
    case(
        "TensorListReserve TensorListSetItem TensorListStack TensorListFromTensor TensorListGetItem",
        _by_steps,
        lambda x: ops.cumsum(x, 1),
    ),
    case("EmptyTensorList TensorListPushBack TensorListLength TensorListPopBack", _pushed, lambda x: 3 * x),
    *(
        case(
            kind,
            lambda x, kind=kind: _normalised(x, kind),
            lambda x: (x - CHANNELS) * (POSITIVE / np.sqrt(POSITIVE + 1e-3)) + CHANNELS,
        )
        for kind in ("FusedBatchNorm", "FusedBatchNormV2")
    ),
    case("ResourceGather", lambda x: x * tf.gather(VARIABLE, [3, 2, 1, 0]), lambda x: x * CHANNELS[::-1]),
    case("Case", lambda x: tf.switch_case(tf.constant(1), [lambda: x, lambda: _printing(x)]), lambda x: 2 * x),
    case("StatelessCase", lambda x: tf.switch_case(tf.constant(1), [lambda: x, lambda: 2 * x]), lambda x: 2 * x),
    case("StatelessIf", lambda x: tf.cond(tf.constant(True), lambda: 2 * x, lambda: x), lambda x: 2 * x),
    case(
        "StatelessWhile",
        lambda x: tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * 0.5 + x), [0, x])[1],
        lambda x: ((x * 0.5 + x) * 0.5 + x) * 0.5 + x,
    ),
]
#: Keras has no operations for these up to 3.13, or they do not run on symbolic tensors.
MISSING = () if hasattr(ops, "depth_to_space") else ("SpaceToDepth", "DepthToSpace", "ExtractImagePatches")
OF_IMAGES = [case for case in OF_IMAGES if not set(MISSING) & set(case.types)]
#: Functions of (batch, 4, 4, 4, 2).
OF_VOLUMES = [
    case(
        "Conv3D",
        lambda x: tf.nn.conv3d(x, VOLUME, [1] * 5, "SAME")[..., :2],
        lambda x: ops.conv(x, VOLUME, padding="same")[..., :2],
    ),
    case(
        "AvgPool3D",
        lambda x: tf.cast(tf.nn.avg_pool3d(tf.cast(x, "float32"), 2, 1, "SAME"), x.dtype),
        lambda x: ops.cast(ops.average_pool(ops.cast(x, "float32"), 2, 1, "same"), x.dtype),
    ),
    case(
        "MaxPool3D",
        lambda x: tf.cast(tf.nn.max_pool3d(tf.cast(x, "float32"), 2, 1, "SAME"), x.dtype),
        lambda x: ops.cast(ops.max_pool(ops.cast(x, "float32"), 2, 1, "same"), x.dtype),
    ),
    case(
        "Conv3DBackpropInputV2",
        lambda x: tf.nn.conv3d_transpose(x, np.swapaxes(VOLUME, -1, -2)[..., :2], [tf.shape(x)[0], 8, 8, 8, 3], 2)[
            :, ::2, ::2, ::2, :2
        ],
        lambda x: ops.conv_transpose(x, np.swapaxes(VOLUME, -1, -2)[..., :2], strides=2, padding="same")[
            :, ::2, ::2, ::2, :2
        ],
    ),
]


def layer(function: Function, dtype: str) -> keras.layers.Layer:
    """A layer whose code is a function."""

    class Of(keras.layers.Layer):
        def call(self, x: Tensor) -> Tensor:
            return function(x)

    return Of(dtype=dtype)


def types_of(function: Function, shape: tuple[int, ...], dtype: str) -> set[str]:
    """The types of the operations of a function of TensorFlow, also of those that are inside of others."""
    graph = tf.function(function).get_concrete_function(tf.TensorSpec((None, *shape), dtype)).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return {node.op for node in nodes}
