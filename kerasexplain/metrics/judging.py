"""Judging maps: from an analyzer, metrics and data to scores, with one analysis for all metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerasexplain.analyzer import Analyzer
from kerasexplain.compiler.options import Options
from kerasexplain.explanation import Explanation
from kerasexplain.foundation.errors import InputError
from kerasexplain.metrics.judged import Judged, Judging, Result, as_list
from kerasexplain.metrics.scores import Scores
from kerasexplain.metrics.units import channel_axis
from kerasexplain.metrics.value import ExplainedValue
from kerasexplain.runtime.inputs import as_arrays, by_input
from kerasexplain.runtime.results import Progress
from kerasexplain.runtime.streams import Batch, is_stream


def judge(
    analyzer: Analyzer | keras.Model,
    metrics: Sequence[Judging],
    x: Any,
    target: Any = None,
    *,
    masks: Any = None,
    background: Any = None,
    relevance: Any = None,
    batch_size: int | str | None = None,
    verbose: int = 0,
    value: ExplainedValue | None = None,
    name: str | None = None,
) -> list[Scores]:
    """The scores of an analyzer's maps under several metrics, for which every sample is explained once.

    Args:
        analyzer, x, target, masks, background, relevance, batch_size, verbose: As for `Metric.__call__`.
        metrics: The metrics.
        value: The explained value of this model, where it has been compiled before.
        name: What the scores call the analyzer; by default its name.
    """
    made, model = _maker(analyzer, relevance, metrics)
    name = name or (made.name if made is not None else "relevance")
    for metric in metrics:
        if metric.needs_masks and masks is None:
            raise ValueError(f"{metric.name!r} compares maps with masks of the object: pass masks=")
    if value is None:
        value = ExplainedValue(model, made.options if made is not None else Options())
    names = value.names(x) if not is_stream(x) else []
    given = None if is_stream(x) else [np.asarray(part) for part in by_input(as_arrays(x), names)[0]]
    others = given if background is None else as_list(as_arrays(background), names)
    progress = Progress(None if given is None else len(given[0])) if verbose else None
    results: list[list[Result]] = [[] for _ in metrics]
    for batch, passes, explained, neuron in value.batches(x, target, batch_size):
        names = list(passes.pipelines.first.graph.input_names)
        maps, reference = _maps(made, batch, neuron, relevance, names)
        judged = Judged(
            inputs=batch.arrays,
            names=names,
            relevance=maps,
            numbers=np.arange(batch.begin, batch.begin + batch.count),
            explained=np.asarray(explained, "float64"),
            reference=reference,
            neuron=neuron,
            masks=_masks(masks, batch),
            background=others,
            analyzer=made,
            structure=batch.structure,
            passes=passes,
        )
        for metric, found in zip(metrics, results, strict=True):
            found.append(metric.scores(judged))
            if progress is not None:
                progress(batch.count / len(metrics))
    if progress is not None and given is None:
        progress.end()
    return [_joined(metric, name, found) for metric, found in zip(metrics, results, strict=True)]


def _maker(analyzer: Any, relevance: Any, metrics: Sequence[Judging]) -> tuple[Analyzer | None, keras.Model]:
    """The analyzer that makes the maps, if there is one, and the model."""
    if isinstance(analyzer, Analyzer):
        return analyzer, analyzer.model
    if not isinstance(analyzer, keras.Model):
        raise TypeError(
            f"a metric takes an analyzer, as create_analyzer makes it, or a Keras model with relevance=; got "
            f"{type(analyzer).__name__}"
        )
    if relevance is None:
        raise ValueError("a metric of a model needs maps: pass relevance=, or an analyzer in place of the model")
    for metric in metrics:
        if metric.explains_anew:
            raise ValueError(f"{metric.name!r} explains samples anew: pass an analyzer, not a model with relevance=")
    return None, analyzer


def _maps(
    analyzer: Analyzer | None, batch: Batch, neuron: Any, relevance: Any, names: Sequence[str]
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """The maps of a batch, and the value that their method compares with, if it does."""
    if isinstance(relevance, Explanation):
        reference = None if relevance.reference is None else relevance.reference[batch.rows]
        relevance = relevance.relevance
    else:
        reference = None
    if relevance is not None:
        part = relevance(batch.given) if callable(relevance) else keras.tree.map_structure(np.asarray, relevance)
        maps = as_list(part, names)
        if not callable(relevance):
            _check_count("relevance", len(maps[0]), batch)
            maps = [each[batch.rows] for each in maps]
        for each, x, name in zip(maps, batch.arrays, names, strict=True):
            if each.shape != x.shape:
                raise InputError(f"relevance of the input {name!r} must have its shape {x.shape}, got {each.shape}")
            if not np.isfinite(each).all():
                raise InputError(f"relevance of the input {name!r} holds values that are NaN or infinite")
        return maps, reference
    assert analyzer is not None
    found = analyzer.explain(batch.structure(batch.arrays), neuron, batch_size=batch.count)
    return as_list(found.relevance, names), found.reference


def _masks(masks: Any, batch: Batch) -> np.ndarray | None:
    """The masks of a batch, one truth value at each position."""
    if masks is None:
        return None
    if len(batch.arrays) > 1:
        raise InputError(f"masks are of the positions of one input, and the model has {len(batch.arrays)}")
    if callable(masks):
        found = np.asarray(masks(batch.given))
    else:
        found = np.asarray(masks)
        _check_count("masks", len(found), batch)
        found = found[batch.rows]
    x = batch.arrays[0]
    axis = channel_axis(x.ndim)
    shape = tuple(size for at, size in enumerate(x.shape) if at != axis)
    if axis is not None and found.ndim == x.ndim and found.shape[axis] == 1:
        found = found.squeeze(axis)
    if found.shape != shape:
        raise InputError(f"masks hold one truth value for each position, {shape}; got {found.shape}")
    if found.dtype.kind not in "biuf" or not np.isin(found, (0, 1)).all():
        raise InputError(f"masks hold truth values, or zeros and ones; got {found.dtype}")
    return found.astype(bool)


def _check_count(what: str, count: int, batch: Batch) -> None:
    if batch.total is None:
        raise InputError(f"{what} of a stream's samples are a function of the batch: pass lambda batch: ...")
    if count != batch.total:
        raise InputError(f"{what} has {count} entries for {batch.total} samples")


def _joined(metric: Judging, name: str, results: Sequence[Result]) -> Scores:
    """The scores of all batches, as one."""

    def join(get: Callable[[Result], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {key: np.concatenate([get(result)[key] for result in results]) for key in get(results[0])}

    return Scores(
        metric,
        name,
        np.concatenate([result.values for result in results]).astype("float64"),
        join(lambda result: result.details),
        join(lambda result: result.curves),
        dict(results[0].steps),
    )
