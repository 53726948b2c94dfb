"""The analyzers and their options, read from their source: nothing is imported, so that a list of them is quick."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.metadata
import importlib.util
import pathlib
import re
import textwrap
from collections.abc import Iterator

from kerasexplain.foundation.errors import nearest
from kerasexplain.foundation.showing import Shown
from kerasexplain.tables import Table

#: How many letters of a sentence on an option a table shows.
WIDTH = 110
GROUP = "kerasexplain.analyzers"
_OWN = ("dataclass", "saved", "saved_by_keyword")


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of an analyzer, as its source has it.

    Attributes:
        name: Its name.
        type: Its annotation.
        default: Its default as source; None where it must be given.
        about: A line on it.
    """

    name: str
    type: str
    default: str | None
    about: str


@dataclasses.dataclass(frozen=True, repr=False)
class Listed(Shown):
    """An analyzer as its source describes it.

    Attributes:
        name: What `create_analyzer` knows it by.
        about: The first line of its docstring.
        text: The docstring, without its arguments.
        source: The paper or papers it is from; "" where none is named.
        options: Its own options, in order; those that all analyzers share are not among them.
    """

    name: str
    about: str
    text: str
    source: str
    options: tuple[Option, ...]


@functools.cache
def entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    """The entry points of all installed analyzers by name."""
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


def names() -> list[str]:
    """The names of all installed analyzers, sorted."""
    return sorted(entry_points())


def listed(name: str) -> Listed:
    """An analyzer as its source describes it.

    Raises:
        ValueError: There is none of that name; the nearest are given.
    """
    points = entry_points()
    if name not in points:
        raise ValueError(f"there is no analyzer {name!r}.{nearest(name, points)}")
    point = points[name]
    line = list(_line_of(point.module, point.attr))
    if not line:  # a package without source
        doc = str(point.load().__doc__ or "")
        return Listed(name, _about(doc), doc, _source(doc), ())
    own = ast.get_docstring(line[0]) or ""
    return Listed(name, _about(own), _prose(own), _source(own), tuple(_options(line)))


def common_options() -> tuple[Option, ...]:
    """The options that every analyzer takes, as `Analyzer` describes them."""
    fields = _fields(_classes("kerasexplain.compiler.options")["Options"])
    told = _arguments(ast.get_docstring(_classes("kerasexplain.analyzer")["Analyzer"]) or "")
    return tuple(Option(name, kind, default, told.get(name, "")) for name, (kind, default) in fields.items())


def options_table(name: str) -> Table:
    """The options of an analyzer: its own, then those of every analyzer.

    Raises:
        ValueError: There is none of that name; the nearest are given.
    """
    found = listed(name)
    columns = [(heading, "left") for heading in ("option", "type", "default", "what it is")]
    rows = [
        (
            option.name,
            option.type,
            option.default or "needed",
            textwrap.shorten(option.about, WIDTH, placeholder=" ..."),
        )
        for option in (*found.options, *common_options())
    ]
    notes = ["", *(line.strip() for line in found.text.splitlines()[1:] if line.strip())]
    if found.source:
        notes.append(f"Source: {found.source}")
    return Table(f"{name}: {found.about}", columns, rows, notes)


@functools.cache
def _tree(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    origin = None if spec is None else spec.origin
    if origin is None or not origin.endswith(".py"):
        return ast.Module([], [])
    return ast.parse(pathlib.Path(origin).read_text(encoding="utf-8"))


def _classes(module: str) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in _tree(module).body if isinstance(node, ast.ClassDef)}


def _line_of(module: str, name: str) -> Iterator[ast.ClassDef]:
    """A class and those it is derived from, the nearest first, as far as the source of this package tells."""
    found = _classes(module).get(name)
    if found is None:
        for node in _tree(module).body:
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    if name == (alias.asname or alias.name):
                        yield from _line_of(node.module, alias.name)
        return
    yield found
    for base in found.bases:
        if isinstance(base, ast.Name):
            yield from _line_of(module, base.id)


def _options(line: list[ast.ClassDef]) -> Iterator[Option]:
    fields: dict[str, tuple[str, str | None]] = {}
    told: dict[str, str] = {}
    fitted: tuple[str, ...] = ()
    for kind in reversed(line):
        fields.update(_fields(kind))
        told.update(_arguments(ast.get_docstring(kind) or ""))
        fitted = _fitted(kind) or fitted
    for name, (annotation, default) in fields.items():
        if name not in fitted:
            yield Option(name, annotation, default, told.get(name, ""))


def _fields(kind: ast.ClassDef) -> dict[str, tuple[str, str | None]]:
    """The annotation and the default of every field that a class adds, if it is a dataclass."""
    calls = [each.func if isinstance(each, ast.Call) else each for each in kind.decorator_list]
    if not any(ast.unparse(each).rpartition(".")[2] in _OWN for each in calls):
        return {}
    found = {}
    for node in kind.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            annotation = ast.unparse(node.annotation)
            if not annotation.startswith("ClassVar"):
                found[node.target.id] = (annotation, _default(node.value))
    return found


def _default(value: ast.expr | None) -> str | None:
    """The default of a field as source; None where it has none."""
    if isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] == "field":
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in value.keywords}
        factory = given.get("default_factory")
        return given.get("default", None if factory is None else f"{factory}()")
    return None if value is None else ast.unparse(value)


def _fitted(kind: ast.ClassDef) -> tuple[str, ...]:
    for node in kind.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "fitted_fields" and node.value is not None:
            return tuple(ast.literal_eval(node.value))
    return ()


def _about(doc: str) -> str:
    return doc.strip().split("\n")[0]


def _prose(doc: str) -> str:
    """A docstring up to its source and its arguments."""
    return re.split(r"\n(?=(?:Args|Attributes|Raises|Example|Source):)", doc)[0].strip()


def _source(doc: str) -> str:
    found = re.search(r"^Source: (.*?)(?:\n\s*\n|\Z)", doc, re.S | re.M)
    return " ".join(found[1].split()) if found else ""


def _arguments(doc: str) -> dict[str, str]:
    """The first sentence on every argument in a docstring."""
    section = re.search(r"^Args:\n(.*?)(?:\n\S|\Z)", doc, re.S | re.M)
    if not section:
        return {}
    found = {}
    for entry in re.split(r"\n(?=    \S)", "\n" + section[1]):
        named = re.match(r"\s*([\w, ]+): (.*)", entry, re.S)
        if named:
            sentence = re.split(r"(?<=[\w)`\"][.])\s", " ".join(named[2].split()), maxsplit=1)[0]
            found.update(dict.fromkeys(re.split(r",\s*", named[1]), sentence.removesuffix(".")))
    return found
