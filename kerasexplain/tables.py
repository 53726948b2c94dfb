"""Tables for people: as text, drawn with rich, which Keras brings along, and as HTML for notebooks."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import rich.box
import rich.console
import rich.table
from rich.text import Text

from kerasexplain.foundation.showing import Shown
from kerasexplain.foundation.text import visible, visible_lines

if TYPE_CHECKING:
    from kerasexplain.compiler.rows import Row

# The colours are those of the page around it, in a dark theme as in a light one; lines are grey on either.
_BOX = "max-height: 32em; overflow: auto; color: inherit; scrollbar-color: #888 transparent"
_TABLE = "border-collapse: collapse; color: inherit; background: transparent; font: inherit; margin: 0"
_CELL = "padding: 0.15em 0.7em; color: inherit; background: transparent; border: 0; white-space: nowrap"
_DIGITS = "font-variant-numeric: tabular-nums"
_HEAD = f"{_CELL}; border-bottom: 1px solid #888; font-weight: 600"
_TITLE = "color: inherit; font-weight: 600; margin: 0.3em 0"
_NOTE = "color: inherit; margin: 0.4em 0; max-width: 60em"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Table(Shown):
    """A table of text: `print` shows it, and notebooks do.

    Attributes:
        title: What stands above it.
        columns: A heading and its justification, "left" or "right", each.
        rows: The cells.
        notes: Sentences below it.
    """

    title: str
    columns: Sequence[tuple[str, Any]]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """The table as plain text."""
        if not self.columns:
            return "\n".join(map(visible_lines, (self.title, *self.notes)))
        return render(self.title, self.columns, self.rows, self.notes)

    def html(self) -> str:
        """The table as a piece of HTML that needs nothing else, in the colours of whatever page it stands on.

        Everything that is not markup is escaped; there are no scripts, and no links to anywhere.
        """
        aligned = [f"text-align: {justify}" for _, justify in self.columns]
        head = _tags("th", [heading for heading, _ in self.columns], _HEAD, aligned)
        body = "".join(
            f'<tr style="background: transparent">{_tags("td", row, _CELL, aligned)}</tr>' for row in self.rows
        )
        table = (
            f'<table style="{_TABLE}; {_DIGITS}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
            if head
            else ""
        )
        notes = "".join(f'<p style="{_NOTE}; white-space: pre-wrap">{escaped(note)}</p>' for note in self.notes)
        box = f'<div style="{_BOX}">{table}</div>' if table else ""
        return f'<div style="color: inherit"><p style="{_TITLE}">{escaped(self.title)}</p>{box}{notes}</div>'

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.html()


class Tabled(Shown):
    """A thing that shows itself as a table: as text by `str`, and in a notebook as HTML."""

    def _table(self) -> Table:
        raise NotImplementedError

    def __str__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()


def escaped(text: str) -> str:
    """Text of whatever kind as HTML that shows it."""
    return html.escape(visible_lines(text))


def image_html(png: bytes, caption: str) -> str:
    """An image in HTML, on white with a line around it, for a page of whatever colour."""
    data = base64.b64encode(png).decode()
    style = "max-width: 100%; height: auto; background: #fff; border: 1px solid #888"
    image = f'<img style="{style}" alt="relevance of {escaped(caption)}" src="data:image/png;base64,{data}">'
    return (
        '<figure style="display: inline-block; margin: 0.3em 0.8em 0.3em 0; vertical-align: top; max-width: 100%">'
        f'{image}<figcaption style="color: inherit">{escaped(caption)}</figcaption></figure>'
    )


def _tags(tag: str, cells: Sequence[str], style: str, aligned: Sequence[str]) -> str:
    return "".join(
        f'<{tag} style="{style}; {align}">{escaped(cell)}</{tag}>' for cell, align in zip(cells, aligned, strict=True)
    )


def plain_console(**options: Any) -> rich.console.Console:
    """A console that writes to memory, in notebooks, too: left to itself rich would show there what is to be a text."""
    return rich.console.Console(file=io.StringIO(), force_jupyter=False, **options)


def render(title: str, columns: Sequence[tuple[str, Any]], rows: Iterable[Sequence[str]], notes: Sequence[str]) -> str:
    """A table as plain text; each column is a heading and its justification."""
    table = rich.table.Table(title=Text(visible(title)), title_justify="left", box=rich.box.SIMPLE_HEAD)
    for heading, justify in columns:
        table.add_column(Text(visible(heading)), justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console = plain_console(width=400, color_system=None)
    console.print(table)
    text = "\n".join(line.rstrip() for line in console.file.getvalue().rstrip().splitlines())  # type: ignore[attr-defined]
    return "\n".join([text, *map(visible_lines, notes)])


def rules_table(title: str, rows: Sequence[Row], notes: Sequence[str]) -> Table:
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
    return Table(title, columns, cells, notes)
