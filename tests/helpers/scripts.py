"""Scripts that are part of no package, as modules."""

from __future__ import annotations

import importlib.util
import pathlib
import runpy
import sys
from types import ModuleType
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def script(path: str) -> ModuleType:
    """The script at a path within the project."""
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(path: str, *arguments: Any) -> dict[str, Any]:
    """Runs a script that is written in cells, and returns the variables that it leaves behind.

    Args:
        path: Within the project.
        *arguments: Of its command line.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [path, *map(str, arguments)])
        return runpy.run_path(str(ROOT / path), run_name="__main__")
