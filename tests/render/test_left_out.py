"""Suites with fewer checkpoints, references or tokens than the paper's figures need, and models nobody here trained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.render.fakes import CHECKOUT, CHECKPOINTS, FakeStudy, fake_records, fake_suite
from tests.render.test_report import build, text_of
from universal_neurons.inputs.suite_file import ZooSpec
from universal_neurons.render.evidence_log import EvidenceUnusable
from universal_neurons.render.figures.figure import Figure
from universal_neurons.render.pages.paper import REQUIRED, Groups, drawn_figures, figures_of
from universal_neurons.render.results import results

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.inputs.suite import Suite
    from universal_neurons.render.results import Results

PUBLISHED = ZooSpec(kind="hub", path="stanford-gpt2-small", models=("a", "b", "c", "d", "e"), reference="a")
PERSISTENCE = {"ceiling", *(f"paper-{number}" for number in (1, 3, 4, 5, 6))}


def found_on(suite: Suite) -> Results:
    return results(FakeStudy(suite), CHECKOUT)


@pytest.fixture(scope="module")
def alone() -> Results:
    """Published models at one checkpoint, one of them as the reference, one number of tokens."""
    variants = fake_suite().variants.model_copy(update={"tokens": ()})
    return found_on(fake_suite(zoo=PUBLISHED, checkpoints=CHECKPOINTS[-1:], references=("a",), variants=variants))


def left_out(drawn: Groups) -> dict[str, str]:
    return {name: one.absence for name, one in figures_of(drawn).items() if one.absence}


def test_a_suite_that_has_everything_leaves_out_nothing(drawn: Groups) -> None:
    assert left_out(drawn) == {}


def test_of_two_checkpoints_the_figures_of_a_third_are_left_out() -> None:
    drawn = drawn_figures(found_on(fake_suite(checkpoints=(CHECKPOINTS[1], CHECKPOINTS[3]))))
    assert left_out(drawn) == dict.fromkeys(
        ("paper-5", "paper-6"), "it needs a third checkpoint, and this suite has two."
    )


def test_of_many_checkpoints_three_are_shown_where_the_papers_own_are_not_among_them() -> None:
    found = found_on(fake_suite(checkpoints=tuple(CHECKPOINTS[i] for i in (0, 1, 3))))
    assert found.persistence.spans == (("25 %", "50 %"), ("50 %", "100 %"), ("25 %", "100 %"))


def test_of_one_checkpoint_one_reference_and_one_number_of_tokens_the_rest_is_there(alone: Results) -> None:
    drawn = drawn_figures(alone)
    absent = left_out(drawn)
    assert set(absent) == PERSISTENCE | {"tokens", "training", *(f"paper-{number}" for number in (9, 10, 11, 12))}
    assert absent["paper-1"] == "it compares checkpoints of one training, and this suite has only one."
    assert absent["paper-9"] == "it is a mean over models, and this suite has only one reference."
    assert absent["tokens"] == "it compares numbers of tokens, and this suite has only one."
    assert absent["training"] == "others trained these models without a log."
    assert {"paper-2", "paper-20", "variants", "dose"} & set(absent) == set()


def test_a_figure_that_is_left_out_is_a_sentence_under_its_own_anchor() -> None:
    block = Figure.left_out("paper-5", "it has <no> data.", label="Figure 5 of the paper.").block()
    assert '<p id="fig-paper-5" class="absent">' in block
    assert "<strong>Figure 5 of the paper.</strong> Left out: it has &lt;no&gt; data.</p>" in block


def test_the_report_of_a_narrowed_suite_says_so_and_is_built_from_its_own_evidence_only(
    root: Path, alone: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrowing = {"narrowing": "checkpoints 100 %; references a", "options": (("checkpoints", "100 %"),)}
    study = FakeStudy(alone.suite.model_copy(update=narrowing))
    monkeypatch.setattr("universal_neurons.render.report.results", lambda *_: replace(alone, suite=study.suite))
    with pytest.raises(
        EvidenceUnusable, match="expected evidence of suite mini --checkpoints '100 %', got mini; run: "
    ):
        build(root, "whole", fake_records(), study)
    records = [replace(one, narrowed_by="--checkpoints '100 %'") for one in fake_records()]
    built = build(root, "narrowed", records, study)
    said, paper = text_of(built / "index.html"), (built / "paper.html").read_text(encoding="utf-8")
    assert "every number on these pages is for the reduced suite: checkpoints 100 %; references a." in said
    assert "5 models published by others" in said
    assert "trained by this project" not in said
    assert [anchor for anchor in REQUIRED if f'id="{anchor}"' not in paper] == []
    assert "it needs two checkpoints" in text_of(built / "paper.html")
    assert "The suite was reduced: checkpoints 100 %; references a." in text_of(built / "methods.html")
    claim = text_of(built / "claims" / "n1.html")
    assert "--suite mini --checkpoints '100 %'" in claim.replace("&#x27;", "'").replace("&#39;", "'")
