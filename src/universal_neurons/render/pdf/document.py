"""The PDF of the report: its checked pages as chapters of one document, set by Typst.

Words, numbers and references are taken from the pages (:mod:`universal_neurons.render.pdf.markup`), so the PDF cannot
differ from them.  The layout is ``report/pdf.typ``.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from universal_neurons.render.escaping import Typst, typst_string, typst_text
from universal_neurons.render.figures.drawing import load_matplotlib
from universal_neurons.render.html.engines import RenderingFailed
from universal_neurons.render.html.tree import Element, PageContent, read_page
from universal_neurons.render.pdf.markup import (
    DRAWINGS,
    REFERENCES,
    Typesetting,
    anchor,
    anchors_of,
    call,
    formulas_of,
    references_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from universal_neurons.render.citation import Citation

PDF = "report.pdf"
BOOK, LOOK, FONTS = "report.typ", "pdf.typ", "fonts"
STANDARD: Final = "ua-1"
BESIDE = (
    "The pages beside this document have every claim with all its cases, controls and readings, the explorer of all "
    "neurons, and the data of every figure; data/figures.csv lists the artifacts behind each figure."
)
UNITS = ("year", "month", "day", "hour", "minute", "second")


@dataclass(frozen=True, slots=True)
class Imprint:
    """The imprint on the first page and in the document's properties.

    ``written`` is when the newest of its evidence was: the day of the build would make two builds differ.
    """

    suite: str
    subtitle: str
    citation: Citation
    written: datetime


def write_pdf(built: Path, names: Sequence[str], look: Path, imprint: Imprint) -> Path:
    """Set the pages ``names`` of the report in ``built`` as ``report.pdf`` there; its source goes to ``source/``.

    ``look`` is the folder with ``pdf.typ`` and the fonts.  Raises PageUnusable, PageUnprintable, RenderingFailed.
    """
    source = built / "source"
    known = covered(look / FONTS)

    def change(text: str) -> str:
        return legible(text, known)

    read = [read_page(built, f"{name}.html") for name in names]
    pages = [replace(page, main=page.main.changed(change)) for page in read]
    named = replace(imprint, suite=change(imprint.suite), subtitle=change(imprint.subtitle))
    text, drawings = book(pages, named)
    shutil.copyfile(look / LOOK, source / LOOK)
    shutil.copytree(look / FONTS, source / FONTS, dirs_exist_ok=True)
    shutil.rmtree(source / DRAWINGS, ignore_errors=True)
    (source / DRAWINGS).mkdir()
    for name, drawing in drawings.items():
        (source / DRAWINGS / name).write_text(drawing, encoding="utf-8", newline="\n")
    (source / BOOK).write_text(text, encoding="utf-8", newline="\n")
    compile_pdf(source, built / PDF, imprint.written)
    return built / PDF


def covered(fonts: Path) -> frozenset[str]:
    """The characters that the fonts of the PDF have: those in the folder ``fonts``, and DejaVu Sans Mono.

    That one is inside Typst, where it cannot be read; matplotlib has the same.
    """
    load_matplotlib()
    import matplotlib as mpl
    from matplotlib.ft2font import FT2Font

    fallback = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"
    files = [fallback, *(path for path in fonts.iterdir() if path.suffix in {".otf", ".ttf"})]
    return frozenset(chr(code) for path in files for code in FT2Font(path).get_charmap()) | frozenset("\n\t\r")


def legible(text: str, known: frozenset[str]) -> str:
    """``text`` with every character that no font has spelled out: Typst refuses one that it cannot show.

    >>> legible("neuron \uff1d x", frozenset("neuron x"))
    'neuron ⟨U+FF1D⟩ x'
    """
    unknown = set(text) - known
    return "".join(f"⟨U+{ord(c):04X}⟩" if c in unknown else c for c in text) if unknown else text


def book(pages: Sequence[PageContent], imprint: Imprint) -> tuple[Typst, Mapping[str, str]]:
    """The whole document in Typst, and its drawings by file name.

    The pages are chapters, in the order given.  The summary of the first page becomes the document's, and all
    references stand at its end, once.
    """
    references = {name: (page, entry) for page in pages for name, entry in references_of(page).items()}
    anchors = {name for page in pages for name in anchors_of(page)} | {f"{REFERENCES}#{name}" for name in references}
    setting = Typesetting(formulas(pages), frozenset(anchors))
    front, *others = pages
    summary, rest = _split(front)
    parts = [
        '#import "pdf.typ": *',
        _opening(front, imprint),
        call(
            "front",
            setting.set_page(summary),
            f"suite: {typst_string(imprint.suite)}",
            f"imprint: [{_imprint(imprint)}]",
        ),
        _chapter(front.called or _title(front), front.name),
        setting.set_page(rest),
        *(part for page in others for part in (_chapter(_title(page), page.name), setting.set_page(page))),
        *_references(setting, references),
    ]
    return Typst("\n\n".join(parts) + "\n"), setting.drawings


def formulas(pages: Iterable[PageContent]) -> dict[str, Typst]:
    """Every formula of the pages in Typst, by its TeX source; pandoc translates them in one run.

    Raises RenderingFailed for one that it does not understand.
    """
    wanted = list(dict.fromkeys(tex for page in pages for tex in formulas_of(page) if tex))
    if not wanted:
        return {}
    import pypandoc

    said = pypandoc.convert_text(
        "\n\n".join(f"${tex}$" for tex in wanted), "typst", format="markdown", extra_args=["--wrap=none"]
    )
    found = [part.strip() for part in str(said).strip().split("\n\n")]
    for tex, part in zip(wanted, found, strict=False):
        if not (part.startswith("$") and part.endswith("$")):
            raise RenderingFailed(f"formula {tex}: expected one that Typst knows, got {part}")
    if len(found) != len(wanted):
        raise RenderingFailed(f"formulas: expected {len(wanted)} of pandoc, got {len(found)}")
    return dict(zip(wanted, map(Typst, found), strict=True))


def _opening(front: PageContent, imprint: Imprint) -> str:
    """The document's properties: who reads with the ears, or in a library, has no first page to look at."""
    cited, day = imprint.citation, imprint.written
    values = {
        "title": typst_string(_title(front)),
        "subtitle": typst_string(imprint.subtitle),
        "authors": f"({''.join(f'{typst_string(name)}, ' for name in cited.authors)})",
        "version": typst_string(cited.version),
        "licence": typst_string(cited.license),
        "written": f"datetime({', '.join(f'{unit}: {getattr(day, unit)}' for unit in UNITS)})",
    }
    return f"#show: report.with({', '.join(f'{name}: {value}' for name, value in values.items())})"


def _imprint(imprint: Imprint) -> str:
    """The small print of the first page: what this is, how old its evidence is, what is not on paper."""
    cited, day = imprint.citation, imprint.written
    return (
        f"{typst_text(f'{cited.title}, version {cited.version}; newest evidence of {day:%Y-%m-%d}.')} "
        f"{typst_text(BESIDE)}"
    )


def _title(page: PageContent) -> str:
    title = page.main.first("h1", "title")
    return " ".join((page.called if title is None else title.text).split())


def _chapter(title: str, name: str) -> str:
    return f"#chapter({typst_string(title)}, {typst_string(name)})"


def _split(front: PageContent) -> tuple[PageContent, PageContent]:
    """The first page's summary, which opens the document, and everything else of it."""
    parts: dict[bool, list[Element | str]] = {True: [], False: []}
    for child in front.main.children:
        parts[isinstance(child, Element) and "lead" in child.classes].append(child)
    summary, rest = (replace(front, main=Element("main", children=parts[is_lead])) for is_lead in (True, False))
    return summary, rest


def _references(setting: Typesetting, found: Mapping[str, tuple[PageContent, Element]]) -> list[str]:
    if not found:
        return []
    ordered = sorted(found.items(), key=lambda item: " ".join(item[1][1].text.split()).casefold())
    entries = [
        call("reference", f"{anchor(f'{REFERENCES}#{name}')}{setting.set_page(replace(page, main=entry))}")
        for name, (page, entry) in ordered
    ]
    return [_chapter(REFERENCES.capitalize(), REFERENCES), *entries]


def compile_pdf(source: Path, target: Path, written: datetime) -> None:
    """Set ``report.typ`` of the folder ``source`` as the PDF ``target``; raises RenderingFailed.

    The fonts are those beside it and those inside Typst, never the machine's; the PDF is tagged and checked against
    PDF/UA-1.  Typst is the Python package even where Quarto has one inside: its version is pinned, and gives the same
    bytes anywhere.
    """
    import typst

    try:
        _, warnings = typst.compile_with_warnings(
            source / BOOK, output=target, root=source, font_paths=[source / FONTS], ignore_system_fonts=True,
            pdf_standards=[STANDARD], timestamp=int(written.timestamp()),
        )  # fmt: skip
    except typst.TypstError as wrong:
        hints = "".join(f" ({hint})" for hint in wrong.hints)
        raise RenderingFailed(f"typst refused {source / BOOK}: {wrong.message}{hints}") from wrong
    if warnings:
        raise RenderingFailed(f"typst warned about {source / BOOK}: {warnings[0].message}")


def newest(created: Iterable[str]) -> datetime:
    """The latest of several times in ISO format, in UTC; 1970 where there is none.

    >>> newest(["2025-11-20T10:00:00Z", "2025-11-21T09:30:00Z"])
    datetime.datetime(2025, 11, 21, 9, 30, tzinfo=datetime.timezone.utc)
    """
    times = (datetime.fromisoformat(one) for one in created)
    return max((one.astimezone(UTC) for one in times), default=datetime.fromtimestamp(0, UTC))
