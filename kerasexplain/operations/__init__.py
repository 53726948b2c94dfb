"""The catalogue: the primitives that every Keras layer and operation is made of."""

from __future__ import annotations

from kerasexplain.operations import functions, layers
from kerasexplain.operations.catalogue import Step, catalogue_key, describe, is_closed, is_described, keras_class
from kerasexplain.operations.layers import BatchNorm
from kerasexplain.operations.leaves import Custom, register_leaf, register_rule

__all__ = [
    "BatchNorm",
    "Custom",
    "Step",
    "catalogue_key",
    "describe",
    "functions",
    "is_closed",
    "is_described",
    "keras_class",
    "layers",
    "register_leaf",
    "register_rule",
]
