"""Pages of HTML, read without a browser."""

from __future__ import annotations

import html.parser
import re

#: Elements that have no end.
VOID = {"meta", "link", "img", "br", "wbr", "input", "hr"}


class Page(html.parser.HTMLParser):
    """A page, in parts that can be asked about.

    Args:
        text: The page. What is not closed in its order is an error.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes <{self._open[-1]}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._open[-1] if self._open else "", data))

    def of(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        """What can be read on it."""
        shown = [text for tag, text in self.texts if tag not in ("script", "style")]
        return re.sub(r"\s+", " ", " ".join(shown))

    @property
    def addresses(self) -> list[str]:
        """Everything that a browser would ask for."""
        asked = [attributes[name] for _, attributes in self.elements for name in ("src", "href", "data", "action")
                 if name in attributes]  # fmt: skip
        styles = [text for tag, text in self.texts if tag == "style"]
        styles += [attributes["style"] for _, attributes in self.elements if "style" in attributes]
        for style in styles:
            asked += re.findall(r"url\(([^)]*)\)", style) + re.findall(r"@import\s+(\S+)", style)
        return asked
