"""Pass 2, canonize: from Keras operations to the primitives that rules are written for.

Fused activations are split off, BatchNormalization and zero padding are folded into linear operations where that is
exact, and an activation at the output is set aside, so that logits are explained.
"""

from __future__ import annotations

import dataclasses

import keras

from kerasexplain.errors import UnsupportedModelError, nearest
from kerasexplain.graph import Graph, Node, Value
from kerasexplain.operations import BatchNorm, Call, Linear, Opaque, Routing, describe

#: Activations at the output that are set aside when logits are explained.
OUTPUT_ACTIVATIONS = ("softmax", "sigmoid")


def canonize(graph: Graph, *, output: int | str = 0, explain: str = "logits") -> Graph:
    """Rewrites a traced graph into primitives, and chooses the value to be explained.

    Args:
        graph: What `trace` returned.
        output: Index or name of the model's output to explain.
        explain: "logits" sets a final softmax or sigmoid aside; "activation" keeps it.

    Returns:
        A graph that computes the same outputs.
    """
    graph = split_into_primitives(graph)
    graph = graph.replace(explained=_chosen_output(graph, output))
    if explain == "logits":
        graph = explain_logits(graph)
    graph = fold_padding(fold_batch_normalization(graph))
    _refuse_integers(graph)
    return graph


def split_into_primitives(graph: Graph) -> Graph:
    """Each Keras call becomes the primitives the catalogue describes it by."""
    nodes = []
    for node in graph.nodes:
        assert isinstance(node.primitive, Call)
        steps = describe(node.primitive)
        inputs = node.inputs
        for i, step in enumerate(steps):
            last = i == len(steps) - 1
            outputs = node.outputs if last else (_between(node.outputs[0], step.channels),)
            nodes.append(
                dataclasses.replace(
                    node,
                    name=node.name + step.suffix,
                    type=step.type or node.type,
                    operation=step.operation or node.operation,
                    primitive=step.primitive,
                    inputs=inputs,
                    outputs=outputs,
                )
            )
            inputs = outputs
    return graph.replace(nodes=tuple(nodes))


def _between(output: Value, channels: tuple[int, int] | None) -> Value:
    """What is between two steps of one layer: shaped like the layer's output, up to the number of channels."""
    shape = list(output.shape)
    if channels is not None:
        axis, count = channels
        shape[axis] = count
    return Value(tuple(shape), output.dtype)


def _chosen_output(graph: Graph, output: int | str) -> Value:
    if isinstance(output, str):
        if output not in graph.output_names:
            raise ValueError(f"the model has no output {output!r}.{nearest(output, graph.output_names)}")
        return graph.outputs[graph.output_names.index(output)]
    if not -len(graph.outputs) <= output < len(graph.outputs):
        raise ValueError(f"output={output}, but the model has {len(graph.outputs)} outputs")
    return graph.outputs[output]


def explain_logits(graph: Graph) -> Graph:
    """Explains what goes into a final softmax or sigmoid instead of what comes out."""
    node = graph.producer().get(graph.explained)
    if node is None or _activation_name(node) not in OUTPUT_ACTIVATIONS:
        return graph
    return graph.replace(
        explained=node.inputs[0],
        notes=(*graph.notes, f"{node.name} ({node.type}) is left out: the logits are explained"),
    )


def _activation_name(node: Node) -> str:
    if isinstance(node.primitive, Opaque):
        return ""  # whatever a stranger calls softmax
    if isinstance(node.operation, keras.layers.Activation):
        return getattr(node.operation.activation, "__name__", "")
    return type(node.operation).__name__.lower()


def _refuse_integers(graph: Graph) -> None:
    needed = {value for node in graph.explained_nodes() for value in node.inputs}
    for value, name in zip(graph.inputs, graph.input_names, strict=True):
        if value in needed and not value.is_float:
            raise UnsupportedModelError(
                f"the explained output depends on the input {name!r}, which holds {value.dtype}: indices have no "
                "relevance of their own, and relevance at an embedding is not supported yet. An input of real numbers "
                'must be declared as such: keras.Input(..., dtype="float32")'
            )


def fold_batch_normalization(graph: Graph) -> Graph:
    """Folds BatchNormalization into a linear operation whose only reader it is, from the live variables.

    The other order, a BatchNormalization before a convolution, is left alone: with zero padding it is not the same
    at the borders.
    """
    producer, consumers = graph.producer(), graph.consumers()
    kept = {*graph.outputs, graph.explained}
    folded: dict[Node, Node | None] = {}
    for norm in graph.nodes:
        linear = producer.get(norm.inputs[0])
        if linear is None or norm.inputs[0] in kept or len(consumers[norm.inputs[0]]) != 1:
            continue
        joined = _folded(linear, norm)
        if joined is not None:
            folded[linear], folded[norm] = None, joined
    nodes = (folded.get(node, node) for node in graph.nodes)
    return graph.replace(nodes=tuple(node for node in nodes if node is not None))


def _folded(first: Node, second: Node) -> Node | None:
    """A linear operation and a BatchNormalization over its output channels as one node; None for anything else."""
    linear, norm = first.primitive, second.primitive
    if not isinstance(linear, Linear) or not isinstance(norm, BatchNorm) or linear.scaled is None:
        return None
    if (linear.bias_axis or -1) != norm.axis:
        return None
    return dataclasses.replace(
        first,
        type=f"{first.type} + {second.type}",
        primitive=linear.with_affine(norm.per_channel, norm.offset, norm.bias_shape[0]),
        outputs=second.outputs,
        absorbed=(*first.absorbed, second.name),
    )


def fold_padding(graph: Graph) -> Graph:
    """Folds zero padding into the linear operations behind it.

    Padded positions are no inputs: with the padding inside the operation they take no relevance under the absolute
    rules, exactly as with `padding="same"`.
    """
    producer = graph.producer()
    nodes = [_with_padding(node, producer.get(node.inputs[0])) for node in graph.nodes]
    read = {value for node in nodes for value in node.inputs} | {*graph.outputs, graph.explained}
    return graph.replace(nodes=tuple(node for node in nodes if not _pads(node) or node.outputs[0] in read))


def _pads(node: Node) -> bool:
    return isinstance(node.primitive, Routing) and node.primitive.pads


def _with_padding(node: Node, before: Node | None) -> Node:
    linear = node.primitive
    if not isinstance(linear, Linear) or linear.padding is not None or before is None or not _pads(before):
        return node
    assert isinstance(before.primitive, Routing)
    return dataclasses.replace(
        node,
        type=f"{before.type} + {node.type}",
        primitive=dataclasses.replace(linear, padding=before.primitive.function),
        inputs=before.inputs,
    )
