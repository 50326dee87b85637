"""Cases and keys of a suite by step, as tests name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.stages.tokens import ONLY, TOKENS
from universal_neurons.stages.universality import PERMUTED_NULL, ROTATED_NULL, UNIVERSALITY

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

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


# The tables about single models (or pairs) of the miniature project, in the order in which they are computed: the
# artifacts of a case, and the models of the cases at each step.  A new table is one row here.
TABLES: dict[str, tuple[tuple[str, ...], dict[int | None, Sequence[str]]]] = {
    "profiles": (("profiles",), {30: "abc"}),
    "properties": (("properties",), {0: "a", 15: "a", 30: "abc"}),
    "predictions": (("predictions", "predictions-directions", "predictions-planted"), {30: "abc"}),
    "heads": (("heads", "paths", "path-points"), {30: "abc"}),
    "labels": (("labels", "labels-bits"), {None: ("",)}),
    "explanations": (("explanations", "explanations-directions", "explanations-carried"), {30: "abc"}),
    "entropy": (("entropy", "entropy-clamps"), {30: "abc"}),
    "entropy-below": (("entropy-below",), {30: "abc"}),
    "duplicates": (("duplicates",), {30: "abc"}),
    "positions": (("positions",), {30: "abc"}),
    "precisions": (("precisions",), {30: ("ab", "ac")}),
}


def table_rows(steps: Collection[int] = (0, 15, 30), models: str = "abc") -> list[tuple[str, int | None, int]]:
    """Stage, step and number of artifacts of all :data:`TABLES`, of some steps and models."""
    rows = [
        (stage, step, len(parts) * sum(set(case) <= set(models) for case in cases))
        for stage, (parts, by_step) in TABLES.items()
        for step, cases in by_step.items()
        if step is None or step in steps
    ]
    return [row for row in rows if row[2]]


def table_parts(steps: Collection[int] = (0, 15, 30)) -> dict[str, int]:
    """The number of artifacts of each part of :data:`TABLES`, of some steps."""
    return {
        part: sum(len(cases) for step, cases in by_step.items() if step is None or step in steps)
        for parts, by_step in TABLES.values()
        for part in parts
    }


# Artifacts of the larger suite: token sets, tables and nulls, candidates, variants, ablations, extensions; then TABLES.
ARTIFACTS = 2 + 20 + 7 + 2 + 14 + 4 + sum(table_parts().values())
# The same of the smaller suite, which has the last step alone, and its tasks.
BRIEF = 2 + 10 + 3 + 1 + 6 + 2 + sum(table_parts({30}).values())
TASKS = 11 + sum(len(cases) for _, by_step in TABLES.values() for step, cases in by_step.items() if step in (None, 30))
