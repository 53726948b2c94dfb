"""The table, by theme; importing this fills it."""

from kerasexplain.trace.tensorflow.table import (
    arithmetic,
    normalization,
    products,
    rearranging,
    reductions,
    windows,
)
from kerasexplain.trace.tensorflow.table.registry import TABLE

__all__ = ["TABLE", "arithmetic", "normalization", "products", "rearranging", "reductions", "windows"]
