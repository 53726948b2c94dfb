"""Volumes: slices are where they are said to be, and share one scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from matplotlib.figure import Figure

from kerasexplain import visualize

pytestmark = pytest.mark.once("images are made of arrays")


def pixels(ax: Any) -> np.ndarray:
    return np.asarray(ax.images[0].get_array()).astype(int)


def spot(shape: tuple[int, ...], at: tuple[int, ...], value: float) -> np.ndarray:
    relevance = np.zeros((1, *shape))
    relevance[(0, *at)] = value
    return relevance


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_shows_the_relevance_that_lies_in_it(axis: int) -> None:
    shape = (5, 6, 7)
    at = (2, 3, 4)
    relevance = spot(shape, at, 3.0)
    figure = visualize.slices(None, relevance, axis=axis, count=shape[axis])
    axes = figure.axes[: shape[axis]]
    name = ("depth", "height", "width")[axis]
    assert [ax.get_title() for ax in axes] == [f"{name} {i}" for i in range(shape[axis])]
    for i, ax in enumerate(axes):
        marked = np.argwhere(pixels(ax).sum(axis=-1) < 765)
        assert marked.tolist() == ([[at[other] for other in range(3) if other != axis]] if i == at[axis] else [])


def test_slices_are_spread_from_the_first_to_the_last_and_share_a_scale() -> None:
    relevance = spot((9, 4, 4), (0, 0, 0), 4.0) + spot((9, 4, 4), (8, 0, 0), 1.0)
    for volume in (None, np.zeros((1, 9, 4, 4))):
        figure = visualize.slices(volume, relevance, count=3)
        axes = figure.axes[:3]
        strong, weak = pixels(axes[0])[0, 0], pixels(axes[2])[0, 0]
        assert strong[0] > strong[2] + 50
        assert weak.tolist() != strong.tolist()
    assert [ax.get_title() for ax in axes] == ["depth 0", "depth 4", "depth 8"]
    assert "the volume up to its own largest" in figure.axes[-1].get_xlabel()


def test_channels_of_relevance_are_summed_and_of_volumes_averaged() -> None:
    volume, relevance = np.random.default_rng(0).uniform(size=(2, 1, 3, 4, 4, 2))
    one = visualize.slices(volume, relevance, count=3, scale=3.0)
    two = visualize.slices(volume.mean(-1), relevance.sum(-1), count=3, scale=3.0)
    for left, right in zip(one.axes[:3], two.axes[:3], strict=True):
        np.testing.assert_array_equal(pixels(left), pixels(right))


def test_a_projection_keeps_the_sign_of_the_strongest() -> None:
    relevance = spot((4, 3, 3), (0, 1, 1), -3.0) + spot((4, 3, 3), (2, 1, 1), 2.0)
    strongest = pixels(visualize.projection(None, relevance, how="max").axes[0])[1, 1]
    mean = pixels(visualize.projection(None, relevance).axes[0])[1, 1]
    assert strongest[2] > strongest[0] + 50
    assert mean[2] > mean[0] + 50
    cancelled = relevance + spot((4, 3, 3), (1, 1, 1), 1.0)
    assert pixels(visualize.projection(None, cancelled).axes[0])[1, 1].tolist() == [255, 255, 255]


def test_they_draw_in_given_axes() -> None:
    figure = Figure()
    axes = figure.subplots(1, 3)
    relevance = np.ones((1, 3, 4, 5))
    assert visualize.slices(None, relevance, ax=axes) is figure
    assert [ax.images[0].get_array().shape for ax in axes] == [(4, 5, 3)] * 3
    with pytest.raises(ValueError, match="2 slices are drawn: ax must be as many axes, got 3"):
        visualize.slices(None, relevance, count=2, ax=axes)
    assert visualize.projection(None, relevance, ax=axes[0], title="seen from above") is figure
    assert axes[0].get_title() == "seen from above"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"relevance": np.zeros((4, 4, 4))}, r"\(samples, depth, height, width\).*got shape \(4, 4, 4\)"),
        ({"relevance": np.zeros((1, 4, 4, 5))}, "does not fit volumes"),
        ({"relevance": np.full((1, 4, 4, 4), np.nan)}, "NaN or infinite"),
        ({"axis": 3}, "axis must be one of 0, 1, 2"),
        ({"count": 0}, "count must be an integer of at least 1"),
        ({"sample": 1}, "sample must be from 0 to 0"),
        ({"scale": -1.0}, "scale must be a positive number"),
    ],
)
def test_what_is_no_volume_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        visualize.slices(**{"volume": np.zeros((1, 4, 4, 4)), "relevance": np.ones((1, 4, 4, 4)), **change})


def test_a_projection_is_a_mean_or_a_maximum() -> None:
    with pytest.raises(ValueError, match="how must be one of 'mean', 'max'"):
        visualize.projection(None, np.ones((1, 2, 2, 2)), how="sum")


def test_in_given_axes_the_title_is_above_the_first_and_the_bar_below_all() -> None:
    figure = Figure()
    axes = figure.subplots(1, 2)
    visualize.slices(None, spot((2, 4, 4), (0, 0, 0), 1.0), ax=axes, title="a scan")
    assert [ax.get_title() for ax in axes] == ["a scan\ndepth 0", "depth 1"]
    figure.draw_without_rendering()
    assert not any(figure.axes[2].get_tightbbox().overlaps(ax.get_tightbbox()) for ax in axes)
