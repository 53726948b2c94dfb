"""The making of a comparison: everything checked first, and then one trial after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from kerasexplain.analyzer import Analyzer
from kerasexplain.compiler.options import Options
from kerasexplain.evaluation.comparison import Comparison
from kerasexplain.evaluation.trials import (
    CONTROLS,
    Samples,
    Trial,
    analyzers_by_name,
    check_seconds,
    default_metrics,
    teller,
    trials,
)
from kerasexplain.foundation.checks import check_count
from kerasexplain.foundation.errors import nearest
from kerasexplain.metrics.judging import check_metrics
from kerasexplain.metrics.metric import Metric
from kerasexplain.metrics.value import DECIDING, ExplainedValue


def compare(
    model: keras.Model,
    data: Any,
    analyzers: Any = None,
    metrics: Sequence[Metric] | Metric | None = None,
    *,
    target: Any = None,
    masks: Any = None,
    background: Any = None,
    samples: int | None = None,
    seconds: float | None = 60.0,
    batch_size: int | str | None = None,
    verbose: int = 0,
    **options: Any,
) -> Comparison:
    """Which analyzer's maps are true to a model: several, measured on the same samples, beside what they have to beat.

    Args:
        model: The model.
        data: Samples, as for `Analyzer.analyze`: arrays, or a stream of batches, which is read into memory.
        analyzers: Names, analyzers of this model, or a dict of them by names of one's own. By default every analyzer
            of the catalogue that needs no options. Those that have to be fitted are fitted to the background.
            "random" and, for images and signals, "edges" are added: a map that is no better than these shows nothing
            of the model.
        metrics: `kerasexplain.metrics`; by default region perturbation under two fills, sparseness, and with masks
            the relevance inside and the pointing game.
        target: What is explained, as for `Analyzer.analyze`; by default the largest output of each sample.
        masks: Where the object lies, as for a metric.
        background: Other samples that fills are made of, and analyzers fitted to; by default the data.
        samples: How many samples are taken, at most; None takes all.
        seconds: An analyzer of the catalogue whose maps would take longer is skipped; None skips none.
        batch_size: How many samples run at once.
        verbose: 1 tells on stderr which analyzer runs.
        **options: Common options of analyzers, such as `explain="activation"` or `output=`.

    Returns:
        The comparison.

    Raises:
        InputError: data, target or masks do not fit the model.
        ValueError: A name or an option is not known, a metric needs masks, or two analyzers have one name.

    Example:
        >>> comparison = kerasexplain.compare(model, images, ["lrp.epsilon", "lrp.epsilon_plus", "deep_lift"])
        >>> print(comparison)
        >>> comparison.to_image().save("maps.png")
    """
    if seconds is not None:
        check_seconds(seconds)
    run = Comparing.of(
        model,
        data,
        analyzers,
        metrics,
        target=target,
        masks=masks,
        background=background,
        samples=samples,
        **({} if batch_size is None else {"batch_size": batch_size}),
        **options,
    )
    tell = teller(verbose)
    found = trials(
        run.value,
        run.samples,
        run.analyzers,
        list(run.metrics.values()),
        seconds=seconds,
        batch_size=batch_size,
        told=tell,
    )
    return run.comparison(list(found))


@dataclasses.dataclass(frozen=True, eq=False)
class Comparing:
    """A comparison that is to be made: everything checked, nothing analysed.

    Attributes:
        value: The explained value of the model.
        samples: The samples.
        analyzers: Analyzers or their names, by name.
        metrics: By label.
    """

    value: ExplainedValue
    samples: Samples
    analyzers: dict[str, Any]
    metrics: dict[str, Metric]

    @classmethod
    def of(
        cls,
        model: keras.Model,
        data: Any,
        analyzers: Any = None,
        metrics: Any = None,
        *,
        target: Any = None,
        masks: Any = None,
        background: Any = None,
        samples: int | None = None,
        **options: Any,
    ) -> Comparing:
        """The comparison of these, as `compare` takes them."""
        if not isinstance(model, keras.Model):
            raise TypeError(f"compare takes a Keras model and data, got {type(model).__name__}")
        if samples is not None:
            check_count("samples", samples)
        chosen = analyzers_by_name(analyzers)
        for name, analyzer in chosen.items():
            if isinstance(analyzer, Analyzer) and analyzer.model is not model:
                raise ValueError(f"{name!r} is an analyzer of another model, {analyzer.model.name!r}")
        value = ExplainedValue(model, common_options(options))
        gathered = Samples.gathered(value, data, target, masks, background, samples)
        judged = default_metrics(gathered) if metrics is None else _listed(metrics)
        check_metrics(judged, masks)
        labels = [metric.label for metric in judged]
        if len(set(labels)) < len(labels):
            raise ValueError(f"two metrics are the same: {labels}")
        if not judged:
            raise ValueError("there is no metric")
        first = gathered.inputs[0]
        controls = CONTROLS if first.ndim > 2 and not gathered.holds_ids and len(gathered.inputs) == 1 else CONTROLS[:1]
        # They come first: a metric that cannot judge these samples fails with them, at once.
        chosen = {**dict.fromkeys(controls), **chosen}
        chosen = {name: name if analyzer is None else analyzer for name, analyzer in chosen.items()}
        return cls(value, gathered, chosen, dict(zip(labels, judged, strict=True)))

    def comparison(self, found: Sequence[Trial]) -> Comparison:
        """The comparison, of the trials that were made."""
        by_name = {trial.name: trial for trial in found}
        return Comparison(self.value.model.name, self.samples, self.metrics, by_name)


def common_options(options: dict[str, Any]) -> Options:
    """The common options of analyzers that decide what is explained, and how it is compiled.

    Raises:
        ValueError: One of them is none.
    """
    for option in options:
        if option not in DECIDING:
            raise ValueError(
                f"there is no option {option!r} that holds for all analyzers.{nearest(option, DECIDING)} For an "
                "analyzer with options of its own pass the analyzer itself: {'name': create_analyzer(...)}"
            )
    return Options(**options)


def _listed(metrics: Any) -> list[Metric]:
    return list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
