"""What a claim may ask of a study: tables by partner and checkpoint, and the nulls for its controls.

The pipeline's study has this shape; a claim is written against the shape, so that it cannot reach past the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from universal_neurons.errors import NotOnSuite
from universal_neurons.measures.tables import ReferenceTables, UniversalityTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from universal_neurons.measures.ablation_table import AblationTable
    from universal_neurons.measures.extensions import Extensions
    from universal_neurons.measures.profiles import NeuronProfiles

NullKind = Literal["untrained", "rotated", "permuted"]
# The checkpoints of Nandan et al. 2025 v1, section 3: 25, 50 and 75 % of training.
_PAPER_SHARES = (0.25, 0.5, 0.75)


class HasStep(Protocol):
    """Anything that names a training step: a checkpoint of a suite, an end of an interval."""

    @property
    def step(self) -> int:
        """The number of training steps."""


class TrainedCheckpoint(HasStep, Protocol):
    """A checkpoint that knows how much of the training is done."""

    @property
    def share(self) -> float:
        """Between 0 and 1."""


class Study(Protocol):
    """The evidence of one suite; a table that nobody has computed raises ``ArtifactMissing``."""

    @property
    def reference(self) -> str:
        """The model whose neurons are looked at."""

    @property
    def untrained(self) -> HasStep | None:
        """The checkpoint before the first training step, where the suite has it."""

    @property
    def checkpoints(self) -> Sequence[TrainedCheckpoint]:
        """The trained checkpoints in the order of training."""

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        """The models other than the reference, which is the suite's by default."""

    def universality(self, *, partner: str, checkpoint: HasStep, reference: str | None = None) -> UniversalityTable:
        """The reference's neurons against one partner."""

    def reference_tables(self, *, checkpoint: HasStep, reference: str | None = None) -> ReferenceTables:
        """The reference's neurons against every partner."""

    def null(
        self, *, partner: str, checkpoint: HasStep, kind: NullKind, reference: str | None = None
    ) -> UniversalityTable:
        """The table of what training does not make alike: untrained models, rotated neurons, permuted tokens."""

    def ablation(self, *, checkpoint: HasStep, reference: str | None = None) -> AblationTable:
        """What the reference loses by every set of neurons that the suite ablates.

        At the untrained checkpoint the sets are those of the last: labels that mean nothing there.
        """

    def extensions(self, *, checkpoint: HasStep) -> Extensions:
        """Families and patches of the reference, at a trained checkpoint."""

    def profiles(self, *, model: str | None = None) -> NeuronProfiles:
        """What is known of every single neuron of one model, the reference by default, at the last checkpoint."""

    @property
    def variants(self) -> Sequence[str]:
        """The other choices under which the reference was scored, each spelled ``choice:value``."""

    def variant(self, name: str, *, partner: str, checkpoint: HasStep) -> UniversalityTable:
        """The reference's neurons against one partner with one choice made otherwise; without candidates."""

    def variant_settings(self, checkpoint: HasStep) -> pd.DataFrame:
        """One row per variant: variant, tokens, draws."""


def paper_checkpoints(study: Study) -> tuple[TrainedCheckpoint, ...]:
    """The checkpoints at 25, 50 and 75 % of training; all trained ones where a suite lacks one of the three."""
    found = tuple(checkpoint for checkpoint in study.checkpoints if checkpoint.share in _PAPER_SHARES)
    return found if len(found) == len(_PAPER_SHARES) else tuple(study.checkpoints)


def paper_stages(study: Study) -> tuple[TrainedCheckpoint, TrainedCheckpoint, TrainedCheckpoint]:
    """The checkpoints at 25, 50 and 75 % of training, for what is said of these; raises NotOnSuite without one."""
    found = {checkpoint.share: checkpoint for checkpoint in study.checkpoints}
    for share in _PAPER_SHARES:
        if share not in found:
            there = ", ".join(f"{100 * one:g} %" for one in found)
            raise NotOnSuite(f"expected a checkpoint at {100 * share:g} % of the training, got {there}")
    first, second, third = (found[share] for share in _PAPER_SHARES)
    return first, second, third


def first_and_last(study: Study) -> tuple[TrainedCheckpoint, TrainedCheckpoint]:
    """The ends of :func:`paper_checkpoints`; raises NotOnSuite where there is one checkpoint alone."""
    return ends_of(paper_checkpoints(study))


def ends_of(stages: Sequence[TrainedCheckpoint]) -> tuple[TrainedCheckpoint, TrainedCheckpoint]:
    """The first and the last of some checkpoints; raises NotOnSuite where there is one alone."""
    if len(stages) < 2:
        raise NotOnSuite(f"expected two checkpoints to compare, got {len(stages)}")
    return stages[0], stages[-1]


def null_tables(study: Study, *, checkpoint: HasStep, kind: NullKind) -> ReferenceTables:
    """The null of one kind against every partner, to be measured as :meth:`Study.reference_tables` is."""
    return ReferenceTables.of(
        [study.null(partner=partner, checkpoint=checkpoint, kind=kind) for partner in study.partners()]
    )


def untrained_ablation(study: Study) -> AblationTable:
    """The reference before training, its neurons labelled as they are at the end (the averaged definition only).

    Raises NotOnSuite where the suite has no untrained checkpoint.
    """
    if study.untrained is None:
        raise NotOnSuite("this suite has no untrained checkpoint, so its ablations have no untrained control")
    return study.ablation(checkpoint=study.untrained)
