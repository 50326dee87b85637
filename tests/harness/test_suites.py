"""Claims that a suite cannot answer, and runs over a narrowed suite."""

from __future__ import annotations

import pytest

from tests.harness.projects import Project, assert_refused
from tests.harness.worlds import claim_file
from universal_neurons.evidence.log import RECORDS, EvidenceLog
from universal_neurons.evidence.verdict import Verdict

pytest_plugins = ("pytester",)

LACKING = "(_ for _ in ()).throw(NotOnSuite('expected two checkpoints, got 1'))"
REASON = "not evaluated on this suite: expected two checkpoints, got 1"
SECOND = """

@control(of=test_few)
def test_second_control_of_few(study):
    return {body}
"""


def test_what_the_suite_cannot_answer_is_not_evaluated_and_needs_no_accepted_verdict(project: Project) -> None:
    project.write(claim_file(LACKING, others=(LACKING,)))
    result = project.run("claims", "-rs")
    result.assert_outcomes(passed=1, skipped=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"SKIPPED *{REASON}"])
    records = project.records()
    for name in ("claim N1", "reading N1"):
        assert (records[name].verdict, records[name].reason) == (Verdict.NOT_EVALUATED, REASON)
        assert (records[name].measurement, records[name].command) == (None, None)
        assert records[name].controls == ()
    assert project.log().complete is True


def test_a_verdict_that_the_suite_could_give_once_is_missed(project: Project) -> None:
    project.write(claim_file(LACKING, others=(LACKING,)))
    project.accept(N1="reproduced")
    project.accept_readings("N1", {"test_other_0_of_few": "refuted"})
    result = project.run()
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines_random(
        [f"changed from reproduced to not_evaluated: {REASON}", f"changed from refuted to not_evaluated: {REASON}"]
    )


def test_what_was_accepted_as_not_evaluated_is_skipped(project: Project) -> None:
    project.write(claim_file(LACKING))
    assert project.run("claims", "--update-verdicts").ret == 1
    result = project.run()
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == 0


def test_a_control_that_the_suite_cannot_answer_is_left_out_and_shown(project: Project) -> None:
    project.write(claim_file(control=LACKING) + SECOND.format(body="around(0.5)"))
    project.accept(N1="reproduced")
    result = project.run("claims", "-rs")
    result.assert_outcomes(passed=2, skipped=1)
    assert result.ret == 0
    record = project.records()["claim N1"]
    assert record.verdict is Verdict.REPRODUCED
    absent, sound = record.controls
    assert (absent.verdict, absent.reason, absent.measurement) == (Verdict.NOT_EVALUATED, REASON, None)
    assert sound.verdict is Verdict.REFUTED


def test_a_control_that_is_left_makes_a_claim_vacuous_as_ever(project: Project) -> None:
    project.write(claim_file(control=LACKING) + SECOND.format(body="around(0.01)"))
    project.accept(N1="vacuous")
    project.run().assert_outcomes(skipped=1, xfailed=2)
    assert project.records()["claim N1"].verdict is Verdict.VACUOUS


def test_a_claim_without_any_control_on_the_suite_is_not_evaluated(project: Project) -> None:
    project.write(claim_file(control=LACKING) + SECOND.format(body=LACKING))
    result = project.run("claims")
    result.assert_outcomes(skipped=3)
    assert result.ret == 0
    record = project.records()["claim N1"]
    assert record.reason == f"not evaluated on this suite: no control can be measured; {REASON}"
    # A measurement in the record would be judged again by whoever reads it.
    assert record.measurement is None
    assert record.rejudged().verdict is Verdict.NOT_EVALUATED


@pytest.mark.parametrize(
    ("expect", "kind", "said"),
    [
        ("Near(Published('table1', step='checkpoint'))", "not_judged", "this suite has no checkpoint that it is about"),
        ("AtMost(Published('table1'))", "at_most", "at most 0.0474"),
    ],
)
def test_the_criterion_of_what_the_suite_has_no_value_for_can_be_read(
    project: Project, expect: str, kind: str, said: str
) -> None:
    """The report reads every record's criterion; one whose number was never looked up would stop it."""
    project.write(claim_file(takes="study, checkpoint", expect=expect, options=', axes={"checkpoint": ("25 %",)}'))
    result = project.run("claims", "--suite", "tiny")
    result.assert_outcomes(skipped=2)
    record = next(
        one for one in EvidenceLog.read(project.evidence.with_name("tiny") / RECORDS).records if one.role == "claim"
    )
    assert record.criterion["kind"] == kind
    assert said in record.criterion_text


def test_a_checkpoint_about_which_nothing_is_printed_is_measured_and_not_judged(project: Project) -> None:
    expect = "Near(Published('table1', step='checkpoint'), absolute=0.05)"
    project.write(
        claim_file(takes="study, checkpoint", expect=expect, options=', axes={"checkpoint": ("25 %", "50 %")}')
    )
    assert project.run("claims", "--update-verdicts").ret == 1
    assert project.run("claims").ret == 0
    judged, shown = (one for one in EvidenceLog.read(project.evidence / RECORDS).records if one.role == "claim")
    assert judged.verdict is Verdict.REPRODUCED
    assert (shown.verdict, shown.reason) == (Verdict.NOT_EVALUATED, "not judged: table1 has no step 2")
    assert shown.measurement is not None


def test_a_suite_that_nobody_fetched_is_one_line_and_not_a_thousand_skips(project: Project) -> None:
    project.write(claim_file(takes="study, partner, checkpoint"))
    (project.root / "unfetched").touch()
    assert_refused(project.run(), "mini: a@10: not pinned; run: fetch")


def test_a_run_says_where_what_is_missing_is_imported_from_and_otherwise_nothing(project: Project) -> None:
    project.write(claim_file())
    project.run("claims", "--remote", "hf://datasets/someone/evidence@0")
    assert (project.root / "remote.txt").read_text() == "hf://datasets/someone/evidence@0"
    (project.root / "remote.txt").unlink()
    project.run()
    assert not (project.root / "remote.txt").exists()


# --- narrowed --------------------------------------------------------------------------------------------------------

NARROW = ("--checkpoints", "50 %, 100 %", "--tokens", "50k")
CHOSEN = "{'checkpoints': ('50 %', '100 %'), 'tokens': 50000}"
SAID = "checkpoints ('50 %', '100 %'); tokens 50000"


def test_a_narrowed_run_is_about_less_and_says_so(project: Project) -> None:
    project.write(claim_file(takes="study, checkpoint"))
    result = project.run("claims", *NARROW)
    result.assert_outcomes(passed=4)
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"*verdicts of suite mini ({SAID})*"])
    assert (project.root / "narrowing.txt").read_text() == CHOSEN
    folder = project.evidence.with_name("mini-narrowed")
    assert f'"narrowed_by": "--{SAID}"' in (folder / "records.jsonl").read_text()
    assert not project.evidence.exists()


def test_a_whole_run_asks_for_no_narrowing(project: Project) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced")
    assert project.run().ret == 0
    assert not (project.root / "narrowing.txt").exists()
    assert project.records()["claim N1"].narrowed_by == ""


@pytest.mark.parametrize(
    ("body", "control", "outcomes"),
    [
        ("around(0.02)", "around(0.5)", {"passed": 2}),
        ("around(0.2)", "around(0.5)", {"passed": 1, "xfailed": 1}),
        ("around(0.02)", "around(0.01)", {"xfailed": 2}),
        ("Measurement.missing()", "around(0.5)", {"passed": 1, "xfailed": 1}),
    ],
)
def test_no_verdict_on_a_narrowed_suite_is_a_change(
    project: Project, body: str, control: str, outcomes: dict[str, int]
) -> None:
    project.write(claim_file(body, control=control))
    project.accept(N1="inconclusive", N9="reproduced")
    result = project.run("claims", *NARROW)
    result.assert_outcomes(**outcomes)
    assert result.ret == 0
    assert "N9" not in result.stdout.str()


def test_an_error_on_a_narrowed_suite_is_an_error(project: Project) -> None:
    project.write(claim_file("1 / 0"))
    assert project.run("claims", *NARROW).ret == 1


def test_verdicts_on_a_narrowed_suite_are_not_accepted(project: Project) -> None:
    project.write(claim_file())
    result = project.run("claims", "--update-verdicts", *NARROW)
    assert_refused(result, "--update-verdicts: expected a whole suite", "leave out --checkpoints, --tokens")
    assert not project.ledger.exists()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--tokens", "many", "tokens: expected a number such as 50000, 50k or 5M, got 'many'"),
        ("--checkpoints", "30 %", "suite mini: checkpoints: got ('30 %',)"),
    ],
)
def test_a_narrowing_that_is_none_is_one_line(project: Project, option: str, value: str, said: str) -> None:
    project.write(claim_file(takes="study, checkpoint"))
    assert_refused(project.run("claims", option, value), said)


def test_workers_narrow_too(project: Project) -> None:
    project.write(claim_file(takes="study, checkpoint"))
    result = project.run_workers(*NARROW)
    result.assert_outcomes(passed=4)
    assert (project.root / "narrowing.txt").read_text() == CHOSEN


def test_a_value_that_the_narrowing_left_out_is_not_evaluated_and_no_mistake(project: Project) -> None:
    project.write(claim_file(takes="study, checkpoint", options=', axes={"checkpoint": ("25 %",)}'))
    result = project.run("claims", "-rs", *NARROW)
    result.assert_outcomes(skipped=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*not evaluated on this suite: claim N1: checkpoint has no value '25 %'*"])
