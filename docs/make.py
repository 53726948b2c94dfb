"""Writes docs/analyzers.md from the docstrings: `python docs/make.py`. A test checks that the page is up to date."""

from __future__ import annotations

import dataclasses
import inspect
import pathlib

from kerasexplain import registry, rules
from kerasexplain.analyzer import Analyzer

PAGE = pathlib.Path(__file__).parent / "analyzers.md"
HEAD = """# Analyzers and rules

Made from the docstrings by `python docs/make.py`.

`create_analyzer(name, model, **options)` takes the common options and those of the method. In the formulas `x` is the
input of a linear operation, `W` its kernel, `b` its bias, `z = x W + b`, `R` the relevance of z, `p+ = max(p, 0)`,
`p- = min(p, 0)` and `st(d) = d + stabilizer sign(d)`.
"""


def page() -> str:
    """The page's text."""
    parts = [HEAD, "## Common options\n", _arguments(Analyzer), "\n## Analyzers\n"]
    for name in registry.names():
        method = registry.find(name)
        parts.append(f"### `{name}`\n\n{_prose(method)}\n\nOptions: `{_fields(method) or 'none'}`.\n")
    parts.append("## Rules\n\nIn `kerasexplain.rules`.\n")
    for name in rules.__all__:
        rule = getattr(rules, name)
        if inspect.isclass(rule) and dataclasses.is_dataclass(rule):
            parts.append(f"### `{name}({_fields(rule)})`\n\n{_prose(rule)}\n")
    return "\n".join(parts)


def _fields(kind: type) -> str:
    """The fields of a dataclass as arguments, with their defaults."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    return ", ".join(
        field.name if field.default is dataclasses.MISSING else f"{field.name}={field.default!r}" for field in fields
    )


def _prose(kind: type) -> str:
    """A docstring, with its sections as Markdown."""
    lines = []
    for line in inspect.getdoc(kind).splitlines():  # type: ignore[union-attr]
        if line.endswith(":") and not line.startswith(" ") and line[:-1] in ("Args", "Raises", "Returns", "Example"):
            lines.append(f"{line}\n")
        elif line.startswith("    ") and not line.startswith("     "):
            lines.append(f"* {line.strip()}")
        else:
            lines.append(line.replace("        ", "  "))
    return "\n".join(lines)


def _arguments(kind: type) -> str:
    text = _prose(kind)
    return text[text.index("Args:") :]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
