"""The study that claims are written against: tables by partner and checkpoint, and the nulls for their controls.

The study that reads a suite's evidence satisfies the protocol.  Claims are written against the protocol alone, so that
they cannot reach past the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from universal_neurons.errors import NotOnSuite
from universal_neurons.measures.tables import ReferenceTables, UniversalityTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from universal_neurons.measures.ablation_table import AblationTable
    from universal_neurons.measures.arrays import Floats
    from universal_neurons.measures.extensions import Extensions
    from universal_neurons.measures.profiles import NeuronProfiles

NullKind = Literal["untrained", "rotated", "permuted"]
# The checkpoints of Nandan et al. 2025 v1, section 3: 25, 50 and 75 % of training.
_PAPER_SHARES = (0.25, 0.5, 0.75)


class HasStep(Protocol):
    """Anything that names a training step, such as a checkpoint of a suite."""

    @property
    def step(self) -> int:
        """Number of training steps."""


class TrainedCheckpoint(HasStep, Protocol):
    """A checkpoint with its place in the training."""

    @property
    def share(self) -> float:
        """Share of all training steps that are done, between 0 and 1."""


class Study(Protocol):
    """Read access to the evidence of one suite.

    Every method that reads a table raises ``ArtifactMissing`` where it was not computed, with the command that computes
    it; ``NotOnSuite`` for a reference that a narrowed suite left out; and UserError for a model, partner or checkpoint
    that the suite does not have.
    """

    @property
    def reference(self) -> str:
        """The suite's reference, the model whose neurons look for partners."""

    @property
    def untrained(self) -> HasStep | None:
        """The checkpoint before the first training step, where the suite has it."""

    @property
    def checkpoints(self) -> Sequence[TrainedCheckpoint]:
        """The trained checkpoints in the order of training."""

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        """The models of the suite other than ``reference``, in its order."""

    def universality(self, *, partner: str, checkpoint: HasStep, reference: str | None = None) -> UniversalityTable:
        """The neurons of ``reference`` scored against one partner."""

    def reference_tables(self, *, checkpoint: HasStep, reference: str | None = None) -> ReferenceTables:
        """The neurons of ``reference`` scored against every partner."""

    def null(
        self, *, partner: str, checkpoint: HasStep, kind: NullKind, reference: str | None = None
    ) -> UniversalityTable:
        """A null model of :meth:`universality`, without candidates.

        ``untrained``: both models before training; ``rotated``: the activations of both rotated; ``permuted``: the
        partner reads other tokens, at the last checkpoint alone.
        """

    def ablation(self, *, checkpoint: HasStep, reference: str | None = None) -> AblationTable:
        """The effects of ablating every set of neurons of ``reference`` that the suite ablates.

        At the untrained checkpoint the sets are the sets of the last one: labels without a meaning there.
        """

    def extensions(self, *, checkpoint: HasStep) -> Extensions:
        """Families and patches of the suite's reference, at a trained checkpoint."""

    def profiles(self, *, model: str | None = None) -> NeuronProfiles:
        """Profiles of all neurons of one model, by default the reference, at the last checkpoint."""

    def published_neurons(self, *, checkpoint: HasStep) -> Mapping[str, Floats]:
        """The columns (neuron,) that the paper's authors published of the reference's neurons at a checkpoint.

        Raises NotOnSuite where they published none, or where their file is not here.
        """

    def table(
        self,
        stage: str,
        *,
        model: str | None = None,
        partner: str | None = None,
        checkpoint: HasStep | None = None,
        text: str | None = None,
    ) -> Any:
        """Any table by the name of its stage, by default of the reference at the last checkpoint."""

    @property
    def variants(self) -> Sequence[str]:
        """Names of the other choices under which the reference was scored, each spelled ``choice:value``."""

    def variant(self, name: str, *, partner: str, checkpoint: HasStep) -> UniversalityTable:
        """:meth:`universality` of the suite's reference with one choice made otherwise, without candidates.

        Raises NotOnSuite for a name of which the suite has no variant.
        """

    def variant_settings(self, checkpoint: HasStep) -> pd.DataFrame:
        """One row per variant: variant, tokens, draws (rotation draws of its baseline)."""

    def beside(self, *suites: str) -> Mapping[str, Study]:
        """The studies of several suites by name, this one's among them, for statements about more than one.

        Raises NotOnSuite where this suite is none of them.
        """


def paper_checkpoints(study: Study) -> tuple[TrainedCheckpoint, ...]:
    """The checkpoints at 25, 50 and 75 % of training; all trained ones where a suite lacks one of the three."""
    three = tuple(checkpoint for checkpoint in study.checkpoints if checkpoint.share in _PAPER_SHARES)
    return three if len(three) == len(_PAPER_SHARES) else tuple(study.checkpoints)


def quarter_checkpoints(study: Study) -> tuple[TrainedCheckpoint, TrainedCheckpoint, TrainedCheckpoint]:
    """The checkpoints at 25, 50 and 75 % of training; raises NotOnSuite where the suite lacks one."""
    by_share = {checkpoint.share: checkpoint for checkpoint in study.checkpoints}
    for share in _PAPER_SHARES:
        if share not in by_share:
            present = ", ".join(f"{100 * other:g} %" for other in by_share)
            raise NotOnSuite(f"expected a checkpoint at {100 * share:g} % of the training, got {present}")
    first, second, third = (by_share[share] for share in _PAPER_SHARES)
    return first, second, third


def first_and_last(study: Study) -> tuple[TrainedCheckpoint, TrainedCheckpoint]:
    """The ends of :func:`paper_checkpoints`; raises NotOnSuite where there is one checkpoint alone."""
    return ends_of(paper_checkpoints(study))


def ends_of(checkpoints: Sequence[TrainedCheckpoint]) -> tuple[TrainedCheckpoint, TrainedCheckpoint]:
    """The first and the last of some checkpoints; raises NotOnSuite where there is one alone."""
    if len(checkpoints) < 2:
        raise NotOnSuite(f"expected two checkpoints to compare, got {len(checkpoints)}")
    return checkpoints[0], checkpoints[-1]


def null_tables(study: Study, *, checkpoint: HasStep, kind: NullKind) -> ReferenceTables:
    """The null model of one kind against every partner, to be measured as :meth:`Study.reference_tables`."""
    return ReferenceTables.of(
        [study.null(partner=partner, checkpoint=checkpoint, kind=kind) for partner in study.partners()]
    )


def models_of(study: Study) -> tuple[str, ...]:
    """The models of the suite, its reference first."""
    return (study.reference, *study.partners())


def tables_of_models(study: Study, stage: str, checkpoint: HasStep) -> tuple[Any, ...]:
    """The table of a stage of every model of the suite, the reference first."""
    return tuple(study.table(stage, model=model, checkpoint=checkpoint) for model in models_of(study))


def every_ablation(study: Study, *, checkpoint: HasStep) -> dict[str, AblationTable]:
    """The ablations of every model at one checkpoint, by its name, the suite's reference first."""
    return {model: study.ablation(checkpoint=checkpoint, reference=model) for model in models_of(study)}


def untrained_ablation(study: Study) -> AblationTable:
    """The ablations of the reference before training, its neurons labelled as at the end (averaged definition only).

    Raises NotOnSuite where the suite has no untrained checkpoint.
    """
    if study.untrained is None:
        raise NotOnSuite("this suite has no untrained checkpoint, so its ablations have no untrained control")
    return study.ablation(checkpoint=study.untrained)
