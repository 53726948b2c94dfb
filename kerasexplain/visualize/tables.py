"""One sample of a table: the relevance of its features as bars, and as steps from the reference to the output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasexplain.features import Features, features_of, ranked
from kerasexplain.foundation.arrays import check_sample
from kerasexplain.labels import number, signed
from kerasexplain.visualize.figures import SMALL, axes_of, dress, grey, rows, width_of
from kerasexplain.visualize.palette import sign_colour

#: A step that no feature made.
_LOST = "0.6"
#: How wide a character of the numbers is in inches.
_CHARACTER = 0.07
#: Relevance is computed in single precision: what is missing beyond this share of the largest value is no rounding.
_ROUNDING = 1e-5


def bar(
    relevance: Any,
    values: Any = None,
    *,
    names: Any = None,
    sample: int = 0,
    most: int = 12,
    ax: Any = None,
    title: str | None = None,
) -> Figure:
    """The relevance of a sample's features as bars, the strongest on top.

    Args:
        relevance: `(samples, features)`; or by input, as a dict or list, `(samples,)` or `(samples, columns)` each,
            whose columns are summed where they have no names, as those of a one-hot code.
        values: What the features are, in the same structure or as a DataFrame; they are written beside the names. If
            relevance is a DataFrame, too, rows and columns are joined by their labels.
        names: Of the features; columns that have one name in common are summed. Of several inputs a dict: a list of
            the names of an input's columns, or one text where all its columns are one feature; of a list of inputs
            their names. None takes those of a DataFrame and of inputs.
        sample: Which one.
        most: How many features are shown; the others are summed in one bar.
        ax: The axes to draw in; None for those of a new figure.
        title: What is written above.

    Raises:
        ValueError: These are no tables, or do not fit together; or an option has no legal value.

    Example:
        >>> frame = sklearn.datasets.load_diabetes(as_frame=True).data
        >>> visualize.bar(analyzer.analyze(frame.to_numpy()), frame, sample=3).savefig("bar.png")
    """
    found = features_of(relevance, values, names)
    labels, steps = _steps(found, sample, most)
    ax = axes_of(ax, 6.4, 1.1 + 0.27 * len(steps))
    _bars(ax, np.zeros(len(steps)), steps, 0, labels, others=len(steps) < len(found.names))
    ax.axvline(0, color=grey(ax, 0.3), linewidth=0.8)
    rows(ax, labels)
    dress(ax, title, "relevance")
    return ax.figure


def waterfall(
    relevance: Any,
    explained: Any,
    start: Any = None,
    values: Any = None,
    *,
    names: Any = None,
    sample: int = 0,
    most: int = 10,
    ax: Any = None,
    title: str | None = None,
) -> Figure:
    """The way from the reference to the explained output, feature by feature, the strongest first.

    It arrives: `start + sum R + lost = explained`, and "lost" is a step of its own where it is more than rounding, as
    where biases keep relevance for themselves.

    Args:
        relevance: As for `bar`.
        explained: The value of the explained output, one per sample, as `Explanation.explained`.
        start: The value at the reference, as `Explanation.reference`, or the share of the biases; one per sample, or
            one number. None is zero.
        values, names, sample, most, ax, title: As for `bar`.

    Raises:
        ValueError: As for `bar`, or the numbers of samples differ.

    Example:
        >>> found = create_analyzer("deep_lift", model, reference_inputs=mean).explain(x)
        >>> visualize.waterfall(found.relevance, found.explained, found.reference, x).savefig("waterfall.png")
    """
    found = features_of(relevance, values, names)
    labels, steps = _steps(found, sample, most)
    begin = _value(0.0 if start is None else start, "start", len(found.relevance), sample)
    end = _value(explained, "explained", len(found.relevance), sample)
    others = len(steps) < len(found.names)
    lost = end - begin - steps.sum()
    size = max(abs(begin), abs(end), np.abs(steps).max())
    has_lost = abs(lost) > _ROUNDING * size
    if has_lost:
        steps, labels = np.append(steps, lost), [*labels, "lost"]
    ends = begin + np.cumsum(steps)
    ax = axes_of(ax, 6.4, 1.1 + 0.27 * (len(steps) + 2))
    told = [(begin, number(begin)), (end, number(end))]
    _bars(ax, ends - steps, steps, 1, labels, others=others, lost=has_lost, beside=told)
    levels = np.concatenate([[begin], ends])
    for row, level in enumerate(levels):
        ax.plot([level, level], [row - 0.36, row + 1.36], color=grey(ax, 0.5), linewidth=0.8)
    for row, (value, text) in zip((0, len(levels)), told, strict=True):
        ax.plot([value], [row], "D", color=grey(ax, 0.2), markersize=5)
        ax.annotate(text, (value, row), (8, 0), textcoords="offset points", va="center", fontsize=SMALL)
    rows(ax, ["start", *labels, "output"])
    dress(ax, title, "value of the output")
    return ax.figure


def _steps(found: Features, sample: int, most: int) -> tuple[list[str], np.ndarray]:
    """The label and the relevance of each row, the strongest first, and what is left in the last."""
    check_sample(sample, len(found.relevance))
    relevance = found.relevance[sample]
    shown, others = ranked(np.abs(relevance), most)
    labels = found.labels(sample, shown)
    steps = relevance[shown]
    if not others:
        return labels, steps
    return [*labels, f"{len(others)} others"], np.append(steps, relevance[others].sum())


def _bars(
    ax: Any,
    begins: np.ndarray,
    steps: np.ndarray,
    top: int,
    labels: list[str],
    *,
    others: bool,
    lost: bool = False,
    beside: Sequence[tuple[float, str]] = (),
) -> None:
    """A bar for each step from where it begins, with its number at its end, from row `top` down.

    There is room for the numbers, and for other texts to the right of where they are told to be.
    """
    last = len(steps) - 1 - lost
    told = [signed(step) for step in steps]
    ends = begins + steps
    for row, (begin, step, text) in enumerate(zip(begins, steps, told, strict=True)):
        colour = _LOST if row > last else sign_colour(step)
        pale = others and row == last  # a sum of both signs is no feature
        ax.barh(row + top, step, left=begin, height=0.72, color=colour, alpha=0.45 if pale else 1.0)
        sign = 1 if step >= 0 else -1
        place = {"ha": "left" if sign > 0 else "right", "va": "center", "fontsize": SMALL}
        ax.annotate(text, (begin + step, row + top), (4 * sign, 0), textcoords="offset points", **place)
    numbers = list(zip(ends.tolist(), told, strict=True))
    to_left = [number for number, step in zip(numbers, steps, strict=True) if step < 0]
    to_right = [number for number, step in zip(numbers, steps, strict=True) if step >= 0]
    width = width_of(ax, labels)
    ax.set_xlim(_limits(np.concatenate([begins, ends]), to_left, [*to_right, *beside], width))
    # As many ticks as their numbers have room for.
    ax.xaxis.set_major_locator(MaxNLocator(int(np.clip(1.6 * width, 2, 8)), steps=[1, 2, 2.5, 5, 10]))


def _limits(
    at: np.ndarray, to_left: Sequence[tuple[float, str]], to_right: Sequence[tuple[float, str]], width: float
) -> tuple[float, float]:
    """Where an axis so many inches wide begins and ends, so that texts beside some of its points are within."""
    least, most = float(at.min()), float(at.max())
    span = (most - least) or 1.0
    low, high = least - 0.03 * span, most + 0.03 * span
    for _ in range(8):  # the longer the axis, the more of it a text takes
        per_inch = min((high - low) / width, 3 * span / width)
        low = min([low, *(x - per_inch * (0.1 + _CHARACTER * len(text)) for x, text in to_left)])
        high = max([high, *(x + per_inch * (0.16 + _CHARACTER * len(text)) for x, text in to_right)])
    return low, high


def _value(values: Any, name: str, count: int, sample: int) -> float:
    array = np.asarray(values, dtype=np.float64)
    if array.shape not in ((), (count,)):
        raise ValueError(f"{name} must be one number, or one for each of the {count} samples; got shape {array.shape}")
    value = float(array if array.ndim == 0 else array[sample])
    if not np.isfinite(value):
        raise ValueError(f"{name} is {value}: it must be finite")
    return value
