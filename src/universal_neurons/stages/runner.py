"""Computation of a suite: every missing case of every stage, group by group and step by step.

Nothing is computed that a store already holds.  Every table is committed when it is done, so a killed run resumes with
what is missing.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from universal_neurons.stages.base import absent
from universal_neurons.stages.fetching import pin
from universal_neurons.stages.registry import in_groups, with_needs
from universal_neurons.stages.resources import enough_memory, give_back
from universal_neurons.stages.resume import STATES, StateFolder, sweep

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from universal_neurons.stages.base import Case, Need, Stage, StageGroup
    from universal_neurons.stages.workspace import Workspace


def compute(work: Workspace, only: Iterable[Need] | None = None) -> int:
    """Compute what the suite still lacks, or what ``only`` some cases and their needs lack; returns how many artifacts.

    The text is not read where all evidence is there: only the identity of the tokens is needed then.  Published models
    that are not pinned yet are pinned first, for which a hub or a local folder must be there.
    """
    pin(work)
    sweep(work.store.working / STATES, work.warn)
    computed = 0
    for group, step, cases in in_groups(with_needs(work, only)):
        if _lacking(work, group, cases):
            # Another process may be at it: two would do everything twice, and each would destroy the other's state.
            stage = next(stage for stage in group.stages if cases.get(stage.name))
            with work.store.lock(stage.key(work, cases[stage.name][0])):
                computed += _compute_step(work, group, step, cases)
    if only is None:
        # A run that was killed between its last commit and the end of its state leaves a state of no use.
        StateFolder(work.states, work.warn).remove()
    return computed


def _lacking(work: Workspace, group: StageGroup, cases: Mapping[str, Sequence[Case]]) -> dict[Stage, list[Case]]:
    return {stage: missing for stage in group.stages if (missing := absent(work, stage, cases))}


def _compute_step(work: Workspace, group: StageGroup, step: int | None, cases: Mapping[str, Sequence[Case]]) -> int:
    """Compute what a step of a group still lacks; returns how many artifacts."""
    lacking = _lacking(work, group, cases)
    if not lacking:
        return 0
    keys = [key for stage, missing in lacking.items() for case in missing for key in stage.keys(work, case)]
    count = sum(not work.store.has(key) for key in keys)
    at = "" if step is None else f"step {step}: "
    with enough_memory(work, f"{at}{', '.join(stage.name for stage in lacking)}"):
        group.compute_step(work, step, cases)
    give_back()
    return count


def recompute(work: Workspace, only: Iterable[Need] | None = None) -> None:
    """Compute a suite into an empty store; a recomputation that was interrupted resumes instead."""
    finished = work.store.working / "finished"
    if finished.exists():
        # The mark goes last: without it, the remains of the old store would pass for the beginning of a new one.
        for folder in work.store.working.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder)
        finished.unlink()
    compute(work, only)
    finished.touch()
