"""Pass 2, canonize: from Keras operations to the primitives that rules are written for.

Fused activations are split off, BatchNormalization and zero padding are folded into linear operations where that is
exact, the scale of written-out normalisation is detached, and an activation at the output is set aside, so that logits
are explained.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kerasexplain.domains import ANY, Interval
from kerasexplain.errors import UnsupportedModelError, nearest
from kerasexplain.graph import Graph, Node, Value
from kerasexplain.logits import activation_of, explain_logits, with_note_on_probabilities
from kerasexplain.operations import (
    Affine,
    BatchNorm,
    Call,
    Elementwise,
    Linear,
    Lookup,
    Mixing,
    Nonlinear,
    Opaque,
    Product,
    Routing,
    Scale,
    Source,
    catalogue_key,
    describe,
)
from kerasexplain.rows import infer_domains


def canonize(graph: Graph, *, output: int | str = 0, explain: str = "logits", folds: bool = True) -> Graph:
    """Rewrites a traced graph into primitives, and chooses the value to be explained.

    Args:
        graph: What `trace` returned.
        output: Index or name of the model's output to explain, or the name of an operation.
        explain: "logits" sets a final softmax or sigmoid aside; "activation" keeps it.
        folds: Whether what is affine is folded into the linear operation before it, and padding into the one behind it.
            Relevance is the same in front of it and behind it; a gradient is not.

    Returns:
        A graph that computes the same outputs.
    """
    graph = split_into_primitives(graph)
    graph = graph.replace(explained=_chosen_output(graph, output))
    if explain == "logits":
        graph = explain_logits(graph)
    graph = folded(with_note_on_probabilities(graph), folds)
    if graph.explained.fold != 1 or graph.explained.batch_axis != 0:
        raise UnsupportedModelError("the explained output is not batch first, with one row for every sample")
    if graph.explained not in graph.carriers:
        raise UnsupportedModelError(
            "the explained output does not depend on any input by real numbers, and on whole numbers not by what looks "
            "something up by them (layers.Embedding, ops.one_hot, ops.take)"
        )
    return graph


def folded(graph: Graph, folds: bool = True) -> Graph:
    """Joins, in a graph of primitives, what relevance sees as one operation."""
    graph = detach_normalizers(graph)
    return understand_roots(fold_masks(fold_padding(fold_affine(graph)) if folds else graph))


def split_into_primitives(graph: Graph) -> Graph:
    """Each Keras call becomes the primitives the catalogue describes it by."""
    nodes: list[Node] = []
    for traced in graph.nodes:
        if isinstance(traced.primitive, Opaque):
            nodes.append(traced)
            continue
        *before, node = _with_real_inputs(_with_sources(_with_copies(traced)))
        nodes.extend(before)
        assert isinstance(node.primitive, Call)
        steps = describe(node.primitive)
        inputs = node.inputs[:1] if isinstance(steps[0].primitive, Affine) else node.inputs  # the rest are masks
        for i, step in enumerate(steps):
            last = i == len(steps) - 1
            output = node.outputs[0]
            outputs = node.outputs if last else (dataclasses.replace(output, shape=step.shape or output.shape),)
            nodes.append(
                dataclasses.replace(
                    node,
                    name=node.name + step.suffix,
                    gives=node.name if last and step.suffix else "",
                    type=step.type or node.type,
                    operation=step.operation or node.operation,
                    primitive=step.primitive,
                    inputs=inputs,
                    outputs=outputs,
                )
            )
            inputs = outputs
    return graph.replace(nodes=tuple(nodes))


#: Operations whose constant operands become values of the graph: how, their gradients decide.
_JOINING = ("Concatenate", "Stack", "Hstack", "Vstack", "Append", "Where")
_COMBINING = ("Add", "Subtract", "Multiply")
#: The same for layers, which know of no constants.
_MERGING = ("layers.Add", "layers.Average", "layers.Maximum", "layers.Minimum", "layers.Subtract")

#: Operations that multiply; of an activation with itself, the second appearance is a copy.
_PRODUCTS = ("Matmul", "Einsum", "Dot", "Tensordot", "Multiply")


def _with_copies(node: Node) -> list[Node]:
    """The node, after copies of the operand that it multiplies by itself, so that each operand has a share."""
    call = node.primitive
    assert isinstance(call, Call)
    squares = node.type == "Multiply" and not isinstance(node.operation, keras.layers.Layer)  # an elementwise function
    if node.type not in _PRODUCTS or squares:
        return [node]
    copies: list[Node] = []
    seen: set[Value] = set()

    def copied(leaf: Any) -> Any:
        if not isinstance(leaf, Value) or leaf not in seen:
            seen.update([leaf] if isinstance(leaf, Value) else [])
            return leaf
        value = dataclasses.replace(leaf)
        name = f"{node.name}/copy" + (f"@{len(copies) + 1}" if copies else "")
        copy = dataclasses.replace(node, name=name, type="copy", operation=None, inputs=(leaf,), outputs=(value,))
        copies.append(dataclasses.replace(copy, primitive=Routing(lambda x: x)))
        return value

    args, kwargs = keras.tree.map_structure(copied, (call.args, call.kwargs))
    inputs = (*node.inputs, *(copy.outputs[0] for copy in copies))
    return [*copies, dataclasses.replace(node, primitive=Call(call.operation, args, kwargs, inputs), inputs=inputs)]


def _with_sources(nodes: list[Node]) -> list[Node]:
    """The nodes, the last after sources for the constants that it joins with activations or adds sample by sample."""
    *before, node = nodes
    call = node.primitive
    assert isinstance(call, Call)
    rank = max(len(value.shape) for value in node.inputs)
    joins = node.type in _JOINING or catalogue_key(node.operation) in _MERGING
    if not joins and node.type not in _COMBINING:
        return nodes
    sources: list[Node] = []

    def lifted(leaf: Any) -> Any:
        if not _is_real_constant(leaf) or isinstance(leaf, Value):
            return leaf
        shape = np.shape(leaf) if isinstance(leaf, (float, int)) else tuple(leaf.shape)
        if not joins and not (len(shape) == rank and shape[0] != 1):
            return leaf
        value = Value((1,) * (rank - len(shape)) + tuple(shape), node.outputs[0].dtype)
        name = f"{node.name}/constant" + (f"@{len(sources) + 1}" if sources else "")
        sources.append(dataclasses.replace(node, name=name, type="constant", inputs=(), outputs=(value,)))
        sources[-1] = dataclasses.replace(sources[-1], primitive=Source(leaf, rank))
        return value

    args, kwargs = keras.tree.map_structure(lifted, (call.args, call.kwargs))
    inputs = (*node.inputs, *(source.outputs[0] for source in sources))
    node = dataclasses.replace(node, primitive=Call(call.operation, args, kwargs, inputs), inputs=inputs)
    return [*before, *sources, node]


def _is_real_constant(leaf: Any) -> bool:
    if isinstance(leaf, bool) or leaf is None:
        return False
    return isinstance(leaf, float) or "float" in str(getattr(leaf, "dtype", ""))


def _with_real_inputs(nodes: list[Node]) -> Iterator[Node]:
    """The nodes, the last after a cast of its input, if that holds whole numbers that it does not take as indices."""
    *sources, node = nodes
    yield from sources
    call = node.primitive
    assert isinstance(call, Call)
    whole = len(node.inputs) == 1 and "int" in node.inputs[0].dtype and node.outputs[0].is_float
    if not whole or node.type == "Cast" or isinstance(describe(call)[0].primitive, (Lookup, Opaque)):
        yield node
        return
    given, real = node.inputs[0], dataclasses.replace(node.inputs[0], dtype=node.outputs[0].dtype)
    to_real = Lookup(lambda x: keras.ops.cast(x, real.dtype))
    name = f"{node.name}/cast"
    yield dataclasses.replace(node, name=name, type="Cast", operation=None, primitive=to_real, outputs=(real,))
    args, kwargs = keras.tree.map_structure(lambda leaf: real if leaf is given else leaf, (call.args, call.kwargs))
    yield dataclasses.replace(node, primitive=Call(call.operation, args, kwargs, (real,)), inputs=(real,))


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

    def normalizes(value: Value) -> bool:
        node = producer.get(value)
        while node is not None and isinstance(node.primitive, (Routing, Scale)) and len(node.inputs) == 1:
            node = producer.get(node.inputs[0])
        if node is None:
            return False
        if isinstance(node.primitive, Product) and node.primitive.elementwise:
            return any(map(normalizes, node.inputs))
        return isinstance(node.primitive, Opaque) and type(node.operation).__name__ in _NORMALIZING

    nodes = []
    for node in graph.nodes:
        product = node.primitive
        if isinstance(product, Product) and product.elementwise:
            scales = {i for i, value in enumerate(node.inputs) if normalizes(value)}
            if product.denominator is not None:
                scales.add(product.denominator)
            if len(scales) < len(node.inputs):
                node = dataclasses.replace(node, detached=frozenset(scales))
        nodes.append(node)
    return graph.replace(nodes=tuple(nodes))


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
        both = _joined(linear, norm)
        if both is not None:
            joined[linear], joined[norm] = None, both
    nodes = (joined.get(node, node) for node in graph.nodes)
    return graph.replace(nodes=tuple(node for node in nodes if node is not None))


def _joined(first: Node, second: Node) -> Node | None:
    """A linear operation and what is affine in its output channels as one node; None for anything else."""
    linear, affine = first.primitive, second.primitive
    if not isinstance(linear, Linear) or not isinstance(affine, Affine):
        return None
    if isinstance(affine, BatchNorm):
        if linear.scaled is None or (linear.bias_axis or -1) != affine.axis:
            return None
        joined = linear.with_affine(affine.per_channel, affine.offset, affine.bias_shape[0])
    else:
        # Code such as `ops.matmul(x, self.w) + self.b`; a constant added to a layer is a row of its own.
        is_layer = isinstance(first.operation, keras.layers.Layer)
        if is_layer or linear.bias is not None or affine.scale is not None or affine.axis != linear.bias_axis:
            return None
        joined = dataclasses.replace(linear, bias=affine.offset, bias_shape=affine.bias_shape)
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
    nodes = (joined.get(node, node) for node in graph.nodes)
    return graph.replace(nodes=tuple(node for node in nodes if node is not None))


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
