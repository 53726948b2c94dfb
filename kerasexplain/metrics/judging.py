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
from kerasexplain.runtime.inputs import as_array, as_arrays, by_input
from kerasexplain.runtime.results import Progress
from kerasexplain.runtime.streams import Batch, is_stream
from kerasexplain.store import Store


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
    check_metrics(metrics, masks)
    made, model = _maker(analyzer, relevance, metrics)
    name = name or (made.name if made is not None else "relevance")
    if value is None:
        value = ExplainedValue(model, Options()) if made is None else value_of(made)
    if isinstance(relevance, (Explanation, Store)) and target is None and not isinstance(relevance.neuron, str):
        target = np.asarray(relevance.neuron)
    given = None if is_stream(x) else [np.asarray(part) for part in by_input(as_arrays(x), value.names(x))[0]]
    others = given if background is None else value.arrays(background)
    progress = Progress(None if given is None else len(given[0])) if verbose else None
    results: list[list[Result]] = [[] for _ in metrics]
    for batch, passes, explained, neuron in value.batches(x, target, batch_size):
        names = list(passes.pipelines.first.graph.input_names)
        maps, reference, summed = _maps(made, batch, neuron, relevance, names, explained, passes.size.now)
        judged = Judged(
            inputs=batch.arrays,
            names=names,
            relevance=maps,
            numbers=np.arange(batch.begin, batch.begin + batch.count),
            explained=np.asarray(explained, "float64"),
            reference=reference,
            neuron=neuron,
            masks=None if masks is None else masks_of(masks, batch),
            background=others,
            analyzer=made,
            structure=batch.structure,
            passes=passes,
            summed=summed,
        )
        for metric, found in zip(metrics, results, strict=True):
            found.append(metric.scores(judged))
            if progress is not None:
                progress(batch.count / len(metrics))
    if progress is not None and given is None:
        progress.end()
    return [_joined(metric, name, found) for metric, found in zip(metrics, results, strict=True)]


def value_of(analyzer: Analyzer) -> ExplainedValue:
    """The value that an analyzer explains, which is compiled once."""
    return analyzer.kept("explained value", lambda: ExplainedValue(analyzer.model, analyzer.options))


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


def check_metrics(metrics: Sequence[Any], masks: Any) -> None:
    """Raises what is wrong with metrics before anything runs.

    Raises:
        TypeError: One of them is no metric.
        ValueError: One needs masks, and there are none.
    """
    for metric in metrics:
        if isinstance(metric, type) and hasattr(metric, "needs_masks"):
            raise TypeError(f"metrics are values, and {metric.__name__} is a class: pass {metric.__name__}()")
        if not hasattr(metric, "needs_masks"):
            raise TypeError(
                f"metrics are values such as kerasexplain.metrics.RegionPerturbation(), got {metric!r} "
                f"({type(metric).__name__})"
            )
        if metric.needs_masks and masks is None:
            raise ValueError(f"{metric.name!r} compares maps with masks of the object: pass masks=")


def _maps(
    analyzer: Analyzer | None,
    batch: Batch,
    neuron: Any,
    relevance: Any,
    names: Sequence[str],
    explained: np.ndarray,
    size: int,
) -> tuple[list[np.ndarray], np.ndarray | None, bool]:
    """The maps of a batch; the value that their method compares with, if it does; and whether channels came summed."""
    if relevance is None:
        assert analyzer is not None
        found = analyzer.explain(batch.structure(batch.arrays), neuron, batch_size=min(batch.count, size))
        return as_list(found.relevance, names), found.reference, False
    reference = None
    if isinstance(relevance, (Explanation, Store)):
        reference, told = (_rows("relevance", part, batch) for part in (relevance.reference, relevance.explained))
        check_explained("the explanation", told, explained)
        relevance = relevance.relevance
    if callable(relevance):
        part = relevance(batch.given)
    else:  # an array in a file is read when it is sliced
        in_arrays = all(hasattr(each, "shape") for each in keras.tree.flatten(relevance))
        whole = relevance if in_arrays else as_arrays(relevance)
        part = keras.tree.map_structure(lambda each: _rows("relevance", each, batch), whole)
    maps = as_list(as_arrays(part), names)
    if len(maps) != len(names):
        raise InputError(f"relevance is an array for each input of the model, {list(names)}; got {len(maps)}")
    fitted = [_fitted(each, x, name) for each, x, name in zip(maps, batch.arrays, names, strict=True)]
    return [each for each, _ in fitted], reference, any(summed for _, summed in fitted)


def check_explained(what: str, told: np.ndarray, explained: np.ndarray) -> None:
    """Raises InputError where maps are those of another value than the one that a metric is about to ask for.

    Rounding is let pass, and that of products of low precision.
    """
    if told.shape != explained.shape or not np.allclose(
        told, explained, rtol=0.02, atol=0.02 * np.abs(explained).max()
    ):
        raise InputError(
            f"{what} is of another value than the one measured: {told.ravel()[:3]} is explained, and the model gives "
            f"{explained.ravel()[:3]}: is it of these samples, this target, these weights, and the same explain= and "
            "output=?"
        )


def _fitted(relevance: np.ndarray, x: np.ndarray, name: str) -> tuple[np.ndarray, bool]:
    """A map that is shaped like x, and whether it came with its channels summed: the sum is the first channel's."""
    if relevance.dtype.kind not in "biuf":
        raise InputError(f"relevance of the input {name!r} must hold real numbers, got {relevance.dtype}")
    axis = channel_axis(x.ndim)
    summed = False
    if axis is not None and relevance.shape != x.shape:
        one = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
        summed = relevance.shape in (one, x.shape[:axis] + x.shape[axis + 1 :])
        if summed:
            whole = np.zeros(x.shape, relevance.dtype)
            whole[(slice(None),) * axis + (0,)] = relevance.reshape(x.shape[:axis] + x.shape[axis + 1 :])
            relevance = whole
    if relevance.shape != x.shape:
        hint = "" if axis is None else ", or that with channels summed"
        raise InputError(f"relevance of the input {name!r} must have its shape {x.shape}{hint}; got {relevance.shape}")
    if not np.isfinite(relevance).all():
        raise InputError(f"relevance of the input {name!r} holds values that are NaN or infinite")
    return relevance, summed


def _rows(what: str, given: Any, batch: Batch) -> Any:
    """The part for a batch of what there is for all samples."""
    if given is None:
        return None
    if batch.total is None:
        raise InputError(f"{what} of a stream's samples is a function of the batch: pass lambda batch: ...")
    count = len(given) if np.ndim(given) else 1
    if count != batch.total:
        raise InputError(f"{what} has {count} entries for {batch.total} samples")
    return given[batch.rows] if np.ndim(given) else given


def masks_of(masks: Any, batch: Batch) -> np.ndarray:
    """The masks of a batch, one truth value at each position.

    Raises:
        InputError: They are no masks of these samples.
    """
    if len(batch.arrays) > 1:
        raise InputError(f"masks are of the positions of one input, and the model has {len(batch.arrays)}")
    found = np.asarray(masks(batch.given)) if callable(masks) else _rows("masks", as_array(masks), batch)
    x = batch.arrays[0]
    axis = channel_axis(x.ndim)
    shape = tuple(size for at, size in enumerate(x.shape) if at != axis)
    if axis is not None and found.ndim == x.ndim and found.shape[axis] == 1:
        found = found.squeeze(axis)
    if found.shape != shape:
        hint = ""
        if axis is not None and found.shape == x.shape:
            hint = (
                f". The {x.shape[axis]} entries along axis {axis} of the input are taken for channels: where they are "
                "positions, explain a model whose input has an axis of one channel"
            )
        raise InputError(f"masks hold one truth value for each position, {shape}; got {found.shape}{hint}")
    if found.dtype.kind not in "biuf":
        raise InputError(f"masks hold truth values, or zeros and ones; got {found.dtype}")
    if not np.isin(found, (0, 1)).all():
        raise InputError(
            f"masks hold truth values, or zeros and ones; got values from {found.min():g} to {found.max():g}: pass "
            "masks > 0"
        )
    return found.astype(bool)


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
