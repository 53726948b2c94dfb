"""The documentation says what the code does."""

from __future__ import annotations

import importlib
import pathlib
import re
from types import ModuleType

import numpy as np
import pytest
from helpers.scripts import ROOT, script
from PIL import Image

import kerasexplain

pytestmark = pytest.mark.once("the documentation's examples are those of TensorFlow")

IMAGES = ROOT / "docs" / "images" / "analyzers"


@pytest.fixture
def make() -> ModuleType:
    return script("docs/make.py")


@pytest.fixture
def heatmaps(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("heatmaps")


def test_the_page_of_analyzers_is_up_to_date(make: ModuleType) -> None:
    assert make.PAGE.read_text(encoding="utf-8") == make.page(), "run python docs/make.py"


def test_the_page_of_analyzers_shows_the_images_that_there_are(make: ModuleType) -> None:
    shown = re.findall(r"!\[[^]]*\]\(images/analyzers/([^)]+)\)", make.PAGE.read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(path.name for path in IMAGES.iterdir())


def test_every_heatmap_has_options_that_its_analyzer_knows(heatmaps: ModuleType) -> None:
    from kerasexplain import registry

    for name, heatmap in heatmaps.HEATMAPS.items():
        assert registry.find(name)(**heatmap.options).name == name


def test_images_are_small() -> None:
    for path in IMAGES.iterdir():
        assert path.stat().st_size < 12_000, path.name


def test_links_within_the_page_of_analyzers_lead_to_headings(make: ModuleType) -> None:
    text = make.PAGE.read_text(encoding="utf-8")
    headings = [make._anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.M)]
    links = re.findall(r"\]\(#([^)]+)\)", text)
    assert len(links) > len(kerasexplain.analyzer_names())
    for link in links:
        assert headings.count(link) == 1, link


def test_a_heatmap_is_drawn_as_it_is_shown(
    heatmaps: ModuleType, reference_data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heatmaps, "FOLDER", tmp_path)
    heatmaps.main(["lrp.epsilon_plus", "--reference", str(reference_data)])
    name = "lrp.epsilon_plus.png"
    drawn, shown = (np.asarray(Image.open(folder / name).convert("RGB")) for folder in (tmp_path, IMAGES))
    # A colour may change places with its neighbour by rounding.
    assert np.mean(np.any(drawn != shown, axis=-1)) < 0.01, "run python docs/heatmaps.py"


def test_every_analyzer_has_a_docstring_that_says_what_it_computes() -> None:
    from kerasexplain import registry

    for name in kerasexplain.analyzer_names():
        method = registry.find(name)
        # A dataclass without a docstring is given its signature for one.
        assert not str(method.__doc__).startswith(("None", f"{method.__name__}(")), name
        assert method.name == name
