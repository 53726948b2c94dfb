"""Products with a kernel, and pooling, which may take their rules."""

from __future__ import annotations

from keras import ops

from kerasexplain.compiler.composite import Composite
from kerasexplain.compiler.linear_override import LinearOverride
from kerasexplain.compiler.rows import Row
from kerasexplain.compiler.treatments.treatment import Context, Overridden, Treatment, treats
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.primitives import Pooling
from kerasexplain.graph.signal import Signal
from kerasexplain.rules import LinearRule, Pattern


@treats(Linear)
class OfLinear(Treatment):
    """Relevance is shared by a rule for kernels."""

    takes = (LinearRule,)

    def refusal(self, row: Row, composite: Composite) -> str:
        by_kernels = any(isinstance(rule, Pattern) for _, rule in composite.rules)  # other ones than its own
        if composite.plain and row.rule is None and by_kernels and isinstance(row.node.primitive, Linear):
            return "there is no pattern for it"
        output = row.node.outputs[0]
        if isinstance(row.rule, LinearRule) and row.rule.is_relative and (output.fold != 1 or output.batch_axis):
            return f"its rows are not samples, of whose denominators {row.rule!r} takes the size: give it a number"
        return super().refusal(row, composite)

    def of_relevance(self, row: Row, plain: Overridden, arriving: Signal, context: Context) -> Overridden:
        linear, rule = self.linear(row), row.rule
        if not isinstance(rule, LinearRule) or (rule.is_gradient and arriving is Signal.Q):
            return plain
        apply = LinearOverride(linear, rule, arriving, row.domain.nonnegative)
        return Overridden(apply, arriving, Signal.R if rule.absolute else Signal.Q, linear.bias_shape)

    def of_gradient(self, row: Row, plain: Overridden, context: Context) -> Overridden:
        if isinstance(row.rule, LinearRule) and not context.composite.against_baseline:
            apply = LinearOverride(self.linear(row), row.rule, Signal.R, False)
            return Overridden(apply, Signal.Q, Signal.Q, plain.bias_shape)
        return super().of_gradient(row, plain, context)

    def linear(self, row: Row) -> Linear:
        """The operation, as one with a kernel."""
        assert isinstance(row.node.primitive, Linear)
        return row.node.primitive


@treats(Pooling)
class OfPooling(OfLinear):
    """A linear operation with a kernel of one number, 1, where a rule is asked for: no weight of it is negative."""

    def linear(self, row: Row) -> Linear:
        pooling = row.node.primitive
        return Linear(
            product=lambda x, kernel: pooling(x) * kernel,
            kernel=lambda: ops.ones((), dtype="float32"),
            bias=None,
            bias_shape=None,
            bias_axis=None,
            scaled=None,
        )
