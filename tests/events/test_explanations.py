"""Explanations as events, without a callback."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from events.reading import Run
from kerasexplain import Explanation
from kerasexplain.tensorboard.explanations import ExplanationLog
from kerasexplain.tensorboard.writer import Writer


def test_channels_first(tmp_path: pathlib.Path) -> None:
    pictures, relevance = np.random.default_rng(0).random((2, 4, 3, 8, 9))
    log, found = ExplanationLog(pictures), explanation_of(relevance)
    with Writer(tmp_path) as writer:
        log.write(writer, "a", found, 0)
        log.write_pictures(writer, "a", found, 0)
    run = Run.of(tmp_path)
    np.testing.assert_array_equal(run.section("a", "input"), np.moveaxis(relevance, 1, -1))
    np.testing.assert_array_equal(run.section("samples", "input"), np.moveaxis(pictures, 1, -1))
    width, height, *_ = run.values("relevance/a")[0]
    assert int(width) > int(height) >= 96


def explanation_of(relevance: np.ndarray) -> Explanation:
    count = len(relevance)
    return Explanation(
        relevance, {}, {}, np.zeros((count, 2)), np.zeros(count, int), np.zeros(count), {"analyzer": "a"}
    )


def test_an_explanation_of_other_samples_is_refused(tmp_path: pathlib.Path) -> None:
    log = ExplanationLog(np.ones((3, 8, 8, 1)))
    with (
        Writer(tmp_path) as writer,
        pytest.raises(ValueError, match=r"has shape \(3, 8, 8, 1\), but what was explained"),
    ):
        log.write(writer, "a", explanation_of(np.ones((2, 8, 8, 1))), 0)
