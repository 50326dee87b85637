from __future__ import annotations

import pytest

from tests.harness.projects import Project, assert_refused
from tests.harness.worlds import claim_file
from universal_neurons.evidence.log import RECORDS, EvidenceLog
from universal_neurons.evidence.verdict import Verdict

pytest_plugins = ("pytester",)


@pytest.mark.parametrize(
    ("takes", "axes", "items"),
    [
        ("study", "{}", [""]),
        ("study, partner", "{}", ["a-b", "a-c"]),
        ("study, reference", "{}", ["a", "b", "c"]),
        ("study, reference, partner", "{}", ["a-b", "a-c", "b-a", "b-c", "c-a", "c-b"]),
        ("study, partner, reference", '{"partner": ("b",)}', ["a-b", "c-b"]),
        ("study, checkpoint", "{}", ["25%", "50%", "100%"]),
        ("study, checkpoint", '{"checkpoint": "first"}', ["25%"]),
        ("study, checkpoint", '{"checkpoint": "last"}', ["100%"]),
        ("study, checkpoint", '{"checkpoint": (1, "50 %")}', ["25%", "50%"]),
        ("study, interval", "{}", ["25%-50%", "50%-100%"]),
        ("study, interval", '{"interval": ((2, 4),)}', ["50%-100%"]),
        ("study, threshold", "{}", ["0.4", "0.5"]),
        ("study, partner, threshold=0.5", "{}", ["a-b", "a-c"]),
        ("study, layer, threshold", '{"threshold": (0.5,)}', ["0.5-L0", "0.5-L1"]),
        ("study, interval, partner", '{"partner": ("c",)}', ["a-c-25%-50%", "a-c-50%-100%"]),
    ],
)
def test_arguments_named_after_axes_are_parametrised_from_the_suite(
    project: Project, takes: str, axes: str, items: list[str]
) -> None:
    project.write(claim_file(takes=takes, options=f", axes={axes}"))
    project.accept(N1=dict.fromkeys(items, "reproduced"))
    project.run().assert_outcomes(passed=2 * len(items))
    assert [r.item for r in project.records().values() if r.role == "claim"] == items


SELECTED = claim_file(takes="study, checkpoint", options=', axes={"checkpoint": ("25 %", "100 %")}')


def test_values_that_only_another_suite_has_leave_one_record_with_the_reason_and_the_rest_runs(
    project: Project,
) -> None:
    project.write(SELECTED, claim_file(id="N2", name="two"))
    result = project.run("claims", "--suite", "tiny", "-rs")
    result.assert_outcomes(passed=1, skipped=2, failed=1)
    why = "not evaluated on this suite: claim N1: checkpoint has no value '25 %' on suite tiny; it has 100%"
    result.stdout.fnmatch_lines([f"SKIPPED * {why}"])
    records = EvidenceLog.read(project.evidence.with_name("tiny") / RECORDS).records
    (claim,) = (record for record in records if (record.claim, record.role) == ("N1", "claim"))
    assert (claim.verdict, claim.reason, claim.measurement) == (Verdict.NOT_EVALUATED, f"skipped: {why}", None)
    project.run("claims", "--suite", "tiny", "--update-verdicts")
    assert project.run("claims", "--suite", "tiny").ret == 0


def test_values_that_no_suite_has_together_are_a_mistake(project: Project) -> None:
    project.write(SELECTED.replace("100 %", "75 %"))
    assert_refused(project.run("claims", "--suite", "tiny"), "checkpoint has no value", "on suite tiny")


def test_an_axis_that_is_empty_on_the_suite_is_not_evaluated(project: Project) -> None:
    project.write(claim_file(takes="study, interval, partner"))
    result = project.run("claims", "--suite", "tiny", "-rs")
    result.assert_outcomes(skipped=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["SKIPPED * suite tiny has no partner, interval"])
    records = EvidenceLog.read(project.evidence.with_name("tiny") / RECORDS).records
    assert [record.verdict for record in records] == [Verdict.NOT_EVALUATED] * 2
    assert records[0].reason == "skipped: suite tiny has no partner, interval"
