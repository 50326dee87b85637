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
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from universal_neurons.errors import UserError
from universal_neurons.ids import NeuronId
from universal_neurons.render.escaping import html_text
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
_UNRESOLVED = re.compile(r"\?@[\w-]*|\?\?\?|@(?:fig|tbl|sec)-[\w-]+")
_CSS_REQUEST = re.compile(r"@import|url\(\s*['\"]?(?!#|data:)", re.IGNORECASE)
_VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
# Elements in which the report quotes evidence: a reference is never written there, but a claim may look like one.
_QUOTING = {"code", "pre", "table", "dl", "svg"}
QUOTED = "quoted"
UNRESOLVED = "unresolved reference"
# What has a verdict besides a claim, by the attribute that names it.
PARTS = ("reading", "case", "other")
SOURCE = "source"
# The page whose places are neurons, and what a link to a list of them may ask for.
EXPLORER = "neurons.html"
ASKED = {"model", "layer", "least", "above"}
_LABELS = {verdict.value: words.label for verdict, words in WORDING.items()}
_SIGNS = "".join(words.sign for words in WORDING.values())


class ReportBroken(UserError):
    """A built page is not what a page of the report must be; ``faults`` are "page:line: what is wrong"."""

    def __init__(self, message: str, faults: Sequence[str] = ()) -> None:
        super().__init__("\n  ".join((message, *faults)))
        self.message = message
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Stated:
    """What the evidence says beyond the verdicts of claims, and where it must be said.

    ``parts`` are the verdicts of readings and cases by attribute and name ("reading N1/test_x", "case N1/0"), ``pages``
    the claim to which each page belongs, ``sentences`` what a page must say word for word.  ``neurons`` are the sizes
    of the layers of every model that :data:`EXPLORER` shows on demand: its places come about in the reader's browser.
    ``names`` are what models, checkpoints and suite are called, which may look like a reference wherever they stand.
    """

    parts: Mapping[str, str] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)
    sentences: Mapping[str, Sequence[str]] = field(default_factory=dict)
    neurons: Mapping[str, Sequence[int]] = field(default_factory=dict)
    names: Sequence[str] = ()


@dataclass
class _Open:
    """An element that is not closed yet; ``text`` is collected where it states a verdict."""

    tag: str
    quoting: bool
    verdict: str | None = None
    text: str = ""


@dataclass
class CheckedPage(HTMLParser):
    """One parsed page: ids, links and what is wrong with it, as "line: fault"."""

    path: Path
    ids: Counter[str] = field(default_factory=Counter)
    links: list[str] = field(default_factory=list)
    verdicts: list[tuple[str, str]] = field(default_factory=list)
    parts: list[tuple[str, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    elements: Counter[str] = field(default_factory=Counter)
    attributes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    policy: str = ""
    scripts: list[str] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    _open: list[_Open] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    @classmethod
    def read(cls, path: Path) -> CheckedPage:
        """The page at ``path``."""
        page = cls(path)
        page.feed(path.read_text(encoding="utf-8"))
        page.close()
        return page

    def at(self, fault: str, what: str = "") -> str:
        """``fault`` after the line where ``what`` first stands, or the present one where it stands nowhere."""
        return f"{self.lines.get(what, self.getpos()[0])}: {fault}"

    def _note(self, what: str) -> None:
        self.lines.setdefault(what, self.getpos()[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the element brings and what is wrong with it."""
        given = {name: value or "" for name, value in attrs}
        self.elements[tag] += 1
        self.attributes.update(list(given))
        if tag not in _VOID:
            quoting = tag in _QUOTING or QUOTED in given.get("class", "").split()
            self._open.append(_Open(tag, quoting, given.get("data-verdict")))
        if tag == "script":
            self._note(f"script {len(self.scripts)}")
            self.scripts.append("")
        if "id" in given:
            self.ids[given["id"]] += 1
            self.lines[f"id {given['id']}"] = self.getpos()[0]
        if tag == "meta" and given.get("http-equiv", "").casefold() == "content-security-policy":
            self.policy = given.get("content", "")
            self._note("policy")
        if "data-claim" in given:
            self.verdicts.append((given["data-claim"], given.get("data-verdict", "")))
            self._note(f"verdict {self.verdicts[-1]}")
        parts = [
            (f"{part} {given[f'data-{part}']}", given.get("data-verdict", ""))
            for part in PARTS
            if f"data-{part}" in given
        ]
        for part in parts:
            self._note(f"verdict {part}")
        self.parts += parts
        self.faults += map(self.at, self._faults(tag, given))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """The same, of an element that closes itself."""
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Leave the element, and any inside it that was never closed."""
        if tag in (element.tag for element in self._open):
            while self._leave() != tag:
                pass

    def _leave(self) -> str:
        """Close the innermost element; one that states a verdict must begin with its name."""
        left = self._open.pop()
        if left.verdict is not None:
            words, label = left.text.strip().lstrip(_SIGNS).strip().casefold(), _LABELS.get(left.verdict)
            if label is None or not words.startswith(label):
                self.faults.append(self.at(f"a place for the verdict {left.verdict!r} says {words[:60]!r}"))
        return left.tag

    def handle_data(self, data: str) -> None:
        """Look for what must not stand in a page's text."""
        inside = self._open[-1].tag if self._open else ""
        for element in self._open:
            if element.verdict is not None:
                element.text += data
        if inside not in {"script", "style"}:
            self.said.append(data)
        if inside == "script":
            self.scripts[-1] += data
        elif inside == "style":
            self._find(_CSS_REQUEST, data, "style sheet makes a request")
        elif not any(element.quoting for element in self._open):
            self._find(_UNRESOLVED, data, UNRESOLVED)

    def _find(self, pattern: re.Pattern[str], data: str, fault: str) -> None:
        line = self.getpos()[0]
        self.faults += [f"{line + data.count(chr(10), 0, m.start())}: {fault}: {m[0]}" for m in pattern.finditer(data)]

    def _faults(self, tag: str, given: Mapping[str, str]) -> Iterator[str]:
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
        for name, value in given.items():
            if name.startswith("on"):
                yield f"attribute {name} runs a script"
            elif name in _LOADING and not value.startswith("data:"):
                yield f"{name} of <{tag}> makes a request or is missing: {value}"
            elif name == "style" and _CSS_REQUEST.search(value):
                yield f"style of <{tag}> makes a request"
            elif name in {"href", "xlink:href"}:
                yield from self._link(tag, value)

    def _link(self, tag: str, value: str) -> Iterator[str]:
        scheme = urlsplit(value).scheme
        if tag == "a" and scheme in {"", "http", "https", "mailto"}:
            self.links.append(value)
            self._note(f"link {value}")
        elif tag == "a" or (not value.startswith(("#", "data:"))):
            yield f"href of <{tag}> is not allowed: {value}"
        elif value.startswith("#"):
            self.links.append(value)
            self._note(f"link {value}")


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
    if faults:
        raise ReportBroken(f"the report in {folder} is broken:", tuple(dict.fromkeys(faults)))


def _is_a_name(fault: str, names: Sequence[str]) -> bool:
    """Whether what looks like an unresolved reference is a part of what something is called."""
    _, mark, found = fault.partition(f"{UNRESOLVED}: ")
    return bool(mark) and any(found in name for name in names)


def _repeated_ids(page: CheckedPage) -> Iterator[str]:
    yield from (
        page.at(f"id {name!r} occurs {number} times", f"id {name}") for name, number in page.ids.items() if number > 1
    )


def _dead_links(
    name: str, page: CheckedPage, pages: Mapping[str, CheckedPage], neurons: Mapping[str, Sequence[int]]
) -> Iterator[str]:
    for link in dict.fromkeys(page.links):
        target = urlsplit(link)
        if target.scheme:
            continue
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(target.path)))
        other = pages.get(path) if target.path else page
        place = target.fragment
        if other is None:
            if not (page.path.parent / unquote(target.path)).is_file():
                yield page.at(f"link to a file that is not there: {link}", f"link {link}")
        elif place and unquote(place) not in other.ids and not (path == EXPLORER and is_shown(place, neurons)):
            yield page.at(f"link to a place that is not there: {link}", f"link {link}")


def is_shown(place: str, neurons: Mapping[str, Sequence[int]]) -> bool:
    """Whether the explorer has the neuron that ``place`` names ("a:L2.17"), or can make the list that it asks for.

    ``place`` is what follows the # of an address, ``neurons`` the sizes of the layers of every model.

    >>> [is_shown(place, {"a": (5, 5)}) for place in ("a:L1.4", "a:L1.5", "a:L2.0", "b:L1.4", "?model=a&layer=1")]
    [True, False, False, False, True]
    """
    if place.startswith("?"):
        asked = dict(parse_qsl(place[1:], keep_blank_values=True))
        sizes = neurons.get(asked.get("model", ""), ())
        layer = asked.get("layer", "0")
        return asked.keys() <= ASKED and layer.isdecimal() and int(layer) < len(sizes)
    model, _, name = unquote(place).rpartition(":")
    try:
        neuron = NeuronId.parse(name)
    except ValueError:
        return False
    sizes = neurons.get(model, ())
    return neuron.layer < len(sizes) and neuron.index < sizes[neuron.layer]


def _unlisted_scripts(page: CheckedPage) -> Iterator[str]:
    if "default-src 'none'" not in page.policy:
        yield page.at("no content security policy", "policy")
    for directive in page.policy.split(";"):
        name, *sources = directive.split() or [""]
        allowed = _UNSAFE_IN_STYLE if name == "style-src" else set[str]()
        for source in sources:
            if _UNSAFE.fullmatch(source) and source not in allowed:
                yield page.at(f"the policy's {name} allows {source}", "policy")
    for place, script in enumerate(page.scripts):
        if script_hash(script) not in page.policy:
            yield page.at(f"script that the page's policy does not name: {script[:40]!r}", f"script {place}")


def script_hash(script: str) -> str:
    """The source expression by which a content security policy allows exactly this script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _wrong_verdicts(pages: Mapping[str, CheckedPage], verdicts: Mapping[str, str]) -> Iterator[str]:
    read = {_as_read(claim): verdict for claim, verdict in verdicts.items()}
    for name, page in pages.items():
        for claim, verdict in page.verdicts:
            if read.get(claim) != verdict:
                fault = f"claim {claim} is shown as {verdict!r}, the evidence says {read.get(claim)!r}"
                yield f"{name}:{page.at(fault, f'verdict {(claim, verdict)}')}"
    for missing in _unshown(pages, list(verdicts)):
        yield f"claim {missing} is in the evidence and on no page"


def _missing(pages: Mapping[str, CheckedPage], required: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, ids in required.items():
        there = pages[name].ids if name in pages else Counter[str]()
        yield from (f"{name}: the figure or table {wanted} is missing" for wanted in ids if wanted not in there)


def _wrong_statements(pages: Mapping[str, CheckedPage], stated: Stated) -> Iterator[str]:
    named = ((name.partition(" "), verdict) for name, verdict in stated.parts.items())
    parts = {f"{kind} {_as_read(whose)}": verdict for (kind, _, whose), verdict in named}
    for name, page in pages.items():
        for part, verdict in page.parts:
            if parts.get(part) != verdict:
                fault = f"{part} is shown as {verdict!r}, the evidence says {parts.get(part)!r}"
                yield f"{name}:{page.at(fault, f'verdict {(part, verdict)}')}"
    for name, claim in stated.pages.items():
        if name not in pages:
            yield f"claim {claim} has no page {name}"
        elif _as_read(claim) not in (shown for shown, _ in pages[name].verdicts):
            yield f"{name}: the page of claim {claim} does not state its verdict"
    for name, sentences in stated.sentences.items():
        said = " ".join("".join(pages[name].said).split()) if name in pages else ""
        yield from (f"{name}: does not say: {s}" for s in sentences if " ".join(_as_read(s).split()) not in said)


def _as_read(text: str) -> str:
    """``text`` as a reader of the page finds it."""
    return html.unescape(html_text(text))


def _unshown(pages: Mapping[str, CheckedPage], claims: Sequence[str]) -> list[str]:
    shown = {claim for page in pages.values() for claim, _ in page.verdicts}
    return [claim for claim in claims if _as_read(claim) not in shown]
