"""The images of the documentation, of a shorter training: the stock dashboard and the tab as they are on screen."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
from helpers.scripts import ROOT, script
from PIL import Image

pytestmark = [pytest.mark.once("the tab reads files, whoever wrote them"), pytest.mark.slow("a browser")]

SCREENSHOTS = ("tab-before", "tab-grid", "tab-large", "tab-text", "tab-images", "tab-dark")


def test_the_screenshots_of_the_page_can_be_made(browser: Any, tmp_path: pathlib.Path) -> None:
    script("docs/board.py").make(browser, tmp_path, epochs=2)
    found: dict[str, Any] = {
        name: np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")) for name in SCREENSHOTS
    }
    before, after = found["tab-before"].astype(int), found["tab-grid"].astype(int)
    assert np.abs(before - after)[200:].mean() > 1  # the maps have changed
    for name in ("tab-grid", "tab-images"):
        red = (found[name][..., 0] > 200) & (found[name][..., 1:].max(axis=-1) < 130)
        assert red[200:].sum() > 100, f"there is no relevance to be seen on {name}"
    assert found["tab-dark"][300:].mean() < 80
    for name in SCREENSHOTS:
        assert (ROOT / "docs" / "images" / f"{name}.png").exists()
