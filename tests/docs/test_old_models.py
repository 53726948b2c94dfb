"""The code in `docs/old-models.md` is run as it stands there."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow("SavedModels and frozen graphs run on it alone")

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "old-models.md"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The names that the page's code makes."""
    names: dict[str, Any] = {"__name__": "page"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("old_models"))
        for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
            exec(compile(code, str(PAGE), "exec", dont_inherit=True), names)
        yield names


def test_the_table_of_the_saved_model_is_the_one_shown(page: dict[str, Any]) -> None:
    (shown,) = re.findall(r"```\n(lrp\.epsilon of saved_model\n.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert [line.rstrip() for line in str(page["analyzer"]).splitlines()] == shown.splitlines()


def test_the_frozen_graph_has_the_relevance_of_its_kernels(page: dict[str, Any]) -> None:
    x, (W, V) = page["x"], page["kernels"]
    hidden = np.maximum(x @ W, 0)
    logits = hidden @ V
    top = logits.argmax(axis=1)
    through = hidden * V[:, top].T / (x @ W)  # epsilon is small
    np.testing.assert_allclose(page["frozen"], x * (through @ W.T), rtol=1e-3, atol=1e-4)


def test_files_are_loaded_with_their_layers(page: dict[str, Any]) -> None:
    assert [layer.name for layer in page["loaded"].layers] == ["hidden", "logits"]
    np.testing.assert_array_equal(page["loaded"](page["x"]), page["model"](page["x"]))
    np.testing.assert_array_equal(page["custom"].layers[0](page["x"]), 2 * page["x"])
    np.testing.assert_array_equal(page["trusted"].layers[0](page["x"]), page["x"] ** 2)


def test_links_within_the_page_lead_to_headings() -> None:
    text = PAGE.read_text(encoding="utf-8")
    headings = [
        re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.M)
    ]
    links = re.findall(r"\]\(#([^)]+)\)", text)
    assert links
    for link in links:
        assert headings.count(link) == 1, link
