"""Recheck of evidence: whether the shipped or imported artifacts are what their weights and tokens give.

Nothing of the working store is trusted: the stored side is always the shipped evidence or, where that has nothing, the
imported one.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from universal_neurons.artifacts.provenance import capture
from universal_neurons.artifacts.receipt import Sample, receipts_of
from universal_neurons.artifacts.store import Artifact, Store, in_one_line
from universal_neurons.errors import UserError
from universal_neurons.stages.base import Artifacts, Case, Lookup, Stage, missing, step_of
from universal_neurons.stages.comparison import Comparison, EvidenceDiffers, total
from universal_neurons.stages.models import LoadedModels
from universal_neurons.stages.registry import stages
from universal_neurons.stages.scores import RequestedScores, score_table, step_scores
from universal_neurons.stages.universality import UNIVERSALITY
from universal_neurons.stages.workspace import IMPORTED, WORK_FOLDER, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from universal_neurons.artifacts.receipt import Receipt


def check_recomputation(work: Workspace) -> list[Comparison]:
    """Compare every recomputed table of ``work`` with the shipped one of the same key; one comparison per stage.

    Empty on a machine with another corpus.  Raises :class:`EvidenceDiffers` for a table that disagrees.
    """
    shipped = shipped_artifacts(work)
    found = (total(_compared(work, stage, shipped), what=f"all of {stage.name}") for stage in stages())
    return [one.checked(work.suite.name) for one in found if one is not None]


def _compared(work: Workspace, stage: Stage, shipped: Lookup) -> Iterator[Comparison]:
    for case in stage.taken(work):
        compared = stage.compare(work, case, shipped, stored_artifacts(work, work.store))
        if compared is not None:
            yield compared.checked(work.suite.name)


def spotcheck(work: Workspace) -> Comparison:
    """Recompute one shipped table: the reference against its first partner at the last checkpoint.

    Raises :class:`EvidenceDiffers` if they disagree, ArtifactMissing if nothing is shipped, and UserError if this
    machine's corpus is another one, because then there is nothing to compare.
    """
    return _recomputed(work, spotchecked_case(work)).checked(work.suite.name)


def spotchecked_case(work: Workspace) -> Case:
    """The pair whose table :func:`spotcheck` recomputes."""
    return Case(work.last_step, work.reference, work.partners(work.reference)[0])


def imported_sample(work: Workspace, receipt: Receipt) -> Comparison:
    """Recompute one table of an import, and note in its receipt that it agreed.

    The table is drawn anew every time, so that nobody can know beforehand which one has to be right.  Raises
    :class:`EvidenceDiffers` if it does not agree, and UserError if the import has no table of a pair, or if this
    machine's corpus is another one.
    """
    case = secrets.choice(_sampled_from(work, receipt))
    with capture() as run:
        compared = _recomputed(work, case)
    if not compared.agrees:
        raise EvidenceDiffers(
            f"evidence imported from {receipt.source}: {compared}; do not rely on it: remove "
            f"{WORK_FOLDER}/{IMPORTED}, then import another or run: {work.suite.command('universal-neurons compute')}"
        )
    made = run.provenance
    sample = Sample(UNIVERSALITY.key(work, case).digest, made.created, made.git_commit, str(compared))
    imported = work.store.imported_root
    with work.store.import_lock(work.suite.name), in_one_line("noting the sample in", imported):
        # As it is now: another import may have added to it meanwhile.
        now = next((one for one in receipts_of(imported, receipt.suite) if one.bundle == receipt.bundle), receipt)
        replace(now, sample=sample).write(imported)
    return compared


def shipped_artifacts(work: Workspace) -> Lookup:
    """The artifacts of cases in the shipped evidence or, where that has nothing, in the imported one."""
    nothing, evidence = work.root / WORK_FOLDER / "unused", work.root / "fixtures" / "evidence"
    store = Store(nothing, [evidence], imported=work.root / WORK_FOLDER / IMPORTED, warn=work.warn)
    return stored_artifacts(work, store)


def stored_artifacts(work: Workspace, store: Store) -> Lookup:
    """The artifacts of cases in ``store``; None for a case of which a part is not there."""

    def looked_up(stage: Stage, case: Case) -> Artifacts | None:
        found = tuple(artifact for key in stage.keys(work, case) if (artifact := store.read(key)) is not None)
        return found if len(found) == len(stage.parts) else None

    return looked_up


def _sampled_from(work: Workspace, receipt: Receipt) -> list[Case]:
    """The pairs at trained checkpoints whose tables came with an import."""
    shipped, cases = shipped_artifacts(work), []
    for case in UNIVERSALITY.cases(work):
        digest = UNIVERSALITY.key(work, case).digest
        if case.step in work.trained_steps and digest in receipt.artifacts:
            artifacts = shipped(UNIVERSALITY, case)
            if artifacts is not None and receipt.covers(digest, artifacts[0].sha256):
                cases.append(case)
    if not cases:
        raise UserError(
            f"evidence imported from {receipt.source}: has no table of suite {work.suite} to compute again; import all "
            "of it"
        )
    return cases


def _recomputed(work: Workspace, case: Case) -> Comparison:
    """The shipped table of one pair against a recomputed one that no store holds."""
    shipped = shipped_artifacts(work)
    if shipped(UNIVERSALITY, case) is None:
        raise missing(work, UNIVERSALITY.key(work, case))
    scores = step_scores(
        LoadedModels.of(work, step_of(case), (case.model, case.partner)),
        RequestedScores((case,)),
    )
    table = score_table(scores.table(case))
    scores.passes.forget()
    compared = UNIVERSALITY.compare(work, case, shipped, _with_table(shipped, case, table))
    if compared is None:
        raise missing(work, UNIVERSALITY.key(work, case))
    return compared


def _with_table(shipped: Lookup, case: Case, table: pd.DataFrame) -> Lookup:
    """``shipped`` with the recomputed ``table`` in the place of one."""

    def looked_up(stage: Stage, other: Case) -> Artifacts | None:
        found = shipped(stage, other)
        if found is None or other != case:
            return found
        return (Artifact(table, found[0].manifest, found[0].origin),)

    return looked_up
