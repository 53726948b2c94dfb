"""From where relevance ends, at what is looked up by an index, back to the input that the index came from."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from kerasexplain.backend import transposed
from kerasexplain.graph import Graph, Node, Value
from kerasexplain.operations import Elementwise, Lookup, Routing

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Boundary:
    """A lookup on the way to the explained value.

    Attributes:
        node: The lookup: an embedding, a one-hot encoding, a cast of whole numbers.
        given: The model's input that its indices come from; None where they are computed from something else, such as
            positions counted up: its relevance is then a bias entry.
        moves: What happens to the input on the way: slices, reshapes and the like.
    """

    node: Node
    given: Value | None
    moves: tuple[Node, ...]

    def at_index(self, relevance: Tensor) -> Tensor:
        """Relevance of what was looked up, summed to one number per index."""
        rank = len(self.node.inputs[0].shape)
        extra = list(range(rank, len(relevance.shape)))
        return ops.sum(relevance, axis=extra) if extra else relevance

    def at_input(self, relevance: Tensor, x: Tensor) -> Tensor:
        """Relevance of the indices, carried back to the input x, shaped like x."""
        moved = [node.primitive for node in self.moves if isinstance(node.primitive, Routing)]
        if not moved:
            return relevance

        def move(x: Tensor) -> Tensor:
            for primitive in moved:
                x = primitive(x)
            return x

        return transposed(move, ops.zeros(ops.shape(x), dtype=relevance.dtype), relevance)


def boundaries(graph: Graph, nodes: list[Node]) -> list[Boundary]:
    """The lookups among some nodes."""
    producer = graph.producer()
    return [_boundary(graph, producer, node) for node in nodes if isinstance(node.primitive, Lookup)]


def _boundary(graph: Graph, producer: dict[Value, Node], node: Node) -> Boundary:
    source = source_of(graph, producer, node.inputs[0])
    return Boundary(node, *source) if source else Boundary(node, None, ())


def source_of(graph: Graph, producer: dict[Value, Node], value: Value) -> tuple[Value, tuple[Node, ...]] | None:
    """The model's input that a value is a rearrangement of, and how; None if it is more than that."""
    moves: list[Node] = []
    while value not in graph.inputs:
        node = producer[value]
        simple = isinstance(node.primitive, (Routing, Elementwise)) or node.type == "Cast"
        if not simple or len(node.inputs) != 1:
            return None
        moves.append(node)
        value = node.inputs[0]
    return value, tuple(reversed(moves))
