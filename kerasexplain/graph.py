"""The graph a Keras model is traced into: values, nodes, and the order they run in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from kerasexplain.operations.base import Primitive

Shape = tuple["int | None", ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the graph: what a node makes and other nodes read. The batch comes first."""

    shape: Shape
    dtype: str

    @property
    def is_float(self) -> bool:
        return "float" in self.dtype


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """One operation of the graph.

    Attributes:
        name: Unique; the layer's name, prefixed by the models it is nested in.
        type: What a reader calls it, such as `Conv2D` or `Conv2D + BatchNormalization`.
        operation: The Keras layer or operation, for matching by class.
        primitive: What the operation is to relevance.
        inputs: The values read, each once.
        outputs: The values made.
        layer_index: Position of its outermost layer in `model.layers`; None for bare operations.
        absorbed: Names of the layers that were folded into this node.
    """

    name: str
    type: str
    operation: Any
    primitive: Primitive
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    layer_index: int | None = None
    absorbed: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in an order in which they can run.

    Attributes:
        inputs: The model's inputs, flattened.
        input_names: Their names, in the same order.
        nodes: The operations, in topological order.
        outputs: The model's outputs, flattened.
        output_names: Their names, in the same order.
        explained: The value whose relevance is asked for.
        structure: The model's outputs, as the model nests them, with values as leaves.
        notes: What the passes did to the graph, for people.
    """

    inputs: tuple[Value, ...]
    input_names: tuple[str, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]
    output_names: tuple[str, ...]
    explained: Value
    structure: Any
    notes: tuple[str, ...] = ()

    def producer(self) -> dict[Value, Node]:
        """The node that makes each value; graph inputs have none."""
        return {value: node for node in self.nodes for value in node.outputs}

    def consumers(self) -> dict[Value, list[Node]]:
        """The nodes that read each value."""
        readers: dict[Value, list[Node]] = {value: [] for value in self.values()}
        for node in self.nodes:
            for value in node.inputs:
                readers[value].append(node)
        return readers

    def values(self) -> Iterator[Value]:
        yield from self.inputs
        for node in self.nodes:
            yield from node.outputs

    def explained_nodes(self) -> list[Node]:
        """The nodes through which the explained value depends on an input, in order."""
        reachable = set(self.inputs)
        for node in self.nodes:
            if any(value in reachable for value in node.inputs):
                reachable.update(node.outputs)
        needed = {self.explained}
        path = []
        for node in reversed(self.nodes):
            if any(value in needed and value in reachable for value in node.outputs):
                needed.update(node.inputs)
                path.append(node)
        return path[::-1]

    def replace(self, **changes: Any) -> Graph:
        return dataclasses.replace(self, **changes)

    def __str__(self) -> str:
        names = {value: node.name for node in self.nodes for value in node.outputs}
        names |= dict(zip(self.inputs, self.input_names, strict=True))
        lines = [f"inputs: {', '.join(self.input_names)}"]
        for node in self.nodes:
            reads = ", ".join(names[value] for value in node.inputs)
            shapes = ", ".join(str(value.shape) for value in node.outputs)
            lines.append(f"{node.name} = {node.type}({reads}) -> {shapes}")
        return "\n".join(lines)
