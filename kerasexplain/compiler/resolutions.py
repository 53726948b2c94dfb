"""The resolutions of a model: the sizes of its maps, and where all relevance goes through one map of that size."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kerasexplain.compiler.rows import Row
from kerasexplain.graph.graph import Graph, Shape, Value
from kerasexplain.graph.positions import at_positions


def resolutions(graph: Graph, rows: Sequence[Row]) -> list[str]:
    """One operation for every size of map smaller than the input, from coarse to fine, by name.

    It is the nearest to the output through which all relevance goes: not one branch of several. Its map has the
    positions of the input; a size that only parts of the relevance pass has none.

    Raises:
        ValueError: The model leaves the size of its maps open, or has channels in the first axis.
    """
    nodes = [row.node for row in rows]
    if any(getattr(node.operation, "data_format", None) == "channels_first" for node in nodes):
        raise ValueError("this model has channels in the first axis: its layers have to be named, layers=[...]")
    spatial = at_positions(nodes, graph.inputs)
    giving = {row.node.result: row for row in rows}
    by_size: dict[tuple[int, ...], str] = {}
    for row, value in _waists(graph, rows):
        size = _known(value.shape[1:-1])
        if value in spatial and len(value.shape) > 2 and value.fold == 1 and not value.batch_axis:
            if len(size) < len(value.shape) - 2:
                raise ValueError(
                    "the model takes inputs of any size, so that the sizes of its maps are not known: name the layers, "
                    "layers=[...], or make it for one size"
                )
            by_size[size] = row.node.result if giving[row.node.result] is row else row.name
    for value in graph.inputs:
        by_size.pop(_known(value.shape[1:-1]), None)
    return [by_size[size] for size in sorted(by_size, key=math.prod) if math.prod(size) > 1]


def _known(shape: Shape) -> tuple[int, ...]:
    """The sizes that are not left open."""
    return tuple(size for size in shape if size is not None)


def _waists(graph: Graph, rows: Sequence[Row]) -> list[tuple[Row, Value]]:
    """The operations whose output is all that is still to be read of what carries relevance, and that output."""
    last_read = {
        value: i
        for i, row in enumerate(rows)
        for value, carries in zip(row.node.inputs, row.carrying, strict=True)
        if carries
    }
    last_read[graph.explained] = len(rows)
    open_ones = {value for value in graph.inputs if value in last_read}
    found = []
    for i, row in enumerate(rows):
        open_ones = {value for value in (*open_ones, *row.node.outputs) if last_read.get(value, -1) > i}
        if len(open_ones) == 1 and not open_ones.isdisjoint(row.node.outputs):
            found.append((row, next(iter(open_ones))))
    return found
