"""Where values of any kind lie on an axis: numbers, dates, texts, and what is missing among them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

from kerasexplain.foundation.text import in_figure
from kerasexplain.labels import as_number, distinct, is_missing, said

#: So many characters of labels have room beside each other, and so many labels one above the other's end.
_BESIDE, _LABELS = 50, 24
#: So many kinds of other values may stand beside numbers; with more of them all values are kinds.
_OTHERS = 5

#: Draws the ticks of an axis.
Mark = Callable[[Any], None]


def places(values: Sequence[Any] | np.ndarray, order: Sequence[str] = ()) -> tuple[np.ndarray, Mark]:
    """Where each value lies along x, and what marks that axis.

    Args:
        values: Of a feature, `(samples,)`.
        order: Of its categories; none where it has no such order.
    """
    are_dates = any(isinstance(value, datetime.date) for value in values)
    along = _date if are_dates else as_number
    numbers = np.array([np.nan if order else along(value) for value in values])
    is_number = np.isfinite(numbers)
    texts = ["missing" if is_missing(value) else said(value) for value in values]
    others = sorted({text for text, is_one in zip(texts, is_number, strict=True) if not is_one}, key=_rank)
    if 2 * is_number.sum() <= len(values) - texts.count("missing") or len(others) > _OTHERS:
        found = {text: i for i, text in enumerate(order)}
        kinds = sorted(set(texts), key=lambda text: (found.get(text, len(order)), _rank(text)))
        where = {kind: i for i, kind in enumerate(kinds)}
        return np.array([float(where[text]) for text in texts]), lambda ax: _mark_kinds(ax, kinds)
    low, high = numbers[is_number].min(), numbers[is_number].max()
    step = 0.08 * ((high - low) or 1.0)
    beside = {text: high + (i + 1) * step for i, text in enumerate(others)}
    at = np.array([x if np.isfinite(x) else beside[text] for x, text in zip(numbers, texts, strict=True)])
    return at, lambda ax: _mark_numbers(ax, (low, high), beside, are_dates)


def _mark_kinds(ax: Any, kinds: Sequence[str]) -> None:
    """A tick for each kind, or for every so many where there are too many to be read."""
    step = -(-len(kinds) // _LABELS)
    shown = [in_figure(label) for label in distinct(kinds[::step])]
    look = {} if sum(map(len, shown)) < _BESIDE else {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(range(0, len(kinds), step), shown, **look)


def _mark_numbers(ax: Any, span: tuple[float, float], others: dict[str, float], are_dates: bool) -> None:
    """Ticks of numbers or dates, and one for each other value to the right of them."""
    if are_dates:
        locator = AutoDateLocator(maxticks=8)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    if not others:
        return
    ticks = [tick for tick in ax.get_xticks() if span[0] <= tick <= span[1]]
    shown = ax.xaxis.get_major_formatter().format_ticks(ticks)
    look = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if len(others) > 1 else {}
    ax.set_xticks([*ticks, *others.values()], [*shown, *map(in_figure, distinct(list(others)))], **look)


def _rank(text: str) -> tuple[float, str]:
    """Texts in the order of the numbers that they say, then of the alphabet; what is missing is the last."""
    try:
        return float(text) if text != "nan" else np.inf, text
    except ValueError:
        return np.inf, f"{'1' if text == 'missing' else '0'}{text}"


def _date(value: Any) -> float:
    return float(date2num(value)) if isinstance(value, datetime.date) and not is_missing(value) else np.nan
