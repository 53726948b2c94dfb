"""The values of a graph that lie at positions in its input: whose axes between batch and channels are those of it."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.graph import Node, Value
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.maximum import Maximum
from kerasexplain.graph.primitives import Affine, Mixing, Product, Routing, Scale, Statistics


def at_positions(nodes: Sequence[Node], inputs: Sequence[Value]) -> set[Value]:
    """The values whose axes between the batch and the channels are positions in the input, and those of the input."""
    found, rank = set(inputs), len(inputs[0].shape)
    padded: dict[Value, Node] = {}
    for node in nodes:
        (output, *_), kind = node.outputs, type(node.operation).__name__
        given = [value for value in node.inputs if len(value.shape) == rank]
        if len(output.shape) != rank or not given or not found.issuperset(given):
            continue
        windows = ("Conv" in kind or "Pool" in kind) and "LSTM" not in kind
        if windows and all(value not in padded or _covers(node, padded[value]) for value in given):
            found.update(node.outputs)
        elif kind.startswith(("ZeroPadding", "Cropping")):
            found.update(node.outputs)
            if max(keras.tree.flatten(getattr(node.operation, "padding", None) or node.operation.cropping)) > 1:
                padded[output] = node
        elif padded.keys().isdisjoint(given) and _keeps_positions(node, kind):
            found.update(node.outputs)
    return found - padded.keys()


def _covers(window: Node, padding: Node) -> bool:
    """Whether padding is that of a window: no wider than what the window sees around a position."""
    size = getattr(window.operation, "kernel_size", None) or getattr(window.operation, "pool_size", None)
    sides = getattr(padding.operation, "padding", None)
    return None not in (size, sides) and max(keras.tree.flatten(sides)) < max(keras.tree.flatten(size))


def _keeps_positions(node: Node, kind: str) -> bool:
    """Whether an operation acts on every position alike, and in their order."""
    primitive, before, after = node.primitive, node.inputs[0].shape[1:-1], node.outputs[0].shape[1:-1]
    if kind.startswith(("UpSampling", "Resizing", "Resize")):
        cut = ("crop_to_aspect_ratio", "pad_to_aspect_ratio")
        return not any(getattr(node.operation, name, False) for name in cut)
    if isinstance(primitive, Routing):
        moves = ("Concatenate", "Identity", "Copy", "Activation", "Minimum")
        return primitive.is_inactive or (kind.startswith(moves) and before == after)
    if isinstance(primitive, Product):
        return primitive.elementwise
    on_each = (Affine, Elementwise, Linear, Maximum, Mixing, Scale, Statistics)
    return (isinstance(primitive, on_each) or node.type == "Cast") and before == after
