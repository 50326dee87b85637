from __future__ import annotations

from typing import TYPE_CHECKING

from tests.harness.worlds import claim_file

if TYPE_CHECKING:
    import pytest

    from tests.harness.projects import Project

pytest_plugins = ("pytester",)


def test_the_verdict_table_ends_the_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    project.write(
        claim_file("around(0.01 if partner == 'b' else 0.03)", takes="study, partner"),
        claim_file("around(0.2 if partner == 'b' else 0.02)", id="N10", name="ten", takes="study, partner"),
        claim_file("Measurement.missing()", id="N2", name="two"),
    )
    project.accept(N1={"a-b": "reproduced", "a-c": "reproduced"})
    result = project.run()
    result.stdout.fnmatch_lines(
        [
            "*= verdicts of suite mini =*",
            "claim  statement * criterion * value * verdict",
            "N1     Few neurons are *  at most 0.05  0.01 ? 0.03 [[]0, 0.04]    reproduced (2)",
            "N2     Few neurons are *  at most 0.05  ? *               not_evaluated",
            "N10    Few neurons are *  at most 0.05  0.02 ? 0.2 [[]0.01, 0.21]  refuted (1 of 2)",
            "the corpus of this machine is another one",
        ]
    )
    assert "changed" not in result.outlines[-1]
    result.stdout.fnmatch_lines(["*= FAILURES =*"])


def test_colours_are_left_out_where_they_are_not_wanted(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in project.run().stdout.str()
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[32mN1 " in project.run("claims", "--color=yes").stdout.str()


def test_progress_is_seen_while_pytest_captures(project: Project) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced")
    result = project.pytester.runpytest_subprocess("claims")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["computing everything ...", "computing everything: *s"])
