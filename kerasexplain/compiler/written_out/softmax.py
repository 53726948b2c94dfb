"""Softmax, written out: `exp(x - max(x)) / sum(exp(x - max(x)))`, with or without the largest taken off, is softmax.

By its pieces it would be explained as a quotient, whose numerator is exp of numbers that are zero at their largest.
"""

from __future__ import annotations

import dataclasses

import keras
from keras import ops

from kerasexplain.compiler.written_out.scopes import is_bare
from kerasexplain.graph.graph import Graph, Node, Value
from kerasexplain.graph.primitives import Call, Product
from kerasexplain.operations import describe


def merge_softmax(graph: Graph) -> Graph:
    """The graph, softmax that is written out as one operation each."""
    producer, consumers = graph.producer(), graph.consumers()
    wanted = {*graph.outputs, graph.explained}
    merged: dict[Node, Node] = {}
    gone: set[Node] = set()
    for node in graph.nodes:
        found = _softmax(node, producer)
        if found is None:
            continue
        x, axis, inner = found
        values = {value for member in inner for value in member.outputs}
        if all(set(consumers[value]) <= {*inner, node} and value not in wanted for value in values):
            merged[node] = _merged(node, x, axis, inner)
            gone.update(inner)
    return graph.with_others({**dict.fromkeys(gone), **merged}) if merged else graph


def _softmax(quotient: Node, producer: dict[Value, Node]) -> tuple[Value, int, list[Node]] | None:
    """The scores, their axis, and the operations before the quotient, if it is softmax."""
    product = quotient.primitive
    if not isinstance(product, Product) or product.denominator is None or len(quotient.inputs) != 2:
        return None
    below = producer.get(quotient.inputs[product.denominator])
    powers = producer.get(quotient.inputs[1 - product.denominator])
    axis = _axis(below, "Sum")
    if below is None or powers is None or axis is None or powers.type != "Exp" or not is_bare(powers):
        return None
    if below.inputs != powers.outputs:
        return None
    scores, inner = powers.inputs[0], [powers, below]
    centred = producer.get(scores)
    if centred is not None and centred.type == "Subtract" and len(centred.inputs) == 2:
        x, largest = centred.inputs
        maximum, held = producer.get(largest), []
        while maximum is not None and maximum.type == "StopGradient":
            held.append(maximum)
            maximum = producer.get(maximum.inputs[0])
        if maximum is not None and _axis(maximum, "Max") == axis and maximum.inputs == (x,):
            return x, axis, [*inner, centred, *held, maximum]
    return scores, axis, inner


def _axis(node: Node | None, kind: str) -> int | None:
    """The single axis that an operation reduces, and keeps; None for any other operation."""
    if node is None or node.type != kind or not is_bare(node) or not getattr(node.operation, "keepdims", False):
        return None
    axis = node.operation.axis
    axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
    rank = len(node.inputs[0].shape)
    return axis % rank if isinstance(axis, int) and axis % rank else None


def _merged(quotient: Node, x: Value, axis: int, inner: list[Node]) -> Node:
    softmax = ops.softmax(keras.KerasTensor(x.shape, x.dtype), axis=axis)._keras_history.operation
    (step,) = describe(Call(softmax, (x,), {}, (x,)))
    return dataclasses.replace(
        quotient,
        type="Softmax",
        operation=softmax,
        primitive=step.primitive,
        inputs=(x,),
        absorbed=tuple(node.name for node in inner),
    )
