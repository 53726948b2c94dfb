"""Rows: the operations between the inputs and the explained value, and what is known of each without running it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from kerasexplain.foundation.errors import nearest
from kerasexplain.graph.domains import ANY, Interval, union
from kerasexplain.graph.graph import Graph, Node, Shape, Value
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.maximum import Maximum
from kerasexplain.graph.primitives import Affine, Lookup, Mixing, Opaque, Routing, Scale
from kerasexplain.graph.recurrent import Recurrent
from kerasexplain.rules import Rule


@dataclasses.dataclass(frozen=True)
class Row:
    """One operation of the explained graph and how its relevance is shared.

    Attributes:
        name: The operation's name, as `explain(layers=...)` takes it.
        type: What kind of operation it is.
        rule: Its rule; None for operations that need none: relevance goes through them by their plain gradient.
        domain: What is known of the range of its input.
        input_shapes, output_shapes: Shapes, batch first.
        supported: Whether it is understood.
        reason: Why it is not.
        kernel: Whether it multiplies by a kernel (Dense, EinsumDense, every convolution).
        convolution: Whether it is a convolution of any kind.
        first: Whether it is a kernel operation reached from a model input without passing another.
        kernel_index: Which of the operations with a kernel it is, in the order in which they run; None for others.
        last: Whether it is the last of them.
        layer_index: Position of its layer in `model.layers`; None for operations that are no layer.
        carrying: Which of its inputs relevance goes to.
        preprocesses: Whether it is elementwise affine, between an input and the first operation that mixes.
        steps: The operations of the cell of a recurrent layer.
        matched: What of the composite it matched; "" where it follows a default.
        treatment: The rule, or what happens to relevance where there is none, in words.
    """

    name: str
    type: str
    rule: Rule | None
    domain: Interval
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    supported: bool
    reason: str
    kernel: bool
    convolution: bool
    first: bool
    kernel_index: int | None
    last: bool
    layer_index: int | None
    node: Node = dataclasses.field(repr=False, compare=False)
    input_domains: tuple[Interval, ...] = dataclasses.field(repr=False, compare=False)
    carrying: tuple[bool, ...] = dataclasses.field(repr=False, compare=False)
    preprocesses: bool = dataclasses.field(default=False, repr=False, compare=False)
    steps: tuple[Row, ...] = dataclasses.field(default=(), repr=False, compare=False)
    matched: str = ""
    treatment: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, and those of the layers that were folded into it."""
        return (self.name, *self.node.absorbed)

    @property
    def bias_edges(self) -> tuple[int, ...]:
        """Positions of the inputs whose relevance is a bias entry: constants that are added, joined or chosen."""
        if not isinstance(self.node.primitive, (Routing, Mixing, Maximum)):
            return ()
        inputs = enumerate(zip(self.node.inputs, self.carrying, strict=True))
        return tuple(i for i, (value, carries) in inputs if not carries and value.is_float)


def row_named(rows: Sequence[Row], name: Any, *, exact: bool = False) -> Row:
    """The row that gives the output of the operation of that name, or of a layer: of its activation, if it has one.

    The end of a name that no other has will do: nested models prefix theirs.

    Args:
        rows: The operations.
        name: A name, or a layer.
        exact: Whether the output of an operation with an affine one folded into it is not available: that is where a
            gradient travels, which is another one behind the two.

    Raises:
        ValueError: There is none, or several; the nearest names are given.
    """
    name = getattr(name, "name", name)
    giving = {row.node.result: row for row in rows}  # of a layer, its activation comes last
    running = {row.name: row for row in rows if not (exact and row.node.absorbed)}
    for known in (giving, running):
        if name in known:
            return known[name]
        ending = [row for full, row in known.items() if full.endswith(f"/{name}")]
        if len(ending) == 1:
            return ending[0]
        if ending:
            raise ValueError(f"several operations are named {name!r}: say which of {[row.name for row in ending]}")
    for known in (giving, running):
        inside = [row for full, row in known.items() if full.startswith(f"{name}/")]
        read = {value for row in inside for value in row.node.inputs}
        leaving = [row for row in inside if read.isdisjoint(row.node.outputs)]
        if len(leaving) == 1:  # of a layer that was opened, the operation that gives its output
            return leaving[0]
    for row in rows:
        if name in row.names:
            raise ValueError(
                f"{name!r} runs as one operation with what follows it, so that it is not read off by itself: name "
                f"{row.node.result!r}"
            )
    raise ValueError(f"no operation is named {name!r}.{nearest(name, [row.name for row in rows])}")


def with_steps(rows: Sequence[Row]) -> list[Row]:
    """The rows, those of recurrent layers followed by the rows of their cells."""
    return [found for row in rows for found in (row, *with_steps(row.steps))]


def rows_towards(graph: Graph, targets: Sequence[Value], domains: dict[Value, Interval], raw: set[Value]) -> list[Row]:
    """The rows of the operations between the inputs and the targets, without rules.

    Args:
        graph: A canonized graph.
        targets: The values that relevance comes from.
        domains: What is known of the inputs' ranges.
        raw: The inputs that are the model's own, which no kernel operation has seen yet.
    """
    nodes = graph.nodes_towards(targets)
    domains = infer_domains(nodes, domains)
    first = _first_kernels(nodes, raw)
    kernels = [node for node in nodes if isinstance(node.primitive, Linear)]
    position = {node: i for i, node in enumerate(kernels)}
    rows = [_row(node, graph, domains, node in first, position.get(node), len(kernels)) for node in nodes]
    before = _preprocessing(nodes, raw)
    return [dataclasses.replace(row, preprocesses=True) if row.node in before else row for row in rows]


def _preprocessing(nodes: Sequence[Node], raw: set[Value]) -> set[Node]:
    """The elementwise affine operations that are reached from the model's inputs by way of others, and of moves."""
    own = set(raw)
    found = set()
    for node in nodes:
        casts = isinstance(node.primitive, Lookup) and node.type == "Cast"  # of pixels that are integers
        if not casts and not (node.inputs and all(value in own for value in node.inputs)):
            continue
        if isinstance(node.primitive, (Affine, Scale)):
            found.add(node)
        elif not casts and not (isinstance(node.primitive, Routing) and not node.primitive.chooses):
            continue
        own.update(node.outputs)
    return found


def _steps(row: Row) -> tuple[Row, ...]:
    """The rows of a recurrent layer's cell."""
    recurrent = row.node.primitive
    if not isinstance(recurrent, Recurrent):
        return ()
    cell = recurrent.cell
    domains = {cell.inputs[0]: row.input_domains[0]}
    rows = rows_towards(cell, cell.outputs, domains, {cell.inputs[0]} if row.first else set())
    return tuple(
        dataclasses.replace(step, name=f"{row.name}/{step.name}", layer_index=row.layer_index) for step in rows
    )


def infer_domains(nodes: Sequence[Node], of_inputs: dict[Value, Interval]) -> dict[Value, Interval]:
    """The range of every value on the way, as far as it is known."""
    domains = dict(of_inputs)
    for node in nodes:
        domain = node.primitive.domain(*(domains.get(value, ANY) for value in node.inputs))
        domains.update(dict.fromkeys(node.outputs, domain))
    return domains


def _first_kernels(nodes: Sequence[Node], raw: set[Value]) -> set[Node]:
    """Kernel operations reached from the raw values without passing another kernel operation."""
    raw = set(raw)
    first = set()
    for node in nodes:
        if any(value in raw for value in node.attached()):
            if isinstance(node.primitive, (Linear, Recurrent)):
                first.add(node)
            else:
                raw.update(node.outputs)
    return first


def _row(
    node: Node, graph: Graph, domains: dict[Value, Interval], first: bool, kernel_index: int | None, kernels: int
) -> Row:
    input_domains = tuple(domains.get(value, ANY) for value in node.inputs)
    carrying = tuple(i not in node.detached and value in graph.carriers for i, value in enumerate(node.inputs))
    of_carriers = [domain for domain, carries in zip(input_domains, carrying, strict=True) if carries]
    kernel = kernel_index is not None
    row = Row(
        name=node.name,
        type=node.type,
        rule=None,
        domain=union(of_carriers) if of_carriers else ANY,
        input_shapes=tuple(value.shape for value in node.inputs),
        output_shapes=tuple(value.shape for value in node.outputs),
        supported=not isinstance(node.primitive, Opaque),
        reason=node.primitive.reason if isinstance(node.primitive, Opaque) else "",
        kernel=kernel,
        convolution=kernel and "Conv" in type(node.operation).__name__,
        first=first,
        kernel_index=kernel_index,
        last=kernel_index == kernels - 1,
        layer_index=node.layer_index,
        node=node,
        input_domains=input_domains,
        carrying=carrying,
    )
    return dataclasses.replace(row, steps=_steps(row))
