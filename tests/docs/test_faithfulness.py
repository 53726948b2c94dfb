"""The example on faithfulness: what it says of who wins is so."""

from __future__ import annotations

import pathlib

import pytest
from helpers.scripts import run

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")
pytest.importorskip("sklearn")

pytestmark = [pytest.mark.once("an example that trains for long"), pytest.mark.slow("trains a network")]


def test_who_wins_on_digits_depends_on_the_fill(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KERASEXPLAIN_REFERENCE_DATA", raising=False)
    left = run("examples/faithfulness.py", "-o", tmp_path)
    assert "photographs are left out" in capsys.readouterr().out
    assert {path.stem for path in tmp_path.glob("*.png")} == {"digits_curves", "digits_maps"}
    comparison = left["on_digits"]
    noise, black = comparison.metrics
    for name in ("lrp.epsilon", "lrp.gamma", "lrp.alpha_2_beta_1", "lrp.epsilon_plus", "sensitivity"):
        for fill in (noise, black):
            assert comparison.against(name, "random", fill).verdict == "better", (name, fill)
    assert comparison.against("lrp.epsilon", "sensitivity", noise).verdict != "better"
    assert comparison.against("lrp.epsilon", "sensitivity", black).verdict == "better"


@pytest.mark.slow("a large network")
def test_photographs_are_measured(
    reference_data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERASEXPLAIN_REFERENCE_DATA", str(reference_data))
    left = run("examples/faithfulness.py", "-o", tmp_path, "--digits", 4, "--photographs", 4)
    assert (tmp_path / "photographs_maps.png").exists()
    _, mean = left["on_photographs"].metrics
    # Four photographs show no more than this.
    assert left["on_photographs"].scores("lrp.epsilon", mean).mean > left["on_photographs"].scores("random", mean).mean
