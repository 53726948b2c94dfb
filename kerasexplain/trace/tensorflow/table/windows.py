"""Pooling, patches, blocks, and images at another size."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from kerasexplain.graph.primitives import Call, Mixing, Primitive, Routing
from kerasexplain.operations.catalogue import describes_class
from kerasexplain.trace.tensorflow.table.registry import channels_first, data_format, one, translates, word
from kerasexplain.trace.tensorflow.values import UntranslatableError, integers

Tensor = Any


def _pool(op: Any, x: Tensor, size: Any, strides: Any) -> Tensor:
    size, strides = ([int(n) for n in entries] for entries in (size, strides))
    size, strides = (n[2:] if channels_first(op) else n[1:-1] for n in (size, strides))
    padding = word(op, "padding").lower()
    if padding == "explicit":
        raise UntranslatableError("pooling with explicit padding has no counterpart: use ops.pad in front of it")
    function = ops.max_pool if op.type.startswith("Max") else ops.average_pool
    # Keras counts axes of space that are pooled by one as any other.
    return function(
        x,
        pool_size=tuple(size),
        strides=tuple(strides),
        padding=padding,
        data_format=data_format(op),
    )


@translates("AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D")
def _pooling(op: Any, x: Tensor) -> Tensor:
    return _pool(op, x, op.get_attr("ksize"), op.get_attr("strides"))


@translates("MaxPoolV2")
def _pooling_by_operands(op: Any, x: Tensor, size: Any, strides: Any) -> Tensor:
    return _pool(op, x, integers(size, "window"), integers(strides, "strides"))


@translates("DepthToSpace")
def _depth_to_space(op: Any, x: Tensor) -> Tensor:
    return _blocks(op, x, ops.depth_to_space)


@translates("SpaceToDepth")
def _space_to_depth(op: Any, x: Tensor) -> Tensor:
    return _blocks(op, x, ops.space_to_depth)


def _blocks(op: Any, x: Tensor, function: Any) -> Tensor:
    kind = {"NHWC": "channels_last", "NCHW": "channels_first"}[word(op, "data_format")]
    return function(x, op.get_attr("block_size"), data_format=kind)


@translates("ExtractImagePatches")
def _patches(op: Any, x: Tensor) -> Tensor:
    size, strides, rates = (tuple(op.get_attr(name)[1:3]) for name in ("ksizes", "strides", "rates"))
    return ops.image.extract_patches(
        x,
        size,
        strides=one(strides),
        dilation_rate=one(rates),
        padding=word(op, "padding").lower(),
        data_format="channels_last",
    )


class ResizedImage(keras.Operation):
    """Images at another size, as one of TensorFlow's operations makes them."""

    def __init__(self, op: Any, size: tuple[int, int]) -> None:
        super().__init__()
        self.shown_type, self.size = op.type, size
        self.how = {name: op.get_attr(name) for name in ("align_corners", "half_pixel_centers")}

    def call(self, images: Tensor) -> Tensor:
        return ops.cast(getattr(tf.raw_ops, self.shown_type)(images=images, size=self.size, **self.how), images.dtype)

    def compute_output_spec(self, images: Tensor) -> Any:
        return keras.KerasTensor((images.shape[0], *self.size, images.shape[3]), images.dtype)


@describes_class(ResizedImage)
def _resized(call: Call) -> Primitive:
    kind = Routing if call.operation.shown_type == "ResizeNearestNeighbor" else Mixing
    return kind(call.function())


@translates("ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor")
def _resize(op: Any, images: Tensor, size: Any) -> Tensor:
    height, width = integers(size, "size")
    return ResizedImage(op, (height, width))(images)
