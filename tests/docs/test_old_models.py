"""The code in `docs/old-models.md` is run as it stands there."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import numpy as np
import pytest
from helpers import page_code

pytestmark = pytest.mark.tensorflow("SavedModels and frozen graphs run on it alone")

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "old-models.md"


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """The names that the page's code makes."""
    return page_code.ran("docs/old-models.md").names


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
