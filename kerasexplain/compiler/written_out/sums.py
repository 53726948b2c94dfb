"""Sums of products: `x W + h U` in the code of a layer is one linear operation of both operands.

So it is for recurrent cells (Arras et al. 2017, "Explaining Recurrent Neural Network Predictions in Sentiment
Analysis"), also where pieces of the products are added, as a cell with several gates has it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.compiler.written_out.scopes import is_bare, scope
from kerasexplain.graph.graph import Graph, Node, Value, tensors_of
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.primitives import Mixing, Routing

Tensor = Any


def join_sums(graph: Graph) -> Graph:
    """`x W + h U` in the code of one layer becomes one linear operation, whose whole sum is the denominator."""
    graph = _with_pieces(graph)
    producer, readers = graph.producer(), graph.sole_readers()
    gone: set[Node] = set()
    made: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        summed = _summed(node, producer, readers, gone)
        if summed is not None:
            gone.update(summed)
            made[node] = _sum_of_products(node, *summed)
    nodes = itertools.chain.from_iterable(made.get(node, [] if node in gone else [node]) for node in graph.nodes)
    return graph.replace(nodes=tuple(nodes)) if made else graph


def _summed(
    node: Node, producer: dict[Value, Node], readers: dict[Value, Node], gone: set[Node]
) -> tuple[Node, Node] | None:
    """The two products that an operation adds, if they are of the code around it."""
    if node.type != "Add" or not isinstance(node.primitive, Mixing) or len(node.inputs) != 2 or not is_bare(node):
        return None
    found = [producer.get(value) for value in node.inputs]
    one, other = found
    if one is None or other is None or one is other or gone & {one, other}:
        return None
    fits = all(
        _is_product(operand) and value in readers and scope(operand) == scope(node)
        for operand, value in zip((one, other), node.inputs, strict=True)
    )
    return (one, other) if fits and _of_same_positions(one, other) else None


def _of_same_positions(one: Node, other: Node) -> bool:
    same = one.inputs[0].shape[:-1] == other.inputs[0].shape[:-1]
    return same and one.outputs[0].shape == other.outputs[0].shape


def _is_product(node: Node) -> bool:
    """Whether it is a product with a matrix, of the code of a layer."""
    linear = node.primitive
    return isinstance(linear, Linear) and is_bare(node) and linear.summed == (-1, 0) and linear.padding is None


def _sum_of_products(node: Node, one: Node, other: Node) -> list[Node]:
    of_one, of_other = one.primitive, other.primitive
    assert isinstance(of_one, Linear)
    assert isinstance(of_other, Linear)
    shape = (*one.inputs[0].shape[:-1], one.inputs[0].shape[-1] + other.inputs[0].shape[-1])  # type: ignore[operator]
    joined = dataclasses.replace(one.inputs[0], shape=shape)
    concatenation = dataclasses.replace(
        node,
        name=f"{node.name}/operands",
        type="Concatenate",
        operation=None,
        primitive=Routing(lambda x, y: ops.concatenate([x, y], axis=-1)),
        inputs=(one.inputs[0], other.inputs[0]),
        outputs=(joined,),
    )
    if one.inputs[0] is other.inputs[0]:
        concatenation = dataclasses.replace(
            concatenation,
            primitive=Routing(lambda x: ops.concatenate([x, x], axis=-1)),
            inputs=(one.inputs[0],),
        )
    biases = [linear.bias for linear in (of_one, of_other) if linear.bias is not None]
    shapes = [linear.bias_shape for linear in (of_one, of_other) if linear.bias is not None]
    total = None if not biases else biases[0] if len(biases) == 1 else (lambda: biases[0]() + biases[1]())
    linear = dataclasses.replace(
        of_one,
        kernel=lambda: ops.concatenate([of_one.kernel(), of_other.kernel()], axis=0),
        is_derived=True,
        bias=total,
        bias_shape=shapes[0] if shapes else None,
        terms=None,
    )
    product = dataclasses.replace(
        node,
        type=f"{one.type} + {other.type}",
        operation=one.operation,
        primitive=linear,
        inputs=(joined,),
        absorbed=(one.name, other.name, *one.absorbed, *other.absorbed),
    )
    return [concatenation, product]


def _with_pieces(graph: Graph) -> Graph:
    """Products cut into pieces to which something is added become a product for each piece."""
    readers, sole_readers = graph.consumers(), graph.sole_readers()
    pieces: dict[Node, list[Node]] = {}
    for product in graph.nodes:
        cuts = readers.get(product.outputs[0], [])
        if not cuts or not _is_product(product) or product.outputs[0] in graph.outputs:
            continue
        columns = [_columns(cut) if is_bare(cut) and scope(cut) == scope(product) else [] for cut in cuts]
        added = any(_is_added_to(sole_readers.get(value), product) for cut in cuts for value in cut.outputs)
        if added and all(columns):
            pieces[product] = []
            for cut, bounds in zip(cuts, columns, strict=True):
                pieces[cut] = [_piece(product, cut, i, bound) for i, bound in enumerate(bounds)]
    nodes = itertools.chain.from_iterable(pieces.get(node, [node]) for node in graph.nodes)
    return graph.replace(nodes=tuple(nodes)) if pieces else graph


def _is_added_to(node: Node | None, product: Node) -> bool:
    return node is not None and node.type == "Add" and is_bare(node) and scope(node) == scope(product)


def _columns(cut: Node) -> list[tuple[int, int]]:
    """Which columns, of the last axis, each output of an operation is; empty if it is another operation."""
    shape = [1, *(size or 0 for size in cut.inputs[0].shape[1:])]
    if cut.type not in ("GetItem", "Split") or not isinstance(cut.primitive, Routing) or 0 in shape:
        return []
    numbers = np.broadcast_to(np.arange(shape[-1], dtype="float32"), shape)
    found = []
    for output in tensors_of(cut.primitive(ops.convert_to_tensor(numbers))):
        taken = np.asarray(ops.convert_to_numpy(output))
        if taken.shape[:-1] != numbers.shape[:-1] or not taken.size:
            return []
        start = int(taken.ravel()[0])
        if not np.array_equal(taken, numbers[..., start : start + taken.shape[-1]]):
            return []
        found.append((start, start + taken.shape[-1]))
    return found


def _piece(product: Node, cut: Node, position: int, bounds: tuple[int, int]) -> Node:
    linear = product.primitive
    assert isinstance(linear, Linear)
    start, stop = bounds

    def columns(make: Callable[[], Tensor]) -> Callable[[], Tensor]:
        return lambda: make()[..., start:stop]

    piece = dataclasses.replace(
        linear,
        kernel=columns(linear.kernel),
        is_derived=True,
        bias=None if linear.bias is None else columns(linear.bias),
        bias_shape=None if linear.bias is None else (stop - start,),
    )
    return dataclasses.replace(
        product,
        name=f"{cut.name}:{position}" if position else cut.name,
        primitive=piece,
        outputs=(cut.outputs[position],),
        absorbed=(*product.absorbed, product.name),
    )
