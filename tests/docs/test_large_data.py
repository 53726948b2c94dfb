"""The code of `docs/large-data.md` runs as it stands there, and gives what the page says."""

from __future__ import annotations

import re

import numpy as np
import pytest
from helpers import page_code
from helpers.scripts import ROOT

from kerasexplain.store import Store

pytest.importorskip("matplotlib")


def test_the_page_says_what_its_code_gives() -> None:
    run, text = page_code.ran("docs/large-data.md"), (ROOT / "docs" / "large-data.md").read_text(encoding="utf-8")
    names, said = run.names, run.said
    assert "relevance.h5: lrp.epsilon of 600 samples" in said
    assert "(100, 16, 16, 3)" in said
    stored = Store(run.folder / "relevance.h5").relevance
    np.testing.assert_array_equal(stored, names["analyzer"].analyze(names["images"]))
    assert 0 < names["half"].relevance.error <= 2**-11
    assert (run.folder / "two.png").stat().st_size
    listed = {
        name.split("/")[0] for row in re.findall(r"^\| (`.*?) \|", text, re.M) for name in re.findall("`(.+?)`", row)
    }
    import h5py

    with h5py.File(run.folder / "relevance.h5") as file:
        assert set(file) <= listed | {"inputs", "biases", "lost"}
