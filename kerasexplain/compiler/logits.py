"""The logits that are explained instead of the probabilities that a final softmax or sigmoid makes of them."""

from __future__ import annotations

import dataclasses

import keras

from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.graph import Graph, Node, Value
from kerasexplain.graph.maximum import Maximum, Minimum
from kerasexplain.graph.primitives import Mixing, Opaque, Routing, Scale
from kerasexplain.operations.layers.activations import activation_name

#: Activations at the output that are set aside when logits are explained.
OUTPUT_ACTIVATIONS = ("softmax", "sigmoid")


def explain_logits(graph: Graph) -> Graph:
    """Explains what goes into a final softmax or sigmoid instead of what comes out, also behind what only moves it."""
    producer = graph.producer()
    left_out: list[Node] = []
    moved: list[Node] = []
    known: dict[Value, Value | None] = {}

    def logits(value: Value) -> Value | None:
        """The same numbers before the activation; None where there is none, or more than moves in between."""
        if value not in known:
            known[value] = found(value)
        return known[value]

    def found(value: Value) -> Value | None:
        node = producer.get(value)
        if node is None:
            return None
        if activation_of(node) in OUTPUT_ACTIVATIONS:
            left_out.append(node)
            return node.inputs[0]
        if not _only_moves(node):
            return None
        before = [logits(given) for given in node.inputs]
        if not before or any(given is None for given in before):
            return None
        outputs = tuple(dataclasses.replace(output) for output in node.outputs)
        inputs = tuple(given for given in before if given is not None)
        copy = dataclasses.replace(node, name=f"{node.name}/logits", gives=node.result)
        moved.append(dataclasses.replace(copy, inputs=inputs, outputs=outputs))
        known.update(zip(node.outputs, outputs, strict=True))
        return known[value]

    explained = logits(graph.explained)
    if explained is None:
        return graph
    names = ", ".join(f"{node.name} ({node.type})" for node in dict.fromkeys(left_out))
    are = "is" if len(set(left_out)) == 1 else "are"
    same_order = all(map(_keeps_order, left_out)) and not any(len(node.inputs) > 1 for node in moved)
    return graph.replace(
        nodes=(*graph.nodes, *moved),
        explained=explained,
        ranking=None if same_order else graph.explained,
        notes=(*graph.notes, f"{names} {are} left out: the logits are explained"),
    )


def _keeps_order(activation: Node) -> bool:
    """Whether the largest logit of a sample is its largest output: not where each position has a softmax of its own.

    Then logits rank better, for outputs round to 1.
    """
    is_sigmoid = activation_of(activation) == "sigmoid"
    return is_sigmoid or (len(activation.inputs) == 1 and len(activation.inputs[0].shape) == 2)


def with_note_on_probabilities(graph: Graph) -> Graph:
    """The graph, with a note if what is explained is made of probabilities all the same."""
    producer = graph.producer()
    node, rest = None, [graph.explained]
    while rest:
        node = producer.get(rest.pop())
        if node is None:
            continue
        if activation_of(node) in OUTPUT_ACTIVATIONS:
            note = f"what is explained is made of the probabilities of {node.name} ({node.type}), and not of logits"
            return graph.replace(notes=(*graph.notes, note))
        if isinstance(node.primitive, (Routing, Mixing, Scale, Elementwise, Maximum, Minimum)):
            rest.extend(node.inputs)
    return graph


def _only_moves(node: Node) -> bool:
    """Whether every number that comes out is one that goes in."""
    primitive = node.primitive
    if isinstance(primitive, Routing):
        return not primitive.chooses and not primitive.pads
    return isinstance(primitive, Elementwise) and activation_of(node) == "linear"


def activation_of(node: Node) -> str:
    if isinstance(node.primitive, Opaque):
        return ""  # whatever a stranger calls softmax
    if isinstance(node.operation, keras.layers.Activation):
        return activation_name(node.operation.activation) or ""
    return type(node.operation).__name__.lower()
