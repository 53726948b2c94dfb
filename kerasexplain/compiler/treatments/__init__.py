"""One table: what every kind of primitive means to relevance.

An entry says which rule a primitive follows by default, which rules it takes, how it is overridden, and why it is
refused. To add a primitive: a class in `kerasexplain/graph/`, and an entry here.
"""

from __future__ import annotations

from kerasexplain.compiler.treatments import custom, elementwise, linear, maximum, moves, products, recurrent, vectors
from kerasexplain.compiler.treatments.treatment import (
    Context,
    Overridden,
    Treatment,
    overridden,
    treatment_of,
    treats,
)

__all__ = [
    "Context",
    "Overridden",
    "Treatment",
    "custom",
    "elementwise",
    "linear",
    "maximum",
    "moves",
    "overridden",
    "products",
    "recurrent",
    "treatment_of",
    "treats",
    "vectors",
]
