"""How many neurons are universal per layer: as measured, in bootstrap replicates, per rotation draw.

A replicate with block weights w moves the excess of a candidate by sum_b (w_b - 1) influence[b], the first-order change
of its correlation with the partner selected on all tokens.  The baseline stays where it is: its own error is the spread
over rotation draws.  The selection of the partner by maximum is part of the definition and is not resampled.
Replicates with more noise, sqrt(noise) times that change, show what noise does to a count (intervals.NOISE).

Only candidates, the neurons whose excess exceeds the suite's floor against some partner, can cross a threshold in a
replicate.  A threshold must therefore lie well above that floor, and one that non-candidates exceed is refused.  Only a
table without any candidate, a null, is measured all the same: its replicates never differ, its intervals have no width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, assert_never

import numpy as np

from universal_neurons.measures.intervals import NOISE, block_weights, extrapolated
from universal_neurons.measures.tables import (
    Definition,
    InfluenceMissing,
    Resampling,
    StepTables,
    UniversalityTable,
    members,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from universal_neurons.measures.arrays import Flags, Floats, Integers

# Candidates per product: 4 partners x 2,000 resamples x 512 candidates in float64 are 33 MB, moved and unmoved 66 MB.
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Group:
    """Tables whose excess is combined into one score per neuron: one table as it is, or several by a definition."""

    tables: tuple[UniversalityTable, ...]
    definition: Definition

    @property
    def resampling(self) -> Resampling:
        """How the token blocks of all its tables are resampled."""
        return self.tables[0].resampling

    def combined(self, stack: Floats) -> Floats:
        """(table, ...) -> (...); NaN against any partner stays NaN."""
        match self.definition:
            case Definition.PAIR | Definition.AVERAGED:
                return np.asarray(stack.mean(axis=0))
            case Definition.UNION:
                return np.asarray(stack.max(axis=0))
            case Definition.INTERSECTION:
                return np.asarray(stack.min(axis=0))
            case _:
                assert_never(self.definition)

    def scores(self, column: str = "excess") -> Floats:
        """(neuron,) in float64."""
        return self.combined(np.stack([table.frame[column].to_numpy(dtype=np.float64) for table in self.tables]))

    def cut(self, threshold: float) -> float:
        """``threshold`` in the precision of the stored scores: an excess stored as 0.6 is not above 0.6."""
        return float(self.tables[0].frame["excess"].to_numpy().dtype.type(threshold))

    def replicate_states(self, threshold: float) -> Flags:
        """(resample, candidate): which candidates are universal in each replicate of the token blocks."""
        return np.asarray(self.noisy_states(threshold, (1.0,))[0])

    def noisy_states(self, threshold: float, noise: Sequence[float] = NOISE) -> Flags:
        """(noise, resample, candidate): the same with ``noise`` times the variance of the token blocks."""
        first = self.tables[0]
        change = self._weights() - 1
        excess = np.stack([table.frame["excess"].to_numpy(dtype=np.float64) for table in self.tables])
        states = np.empty((len(noise), change.shape[0], first.candidates.size), dtype=np.bool_)
        for start in range(0, first.candidates.size, _CHUNK):
            chunk = slice(start, start + _CHUNK)
            scores = excess[:, None, first.candidates[chunk]]
            moves = np.stack([change @ table.influence[:, chunk].astype(np.float64) for table in self.tables])
            for place, amount in enumerate(noise):
                moved = scores + math.sqrt(amount) * moves
                states[place, :, chunk] = self.combined(moved) > self.cut(threshold)
        return states

    def draw_states(self, threshold: float) -> Flags:
        """(draw, candidate): which candidates are universal with one rotation draw as the whole baseline."""
        draws = min(table.draws.shape[0] for table in self.tables)
        excess = np.stack(
            [
                table.frame["correlation"].to_numpy(dtype=np.float64)[table.candidates] - table.draws[:draws]
                for table in self.tables
            ]
        )
        return np.asarray(self.combined(excess) > self.cut(threshold))

    def _weights(self) -> Floats:
        blocks = self.tables[0].influence.shape[0]
        return block_weights(blocks, resamples=self.resampling.resamples, seed=self.resampling.seed)


@dataclass(frozen=True, slots=True)
class LayerCounts:
    """Counts of universal neurons, axes (..., group, checkpoint, layer), and the neurons they are counts of.

    ``replicates`` and ``draws`` have a leading axis of block bootstrap replicates and of rotation draws, ``noisy`` one
    of amounts of noise (intervals.NOISE), with the mean counts over replicates.  Every statistic is a function of
    (counts, neurons) that keeps leading axes, so the value, its replicates and its draws cannot differ in anything but
    the counts.
    """

    counts: Floats
    replicates: Floats
    noisy: Floats
    draws: Floats
    neurons: Floats  # (group, layer): defined at every checkpoint
    layer: Integers  # (neuron,)
    n: int  # neurons defined at every checkpoint in every group
    level: float

    @property
    def extrapolated(self) -> Floats:
        """The counts without noise."""
        return extrapolated(self.noisy)

    @property
    def moved(self) -> Floats:
        """The replicates moved to have the mean :attr:`extrapolated`, where the noise has lifted them away from it."""
        return np.asarray(self.replicates + (self.extrapolated - self.noisy[NOISE.index(1.0)]))


def layer_counts(
    checkpoints: Sequence[StepTables], threshold: float, definition: Definition, *, resampled: bool = True
) -> LayerCounts:
    """The counts at ``checkpoints``, among the neurons that each group defines at all of them."""
    if not 0 < threshold < 1:
        raise ValueError(f"a threshold lies between 0 and 1; got {threshold}")
    series = list(zip(*(groups_of(tables, definition) for tables in checkpoints), strict=True))
    check_alignment([table for groups in series for group in groups for table in group.tables])
    first = series[0][0].tables[0]
    layer = first.frame["layer"].to_numpy(dtype=np.int64)
    layers = int(layer.max()) + 1 if layer.size else 0
    kept = [np.all([~np.isnan(group.scores()) for group in groups], axis=0) for groups in series]
    counted = [
        [_counts(group, threshold, defined, layer, layers, resampled=resampled) for group in groups]
        for groups, defined in zip(series, kept, strict=True)
    ]
    fewest = min(count.draws.shape[0] for group in counted for count in group)
    return LayerCounts(
        counts=np.array([[count.measured for count in group] for group in counted]),
        replicates=np.moveaxis(np.array([[count.replicates for count in group] for group in counted]), 2, 0),
        noisy=np.moveaxis(np.array([[count.noisy for count in group] for group in counted]), 2, 0),
        draws=np.moveaxis(np.array([[count.draws[:fewest] for count in group] for group in counted]), 2, 0),
        neurons=np.array([_per_layer(layer[defined], layers) for defined in kept]),
        layer=layer,
        n=int(np.count_nonzero(np.all(kept, axis=0))),
        level=first.resampling.level,
    )


class _Counts(NamedTuple):
    """Universal neurons per layer: (layer,), in replicates, at amounts of noise, in draws (..., layer)."""

    measured: Floats
    replicates: Floats
    noisy: Floats
    draws: Floats


def _counts(
    group: Group, threshold: float, defined: Flags, layer: Integers, layers: int, *, resampled: bool
) -> _Counts:
    universal = defined & (group.scores() > group.cut(threshold))
    counts = _per_layer(layer[universal], layers)
    if not resampled:
        nothing = np.empty((0, layers))
        return _Counts(counts, nothing, nothing, nothing)
    candidates = group.tables[0].candidates
    others = universal.copy()
    others[candidates] = False
    if candidates.size and others.any():
        raise InfluenceMissing(
            f"{group.tables[0]}: {np.count_nonzero(others)} neurons exceed the threshold {threshold:g} without being"
            " candidates; expected a threshold above the candidates' floor of the suite (universality.floor)"
        )
    fixed = _per_layer(layer[others], layers)
    kept = defined[candidates]
    membership = np.eye(layers)[layer[candidates[kept]]]
    states = group.noisy_states(threshold)[..., kept]
    draws = group.draw_states(threshold)[:, kept].astype(np.float64) @ membership + fixed
    return _Counts(
        measured=counts,
        replicates=states[NOISE.index(1.0)].astype(np.float64) @ membership + fixed,
        noisy=states.mean(axis=1) @ membership + fixed,
        draws=draws,
    )


def groups_of(tables: StepTables, definition: Definition) -> list[Group]:
    """One group per partner under PAIR, one group of all partners under the other definitions."""
    pairs = members(tables)
    if definition is Definition.PAIR:
        return [Group((table,), definition) for table in pairs]
    if any(not np.array_equal(table.candidates, pairs[0].candidates) for table in pairs):
        raise ValueError(f"{pairs[0]}: the definition {definition} needs the same candidates against every partner")
    return [Group(pairs, definition)]


def share_of(
    tables: StepTables, threshold: float, definition: Definition = Definition.PAIR, column: str = "excess"
) -> float:
    """The share by ``column`` alone, without interval; NaN where nothing is defined."""
    shares = []
    for group in groups_of(tables, definition):
        scores = group.scores(column)
        defined = scores[~np.isnan(scores)]
        shares.append(float(np.mean(defined > group.cut(threshold))) if defined.size else np.nan)
    return float(np.mean(shares))


def check_alignment(tables: Sequence[UniversalityTable]) -> None:
    """Raise ValueError unless all tables are of the same neurons and their replicates are paired."""
    first = tables[0]
    for table in tables[1:]:
        if table.reference != first.reference or not _same_neurons(table.frame, first.frame):
            raise ValueError(f"{table} and {first} are not about the same neurons")
        if table.resampling != first.resampling or table.influence.shape[0] != first.influence.shape[0]:
            raise ValueError(f"{table} and {first} are resampled differently: their replicates are not paired")


def _same_neurons(x: pd.DataFrame, y: pd.DataFrame) -> bool:
    return all(np.array_equal(x[column].to_numpy(), y[column].to_numpy()) for column in ("layer", "neuron"))


def _per_layer(layer: Integers, layers: int) -> Floats:
    return np.bincount(layer, minlength=layers).astype(np.float64)
