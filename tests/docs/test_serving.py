"""The code of `docs/serving.md` runs as it stands there, and gives what the page says."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import keras
import numpy as np
import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "serving.md"
BACKEND = keras.backend.backend()
pytestmark = pytest.mark.not_on("torch", "PyTorch has no file for relevance passes")
if BACKEND == "jax":
    pytest.importorskip("flatbuffers")


def test_the_page_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 3
    for block in (blocks[0], blocks[1 if BACKEND == "tensorflow" else 2]):
        exec(compile(block, str(PAGE), "exec", dont_inherit=True), names)
        for printed in re.findall(r"print\(.*\) +# (.*)", block):
            assert printed in capsys.readouterr().out or printed.startswith("(")
    found = {name: np.asarray(tensor) for name, tensor in names["found"].items()}
    expected = names["analyzer"].analyze(names["images"], target=found["neuron"])
    assert found["relevance"].shape == (5, 16, 16, 3)
    assert found["neuron"][:3].tolist() == [3, 3, 7]
    np.testing.assert_allclose(found["relevance"], expected, rtol=0, atol=1e-6 * np.abs(expected).max())
