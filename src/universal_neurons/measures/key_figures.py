"""Key figures by which two studies are compared: shares of universal neurons and effects of ablating them.

A key figure of one study is compared with the key figure of another study that is equal to it.  The measurements are
the ones that claims and figures show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.measures.ablation import effect
from universal_neurons.measures.ablation_table import Quantity, SetKind, SetOf
from universal_neurons.measures.tables import Definition
from universal_neurons.measures.universality import definition_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.study import Study

# The universal neurons, and the control that differs in nothing but which neurons they are.
COMPARED = (SetKind.UNIVERSAL, SetKind.LAYER_MATCHED)


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """``what`` is measured of which neurons (``of``), at which threshold and checkpoint.

    ``checkpoint`` is its label, so that 25 % of one training is compared with 25 % of another.
    """

    what: str
    of: str
    threshold: float
    checkpoint: str


def share_key_figures(study: Study, thresholds: Sequence[float]) -> dict[KeyFigure, Measurement]:
    """The share of the reference's neurons that are universal, mean over its partners: table 1, cell by cell.

    Raises the study's ArtifactMissing.
    """
    tables = {str(checkpoint): study.reference_tables(checkpoint=checkpoint) for checkpoint in study.checkpoints}
    return {
        KeyFigure("share", SetKind.UNIVERSAL.value, threshold, label): definition_share(
            of_partners, Definition.PAIR, threshold
        )
        for threshold in thresholds
        for label, of_partners in tables.items()
    }


def ablation_key_figures(study: Study, threshold: float) -> dict[KeyFigure, Measurement]:
    """The effects of ablating the reference's universal neurons (averaged definition) and the sets of its control.

    In nats per prediction, all layers at once, as divergence of the output (``kl``) and as increase of the loss
    (``loss_increase``).  A kind of set that the study did not ablate is left out.  Raises the study's ArtifactMissing.
    """
    which = SetOf(threshold, definition=Definition.AVERAGED)
    figures = {}
    for checkpoint in study.checkpoints:
        table = study.ablation(checkpoint=checkpoint)
        present = table.kinds(which)
        for quantity in Quantity:
            for kind in COMPARED:
                if kind in present:
                    figure = KeyFigure(quantity.value, kind.value, threshold, str(checkpoint))
                    figures[figure] = effect(table, which, kind, quantity=quantity)
    return figures
