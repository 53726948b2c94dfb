"""Virtual environments for the libraries that we are compared with: pinned, made once, kept."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

Version = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Environment:
    """A virtual environment: what is installed into it, and for which versions of Python it exists.

    Attributes:
        name: Of the environment's folder.
        pins: Requirements.
        oldest, newest: Versions of Python.
    """

    name: str
    pins: tuple[str, ...]
    oldest: Version
    newest: Version

    def interpreter(self, folder: pathlib.Path, pythons: Sequence[str]) -> str:
        """The interpreter of this environment in the folder, which is made if there is none with these very pins.

        Args:
            folder: Where environments are.
            pythons: Interpreters to make one with; the first of a version that suits.

        Raises:
            ValueError: None of the interpreters is of a version that suits.
            subprocess.CalledProcessError: pip failed.
        """
        path = folder / self.name
        python, done = path / "bin" / "python", path / "pins.txt"
        pins = "\n".join(self.pins)
        if not (done.exists() and done.read_text(encoding="utf-8") == pins):
            print(f"installing {', '.join(self.pins)} in {path}", file=sys.stderr, flush=True)
            subprocess.run([self._suitable(pythons), "-m", "venv", "--clear", path], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *self.pins], check=True, stdout=sys.stderr)
            done.write_text(pins, encoding="utf-8")
        return str(python)

    def _suitable(self, pythons: Sequence[str]) -> str:
        for python in pythons:
            if self.oldest <= python_version(python) <= self.newest:
                return python
        raise ValueError(
            f"{self.pins[0]} needs Python {_named(self.oldest)} to {_named(self.newest)}, and none of "
            f"{', '.join(pythons)} is: name one with --python"
        )


TORCH = Environment(
    "torch", ("zennit==0.5.1", "captum==0.9.0", "torch==2.13.0", "torchvision==0.28.0"), (3, 10), (3, 14)
)
INNVESTIGATE = Environment(
    "innvestigate", ("innvestigate==2.1.2", "tensorflow==2.14.1", "numpy==1.26.4"), (3, 9), (3, 11)
)


def python_version(python: str) -> Version:
    """Major and minor version of an interpreter."""
    code = "import sys; print(*sys.version_info[:2])"
    found = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
    major, minor = map(int, found.split())
    return major, minor


def known_pythons(given: Sequence[str]) -> list[str]:
    """The interpreters that were given, this one, and those of the older versions on the path."""
    on_path = (shutil.which(f"python3.{minor}") for minor in (11, 10))
    return [*given, sys.executable, *filter(None, on_path)]


def default_folder() -> pathlib.Path:
    """A folder in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "kerasexplain" / "benchmarks"


def _named(version: Version) -> str:
    return ".".join(map(str, version))
