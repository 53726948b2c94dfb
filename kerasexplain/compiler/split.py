"""The first step of canonize: each Keras call becomes the primitives that the catalogue describes it by."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kerasexplain.graph.graph import Graph, Node, Value
from kerasexplain.graph.primitives import Affine, Call, Lookup, Opaque, Routing, Source
from kerasexplain.operations import catalogue_key, describe


def split_into_primitives(graph: Graph) -> Graph:
    """Each Keras call becomes the primitives the catalogue describes it by."""
    nodes: list[Node] = []
    for traced in graph.nodes:
        if isinstance(traced.primitive, Opaque):
            nodes.append(traced)
            continue
        *before, node = _with_real_inputs(_with_sources(_with_copies(traced)))
        nodes.extend(before)
        assert isinstance(node.primitive, Call)
        steps = describe(node.primitive)
        inputs = node.inputs[:1] if isinstance(steps[0].primitive, Affine) else node.inputs  # the rest are masks
        for i, step in enumerate(steps):
            last = i == len(steps) - 1
            output = node.outputs[0]
            outputs = node.outputs if last else (dataclasses.replace(output, shape=step.shape or output.shape),)
            nodes.append(
                dataclasses.replace(
                    node,
                    name=node.name + step.suffix,
                    gives=node.name if last and step.suffix else "",
                    type=step.type or node.type,
                    operation=step.operation or node.operation,
                    primitive=step.primitive,
                    inputs=inputs,
                    outputs=outputs,
                )
            )
            inputs = outputs
    return graph.replace(nodes=tuple(nodes))


#: Operations whose constant operands become values of the graph: how, their gradients decide.
_JOINING = ("Concatenate", "Stack", "Hstack", "Vstack", "Append", "Where")
_COMBINING = ("Add", "Subtract", "Multiply")
#: The same for layers, which know of no constants.
_MERGING = ("layers.Add", "layers.Average", "layers.Maximum", "layers.Minimum", "layers.Subtract")

#: Operations that multiply; of an activation with itself, the second appearance is a copy.
_PRODUCTS = ("Matmul", "Einsum", "Dot", "Tensordot", "Multiply")


def _with_copies(node: Node) -> list[Node]:
    """The node, after copies of the operand that it multiplies by itself, so that each operand has a share."""
    call = node.primitive
    assert isinstance(call, Call)
    squares = node.type == "Multiply" and not isinstance(node.operation, keras.layers.Layer)  # an elementwise function
    if node.type not in _PRODUCTS or squares:
        return [node]
    copies: list[Node] = []
    seen: set[Value] = set()

    def copied(leaf: Any) -> Any:
        if not isinstance(leaf, Value) or leaf not in seen:
            seen.update([leaf] if isinstance(leaf, Value) else [])
            return leaf
        value = dataclasses.replace(leaf)
        name = f"{node.name}/copy" + (f"@{len(copies) + 1}" if copies else "")
        copy = dataclasses.replace(node, name=name, type="copy", operation=None, inputs=(leaf,), outputs=(value,))
        copies.append(dataclasses.replace(copy, primitive=Routing(lambda x: x)))
        return value

    args, kwargs = keras.tree.map_structure(copied, (call.args, call.kwargs))
    inputs = (*node.inputs, *(copy.outputs[0] for copy in copies))
    return [*copies, dataclasses.replace(node, primitive=Call(call.operation, args, kwargs, inputs), inputs=inputs)]


def _with_sources(nodes: list[Node]) -> list[Node]:
    """The nodes, the last after sources for the constants that it joins with activations or adds sample by sample."""
    *before, node = nodes
    call = node.primitive
    assert isinstance(call, Call)
    rank = max(len(value.shape) for value in node.inputs)
    joins = node.type in _JOINING or catalogue_key(node.operation) in _MERGING
    if not joins and node.type not in _COMBINING:
        return nodes
    sources: list[Node] = []

    def lifted(leaf: Any) -> Any:
        if not _is_real_constant(leaf) or isinstance(leaf, Value):
            return leaf
        shape = np.shape(leaf) if isinstance(leaf, (float, int)) else tuple(leaf.shape)
        if not joins and not (len(shape) == rank and shape[0] != 1):
            return leaf
        value = Value((1,) * (rank - len(shape)) + tuple(shape), node.outputs[0].dtype)
        name = f"{node.name}/constant" + (f"@{len(sources) + 1}" if sources else "")
        sources.append(dataclasses.replace(node, name=name, type="constant", inputs=(), outputs=(value,)))
        sources[-1] = dataclasses.replace(sources[-1], primitive=Source(leaf, rank))
        return value

    args, kwargs = keras.tree.map_structure(lifted, (call.args, call.kwargs))
    inputs = (*node.inputs, *(source.outputs[0] for source in sources))
    node = dataclasses.replace(node, primitive=Call(call.operation, args, kwargs, inputs), inputs=inputs)
    return [*before, *sources, node]


def _is_real_constant(leaf: Any) -> bool:
    if isinstance(leaf, bool) or leaf is None:
        return False
    return isinstance(leaf, float) or "float" in str(getattr(leaf, "dtype", ""))


def _with_real_inputs(nodes: list[Node]) -> Iterator[Node]:
    """The nodes, the last after a cast of its input, if that holds integers that it does not take as indices."""
    *sources, node = nodes
    yield from sources
    call = node.primitive
    assert isinstance(call, Call)
    reads_integers = len(node.inputs) == 1 and "int" in node.inputs[0].dtype and node.outputs[0].is_float
    if not reads_integers or node.type == "Cast" or isinstance(describe(call)[0].primitive, (Lookup, Opaque)):
        yield node
        return
    given, real = node.inputs[0], dataclasses.replace(node.inputs[0], dtype=node.outputs[0].dtype)
    to_real = Lookup(lambda x: keras.ops.cast(x, real.dtype))
    name = f"{node.name}/cast"
    yield dataclasses.replace(node, name=name, type="Cast", operation=None, primitive=to_real, outputs=(real,))
    args, kwargs = keras.tree.map_structure(lambda leaf: real if leaf is given else leaf, (call.args, call.kwargs))
    yield dataclasses.replace(node, primitive=Call(call.operation, args, kwargs, (real,)), inputs=(real,))
