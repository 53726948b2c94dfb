"""Words on coloured ground, in axes of a figure; `Explanation.tokens` shows them on terminals and in notebooks."""

from __future__ import annotations

from typing import Any, NamedTuple

from matplotlib.patches import Rectangle
from rich.cells import cell_len, set_cell_size

from kerasexplain.foundation.text import in_figure
from kerasexplain.labels import signed
from kerasexplain.tokens import TokenRelevance, pieces
from kerasexplain.visualize.figures import grey

#: Characters in a line, and the size of the writing at which they fill seven inches: of a font in which all are equally
#: wide, so that it is known where a word ends.
LINE, _POINTS = 90, 9
#: From line to line, in inches.
LINE_HEIGHT = 0.24
#: So many tokens are drawn, in some seconds: nobody reads the colours of more in one picture.
MOST = 1000


class Word(NamedTuple):
    """Where a token is written: its line, its first cell (a Chinese character fills two), and the text that is seen."""

    line: int
    column: int
    text: str


def placed(tokens: tuple[str, ...]) -> list[Word]:
    """Where each token is written, in lines of equal length."""
    words: list[Word] = []
    line, column = 0, 0
    for gap, text in pieces(tokens):
        shown = text if cell_len(text) <= LINE else set_cell_size(text, LINE - 1) + "…"
        if column + len(gap) + cell_len(shown) > LINE:
            line, column, gap = line + 1, 0, ""
        words.append(Word(line, column + len(gap), shown))
        column += len(gap) + cell_len(shown)
    return words


def line_count(sample: TokenRelevance) -> int:
    """How many lines `draw_words` writes."""
    last = max((word.line for word in placed(sample.tokens[:MOST])), default=0)
    return last + (2 if len(sample) > MOST else 1)


def draw_words(ax: Any, sample: TokenRelevance) -> None:
    """The tokens of a sample, each on the colour of its relevance; of very many the first, and the others' sum."""
    words = placed(sample.tokens[:MOST])
    look: dict[str, Any] = {"va": "center", "fontsize": _POINTS, "family": "monospace"}
    for word, (ink, background) in zip(words, sample.colours[:MOST], strict=True):
        place, width = (word.column, word.line - 0.4), cell_len(word.text)
        ax.add_patch(Rectangle(place, width, 0.8, color=background, linewidth=0))
        text = ax.text(word.column + width / 2, word.line, in_figure(word.text), color=ink, ha="center", **look)
        text.set_in_layout(False)  # a letter that no font is sure of would move all others out of their boxes
    lines = line_count(sample)
    if len(sample) > MOST:
        rest = signed(sample.relevance[MOST:].sum())
        told = f"… and {len(sample) - MOST} tokens more, of relevance {rest} in all"
        ax.text(0, lines - 1, told, color=grey(ax, 0.4), ha="left", **look)
    ax.set_xlim(0, LINE)
    ax.set_ylim(lines - 0.5, -0.5)
    ax.set_axis_off()
