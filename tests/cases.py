"""Cases and keys of a suite by step, as tests name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.stages.tokens import ONLY, TOKENS
from universal_neurons.stages.universality import PERMUTED_NULL, ROTATED_NULL, UNIVERSALITY

if TYPE_CHECKING:
    from universal_neurons.artifacts.key import Key
    from universal_neurons.stages.base import Case, Stage
    from universal_neurons.stages.workspace import Workspace

DRAWS = "baseline-draws"


def pairs(work: Workspace, step: int) -> list[Case]:
    """Every reference against every partner at one step."""
    return [case for case in UNIVERSALITY.cases(work) if case.step == step]


def keys_at(work: Workspace, stage: Stage, step: int) -> dict[Case, Key]:
    """The keys of the tables of a stage at one step."""
    return {case: stage.key(work, case) for case in stage.cases(work) if case.step == step}


def null_keys(work: Workspace, step: int) -> dict[tuple[Case, str], Key]:
    """The keys of the null tables of one step, by pair and kind."""
    return {
        (case, null.kind): key
        for null in (ROTATED_NULL, PERMUTED_NULL)
        for case, key in keys_at(work, null, step).items()
    }


def corpus_key(work: Workspace) -> Key:
    """The key of the identity of the scored tokens."""
    return TOKENS.key(work, ONLY)


# Artifacts of the miniature project's larger suite; the ones of each stage are counted in tests/stages/test_workspace.
ARTIFACTS = 118
# Tasks of its smaller suite.
TASKS = 39
