"""Many samples of a table: which features matter, to whom, and how relevance depends on their values."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from kerasexplain.features import features_of, ranked
from kerasexplain.foundation.text import in_figure
from kerasexplain.labels import distinct, number, shortened
from kerasexplain.visualize.figures import LABEL, SMALL, axes_of, dress, grey, rows
from kerasexplain.visualize.places import places

#: The colours of a feature's values: none that could be taken for relevance.
_VALUES = "viridis"
_GREY = "0.55"
#: So many values are told one by one.
_FEW = 5
#: Ticks of a bar of colours are this share of it apart, at least.
_APART = 0.06


def beeswarm(
    relevances: Any, values: Any = None, *, names: Any = None, most: int = 12, ax: Any = None, title: str | None = None
) -> Figure:
    """Every sample a point in the row of each feature: to the right it speaks for the output, to the left against it.

    Features are sorted by their mean |relevance|. Points are coloured by the feature's value, from its 5th percentile
    to its 95th; what is no number is grey. The sums of the others are cut where they are larger than the relevance
    of any feature that is shown.

    Args:
        relevances, values, names, most, ax, title: As for `bar`, of all samples.

    Raises:
        ValueError: As for `bar`.
    """
    found = features_of(relevances, values, names)
    shown, others = ranked(np.abs(found.relevance).mean(axis=0), most)
    labels = distinct([found.names[i] for i in shown])
    swarms = [(found.relevance[:, i], _of_one(found.numbers(i))) for i in shown]
    low, high = min(r.min() for r, _ in swarms), max(r.max() for r, _ in swarms)
    if others:
        rest = found.relevance[:, others].sum(axis=1)
        # Many weak features add up to more than the strongest: they would leave it no room.
        limit = max(-low, high)
        labels.append(f"{len(others)} others{', cut' if (np.abs(rest) > limit).any() else ''}")
        rest = np.clip(rest, -limit, limit)
        low, high = min(low, rest.min()), max(high, rest.max())
        swarms.append((rest, np.full(len(rest), np.nan)))
    ax = axes_of(ax, 6.8, 1.2 + 0.36 * max(len(labels), 3))
    size = float(np.clip(3000 / len(found.relevance), 4, 22))
    ax.axvline(0, color=grey(ax, 0.3), linewidth=0.8, zorder=0)
    for row, (relevance, shares) in enumerate(swarms):
        heights = row - _stacked(relevance, low, high)
        _scatter(ax, relevance, heights, shares, size)
    rows(ax, labels)
    dress(ax, title, "relevance")
    if any(np.isfinite(shares).any() for _, shares in swarms):
        bar = ax.figure.colorbar(ScalarMappable(Normalize(0, 1), _VALUES), ax=ax, ticks=[0, 1], aspect=30, pad=0.02)
        bar.set_ticklabels(["low", "high"])
        # Between the two, where there is room.
        bar.set_label("value of the feature", fontsize=SMALL, labelpad=-8 if len(labels) > 5 else 2)
        _plain(bar)
    return ax.figure


def importance(
    relevances: Any, *, names: Any = None, most: int = 12, ax: Any = None, title: str | None = None
) -> Figure:
    """The mean |relevance| of each feature over all samples as bars, the largest on top.

    Args:
        relevances, names, ax, title: As for `bar`, of all samples.
        most: How many features are shown; of the others one bar has the mean, and their sum beside it.

    Raises:
        ValueError: As for `bar`.
    """
    found = features_of(relevances, None, names)
    means = np.abs(found.relevance).mean(axis=0)
    shown, others = ranked(means, most)
    labels, lengths = distinct([found.names[i] for i in shown]), means[shown]
    told = [number(length, 3) for length in lengths]
    if others:
        # Of their sum there may be much more than of any feature.
        labels, lengths = [*labels, f"{len(others)} others, on average"], np.append(lengths, means[others].mean())
        told.append(f"{number(lengths[-1], 3)} ({number(means[others].sum(), 3)} in all)")
    ax = axes_of(ax, 6.4, 1.1 + 0.27 * len(labels))
    for row, (length, text) in enumerate(zip(lengths, told, strict=True)):
        ax.barh(row, length, height=0.72, color=grey(ax, 0.35 if row < len(shown) else 0.75))
        place: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": SMALL}
        ax.annotate(text, (length, row), (4, 0), **place)
    ax.set_xlim(0, 1.15 * lengths.max() or 1.0)
    rows(ax, labels)
    count = len(found.relevance)
    dress(ax, title, f"mean |relevance| of {count} sample{'s' if count > 1 else ''}")
    return ax.figure


def dependence(
    relevances: Any,
    values: Any,
    feature: int | str,
    colour_by: int | str | None = None,
    *,
    names: Any = None,
    ax: Any = None,
    title: str | None = None,
) -> Figure:
    """The relevance of a feature over its value, a point per sample.

    Args:
        relevances, values, names, ax, title: As for `bar`, of all samples.
        feature: Its name or its index. Values that are no numbers have a place each, in the order of their categories
            where the table has one, or else of the numbers that they are the texts of, or of the alphabet. Among
            numbers they are to the right of them, as are those that are infinite or missing. Dates have an axis of
            time.
        colour_by: Another feature, whose value is the colour: where one value has points of many heights, it may say
            why.

    Raises:
        ValueError: As for `bar`, or there is no such feature.
    """
    if values is None:
        raise ValueError("relevance is drawn over the values of a feature: pass values=, the input")
    found = features_of(relevances, values, names)
    assert found.values is not None
    i = found.index(feature)
    ax = axes_of(ax, 6.0, 3.6)
    at, mark = places(found.values[:, i], (found.orders or {i: ()})[i])
    ax.axhline(0, color=grey(ax, 0.6), linewidth=0.8, zorder=0)
    count = len(found.relevance)
    size = float(np.clip(4000 / count, 5, 28))
    if colour_by is None:
        ax.scatter(at, found.relevance[:, i], s=size, color=grey(ax, 0.3), linewidths=0, alpha=0.75)
    else:
        by = found.index(colour_by)
        numbers = found.numbers(by)
        if not np.isfinite(numbers).any():
            raise ValueError(f"points are coloured by numbers, and {found.names[by]!r} has none")
        _scatter(ax, at, found.relevance[:, i], _of_one(numbers), size)
        low, high = _range(numbers)
        few = np.unique(numbers[(numbers >= low) & (numbers <= high)])
        # The numbers of values that lie closer would lie upon each other.
        are_apart = np.diff(few).min(initial=np.inf) >= _APART * (high - low)
        ticks = few if len(few) <= _FEW and are_apart else None
        bar = ax.figure.colorbar(ScalarMappable(Normalize(low, high), _VALUES), ax=ax, aspect=30, pad=0.02, ticks=ticks)
        bar.set_label(in_figure(shortened(found.names[by])), fontsize=LABEL)
        _plain(bar)
    mark(ax)
    dress(ax, title, shortened(found.names[i]))
    ax.spines["left"].set_visible(True)
    ax.set_ylabel("relevance", fontsize=LABEL)
    return ax.figure


def _scatter(ax: Any, x: np.ndarray, y: np.ndarray, shares: np.ndarray, size: float) -> None:
    """Points in the colours of a feature's values, those that are unknown in grey and below the others."""
    known = np.isfinite(shares)
    look: dict[str, Any] = {"s": size, "linewidths": 0}
    if not known.all():
        ax.scatter(x[~known], y[~known], color=_GREY, **look)
    if known.any():
        ax.scatter(x[known], y[known], c=shares[known], cmap=_VALUES, vmin=0, vmax=1, **look)


def _range(numbers: np.ndarray) -> tuple[float, float]:
    """Where the colours of a feature's values begin and end."""
    finite = numbers[np.isfinite(numbers)]
    low, high = np.percentile(finite, [5, 95], method="nearest")
    if low == high:  # nearly all are one
        low, high = finite.min(), finite.max()
    return float(low), float(high)


def _of_one(numbers: np.ndarray) -> np.ndarray:
    """Values as shares of their range, the middle where all are equal."""
    if not np.isfinite(numbers).any():
        return np.full(len(numbers), np.nan)
    low, high = _range(numbers)
    shares = (np.clip(numbers, low, high) - low) / (high - low) if high > low else 0.5
    return np.where(np.isnan(numbers), np.nan, shares)


def _stacked(relevance: np.ndarray, low: float, high: float) -> np.ndarray:
    """How far each point is from the middle of its row: those at one place are stacked to both sides."""
    places = np.round(90 * (relevance - low) / ((high - low) or 1.0)).astype(int)
    heights = np.zeros(len(relevance))
    for place in np.unique(places):
        (here,) = np.nonzero(places == place)
        number = np.arange(len(here))
        heights[here] = (number + 1) // 2 * np.where(number % 2, 1, -1)
    return heights * min(0.08, 0.4 / max(np.abs(heights).max(), 1.0))


def _plain(bar: Any) -> None:
    bar.ax.tick_params(labelsize=SMALL, length=0)
    bar.outline.set_visible(False)
