"""Checks of the built pages, whichever program built them.

A page is broken by an unresolved reference, a dead link, a request that leaves the page, markup that assistive software
cannot follow, a script that the page's own policy does not name, or a verdict that differs from the evidence.  The
output is checked because the exit status of the programs does not tell.
"""

from __future__ import annotations

import base64
import hashlib
import html
import posixpath
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from universal_neurons.errors import UserError
from universal_neurons.ids import NeuronId
from universal_neurons.render.escaping import Html, html_text
from universal_neurons.render.html.tree import Element, tree_of
from universal_neurons.render.wording import WORDING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_LOADING = {"src", "srcset", "srcdoc", "poster", "data", "background", "action", "formaction", "ping", "manifest"}
_FORBIDDEN = {
    "iframe", "frame", "frameset", "object", "embed", "applet", "base", "form", "audio", "video", "foreignobject",
    "annotation-xml", "animate", "animatemotion", "animatetransform", "set",
}  # fmt: skip
# Sources with which a content security policy would allow a request, or a script that nobody listed.
_UNSAFE = re.compile(r"\*|'unsafe-[\w-]+'|(?:https?|wss?|blob|filesystem):.*")
_UNSAFE_IN_STYLE = {"'unsafe-inline'"}
_UNRESOLVED = re.compile(r"\?@[\w-]*|\?\?\?|@(?:fig|tbl|sec)-[\w-]+|\{#[\w-]+")
_CSS_REQUEST = re.compile(r"@import|url\(\s*['\"]?(?!#|data:)", re.IGNORECASE)
# Elements in which the report quotes evidence: a reference is never written there, but a claim may look like one.
_QUOTING = {"code", "pre", "table", "dl", "svg"}
QUOTED = "quoted"
UNRESOLVED = "unresolved reference"
# What has a verdict besides a claim, by the attribute that names it.
PARTS = ("reading", "case", "other")
SOURCE = "source"
# The page whose link targets are neurons, and the filters in links to its lists.
EXPLORER = "neurons.html"
LIST_FILTERS = {"model", "layer", "least", "above"}
_LABELS = {verdict.value: words.label for verdict, words in WORDING.items()}
_SIGNS = "".join(words.sign for words in WORDING.values())


class ReportBroken(UserError):
    """A built page fails a check; ``faults`` are "page:line: fault"."""

    def __init__(self, message: str, faults: Sequence[str] = ()) -> None:
        super().__init__("\n  ".join((message, *faults)))
        self.message = message
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Stated:
    """Statements of the evidence, besides the claims' verdicts, that the pages must contain.

    ``parts`` are the verdicts of readings and cases by attribute and name ("reading N1/test_x", "case N1/0"), ``pages``
    the claim to which each page belongs, ``sentences`` what a page must say word for word.  ``neurons`` are the sizes
    of the layers of every model that :data:`EXPLORER` shows on demand, so links to its neurons have no id on a page.
    ``names`` are the names of models, checkpoints and suite, which may look like a reference.  ``listed`` is what a
    reader must find on a page: the row of every claim, the label of every figure and table.
    """

    parts: Mapping[str, str] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)
    sentences: Mapping[str, Sequence[str]] = field(default_factory=dict)
    neurons: Mapping[str, Sequence[int]] = field(default_factory=dict)
    names: Sequence[str] = ()
    listed: Mapping[str, Sequence[str]] = field(default_factory=dict)


class CheckedPage:
    """A page: its ids, links, verdicts and texts, and its faults as "line: fault"."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.tree = tree_of(text)
        self.every = list(self.tree.walk())
        self.ids = Counter(one.attributes["id"] for one in self.every if "id" in one.attributes)
        self.links: dict[str, int] = {}
        self.faults = [f"{one.line}: {fault}" for one in self.every for fault in self._faults(one)]
        self.faults += _unresolved(self.tree, quoting=False)

    @classmethod
    def read(cls, path: Path) -> CheckedPage:
        """The page at ``path``."""
        return cls(path, path.read_text(encoding="utf-8"))

    @property
    def policy(self) -> str:
        """The content security policy."""
        metas = (one.attributes for one in self.every if one.tag == "meta")
        named = (one for one in metas if one.get("http-equiv", "").casefold() == "content-security-policy")
        return next((one.get("content", "") for one in named), "")

    @property
    def scripts(self) -> list[Element]:
        """The scripts, those inside drawings included."""
        return [one for one in self.every if one.tag == "script"]

    @property
    def verdicts(self) -> list[tuple[str, str]]:
        """The verdicts that are stated, after the claims."""
        return [(claim, verdict) for claim, verdict, _ in self.stated("claim")]

    @property
    def parts(self) -> list[tuple[str, str]]:
        """The verdicts that are stated, after readings, cases and other runs ("case N1/0")."""
        return [(f"{part} {name}", verdict) for part in PARTS for name, verdict, _ in self.stated(part)]

    def stated(self, part: str) -> list[tuple[str, str, int]]:
        """Name, verdict and line of every place that states the verdict on a ``part`` (``data-claim``)."""
        name = f"data-{part}"
        return [
            (one.attributes[name], one.attributes.get("data-verdict", ""), one.line)
            for one in self.every
            if name in one.attributes
        ]

    @property
    def said(self) -> str:
        """The text of the page, without scripts and styles."""
        return _said(self.tree)

    def _faults(self, element: Element) -> Iterator[str]:
        tag, given = element.tag, element.attributes
        if tag in _FORBIDDEN:
            yield f"element <{tag}> has no place in the report"
        if tag == "img" and not given.get("alt", "").strip():
            yield "image without alternative text"
        if tag == "svg" and given.get("aria-hidden") != "true" and not given.get("aria-label", "").strip():
            yield "drawing without alternative text"
        if tag == "meta" and given.get("http-equiv", "").casefold() == "refresh":
            yield "page that leaves by itself"
        if tag == "th" and given.get("scope") not in {"col", "row", "colgroup", "rowgroup"}:
            yield "table header without scope"
        if tag == "style" and _CSS_REQUEST.search(element.text):
            yield "style sheet makes a request"
        if "data-verdict" in given:
            words, label = element.text.strip().lstrip(_SIGNS).strip().casefold(), _LABELS.get(given["data-verdict"])
            if label is None or not words.startswith(label):
                yield f"a place for the verdict {given['data-verdict']!r} says {words[:60]!r}"
        for name, value in given.items():
            if name.startswith("on"):
                yield f"attribute {name} runs a script"
            elif name in _LOADING and not value.startswith("data:"):
                yield f"{name} of <{tag}> makes a request or is missing: {value}"
            elif name == "style" and _CSS_REQUEST.search(value):
                yield f"style of <{tag}> makes a request"
            elif name in {"href", "xlink:href"}:
                yield from self._link(element, value)

    def _link(self, element: Element, value: str) -> Iterator[str]:
        if value.startswith("#") or (element.tag == "a" and urlsplit(value).scheme in {"", "http", "https", "mailto"}):
            self.links.setdefault(value, element.line)
        elif element.tag == "a" or not value.startswith("data:"):
            yield f"href of <{element.tag}> is not allowed: {value}"


def _said(element: Element) -> str:
    parts = (child if isinstance(child, str) else _said(child) for child in element.children)
    return "" if element.tag in {"script", "style"} else "".join(parts)


def _unresolved(element: Element, *, quoting: bool) -> Iterator[str]:
    """References in the text that nothing resolved, except where evidence is quoted."""
    quoting = quoting or element.tag in _QUOTING or QUOTED in element.classes
    for child in element.children:
        if isinstance(child, Element):
            yield from _unresolved(child, quoting=quoting)
        elif not quoting and element.tag not in {"script", "style"}:
            yield from (f"{element.line}: {UNRESOLVED}: {found[0]}" for found in _UNRESOLVED.finditer(child))


def check_pages(
    folder: Path,
    verdicts: Mapping[str, str],
    required: Mapping[str, Sequence[str]] | None = None,
    *,
    stated: Stated | None = None,
) -> None:
    """Check every page in ``folder``; raises ReportBroken naming each fault with its file.

    ``verdicts`` are the evidence's, by claim: every page that shows one must show that one, and each must be shown.
    ``stated`` is what else the evidence says: of readings and cases, on the page of each claim, in sentences.
    ``required`` are the ids that a page must have, by file name: figures and tables without which it is not finished.
    """
    paths = [path for path in sorted(folder.rglob("*.html")) if path.relative_to(folder).parts[0] != SOURCE]
    pages = {path.relative_to(folder).as_posix(): CheckedPage.read(path) for path in paths}
    if "index.html" not in pages:
        raise ReportBroken(f"{folder}: there is no index.html")
    said = stated or Stated()
    faults = [
        f"{name}:{fault}"
        for name, page in pages.items()
        for fault in (
            *(fault for fault in page.faults if not _is_a_name(fault, said.names)),
            *_repeated_ids(page),
            *_dead_links(name, page, pages, said.neurons),
            *_unlisted_scripts(page),
        )
    ]
    faults += _wrong_verdicts(pages, verdicts)
    faults += _wrong_statements(pages, said)
    faults += _missing(pages, required or {})
    for page, words in said.listed.items():
        name = f"{page}.html"
        faults += _unlisted(name, pages[name].said if name in pages else "", words)
    if faults:
        raise ReportBroken(f"the report in {folder} is broken:", tuple(dict.fromkeys(faults)))


def check_print(pdf: Path, listed: Mapping[str, Sequence[str]]) -> None:
    """Check that the pages of ``pdf`` show all that they list; raises ReportBroken.

    Of a block that may not break, Typst sets the rows below the end of a page over each other, and ends well.
    """
    import pypdf

    text = "".join(map(_visible_text, pypdf.PdfReader(pdf).pages))
    # Other scripts are read out of a PDF in another order than they were written in.
    plain = [words for part in listed.values() for words in part if words.isascii()]
    faults = tuple(_unlisted(pdf.name, text, plain))
    if faults:
        raise ReportBroken(f"{pdf} is broken:", faults)


def _visible_text(page: Any) -> str:
    """The text of a page of a PDF without what is printed over other text."""
    shown: dict[tuple[float, float], str] = {}
    parts: list[str] = []

    def take(text: str, outer: Sequence[float], inner: Sequence[float], *_: object) -> None:
        x = inner[4] * outer[0] + inner[5] * outer[2] + outer[4]
        y = inner[4] * outer[1] + inner[5] * outer[3] + outer[5]
        if not text.strip() or shown.setdefault((round(x, 2), round(y, 2)), text) is text:
            parts.append(text)

    page.extract_text(visitor_text=take)
    return "".join(parts)


def _unlisted(name: str, text: str, words: Sequence[str]) -> Iterator[str]:
    """A fault for each of ``words`` that is not in ``text``; letters and digits alone, as lines break anywhere."""
    said = _letters(text)
    yield from (f"{name}: does not list: {one}" for one in words if _letters(_as_read(one)) not in said)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.replace("\u00ad", "")))


def _is_a_name(fault: str, names: Sequence[str]) -> bool:
    """Return whether an apparent unresolved reference is part of a name."""
    _, mark, found = fault.partition(f"{UNRESOLVED}: ")
    return bool(mark) and any(found in name for name in names)


def _repeated_ids(page: CheckedPage) -> Iterator[str]:
    for name, number in page.ids.items():
        if number > 1:
            line = max(one.line for one in page.every if one.attributes.get("id") == name)
            yield f"{line}: id {name!r} occurs {number} times"


def _dead_links(
    name: str, page: CheckedPage, pages: Mapping[str, CheckedPage], neurons: Mapping[str, Sequence[int]]
) -> Iterator[str]:
    for link, line in page.links.items():
        target = urlsplit(link)
        if target.scheme:
            continue
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(target.path)))
        other = pages.get(path) if target.path else page
        place = target.fragment
        if other is None:
            if not (page.path.parent / unquote(target.path)).is_file():
                yield f"{line}: link to a file that is not there: {link}"
        elif place and unquote(place) not in other.ids and not (path == EXPLORER and is_shown(place, neurons)):
            yield f"{line}: link to a place that is not there: {link}"


def is_shown(place: str, neurons: Mapping[str, Sequence[int]]) -> bool:
    """Return whether the explorer can show ``place``: a neuron ("a:L2.17") or a list ("?model=a&layer=1").

    ``place`` is what follows the # of an address, ``neurons`` the sizes of the layers of every model.

    >>> [is_shown(place, {"a": (5, 5)}) for place in ("a:L1.4", "a:L1.5", "a:L2.0", "b:L1.4", "?model=a&layer=1")]
    [True, False, False, False, True]
    """
    if place.startswith("?"):
        asked = dict(parse_qsl(place[1:], keep_blank_values=True))
        sizes = neurons.get(asked.get("model", ""), ())
        layer = asked.get("layer", "0")
        return asked.keys() <= LIST_FILTERS and layer.isdecimal() and int(layer) < len(sizes)
    model, _, name = unquote(place).rpartition(":")
    try:
        neuron = NeuronId.parse(name)
    except ValueError:
        return False
    sizes = neurons.get(model, ())
    return neuron.layer < len(sizes) and neuron.index < sizes[neuron.layer]


def _unlisted_scripts(page: CheckedPage) -> Iterator[str]:
    policy = page.policy
    if "default-src 'none'" not in policy:
        yield "1: no content security policy"
    for directive in policy.split(";"):
        name, *sources = directive.split() or [""]
        allowed = _UNSAFE_IN_STYLE if name == "style-src" else set[str]()
        for source in sources:
            if _UNSAFE.fullmatch(source) and source not in allowed:
                yield f"1: the policy's {name} allows {source}"
    for script in page.scripts:
        if script_hash(script.text) not in policy:
            yield f"{script.line}: script that the page's policy does not name: {script.text[:40]!r}"


def content_policy(script: str, *, beside: str = "") -> Html:
    """The policy under which a page makes no request and runs no script but ``script`` and the sources ``beside``."""
    return Html(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"script-src {script_hash(script)}{beside}"
    )


def script_hash(script: str) -> str:
    """The source expression by which a content security policy allows exactly this script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _wrong_verdicts(pages: Mapping[str, CheckedPage], verdicts: Mapping[str, str]) -> Iterator[str]:
    read = {_as_read(claim): verdict for claim, verdict in verdicts.items()}
    yield from _misstated(pages, "claim", read)
    for missing in _unshown(pages, list(verdicts)):
        yield f"claim {missing} is in the evidence and on no page"


def _misstated(pages: Mapping[str, CheckedPage], part: str, read: Mapping[str, str]) -> Iterator[str]:
    for name, page in pages.items():
        for whose, verdict, line in page.stated(part):
            if read.get(whose) != verdict:
                said = f"{part} {whose} is shown as {verdict!r}, the evidence says {read.get(whose)!r}"
                yield f"{name}:{line}: {said}"


def _missing(pages: Mapping[str, CheckedPage], required: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, ids in required.items():
        there = pages[name].ids if name in pages else Counter[str]()
        yield from (f"{name}: the figure or table {wanted} is missing" for wanted in ids if wanted not in there)


def _wrong_statements(pages: Mapping[str, CheckedPage], stated: Stated) -> Iterator[str]:
    named = [(*name.partition(" ")[::2], verdict) for name, verdict in stated.parts.items()]
    for part in PARTS:
        yield from _misstated(pages, part, {_as_read(whose): verdict for kind, whose, verdict in named if kind == part})
    for name, claim in stated.pages.items():
        if name not in pages:
            yield f"claim {claim} has no page {name}"
        elif _as_read(claim) not in (shown for shown, _ in pages[name].verdicts):
            yield f"{name}: the page of claim {claim} does not state its verdict"
    for name, sentences in stated.sentences.items():
        said = " ".join(pages[name].said.split()) if name in pages else ""
        yield from (f"{name}: does not say: {s}" for s in sentences if " ".join(_as_read(s).split()) not in said)


def _as_read(text: str) -> str:
    """``text`` as it reads on the page."""
    return html.unescape(html_text(text))


def _unshown(pages: Mapping[str, CheckedPage], claims: Sequence[str]) -> list[str]:
    shown = {claim for page in pages.values() for claim, _ in page.verdicts}
    return [claim for claim in claims if _as_read(claim) not in shown]
