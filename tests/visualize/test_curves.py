"""Signals: the ground of a curve has the colour of the relevance at each of its points."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from matplotlib.figure import Figure

from kerasexplain import visualize

pytestmark = pytest.mark.once("curves are made of arrays")

X = np.array([[[0.0, 5.0], [1.0, 5.0], [4.0, 7.0], [2.0, 6.0]], [[1.0, 1.0]] * 4])
R = np.array([[[0.0, 0.1], [2.0, 0.0], [-4.0, 0.0], [0.0, 0.0]], [[1.0, 1.0]] * 4])


def test_each_piece_has_the_colour_of_its_value() -> None:
    figure = visualize.signals(X[..., :1], R[..., :1], sampling_rate=2.0)
    (ground,) = figure.axes[0].collections
    white, weak, strong, _ = ground.get_colors()
    np.testing.assert_array_equal(white, [1, 1, 1, 1])
    assert weak[0] > weak[2]  # red
    assert strong[2] > strong[0]  # blue
    assert strong.sum() < weak.sum()
    np.testing.assert_allclose(ground.get_segments()[1], [[0.25, 0.5], [0.5, 1.0], [0.75, 2.5]])
    (curve,) = figure.axes[0].lines
    np.testing.assert_allclose(curve.get_xydata(), [[0, 0], [0.5, 1], [1, 4], [1.5, 2]])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(1, 4), st.integers(0, 2**31))
def test_the_pieces_of_a_curve_join(count: int, channels: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(1, count, channels))
    for ground in visualize.signals(x, x).axes[0].collections:
        pieces = ground.get_segments()
        assert len(pieces) == len(ground.get_colors()) == count
        for one, next_ in itertools.pairwise(pieces):
            np.testing.assert_allclose(one[-1], next_[0])


def test_channels_lie_below_each_other_in_a_range_of_their_own() -> None:
    figure = visualize.signals(X, R, channels=["arm", "leg"])
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["arm", "leg"]
    for i, line in enumerate(ax.lines):
        np.testing.assert_allclose([line.get_ydata().min(), line.get_ydata().max()], [-i - 0.4, -i + 0.4])
    one, two = ax.collections
    assert one.get_colors()[2].sum() < two.get_colors()[0].sum()  # the limit is that of both


def test_samples_have_axes_and_limits_of_their_own() -> None:
    figure = visualize.signals(X, R, samples=(1, 0), titles=["one", "zero"])
    above, below, _ = figure.axes
    assert (above.get_title(), below.get_title()) == ("one", "zero")
    np.testing.assert_array_equal(above.collections[0].get_colors()[0], visualize.RELEVANCE(256))
    np.testing.assert_array_equal(below.collections[0].get_colors()[2], visualize.RELEVANCE(0))


def test_time_has_a_unit() -> None:
    def label(**options: Any) -> str:
        return str(visualize.signals(X, R, **options).axes[0].get_xlabel())

    assert label() == "time step"
    assert label(sampling_rate=10.0) == "time (s)"
    assert label(time=[0, 1, 2, 5], unit="h") == "time (h)"
    figure = visualize.signals(X, R, time=[0, 1, 2, 5], unit="h")
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), [0, 1, 2, 5])


def test_the_bar_says_for_and_against() -> None:
    bar = visualize.signals(X, R).axes[-1]
    assert [label.get_text() for label in bar.get_xticklabels()] == ["against", "0", "for"]
    assert "largest |relevance|" in bar.get_xlabel()
    scaled = visualize.signals(X, R, scale=8.0)
    np.testing.assert_array_equal(scaled.axes[-1].get_xticks(), [-8, 0, 8])
    np.testing.assert_allclose(scaled.axes[0].collections[0].get_colors()[2], visualize.RELEVANCE(0.25), atol=0.02)


def test_it_draws_in_given_axes() -> None:
    figure = Figure()
    axes = figure.subplots(2, 1)
    assert visualize.signals(X, R, samples=[0, 1], ax=axes) is figure
    assert [len(ax.collections) for ax in axes] == [2, 2]
    with pytest.raises(ValueError, match="2 samples are shown: ax must be as many axes, got 1"):
        visualize.signals(X, R, samples=[0, 1], ax=axes[0])


def test_names_of_channels_are_no_formulas() -> None:
    figure = visualize.signals(X, R, channels=["$x_1$", r"$\foo$"])
    figure.draw_without_rendering()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [r"\$x_1\$", r"\$\foo\$"]


@pytest.mark.parametrize("layout", [None, "tight"])
def test_the_bar_keeps_off_the_axis_in_other_layouts(layout: Any) -> None:
    figure = Figure(layout=layout)
    ax = figure.subplots()
    visualize.signals(X, R, ax=ax)
    figure.draw_without_rendering()
    bar = figure.axes[1].get_tightbbox()
    assert not bar.overlaps(ax.get_tightbbox())
    assert bar.y0 >= 0


def test_a_signal_of_one_value_is_seen() -> None:
    ax = visualize.signals(np.ones((1, 1)), np.ones((1, 1))).axes[0]
    (piece,) = ax.collections[0].get_segments()
    np.testing.assert_array_equal(piece[[0, -1]], [[-0.5, 1.0], [0.5, 1.0]])
    assert ax.get_xlim() == (-0.5, 0.5)


def test_a_dense_curve_leaves_its_ground_visible() -> None:
    x = np.sin(np.arange(16000))[None]
    (thin,) = visualize.signals(x, x).axes[0].lines
    (usual,) = visualize.signals(x[:, :100], x[:, :100]).axes[0].lines
    assert thin.get_linewidth() < 0.3 < usual.get_linewidth()
    assert thin.get_alpha() < 0.4 < usual.get_alpha()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"x": np.zeros(4)}, "of one signal, pass it with"),
        ({"x": np.zeros((2, 4, 3))}, r"relevance of shape \(2, 4, 2\) does not fit signals of shape \(2, 4, 3\)"),
        ({"relevance": np.full((2, 4, 2), np.inf)}, "NaN or infinite"),
        ({"relevance": np.zeros((2, 4, 4, 2))}, r"\(samples, time, channels\); got shape"),
        ({"samples": []}, "samples must hold one at least"),
        ({"samples": 2}, "sample must be from 0 to 1"),
        ({"channels": ["one"]}, "a list of 2 names"),
        ({"titles": ["one", "two"]}, "a list of 1 texts"),
        ({"sampling_rate": 0.0}, "sampling_rate must be a positive number"),
        ({"time": [0, 1, 1, 2]}, "4 numbers that increase"),
        ({"time": [0, 1, 2]}, "4 numbers that increase"),
        ({"time": [0, 1, 2, 3], "sampling_rate": 1.0}, "not both"),
        ({"percentile": 0.0}, "percentile must be above 0"),
    ],
)
def test_what_is_no_signal_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        visualize.signals(**{"x": X, "relevance": R, **change})
