"""Linear operations under their rules: the same product, with relevance for a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from kerasexplain.backend import override
from kerasexplain.compiler.weight_cache import cached
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.signal import Signal
from kerasexplain.rules import LinearRule
from kerasexplain.rules.linear import SingleShare
from kerasexplain.rules.step import LinearStep

Tensor = Any

#: The output of a linear operation is not kept for the backward pass where its entries are sums of so few terms, but
#: computed again: that takes hardly longer than reading it. On ResNet50 it is half of what would be kept besides a
#: gradient's own.
FEW_TERMS = 64


class LinearOverride:
    """A linear operation under its rule, `(inputs, tap) -> output`.

    With `relu`, the ReLU behind it is part of it. Where the output is 0 no relevance arrives, so max(z, 0) serves the
    rule in place of z. That is the output itself, and z need not be kept until the backward pass; or it is what an
    upper bound is applied to, which relevance ignores.

    Args:
        linear: The operation.
        rule: Its rule.
        arriving: The signal that comes back.
        nonnegative: Whether its input is known to be >= 0 everywhere.
        relu: A ReLU behind it, perhaps with an upper bound; Q arrives at it.
    """

    def __init__(
        self, linear: Linear, rule: LinearRule, arriving: Signal, nonnegative: bool, relu: Elementwise | None = None
    ) -> None:
        self.linear, self._rule, self._arriving, self._nonnegative = linear, rule, arriving, nonnegative
        self._relu = relu
        self._is_bounded = relu is not None and not relu.rectifies
        # Its shares of `Q y` are available in the forward pass; neither y nor z is then needed any more.
        self._early = rule if self._is_bounded and isinstance(rule, SingleShare) else None

    def of_weights(self, dtype: str) -> dict[str, Any]:
        """The tensors made of the weights alone, the same in every pass until the weights change."""
        return self._rule.kernels(self._step(None, ops.cast(self.linear.kernel(), dtype)))

    def __call__(self, xs: Sequence[Tensor], tap: Tensor | None) -> Tensor:
        known, derived = cached(self), cached(self.linear)
        kernel = derived["W"] if derived else ops.cast(self.linear.kernel(), xs[0].dtype)
        bias = self.linear.placed_bias(xs[0], None, derived.get("b"))
        given = [xs[0], kernel, *([] if bias is None else [bias])]
        # The bias is not multiplied by the tap, which would make one for every sample of it in the forward pass, too.
        count, is_read = len(given), tap is not None

        def forward(*operands: Tensor) -> tuple[Tensor, Any]:
            operands = operands[:count]
            at = self._step(*operands)
            at.know(**known)
            at.parts = self._rule.parts(at)
            z = self._rule.output(at)
            y = z if self._relu is None else self._relu(z)
            residuals = {"y": y} if self._is_bounded else {}
            if self._early is not None:
                residuals = {"shares": self._early.shares(at, y)}
            elif self._relu is not None and not self._is_bounded:
                residuals["z"] = y
            elif at.parts is None and not (self.linear.terms is not None and self.linear.terms <= FEW_TERMS):
                residuals["z"] = z
            # What is made of the kernel is cheap to hold: its size is that of the weights, whatever the batch.
            return y, (operands, residuals, at.parts, None if at.parts is None else self._rule.kernels(at))

        def backward(residuals: Any, signal: Tensor) -> list[Tensor | None]:
            operands, kept_values, parts, kernels = residuals
            at = self._step(*operands)
            at.know(parts=parts)
            at.kernels = known or kernels or self._rule.kernels(at)
            at.know(**at.kernels)
            if self._early is not None:
                of_x, of_bias = self._early.distribute(at, signal * kept_values["shares"])
            else:
                of_x, of_bias = self._relevance(at, signal, kept_values)
            nothing = [None] * (count - 1)
            if not is_read:
                return [of_x, *nothing]
            return [of_x, *nothing, None if of_bias is None else self._of_bias(of_bias, at.b)]

        return override(forward, backward, *given, *([tap] if is_read else []), again=not known)

    def _relevance(self, at: LinearStep, signal: Tensor, known: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        z = known["z"] if "z" in known else self._rule.output(at)
        at.know(z=ops.relu(z) if self._is_bounded else z)
        if self._arriving is Signal.R:
            return self._rule.relevance(at, signal)
        return self._rule.per_unit(at, signal, known.get("y"))

    def _step(self, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> LinearStep:
        linear, rectified = self.linear, self._relu is not None
        return LinearStep(linear.apply, linear.transposed, linear.summed, x, kernel, bias, self._nonnegative, rectified)

    def _of_bias(self, s: Tensor, bias: Tensor) -> Tensor:
        """The relevance of each sample's bias, from what it gets per unit: the sum over positions that share it."""
        shared = [axis for axis in range(1, len(bias.shape)) if bias.shape[axis] == 1 and s.shape[axis] != 1]
        summed = ops.sum(s, axis=shared, keepdims=True) if shared else s
        return ops.reshape(summed * bias, (-1, *(self.linear.bias_shape or ())))
