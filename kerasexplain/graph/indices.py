"""The way of relevance from a lookup, where it ends, back to the inputs that the index came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.backend import transposed
from kerasexplain.foundation.errors import InputError
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.graph import Graph, Node, Value, interpret, outputs_of
from kerasexplain.graph.primitives import Affine, Lookup, Routing, Scale

Tensor = Any
#: Element by element, whatever they are to relevance.
_POINTWISE = {
    *("Abs", "Absolute", "Add", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Cast", "Clip", "ConvertToTensor"),
    *("Digitize", "Divide", "FloorDivide", "Fmod", "LeftShift", "Maximum", "Minimum", "Mod", "Multiply"),
    *("Negative", "Power", "Remainder", "RightShift", "Round", "Subtract", "TrueDivide", "Where"),
}
#: What decides by its inputs, and is none of them: relevance ends there.
_DECIDING = {
    *("Argmax", "Argmin", "Argsort", "CountNonzero", "OnesLike", "Searchsorted", "Shape", "Sign", "TopK"),
    "ZerosLike",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Boundary:
    """A lookup on the way to the explained value.

    Attributes:
        node: The lookup: an embedding, a one-hot encoding, a cast of integers.
        sources: The model's inputs that its indices come from; none where they are computed from something else, such
            as positions counted up: its relevance is then a bias entry.
        nodes: What the indices are computed by, in the order in which it runs.
        carrying: The values among them that are made of the sources.
        unfollowed: The operation behind which it is not known which index comes from which number; None for none.
    """

    node: Node
    sources: tuple[Value, ...]
    nodes: tuple[Node, ...]
    carrying: frozenset[Value]
    unfollowed: Node | None

    @property
    def index(self) -> Value:
        """The value that is looked up by."""
        return self.node.inputs[0]

    def computed(self, inputs: Mapping[Value, Any]) -> dict[Value, Tensor]:
        """The indices, and what they are computed from, where the model's inputs are these."""
        values = {value: ops.convert_to_tensor(x) for value, x in inputs.items()}
        interpret(self.nodes, values)
        return values

    def at_index(self, relevance: Tensor) -> Tensor:
        """Relevance of what was looked up, summed to one number per index."""
        rank = len(self.index.shape)
        extra = list(range(rank, len(relevance.shape)))
        return ops.sum(relevance, axis=extra) if extra else relevance

    def at_inputs(self, relevance: Tensor, inputs: Mapping[Value, Any]) -> dict[Value, Tensor]:
        """Relevance of the indices, carried back to the inputs that they come from, shaped like these.

        What is computed element by element, an offset say, hands on what it gets; a cast to integers, which has no
        derivative, too.
        """
        moved = [node for node in self.nodes if not self.carrying.isdisjoint(node.outputs)]
        values = self.computed(inputs) if moved else {}
        got = {self.index: relevance}
        for node in reversed(moved):
            for position, output in enumerate(node.outputs):
                if output not in got:
                    continue
                signal = got.pop(output)
                carriers = [value for value in dict.fromkeys(node.inputs) if value in self.carrying]
                parts = _handed_back(node, position, carriers, values, signal)
                for value, part in zip(carriers, parts, strict=True):
                    got[value] = got[value] + part if value in got else part
        return {value: got[value] for value in self.sources if value in got}


def _handed_back(
    node: Node, position: int, carriers: Sequence[Value], values: Mapping[Value, Tensor], signal: Tensor
) -> Sequence[Tensor]:
    """The signal that some inputs of an operation get of its output's."""
    xs = tuple(ops.zeros(ops.shape(values[value]), dtype=signal.dtype) for value in carriers)
    if _is_pointwise(node) and len(carriers) == 1:
        shape = ops.shape(values[node.outputs[position]])
        same = carriers[0].shape == node.outputs[position].shape
        return [signal] if same else transposed(lambda xs: ops.broadcast_to(xs[0], shape), xs, signal)

    def moved(xs: Sequence[Tensor]) -> Tensor:
        return outputs_of(node, {**values, **dict(zip(carriers, xs, strict=True))})[position]

    return transposed(moved, xs, signal)


def _is_pointwise(node: Node) -> bool:
    """Whether a node computes element by element, or only changes the dtype."""
    kinds = (Elementwise, Affine, Scale)
    return isinstance(node.primitive, kinds) or node.type in _POINTWISE


def _follows(node: Node, carriers: Sequence[Value]) -> bool:
    """Whether it is known which number of its output comes from which number of its inputs."""
    if node.type == "Where":
        return True  # it is that of the operand which is chosen
    if _is_pointwise(node):
        return len(carriers) == 1
    primitive = node.primitive
    joins = node.type in ("Concatenate", "Stack", "Hstack", "Vstack", "Append")
    return isinstance(primitive, Routing) and not primitive.chooses and (joins or len(carriers) == 1)


def boundaries(graph: Graph, nodes: list[Node]) -> list[Boundary]:
    """The lookups among some nodes."""
    return [_boundary(graph, node) for node in nodes if isinstance(node.primitive, Lookup)]


def _boundary(graph: Graph, lookup: Node) -> Boundary:
    needed = graph.nodes_behind(lookup.inputs[0])
    carrying = {value for value in graph.inputs if value.dtype not in ("bool", "string")}
    for node in needed:
        if node.type in _DECIDING or carrying.isdisjoint(node.inputs):
            continue
        carrying.update(value for value in node.outputs if value.dtype != "bool")
    # Of those, what leads to the index by way of values that are made of inputs: not the condition of a choice.
    leading, unfollowed = {lookup.inputs[0]} & carrying, None
    for node in reversed(needed):
        if leading.isdisjoint(node.outputs):
            continue
        carriers = [value for value in dict.fromkeys(node.inputs) if value in carrying]
        if not _follows(node, carriers):
            unfollowed = unfollowed or node
        leading.update(carriers)
    sources = tuple(value for value in graph.inputs if value in leading)
    return Boundary(lookup, sources, tuple(needed), frozenset(leading), unfollowed if sources else None)


def check_indices(graph: Graph, boundaries: Sequence[Boundary], batches: Sequence[Sequence[np.ndarray]]) -> None:
    """Raises InputError if an input holds an index that an embedding does not know.

    Args:
        graph: The graph.
        boundaries: Its lookups.
        batches: Inputs of the graph, none of them checked if the list is empty.
    """
    for boundary in boundaries:
        size = getattr(boundary.node.operation, "input_dim", None)
        if size is None or not boundary.sources:
            continue
        for arrays in batches:
            if not arrays:
                continue
            given = dict(zip(graph.inputs, arrays, strict=True))
            indices = given.get(boundary.index)
            if indices is None:
                indices = np.asarray(ops.convert_to_numpy(boundary.computed(given)[boundary.index]))
            if indices.size and (indices.min() < 0 or indices.max() >= size):
                names = dict(zip(graph.inputs, graph.input_names, strict=True))
                inputs = " and ".join(repr(names[value]) for value in boundary.sources)
                made = "" if boundary.index in given else ", made of that,"
                raise InputError(
                    f"the model's input {inputs} must hold indices{made} from 0 to {size - 1}, which "
                    f"{boundary.node.name!r} ({boundary.node.type}) knows; got {indices.min()} to {indices.max()}"
                )
