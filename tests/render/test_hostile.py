"""Whatever things are called, the report has the elements that it would have anyway, and nothing of it runs."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.render.browser import dataset, dom_of, needs_chromium
from tests.render.conftest import copied_checkout, rendering_only
from tests.render.hostile import TAME, hostile_report
from tests.render.payloads import PAYLOADS
from tests.render.read import attributes, elements
from universal_neurons.render.html.checks import CheckedPage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGES = ("index", "paper", "parent", "mechanisms", "claims", "readings", "methods", "neurons")
WATCH = Path(__file__).with_name("watch.js").read_text(encoding="utf-8")


def built(texts: Sequence[str], factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Path:
    folder = factory.mktemp("hostile")
    return hostile_report(folder, copied_checkout(folder / "checkout"), texts, patch)


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        yield built(PAYLOADS, tmp_path_factory, patch)


@pytest.fixture(scope="module")
def tame(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of the pages of its claims the first two and the last: all others are like the second."""
    with pytest.MonkeyPatch.context() as patch:
        rendering_only(with_some_claims, patch)
        yield built(TAME, tmp_path_factory, patch)


def with_some_claims(pages: Sequence[str]) -> list[str]:
    claims = [page for page in pages if page.startswith("claims/")]
    return [page for page in pages if page not in claims[2:-1]]


def structure(page: Path) -> tuple[frozenset[tuple[str, int]], frozenset[tuple[str, int]]]:
    read = CheckedPage.read(page)
    return frozenset(elements(read).items()), frozenset(attributes(read).items())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_element_and_no_attribute_that_it_would_not_have_anyway(
    wild: Path, tame: Path, name: str
) -> None:
    assert structure(wild / f"{name}.html") == structure(tame / f"{name}.html")


def test_neither_has_the_page_of_any_claim(wild: Path, tame: Path) -> None:
    pages = [Counter(structure(page) for page in (folder / "claims").iterdir()) for folder in (wild, tame)]
    assert [found.total() for found in pages] == [len(PAYLOADS), 3]
    assert pages[0].keys() == pages[1].keys()
    assert max(pages[0].values()) == len(PAYLOADS) - 2


def test_what_was_written_can_be_read(wild: Path) -> None:
    for name in ("index.html", "readings.html"):
        said = CheckedPage.read(wild / name).said
        assert "<script>window.ran=1</script>" in said
        assert "⟨U+001B⟩[2J⟨U+001B⟩[31mred" in said
        assert "{{< include /etc/passwd >}}" in said


def test_no_file_of_the_report_has_a_character_that_nobody_sees(wild: Path) -> None:
    suffixes = {".html", ".csv", ".qmd", ".js", ".txt"}
    for path in (path for path in wild.rglob("*") if path.suffix in suffixes):
        text = path.read_bytes().decode("utf-8")
        assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff]", text) == [], path.name


def test_no_cell_of_any_table_begins_a_formula_whatever_separates_cells(wild: Path) -> None:
    files = sorted((wild / "data").glob("*.csv"))
    assert len(files) > 30
    for file in files:
        for separator in (",", ";", "\t", "|"):
            with file.open(encoding="utf-8", newline="") as stream:
                cells = [cell for row in csv.reader(stream, delimiter=separator) for cell in row]
            runs = [
                c for c in cells if re.match(r"\s*[=+@\uff1d\uff0b\uff0d\uff20]", c) or re.match(r"\s*-(?![\d.])", c)
            ]
            assert runs == [], (file.name, separator)


def test_every_anchor_and_file_name_is_plain(wild: Path) -> None:
    for page in [*wild.glob("*.html"), *wild.glob("claims/*.html")]:
        assert re.fullmatch(r"[a-z0-9-]+\.html", page.name)
        for link in CheckedPage.read(page).links:
            assert re.fullmatch(r"[!-~]+", link), link
            assert not re.match(r"[a-z]+:(?!//)", link), link


@needs_chromium
@pytest.mark.parametrize("name", [*PAGES, "claim"])
def test_nothing_runs_in_a_browser_even_without_the_pages_policy(wild: Path, tmp_path: Path, name: str) -> None:
    page = wild / f"{name}.html" if name != "claim" else sorted((wild / "claims").iterdir())[7]
    html = page.read_text(encoding="utf-8")
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    assert bare != html
    copy = page.with_name(f"watched-{page.name}")
    copy.write_text(bare.replace("<head>", f"<head><script>{WATCH}</script>", 1), encoding="utf-8")
    dom = dom_of(copy, tmp_path, place="#a:L1.5" if name == "neurons" else "", seconds=10)
    copy.unlink()
    found = json.loads(dataset(dom, "found"))
    if name == "neurons":
        assert dataset(dom, "complete-ms").isdecimal()
        assert '<span class="mono">a:L1.5</span>' in dom
    assert found == {"ran": 0, "foreign": [], "attributes": [], "scripts": html.count("<script>") + 1}
