"""The code in `docs/metrics-libraries.md` is run as it stands there, a section where its library is installed."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "metrics-libraries.md"
SECTIONS = {"Quantus": "quantus", "Xplique": "xplique"}

pytestmark = [
    pytest.mark.tensorflow("the libraries take Keras models on TensorFlow"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.mark.parametrize("title", SECTIONS)
def test_the_code_of_a_section_runs(title: str) -> None:
    pytest.importorskip(SECTIONS[title], reason=f"tox run -e {SECTIONS[title]} has it")
    text = PAGE.read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.S | re.M)
    names: dict[str, Any] = {"__name__": "page"}
    blocks = re.findall(r"```python\n(.*?)```", section, re.S)
    assert len(blocks) > 1
    for code in blocks:
        exec(compile(code, str(PAGE), "exec", dont_inherit=True), names)


@pytest.mark.once("a page")
def test_sections_are_those_that_are_run() -> None:
    assert re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.M) == list(SECTIONS)
