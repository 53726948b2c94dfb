"""The piece of code that an operation is of: that of one layer."""

from __future__ import annotations

import keras

from kerasexplain.graph.graph import Node


def scope(node: Node) -> str:
    """The layer in whose code an operation is called."""
    return node.name.rpartition("/")[0]


def is_bare(node: Node) -> bool:
    """Whether it is an operation of a layer's code, and no layer."""
    return not isinstance(node.operation, keras.layers.Layer)
