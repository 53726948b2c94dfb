"""Products of matrices between two changes of shape, as TensorFlow multiplies tensors of more axes by a matrix."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops

from kerasexplain.compiler.written_out.scopes import is_bare, scope
from kerasexplain.graph.graph import Graph, Node
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.primitives import Routing

Tensor = Any


def join_changes_of_shape(graph: Graph) -> Graph:
    """A product together with the changes of shape in front of it and behind it, in the code of one layer."""
    producer, readers = graph.producer(), graph.sole_readers()
    joined: dict[Node, Node | None] = {}
    for product in graph.nodes:
        behind = readers.get(product.outputs[0])
        if not isinstance(product.primitive, Linear) or not is_bare(product) or behind is None:
            continue
        if not _changes_shape(behind, product) or product.primitive.bias is not None:
            continue
        before = producer.get(product.inputs[0])
        if before is not None and not (_changes_shape(before, product) and product.inputs[0] in readers):
            before = None
        if before is None and product.inputs[0].fold != 1:
            continue  # then it is the rows that are put together again
        joined.update({behind: _between(before, product, behind), product: None})
        if before is not None:
            joined[before] = None
    return graph.with_others(joined) if joined else graph


def _changes_shape(node: Node, product: Node) -> bool:
    if node.type not in ("ExpandDims", "Reshape", "Squeeze") or len(node.inputs) != 1:
        return False
    one, other = scope(node), scope(product)
    same = one == other or one.startswith(f"{other}/") or not other
    return same and isinstance(node.primitive, Routing) and is_bare(node)


def _between(before: Node | None, product: Node, behind: Node) -> Node:
    linear = product.primitive
    assert isinstance(linear, Linear)
    given, made = (before or product).inputs[0], behind.outputs[0]
    last = given.shape[-1] == product.inputs[0].shape[-1], made.shape[-1] == product.outputs[0].shape[-1]
    first = _function(before)
    samples = given.shape[0]  # where code was traced for so many, it changes the shape of so many

    def multiply(x: Tensor, kernel: Tensor) -> Tensor:
        if samples is not None and x.shape[0] == 1:
            return multiply(ops.repeat(x, samples, axis=0), kernel)[:1]
        return behind.primitive(linear.product(first(x), kernel))

    of_both = dataclasses.replace(
        linear,
        product=multiply,
        more_axes=len(made.shape) - len(given.shape),
        # With another number of channels, what changes the shape in front of it would not fit.
        summed=linear.summed if before is None and all(last) else None,
        scaled=linear.scaled if last[1] else None,
    )
    return dataclasses.replace(
        product,
        primitive=of_both,
        inputs=(given,),
        outputs=(made,),
        absorbed=(*product.absorbed, *(node.name for node in (before, behind) if node is not None)),
        gives=behind.result,
    )


def _function(before: Node | None) -> Callable[[Tensor], Tensor]:
    return (lambda x: x) if before is None else before.primitive
