"""From where relevance ends, at what is looked up by an index, back to the input that the index came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.backend import transposed
from kerasexplain.errors import InputError
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

    def indices(self, x: np.ndarray) -> np.ndarray:
        """What is looked up where the input is x: x itself, or what is left of it after its moves."""
        if not self.moves:
            return x
        moved = ops.convert_to_tensor(x)
        for node in self.moves:
            moved = node.primitive(moved)
        return np.asarray(ops.convert_to_numpy(moved))

    def at_index(self, relevance: Tensor) -> Tensor:
        """Relevance of what was looked up, summed to one number per index."""
        rank = len(self.node.inputs[0].shape)
        extra = list(range(rank, len(relevance.shape)))
        return ops.sum(relevance, axis=extra) if extra else relevance

    def at_input(self, relevance: Tensor, x: Tensor) -> Tensor:
        """Relevance of the indices, carried back to the input x, shaped like x.

        Casts are left out: a cast to whole numbers has no derivative, and moves nothing.
        """
        moved = [node.primitive for node in self.moves if isinstance(node.primitive, Routing) and not _casts(node)]
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


def _casts(node: Node) -> bool:
    """Whether a node with one input only changes the dtype."""
    x, y = node.inputs[0], node.outputs[0]
    return x.dtype != y.dtype and x.shape == y.shape


def check_indices(graph: Graph, boundaries: Sequence[Boundary], batches: Sequence[Sequence[np.ndarray]]) -> None:
    """Raises InputError if an input holds an index that an embedding does not know.

    Args:
        graph: The graph.
        boundaries: Its lookups.
        batches: Inputs of the graph, none of them checked if the list is empty.
    """
    for boundary in boundaries:
        size = getattr(boundary.node.operation, "input_dim", None)
        if size is None or boundary.given is None:
            continue
        position = graph.inputs.index(boundary.given)
        for arrays in batches:
            if not arrays:
                continue
            indices = boundary.indices(arrays[position])
            if indices.size and (indices.min() < 0 or indices.max() >= size):
                raise InputError(
                    f"the model's input {graph.input_names[position]!r} must hold indices from 0 to {size - 1}, which "
                    f"{boundary.node.name!r} ({boundary.node.type}) knows; got {indices.min()} to {indices.max()}"
                )
