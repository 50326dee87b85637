"""Altered tables, for the negative controls of claims: the same numbers without what a claim is about."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import scipy

from universal_neurons.measures.shares import missing_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.arrays import Floats, Integers
    from universal_neurons.measures.tables import UniversalityTable


def shuffled_layers(table: UniversalityTable, *, seed: int) -> UniversalityTable:
    """Deal the layers out anew among the neurons: a control for every statement about depth.

    Every neuron keeps its scores and its partner; layers keep their sizes.  One seed gives one dealing for all tables
    of a suite, so that a neuron has the same false layer at every checkpoint and against every partner.
    """
    dealt = np.random.default_rng(seed).permutation(table.frame["layer"].to_numpy())
    return dataclasses.replace(table, frame=table.frame.assign(layer=dealt))


def shuffled_neurons(table: UniversalityTable, *, seed: int) -> UniversalityTable:
    """Deal everything that was measured out anew among the neurons of each layer.

    One seed gives one dealing for all partners.  At one of two checkpoints it leaves each share as it is and makes
    persistence fall to chance: a control for every statement about persistence.
    """
    source = dealt_within_layers(table.frame["layer"].to_numpy(), seed)
    names = {name: table.frame[name].to_numpy() for name in ("layer", "neuron")}
    frame = table.frame.iloc[source].reset_index(drop=True).assign(**names)
    return dataclasses.replace(table, frame=frame, candidates=np.argsort(source)[table.candidates])


def with_second_half_shuffled(table: UniversalityTable, *, seed: int) -> UniversalityTable:
    """Deal the scores of half B out anew within each layer, so that the halves agree in nothing but the layer."""
    source = dealt_within_layers(table.frame["layer"].to_numpy(), seed)
    scores = table.frame["excess_half_b"].to_numpy()[source]
    return dataclasses.replace(table, frame=table.frame.assign(excess_half_b=scores))


def with_second_half_of(table: UniversalityTable, other: UniversalityTable) -> UniversalityTable:
    """The same table with half B of ``other``, row by row; in a table of another model, these are other neurons.

    Raises ValueError where the tables have different numbers of neurons.
    """
    scores = other.frame["excess_half_b"].to_numpy()
    if len(scores) != len(table.frame):
        raise ValueError(f"{table} and {other} have {len(table.frame)} and {len(scores)} neurons")
    return dataclasses.replace(table, frame=table.frame.assign(excess_half_b=scores))


def rescored(table: UniversalityTable, **scores: Floats) -> UniversalityTable:
    """The same neurons with other scores, and without candidates, whose influence was on the old scores."""
    empty = np.empty(0, dtype=table.candidates.dtype)
    blocks, draws = len(table.influence), len(table.draws)
    frame = table.frame.assign(**scores)
    return dataclasses.replace(
        table, frame=frame, candidates=empty, influence=np.empty((blocks, 0)), draws=np.empty((draws, 0))
    )


def without_baseline(table: UniversalityTable) -> UniversalityTable:
    """The same neurons scored by correlation alone: a control for whatever must not survive a wrong score."""
    return rescored(table, excess=table.frame["correlation"].to_numpy())


# Odd, so that one of them is the median.
_DEALINGS = 5


def typical(dealt: Callable[[int], Measurement]) -> Measurement:
    """Of five controls that differ in their seed, the one with the median value; missing if any is.

    A control dealt at random satisfies a criterion by chance in one of forty cases, and would then call a claim vacuous
    that is not.  The median of five does so in one of some thousands, yet always where chance satisfies it as a rule.
    """
    controls = [dealt(seed) for seed in range(_DEALINGS)]
    if any(control.is_missing for control in controls):
        return missing_share()
    return sorted(controls, key=lambda control: control.value)[_DEALINGS // 2]


def rank_beyond_chance(draws: int, error: float, *, level: float) -> int:
    """The smallest number of ``draws`` that satisfy a criterion by chance together with probability (1 - level)/2.

    Each does so with probability ``error``, taken as independent: 2 of 20 at 1 %, 3 of 20 at 2.5 %.
    """
    return int(scipy.stats.binom.isf((1 - level) / 2, draws, error)) + 1


def dealt_within_layers(layer: Integers, seed: int | np.random.Generator) -> Integers:
    """(neuron,) for each neuron the row of the neuron of its layer whose place it takes; one dealing for one seed."""
    if isinstance(seed, int):
        # Hundreds of dealings of one model are the same for every property of its neurons.
        return _dealt_rows(np.ascontiguousarray(layer, dtype=np.int64).tobytes(), seed)
    return _permuted(layer, np.random.default_rng(seed))


@lru_cache(maxsize=2048)
def _dealt_rows(layer: bytes, seed: int) -> Integers:
    source = _permuted(np.frombuffer(layer, dtype=np.int64), np.random.default_rng(seed))
    # One array for all who ask: nobody may change it.
    source.flags.writeable = False
    return source


def _permuted(layer: Integers, generator: np.random.Generator) -> Integers:
    source = np.arange(layer.size)
    for at in np.unique(layer):
        rows = np.flatnonzero(layer == at)
        source[rows] = generator.permutation(rows)
    return source
