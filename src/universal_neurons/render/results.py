"""The tables behind the figures and texts of the report, read once from a study.

Every number comes from the function of ``measures`` that also judged the claims.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from universal_neurons.render.figures.ablation import AblationNumbers, ablations
from universal_neurons.render.figures.emergence import Emergence, emergence_of, published_table_one
from universal_neurons.render.figures.families import FamilyNumbers, families_of
from universal_neurons.render.figures.numbers import Numbers, settings_of
from universal_neurons.render.figures.parent import Parent, parent_of, printed_by_parent
from universal_neurons.render.figures.persistence import Persistence, persistence_of, printed_persistence
from universal_neurons.render.figures.robustness import Robustness, robustness_results
from universal_neurons.render.figures.roles import Roles, printed_paths, roles_of
from universal_neurons.render.figures.training import TrainingCurve, checkpoint_tokens, training

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from universal_neurons.stages.study import StoredStudy

_Part = TypeVar("_Part", bound=Numbers)


@dataclass(frozen=True)
class Results(Numbers):
    """What the pages say of one suite.

    ``curves`` and ``checkpoint_tokens`` are empty for published models, of whose training there is no log;
    ``families`` and ``roles`` are None in a first look.
    """

    curves: tuple[TrainingCurve, ...]
    training_digest: str
    checkpoint_tokens: tuple[float, ...]
    emergence: Emergence
    persistence: Persistence
    ablation: AblationNumbers
    robustness: Robustness
    parent: Parent
    families: FamilyNumbers | None
    roles: Roles | None

    @property
    def is_ours(self) -> bool:
        """Return whether the models were trained by this project, which then has a training log."""
        return self.suite.zoo.kind == "fixtures"


def results(study: StoredStudy, root: Path) -> Results:
    """The numbers of ``study``, and those that the papers printed, from the checkout ``root``.

    Raises the study's own errors where an artifact is missing, PublishedError where a printed number is.
    """
    is_ours = study.suite.zoo.kind == "fixtures"
    return Results(
        *settings_of(study),
        curves=training(study.training_log()) if is_ours else (),
        training_digest=study.training_digest() if is_ours else "",
        checkpoint_tokens=checkpoint_tokens(study) if is_ours else (),
        emergence=_part(study, emergence_of, published_table_one(root)),
        persistence=_part(study, persistence_of, printed_persistence(root)),
        ablation=_part(study, ablations),
        robustness=_part(study, robustness_results),
        parent=_part(study, parent_of, printed_by_parent(root)),
        families=None if study.suite.quick else _part(study, families_of),
        roles=None if study.suite.quick else _part(study, roles_of, printed_paths(root)),
    )


def _part(study: StoredStudy, numbers_of: Callable[..., _Part], *printed: object) -> _Part:
    """A part of the numbers, with the artifacts that it was read from."""
    before = len(study.reads)
    numbers = numbers_of(study, *printed)
    return replace(numbers, artifacts=tuple(dict.fromkeys(study.reads[before:])))
