"""The two programs that render the pages give the same pages.

``recorded`` holds the source of two pages and what Quarto 1.7.34 made of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pypdf
import pytest

from tests.render.fakes import CHECKOUT, FakeStudy, fake_records, write_log
from tests.render.neurons import local_text
from tests.render.read import elements
from universal_neurons.render import build_report
from universal_neurons.render.citation import Citation
from universal_neurons.render.html.checks import CheckedPage, ReportBroken, check_pages, check_print
from universal_neurons.render.html.engines import HtmlEngine, render
from universal_neurons.render.pdf.document import Imprint, newest, write_pdf

RECORDED = Path(__file__).parent / "recorded"
NAMES = ("index", "claims/n1")
ROWS = {"index": ["Figure 1 of the paper.", *(f"N{number} emergence Statement {number}." for number in range(1, 39))]}

needs_quarto = pytest.mark.skipif(shutil.which("quarto") is None, reason="needs quarto on PATH")


def said(page: CheckedPage) -> str:
    return " ".join(page.said.split())


def same(one: Path, other: Path) -> list[str]:
    """What differs between two pages: text, ids, targets of links, elements."""
    a, b = CheckedPage.read(one), CheckedPage.read(other)
    differs = {
        "text": said(a) != said(b),
        "ids": a.ids != b.ids,
        "links": a.links.keys() != b.links.keys(),
        "faults": a.faults != b.faults,
        **{tag: elements(a)[tag] != elements(b)[tag] for tag in ("table", "tr", "th", "td", "figure", "svg")},
    }
    return [name for name, is_other in differs.items() if is_other]


@pytest.fixture(scope="module")
def by_pandoc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pandoc")
    shutil.copytree(RECORDED / "source", folder / "source")
    render(folder / "source", NAMES, folder, engine="pandoc")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_pandoc_makes_of_a_source_what_quarto_made_of_it(by_pandoc: Path, name: str) -> None:
    assert same(RECORDED / "quarto" / f"{name}.html", by_pandoc / f"{name}.html") == []


def printed(folder: Path, pages: Path) -> Path:
    shutil.copytree(pages, folder / "built", ignore=shutil.ignore_patterns("source"))
    (folder / "built" / "source").mkdir()
    imprint = Imprint("mini", "Mini", Citation("t", "1", "d", "MIT", ("A",)), newest(()))
    return write_pdf(folder / "built", ["index"], CHECKOUT / "report", imprint)


def test_the_pdf_of_either_route_has_every_row_and_the_same_words(by_pandoc: Path, tmp_path: Path) -> None:
    texts = []
    for name, pages in (("pandoc", by_pandoc), ("quarto", RECORDED / "quarto")):
        pdf = printed(tmp_path / name, pages)
        check_print(pdf, ROWS)
        texts.append([page.extract_text() for page in pypdf.PdfReader(pdf).pages])
    assert texts[0] == texts[1]


@pytest.mark.parametrize("route", ["pandoc", "quarto"])
def test_pages_of_either_route_are_refused_for_the_same_faults(by_pandoc: Path, tmp_path: Path, route: str) -> None:
    pages = by_pandoc if route == "pandoc" else RECORDED / "quarto"
    shutil.copytree(pages, tmp_path / "pages", ignore=shutil.ignore_patterns("source"))
    with pytest.raises(ReportBroken) as broken:
        check_pages(tmp_path / "pages", {"N1": "reproduced"}, {"index.html": ("fig-paper-2",)})
    assert "claims/n1.html:" in str(broken.value)
    assert "claim N1 is shown as 'refuted', the evidence says 'reproduced'" in str(broken.value)
    assert "index.html: the figure or table fig-paper-2 is missing" in str(broken.value)


@needs_quarto
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("measured_once")
def test_the_whole_report_is_the_same_by_quarto_and_by_pandoc(tmp_path: Path) -> None:
    routes: tuple[HtmlEngine, ...] = ("pandoc", "quarto")
    built = [
        build_report(
            FakeStudy(), root=CHECKOUT, text=local_text(), output=tmp_path / route, engine=route, to="all",
            verdicts=write_log(tmp_path / f"{route}-log", fake_records()),
        ).parent
        for route in routes
    ]  # fmt: skip
    names = [sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html")) for folder in built]
    assert names[0] == names[1]
    assert {name: found for name in names[0] if (found := same(built[0] / name, built[1] / name))} == {}
    texts = [[page.extract_text() for page in pypdf.PdfReader(folder / "report.pdf").pages] for folder in built]
    assert texts[0] == texts[1]
