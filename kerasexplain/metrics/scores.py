"""The results of a metric: a number for every sample, and two analyzers' numbers compared in pairs."""

from __future__ import annotations

import dataclasses

import numpy as np

from kerasexplain.foundation.errors import not_importable
from kerasexplain.metrics.judged import Judging

#: The interval of fewer samples is not by the bootstrap.
FEW = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """The score of every sample under a metric.

    Attributes:
        metric: The metric.
        analyzer: The name of what made the maps.
        values: A score per sample, `(samples,)`; NaN where the metric is not defined. What is infinite counts as not
            defined, too.
        details: Other numbers per sample, by name, `(samples,)` each.
        curves: Per sample what the score was made of, by name, `(samples, steps + 1)` each.
        steps: By the same names, the share of the input that was changed at every point of the curve.
    """

    metric: Judging
    analyzer: str
    values: np.ndarray
    details: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    curves: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    steps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def defined(self) -> int:
        """The number of samples for which the metric is defined."""
        return int(np.isfinite(self.values).sum())

    @property
    def mean(self) -> float:
        """The mean over the samples for which the metric is defined; NaN if there are none."""
        return float(np.mean(self.values[np.isfinite(self.values)])) if self.defined else float("nan")

    @property
    def standard_error(self) -> float:
        """The standard error of that mean; NaN for fewer than two samples."""
        found = self.values[np.isfinite(self.values)]
        return float(np.std(found, ddof=1) / np.sqrt(len(found))) if len(found) > 1 else float("nan")

    def against(self, other: Scores, *, confidence: float = 0.95, resamples: int = 9999, seed: int = 0) -> Paired:
        """These scores less the others of the same samples; see `paired`.

        Raises:
            ValueError: The scores are not those of one metric, or not of as many samples.
        """
        if self.metric != other.metric:
            raise ValueError(f"scores of two metrics cannot be compared: {self.metric!r} and {other.metric!r}")
        return paired(
            self.values,
            other.values,
            better=self.metric.better,
            names=(self.analyzer, other.analyzer),
            confidence=confidence,
            resamples=resamples,
            seed=seed,
        )

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"<Scores {self}>"

    def __str__(self) -> str:
        undefined = len(self.values) - self.defined
        note = f", {undefined} of {len(self.values)} samples undefined" if undefined else ""
        return (
            f"{self.analyzer}, {self.metric.name}: {self.mean:.4g} (standard error {self.standard_error:.2g}, "
            f"{self.defined} samples{note})"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Paired:
    """The difference of two analyzers' scores, sample by sample.

    Attributes:
        names: The one, and the one that it is compared with.
        differences: Per sample, `(samples,)`; NaN where either score is undefined.
        mean: Their mean.
        standard_error: Of the mean; NaN for fewer than two samples.
        low, high: The confidence interval of the mean, by the bootstrap; of fewer than 10 samples, by Student's t.
        confidence: Its level.
        better: Whether "higher" or "lower" scores are better, or "neither".
        wins, losses: On how many samples the one is better, and worse; None where neither direction is better.
    """

    names: tuple[str, str]
    differences: np.ndarray
    mean: float
    standard_error: float
    low: float
    high: float
    confidence: float
    better: str
    wins: int | None
    losses: int | None

    @property
    def samples(self) -> int:
        """The number of samples for which both scores are defined."""
        return int(np.isfinite(self.differences).sum())

    @property
    def verdict(self) -> str:
        """The verdict: "better" or "worse" where the interval leaves 0 out and one of the two is; else "unclear"."""
        if self.better == "neither" or not (self.low > 0 or self.high < 0):
            return "unclear"
        return "better" if (self.low > 0) == (self.better == "higher") else "worse"

    def __str__(self) -> str:
        interval = f"difference {self.mean:+.3g} ({self.confidence:.0%} interval {self.low:+.3g} to {self.high:+.3g})"
        if self.wins is None:
            return f"{self.names[0]} less {self.names[1]}: {interval}, {self.samples} samples"
        return f"{self.names[0]} is better than {self.names[1]} on {self.wins} of {self.samples} samples; {interval}"

    __repr__ = __str__


def mean_of_defined(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean along an axis of what is finite; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def paired(
    values: np.ndarray,
    others: np.ndarray,
    *,
    better: str = "higher",
    names: tuple[str, str] = ("the one", "the other"),
    confidence: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> Paired:
    """The paired comparison of scores: `d_i = values_i - others_i`, and an interval of the mean of d by the bootstrap.

    The interval is bias-corrected and accelerated (BCa); of fewer than 10 samples it is Student's t, for the bootstrap
    knows of no spread but theirs: of two samples that are better by chance, it would say that all are. Samples for
    which either is undefined are left out.

    Args:
        values, others: Scores of the same samples, `(samples,)` each.
        better: "higher" or "lower" scores are better; "neither".
        names: Of the two.
        confidence: Level of the interval.
        resamples: How many times the samples are drawn anew.
        seed: Of the draws: the same call gives the same interval.

    Raises:
        ValueError: They are not of as many samples, or confidence is none.

    Source: Efron 1987, "Better Bootstrap Confidence Intervals"; computed by SciPy.
    """
    if np.shape(values) != np.shape(others) or np.ndim(values) != 1:
        raise ValueError(
            f"scores are compared sample by sample, one number each: got shapes {np.shape(values)} and "
            f"{np.shape(others)}"
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}")
    both = np.isfinite(values) & np.isfinite(others)
    differences = np.full(np.shape(values), np.nan)
    np.subtract(values, others, out=differences, where=both)
    found = differences[np.isfinite(differences)]
    mean = float(found.mean()) if len(found) else float("nan")
    error = float(found.std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else float("nan")
    low, high = _interval(found, confidence, resamples, seed)
    sign = {"higher": 1.0, "lower": -1.0}.get(better)
    wins = None if sign is None else int((sign * found > 0).sum())
    losses = None if sign is None else int((sign * found < 0).sum())
    return Paired(names, differences, mean, error, low, high, confidence, better, wins, losses)


def _interval(found: np.ndarray, confidence: float, resamples: int, seed: int) -> tuple[float, float]:
    if len(found) < 2:
        return float("nan"), float("nan")  # one sample says nothing of its spread
    if np.ptp(found) <= 1e-12 * np.abs(found).max():  # equal, but for rounding
        return float(found.mean()), float(found.mean())
    try:
        from scipy import stats
    except ImportError as error:
        raise not_importable("confidence intervals need SciPy", "metrics", error) from error
    if len(found) < FEW:
        mean, spread = found.mean(), found.std(ddof=1) / np.sqrt(len(found))
        reach = stats.t.ppf((1 + confidence) / 2, len(found) - 1) * spread
        return float(mean - reach), float(mean + reach)
    at_once = max(1, 10**7 // len(found))  # resamples in memory
    interval = stats.bootstrap(
        (found,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        batch=at_once,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
