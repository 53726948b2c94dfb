"""Pass 3, assign: which rule each operation follows."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence

from kerasexplain import rules as rule_catalogue
from kerasexplain.compiler.composite import Composite, Match
from kerasexplain.compiler.refusal import refuse_mixed_samples, refuse_unfollowed, refuse_unsupported, refused
from kerasexplain.compiler.rows import Row, rows_towards, with_steps
from kerasexplain.compiler.treatments import treatment_of
from kerasexplain.graph.domains import ANY, Interval
from kerasexplain.graph.graph import Graph
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.recurrent import Recurrent
from kerasexplain.rules import BaselineSlope, PassThrough, RevealCancel, Rule


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
        refuse_unfollowed(graph, rows)
        refuse_mixed_samples(graph, decisions=False)
        return list(map(_in_words, rows))
    composite = _with_full_names(with_steps(rows), composite)
    _check_matches(with_steps(rows), composite)
    rows = refused(graph, [_with_rule(row, composite) for row in rows], composite)
    if on_unsupported == "error":
        refuse_unsupported(with_steps(rows), composite)  # lookups that are not followed are among them
    else:
        refuse_unfollowed(graph, rows)
    refuse_mixed_samples(graph, decisions=on_unsupported == "error")
    return list(map(_in_words, _paired(graph, rows)))


def _in_words(row: Row) -> Row:
    treatment = treatment_of(row.node.primitive).in_words(row)
    return dataclasses.replace(row, treatment=treatment, steps=tuple(map(_in_words, row.steps)))


def _with_rule(row: Row, composite: Composite) -> Row:
    rule, matched = _rule(row, composite)
    steps = tuple(_with_rule(step, composite) for step in row.steps)
    # What is not understood is supported all the same where it was given a rule (PassThrough).
    supported = row.supported or rule is not None
    return dataclasses.replace(row, rule=rule, matched=matched, supported=supported, steps=steps)


def _matches(match: Match, row: Row) -> bool:
    if isinstance(match, str):
        return any(fnmatch.fnmatchcase(name, match) for name in row.names)
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
    return treatment_of(row.node.primitive).default(row, composite), ""


def described(match: Match) -> str:
    """A match, as tables show it."""
    if isinstance(match, tuple):
        return " or ".join(map(described, match))
    return getattr(match, "__name__", None) or repr(match)


def applicable(rule: Rule, row: Row) -> bool:
    """Whether the rule is for that kind of operation."""
    if isinstance(rule, PassThrough):
        return len(row.input_shapes) == 1 and row.input_shapes == row.output_shapes
    return isinstance(rule, treatment_of(row.node.primitive).takes)


def _with_full_names(rows: Sequence[Row], composite: Composite) -> Composite:
    """The composite, with the whole name in place of an end of one that names an operation of a nested model."""
    names = [name for row in rows for name in row.names]

    def full(match: Match) -> Match:
        if not isinstance(match, str) or any(fnmatch.fnmatchcase(name, match) for name in names):
            return match
        ending = [name for name in names if name.endswith(f"/{match}")]
        return ending[0] if len(ending) == 1 else match

    return dataclasses.replace(composite, rules=[(full(match), rule) for match, rule in composite.rules])


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


def _paired(graph: Graph, rows: Sequence[Row]) -> list[Row]:
    """The rows, with `RevealCancel` left only where it can do something: at what alone reads a kernel operation."""
    producer, sole_readers = graph.producer(), graph.sole_readers()

    def follows(row: Row) -> bool:
        before = producer.get(row.node.inputs[0])
        return row.node.inputs[0] in sole_readers and before is not None and isinstance(before.primitive, Linear)

    def paired(row: Row) -> Row:
        if isinstance(row.node.primitive, Recurrent):
            return dataclasses.replace(row, steps=tuple(_paired(row.node.primitive.cell, row.steps)))
        alone = isinstance(row.rule, RevealCancel) and not follows(row)
        return dataclasses.replace(row, rule=BaselineSlope()) if alone else row

    return list(map(paired, rows))
