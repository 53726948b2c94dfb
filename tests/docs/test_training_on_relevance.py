"""The page on training on relevance, and its examples: relevance helps where plain training fails."""

from __future__ import annotations

import pathlib
import re

import pytest
from helpers import page_code
from helpers.scripts import ROOT, run

from kerasexplain import training

PAGE = (ROOT / "docs" / "training-on-relevance.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_says_what_the_page_says() -> None:
    found = page_code.ran("docs/training-on-relevance.md")
    (said,) = re.findall(r"# (\[.*\])\n", PAGE)
    assert found.said.strip() == said
    assert (found.folder / "network.keras").exists()


@pytest.mark.once("text")
def test_every_loss_is_on_the_page() -> None:
    for name in training.__all__:
        assert f"`{name}" in PAGE, name


@pytest.mark.once("an example that trains for long")
@pytest.mark.slow("trains networks")
def test_plain_training_goes_by_the_background(tmp_path: pathlib.Path) -> None:
    """How much relevance recovers differs from training to training: the page has the means over five."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    left = run("examples/wolf_and_dog.py", "-o", tmp_path, "--seeds", 1, "--quick", "--epochs", 10)
    on_others, on_own = left["found"]["plain"][0]
    assert on_others < 0.1
    assert on_own > 0.9
    assert (tmp_path / "maps.png").exists()


@pytest.mark.once("an example that trains for long")
@pytest.mark.slow("trains networks")
def test_tags_and_a_leaked_column_are_no_longer_gone_by() -> None:
    left = run("examples/spurious_token.py")
    of_text, of_table = (
        {name: left["accuracy"](network, x, y) for name, network in left[found].items()}
        for found, x, y in (
            ("of_text", left["ids_test"], left["labels_test"]),
            ("of_table", left["x_test"], left["y_test"]),
        )
    )
    assert of_text["plain"] < 0.2
    assert of_text["no relevance on the tags"] > 0.95
    assert of_table["plain"] < 0.7
    assert of_table["no relevance on the column, weight 10"] > of_table["plain"] + 0.15
