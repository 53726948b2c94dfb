"""What is said in several files of the project is the same in all of them."""

from __future__ import annotations

import ast
import pathlib
import re
from types import ModuleType

import pytest
from helpers.scripts import ROOT, script

import kerasexplain

pytestmark = pytest.mark.once("the same files on every backend")


@pytest.fixture
def release() -> ModuleType:
    return script(".ci/release.py")


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    """A project of version 1.2.0 that is ready to be released."""
    (tmp_path / "kerasexplain").mkdir()
    (tmp_path / "kerasexplain" / "__init__.py").write_text('__version__ = "1.2.0"\n')
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.2.0\n")
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 1.2.0 (2030-01-31)\n\n### Models\n\n* New.\n\n## 1.1.0 (2029-01-31)\n\n* Old.\n"
    )
    return tmp_path


def replaced(file: pathlib.Path, old: str, new: str) -> None:
    file.write_text(file.read_text().replace(old, new))


def test_the_citation_is_of_this_version(release: ModuleType) -> None:
    assert release.stated("CITATION.cff", r"^version: (.+)$") == kerasexplain.__version__


def test_the_changelog_begins_with_this_version(release: ModuleType) -> None:
    assert release.stated("CHANGELOG.md", r"^## (\S+)") == kerasexplain.__version__


def test_hooks_have_the_versions_of_the_extras() -> None:
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    needed = [need for needs in re.findall(r"additional_dependencies: \[(.+)\]", hooks) for need in needs.split(", ")]
    assert len(needed) > 3
    for need in needed:
        assert need in metadata, f"{need} is not in pyproject.toml"


def test_every_room_has_its_place_in_the_direction_of_imports_and_in_the_layout() -> None:
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    layout = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("## Layout")[2]
    rooms = [
        path for path in (ROOT / "kerasexplain").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    assert len(rooms) > 20
    for room in rooms:
        if room.stem != "__init__":
            assert re.search(rf"kerasexplain\.{room.stem}\b[\w. |]*\",\n", metadata), f"{room.name} is in no layer"
            assert room.suffix or f"`{room.name}/`" in layout, f"{room.name} is not in docs/design.md"


def sources() -> list[pathlib.Path]:
    """The files of the package."""
    return [*(ROOT / "kerasexplain").rglob("*.py"), *(ROOT / "analyzers").glob("*.py")]


def test_no_two_classes_have_one_name() -> None:
    found: dict[str, set[pathlib.Path]] = {}
    for file in sources():
        if file.parent.name != "backend":  # whose modules have the same functions
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    found.setdefault(node.name, set()).add(file)
    assert {name: files for name, files in found.items() if len(files) > 1} == {}


def test_no_docstring_begins_with_what() -> None:
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                assert not (ast.get_docstring(node) or "").startswith("What"), (
                    f"{file.name}, {getattr(node, 'name', '')}"
                )


def test_a_release_is_told_by_its_section_of_the_changelog(release: ModuleType, project: pathlib.Path) -> None:
    assert release.main("v1.2.0", project) == "### Models\n\n* New."


def test_what_does_not_fit_is_not_released(release: ModuleType, project: pathlib.Path) -> None:
    with pytest.raises(SystemExit, match=r"'v1\.2\.1', but kerasexplain\.__version__ is '1\.2\.0'"):
        release.main("v1.2.1", project)
    replaced(project / "CHANGELOG.md", "2030-01-31", "unreleased")
    with pytest.raises(SystemExit, match=r"no date for 1\.2\.0"):
        release.main("v1.2.0", project)
    replaced(project / "CHANGELOG.md", "## 1.2.0", "## 1.2.0rc1")
    with pytest.raises(SystemExit, match=r"no section for 1\.2\.0"):
        release.main("v1.2.0", project)
    replaced(project / "CITATION.cff", "\nversion: 1.2.0", "\nversion: 1.1.0")
    with pytest.raises(SystemExit, match=r"CITATION\.cff is of version '1\.1\.0'"):
        release.main("v1.2.0", project)
