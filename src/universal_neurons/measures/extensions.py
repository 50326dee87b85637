"""Extensions of the paper: families of universal neurons, and patching them from another input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.ablation import standing
from universal_neurons.measures.ablation_table import AblationTable, SetOf
from universal_neurons.measures.cache import cached
from universal_neurons.measures.controls import dealt_within_layers
from universal_neurons.measures.intervals import wilson
from universal_neurons.measures.joint import with_details
from universal_neurons.measures.shares import SHARE, missing_share
from universal_neurons.measures.tables import Definition, universal_flags

if TYPE_CHECKING:
    from universal_neurons.measures.tables import ReferenceTables

# The score from which Gurnee et al. 2024 (section 4.3) count a neuron among a family.
UNIGRAM = 0.5
_DEALING = 20251109


@dataclass(frozen=True, eq=False)
class Extensions:
    """Tables of the reference at one checkpoint that go beyond the paper.

    ``families``: universal neurons ablated by family (:class:`FamilyKind`).  ``patches``: sets whose activations come
    from another row, under the mode "resample"; its ``kl`` is the divergence from the other row's output that the patch
    takes away, KL(P_y || P_x) - KL(P_y || Q), in nats per prediction, negative where the output moves away from it.
    ``distance`` (block,): KL(P_y || P_x), all that could be taken away.  ``score`` and ``token`` (neuron,): the share
    of a neuron's variance that the best single token explains, and its id (NaN and -1 if none); ``layer`` (neuron,).

    Raises ValueError where arrays do not fit together.
    """

    reference: str
    step: int
    families: AblationTable
    patches: AblationTable
    distance: npt.NDArray[np.floating]
    score: npt.NDArray[np.floating]
    token: npt.NDArray[np.integer]
    layer: npt.NDArray[np.integer]

    def __post_init__(self) -> None:
        if not self.score.shape == self.token.shape == self.layer.shape:
            raise ValueError(f"extensions of {self.reference}: scores, tokens and layers are not of the same neurons")
        if self.distance.shape != self.patches.predictions.shape:
            raise ValueError(f"extensions of {self.reference}: no distance for every block of patches")


@cached
def unigram_share_difference(
    extensions: Extensions,
    tables: ReferenceTables,
    threshold: float,
    *,
    definition: Definition = Definition.AVERAGED,
    score: float = UNIGRAM,
    dealt: bool = False,
) -> Measurement:
    """Difference of two shares of unigram neurons, of universal neurons and of the others of the same layer:

        sum over layers of w_l (p_l - q_l),    w_l the share of the universal neurons that are in layer l,

    p_l and q_l the shares of unigram neurons (score at least ``score``) among the universal and the other neurons of
    layer l, so that it does not matter that the first layers have more of both.  Interval over neurons: Wilson's limits
    of every share, squared and added with their weights (MOVER; Zou & Donner 2008, Statistics in Medicine 27,
    1693-1702).

    ``dealt``: the labels are dealt out anew among the neurons of each layer.  Layers without others are left out.
    Details: ``universal_share``, ``others_share``, ``universal``, ``unigram``.  Missing where none is universal.
    """
    scores = np.stack([table.frame["excess"].to_numpy(dtype=np.float64) for table in tables.tables.values()])
    universal = universal_flags(scores, threshold, definition)
    if len(universal) != len(extensions.layer):
        raise ValueError(f"{len(universal)} labels for {len(extensions.layer)} neurons")
    if dealt:
        universal = universal[dealt_within_layers(extensions.layer.astype(np.int64), _DEALING)]
    family = np.nan_to_num(extensions.score, nan=-math.inf) >= score
    level = extensions.families.resampling.level
    layers = [
        at
        for at in np.unique(extensions.layer)
        if 0 < universal[extensions.layer == at].sum() < (extensions.layer == at).sum()
    ]
    total = sum(int(universal[extensions.layer == at].sum()) for at in layers)
    if not total:
        return missing_share()
    shares, below, above = np.zeros(2), 0.0, 0.0
    for at in layers:
        own, others = (family[(extensions.layer == at) & flags] for flags in (universal, ~universal))
        p, q = float(own.mean()), float(others.mean())
        weight = len(own) / total
        low_p, high_p = wilson(int(own.sum()), len(own), level=level)
        low_q, high_q = wilson(int(others.sum()), len(others), level=level)
        shares += weight * np.array([p, q])
        below += weight**2 * ((p - low_p) ** 2 + (high_q - q) ** 2)
        above += weight**2 * ((high_p - p) ** 2 + (q - low_q) ** 2)
    value = float(shares[0] - shares[1])
    details = {
        "universal_share": float(shares[0]),
        "others_share": float(shares[1]),
        "universal": float(total),
        "unigram": float(family.sum()),
    }
    low, high = value - math.sqrt(below), value + math.sqrt(above)
    return Measurement(value, low, high, total, Over.NEURONS, level, SHARE, details)


@cached
def patching_standing(extensions: Extensions, threshold: float) -> Measurement:
    """The standing of patching the universal neurons among as many others of their layers (:func:`ablation.standing`).

    By the nats by which a patch brings the output nearer to the other row's.  Further details: ``distance``, and
    ``recovered``, the set's share of it.
    """
    measured = standing(extensions.patches, patched(threshold))
    if measured.is_missing:
        return measured
    distance = float(np.average(extensions.distance, weights=extensions.patches.predictions))
    recovered = {"distance": distance, "recovered": measured.details["effect"] / distance} if distance else {}
    return with_details(measured, **recovered)


def patched(threshold: float) -> SetOf:
    """The sets whose activations are patched: universal on average, their values from another row."""
    return SetOf(threshold, definition=Definition.AVERAGED, mode="resample")
