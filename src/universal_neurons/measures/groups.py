"""Scores of a reference's neurons against one partner or combined over several, and how they vary.

A replicate with block weights w moves the excess of a candidate by sum_b (w_b - 1) influence[b], the first-order change
of its correlation with the partner selected on all tokens.  The baseline stays where it is: its own error is the spread
over rotation draws.  The selection of the partner by maximum is part of the definition and is not resampled.
Replicates with more noise, sqrt(noise) times that change, show what noise does to a count (intervals.NOISE).

Only candidates, the neurons whose excess exceeds the suite's floor against some partner, can cross a threshold in a
replicate.  A threshold must therefore lie well above that floor, and one that non-candidates exceed is refused.  Only a
table without any candidate, a null, is measured all the same: its replicates never differ, its intervals have no width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import numpy as np

from universal_neurons.measures.cache import cached
from universal_neurons.measures.excess import excess_correlation
from universal_neurons.measures.intervals import NOISE, block_weights
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

    import numpy.typing as npt

    from universal_neurons.measures.arrays import Flags, Floats
    from universal_neurons.measures.tables import ReferenceTables

# Candidates whose replicates are combined together: of 4 partners and 2,000 resamples a megabyte, which stays in a
# processor's cache.
_CHUNK = 16


@dataclass(frozen=True, slots=True)
class Group:
    """Tables whose excess is combined into one score per neuron: one table as it is, or several by a definition."""

    tables: tuple[UniversalityTable, ...]
    definition: Definition

    @property
    def resampling(self) -> Resampling:
        """Settings of the bootstrap of token blocks, the same for all its tables."""
        return self.tables[0].resampling

    def combined(self, stack: Floats) -> Floats:
        """(table, ...) -> (...); NaN against any partner stays NaN."""
        if len(stack) == 1:
            return np.asarray(stack[0])
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
        """Combined scores in float64 (neuron,); NaN where undefined."""
        return self.combined(np.stack([table.column(column) for table in self.tables]))

    def cut(self, threshold: float) -> float:
        """``threshold`` in the precision of the stored scores: an excess stored as 0.6 is not above 0.6."""
        return float(self.tables[0].precision.type(threshold))

    def universal(self, threshold: float, column: str = "excess") -> Flags:
        """True for each neuron whose score is above the threshold (neuron,); False where it is undefined."""
        return np.asarray(self.scores(column) > self.cut(threshold))

    def states(self, threshold: float, column: str = "excess") -> Floats:
        """1 for a universal neuron, 0 for another, NaN where the score is undefined (neuron,)."""
        scores = self.scores(column)
        return np.asarray(np.where(np.isnan(scores), np.nan, scores > self.cut(threshold)))

    def check_candidates(self, universal: Flags, threshold: float) -> None:
        """Raise InfluenceMissing where neurons are ``universal`` (neuron,) that no replicate can move."""
        table = self.tables[0]
        others = universal.copy()
        others[table.candidates] = False
        if table.candidates.size and others.any():
            raise InfluenceMissing(
                f"{table}: {np.count_nonzero(others)} neurons exceed the threshold {threshold:g} without being"
                " candidates; expected a threshold above the candidates' floor of the suite (universality.floor)"
            )

    def replicate_states(self, threshold: float) -> Flags:
        """Flags of the candidates that are universal in each replicate of the token blocks (resample, candidate)."""
        return np.asarray(self.noisy_states(threshold, (1.0,))[0])

    def noisy_states(self, threshold: float, noise: Sequence[float] = NOISE) -> Flags:
        """The same with ``noise`` times the variance of the token blocks (noise, resample, candidate).

        Most candidates stay on one side of the threshold in every replicate: their combined scores at the least and at
        the largest move say so, and only the others are looked at in each.
        """
        candidates, cut = self.tables[0].candidates, self.cut(threshold)
        excess = np.stack([table.column("excess")[candidates] for table in self.tables])
        moves, ends = zip(*(_moves(table.influence, self.resampling) for table in self.tables), strict=True)
        least, largest = np.stack(ends, axis=1)
        states = np.empty((len(noise), candidates.size, self.resampling.resamples), dtype=np.bool_)
        for row, scale in zip(states, np.sqrt(noise), strict=True):
            always, ever = (self.combined(excess + scale * end) > cut for end in (least, largest))
            row[:] = always[:, None]
            moving = np.flatnonzero(always != ever)
            for start in range(0, moving.size, _CHUNK):
                chunk = moving[start : start + _CHUNK]
                moved = scale * np.stack([move[chunk] for move in moves])
                row[chunk] = self.combined(excess[:, chunk, None] + moved) > cut
        return states.swapaxes(1, 2)

    def draw_states(self, threshold: float) -> Flags:
        """The same with a single rotation draw as the whole baseline (draw, candidate)."""
        draws = min(table.draws.shape[0] for table in self.tables)
        excess = [
            excess_correlation(table.column("correlation")[table.candidates], table.draws[:draws])
            for table in self.tables
        ]
        return np.asarray(self.combined(np.stack(excess)) > self.cut(threshold))


@cached
def _moves(influence: npt.NDArray[np.floating], resampling: Resampling) -> tuple[Floats, Floats]:
    """The change of every candidate's excess in each replicate of the token blocks (candidate, resample).

    And the least and the largest of each candidate (2, candidate).
    """
    change = block_weights(len(influence), resamples=resampling.resamples, seed=resampling.seed) - 1
    moves = influence.T.astype(np.float64) @ change.T
    return moves, np.stack([moves.min(axis=1), moves.max(axis=1)])


def groups_of(tables: StepTables, definition: Definition) -> list[Group]:
    """One group per partner under PAIR, one group of all partners under the other definitions.

    Raises ValueError where partners are combined that have different candidates.
    """
    pairs = members(tables)
    if definition is Definition.PAIR:
        return [Group((table,), definition) for table in pairs]
    if any(not np.array_equal(table.candidates, pairs[0].candidates) for table in pairs):
        raise ValueError(f"{pairs[0]}: the definition {definition} needs the same candidates against every partner")
    return [Group(pairs, definition)]


def average_group(tables: ReferenceTables) -> Group:
    """The group of a reference's tables against all its partners, whose mean excess is the score."""
    return Group(tuple(tables.tables.values()), Definition.AVERAGED)


def pair_group(table: UniversalityTable) -> Group:
    """The group of a single table."""
    return Group((table,), Definition.PAIR)


def series_of(
    checkpoints: Sequence[StepTables], threshold: float, definition: Definition
) -> tuple[tuple[Group, ...], ...]:
    """The groups of several checkpoints (group, checkpoint), to be compared at one threshold.

    Raises ValueError for a threshold that is not between 0 and 1, and unless all tables are of the same neurons against
    the same partners, with paired replicates.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"a threshold lies between 0 and 1; got {threshold}")
    partners = [[table.partner for table in members(tables)] for tables in checkpoints]
    if any(names != partners[0] for names in partners):
        raise ValueError(f"checkpoints with different partners cannot be compared: {partners}")
    series = tuple(zip(*(groups_of(tables, definition) for tables in checkpoints), strict=True))
    first, *rest = [table for tables in checkpoints for table in members(tables)]
    for table in rest:
        if table.reference != first.reference or not np.array_equal(table.neurons, first.neurons):
            raise ValueError(f"{table} and {first} are not about the same neurons")
        if table.resampling != first.resampling or table.influence.shape[0] != first.influence.shape[0]:
            raise ValueError(f"{table} and {first} are resampled differently: their replicates are not paired")
    return series
