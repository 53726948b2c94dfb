"""The documentation says what the code does."""

from __future__ import annotations

import importlib.util
import pathlib
import re

import kerasexplain

ROOT = pathlib.Path(__file__).parents[1]


def test_the_page_of_analyzers_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "docs" / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    assert make.PAGE.read_text(encoding="utf-8") == make.page(), "run python docs/make.py"


def test_every_analyzer_has_a_docstring_that_says_what_it_computes() -> None:
    from kerasexplain import registry

    for name in kerasexplain.analyzer_names():
        method = registry.find(name)
        # A dataclass without a docstring is given its signature for one.
        assert not str(method.__doc__).startswith(("None", f"{method.__name__}(")), name
        assert method.name == name


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
