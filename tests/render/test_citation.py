from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.render.fakes import CHECKOUT
from universal_neurons.render.citation import Citation, CitationError

if TYPE_CHECKING:
    from pathlib import Path

CFF = """cff-version: 1.2.0
title: "A title: with a colon"
version: 0.1.0
date-released: 2026-11-21
license: MIT
authors:
  - name: "The contributors"
  - family-names: "Doe"
    given-names: "Jo"
references:
  - type: article
    title: "Another"
    authors:
      - family-names: "Nobody"
"""


def test_a_citation_names_the_authors_of_the_project_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "CITATION.cff").write_text(CFF)
    found = Citation.read(tmp_path / "CITATION.cff")
    assert found.authors == ("The contributors", "Jo Doe")
    assert found.sentence == (
        "The contributors and Jo Doe: A title: with a colon. Version 0.1.0, 2026-11-21. Licence: MIT."
    )
    assert "  author = &#123;&#123;The contributors&#125; and &#123;Jo Doe&#125;&#125;," in found.bibtex()


def test_the_projects_own_citation_can_be_read() -> None:
    assert Citation.read(CHECKOUT / "CITATION.cff").title.startswith("universal-neurons")


@pytest.mark.parametrize("name", ["title", "version", "date-released", "license"])
def test_a_citation_without_a_field_is_refused(tmp_path: Path, name: str) -> None:
    kept = [line for line in CFF.splitlines() if not line.startswith(f"{name}:")]
    (tmp_path / "CITATION.cff").write_text("\n".join(kept))
    with pytest.raises(CitationError, match=f"{name} is missing"):
        Citation.read(tmp_path / "CITATION.cff")


def test_a_missing_citation_is_named(tmp_path: Path) -> None:
    with pytest.raises(CitationError, match=r"CITATION\.cff: cannot be read"):
        Citation.read(tmp_path / "CITATION.cff")


@pytest.mark.parametrize("text", ["title: [", "", "- title", "title: \0", CFF + "authors: Jo"])
def test_a_file_that_is_no_citation_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "CITATION.cff").write_text(text)
    with pytest.raises(CitationError, match=r"cannot be read|title is missing|authors: expected") as caught:
        Citation.read(tmp_path / "CITATION.cff")
    assert "\n" not in str(caught.value)
