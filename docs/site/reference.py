"""The API reference, from the docstrings, as pages of Markdown: one for the package, and one for each public room."""

from __future__ import annotations

import importlib
import inspect
import re
from types import ModuleType
from typing import Any

import kerasexplain

#: The public rooms, as docs/extending.md names them.
ROOMS = ("rules", "matches", "visualize", "metrics", "training", "callbacks", "store", "compat", "adapters.quantus")
#: The headings within docstrings; what stands under each is a list of names, or code, or text.
_LISTS, _CODE, _TEXT = ("Args", "Raises", "Attributes"), ("Example", "Examples"), ("Returns", "Yields")
_SECTION = re.compile(rf"^({'|'.join((*_LISTS, *_CODE, *_TEXT))}):$", re.M)


def pages() -> dict[str, str]:
    """Every page of the reference, by its name."""
    rooms = {f"kerasexplain.{room}": importlib.import_module(f"kerasexplain.{room}") for room in ROOMS}  # noqa: TID251
    return {"kerasexplain": _page("kerasexplain", kerasexplain)} | {
        name: _page(name, room) for name, room in rooms.items()
    }


def _page(name: str, module: ModuleType) -> str:
    parts = [f"# {name}", _docstring(module)]
    for member in _members(module):
        value = getattr(module, member)
        if inspect.ismodule(value):
            continue
        parts += [f"## {member}", _signature(member, value), _docstring(value)]
        for method, function in _methods(value):
            parts += [f"### {member}.{method}", _signature(method, function), _docstring(function)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _members(module: ModuleType) -> list[str]:
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return sorted(getattr(module, "__all__", own), key=str.lower)


def _methods(kind: Any) -> list[tuple[str, Any]]:
    """The public methods and properties that a class itself has, with a docstring of their own."""
    if not inspect.isclass(kind):
        return []
    own = [(name, getattr(value, "__func__", value)) for name, value in vars(kind).items() if not name.startswith("_")]
    return [(name, value) for name, value in own if value.__doc__ and _is_method(value)]


def _is_method(value: Any) -> bool:
    return inspect.isfunction(value) or isinstance(value, property)


def _signature(name: str, value: Any) -> str:
    if isinstance(value, property) or not callable(value):
        return ""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    shown = f"{name}{signature}"
    if len(shown) > 100:  # a parameter a line
        shown = f"{name}(\n    " + ",\n    ".join(map(str, signature.parameters.values())) + ",\n)"
    shown = re.sub(r"(: |-> )'([^']*)'", r"\1\2", shown)  # annotations are kept as text
    return f"```python\n{shown}\n```"


def _docstring(value: Any) -> str:
    text = inspect.getdoc(value) or ""
    if not (inspect.ismodule(value) or callable(value) or isinstance(value, property)):
        return ""  # that of the type of a constant
    parts = _SECTION.split(text)
    shown = [parts[0].strip()]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        inner, rest = _indented(body)
        shown += [f"**{title}**", _section(title, inner), rest]
    return "\n\n".join(part for part in shown if part)


def _indented(body: str) -> tuple[str, str]:
    """The part of a docstring that belongs to a heading, and what follows it."""
    lines = body.strip("\n").splitlines()
    end = next((i for i, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    return inspect.cleandoc("\n".join(lines[:end])), "\n".join(lines[end:]).strip()


def _section(title: str, text: str) -> str:
    if title in _CODE:
        return f"```pycon\n{text}\n```"
    if title not in _LISTS:
        return text
    items = re.sub(r"^(?=\S)([^:\n]+): ", r"* `\1`: ", text, flags=re.M)
    return re.sub(r"\n {2,}", "\n  ", items)
