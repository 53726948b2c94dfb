"""Refusals: what an operation cannot follow, and why; never a map that is silently wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence, Set

from kerasexplain.compiler.composite import Composite
from kerasexplain.compiler.rows import Row
from kerasexplain.compiler.treatments import treatment_of
from kerasexplain.foundation.errors import UnsupportedModelError
from kerasexplain.graph.graph import Graph, Value
from kerasexplain.graph.indices import Boundary, boundaries
from kerasexplain.graph.primitives import Opaque
from kerasexplain.graph.recurrent import Recurrent
from kerasexplain.operations.batches import MIXES, axes_of
from kerasexplain.rules import GradientRule


def _decided(graph: Graph) -> set[Value]:
    """The values computed from real numbers by way of truth values and integers: by a comparison, say."""
    found: set[Value] = set()
    for node in graph.nodes:
        if any(value in found or value in graph.carriers for value in node.inputs):
            found.update(value for value in node.outputs if value not in graph.carriers)
    return found


def refused(graph: Graph, rows: Sequence[Row], composite: Composite, *, is_cell: bool = False) -> list[Row]:
    """The rows, marked as not supported where a rule is not for its operation.

    Those have the gradient instead, should that be asked for.

    Args:
        graph: What the rows are of.
        rows: Those with rules.
        composite: Where the rules come from.
        is_cell: Whether the graph is one step of a recurrent layer.
    """
    # Against a baseline, what is decided at the input holds at the baseline too; but not within the layer's own loop.
    holds = composite.against_baseline and not is_cell
    decisions = _decided(graph) if composite.plain and not holds else set()
    lookups = {boundary.node: boundary for boundary in boundaries(graph, [row.node for row in rows])}

    def checked(row: Row) -> Row:
        if isinstance(row.node.primitive, Recurrent):
            steps = refused(row.node.primitive.cell, row.steps, composite, is_cell=True)
            row = dataclasses.replace(row, steps=tuple(steps))
        reason = _why_not(row, composite, decisions, graph.carriers)
        if row.node in lookups:
            reason = reason or _not_followed(lookups[row.node])
        if not reason:
            return row
        rule = None if composite.plain else GradientRule()
        return dataclasses.replace(row, rule=rule, supported=False, reason=reason)

    return list(map(checked, rows))


def _not_followed(lookup: Boundary) -> str:
    """Why it is not known which number of the input an index comes from; "" where it is."""
    by = lookup.unfollowed
    if by is None:
        return ""
    return (
        f"its indices are computed from the input by {by.name!r} ({by.type}), behind which it is not known which index "
        "comes from which number: compute them in front of the model"
    )


def refuse_unfollowed(graph: Graph, rows: Sequence[Row]) -> None:
    """Raises UnsupportedModelError if it is not known which number of an input something is looked up by."""
    for boundary in boundaries(graph, [row.node for row in rows]):
        if boundary.unfollowed is not None:
            raise UnsupportedModelError(f"{boundary.node.name!r} ({boundary.node.type}): {_not_followed(boundary)}")


def refuse_mixed_samples(graph: Graph, *, decisions: bool = True) -> None:
    """Raises UnsupportedModelError if what is explained depends on a number that is made of all samples of a batch.

    Args:
        graph: The graph.
        decisions: Whether that number may not decide either, though a length that all samples are cut to, say, may
            change none.
    """
    for node in graph.nodes_behind(graph.explained):
        primitive = node.primitive
        decides = node.type in ("All", "Any", "CountNonzero") and bool(node.inputs)
        over_samples = decides and 0 in axes_of(node.operation.axis, len(node.inputs[0].shape))
        mixes = over_samples or (isinstance(primitive, Opaque) and primitive.reason == MIXES)
        if mixes and (decisions or not graph.carriers.isdisjoint(node.outputs)):
            raise UnsupportedModelError(
                f"what is explained depends on {node.name!r} ({node.type}), and {MIXES}: a sample's relevance would "
                "depend on its neighbours"
            )


def _why_not(row: Row, composite: Composite, decisions: set[Value], carriers: Set[Value]) -> str:
    """Why an operation cannot follow its rule; "" where it can."""
    node = row.node
    reason = treatment_of(node.primitive).refusal(row, composite)
    if reason:
        return reason
    if composite.plain and not node.detached and any(value in decisions for value in node.inputs):
        return "it depends on a comparison of numbers, which is a nonlinearity that has no rule"
    if composite.against_baseline and any(node.inputs[i] in carriers for i in node.detached):
        return "it is scaled by what depends on the input: layers that normalise can be compared, but not this"
    return ""


def refuse_unsupported(rows: Sequence[Row], composite: Composite) -> None:
    """Raises UnsupportedModelError if any row is not supported; all are listed."""
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
