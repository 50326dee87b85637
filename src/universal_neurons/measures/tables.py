"""Universality tables as values; the study builds them from artifacts, and nothing here reads a file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
import numpy.typing as npt

from universal_neurons.errors import NotOnSuite, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from universal_neurons.measures.arrays import Floats, Integers


class InfluenceMissing(UserError):
    """A neuron is above the threshold but has no influence per token block, so no interval can be given."""


class Definition(StrEnum):
    """Definitions of a universal neuron of a reference with several partners (claims/README.md, A1)."""

    PAIR = "pair"  # per partner; the share is the mean over partners of the shares
    AVERAGED = "averaged"  # the mean of its excess over partners is above the threshold (Gurnee et al.)
    UNION = "union"  # universal against at least one partner
    INTERSECTION = "intersection"  # universal against every partner


def universal_flags(
    scores: npt.NDArray[np.floating], threshold: float, definition: Definition
) -> npt.NDArray[np.bool_]:
    """Flags of the universal neurons (neuron,) by their excess (partner, neuron), under a definition over all partners.

    NaN is the score of a neuron without a partner: it is above no threshold, and neither is a mean with it.
    Raises ValueError for PAIR, which says nothing about several partners.
    """
    match definition:
        case Definition.AVERAGED:
            return np.asarray(scores.mean(axis=0) > threshold)
        case Definition.UNION:
            return np.asarray((scores > threshold).any(axis=0))
        case Definition.INTERSECTION:
            return np.asarray((scores > threshold).all(axis=0))
        case Definition.PAIR:
            raise ValueError("a neuron is universal per pair with one partner, not with several")
        case _:
            assert_never(definition)


@dataclass(frozen=True, slots=True)
class Resampling:
    """Settings of the block bootstrap: number of replicates, level of the intervals, seed of the weights."""

    resamples: int
    level: float
    seed: int


@dataclass(frozen=True, eq=False)
class UniversalityTable:
    """The neurons of ``reference`` against ``partner`` at training ``step``, one row per neuron in layer-major order.

    ``frame`` has at least the columns layer, neuron, partner_layer (-1 where undefined), correlation, excess,
    excess_half_a and excess_half_b.  ``candidates`` (candidate,) are row numbers of it; ``influence`` (block,
    candidate) is the influence of each token block on their correlation; ``draws`` (draw, candidate) their baseline in
    each rotation draw.  A table without any candidate is a null: its shares are points.

    Raises ValueError where these do not fit together.
    """

    reference: str
    partner: str
    step: int
    frame: pd.DataFrame
    candidates: npt.NDArray[np.integer]
    influence: npt.NDArray[np.floating]
    draws: npt.NDArray[np.floating]
    resampling: Resampling

    def __post_init__(self) -> None:
        rows = self.candidates
        if rows.ndim != 1 or len(np.unique(rows)) != rows.size or (rows.size and not self._are_rows(rows)):
            raise ValueError(f"{self}: candidates are distinct row numbers below {len(self.frame)}")
        for name, array in (("influence", self.influence), ("draws", self.draws)):
            if array.ndim != 2 or array.shape[1] != rows.size:
                raise ValueError(f"{self}: {name} has shape {array.shape}; expected (..., {rows.size} candidates)")
        # A NaN would compare as "not above" in every replicate: a universal neuron would vanish from the interval.
        defined = self.frame["excess"].notna().to_numpy()[rows]
        if np.isnan(self.influence[:, defined]).any() or np.isnan(self.draws[:, defined]).any():
            raise ValueError(f"{self}: a candidate with a defined excess has NaN influence or draws")

    def column(self, name: str) -> Floats:
        """A column of the frame in float64 (neuron,); read once, because claims ask for a column thousands of times."""
        if name not in self._columns:
            values = self.frame[name].to_numpy(dtype=np.float64)
            values.flags.writeable = False
            self._columns[name] = values
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, Floats]:
        return {}

    @cached_property
    def neurons(self) -> Integers:
        """Layer and number of every neuron (2, neuron)."""
        return neurons_of(self.frame)

    @cached_property
    def precision(self) -> np.dtype[Any]:
        """The type in which the excess is stored."""
        return self.frame["excess"].to_numpy().dtype

    def _are_rows(self, rows: npt.NDArray[np.integer]) -> bool:
        return int(rows.min()) >= 0 and int(rows.max()) < len(self.frame)

    def __str__(self) -> str:
        return f"table {self.reference} against {self.partner} at step {self.step}"


@dataclass(frozen=True, eq=False)
class ReferenceTables:
    """The tables of one ``reference`` at one ``step`` against all its partners, by partner name.

    Raises ValueError for no table, or for a table of another reference, step or partner than its key says.
    """

    reference: str
    step: int
    tables: Mapping[str, UniversalityTable]

    def __post_init__(self) -> None:
        if not self.tables:
            raise ValueError(f"reference {self.reference} at step {self.step} has no partner")
        for partner, table in self.tables.items():
            if (table.reference, table.partner, table.step) != (self.reference, partner, self.step):
                raise ValueError(f"{table} cannot stand for {self.reference} against {partner} at step {self.step}")

    @classmethod
    def of(cls, tables: Sequence[UniversalityTable]) -> ReferenceTables:
        """The tables of one reference and step, gathered."""
        if not tables:
            raise ValueError("tables of a reference: got none")
        return cls(tables[0].reference, tables[0].step, {table.partner: table for table in tables})

    @property
    def partners(self) -> tuple[str, ...]:
        """The partners' names, in the order of the tables."""
        return tuple(self.tables)

    @property
    def first(self) -> UniversalityTable:
        """The table of the first partner, for what all of them share: neurons and resampling."""
        return next(iter(self.tables.values()))

    def without(self, partner: str) -> ReferenceTables:
        """The same tables, one partner left out."""
        return ReferenceTables.of([table for name, table in self.tables.items() if name != partner])

    def each(self, change: Callable[[UniversalityTable], UniversalityTable]) -> ReferenceTables:
        """The tables that ``change`` makes of these."""
        return ReferenceTables.of([change(table) for table in self.tables.values()])


StepTables = UniversalityTable | ReferenceTables


def neurons_of(frame: pd.DataFrame) -> Integers:
    """Layer and number of the neuron of every row (2, neuron)."""
    return np.stack([frame[name].to_numpy(dtype=np.int64) for name in ("layer", "neuron")])


def row_of(layers: npt.NDArray[np.integer], layer: int, number: int) -> int:
    """The row of a neuron, ``layers`` (neuron,) being the layer of each; raises NotOnSuite for one that is absent."""
    rows = np.flatnonzero(layers == layer)
    if number >= len(rows):
        raise NotOnSuite(f"expected a neuron {number} in layer {layer}, got {len(rows)} neurons there")
    return int(rows[number])


def members(tables: StepTables) -> tuple[UniversalityTable, ...]:
    """The single tables, one per partner."""
    return tuple(tables.tables.values()) if isinstance(tables, ReferenceTables) else (tables,)
