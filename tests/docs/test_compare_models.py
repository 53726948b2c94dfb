"""The example on two models: relevance leaves the object of a network that goes by the context."""

from __future__ import annotations

import pathlib

import pytest
from helpers.scripts import run

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")
pytest.importorskip("skimage")
pytest.importorskip("sklearn")

pytestmark = [pytest.mark.once("an example that trains for long"), pytest.mark.slow("trains networks")]


def test_the_ratio_shows_what_goes_by_the_context(tmp_path: pathlib.Path) -> None:
    left = run("examples/compare_models.py", "-o", tmp_path)
    assert {path.stem for path in tmp_path.glob("*.png")} == {"architectures", "context", "context_maps"}
    for name in ("plain", "residual"):
        assert left["accuracy"](left["two"][name], left["x_test"]).mean() > 0.8, name
        assert left["seen"][name][1]["relevance_inside"].mean > 0.5, name
    own = left["OWN"]
    at_home, away = (left["right"][where][1][:own].mean() for where in ("on their own backgrounds", "away from them"))
    assert at_home > 0.85
    assert away < 0.5
    for name in ("lrp.epsilon_plus", "sensitivity"):
        fell = left["fell"][name]
        assert fell[:own].mean() < fell[own:].mean() - 0.3, name
        assert left["agrees"][name] < -0.3, name
    assert abs(left["fell"]["edges"]).max() == 0
