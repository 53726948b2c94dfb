"""Bars and waterfalls: lengths are relevance, and steps arrive at the output or say how much is lost."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from kerasexplain import visualize
from kerasexplain.visualize.palette import AGAINST, FOR

pytestmark = pytest.mark.once("bars are made of arrays")

R = np.array([[1.0, -3.0, 0.5], [2.0, 2.0, 2.0]])


def bars(figure: Figure) -> list[tuple[str, float, float]]:
    """The bars from top to bottom: the label of the row, where the bar begins, and its length."""
    (ax,) = figure.axes
    labels = dict(zip(ax.get_yticks(), (label.get_text() for label in ax.get_yticklabels()), strict=True))
    found = [(patch.get_y() + patch.get_height() / 2, patch.get_x(), patch.get_width()) for patch in ax.patches]
    return [(labels[round(row)], begin, length) for row, begin, length in found]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_the_strongest_is_on_top_and_its_length_is_its_relevance() -> None:
    figure = visualize.bar(R, [[7.0, 8.0, 9.0], [0, 0, 0]], names=["age", "size", "weight"], title="output: 3")
    assert bars(figure) == [("size = 8", 0, -3.0), ("age = 7", 0, 1.0), ("weight = 9", 0, 0.5)]
    assert texts(figure) == ["-3", "+1", "+0.5"]
    (ax,) = figure.axes
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row is the upper one
    assert ax.get_title() == "output: 3"
    assert [patch.get_facecolor() for patch in ax.patches] == [to_rgba(AGAINST), to_rgba(FOR), to_rgba(FOR)]


def test_others_are_summed_and_pale() -> None:
    relevance = np.array([[5.0, 0.1, -0.4, 0.2, -3.0]])
    figure = visualize.bar(relevance, most=2)
    shown = bars(figure)
    assert [label for label, _, _ in shown] == ["feature 0", "feature 4", "3 others"]
    assert shown[-1][2] == pytest.approx(-0.1)
    assert figure.axes[0].patches[-1].get_alpha() < 1
    assert len(bars(visualize.bar(relevance, most=4))) == 5  # one alone is shown under its name


def test_numbers_are_within_the_axes() -> None:
    for relevance in ([[1e-9, -1e-9]], [[1e9, 2e9]], [[-1.0, -2.0]], [[0.0, 0.0]]):
        figure = visualize.bar(np.array(relevance), names=["a rather long name of a feature", "b"])
        figure.draw_without_rendering()
        (ax,) = figure.axes
        box = ax.get_window_extent()
        for text in ax.texts:
            extent = text.get_window_extent()
            assert box.x0 - 1 <= extent.x0 < extent.x1 <= box.x1 + 1
        for label in ax.get_yticklabels():
            assert label.get_window_extent().x0 >= 0


def test_dollars_begin_no_formula() -> None:
    figure = visualize.bar(R, [["1 $", "$2", "3"]] * 2, names=["price ($)", "cost ($)", "c"])
    figure.draw_without_rendering()
    assert bars(figure)[0][0] == r"cost (\$) = \$2"


def test_it_draws_in_given_axes() -> None:
    figure = Figure()
    ax, other = figure.subplots(1, 2)
    assert visualize.bar(R, sample=1, ax=ax) is figure
    assert len(ax.patches) == 3
    assert not other.patches


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20),
    st.floats(-1e3, 1e3),
    st.floats(-1e3, 1e3),
    st.integers(1, 8),
)
def test_a_waterfall_arrives(relevance: list[float], start: float, gap: float, most: int) -> None:
    explained = start + sum(relevance) + gap
    figure = visualize.waterfall([relevance], [explained], start, most=most)
    steps = bars(figure)
    end = start
    for _, begin, length in steps:
        assert begin == pytest.approx(end, abs=1e-9)
        end = begin + length
    size = max(abs(start), abs(explained), *map(abs, relevance))
    assert end == pytest.approx(explained, abs=1.1e-5 * size * len(relevance) + 1e-9)
    if "lost" in [label for label, _, _ in steps]:
        assert steps[-1][2] == pytest.approx(gap, abs=1e-6)
    else:
        assert abs(gap) <= 1.1e-5 * size * len(relevance) + 1e-9


def test_what_is_lost_is_a_step_in_grey() -> None:
    figure = visualize.waterfall(R, [0.5, 6.0], np.array([1.0, 0.0]), names=["a", "b", "c"])
    assert [label for label, _, _ in bars(figure)] == ["b", "a", "c", "lost"]
    assert bars(figure)[-1][1:] == (-0.5, 1.0)
    grey = figure.axes[0].patches[-1].get_facecolor()
    assert grey[0] == grey[1] == grey[2]
    assert texts(figure)[-2:] == ["1", "0.5"]  # where it starts, and where it arrives
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert (labels[0], labels[-1]) == ("start", "output")


def test_rounding_is_not_lost() -> None:
    single = R.astype("float32") / 3
    figure = visualize.waterfall(single, single.sum(axis=1))
    assert [label for label, _, _ in bars(figure)] == ["feature 1", "feature 0", "feature 2"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"explained": [1.0]}, r"explained must be one number, or one for each of the 2 samples; got shape \(1,\)"),
        ({"explained": [1.0, 2.0], "start": [0.0]}, "start must be one number"),
        ({"explained": [np.nan, 2.0]}, "explained is nan"),
        ({"explained": [1.0, 2.0], "sample": 2}, "sample must be from 0 to 1, got 2"),
        ({"explained": [1.0, 2.0], "sample": -1}, "sample must be from 0 to 1"),
        ({"explained": [1.0, 2.0], "most": 0}, "most must be an integer of at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        visualize.waterfall(R, **options)


def test_numbers_have_all_digits_and_zero_no_sign() -> None:
    figure = visualize.waterfall(np.array([[-20000.25, -0.0]]), 161234.5, 181234.75, [[80331, 2]], names=["zip", "b"])
    assert texts(figure) == ["-20000.2", "0", "181234.8", "161234.5"]
    assert [label for label, _, _ in bars(figure)] == ["zip = 80331", "b = 2"]


@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_do_not_run_into_long_names(sign: int) -> None:
    names = [f"a name that is so long that it leaves little room {i}" for i in range(3)]
    figure = visualize.waterfall(sign * np.array([[12345.6, 2345.6, 123456.7]]), sign * 1e5, names=names)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    box = ax.get_window_extent()
    for text in ax.texts:
        assert box.x0 - 1 <= text.get_window_extent().x0 < text.get_window_extent().x1 <= box.x1 + 1
    ticks = [label.get_window_extent() for label in ax.get_xticklabels() if label.get_text()]
    assert not any(one.overlaps(two) for one, two in itertools.pairwise(ticks))
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert len(set(labels)) == len(labels) == 6  # start, three features, lost, output
