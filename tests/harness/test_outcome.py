from __future__ import annotations

import pytest

from tests.harness.projects import Project, assert_refused
from tests.harness.worlds import claim_file
from universal_neurons.evidence.verdict import Verdict

pytest_plugins = ("pytester",)


def test_a_reproduced_and_accepted_claim_passes(project: Project) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced")
    result = project.run()
    result.assert_outcomes(passed=2)
    assert result.ret == 0


@pytest.mark.parametrize(
    ("body", "verdict", "reason"),
    [
        ("around(0.2)", "refuted", "at most 0.05"),
        ("around(0.05)", "inconclusive", "at most 0.05"),
        ("Measurement.missing()", "not_evaluated", "nothing to measure"),
    ],
)
def test_an_accepted_verdict_that_is_not_reproduced_is_an_expected_failure(
    project: Project, body: str, verdict: str, reason: str
) -> None:
    project.write(claim_file(body, expect="AtMost(0.05)"))
    project.accept(N1=verdict)
    result = project.run("claims", "-rx")
    result.assert_outcomes(passed=1, xfailed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"XFAIL *{verdict} as accepted: *{reason}*"])


def test_an_accepted_verdict_is_no_excuse_under_runxfail(project: Project) -> None:
    project.write(claim_file("around(0.2)"))
    project.accept(N1="refuted")
    project.run("claims", "--runxfail").assert_outcomes(passed=1, failed=1)


@pytest.mark.parametrize(
    ("body", "accepted", "now"),
    [
        ("around(0.2)", "reproduced", "refuted"),
        ("around(0.02)", "refuted", "reproduced"),
        ("Measurement.missing()", "reproduced", "not_evaluated"),
    ],
)
def test_a_changed_verdict_fails_without_traceback(project: Project, body: str, accepted: str, now: str) -> None:
    project.write(claim_file(body))
    project.accept(N1=accepted)
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"changed from {accepted} to {now}: *"])
    assert "Traceback" not in result.stdout.str()


def test_a_claim_that_nobody_accepted_fails_even_if_reproduced(project: Project) -> None:
    project.write(claim_file())
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["reproduced, but no accepted verdict; run with --update-verdicts*"])


def test_an_exception_is_an_error_and_never_a_refutation(project: Project) -> None:
    project.write(claim_file("1 / 0"))
    project.accept(N1="refuted")
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E *ZeroDivisionError: division by zero"])
    record = project.records()["claim N1"]
    assert (record.verdict, record.measurement) == (Verdict.ERROR, None)
    assert record.reason == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    "body", ["pytest.fail('no')", "pytest.xfail('no')", "(_ for _ in ()).throw(AssertionError('no'))", "warn('no')"]
)
def test_no_way_of_failing_looks_like_a_refutation(project: Project, body: str) -> None:
    project.write("import pytest\nfrom warnings import warn\n", claim_file(body))
    project.accept(N1="refuted")
    project.run().assert_outcomes(passed=1, failed=1)
    assert project.records()["claim N1"].verdict is Verdict.ERROR


def test_what_is_not_a_measurement_is_an_error_in_one_line(project: Project) -> None:
    project.write(claim_file("0.04"))
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["error: test_few returned float, expected a Measurement"])
    assert project.records()["claim N1"].verdict is Verdict.ERROR


def test_missing_evidence_skips_with_the_command_and_changes_nothing(project: Project) -> None:
    project.write(claim_file("study.share('c', 1)"))
    project.accept(N1="reproduced")
    result = project.run("claims", "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["SKIPPED *evidence missing; run: universal-neurons compute --suite mini"])
    record = project.records()["claim N1"]
    assert (record.verdict, record.command) == (Verdict.NOT_EVALUATED, "universal-neurons compute --suite mini")


def test_a_study_without_any_evidence_skips_every_claim(project: Project) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced")
    (project.root / "uncomputed").touch()
    result = project.run("claims", "-rs")
    result.assert_outcomes(skipped=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["SKIPPED *run: universal-neurons compute"])
    assert project.records()["claim N1"].command == "universal-neurons compute"


def test_a_claim_without_evidence_for_its_control_is_not_evaluated(project: Project) -> None:
    project.write(claim_file(control="study.share('c', 1)"))
    project.accept(N1="reproduced")
    project.run().assert_outcomes(skipped=2)
    assert project.records()["claim N1"].reason.startswith("evidence of its control test_control_of_few missing")


def test_a_claim_that_is_not_about_the_suite_is_measured_and_skipped(project: Project) -> None:
    on = ', on={"mini": NotJudged("the number is about GPT-2 small")}'
    project.write(claim_file(options=on, control="1 / 0"))
    project.accept(N1="not_evaluated")
    result = project.run("claims", "-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED *not judged: the number is about GPT-2 small"])
    assert project.records()["claim N1"].measurement is not None


def test_a_claim_no_longer_judged_is_a_change(project: Project) -> None:
    project.write(claim_file(options=', on={"mini": NotJudged("no longer")}'))
    project.accept(N1="reproduced")
    result = project.run()
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["changed from reproduced to not_evaluated: *"])


def test_the_criterion_of_the_suite_counts(project: Project) -> None:
    project.write(claim_file(options=', on={"mini": AtLeast(0.3)}', control="around(0.01)"))
    project.accept(N1="refuted")
    project.run().assert_outcomes(passed=1, xfailed=1)
    assert project.records()["claim N1"].criterion_text == "at least 0.3"


def test_a_published_number_is_looked_up_and_recorded(project: Project) -> None:
    expect = 'Near(Published("nandan2025.table1", threshold=0.5, step=1))'
    project.write(claim_file("around(0.045)", expect=expect))
    project.accept(N1="reproduced")
    project.run().assert_outcomes(passed=2)
    record = project.records()["claim N1"]
    assert record.criterion["target"]["value"] == 0.0474
    assert record.rejudged().verdict is Verdict.REPRODUCED


def test_a_published_number_may_be_that_of_the_items_own_cell(project: Project) -> None:
    expect = 'Near(Published("nandan2025.table1", step="checkpoint"))'
    options = ', axes={"checkpoint": ("25 %", "100 %")}'
    project.write(claim_file("around(0.045)", expect=expect, takes="study, checkpoint", options=options))
    project.accept(N1={"25%": "reproduced", "100%": "reproduced"})
    project.run().assert_outcomes(passed=4)
    cells = {record.criterion["target"]["where"]["step"] for record in project.records().values()}
    assert cells == {1, 4}


def test_a_control_without_the_axis_of_its_claims_cell_is_refused(project: Project) -> None:
    project.write(
        claim_file(
            "around(0.045)", expect='Near(Published("nandan2025.table1", step="checkpoint"))', takes="study, checkpoint"
        ).replace("def test_control_of_few(study, checkpoint)", "def test_control_of_few(study)")
    )
    assert_refused(project.run(), "needs the axis checkpoint")
