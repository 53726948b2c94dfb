"""The page on which combinations of rules conserve is what is computed now."""

from __future__ import annotations

import re

import pytest
from helpers.scripts import script


def verdicts(page: str) -> str:
    """The page with all numbers replaced: their last digit may differ between machines."""
    return re.sub(r"\| \d[\d.e-]* (?=\|)", "| no ", page)


@pytest.mark.slow("computes a page of tables")
def test_the_page_is_up_to_date() -> None:
    module = script("docs/algebra.py")
    now = module.page()
    assert verdicts(module.PAGE.read_text(encoding="utf-8")) == verdicts(now), "run python docs/algebra.py"
    # LRP conserves S, LRP rephrased conserves x S, and the deconvnet neither.
    rows = dict(re.findall(r"\| (\w+ \| \w+ \| gradient) \| (.+) \|\n", now))
    assert rows["normalized | ignore | gradient"].split(" | ")[0::2] == ["yes"] * 3
    assert rows["gradient | slope | gradient"].split(" | ")[1::2] == ["yes"] * 3
    assert "yes" not in rows["gradient | repeat | gradient"]
