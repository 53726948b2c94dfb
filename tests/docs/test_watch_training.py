"""The example: relevance moves from the noise to the digit while the network learns."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from helpers.events import Run
from helpers.scripts import script

pytestmark = [pytest.mark.once("an example that trains for long"), pytest.mark.slow("trains a network")]


def test_relevance_moves_to_the_digit(tmp_path: pathlib.Path) -> None:
    example = script("examples/watch_training.py")
    history = example.main(["--log-dir", str(tmp_path), "--epochs", "5"]).history
    assert history["relevance_on_the_digit"][-1] > history["relevance_on_the_digit"][0]
    run = Run.of(tmp_path / "relevance")
    names = {"lrp.epsilon_plus", "lrp.gamma", "gradient"}
    assert run.tags("relevance") == names | {f"batch/{name}" for name in names} | {"samples"}
    x = run.section("samples", "input")
    # The digit is brighter than the noise around it; of its own pixels, those as dark as noise do not count.
    digit = x > 0.5
    on_digit = []
    for event in (0, -1):
        strength = np.abs(run.section("batch/lrp.epsilon_plus", "input", event))
        on_digit.append(np.mean((strength * digit).sum(axis=(1, 2, 3)) / strength.sum(axis=(1, 2, 3))))
    assert run.steps("batch/lrp.epsilon_plus")[0] == 0
    assert on_digit[0] < 0.45
    assert on_digit[1] > 1.4 * on_digit[0]
