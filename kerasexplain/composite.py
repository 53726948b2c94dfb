"""Pass 3, assign: which rule each operation follows, and what is known of its input."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence
from typing import Any

import keras

from kerasexplain import rules as rule_catalogue
from kerasexplain.config import Configurable
from kerasexplain.domains import ANY, Interval
from kerasexplain.errors import UnsupportedModelError
from kerasexplain.graph import Graph, Value
from kerasexplain.operations import (
    Custom,
    Elementwise,
    Linear,
    Maximum,
    Nonlinear,
    Pooling,
    Product,
    Recurrent,
    Statistics,
)
from kerasexplain.rows import Row, rows_towards, with_steps
from kerasexplain.rules import (
    BaselineSlope,
    DetachStatistics,
    ElementwiseRule,
    GradientRule,
    GuidedReLU,
    Halve,
    Ignore,
    LinearRule,
    MaximumRule,
    OnRelevance,
    PassThrough,
    Pattern,
    ProductRule,
    Repeat,
    RevealCancel,
    Rule,
    SignalTakesAll,
    WinnerTakesAll,
)

Match = Any  # a layer or operation class, a tuple of them, a name glob, or a predicate on a row


@keras.saving.register_keras_serializable(package="kerasexplain")
@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Composite(Configurable):
    """How rules are assigned to operations: an ordered list in which the first match wins, and defaults.

    Attributes:
        rules: `(match, rule)` pairs. A match is a layer class or a tuple of them, a glob over row names, or a
            predicate on a `Row`.
        elementwise, maximum, product: Defaults for nonlinearities, maxima and products. No product rule means that
            gates are recognised: `SignalTakesAll` where there is one, otherwise `Halve`. No rule for the others means
            the gradient, and is for plain composites alone.
        stabilizer: For divisions outside of rules, and for rules that have none of their own.
        plain: Whether it is no relevance that travels but the gradient, or a number like it: what has no rule is then
            not overridden.
        against_baseline: Whether that number compares with a baseline.
        biases: Whether constants take a share that can be asked for.
    """

    rules: Sequence[tuple[Match, Any]] = ()
    elementwise: ElementwiseRule | None = dataclasses.field(default_factory=Ignore)
    maximum: MaximumRule | None = dataclasses.field(default_factory=WinnerTakesAll)
    product: ProductRule | None = None
    stabilizer: float | None = None
    plain: bool = False
    against_baseline: bool = False
    biases: bool = True

    @property
    def overrides(self) -> bool:
        """Whether any operation may have a rule."""
        return not self.plain or bool(self.rules) or self.elementwise is not None or self.maximum is not None


GRADIENT = Composite(plain=True, elementwise=None, maximum=None, biases=False)


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
    rows = rows_towards(graph, [graph.explained], dict.fromkeys(graph.inputs, of_input), set(graph.inputs))
    if not composite.overrides:
        return rows
    _check_matches(with_steps(rows), composite)
    rows = [_with_rule(row, composite) for row in rows]
    rows = _paired(graph, [_refused(row, composite, decided(graph)) for row in rows])
    if on_unsupported == "error":
        _refuse_unsupported(with_steps(rows), composite)
    return rows


def _with_rule(row: Row, composite: Composite) -> Row:
    rule, matched = _rule(row, composite)
    steps = tuple(_with_rule(step, composite) for step in row.steps)
    # What is not understood is supported all the same where it was given a rule (PassThrough).
    supported = row.supported or rule is not None
    return dataclasses.replace(row, rule=rule, matched=matched, supported=supported, steps=steps)


def _matches(match: Match, row: Row) -> bool:
    if isinstance(match, str):
        return any(fnmatch.fnmatchcase(name, match) for name in (row.name, *row.node.absorbed))
    if isinstance(match, (type, tuple)):
        return isinstance(row.node.operation, match)
    return bool(match(row))


def _rule(row: Row, composite: Composite) -> tuple[Rule | None, str]:
    """The rule of an operation, and what it matched."""
    for match, rule in composite.rules:
        rule = rule_catalogue.get(rule)
        if applicable(rule, row) and _matches(match, row):
            return rule_catalogue.with_stabilizer(rule, composite.stabilizer), described(match)
    if isinstance(row.node.primitive, Linear) and not composite.plain:
        raise ValueError(f"no rule matches the operation {row.name!r} ({row.type}): end the list with a rule for it")
    return _default_rule(row, composite), ""


def described(match: Match) -> str:
    """A match, as tables show it."""
    if isinstance(match, tuple):
        return " or ".join(map(described, match))
    return getattr(match, "__name__", None) or repr(match)


def _default_rule(row: Row, composite: Composite) -> Rule | None:
    primitive = row.node.primitive
    if isinstance(primitive, Elementwise):
        return composite.elementwise
    if isinstance(primitive, Maximum):
        return composite.maximum
    if composite.plain:
        on_vectors = isinstance(primitive, (Nonlinear, Statistics, Product))
        return BaselineSlope() if composite.against_baseline and on_vectors else None
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


def _paired(graph: Graph, rows: list[Row]) -> list[Row]:
    """The rows, with `RevealCancel` left only where it can do something: at what alone reads a kernel operation."""
    consumers, producer = graph.consumers(), graph.producer()

    def follows(row: Row) -> bool:
        value = row.node.inputs[0]
        before = producer.get(value)
        alone = len(consumers[value]) == 1 and value not in {*graph.outputs, graph.explained}
        return alone and before is not None and isinstance(before.primitive, Linear)

    revealing = (isinstance(row.rule, RevealCancel) and not follows(row) for row in rows)
    return [
        dataclasses.replace(row, rule=BaselineSlope()) if plain else row
        for row, plain in zip(rows, revealing, strict=True)
    ]


#: Operations that choose among numbers by their size: their gradient says nothing of what a baseline would choose.
_CHOOSING = ("Amin", "Fmin", "Median", "Min", "Minimum", "Nanmax", "Nanmin", "Percentile", "Quantile", "Sort", "TopK")


def decided(graph: Graph) -> set[Value]:
    """Whole numbers and truth values that are computed from real numbers."""
    found: set[Value] = set()
    for node in graph.nodes:
        if any(value in found or value in graph.carriers for value in node.inputs):
            found.update(value for value in node.outputs if not value.is_float)
    return found


def _refused(row: Row, composite: Composite, decisions: set[Value]) -> Row:
    """The row, marked as not supported where its rule is not for it; it then has the gradient, should that be asked."""
    reason = _why_not(row, composite, decisions)
    steps = tuple(_refused(step, composite, decisions) for step in row.steps)
    if reason:
        rule = None if composite.plain else GradientRule()
        row = dataclasses.replace(row, rule=rule, supported=False, reason=reason)
    return dataclasses.replace(row, steps=steps)


def _by_kernels(composite: Composite) -> bool:
    """Whether the signal goes through other kernels than the operations' own."""
    return any(isinstance(rule, Pattern) for _, rule in composite.rules)


def _why_not(row: Row, composite: Composite, decisions: set[Value]) -> str:
    """Why an operation cannot follow its rule; "" where it can."""
    primitive, rule = row.node.primitive, row.rule
    applied = rule.rule if isinstance(rule, OnRelevance) else rule
    if isinstance(primitive, Elementwise):
        if isinstance(applied, GuidedReLU) and not primitive.is_relu:
            return "guided backpropagation is defined for ReLU alone"
        if isinstance(applied, Repeat) and primitive.at_zero != 0:
            return f"Repeat is for functions with f(0) = 0, and here it is {primitive.at_zero:g}"
    if composite.plain and isinstance(primitive, Linear) and rule is None and _by_kernels(composite):
        return "there is no pattern for it"
    if not composite.against_baseline:
        return ""
    if isinstance(primitive, Recurrent):
        return "a recurrent layer cannot be compared with a baseline yet"
    if isinstance(primitive, Custom):
        return "its relevance was registered, which says nothing of a baseline"
    if row.node.detached:
        return "normalisation that is written out cannot be compared with a baseline: use a normalisation layer"
    if type(row.node.operation).__name__ in _CHOOSING:
        return "what it chooses at the baseline may be something else"
    if any(value in decisions for value in row.node.inputs):
        return "it depends on a comparison of numbers, which may turn out otherwise at the baseline"
    return ""


def _refuse_unsupported(rows: Sequence[Row], composite: Composite) -> None:
    unsupported = [row for row in rows if not row.supported]
    if unsupported:
        listed = "\n".join(f"  {row.name} ({row.type}): {row.reason}" for row in unsupported)
        register = (
            "Say what such a layer is to relevance with kerasexplain.register_leaf or kerasexplain.register_rule, pass"
        )
        raise UnsupportedModelError(
            f"{len(unsupported)} of the model's {len(rows)} operations cannot be explained:\n{listed}\n"
            f"{'Pass' if composite.plain else register} "
            'on_unsupported="gradient" to send what comes back through it by its plain gradient, or use an analyzer '
            'that takes every model, such as "gradient".'
        )
