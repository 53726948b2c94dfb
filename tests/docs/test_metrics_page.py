"""The code in `docs/metrics.md` is run as it stands there, and its tables name what there is."""

from __future__ import annotations

import inspect
import pathlib
import re

import pytest
from helpers import page_code

from kerasexplain import metrics
from kerasexplain.metrics import fills

pytestmark = pytest.mark.once("the documentation's examples are those of TensorFlow")

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.compiled
def test_the_code_says_what_the_page_says() -> None:
    run = page_code.ran("docs/metrics.md")
    names = run.names
    comparison = names["comparison"]
    assert set(comparison.names) == {"lrp.epsilon_plus", "lrp.epsilon", "gradient", "random", "edges"}
    # The squares are what the model looks at: that it is learnt is what makes the example one.
    assert comparison.against("lrp.epsilon_plus", "random", "relevance_inside").verdict == "better"
    assert comparison.against("lrp.epsilon", "random").verdict == "better"
    assert names["scores"].against(names["scores"]).wins == 0
    assert "better than random" in run.said


def test_every_metric_is_in_the_table_with_its_direction(text: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (higher|lower|neither) \|", text, re.M))
    known = {
        name: kind.better
        for name, kind in vars(metrics).items()
        if inspect.isclass(kind) and issubclass(kind, metrics.Metric) and kind is not metrics.Metric
    }
    assert rows == known
    sources = text.partition("| metric | source |")[2].partition("Undefined")[0]
    for name in known:
        assert f"`{name}`" in sources


def test_every_fill_is_in_the_table(text: str) -> None:
    for name in fills.BY_NAME:
        assert f'`"{name}"`' in text
