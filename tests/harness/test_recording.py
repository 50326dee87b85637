from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.harness.worlds import claim_file
from universal_neurons.evidence.log import PARTIAL, RECORDS, EvidenceLog
from universal_neurons.evidence.verdict import Verdict

if TYPE_CHECKING:
    from tests.harness.projects import Project

pytest_plugins = ("pytester",)


def test_the_record_says_what_was_claimed_measured_and_read(project: Project) -> None:
    project.write(
        claim_file(
            "study.share(partner, checkpoint.step)",
            takes="study, partner, checkpoint, threshold",
            options=', family="emergence", promise="bit-exact", axes={"threshold": (0.5,), "checkpoint": "last"}',
        )
    )
    project.accept(N1={"a-b-100%-0.5": "reproduced", "a-c-100%-0.5": "reproduced"})
    project.run().assert_outcomes(passed=4)
    record = project.records()["claim N1 a-c-100%-0.5"]
    assert record.test == "claims/test_claims.py::test_few[a-c-100%-0.5]"
    assert record.parameters == {
        "reference": "a",
        "partner": "c",
        "checkpoint": {"step": 4, "label": "100 %"},
        "threshold": 0.5,
    }
    assert (record.family, record.promise, record.suite) == ("emergence", "bit-exact", "mini")
    assert record.artifacts == ("digest-c-4",)
    assert record.measured() is not None
    assert record.criterion == {"kind": "at_most", "bound": 0.05}
    path, line = record.locator.split(":")
    assert (project.root / path).read_text().splitlines()[int(line) - 1].startswith('@claim("N1"')
    assert 0 <= record.duration_seconds < 60


def test_a_run_that_is_killed_leaves_the_last_whole_run_as_it_was(project: Project) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced")
    assert project.run().ret == 0
    (project.root / "conftest.py").write_text(
        """
import os
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    if call.when == "call" and call.excinfo is not None:
        os._exit(7)
    return (yield)
"""
    )
    project.write(claim_file("around(0.2)"))
    assert project.pytester.runpytest_subprocess("claims").ret == 7
    assert [path.name for path in project.evidence.iterdir()] == [RECORDS]
    assert project.records()["claim N1"].verdict is Verdict.REPRODUCED


def test_the_verdicts_of_the_run_are_summed_up_for_the_report(project: Project) -> None:
    project.write(
        claim_file(takes="study, partner"),
        claim_file("around(0.2 if partner == 'b' else 0.02)", id="N10", name="ten", takes="study, partner"),
        claim_file("around(0.05)", id="N2", name="two"),
    )
    project.accept(N1={"a-b": "reproduced", "a-c": "reproduced"}, N2="inconclusive")
    project.run()
    log = project.log()
    assert log.complete is True
    # Another run is compared with this one by what judged it.
    assert log.code["python"] == platform.python_version()
    assert {"numpy", "pandas", "measures"} <= log.code.keys()
    assert log.warnings == ("the corpus of this machine is another one",)
    assert [(claim.claim, claim.verdict) for claim in project.claims()] == [
        ("N1", "reproduced"),
        ("N2", "inconclusive"),
        ("N10", "refuted"),
    ]


def test_the_log_goes_where_it_is_told(project: Project) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced")
    project.run("claims", "--evidence-dir", "elsewhere", "--store", "cache", "--recompute").assert_outcomes(passed=2)
    assert (project.root / "elsewhere" / "records.jsonl").exists()
    assert not project.evidence.exists()
    assert (project.root / "opened.txt").read_text() == "mini store=cache recompute=True"


# --- a run of a part -------------------------------------------------------------------------------------------------


def two_claims(project: Project) -> None:
    project.write(claim_file(takes="study, partner"), claim_file(id="N2", name="two"))
    project.accept(N1={"a-b": "reproduced", "a-c": "reproduced"}, N2="reproduced")


def test_a_part_goes_into_the_last_whole_run(project: Project) -> None:
    two_claims(project)
    project.run()
    whole = project.log()
    project.write(claim_file(takes="study, partner"), claim_file("around(0.2)", id="N2", name="two"))
    result = project.run("claims", "--claims", "N2")
    result.stdout.fnmatch_lines(["a part of the claims ran; the last whole run has these verdicts now"])
    log = project.log()
    assert log.complete
    assert [record.test for record in log.records] == [record.test for record in whole.records]
    assert [claim.verdict for claim in project.claims()] == [Verdict.REPRODUCED, Verdict.REFUTED]
    assert log.records[:4] == whole.records[:4]


@pytest.mark.parametrize("part", [("claims", "-k", "N1"), ("claims/test_claims.py",), ("claims", "-x")])
def test_a_part_without_a_whole_run_stands_apart(project: Project, part: tuple[str, ...]) -> None:
    two_claims(project)
    if "-x" in part:
        project.write(claim_file("1 / 0"), claim_file(id="N2", name="two"))
    result = project.run(*part)
    result.stdout.fnmatch_lines(["a part of the claims ran, and no whole run is here yet; `report --partial` *"])
    assert not (project.evidence / RECORDS).exists()
    assert not EvidenceLog.read(project.evidence / PARTIAL).complete
    project.write(claim_file(takes="study, partner"), claim_file(id="N2", name="two"))
    project.run()
    assert [path.name for path in project.evidence.iterdir()] == [RECORDS]


def test_a_part_of_other_evidence_leaves_the_whole_run_as_it_was(project: Project) -> None:
    two_claims(project)
    project.run()
    path = project.evidence / RECORDS
    replace(EvidenceLog.read(path), code={"numpy": "1.0"}).write(path)
    before = path.read_bytes()
    result = project.run("claims", "--claims", "N2")
    result.stdout.fnmatch_lines(["a part of the claims ran, and the last whole run stays as it was: it has other *"])
    assert path.read_bytes() == before
    path.write_bytes(before[:-9])
    result = project.run("claims", "--claims", "N2")
    result.stdout.fnmatch_lines(["a part of the claims ran, and the last whole run cannot be read (*seal*"])


def test_two_runs_at_once_leave_the_log_of_one_of_them(project: Project) -> None:
    two_claims(project)
    runs = [subprocess.Popen([sys.executable, "-m", "pytest", "claims", "-q"], cwd=project.root) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert (len(project.log().records), project.log().complete) == (6, True)
