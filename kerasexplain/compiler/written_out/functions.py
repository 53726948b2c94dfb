"""Activation functions, written out: `x * sigmoid(x)`, say, is one function of each entry of x."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.compiler.rows import infer_domains
from kerasexplain.compiler.written_out.scopes import is_bare, scope
from kerasexplain.graph.domains import ANY, NONNEGATIVE
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.graph import Graph, Node, Value, interpret
from kerasexplain.graph.primitives import Affine, Mixing, Opaque, Primitive, Product, Routing, Scale, Source

Tensor = Any

_DECIDING = (
    "Equal",
    "Greater",
    "GreaterEqual",
    "Less",
    "LessEqual",
    "LogicalAnd",
    "LogicalNot",
    "LogicalOr",
    "NotEqual",
)
#: Functions of more operations are none that has a name.
MOST_OPERATIONS = 40
#: Not finite everywhere, and so no functions by themselves; within one that is finite at zero they are.
_WITHIN = ("Divide", "Log", "Power", "Reciprocal", "Rsqrt", "Sqrt", "TrueDivide")
#: A slope at zero that is steeper, this far from it, is taken for an infinite one.
STEEPEST, NEAR = 1e3, 1e-8
_JOINING = ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Where", "Maximum", "Minimum")


def merge_functions(graph: Graph, decides: bool = True) -> Graph:
    """Operations that make, of one value, the same function of each of its entries become one elementwise operation.

    Args:
        graph: The graph.
        decides: Whether the functions may compare their argument with numbers.
    """
    producer, consumers = graph.producer(), graph.consumers()
    wanted = {*graph.outputs, graph.explained}
    #: For a value: the values that it is a function of, entry by entry, the nearest first, each with what makes it.
    functions: dict[Value, dict[Value, tuple[Node, ...]]] = {}
    regions: dict[Value, tuple[Value, tuple[Node, ...]]] = {}
    for node in graph.nodes:
        found = _functions(node, functions, producer)
        if not found or len(node.outputs) != 1:
            continue
        functions[node.outputs[0]] = found
        # What is not finite everywhere is, if at all, as part of all that is made of the first value.
        origin, nodes = list(found.items())[-1 if isinstance(node.primitive, Opaque) else 0]
        joins = len({value for value in node.inputs if value in functions or value is origin}) > 1
        joins = joins or any(isinstance(member.primitive, Opaque) for member in nodes)
        inner = {value for member in nodes for value in member.outputs} - {node.outputs[0]}
        closed = all(set(consumers[value]) <= set(nodes) and value not in wanted for value in inner)
        if not decides and any(member.type in _DECIDING for member in nodes):
            continue
        if joins and closed and node.outputs[0] in graph.carriers and origin in graph.carriers:
            regions[node.outputs[0]] = (origin, nodes)
    chosen: dict[Node, Node] = {}
    gone: set[Node] = set()
    for value, (origin, nodes) in reversed(regions.items()):
        last = producer[value]
        if gone & set(nodes):
            continue
        merged = _merged(last, origin, nodes)
        if merged is not None:
            chosen[last] = merged
            gone.update(nodes)
    return graph.with_others({**dict.fromkeys(gone), **chosen})


def _functions(
    node: Node, known: dict[Value, dict[Value, tuple[Node, ...]]], producer: dict[Value, Node]
) -> dict[Value, tuple[Node, ...]]:
    """The values that the output of a node is a function of, entry by entry, and the operations that make it."""
    numbers = {value: producer[value] for value in node.inputs if _is_number(producer.get(value))}
    operands = [value for value in node.inputs if value not in numbers]
    if not operands or not _acts_on_entries(node):
        return {}
    if any(value.shape != node.outputs[0].shape for value in operands):
        return {}
    of_operands: list[dict[Value, tuple[Node, ...]]] = []
    for value in operands:
        own: dict[Value, tuple[Node, ...]] = {value: ()} if value.is_float else {}
        own.update({at: nodes for at, nodes in known.get(value, {}).items() if scope(nodes[-1]) == scope(node)})
        of_operands.append(own)
    common = [value for value in of_operands[0] if all(value in own for own in of_operands[1:])]
    found = {
        value: tuple(
            dict.fromkeys([*itertools.chain.from_iterable(own[value] for own in of_operands), *numbers.values(), node])
        )
        for value in common
    }
    return {value: nodes for value, nodes in found.items() if len(nodes) <= MOST_OPERATIONS}


def _is_number(node: Node | None) -> bool:
    """Whether it is a number of the code, as a value of the graph."""
    if node is None or not isinstance(node.primitive, Source):
        return False
    leaf = node.primitive.leaf
    return isinstance(leaf, (int, float)) or (isinstance(leaf, (np.ndarray, np.generic)) and np.size(leaf) == 1)


def _acts_on_entries(node: Node) -> bool:
    primitive = node.primitive
    if not is_bare(node):
        return False
    if node.type in _DECIDING or (node.type in _WITHIN and isinstance(primitive, Opaque)):
        return _has_scalars(node)
    if isinstance(primitive, Elementwise):
        return True
    if isinstance(primitive, Scale):
        return primitive.weight is None and np.prod(primitive.weight_shape) == 1
    if isinstance(primitive, Affine):
        return primitive.shift != ANY and not primitive.bias_shape
    if node.type in ("OnesLike", "ZerosLike"):
        return True
    if node.type == "Cast":
        return isinstance(primitive, Routing) or node.inputs[0].dtype == "bool"
    return node.type in _JOINING and _has_scalars(node) and (len(node.inputs) > 1 or isinstance(primitive, Elementwise))


def _has_scalars(node: Node) -> bool:
    """Whether the constants that it takes are numbers."""
    call = getattr(node.primitive, "call", None) or node.primitive
    leaves = keras.tree.flatten((getattr(call, "args", ()), getattr(call, "kwargs", {})))
    constants = [leaf for leaf in leaves if not isinstance(leaf, (Value, bool, str)) and leaf is not None]
    return all(np.size(leaf) == 1 for leaf in constants if hasattr(leaf, "shape"))


def _merged(last: Node, origin: Value, nodes: tuple[Node, ...]) -> Node | None:
    def function(x: Tensor) -> Tensor:
        values = {origin: x}
        interpret(nodes, values)
        return values[last.outputs[0]]

    at_zero, beside = (
        float(ops.convert_to_numpy(function(ops.full((1,) * len(origin.shape), x, dtype=origin.dtype))).item())
        for x in (0.0, NEAR)
    )
    is_open = any(isinstance(node.primitive, Opaque) for node in nodes)
    if not np.isfinite(at_zero) or (is_open and not abs(beside - at_zero) < STEEPEST * NEAR):
        return None
    analytic = all(_is_analytic(node.primitive) for node in nodes)
    primitive = Elementwise(
        function,
        homogeneous=all(map(_is_homogeneous, nodes)),
        at_zero=at_zero,
        range=infer_domains(nodes, {origin: ANY})[last.outputs[0]],
        keeps_sign=infer_domains(nodes, {origin: NONNEGATIVE})[last.outputs[0]].nonnegative,
        smooth=analytic,
        analytic=analytic,
    )
    return dataclasses.replace(
        last,
        type=" + ".join(dict.fromkeys(node.type for node in nodes)),
        primitive=primitive,
        inputs=(origin,),
        absorbed=tuple(node.name for node in nodes[:-1]),
        detached=frozenset(),
    )


def _is_analytic(part: Primitive) -> bool:
    if isinstance(part, Product):
        return part.denominator is None
    return part.analytic if isinstance(part, Elementwise) else isinstance(part, (Affine, Mixing, Scale))


def _is_homogeneous(node: Node) -> bool:
    part = node.primitive
    if node.type == "Where":
        return False
    return part.homogeneous if isinstance(part, Elementwise) else isinstance(part, (Mixing, Scale))
