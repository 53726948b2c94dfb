"""Outlines lie on both sides of the border of a region, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from kerasexplain import visualize

pytestmark = pytest.mark.once("images are made of arrays")


def line(image: Any) -> np.ndarray:
    return (np.asarray(image) == (0, 208, 132)).all(axis=-1)


def test_the_line_is_around_the_region() -> None:
    mask = np.zeros((1, 5, 6))
    mask[0, 1:4, 2:4] = 7.0
    (image,) = visualize.outlined(np.zeros((1, 5, 6, 3)), mask, smallest=20)
    assert image.size == (24, 20)
    drawn = line(image)
    assert drawn[4, 8:16].all()  # the first row within
    assert drawn[3, 8:16].all()  # the last row above
    assert not drawn[5:15, 9:15].any()
    assert not drawn[:3].any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_there_is_no_line_without_a_border(seed: int, factor: int) -> None:
    mask = np.random.default_rng(seed).uniform(size=(1, 6, 6)) < 0.5
    (image,) = visualize.outlined(np.zeros((1, 6, 6)), mask, smallest=6 * factor)
    region = mask[0].repeat(factor, 0).repeat(factor, 1)
    padded = np.pad(region, 1, mode="edge")
    around = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    np.testing.assert_array_equal(line(image), np.any([one != region for one in around], axis=0))


def test_relevance_is_drawn_as_in_an_overlay(rng: np.random.Generator) -> None:
    images, relevance = rng.uniform(size=(2, 8, 8, 3)), rng.normal(size=(2, 8, 8, 3))
    nothing = np.zeros((2, 8, 8, 1))
    drawn = visualize.outlined(images, nothing, relevance, smallest=8, grey=False)
    for one, other in zip(drawn, visualize.overlay(images, relevance, grey=False), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (np.zeros((1, 8, 7)), r"do not fit 1 masks of \(7, 8\)"),
        (np.zeros((2, 8, 8)), "1 images .* do not fit 2 masks"),
        (np.zeros((1, 8, 8, 3)), r"choose one, such as masks\[\.\.\., 0\]"),
        (np.zeros((8, 8)), r"\(samples, height, width\); got shape \(8, 8\)"),
    ],
)
def test_masks_must_fit(mask: np.ndarray, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        visualize.outlined(np.zeros((1, 8, 8)), mask)
