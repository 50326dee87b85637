from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.harness.worlds import claim_file
from universal_neurons.evidence.ledger import Corrected, Ledger
from universal_neurons.evidence.verdict import Verdict

if TYPE_CHECKING:
    from tests.harness.projects import Project
    from universal_neurons.evidence.multiplicity import Correction

pytest_plugins = ("pytester",)

HOLM = ', family="emergence", correction="holm"'
# Refuted with p = 0.02: by itself, and no longer as the strongest of two undecided items.
WEAKLY, STRONGLY, UNDECIDED = "around(0.0605)", "around(0.2)", "around(0.05)"
TWO_ITEMS = "around({b} if partner == 'b' else {c})"
LEFT_OUT = "corrected for what ran only, and not compared with the accepted verdict: N1; the family did not run whole"


def accept(project: Project, claim: str, verdict: str, *, correction: Correction = "holm", **items: str) -> None:
    """Accept a corrected claim, with the verdicts of its items for the partners."""
    old = Ledger.read(project.ledger)
    named = {f"a-{partner}": Verdict(word) for partner, word in items.items()} or {"": Verdict(verdict)}
    corrected = {**old.corrected, claim: Corrected(correction, Verdict(verdict))}
    Ledger({**old.claims, claim: named}, old.readings, corrected).write(project.ledger, "mini")


def test_a_refutation_that_does_not_survive_the_correction_leaves_the_claim_inconclusive(project: Project) -> None:
    body = TWO_ITEMS.format(b=0.0605, c=0.05)
    project.write(claim_file(body, takes="study, partner", options=HOLM))
    project.run("claims", "--update-verdicts")
    assert tomllib.loads(project.ledger.read_text())["N1"] == {
        "verdict": "inconclusive",
        "correction": "holm",
        "items": {"a-b": "refuted", "a-c": "inconclusive"},
    }
    result = project.run()
    result.assert_outcomes(passed=2, xfailed=2)
    assert result.ret == 0
    (claim,) = project.claims()
    assert claim.verdict == "inconclusive"
    assert claim.items[0].verdict == "refuted"
    first, second = claim.tested.values()
    assert first.p == pytest.approx(0.0198, abs=1e-4)
    assert claim.adjusted_p == first.adjusted == pytest.approx(2 * first.p)
    assert second.p == pytest.approx(0.5)
    result.stdout.fnmatch_lines(["N1  open (2) * p 0.04 *"])


def test_a_clear_refutation_survives_the_correction(project: Project) -> None:
    project.write(claim_file(TWO_ITEMS.format(b=0.2, c=0.05), takes="study, partner", options=HOLM))
    accept(project, "N1", "refuted", b="refuted", c="inconclusive")
    assert project.run().ret == 0


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        (HOLM, "inconclusive"),
        (HOLM.replace("emergence", "persistence"), "refuted"),
        (HOLM.replace("holm", "benjamini-hochberg"), "refuted"),
        (', family="emergence"', "refuted"),
    ],
)
def test_the_claims_of_one_family_and_correction_are_corrected_together(
    project: Project, options: str, verdict: str
) -> None:
    project.write(claim_file(WEAKLY, options=HOLM), claim_file(UNDECIDED, id="N2", name="two", options=options))
    project.run()
    assert project.claims()[0].verdict == verdict


def test_a_claim_whose_items_are_all_reproduced_needs_no_correction(project: Project) -> None:
    body = "around(0.0395)"
    project.write(claim_file(body, takes="study, partner, checkpoint", options=HOLM))
    project.run()
    (claim,) = project.claims()
    assert claim.verdict == "reproduced"
    assert {tested.adjusted > 0.025 for tested in claim.tested.values()} == {True}
    assert claim.adjusted_p == max(tested.p for tested in claim.tested.values())


def test_a_claim_whose_verdict_changes_with_its_family_fails_the_run_though_no_item_changed(project: Project) -> None:
    project.write(claim_file(WEAKLY, options=HOLM), claim_file(UNDECIDED, id="N2", name="two", options=HOLM))
    accept(project, "N1", "refuted")
    accept(project, "N2", "inconclusive")
    result = project.run()
    result.assert_outcomes(passed=2, xfailed=2)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["N1: changed from refuted to inconclusive after holm over its family"])
    project.run("claims", "--update-verdicts")
    assert project.run().ret == 0


@pytest.mark.parametrize(
    "arguments", [("claims", "-k", "few"), ("claims/test_claims.py::test_few",), ("claims/test_claims.py",)]
)
def test_a_family_that_does_not_run_whole_is_not_compared_and_one_line_says_so(
    project: Project, arguments: tuple[str, ...]
) -> None:
    project.write(claim_file(WEAKLY, options=HOLM), claim_file(UNDECIDED, id="N2", name="two", options=HOLM))
    ledger = Ledger(
        {"N1": {"": Verdict.REFUTED}, "N2": {"": Verdict.INCONCLUSIVE}},
        corrected={claim: Corrected("holm", Verdict.INCONCLUSIVE) for claim in ("N1", "N2")},
    )
    ledger.write(project.ledger, "mini")
    result = project.run(*arguments)
    assert result.ret == 0
    result.stdout.fnmatch_lines([LEFT_OUT])
    project.run(*arguments, "--update-verdicts")
    assert Ledger.read(project.ledger) == ledger
    assert LEFT_OUT not in project.run().stdout.str()


def test_a_family_without_some_of_its_evidence_is_not_compared_either(project: Project) -> None:
    project.write(
        claim_file(WEAKLY, options=HOLM),
        claim_file("study.share('c', 1)", id="N2", name="two", options=HOLM),
    )
    ledger = Ledger(
        {"N1": {"": Verdict.REFUTED}, "N2": {"": Verdict.INCONCLUSIVE}},
        corrected={claim: Corrected("holm", Verdict.INCONCLUSIVE) for claim in ("N1", "N2")},
    )
    ledger.write(project.ledger, "mini")
    result = project.run()
    result.assert_outcomes(passed=2, xfailed=1, skipped=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines([LEFT_OUT])


@pytest.mark.parametrize(
    ("options", "accepted", "change"),
    [
        (HOLM, None, "from None to holm"),
        ("", "holm", "from holm to None"),
        (HOLM, "benjamini-hochberg", "from benjamini-hochberg to holm"),
    ],
)
def test_another_correction_than_the_accepted_one_fails_the_run(
    project: Project, options: str, accepted: Correction | None, change: str
) -> None:
    project.write(claim_file(options=options))
    project.accept(N1="reproduced")
    if accepted is not None:
        accept(project, "N1", "reproduced", correction=accepted)
    result = project.run()
    result.assert_outcomes(passed=2)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"N1: correction changed {change}; run with --update-verdicts"])
    project.run("claims", "--update-verdicts")
    assert project.run().ret == 0


def test_a_reading_is_corrected_as_if_it_stood_in_its_claims_place(project: Project) -> None:
    project.write(
        claim_file(STRONGLY, options=HOLM, others=(WEAKLY,)),
        claim_file(UNDECIDED, id="N2", name="two", options=HOLM),
    )
    project.run()
    first, _ = project.claims()
    (reading,) = first.readings
    assert (first.verdict, reading.verdict) == ("refuted", "inconclusive")
    (tested,) = reading.tested.values()
    assert tested.adjusted == pytest.approx(2 * tested.p)


def test_workers_correct_over_the_whole_family(project: Project) -> None:
    project.write(claim_file(WEAKLY, options=HOLM), claim_file(UNDECIDED, id="N2", name="two", options=HOLM))
    accept(project, "N1", "refuted")
    accept(project, "N2", "inconclusive")
    result = project.run_workers()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["N1: changed from refuted to inconclusive after holm over its family"])
