from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.evidence.records import record
from tests.harness.worlds import STATEMENT, claim_file
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.run import ACCEPTED, Run
from universal_neurons.harness.terminal import print_verdicts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.projects import Project

pytest_plugins = ("pytester",)


def test_the_verdicts_end_the_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
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
            "N1   reproduced (2)    0.01 to 0.03 [[]0.00, 0.04]",
            f"     {STATEMENT}",
            "N2   not evaluated     nothing",
            "N10  refuted (1 of 2)  0.02 to 0.20 [[]0.01, 0.21]",
            "the corpus of this machine is another one",
            "1 reproduced ? 1 refuted ? 1 not evaluated ? not as accepted: N2, N10",
        ]
    )
    result.stdout.fnmatch_lines(["*= FAILURES =*"])


def test_a_pipe_is_no_narrow_terminal(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(claim_file(), claim_file(id="N2", name="two"))
    monkeypatch.setenv("COLUMNS", "80")
    assert f"\n    {STATEMENT}" in project.run().stdout.str()
    monkeypatch.delenv("COLUMNS")
    output = project.run().stdout.str()
    assert f"  at most 0.05  {STATEMENT}" in output
    assert "2 reproduced" in output


def test_verdicts_that_are_all_accepted_are_said_to_be(project: Project) -> None:
    project.write(claim_file(), claim_file("around(0.2)", id="N2", name="two"))
    project.accept(N1="reproduced", N2="refuted")
    project.run().stdout.fnmatch_lines(["1 reproduced ? 1 refuted ? all as accepted"])


@pytest.mark.parametrize("encoding", ["ascii", None, "no-such-encoding"])
def test_a_reading_that_the_terminal_cannot_spell_is_shown_all_the_same(encoding: str | None, tmp_path: Path) -> None:
    terminal = Lines()
    run = Run(suite="mini", folder=tmp_path, ledger=Ledger(), ledger_path=tmp_path / "mini.toml")
    run.add(record("a-b"))
    run.add(record("a-c", role="reading", verdict=Verdict.REFUTED, ambiguity="A1", says="excess ≥ 0.5"))
    run.notes.append("N ≥ 1")
    print_verdicts(terminal, run, width=100, encoding=encoding)
    assert terminal.lines[-3:] == [
        "other readings of the papers give N1 another verdict: readings.html in the report",
        "N ? 1",
        "1 reproduced ? not as accepted: N1",
    ]


def test_the_counts_of_checks_stand_before_the_last_line_and_reasons_are_counted_only(tmp_path: Path) -> None:
    late = {"registration": "registered on 2026-01-02, after measuring: it said more than it could"}
    run = Run(suite="mini", folder=tmp_path, ledger=Ledger(), ledger_path=tmp_path / "mini.toml")
    run.add(record("a-b", **late))
    run.add(
        record("a-b", claim="N2", test="two.py::test[a-b]", registration="not as registered on 2026-01-02: criterion")
    )
    run.add(record("a-b", claim="F2", test="three.py::test[a-b]", kind="method"))
    terminal = Lines()
    print_verdicts(terminal, run, width=80, encoding="utf-8")
    assert terminal.lines[-4:] == [
        "N2: not as registered on 2026-01-02: criterion",
        "1 claim has a rule registered after measuring: the report says why",
        "checks of the method: 1 reproduced",
        "2 reproduced · not as accepted: F2, N1, N2",
    ]


def test_a_narrow_terminal_breaks_the_counts_before_what_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "acceptance", ACCEPTED)
    run = Run(suite="mini", folder=tmp_path, ledger=Ledger(), ledger_path=tmp_path / "mini.toml")
    run.add(record("a-b"))
    terminal = Lines()
    print_verdicts(terminal, run, width=24, encoding="utf-8")
    assert terminal.lines[-2:] == ["1 reproduced ·", "  all as accepted"]


class Lines:
    """A terminal that remembers its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write_sep(self, sep: str, title: str | None = None, /) -> None:
        self.lines.append(f"{sep} {title}")

    def write_line(self, line: str, **markup: bool) -> None:
        self.lines.append(line)

    def write(self, content: str, *, flush: bool = False, **markup: bool) -> None:
        pass

    def ensure_newline(self) -> None:
        raise NotImplementedError


def test_colours_are_left_out_where_they_are_not_wanted(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in project.run().stdout.str()
    monkeypatch.delenv("NO_COLOR")
    assert "N1  \x1b[32mreproduced" in project.run("claims", "--color=yes").stdout.str()


def test_progress_is_seen_while_pytest_captures(project: Project) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced")
    result = project.pytester.runpytest_subprocess("claims")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["computing everything ...", "computing everything: *s"])
