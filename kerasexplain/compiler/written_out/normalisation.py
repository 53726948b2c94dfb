"""Normalisation by statistics of training, written out: folded into the linear operation in front of it.

That is what multiplies by weights and adds weights, channel by channel, in the code of one layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.compiler.written_out.scopes import is_bare, scope
from kerasexplain.graph.domains import ANY
from kerasexplain.graph.graph import Node, Value
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.primitives import Affine, Scale
from kerasexplain.operations import BatchNorm

Tensor = Any


def normalisation_behind(linear: Node, readers: dict[Value, Node]) -> list[Node]:
    """The operations that multiply what a linear operation gives by weights and add weights, channel by channel."""
    chain: list[Node] = []
    value = linear.outputs[0]
    while value in readers and _is_per_channel(readers[value], linear):
        node = readers[value]
        if chain and scope(node) != scope(chain[0]):
            break
        chain.append(node)
        value = node.outputs[0]
    kinds = {isinstance(node.primitive, Scale) for node in chain}
    return chain if kinds == {True, False} else []


def _is_per_channel(node: Node, linear: Node) -> bool:
    primitive = node.primitive
    if not is_bare(node) or isinstance(primitive, BatchNorm):
        return False
    if isinstance(primitive, Affine):
        live, shape = primitive.shift == ANY and primitive.scale is None, primitive.bias_shape
    elif isinstance(primitive, Scale) and primitive.weight is not None:
        live, shape = True, primitive.weight_shape
    else:
        return False
    output = linear.outputs[0].shape
    first = getattr(linear.operation, "data_format", None) == "channels_first"
    spread = output[1:2] + (1,) * (len(output) - 2) if first else output[-1:]
    while len(shape) > len(spread) and shape[0] == 1:
        shape = shape[1:]
    return live and shape == spread


def with_normalisation(linear: Linear, chain: Sequence[Node]) -> Linear:
    """A linear operation with the operations behind it in its kernel and bias."""
    for node in chain:
        primitive = node.primitive
        if isinstance(primitive, Scale):
            linear = _times(linear, primitive.weight)
        elif isinstance(primitive, Affine):
            linear = plus(linear, primitive.offset, primitive.bias_shape)
    return dataclasses.replace(linear, normalized=True)


def _times(linear: Linear, factor: Any) -> Linear:
    scaled, kernel, bias = linear.scaled, linear.kernel, linear.bias
    assert scaled is not None

    def scaled_bias() -> Tensor:
        assert bias is not None
        own = bias()
        return own * ops.reshape(ops.cast(factor(), own.dtype), ops.shape(own))

    def scaled_kernel() -> Tensor:
        own = kernel()
        return scaled(own, ops.reshape(ops.cast(factor(), own.dtype), (-1,)))

    return dataclasses.replace(
        linear, kernel=scaled_kernel, is_derived=True, bias=None if bias is None else scaled_bias
    )


def plus(linear: Linear, offset: Callable[[], Tensor], shape: tuple[int, ...]) -> Linear:
    """A linear operation with one more constant in its bias."""
    bias = linear.bias
    if bias is None:
        axis = linear.bias_axis
        own = shape if axis is None else (int(np.prod(shape)),)
        return dataclasses.replace(linear, bias=lambda: ops.reshape(offset(), own), bias_shape=own)

    def both() -> Tensor:
        one, other = bias(), offset()
        dtype = keras.backend.result_type(one.dtype, other.dtype)
        return ops.cast(one, dtype) + ops.cast(ops.reshape(other, ops.shape(one)), dtype)

    return dataclasses.replace(linear, bias=both)
