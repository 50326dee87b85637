"""The tables behind the figures and texts of the report, read once from a study.

Every number comes from the function of ``measures`` that also judged the claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.render.figures.ablation import AblationNumbers, ablations
from universal_neurons.render.figures.emergence import Emergence, PublishedCell, emergence_of, published_table_one
from universal_neurons.render.figures.families import FamilyNumbers, families_of
from universal_neurons.render.figures.parent import Parent, PrintedByParent, parent_of, printed_by_parent
from universal_neurons.render.figures.persistence import (
    Persistence,
    PrintedPersistence,
    persistence_of,
    printed_persistence,
)
from universal_neurons.render.figures.robustness import Robustness, robustness_results
from universal_neurons.render.figures.roles import Roles, printed_paths, roles_of
from universal_neurons.render.figures.training import TrainingCurve, checkpoint_tokens, training

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from universal_neurons.inputs.suite import Checkpoint, Suite
    from universal_neurons.stages.study import StoredStudy


@dataclass(frozen=True)
class Results:
    """What the pages say of one suite.

    ``training`` and ``checkpoint_tokens`` are empty for published models, of whose training there is no log.
    """

    suite: Suite
    reference: str
    partners: tuple[str, ...]
    checkpoints: tuple[Checkpoint, ...]
    training: tuple[TrainingCurve, ...]
    training_digest: str
    checkpoint_tokens: tuple[float, ...]
    emergence: Emergence
    persistence: Persistence
    ablation: AblationNumbers
    robustness: Robustness
    parent: Parent
    families: FamilyNumbers
    roles: Roles

    @property
    def is_ours(self) -> bool:
        """Return whether the models were trained by this project, which then has a training log."""
        return self.suite.zoo.kind == "fixtures"

    @property
    def threshold(self) -> float:
        """The suite's default threshold."""
        return self.suite.universality.threshold


@dataclass(frozen=True, slots=True)
class Printed:
    """The printed numbers shown beside ours: table 1, statements on persistence, and numbers of the parent paper."""

    table_one: tuple[PublishedCell, ...]
    persistence: PrintedPersistence
    parent: PrintedByParent
    paths: Mapping[tuple[str, str], float]


def printed_numbers(root: Path) -> Printed:
    """Read the numbers of both papers; raises PublishedError if they are not in the project's files."""
    return Printed(published_table_one(root), printed_persistence(root), printed_by_parent(root), printed_paths(root))


def results(study: StoredStudy, printed: Printed) -> Results:
    """The tables of ``study``; raises the study's own errors where an artifact is missing."""
    is_ours = study.suite.zoo.kind == "fixtures"
    return Results(
        suite=study.suite,
        reference=study.reference,
        partners=study.partners(),
        checkpoints=study.checkpoints,
        training=training(study.training_log()) if is_ours else (),
        training_digest=study.training_digest() if is_ours else "",
        checkpoint_tokens=checkpoint_tokens(study) if is_ours else (),
        emergence=emergence_of(study, printed.table_one),
        persistence=persistence_of(study, printed.persistence),
        ablation=ablations(study),
        robustness=robustness_results(study),
        parent=parent_of(study, printed.parent),
        families=families_of(study),
        roles=roles_of(study, printed.paths),
    )
