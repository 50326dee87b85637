"""Names of runs that can be compared, and the comparisons made from them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.cases import pairs
from tests.evidence.records import record
from tests.sources import ROOT
from universal_neurons import compare
from universal_neurons.compare import ComparedRun, RunUnknown, compare_runs, differing_settings, open_run
from universal_neurons.errors import UserError
from universal_neurons.evidence.log import PARTIAL, RECORDS, EvidenceLog
from universal_neurons.evidence.record import RecordError
from universal_neurons.render.evidence_log import EvidenceUnusable
from universal_neurons.stages.registry import suite_keys
from universal_neurons.stages.runner import compute
from universal_neurons.stages.study import open_evidence
from universal_neurons.stages.tokens import ONLY, TOKENS
from universal_neurons.stages.universality import UNIVERSALITY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.evidence.record import EvidenceRecord


def log(folder: Path, *records: EvidenceRecord, **said: Any) -> Path:
    """The log of a finished run."""
    written = EvidenceLog(records or (record(artifacts=()),), code={"commit": "c" * 40})
    replace(written, **said).write(folder / RECORDS)
    return folder


def latest(project: Miniature, *records: EvidenceRecord, folder: str = "mini") -> Path:
    return log(project.root / ".universal-neurons" / "evidence" / folder, *records)


def opened(project: Miniature, name: object, **options: Any) -> ComparedRun:
    return open_run(str(name), root=project.root, **options)


# --- what a name means -----------------------------------------------------------------------------------------------


def test_a_suite_is_its_latest_run_with_the_artifacts_behind_it(own: Miniature) -> None:
    table = UNIVERSALITY.key(own.workspace(), pairs(own.workspace(), 30)[0]).digest
    latest(own, record(artifacts=(table,)))
    found = opened(own, "mini")
    assert (found.run.name, found.run.suite, found.run.complete, found.absence) == ("mini", "mini", True, "")
    assert found.run.code == {"commit": "c" * 40}
    assert [claim.claim for claim in found.run.claims] == ["N1"]
    assert found.study is not None
    assert found.study.suite.name == "mini"


@pytest.mark.parametrize("inside", ["", RECORDS])
def test_a_run_is_its_folder_or_a_file_in_it(own: Miniature, tmp_path: Path, inside: str) -> None:
    folder = log(tmp_path / "yesterday")
    found = opened(own, folder / inside if inside else folder)
    assert (found.run.name, found.run.suite) == (inside or "yesterday", "mini")


def test_a_built_report_is_the_run_that_it_holds(own: Miniature, tmp_path: Path) -> None:
    log(tmp_path / "report" / "data")
    assert opened(own, tmp_path / "report").run.name == "report"


def test_a_suite_wins_over_a_folder_of_its_name(
    own: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log(tmp_path / "mini", record(claim="X1", artifacts=()))
    latest(own)
    assert opened(own, "mini").run.claims[0].claim == "N1"
    assert opened(own, "./mini").run.claims[0].claim == "X1"


@pytest.mark.parametrize("name", ["nano", "nowhere/at/all", "fixtures", ""])
def test_what_nothing_left_behind_is_one_line(own: Miniature, name: str) -> None:
    with pytest.raises(RunUnknown, match=r"expected a suite \(brief, mini\), a folder with the record of a run"):
        opened(own, own.root / name if name == "fixtures" else name)


def test_a_suite_that_was_never_judged_names_the_command(own: Miniature) -> None:
    with pytest.raises(EvidenceUnusable, match="no evidence log of a whole run here; run: pytest claims --suite brief"):
        opened(own, "brief")


def test_a_run_of_a_part_is_no_run_of_the_suite_but_has_a_name(own: Miniature) -> None:
    folder = log(own.root / ".universal-neurons" / "evidence" / "mini", complete=False)
    (folder / RECORDS).rename(folder / PARTIAL)
    with pytest.raises(EvidenceUnusable, match=r"only one of a part of the claims \(report --partial\)"):
        opened(own, "mini")
    found = opened(own, folder / PARTIAL).run
    assert (found.name, found.complete) == (PARTIAL, False)


def test_a_damaged_log_is_one_line(own: Miniature) -> None:
    path = latest(own) / RECORDS
    path.write_text(path.read_text().replace("reproduced", "refuted"))
    with pytest.raises(RecordError, match=r"records\.jsonl: not as a run has written it: its seal does not fit"):
        opened(own, "mini")


# --- the artifacts behind a run --------------------------------------------------------------------------------------


def test_a_run_judged_from_other_artifacts_has_no_study_and_says_which(own: Miniature) -> None:
    latest(own, record(artifacts=("f" * 64,)))
    found = opened(own, "mini")
    assert found.study is None
    assert "mini: the artifacts behind the run are not here" in found.absence
    assert "ffffffffffff" in found.absence


def test_a_run_of_a_suite_that_is_not_here_is_compared_without_its_tables(own: Miniature, tmp_path: Path) -> None:
    found = opened(own, log(tmp_path / "theirs", record(suite="theirs", artifacts=())))
    assert (found.run.suite, found.study) == ("theirs", None)
    assert "unknown suite 'theirs'" in found.absence


def test_a_narrowed_run_is_opened_as_narrow_as_it_was(own: Miniature) -> None:
    folder = latest(own, record(narrowed_by="--models a,b --tokens 1k", artifacts=()), folder="mini-narrow")
    found = opened(own, folder)
    assert found.run.suite == "mini --models a,b --tokens 1k"
    # Nobody computed the narrowed tokens, so there are no keys to look for.
    assert found.study is None
    assert "not computed; run: universal-neurons compute --suite mini" in found.absence


@pytest.mark.parametrize("options", ["--models", "--speed 3", "--tokens many"])
def test_a_record_with_options_that_are_none_is_compared_without_its_tables(own: Miniature, options: str) -> None:
    found = opened(own, latest(own, record(narrowed_by=options, artifacts=()), folder="mini-narrow"))
    assert found.study is None
    assert "expected" in found.absence


# --- side by side ----------------------------------------------------------------------------------------------------


def test_a_run_beside_itself_differs_in_nothing(own: Miniature) -> None:
    latest(own)
    both = compare_runs(opened(own, "mini"), opened(own, "mini"))
    assert (both.comparison.changed, both.settings, both.absences) == ((), (), ())
    assert {pair.what for pair in both.key_figures} == {"share", "kl", "loss_increase"}
    for pair in both.key_figures:
        found = pair.difference
        missing = pair.left is not None and pair.left.is_missing
        assert missing if found is None else (found.low, found.high) == (0, 0)


def test_the_settings_in_which_two_suites_differ_are_named_once(own: Miniature) -> None:
    suite = own.root / "fixtures" / "suites" / "brief.toml"
    text = suite.read_text()
    assert "draws = 4\n" in text
    suite.write_text(text.replace("draws = 4\n", "draws = 5\n"))
    compute(own.workspace("brief", local=True), [(TOKENS, ONLY)])
    latest(own)
    log(own.root / ".universal-neurons" / "evidence" / "brief", record(suite="brief", artifacts=()))
    found = {s.name: (s.left, s.right) for s in differing_settings(opened(own, "mini"), opened(own, "brief"))}
    assert found["universality: draws"] == ("4", "5")
    assert found["corpus: tokens"] == ("3000", "1000")
    assert "universality: seed" not in found
    assert found["universality: input tokens"][0] != found["universality: input tokens"][1]
    # What follows from other artifacts is no setting of its own.
    assert not [name for name in found if "against" in name]


def test_other_code_and_versions_are_named_too(own: Miniature, tmp_path: Path) -> None:
    latest(own)
    other = log(tmp_path / "other", code={"commit": "d" * 40, "numpy": "2.0"})
    found = {s.name: (s.left, s.right) for s in differing_settings(opened(own, "mini"), opened(own, other))}
    assert found == {"judged with: commit": ("c" * 40, "d" * 40), "judged with: numpy": ("not recorded", "2.0")}


def test_numbers_that_nobody_computed_are_left_out_with_the_reason(own: Miniature) -> None:
    latest(own)
    for folder in ("ablation", "ablation-blocks"):
        shutil.rmtree(own.working / folder)
    both = compare_runs(opened(own, "mini"), opened(own, "mini"))
    assert {pair.what for pair in both.key_figures} == {"share"}
    (absence,) = both.absences
    assert absence.startswith("ablations: ")
    assert "not computed" in absence


# --- evidence that is judged first -----------------------------------------------------------------------------------


def test_a_folder_of_artifacts_is_judged_and_nothing_in_it_is_touched(
    own: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = own.workspace()
    evidence = tmp_path / "theirs"
    work.store.export(suite_keys(work), evidence)
    shutil.rmtree(own.working)
    before = sorted((path, path.stat().st_mtime_ns) for path in evidence.rglob("*"))
    asked: list[tuple[str, Path]] = []

    def judged(suite: str, folder: Path, target: Path, *, root: Path) -> None:
        asked.append((suite, folder))
        log(target)

    monkeypatch.setattr(compare, "judge", judged)
    warned: list[str] = []
    found = opened(own, evidence, warn=warned.append)
    assert asked == [("mini", evidence)]
    assert "judging it now" in warned[-1]
    assert found.study is not None
    both = compare_runs(found, found)
    assert both.key_figures
    assert sorted((path, path.stat().st_mtime_ns) for path in evidence.rglob("*")) == before
    assert not own.working.exists()


def test_evidence_of_others_answers_alone_and_damage_in_it_stays_where_it_is(own: Miniature, tmp_path: Path) -> None:
    work = own.workspace()
    evidence, key = tmp_path / "theirs", UNIVERSALITY.key(work, pairs(work, 30)[0])
    work.store.export(suite_keys(work), evidence)
    folder = evidence / key.stage / key.digest
    payload = next(folder.glob("payload.*"))
    payload.write_bytes(payload.read_bytes()[:-1])
    pair = pairs(work, 30)[0]

    def read() -> object:
        study = open_evidence("mini", store=evidence, root=own.root)
        return study.universality(partner=pair.partner, checkpoint=study.checkpoints[-1])

    with pytest.raises(UserError, match="is damaged"):
        read()
    assert payload.exists()
    assert sorted(path.name for path in evidence.iterdir()) == sorted({one.stage for one in suite_keys(work)})
    # The working store still has a sound one, which must not stand in for it.
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="not computed"):
        read()


def test_artifacts_of_no_suite_here_are_refused(own: Miniature, tmp_path: Path) -> None:
    (tmp_path / "theirs" / "universality" / ("0" * 64)).mkdir(parents=True)
    (tmp_path / "theirs" / "universality" / ("0" * 64) / "manifest.json").write_text("{}")
    with pytest.raises(RunUnknown, match="its artifacts belong to no suite here"):
        opened(own, tmp_path / "theirs", warn=lambda _: None)


def test_claims_that_cannot_be_judged_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "test_x.py").write_text("raise SystemError('broken')\n")
    with pytest.raises(
        UserError, match=r"could not be judged on it \(status \d\): .*; run: pytest claims --suite mini"
    ):
        compare.judge("mini", tmp_path / "evidence", tmp_path / "log", root=tmp_path)


def test_the_shipped_evidence_alone_is_judged_as_a_run_judges_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    root = tmp_path / "checkout"
    (root / "claims" / "emergence").mkdir(parents=True)
    shutil.copy(ROOT / "claims" / "emergence" / "test_v5_appear_early.py", root / "claims" / "emergence")
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    (root / "fixtures").mkdir()
    for folder in (path for path in (ROOT / "fixtures").iterdir() if path.name != "evidence"):
        (root / "fixtures" / folder.name).symlink_to(folder)
    target = tmp_path / "log"
    compare.judge("mini", ROOT / "fixtures" / "evidence", target, root=root)
    (found,) = [one for one in EvidenceLog.read(target / RECORDS).records if one.role == "claim"]
    assert (found.claim, found.verdict.value, found.suite) == ("V5", "reproduced", "mini")
    code = EvidenceLog.read(target / RECORDS).code
    assert {"python", "numpy"} <= code.keys()
    assert replace(found, duration_seconds=0.0).rejudged().verdict is found.verdict
