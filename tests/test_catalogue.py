"""The catalogue ``claims/README.md`` against the claims, the readings, and the sources that cite it."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.sources import ROOT, claim_files, kept_files, text_of
from universal_neurons.evidence.untested import read_untested
from universal_neurons.render.pages.ambiguities import read_ambiguities

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CATALOGUE = ROOT / "claims" / "README.md"
CITED = re.compile(r'claims/README\.md(#[\w-]+)?((?:[^.;)`"\]]|\.\d)*)')
AN_ID = re.compile(r"\b[AFGNRV]\d+[a-z]?(?:-[a-z]+)?\b")
ABSENT_DOCUMENT = re.compile(r"\bdesign/[\w-]+\.md|(?<!\w)claims\.md\b")


@cache
def catalogue() -> str:
    return CATALOGUE.read_text("utf-8")


def headings(document: str) -> list[str]:
    return re.findall(r"^#{2,3} (.+)$", document, re.MULTILINE)


def anchors(document: str) -> set[str]:
    """The anchors that a renderer makes of the headings."""
    return {"#" + re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings(document)}


def rows(document: str) -> dict[str, tuple[str, str, str]]:
    """The claims of the tables: id to file, statement and source."""
    table = re.findall(r"^\| \[([\w-]+)\]\((\S+\.py)\) \| (.+) \| (.+) \|$", document, re.MULTILINE)
    return {name: (file, statement, source) for name, file, statement, source in table}


def decorators(file: Path, name: str) -> Iterator[ast.Call]:
    """The calls of ``@name(...)`` on the functions of a claim's file."""
    for node in ast.parse(file.read_text("utf-8")).body:
        for decorator in getattr(node, "decorator_list", ()):
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == name:
                yield decorator


def keyword(call: ast.Call, name: str) -> str:
    return str(next(ast.literal_eval(word.value) for word in call.keywords if word.arg == name))


def ambiguities_read(file: Path) -> Iterator[str]:
    """The ids that the readings of a claim's file name, one by one or in a table."""
    for call in (*decorators(file, "reading"), *decorators(file, "readings")):
        for node in ast.walk(call):
            if isinstance(node, ast.Constant) and re.fullmatch(r"[AF]\d+", str(node.value)):
                yield str(node.value)


def declared() -> dict[str, tuple[str, str, str]]:
    """The claims of the files, as :func:`rows` of the catalogue."""
    return {
        ast.literal_eval(call.args[0]): (
            str(file.relative_to(CATALOGUE.parent)),
            ast.literal_eval(call.args[1]),
            keyword(call, "source"),
        )
        for file in claim_files()
        for call in decorators(file, "claim")
    }


def unknown_citations(source: str, document: str) -> Iterator[str]:
    """Citations of the catalogue in ``source`` that name no anchor, section or id that ``document`` has."""
    sections = headings(document)
    ids = {*sections, *rows(document), *untested_ids(document)}
    for anchor, named in CITED.findall(re.sub(r"\s+#?\s*", " ", source)):
        cited = set(AN_ID.findall(named))
        names_nothing = not anchor and not cited and not any(section in named for section in sections)
        if (anchor and anchor not in anchors(document)) or cited - ids or (named.strip(" ,:") and names_nothing):
            yield f"claims/README.md{anchor}{named}"


def untested_ids(document: str) -> list[str]:
    """The ids of the statements that the section about untested ones names."""
    return AN_ID.findall(document.partition("\n## Not tested\n")[2].partition("\n## ")[0])


def test_every_claim_has_its_row_with_file_statement_and_source_and_every_row_its_claim() -> None:
    assert rows(catalogue()) == declared()


def test_every_untested_statement_is_named() -> None:
    untested = [entry.id for entry in read_untested(ROOT / "claims" / "untested.toml")]
    assert sorted(set(untested_ids(catalogue()))) == sorted(untested)


def test_every_ambiguity_of_a_reading_or_of_the_report_has_its_entry() -> None:
    used = {ambiguity for file in claim_files() for ambiguity in ambiguities_read(file)}
    assert {"A1", "F7"} <= used
    listed = set(read_ambiguities(ROOT / "claims" / "ambiguities.toml"))
    assert used - listed == set()
    assert listed - set(headings(catalogue())) == set()


def test_the_catalogue_has_every_id_that_a_reading_may_name() -> None:
    expected = [*(f"A{number}" for number in range(1, 22)), *(f"F{number}" for number in range(1, 23))]
    assert [heading for heading in headings(catalogue()) if AN_ID.fullmatch(heading)] == expected


def test_links_within_the_catalogue_lead_somewhere() -> None:
    linked = set(re.findall(r"\]\((#[\w-]+)\)", catalogue()))
    assert linked - anchors(catalogue()) == set()


def test_every_citation_of_the_catalogue_names_an_entry_that_it_has() -> None:
    unknown = {
        str(file.relative_to(ROOT)): list(unknown_citations(text_of(file), catalogue()))
        for file in kept_files()
        if file.suffix in {".py", ".toml", ".j2", ".md"} and file.name != "test_catalogue.py"
    }
    assert {name: citations for name, citations in unknown.items() if citations} == {}


def test_no_document_is_cited_that_the_project_does_not_have() -> None:
    citing = {
        str(file.relative_to(ROOT))
        for file in kept_files()
        if file.name != "test_catalogue.py" and ABSENT_DOCUMENT.search(text_of(file))
    }
    assert citing == set()


@pytest.mark.parametrize(
    "source",
    [
        "(claims/README.md, A99)", "claims/README.md#a99", "claims/README.md, A4 and F99.",
        "# claims/README.md, A4\n# and F99)", "claims/README.md, Definitoins", "claims/README.md, N99",
    ],
)  # fmt: skip
def test_a_citation_of_nothing_is_found(source: str) -> None:
    assert list(unknown_citations(source, catalogue())) != []


@pytest.mark.parametrize(
    "source",
    [
        "(claims/README.md, A4 and F5)",
        "claims/README.md#a4",
        "claims/README.md, Definitions: neuron",
        "claims/README.md",
        "`claims/README.md`",
        "claims/README.md, N14.  Another sentence names A99.",
        "claims/README.md, Published code).",
        "claims/README.md, N13",
        "claims/README.md, F2-rotation)",
    ],
)
def test_a_citation_of_an_entry_is_no_finding(source: str) -> None:
    assert list(unknown_citations(source, catalogue())) == []


def test_a_citation_of_an_absent_document_is_found() -> None:
    assert ABSENT_DOCUMENT.search("see design/claims.md A.1") is not None
    assert ABSENT_DOCUMENT.search("(claims.md, section B)") is not None
    assert ABSENT_DOCUMENT.search("claims/README.md") is None


def test_ids_in_a_table_of_readings_are_found(tmp_path: Path) -> None:
    file = tmp_path / "test_x.py"
    file.write_text(
        "@readings(of=f, table={'test_a': ('A4', 'as A5 says', 1)})\n"
        "def measure(): ...\n"
        "@reading(of=f, ambiguity='F6', says='more')\n"
        "def test_b(): ...\n"
    )
    assert list(ambiguities_read(file)) == ["F6", "A4"]
