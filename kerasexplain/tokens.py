"""Relevance of tokens as text: every token on a background that says how much it speaks for or against.

Red speaks for the explained output, blue against it, white is zero, as in `kerasexplain.visualize`. Drawn with rich,
which Keras brings along, on terminals and as HTML alike; in HTML the number of a token appears under the pointer.
"""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from rich.console import Console, ConsoleOptions
from rich.style import Style
from rich.text import Text

from kerasexplain.foundation.showing import Shown
from kerasexplain.foundation.text import visible
from kerasexplain.tables import plain_console

#: ColorBrewer's blue to red with an exactly white middle, for relevance from negative to positive.
COLOURS = (
    *("#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#ffffff"),
    *("#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f"),
)
#: What rich carries along with a style for the HTML alone.
_TITLE = "title"
#: How tokenizers mark that a piece begins a word (SentencePiece, GPT), or that it does not (WordPiece).
_BEGINS, _CONTINUES = ("▁", "Ġ"), "##"

_FRAGMENT = (
    '<div style="white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.9; font-family: system-ui, sans-serif">'
    "{code}</div>"
)
_PAGE = f"""<!DOCTYPE html>
<html>
<head><meta charset="utf-8"><title>Relevance of tokens</title></head>
<body style="max-width: 50em; margin: 2em auto; padding: 0 1em; color: #000; background: #fff">
{_FRAGMENT}
</body>
</html>
"""


class _Readable(Shown):
    """A text that draws itself with rich: as plain text, on a terminal in colour, and as HTML."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        raise NotImplementedError

    def __str__(self) -> str:
        console = plain_console(color_system=None)
        console.print(self, soft_wrap=True)
        return console.file.getvalue().rstrip()  # type: ignore[attr-defined]

    def to_html(self) -> str:
        """A page of HTML that needs nothing else; everything that is not markup is escaped."""
        return self._html(_PAGE)

    def _repr_html_(self) -> str:
        return self._html(_FRAGMENT)

    def _html(self, template: str) -> str:
        console = plain_console(force_terminal=True, color_system="truecolor", no_color=False)
        lines = self.__rich_console__(console, console.options)
        return template.format(code="\n".join(map(_markup, lines)))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TokenRelevance(_Readable):
    """The tokens of one sample and their relevance.

    Attributes:
        tokens: What stands there, `(n,)`.
        relevance: Of each, `(n,)`.
        rest: The relevance of what is left out, such as padding, in all.
        title: What was explained.
    """

    tokens: tuple[str, ...]
    relevance: np.ndarray
    rest: float = 0.0
    title: str = ""

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """The tokens with their relevance."""
        return zip(self.tokens, self.relevance.tolist(), strict=True)

    @property
    def largest(self) -> float:
        """The largest |relevance|, which gets the full colour; 0 where there is none."""
        return float(np.abs(self.relevance).max(initial=0.0))

    @property
    def colours(self) -> list[tuple[str, str]]:
        """Each token's colour on its background, as "#rrggbb"."""
        backgrounds = [_colour(value / (self.largest or 1.0)) for value in self.relevance]
        return [(_ink(background), background) for background in backgrounds]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        coloured = console.color_system is not None and not console.no_color
        yield from self._lines(coloured)
        if coloured and len(self):
            yield _legend(f"{self.largest:.3g}")

    def _lines(self, coloured: bool) -> Iterator[Text]:
        text = Text()
        # The largest is written with two digits, and the others to the same decimal: what is small looks small.
        decimals = max(0, 1 - math.floor(math.log10(self.largest or 1.0)))
        for (gap, shown), value, (ink, background) in zip(
            pieces(self.tokens), self.relevance, self.colours, strict=True
        ):
            text.append(gap)
            look = Style(color=ink, bgcolor=background, meta={_TITLE: f"{value:+.3g}"})
            text.append(shown, look if coloured else None)
            if not coloured:
                text.append(f"({round(value, decimals) + 0.0:+.{decimals}f})")  # + 0.0: there is no -0.0
        if self.title:
            yield Text(visible(self.title), Style(bold=True))
        if len(self):
            yield text


class TokenRelevances(_Readable, Sequence[TokenRelevance]):
    """The tokens of every sample and their relevance: what `Explanation.tokens` returns.

    `str` shows the numbers, `rich.print` colours, notebooks show HTML, and `to_html` is a page to save.
    """

    def __init__(self, samples: Sequence[TokenRelevance]) -> None:
        self._samples = tuple(samples)

    @overload
    def __getitem__(self, index: int) -> TokenRelevance: ...
    @overload
    def __getitem__(self, index: slice) -> TokenRelevances: ...
    def __getitem__(self, index: int | slice) -> TokenRelevance | TokenRelevances:
        return TokenRelevances(self._samples[index]) if isinstance(index, slice) else self._samples[index]

    def __len__(self) -> int:
        return len(self._samples)

    def __repr__(self) -> str:
        more = ", ..." if len(self) > 3 else ""
        return f"<TokenRelevances of {len(self)} samples: {', '.join(repr(each.title) for each in self[:3])}{more}>"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        coloured = console.color_system is not None and not console.no_color
        for i, sample in enumerate(self):
            if i:
                yield Text()
            yield from sample._lines(coloured)
        if coloured and any(len(sample) for sample in self):
            yield Text()
            yield _legend("each text's largest |relevance|")


def token_relevances(
    relevance: Any, words: Any, ids: Any = None, *, padding: int | None = None, titles: Sequence[str]
) -> TokenRelevances:
    """Tokens and their relevance, sample by sample.

    Args:
        relevance: `(samples, length, ...)`; what follows the length is summed.
        words, ids, padding: As for `Explanation.tokens`.
        titles: One per sample.

    Raises:
        ValueError: As for `Explanation.tokens`.
    """
    values = np.asarray(relevance, dtype=np.float64)
    if values.ndim < 2:
        raise ValueError(f"relevance of tokens has shape (samples, length, ...); got {values.shape}")
    values = values.sum(axis=tuple(range(2, values.ndim)))
    if not np.isfinite(values).all():
        raise ValueError("relevance holds values that are NaN or infinite")
    if len(titles) != len(values):
        raise ValueError(f"there are {len(values)} samples, but {len(titles)} titles")
    if ids is None:
        if padding is not None:
            raise ValueError("padding= is an id, and is found in ids=: lists of tokens leave padding out themselves")
        rows = [(row, 0) for row in _lists(words, values.shape)]
    else:
        rows = _named(words, ids, values.shape, padding)
    samples = []
    for row, (tokens, begin), title in zip(values, rows, titles, strict=True):
        shown = row[begin : begin + len(tokens)]
        samples.append(TokenRelevance(tuple(tokens), shown, float(row.sum() - shown.sum()), title))
    return TokenRelevances(samples)


def tokens_by_position(words: Any, ids: np.ndarray, padding: int | None = None) -> list[list[str]]:
    """The token at every position of every sample; "" where there is none.

    Args:
        words: What names ids, as for `Explanation.tokens`.
        ids: `(samples, length)`.
        padding: As for `Explanation.tokens`.

    Raises:
        ValueError: As for `Explanation.tokens`.
    """
    rows = _named(words, ids, ids.shape, padding)
    return [[""] * begin + row + [""] * (ids.shape[1] - begin - len(row)) for row, begin in rows]


def _lists(words: Any, shape: tuple[int, ...]) -> list[list[str]]:
    """The lists of tokens that a user gave, checked."""
    expected = "tokens must be one list of strings per sample"
    if hasattr(words, "get_vocabulary") or hasattr(words, "id_to_token") or callable(words):
        raise ValueError(f"{expected}; a tokenizer, vocabulary or function needs ids=, the ids it is to name")
    if isinstance(words, str) or not isinstance(words, (Sequence, np.ndarray)):
        raise ValueError(f"{expected}, got {type(words).__name__}")
    if len(words) and all(isinstance(row, str) for row in words):
        raise ValueError(
            f"{expected}, got {len(words)} strings, the first {words[0]!r}: put the tokens of one sample into a list "
            "of their own, or pass ids= if these are a vocabulary"
        )
    if len(words) != shape[0]:
        raise ValueError(f"there are {shape[0]} samples, but {len(words)} lists of tokens")
    rows = [list(row) for row in words]
    for i, row in enumerate(rows):
        if len(row) > shape[1]:
            raise ValueError(f"sample {i} has {len(row)} tokens, but only {shape[1]} positions with relevance")
        for token in row:
            if not isinstance(token, str):
                raise ValueError(f"{expected}; sample {i} holds {token!r} ({type(token).__name__})")
    return rows


def _named(words: Any, ids: Any, shape: tuple[int, ...], padding: int | None) -> list[tuple[list[str], int]]:
    """Per sample the names of its ids, and where they begin."""
    numbers = np.asarray(ids)
    if numbers.shape != shape or numbers.dtype.kind not in "iu":
        raise ValueError(
            f"ids must be integers of shape {shape}, as the relevance has; got {numbers.dtype} {numbers.shape}"
        )
    name = _naming(words)
    rows = []
    for row in numbers:
        kept = np.arange(len(row)) if padding is None else np.flatnonzero(row != padding)
        begin, end = (int(kept[0]), int(kept[-1]) + 1) if len(kept) else (0, 0)
        rows.append(([name(int(number)) for number in row[begin:end]], begin))
    return rows


def _naming(words: Any) -> Callable[[int], str]:
    """From what a user gave to a function that gives an id its name."""
    if hasattr(words, "id_to_token"):  # keras_hub's tokenizers
        words = words.id_to_token
    elif hasattr(words, "get_vocabulary"):  # TextVectorization, StringLookup
        words = words.get_vocabulary()
    if callable(words):
        find = words
    elif isinstance(words, (Sequence, np.ndarray)) and not isinstance(words, str):
        vocabulary = words

        def find(number: int) -> Any:
            if not 0 <= number < len(vocabulary):
                raise ValueError(f"the id {number} is not in the vocabulary of {len(vocabulary)} words")
            return vocabulary[number]
    else:
        raise ValueError(
            "what names ids must be a list of words, a function from an id to its word, or have `id_to_token` or "
            f"`get_vocabulary`; got {type(words).__name__}"
        )

    def name(number: int) -> str:
        token = find(number)
        if not isinstance(token, str):
            raise ValueError(f"the id {number} was named {token!r} ({type(token).__name__}), which is no string")
        return token

    return name


def pieces(tokens: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The gap before each token, and the token as it is shown: pieces of words are joined."""
    marked = any(token.startswith(_BEGINS) for token in tokens)
    for i, token in enumerate(tokens):
        if marked:
            begins, shown = token.startswith(_BEGINS), token.lstrip("".join(_BEGINS))
        else:
            begins = not token.startswith(_CONTINUES) or token == _CONTINUES
            shown = token if begins else token.removeprefix(_CONTINUES)
        yield (" " if begins and i else ""), visible(shown)


def _colour(strength: float) -> str:
    """The colour of a relevance from -1 to 1."""
    anchors = [[int(colour[i : i + 2], 16) for colour in COLOURS] for i in (1, 3, 5)]
    at = np.linspace(-1.0, 1.0, len(COLOURS))
    return "#" + "".join(f"{round(np.interp(strength, at, channel)):02x}" for channel in anchors)


def _ink(colour: str) -> str:
    """Black or white, whichever can be read better on a colour (relative luminance, WCAG 2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return "#000000" if np.dot(linear, (0.2126, 0.7152, 0.0722)) > 0.179 else "#ffffff"


def _markup(text: Text) -> str:
    """A line as HTML: what rich exports, and the title of a style, which a browser shows under the pointer."""
    found, end = [], 0
    for span in text.spans:
        found.append(html.escape(text.plain[end : span.start]))
        found.append(_styled(text.plain[span.start : span.end], span.style))
        end = span.end
    found.append(html.escape(text.plain[end:]))
    line = "".join(found)
    return f'<span style="{text.style.get_html_style()}">{line}</span>' if isinstance(text.style, Style) else line


def _styled(text: str, style: str | Style) -> str:
    if not isinstance(style, Style):
        return html.escape(text)
    title = f' title="{html.escape(style.meta[_TITLE])}"' if _TITLE in style.meta else ""
    return f'<span style="{style.get_html_style()}"{title}>{html.escape(text)}</span>'


def _legend(limit: str) -> Text:
    text = Text("against ")
    for colour in COLOURS:
        text.append("  ", Style(bgcolor=colour))
    return text.append(f" for; full colour: {limit}")
