"""Normalisation by statistics of the input itself, written out: `x / sqrt(mean(x^2) + eps)` and its kin.

What is recognised is a product of something linear in a value with `1 / sigma`, where sigma^2 is quadratic in the same
value, in whatever order the code computes it: Keras' own LayerNormalization is `x r + (beta - mean r)` on TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from kerasexplain.compiler.written_out.scopes import is_bare, scope
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.graph import Graph, Node, Value
from kerasexplain.graph.primitives import Affine, Mixing, Opaque, Product, Routing, Scale, Statistics

Tensor = Any

#: A normalisation has no more operations.
MOST_OPERATIONS = 40
#: In terms of the value that is normalised: linear in it, the same with a part that has no gradient, quadratic, a
#: function of sigma alone, normalised.
LINEAR, HELD, QUADRATIC, FACTOR, NORMALIZED = "linear", "held", "quadratic", "factor", "normalized"
_BOUNDS = ("Clip", "Maximum", "Minimum")


def merge_statistics(graph: Graph) -> Graph:
    """The graph, each normalisation that is written out as one operation."""
    producer, consumers = graph.producer(), graph.consumers()
    order = {node: i for i, node in enumerate(graph.nodes)}
    wanted = {*graph.outputs, graph.explained}
    merged: dict[Node, Node] = {}
    gone: set[Node] = set()
    for root in graph.nodes:
        if not _is_root(root) or root in gone:
            continue
        for origin in _origins(root, producer, order):
            region = _region(root, origin, producer, consumers, order, wanted)
            if region and not gone & set(region):
                merged[region[-1]] = _normalisation(root, origin, region)
                gone.update(region)
                break
    return graph.with_others({**dict.fromkeys(gone), **merged}) if merged else graph


def _is_root(node: Node) -> bool:
    is_root = isinstance(node.primitive, Opaque) and type(node.operation).__name__ in ("Rsqrt", "Sqrt")
    return is_root and is_bare(node)


def _origins(root: Node, producer: dict[Value, Node], order: dict[Node, int]) -> list[Value]:
    """The values that all of sigma may be made of, the nearest first."""
    seen: dict[Value, None] = {}
    stack = list(root.inputs)
    while stack and len(seen) < MOST_OPERATIONS:
        value = stack.pop()
        node = producer.get(value)
        if value in seen:
            continue
        seen[value] = None
        if node is not None and is_bare(node) and scope(node) == scope(root):
            stack.extend(node.inputs)
    return sorted(seen, key=lambda value: -order[producer[value]] if value in producer else 1)


def _region(
    root: Node,
    origin: Value,
    producer: dict[Value, Node],
    consumers: dict[Value, list[Node]],
    order: dict[Node, int],
    wanted: set[Value],
) -> list[Node]:
    """The operations of the normalisation of a value whose sigma a root computes, in order; empty if it is none."""
    before = _between(origin, root, producer)
    if before is None:
        return []
    kinds: dict[Value, str] = {origin: LINEAR}
    region: list[Node] = []
    for node in sorted(before, key=order.__getitem__):
        kinds[node.outputs[0]] = _kind(node, kinds)
        region.append(node)
    if kinds[root.outputs[0]] != FACTOR:
        return []
    waiting = set(consumers[root.outputs[0]])
    while waiting and len(region) < MOST_OPERATIONS:
        node = min(waiting, key=order.__getitem__)
        waiting.remove(node)
        if not _taken(node, root, kinds, region, producer):
            return []
        inner = [value for value in kinds if value is not origin and value is not node.outputs[0]]
        if kinds[node.outputs[0]] == NORMALIZED and all(
            set(consumers[value]) <= set(region) and value not in wanted for value in inner
        ):
            behind = region[region.index(root) :]
            return region if sum(isinstance(member.primitive, Affine) for member in behind) < 2 else []
        if node.outputs[0] in wanted:
            return []
        waiting.update(consumers[node.outputs[0]])
    return []


def _taken(node: Node, root: Node, kinds: dict[Value, str], region: list[Node], producer: dict[Value, Node]) -> bool:
    """Whether an operation is of the normalisation, with what it reads; then all of that is part of the region."""
    if len(node.outputs) != 1 or not is_bare(node) or scope(node) != scope(root):
        return False
    for value in node.inputs:
        before = producer.get(value)
        if value not in kinds and (
            before is None or not before.inputs or not _taken(before, root, kinds, region, producer)
        ):
            return False
    kind = _kind(node, kinds)
    if kind and node not in region:
        kinds[node.outputs[0]] = kind
        region.append(node)
    return bool(kind)


def _between(origin: Value, root: Node, producer: dict[Value, Node]) -> set[Node] | None:
    """The operations that make sigma of a value; None where they need another value, too."""
    found: set[Node] = {root}
    stack = list(root.inputs)
    while stack:
        value = stack.pop()
        if value is origin:
            continue
        node = producer.get(value)
        if node is None or not is_bare(node) or scope(node) != scope(root) or len(node.outputs) != 1 or not node.inputs:
            return None
        if node not in found:
            found.add(node)
            stack.extend(node.inputs)
    return found if len(found) > 1 else None


def _kind(node: Node, kinds: dict[Value, str]) -> str:
    """The kind of an operation's output in terms of the value that is normalised; "" for none of them."""
    given = {kinds.get(value, "") for value in node.inputs}
    primitive = node.primitive
    if HELD in given and isinstance(primitive, Mixing):
        given = {HELD} if given <= {LINEAR, HELD} else {""}
    if _is_root(node):
        return FACTOR if given == {QUADRATIC} else ""
    if isinstance(primitive, Product):
        scales = [value for value in node.inputs if kinds.get(value) == FACTOR]
        divides = primitive.denominator is not None
        if not primitive.elementwise or len(node.inputs) != 2 or given != {LINEAR, FACTOR} or len(scales) != 1:
            return ""
        return NORMALIZED if not divides or node.inputs[primitive.denominator] is scales[0] else ""  # type: ignore[index]
    if len(given) != 1:
        return ""
    (kind,) = given
    if isinstance(primitive, Elementwise):
        if node.type in ("Square", "Multiply") and kind in (LINEAR, HELD):
            return QUADRATIC
        return kind if node.type in _BOUNDS and kind in (QUADRATIC, FACTOR) else ""
    if isinstance(primitive, Affine):
        is_number = primitive.scale is None and not int(np.prod(primitive.bias_shape)) > 1
        return kind if kind == NORMALIZED or (kind == QUADRATIC and is_number) else ""
    if node.type == "StopGradient":
        return HELD if kind == LINEAR else kind if kind in (HELD, QUADRATIC, FACTOR) else ""
    if isinstance(primitive, Routing):
        return "" if primitive.chooses or primitive.pads else kind
    return kind if isinstance(primitive, (Mixing, Scale)) else ""


def _normalisation(root: Node, origin: Value, region: list[Node]) -> Node:
    last = region[-1]
    offsets = [node for node in region[region.index(root) :] if isinstance(node.primitive, Affine)]
    inverts = type(root.operation).__name__ == "Sqrt"

    def normalize(x: Tensor, detach: Callable[[Tensor], Tensor], tap: Tensor | None) -> Tensor:
        values: dict[Value, Tensor] = {origin: x}
        for node in region:
            operands = [values[value] for value in node.inputs]
            result = node.primitive(*operands, tap=tap if node in offsets else None)
            if node is root:
                result = 1.0 / detach(1.0 / result) if inverts else detach(result)
            values[node.outputs[0]] = result
        return values[last.outputs[0]]

    bias_shape = offsets[0].primitive.bias_shape if offsets else None  # type: ignore[attr-defined]
    return dataclasses.replace(
        last,
        type=f"{last.type} + {root.type}",
        primitive=Statistics(normalize, bias_shape),
        inputs=(origin,),
        absorbed=tuple(node.name for node in region[:-1]),
        detached=frozenset(),
    )
