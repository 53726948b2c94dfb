"""Rules that compare with a baseline: multipliers m with `sum_i m_i (x_i - x'_i) = m_y (y - y')`."""

from __future__ import annotations

from typing import Any

from kerasexplain.foundation.config import saved
from kerasexplain.rules.elementwise import Function
from kerasexplain.rules.rule import Rule

Tensor = Any


class BaselineRule(Rule):
    """A rule for methods that compare the input with a baseline."""

    of_gradients = True


@saved
class BaselineSlope(BaselineRule):
    """`m_z = (f(z) - f(z')) / (z - z') m_y`, with z' the value at the baseline; f'(z) where they are equal.

    Source: Shrikumar et al. 2017, "Learning Important Features Through Propagating Activation Differences", DeepLIFT's
    Rescale rule.
    """

    def against(self, f: Function, z: Tensor, reference: Tensor, s: Tensor) -> Tensor:
        """The share of z where y has s, given the value of z at the baseline."""
        return s * f.slope(z, reference)


@saved
class RevealCancel(BaselineRule):
    """DeepLIFT's rule for positive and negative differences that cancel, behind a linear operation.

    With d+ the sum of the positive `w_i (x_i - x'_i)` and d- that of the negative ones,
    `e+ = [f(z' + d+) - f(z') + f(z' + d- + d+) - f(z' + d-)] / 2` and e- likewise: positive contributions get
    `m_y e+ / d+`, negative ones `m_y e- / d-`, and inputs that equal their baseline half of each. Where d+ or d- is 0,
    the limit of the quotient.

    For nonlinearities behind an operation with a kernel that nothing else reads; others follow `BaselineSlope`.

    Source: Shrikumar et al. 2017, section 3.5.3.
    """

    def parts(self, f: Function, reference: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        """`(e+ / d+, e- / d-)`: the slopes of what each adds to f, averaged over both orders of adding them."""
        at_input = reference + positive + negative
        up, down = reference + positive, reference + negative
        of_positive = 0.5 * (f.slope(up, reference) + f.slope(at_input, down))
        of_negative = 0.5 * (f.slope(down, reference) + f.slope(at_input, up))
        return of_positive, of_negative


@saved
class MeanGradient(BaselineRule):
    """`m_x = int_0^1 J(x' + t (x - x'))^T m_y dt`: the mean gradient on the straight line from the baseline.

    For operations on whole vectors: softmax (by quadrature), and products of activations and L2 or RMS normalisation
    (exactly). For a function of one number it is `BaselineSlope`.

    Source: Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks", applied to one operation.
    """
