"""Relevance that overflows is an error, and the operation where it does so is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from kerasexplain.compiler.pipeline import Pipeline
from kerasexplain.compiler.question import Answer
from kerasexplain.compiler.rows import Row
from kerasexplain.foundation.errors import NotFiniteError
from kerasexplain.graph.taps import Tap
from kerasexplain.runtime.passes import Passes

ADVICE = (
    " Rules that divide by small numbers let relevance grow where contributions cancel: take a model in float64, a "
    "larger epsilon, or rules that are bounded, such as those of lrp.epsilon_plus."
)


def check_finite(
    answer: Answer, passes: Passes, pipeline: Pipeline, again: Callable[[Passes], Answer] | None, begin: int
) -> None:
    """Raises NotFiniteError if relevance, or the model's output, holds NaN or infinity.

    Args:
        answer: What a method found.
        passes: The question it answers.
        pipeline: What has run.
        again: Answers a question by one pass over the samples, as it was answered; None where it took several.
        begin: The number of the first sample.
    """
    told = [answer.explained, *([] if answer.reference is None else [answer.reference])]
    for numbers, what in zip(told, ("the model's own output", "the model's output at the baseline"), strict=False):
        gaps = _rows_with_gaps([numbers])
        if len(gaps):
            raise NotFiniteError(
                f"{what} is NaN or infinite, so that there is nothing to explain ({len(gaps)} of {passes.samples} "
                f"samples, the first is number {begin + gaps[0]})"
            )
    bad = _rows_with_gaps(answer.relevance)
    if not len(bad):
        return
    dtype = answer.relevance[0].dtype
    samples = f"{len(bad)} of {passes.samples} samples, the first is number {begin + bad[0]}"
    if len(np.intersect1d(bad, _rows_with_gaps(answer.outputs))):
        raise NotFiniteError(f"the model's own output is NaN or infinite ({samples})")
    where = "" if again is None else _where(passes, pipeline.rows, int(bad[0]), again)
    advice = "" if pipeline.composite.plain else ADVICE
    raise NotFiniteError(f"the relevance overflows {dtype} ({samples}){where}.{advice}")


def _rows_with_gaps(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The samples for which any of the arrays holds NaN or infinity."""
    finite = [np.isfinite(array.reshape(len(array), -1)).all(axis=1) for array in arrays if array.dtype.kind == "f"]
    return np.flatnonzero(~np.logical_and.reduce(finite)) if finite else np.array([], int)


def _where(passes: Passes, rows: Sequence[Row], sample: int, again: Callable[[Passes], Answer]) -> str:
    """The operation nearest to the output that gives such relevance, for one sample."""
    taps = tuple(Tap("output", row.name) for row in rows)
    question = dataclasses.replace(passes.question, taps=taps, summed=())
    given = passes.given.at(np.array([sample]))
    answer = again(dataclasses.replace(passes, question=question, given=given, usual=1, progress=None))
    growing = [row for row, relevance in zip(rows, answer.taps, strict=True) if not np.isfinite(relevance).all()]
    if not growing:
        return " at the input"
    last = growing[-1]
    return f", above all other operations at the output of {last.name!r} ({last.type})"
