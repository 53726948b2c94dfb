"""Builds wheel and sdist, and says what is wrong with them: `python .ci/distributions.py`.

`--run`, which `tox run -e release` gives, also installs the wheel, with another Python where there is one, and runs
`kerasexplain --version`. It needs the packages build and twine. `--check FOLDER` looks at what has been built before.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Sequence

ROOT = pathlib.Path(__file__).parents[1]
#: Beside modules, what the package reads or others read of it; each pattern must have a file at least.
DATA = {
    r"kerasexplain/py\.typed": "types for others",
    r"kerasexplain/tensorboard/static/.+\.js": "the tab's script",
    r"kerasexplain/tensorboard/static/.+\.css": "the tab's style",
    r"kerasexplain/evaluation/report/page/.+": "the page of a report",
    r"kerasexplain/analyzers/.+\.py": "the methods",
    r".+\.dist-info/.*LICENSE": "the licence",
    r".+\.dist-info/entry_points\.txt": "command, methods and tab",
}
#: What belongs to the source alone.
NOT_IN_WHEEL = (
    r"(tests|docs|examples|recipes|benchmarks|analyzers|\.ci)/|.*(conftest|\btest_\w+)\.py$|.*\.(pyc|png|ipynb)$"
)
#: Whoever packages the source can run its tests.
IN_SDIST = ("tests/conftest.py", "docs/design.md", "recipes/table.py", "tox.ini", "CITATION.cff", "setup.py", "LICENSE")
OTHERS = ("3.13", "3.12", "3.11", "3.10")


def version() -> str:
    """The version, from the one place where it is."""
    text = (ROOT / "kerasexplain" / "__init__.py").read_text(encoding="utf-8")
    return re.findall(r'^__version__ = "(.+)"$', text, re.M)[0]


def sources() -> set[str]:
    """The modules that the wheel must have, under the names that they have there."""
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kerasexplain").rglob("*.py")}
    return package | {f"kerasexplain/analyzers/{path.name}" for path in (ROOT / "analyzers").glob("*.py")}


def static() -> set[str]:
    """The files of the package that are no modules."""
    files = [path for path in (ROOT / "kerasexplain").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".py"}


def wrong_in_wheel(names: Iterable[str]) -> list[str]:
    """What is missing in a wheel, or should not be there."""
    names = set(names)
    found = [
        f"no {what} ({pattern})" for pattern, what in DATA.items() if not any(re.fullmatch(pattern, n) for n in names)
    ]
    found += [f"{name} is missing" for name in sorted((sources() | static()) - names)]
    return found + [f"{name} should not be there" for name in sorted(names) if re.match(NOT_IN_WHEEL, name)]


def wrong_in_sdist(names: Iterable[str]) -> list[str]:
    """What is missing in a source distribution."""
    inside = {name.partition("/")[2] for name in names}
    return [f"{name} is missing" for name in IN_SDIST if name not in inside]


def check(folder: pathlib.Path) -> list[str]:
    """What is wrong with the one wheel and the one sdist in a folder."""
    wheels, sdists = list(folder.glob("*.whl")), list(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        return [f"{folder} has {len(wheels)} wheels and {len(sdists)} source distributions; one of each is right"]
    with zipfile.ZipFile(wheels[0]) as wheel, tarfile.open(sdists[0]) as sdist:
        found = wrong_in_wheel(wheel.namelist()) + wrong_in_sdist(sdist.getnames())
    of_this = [path.name for path in (*wheels, *sdists) if path.name.split("-")[1].removesuffix(".tar.gz") != version()]
    return found + [f"{name} is not of version {version()}" for name in of_this]


def runs(wheel: pathlib.Path, folder: pathlib.Path) -> list[str]:
    """What is wrong with the command of an installed wheel, in an environment of its own."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = next((found for other in OTHERS if other != here and (found := _python(other))), sys.executable)
    subprocess.run([python, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", wheel], check=True)
    command = [folder / "bin" / "kerasexplain", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    print(f"{python}: {said.stdout.strip()}")
    right = said.returncode == 0 and said.stdout.strip() == f"kerasexplain {version()}"
    return [] if right else [f"kerasexplain --version says {said.stdout + said.stderr!r}"]


def _python(number: str) -> str | None:
    """The path of another Python, if it is there and starts; some managers have a name for one that is not."""
    found = shutil.which(f"python{number}")
    if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
        return found
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds, checks, and perhaps runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="install the wheel, and run its command")
    parser.add_argument("--check", metavar="FOLDER", type=pathlib.Path, help="what has been built before")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        folder = options.check or pathlib.Path(made) / "dist"
        if options.check is None:
            subprocess.run(
                [sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True, stdout=subprocess.DEVNULL
            )
            subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *folder.iterdir()], check=True)
        found = check(folder)
        if options.run and not found:
            found = runs(next(folder.glob("*.whl")), pathlib.Path(made) / "environment")
    for wrong in found:
        print(wrong, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
