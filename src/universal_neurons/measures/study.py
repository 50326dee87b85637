"""What a claim may ask of a study: tables by partner and checkpoint, and the nulls for its controls.

The pipeline's study has this shape; a claim is written against the shape, so that it cannot reach past the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from universal_neurons.measures.tables import ReferenceTables, UniversalityTable

if TYPE_CHECKING:
    from collections.abc import Sequence

Null = Literal["untrained", "rotated", "permuted"]
# The checkpoints of Nandan et al. 2025 v1, section 3: 25, 50 and 75 % of training.
_PAPER_SHARES = (0.25, 0.5, 0.75)


class HasStep(Protocol):
    """Anything that names a training step: a checkpoint of a suite, an end of an interval."""

    @property
    def step(self) -> int:
        """The number of training steps."""


class Stage(HasStep, Protocol):
    """A checkpoint that knows how much of the training is done."""

    @property
    def share(self) -> float:
        """Between 0 and 1."""


class Study(Protocol):
    """The evidence of one suite; a table that nobody has computed raises ``ArtifactMissing``."""

    @property
    def checkpoints(self) -> Sequence[Stage]:
        """The trained checkpoints in the order of training."""

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        """The models other than the reference, which is the suite's by default."""

    def universality(self, *, partner: str, checkpoint: HasStep, reference: str | None = None) -> UniversalityTable:
        """The reference's neurons against one partner."""

    def reference_tables(self, *, checkpoint: HasStep, reference: str | None = None) -> ReferenceTables:
        """The reference's neurons against every partner."""

    def null(self, *, partner: str, checkpoint: HasStep, kind: Null, reference: str | None = None) -> UniversalityTable:
        """The table of what training does not make alike: untrained models, rotated neurons, permuted tokens."""


def paper_checkpoints(study: Study) -> tuple[Stage, ...]:
    """The checkpoints at 25, 50 and 75 % of training; all trained ones where a suite lacks one of the three."""
    found = tuple(checkpoint for checkpoint in study.checkpoints if checkpoint.share in _PAPER_SHARES)
    return found if len(found) == len(_PAPER_SHARES) else tuple(study.checkpoints)


def null_tables(study: Study, *, checkpoint: HasStep, kind: Null) -> ReferenceTables:
    """The null of one kind against every partner, to be measured as :meth:`Study.reference_tables` is."""
    return ReferenceTables.of(
        [study.null(partner=partner, checkpoint=checkpoint, kind=kind) for partner in study.partners()]
    )
