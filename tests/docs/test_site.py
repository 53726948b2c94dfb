"""The site has every page in its navigation, builds without a warning, and asks no other server for anything."""

from __future__ import annotations

import pathlib
import re
from types import ModuleType

import pytest
from helpers.scripts import ROOT, script

pytestmark = pytest.mark.once("the pages of the documentation")


@pytest.fixture(scope="module")
def build() -> ModuleType:
    return script("docs/site/build.py")


def test_every_page_is_in_the_navigation_of_the_site_once(build: ModuleType) -> None:
    listed = [build.target(entry) for entries in build.NAVIGATION.values() for entry in entries]
    assert len(listed) == len(set(listed))
    pages = {path.relative_to(ROOT).with_suffix("").as_posix() for path in (ROOT / "docs").glob("*.md")}
    pages |= {path.stem for path in ROOT.glob("*.md")}
    made = {"api/index", "cite", *build.FROM_README}
    assert pages - set(listed) == set()
    assert set(listed) - pages - made <= {"docs/serving"}, "these are in the navigation, and are not there"


def test_the_site_cites_what_the_citation_file_says(build: ModuleType) -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    text = build.citation()
    assert re.search(r"^version: (.+)$", citation, re.M)[1] in text  # type: ignore[index]
    assert text.count("{") == text.count("}")


def test_what_a_site_would_ask_others_for_is_found(build: ModuleType, tmp_path: pathlib.Path) -> None:
    (tmp_path / "good.html").write_text(
        '<a href="https://example.org">there</a><link href="style.css"><img src="a.png">'
    )
    assert build.from_elsewhere(tmp_path) == []
    (tmp_path / "bad.html").write_text(
        '<script src="https://example.org/x.js"></script><link href="//example.org/y.css">'
    )
    (tmp_path / "bad.css").write_text("@font-face { src: url(https://example.org/z.woff) }")
    assert len(build.from_elsewhere(tmp_path)) == 3


@pytest.mark.slow("builds the site")
def test_the_site_builds_without_a_warning(build: ModuleType, tmp_path: pathlib.Path) -> None:
    for package in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(package, reason="tox run -e site has it")
    assert build.main(["-o", str(tmp_path / "site")]) == 0
    rules = (tmp_path / "site" / "api" / "kerasexplain.rules.html").read_text(encoding="utf-8")
    assert "AlphaBeta" in rules
    assert "alpha" in rules
