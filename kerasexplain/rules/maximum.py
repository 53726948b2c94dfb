"""Rules for maxima `m = max_k a_k` over candidates a."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

from keras import ops

from kerasexplain.foundation.checks import check_choice
from kerasexplain.foundation.config import saved
from kerasexplain.rules.division import positive, quotient
from kerasexplain.rules.rule import Rule

Tensor = Any


class MaximumRule(Rule):
    """A rule for maxima over candidates, which are along the last axis; -inf stands where a window has none.

    Attributes:
        has_baseline: Whether `slopes` is defined.
    """

    has_baseline = False

    def shares(self, a: Tensor) -> Tensor:
        """How the maximum's relevance is shared among the candidates: `R_k = shares_k R_m`; they add up to one."""
        raise NotImplementedError

    def per_unit(self, a: Tensor) -> Tensor:
        """The same for relevance per unit of activation: `Q_k = shares_k m / a_k Q_m`."""
        shares, largest = self.shares(a), ops.max(a, axis=-1, keepdims=True)
        return ops.where(ops.equal(a, largest), shares, quotient(shares * largest, a))

    def slopes(self, a: Tensor, reference: Tensor) -> Tensor:
        """Multipliers against a baseline: the sum of `slopes_k (a_k - a'_k)` is m - m'."""
        raise NotImplementedError


@saved
class WinnerTakesAll(MaximumRule):
    """All relevance goes to the largest candidate: the gradient.

    It is that against a baseline too, where sums are then not exact.

    Args:
        ties: "first": the first of equal winners takes all; "share": they share equally.

    Raises:
        ValueError: ties is neither.
    """

    has_baseline = True

    _: KW_ONLY
    ties: str = "first"

    def __post_init__(self) -> None:
        check_choice("ties", self.ties, ("first", "share"))

    def shares(self, a: Tensor) -> Tensor:
        return first_winner(a) if self.ties == "first" else all_winners(a)

    def slopes(self, a: Tensor, reference: Tensor) -> Tensor:
        return self.shares(a)


@saved
class Radial(MaximumRule):
    """Shares seen from zero: positive candidates share in proportion, `a_k / sum a+`, and negative ones get nothing;
    where all are negative, the shares are proportional to `1 / a_k`. Where the maximum is 0, the zeros share it.

    Source: the algebra of backward rules that `lrp.algebra` is named for.
    """

    def shares(self, a: Tensor) -> Tensor:
        largest = ops.max(a, axis=-1, keepdims=True)
        above = positive(a)
        of_positive = quotient(above, ops.sum(above, axis=-1, keepdims=True))
        inverse = quotient(ops.ones_like(a), a)
        of_negative = quotient(inverse, ops.sum(inverse, axis=-1, keepdims=True))
        return ops.where(largest > 0, of_positive, ops.where(largest < 0, of_negative, all_winners(a)))


@saved
class SoftmaxLimit(MaximumRule):
    """The maximum as the limit of `e log sum exp(a_k / e)` for e to 0, each step by its slope against the baseline.

    Without a baseline (that is, against zeros): a positive maximum goes to its winners, a negative one to all
    candidates alike, `R_k = R_m / n`. Against a baseline a': `m - m'` goes to the winners of a where m > m', and to the
    winners of a' where m < m', in equal parts, which is how DeepLIFT treats max pooling.

    Args:
        ties: "share": the limit; "first": of equal winners the first takes all, as in shap and captum. A constant
            baseline ties wherever a window sees the same, and "first" then moves relevance towards the window's start.

    Raises:
        ValueError: ties is neither.

    Source: the algebra of backward rules that `lrp.algebra` is named for; for max pooling, captum's DeepLift.
    """

    has_baseline = True

    _: KW_ONLY
    ties: str = "share"

    def __post_init__(self) -> None:
        check_choice("ties", self.ties, ("first", "share"))

    def shares(self, a: Tensor) -> Tensor:
        largest = ops.max(a, axis=-1, keepdims=True)
        present = ops.cast(ops.isfinite(a), a.dtype)
        equal = present / ops.sum(present, axis=-1, keepdims=True)
        return ops.where(largest < 0, equal, self._winners(a))

    def slopes(self, a: Tensor, reference: Tensor) -> Tensor:
        m, m_ref = ops.max(a, axis=-1, keepdims=True), ops.max(reference, axis=-1, keepdims=True)
        deciding = ops.where(m < m_ref, self._winners(reference), self._winners(a))
        difference = ops.where(deciding > 0, a - reference, ops.zeros_like(a))
        if self.ties == "first":
            one = ops.ones_like(a)
            return deciding * ops.where(ops.equal(difference, 0), one, quotient(m - m_ref, difference))
        # Where the maxima are equal, those that win in both are all that is left: log(p / q) / (p - q) for each, with
        # p winners in a and q in a'.
        p, q = (_winners(side) for side in (a, reference))
        count, count_ref = (ops.sum(winners, axis=-1, keepdims=True) for winners in (p, q))
        logarithmic = quotient(ops.log(count) - ops.log(count_ref), count - count_ref)
        of_each = ops.where(ops.equal(count, count_ref), 1.0 / count, logarithmic)
        return ops.where(ops.equal(m, m_ref), p * q * of_each, deciding * quotient(m - m_ref, difference))

    def _winners(self, a: Tensor) -> Tensor:
        return first_winner(a) if self.ties == "first" else all_winners(a)


@saved
class ReluChain(MaximumRule):
    """The maximum as a chain `max(a, b) = a + relu(b - a)`, from the first candidate on, each ReLU by its slope.

    Without a baseline it is the gradient, and the first winner takes all. Against one, it disagrees with
    `SoftmaxLimit`: of (1, 3) against (2, 0) this one gives (-0.5, 1.5), the other (0, 1).

    Source: the algebra of backward rules that `lrp.algebra` is named for.
    """

    has_baseline = True

    def shares(self, a: Tensor) -> Tensor:
        return first_winner(a)

    def slopes(self, a: Tensor, reference: Tensor) -> Tensor:
        if a.shape[-1] is None:
            raise ValueError("ReluChain needs maxima over a known number of candidates; SoftmaxLimit does not")
        (m, m_ref), *others = zip(ops.unstack(a, axis=-1), ops.unstack(reference, axis=-1), strict=True)
        sigmas = [ops.ones_like(m)]
        for b, b_ref in others:
            sigmas.append(_relu_slope(b, m, b_ref, m_ref))
            m, m_ref = ops.maximum(m, b), ops.maximum(m_ref, b_ref)
        # Of what a candidate adds, each later one leaves 1 - sigma.
        left, slopes = ops.ones_like(m), []
        for sigma in reversed(sigmas):
            slopes.append(sigma * left)
            left = left * (1.0 - sigma)
        return ops.stack(slopes[::-1], axis=-1)


def _relu_slope(b: Tensor, m: Tensor, b_ref: Tensor, m_ref: Tensor) -> Tensor:
    """The slope of relu between `b' - m'` and `b - m`: 1 where m is not reached yet, 0 where b is no candidate."""
    # Infinite values mark what is no candidate: they must not reach a difference.
    there = ops.logical_and(ops.isfinite(b), ops.isfinite(m))
    zero, one = ops.zeros_like(b), ops.ones_like(b)
    d = ops.where(there, b, zero) - ops.where(there, m, zero)
    d_ref = ops.where(there, b_ref, zero) - ops.where(there, m_ref, zero)
    chord = quotient(ops.relu(d) - ops.relu(d_ref), d - d_ref)
    gradient = ops.where(d > 0, one, zero)
    slope = ops.where(ops.equal(d, d_ref), gradient, chord)
    return ops.where(there, slope, ops.where(ops.isfinite(b), one, zero))


def first_winner(a: Tensor) -> Tensor:
    """1 at the first of the largest, 0 elsewhere."""
    return ops.one_hot(ops.argmax(a, axis=-1), ops.shape(a)[-1], dtype=a.dtype)


def all_winners(a: Tensor) -> Tensor:
    """Equal shares for all that are largest, 0 elsewhere."""
    winners = _winners(a)
    return winners / ops.sum(winners, axis=-1, keepdims=True)


def _winners(a: Tensor) -> Tensor:
    """1 at all that are largest, 0 elsewhere."""
    return ops.cast(ops.equal(a, ops.max(a, axis=-1, keepdims=True)), a.dtype)
