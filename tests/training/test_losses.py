"""Losses over relevance, by hand."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
from helpers.backends import gradients
from keras import ops

from kerasexplain import InputError, training
from kerasexplain.training import (
    RelevanceAgreement,
    RelevanceConsistency,
    RelevanceLoss,
    RelevanceMatch,
    RelevanceOfBiases,
    RelevanceOn,
    RelevanceOutside,
    RelevanceSmoothness,
    RelevanceSparsity,
)

pytestmark = pytest.mark.formula
#: One sample of a 2 by 2 picture of one channel.
R = np.array([[[[1.0], [-2.0]], [[3.0], [0.0]]]])
MASK = np.array([[[1.0, 1.0], [0.0, 0.0]]])


def value(loss: RelevanceLoss, judged_by: Any, relevance: Any) -> float:
    judged_by = None if judged_by is None else ops.convert_to_tensor(judged_by)
    return float(ops.convert_to_numpy(loss.call(judged_by, ops.convert_to_tensor(relevance)))[0])


BY_HAND: dict[str, tuple[RelevanceLoss, Any, Any, float]] = {
    "outside": (RelevanceOutside(), MASK, R, 3 / 6),
    "outside, squares": (RelevanceOutside(power=2), MASK, R, 9 / 14),
    "outside, a sum": (RelevanceOutside(normalize=False), MASK, R, 3.0),
    "outside, squares, a sum": (RelevanceOutside(normalize=False, power=2), MASK, R, 9.0),
    "outside, in part": (RelevanceOutside(), MASK / 2 + 0.25, R, (3 * 0.25 + 3 * 0.75) / 6),
    "outside, of bytes": (RelevanceOutside(), 255 * MASK, R, 3 / 6),
    "outside, channels": (RelevanceOutside(), MASK[..., None], np.concatenate([R, R], -1), 3 / 6),
    "outside, a mask of zeros": (RelevanceOutside(), 0 * MASK, R, 1.0),
    "outside, no relevance": (RelevanceOutside(), MASK, 0 * R, 0.0),
    "outside, of a table": (RelevanceOutside(), np.array([[1, 0, 0]]), np.array([[1.0, 2.0, -1.0]]), 3 / 4),
    "match": (RelevanceMatch(), MASK, R, 1 - 3 / math.sqrt(14 * 2)),
    "match, signed": (RelevanceMatch(signed=True), -MASK, R, 1 - 1 / math.sqrt(14 * 2)),
    "match, no map": (RelevanceMatch(), 0 * MASK, R, 0.0),
    "match, no relevance": (RelevanceMatch(), MASK, 0 * R, 0.0),
    "on features": (RelevanceOn(features=[0, -1]), np.zeros((1, 3)), np.array([[1.0, 4.0, -1.0]]), 2 / 6),
    "on tokens": (RelevanceOn(tokens=[7, 9]), np.array([[7, 3, 9, 7]]), np.array([[1.0, 4.0, -1.0, 2.0]]), 4 / 8),
    "of biases": (RelevanceOfBiases(), np.array([2.0]), R, 2 / 8),
    "of biases, nothing": (RelevanceOfBiases(), np.array([0.0]), 0 * R, 0.0),
    "sparsity": (RelevanceSparsity(), None, R, (6 / math.sqrt(14) - 1) / (2 - 1)),
    "sparsity, of one": (RelevanceSparsity(), None, np.array([[0.0, 3.0, 0.0, 0.0]]), 0.0),
    "sparsity, of all": (RelevanceSparsity(), None, np.ones((1, 5)), 1.0),
    "sparsity, no relevance": (RelevanceSparsity(), None, 0 * R, 0.0),
    "sparsity, one feature": (RelevanceSparsity(), None, np.array([[2.0]]), 0.0),
    "smoothness": (RelevanceSmoothness(), None, R, ((2**2 + 2**2) + (3**2 + 3**2)) / (4 * 2 * 14)),
    "smoothness, of a signal": (RelevanceSmoothness(), None, np.array([[[1.0], [-1.0], [1.0]]]), 8 / (4 * 3)),
    "smoothness, constant": (RelevanceSmoothness(), None, np.ones((1, 4)), 0.0),
    "agreement": (RelevanceAgreement(), np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]]), 1 - 1 / math.sqrt(2)),
    "agreement, opposite": (RelevanceAgreement(), -R, R, 2.0),
    "consistency": (RelevanceConsistency(axis=2), R, 2 * R, 0.0),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_losses_by_hand(case: str) -> None:
    loss, judged_by, relevance, expected = BY_HAND[case]
    assert value(loss, judged_by, relevance) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("factor", [1e-30, 1e30])
@pytest.mark.parametrize("case", [case for case in BY_HAND if "sum" not in case and "of biases" not in case])
def test_the_scale_of_relevance_buys_nothing(case: str, factor: float) -> None:
    loss, judged_by, relevance, expected = BY_HAND[case]
    single = (factor * np.asarray(relevance)).astype("float32")
    assert value(loss, judged_by, single) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("case", BY_HAND)
def test_derivatives_are_finite_also_where_all_is_zero(case: str) -> None:
    loss, judged_by, relevance, _ = BY_HAND[case]
    judged_by = None if judged_by is None else ops.convert_to_tensor(judged_by)
    for given in (relevance, 0 * np.asarray(relevance), 1e-38 * np.asarray(relevance)):
        _, (derivative,) = gradients(lambda r: loss.call(judged_by, r), np.asarray(given, "float32"))
        assert np.isfinite(ops.convert_to_numpy(derivative)).all()
    _, (derivative,) = gradients(lambda r: loss.call(judged_by, r), 0 * np.asarray(relevance, "float32"))
    if loss.name != "relevance_outside" or loss.normalize:  # type: ignore[attr-defined]
        assert not ops.convert_to_numpy(derivative).any()


@pytest.mark.parametrize("case", BY_HAND)
def test_losses_are_keras_losses(case: str) -> None:
    loss, judged_by, relevance, expected = BY_HAND[case]
    given = relevance if judged_by is None else judged_by
    assert float(ops.convert_to_numpy(loss(given, relevance))) == pytest.approx(expected, abs=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert value(again, judged_by, relevance) == pytest.approx(expected, abs=1e-12)


def test_masks_of_another_size_are_resized_when_asked() -> None:
    relevance = np.arange(16.0).reshape(1, 4, 4, 1)
    small = np.array([[[1.0, 0.0], [0.0, 0.0]]])
    with pytest.raises(InputError, match=r"\(batch, 4, 4, 1\).*resize=True"):
        value(RelevanceOutside(), small, relevance)
    inside = relevance[0, :2, :2].sum()
    expected = 1 - inside / relevance.sum()
    assert value(RelevanceOutside(resize=True), small, relevance) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(InputError, match="a mask has the shape"):
        value(RelevanceOutside(resize=True), np.ones((1, 3)), relevance)


def test_pictures_with_channels_first_where_keras_has_them_so() -> None:
    rng = np.random.default_rng(0)
    relevance, mask, small = rng.standard_normal((2, 4, 6, 3)), rng.random((2, 4, 6)), rng.random((2, 2, 3))
    first = np.moveaxis(relevance, -1, 1)
    cases: list[tuple[RelevanceLoss, Any]] = [
        (RelevanceOutside(), mask),
        (RelevanceMatch(resize=True), small),
        (RelevanceSmoothness(), None),
    ]
    usual = keras.config.image_data_format()
    for loss, judged_by in cases:
        expected = value(loss, judged_by, relevance)
        keras.config.set_image_data_format("channels_first")
        try:
            assert value(loss, judged_by, first) == pytest.approx(expected, rel=1e-6)
            if judged_by is not None:
                assert value(loss, judged_by[:, None], first) == pytest.approx(expected, rel=1e-6)
        finally:
            keras.config.set_image_data_format(usual)
    with pytest.raises(InputError, match="a mask has the shape"):
        value(RelevanceOutside(), mask, first)


def test_options_that_are_not_legal() -> None:
    with pytest.raises(ValueError, match="power"):
        RelevanceOutside(power=3)
    with pytest.raises(ValueError, match="pass one"):
        RelevanceOn()
    with pytest.raises(ValueError, match="pass one"):
        RelevanceOn(features=[1], tokens=[1])
    with pytest.raises(ValueError, match="pass one"):
        RelevanceConsistency()
    for empty in ({"features": []}, {"tokens": []}):
        with pytest.raises(ValueError, match="empty"):
            RelevanceOn(**empty)
    with pytest.raises(ValueError, match="that of the batch"):
        RelevanceConsistency(axis=0)
    with pytest.raises(InputError, match="out of range"):
        value(RelevanceOn(features=[3]), np.zeros((1, 3)), np.ones((1, 3)))


def test_a_view_and_its_way_back() -> None:
    loss = RelevanceConsistency(view=lambda x: ops.roll(x, 1, axis=1), back=lambda r: ops.roll(r, -1, axis=1))
    assert np.array_equal(ops.convert_to_numpy(loss.back(loss.view(ops.convert_to_tensor(R)))), R)
    noise = RelevanceConsistency(view=lambda x: x + 1)
    assert np.array_equal(ops.convert_to_numpy(noise.back(ops.convert_to_tensor(R))), R)


def test_the_room_says_what_it_has() -> None:
    assert set(training.__all__) >= {"RelevanceModel", "RelevanceOutside"}
