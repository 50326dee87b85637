from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from tests.harness.worlds import claim_file
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


def test_the_record_is_written_before_the_outcome_is_raised(project: Project) -> None:
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
    assert project.records()["claim N1"].verdict is Verdict.REFUTED


def test_the_verdicts_of_the_run_are_summed_up_for_the_report(project: Project) -> None:
    project.write(
        claim_file(takes="study, partner"),
        claim_file("around(0.2 if partner == 'b' else 0.02)", id="N10", name="ten", takes="study, partner"),
        claim_file("around(0.05)", id="N2", name="two"),
    )
    project.accept(N1={"a-b": "reproduced", "a-c": "reproduced"}, N2="inconclusive")
    project.run()
    verdicts = project.verdicts()
    assert verdicts["complete"] is True
    # Another run is compared with this one by what judged it.
    assert verdicts["code"]["python"] == platform.python_version()
    assert {"numpy", "pandas"} <= verdicts["code"].keys()
    assert verdicts["counts"] == {"finding": {"refuted": 1, "inconclusive": 1, "reproduced": 1}}
    assert verdicts["warnings"] == ["the corpus of this machine is another one"]
    assert [(c["claim"], c["verdict"], c["accepted"]) for c in verdicts["claims"]] == [
        ("N1", "reproduced", "reproduced"),
        ("N2", "inconclusive", "inconclusive"),
        ("N10", "refuted", None),
    ]


def test_the_log_goes_where_it_is_told(project: Project) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced")
    project.run("claims", "--evidence-dir", "elsewhere", "--store", "cache", "--recompute").assert_outcomes(passed=2)
    assert (project.root / "elsewhere" / "verdicts.json").exists()
    assert not project.evidence.exists()
    assert (project.root / "opened.txt").read_text() == "mini store=cache recompute=True"
