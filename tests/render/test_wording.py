from __future__ import annotations

import pytest

from universal_neurons.evidence.criteria import (
    AtLeast,
    AtMost,
    Between,
    Criterion,
    Equivalent,
    GreaterThan,
    LessThan,
    Near,
    NotJudged,
)
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.render.wording import WORDING, criterion_phrase, summary_sentence, verdict_sentence


def test_every_verdict_has_its_own_words_and_its_own_sign() -> None:
    assert set(WORDING) == set(Verdict)
    for part in ("label", "sign", "meaning"):
        assert len({getattr(words, part) for words in WORDING.values()}) == len(Verdict)


@pytest.mark.parametrize("verdict", Verdict)
def test_the_sentence_of_a_verdict_begins_with_it_and_names_no_other(verdict: Verdict) -> None:
    sentence = verdict_sentence([verdict])
    assert sentence.startswith(WORDING[verdict].label.capitalize() + ":")
    others = {words.label for v, words in WORDING.items() if v is not verdict}
    assert not [label for label in others if label in sentence.replace("criterion", "").casefold().split()]


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.REFUTED])
def test_only_a_refuted_claim_is_called_refuted(verdict: Verdict) -> None:
    assert "refuted" not in verdict_sentence([verdict]).casefold()


@pytest.mark.parametrize(
    ("verdicts", "end"),
    [
        ([Verdict.REPRODUCED] * 2, ", in both cases."),
        ([Verdict.REPRODUCED] * 3, ", in all 3 cases."),
        ([Verdict.REPRODUCED, Verdict.REFUTED, Verdict.REPRODUCED], ". Its 3 cases: 1 refuted and 2 reproduced."),
        ([Verdict.REPRODUCED, Verdict.ERROR], ". Its 2 cases: 1 error and 1 reproduced."),
    ],
)
def test_several_cases_are_counted(verdicts: list[Verdict], end: str) -> None:
    assert verdict_sentence(verdicts).endswith(end)


def test_one_refuting_case_refutes_a_claim_about_all_of_them() -> None:
    assert verdict_sentence([Verdict.REPRODUCED, Verdict.REFUTED]).startswith("Refuted:")


def test_a_claim_without_cases_is_not_evaluated() -> None:
    assert verdict_sentence([]).startswith("Not evaluated:")


def test_the_summary_counts_every_verdict_and_names_no_claim() -> None:
    sentence = summary_sentence([*Verdict, Verdict.REPRODUCED])
    assert sentence.startswith("Of 8 claims, 2 are reproduced, 1 is refuted, 1 is left open, ")
    assert sentence.count("1 is") == len(Verdict) - 1


def test_no_claim_gives_a_sentence_that_says_so() -> None:
    assert summary_sentence([]) == "No claim was judged."


@pytest.mark.parametrize(
    ("criterion", "unit", "phrase"),
    [
        (AtMost(0.05), "share", "at most 5 %"),
        (LessThan(-0.001), "share", "below −0.1 %"),
        (AtLeast(3.0), "nats", "at least 3 nats"),
        (GreaterThan(0.0), "", "above 0"),
        (Between(0.01, 0.05), "share", "from 1 % to 5 %"),
        (Near(0.0474), "share", "within 0.5 points or 10 % of 4.74 %"),
        (Equivalent(0.0, 0.01), "share", "within 1 points of 0 %"),
        (NotJudged("other models"), "share", "not judged: other models"),
    ],
)
def test_a_criterion_is_said_in_the_unit_of_its_quantity(criterion: Criterion, unit: str, phrase: str) -> None:
    assert criterion_phrase(criterion, unit) == phrase
