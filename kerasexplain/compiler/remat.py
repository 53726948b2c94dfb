"""Rematerialization, or checkpointing: parts of a graph run again in the backward pass, and are not held."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Collection, Sequence

from kerasexplain.graph.graph import Graph, Node, Value

#: Into how many parts a graph is cut. The last one is kept; running the others again is less than another forward pass,
#: and keeping the values between them hardly anything.
PARTS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Segment:
    """Nodes of which only one value is read by what comes after.

    Attributes:
        nodes: The nodes, in the order they run.
        carriers: The values they read that carry relevance, from before.
        others: The other values they read from before: masks and the like.
        output: The value.
    """

    nodes: tuple[Node, ...]
    carriers: tuple[Value, ...]
    others: tuple[Value, ...]
    output: Value

    def holds(self, names: Collection[str], values: Collection[Value]) -> bool:
        """Whether one of those nodes is among its own, or one of those values inside it."""
        made = {value for node in self.nodes for value in node.outputs} - {self.output}
        return any(node.name in names for node in self.nodes) or not made.isdisjoint(values)


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """A graph in parts.

    Attributes:
        before: What runs first: the nodes that follow from integers alone, such as masks.
        segments: Parts that can run again; none where the graph has no values to cut at.
        after: The last part, which need not run again: what it computes is needed at once.
    """

    before: tuple[Node, ...]
    segments: tuple[Segment, ...]
    after: tuple[Node, ...]


def cut(graph: Graph, joined: Collection[Value] = (), parts: int = PARTS) -> Cut:
    """Cuts a graph into parts that hold about as much memory each, where everything goes through one value.

    Args:
        graph: The graph.
        joined: Values that cannot be cut at, for they are never computed by themselves.
        parts: Into how many.
    """
    before = tuple(node for node in graph.nodes if graph.carriers.isdisjoint((*node.inputs, *node.outputs)))
    nodes = tuple(node for node in graph.nodes if node not in set(before))
    waists = _waists(graph, nodes, joined)
    sizes = [sum(math.prod(size or 1 for size in value.sample_shape) for value in node.outputs) for node in nodes]
    ends = [0]
    for part in range(1, parts):
        wanted = sum(sizes) * part / parts
        later = [end for end in waists if end > ends[-1]]
        if later:
            ends.append(min(later, key=lambda end: abs(sum(sizes[:end]) - wanted)))
    segments = (_segment(graph, nodes[begin:end], waists[end]) for begin, end in itertools.pairwise(ends))
    return Cut(before, tuple(segments), nodes[ends[-1] :])


def _waists(graph: Graph, nodes: Sequence[Node], joined: Collection[Value]) -> dict[int, Value]:
    """After how many of the nodes only one value is still to be read, and which."""
    last_read = {value: i for i, node in enumerate(nodes) for value in node.inputs}
    last_read |= dict.fromkeys((*graph.outputs, graph.explained), len(nodes))
    open_ones = {value for value in graph.inputs if value in graph.carriers}
    found = {}
    for i, node in enumerate(nodes):
        open_ones = {value for value in (*open_ones, *node.outputs) if last_read.get(value, -1) > i}
        if len(open_ones) == 1:
            (waist,) = open_ones
            if waist in node.outputs and waist in graph.carriers and waist not in joined:
                found[i + 1] = waist
    return found


def _segment(graph: Graph, nodes: tuple[Node, ...], output: Value) -> Segment:
    made = {value for node in nodes for value in node.outputs}
    read = [value for value in dict.fromkeys(value for node in nodes for value in node.inputs) if value not in made]
    carriers = tuple(value for value in read if value in graph.carriers)
    return Segment(nodes, carriers, tuple(value for value in read if value not in graph.carriers), output)
