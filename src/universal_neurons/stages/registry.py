"""The stages of a suite in the order in which data flows, and the artifacts that they make.

    tokens, rows for ablations
    -> universality and nulls (the same passes over the tokens of a checkpoint; untrained of the suite's reference only)
    -> candidates (of all references at a checkpoint)
    -> variants (other masks, paddings, rotations: the suite's reference only)
    -> texts (other texts, at the last checkpoint: the suite's reference only)
    -> ablation (of the universal neurons and of what they are compared with)
    -> extensions (families and patches: the suite's reference only)
    -> profiles (of every single neuron at the last checkpoint)
    -> properties (of every single neuron: the suite's reference at every step, the others at the last)
    -> predictions (what every neuron writes into the vocabulary, at the last checkpoint)
    -> heads (attention heads of every model at the last checkpoint, and the neurons that act on them)
    -> labels of the tokens -> explanations of every single neuron by them
    -> entropy (neurons of the last layer of every model at the last checkpoint) -> the same of some neurons below it
    -> duplicates (the nearest other neuron of the same model)
    -> positions (every single neuron at the first position of a row, where rows begin with beginning-of-text)
    -> precisions (mutual best pairs from sums in fewer bits, at the last checkpoint: the suite's reference only)

To add a table, write its stage in a module of its own and add it here, with a claim that reads it: what nothing reads
is not computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.stages.ablation import ABLATIONS
from universal_neurons.stages.attention import HEADS
from universal_neurons.stages.base import Case, Need, Stage, StageGroup
from universal_neurons.stages.duplicates import DUPLICATES
from universal_neurons.stages.entropy import ENTROPY
from universal_neurons.stages.entropy_below import ENTROPY_BELOW
from universal_neurons.stages.explanations import EXPLANATIONS
from universal_neurons.stages.extensions import EXTENSIONS
from universal_neurons.stages.labels import LABELS
from universal_neurons.stages.positions import POSITIONS
from universal_neurons.stages.precisions import PRECISIONS
from universal_neurons.stages.predictions import PREDICTIONS
from universal_neurons.stages.profiles import PROFILES
from universal_neurons.stages.properties import PROPERTIES
from universal_neurons.stages.texts import TEXTS
from universal_neurons.stages.tokens import EVALUATION, TOKENS
from universal_neurons.stages.universality import CANDIDATES, SCORES, CandidateGroup
from universal_neurons.stages.variants import VARIANTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from universal_neurons.artifacts.key import Key
    from universal_neurons.stages.workspace import Workspace

GROUPS: tuple[StageGroup, ...] = (
    StageGroup(TOKENS),
    StageGroup(EVALUATION),
    SCORES,
    CandidateGroup(CANDIDATES),
    StageGroup(VARIANTS),
    StageGroup(TEXTS),
    StageGroup(ABLATIONS),
    StageGroup(EXTENSIONS),
    StageGroup(PROFILES),
    StageGroup(PROPERTIES),
    StageGroup(PREDICTIONS),
    StageGroup(HEADS),
    StageGroup(LABELS),
    StageGroup(EXPLANATIONS),
    StageGroup(ENTROPY),
    StageGroup(ENTROPY_BELOW),
    StageGroup(DUPLICATES),
    StageGroup(POSITIONS),
    StageGroup(PRECISIONS),
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
    return tuple(
        SuiteArtifact(stage, case, key)
        for step in (None, *work.steps)
        for stage, case in cases
        if case.step == step
        for key in stage.keys(work, case)
    )


def suite_keys(work: Workspace) -> tuple[Key, ...]:
    """The key of every artifact of a suite, in the order of :func:`suite_artifacts`."""
    return tuple(artifact.key for artifact in suite_artifacts(work))


def where(work: Workspace, key: Key) -> str:
    """The store that has the artifact, ``working``, ``shipped`` or ``imported``, or ``absent``."""
    artifact = work.store.read(key)
    return "absent" if artifact is None else artifact.origin.value


def suite_cases(work: Workspace) -> tuple[Need, ...]:
    """Every case of every stage that the suite has, in the order of the stages."""
    return tuple((stage, case) for stage in stages() for case in stage.taken(work))


def with_needs(work: Workspace, only: Iterable[Need] | None) -> tuple[Need, ...]:
    """The cases ``only`` and everything that they need, or every case of the suite, in the order of the stages."""
    if only is None:
        return suite_cases(work)
    known, left = set[Need](), list(only)
    while left:
        need = left.pop()
        if need not in known:
            known.add(need)
            stage, case = need
            left.extend(stage.needs(work, case))
    return tuple(need for need in suite_cases(work) if need in known)


def in_groups(cases: Iterable[Need]) -> Iterator[tuple[StageGroup, int | None, dict[str, list[Case]]]]:
    """The ``cases`` of each group at each step, by the name of the stage, in the order in which they are computed."""
    listed = tuple(cases)
    for group in GROUPS:
        steps: dict[int | None, dict[str, list[Case]]] = {}
        for stage, case in listed:
            if stage in group.stages:
                steps.setdefault(case.step, {}).setdefault(stage.name, []).append(case)
        yield from ((group, step, by_name) for step, by_name in steps.items())
