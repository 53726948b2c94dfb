"""The page on which analyzer is for which network: its table is that of the script, and what it says of it is true."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
from types import ModuleType

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import metrics

pytestmark = pytest.mark.once("about a page, and about nothing of a backend's own")

DOCS = pathlib.Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("which", DOCS / "which.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["which"] = module  # where dataclasses look for the names of types
    specification.loader.exec_module(module)
    return module


def test_the_page_says_what_its_table_says(script: ModuleType) -> None:
    page = (DOCS / "which-analyzer.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    heading = next(row for row in rows if row[0] == "analyzer")
    assert heading[1:] == [subject.title for subject in script.SUBJECTS.values()]
    table = {row[0].strip("`"): row[1:] for row in rows if len(row) == len(heading) and row[0].startswith("`")}
    assert list(table) == list(script.ANALYZERS)
    columns = {
        key: {name: row[number] for name, row in table.items() if row[number] != "–"}
        for number, key in enumerate(script.SUBJECTS)
    }
    assert script.remark(columns) in page
    assert page.endswith(script.TAIL)


def test_a_column_is_in_percent_of_its_best(script: ModuleType) -> None:
    import kerasexplain

    model = keras.Sequential([keras.Input((6,)), layers.Dense(1, use_bias=False)])
    model.set_weights([np.arange(1.0, 7.0).reshape(6, 1)])
    x = np.random.default_rng(0).uniform(1, 2, (12, 6)).astype("float32")
    judges = [metrics.RegionPerturbation(fill=fill) for fill in (0.0, 0.5)]
    cells = script.cells(kerasexplain.compare(model, x, ["lrp.z", "gradient"], judges))
    assert cells["random"] == "0"
    assert cells["lrp.z"] == "100 ▲▲"
    assert 90 < int(cells["gradient"].split()[0]) <= 100
