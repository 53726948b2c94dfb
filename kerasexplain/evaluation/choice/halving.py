"""The search of `choose`: successive halving, in which maps are made once and every round judges more samples."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerasexplain.evaluation.choice.candidates import Candidate
from kerasexplain.evaluation.trials import Samples, fit_if_needed
from kerasexplain.foundation.errors import NotFiniteError, plain
from kerasexplain.metrics.judging import judge
from kerasexplain.metrics.perturbation import RegionPerturbation
from kerasexplain.metrics.value import ExplainedValue

#: How many candidates may be planned: few numbers, so that two runs on one machine plan the same.
LADDER = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
#: The best of so many candidates goes on to the next round.
ETA = 3
#: The share of the time that the plan fills; the rest is for the report, and for what the estimate misses.
FILLED = 0.7
#: The first round judges at least so many samples.
FIRST = 4
#: Random orders that maps are compared with.
ORDERS = 3


@dataclasses.dataclass
class Tried:
    """A candidate, and what came of it.

    Attributes:
        candidate: The candidate.
        gains: By how much its area over the perturbation curve is above that of random orders, `(fills, samples)`, for
            the samples of the search that it was judged on.
        round: The last round that it took part in, counted from 1; 0 where there are no maps.
        refused: Why there are none.
        maps: Of all samples, those of the report as well, whose gains the search never asks for.
    """

    candidate: Candidate
    gains: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((1, 0)))
    round: int = 0
    refused: str = ""
    maps: Any = dataclasses.field(default=None, repr=False)

    @property
    def mean(self) -> float:
        """The mean gain over samples and fills."""
        return float(self.gains.mean()) if self.gains.size else float("-inf")

    @property
    def sure(self) -> float:
        """The number to rank by: the mean gain less two standard errors, under the fill where that is least.

        A candidate that is good on one image out of five, or under one fill out of two, is not taken for the best.
        """
        if not self.gains.size:
            return float("-inf")
        return float((self.gains.mean(axis=1) - 2 * standard_error(self.gains)).min())


def standard_error(values: np.ndarray) -> np.ndarray:
    """The standard error of the mean along the last axis; 0 for a single value, of which nothing is known."""
    count = values.shape[-1]
    return np.asarray(np.std(values, axis=-1, ddof=min(1, count - 1)) / np.sqrt(count))


class Bench:
    """Samples on which maps are judged against random orders.

    Args:
        value: The explained value of the model.
        samples: The samples.
        metrics: Region perturbation, under each fill.
        seed: Of the random orders.
        batch_size: As for a metric.
    """

    def __init__(
        self,
        value: ExplainedValue,
        samples: Samples,
        metrics: Sequence[RegionPerturbation],
        seed: int,
        batch_size: int | str | None,
    ) -> None:
        self.value, self.samples = value, samples
        self._metrics, self._batch_size = metrics, batch_size
        generators = [np.random.default_rng([seed, order]) for order in range(ORDERS)]
        noise = [
            keras.tree.map_structure(lambda x, g=g: g.standard_normal(np.shape(x)), samples.x)  # type: ignore[misc]
            for g in generators
        ]
        self._random = np.mean([self._areas(maps, np.arange(len(samples))) for maps in noise], axis=0)

    def tried(self, candidate: Candidate) -> Tried:
        """The candidate with the maps of all samples, or with the reason why there are none."""
        try:
            analyzer = candidate.made(self.value)
            fit_if_needed(analyzer, self.samples)
            maps = analyzer.analyze(self.samples.x, self.samples.target, batch_size=self._batch_size)
        except (ValueError, NotFiniteError, MemoryError) as error:
            return Tried(candidate, refused=plain(error))
        return Tried(candidate, maps=maps)

    def gains(self, maps: Any, rows: np.ndarray) -> np.ndarray:
        """By how much maps are better than random orders, for some samples, `(fills, samples)`."""
        return np.asarray(self._areas(maps, rows) - self._random[:, rows])

    def _areas(self, maps: Any, rows: np.ndarray) -> np.ndarray:
        """The area over the curve, `(fills, samples)`."""
        part = self.samples.at(rows)
        relevance = keras.tree.map_structure(lambda array: np.asarray(array)[rows], maps)
        scores = judge(
            self.value.model,
            self._metrics,
            part.x,
            part.target,
            background=part.background,
            relevance=relevance,
            value=self.value,
            batch_size=self._batch_size,
        )
        return np.stack([score.values for score in scores])


def search(
    bench: Bench,
    rows: np.ndarray,
    candidates: Sequence[Candidate],
    *,
    seconds: float,
    trials: int | None,
    seed: int,
    told: Callable[[str], None],
) -> list[Tried]:
    """The candidates that were tried, the best first.

    In the first round every candidate is judged on a third of the samples; the third of the candidates that is best by
    `Tried.sure` goes on to twice as many, and so on, until the last round has all of them. How many candidates there
    are is planned from the time that the first two take, in steps so coarse that it is the same from run to run; it may
    be given instead.

    Args:
        bench: All samples.
        rows: The numbers of the samples of the search.
        candidates: In the order in which they are tried.
        seconds: The budget.
        trials: How many are tried; None for as many as the time allows.
        seed: Of the order of samples.
        told: Is called with a line of progress.
    """
    begin = time.perf_counter()
    order = np.random.default_rng([seed, ORDERS]).permutation(rows)
    sizes = rounds(len(rows))
    tried: list[Tried] = []
    planned = trials or len(candidates)
    clock = begin
    for number, candidate in enumerate(candidates):
        if number >= planned:
            break
        told(f"round 1, {number + 1} of {min(planned, len(candidates))}: {candidate.label}")
        each = bench.tried(candidate)
        if not each.refused:
            each.gains, each.round = bench.gains(each.maps, order[: sizes[0]]), 1
        tried.append(each)
        now = time.perf_counter()
        if trials is None and number == 1:  # the first has compiled what all of them share
            planned = plan(seconds, now - begin, now - clock, sizes, len(candidates))
        if trials is None and now - begin > 2 * seconds:
            break  # something took far longer than the second candidate did
        clock = now
    alive = [each for each in tried if each.round]
    for number, size in enumerate(sizes[1:], 2):
        alive = sorted(alive, key=lambda each: -each.sure)[: max(2, -(-len(alive) // ETA))]
        for each in alive:
            told(f"round {number}, {size} samples: {each.candidate.label}")
            new = order[sizes[number - 2] : size]
            each.gains = np.concatenate([each.gains, bench.gains(each.maps, new)], axis=1)
            each.round = number
    ranked = sorted(tried, key=lambda each: (-each.round, -each.sure))
    return _thrifty(ranked) if ranked and ranked[0].round else ranked


def _thrifty(ranked: list[Tried]) -> list[Tried]:
    """The same, where a method of several passes comes first only if it is better by more than a standard error."""
    best = ranked[0]
    single = next((each for each in ranked if each.candidate.passes == 1 and each.round == best.round), best)
    ahead = (best.gains - single.gains).mean(axis=0)  # of the same samples, as they are of one round
    if single is best or ahead.mean() > standard_error(ahead):
        return ranked
    return [single, *(each for each in ranked if each is not single)]


def rounds(samples: int) -> list[int]:
    """How many samples each round looks at."""
    sizes = [min(samples, max(FIRST, -(-samples // 3)))]
    while sizes[-1] < samples:
        sizes.append(min(samples, 2 * sizes[-1]))
    return sizes


def plan(seconds: float, spent: float, each: float, sizes: Sequence[int], most: int) -> int:
    """How many candidates fit into the time, of the numbers on the ladder.

    Args:
        seconds: The budget.
        spent: Seconds that are gone.
        each: Seconds that one candidate takes in the first round.
        sizes: Of the rounds, in samples.
        most: How many candidates there are.
    """
    # Later rounds only add forward passes; at most as much per sample as the first round takes in all.
    per_candidate, share = each, 1.0
    for before, size in itertools.pairwise(sizes):
        share /= ETA
        per_candidate += share * each * (size - before) / sizes[0]
    fitting = (FILLED * seconds - spent) / per_candidate
    return min(most, max((rung for rung in LADDER if rung <= fitting), default=LADDER[0]))
