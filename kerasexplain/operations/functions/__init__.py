"""The catalogue of the operations of `keras.ops` that stand in a graph by themselves, by theme."""

from __future__ import annotations

from kerasexplain.operations.functions import (
    activations,
    arithmetic,
    fourier,
    normalization,
    products,
    rearranging,
    reductions,
    refusals,
    windows,
)

__all__ = [
    "activations",
    "arithmetic",
    "fourier",
    "normalization",
    "products",
    "rearranging",
    "reductions",
    "refusals",
    "windows",
]
