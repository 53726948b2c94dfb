"""Scores, and two analyzers' compared in pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kerasexplain.metrics import Deletion, RegionPerturbation, Scores, Sparseness, paired
from kerasexplain.metrics.scores import mean_of_defined

pytestmark = pytest.mark.once("numpy and SciPy alone")

A, B = np.array([3.0, 1.0, 4.0, 1.0, 5.0]), np.array([2.0, 7.0, 1.0, 1.0, 2.0])
nan = float("nan")


def test_differences_and_their_interval() -> None:
    found = paired(np.tile(A, 2), np.tile(B, 2))
    d = np.tile([1.0, -6, 3, 0, 3], 2)
    np.testing.assert_array_equal(found.differences, d)
    assert found.mean == pytest.approx(0.2)
    assert found.standard_error == pytest.approx(stats.sem(d))
    assert (found.wins, found.losses, found.samples) == (6, 2, 10)
    # BCa by hand: the bias z from the share of resamples below the mean, the acceleration from leaving one out.
    means = np.random.default_rng(1).choice(d, (9999, 10)).mean(axis=1)
    share = (np.sum(means < d.mean()) + np.sum(means <= d.mean())) / (2 * len(means))
    z = stats.norm.ppf(share)
    left = d.mean() - (d.sum() - d) / 9
    left -= left.mean()
    a = -np.sum(left**3) / (6 * np.sum(left**2) ** 1.5) * -1
    ends = [stats.norm.cdf(z + (z + q) / (1 - a * (z + q))) for q in stats.norm.ppf([0.025, 0.975])]
    by_hand = np.quantile(means, ends)
    assert found.low == pytest.approx(by_hand[0], abs=0.3)
    assert found.high == pytest.approx(by_hand[1], abs=0.3)
    assert found.verdict == "unclear"


def test_the_same_seed_gives_the_same_interval() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 20))
    first, again, other = (paired(a, b, seed=seed) for seed in (0, 0, 1))
    assert (first.low, first.high) == (again.low, again.high)
    assert (first.low, first.high) != (other.low, other.high)
    assert paired(a, b, confidence=0.5).high < first.high


@pytest.mark.parametrize(
    ("better", "verdict", "wins"), [("higher", "better", 4), ("lower", "worse", 0), ("neither", "unclear", None)]
)
def test_verdicts(better: str, verdict: str, wins: int | None) -> None:
    found = paired([1.0, 2, 3, 4], [0.0, 0, 0, 0], better=better, names=("a", "b"))
    assert (found.verdict, found.wins) == (verdict, wins)
    assert str(found).startswith("a less b" if wins is None else f"a is better than b on {wins} of 4 samples")


def test_undefined_samples_are_left_out() -> None:
    found = paired([1.0, nan, 3, math.inf, 2], [0.0, 1, nan, math.inf, 0])
    np.testing.assert_array_equal(found.differences, [1, nan, nan, nan, 2])
    assert found.samples == found.wins == 2
    assert found.mean == 1.5


@pytest.mark.parametrize(
    ("values", "interval"), [([], (nan, nan)), ([2.0], (nan, nan)), ([2.0, 2.0], (2, 2)), ([0.0, 0.0], (0, 0))]
)
def test_few_samples(values: list[float], interval: tuple[float, float]) -> None:
    found = paired(values, np.zeros(len(values)))
    np.testing.assert_array_equal([found.low, found.high], interval)
    assert found.verdict == ("better" if interval == (2, 2) else "unclear")
    assert str(found)


def test_two_samples_that_differ() -> None:
    """Two scores that are better are no proof: Student's t of one degree of freedom reaches 12.7 standard errors."""
    found = paired([1.0, 2.0], [0.0, 0.0])
    assert (found.low, found.high) == pytest.approx((1.5 - 12.7062 * 0.5, 1.5 + 12.7062 * 0.5), abs=1e-4)
    assert found.verdict == "unclear"


def test_few_samples_are_seldom_called_better_by_chance(rng: np.random.Generator) -> None:
    """Of differences that are noise, a 95% interval leaves 0 out one time in twenty; the bootstrap's would, of three
    samples, one time in four."""
    verdicts = [paired(rng.normal(size=3), np.zeros(3)).verdict for _ in range(400)]
    assert 0.02 < np.mean([verdict != "unclear" for verdict in verdicts]) < 0.09


def test_scores_of_one_metric_are_compared() -> None:
    metric = Deletion()
    ours, theirs = Scores(metric, "a", A), Scores(metric, "b", B)
    found = ours.against(theirs)
    assert found.names == ("a", "b")
    assert (found.wins, found.losses) == (1, 3)  # lower is better
    with pytest.raises(ValueError, match="scores of two metrics"):
        ours.against(Scores(Deletion(fill=0), "b", B))
    with pytest.raises(ValueError, match=r"sample by sample.*\(5,\) and \(4,\)"):
        ours.against(Scores(metric, "b", B[:4]))
    with pytest.raises(ValueError, match="confidence"):
        ours.against(theirs, confidence=95)


def test_mean_and_standard_error() -> None:
    scores = Scores(RegionPerturbation(), "a", np.array([1.0, nan, 3.0]))
    assert (scores.mean, scores.standard_error, scores.defined, len(scores)) == (2, 1, 2, 3)
    assert str(scores) == "a, region_perturbation: 2 (standard error 1, 2 samples, 1 of 3 samples undefined)"
    one = Scores(Sparseness(), "a", np.array([1.0]))
    assert math.isnan(one.standard_error)


def test_mean_of_what_is_defined() -> None:
    np.testing.assert_array_equal(mean_of_defined(np.array([[1, nan, 3], [nan, nan, nan]])), [2, nan])
    np.testing.assert_array_equal(mean_of_defined(np.array([[1, nan], [3, nan]]), axis=0), [2, nan])
