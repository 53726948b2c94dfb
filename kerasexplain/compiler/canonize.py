"""Pass 2, canonize: from Keras operations to the primitives that rules are written for.

Fused activations are split off, BatchNormalization and zero padding are folded into linear operations where that is
exact, the scale of written-out normalisation is detached, and an activation at the output is set aside, so that logits
are explained.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras

from kerasexplain.compiler.logits import activation_of, explain_logits, with_note_on_probabilities
from kerasexplain.compiler.rows import infer_domains
from kerasexplain.compiler.split import split_into_primitives
from kerasexplain.compiler.written_out.functions import merge_functions
from kerasexplain.compiler.written_out.normalisation import normalisation_behind, plus, with_normalisation
from kerasexplain.compiler.written_out.reshaped import join_changes_of_shape
from kerasexplain.compiler.written_out.scopes import is_bare, scope
from kerasexplain.compiler.written_out.softmax import merge_softmax
from kerasexplain.compiler.written_out.statistics import merge_statistics
from kerasexplain.compiler.written_out.sums import join_sums
from kerasexplain.foundation.errors import UnsupportedModelError, nearest
from kerasexplain.graph.domains import ANY, Interval
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.graph import Graph, Node, Value
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.primitives import (
    Affine,
    Mixing,
    Nonlinear,
    Opaque,
    Product,
    Routing,
    Scale,
)
from kerasexplain.graph.recurrent import Recurrent
from kerasexplain.operations import BatchNorm
from kerasexplain.trace.specification import InputSpec, Specification
from kerasexplain.trace.trace import trace_function

Tensor = Any


def canonize(
    graph: Graph, *, output: int | str = 0, explain: str = "logits", folds: bool = True, decides: bool = True
) -> Graph:
    """Rewrites a traced graph into primitives, and chooses the value to be explained.

    Args:
        graph: What `trace` returned.
        output: Index or name of the model's output to explain, or the name of an operation.
        explain: "logits" sets a final softmax or sigmoid aside; "activation" keeps it.
        folds: Whether what is affine is folded into the linear operation before it, and padding into the one behind it.
            Relevance is the same in front of it and behind it; a gradient is not.
        decides: Whether functions that are written out may decide by their argument; against a baseline, decisions are
            those at the input.

    Returns:
        A graph that computes the same outputs.
    """
    graph = split_into_primitives(graph)
    graph = merge_softmax(graph.replace(explained=_chosen_output(graph, output)))
    if explain == "logits":
        graph = explain_logits(graph)
    graph = folded(with_note_on_probabilities(graph), folds, decides)
    if graph.explained.fold != 1 or graph.explained.batch_axis != 0:
        raise UnsupportedModelError("the explained output is not batch first, with one row for every sample")
    if graph.explained not in graph.carriers:
        reasons = {node: node.primitive.reason for node in graph.unopened if isinstance(node.primitive, Opaque)}
        unopened = "".join(f"; {node.name} ({node.type}): {reason}" for node, reason in reasons.items())
        raise UnsupportedModelError(
            "the explained output does not depend on any input by real numbers, and on integers not by what looks "
            "something up by them (layers.Embedding, ops.one_hot, ops.take)" + unopened
        )
    return graph


def folded(graph: Graph, folds: bool = True, decides: bool = True) -> Graph:
    """Joins, in a graph of primitives, what relevance sees as one operation."""
    graph = with_cells(graph)
    if folds:
        graph = merge_statistics(graph)
    graph = understand_roots(detach_normalizers(graph))
    if folds:
        graph = fold_padding(join_products(merge_functions(graph, decides)))
    return fold_masks(graph)


def join_products(graph: Graph) -> Graph:
    """Joins products with what is affine behind them, and with each other, until nothing is left to join."""
    joined = join_sums(fold_affine(join_changes_of_shape(graph)))
    return graph if len(joined.nodes) == len(graph.nodes) else join_products(joined)


def with_cells(graph: Graph) -> Graph:
    """The graph, its recurrent layers with the graphs of their cells."""
    nodes = []
    for node in graph.nodes:
        if isinstance(node.primitive, Recurrent):
            call = node.primitive.call
            cell = trace_cell(call.operation, call.inputs[0])
            node = dataclasses.replace(node, primitive=dataclasses.replace(node.primitive, graph=cell))
        nodes.append(node)
    return graph.replace(nodes=tuple(nodes))


def trace_cell(layer: Any, sequences: Any) -> Graph:
    """The graph of one step of a recurrent layer on such sequences."""
    cell, dtype = layer.cell, keras.backend.standardize_dtype(sequences.dtype)
    example = layer.get_initial_state(1)
    states = [(None, *state.shape[1:]) for state in keras.tree.flatten(example)]
    shapes = [(None, *sequences.shape[2:]), *states]
    names = ["x", *(f"state_{i}" for i in range(len(states)))]
    inputs = tuple(InputSpec(name, shape, dtype) for name, shape in zip(names, shapes, strict=True))

    def step(tensors: list[Tensor]) -> list[Tensor]:
        x, *flat = tensors
        given = keras.tree.pack_sequence_as(example, flat)
        output, new = cell(x, given if keras.tree.is_nested(example) else given[0])
        return [output, *keras.tree.flatten(new)]

    return folded(split_into_primitives(trace_function(layer, step, Specification(inputs, list(range(len(inputs)))))))


def _chosen_output(graph: Graph, output: int | str) -> Value:
    if isinstance(output, str):
        if output in graph.output_names:
            return graph.outputs[graph.output_names.index(output)]
        inner = {node.name: node.outputs[0] for node in graph.nodes}
        inner |= {node.result: node.outputs[0] for node in graph.nodes}  # a layer's output is that of its activation
        if output not in inner:
            known = list(dict.fromkeys([*graph.output_names, *inner]))
            raise ValueError(f"the model has no output or operation {output!r}.{nearest(output, known)}")
        return inner[output]
    if not -len(graph.outputs) <= output < len(graph.outputs):
        raise ValueError(f"output={output}, but the model has {len(graph.outputs)} outputs")
    return graph.outputs[output]


#: Operations that are explained only where they scale another activation, as in normalisation.
_NORMALIZING = ("Rsqrt", "Sqrt", "Reciprocal", "Power")


def detach_normalizers(graph: Graph) -> Graph:
    """Denominators, and factors such as `rsqrt(mean(x^2) + eps)`, become constants to relevance.

    That is `DetachStatistics` for normalisation that is written out: the factor says how much, not what.
    """
    producer = graph.producer()

    def normalizes(value: Value, wholly: bool = False) -> bool:
        node = producer.get(value)
        while node is not None and _hands_on_a_scale(node):
            node = producer.get(node.inputs[0])
        if node is None:
            return False
        if isinstance(node.primitive, Product) and node.primitive.elementwise:
            return (all if wholly else any)(normalizes(operand, wholly) for operand in node.inputs)
        return isinstance(node.primitive, Opaque) and type(node.operation).__name__ in _NORMALIZING

    nodes = []
    for node in graph.nodes:
        product = node.primitive
        if isinstance(product, Product) and product.elementwise:
            scales = {i for i, value in enumerate(node.inputs) if normalizes(value)}
            divisors = set() if product.denominator is None else {product.denominator}
            scales |= divisors
            if len(scales) == len(node.inputs):  # one of them has been normalised itself
                scales = {i for i, value in enumerate(node.inputs) if normalizes(value, wholly=True)} | divisors
            # Where all of it could be a scale, a root over a root, what is divided is the activation.
            node = dataclasses.replace(node, detached=frozenset(scales if len(scales) < len(node.inputs) else divisors))
        nodes.append(node)
    return graph.replace(nodes=tuple(nodes))


def _hands_on_a_scale(node: Node) -> bool:
    """Whether what it gives normalises if what it reads does: moved, times a constant, or bounded."""
    bounds = node.type in ("Clip", "Maximum", "Minimum") and isinstance(node.primitive, Elementwise)
    return len(node.inputs) == 1 and (bounds or isinstance(node.primitive, (Routing, Scale)))


def understand_roots(graph: Graph) -> Graph:
    """A square root of what is known to stay above zero has a finite slope, and is a nonlinearity like others."""
    if not any(map(_is_root, graph.nodes)):
        return graph
    domains = infer_domains(graph.nodes, {})

    def understood(node: Node) -> Node:
        if not _is_root(node):
            return node
        below = domains.get(node.inputs[0], ANY).low
        if below <= 0:
            return node
        # Its chord through zero is 1 / sqrt(z), taken as it is written: nothing cancels away from zero.
        assert isinstance(node.primitive, Opaque)
        root = Elementwise(node.primitive.function, range=Interval(math.sqrt(below)), keeps_sign=True, smooth=False)
        return dataclasses.replace(node, primitive=root)

    return graph.replace(nodes=tuple(map(understood, graph.nodes)))


def _is_root(node: Node) -> bool:
    return isinstance(node.primitive, Opaque) and type(node.operation).__name__ == "Sqrt"


def fold_affine(graph: Graph) -> Graph:
    """Folds BatchNormalization, or an added bias, into a linear operation whose only reader it is, with live variables.

    The other order, a BatchNormalization before a convolution, is left alone: with zero padding it is not the same
    at the borders.
    """
    producer, sole_readers = graph.producer(), graph.sole_readers()
    joined: dict[Node, Node | None] = {}
    for norm in graph.nodes:
        linear = producer.get(norm.inputs[0]) if norm.inputs else None
        if linear is None or norm.inputs[0] not in sole_readers:
            continue
        if linear in joined or norm in joined:
            continue  # in the next round
        chain = _normalisation(linear, sole_readers)
        if chain:
            joined.update({linear: None, **dict.fromkeys(chain[:-1]), chain[-1]: _with_normalisation(linear, chain)})
            continue
        both = _joined(linear, norm)
        if both is not None:
            joined[linear], joined[norm] = None, both
    return graph.with_others(joined)


def _normalisation(node: Node, sole_readers: dict[Value, Node]) -> list[Node]:
    """The normalisation behind a linear operation, if it is written out, and can be folded into it."""
    linear = node.primitive
    folds = isinstance(linear, Linear) and linear.scaled is not None and not linear.normalized
    return normalisation_behind(node, sole_readers) if folds else []


def _with_normalisation(first: Node, chain: list[Node]) -> Node:
    assert isinstance(first.primitive, Linear)
    return dataclasses.replace(
        first,
        type=" + ".join([first.type, *(node.type for node in chain)]),
        primitive=with_normalisation(first.primitive, chain),
        outputs=chain[-1].outputs,
        absorbed=(*first.absorbed, *(node.name for node in chain)),
        gives=chain[-1].result,
    )


def _joined(first: Node, second: Node) -> Node | None:
    """A linear operation and what is affine in its output channels as one node; None for anything else."""
    linear, affine = first.primitive, second.primitive
    if not isinstance(linear, Linear) or not isinstance(affine, Affine):
        return None
    if isinstance(affine, BatchNorm):
        if linear.scaled is None or linear.normalized or (linear.bias_axis or -1) != affine.axis:
            return None
        joined = linear.with_affine(affine.per_channel, affine.offset, affine.bias_shape[0])
    else:
        # Code such as `ops.matmul(x, self.w) + self.b`; a constant added to a layer is a row of its own.
        if not is_bare(first) or affine.scale is not None or affine.axis != linear.bias_axis:
            return None
        if linear.bias is not None and (scope(first) != scope(second) or affine.bias_shape != linear.bias_shape):
            return None
        joined = plus(linear, affine.offset, affine.bias_shape)
    return dataclasses.replace(
        first,
        type=f"{first.type} + {second.type}",
        primitive=joined,
        outputs=second.outputs,
        absorbed=(*first.absorbed, second.name),
        gives=second.result,
    )


def fold_masks(graph: Graph) -> Graph:
    """Folds what masks scores into the softmax behind it.

    Code that adds `(1 - mask) * -1e9` to the scores has a constant there whose share would be that large number times
    a rounding error, wherever everything is masked.
    """
    producer, sole_readers = graph.producer(), graph.sole_readers()
    joined: dict[Node, Node | None] = {}
    for softmax in graph.nodes:
        mask = producer.get(softmax.inputs[0]) if softmax.inputs else None
        if mask is None or not isinstance(softmax.primitive, Nonlinear) or "softmax" not in activation_of(softmax):
            continue
        carriers = [value for value in mask.inputs if value in graph.carriers]
        if not isinstance(mask.primitive, Mixing) or len(carriers) != 1 or len(mask.inputs) < 2:
            continue
        if mask.outputs[0] in sole_readers:
            joined[mask], joined[softmax] = None, _masked(mask, softmax)
    return graph.with_others(joined)


def _masked(mask: Node, softmax: Node) -> Node:
    masking, after = mask.primitive, softmax.primitive
    assert isinstance(after, Nonlinear)
    count = len(mask.inputs)
    return dataclasses.replace(
        softmax,
        type=f"{mask.type} + {softmax.type}",
        primitive=dataclasses.replace(after, function=lambda *xs: after(masking(*xs[:count]), *xs[count:])),
        inputs=(*mask.inputs, *softmax.inputs[1:]),
        absorbed=(mask.name, *softmax.absorbed),
    )


def fold_padding(graph: Graph) -> Graph:
    """Folds zero padding into the linear operations behind it.

    Padded positions are no inputs: with the padding inside the operation they take no relevance under the absolute
    rules, exactly as with `padding="same"`.
    """
    producer = graph.producer()
    nodes = [_with_padding(node, producer.get(node.inputs[0])) if node.inputs else node for node in graph.nodes]
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
