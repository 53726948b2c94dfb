"""Predicates that say which operations a rule is for; the presets are written with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerasexplain.foundation.config import Configurable, saved

if TYPE_CHECKING:
    from kerasexplain.compiler.rows import Row


@saved
def kernel(row: Row) -> bool:
    """Every operation with a kernel: Dense, EinsumDense and all convolutions."""
    return row.kernel


@saved
def convolution(row: Row) -> bool:
    """Every convolution."""
    return row.convolution


@saved
def first_kernel(row: Row) -> bool:
    """Operations with a kernel that are reached from an input without passing another one."""
    return row.first


@saved
def first_convolution(row: Row) -> bool:
    """Those of them that are convolutions."""
    return row.first and row.convolution


@saved
class UntilLayer(Configurable):
    """Operations with a kernel in `model.layers[0]` to `model.layers[last]`."""

    last: int

    def __call__(self, row: Row) -> bool:
        return row.kernel and row.layer_index is not None and row.layer_index <= self.last


@saved
def last_kernel(row: Row) -> bool:
    """The last operation with a kernel."""
    return row.last


@saved
class Kernels(Configurable):
    """The operations with a kernel from number `first` to number `last`, both among them, in the order they run.

    Args:
        first, last: Counted from 0.
    """

    first: int
    last: int

    def __call__(self, row: Row) -> bool:
        return row.kernel_index is not None and self.first <= row.kernel_index <= self.last


@saved
class Named(Configurable):
    """The operation of exactly that name, whatever characters are in it."""

    name: str

    def __call__(self, row: Row) -> bool:
        return self.name in row.names


__all__ = [
    "Kernels",
    "Named",
    "UntilLayer",
    "convolution",
    "first_convolution",
    "first_kernel",
    "kernel",
    "last_kernel",
]


def __dir__() -> list[str]:
    return [*__all__]
