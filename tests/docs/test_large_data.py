"""The code of `docs/large-data.md` runs as it stands there, and gives what the page says."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "large-data.md"


def test_the_page_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, str(PAGE), "exec", dont_inherit=True), names)
    said = capsys.readouterr().out
    assert "<Store 'relevance.h5': lrp.epsilon of 600 samples>" in said
    assert "(100, 16, 16, 3)" in said
    np.testing.assert_array_equal(names["store"].relevance, names["analyzer"].analyze(names["images"]))
    assert 0 < names["half"].relevance.error <= 2**-11
    assert (tmp_path / "two.png").stat().st_size
    listed = {
        name.split("/")[0] for row in re.findall(r"^\| (`.*?) \|", text, re.M) for name in re.findall("`(.+?)`", row)
    }
    import h5py

    with h5py.File("relevance.h5") as file:
        assert set(file) <= listed | {"inputs", "biases", "lost"}
