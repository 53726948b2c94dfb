"""What Keras layers and operations are to relevance: a few primitives, and the catalogue that names them."""

from __future__ import annotations

from kerasexplain.operations import functions, layers
from kerasexplain.operations.base import (
    Affine,
    Call,
    Constant,
    LiveConstant,
    Lookup,
    Mixing,
    Nonlinear,
    Opaque,
    Pooling,
    Primitive,
    Product,
    Routing,
    Scale,
    Source,
    Statistics,
    StopGradient,
)
from kerasexplain.operations.catalogue import Step, catalogue_key, describe, is_described, keras_class
from kerasexplain.operations.elementwise import Elementwise
from kerasexplain.operations.layers import BatchNorm
from kerasexplain.operations.leaves import Custom, register_leaf, register_rule
from kerasexplain.operations.linear import Linear
from kerasexplain.operations.maximum import Maximum, Minimum
from kerasexplain.operations.recurrent import Recurrent

__all__ = [
    "Affine",
    "BatchNorm",
    "Call",
    "Constant",
    "Custom",
    "Elementwise",
    "Linear",
    "LiveConstant",
    "Lookup",
    "Maximum",
    "Minimum",
    "Mixing",
    "Nonlinear",
    "Opaque",
    "Pooling",
    "Primitive",
    "Product",
    "Recurrent",
    "Routing",
    "Scale",
    "Source",
    "Statistics",
    "Step",
    "StopGradient",
    "catalogue_key",
    "describe",
    "functions",
    "is_described",
    "keras_class",
    "layers",
    "register_leaf",
    "register_rule",
]
