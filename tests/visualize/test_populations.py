"""Pictures of many samples: where points are, and what colours they have."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from matplotlib.figure import Figure

from kerasexplain import visualize

pytestmark = pytest.mark.once("points are made of arrays")


def points(figure: Figure) -> list[np.ndarray]:
    """The positions in each collection of points."""
    return [np.asarray(collection.get_offsets()) for collection in figure.axes[0].collections]


def labels(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_a_swarm_has_every_sample_in_the_row_of_each_feature(rng: np.random.Generator) -> None:
    relevance = rng.normal(size=(200, 3)) * [1.0, 5.0, 0.2]
    figure = visualize.beeswarm(relevance, rng.normal(size=(200, 3)), names=["a", "b", "c"])
    assert labels(figure) == ["b", "a", "c"]
    for row, (drawn, feature) in enumerate(zip(points(figure), (1, 0, 2), strict=True)):
        np.testing.assert_allclose(drawn[:, 0], relevance[:, feature])
        assert np.abs(drawn[:, 1] - row).max() <= 0.4 + 1e-9


def test_points_of_one_place_are_stacked() -> None:
    (drawn,) = points(visualize.beeswarm(np.ones((5, 1))))
    assert len(set(drawn[:, 1])) == 5
    assert drawn[:, 1].mean() == pytest.approx(0)


def test_values_are_colours_from_low_to_high_and_unknown_ones_grey() -> None:
    relevance = np.array([[1.0], [2.0], [3.0]])
    grey, coloured = visualize.beeswarm(relevance, [[0.0], [np.nan], [10.0]]).axes[0].collections
    np.testing.assert_array_equal(coloured.get_array(), [0.0, 1.0])
    np.testing.assert_array_equal(np.asarray(coloured.get_offsets())[:, 0], [1.0, 3.0])
    assert coloured.get_cmap().name == "viridis"
    np.testing.assert_array_equal(np.asarray(grey.get_offsets())[:, 0], [2.0])
    assert len(set(grey.get_facecolor()[0, :3])) == 1


def test_a_scale_of_values_is_there_only_where_there_are_some() -> None:
    assert len(visualize.beeswarm(np.ones((2, 2))).axes) == 1
    assert len(visualize.beeswarm(np.ones((2, 2)), np.array([["a", "b"], ["c", "d"]])).axes) == 1
    assert len(visualize.beeswarm(np.ones((2, 2)), np.ones((2, 2))).axes) == 2


def test_others_of_a_swarm_are_summed_per_sample() -> None:
    relevance = np.array([[5.0, 0.1, 0.2], [4.0, -0.3, 0.1]])
    figure = visualize.beeswarm(relevance, most=1)
    assert labels(figure) == ["feature 0", "2 others"]
    np.testing.assert_allclose(points(figure)[1][:, 0], [0.3, -0.2])


def test_others_of_a_swarm_do_not_set_its_scale() -> None:
    figure = visualize.beeswarm(np.array([[2.0, *[1.0] * 50], [-1.0, *[0.5] * 50]]), most=1)
    assert labels(figure) == ["feature 0", "50 others, cut"]
    np.testing.assert_allclose(points(figure)[1][:, 0], [2.0, 2.0])
    assert figure.axes[0].get_xlim()[1] < 2.5


def test_importance_is_the_mean_of_sizes() -> None:
    figure = visualize.importance(np.array([[1.0, -1.0, 3.0, 0.5], [-1.0, 1.0, 5.0, 0.1]]), names=list("abcd"), most=2)
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    assert labels(figure) == ["c", "a", "2 others, on average"]
    np.testing.assert_allclose(widths, [4.0, 1.0, 0.65])
    assert figure.axes[0].texts[-1].get_text() == "0.65 (1.3 in all)"
    assert figure.axes[0].get_xlabel() == "mean |relevance| of 2 samples"
    assert len(visualize.importance(np.zeros((1, 2))).axes[0].patches) == 2


def test_dependence_is_relevance_over_value() -> None:
    relevance, values = np.array([[1.0, 0.0], [-2.0, 0.0]]), np.array([[10.0, 1.0], [20.0, 2.0]])
    figure = visualize.dependence(relevance, values, "age", "size", names=["age", "size"])
    np.testing.assert_array_equal(points(figure)[0], [[10.0, 1.0], [20.0, -2.0]])
    np.testing.assert_array_equal(figure.axes[0].collections[0].get_array(), [0.0, 1.0])
    assert figure.axes[0].get_xlabel() == "age"
    assert figure.axes[1].get_ylabel() == "size"
    np.testing.assert_array_equal(figure.axes[1].get_yticks(), [1.0, 2.0])
    assert len(visualize.dependence(relevance, values, 0).axes) == 1


def test_kinds_have_a_place_each() -> None:
    values = np.array([["Ulm"], ["Bonn"], ["Ulm"]])
    figure = visualize.dependence(np.array([[1.0], [2.0], [3.0]]), values, 0)
    np.testing.assert_array_equal(points(figure)[0], [[1, 1], [0, 2], [1, 3]])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["Bonn", "Ulm"]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="pass values="):
        visualize.dependence(np.ones((2, 1)), None, 0)
    with pytest.raises(ValueError, match="no feature 'b'"):
        visualize.dependence(np.ones((2, 1)), np.ones((2, 1)), "b", names=["a"])
    with pytest.raises(ValueError, match="coloured by numbers, and 'feature 1' has none"):
        visualize.dependence(np.ones((1, 2)), np.array([["x", "y"]]), 0, 1)


def xlabels(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    return [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_every_sample_has_a_point_whatever_its_value_is() -> None:
    values = np.array([[1], ["two"], [3], [4], [np.inf], [None]], dtype=object)
    figure = visualize.dependence(np.arange(6.0)[:, None], values, 0)
    (drawn,) = points(figure)
    np.testing.assert_array_equal(drawn[[0, 2, 3], 0], [1, 3, 4])
    assert (drawn[[1, 4, 5], 0] > 4).all()
    assert xlabels(figure)[-3:] == ["two", "missing", "inf"]
    mixed = visualize.dependence(np.ones((4, 1)), np.array([[1], ["two"], [3], ["four"]], dtype=object), 0)
    assert xlabels(mixed) == ["1", "3", "four", "two"]
    assert np.isfinite(points(mixed)[0]).all()


@pytest.mark.filterwarnings("error")
def test_an_infinite_value_is_the_end_of_the_colours_of_the_others() -> None:
    figure = visualize.beeswarm(np.arange(4.0)[:, None], [[1.0], [2.0], [np.inf], [3.0]])
    np.testing.assert_array_equal(figure.axes[0].collections[0].get_array(), [0.0, 0.5, 1.0, 1.0])


def test_kinds_are_in_their_own_order() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is optional")
    kinds = pandas.Categorical(["high", "low", "mid"], ["low", "mid", "high"], ordered=True)
    frame = pandas.DataFrame({"x": [1, 2, 3], "a": kinds})
    for relevance, values in ((np.ones((3, 2)), frame), ({"x": np.ones((3, 1)), "a": np.ones((3, 1))}, frame)):
        assert xlabels(visualize.dependence(relevance, values, "a")) == ["low", "mid", "high"]
    assert xlabels(visualize.dependence(np.ones((3, 1)), [["10"], ["9"], ["1"]], 0)) == ["1", "9", "10"]


def test_dates_have_an_axis_of_time_and_many_kinds_few_ticks() -> None:
    dates = np.arange("2020-01-01", "2020-10-01", dtype="datetime64[D]")[:, None]
    figure = visualize.dependence(np.ones(dates.shape), dates.astype("datetime64[ns]"), 0)
    np.testing.assert_allclose(np.diff(points(figure)[0][:, 0]), 1.0)
    assert xlabels(figure)[0] == "2020"
    assert len(xlabels(figure)) < 12
    texts = np.array([[f"word {i}"] for i in range(300)])
    assert len(xlabels(visualize.dependence(np.ones((300, 1)), texts, 0))) <= 24


def test_ticks_of_colours_do_not_lie_upon_each_other() -> None:
    values = np.array([[1.0, 1.0], [2.0, 1.001], [3.0, 5.0]])
    ticks = visualize.dependence(np.ones((3, 2)), values, 0, 1).axes[1].get_yticks()
    assert np.diff(ticks).min() > 0.1


def test_the_label_of_the_colours_lies_beside_its_ends() -> None:
    figure = visualize.beeswarm(np.ones((3, 1)), np.arange(3.0)[:, None])
    figure.draw_without_rendering()
    axis = figure.axes[1].yaxis
    assert not any(axis.label.get_window_extent().overlaps(end.get_window_extent()) for end in axis.get_ticklabels())


def test_points_are_seen_on_a_dark_ground() -> None:
    figure = Figure()
    ax = figure.subplots()
    ax.set_facecolor("black")
    visualize.dependence(np.ones((2, 1)), np.ones((2, 1)), 0, ax=ax)
    assert ax.collections[0].get_facecolor()[0, :3].min() > 0.5
