"""Maps against masks, by hand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from helpers.linear import linear

from kerasexplain import InputError
from kerasexplain.metrics import (
    InsideOutsideRatio,
    LocalizationAUC,
    PointingGame,
    RelevanceInside,
    TopKIntersection,
    masks_of_boxes,
)

pytestmark = pytest.mark.formula

#: Channels are summed: the relevance of the four pixels is 4, 1, -2 and 3.
MAP = np.array([[[[3.0, 1.0], [1.0, 0.0]], [[-5.0, 3.0], [2.0, 1.0]]]])
LEFT = np.array([[[True, False], [True, False]]])
RIGHT, EMPTY, FULL = ~LEFT, np.zeros_like(LEFT), np.ones_like(LEFT)
nan, inf = float("nan"), float("inf")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return linear(np.ones((2, 2, 2, 1)))


@pytest.mark.parametrize(
    ("metric", "on"),
    [
        # For masks of the left, the right, none and all; then for a map of zeros, and one that is constant.
        (RelevanceInside(), [4 / 8, 4 / 8, nan, 1, nan, 1 / 2]),
        (InsideOutsideRatio(), [1, 1, nan, nan, nan, 1]),  # -2 counts as 0
        (PointingGame(), [1, 0, nan, 1, 1 / 2, 1 / 2]),
        (TopKIntersection(), [1 / 2, 1 / 2, nan, 1, 1 / 2, 1 / 2]),
        (TopKIntersection(k=1), [1, 0, nan, 1, 1 / 2, 1 / 2]),
        (TopKIntersection(k=3), [1 / 3, 2 / 3, nan, 1, 1 / 2, 1 / 2]),
        # Of the four pairs of a pixel inside and one outside, the first is the more relevant in two.
        (LocalizationAUC(), [1 / 2, 1 / 2, nan, nan, 1 / 2, 1 / 2]),
    ],
)
def test_scores(model: keras.Model, metric: Any, on: list[float]) -> None:
    maps = np.concatenate([MAP, MAP, MAP, MAP, 0 * MAP, 0 * MAP + 0.1])
    masks = np.concatenate([LEFT, RIGHT, EMPTY, FULL, LEFT, LEFT])
    found = metric(model, np.ones((6, 2, 2, 2)), relevance=maps, masks=masks)
    np.testing.assert_allclose(found.values, on)
    assert metric.from_config(metric.get_config()) == metric


def test_what_has_nothing_outside_is_infinite_and_left_out_of_the_mean(model: keras.Model) -> None:
    maps = np.concatenate([MAP, MAP])
    maps[0] = [[[1, 0], [-1, 0]], [[2, 0], [0, 0]]]
    found = InsideOutsideRatio()(model, np.ones((2, 2, 2, 2)), relevance=maps, masks=np.concatenate([LEFT, LEFT]))
    np.testing.assert_allclose(found.values, [inf, 1])
    assert found.mean == 1
    assert found.defined == 1
    assert found.against(found).samples == 1


def test_ties_share_the_place_that_is_left(model: keras.Model) -> None:
    maps = np.zeros((1, 2, 2, 2))
    maps[0, ..., 0] = [[5, 1], [1, 1]]
    masks = np.array([[[0, 1], [1, 0]]])
    found = TopKIntersection(k=2)(model, np.ones((1, 2, 2, 2)), relevance=maps, masks=masks)
    assert found.values == pytest.approx([(0 + 2 / 3) / 2])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32"])
def test_masks_may_have_an_axis_of_one_channel(model: keras.Model, dtype: str) -> None:
    for masks in (LEFT.astype(dtype), LEFT[..., None].astype(dtype)):
        assert PointingGame()(model, np.ones((1, 2, 2, 2)), relevance=MAP, masks=masks).values == [1]
    assert PointingGame()(model, np.ones((1, 2, 2, 2)), relevance=MAP, masks=LEFT.tolist()).values == [1]


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (255 * LEFT.astype("uint8"), r"got values from 0 to 255: pass masks > 0"),
        (LEFT * 0.5, r"got values from 0 to 0\.5"),
        (LEFT[0], "masks has 2 entries for 1 samples"),
        (LEFT[:, :1], r"one truth value for each position, \(1, 2, 2\); got \(1, 1, 2\)"),
        (np.repeat(LEFT[..., None], 2, axis=-1), "one truth value for each position"),
        (np.concatenate([LEFT, LEFT]), "masks has 2 entries for 1 samples"),
        (True, "one truth value for each position"),
        (LEFT.astype("U1"), "masks hold truth values"),
    ],
)
def test_masks_that_are_none(model: keras.Model, masks: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PointingGame()(model, np.ones((1, 2, 2, 2)), relevance=MAP, masks=masks)


def test_masks_are_needed(model: keras.Model) -> None:
    with pytest.raises(ValueError, match="'pointing_game' compares maps with masks of the object: pass masks="):
        PointingGame()(model, np.ones((1, 2, 2, 2)), relevance=MAP)
    with pytest.raises(InputError, match="k=5 is more than the 4 positions"):
        TopKIntersection(k=5)(model, np.ones((1, 2, 2, 2)), relevance=MAP, masks=LEFT)
    with pytest.raises(ValueError, match="k must be an integer"):
        TopKIntersection(k=0)


def test_tables_and_signals_have_positions_too() -> None:
    found = PointingGame()(
        linear(np.ones(3)), np.ones((1, 3)), relevance=np.array([[1.0, 3, 2]]), masks=np.array([[0, 1, 0]])
    )
    assert found.values == [1]
    signal = np.array([[[1.0, 1], [3, -3], [0, 0]]])
    found = PointingGame()(linear(np.ones((3, 2, 1))), signal, relevance=signal, masks=np.array([[1, 0, 0]]))
    assert found.values == [1]


def test_masks_of_boxes() -> None:
    masks = masks_of_boxes([[0, 1, 2, 3], [1, 1, 1, 3], [0, 0, 3, 4]], (3, 4))
    assert masks.dtype == bool
    expected = np.zeros((3, 3, 4), bool)
    expected[0, 0:2, 1:3] = True
    expected[2] = True
    np.testing.assert_array_equal(masks, expected)
    np.testing.assert_array_equal(masks_of_boxes([[1, 3]], (4,)), [[False, True, True, False]])
    assert masks_of_boxes([[0, 0, 0, 1, 2, 3]], (1, 2, 3)).all()


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, 4, 4]], "must lie within"),
        ([[-1, 0, 2, 2]], "must lie within"),
        ([[2, 0, 1, 2]], "their first corner before their last"),
        ([0, 0, 1, 1], "boxes are integers"),
        ([[0.0, 0, 0.5, 1]], "boxes are integers"),
        ([[0, 0, 1]], "boxes are integers"),
    ],
)
def test_boxes_that_are_none(boxes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        masks_of_boxes(boxes, (3, 4))
