"""Names, values and numbers as labels of a picture: short, each unlike the others, and without lost digits."""

from __future__ import annotations

import math
import numbers
from collections import Counter
from collections.abc import Sequence
from typing import Any

#: Labels that are longer are cut: they would leave no room for the picture.
LONGEST = 36
#: A name keeps so many characters, however long the value beside it is.
_LEAST = 16
#: Whole numbers below are written in full: postcodes, years and incomes are read digit by digit.
_WHOLE = 1e9
#: Other numbers that are large have a digit behind the point where they have no more than so many in all.
_DIGITS = 7


def number(value: Any, digits: int = 4) -> str:
    """A number with so many digits, but with all those before its point, and so without an exponent unless it is huge.

    Example:
        >>> number(80331), number(0.123456), number(10000.4), number(-0.0)
        ('80331', '0.1235', '10000.4', '0')
    """
    value = float(value) + 0.0  # there is no -0
    if value.is_integer() and abs(value) < _WHOLE:
        return f"{value:.0f}"
    if 1 <= abs(value) < _WHOLE:
        before = len(str(round(abs(value))))
        digits = digits if before <= digits else max(before, min(_DIGITS, before + 1))
    return f"{value:.{digits}g}"


def signed(value: float) -> str:
    """A number with three digits and its sign; zero has none."""
    return f"{'+' if value > 0 else ''}{number(value, 3)}"


def is_missing(value: Any) -> bool:
    """Whether a table holds nothing there: None, NaN, or what pandas has for them."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # pandas' NA has no truth
        return True


def as_number(value: Any) -> float:
    """A value of a table as a number; NaN where it is none, also of a text that says one."""
    try:
        return math.nan if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError):
        return math.nan


def said(value: Any) -> str:
    """A value of a table, as a text."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return number(value)
    return str(value).removesuffix(" 00:00:00")  # a date has no time of day


def shortened(text: str, room: int = LONGEST) -> str:
    """A text that is no longer than there is room for, cut in its middle."""
    end = room // 2
    return text if len(text) <= room else f"{text[: room - end - 1]}…{text[-end:]}"


def distinct(texts: Sequence[str], rooms: Sequence[int] | None = None) -> list[str]:
    """Texts as labels: where cutting two in their middle would make one label of them, the cut is elsewhere."""
    rooms = [LONGEST] * len(texts) if rooms is None else rooms
    shown = [shortened(text, room) for text, room in zip(texts, rooms, strict=True)]
    # With equal room for all: labels that differ in their length alone look alike.
    alike = [shortened(text, min(rooms)) for text in texts]
    for label in _repeated(alike):
        group = [i for i, other in enumerate(alike) if other == label]
        begin = _first_difference([texts[i] for i in group])
        for i in group:
            shown[i] = _from(texts[i], begin, rooms[i])
    for label in _repeated(shown):
        group = [i for i, other in enumerate(shown) if other == label != texts[i]]
        for place, i in enumerate(group, 1):
            shown[i] = f"{shown[i][: rooms[i] - 6]} ({place})"
    return shown


def labels(names: Sequence[str], values: Sequence[Any] | None) -> list[str]:
    """Names with their values, such as "age = 41": names are cut, and a value only where it is very long."""
    ends = [
        "" if is_missing(value) else f" = {shortened(said(value), LONGEST - _LEAST)}"
        for value in (values if values is not None else [None] * len(names))
    ]
    cut = distinct(names, [max(_LEAST, LONGEST - len(end)) for end in ends])
    return [name + end for name, end in zip(cut, ends, strict=True)]


def _repeated(shown: Sequence[str]) -> list[str]:
    return [label for label, count in Counter(shown).items() if count > 1]


def _first_difference(texts: Sequence[str]) -> int:
    """Where texts cease to be the same."""
    together = zip(*texts, strict=False)
    return next((i for i, letters in enumerate(together) if len(set(letters)) > 1), min(map(len, texts)))


def _from(text: str, begin: int, room: int) -> str:
    """A text cut so that its characters from `begin` on are seen."""
    head = room // 4
    begin = max(0, min(begin - 2, len(text) - (room - head - 1)))
    if begin <= head:
        return text if len(text) <= room else text[: room - 1] + "…"
    rest = text[begin:]
    room -= head + 1
    return f"{text[:head]}…{rest if len(rest) <= room else rest[: room - 1] + '…'}"
