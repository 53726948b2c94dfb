"""The piece of code that an operation is of: that of one layer."""

from __future__ import annotations

import re

import keras

from kerasexplain.graph.graph import Node

#: Behind the name of a scope that was entered before, and of a call that was made before.
_NUMBER = re.compile(r"(_\d+)?(@\d+)?$")
#: Scopes that functions of TensorFlow make within the code of a layer.
_OF_FUNCTIONS = (
    *(
        "batchnorm",
        "clip_by_value",
        "conv_transpose",
        "convolution",
        "depthwise",
        "einsum",
        "Gelu",
        "l2_normalize",
        "moments",
    ),
    *("normalize", "norm", "resize", "separable_conv2d", "Tensordot", "tensordot", "weighted_moments"),
)


def scope(node: Node) -> str:
    """The layer in whose code an operation is called."""
    parts = node.name.split("/")[:-1]
    while parts and _NUMBER.sub("", parts[-1]) in _OF_FUNCTIONS:
        parts.pop()
    return "/".join(parts)


def is_bare(node: Node) -> bool:
    """Whether it is an operation of a layer's code, and no layer."""
    return not isinstance(node.operation, keras.layers.Layer)
