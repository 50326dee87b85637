"""The PDF beside the pages: the same numbers, figures, references and links, in a document that is sound by itself."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pypdf
import pytest
import typst
from pypdf.generic import DictionaryObject, IndirectObject

from tests.render.conftest import computed_once, copied_checkout, rendering_only
from tests.render.fakes import CHECKOUT, FakeStudy, fake_records, fake_suite, write_log
from tests.render.hostile import hostile_log
from tests.render.neurons import local_text
from tests.render.payloads import PAYLOADS
from universal_neurons.characters import visible
from universal_neurons.render import build_report, report
from universal_neurons.render.citation import Citation
from universal_neurons.render.escaping import typst_string, typst_text
from universal_neurons.render.html.engines import RenderingFailed, pandoc_command
from universal_neurons.render.html.tree import Element, PageContent, read_page, tree_of
from universal_neurons.render.links import page_of
from universal_neurons.render.pdf.document import (
    BOOK,
    FONTS,
    Imprint,
    book,
    compile_pdf,
    covered,
    formulas,
    legible,
    newest,
)
from universal_neurons.render.pdf.markup import is_printed
from universal_neurons.render.report import PAGES, PRINTED, ReportMisplaced

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from universal_neurons.evidence.record import EvidenceRecord
    from universal_neurons.render.html.engines import HtmlEngine
    from universal_neurons.render.pages.paper import Groups
    from universal_neurons.render.report import Output
    from universal_neurons.render.results import Results

WRITTEN = datetime(2025, 11, 20, 10, tzinfo=UTC)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def build(
    folder: Path,
    to: Output = "all",
    study: FakeStudy | None = None,
    *,
    records: list[EvidenceRecord] | None = None,
    root: Path = CHECKOUT,
    engine: HtmlEngine | None = "pandoc",
) -> Path:
    evidence = write_log(folder / "log", records or fake_records())
    page = build_report(
        study or FakeStudy(), root=root, text=local_text(), output=folder / "built", verdicts=evidence, engine=engine,
        to=to,
    )  # fmt: skip
    return page.parent


def page_names() -> list[str]:
    return [*PAGES, *sorted({page_of(record.claim).removesuffix(".html") for record in fake_records()})]


@pytest.fixture(scope="module")
def once(found: Results, drawn: Groups) -> Iterator[None]:
    """Builds of the made-up study take its numbers and figures from the ones made before."""
    with computed_once(found, drawn):
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, once: None) -> Path:
    """The folder of a report with its PDF."""
    return build(tmp_path_factory.mktemp("pdf"))


@pytest.fixture(scope="module")
def document(built: Path) -> pypdf.PdfReader:
    return pypdf.PdfReader(built / "report.pdf")


@pytest.fixture(scope="module")
def pages(built: Path) -> list[PageContent]:
    return [read_page(built, f"{name}.html") for name in PRINTED]


@pytest.fixture(scope="module")
def said(document: pypdf.PdfReader) -> str:
    """All text of the PDF, in one line."""
    return squeezed(" ".join(page.extract_text() for page in document.pages))


def squeezed(text: str) -> str:
    """``text`` without its spaces and hyphens: lines of the PDF end elsewhere, and words are divided there."""
    return re.sub(r"[\s\u00ad\u2010\u2011-]+", "", text)


def printed(element: Element) -> Iterator[Element]:
    """The elements of a page that are on paper."""
    for child in filter(is_printed, element.elements):
        yield child
        yield from () if child.tag == "svg" else printed(child)


def words(pages: list[PageContent]) -> str:
    """What the pages say on paper, drawings included, formulas not."""
    parts = []
    for page in pages:
        for element in printed(page.main):
            own = [] if element.tag == "svg" else [child for child in element.children if isinstance(child, str)]
            drawn = " ".join(re.findall(r"<text[^>]*>([^<]*)<", element.markup))
            parts += [] if element.tag in MATHS else [*own, drawn]
            parts.append(" " if element.tag in BLOCKS or element.classes & {"interval", "origin", "value"} else "")
    return "".join(parts)


MATHS = {"math", "semantics", "annotation", "mi", "mo", "mn", "mrow", "msub", "munder", "mspace"}
BLOCKS = {"td", "th", "p", "dd", "dt", "svg", "li", "h2", "h3", "figcaption", "span", "a", "code", "strong"}


def numbers(text: str) -> Counter[str]:
    return Counter(NUMBER.findall(text.replace("\u202f", "")))


def test_every_number_of_the_pages_is_in_the_pdf_and_no_other(
    pages: list[PageContent], document: pypdf.PdfReader, said: str
) -> None:
    ours = numbers(" ".join(page.extract_text() for page in document.pages))
    theirs = numbers(words(pages))
    assert sum(theirs.values()) > 1_000
    assert theirs - ours == Counter()
    own = {str(place) for place in range(1, len(document.pages) + 1)} | set(numbers("0.1.0 2025-11-20"))
    listed = " ".join(one.text for page in pages for one in page.main.walk() if one.attributes.get("id") == "refs")
    assert set(ours) - set(theirs) - own - set(numbers(listed)) == set()


def labels(pages: list[PageContent]) -> list[str]:
    found = []
    for page in pages:
        for figure in (one for one in printed(page.main) if one.tag == "figure"):
            caption = figure.first("figcaption")
            label = None if caption is None else caption.first("strong")
            assert label is not None, figure.attributes
            found.append(label.text)
    return found


def test_figures_and_tables_have_the_numbers_of_the_pages_in_their_order(pages: list[PageContent], said: str) -> None:
    found = labels(pages)
    assert len(found) == 40
    assert found[:2] == ["Figure A, not in the paper.", "Figure 1 of the paper."]
    place = 0
    for label in found:
        place = said.find(squeezed(label), place)
        assert place >= 0, label
        place += 1


def test_what_is_copied_or_searched_for_has_no_sign_that_is_not_seen(document: pypdf.PdfReader) -> None:
    for page in document.pages:
        assert [c for c in page.extract_text() if unicodedata.category(c) in {"Cf", "Co", "Cn"}] == []


def test_every_figure_and_table_of_the_paper_is_in_the_pdf(said: str) -> None:
    for label in ("Table 1 of the paper.", *(f"Figure {number} of the paper." for number in range(1, 21))):
        # The first page has three of them as well.
        assert 1 <= said.count(squeezed(label)) <= 2


def titles(outline: Sequence[Any], level: int = 1) -> Iterator[tuple[int, str]]:
    for entry in outline:
        if isinstance(entry, list):
            yield from titles(entry, level + 1)
        else:
            yield level, squeezed(str(entry["/Title"]))


def headings(page: PageContent) -> Iterator[tuple[int, str]]:
    for one in printed(page.main):
        if re.fullmatch("h[2-6]", one.tag):
            yield int(one.tag[1]), squeezed(one.text)


def test_the_bookmarks_are_the_headings_of_the_pages(pages: list[PageContent], document: pypdf.PdfReader) -> None:
    found = list(titles(document.outline))
    assert [title for level, title in found if level == 1] == [
        "Findings", "Thepaper,rebuilt", "Methodsandprovenance", "References",
    ]  # fmt: skip
    assert Counter(one for one in found if one[0] > 1) == Counter(one for page in pages for one in headings(page))


def followed(found: Any) -> Any:
    """An object of the PDF itself, where ``found`` may only point to it."""
    return found.get_object() if isinstance(found, IndirectObject) else found


def links(document: pypdf.PdfReader) -> Iterator[Any]:
    for page in document.pages:
        for one in page.get("/Annots", ()):
            annotation = followed(one)
            assert annotation["/Subtype"] == "/Link"
            yield annotation


def test_links_to_the_world_are_those_of_the_pages(pages: list[PageContent], document: pypdf.PdfReader) -> None:
    found = {str(one["/A"]["/URI"]) for one in links(document) if "/URI" in one.get("/A", {})}
    targets = {one.attributes.get("href", "") for page in pages for one in page.main.walk() if one.tag == "a"}
    assert found == {target for target in targets if target.startswith("http")}
    assert found


def test_every_link_inside_leads_to_a_place_of_the_document(
    pages: list[PageContent], document: pypdf.PdfReader
) -> None:
    places = [one.get("/Dest") or one["/A"].get("/D") for one in links(document)]
    inside = [place for place in places if place is not None]
    known = document.named_destinations
    assert [str(place) for place in inside if isinstance(place, str) and place not in known] == []
    cited = [one for page in pages for one in page.main.walk() if one.attributes.get("role") == "doc-biblioref"]
    assert len(inside) > len(cited) > 5


def test_the_document_says_what_it_is(built: Path, document: pypdf.PdfReader) -> None:
    meta, root = document.metadata, followed(document.root_object)
    assert meta is not None
    assert meta.title == "Universal neurons, measured again"
    assert meta.author == Citation.read(CHECKOUT / "CITATION.cff").authors[0]
    assert meta.creation_date == WRITTEN
    assert meta.subject == "Mini: five small models"
    assert root["/Lang"] == "en-GB"
    assert root["/MarkInfo"]["/Marked"]
    xmp = root["/Metadata"].get_data().decode()
    assert re.search(r"pdfuaid:part(>|=.)1", xmp)


def structure(node: Any) -> Iterator[DictionaryObject]:
    """The elements of the tag tree."""
    node = followed(node)
    if isinstance(node, list):
        for child in node:
            yield from structure(child)
    elif isinstance(node, DictionaryObject):
        if "/S" in node:
            yield node
        yield from structure(node.get("/K"))


def test_the_tags_have_headings_tables_and_the_words_of_every_drawing(
    pages: list[PageContent], document: pypdf.PdfReader
) -> None:
    elements = list(structure(document.root_object["/StructTreeRoot"]))
    kinds = Counter(str(one["/S"]) for one in elements)
    assert {"/H1", "/H2", "/H3", "/P", "/Figure", "/Caption", "/Table", "/TH", "/TD", "/Formula", "/TOC"} <= set(kinds)
    spoken = {" ".join(str(one["/Alt"]).split()) for one in elements if "/Alt" in one}
    drawn = [one for page in pages for one in printed(page.main) if one.tag == "svg"]
    wanted = {" ".join(one.attributes["aria-label"].split()) for one in drawn if "aria-label" in one.attributes}
    assert len(wanted) > 40
    assert wanted - spoken == set()


def test_fonts_are_inside_and_none_of_the_machines(document: pypdf.PdfReader) -> None:
    names = set()
    for page in document.pages:
        for font in followed(page["/Resources"]).get("/Font", {}).values():
            (inner,) = followed(font)["/DescendantFonts"]
            descriptor = followed(followed(inner)["/FontDescriptor"])
            assert {"/FontFile2", "/FontFile3"} & set(descriptor)
            names.add(str(descriptor["/FontName"]).partition("+")[2])
    assert {re.split("[-]", name)[0] for name in names} <= {
        "Inter", "LibertinusSerif", "DejaVuSans", "DejaVuSansMono", "NewCMMath", "NewComputerModernMath",
    }  # fmt: skip


def test_two_builds_are_the_same_bytes(built: Path, tmp_path: Path, once: None) -> None:
    again = build(tmp_path)
    assert (again / "report.pdf").read_bytes() == (built / "report.pdf").read_bytes()
    assert (again / "source" / BOOK).read_bytes() == (built / "source" / BOOK).read_bytes()


def test_the_pages_lead_to_the_pdf(built: Path) -> None:
    assert '<a href="report.pdf">' in (built / "index.html").read_text(encoding="utf-8")
    assert '<a href="../report.pdf">' in (built / "claims" / "n1.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("once")
def test_pages_alone_do_not_lead_to_a_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "write_pdf", lambda *_, **__: pytest.fail("a PDF was set"))
    folder = build(tmp_path, "html")
    assert not (folder / "report.pdf").exists()
    assert "report.pdf" not in (folder / "index.html").read_text(encoding="utf-8")


def source_of(folder: Path, text: str) -> Path:
    source = folder / "source"
    shutil.copytree(CHECKOUT / "report" / FONTS, source / FONTS)
    shutil.copy(CHECKOUT / "report" / "pdf.typ", source)
    opening = (
        '#import "pdf.typ": *\n#show: report.with(title: "Title", subtitle: "Subtitle", written: datetime.today())\n'
    )
    (source / BOOK).write_text(f"{opening}\n{text}", encoding="utf-8")
    return source


def set_text(folder: Path, text: str) -> str:
    compile_pdf(source_of(folder, text), folder / "out.pdf", WRITTEN)
    return " ".join(page.extract_text() for page in pypdf.PdfReader(folder / "out.pdf").pages)


LONGEST = 400
KNOWN = covered(CHECKOUT / "report" / FONTS)


def test_hostile_texts_are_printed_as_they_are(tmp_path: Path) -> None:
    shown = [legible(text, KNOWN) for text in PAYLOADS]
    lines = [f"#prose[#emph[x]{typst_text(text)}]\n\n#mono({typst_string(text)})" for text in shown]
    tricks = [
        "#panic()",
        "*/ // /* x",
        "= x",
        "- x",
        "\\u{41}",
        "$x$",
        "#[x](y).z;",
        "<label>",
        "~",
        "1. x",
        "`#`",
        "x\\",
    ]
    lines += [f"#emph[{typst_text(text)}]{typst_text(text)}#metadata({typst_string(text)})" for text in tricks]
    said = squeezed(set_text(tmp_path, "\n\n".join(lines)))
    for text in shown:
        # One of them is longer than a page.
        assert said.count(squeezed(visible(text))[:LONGEST]) >= 2, text
    for text in tricks:
        assert squeezed(text) * 2 in said, text


def test_what_no_font_has_is_spelled_out_and_everything_else_can_be_set(tmp_path: Path) -> None:
    assert legible("a\uff1d\u6f22 \u2212", KNOWN) == "a⟨U+FF1D⟩⟨U+6F22⟩ \u2212"
    for style in ("prose", "mono", "aside"):
        # The encoder spells out the rest in any case; marks need a letter before them.
        each = (c for c in sorted(KNOWN) if unicodedata.category(c)[0] in "LNPS")
        set_text(tmp_path / style, f"#{style}[{typst_text(' '.join(each))}]")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('#to("nowhere")[x]', "typst refused .*report.typ: label `<nowhere>` does not exist"),
        ("#nothing[x]", "typst refused .*report.typ: unknown variable: nothing"),
        ('#text(font: "No Such Font")[x]', "typst warned about .*report.typ: unknown font family: no such font"),
        ('#image(bytes("<svg xmlns=\\"http://www.w3.org/2000/svg\\"/>"), format: "svg")', "missing alt text"),
    ],
)
def test_what_typst_does_not_take_stops_the_build(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(RenderingFailed, match=fault):
        set_text(tmp_path, text)


def of_html(*html: str) -> list[PageContent]:
    names = ("index.html", *(f"page-{number}.html" for number in range(1, len(html))))
    return [
        PageContent(name, "", Element("main", children=tree_of(one).children))
        for name, one in zip(names, html, strict=True)
    ]


IMPRINT = Imprint("mini", "Mini", Citation("t", "1", "d", "MIT", ("A",)), WRITTEN)


def test_the_summary_opens_the_document_and_references_close_it_once() -> None:
    cited = (
        '<p><a href="#ref-b">B</a></p><div id="refs"><div id="ref-b">B. 2020</div><div id="ref-a">A. 2021</div></div>'
    )
    other = cited.replace("ref-a", "ref-c").replace("A. 2021", "C. 2019")
    text, _ = book(of_html(f'<h1 class="title">T</h1><div class="lead"><p>sum</p></div>{cited}', other), IMPRINT)
    assert text.index("sum") < text.index('#chapter("T", "index.html")') < text.index('#chapter("References"')
    assert [text.count(part) for part in ("sum", "2019", "2020", "2021")] == [1, 1, 1, 1]
    assert text.index("2021") < text.index("2020") < text.index("2019")
    assert text.count('#to("references#ref-b")[B]') == 2


def test_formulas_are_translated_once_and_a_broken_one_is_named() -> None:
    math = '<math><annotation encoding="application/x-tex">{}</annotation></math>'
    pages = of_html(math.format(r"\rho_{ij}") * 2, math.format("x^2"))
    assert formulas(pages) == {r"\rho_{ij}": "$rho_(i j)$", "x^2": "$x^2$"}
    assert formulas(of_html("<p>none</p>")) == {}
    with pytest.raises(RenderingFailed, match=r"formula \\frac\{x: expected one that Typst knows"):
        formulas(of_html(math.format(r"\frac{x")))


def test_the_age_of_the_evidence_is_that_of_its_newest_part() -> None:
    assert newest(["2025-11-20T10:00:00Z", "2025-11-20T12:30:00+02:00", "2025-11-19T23:00:00Z"]).hour == 10
    assert newest([]).year == 1970


def test_the_wheel_has_the_fonts_of_the_look() -> None:
    families = set(typst.Fonts(include_system_fonts=False, font_paths=[CHECKOUT / "report" / FONTS]).families())
    look = (CHECKOUT / "report" / "pdf.typ").read_text(encoding="utf-8")
    asked = {
        name
        for line in re.findall(r"(?:#let (?:serif|sans|fixed) = |font: )(.+)", look)
        for name in re.findall('"([A-Z][^"]+)"', line)
    }
    assert len(asked) == 5
    assert asked <= families


@pytest.mark.usefixtures("once")
def test_pages_that_quarto_built_become_the_same_kind_of_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = (pandoc_command(page, Path(f"_pages/{page}.html"), pdf=True) for page in page_names())
    program = tmp_path / "bin" / "quarto"
    program.parent.mkdir()
    script = "\n".join(" ".join(f"'{part}'" for part in call) for call in calls)
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nmkdir -p _pages/claims\n{script}\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    folder = build(tmp_path, engine=None)
    assert (tmp_path / "asked").read_text(encoding="utf-8") == "render --to html --no-clean -M has-pdf:true\n"
    assert (folder / "report.pdf").is_file()


@pytest.mark.usefixtures("once")
def test_a_checkout_without_the_look_is_named(tmp_path: Path) -> None:
    root = copied_checkout(tmp_path / "checkout")
    (root / "report" / "pdf.typ").unlink()
    with pytest.raises(ReportMisplaced, match=r"pdf\.typ: missing"):
        build(tmp_path, root=root)


@pytest.mark.usefixtures("once")
def test_a_pdf_alone_of_hostile_claims_and_titles_says_them_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The pages of the claims, which are not printed, are what test_hostile.py is about.
    rendering_only(lambda _: PRINTED, monkeypatch)
    title = '#panic("x") $y$ <b> " ] \\'
    study = FakeStudy(fake_suite(title=title, description=" ".join(PAYLOADS)))
    folder = build(tmp_path, "pdf", study, records=hostile_log(PAYLOADS))
    assert sorted(path.name for path in folder.iterdir()) == ["data", "report.pdf", "source"]
    document = pypdf.PdfReader(folder / "report.pdf")
    assert document.metadata is not None
    assert document.metadata.subject == title
    said = squeezed(" ".join(page.extract_text() for page in document.pages))
    for text in PAYLOADS:
        assert said.count(squeezed(legible(visible(text), KNOWN))[:LONGEST]) > 2, text
