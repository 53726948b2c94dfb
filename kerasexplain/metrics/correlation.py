"""Metrics of whether a map adds up: the relevance of random parts against what removing them does to the output."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from kerasexplain.foundation.checks import check_choice, check_count
from kerasexplain.foundation.config import saved_by_keyword
from kerasexplain.foundation.errors import InputError
from kerasexplain.metrics.judged import Judged, Result
from kerasexplain.metrics.perturbation import SUBSETS, Removing
from kerasexplain.metrics.scores import mean_of_defined
from kerasexplain.metrics.units import Units


class _Subsets(Removing):
    """The base of metrics that remove random subsets of the parts."""

    runs: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("runs", self.runs)

    def _drawn(self, judged: Judged, units: Units, sizes: np.ndarray) -> np.ndarray:
        """Subsets of given sizes for every sample, truth values `(samples, subsets, parts)`."""
        flags = np.zeros((judged.samples, len(sizes), units.count), bool)
        for i in range(judged.samples):
            generator = judged.generator(self.seed, i, SUBSETS)
            for k, size in enumerate(sizes):
                flags[i, k, generator.choice(units.count, size, replace=False)] = True
        return flags

    def _falls(self, judged: Judged, units: Units, flags: np.ndarray) -> np.ndarray:
        """By how much the explained value falls without each subset, `(samples, subsets)`."""
        removal = self.removal(judged, units)
        return judged.explained[:, None] - judged.values(
            flags.shape[1], lambda rows, copies: removal(rows, flags[rows, copies])
        )


def _sums(judged: Judged, units: Units, flags: np.ndarray) -> np.ndarray:
    """The relevance of every subset, `(samples, subsets)`."""
    return np.asarray(np.einsum("nku,nu->nk", flags, units.sums(judged.relevance)))


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the last axis; NaN where either side is constant, but for rounding."""
    parts = []
    for x in (a, b):
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).sum(axis=-1))
        # Sums of equal numbers in another order differ in their last digits, which mean nothing.
        parts.append((centred, np.where(spread > 1e-12 * np.sqrt((x**2).sum(axis=-1)), spread, 0.0)))
    (a, first), (b, second) = parts
    scale = first * second
    return np.divide((a * b).sum(axis=-1), scale, out=np.full(scale.shape, np.nan), where=scale > 0)


@saved_by_keyword
class FaithfulnessCorrelation(_Subsets):
    """The correlation of the relevance of random subsets with the fall of the explained value without them.

        score = corr_S( sum_{i in S} R_i ,  f(x) - f(x without S) )

    over `runs` subsets S of `subset` parts each. 1 is best. It is not defined, NaN, where all subsets are equally
    relevant, as in a constant map, or removing them changes nothing.

    Args:
        subset: Number of parts in a subset; None: a fifth of all, at least 1.
        runs: Number of subsets.
        fill, size, regions, which, seed: As for `RegionPerturbation`.

    Source: Bhatt et al. 2020, "Evaluating and Aggregating Feature-based Model Explanations", section 3.
    """

    name: ClassVar[str] = "faithfulness_correlation"

    subset: int | None = None
    runs: int = 100
    fill: Any = "uniform"
    size: Any = None
    regions: Any = None
    which: Any = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.subset is not None:
            check_count("subset", self.subset)

    def scores(self, judged: Judged) -> Result:
        units = self.units(judged)
        subset = max(1, units.count // 5) if self.subset is None else self.subset
        if subset > units.count:
            raise InputError(f"a subset of {subset} parts cannot be drawn from {units.count}: see size=")
        flags = self._drawn(judged, units, np.full(self.runs, subset))
        return Result(pearson(_sums(judged, units, flags), self._falls(judged, units, flags)))


@saved_by_keyword
class SensitivityN(_Subsets):
    """The same correlation for subsets of n parts, for several n; the score is the mean over n.

        score_n = corr_S, |S| = n ( sum_{i in S} R_i ,  f(x) - f(x without S) )

    A method has the property "sensitivity-n" if it is 1. `curves` has the correlation by n. NaN where it is not
    defined, and left out of the mean.

    Args:
        shares: The n, as shares of all parts, in whole parts; what is the same number of parts counts once.
        runs: Number of subsets for each n.
        fill, size, regions, which, seed: As for `RegionPerturbation`.

    Source: Ancona et al. 2018, "Towards Better Understanding of Gradient-based Attribution Methods for Deep Neural
    Networks", section 4.
    """

    name: ClassVar[str] = "sensitivity_n"

    shares: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
    runs: int = 30
    fill: Any = 0.0
    size: Any = None
    regions: Any = None
    which: Any = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.size(self.shares) or not np.all((np.asarray(self.shares) > 0) & (np.asarray(self.shares) <= 1)):
            raise ValueError(f"shares must be above 0 and at most 1, got {self.shares!r}")

    def scores(self, judged: Judged) -> Result:
        units = self.units(judged)
        sizes = np.unique(np.maximum(1, np.round(np.asarray(self.shares) * units.count)).astype(int))
        flags = self._drawn(judged, units, np.repeat(sizes, self.runs))
        each = (judged.samples, len(sizes), self.runs)
        sums, falls = _sums(judged, units, flags), self._falls(judged, units, flags)
        found = pearson(sums.reshape(each), falls.reshape(each))
        return Result(mean_of_defined(found), {}, {self.name: found}, {self.name: sizes / units.count})


@saved_by_keyword
class Infidelity(_Subsets):
    """The mean squared error of the relevance of random subsets as a prediction of the fall without them.

        score = mean_S ( scale sum_{i in S} R_i  -  (f(x) - f(x without S)) )^2

    With `of="gradient"`, for maps that are derivatives, the sum is that of `(x - x without S)_i R_i`. Lower is better.
    With `scaled` the scale is the one, for each sample, that makes the error smallest, so that maps of other units can
    be compared: `sum_S a_S b_S / sum_S a_S^2`. Otherwise it is 1.

    Args:
        of: "relevance", of which a sum over a subset stands for its effect, or "gradient".
        scaled: Whether the scale is free.
        runs: Number of subsets; each holds any part with probability a half.
        fill, size, regions, which, seed: As for `RegionPerturbation`.

    Source: Yeh et al. 2019, "On the (In)fidelity and Sensitivity of Explanations", definition 2.1 and section 3.
    """

    name: ClassVar[str] = "infidelity"
    better: ClassVar[str] = "lower"

    of: str = "relevance"
    scaled: bool = True
    runs: int = 100
    fill: Any = 0.0
    size: Any = None
    regions: Any = None
    which: Any = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("of", self.of, ("relevance", "gradient"))
        check_choice("scaled", self.scaled, (True, False))

    def scores(self, judged: Judged) -> Result:
        units = self.units(judged)
        flags = np.stack(
            [
                judged.generator(self.seed, i, SUBSETS).random((self.runs, units.count)) < 0.5
                for i in range(judged.samples)
            ]
        )
        predicted = _sums(judged, units, flags) if self.of == "relevance" else self._derived(judged, units, flags)
        falls = self._falls(judged, units, flags)
        scale = np.ones((judged.samples, 1))
        if self.scaled:
            squares = (predicted**2).sum(axis=1, keepdims=True)
            products = (predicted * falls).sum(axis=1, keepdims=True)
            scale = np.divide(products, squares, out=np.zeros_like(squares), where=squares > 0)
        return Result(((scale * predicted - falls) ** 2).mean(axis=1))

    def _derived(self, judged: Judged, units: Units, flags: np.ndarray) -> np.ndarray:
        judged.check_channels("of='gradient'")
        removal = self.removal(judged, units)
        predicted = np.zeros(flags.shape[:2])
        rows = np.arange(judged.samples)
        for k in range(flags.shape[1]):
            without = removal(rows, flags[:, k])
            for x, y, relevance in zip(judged.inputs, without, judged.relevance, strict=True):
                change = (x.astype("float64") - y) * relevance
                predicted[:, k] += change.reshape(judged.samples, -1).sum(axis=1)
        return predicted
