"""The page about strategies is run as it stands there, and its example finds the shortcut that it plants."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest
from helpers.scripts import ROOT, script
from PIL import Image

pytest.importorskip("sklearn")

PAGE = ROOT / "docs" / "strategies.md"


@pytest.mark.once("the code of a page")
def test_the_code_of_the_page_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        exec(compile(code, str(PAGE), "exec", dont_inherit=True), names)
    found, marked = names["found"], names["marked"]
    shares = [float(np.mean(marked[cluster.members])) for cluster in found.clusters]  # type: ignore[attr-defined, index]
    assert sorted(shares) == [0.0, 1.0]
    assert (tmp_path / "project" / "project.yaml").exists()
    assert (tmp_path / "logs" / "projector_config.pbtxt").exists()
    assert Image.open("strategies.png").size[0] > 300


@pytest.mark.once("an example that trains")
@pytest.mark.slow("trains a network")
def test_the_example_finds_the_mark(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    script("examples/strategies.py").main(["-o", str(tmp_path / "found.png")])
    said = capsys.readouterr().out
    assert re.search(r"cluster \d: (9[5-9]|100)% of its images bear the mark", said)
    assert (tmp_path / "found.html").read_text(encoding="utf-8").count("<img") >= 3
