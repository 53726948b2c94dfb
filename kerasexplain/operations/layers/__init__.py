"""What the layers of `keras.layers` are to relevance, by theme."""

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
