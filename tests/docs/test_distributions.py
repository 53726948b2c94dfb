"""What is released has all that it needs, and nothing else."""

from __future__ import annotations

import pathlib
import tarfile
import zipfile
from types import ModuleType

import pytest
from helpers.scripts import ROOT, script

import kerasexplain

pytestmark = pytest.mark.once("the same files on every backend")


@pytest.fixture
def distributions() -> ModuleType:
    return script(".ci/distributions.py")


@pytest.fixture
def names(distributions: ModuleType) -> set[str]:
    """The files of a wheel that is right."""
    info = f"kerasexplain-{kerasexplain.__version__}.dist-info"
    made = {f"{info}/licenses/LICENSE", f"{info}/entry_points.txt", f"{info}/METADATA"}
    return distributions.sources() | distributions.static() | made


def test_a_wheel_that_has_everything_is_right(distributions: ModuleType, names: set[str]) -> None:
    assert len(names) > 250
    assert distributions.wrong_in_wheel(names) == []


@pytest.mark.parametrize(
    "name",
    [
        "kerasexplain/py.typed",
        "kerasexplain/tensorboard/static/app.js",
        "kerasexplain/evaluation/report/page/report.css",
    ],
)
def test_what_is_missing_in_a_wheel_is_named(distributions: ModuleType, names: set[str], name: str) -> None:
    assert f"{name} is missing" in distributions.wrong_in_wheel(names - {name})


@pytest.mark.parametrize("name", ["tests/conftest.py", "docs/make.py", "kerasexplain/rules/test_rules.py", "a/b.pyc"])
def test_what_does_not_belong_into_a_wheel_is_named(distributions: ModuleType, names: set[str], name: str) -> None:
    assert distributions.wrong_in_wheel(names | {name}) == [f"{name} should not be there"]


def test_a_wheel_without_a_licence_is_wrong(distributions: ModuleType, names: set[str]) -> None:
    without = {name for name in names if not name.endswith("LICENSE")}
    assert any("the licence" in wrong for wrong in distributions.wrong_in_wheel(without))


def test_files_of_another_version_are_named(distributions: ModuleType, names: set[str], tmp_path: pathlib.Path) -> None:
    inside = [f"kerasexplain-9.9/{name}" for name in distributions.IN_SDIST]
    with zipfile.ZipFile(tmp_path / "kerasexplain-9.9-py3-none-any.whl", "w") as wheel:
        for name in names:
            wheel.writestr(name, "")
    with tarfile.open(tmp_path / "kerasexplain-9.9.tar.gz", "w:gz") as sdist:
        for name in inside:
            sdist.addfile(tarfile.TarInfo(name))
    found = distributions.check(tmp_path)
    assert len(found) == 2
    assert all(f"is not of version {kerasexplain.__version__}" in wrong for wrong in found)


def test_the_version_is_in_one_place(distributions: ModuleType) -> None:
    assert distributions.version() == kerasexplain.__version__
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'version = { attr = "kerasexplain.__version__" }' in metadata
    assert kerasexplain.__version__ not in (ROOT / "setup.py").read_text(encoding="utf-8")


@pytest.mark.slow("builds")
def test_what_is_built_now_is_right(distributions: ModuleType) -> None:
    pytest.importorskip("build", reason="tox run -e release has it")
    pytest.importorskip("twine", reason="tox run -e release has it")
    assert distributions.main([]) == 0
