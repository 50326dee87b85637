"""Computation of a suite: every missing case of every stage, group by group and step by step.

Nothing is computed that a store already holds.  Every table is committed when it is done, so a killed run resumes with
what is missing.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from universal_neurons.stages.base import absent
from universal_neurons.stages.fetching import pin
from universal_neurons.stages.passes import STATES
from universal_neurons.stages.registry import in_groups, with_needs
from universal_neurons.stages.resources import enough_memory, give_back
from universal_neurons.stages.resume import sweep

if TYPE_CHECKING:
    from collections.abc import Iterable

    from universal_neurons.stages.base import Need
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
        lacking = {stage: missing for stage in group.stages if (missing := absent(work, stage, cases))}
        if not lacking:
            continue
        keys = [key for stage, missing in lacking.items() for case in missing for key in stage.keys(work, case)]
        computed += sum(not work.store.has(key) for key in keys)
        at = "" if step is None else f"step {step}: "
        with enough_memory(work, f"{at}{', '.join(stage.name for stage in lacking)}"):
            group.compute_step(work, step, cases)
        give_back()
    return computed


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
