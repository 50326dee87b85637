from __future__ import annotations

import os
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import pytest

from tests.harness.projects import Project, assert_refused
from tests.harness.worlds import LOSE, claim_file
from tests.sources import ROOT
from universal_neurons.evidence.history import path_of, read_history
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ("pytester",)


def test_a_run_without_claims_does_nothing(project: Project) -> None:
    project.pytester.makepyfile(
        test_plain="import sys\ndef test_plain():\n    assert 'fake_world' not in sys.modules\n"
    )
    result = project.run("test_plain.py", "--suite", "nonexistent")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert "verdicts of suite" not in result.stdout.str()
    assert not (project.root / ".universal-neurons").exists()


def test_the_plugin_imports_neither_torch_nor_the_pipeline(project: Project) -> None:
    script = (
        "import sys, universal_neurons.harness.plugin\n"
        "heavy = {'torch', 'numpy', 'pandas', 'universal_neurons.stages', 'universal_neurons.core'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    assert project.pytester.run(sys.executable, "-c", script).ret == 0


def test_other_tests_keep_pytests_own_rules(project: Project) -> None:
    project.pytester.makepyfile(test_plain="def test_plain():\n    return 1\n")
    result = project.run("test_plain.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*PytestReturnNotNoneWarning*"])


OLD_FASHIONED = """
import warnings

import pytest

warnings.warn("the library is out of fashion", FutureWarning)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call():
    warnings.warn("the call is out of fashion", FutureWarning)
    return (yield)
"""


def test_warnings_of_others_are_no_errors_of_claims(tmp_path: Path) -> None:
    (tmp_path / "old_fashioned.py").write_text(OLD_FASHIONED)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "claims", "-p", "old_fashioned", "--claims", "N24", "-p", "no:cacheprovider",
         "--evidence-dir", str(tmp_path / "log")],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "HF_HUB_ENABLE_HF_TRANSFER": "1", "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the call is out of fashion" in done.stdout


def test_warnings_are_errors_in_our_own_tests() -> None:
    with pytest.raises(FutureWarning):
        warnings.warn("out of fashion", FutureWarning, stacklevel=1)


def test_items_are_selected_as_in_any_run(project: Project) -> None:
    project.write(claim_file(takes="study, partner"), claim_file(id="N2", name="other"))
    project.accept(N1={"a-b": "reproduced", "a-c": "reproduced"}, N2="reproduced")
    for arguments, collected in (
        (("claims", "-k", "N1"), 4),
        (("claims", "-k", "a-b"), 2),
        (("claims", "-m", "control"), 3),
        (("claims", "-m", "claim(id='N2')"), 1),
        (("claims/test_claims.py::test_few[a-c]",), 1),
    ):
        result = project.run(*arguments)
        assert result.parseoutcomes()["passed"] == collected, arguments
        assert result.ret == 0, arguments
        assert len(project.records()) == collected, arguments
        assert project.log().complete is False


def test_claims_selects_exactly_these_claims_with_controls_and_readings(project: Project) -> None:
    claims = (claim_file(id=name, name=name.lower(), others=("around(0.02)",)) for name in ("N1", "N10", "N2"))
    project.write(*claims)
    project.accept(N1="reproduced", N2="reproduced", N9="refuted")
    for name in ("N1", "N2"):
        project.accept_readings(name, {f"test_other_0_of_{name.lower()}": "reproduced"})
    for run in (project.run, project.run_workers):
        result = run(*(("claims",) if run == project.run else ()), "--claims", "N1, N2")
        result.assert_outcomes(passed=6, **({"deselected": 3} if run == project.run else {}))
        assert result.ret == 0
        assert {(record.role, record.claim) for record in project.log().records} == {
            (role, name) for role in ("claim", "control", "reading") for name in ("N1", "N2")
        }
        assert project.log().complete is False


@pytest.mark.parametrize(("ids", "got"), [("N1,N7", "N7"), ("n1,M3", "n1, M3"), ("", "none")])
def test_a_claim_that_does_not_exist_is_one_line_with_the_known_ones(project: Project, ids: str, got: str) -> None:
    project.write(*(claim_file(id=name, name=name.lower()) for name in ("N10", "N1", "N2")))
    assert_refused(project.run("claims", "--claims", ids), f"--claims: expected some of N1, N2, N10, got {got}")


def test_workers_report_to_one_log(project: Project) -> None:
    project.write(
        claim_file("study.share(partner, checkpoint.step)", takes="study, partner, checkpoint"),
        claim_file("around(0.2)", id="N2", name="two"),
        claim_file("1 / 0", id="N3", name="three"),
    )
    project.accept(
        N1={f"a-{p}-{c}": "reproduced" for p in "bc" for c in ("25%", "50%", "100%")}, N2="refuted", N3="refuted"
    )
    result = project.run_workers()
    result.assert_outcomes(passed=13, skipped=1, xfailed=1, failed=1)
    assert result.ret == 1
    assert len(project.log().records) == 16
    log = project.log()
    assert log.complete is True
    assert {claim.claim: claim.verdict for claim in project.claims()} == {
        "N1": "not_evaluated",
        "N2": "refuted",
        "N3": "error",
    }
    assert log.warnings == ("the corpus of this machine is another one",)


def test_workers_update_and_lose_as_one_process_does(project: Project) -> None:
    project.write(claim_file(takes="study, partner"))
    project.accept(N9="reproduced")
    assert project.run_workers("-k", "a-b", "--update-verdicts").ret == 1
    assert Ledger.read(project.ledger).claims == {"N1": {"a-b": Verdict.REPRODUCED}, "N9": {"": Verdict.REPRODUCED}}
    assert project.run_workers("-k", "a-b").ret == 0
    crash = LOSE.format(lost="few[a-c").replace("return True", "import os; return os._exit(1)")
    (project.root / "conftest.py").write_text(crash)
    lost = project.run_workers("--max-worker-restart=2")
    assert lost.ret == 3
    lost.stdout.fnmatch_lines(["2 collected without leaving a record: *::test_few[[]a-c], *::test_control_*[[]a-c]"])


def test_a_mistake_found_by_a_worker_is_still_one_line(project: Project) -> None:
    project.write(claim_file())
    assert_refused(project.run_workers("--suite", "maxi"), "unknown suite 'maxi'; there are mini, tiny")
    assert_refused(project.run_workers("--recompute"), "--recompute: every worker would compute everything")
    (project.root / "damaged").touch()
    assert_refused(project.run_workers(), "the store is damaged; run: universal-neurons store verify")


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        (claim_file(control=None), ("claim N1", "test_few", "has no control; add one with @control(of=test_few)")),
        (claim_file() + claim_file(name="again"), ("claim N1: declared twice", "test_few", "test_again")),
        (claim_file(id="N 1"), ("claim 'N 1': an id is",)),
        (claim_file(expect="0.05"), ("claim N1: expect must be a criterion",)),
        (claim_file(expect="Between(2, 1)"), ("Between: lower 2 exceeds upper 1",)),
        (claim_file(expect="Near(Published('table1', step=3))"), ("table1 has no step 3",)),
        (claim_file(options=', on={"mimi": AtMost(1)}'), ("claim N1: no suite mimi; there are mini, tiny",)),
        (
            claim_file(takes="study, checkpoint", options=', axes={"checkpoint": ("75 %",)}'),
            ("claim N1: checkpoint has no value '75 %' on suite mini; it has 25%, 50%, 100%",),
        ),
        (
            claim_file(takes="study, partner", options=', axes={"partner": ("a",)}'),
            ("claim N1: partner has no value 'a' on suite mini; it has a-b, a-c",),
        ),
        (
            claim_file(takes="study, partner", options=', axes={"partner": "b"}'),
            ("partner is narrowed to 'b'", "sequence"),
        ),
        (claim_file(options=', axes={"threshold": (0.5,)}'), ("narrows threshold, which test_few does not take",)),
        (claim_file(options=", axes={'treshold': (0.5,)}"), ("unknown axis 'treshold'; there are",)),
        (claim_file(control=None).replace("test_few", "few"), ("rename few to test_...; pytest runs no other",)),
        (
            "class TestFew:" + claim_file(control=None).replace("\n", "\n    "),
            ("claim N1", "TestFew.test_few is a method"),
        ),
        (
            claim_file("(_ for _ in ()).throw(UserError('weights of b are damaged'))"),
            ("error: weights of b are damaged",),
        ),
        ("import pytest\n\n@pytest.mark.xfail" + claim_file(), ("marked xfail", "ledger")),
        (
            claim_file(control=None) + "\n@control(of=test_few)\ndef test_no(study, layer):\n    pass\n",
            ("control test_no", "takes layer, which its claim N1 does not take"),
        ),
        (
            "def test_few():\n    pass\n\n@control(of=test_few)\ndef test_no(study):\n    pass\n",
            ("of='test_few' is not a claim",),
        ),
        (
            claim_file() + "\n@control(of=test_few)\n@control(of=test_few)\ndef test_no(study):\n    pass\n",
            ("control test_no", "declared twice"),
        ),
        (
            claim_file() + "\n@reading(of=test_few, ambiguity='A99', says='x')\ndef test_no(study):\n    pass\n",
            ("reading test_no", "ambiguity is 'A99'; expected A1 to A21 or F1 to F22"),
        ),
        (
            claim_file() + "\n@reading(of=test_few, ambiguity='A1', says=' ')\ndef test_no(study):\n    pass\n",
            ("reading test_no", "says is empty; expected how A1 is read here"),
        ),
        (
            claim_file() + "\n@reading(of=test_few, ambiguity='A1', says='x')\ndef test_no(study, layer):\n    pass\n",
            ("reading test_no", "takes layer, which its claim N1 does not take"),
        ),
        (
            claim_file(control=None, others=("around(0.02)",)),
            ("claim N1", "has no control"),
        ),
        (claim_file(options=", correction='holm'"), ("claim N1: correction holm needs the family",)),
        (
            claim_file(options=", family='f', correction='bonferroni'"),
            ("claim N1: correction is 'bonferroni', expected holm or benjamini-hochberg",),
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_4(project: Project, claims: str, words: tuple[str, ...]) -> None:
    project.write(claims)
    assert_refused(project.run(), *words)


def test_an_unknown_suite_is_one_line(project: Project) -> None:
    project.write(claim_file())
    assert_refused(project.run("claims", "--suite", "maxi"), "unknown suite 'maxi'; there are mini, tiny")


def test_a_damaged_store_is_one_line(project: Project) -> None:
    project.write(claim_file())
    (project.root / "damaged").touch()
    assert_refused(project.run(), "the store is damaged; run: universal-neurons store verify")


def test_evidence_that_cannot_be_written_is_one_line(project: Project) -> None:
    project.write(claim_file())
    project.accept(N1="reproduced")
    (project.root / "taken").touch()
    assert_refused(project.run("claims", "--evidence-dir", "taken"), "taken", "cannot be written (File exists)")
    for name in ("records.jsonl", "partial.jsonl"):
        (project.root / name / name / "not empty").mkdir(parents=True)
        assert_refused(project.run("claims", "--evidence-dir", name), f"{name}: cannot be written (Is a directory)")


def test_a_ledger_that_cannot_be_written_or_read_is_one_line(project: Project) -> None:
    # The claim itself puts a file in the way after the ledger was read; the history is read before one is written.
    project.write("from pathlib import Path\n", claim_file("(Path('fixtures').touch(), around(0.02))[1]"))
    result = project.run("claims", "--update-verdicts")
    assert_refused(result, "mini.toml", "cannot be read (Not a directory)")
    assert_refused(project.run(), "mini.toml", "cannot be read (Not a directory)")


def test_what_is_accepted_is_remembered_with_its_criterion_and_evidence(project: Project) -> None:
    project.write(claim_file("around(0.02)"))
    history = path_of(project.ledger)
    project.run("claims", "--update-verdicts")
    (first,) = read_history(history)
    assert (first.claim, first.verdict, first.criterion) == ("N1", Verdict.REPRODUCED, "at most 0.05")
    project.run("claims", "--update-verdicts")
    assert read_history(history) == (first,)
    project.write(claim_file("around(0.5)"))
    project.run("claims", "--update-verdicts")
    assert [entry.verdict for entry in read_history(history)] == [Verdict.REPRODUCED, Verdict.REFUTED]


@pytest.mark.parametrize("lost", ["ledger", "history"])
def test_an_acceptance_of_which_one_file_was_lost_is_repaired_by_the_next(project: Project, lost: str) -> None:
    """As after a kill between the two, or after one of them was put back."""
    project.write(claim_file("around(0.02)"))
    history = path_of(project.ledger)
    path = {"ledger": project.ledger, "history": history}[lost]
    project.run("claims", "--update-verdicts")
    before = path.read_bytes()
    project.write(claim_file("around(0.5)"))
    project.run("claims", "--update-verdicts")
    both = project.ledger.read_bytes(), history.read_bytes()
    path.write_bytes(before)
    project.run("claims", "--update-verdicts")
    assert (project.ledger.read_bytes(), history.read_bytes()) == both


def test_a_damaged_history_stops_the_run_before_the_ledger_is_rewritten(project: Project) -> None:
    project.write(claim_file("around(0.02)"))
    project.accept(N1="refuted")
    before = project.ledger.read_bytes()
    path_of(project.ledger).parent.mkdir()
    path_of(project.ledger).write_text("x = [", encoding="utf-8")
    assert_refused(project.run("claims", "--update-verdicts"), "mini.toml", "not a TOML file")
    assert project.ledger.read_bytes() == before


@pytest.mark.parametrize("factory", ["nowhere:open_study", "fake_world:nothing", "fake_world"])
def test_a_factory_that_is_not_there_is_one_line(project: Project, factory: str) -> None:
    project.write(claim_file())
    assert_refused(project.run("claims", "--study-factory", factory), f"--study-factory {factory}", "module:callable")


def test_a_mistake_is_found_before_selection_hides_it(project: Project) -> None:
    project.write(claim_file(takes="study, partner") + claim_file(name="again"))
    assert_refused(project.run("claims", "-k", "a-b"), "claim N1: declared twice")


def test_a_claim_collected_from_two_files_is_declared_twice(project: Project) -> None:
    project.write(claim_file(), file="test_one.py")
    project.write(claim_file(), file="test_two.py")
    assert_refused(project.run(), "claim N1: declared twice", "test_one.py", "test_two.py")


def test_a_copy_of_a_claim_file_in_another_folder_is_declared_twice_and_droppings_of_editors_are_no_claims(
    project: Project,
) -> None:
    project.write(claim_file())
    copy = project.root / "claims" / "copy"
    copy.mkdir()
    (copy / "test_claims.py").write_bytes((project.root / "claims" / "test_claims.py").read_bytes())
    (copy / "._test_claims.py").write_bytes(b"\0\5\x16\7")
    (copy / ".#test_claims.py").symlink_to("somebody@host")
    assert_refused(project.run(), "claim N1: declared twice", "test_claims.py", "copy")
    (copy / "test_claims.py").unlink()
    project.accept(N1="reproduced")
    assert project.run().ret == 0


def test_an_argument_that_is_nothing_is_one_line_and_an_error(project: Project) -> None:
    project.write(claim_file(takes="study, chekpoint"))
    project.accept(N1="reproduced")
    result = project.run()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["argument 'chekpoint' is neither an axis (*) nor a fixture"])
    assert not any(line.startswith("E  ") for line in result.outlines)
    assert project.records()["claim N1"].verdict is Verdict.ERROR


def test_the_mark_of_a_skipped_claim_leaves_a_record(project: Project) -> None:
    project.write('import pytest\n\n@pytest.mark.skip(reason="later")' + claim_file())
    project.run().assert_outcomes(passed=1, skipped=1)
    assert project.records()["claim N1"].reason == "skipped: later"
