"""Layers that prepare inputs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.graph.domains import NONNEGATIVE, Interval
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.primitives import Affine, Call, Mixing, Nonlinear, Primitive, Routing, Scale
from kerasexplain.operations.catalogue import describes, opaque
from kerasexplain.operations.images import in_single_precision, resampling
from kerasexplain.operations.layers.merging import affine_constant

Tensor = Any


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
        # Tensors that take others' place when the layer is adapted again: then the model is traced again.
        sigma = ops.sqrt(ops.convert_to_tensor(layer.variance))
        return 1.0 / ops.maximum(sigma, keras.config.epsilon())

    shape = tuple(layer.mean.shape)
    drop = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    return Affine(scale, lambda: ops.reshape(-layer.mean * scale(), shape[drop:]), shape[drop:])


@describes("layers.Resizing", closed=True)
def _resizing(call: Call) -> Primitive:
    return resampling(call, call.function())


@describes("layers.CenterCrop")
def _center_crop(call: Call) -> Primitive:
    """A crop from the middle; an image that is too small for it is scaled."""
    layer, shape = call.operation, call.inputs[0].shape
    if len(shape) != 4:
        return opaque(call, "it takes the batch for an axis of the image")
    height, width = shape[1:3] if layer.data_format == "channels_last" else shape[2:4]
    if height is not None and width is not None and height >= layer.height and width >= layer.width:
        return Routing(call.function())
    return Mixing(in_single_precision(call.function()))


@describes("layers.RandomCrop", closed=True)
def _random_crop(call: Call) -> Primitive:
    return opaque(call, "at inference its output has another shape than it says: use CenterCrop")


@describes("layers.Discretization", "layers.Hashing", "layers.IntegerLookup")
def _index_of(call: Call) -> Primitive:
    mode = call.operation.output_mode
    if mode == "int":
        return Elementwise(call.function())  # from an index to another: relevance is that of the first
    return opaque(call, f'output_mode="{mode}" has no rule: use "int", and CategoryEncoding behind it')


@describes("layers.HashedCrossing", "layers.StringLookup", "layers.TextVectorization", closed=True)
def _text(call: Call) -> Primitive:
    return opaque(call, "text has no relevance: explain the model behind it")


@describes("layers.AutoContrast", "layers.ContrastLimitedAdaptiveHistogramEqualization", closed=True)
def _contrast(call: Call) -> Primitive:
    return opaque(call, "it stretches contrast by the image's own extremes: apply it before the model")


@describes("layers.MaxNumBoundingBoxes", closed=True)
def _boxes(call: Call) -> Primitive:
    return opaque(call, "it takes bounding boxes, which are no activations")


@describes("layers.STFTSpectrogram")
def _spectrogram(call: Call) -> Primitive:
    if call.operation.mode == "magnitude":
        return Nonlinear(call.function(), NONNEGATIVE)  # its gradient shares the magnitude out exactly
    return opaque(call, f"of its modes, {call.operation.mode} is explained by its parts")
