"""Trials: analyzers put to the same samples and the same metrics, one after the other."""

from __future__ import annotations

import dataclasses
import numbers
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasexplain import registry
from kerasexplain.analyzer import Analyzer
from kerasexplain.create import create_analyzer
from kerasexplain.foundation.errors import InputError, NotFiniteError, plain
from kerasexplain.foundation.showing import Shown
from kerasexplain.foundation.text import visible_lines
from kerasexplain.metrics import PointingGame, RegionPerturbation, RelevanceInside, Sparseness
from kerasexplain.metrics.judging import check_explained, judge, masks_of
from kerasexplain.metrics.metric import Metric
from kerasexplain.metrics.scores import Scores
from kerasexplain.metrics.value import ExplainedValue
from kerasexplain.runtime.embedded import holding_ids
from kerasexplain.runtime.inputs import as_array, as_arrays
from kerasexplain.runtime.streams import is_stream

#: What every comparison holds: what a map has to beat. Edges are those of images and signals alone.
CONTROLS = ("random", "edges")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Trial(Shown):
    """One analyzer's result.

    Attributes:
        name: Of the analyzer in this comparison.
        config: The analyzer's configuration; None where it was not made.
        scores: By the metric's label.
        seconds: What the explanation of a single sample takes, once everything is compiled; NaN where there is none.
        relevance: The maps, in the structure of the input; None where there are none.
        skipped: Why there are no scores; "" where there are.
    """

    name: str
    config: dict[str, Any] | None = None
    scores: dict[str, Scores] = dataclasses.field(default_factory=dict)
    seconds: float = float("nan")
    relevance: Any = None
    skipped: str = ""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Samples(Shown):
    """The samples of a comparison, all in memory, with what is explained of each.

    Attributes:
        x: The model's inputs.
        target: What is explained, one entry for each sample.
        explained: Its value.
        masks, background: As for a metric.
        ids: For each input, whether it holds ids; empty where the arrays' dtypes say so.
    """

    x: Any
    target: Any
    explained: np.ndarray
    masks: np.ndarray | None = None
    background: Any = None
    ids: tuple[bool, ...] = ()

    def __len__(self) -> int:
        return len(self.explained)

    @property
    def inputs(self) -> list[np.ndarray]:
        """The arrays of all inputs."""
        return [np.asarray(array) for array in keras.tree.flatten(self.x)]

    @property
    def holds_ids(self) -> bool:
        """Whether an input holds ids, between which there is nothing."""
        return any(self.ids) or any(array.dtype.kind in "iub" for array in self.inputs)

    def at(self, rows: np.ndarray) -> Samples:
        """Some of them."""
        x = keras.tree.map_structure(lambda array: np.asarray(array)[rows], self.x)
        masks = None if self.masks is None else self.masks[rows]
        background = self.x if self.background is None else self.background
        return Samples(x, np.asarray(self.target)[rows], self.explained[rows], masks, background, self.ids)

    @classmethod
    def gathered(
        cls, value: ExplainedValue, data: Any, target: Any, masks: Any, background: Any, limit: int | None
    ) -> Samples:
        """The samples of arrays or of a stream, as many as there may be.

        Args:
            value: The explained value of the model.
            data, target, masks, background: As for a metric.
            limit: How many at most; None for all.
        """
        xs, targets, explained, kept = [], [], [], []
        count = 0
        ids: tuple[bool, ...] = ()
        if masks is not None and not callable(masks):
            masks = as_array(masks)
        for batch, passes, told, neuron in value.batches(data, target):
            ids = ids or holding_ids(passes.pipelines.of(batch.arrays))
            xs.append(batch.structure(batch.arrays))
            targets.append(np.asarray(neuron))
            explained.append(np.asarray(told, "float64"))
            if masks is not None:
                kept.append(masks_of(masks, batch))
            count += batch.count
            if limit is not None and count >= limit:
                break
        if background is not None:
            value.arrays(background)  # what does not fit is reported before anything runs
        elif limit is not None and not is_stream(data):
            background = as_arrays(data)  # what is left out still is of the data, and fills may be made of it
        found = cls(
            keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *xs),
            np.concatenate(targets),
            np.concatenate(explained),
            np.concatenate(kept) if kept else None,
            background,
            ids,
        )
        if limit is None or len(found) <= limit:
            return found
        return found.at(np.arange(limit))


def default_fills(samples: Samples) -> tuple[str, ...]:
    """The fills where none are named: those that can stand in for every input."""
    if samples.holds_ids:
        return ("other",)
    return ("uniform", "blur") if all(array.ndim > 2 for array in samples.inputs) else ("mean", "other")


def default_metrics(samples: Samples) -> list[Metric]:
    """The metrics where none are named: faithfulness under two fills, sparseness, and with masks localisation."""
    chosen: list[Metric] = [RegionPerturbation(fill=fill) for fill in default_fills(samples)]
    chosen.append(Sparseness())
    if samples.masks is not None:
        chosen += [RelevanceInside(), PointingGame()]
    return chosen


def analyzers_by_name(analyzers: Any) -> dict[str, Any]:
    """Analyzers, or their names, by the name they have in a comparison; by default the whole catalogue."""
    if analyzers is None:
        return {name: name for name in registry.names()}
    by_name = analyzers.items() if isinstance(analyzers, Mapping) else None
    if isinstance(analyzers, (str, Analyzer)):
        analyzers = [analyzers]
    found: dict[str, Any] = {}
    for name, analyzer in by_name or [(getattr(each, "name", each), each) for each in analyzers]:
        if isinstance(analyzer, str):
            registry.find(analyzer)  # a typing error is reported before anything runs
        elif not isinstance(analyzer, Analyzer):
            raise TypeError(
                f"analyzers are names, or analyzers as create_analyzer makes them; got {type(analyzer).__name__}"
            )
        if str(name) in found:
            raise ValueError(f"two analyzers are named {name!r}: pass a dict, by names of your own")
        found[str(name)] = analyzer
    return found


def trials(
    value: ExplainedValue,
    samples: Samples,
    analyzers: Mapping[str, Any],
    metrics: Sequence[Metric],
    *,
    seconds: float | None = None,
    batch_size: int | str | None = None,
    told: Callable[[str], None] = lambda line: None,
) -> Iterator[Trial]:
    """The trials of analyzers, one after the other; what fails, or takes too long, is skipped with a reason.

    Args:
        value: The explained value of the model.
        samples: The samples.
        analyzers: By name; an analyzer, or the name of one.
        metrics: The metrics.
        seconds: How long the maps of one analyzer may take; None for as long as they do.
        batch_size: As for a metric.
        told: Is called with a line before each analyzer.
    """
    for number, (name, given) in enumerate(analyzers.items(), 1):
        told(f"{number}/{len(analyzers)} {name}")
        try:
            yield _trial(value, samples, name, given, metrics, seconds, batch_size)
        except Exception as error:  # what the others have taken an hour to find is not lost for one of them
            mistaken = not isinstance(given, str) and isinstance(error, InputError)  # of another value, for one
            if mistaken or name == CONTROLS[0]:
                raise  # there always is noise, and so a metric has failed
            known = isinstance(error, (ValueError, NotFiniteError, MemoryError, IndexError))
            yield Trial(name, skipped=plain(error) if known else f"{type(error).__name__}: {plain(error)}")


def _trial(
    value: ExplainedValue,
    samples: Samples,
    name: str,
    given: Any,
    metrics: Sequence[Metric],
    seconds: float | None,
    batch_size: int | str | None,
) -> Trial:
    analyzer = made(value, given) if isinstance(given, str) else given
    limit = seconds if isinstance(given, str) and name not in CONTROLS else None
    return tried(value, samples, name, analyzer, metrics, seconds=limit, batch_size=batch_size)


def tried(
    value: ExplainedValue,
    samples: Samples,
    name: str,
    analyzer: Analyzer,
    metrics: Sequence[Metric],
    *,
    seconds: float | None = None,
    batch_size: int | str | None = None,
) -> Trial:
    """The trial of one analyzer.

    Args:
        value, samples, metrics, seconds, batch_size: As for `trials`.
        name: What it is called.
        analyzer: The analyzer, which is fitted if it needs to be and is not.

    Raises:
        InputError: Its maps would take longer, or do not explain this value.
        ValueError, NotFiniteError, MemoryError, IndexError: It cannot explain the samples, or a metric cannot judge
            them.
    """
    fit_if_needed(analyzer, samples)
    one = samples.at(np.arange(1))
    analyzer.analyze(one.x, one.target)
    each = _seconds(lambda: analyzer.analyze(one.x, one.target))
    if seconds is not None and each * len(samples) > seconds:
        raise InputError(
            f"its maps would take {each * len(samples):.3g} seconds, more than the {seconds:g} of seconds="
        )
    found = analyzer.explain(samples.x, samples.target, batch_size=batch_size)
    check_explained(repr(name), found.explained, samples.explained)
    common: dict[str, Any] = {"masks": samples.masks, "background": samples.background, "batch_size": batch_size}
    scores = judge(analyzer, metrics, samples.x, samples.target, relevance=found, value=value, name=name, **common)
    by_label = {metric.label: score for metric, score in zip(metrics, scores, strict=True)}
    return Trial(name, analyzer.description, by_label, each, found.relevance)


def made(value: ExplainedValue, name: str, **options: Any) -> Analyzer:
    """The analyzer of that name, with options of its own, that explains the same value."""
    return create_analyzer(name, value.model, **{**value.kept_options(), **options})


def fit_if_needed(analyzer: Analyzer, samples: Samples) -> None:
    """Fits an analyzer that has to be fitted and is not: to the background, or to the samples themselves."""
    try:
        analyzer.method.check_fitted()
    except ValueError:
        analyzer.fit(samples.x if samples.background is None else samples.background)


def check_seconds(seconds: Any) -> None:
    """Raises ValueError unless a budget of time is a number above zero; it may be infinite."""
    if isinstance(seconds, bool) or not isinstance(seconds, numbers.Real) or not float(seconds) > 0:
        raise ValueError(f"seconds must be greater than 0, got {seconds!r}")


def teller(verbose: int) -> Callable[[str], None]:
    """A function that prints lines of progress on stderr, or does nothing."""

    def tell(line: str) -> None:
        if verbose:
            print(visible_lines(line), file=sys.stderr, flush=True)

    return tell


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
