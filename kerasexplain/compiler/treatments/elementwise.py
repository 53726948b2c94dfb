"""Nonlinearities, element by element."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from kerasexplain.backend import override
from kerasexplain.compiler.against_baseline import Apply
from kerasexplain.compiler.composite import Composite
from kerasexplain.compiler.rows import Row
from kerasexplain.compiler.treatments.treatment import (
    Context,
    Overridden,
    Treatment,
    pass_relevance,
    sum_per_sample,
    treats,
)
from kerasexplain.compiler.treatments.vectors import linearized
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.signal import Signal
from kerasexplain.rules import (
    ElementwiseRule,
    GradientRule,
    GuidedReLU,
    Ignore,
    OnRelevance,
    Repeat,
    RevealCancel,
    Rule,
    Slope,
    SoftplusSlope,
)

Tensor = Any


@treats(Elementwise)
class OfElementwise(Treatment):
    """`y = f(z)`: relevance passes, or takes a slope of f."""

    takes = (ElementwiseRule,)

    def default(self, row: Row, composite: Composite) -> Rule | None:
        return composite.elementwise

    def in_words(self, row: Row) -> str:
        at_zero = row.node.primitive.at_zero  # type: ignore[attr-defined]
        told = super().in_words(row)
        return f"{told}, though f(0) = {at_zero:.3g}" if isinstance(row.rule, Ignore) and at_zero else told

    def refusal(self, row: Row, composite: Composite) -> str:
        function, rule = row.node.primitive, row.rule
        assert isinstance(function, Elementwise)
        applied = rule.rule if isinstance(rule, OnRelevance) else rule
        if isinstance(applied, GuidedReLU) and not function.is_relu:
            return "guided backpropagation is defined for ReLU alone"
        if isinstance(applied, SoftplusSlope) and not (function.is_relu or function.analytic):
            return "softplus takes the place of ReLU, and this may have a kink that is not a ReLU's"
        if isinstance(applied, Repeat) and function.at_zero != 0:
            return f"Repeat is for functions with f(0) = 0, and here it is {function.at_zero:g}"
        return super().refusal(row, composite)

    def of_relevance(self, row: Row, plain: Overridden, arriving: Signal, context: Context) -> Overridden:
        function, rule = row.node.primitive, row.rule
        assert isinstance(function, Elementwise)
        if isinstance(rule, (OnRelevance, Repeat)):
            return Overridden(literally(function, rule, arriving), arriving, Signal.R)
        if function.homogeneous and (arriving is Signal.Q or not isinstance(rule, Ignore)):
            return plain
        if isinstance(rule, Ignore):
            return Overridden(pass_relevance(plain.apply, arriving), arriving, Signal.R)
        if isinstance(rule, Slope):
            return Overridden(slope(function, rule), Signal.Q, Signal.Q, function.bias_shape)
        assert isinstance(rule, GradientRule), f"{rule!r} at {type(function).__name__}"
        return Overridden(linearized(plain.apply), Signal.Q, Signal.Q, (), is_plain=True)

    def of_gradient(self, row: Row, plain: Overridden, context: Context) -> Overridden:
        function, rule = row.node.primitive, row.rule
        if rule is None or isinstance(rule, GradientRule):
            return dataclasses.replace(plain, bias_shape=None)  # what a gradient leaves over is no share of a constant
        if isinstance(rule, RevealCancel):
            return plain  # which runs as one with the operation before it
        if context.composite.against_baseline:
            return self.compared(function, rule)
        if isinstance(rule, Slope):
            return Overridden(slope(function, rule), Signal.Q, Signal.Q, function.bias_shape)
        if isinstance(rule, ElementwiseRule):
            return Overridden(literally(function, rule), Signal.Q, Signal.Q)
        return super().of_gradient(row, plain, context)

    def multipliers(
        self, primitive: Any, rule: Any, xs: Sequence[Tensor], refs: Sequence[Tensor], s: Tensor
    ) -> Sequence[Tensor | None]:
        return [rule.against(primitive, xs[0], refs[0], s)]


def literally(function: Any, rule: ElementwiseRule, arriving: Signal = Signal.R) -> Apply:
    """A rule that is applied to the number that travels itself: to relevance, where Q arrives."""

    def backward(z: Tensor, signal: Tensor) -> list[Tensor]:
        return [rule.at(function, z, signal if arriving is Signal.R else signal * function(z))]

    return lambda xs, tap: override(lambda z: (function(z), z), backward, *xs)


def slope(function: Any, rule: Slope) -> Apply:
    """The slope of the chord through zero, and f(0) as a bias."""

    def apply(xs: Sequence[Tensor], tap: Tensor | None) -> Tensor:
        taps = () if tap is None else (tap,)

        def backward(z: Tensor, signal: Tensor) -> list[Tensor]:
            of_z = rule.at(function, z, signal)
            return [of_z] if tap is None else [of_z, sum_per_sample(signal) * function.at_zero]

        return override(lambda z, *taps: (function(z), z), backward, *xs, *taps)

    return apply
