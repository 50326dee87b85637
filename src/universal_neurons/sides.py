"""What can be laid side by side, and how it is opened: a suite, the record of a run, a folder of evidence.

Decides what a word of the user means: a suite's name is its latest run; a folder or file with an evidence log is that
run (a built report holds one, too); a folder of artifacts is judged first, by the claims as they are now.  Whatever it
was, it becomes a run and, where the artifacts behind it are here, a study.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from universal_neurons.errors import ArtifactMissing, UserError
from universal_neurons.evidence.comparison import Ground, JudgedRun, LandmarkPair, SideBySide, compared
from universal_neurons.evidence.record import RECORDS, VERDICTS, EvidenceLog
from universal_neurons.inputs.narrowing import Narrowing, NarrowingError
from universal_neurons.inputs.suite import available_suites
from universal_neurons.measures.key_figures import KeyFigure, ablation_key_figures, share_key_figures
from universal_neurons.render.evidence_log import check_artifacts, read_claims
from universal_neurons.render.report import DATA, default_evidence
from universal_neurons.study import Study, open_evidence
from universal_neurons.workspace import WORK_FOLDER, Warn, describe, open_workspace, step_keys, suite_keys, token_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from universal_neurons.artifacts.key import Key
    from universal_neurons.artifacts.store import Store
    from universal_neurons.measurement import Measurement

_MANIFEST = "manifest.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FACTORY = "universal_neurons.study:open_evidence"
# pytest's statuses after which the claims were judged, whether or not as accepted.
_JUDGED = (0, 1)


class SideUnknown(UserError):
    """What should be compared is neither a suite nor anything that a run or an export leaves behind."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: its run, and the study that it was judged from.

    ``study`` is None where the artifacts are not here, and ``absence`` then says which and why.
    """

    run: JudgedRun
    study: Study | None
    absence: str = ""


def open_side(name: str, *, root: Path, store: Path | None = None, warn: Warn = print) -> Side:
    """The side that ``name`` means in the checkout ``root``: a suite, or the path of a run's record or of evidence.

    A suite's name wins over a folder of that name (write ``./mini`` for the folder).  ``store`` is the working store
    that suites and runs are looked up in.  Evidence is judged here, which takes as long as the claims do.

    Raises SideUnknown, EvidenceUnusable and RecordError, each one line.
    """
    if name in available_suites(root):
        return _of_run(name, default_evidence(root, name), About(name), root=root, store=store, warn=warn)
    path = Path(name).expanduser()
    log = log_folder(path)
    if log is not None:
        return _of_run(name, log, About.by(log), root=root, store=store, warn=warn)
    if is_evidence(path):
        return _of_evidence(name, path.absolute(), root=root, warn=warn)
    raise SideUnknown(
        f"{name}: expected a suite ({', '.join(available_suites(root))}), a folder with the record of a run "
        f"({RECORDS}), a built report, or a folder of artifacts"
    )


def log_folder(path: Path) -> Path | None:
    """The folder of the evidence log at ``path``: its folder, one of its files, or a built report; None for others."""
    for folder in (path, path / DATA, path.parent if path.name in (RECORDS, VERDICTS) else path):
        if (folder / RECORDS).is_file():
            return folder
    return None


def is_evidence(path: Path) -> bool:
    """Whether ``path`` is a folder of artifacts: ``<stage>/<digest>/manifest.json``."""
    return path.is_dir() and any(_DIGEST.fullmatch(found.parent.name) for found in path.glob(f"*/*/{_MANIFEST}"))


def side_by_side(left: Side, right: Side) -> SideBySide:
    """Everything that is said about two sides; raises the studies' UserErrors for damage."""
    absences = [side.absence for side in (left, right) if side.absence]
    pairs: list[LandmarkPair] = []
    if left.study is not None and right.study is not None:
        for table, measure in (("shares", _shares), ("ablations", _ablations)):
            try:
                pairs += _paired(measure(left.study), measure(right.study))
            except ArtifactMissing as missing:
                absences.append(f"{table}: {missing}")
    return SideBySide(
        comparison=compared(left.run, right.run),
        landmarks=tuple(pairs),
        grounds=tuple(grounds(left, right)),
        absences=tuple(dict.fromkeys(absences)),
    )


def _shares(study: Study) -> Mapping[KeyFigure, Measurement]:
    return share_key_figures(study, study.suite.universality.thresholds)


def _ablations(study: Study) -> Mapping[KeyFigure, Measurement]:
    return ablation_key_figures(study, study.suite.universality.threshold)


def _paired(left: Mapping[KeyFigure, Measurement], right: Mapping[KeyFigure, Measurement]) -> list[LandmarkPair]:
    """The key figures of either study in the order of the longer one; None where a study has no such figure."""
    figures = {**right, **left} if len(right) > len(left) else {**left, **right}
    return [
        LandmarkPair(figure.what, figure.of, figure.threshold, figure.checkpoint, left.get(figure), right.get(figure))
        for figure in figures
    ]


# --- runs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class About:
    """What a run was about: a suite, and the options that narrowed it, as its records have them."""

    suite: str
    narrowed_by: str = ""

    @classmethod
    def by(cls, log: Path) -> About:
        """What the run recorded in ``log`` was about; a log without a record is about nothing, as reading it says."""
        first = next(EvidenceLog.read(log), None)
        return cls("", "") if first is None else cls(first.suite, first.narrowed_by)

    @property
    def narrowing(self) -> dict[str, Any]:
        """The narrowing as ``open_workspace`` takes it; raises NarrowingError for options that are none."""
        words = shlex.split(self.narrowed_by)
        options = {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=False)}
        known = {field.name for field in fields(Narrowing)}
        if len(words) % 2 or not options.keys() <= known:
            raise NarrowingError(f"narrowed by {self.narrowed_by!r}: expected options of {', '.join(sorted(known))}")
        return Narrowing.parsed(options).chosen


def _of_run(name: str, log: Path, about: About, *, root: Path, store: Path | None, warn: Warn) -> Side:
    run = _judged(name, log, about)

    def opened() -> Study:
        return Study(open_workspace(about.suite, root=root, store=store, warn=warn, narrowing=about.narrowing))

    return _with_study(run, opened)


def _judged(name: str, log: Path, about: About) -> JudgedRun:
    claims = read_claims(log, suite=about.suite, narrowed_by=about.narrowed_by)
    said = EvidenceLog.conclusion(log)
    code = said.get("code", {})
    return JudgedRun(
        name=Path(name).name or name,
        suite=f"{about.suite} {about.narrowed_by}".rstrip(),
        claims=claims,
        code={str(k): str(v) for k, v in code.items()} if isinstance(code, dict) else {},
        complete=said.get("complete") is not False,
    )


def _with_study(run: JudgedRun, opened: Callable[[], Study]) -> Side:
    """The side of a run with its study, if the artifacts that it was judged from are those of the suite here."""
    try:
        study = opened()
        check_artifacts(run.claims, {key.digest for key in suite_keys(study.work)})
    except UserError as reason:
        return Side(run, None, f"{run.name}: the artifacts behind the run are not here ({reason})")
    return Side(run, study)


# --- evidence that is judged first -----------------------------------------------------------------------------------


def _of_evidence(name: str, folder: Path, *, root: Path, warn: Warn) -> Side:
    suite = suite_of_evidence(folder, root=root, warn=warn)
    log = root / WORK_FOLDER / "compared" / f"{suite}-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    warn(f"{name}: evidence of suite {suite} without a record of a run; judging it now")
    judge(suite, folder, log, root=root)
    run = _judged(name, log, About(suite))
    return _with_study(run, lambda: open_evidence(suite, store=folder, root=root, warn=warn))


def suite_of_evidence(folder: Path, *, root: Path, warn: Warn) -> str:
    """The suite of the checkout that most of the artifacts in ``folder`` belong to.

    Raises SideUnknown where they belong to none, or to two as much.
    """
    found = {name: _there(name, folder, root=root, warn=warn) for name in available_suites(root)}
    most = max(found.values(), default=0)
    best = [name for name, number in found.items() if number == most and number]
    if not best:
        raise SideUnknown(
            f"{folder}: its artifacts are those of no suite here; expected an export of one of {_all(root)}"
        )
    if len(best) > 1:
        raise SideUnknown(f"{folder}: its artifacts are those of suites {' and '.join(best)} alike; name a run instead")
    return best[0]


def _all(root: Path) -> str:
    return ", ".join(available_suites(root))


def _there(suite: str, folder: Path, *, root: Path, warn: Warn) -> int:
    """How many artifacts of the suite lie in ``folder``; none where its keys are not known without them."""
    try:
        work = open_evidence(suite, store=folder, root=root, warn=warn).work
        keys = suite_keys(work)
    except UserError:
        return 0
    return sum((folder / key.stage / key.digest / _MANIFEST).is_file() for key in keys)


def judge(suite: str, evidence: Path, log: Path, *, root: Path) -> None:
    """Judge the claims of ``suite`` on the artifacts in ``evidence`` alone, and leave the run's record in ``log``.

    Raises UserError with the last line that was said where the run did not come to verdicts.
    """
    command = [
        sys.executable, "-m", "pytest", "claims", "-q", "-p", "no:cacheprovider", "--suite", suite,
        "--store", str(evidence), "--evidence-dir", str(log), "--study-factory", _FACTORY,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode not in _JUDGED or not (log / VERDICTS).is_file():
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise UserError(
            f"{evidence}: the claims could not be judged on it (status {done.returncode}): {said[-1] if said else ''}; "
            f"run: pytest claims --suite {suite} --store {evidence} --study-factory {_FACTORY}"
        )


# --- what the two were made with -------------------------------------------------------------------------------------


def grounds(left: Side, right: Side) -> Iterator[Ground]:
    """Every setting, input and version in which the two sides differ: of artifacts of one name, and of what judged."""
    if left.study is not None and right.study is not None:
        yield from _settings(left.study, right.study)
        yield from _software(left.study, right.study)
    for name in dict.fromkeys((*left.run.code, *right.run.code)):
        one, two = (side.run.code.get(name, "not recorded") for side in (left, right))
        if one != two:
            yield Ground("judged with", name, one, two)


def _settings(left: Study, right: Study) -> Iterator[Ground]:
    lefts, rights = (_named_keys(study) for study in (left, right))
    digests = {key.digest for keys in (lefts, rights) for key in keys.values()}
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for name in lefts.keys() & rights.keys():
        one, two = (_flat(keys[name], digests) for keys in (lefts, rights))
        for setting in one.keys() | two.keys():
            pair = one.get(setting, "none"), two.get(setting, "none")
            if pair[0] != pair[1]:
                found.setdefault((name[0], setting), set()).add(pair)
    for (stage, setting), pairs in sorted(found.items()):
        yield Ground(stage, setting, *_shown(sorted(pairs)))


def _shown(pairs: Sequence[tuple[str, str]]) -> tuple[str, str]:
    if len(pairs) == 1:
        return pairs[0]
    return f"{len({one for one, _ in pairs})} different", f"{len({two for _, two in pairs})} different"


def _named_keys(study: Study) -> Mapping[tuple[str, str, str], Key]:
    """The keys of a suite by stage, label of the checkpoint and description, which two suites can have in common."""
    work = study.work
    keys = [("", key) for key in token_keys(work)]
    keys += [(str(study.suite.checkpoint(step)), key) for step in work.steps for key in step_keys(work, step)]
    return {(key.stage, label, _what(key)): key for label, key in keys}


def _what(key: Key) -> str:
    """What tells an artifact from others of its stage and checkpoint, without the numbers that may differ."""
    names = ("reference", "partner", "model", "variants")
    return describe(key) if any(name in key.parameters for name in names) and "variants" not in key.parameters else ""


def _flat(key: Key, digests: set[str]) -> dict[str, str]:
    """The settings and inputs of a key as text; inputs that are artifacts of a suite follow from those and are left."""
    inputs = {f"input {name}": digest[:12] for name, digest in key.inputs.items() if digest not in digests}
    return {"version": str(key.version), **{k: str(_plain(v)) for k, v in key.parameters.items()}, **inputs}


def _plain(value: Any) -> Any:
    return ", ".join(str(_plain(one)) for one in value) if isinstance(value, list | tuple) else value


def _software(left: Study, right: Study) -> Iterator[Ground]:
    lefts, rights = (_versions(study.work.store, suite_keys(study.work)) for study in (left, right))
    for name in sorted(lefts.keys() | rights.keys()):
        one, two = (", ".join(sorted(side.get(name, {"none"}))) for side in (lefts, rights))
        if one != two:
            yield Ground("computed with", name, one, two)


def _versions(store: Store, keys: Sequence[Key]) -> dict[str, set[str]]:
    """Device, commit and versions that the artifacts of ``keys`` were computed with."""
    wanted = set(keys)
    seen: dict[str, set[str]] = {}
    for entry in store.entries():
        # The working store comes first, and what it has is what was read.
        if entry.key in wanted:
            wanted.remove(entry.key)
            made = entry.manifest.provenance
            commit = {} if made.git_commit is None else {"commit": made.git_commit[:12]}
            for name, version in {**made.versions, "device": made.device, **commit}.items():
                seen.setdefault(name, set()).add(version)
    return seen
