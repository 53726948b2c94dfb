"""Operations on whole vectors: softmax and its like, and normalisation by statistics."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from kerasexplain.backend import override, pull_back
from kerasexplain.compiler.against_baseline import Apply, normalization
from kerasexplain.compiler.composite import Composite
from kerasexplain.compiler.rows import Row
from kerasexplain.compiler.treatments.treatment import Context, Overridden, Treatment, sum_per_sample, treats
from kerasexplain.graph.primitives import ConstantOutput, Nonlinear, Statistics
from kerasexplain.graph.signal import Signal
from kerasexplain.rules import DetachStatistics, GradientRule, MeanGradient, Rule

Tensor = Any


@treats(Nonlinear)
class OfNonlinear(Treatment):
    """Its gradient; what the linearisation leaves over, y - J x, is a bias."""

    takes = (GradientRule,)

    def default(self, row: Row, composite: Composite) -> Rule | None:
        if composite.plain:
            return MeanGradient() if composite.against_baseline else None
        return GradientRule()

    def refusal(self, row: Row, composite: Composite) -> str:
        assert isinstance(row.node.primitive, Nonlinear)
        if composite.against_baseline and not row.node.primitive.smooth:
            return "its gradient jumps between input and baseline"
        return super().refusal(row, composite)

    def of_relevance(self, row: Row, plain: Overridden, arriving: Signal, context: Context) -> Overridden:
        return Overridden(linearized(plain.apply, row.carrying), Signal.Q, Signal.Q, (), is_plain=True)

    def of_gradient(self, row: Row, plain: Overridden, context: Context) -> Overridden:
        # What a gradient leaves over is no share of a constant.
        return super().of_gradient(row, dataclasses.replace(plain, bias_shape=None), context)


@treats(ConstantOutput)
class OfConstantOutput(OfNonlinear):
    """Nothing of it depends on the numbers of its input, whatever it is compared with."""

    def default(self, row: Row, composite: Composite) -> Rule | None:
        return None if composite.plain else GradientRule()


@treats(Statistics)
class OfStatistics(Treatment):
    """The scale is a constant to relevance; the mean is differentiated, beta is a bias."""

    takes = (DetachStatistics,)

    def default(self, row: Row, composite: Composite) -> Rule | None:
        if composite.plain:
            return MeanGradient() if composite.against_baseline else None
        return DetachStatistics()

    def refusal(self, row: Row, composite: Composite) -> str:
        assert isinstance(row.node.primitive, Statistics)
        if composite.against_baseline and not row.node.primitive.quadratic:
            return "its gradient jumps between input and baseline; of norms only that of order 2 does not"
        return super().refusal(row, composite)

    def of_relevance(self, row: Row, plain: Overridden, arriving: Signal, context: Context) -> Overridden:
        statistics = row.node.primitive
        assert isinstance(statistics, Statistics)
        return Overridden(detached(statistics), Signal.Q, Signal.Q, statistics.bias_shape)

    def multipliers(
        self, primitive: Any, rule: Any, xs: Sequence[Tensor], refs: Sequence[Tensor], s: Tensor
    ) -> Sequence[Tensor | None]:
        if primitive.quadratic:
            return [normalization(primitive, xs[0], refs[0], s)]
        return super().multipliers(primitive, rule, xs, refs, s)


def linearized(run: Apply, carrying: Sequence[bool] = (True,)) -> Apply:
    """The plain gradient; with a tap, what the linearisation leaves over, y - J x, is its relevance."""

    def apply(xs: Sequence[Tensor], tap: Tensor | None) -> Tensor:
        if tap is None:
            return run(xs, None)

        def backward(xs: Sequence[Tensor], signal: Tensor) -> list[Tensor | None]:
            def of_carriers(*carriers: Tensor) -> tuple[Tensor, None]:
                given = iter(carriers)
                return run([next(given) if c else x for x, c in zip(xs, carrying, strict=True)], None), None

            carriers = [x for x, carries in zip(xs, carrying, strict=True) if carries]
            y, _, pullback = pull_back(of_carriers, *carriers)
            of_carrier = pullback(signal)
            constant = sum_per_sample(signal * y)
            for x, of_x in zip(carriers, of_carrier, strict=True):
                constant = constant - sum_per_sample(x * of_x)
            given = iter(of_carrier)
            return [*(next(given) if carries else None for carries in carrying), constant]

        return override(lambda *operands: (run(operands[:-1], None), operands[:-1]), backward, *xs, tap)

    return apply


def detached(statistics: Statistics) -> Apply:
    """Normalisation with its scale as a constant."""

    def apply(xs: Sequence[Tensor], tap: Tensor | None) -> Tensor:
        operands = (*xs,) if tap is None else (*xs, tap)

        def backward(operands: Sequence[Tensor], signal: Tensor) -> Sequence[Tensor]:
            _, _, pullback = pull_back(lambda x, tap=None: (statistics.detached(x, tap), None), *operands)
            return pullback(signal)

        def forward(x: Tensor, tap: Tensor | None = None) -> tuple[Tensor, Any]:
            return statistics(x, tap=tap), (x,) if tap is None else (x, tap)

        return override(forward, backward, *operands)

    return apply
