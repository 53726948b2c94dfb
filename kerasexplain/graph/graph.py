"""The graph a Keras model is traced into: values, nodes, and the order they run in."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
from keras import ops

from kerasexplain.graph.primitives import Opaque, Primitive

Shape = tuple["int | None", ...]
Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the graph: what a node makes and other nodes read.

    Attributes:
        shape, dtype: As of a tensor.
        fold: How many rows a sample has, one behind the other: 1 but for code that moves other axes into the batch, to
            treat windows or time steps like samples.
        batch_axis: Where the batch is: in front, but for code that moves it to take queries, keys and values apart.
    """

    shape: Shape
    dtype: str
    fold: int = 1
    batch_axis: int = 0

    @property
    def is_float(self) -> bool:
        return "float" in self.dtype

    @property
    def is_continuous(self) -> bool:
        """Whether a derivative goes through it: of real or complex numbers."""
        return self.is_float or "complex" in self.dtype

    @property
    def sample_shape(self) -> Shape:
        """The shape without the batch."""
        return self.shape[: self.batch_axis] + self.shape[self.batch_axis + 1 :]


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
        gives: Name of the layer or operation whose output it gives, where that is another than its own: the activation
            of a layer gives that layer's output.
        detached: Positions of inputs that are constants to relevance, such as the scale of a normalisation.
    """

    name: str
    type: str
    operation: Any
    primitive: Primitive
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    layer_index: int | None = None
    absorbed: tuple[str, ...] = ()
    gives: str = ""
    detached: frozenset[int] = frozenset()

    @property
    def result(self) -> str:
        """The name of the layer or operation whose output it gives."""
        return self.gives or self.name

    def attached(self) -> Iterator[Value]:
        """The inputs that are not detached."""
        return (value for i, value in enumerate(self.inputs) if i not in self.detached)


@dataclasses.dataclass(frozen=True, eq=False)
class OpenedCall:
    """A call of a layer that is not in the graph itself: its arguments and outputs, with values as leaves."""

    layer: Any
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Any


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
        opened: The calls of layers whose own code was run, innermost first; plain nested models are none.
        notes: What the passes did to the graph, for people.
        casts: The dtypes of real numbers that the model casts to on the way, which relevance is not rounded to.
        ranking: What says which output is the largest; None where that is what is explained.
    """

    inputs: tuple[Value, ...]
    input_names: tuple[str, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]
    output_names: tuple[str, ...]
    explained: Value
    structure: Any
    opened: tuple[OpenedCall, ...] = ()
    notes: tuple[str, ...] = ()
    casts: frozenset[str] = frozenset()
    ranking: Value | None = None

    @property
    def unopened(self) -> list[Node]:
        """The layers whose code could not be run on symbolic tensors."""
        return [node for node in self.nodes if isinstance(node.primitive, Opaque)]

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

    def sole_readers(self) -> dict[Value, Node]:
        """The node that reads a value, where it is the only one, and the value is wanted for nothing else."""
        wanted = {*self.outputs, self.explained}
        readers = self.consumers().items()
        return {value: nodes[0] for value, nodes in readers if len(nodes) == 1 and value not in wanted}

    def values(self) -> Iterator[Value]:
        yield from self.inputs
        for node in self.nodes:
            yield from node.outputs

    @functools.cached_property
    def carriers(self) -> frozenset[Value]:
        """The values that relevance reaches: what depends, differentiably, on inputs or on what indices look up."""
        found = {value for value in self.inputs if value.is_float}
        for node in self.nodes:
            if node.primitive.is_boundary or any(value in found for value in node.attached()):
                found.update(value for value in node.outputs if value.is_continuous)
        return frozenset(found)

    def nodes_towards(self, targets: Iterable[Value]) -> list[Node]:
        """The nodes through which relevance goes from some values towards the inputs, in the order they run."""
        needed = set(targets)
        path = []
        for node in reversed(self.nodes):
            if any(value in needed and value in self.carriers for value in node.outputs):
                needed.update(value for value in node.attached() if value in self.carriers)
                path.append(node)
        return path[::-1]

    def nodes_behind(self, target: Value) -> list[Node]:
        """All nodes that a value is computed by, whether they carry relevance or not, in the order they run."""
        needed = {target}
        path = []
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.outputs):
                needed.update(node.inputs)
                path.append(node)
        return path[::-1]

    @functools.cached_property
    def channel_axes(self) -> dict[Value, int]:
        """Which axis the channels are, of every value of which that is known: 1, or -1 for the last.

        A layer says so itself; what acts element by element has them where its input has them. Where axes are moved,
        nothing is known, unless no layer of the graph has its channels first.
        """
        formats = {getattr(node.operation, "data_format", None) for node in self.nodes}
        if "channels_first" not in formats:
            return dict.fromkeys(self.values(), -1)
        axes: dict[Value, int] = {}
        for node in self.nodes:
            own = getattr(node.operation, "data_format", None)
            shapes = {value.shape for value in node.inputs if value in axes}
            for value in node.outputs:
                if own is not None:
                    axes[value] = 1 if own == "channels_first" else -1
                elif shapes == {value.shape}:
                    axes[value] = next(axes[given] for given in node.inputs if given in axes)
        return axes

    def replace(self, **changes: Any) -> Graph:
        return dataclasses.replace(self, **changes)

    def with_others(self, others: Mapping[Node, Node | None]) -> Graph:
        """The graph with other nodes in the places of some; None leaves a node out."""
        nodes = (others.get(node, node) for node in self.nodes)
        return self.replace(nodes=tuple(node for node in nodes if node is not None))

    def __str__(self) -> str:
        names = {value: node.name for node in self.nodes for value in node.outputs}
        names |= dict(zip(self.inputs, self.input_names, strict=True))
        lines = [f"inputs: {', '.join(self.input_names)}"]
        for node in self.nodes:
            reads = ", ".join(names[value] for value in node.inputs)
            shapes = ", ".join(str(value.shape) for value in node.outputs)
            lines.append(f"{node.name} = {node.type}({reads}) -> {shapes}")
        return "\n".join(lines)


Evaluate = Callable[[Node, Mapping[Value, Tensor]], "dict[Value, Tensor]"]


def evaluated(node: Node, values: Mapping[Value, Tensor]) -> dict[Value, Tensor]:
    """The outputs of a node by ordinary computation, by value."""
    return dict(zip(node.outputs, outputs_of(node, values), strict=True))


def interpret(nodes: Iterable[Node], values: dict[Value, Tensor], evaluate: Evaluate = evaluated) -> None:
    """Runs nodes in order: the interpreter of graphs.

    Args:
        nodes: In an order in which they can run.
        values: What they read, to which what they give is added.
        evaluate: `(node, values) -> new values`.
    """
    for node in nodes:
        values.update(evaluate(node, values))


def outputs_of(node: Node, values: Mapping[Value, Tensor]) -> list[Tensor]:
    """The outputs of a node, where the values that it reads are these."""
    return tensors_of(node.primitive(*(values[value] for value in node.inputs)))


def tensors_of(outputs: Any) -> list[Tensor]:
    """The tensors in what an operation returned."""
    if ops.is_tensor(outputs):  # the usual case; and on PyTorch keras.tree holds on to what it is asked about
        return [outputs]
    return [leaf for leaf in keras.tree.flatten(outputs) if leaf is not None]
