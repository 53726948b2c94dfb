"""How objects show themselves: `repr`, `str`, HTML in notebooks, and the names that `dir` lists."""

from __future__ import annotations

import html.parser
import re
import sys
from typing import Any

import keras
import numpy as np
import pytest
import rich.console
from keras import layers

import kerasexplain
from kerasexplain.store import analyze_dataset

pytestmark = pytest.mark.once("the same whatever computes")

NAME = "<b>&\x1b[31m"
VOID = ("img", "br", "meta", "hr")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One object of each kind that shows itself."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu", name="conv"), layers.Flatten(), layers.Dense(3)]
    )
    model.name = NAME
    x = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype("float32")
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", model)
    explanation = analyzer.explain(x[:2], layers=["conv"], bias=True, audit=True)
    path = tmp_path_factory.mktemp("showing") / "relevance.h5"
    words = keras.Sequential(
        [keras.Input((5,), dtype="int32"), layers.Embedding(9, 2), layers.Flatten(), layers.Dense(3)]
    )
    ids = np.arange(5, dtype="int32")[None]
    tokens = kerasexplain.create_analyzer("lrp.epsilon", words).explain(ids)
    table = np.random.default_rng(1).normal(size=(3, 6))
    small = keras.Sequential([keras.Input((6,)), layers.Dense(1)])
    return {
        "analyzer": analyzer,
        "explanation": explanation,
        "explanation of a table": kerasexplain.create_analyzer("deep_lift", small).explain(table),
        "audit": explanation.audit,
        "tokens": tokens.tokens([["<i>", "b", "c", "d", NAME]]),
        "comparison": kerasexplain.compare(model, x, ["gradient", "lrp.epsilon"], seconds=5),
        "choice": kerasexplain.choose(model, x, trials=2, seconds=1),
        "strategies": kerasexplain.strategies(analyzer, x),
        "store": analyze_dataset(analyzer, x, path, target=1, audit=True),
    }


KINDS = (
    "analyzer",
    "explanation",
    "explanation of a table",
    "audit",
    "tokens",
    "comparison",
    "choice",
    "strategies",
    "store",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_repr_is_one_short_line_without_arrays(shown: dict[str, Any], kind: str) -> None:
    said = repr(shown[kind])
    assert "\n" not in said
    assert "array(" not in said
    assert len(said) < 500
    assert type(shown[kind]).__name__ in said


def test_parts_have_a_short_repr_too(shown: dict[str, Any]) -> None:
    explanation = shown["explanation"]
    parts = [
        *explanation.audit.rows[:1],
        explanation.top_neurons("conv", 2),
        kerasexplain.Contrast(np.arange(1000), 3),
        shown["strategies"].clusters[0],
        shown["comparison"].trials["gradient"],
        shown["comparison"].samples,
        *shown["tokens"],
        shown["store"].relevance,
    ]
    for part in parts:
        assert "array(" not in repr(part), type(part)
        assert len(repr(part)) < 700, type(part)
    assert repr(kerasexplain.Contrast(np.arange(1000), 3)) == "Contrast(target=int64 (1000,), against=3)"


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_text_in_a_notebook(shown: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = str(shown[kind])
    # In a notebook rich finds IPython, and would show what it draws instead of handing it back.
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    assert str(shown[kind]) == expected
    assert len(expected.splitlines()) > 1
    assert "<div" not in expected
    assert "array(" not in expected


class _Checked(html.parser.HTMLParser):
    """Whether tags are closed in order, and what they are."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert str(value).startswith("data:image/png;base64,")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("kind", KINDS)
def test_html_is_whole_and_escaped_and_needs_nothing_else(shown: dict[str, Any], kind: str) -> None:
    page = shown[kind]._repr_html_()
    checked = _Checked()
    checked.feed(page)
    checked.close()
    assert checked.open == []
    assert not checked.tags & {"script", "link", "iframe", "b", "i"}
    assert "\x1b" not in page
    assert not re.search(r"https?://|@import|url\(", page)
    if kind in ("analyzer", "comparison", "choice", "strategies"):
        assert NAME.replace("\x1b", "\\x1b") in checked.text


def test_an_explanation_is_a_picture_and_a_table_of_facts(
    shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    for kind in ("explanation", "explanation of a table"):
        page = shown[kind]._repr_html_()
        assert page.startswith("<figure")
        assert "explanation by" in page
    monkeypatch.delattr(kerasexplain, "visualize", raising=False)
    monkeypatch.setitem(sys.modules, "kerasexplain.visualize", None)  # as without matplotlib
    page = shown["explanation"]._repr_html_()
    assert page.startswith("<div")
    assert "output" in page


def test_a_volume_is_drawn_too(rng: np.random.Generator) -> None:
    pytest.importorskip("matplotlib")
    volume = rng.normal(size=(2, 4, 6, 6, 1))
    found = kerasexplain.Explanation(volume, {}, {}, np.ones((2, 1)), np.zeros(2, int), np.ones(2), {"analyzer": "lrp"})
    assert found._repr_html_().startswith("<figure")


def test_the_table_of_an_explanation_says_what_there_is(shown: dict[str, Any]) -> None:
    explanation = shown["explanation"]
    said = str(explanation)
    assert f"{explanation.relevance[0].sum():.4g}" in said
    assert "relevance: float32 (2, 8, 8, 1)" in said
    assert "layers: {'conv': float32 (2, 6, 6, 4)}" in said
    assert "audit: explained " in said
    assert "at the baseline" in str(shown["explanation of a table"])


@pytest.mark.parametrize("kind", KINDS)
def test_completion_shows_what_an_object_is_made_for(shown: dict[str, Any], kind: str) -> None:
    names = dir(shown[kind])
    assert [name for name in names if name.startswith("_")] == []
    public = {name for name in object.__dir__(shown[kind]) if not name.startswith("_")}
    assert set(names) == public
    assert public


@pytest.mark.parametrize(
    "name", ["callbacks", "compat", "matches", "metrics", "rules", "store", "training", "visualize"]
)
def test_modules_list_their_public_names_alone(name: str) -> None:
    module = getattr(kerasexplain, name)
    assert dir(module) == sorted(module.__all__)
    assert not {"np", "annotations", "dataclasses", "Any"} & set(dir(module))


def test_the_package_lists_its_public_names_alone() -> None:
    assert dir(kerasexplain) == sorted([*kerasexplain.__all__, "__version__"])


def _zeros(count: int, dead: int) -> kerasexplain.Explanation:
    relevance = np.ones((count, 4, 4, 1), "float32") * np.arange(1, 17, dtype="float32").reshape(1, 4, 4, 1)
    relevance[:dead] = 0
    explained = np.ones(count, "float32")
    return kerasexplain.Explanation(relevance, {}, {}, None, np.zeros(count, int), explained, {"analyzer": "x"})


def test_a_map_of_zeros_comes_with_the_reason() -> None:
    assert _zeros(3, 0).remark == ""
    assert "the way to it is closed" in _zeros(3, 3).remark
    assert "the way to it is closed" in str(_zeros(3, 3))
    assert _zeros(3, 2).remark == ""
    assert "no input has any relevance in 2 of 3 samples (numbers 0, 1)" in str(_zeros(3, 2))


def test_a_map_that_is_the_same_everywhere_comes_with_the_reason() -> None:
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.GlobalAveragePooling2D(), layers.Dense(2)])
    analyzer = kerasexplain.create_analyzer("lrp.flat", model)
    with pytest.warns(UserWarning, match="same everywhere"):
        found = analyzer.explain(np.ones((1, 6, 6, 1), "float32"))
    assert "the same everywhere" in found.remark
    assert "the same everywhere" in found._repr_html_()
    varied = np.linspace(0.5, 1, 36, dtype="float32").reshape(1, 6, 6, 1)
    assert kerasexplain.create_analyzer("lrp.epsilon", model).explain(varied).remark == ""
