"""Words on coloured ground, in axes of a figure; `Explanation.tokens` shows them on terminals and in notebooks."""

from __future__ import annotations

from typing import Any, NamedTuple

from matplotlib.patches import Rectangle

from kerasexplain.foundation.text import in_figure
from kerasexplain.tokens import TokenRelevance, pieces

#: Characters in a line, and the size of the writing at which they fill seven inches: of a font in which all are equally
#: wide, so that it is known where a word ends.
LINE, _POINTS = 90, 9
#: From line to line, in inches.
LINE_HEIGHT = 0.24


class Word(NamedTuple):
    """Where a token is written: its line, its first character, and the text that is seen."""

    line: int
    column: int
    text: str


def placed(tokens: tuple[str, ...]) -> list[Word]:
    """Where each token is written, in lines of equal length."""
    words: list[Word] = []
    line, column = 0, 0
    for gap, text in pieces(tokens):
        shown = text if len(text) <= LINE else text[: LINE - 1] + "…"
        if column + len(gap) + len(shown) > LINE:
            line, column, gap = line + 1, 0, ""
        words.append(Word(line, column + len(gap), shown))
        column += len(gap) + len(shown)
    return words


def draw_words(ax: Any, sample: TokenRelevance) -> None:
    """The tokens of a sample, each on the colour of its relevance."""
    words = placed(sample.tokens)
    for word, (ink, background) in zip(words, sample.colours, strict=True):
        place = (word.column, word.line - 0.4)
        ax.add_patch(Rectangle(place, len(word.text), 0.8, color=background, linewidth=0))
        middle = word.column + len(word.text) / 2
        text = in_figure(word.text)
        look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": _POINTS, "family": "monospace"}
        ax.text(middle, word.line, text, color=ink, **look)
    ax.set_xlim(0, LINE)
    ax.set_ylim(max((word.line for word in words), default=0) + 0.5, -0.5)
    ax.set_axis_off()
