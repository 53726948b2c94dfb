"""Text of strangers, such as names in files: it is shown, and does nothing to a terminal, a table or a figure."""

from __future__ import annotations


def visible(text: str) -> str:
    """Text in one line, without what would move or colour the terminal instead of being seen.

    Example:
        >>> visible("red\\x1b[31m")
        'red\\\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def visible_lines(text: str) -> str:
    """The same for text in several lines, which stay lines."""
    return "\n".join(map(visible, text.split("\n")))


def in_figure(text: str) -> str:
    """The same for matplotlib, which would take what is between dollars for a formula."""
    return visible_lines(text).replace("$", r"\$")


def counted(count: int, noun: str) -> str:
    """A number of things, of which there may be one.

    Example:
        >>> counted(1, "operation"), counted(3, "operation")
        ('1 operation', '3 operations')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"
