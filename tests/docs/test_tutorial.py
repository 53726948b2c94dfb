"""The tutorial: what it says of sums and of who wins is so."""

from __future__ import annotations

import pathlib

import pytest
from helpers.scripts import run

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")
pytest.importorskip("sklearn")

pytestmark = [pytest.mark.once("an example that trains for long"), pytest.mark.slow("trains networks")]


def test_sums_hold_and_the_fill_decides(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KERASEXPLAIN_REFERENCE_DATA", raising=False)
    left = run("examples/tutorial.py", "-o", tmp_path, "--digits", 60)  # which asserts its sums itself
    assert "the LeNet-5 is left out" in capsys.readouterr().out
    assert {path.name[0] for path in tmp_path.glob("*.png")} == set("1345")
    measured = left["measured"]

    def sparseness(model: str, title: str) -> float:
        return float(measured[model, title][2][0].mean)

    assert sparseness("mlp", "deep Taylor") < 0.2 < sparseness("cnn", "deep Taylor") < sparseness("cnn", "alpha-beta")
    negative, on_black, _ = measured["cnn", "alpha-beta"]
    assert 0.05 < negative < 0.5
    assert on_black > 0.15
    noise, black = (
        measured["cnn", "alpha-beta"][2][number].against(measured["cnn", "random"][2][number]) for number in (1, 2)
    )
    assert noise.verdict == "better"
    assert black.mean < noise.mean - 1.0


def test_the_larger_network_has_its_sums(
    reference_data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERASEXPLAIN_REFERENCE_DATA", str(reference_data))
    off = run("examples/tutorial.py", "-o", tmp_path, "--digits", 4)["lenet_off"]
    assert off["deep Taylor"] < 1e-5
    assert off["alpha-beta"] < 1e-4
    assert off["sensitivity"] > 0.1
    assert (tmp_path / "7_lenet.png").exists()
