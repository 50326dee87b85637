"""Universality tables of neurons that are universal or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from universal_neurons.measures.tables import (
    ReferenceTables,
    Resampling,
    UniversalityTable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

RESAMPLING = Resampling(resamples=300, level=0.95, seed=7)
BLOCKS = 12


def table(
    excess: npt.ArrayLike | str,
    *,
    layer: npt.ArrayLike | None = None,
    partner: str = "b",
    step: int = 1,
    half_a: npt.ArrayLike | str | None = None,
    half_b: npt.ArrayLike | str | None = None,
    partner_neuron: npt.ArrayLike | None = None,
    influence: npt.ArrayLike | None = None,
    candidates: npt.ArrayLike | None = None,
    resampling: Resampling = RESAMPLING,
) -> UniversalityTable:
    """A table with these scores; ``"10-"`` is a universal neuron, one that is not, and one without score."""
    scores = scored(excess)
    layer = np.zeros(scores.size, dtype=np.int16) if layer is None else np.asarray(layer, dtype=np.int16)
    frame = pd.DataFrame(
        {
            "layer": layer,
            "neuron": np.arange(scores.size, dtype=np.int32),
            "partner_layer": np.zeros(scores.size, dtype=np.int16),
            "partner_neuron": np.zeros(scores.size, dtype=np.int32) if partner_neuron is None else partner_neuron,
            "correlation": scores + 0.2,
            "excess": scores,
            "excess_half_a": scores if half_a is None else scored(half_a),
            "excess_half_b": scores if half_b is None else scored(half_b),
        }
    )
    chosen = np.flatnonzero(scores > 0.2) if candidates is None else np.asarray(candidates, dtype=np.int64)
    moves = np.zeros((BLOCKS, chosen.size)) if influence is None else np.asarray(influence)
    draws = np.full((2, chosen.size), 0.2)
    return UniversalityTable("a", partner, step, frame, chosen, moves, draws, resampling)


def plain_table(frame: pd.DataFrame, *, reference: str = "a", partner: str = "b", step: int = 400) -> UniversalityTable:
    """A table with these columns, without candidates: no interval of it is over tokens."""
    nothing = np.empty((1, 0))
    resampling = Resampling(10, 0.95, 1)
    return UniversalityTable(reference, partner, step, frame, np.empty(0, dtype=int), nothing, nothing, resampling)


def scored(excess: npt.ArrayLike | str) -> npt.NDArray[np.float32]:
    if isinstance(excess, str):
        return np.array([{"1": 0.75, "0": 0.25, "-": np.nan}[sign] for sign in excess], dtype=np.float32)
    return np.asarray(excess, dtype=np.float32)


def pairs(step: int, **excess: str) -> ReferenceTables:
    return ReferenceTables.of([table(value, partner=name, step=step) for name, value in excess.items()])


def layered(rates: Sequence[float], *, neurons: int = 40) -> list[tuple[UniversalityTable, UniversalityTable]]:
    """One span in which of ``neurons`` universal neurons per layer this share stays."""
    layer = np.repeat(np.arange(len(rates)), neurons)
    stays = np.tile(np.arange(neurons), len(rates)) < np.repeat(np.array(rates) * neurons, neurons)
    return [(table("1" * layer.size, layer=layer), table(np.where(stays, 0.75, 0.25), layer=layer, step=2))]
