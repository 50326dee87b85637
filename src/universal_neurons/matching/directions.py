"""Two models that were matched: a table per direction, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from universal_neurons.matching.settings import THRESHOLD, MatchSettings
from universal_neurons.measures.mutual import KeptPartners
from universal_neurons.measures.neurons import excess_reach
from universal_neurons.measures.tables import Resampling, UniversalityTable
from universal_neurons.measures.universality import universal_share

if TYPE_CHECKING:
    import pandas as pd

    from universal_neurons.measurement import Measurement


@dataclass(frozen=True, slots=True)
class MatchedModel:
    """A model that was matched: its name, the digest of its weights, neurons per layer, and the tokens it read."""

    name: str
    digest: str
    widths: tuple[int, ...]
    tokens: int


@dataclass(frozen=True, eq=False)
class MatchedDirection:
    """The neurons of ``model``, each with its best partners among the neurons of ``partner``.

    ``frame`` has one row per neuron, layer by layer: columns layer, neuron, partner_layer, partner_neuron, correlation,
    baseline and excess, also of each further partner and of the halves.  ``influence`` (block, neuron, rank) is of
    each block of text on the correlations, ``draws`` (draw, neuron) the baseline of each rotation.  ``kept``: partners
    by flat number, on the whole text, on each half, and of the rotated models.
    """

    model: MatchedModel
    partner: MatchedModel
    frame: pd.DataFrame
    influence: npt.NDArray[np.float64]
    draws: npt.NDArray[np.float32]
    resampling: Resampling
    kept: KeptPartners

    @cached_property
    def universality(self) -> UniversalityTable:
        """The direction as the suites' measures read it; every neuron with a partner is a candidate."""
        candidates = np.flatnonzero(self.frame["excess"].notna().to_numpy())
        return UniversalityTable(
            reference=self.model.name,
            partner=self.partner.name,
            step=0,
            frame=self.frame,
            candidates=candidates,
            influence=self.influence[:, candidates, 0],
            draws=self.draws[:, candidates],
            resampling=self.resampling,
        )

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per neuron: its best partner, the correlation with it, the baseline, and the excess with an interval.

        ``excess_low`` and ``excess_high`` are over blocks of text, the partner held fixed; ``baseline`` is the mean,
        over rotations, of the largest correlation with a rotated direction of the partner, and ``baseline_sd`` its
        standard deviation.  Further partners follow as ``partner_2_layer``, ``partner_2_neuron``, ``correlation_2``.
        """
        reach = excess_reach(self.universality).reach
        ranks = self.influence.shape[2]
        further = [
            name
            for rank in range(2, ranks + 1)
            for name in (f"partner_{rank}_layer", f"partner_{rank}_neuron", f"correlation_{rank}")
        ]
        first = ["layer", "neuron", "partner_layer", "partner_neuron", "correlation", "baseline", "baseline_sd"]
        table = self.frame[[*first, "excess", *further]].copy()
        place = len(first) + 1
        table.insert(place, "excess_low", self.frame["excess"].to_numpy(dtype=np.float64) - reach)
        table.insert(place + 1, "excess_high", self.frame["excess"].to_numpy(dtype=np.float64) + reach)
        return table

    def share(self, threshold: float = THRESHOLD) -> Measurement:
        """The share of the model's neurons whose excess is above ``threshold``, with its interval over blocks of text.

        See :func:`universal_neurons.measures.universality.universal_share`.
        """
        return universal_share(self.universality, threshold)

    def __str__(self) -> str:
        return f"{self.model.name} -> {self.partner.name}"


@dataclass(frozen=True, eq=False)
class MatchedPair:
    """Two models neuron by neuron: ``forward`` from the first to the second, ``backward`` the other way.

    ``spans`` of text were scored in ``rows`` rows, cut into ``blocks`` blocks for the intervals.
    """

    forward: MatchedDirection
    backward: MatchedDirection
    settings: MatchSettings
    spans: int
    rows: int
    blocks: int

    @property
    def models(self) -> tuple[MatchedModel, MatchedModel]:
        """Both models, in the order given."""
        return self.forward.model, self.backward.model

    def shares(self, threshold: float = THRESHOLD) -> dict[str, Measurement]:
        """The share of universal neurons of each model, by direction."""
        return {str(direction): direction.share(threshold) for direction in (self.forward, self.backward)}

    def __str__(self) -> str:
        lines = [f"{self.models[0].name} and {self.models[1].name}: {self.spans:,} spans of text in {self.rows:,} rows"]
        for name, share in self.shares().items():
            lines.append(
                f"{name}: {share.value:.1%} of {share.n:,} neurons above an excess of {THRESHOLD:g} "
                f"[{share.low:.1%}, {share.high:.1%}]"
            )
        return "\n".join(lines)


def kept_partners(
    frame: pd.DataFrame,
    influence: npt.NDArray[np.float64],
    partner: npt.NDArray[np.integer],
    half_partner: npt.NDArray[np.integer],
    null_partner: npt.NDArray[np.integer] | None,
) -> KeptPartners:
    """The partners that were kept, with the correlations of ``frame``."""
    ranks = ("", *(f"_{rank}" for rank in range(2, partner.shape[1] + 1)))
    correlation = frame[[f"correlation{rank}" for rank in ranks]].to_numpy(dtype=np.float64)
    half_a, half_b = half_partner.astype(np.int64)
    null = None if null_partner is None else null_partner.astype(np.int64)
    return KeptPartners(partner.astype(np.int64), correlation, influence, half_a, half_b, null)


def resampling(settings: MatchSettings) -> Resampling:
    """The bootstrap of a comparison."""
    return Resampling(resamples=settings.resamples, level=settings.level, seed=settings.seed)
