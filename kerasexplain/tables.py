"""Tables for people, drawn with rich, which Keras brings along."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import rich.box
import rich.console
import rich.table
from rich.text import Text

from kerasexplain.foundation.text import visible, visible_lines

if TYPE_CHECKING:
    from kerasexplain.compiler.rows import Row


def render(title: str, columns: Sequence[tuple[str, Any]], rows: Iterable[Sequence[str]], notes: Sequence[str]) -> str:
    """A table as plain text; each column is a heading and its justification."""
    table = rich.table.Table(title=Text(visible(title)), title_justify="left", box=rich.box.SIMPLE_HEAD)
    for heading, justify in columns:
        table.add_column(Text(visible(heading)), justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console = rich.console.Console(file=io.StringIO(), width=400, color_system=None)
    console.print(table)
    text = "\n".join(line.rstrip() for line in console.file.getvalue().rstrip().splitlines())  # type: ignore[attr-defined]
    return "\n".join([text, *map(visible_lines, notes)])


def rules_table(title: str, rows: Sequence[Row], notes: Sequence[str]) -> str:
    """One row per operation: name, type, rule, what its input is known to be, shapes."""
    columns = [
        ("operation", "left"),
        ("type", "left"),
        ("rule", "left"),
        ("matched by", "left"),
        ("input", "left"),
        ("output shape", "left"),
    ]
    cells = [
        (
            row.name,
            row.type,
            row.treatment if row.supported else f"{row.treatment} (unsupported: {row.reason})",
            row.matched,
            str(row.domain),
            ", ".join(str(shape) for shape in row.output_shapes),
        )
        for row in rows
    ]
    return render(title, columns, cells, notes)
