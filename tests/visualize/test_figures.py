"""Figures are nobody's but the caller's, and notebooks show them."""

from __future__ import annotations

import io

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from matplotlib.figure import Figure
from PIL import Image

from kerasexplain.visualize.figures import DPI, axes_of, new_figure

pytestmark = pytest.mark.once("figures are made of nothing")


def test_nothing_is_left_with_pyplot() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    new_figure(2, 1)
    assert pyplot.get_fignums() == before


def test_a_notebook_shows_a_figure_in_its_size() -> None:
    shown = new_figure(2, 1)._repr_png_()  # type: ignore[attr-defined]
    assert Image.open(io.BytesIO(shown)).size == (2 * DPI, DPI)


def test_axes_are_those_that_are_given_or_new_ones() -> None:
    ax = Figure().subplots()
    assert axes_of(ax, 2, 1) is ax
    assert axes_of(None, 2, 1).figure.get_size_inches().tolist() == [2, 1]
