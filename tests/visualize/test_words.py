"""Words in figures: each in a line, on the colour of its relevance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from rich.cells import cell_len

from kerasexplain.tokens import TokenRelevance
from kerasexplain.visualize.figures import new_figure
from kerasexplain.visualize.words import LINE, MOST, draw_words, line_count, placed

pytestmark = pytest.mark.once("about text")


@given(st.lists(st.text(st.characters(codec="ascii"), min_size=1, max_size=120), max_size=60))
def test_words_keep_their_order_and_never_overlap(tokens: list[str]) -> None:
    words = placed(tuple(tokens))
    assert len(words) == len(tokens)
    assert all(word.column >= 0 and word.column + cell_len(word.text) <= LINE for word in words)
    for one, next_ in itertools.pairwise(words):
        assert next_.line in (one.line, one.line + 1)
        assert next_.line > one.line or next_.column >= one.column + len(one.text)


def test_words_have_the_colours_of_their_relevance() -> None:
    sample = TokenRelevance(("good", "$5", "bad"), np.array([2.0, 0.0, -2.0]))
    ax = Figure().subplots()
    draw_words(ax, sample)
    assert [to_hex(patch.get_facecolor()) for patch in ax.patches] == [background for _, background in sample.colours]
    assert [text.get_text() for text in ax.texts] == ["good", r"\$5", "bad"]
    assert [patch.get_x() for patch in ax.patches] == [0, 5, 8]


def test_words_are_within_their_ground() -> None:
    sample = TokenRelevance(
        tuple(["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog"] * 3), np.arange(27.0)
    )
    figure = new_figure(7.2, 1.0)
    ax = figure.subplots()
    draw_words(ax, sample)
    figure.draw_without_rendering()
    for patch, text in zip(ax.patches, ax.texts, strict=True):
        ground, writing = patch.get_window_extent(), text.get_window_extent()
        assert ground.x0 - 1 <= writing.x0 < writing.x1 <= ground.x1 + 1
        assert ground.y0 - 1 <= writing.y0 < writing.y1 <= ground.y1 + 1


def test_wide_letters_have_two_places() -> None:
    words = placed(("漢字", "a", "漢" * 100))
    assert [word.column for word in words] == [0, 5, 0]
    assert cell_len(words[2].text) <= LINE
    ax = Figure().subplots()
    draw_words(ax, TokenRelevance(("漢字", "a"), np.ones(2)))
    assert [patch.get_width() for patch in ax.patches] == [4, 1]


def test_a_long_word_moves_no_other() -> None:
    figure = new_figure(7.2, 1.0)
    ax = figure.subplots()
    draw_words(ax, TokenRelevance(("x" * 100, "W" * 89, "a"), np.ones(3)))
    figure.draw_without_rendering()
    assert ax.get_window_extent().width > 0.97 * figure.bbox.width


def test_of_very_many_words_the_first_are_drawn_and_the_others_told() -> None:
    sample = TokenRelevance(("a",) * (MOST + 20), np.full(MOST + 20, 0.5))
    ax = Figure().subplots()
    draw_words(ax, sample)
    assert len(ax.patches) == MOST
    assert ax.texts[-1].get_text() == "… and 20 tokens more, of relevance +10 in all"
    assert ax.get_ylim()[0] == line_count(sample) - 0.5
    assert line_count(sample) == line_count(TokenRelevance(sample.tokens[:MOST], sample.relevance[:MOST])) + 1
