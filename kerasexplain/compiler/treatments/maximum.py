"""Maxima and minima: who among the candidates takes the relevance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from kerasexplain.backend import override, transposed
from kerasexplain.compiler.against_baseline import Apply
from kerasexplain.compiler.composite import Composite
from kerasexplain.compiler.rows import Row
from kerasexplain.compiler.treatments.moves import OfRouting
from kerasexplain.compiler.treatments.treatment import Context, Overridden, Treatment, treats
from kerasexplain.graph.maximum import Maximum, Minimum
from kerasexplain.graph.signal import Signal
from kerasexplain.rules import MaximumRule, Rule, WinnerTakesAll

Tensor = Any


@treats(Maximum)
class OfMaximum(Treatment):
    """The backend's own gradient, where that goes to the first winner and so does the rule; otherwise the rule."""

    takes = (MaximumRule,)

    def default(self, row: Row, composite: Composite) -> Rule | None:
        return composite.maximum

    def of_relevance(self, row: Row, plain: Overridden, arriving: Signal, context: Context) -> Overridden:
        if _by_gradient(row):
            return Overridden(plain.apply, arriving, arriving, is_plain=True)
        apply = _shared(row.node.primitive, row.rule, of_relevance=arriving is Signal.R)
        return Overridden(apply, arriving, arriving)

    def of_gradient(self, row: Row, plain: Overridden, context: Context) -> Overridden:
        if _by_gradient(row):
            return plain
        if isinstance(row.rule, MaximumRule) and not context.composite.against_baseline:
            return Overridden(_shared(row.node.primitive, row.rule, of_relevance=True), Signal.Q, Signal.Q)
        return super().of_gradient(row, plain, context)

    def multipliers(
        self, primitive: Any, rule: Any, xs: Sequence[Tensor], refs: Sequence[Tensor], s: Tensor
    ) -> Sequence[Tensor | None]:
        return _handed_back(primitive, xs, rule.slopes(primitive.candidates(*xs), primitive.candidates(*refs)), s)


@treats(Minimum)
class OfMinimum(OfRouting):
    """A move of the smallest, which takes Q as well as R; against a baseline, the maximum of the negatives."""

    def default(self, row: Row, composite: Composite) -> Rule | None:
        return composite.maximum if composite.against_baseline else None

    def refusal(self, row: Row, composite: Composite) -> str:
        return ""

    def multipliers(
        self, primitive: Any, rule: Any, xs: Sequence[Tensor], refs: Sequence[Tensor], s: Tensor
    ) -> Sequence[Tensor | None]:
        return _handed_back(primitive, xs, rule.slopes(-primitive.candidates(*xs), -primitive.candidates(*refs)), s)


def _by_gradient(row: Row) -> bool:
    """Whether the backend's own gradient of a maximum is the rule: where it goes to the first winner."""
    maximum, rule = row.node.primitive, row.rule
    assert isinstance(maximum, Maximum)
    return maximum.first and isinstance(rule, WinnerTakesAll) and rule.ties == "first"


def _handed_back(maximum: Maximum | Minimum, xs: Sequence[Tensor], shares: Tensor, s: Tensor) -> Any:
    """The signals of the inputs of a maximum, given each candidate's share of s."""
    return transposed(lambda xs: maximum.candidates(*xs), tuple(xs), shares * ops.expand_dims(s, -1))


def _shared(maximum: Any, rule: Any, of_relevance: bool) -> Apply:
    def backward(xs: Sequence[Tensor], signal: Tensor) -> Any:
        candidates = maximum.candidates(*xs)
        shares = rule.shares(candidates) if of_relevance else rule.per_unit(candidates)
        return _handed_back(maximum, xs, shares, signal)

    return lambda xs, tap: override(lambda *xs: (maximum(*xs), xs), backward, *xs)
