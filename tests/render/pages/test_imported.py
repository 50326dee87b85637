"""What a report says of evidence that was computed elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.render.fakes import ARTIFACTS, FakeStudy
from tests.render.payloads import PAYLOADS
from tests.render.read import attributes, elements
from tests.render.test_report import build, text_of
from universal_neurons.artifacts.receipt import Imported, Receipt, Sample
from universal_neurons.render.html.checks import CheckedPage
from universal_neurons.render.pages.imported import checked, mark, marked_stage

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = "universal-neurons store verify --recompute-sample --suite mini"
SAMPLE = Sample(ARTIFACTS[1], "2026-01-02T03:04:05Z", None, "a@4000 against b@4000, 1000 neurons computed again")
RECEIPT = Receipt("mini", "datasets/someone/evidence@0123456789ab", "ab" * 32, {ARTIFACTS[1]: "cd" * 32})
UNCHECKED = Imported.of((RECEIPT,), {ARTIFACTS[1]: "cd" * 32})
CHECKED = Imported.of((replace(RECEIPT, sample=SAMPLE),), {ARTIFACTS[1]: "cd" * 32})


def test_evidence_of_our_own_and_evidence_that_was_checked_have_no_mark() -> None:
    assert mark(Imported(), artifacts=2, command=COMMAND) is None
    assert mark(CHECKED, artifacts=2, command=COMMAND) is None
    assert checked(Imported()) == checked(UNCHECKED) == ()


def test_the_mark_says_how_much_from_where_and_what_takes_it_away() -> None:
    said = str(mark(UNCHECKED, artifacts=2, command=COMMAND)).replace("\\", "")
    assert said.startswith("**Imported evidence.** 1 of the 2 artifacts behind these pages were computed elsewhere ")
    assert "imported from datasets/someone/evidence@0123456789ab." in said
    assert said.endswith(f"`{COMMAND}`.")


def test_an_import_without_a_receipt_is_marked_all_the_same() -> None:
    lost = Imported.of((), {ARTIFACTS[1]: "cd" * 32})
    assert "computed elsewhere and imported\\." in str(mark(lost, artifacts=2, command=COMMAND))


def test_of_two_imports_only_the_unchecked_one_is_named() -> None:
    other = replace(RECEIPT, sample=SAMPLE, source="folder elsewhere", bundle="ef" * 32, artifacts={"x": "y"})
    both = Imported.of((RECEIPT, other), {ARTIFACTS[1]: "cd" * 32, "x": "y"})
    said = str(mark(both, artifacts=2, command=COMMAND))
    assert "folder elsewhere" not in said
    assert "1 of the 2 artifacts" in said
    (sentence,) = checked(both)
    assert sentence.startswith("Imported from folder elsewhere; a sample was recomputed here on 2026-01-02: a@")


def test_a_stage_is_marked_where_its_artifact_is_unchecked() -> None:
    assert marked_stage("universality", ARTIFACTS[1], UNCHECKED) == "universality, imported"
    assert marked_stage("universality", ARTIFACTS[1], CHECKED) == "universality"
    assert marked_stage("corpus", ARTIFACTS[0], UNCHECKED) == "corpus"


@pytest.mark.usefixtures("measured_once")
def test_a_report_is_marked_on_its_pages_and_beside_what_claims_were_judged_from(root: Path) -> None:
    built = build(root, "marked", study=FakeStudy(elsewhere=UNCHECKED))
    for page in ("index", "paper", "methods"):
        said = text_of(built / f"{page}.html")
        assert "Imported evidence. 1 of the 2 artifacts behind these pages were computed elsewhere" in said, page
        assert COMMAND in said, page
    assert "universality, imported (1)" in text_of(built / "claims" / "n1.html")


@pytest.mark.usefixtures("measured_once")
def test_the_mark_goes_when_a_sample_was_computed_and_the_methods_say_so(root: Path) -> None:
    built = build(root, "checked", study=FakeStudy(elsewhere=CHECKED))
    for page in ("index", "paper", "methods", "claims/n1"):
        said = text_of(built / f"{page}.html")
        assert "Imported evidence" not in said, page
        assert "universality, imported" not in said, page
    said = text_of(built / "methods.html")
    assert "a sample was recomputed here on 2026-01-02: a@4000 against b@4000, 1000 neurons" in said


@pytest.mark.usefixtures("measured_once")
def test_a_hostile_name_of_a_source_stays_text(root: Path, report: Path) -> None:
    hostile = replace(RECEIPT, source=" ".join(PAYLOADS))
    sampled = replace(hostile, bundle="ef" * 32, artifacts={ARTIFACTS[0]: "12" * 32})
    sources = (hostile, replace(sampled, sample=replace(SAMPLE, result=" ".join(PAYLOADS))))
    imported = Imported.of(sources, {ARTIFACTS[0]: "12" * 32, ARTIFACTS[1]: "cd" * 32})
    built = build(root, "hostile", study=FakeStudy(elsewhere=imported))
    for page in ("index.html", "methods.html", "paper.html"):
        found, plain = CheckedPage.read(built / page), CheckedPage.read(report / page)
        more = {element for element, number in (elements(found) - elements(plain)).items() if number}
        assert more <= {"p", "strong", "code", "div", "span"}, page
        assert set(attributes(found)) == set(attributes(plain)), page
        assert found.faults == [], page
