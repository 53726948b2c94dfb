"""`docs/tensorflow.md` says what is translated, and its code is run as it stands there."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
from helpers import page_code

import kerasexplain

pytestmark = pytest.mark.tensorflow("its operations are in the page")

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "tensorflow.md"
BEGIN, END = "<!-- translated: begin -->\n", "<!-- translated: end -->\n"
#: The tables' modules, and what is in them.
THEMES = {
    "arithmetic": "element by element, comparisons, softmax",
    "products": "products of matrices, convolutions",
    "normalization": "normalisation, by statistics of training",
    "reductions": "sums, means, extrema along axes",
    "windows": "pooling, patches, other sizes of images",
    "rearranging": "moves, joins, cuts, padding, lookups",
    "blocks": "convolutions with holes, on blocks in the batch",
    "sizes": "sizes and shapes, and constants repeated for every sample",
    "control": "functions, conditions, loops and their lists",
}


def listing() -> str:
    """The part of the page between the markers."""
    from kerasexplain.trace.tensorflow import blocks, control, sizes
    from kerasexplain.trace.tensorflow.table import TABLE

    types: dict[str, set[str]] = {"blocks": set(blocks.TABLE), "control": set(control.TABLE), "sizes": set(sizes.TABLE)}
    for kind, function in TABLE.items():
        types.setdefault(function.__module__.rpartition(".")[2], set()).add(kind)
    assert set(types) == set(THEMES)
    rows = [f"| {what} | {', '.join(f'`{kind}`' for kind in sorted(types[room]))} |" for room, what in THEMES.items()]
    return "\n".join(["", "| what they do | types of operations |", "|---|---|", *rows, "", ""])


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """The names that the page's code makes."""
    return page_code.ran("docs/tensorflow.md").names


def test_the_page_lists_what_is_translated() -> None:
    shown = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert shown == listing(), f"between the markers of {PAGE.name} belongs: {listing()}"


def test_the_table_is_the_one_shown(page: dict[str, Any]) -> None:
    (shown,) = re.findall(r"```\n(lrp\.epsilon of example\n.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert [line.rstrip() for line in str(page["analyzer"]).splitlines()] == shown.splitlines()


def test_the_refusal_is_the_one_shown(page: dict[str, Any]) -> None:
    (shown,) = re.findall(r"```\n(1 of the model's .*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    where = re.compile(r"made in [^ ,]+:\d+")
    assert f"made in {PAGE}:" in page["message"]
    assert where.sub("", page["message"]).split() == where.sub("", shown).split()


def test_the_gradient_takes_the_place_of_a_rule(page: dict[str, Any]) -> None:
    assert "gradient (unsupported" in str(page["by_gradient"])
    with pytest.raises(kerasexplain.UnsupportedModelError):
        kerasexplain.create_analyzer("lrp.z_plus", page["model"])
