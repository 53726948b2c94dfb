"""The choice of an analyzer for a model, by measurement."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kerasexplain import tables
from kerasexplain.analyzer import Analyzer
from kerasexplain.evaluation.choice.candidates import PRESETS, Candidate, candidates
from kerasexplain.evaluation.choice.halving import Bench, Tried, search
from kerasexplain.evaluation.comparing import common_options
from kerasexplain.evaluation.trials import Samples, check_seconds, default_fills, fit_if_needed, teller
from kerasexplain.foundation.checks import check_count, check_seed
from kerasexplain.foundation.errors import InputError, UnsupportedModelError
from kerasexplain.metrics.perturbation import RegionPerturbation
from kerasexplain.metrics.scores import Paired, paired
from kerasexplain.metrics.units import Units
from kerasexplain.metrics.value import ExplainedValue

if TYPE_CHECKING:
    import pandas

#: Fewer samples cannot be split into some for the search and some for the report.
LEAST = 6
#: How many steps a perturbation curve of the search has, and which share of the input they remove at most.
STEPS, SHARE = 20, 0.15


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Choice(tables.Tabled):
    """The analyzer that fits a model, found by measurement; made by `kerasexplain.choose`.

    Attributes:
        analyzer: The analyzer, an ordinary one that can be saved.
        label: What the table calls it.
        table: A row of plain data for everything that was tried, the best first: `label`, `round` (the last one that it
            took part in; 0 for what the model cannot be explained by), `search` (its mean gain over random orders on
            the samples of the search), `samples` (how many of them it was judged on), `report` (its mean gain on the
            samples of the report, or None) and `refused` (why it was not judged).
        against: The choice compared with others on the samples of the report, which the search has not seen: "random",
            the runner-up and presets, by label.
        metrics: What was measured: region perturbation under each fill.
        searched, reported: The numbers of the samples of both parts.
        seconds: What the search took.
    """

    analyzer: Analyzer
    label: str
    table: list[dict[str, Any]]
    against: dict[str, Paired]
    metrics: list[RegionPerturbation]
    searched: np.ndarray
    reported: np.ndarray
    seconds: float

    @property
    def beats_random(self) -> bool:
        """Whether the 95% interval of the gain over random orders lies above 0, on samples it was not chosen on."""
        return self.against["random"].verdict == "better"

    @property
    def verdict(self) -> str:
        """The outcome in a sentence."""
        found = self.against["random"]
        measured = f"{found.mean:+.3g} with a standard error of {found.standard_error:.2g}, {found.samples} samples"
        if self.beats_random:
            return f"{self.label} is better than a random order on samples it was not chosen on: {measured}."
        if found.mean > 2 * found.standard_error:
            return (
                f"{self.label} is ahead of a random order on samples it was not chosen on, {measured}, which are "
                f"too few to be sure of it: its 95% interval is {found.low:+.3g} to {found.high:+.3g}. Pass more."
            )
        return (
            f"Nothing that was tried is clearly better than a random order on this model and these data; {self.label} "
            f"came out best in the search, and on other samples it is {measured} above random. Do not trust its maps, "
            "or those of any other, before more samples, other fills or other sizes of region say otherwise."
        )

    def to_dataframe(self) -> pandas.DataFrame:
        """The table. Needs pandas."""
        import pandas

        return pandas.DataFrame(self.table)

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        rows = [
            [
                row["label"],
                str(row["round"]),
                "-" if row["search"] is None else f"{row['search']:+.3g} ({row['samples']})",
                "-" if row["report"] is None else f"{row['report']:+.3g}",
                row["refused"],
            ]
            for row in self.table
        ]
        return ["analyzer", "round", "search", "report", "refused because"], rows

    def _notes(self) -> list[str]:
        fills = ", ".join(repr(metric.fill) for metric in self.metrics)
        return [
            self.verdict,
            *(str(each) for each in self.against.values()),
            f"Numbers are areas over the perturbation curve above those of random orders, mean over the fills {fills}: "
            f"on {len(self.searched)} samples of the search (in brackets how many of them it was judged on), and on "
            f"the {len(self.reported)} others that the report is of. The order is that of the mean less two standard "
            "errors, under the fill where that is least.",
        ]

    def _table(self) -> tables.Table:
        headings, rows = self._cells()
        shown = [(heading, "right" if heading in ("round", "search", "report") else "left") for heading in headings]
        return tables.Table(f"analyzers tried on {self.analyzer.model.name}", shown, rows, self._notes())

    def __repr__(self) -> str:
        return f"<Choice of {self.label} among {len(self.table)}: {self.verdict}>"


def choose(
    model: keras.Model,
    data: Any,
    *,
    targets: Any = None,
    seconds: float = 300.0,
    seed: int = 0,
    fills: Sequence[Any] | None = None,
    size: Any = None,
    background: Any = None,
    samples: int | None = None,
    trials: int | None = None,
    batch_size: int | str | None = None,
    verbose: int = 0,
    **options: Any,
) -> Choice:
    """The analyzer whose maps are truest to a model, found by measurement.

    What is measured is faithfulness: the area over the curve of region perturbation, less that of random orders, mean
    over several fills (see `kerasexplain.metrics.RegionPerturbation`). Known methods and composites of rules, by depth
    and kind of layer, with and without biases, are tried by successive halving on two thirds of the samples. They are
    ranked by what they surely gain: the mean less two standard errors, under the fill where that is least. The rest of
    the samples says how good the choice is: it is compared there with random orders, the runner-up and presets.

    The same call gives the same choice, as long as the same number of candidates is planned: it follows from the time,
    in coarse steps, or from `trials`.

    Args:
        model: The model.
        data: Samples, as for `Analyzer.analyze`: at least 6, and better 20 or more. A stream is read into memory.
        targets: What is explained, as `target` of `Analyzer.analyze`; by default the largest output of each sample.
        seconds: The budget of time, roughly. At least four candidates are tried, and the report is made, however long
            that takes.
        seed: Of the split, the random orders, the fills and the candidates.
        fills: What stands in place of what is removed, as for a metric: several, for one alone is an argument of its
            own. By default "uniform" and "blur" for images and signals, "mean" and "other" for tables, "other" for ids.
        size: Size of the regions, as for a metric.
        background: Other samples that fills are made of, and analyzers fitted to; by default the data.
        samples: How many samples are taken, at most; None takes all.
        trials: How many candidates are tried, whatever the time.
        batch_size: How many samples, or changed copies, run at once.
        verbose: 1 tells on stderr how far the search is.
        **options: Common options of analyzers, such as `output=` or `explain=`.

    Returns:
        The choice. Whether it is worth anything is said by `choice.beats_random` and in `print(choice)`.

    Raises:
        InputError: The data do not fit the model, or are too few.
        UnsupportedModelError: The model can be explained by none of the candidates.
        ValueError: An option has no legal value.

    Source: successive halving: Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter
    Optimization". That the choice of rules is one of the model's: Kohlbrenner et al. 2020, "Towards Best Practice in
    Explaining Neural Network Decisions with LRP"; Pahde et al. 2022, "Optimizing Explanations by Network Canonization
    and Hyperparameter Search".

    Example:
        >>> choice = kerasexplain.choose(model, images, seconds=120)
        >>> print(choice)
        >>> choice.analyzer.save("analyzer.json")
    """
    begin = time.perf_counter()
    check_seed(seed)
    if not isinstance(model, keras.Model):
        raise TypeError(f"choose takes a Keras model and data, got {type(model).__name__}")
    check_seconds(seconds)
    for name, count in (("samples", samples), ("trials", trials)):
        if count is not None:
            check_count(name, count)
    tell = teller(verbose)
    value = ExplainedValue(model, common_options(options))
    found = Samples.gathered(value, data, targets, None, background, samples)
    if len(found) < LEAST:
        raise InputError(
            f"choose needs at least {LEAST} samples, some to search on and others to report on, and got {len(found)}: "
            "with fewer, compare analyzers by kerasexplain.compare"
        )
    metrics = measures(found, value.names(found.x), fills, size, seed)
    order = np.random.default_rng(seed).permutation(len(found))
    split = max(4, round(len(found) * 2 / 3))
    searched, reported = np.sort(order[:split]), np.sort(order[split:])
    bench = Bench(value, found, metrics, seed, batch_size)
    low, high = min(float(x.min()) for x in found.inputs), max(float(x.max()) for x in found.inputs)
    pool = candidates(value, low, high, _is_image(found), seed)
    tried = search(bench, searched, pool, seconds=seconds, trials=trials, seed=seed, told=tell)
    alive = [each for each in tried if each.round]
    if not alive:
        raise UnsupportedModelError(f"none of {len(tried)} candidates explains the model; {tried[0].refused}")
    tell("report")
    gains = _report(bench, reported, tried)
    label = alive[0].candidate.label
    zeros = np.zeros(len(reported))
    against = {
        name: paired(gains[label], other, names=(label, name), seed=seed)
        for name, other in {"random": zeros, **gains}.items()
        if name != label
    }
    table = [_row(each, gains) for each in tried]
    analyzer = alive[0].candidate.made(value)
    fit_if_needed(analyzer, found)
    return Choice(analyzer, label, table, against, metrics, searched, reported, time.perf_counter() - begin)


def measures(
    samples: Samples, names: Sequence[str], fills: Sequence[Any] | None, size: Any, seed: int
) -> list[RegionPerturbation]:
    """Region perturbation under each fill, with as many steps as the search can afford.

    Args:
        samples: The samples.
        names: Of the model's inputs.
        fills, size, seed: As for `choose`.
    """
    fills = default_fills(samples) if fills is None else fills
    if isinstance(fills, str) or not len(fills):
        raise ValueError(f"fills is a list of fills, such as ['uniform', 'blur'], got {fills!r}")
    count = Units.of([array[:1] for array in samples.inputs], names, size=size).count
    per_step = max(1, round(SHARE * count / STEPS))
    steps = min(STEPS, count // per_step)
    return [RegionPerturbation(fill=fill, size=size, steps=steps, per_step=per_step, seed=seed) for fill in fills]


def _is_image(samples: Samples) -> bool:
    first = samples.inputs[0]
    return len(samples.inputs) == 1 and first.ndim > 3 and not samples.holds_ids


def _report(bench: Bench, rows: np.ndarray, tried: Sequence[Tried]) -> dict[str, np.ndarray]:
    """Gains on samples that the search has not judged: of the best, of the runner-up, and of presets."""
    by_label = {each.candidate.label: each for each in tried}
    missing = [Candidate(name, name) for name in PRESETS if name not in by_label]
    shown = [*tried[:2], *(by_label[name] for name in PRESETS if name in by_label), *map(bench.tried, missing)]
    return {each.candidate.label: bench.gains(each.maps, rows).mean(axis=0) for each in shown if not each.refused}


def _row(tried: Tried, gains: dict[str, np.ndarray]) -> dict[str, Any]:
    label = tried.candidate.label
    return {
        "label": label,
        "round": tried.round,
        "search": tried.mean if tried.round else None,
        "samples": tried.gains.shape[1],
        "report": float(gains[label].mean()) if label in gains else None,
        "refused": tried.refused,
    }
