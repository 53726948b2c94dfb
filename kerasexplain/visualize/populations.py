"""Many samples of a table: which features matter, to whom, and how relevance depends on their values."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from kerasexplain.features import features_of, ranked, shortened
from kerasexplain.foundation.text import in_figure
from kerasexplain.visualize.figures import LABEL, SMALL, axes_of, dress, rows

#: The colours of a feature's values: none that could be taken for relevance.
_VALUES = "viridis"
_GREY = "0.55"
#: So many values are told one by one.
_FEW = 5
#: So many characters of labels have room beside each other.
_BESIDE = 50


def beeswarm(
    relevances: Any, values: Any = None, *, names: Any = None, most: int = 12, ax: Any = None, title: str | None = None
) -> Figure:
    """Every sample a point in the row of each feature: to the right it speaks for the output, to the left against it.

    Features are sorted by their mean |relevance|. Points are coloured by the feature's value, from its 5th percentile
    to its 95th; what is no number is grey.

    Args:
        relevances, values, names, most, ax, title: As for `bar`, of all samples.

    Raises:
        ValueError: As for `bar`.
    """
    found = features_of(relevances, values, names)
    shown, others = ranked(np.abs(found.relevance).mean(axis=0), most)
    labels = [shortened(found.names[i]) for i in shown]
    swarms = [(found.relevance[:, i], _of_one(found.numbers(i))) for i in shown]
    if others:
        labels.append(f"{len(others)} others")
        swarms.append((found.relevance[:, others].sum(axis=1), np.full(len(found.relevance), np.nan)))
    ax = axes_of(ax, 6.8, 1.2 + 0.36 * len(labels))
    low, high = min(r.min() for r, _ in swarms), max(r.max() for r, _ in swarms)
    size = float(np.clip(3000 / len(found.relevance), 4, 22))
    ax.axvline(0, color="0.3", linewidth=0.8, zorder=0)
    for row, (relevance, shares) in enumerate(swarms):
        heights = row - _stacked(relevance, low, high)
        _scatter(ax, relevance, heights, shares, size)
    rows(ax, labels)
    dress(ax, title, "relevance")
    if any(np.isfinite(shares).any() for _, shares in swarms):
        bar = ax.figure.colorbar(ScalarMappable(Normalize(0, 1), _VALUES), ax=ax, ticks=[0, 1], aspect=30, pad=0.02)
        bar.set_ticklabels(["low", "high"])
        bar.set_label("value of the feature", fontsize=SMALL, labelpad=-8)
        _plain(bar)
    return ax.figure


def importance(
    relevances: Any, *, names: Any = None, most: int = 12, ax: Any = None, title: str | None = None
) -> Figure:
    """The mean |relevance| of each feature over all samples as bars, the largest on top.

    Args:
        relevances, names, ax, title: As for `bar`, of all samples.
        most: How many features are shown; the means of the others are summed in one bar.

    Raises:
        ValueError: As for `bar`.
    """
    found = features_of(relevances, None, names)
    means = np.abs(found.relevance).mean(axis=0)
    shown, others = ranked(means, most)
    labels, lengths = [shortened(found.names[i]) for i in shown], means[shown]
    if others:
        labels, lengths = [*labels, f"{len(others)} others, added up"], np.append(lengths, means[others].sum())
    ax = axes_of(ax, 6.4, 1.1 + 0.27 * len(labels))
    for row, length in enumerate(lengths):
        ax.barh(row, length, height=0.72, color="0.35" if row < len(shown) else "0.75")
        place: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": SMALL}
        ax.annotate(f"{length:.3g}", (length, row), (4, 0), **place)
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
        feature: Its name or its index. Values that are no numbers have a place each, in the order of the alphabet.
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
    at, kinds = found.numbers(i), None
    if not np.isfinite(at).any():
        texts = [str(value) for value in found.values[:, i]]
        kinds = sorted(set(texts))
        at = np.array([float(kinds.index(text)) for text in texts])
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    count = len(found.relevance)
    size = float(np.clip(4000 / count, 5, 28))
    if colour_by is None:
        ax.scatter(at, found.relevance[:, i], s=size, color="0.3", linewidths=0, alpha=0.75)
    else:
        by = found.index(colour_by)
        numbers = found.numbers(by)
        if not np.isfinite(numbers).any():
            raise ValueError(f"points are coloured by numbers, and {found.names[by]!r} has none")
        _scatter(ax, at, found.relevance[:, i], _of_one(numbers), size)
        low, high = _range(numbers)
        distinct = np.unique(numbers[np.isfinite(numbers)])
        ticks = distinct if len(distinct) <= _FEW else None
        bar = ax.figure.colorbar(ScalarMappable(Normalize(low, high), _VALUES), ax=ax, aspect=30, pad=0.02, ticks=ticks)
        bar.set_label(in_figure(shortened(found.names[by])), fontsize=LABEL)
        _plain(bar)
    if kinds is not None:
        shown = [in_figure(shortened(kind)) for kind in kinds]
        look = {} if sum(map(len, shown)) < _BESIDE else {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(range(len(kinds)), shown, **look)
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
    low, high = np.nanpercentile(numbers, [5, 95])
    if low == high:  # nearly all are one
        low, high = np.nanmin(numbers), np.nanmax(numbers)
    return float(low), float(high)


def _of_one(numbers: np.ndarray) -> np.ndarray:
    """Values as shares of their range, the middle where all are equal."""
    if not np.isfinite(numbers).any():
        return numbers
    low, high = _range(numbers)
    return np.where(np.isnan(numbers), np.nan, np.clip((numbers - low) / (high - low), 0, 1) if high > low else 0.5)


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
