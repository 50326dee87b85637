"""Comparison of two runs by their names: a suite, the record of a run, a built report, or a folder of artifacts.

The name of a suite is its latest run; a folder of artifacts is judged first, by the claims as they are now.  Every
choice becomes a run and, where the artifacts behind it are here, a study.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from universal_neurons.errors import ArtifactMissing, UserError
from universal_neurons.evidence.comparison import DifferingSetting, JudgedRun, KeyFigurePair, SideBySide, compared
from universal_neurons.evidence.log import PARTIAL, RECORDS, EvidenceLog
from universal_neurons.inputs.selection import Selection
from universal_neurons.inputs.suite import available_suites
from universal_neurons.measures.key_figures import KeyFigure, ablation_key_figures, share_key_figures
from universal_neurons.render.evidence_log import check_artifacts, read_claims
from universal_neurons.render.report import DATA, default_evidence
from universal_neurons.stages.registry import suite_artifacts, suite_keys
from universal_neurons.stages.study import StoredStudy, open_evidence
from universal_neurons.stages.workspace import WORK_FOLDER, open_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from universal_neurons.artifacts.key import Key
    from universal_neurons.artifacts.store import Store
    from universal_neurons.measurement import Measurement
    from universal_neurons.progress import Warn

_MANIFEST = "manifest.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FACTORY = "universal_neurons.stages.study:open_evidence"
# pytest's statuses after which the claims were judged, whether or not as accepted.
_JUDGED = (0, 1)


class RunUnknown(UserError):
    """A name that should be compared is neither a suite nor a folder that a run or an export leaves behind."""


@dataclass(frozen=True)
class ComparedRun:
    """A run, and the study that it was judged from; None, with the reason, where its artifacts are not here."""

    run: JudgedRun
    study: StoredStudy | None
    absence: str = ""


def open_run(name: str, *, root: Path, store: Path | None = None, warn: Warn = print) -> ComparedRun:
    """Open the run that ``name`` means in the checkout ``root``: a suite, or the path of a run's record or of evidence.

    A suite's name wins over a folder of that name (write ``./mini`` for the folder).  ``store`` is the working store
    that suites and runs are looked up in.  Evidence is judged here, which takes as long as the claims do.

    Raises RunUnknown, EvidenceUnusable and RecordError, each one line.
    """
    if name in available_suites(root):
        return _of_run(name, default_evidence(root, name), name, root=root, store=store, warn=warn)
    path = Path(name).expanduser()
    log = log_of(path)
    if log is not None:
        return _of_run(name, log, *_subject(log), root=root, store=store, warn=warn)
    if is_evidence(path):
        return _of_evidence(name, path.absolute(), root=root, warn=warn)
    raise RunUnknown(
        f"{name}: expected a suite ({', '.join(available_suites(root))}), a folder with the record of a run "
        f"({RECORDS}), a built report, or a folder of artifacts"
    )


def log_of(path: Path) -> Path | None:
    """The evidence log at ``path``: itself, one in a folder or in a built report; None for others."""
    if path.name in (RECORDS, PARTIAL) and path.is_file():
        return path
    return next((log for log in (path / RECORDS, path / DATA / RECORDS) if log.is_file()), None)


def is_evidence(path: Path) -> bool:
    """True if ``path`` is a folder of artifacts: ``<stage>/<digest>/manifest.json``."""
    return path.is_dir() and any(_DIGEST.fullmatch(found.parent.name) for found in path.glob(f"*/*/{_MANIFEST}"))


def compare_runs(left: ComparedRun, right: ComparedRun) -> SideBySide:
    """Compare claims, shares, ablations and settings of two runs; raises the studies' UserErrors for damage."""
    absences = [run.absence for run in (left, right) if run.absence]
    pairs: list[KeyFigurePair] = []
    if left.study is not None and right.study is not None:
        for table, measure in (("shares", _shares), ("ablations", _ablations)):
            try:
                pairs += _paired(measure(left.study), measure(right.study))
            except ArtifactMissing as missing:
                absences.append(f"{table}: {missing}")
    return SideBySide(
        comparison=compared(left.run, right.run),
        key_figures=tuple(pairs),
        settings=tuple(differing_settings(left, right)),
        absences=tuple(dict.fromkeys(absences)),
    )


def _shares(study: StoredStudy) -> Mapping[KeyFigure, Measurement]:
    return share_key_figures(study, study.suite.universality.thresholds)


def _ablations(study: StoredStudy) -> Mapping[KeyFigure, Measurement]:
    return ablation_key_figures(study, study.suite.universality.threshold)


def _paired(left: Mapping[KeyFigure, Measurement], right: Mapping[KeyFigure, Measurement]) -> list[KeyFigurePair]:
    """The key figures of either study in the order of the longer one; None where a study has no such figure."""
    figures = {**right, **left} if len(right) > len(left) else {**left, **right}
    return [
        KeyFigurePair(figure.what, figure.of, figure.threshold, figure.checkpoint, left.get(figure), right.get(figure))
        for figure in figures
    ]


# --- runs ------------------------------------------------------------------------------------------------------------


def _subject(log: Path) -> tuple[str, str]:
    """The suite of the run recorded in ``log`` and the options that narrowed it; empty without a record."""
    first = EvidenceLog.read(log).records[:1]
    return (first[0].suite, first[0].narrowed_by) if first else ("", "")


def _of_run(
    name: str, log: Path, suite: str, narrowed_by: str = "", *, root: Path, store: Path | None, warn: Warn
) -> ComparedRun:
    def opened() -> StoredStudy:
        narrowing = Selection.from_line(narrowed_by).narrowing
        return StoredStudy(open_workspace(suite, root=root, store=store, warn=warn, narrowing=narrowing))

    return _with_study(_judged(name, log, suite, narrowed_by), opened)


def _judged(name: str, log: Path, suite: str, narrowed_by: str = "") -> JudgedRun:
    claims = read_claims(log, suite=suite, narrowed_by=narrowed_by)
    said = EvidenceLog.read(log / RECORDS if log.is_dir() else log)
    return JudgedRun(
        name=Path(name).name or name,
        suite=f"{suite} {narrowed_by}".rstrip(),
        claims=claims,
        code=said.code,
        complete=said.complete,
    )


def _with_study(run: JudgedRun, opened: Callable[[], StoredStudy]) -> ComparedRun:
    """The run with its study, if the artifacts that it was judged from are the suite's artifacts here."""
    try:
        study = opened()
        check_artifacts(run.claims, {key.digest for key in suite_keys(study.work)})
    except UserError as reason:
        return ComparedRun(run, None, f"{run.name}: the artifacts behind the run are not here ({reason})")
    return ComparedRun(run, study)


# --- evidence that is judged first -----------------------------------------------------------------------------------


def _of_evidence(name: str, folder: Path, *, root: Path, warn: Warn) -> ComparedRun:
    suite = suite_of_evidence(folder, root=root, warn=warn)
    log = root / WORK_FOLDER / "compared" / f"{suite}-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    warn(f"{name}: evidence of suite {suite} without a record of a run; judging it now")
    judge(suite, folder, log, root=root)
    run = _judged(name, log, suite)
    return _with_study(run, lambda: open_evidence(suite, store=folder, root=root, warn=warn))


def suite_of_evidence(folder: Path, *, root: Path, warn: Warn) -> str:
    """The suite of the checkout that most of the artifacts in ``folder`` belong to.

    Raises RunUnknown where they belong to none, or to two as much.
    """
    suites = available_suites(root)
    counts = {name: _artifacts_in(folder, name, root=root, warn=warn) for name in suites}
    most = max(counts.values(), default=0)
    best = [name for name, number in counts.items() if number == most and number]
    if not best:
        raise RunUnknown(
            f"{folder}: its artifacts belong to no suite here; expected an export of one of {', '.join(suites)}"
        )
    if len(best) > 1:
        raise RunUnknown(f"{folder}: its artifacts belong to suites {' and '.join(best)} alike; name a run instead")
    return best[0]


def _artifacts_in(folder: Path, suite: str, *, root: Path, warn: Warn) -> int:
    """The number of artifacts of the suite in ``folder``; 0 where its keys are not known without them."""
    try:
        work = open_evidence(suite, store=folder, root=root, warn=warn).work
        keys = suite_keys(work)
    except UserError:
        return 0
    return sum((folder / key.stage / key.digest / _MANIFEST).is_file() for key in keys)


def judge(suite: str, evidence: Path, log: Path, *, root: Path) -> None:
    """Judge the claims of ``suite`` on the artifacts in ``evidence`` alone, and leave the run's record in ``log``.

    Raises UserError with the run's last line where it did not come to verdicts.
    """
    command = [
        sys.executable, "-m", "pytest", "claims", "-q", "-p", "no:cacheprovider", "--suite", suite,
        "--store", str(evidence), "--evidence-dir", str(log), "--study-factory", _FACTORY,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode not in _JUDGED or not (log / RECORDS).is_file():
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise UserError(
            f"{evidence}: the claims could not be judged on it (status {done.returncode}): {''.join(lines[-1:])}; "
            f"run: pytest claims --suite {suite} --store {evidence} --study-factory {_FACTORY}"
        )


# --- settings that differ --------------------------------------------------------------------------------------------


def differing_settings(left: ComparedRun, right: ComparedRun) -> Iterator[DifferingSetting]:
    """Settings, inputs and versions that differ: first of artifacts of one name, then of the code that judged."""
    if left.study is not None and right.study is not None:
        yield from _settings(left.study, right.study)
        yield from _software(left.study, right.study)
    for name in dict.fromkeys((*left.run.code, *right.run.code)):
        values = [compared_run.run.code.get(name, "not recorded") for compared_run in (left, right)]
        if values[0] != values[1]:
            yield DifferingSetting(f"judged with: {name}", *values)


def _settings(left: StoredStudy, right: StoredStudy) -> Iterator[DifferingSetting]:
    lefts, rights = (_named_keys(study) for study in (left, right))
    digests = {key.digest for keys in (lefts, rights) for key in keys.values()}
    differing: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for name in lefts.keys() & rights.keys():
        settings = [_flat(keys[name], digests) for keys in (lefts, rights)]
        for setting in settings[0].keys() | settings[1].keys():
            pair = settings[0].get(setting, "none"), settings[1].get(setting, "none")
            if pair[0] != pair[1]:
                differing.setdefault((name[0], setting), set()).add(pair)
    for (stage, setting), pairs in sorted(differing.items()):
        yield DifferingSetting(f"{stage}: {setting}", *_shown(sorted(pairs)))


def _shown(pairs: Sequence[tuple[str, str]]) -> tuple[str, str]:
    if len(pairs) == 1:
        return pairs[0]
    return f"{len({left for left, _ in pairs})} different", f"{len({right for _, right in pairs})} different"


def _named_keys(study: StoredStudy) -> Mapping[tuple[str, str, str], Key]:
    """The keys of a suite by stage, label of the checkpoint and models, which two suites can have in common."""
    artifacts = suite_artifacts(study.work)
    labels: dict[int | None, str] = {step: str(study.suite.checkpoint(step)) for step in study.work.steps}
    return {
        (one.key.stage, labels.get(one.case.step, ""), f"{one.case.model} {one.case.partner}"): one.key
        for one in artifacts
    }


def _flat(key: Key, digests: set[str]) -> dict[str, str]:
    """The settings and inputs of a key as text, without inputs that are artifacts of the suite."""
    inputs = {f"input {name}": digest[:12] for name, digest in key.inputs.items() if digest not in digests}
    return {"version": str(key.version), **{k: str(_plain(v)) for k, v in key.parameters.items()}, **inputs}


def _plain(value: Any) -> Any:
    return ", ".join(str(_plain(part)) for part in value) if isinstance(value, list | tuple) else value


def _software(left: StoredStudy, right: StoredStudy) -> Iterator[DifferingSetting]:
    lefts, rights = (_versions(study.work.store, suite_keys(study.work)) for study in (left, right))
    for name in sorted(lefts.keys() | rights.keys()):
        values = [", ".join(sorted(versions.get(name, {"none"}))) for versions in (lefts, rights)]
        if values[0] != values[1]:
            yield DifferingSetting(f"computed with: {name}", *values)


def _versions(store: Store, keys: Sequence[Key]) -> dict[str, set[str]]:
    """Device, commit and versions that the artifacts of ``keys`` were computed with."""
    unseen = set(keys)
    seen: dict[str, set[str]] = {}
    for entry in store.entries():
        # The working store comes first, and its artifacts are the ones that were read.
        if entry.key in unseen:
            unseen.remove(entry.key)
            made = entry.manifest.provenance
            commit = {} if made.git_commit is None else {"commit": made.git_commit[:12]}
            for name, version in {**made.versions, "device": made.device, **commit}.items():
                seen.setdefault(name, set()).add(version)
    return seen
