"""Operations that are explained as the simpler ones they are made of: run instead of them while a model is traced."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.graph.domains import UNIT
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.primitives import Call, Nonlinear, Primitive
from kerasexplain.operations import catalogue_key
from kerasexplain.operations.catalogue import describes_class
from kerasexplain.operations.convolutions import TransposedConvolution

Tensor = Any
_EXPANSIONS: dict[str, Callable[..., Any]] = {}


def expands(*keys: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function `(operation, *args, **kwargs) -> outputs` for `layers.Name` or `ops.Name`."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _EXPANSIONS.update(dict.fromkeys(keys, function))
        return function

    return register


def expansion(operation: Any) -> Callable[..., Any] | None:
    """The function that runs instead of an operation; None for most."""
    key = catalogue_key(operation) or ""
    if key == "ops.Clip" and not any(map(ops.is_tensor, (operation.x_min, operation.x_max))):
        return None
    return _EXPANSIONS.get(key)


@expands("ops.DotProductAttention")
def _dot_product_attention(
    operation: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """`softmax(q k^T / sqrt(d) + bias) v` on (batch, time, heads, d); fewer key heads serve groups of query heads."""
    groups = query.shape[2] // key.shape[2]
    if groups > 1:
        key, value = (ops.repeat(x, groups, axis=2) for x in (key, value))
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    rounded = query.dtype if keras.backend.backend() == "torch" else "float32"  # as Keras rounds it
    scale = ops.cast(ops.convert_to_tensor(scale, rounded), query.dtype)
    scores = ops.multiply(ops.einsum("bqhd,bkhd->bhqk", query, key), scale)
    if bias is not None:
        scores = ops.add(scores, bias)
    if operation.is_causal:
        causal = ops.tril(ops.ones((query.shape[1], key.shape[1]), dtype="bool"))
        mask = causal if mask is None else ops.logical_and(mask, causal)
    weights = ops.softmax(scores, axis=-1) if mask is None else MaskedSoftmax()(scores, mask)
    return ops.einsum("bhqk,bkhd->bqhd", weights, value)


class MaskedSoftmax(keras.Operation):
    """Softmax over the last axis where a mask is true; over everything where it is nowhere true.

    One operation, because the large number that stands for masked scores is none that relevance should be booked on.
    """

    def call(self, scores: Tensor, mask: Tensor) -> Tensor:
        return ops.softmax(ops.where(mask, scores, ops.full_like(scores, -1e30)), axis=-1)

    def compute_output_spec(self, scores: Tensor, mask: Tensor) -> Any:
        return keras.KerasTensor(scores.shape, scores.dtype)


@describes_class(MaskedSoftmax)
def _masked_softmax(call: Call) -> Primitive:
    return Nonlinear(call.function(), UNIT, smooth=True)


@expands("layers.TimeDistributed")
def _time_distributed(layer: Any, inputs: Tensor, training: Any = None, mask: Tensor | None = None) -> Tensor:
    steps = inputs.shape[1]
    if steps is None:
        raise ValueError("TimeDistributed over an unknown number of steps cannot be unrolled")
    masked = mask is not None and layer.layer._call_has_mask_arg
    masks = [{"mask": mask[:, step]} if masked else {} for step in range(steps)]  # type: ignore[index]
    return ops.stack([layer.layer(inputs[:, step], **masks[step]) for step in range(steps)], axis=1)


#: Layers that read the masks of their operands themselves, besides what Keras hands them.
READ_MASKS = ("layers.Multiply", "layers.Maximum", "layers.Minimum")


def reads_masks(operation: Any, operands: Any) -> bool:
    """Whether a layer joins operands of which one at least has a mask, and treats what is masked in its own way."""
    masks = [getattr(operand, "_keras_mask", None) for operand in keras.tree.flatten(operands)]
    return catalogue_key(operation) in READ_MASKS and any(mask is not None for mask in masks)


def _with_masks(operands: Sequence[Tensor]) -> list[tuple[Tensor, Tensor | None]]:
    """The operands in one rank, each with its mask, as Keras' merging layers read them."""
    rank = max(len(operand.shape) for operand in operands)
    found = []
    for operand in operands:
        mask = getattr(operand, "_keras_mask", None)
        for _ in range(rank - len(operand.shape)):
            operand, mask = ops.expand_dims(operand, axis=1), None  # Keras loses the mask here, too
        found.append((operand, None if mask is None else ops.expand_dims(mask, -1)))
    return found


@expands("layers.Multiply")
def _masked_product(layer: Any, inputs: Sequence[Tensor]) -> Tensor:
    """The product with masked entries as ones, and 0 where an entry is masked in all operands."""
    factors, masks = [], []
    for x, mask in _with_masks(inputs):
        factors.append(x if mask is None else ops.where(mask, x, ops.ones((), x.dtype)))
        masks.append(mask)
    product = factors[0]
    for factor in factors[1:]:
        product = ops.multiply(product, factor)
    if any(mask is None for mask in masks):
        return product
    kept = functools.reduce(ops.logical_or, masks)
    return ops.where(kept, product, ops.zeros((), product.dtype))


@expands("layers.Maximum", "layers.Minimum")
def _masked_extremum(layer: Any, inputs: Sequence[Tensor]) -> Tensor:
    """Where one operand is masked it is the other one."""
    choose = ops.maximum if isinstance(layer, keras.layers.Maximum) else ops.minimum
    (chosen, seen), *others = _with_masks(inputs)
    for x, mask in others:
        if mask is not None:
            x = ops.where(mask, x, chosen)
        if seen is not None:
            chosen = ops.where(seen, chosen, x)
        seen = None if mask is None or seen is None else ops.logical_or(seen, mask)
        chosen = choose(chosen, x)
    return chosen


@expands("layers.Masking")
def _masking(layer: Any, inputs: Tensor) -> Tensor:
    """As Keras writes it from 3.15 on; before, it casts by a function of the backend that takes no symbolic tensors."""
    kept = ops.any(ops.not_equal(inputs, layer.mask_value), axis=-1, keepdims=True)
    outputs = ops.where(kept, inputs, 0)
    outputs._keras_mask = ops.squeeze(kept, axis=-1)  # else Keras would compute it once more, outside of the layer
    return outputs


@expands("layers.GlobalAveragePooling1D")
def _average_over_time(layer: Any, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
    """As Keras writes it from 3.15 on; runs where the layer is not understood as it is, which is with a mask."""
    if mask is None:
        return layer.call(inputs)
    steps, channels = (1, 2) if layer.data_format == "channels_last" else (2, 1)
    kept = ops.cast(ops.expand_dims(mask, channels), "bool")
    inputs, counted = ops.where(kept, inputs, 0), ops.cast(kept, inputs.dtype)
    total, count = (ops.sum(x, axis=steps, keepdims=layer.keepdims) for x in (inputs, counted))
    return total / count


@expands("ops.Ndim")
def _rank(operation: Any, x: Tensor) -> int:
    return len(x.shape)  # code that asks goes on with a number


@expands("ops.Moments")
def _moments(operation: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    mean = ops.mean(x, axis=operation.axes, keepdims=True)
    variance = ops.mean(ops.square(ops.subtract(x, mean)), axis=operation.axes, keepdims=operation.keepdims)
    return (mean if operation.keepdims else ops.squeeze(mean, axis=operation.axes)), variance


@expands("ops.Var")
def _variance(operation: Any, x: Tensor) -> Tensor:
    mean = ops.mean(x, axis=operation.axis, keepdims=True)
    return ops.mean(ops.square(ops.subtract(x, mean)), axis=operation.axis, keepdims=operation.keepdims)


@expands("ops.Ptp")
def _range(operation: Any, x: Tensor) -> Tensor:
    greatest, least = (of(x, axis=operation.axis, keepdims=operation.keepdims) for of in (ops.max, ops.min))
    return ops.subtract(greatest, least)


@expands("ops.Average")
def _average(operation: Any, x: Tensor, weights: Tensor | None = None) -> Tensor:
    axis = operation.axis
    if weights is None:
        return ops.mean(x, axis=axis)
    if len(weights.shape) == len(x.shape):
        return ops.divide(ops.sum(ops.multiply(x, weights), axis=axis), ops.sum(weights, axis=axis))
    along = [-1 if i == axis % len(x.shape) else 1 for i in range(len(x.shape))]
    return ops.divide(ops.sum(ops.multiply(x, ops.reshape(weights, along)), axis=axis), ops.sum(weights))


@expands("ops.Select")
def _select(operation: Any, condlist: list[Tensor], choicelist: list[Tensor], default: Any = 0.0) -> Tensor:
    # A bare Python number would be rounded to single precision.
    chosen = ops.convert_to_tensor(default, choicelist[0].dtype)
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        chosen = ops.where(condition, choice, chosen)
    return chosen


@expands("ops.Clip")
def _bounded(operation: Any, x: Tensor) -> Tensor:
    """Bounds that are computed, as operands: they are those of each run then."""
    return ops.minimum(ops.maximum(x, operation.x_min), operation.x_max)


@expands("ops.Inner")
def _inner(operation: Any, x1: Tensor, x2: Tensor) -> Tensor:
    return ops.tensordot(x1, x2, axes=[[-1], [-1]])


@expands("ops.Unfold")
def _unfold(operation: Any, x: Tensor) -> Tensor:
    """Patches of images whose channels come first, as the columns of a matrix."""
    kernel, dilation, padding, stride = (
        (n, n) if isinstance(n, int) else tuple(n)
        for n in (operation.kernel_size, operation.dilation, operation.padding, operation.stride)
    )
    x = ops.pad(x, [[0, 0], [0, 0], *([n, n] for n in padding)])
    channels, height, width = x.shape[1:]
    # Taken by number: some versions of Keras do not know the shape of patches whose strides are given.
    numbers = np.arange(height * width).reshape(height, width)
    offsets = itertools.product(*(range(0, n * step, step) for n, step in zip(kernel, dilation, strict=True)))
    starts = [size - (n - 1) * step for size, n, step in zip((height, width), kernel, dilation, strict=True)]
    taken = [numbers[i : i + starts[0] : stride[0], j : j + starts[1] : stride[1]].ravel() for i, j in offsets]
    patches = ops.take(ops.reshape(x, (-1, channels, height * width)), np.stack(taken), axis=2)
    return ops.reshape(patches, (-1, channels * len(taken), len(taken[0])))


@expands("ops.Glu")
def _gated_linear_unit(operation: Any, x: Tensor) -> Tensor:
    signal, gate = ops.split(x, 2, axis=operation.axis)
    return ops.multiply(signal, ops.sigmoid(gate))


@expands("ops.SeparableConv")
def _separable_convolution(
    operation: Any, inputs: Tensor, depthwise_kernel: Tensor, pointwise_kernel: Tensor
) -> Tensor:
    x = ops.depthwise_conv(
        inputs,
        depthwise_kernel,
        strides=operation.strides,
        padding=operation.padding,
        data_format=operation.data_format,
        dilation_rate=operation.dilation_rate,
    )
    return ops.conv(x, pointwise_kernel, strides=1, padding="valid", data_format=operation.data_format)


@expands("ops.ConvTranspose")
def _transposed_convolution(operation: Any, inputs: Tensor, kernel: Tensor) -> Tensor:
    how = (operation.strides, operation.padding, operation.output_padding)
    data_format = operation.data_format or keras.config.image_data_format()
    return TransposedConvolution(*how, data_format, operation.dilation_rate)(inputs, kernel)


@expands("ops.BatchNorm")
def _batch_normalization(
    operation: Any, x: Tensor, mean: Tensor, variance: Tensor, offset: Tensor | None = None, scale: Tensor | None = None
) -> Tensor:
    shape = [1] * len(x.shape)
    shape[operation.axis] = x.shape[operation.axis]
    factor = ops.rsqrt(ops.add(ops.reshape(variance, shape), operation.epsilon))
    y = ops.multiply(ops.subtract(x, ops.reshape(mean, shape)), factor)
    if scale is not None:
        y = ops.multiply(y, ops.reshape(scale, shape))
    return y if offset is None else ops.add(y, ops.reshape(offset, shape))


@expands("ops.MultiHot")
def _multi_hot(operation: Any, inputs: Tensor) -> Tensor:
    """The greatest of the one-hot vectors: of equal indices, the first takes the relevance."""
    of_each = ops.one_hot(inputs, operation.num_classes, axis=operation.axis, dtype=operation.dtype)
    return ops.max(of_each, axis=1)


class IndexOf(keras.Operation):
    """The place of a number in a vocabulary, its hash or its bin, as a function finds it."""

    def __init__(self, find: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.find = find

    def call(self, inputs: Tensor) -> Tensor:
        return ops.convert_to_tensor(self.find(inputs))

    def compute_output_spec(self, inputs: Tensor) -> Any:
        return keras.KerasTensor(inputs.shape, "int64")


@describes_class(IndexOf)
def _index_of(call: Call) -> Primitive:
    return Elementwise(call.function())  # from one index to another: relevance is that of the first


@expands("layers.IntegerLookup")
def _integer_lookup(layer: Any, inputs: Tensor) -> Tensor:
    depth = layer.max_tokens if layer.pad_to_max_tokens else layer.vocabulary_size()
    index = IndexOf(lambda x: layer._lookup_dense(ops.cast(x, layer.vocabulary_dtype)))
    return _encoded(layer, index, inputs, depth, keras.config.floatx())


@expands("layers.Hashing")
def _hashing(layer: Any, inputs: Tensor) -> Tensor:
    return _encoded(layer, IndexOf(layer._hash_values_to_bins), inputs, layer.num_bins, layer.dtype)


@expands("layers.Discretization")
def _discretization(layer: Any, inputs: Tensor) -> Tensor:
    index = IndexOf(lambda x: ops.cast(ops.digitize(x, layer.bin_boundaries), "int64"))
    return _encoded(layer, index, inputs, len(layer.bin_boundaries) + 1, layer.dtype)


def _encoded(layer: Any, index: IndexOf, inputs: Tensor, depth: int, dtype: str) -> Tensor:
    """Vectors for indices: what is understood as it is, the indices themselves, does not come here."""
    if layer.output_mode == "one_hot" and inputs.shape[-1] == 1:
        inputs = ops.squeeze(inputs, axis=-1)
    elif layer.output_mode != "one_hot" and len(inputs.shape) == 1:
        inputs = ops.expand_dims(inputs, axis=-1)
    of_each = ops.one_hot(index(inputs), depth, dtype=dtype)
    if layer.output_mode == "one_hot":
        return of_each
    if layer.output_mode == "multi_hot":
        return ops.max(of_each, axis=-2)
    count = ops.sum(of_each, axis=-2)
    if layer.output_mode == "count":
        return count
    weights = ops.convert_to_numpy(layer.idf_weights)
    return ops.multiply(count, ops.convert_to_tensor(weights, dtype=count.dtype))


@expands("layers.CategoryEncoding")
def _category_encoding(layer: Any, inputs: Tensor, count_weights: Tensor | None = None) -> Tensor:
    if layer.output_mode == "one_hot" and inputs.shape[-1] == 1:
        inputs = ops.squeeze(inputs, axis=-1)
    elif layer.output_mode != "one_hot" and len(inputs.shape) == 1:
        inputs = ops.expand_dims(inputs, axis=-1)
    of_each = ops.one_hot(inputs, layer.num_tokens, dtype=layer.dtype)
    if layer.output_mode == "one_hot":
        return of_each
    if layer.output_mode == "multi_hot":
        return ops.max(of_each, axis=-2)
    if count_weights is not None:
        of_each = ops.multiply(of_each, ops.expand_dims(count_weights, axis=-1))
    return ops.sum(of_each, axis=-2)
