"""The stages of a suite in the order in which data flows, and the artifacts that they make.

    tokens, rows for ablations
    -> universality, nulls and candidates (the same passes over the tokens of a checkpoint)
    -> variants (other masks, paddings, rotations: the suite's reference only)
    -> ablation (of the universal neurons and of what they are compared with)
    -> extensions (families and patches: the suite's reference only)
    -> profiles (of every single neuron at the last checkpoint)

To add a table, write its stage in a module of its own and add it here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.stages.ablation import ABLATIONS
from universal_neurons.stages.base import Case, Need, Stage, StageGroup
from universal_neurons.stages.extensions import EXTENSIONS
from universal_neurons.stages.profiles import PROFILES
from universal_neurons.stages.tokens import EVALUATION, TOKENS
from universal_neurons.stages.universality import CANDIDATES, PERMUTED_NULL, ROTATED_NULL, UNIVERSALITY, Scores
from universal_neurons.stages.variants import VARIANTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from universal_neurons.artifacts.key import Key
    from universal_neurons.stages.workspace import Workspace

SCORES = Scores(UNIVERSALITY, ROTATED_NULL, PERMUTED_NULL, CANDIDATES)
GROUPS: tuple[StageGroup, ...] = (
    StageGroup(TOKENS),
    StageGroup(EVALUATION),
    SCORES,
    StageGroup(VARIANTS),
    StageGroup(ABLATIONS),
    StageGroup(EXTENSIONS),
    StageGroup(PROFILES),
)


@dataclass(frozen=True, slots=True)
class SuiteArtifact:
    """One artifact that judging a suite reads."""

    stage: Stage
    case: Case
    key: Key


def stages() -> tuple[Stage, ...]:
    """Every stage, in the order in which they are computed."""
    return tuple(stage for group in GROUPS for stage in group.stages)


def stage_named(name: str) -> Stage:
    """The stage called ``name``; raises KeyError."""
    return {stage.name: stage for stage in stages()}[name]


def suite_artifacts(work: Workspace, only: Iterable[Need] | None = None) -> tuple[SuiteArtifact, ...]:
    """Every artifact of a suite, or of ``only`` some cases: the token sets first, then step by step.

    Raises ArtifactMissing where the tokens are not sampled yet: all other keys are made from them.
    """
    cases = suite_cases(work) if only is None else tuple(only)
    ordered = [one for step in (None, *work.steps) for one in cases if one[1].step == step]
    return tuple(SuiteArtifact(stage, case, key) for stage, case in ordered for key in stage.keys(work, case))


def suite_keys(work: Workspace) -> tuple[Key, ...]:
    """The key of every artifact of a suite, in the order of :func:`suite_artifacts`."""
    return tuple(artifact.key for artifact in suite_artifacts(work))


def where(work: Workspace, key: Key) -> str:
    """The store that has the artifact, ``working``, ``shipped`` or ``imported``, or ``absent``."""
    found = work.store.read(key)
    return "absent" if found is None else found.origin.value


def suite_cases(work: Workspace) -> tuple[Need, ...]:
    """Every case of every stage, in the order of the stages."""
    return tuple((stage, case) for stage in stages() for case in stage.cases(work))


def with_needs(work: Workspace, asked: Iterable[Need]) -> tuple[Need, ...]:
    """``asked`` cases and everything that they need, in the order of the stages."""
    known, queue = set[Need](), deque(asked)
    while queue:
        one = queue.popleft()
        if one not in known:
            known.add(one)
            queue.extend(one[0].needs(work, one[1]))
    return tuple(one for one in suite_cases(work) if one in known)


def in_groups(cases: Iterable[Need]) -> Iterator[tuple[StageGroup, dict[int | None, dict[str, list[Case]]]]]:
    """The ``cases`` by group, step and name of the stage, in the order in which they are computed."""
    listed = tuple(cases)
    for group in GROUPS:
        steps: dict[int | None, dict[str, list[Case]]] = {}
        for stage, case in listed:
            if stage in group.stages:
                steps.setdefault(case.step, {}).setdefault(stage.name, []).append(case)
        if steps:
            yield group, steps
