"""Metrics of how concentrated a map is, and of whether it adds up to what it explains."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from kerasexplain.foundation.config import saved_by_keyword
from kerasexplain.metrics.judged import Judged, Result
from kerasexplain.metrics.metric import Metric
from kerasexplain.metrics.units import Units


def strengths(judged: Judged) -> np.ndarray:
    """|R| at every position of all inputs, summed over channels first, `(samples, positions)`."""
    units = Units.of(judged.inputs, judged.names, size=1)
    flat = [array.reshape(judged.samples, -1) for array in units.positions(judged.relevance)]
    return np.abs(np.concatenate(flat, axis=1))


def _where_not_zero(strength: np.ndarray, function: Callable[[np.ndarray], float]) -> np.ndarray:
    """A number for each map; NaN for one that is zero everywhere."""
    return np.array([function(row / row.sum()) if row.sum() > 0 else np.nan for row in strength])


@saved_by_keyword
class Sparseness(Metric):
    """The Gini index of |R| over positions: 0 for a constant map, nearly 1 for a single relevant position.

    With the N strengths in ascending order and a sum of 1,

        score = sum_{k=1..N} (2 k - N - 1) |R|_(k) / N

    Channels are summed first. A map that is zero everywhere has none: NaN.

    Source: Chalasani et al. 2020, "Concise Explanations of Neural Networks using Adversarial Training", section 4.
    """

    name: ClassVar[str] = "sparseness"
    better: ClassVar[str] = "neither"

    def scores(self, judged: Judged) -> Result:
        return Result(_where_not_zero(strengths(judged), _gini))


def _gini(shares: np.ndarray) -> float:
    count = len(shares)
    return float(((2 * np.arange(1, count + 1) - count - 1) * np.sort(shares)).sum() / count)


@saved_by_keyword
class Complexity(Metric):
    """The entropy of |R| over positions, in nats: 0 for a single relevant position, log N for a constant map.

        score = - sum_i p_i log p_i,   p_i = |R_i| / sum_j |R_j|

    Channels are summed first. A map that is zero everywhere has none: NaN.

    Source: Bhatt et al. 2020, "Evaluating and Aggregating Feature-based Model Explanations", section 3.
    """

    name: ClassVar[str] = "complexity"
    better: ClassVar[str] = "neither"

    def scores(self, judged: Judged) -> Result:
        return Result(_where_not_zero(strengths(judged), _entropy))


def _entropy(shares: np.ndarray) -> float:
    known = shares[shares > 0]
    return float(-(known * np.log(known)).sum()) + 0.0  # and no -0


@saved_by_keyword
class Completeness(Metric):
    """By how much the sum of a map misses what it explains, as a share of that.

        score = | sum_i R_i - (f(x) - f(baseline)) |  /  | f(x) - f(baseline) |

    For methods without a baseline f(baseline) is 0: what misses is what biases, stabilizers and rules without
    conservation took, and the audit says which. Lower is better. NaN where there is nothing to explain.

    Source: the axiom of Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks", section 3; conservation
    in Bach et al. 2015.
    """

    name: ClassVar[str] = "completeness"
    better: ClassVar[str] = "lower"

    def scores(self, judged: Judged) -> Result:
        total = sum(r.reshape(judged.samples, -1).sum(axis=1, dtype="float64") for r in judged.relevance)
        change = judged.explained - (0.0 if judged.reference is None else judged.reference)
        error = np.abs(np.asarray(total) - change)
        return Result(np.divide(error, np.abs(change), out=np.full(error.shape, np.nan), where=change != 0))
