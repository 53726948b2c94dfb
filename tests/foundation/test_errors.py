"""Imports of what is optional: it is told whether a package is missing, or fails itself. And hints for names."""

from __future__ import annotations

import importlib
import pathlib
import sys

import pytest

from kerasexplain.foundation.errors import similar

pytestmark = pytest.mark.once("imports are the same on every backend")


@pytest.fixture
def import_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has TensorBoard imported anew."""
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "kerasexplain.tensorboard.writer", raising=False)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("region", " Did you mean 'region_perturbation'?"),
        ("LRP", " Did you mean 'lrp.epsilon' or 'lrp.z'?"),
        ("lrp.epsilonn", " Did you mean 'lrp.epsilon'?"),
        ("deletoin", " Did you mean 'deletion'?"),
        ("xyz", ""),
        ("", ""),
    ],
)
def test_the_nearest_of_known_names(name: str, hint: str) -> None:
    assert similar(name, ["deletion", "insertion", "lrp.epsilon", "lrp.z", "region_perturbation"]) == hint


@pytest.mark.usefixtures("import_writer")
def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r'^this needs TensorBoard: pip install "kerasexplain\[tensorboard\]"$'):
        importlib.import_module("kerasexplain.tensorboard.writer")


@pytest.mark.usefixtures("import_writer")
@pytest.mark.parametrize(
    ("missing", "way_out"),
    [("pkg_resources", r'older need setuptools below 82: pip install "setuptools<82"'), ("absl_of_old", "absl_of_old")],
)
def test_a_package_whose_own_import_fails(
    missing: str, way_out: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As TensorBoard 2.18 does beside setuptools 82."""
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "__init__.py").write_text(f"import {missing}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match="this needs TensorBoard, and what is installed cannot") as raised:
        importlib.import_module("kerasexplain.tensorboard.writer")
    assert raised.match(way_out)
