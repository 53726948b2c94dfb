"""What Keras layers and operations are to relevance: a few primitives, and the catalogue that names them."""

from __future__ import annotations

from kerasexplain.operations import functions, layers
from kerasexplain.operations.base import (
    Affine,
    Call,
    Mixing,
    Nonlinear,
    Opaque,
    Pooling,
    Primitive,
    Product,
    Routing,
    Scale,
    Statistics,
)
from kerasexplain.operations.catalogue import Step, describe, keras_class
from kerasexplain.operations.elementwise import Elementwise
from kerasexplain.operations.layers import BatchNorm
from kerasexplain.operations.linear import Linear
from kerasexplain.operations.maximum import Maximum

__all__ = [
    "Affine",
    "BatchNorm",
    "Call",
    "Elementwise",
    "Linear",
    "Maximum",
    "Mixing",
    "Nonlinear",
    "Opaque",
    "Pooling",
    "Primitive",
    "Product",
    "Routing",
    "Scale",
    "Statistics",
    "Step",
    "describe",
    "functions",
    "keras_class",
    "layers",
]
