"""A built page as a tree of elements: what is checked, and the input of the PDF.

The content of a page is everything inside its ``main``; drawings are also kept as markup.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import accumulate
from typing import TYPE_CHECKING

from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_VOID = frozenset({"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})


class PageUnusable(UserError):
    """A built page has no content that could be set."""


@dataclass(slots=True)
class Element:
    """An element: its tag, attributes and content, a drawing's (``svg``) ``markup``, the line on which it begins."""

    tag: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)
    markup: str = ""
    line: int = 0

    @property
    def classes(self) -> frozenset[str]:
        """The classes of the element."""
        return frozenset(self.attributes.get("class", "").split())

    @property
    def elements(self) -> list[Element]:
        """The children that are elements."""
        return [child for child in self.children if isinstance(child, Element)]

    @property
    def text(self) -> str:
        """All text inside, spaces as in the source."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def walk(self) -> Iterator[Element]:
        """The element and everything inside it, in the order of the page."""
        yield self
        for child in self.elements:
            yield from child.walk()

    def changed(self, change: Callable[[str], str]) -> Element:
        """A copy of the element with ``change`` applied to every text inside, including drawings."""
        children = [change(child) if isinstance(child, str) else child.changed(change) for child in self.children]
        return Element(self.tag, self.attributes, children, change(self.markup), self.line)

    def first(self, tag: str, css: str = "") -> Element | None:
        """The first element inside with this tag, and this class if one is given."""
        found = (one for one in self.walk() if one.tag == tag and one is not self)
        return next((one for one in found if not css or css in one.classes), None)


@dataclass(frozen=True, slots=True)
class PageContent:
    """A page: its file name in the report, its name in the menu, and its content."""

    name: str
    called: str
    main: Element


def read_page(folder: Path, name: str) -> PageContent:
    """The page ``name`` (``claims/n1.html``) of the report in ``folder``; raises PageUnusable if nothing is on it."""
    tree = tree_of((folder / name).read_text(encoding="utf-8"))
    main = tree.first("main")
    if main is None:
        raise PageUnusable(f"{folder / name}: expected a page with an element <main>, got none")
    here = next((one for one in tree.walk() if one.attributes.get("aria-current") == "page"), None)
    return PageContent(name, "" if here is None else " ".join(here.text.split()), main)


def tree_of(text: str) -> Element:
    """The HTML of ``text`` under one element without a tag."""
    builder = _Builder(text)
    builder.feed(text)
    builder.close()
    return builder.root


class _Builder(HTMLParser):
    """Builds the tree; the markup of a drawing is copied, because the parser writes its names in small letters."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("")
        self._text = text
        # As the parser counts: a line ends with a line feed and with nothing else.
        self._lines = list(accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
        self._open = [self.root]
        self._begins: list[int] = [0]

    def _here(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, line=self.getpos()[0])
        self._open[-1].children.append(element)
        if tag not in _VOID:
            self._open.append(element)
            self._begins.append(self._here())

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open[-1].tag == tag or tag in (element.tag for element in self._open[1:]):
            closed, begin = self._open.pop(), self._begins.pop()
            if closed.tag == "svg":
                closed.markup = self._text[begin : self._text.index(">", self._here()) + 1]
            if closed.tag == tag:
                break

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)
