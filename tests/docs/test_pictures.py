"""The page of pictures is run as it stands there, and shows what its code draws."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import pytest
from helpers import page_code
from helpers.scripts import ROOT
from PIL import Image

import kerasexplain

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("pandas", reason="the page reads its table as a DataFrame")

pytestmark = pytest.mark.once("the code of a page")


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("pictures")


def test_the_page_shows_the_images_that_there_are_and_they_are_small(pictures: ModuleType) -> None:
    found = {path.name: path.stat().st_size for path in pictures.FOLDER.iterdir()}
    assert set(found) == set(pictures.shown())
    assert max(found.values()) < 40_000


def test_every_function_is_on_the_page(pictures: ModuleType) -> None:
    page = pictures.PAGE.read_text(encoding="utf-8")
    for name in set(kerasexplain.visualize.__all__) - {"RELEVANCE", "as_images", "links"}:
        assert f"`{name}" in page, name


def test_the_code_of_the_page_draws_what_it_shows(pictures: ModuleType) -> None:
    run = page_code.ran("docs/pictures.md")
    names = run.names
    for name in pictures.shown():
        drawn, shown = Image.open(run.folder / name), Image.open(pictures.FOLDER / name)
        # Labels may differ by a digit, and so the place that is left for them.
        assert np.abs(np.subtract(drawn.size, shown.size)).max() <= 2, f"{name}: run python docs/pictures.py"
    # The page says that the waterfall arrives, and that the signal is explained by its bump.
    found = names["found"]
    assert np.abs(found.completeness_error).max() < 1e-3 * np.abs(found.explained).max()
    heard, where, time = (names[name] for name in ("heard", "where", "time"))
    strongest = heard.relevance[1, :, 0].argmax()
    assert abs(time[strongest] - where[1, 0]) < 0.2
