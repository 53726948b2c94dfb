"""The page about strategies is run as it stands there, and its example finds the shortcut that it plants."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest
from helpers import page_code
from helpers.scripts import script
from PIL import Image

pytest.importorskip("sklearn")


@pytest.mark.once("the code of a page")
def test_the_code_of_the_page_finds_the_mark() -> None:
    run = page_code.ran("docs/strategies.md")
    found, marked = run.names["found"], run.names["marked"]
    shares = [float(np.mean(marked[cluster.members])) for cluster in found.clusters]
    assert sorted(shares) == [0.0, 1.0]
    assert (run.folder / "project" / "project.yaml").exists()
    assert (run.folder / "logs" / "projector_config.pbtxt").exists()
    assert Image.open(run.folder / "strategies.png").size[0] > 300


@pytest.mark.once("an example that trains")
@pytest.mark.slow("trains a network")
def test_the_example_finds_the_mark(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    script("examples/strategies.py").main(["-o", str(tmp_path / "found.png")])
    said = capsys.readouterr().out
    assert re.search(r"cluster \d: (9[5-9]|100)% of its images bear the mark", said)
    assert (tmp_path / "found.html").read_text(encoding="utf-8").count("<img") >= 3
