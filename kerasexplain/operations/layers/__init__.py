"""The catalogue of the layers of `keras.layers`, by theme: the primitives that each is described by."""

from __future__ import annotations

from kerasexplain.operations.layers import (
    activations,
    kernels,
    merging,
    normalization,
    pooling,
    preprocessing,
    recurrent,
    reshaping,
)
from kerasexplain.operations.layers.merging import affine_constant, operand_positions
from kerasexplain.operations.layers.normalization import BatchNorm

__all__ = [
    "BatchNorm",
    "activations",
    "affine_constant",
    "kernels",
    "merging",
    "normalization",
    "operand_positions",
    "pooling",
    "preprocessing",
    "recurrent",
    "reshaping",
]
