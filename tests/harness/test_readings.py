from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.harness.projects import Project, assert_refused
from tests.harness.worlds import claim_file
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

pytest_plugins = ("pytester",)

OTHER = "test_other_0_of_few"


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ("around(0.02)", "reproduced"),
        ("around(0.2)", "refuted"),
        ("around(0.05)", "inconclusive"),
        ("Measurement.missing()", "not_evaluated"),
    ],
)
def test_a_reading_passes_if_its_verdict_is_the_accepted_one_whichever_that_is(
    project: Project, body: str, verdict: str
) -> None:
    project.write(claim_file(others=(body,)))
    project.accept(N1="reproduced")
    project.accept_readings("N1", {OTHER: verdict})
    result = project.run()
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    record = project.records()["reading N1"]
    assert (record.verdict, record.ambiguity, record.says) == (Verdict(verdict), "A1", "the other way, 0")
    assert record.criterion_text == "at most 0.05"


@pytest.mark.parametrize(
    ("accepted", "message"),
    [
        ({OTHER: "reproduced"}, "changed from reproduced to refuted: 0.2 *"),
        ({}, "refuted, but no accepted verdict; run with --update-verdicts*"),
    ],
)
def test_a_reading_fails_if_its_verdict_changed_or_nobody_accepted_it(
    project: Project, accepted: Mapping[str, str], message: str
) -> None:
    project.write(claim_file(others=("around(0.2)",)))
    project.accept(N1="reproduced")
    if accepted:
        project.accept_readings("N1", dict(accepted))
    result = project.run()
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines([message])


def test_a_reading_changes_nothing_about_its_claim(project: Project) -> None:
    project.write(claim_file(others=("around(0.2)", "around(0.01)")))
    project.accept(N1="reproduced")
    project.accept_readings("N1", {OTHER: "refuted", "test_other_1_of_few": "reproduced"})
    project.run().assert_outcomes(passed=4)
    (summary,) = project.claims()
    assert summary.verdict == "reproduced"
    assert [control.verdict for control in summary.first.controls] == ["refuted"]
    assert [(r.name, r.ambiguity, r.says, r.verdict) for r in summary.readings] == [
        (OTHER, "A1", "the other way, 0", "refuted"),
        ("test_other_1_of_few", "A1", "the other way, 1", "reproduced"),
    ]


def test_a_broken_reading_fails_and_its_claim_does_not(project: Project) -> None:
    project.write(claim_file(others=("1 / 0",)))
    project.accept(N1="reproduced")
    project.accept_readings("N1", {OTHER: "refuted"})
    result = project.run()
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["E *ZeroDivisionError: division by zero"])
    assert project.records()["reading N1"].verdict is Verdict.ERROR


def test_a_reading_without_evidence_is_skipped_with_the_command(project: Project) -> None:
    project.write(claim_file(others=("study.share('c', 1)",)))
    project.accept(N1="reproduced")
    project.accept_readings("N1", {OTHER: "reproduced"})
    result = project.run("claims", "-rs")
    result.assert_outcomes(passed=2, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED *run: universal-neurons compute --suite mini"])


def test_a_reading_of_a_claim_that_is_not_judged_is_measured_and_skipped(project: Project) -> None:
    project.write(claim_file(others=("around(0.2)",), options=', on={"mini": NotJudged("about GPT-2 small")}'))
    project.accept(N1="not_evaluated")
    project.accept_readings("N1", {OTHER: "not_evaluated"})
    project.run().assert_outcomes(skipped=3)
    assert project.records()["reading N1"].measurement is not None


def test_a_reading_takes_the_axes_of_its_claim_or_some_and_is_narrowed_as_it_is(project: Project) -> None:
    project.write(
        claim_file(
            takes="study, partner, checkpoint",
            options=', axes={"checkpoint": ("25 %", "100 %")}',
            others=("around(0.02)",),
        ).replace("of_few(study, partner, checkpoint)", "of_few(study, checkpoint)", 1)
    )
    project.run("claims", "--update-verdicts")
    entry = tomllib.loads(project.ledger.read_text())["N1"]
    assert entry["readings"] == {f"{OTHER}[25%]": "reproduced", f"{OTHER}[100%]": "reproduced"}
    assert list(entry) == ["verdict", "items", "readings"]
    assert project.run().ret == 0


def test_readings_are_selected_by_mark_claim_and_ambiguity(project: Project) -> None:
    project.write(claim_file(others=("around(0.02)",)))
    project.accept(N1="reproduced")
    project.accept_readings("N1", {OTHER: "reproduced"})
    for selection in (("-m", "reading"), ("-k", "A1"), ("-m", "reading(id='N1')")):
        assert project.run("claims", *selection).parseoutcomes() == {"passed": 1, "deselected": 2}


def test_a_reading_that_is_gone_leaves_the_ledger_when_its_claim_is_updated(project: Project) -> None:
    project.write(claim_file(others=("around(0.02)",)))
    project.accept(N1="reproduced")
    project.accept_readings("N1", {"test_gone": "refuted", OTHER: "refuted"})
    project.run("claims", "--update-verdicts", "-m", "claim")
    assert Ledger.read(project.ledger).readings["N1"] == {"test_gone": Verdict.REFUTED, OTHER: Verdict.REFUTED}
    project.run("claims", "--update-verdicts")
    assert Ledger.read(project.ledger).readings["N1"] == {OTHER: Verdict.REPRODUCED}


def test_a_lost_reading_is_exit_status_3(project: Project) -> None:
    (project.root / "conftest.py").write_text(
        "import pytest\n\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_protocol(item):\n"
        "    return True if 'other' in item.name else None\n"
    )
    project.write(claim_file(others=("around(0.02)",)))
    project.accept(N1="reproduced")
    result = project.run()
    assert result.ret == 3
    result.stdout.fnmatch_lines([f"1 collected without leaving a record: *{OTHER}"])


def test_workers_report_readings_too(project: Project) -> None:
    project.write(claim_file(others=("around(0.2)",)))
    project.accept(N1="reproduced")
    project.accept_readings("N1", {OTHER: "refuted"})
    project.run_workers().assert_outcomes(passed=3)
    assert project.claims()[0].readings[0].verdict == "refuted"


TABLE = """
from universal_neurons.harness import readings

@readings(
    of=test_few,
    table={"test_by_half": ("A1", "half of it", 0.5), "test_{name}": ("A8", "a fiftieth of it", 0.02)},
)
def scaled(study, checkpoint, factor):
    return around(factor)
"""


def test_a_table_declares_a_reading_for_each_of_its_rows(project: Project) -> None:
    project.write(
        claim_file(takes="study, checkpoint", options=', axes={"checkpoint": "last"}')
        + TABLE.replace("{name}", "by_a_fiftieth")
    )
    project.run("claims", "--update-verdicts")
    entry = tomllib.loads(project.ledger.read_text())["N1"]
    assert entry["readings"] == {"test_by_a_fiftieth[100%]": "reproduced", "test_by_half[100%]": "refuted"}
    assert project.run().ret == 0
    read = project.claims()[0].readings
    assert {(r.name, r.ambiguity, r.says) for r in read} == {
        ("test_by_half", "A1", "half of it"),
        ("test_by_a_fiftieth", "A8", "a fiftieth of it"),
    }


def test_a_table_does_not_replace_a_test_of_the_same_name(project: Project) -> None:
    project.write(claim_file(takes="study, checkpoint") + TABLE.replace("{name}", "control_of_few"))
    assert_refused(project.run(), "reading test_control_of_few", "the module has this name already; rename one")


def test_two_readings_of_one_claim_with_one_name_are_refused(project: Project) -> None:
    project.write(claim_file(others=("around(0.02)",)), file="test_one.py")
    # Claim files are no modules of a package, so one is loaded by its place.
    (project.root / "claims" / "test_two.py").write_text(
        "import runpy\nfrom pathlib import Path\n"
        f"{OTHER} = runpy.run_path(str(Path(__file__).with_name('test_one.py')))['{OTHER}']\n"
    )
    assert_refused(project.run(), "claim N1: reading declared twice", "test_one.py", "test_two.py", "rename one")


def test_the_terminal_names_the_claims_that_have_another_verdict_under_another_reading(project: Project) -> None:
    project.write(claim_file(others=("around(0.2)", "around(0.02)", "study.share('c', 1)")))
    project.accept(N1="reproduced")
    project.accept_readings("N1", {OTHER: "refuted", "test_other_1_of_few": "reproduced"})
    output = project.run()
    output.stdout.fnmatch_lines(["other readings of the papers give N1 another verdict: readings.html in the report"])
