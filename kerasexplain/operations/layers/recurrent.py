"""Recurrent layers, and the gates of their cells as linear operations on x and h together."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerasexplain.graph.linear import Linear
from kerasexplain.graph.primitives import Call, Primitive, live
from kerasexplain.graph.recurrent import Recurrent
from kerasexplain.operations.catalogue import describes, describes_class, opaque

Tensor = Any


@describes("layers.LSTM", "layers.GRU", "layers.SimpleRNN", "layers.RNN", masked=True)
@describes("layers.ConvLSTM1D", "layers.ConvLSTM2D", "layers.ConvLSTM3D", masked=True)
def _recurrent(call: Call) -> Primitive:
    mask = keras.tree.flatten(call.kwargs.get("mask"))
    if any(len(getattr(leaf, "shape", (0, 0))) != 2 for leaf in mask[:1] if leaf is not None):
        return opaque(call, "its mask has not one entry for each step")
    return Recurrent(call)


class Preactivation(keras.Operation):
    """`x W + h U + b` for some units of a cell: on `[x, h]` one linear operation, with one denominator.

    Args:
        cell: A recurrent cell with `kernel`, `recurrent_kernel` and perhaps `bias`.
        units: Which of the columns of its kernels.
    """

    def __init__(self, cell: Any, units: slice = slice(None)) -> None:
        super().__init__()
        self.cell, self.units = cell, units

    def kernel(self) -> Tensor:
        both = ops.concatenate([live(self.cell.kernel), live(self.cell.recurrent_kernel)], axis=0)
        return both[:, self.units]

    def bias(self) -> Tensor:
        bias = live(self.cell.bias)
        return (bias if len(bias.shape) == 1 else ops.sum(bias, axis=0))[self.units]

    @property
    def has_bias(self) -> bool:
        return self.cell.bias is not None

    @property
    def count(self) -> int:
        return len(range(*self.units.indices(self.cell.kernel.shape[-1])))

    def call(self, x_and_h: Tensor) -> Tensor:
        z = ops.matmul(x_and_h, ops.cast(self.kernel(), x_and_h.dtype))
        return z + ops.cast(self.bias(), x_and_h.dtype) if self.has_bias else z

    def compute_output_spec(self, x_and_h: Tensor) -> Any:
        return keras.KerasTensor((*x_and_h.shape[:-1], self.count), x_and_h.dtype)


@describes_class(Preactivation)
def _preactivation(call: Call) -> Primitive:
    operation = call.operation
    return Linear(
        product=ops.matmul,
        kernel=operation.kernel,
        bias=operation.bias if operation.has_bias else None,
        bias_shape=(operation.count,) if operation.has_bias else None,
        bias_axis=None,
        scaled=None,
        is_derived=True,
    )
