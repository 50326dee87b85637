"""The numbers by which two studies are laid side by side: shares of universal neurons and effects of ablating them.

Decides which numbers these are and what tells one from another; a landmark of one study is that of another study where
its words are the same.  The numbers themselves are those that claims and figures ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.measures.ablation import Kind, Quantity, SetOf, effect
from universal_neurons.measures.universality import Definition, definition_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.study import Study

# The universal neurons, and the two controls that differ in nothing but which neurons they are.
COMPARED = (Kind.UNIVERSAL, Kind.LAYER_MATCHED, Kind.RANDOM_OTHERS)


@dataclass(frozen=True, slots=True)
class Place:
    """What a landmark is about: ``what`` is measured of which neurons (``of``), at which threshold and checkpoint.

    ``checkpoint`` is its label, so that 25 % of one training stands beside 25 % of another.
    """

    what: str
    of: str
    threshold: float
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Landmark:
    """One number of a study."""

    place: Place
    measurement: Measurement


def share_landmarks(study: Study, thresholds: Sequence[float]) -> tuple[Landmark, ...]:
    """The share of the reference's neurons that are universal, mean over its partners: table 1, cell by cell.

    Raises the study's ArtifactMissing.
    """
    tables = {str(checkpoint): study.reference_tables(checkpoint=checkpoint) for checkpoint in study.checkpoints}
    return tuple(
        Landmark(
            Place("share", Kind.UNIVERSAL.value, threshold, label), definition_share(found, Definition.PAIR, threshold)
        )
        for threshold in thresholds
        for label, found in tables.items()
    )


def ablation_landmarks(study: Study, threshold: float) -> tuple[Landmark, ...]:
    """The effects of ablating the reference's universal neurons (averaged definition), and those of its controls.

    In nats per prediction, all layers at once, as divergence of the output (``kl``) and as increase of the loss
    (``loss_increase``).  A kind of set that the study did not ablate has no landmark.  Raises the study's
    ArtifactMissing.
    """
    which = SetOf(threshold, definition=Definition.AVERAGED)
    found = []
    for checkpoint in study.checkpoints:
        table = study.ablation(checkpoint=checkpoint)
        present = table.kinds(which)
        for quantity in Quantity:
            found += [
                Landmark(
                    Place(quantity.value, kind.value, threshold, str(checkpoint)),
                    effect(table, which, kind, quantity=quantity),
                )
                for kind in COMPARED
                if kind in present
            ]
    return tuple(found)
