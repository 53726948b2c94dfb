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
    Elementwise,
    Linear,
    Maximum,
    Nonlinear,
    Opaque,
    Pooling,
    Product,
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

    @property
    def treatment(self) -> str:
        """The rule, or what happens to relevance where there is none, in words."""
        if self.rule is not None:
            return repr(self.rule)
        if isinstance(self.node.primitive, Opaque):
            return "gradient"
        if isinstance(self.node.primitive, (Routing, Scale)):
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
    nodes = graph.explained_nodes()
    domains = infer_domains(graph, nodes, Interval(*input_range) if input_range else ANY)
    first = _first_kernels(graph, nodes)
    rows = [_row(node, domains, node in first) for node in nodes]
    if not composite.plain:
        _check_matches(rows, composite)
        rows = [_with_rule(row, _rule(row, composite)) for row in rows]
        if on_unsupported == "error":
            _refuse_unsupported(rows)
    return rows


def infer_domains(graph: Graph, nodes: Sequence[Node], of_inputs: Interval) -> dict[Value, Interval]:
    """What is known of the range of every value on the way."""
    domains = dict.fromkeys(graph.inputs, of_inputs)
    for node in nodes:
        domain = node.primitive.domain(*(domains.get(value, ANY) for value in node.inputs))
        domains.update(dict.fromkeys(node.outputs, domain))
    return domains


def _first_kernels(graph: Graph, nodes: Sequence[Node]) -> set[Node]:
    """Kernel operations reached from a model input without passing another kernel operation."""
    raw = set(graph.inputs)
    first = set()
    for node in nodes:
        if any(value in raw for value in node.inputs):
            if isinstance(node.primitive, Linear):
                first.add(node)
            else:
                raw.update(node.outputs)
    return first


def _row(node: Node, domains: dict[Value, Interval], first: bool) -> Row:
    input_domains = tuple(domains.get(value, ANY) for value in node.inputs)
    kernel = isinstance(node.primitive, Linear)
    return Row(
        name=node.name,
        type=node.type,
        rule=None,
        domain=union(input_domains),
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
    )


def _with_rule(row: Row, rule: Rule | None) -> Row:
    # What is not understood is supported all the same where it was given a rule (PassThrough).
    return dataclasses.replace(row, rule=rule, supported=row.supported or rule is not None)


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
        gates = [domain.is_gate for domain in row.input_domains]
        return composite.product or (SignalTakesAll() if any(gates) and not all(gates) else Halve())
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
            'Pass on_unsupported="gradient" to send relevance through them by their plain gradient, or use an '
            "analyzer of the gradient family."
        )
