"""The comparison of analyzers on one model and the same samples."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kerasexplain import tables
from kerasexplain.evaluation.trials import CONTROLS, Samples, Trial
from kerasexplain.foundation.errors import nearest
from kerasexplain.metrics.metric import Metric
from kerasexplain.metrics.scores import Paired, Scores

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure
    from PIL.Image import Image


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Comparison(tables.Tabled):
    """Analyzers under the same metrics, on the same samples; made by `kerasexplain.compare`.

    `print(comparison)` shows a table, a notebook the same in colour.

    Attributes:
        model: Name of the model.
        samples: The samples, with what was explained of each.
        metrics: The metrics, by label.
        trials: What came of each analyzer, by name, skipped ones too.
    """

    model: str
    samples: Samples
    metrics: dict[str, Metric]
    trials: dict[str, Trial]
    _paired: dict[tuple[str, str], Paired] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @property
    def names(self) -> list[str]:
        """The analyzers that have scores, the best under the first metric first."""
        found = [name for name, trial in self.trials.items() if not trial.skipped]
        first = next(iter(self.metrics))
        return sorted(found, key=lambda name: _sorting(self.trials[name].scores[first]))

    @property
    def skipped(self) -> dict[str, str]:
        """Why the other analyzers have none."""
        return {name: trial.skipped for name, trial in self.trials.items() if trial.skipped}

    def scores(self, analyzer: str, metric: str | Metric | None = None) -> Scores:
        """The scores of an analyzer under a metric; by default the first.

        Raises:
            KeyError: There are none.
        """
        return self._trial(analyzer).scores[self._label(metric)]

    def best(self, metric: str | Metric | None = None) -> str:
        """The name of the analyzer with the best mean under a metric, controls included; by default the first metric.

        Raises:
            ValueError: Neither direction of the metric is better, or no analyzer has scores.
        """
        label = self._label(metric)
        if self.metrics[label].better == "neither":
            raise ValueError(f"no score of {label!r} is better than another: it describes maps")
        if not self.names:
            raise ValueError("no analyzer has scores")
        return min(self.names, key=lambda name: _sorting(self.trials[name].scores[label]))

    def against(self, analyzer: str, other: str, metric: str | Metric | None = None, **options: Any) -> Paired:
        """One analyzer's scores less another's, sample by sample; options as for `Scores.against`.

        Example:
            >>> print(comparison.against("lrp.epsilon", "random"))
            lrp.epsilon is better than random on 12 of 15 samples; difference +0.48 (95% interval +0.11 to +0.9)
        """
        return self.scores(analyzer, metric).against(self.scores(other, metric), **options)

    def to_dataframe(self) -> pandas.DataFrame:
        """A row per analyzer and metric. Needs pandas.

        Columns: analyzer, metric, mean, standard_error, defined, wins_against_random, losses_against_random,
        difference_to_random, low, high, seconds_per_sample.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "a DataFrame needs pandas: pip install pandas; rows() are the same as plain data"
            ) from error
        return pandas.DataFrame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """The same rows as plain data."""
        rows = []
        for name in self.names:
            for label in self.metrics:
                scores, against = self.trials[name].scores[label], self._against_random(name, label)
                rows.append(
                    {
                        "analyzer": name,
                        "metric": label,
                        "mean": scores.mean,
                        "standard_error": scores.standard_error,
                        "defined": scores.defined,
                        "wins_against_random": None if against is None else against.wins,
                        "losses_against_random": None if against is None else against.losses,
                        "difference_to_random": None if against is None else against.mean,
                        "low": None if against is None else against.low,
                        "high": None if against is None else against.high,
                        "seconds_per_sample": self.trials[name].seconds,
                    }
                )
        return rows

    def _trial(self, analyzer: str) -> Trial:
        if analyzer not in self.trials:
            raise KeyError(f"there is no analyzer {analyzer!r} in this comparison.{nearest(analyzer, self.trials)}")
        if self.trials[analyzer].skipped:
            raise KeyError(f"{analyzer!r} was skipped: {self.trials[analyzer].skipped}")
        return self.trials[analyzer]

    def _against_random(self, name: str, label: str) -> Paired | None:
        control = self.trials.get(CONTROLS[0])
        if control is None or control.skipped or name == CONTROLS[0]:
            return None
        if (name, label) not in self._paired:
            self._paired[name, label] = self.trials[name].scores[label].against(control.scores[label])
        return self._paired[name, label]

    def _label(self, metric: str | Metric | None) -> str:
        if metric is None:
            return next(iter(self.metrics))
        label = metric.label if isinstance(metric, Metric) else metric
        by_name = [known for known, each in self.metrics.items() if each.name == label]
        if label not in self.metrics and len(by_name) == 1:
            return by_name[0]
        if label not in self.metrics:
            raise KeyError(f"there is no metric {label!r} in this comparison.{nearest(label, self.metrics)}")
        return label

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        """Headings and rows of the table."""
        headings = ["analyzer"]
        for label, metric in self.metrics.items():
            headings += [label, "better than random"] if metric.better != "neither" else [label]
        headings.append("ms per sample")
        rows = []
        for name in self.names:
            row = [name]
            for label, metric in self.metrics.items():
                scores = self.trials[name].scores[label]
                row.append(
                    _number(scores.mean) + ("" if scores.defined < 2 else f" ± {_number(scores.standard_error)}")
                )
                if metric.better != "neither":
                    row.append(_told(self._against_random(name, label)))
            row.append(f"{1000 * self.trials[name].seconds:.3g}")
            rows.append(row)
        return headings, rows

    def _notes(self) -> list[str]:
        notes = [
            f"{len(self.samples)} samples; mean ± standard error. 'Better than random' counts samples: ▲ better and ▼ "
            "worse where the 95% interval of the difference leaves 0 out."
        ]
        described = [label for label, metric in self.metrics.items() if metric.better == "neither"]
        lower = [label for label, metric in self.metrics.items() if metric.better == "lower"]
        if lower:
            notes.append(f"Lower is better: {', '.join(lower)}.")
        if described:
            notes.append(f"Neither direction is better: {', '.join(described)}.")
        if self.skipped:
            notes.append("Skipped:")
            notes += [f"  {name}: {reason}" for name, reason in self.skipped.items()]
        return notes

    def _table(self) -> tables.Table:
        headings, rows = self._cells()
        columns = [(heading, "left" if i == 0 else "right") for i, heading in enumerate(headings)]
        return tables.Table(f"analyzers of {self.model}", columns, rows, self._notes())

    def __repr__(self) -> str:
        return f"<Comparison of {len(self.names)} analyzers of {self.model} on {len(self.samples)} samples>"

    def to_html(self) -> str:
        """The table as a piece of HTML, without links to anywhere."""
        return self._table().html()

    def curves(
        self, metric: str | Metric | None = None, analyzers: Sequence[str] | None = None, ax: Any = None
    ) -> Figure:
        """The mean curve of every analyzer under a metric that has curves. Needs the `metrics` extra.

        Args:
            metric: The metric; by default the first.
            analyzers: Which analyzers; by default the controls and the best six.
            ax: The matplotlib axes to draw in; by default those of a new figure.

        Raises:
            ValueError: The metric has no curves.
        """
        from kerasexplain.evaluation import plots

        label = self._label(metric)
        names = self.shown() if analyzers is None else analyzers
        return plots.curves([self.scores(name, label) for name in names], ax)

    def to_image(self, images: Any = None, analyzers: Sequence[str] | None = None, **options: Any) -> Image:
        """An image of the maps: a row per sample, a column per analyzer, the best first. Needs the `metrics` extra.

        Args:
            images: What is shown as the input; by default the input itself.
            analyzers: Which analyzers; by default the best six and the controls.
            **options: As for `kerasexplain.visualize.grid`.

        Raises:
            ValueError: The samples are no images.
        """
        from kerasexplain.evaluation import plots

        names = self.shown() if analyzers is None else analyzers
        return plots.maps_image(self.samples, {name: self._trial(name).relevance for name in names}, images, **options)

    def shown(self, count: int = 6) -> list[str]:
        """The best analyzers under the first metric, and the controls."""
        own = [name for name in self.names if name not in CONTROLS]
        return [*own[:count], *(name for name in self.names if name in CONTROLS)]


def _sorting(scores: Scores) -> float:
    """A key that sorts the best scores first, and undefined ones last."""
    if math.isnan(scores.mean):
        return math.inf
    return scores.mean if scores.metric.better == "lower" else -scores.mean


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _told(against: Paired | None) -> str:
    if against is None or not against.samples:
        return "-"
    sign = {"better": "▲", "worse": "▼", "unclear": " "}[against.verdict]
    return f"{against.wins} of {against.samples} {sign}"
