"""Conversion of a page to Typst: one function of ``report/pdf.typ`` per kind of element.

Interactive parts of a page (menus, filters, folded details) are left out, and every drawing is printed once.  An
element without a rule stops the build, so nothing is lost unnoticed.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeGuard
from urllib.parse import unquote, urlsplit

from universal_neurons.errors import UserError
from universal_neurons.render.escaping import Typst, typst_string, typst_text
from universal_neurons.render.html.tree import Element

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from universal_neurons.render.html.tree import PageContent

DRAWINGS = "drawings"
REFERENCES = "references"
# An entry of the references has this in its id, on every page that cites it.
CITED = "ref-"
# Which artifacts a figure rests on: that list is named once, not below each figure.
EVERY_FIGURE = "data/figures.csv"

_SCREEN_ONLY = frozenset(
    {"button", "details", "input", "label", "nav", "noscript", "script", "select", "style", "template"}
)
# ``title`` is the heading of the chapter, ``narrow`` the drawing for telephones, ``unseen`` a word for screen readers
# beside a sign that is printed.
_ELSEWHERE = frozenset({"crumbs", "filters", "narrow", "title", "turn", "unseen"})
_COLLECTED = frozenset({"refs", REFERENCES})

_INLINE = frozenset(
    {
        "a", "abbr", "b", "br", "cite", "code", "em", "i", "kbd", "math", "q", "small", "span", "strong", "sub", "sup",
        "svg", "time", "var", "wbr",
    }
)  # fmt: skip
# What a class of a ``span``, a ``p`` or a ``div`` is called in ``report/pdf.typ``; other classes change nothing.
_SPANS: Mapping[str, str] = {
    "sign": "sign", "interval": "interval", "value": "whole", "origin": "origin", "statement": "statement",
    "tally": "origin", "digest": "digest", "none": "quiet", "judged": "quiet",
}  # fmt: skip
_PARAGRAPHS: Mapping[str, str] = {"source": "aside", "absent": "aside", "quiet": "aside"}
_DIVISIONS: Mapping[str, str] = {"lead": "lead", "note": "note"}

_VARIABLE = re.compile(r"var\(--[\w-]+,\s*([^)]+)\)")
_ROOT = re.compile(r"<svg\b")
_TAG = re.compile(r"<[^>]+>")
# Quarto writes every name in small letters, which a browser forgives in a page and nothing forgives in a picture.
_MIXED = {name.casefold(): name for name in ("viewBox", "clipPath", "clipPathUnits", "preserveAspectRatio")}
_NAME = re.compile(rf"(?<=[<\s/])(?:{'|'.join(_MIXED)})(?=[\s=>])")
_AUTOMATIC = 32
_WIDEST = 72


class PageUnprintable(UserError):
    """A page has something that the PDF has no rule for."""


@dataclass(frozen=True, slots=True)
class Typesetting:
    """The data shared by the pages of a PDF: formulas in Typst by TeX source, link targets.

    ``drawings`` receives the pictures of the pages as they are set: SVG by file name.
    """

    formulas: Mapping[str, Typst]
    anchors: frozenset[str]
    drawings: dict[str, str] = field(default_factory=dict)

    def set_page(self, page: PageContent) -> Typst:
        """The content of ``page`` but for its title."""
        return _PageSetter(self, page).blocks(page.main.children)


def is_printed(element: Element) -> bool:
    """Return whether an element is printed where it stands."""
    given = element.attributes
    return not (
        element.tag in _SCREEN_ONLY
        or element.classes & _ELSEWHERE
        or given.get("id") in _COLLECTED
        or "hidden" in given
    )


def anchors_of(page: PageContent) -> Iterator[str]:
    """The places of ``page`` that a link in the PDF can lead to: the page itself, and what is printed of it."""
    yield page.name
    yield from (f"{page.name}#{one.attributes['id']}" for one in _printed(page.main) if "id" in one.attributes)


def _printed(element: Element) -> Iterator[Element]:
    for child in filter(is_printed, element.elements):
        yield child
        yield from _printed(child)


def references_of(page: PageContent) -> dict[str, Element]:
    """The entries of the page's list of references, by id."""
    lists = [one for one in page.main.walk() if one.attributes.get("id") == "refs"]
    entries = (entry for one in lists for entry in one.elements)
    return {entry.attributes["id"]: entry for entry in entries if entry.attributes.get("id", "").startswith(CITED)}


def formulas_of(page: PageContent) -> Iterator[str]:
    """The formulas of the page as TeX."""
    yield from (_tex(one) for one in page.main.walk() if one.tag == "math")


def _tex(formula: Element) -> str:
    source = formula.first("annotation")
    return "" if source is None else source.text.strip()


def printable_svg(markup: str) -> str:
    """An inline drawing of a page as a picture of its own: in the colours of the light theme, in the PDF's font."""
    plain = _TAG.sub(lambda tag: _NAME.sub(lambda name: _MIXED[name[0]], tag[0]), markup)
    plain = _VARIABLE.sub(lambda found: found[1].strip(), plain)
    names = "" if "xmlns=" in plain.partition(">")[0] else ' xmlns="http://www.w3.org/2000/svg"'
    return _ROOT.sub(f'<svg font-family="Inter"{names}', plain, count=1)


def anchor(name: str) -> Typst:
    """A place that a link can lead to."""
    return Typst(f"#anchor({typst_string(name)})")


def call(function: str, body: str, *arguments: str) -> Typst:
    """A call of a function of ``report/pdf.typ`` on content: ``#note[...]``."""
    given = f"({', '.join(arguments)})" if arguments else ""
    return Typst(f"#{function}{given}[{body}]")


class _PageSetter:
    """A page in conversion."""

    def __init__(self, setting: Typesetting, page: PageContent) -> None:
        self.setting, self.page = setting, page

    # --- blocks ---

    def blocks(self, nodes: Iterable[Element | str]) -> Typst:
        """Content in its order, each block and each run of inline content a paragraph."""
        parts: list[str] = []
        run: list[Element | str] = []
        for node in nodes:
            if isinstance(node, str) or node.tag in _INLINE:
                run.append(node)
            elif is_printed(node):
                parts += [self.inline(run).strip(), self.block(node)]
                run = []
        parts.append(self.inline(run).strip())
        return Typst("\n\n".join(filter(None, parts)))

    def block(self, element: Element) -> Typst:
        """A block; raises PageUnprintable for an element without a rule."""
        rule = _BLOCKS.get(element.tag)
        if rule is None:
            raise self._without_rule(element)
        place = "" if element.tag == "figure" else self._anchor(element)
        return Typst(f"{place}{rule(self, element)}")

    def _without_rule(self, element: Element) -> PageUnprintable:
        css = f' class="{element.attributes["class"]}"' if "class" in element.attributes else ""
        return PageUnprintable(
            f"{self.page.name}: the PDF has no rule for <{element.tag}{css}>; add one to render/pdf/markup.py"
        )

    def _anchor(self, element: Element) -> str:
        name = f"{self.page.name}#{element.attributes['id']}" if "id" in element.attributes else ""
        return anchor(name) if name in self.setting.anchors else ""

    def _contents(self, element: Element) -> Typst:
        return self.blocks(element.children)

    def _paragraph(self, element: Element) -> Typst:
        body = self.inline(element.children).strip()
        return call(_named(element, _PARAGRAPHS) or "prose", body) if body else Typst("")

    def _division(self, element: Element) -> Typst:
        if "plot" in element.classes:
            return self._plot(element)
        if "multiples" in element.classes:
            return self._multiples(element)
        function = _named(element, _DIVISIONS)
        body = self.blocks(element.children)
        return call(function, body) if function else body

    def _heading(self, element: Element) -> Typst:
        return call("section", self.inline(element.children).strip(), element.tag[1])

    def _figure(self, element: Element, *, half: bool = False) -> Typst:
        caption = element.first("figcaption")
        kind = "tbl" if "tbl" in element.classes else "fig"
        words = "" if caption is None else self._caption(caption)
        # The place goes with the figure, which may stand on another page than the text around it.
        body = self._anchor(element) + self.blocks(child for child in element.children if child is not caption)
        given = [f'"{kind}"', f"caption: [{words}]", f"source: [{self._source(element)}]"]
        return call("plate", body, *given, *(["half: true"] if half else []))

    def _caption(self, caption: Element) -> str:
        """The text of a caption, inside or outside a paragraph."""
        return self.inline(
            piece for child in caption.children for piece in (child.children if _is_paragraph(child) else [child])
        ).strip()

    def _source(self, figure: Element) -> str:
        """The location of a figure's data: the only printed line of its folded details."""
        folded = figure.first("details")
        source = None if folded is None else folded.first("p", "source")
        if source is None:
            return ""
        files = [one.attributes["href"] for one in source.walk() if one.tag == "a" and "download" in one.attributes]
        code = source.first("code")
        made = "none" if code is None else typst_string(code.text)
        return f"#data({', '.join([made, *(typst_string(file) for file in files if file != EVERY_FIGURE)])})"

    def _plot(self, element: Element) -> Typst:
        return Typst("\n".join(self._picture(one) for one in element.elements if is_printed(one)))

    def _picture(self, drawing: Element) -> Typst:
        drawings = self.setting.drawings
        stem = self.page.name.removesuffix(".html").replace("/", "-")
        name = f"{stem}-{sum(other.startswith(f'{stem}-') for other in drawings) + 1}.svg"
        drawings[name] = printable_svg(drawing.markup)
        alt = typst_string(drawing.attributes.get("aria-label", ""))
        return Typst(f'#picture("{DRAWINGS}/{name}", alt: {alt})')

    def _multiples(self, element: Element) -> Typst:
        key = element.first("ul", "key")
        figures = (self._figure(one, half=True) for one in element.elements if one.tag == "figure")
        series = self._key(key) if key is not None else ""
        return Typst(f"#multiples([{series}],\n" + "".join(f"[{one}],\n" for one in figures) + ")")

    def _key(self, element: Element) -> Typst:
        return call("key", "".join(call("series", self.inline(one.children).strip()) for one in element.elements))

    def _list(self, element: Element) -> Typst:
        if "key" in element.classes:
            return self._key(element)
        items = ", ".join(self._item(one) for one in element.elements if one.tag == "li")
        return Typst(f"#{'enum' if element.tag == 'ol' else 'list'}({items})")

    def _item(self, element: Element) -> str:
        return f"[{self._anchor(element)}{self.blocks(element.children)}]"

    def _definitions(self, element: Element) -> Typst:
        pairs = (self._item(one) for one in element.elements if one.tag in {"dt", "dd"})
        return Typst(f"#facts({', '.join(pairs)})")

    def _listing(self, element: Element) -> Typst:
        return Typst(f"#listing({typst_string(element.text.strip(chr(10)))})")

    def _quotation(self, element: Element) -> Typst:
        return Typst(f"#quote(block: true)[{self.blocks(element.children)}]")

    # --- tables ---

    def _table(self, element: Element) -> Typst:
        rows = [one for one in element.walk() if one.tag == "tr"]
        cells = [[cell for cell in row.elements if cell.tag in {"td", "th"}] for row in rows]
        head, caption = element.first("thead"), element.first("caption")
        heading = 0 if head is None else sum(row in head.elements for row in rows)
        words = "none" if caption is None else f"[{self.inline(caption.children).strip()}]"
        kinds = "".join(f'"{css}", ' for css in sorted(element.classes))
        sides = "".join("right, " if "number" in cell.classes else "left, " for cell in (cells[0] if cells else ()))
        body = "".join(
            f"    ({typst_string(' '.join(sorted(row.classes)))}, {self._row(line)}),\n"
            for row, line in zip(rows[heading:], cells[heading:], strict=True)
        )
        return Typst(
            f"#sheet(kinds: ({kinds}), caption: {words}, columns: ({''.join(f'{one}, ' for one in widths(cells))}), "
            f"align: ({sides}),\n  head: ({''.join(map(self._row, cells[:heading]))}),\n  rows: (\n{body}  ),\n)"
        )

    def _row(self, cells: Sequence[Element]) -> str:
        return "".join(f"{self._cell(cell)}, " for cell in cells)

    def _cell(self, cell: Element) -> str:
        if "number" in cell.classes:
            cell = replace(cell, children=[_on_its_own_line(child) for child in cell.children])
        body = self._item(cell)
        if cell.attributes.get("scope") == "row":
            body = f"[#rowname{body}]"
        spans = [f"{name}: {_span_of(cell, name)}" for name in ("colspan", "rowspan") if name in cell.attributes]
        return f"table.cell({', '.join(spans)}){body}" if spans else body

    # --- inline ---

    def inline(self, nodes: Iterable[Element | str]) -> Typst:
        """Text and inline content, spaces as HTML has them."""
        return Typst("".join(typst_text(node) if isinstance(node, str) else self._inside(node) for node in nodes))

    def _inside(self, element: Element) -> Typst:
        if not is_printed(element):
            return Typst("")
        rule = _INLINES.get(element.tag)
        if rule is None:
            raise self._without_rule(element)
        return Typst(f"{self._anchor(element)}{rule(self, element)}")

    def _span(self, element: Element) -> Typst:
        body = self.inline(element.children)
        if "verdict" in element.classes:
            verdict = "same" if "same" in element.classes else _verdict(element)
            return call("verdict", body, typst_string(verdict))
        function = _named(element, _SPANS)
        return call(function, body) if function else body

    def _link(self, element: Element) -> Typst:
        """A link to the world or a place in the PDF; one to a file names the file, one to another page is its text."""
        body, target = self.inline(element.children), element.attributes.get("href", "")
        if urlsplit(target).scheme in {"http", "https", "mailto"}:
            return call("outward", body, typst_string(target))
        path, fragment = self._path(target), unquote(urlsplit(target).fragment)
        place = f"{REFERENCES}#{fragment}" if fragment.startswith(CITED) else f"{path}#{fragment}" if fragment else path
        if place in self.setting.anchors:
            return call("to", body, typst_string(place))
        if path.endswith(".html"):
            return body
        return call("mono", body) if element.text.strip() == path else call("beside", body, typst_string(path))

    def _path(self, target: str) -> str:
        """The file in the report that a link on this page leads to."""
        path = unquote(urlsplit(target).path)
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.page.name), path)) if path else self.page.name

    def _formula(self, element: Element) -> Typst:
        tex = _tex(element)
        if tex not in self.setting.formulas:
            raise PageUnprintable(
                f"{self.page.name}: expected a formula with its TeX source, got {element.text[:60]!r}"
            )
        shown = "true" if element.attributes.get("display") == "block" else "false"
        return Typst(f"#formula({typst_string(tex)}, {shown}, {self.setting.formulas[tex]})")

    def _drawing(self, element: Element) -> Typst:
        given = element.attributes
        alt = "none" if given.get("aria-hidden") == "true" else typst_string(given.get("aria-label", ""))
        function = "strip" if "strip" in element.classes else "glyph"
        width = given.get("width", "") or (given.get("viewbox", "").split() or ["0", "0", "0"])[2]
        return Typst(f"#{function}({typst_string(printable_svg(element.markup))}, {float(width):g}, alt: {alt})")


def _on_its_own_line(child: Element | str) -> Element | str:
    """Put an interval on a line below its number."""
    if isinstance(child, Element) and "interval" in child.classes:
        return replace(child, attributes={"class": "origin"})
    return child


def _is_paragraph(node: Element | str) -> TypeGuard[Element]:
    return isinstance(node, Element) and node.tag == "p"


def _verdict(element: Element) -> str:
    return element.attributes.get("data-verdict") or element.attributes.get("data-item", "")


def _named(element: Element, functions: Mapping[str, str]) -> str:
    return next((functions[css] for css in element.attributes.get("class", "").split() if css in functions), "")


def _styled(function: str) -> Callable[[_PageSetter, Element], Typst]:
    return lambda setter, element: call(function, setter.inline(element.children))


def _plain(setter: _PageSetter, element: Element) -> Typst:
    return setter.inline(element.children)


_BLOCKS: Mapping[str, Callable[[_PageSetter, Element], Typst]] = {
    **dict.fromkeys(("aside", "footer", "header", "hgroup", "main", "section"), _PageSetter._contents),
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), _PageSetter._heading),
    **dict.fromkeys(("ul", "ol"), _PageSetter._list),
    "blockquote": _PageSetter._quotation,
    "div": _PageSetter._division,
    "dl": _PageSetter._definitions,
    "figure": _PageSetter._figure,
    "hr": lambda *_: Typst("#line(length: 100%)"),
    "p": _PageSetter._paragraph,
    "pre": _PageSetter._listing,
    "table": _PageSetter._table,
}
_INLINES: Mapping[str, Callable[[_PageSetter, Element], Typst]] = {
    **dict.fromkeys(("abbr", "q", "small", "time"), _plain),
    **dict.fromkeys(("b", "strong"), _styled("strong")),
    **dict.fromkeys(("cite", "em", "i", "var"), _styled("emph")),
    **dict.fromkeys(("code", "kbd"), _styled("mono")),
    "a": _PageSetter._link,
    "br": lambda *_: Typst("#linebreak()"),
    "math": _PageSetter._formula,
    "span": _PageSetter._span,
    "sub": _styled("sub"),
    "sup": _styled("super"),
    "svg": _PageSetter._drawing,
    "wbr": lambda *_: Typst(""),
}


def widths(rows: Sequence[Sequence[Element]]) -> list[str]:
    """The widths of a table's columns: as wide as their words where these are few, else shares of what is left.

    The share grows with the longest cell, but a column of paragraphs does not crowd out the others.
    """
    columns: dict[int, int] = {}
    for row in rows:
        place = 0
        for cell in row:
            span = _span_of(cell, "colspan")
            for one in range(place, place + span):
                columns[one] = max(columns.get(one, 0), _longest_line(cell) // span)
            place += span
    return ["auto" if longest <= _AUTOMATIC else f"{min(longest, _WIDEST)}fr" for _, longest in sorted(columns.items())]


def _span_of(cell: Element, name: str) -> int:
    given = cell.attributes.get(name, "")
    return int(given) if given.isdecimal() else 1


def _longest_line(cell: Element) -> int:
    """The length of the longest line of a cell; some spans form lines of their own."""
    own = "".join(
        child if isinstance(child, str) else child.text
        for child in cell.children
        if isinstance(child, str) or (is_printed(child) and _named(child, _SPANS) not in {"origin", "statement"})
    )
    lines = [own, *(child.text for child in cell.elements if is_printed(child))]
    return max(len(" ".join(line.split())) for line in lines)
