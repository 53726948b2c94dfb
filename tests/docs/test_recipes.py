"""The recipes run, check themselves, open as notebooks, and their page shows what they draw."""

from __future__ import annotations

import pathlib
from types import ModuleType

import pytest
from helpers.scripts import ROOT, run, script

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

pytestmark = pytest.mark.once("scripts for readers")

NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.py"))
#: What runs in a few seconds runs each time; that the others do, too, is for --slow.
QUICK = ("table", "text_embedding")


@pytest.fixture(scope="module")
def recipes() -> ModuleType:
    return script("docs/recipes.py")


def named(name: str) -> object:
    return pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow("trains a network")])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", map(named, NAMES))
def test_a_recipe_runs_and_agrees_with_itself(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (ROOT / "recipes" / f"{name}.py").read_text(encoding="utf-8")
    if "import keras_hub" in source:
        pytest.importorskip("keras_hub", reason="pip install keras-hub; tox run -e hub has it")
    monkeypatch.chdir(tmp_path)
    left = run(f"recipes/{name}.py")
    assert left.get("picture", left.get("figure")) is not None
    assert (tmp_path / f"{name}.png").stat().st_size > 1000


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_does_and_what_to_look_for(name: str, recipes: ModuleType) -> None:
    source = recipes.source_of(name)
    kinds, texts = zip(*recipes.cells(source), strict=True)
    assert kinds[0] == "markdown"
    assert texts[0].startswith("# ")
    assert any("**What to look for.**" in text for text in texts)
    assert "assert" in texts[-1], "it ends by a check"
    for kind, text in zip(kinds, texts, strict=True):
        if kind == "code":
            compile(text, name, "exec")


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_opens_as_a_notebook_with_the_same_cells(name: str, recipes: ModuleType) -> None:
    jupytext = pytest.importorskip("jupytext", reason="tox run -e site has it")
    notebook = jupytext.reads(recipes.source_of(name), fmt="py:percent")
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == recipes.cells(recipes.source_of(name))


def test_the_page_has_every_recipe_with_its_time_and_its_picture(recipes: ModuleType) -> None:
    text = recipes.PAGE.read_text(encoding="utf-8")
    seconds = recipes.rows(text)
    assert sorted(recipes.ORDER) == NAMES
    assert text == recipes.page(seconds), "run python docs/recipes.py"
    assert all(int(took) < 120 for took in seconds.values())
    assert sorted(path.stem for path in recipes.IMAGES.iterdir()) == NAMES
    assert max(path.stat().st_size for path in recipes.IMAGES.iterdir()) < 60_000
