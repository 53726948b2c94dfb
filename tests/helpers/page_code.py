"""The code of a page of the documentation, run as a reader would paste it: from top to bottom, in one folder."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import io
import os
import pathlib
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from helpers.scripts import ROOT
from kerasexplain.cli import command
from kerasexplain.operations.catalogue import _BY_CLASS

#: Of these pages, sections stand each for itself.
IN_SECTIONS = ("docs/metrics-libraries.md",)
#: What waits for a browser, and does not end.
ENDLESS = ("board",)

_FENCE = re.compile(r"( *)```(\w*)\n(.*?)^ *```$", re.S | re.M)
_INDENTED = re.compile(r"(?<=\n\n) {4}\S[^\n]*\n(?: {4}[^\n]*\n)*")


@dataclasses.dataclass(frozen=True)
class Block:
    """A piece of code on a page.

    Attributes:
        line: Of the page, at which the code begins, counted from 0.
        kind: `python`, or `shell`, or what else the page says that it is; without a word, `text`.
        code: Without the indentation of the list that it may be in.
    """

    line: int
    kind: str
    code: str

    def commands(self) -> list[list[str]]:
        """The arguments of every call of `kerasexplain` in a block of shell."""
        if self.kind != "shell":
            return []
        words = [shlex.split(line, comments=True) for line in self.code.replace("\\\n", " ").splitlines()]
        parts = [part for line in words for part in _split(line, "&&")]
        return [part[1:] for part in parts if part[:1] == ["kerasexplain"]]

    def imports(self) -> set[str]:
        """The packages that a block of Python imports."""
        return set(re.findall(r"^(?:import|from) (\w+)", self.code, re.M)) if self.kind == "python" else set()


@dataclasses.dataclass(frozen=True)
class Run:
    """A page that has been run.

    Attributes:
        names: The variables that its code left.
        said: What it printed.
        folder: Where it wrote its files.
        commands: The command lines that were run, and not read alone.
    """

    names: dict[str, Any]
    said: str
    folder: pathlib.Path
    commands: list[list[str]]


def _split(words: list[str], at: str) -> Iterator[list[str]]:
    while at in words:
        yield words[: words.index(at)]
        words = words[words.index(at) + 1 :]
    yield words


def pages() -> list[str]:
    """Every page: the README, those beside it, and those in `docs/`."""
    return sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@functools.cache
def blocks(page: str) -> list[Block]:
    """The code of a page, in its order: what is fenced, and what is indented by four spaces, which is for the shell."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        kind = {"": "text", "sh": "shell", "bash": "shell"}.get(match[2], match[2])
        code = re.sub(rf"^{match[1]}", "", match[3], flags=re.M)
        found.append(Block(text[: match.start(3)].count("\n"), kind, code))
    # What is fenced is not indented code, whatever its own indentation.
    rest = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    for match in _INDENTED.finditer(rest):
        code = re.sub("^ {4}", "", match[0], flags=re.M)
        found.append(Block(rest[: match.start()].count("\n"), "shell", code))
    return sorted(found, key=lambda block: block.line)


def units() -> list[tuple[str, str]]:
    """What is run in one go: pages that have code, and the sections of those whose sections stand each for itself."""
    found = []
    for page in pages():
        if any(block.kind == "python" or block.commands() for block in blocks(page)):
            found += [(page, title) for title in sections(page)] if page in IN_SECTIONS else [(page, "")]
    return found


def sections(page: str) -> list[str]:
    """The headings of a page's sections."""
    return re.findall(r"^## (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.M)


def part(page: str, section: str = "") -> list[Block]:
    """The code of a page, or of one of its sections."""
    if not section:
        return blocks(page)
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    begin = lines.index(f"## {section}")
    end = next((i for i in range(begin + 1, len(lines)) if lines[i].startswith("## ")), len(lines))
    return [block for block in blocks(page) if begin < block.line < end]


def missing(page: str, section: str = "") -> set[str]:
    """The packages that the code imports and that are not installed."""
    wanted = {name for block in part(page, section) for name in block.imports()}
    return {name for name in wanted if importlib.util.find_spec(name) is None}


def can_run(arguments: list[str], folder: pathlib.Path) -> bool:
    """Whether a command ends, and all files that it reads are there."""
    options = command._parser().parse_args(arguments)
    if arguments[0] in ENDLESS:
        return False
    read = [getattr(options, name, None) for name in ("model", "data", "inputs", "labels", "fit", "masks")]
    paths = [path for given in read for path in (given if isinstance(given, list) else [given])]
    return all((folder / path).exists() for path in paths if isinstance(path, pathlib.Path))


@functools.cache
def _demo() -> tuple[pathlib.Path, str]:
    """What `kerasexplain demo` writes and says: it trains, so that pages share it."""
    folder, said = pathlib.Path(tempfile.mkdtemp(prefix="demo-")), io.StringIO()
    with contextlib.redirect_stdout(said):
        assert command.main(["demo", "-o", str(folder)]) == 0
    return folder, said.getvalue()


def _run(arguments: list[str], page: str) -> None:
    if arguments == ["demo"]:
        folder, said = _demo()
        shutil.copytree(folder, "demo", dirs_exist_ok=True)
        print(said)
        return
    assert command.main(arguments) == 0, f"{page}: kerasexplain {shlex.join(arguments)}"


def ran(page: str, section: str = "") -> Run:
    """Runs a page, once in a process.

    Args:
        page: Its path within the project.
        section: The heading of a section, if it stands for itself.
    """
    return _ran(page, section)


@functools.cache
def _ran(page: str, section: str) -> Run:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="page-"))
    names: dict[str, Any] = {"__name__": "page"}
    before, said, commands = pathlib.Path.cwd(), io.StringIO(), list[list[str]]()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(said):
            for block in part(page, section):
                if block.kind == "python":
                    # Lines have the numbers that they have on the page.
                    code = compile("\n" * block.line + block.code, str(ROOT / page), "exec", dont_inherit=True)
                    exec(code, names)
                for arguments in block.commands():
                    if can_run(arguments, folder):
                        commands.append(arguments)
                        _run(arguments, page)
    finally:
        os.chdir(before)
        for kind in [kind for kind in _BY_CLASS if kind.__module__ == names["__name__"]]:
            del _BY_CLASS[kind]  # what the page registers is not for others
    return Run(names, said.getvalue(), folder, commands)
