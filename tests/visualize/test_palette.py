"""The colours of relevance are even on both sides, and the full one has a limit that is never zero."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from matplotlib.colors import to_rgb

from kerasexplain import visualize
from kerasexplain.visualize.palette import limits, sign_colour, usual_percentile

pytestmark = pytest.mark.once("colours are made of numbers")


def test_lightness_falls_evenly_and_equally_on_both_sides() -> None:
    color = pytest.importorskip("skimage.color")
    lab = color.rgb2lab(visualize.RELEVANCE(np.linspace(0, 1, 257))[None, :, :3])[0]
    lightness = lab[:, 0]
    assert (np.diff(lightness[:129]) > 0).all()
    assert (np.diff(lightness[128:]) < 0).all()
    assert np.abs(lightness - lightness[::-1]).max() < 6
    steps = color.deltaE_ciede2000(lab[8::8], lab[:-8:8])
    assert steps.max() / steps.min() < 2.5


def test_bars_have_colours_of_the_same_two_kinds() -> None:
    red, blue = to_rgb(sign_colour(1e-9)), to_rgb(sign_colour(-1e-9))
    assert red[0] > red[2] + 0.3
    assert blue[2] > blue[0] + 0.3


def test_limits_are_of_each_map_and_never_zero() -> None:
    maps = np.array([[[1.0, -4.0]], [[0.0, 0.0]]])
    assert limits(maps, None, None) == [4.0, 1.0]
    assert limits(maps, 2.0, None) == [2.0, 2.0]
    assert limits(maps, None, 50.0) == [2.5, 1.0]


def test_a_map_is_large_from_10000_points_on() -> None:
    assert [usual_percentile(size) for size in (1, 9_999, 10_000)] == [100.0, 100.0, 99.5]
