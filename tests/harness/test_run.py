from __future__ import annotations

import tomllib

import pytest

from tests.harness.projects import Project, assert_refused
from tests.harness.worlds import LOSE, claim_file
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.verdict import Verdict

pytest_plugins = ("pytester",)


def test_updating_writes_the_ledger_and_fails_that_run_even_if_nothing_changes(project: Project) -> None:
    project.write(claim_file(takes="study, partner"), claim_file("around(0.2)", id="N2", name="two"))
    first = project.run("claims", "--update-verdicts")
    assert first.ret == 1
    first.stdout.fnmatch_lines(["accepted verdicts rewritten (3 changed): *mini.toml; read them and run again"])
    assert tomllib.loads(project.ledger.read_text()) == {
        "N1": {"verdict": "reproduced", "items": {"a-b": "reproduced", "a-c": "reproduced"}},
        "N2": {"verdict": "refuted"},
    }
    assert project.run().ret == 0
    again = project.run("claims", "--update-verdicts")
    again.assert_outcomes(passed=5, xfailed=1)
    assert again.ret == 1
    again.stdout.fnmatch_lines(["accepted verdicts rewritten (0 changed): *"])


def test_updating_a_part_keeps_the_rest(project: Project) -> None:
    project.write(claim_file(takes="study, partner"), claim_file(id="N2", name="two"))
    project.accept(N1={"a-b": "refuted", "a-c": "refuted", "a-gone": "refuted"}, N2="refuted")
    project.run("claims", "--update-verdicts", "-k", "a-b")
    assert Ledger.read(project.ledger).claims == {
        "N1": {"a-b": Verdict.REPRODUCED, "a-c": Verdict.REFUTED, "a-gone": Verdict.REFUTED},
        "N2": {"": Verdict.REFUTED},
    }
    project.run("claims/test_claims.py::test_few[a-c]", "--update-verdicts")
    assert Ledger.read(project.ledger).accepted("N1", "a-gone") is Verdict.REFUTED
    project.run("claims", "--update-verdicts")
    assert Ledger.read(project.ledger).claims == {
        "N1": {"a-b": Verdict.REPRODUCED, "a-c": Verdict.REPRODUCED},
        "N2": {"": Verdict.REPRODUCED},
    }


def test_updating_does_not_accept_errors_or_missing_evidence(project: Project) -> None:
    project.write(claim_file("1 / 0"), claim_file("study.share('c', 1)", id="N2", name="two"))
    project.accept(N1="reproduced", N2="reproduced")
    project.run("claims", "--update-verdicts")
    assert Ledger.read(project.ledger).claims == {"N1": {"": Verdict.REPRODUCED}, "N2": {"": Verdict.REPRODUCED}}


def test_a_stopped_run_does_not_rewrite_the_ledger(project: Project) -> None:
    project.write(claim_file("1 / 0"), claim_file(id="N2", name="two"))
    project.accept(N1="reproduced", N2="refuted")
    before = project.ledger.read_text()
    result = project.run("claims", "--update-verdicts", "-x")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["accepted verdicts not rewritten: the run was stopped early"])
    assert project.ledger.read_text() == before


def test_a_claim_that_was_accepted_and_is_gone_fails_a_whole_run_only(project: Project) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced", N9="reproduced")
    result = project.run()
    result.assert_outcomes(passed=2)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["accepted in *mini.toml but not collected: N9; *"])
    assert project.run("claims/test_claims.py").ret == 0
    assert project.run("claims", "-m", "claim").ret == 0
    project.run("claims", "--update-verdicts")
    assert project.run().ret == 0


def test_a_damaged_ledger_is_refused(project: Project) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced")
    project.ledger.write_text("[N1]\nverdict = 'fine'\n")
    assert_refused(project.run(), "mini.toml", "[N1] has verdict 'fine'")


def test_a_claim_that_leaves_no_record_is_exit_status_3(project: Project) -> None:
    (project.root / "conftest.py").write_text(LOSE.format(lost="a-c"))
    project.write(claim_file(takes="study, partner"))
    project.accept(N1={"a-b": "reproduced", "a-c": "reproduced"})
    result = project.run()
    result.assert_outcomes(passed=2)
    assert result.ret == 3
    result.stdout.fnmatch_lines(["2 collected without leaving a record: *::test_few[[]a-c], *"])
    assert project.log().complete is False
    project.accept(N1={"a-b": "refuted", "a-c": "refuted"})
    assert project.run("claims", "--update-verdicts").ret == 3
    assert Ledger.read(project.ledger).accepted("N1", "a-b") is Verdict.REFUTED


@pytest.mark.parametrize("arguments", [("--collect-only",), ("--setup-plan",)])
def test_looking_at_claims_without_running_them_is_no_loss(project: Project, arguments: tuple[str, ...]) -> None:
    project.write(claim_file())
    assert project.run("claims", *arguments).ret == 0


def test_stopping_at_the_first_failure_is_no_loss(project: Project) -> None:
    project.write(claim_file("around(0.2)"), claim_file(id="N2", name="two"))
    assert project.run("claims", "-x").ret == 1
    assert project.log().complete is False
