"""Pass 3, assign: which rule each operation follows, and what is known of its input."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence
from typing import Any

import keras

from kerasexplain import rules as rule_catalogue
from kerasexplain.config import Configurable
from kerasexplain.domains import ANY, Interval, union
from kerasexplain.errors import UnsupportedModelError
from kerasexplain.graph import Graph, Node, Shape, Value
from kerasexplain.operations import (
    Custom,
    Elementwise,
    Linear,
    Lookup,
    Maximum,
    Mixing,
    Nonlinear,
    Opaque,
    Pooling,
    Product,
    Recurrent,
    Routing,
    Scale,
    Statistics,
)
from kerasexplain.rules import (
    DetachStatistics,
    ElementwiseRule,
    GradientRule,
    Halve,
    Ignore,
    LinearRule,
    MaximumRule,
    PassThrough,
    ProductRule,
    Rule,
    SignalTakesAll,
    WinnerTakesAll,
)

Match = Any  # a layer or operation class, a tuple of them, a name glob, or a predicate on a row


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
        layer_index: Position of its layer in `model.layers`; None for operations that are no layer.
        carrying: Which of its inputs relevance goes to.
        steps: The operations of the cell of a recurrent layer.
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
    layer_index: int | None
    node: Node = dataclasses.field(repr=False, compare=False)
    input_domains: tuple[Interval, ...] = dataclasses.field(repr=False, compare=False)
    carrying: tuple[bool, ...] = dataclasses.field(repr=False, compare=False)
    steps: tuple[Row, ...] = dataclasses.field(default=(), repr=False, compare=False)

    @property
    def bias_edges(self) -> tuple[int, ...]:
        """Positions of the inputs whose relevance is a bias entry: constants that are added, joined or chosen."""
        if not isinstance(self.node.primitive, (Routing, Mixing, Maximum)):
            return ()
        inputs = enumerate(zip(self.node.inputs, self.carrying, strict=True))
        return tuple(i for i, (value, carries) in inputs if not carries and value.is_float)

    @property
    def treatment(self) -> str:
        """The rule, or what happens to relevance where there is none, in words."""
        if self.rule is not None:
            return repr(self.rule)
        if isinstance(self.node.primitive, Opaque):
            return "gradient"
        if isinstance(self.node.primitive, Lookup):
            return "ends here"
        if self.steps:
            return "step by step"
        if isinstance(self.node.primitive, Custom):
            return f"its own: {getattr(self.node.primitive.relevance, '__name__', 'a function')}"
        if isinstance(self.node.primitive, (Routing, Scale, Product)):
            return "routing"
        return "proportional"


@keras.saving.register_keras_serializable(package="kerasexplain")
@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Composite(Configurable):
    """How rules are assigned to operations: an ordered list in which the first match wins, and defaults.

    Attributes:
        rules: `(match, rule)` pairs. A match is a layer class or a tuple of them, a glob over row names, or a
            predicate on a `Row`.
        elementwise, maximum, product: Defaults for nonlinearities, maxima and products. No product rule means that
            gates are recognised: `SignalTakesAll` where there is one, otherwise `Halve`.
        stabilizer: For divisions outside of rules, and for rules that have none of their own.
        plain: Whether nothing is overridden, so that the result is a gradient. Every operation is then supported.
    """

    rules: Sequence[tuple[Match, Any]] = ()
    elementwise: ElementwiseRule = dataclasses.field(default_factory=Ignore)
    maximum: MaximumRule = dataclasses.field(default_factory=WinnerTakesAll)
    product: ProductRule | None = None
    stabilizer: float | None = None
    plain: bool = False


GRADIENT = Composite(plain=True)


def assign(
    graph: Graph,
    composite: Composite,
    *,
    input_range: tuple[float, float] | None = None,
    on_unsupported: str = "error",
) -> list[Row]:
    """The rule of every operation between the inputs and the explained value.

    Raises:
        UnsupportedModelError: Operations that have no rule (all are listed), unless on_unsupported is "gradient".
        ValueError: A match that matches nothing, or a rule given to an operation that it is not for.
    """
    of_input = Interval(*input_range) if input_range else ANY
    rows = _rows(graph, [graph.explained], dict.fromkeys(graph.inputs, of_input), set(graph.inputs))
    if composite.plain:
        return rows
    _check_matches(with_steps(rows), composite)
    rows = [_with_rule(row, composite) for row in rows]
    if on_unsupported == "error":
        _refuse_unsupported(with_steps(rows))
    return rows


def with_steps(rows: Sequence[Row]) -> list[Row]:
    """The rows, those of recurrent layers followed by the rows of their cells."""
    return [found for row in rows for found in (row, *with_steps(row.steps))]


def _rows(graph: Graph, targets: Sequence[Value], domains: dict[Value, Interval], raw: set[Value]) -> list[Row]:
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
    return [_row(node, graph, domains, node in first) for node in nodes]


def _steps(row: Row) -> tuple[Row, ...]:
    """The rows of a recurrent layer's cell."""
    recurrent = row.node.primitive
    if not isinstance(recurrent, Recurrent):
        return ()
    cell = recurrent.cell
    domains = {cell.inputs[0]: row.input_domains[0]}
    rows = _rows(cell, cell.outputs, domains, {cell.inputs[0]} if row.first else set())
    return tuple(
        dataclasses.replace(step, name=f"{row.name}/{step.name}", layer_index=row.layer_index) for step in rows
    )


def infer_domains(nodes: Sequence[Node], of_inputs: dict[Value, Interval]) -> dict[Value, Interval]:
    """What is known of the range of every value on the way."""
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


def _row(node: Node, graph: Graph, domains: dict[Value, Interval], first: bool) -> Row:
    input_domains = tuple(domains.get(value, ANY) for value in node.inputs)
    carrying = tuple(i not in node.detached and value in graph.carriers for i, value in enumerate(node.inputs))
    of_carriers = [domain for domain, carries in zip(input_domains, carrying, strict=True) if carries]
    kernel = isinstance(node.primitive, Linear)
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
        layer_index=node.layer_index,
        node=node,
        input_domains=input_domains,
        carrying=carrying,
    )
    return dataclasses.replace(row, steps=_steps(row))


def _with_rule(row: Row, composite: Composite) -> Row:
    rule = _rule(row, composite)
    steps = tuple(_with_rule(step, composite) for step in row.steps)
    # What is not understood is supported all the same where it was given a rule (PassThrough).
    return dataclasses.replace(row, rule=rule, supported=row.supported or rule is not None, steps=steps)


def _matches(match: Match, row: Row) -> bool:
    if isinstance(match, str):
        return any(fnmatch.fnmatchcase(name, match) for name in (row.name, *row.node.absorbed))
    if isinstance(match, (type, tuple)):
        return isinstance(row.node.operation, match)
    return bool(match(row))


def _rule(row: Row, composite: Composite) -> Rule | None:
    for match, rule in composite.rules:
        rule = rule_catalogue.get(rule)
        if applicable(rule, row) and _matches(match, row):
            return rule_catalogue.with_stabilizer(rule, composite.stabilizer)
    primitive = row.node.primitive
    if isinstance(primitive, Elementwise):
        return composite.elementwise
    if isinstance(primitive, Maximum):
        return composite.maximum
    if isinstance(primitive, Product):
        if sum(row.carrying) < 2:
            return None  # the one operand that carries relevance takes it all
        gates = [domain.is_gate for domain in row.input_domains]
        gated = primitive.elementwise and any(gates) and not all(gates)
        return composite.product or (SignalTakesAll() if gated else Halve())
    if isinstance(primitive, Nonlinear):
        return GradientRule()
    if isinstance(primitive, Statistics):
        return DetachStatistics()
    if isinstance(primitive, Linear):
        raise ValueError(f"no rule matches the operation {row.name!r} ({row.type}): end the list with a rule for it")
    return None


def applicable(rule: Rule, row: Row) -> bool:
    """Whether the rule is for that kind of operation."""
    primitive = row.node.primitive
    if isinstance(rule, PassThrough):
        return len(row.input_shapes) == 1 and row.input_shapes == row.output_shapes
    kinds: list[tuple[type[Rule], Any]] = [
        (LinearRule, (Linear, Pooling)),
        (GradientRule, (Elementwise, Nonlinear)),
        (ElementwiseRule, Elementwise),
        (MaximumRule, Maximum),
        (ProductRule, Product),
        (DetachStatistics, Statistics),
    ]
    return any(isinstance(rule, kind) and isinstance(primitive, primitives) for kind, primitives in kinds)


def _check_matches(rows: Sequence[Row], composite: Composite) -> None:
    """A name that matches nothing is a typing error; a rule that fits nothing it matches is a misunderstanding."""
    for match, rule in composite.rules:
        matched = [row for row in rows if _matches(match, row)]
        if not matched and isinstance(match, str):
            names = ", ".join(row.name for row in rows)
            raise ValueError(f"no operation is named {match!r}. The operations: {names}.")
        by_name_or_class = isinstance(match, (str, type, tuple))
        if matched and by_name_or_class and not any(applicable(rule_catalogue.get(rule), row) for row in matched):
            row = matched[0]
            raise ValueError(f"the rule {rule!r} is not for operations such as {row.name!r} ({row.type})")


def _refuse_unsupported(rows: Sequence[Row]) -> None:
    unsupported = [row for row in rows if not row.supported]
    if unsupported:
        listed = "\n".join(f"  {row.name} ({row.type}): {row.reason}" for row in unsupported)
        raise UnsupportedModelError(
            f"{len(unsupported)} of the model's {len(rows)} operations cannot be explained:\n{listed}\n"
            "Say what such a layer is to relevance with kerasexplain.register_leaf or kerasexplain.register_rule, pass "
            'on_unsupported="gradient" to send relevance through it by its plain gradient, or use an analyzer of the '
            "gradient family."
        )
