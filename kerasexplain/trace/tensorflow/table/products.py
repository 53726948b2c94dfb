"""Products that sum: of matrices, by equations, and convolutions."""

from __future__ import annotations

import math
import string
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.operations.convolutions import GroupedConvolution, TransposedConvolution
from kerasexplain.trace.tensorflow.table.registry import changed, channels_first, data_format, one, translates, word
from kerasexplain.trace.tensorflow.values import UntranslatableError, is_constant, is_symbolic, target_shape

Tensor = Any


@translates("MatMul")
def _matmul(op: Any, x: Tensor, y: Tensor) -> Tensor:
    if op.get_attr("transpose_a"):
        x = changed(x, ops.transpose)
    if op.get_attr("transpose_b"):
        y = changed(y, ops.transpose)
    return ops.matmul(x, y)


@translates("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
def _matmul_of_many(op: Any, x: Tensor, y: Tensor) -> Tensor:
    if op.get_attr("adj_x"):
        x = changed(x, lambda x: ops.swapaxes(x, -1, -2))
    if op.get_attr("adj_y"):
        y = changed(y, lambda y: ops.swapaxes(y, -1, -2))
    return ops.matmul(x, y)


@translates("Einsum")
def _einsum(op: Any, *xs: Tensor) -> Tensor:
    return ops.einsum(_in_small_letters(word(op, "equation")), *xs)


def _in_small_letters(equation: str) -> str:
    """The same equation; Keras knows small letters alone."""
    free = (letter for letter in string.ascii_lowercase if letter not in equation)
    small = {letter: next(free) for letter in sorted(set(equation)) if letter.isupper()}
    return "".join(small.get(letter, letter) for letter in equation)


def _spatial(op: Any, name: str, rank: int) -> tuple[int, ...]:
    """The entries of an attribute that are for the axes of space."""
    entries = tuple(int(entry) for entry in op.get_attr(name))
    return entries[2:] if channels_first(op) else entries[1 : rank - 1]


@translates("Conv2D", "Conv3D", "DepthwiseConv2dNative")
def _convolution(op: Any, x: Tensor, kernel: Tensor) -> Tensor:
    return convolved(op, x, kernel)


def convolved(op: Any, x: Tensor, kernel: Tensor, dilation: tuple[int, ...] | None = None) -> Tensor:
    """A convolution of x, as an operation says; with another dilation, if one is given."""
    rank, padding = len(x.shape), word(op, "padding").lower()
    if padding == "explicit":
        given = [int(entry) for entry in op.get_attr("explicit_paddings")]
        x, padding = ops.pad(x, list(zip(given[::2], given[1::2], strict=True))), "valid"
    strides, dilation = _spatial(op, "strides", rank), dilation or _spatial(op, "dilations", rank)
    how: dict[str, Any] = {
        "strides": strides,
        "padding": padding,
        "data_format": data_format(op),
        "dilation_rate": dilation,
    }
    if op.type == "Conv2D" and is_constant(kernel) and _takes_patches(kernel) and not channels_first(op):
        return ops.image.extract_patches(
            x,
            tuple(kernel.shape[:2]),
            strides=None if strides == tuple(kernel.shape[:2]) else one(strides),  # Keras 3.12 knows no others
            dilation_rate=one(dilation),
            padding=padding,
            data_format=data_format(op),
        )
    if op.type == "DepthwiseConv2dNative":
        return ops.depthwise_conv(x, kernel, **how)
    if kernel.shape[-2] != x.shape[1 if channels_first(op) else -1]:
        return GroupedConvolution(**how)(x, kernel)
    return ops.conv(x, kernel, **how)


def _takes_patches(kernel: Any) -> bool:
    """Whether a kernel gives the numbers of each window one after the other, as Keras takes patches."""
    count = math.prod(kernel.shape[:-1])
    return kernel.shape[-1] == count and np.array_equal(kernel.reshape(count, count), np.eye(count))


@translates("Conv2DBackpropInput", "Conv3DBackpropInputV2")
def _transposed_convolution(op: Any, sizes: Any, kernel: Tensor, x: Tensor) -> Tensor:
    if not is_symbolic(x):
        raise UntranslatableError("it is the gradient of a convolution by its input, which has no rule")
    rank, padding = len(x.shape), word(op, "padding").lower()
    strides, dilation = _spatial(op, "strides", rank), _spatial(op, "dilations", rank)
    wanted = target_shape(sizes)
    wanted = wanted[2:] if channels_first(op) else wanted[1:-1]
    size = [(k - 1) * rate + 1 for k, rate in zip(kernel.shape[: rank - 2], dilation, strict=True)]
    given = x.shape[2:] if channels_first(op) else x.shape[1:-1]
    more = _output_padding(wanted, given, size, strides, padding) if -1 not in wanted else None
    y = TransposedConvolution(strides, padding, more, data_format(op), dilation)(x, kernel)
    found = tuple(y.shape[2:] if channels_first(op) else y.shape[1:-1])
    if -1 not in wanted and found != wanted:
        raise UntranslatableError(f"it gives the size {wanted}, and keras.ops.conv_transpose {found}")
    return y


def _output_padding(wanted: Any, given: Any, size: Any, strides: Any, padding: str) -> tuple[int, ...] | None:
    """How much longer an output is than Keras makes it by itself; None for not at all."""
    axes = list(zip(wanted, given, size, strides, strict=True))
    if all(n == i * s + (max(k - s, 0) if padding == "valid" else 0) for n, i, k, s in axes):
        return None
    return tuple(n - (i - 1) * s - k + (2 * (k // 2) if padding == "same" else 0) for n, i, k, s in axes)
