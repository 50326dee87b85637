"""Comparison of stored numbers with recomputed ones: largest differences, tolerances, and changed choices.

Between two machines the same float32 products differ in their last bits; a wrong mask or a wrong rotation moves
correlations by percents.  So numbers may differ by a stated tolerance, and discrete choices (a best partner, the
members of a set, a token) by a small share, because two candidates may be equal within that tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt
    import pandas as pd

    from universal_neurons.measures.arrays import Floats

# Of correlations, baselines (absolute) and effects in nats.
TOLERANCE = 1e-4
# The share of the compared neurons that rounding may explain.  Of mini's the worst table has 0.5 % that move on another
# processor; a wrong mask or a wrong rotation moves nearly all.
EXCUSED = 0.02
# Excused neurons that one line names.
_NAMED = 5


class EvidenceDiffers(UserError):
    """The shipped or imported evidence is not what its weights and tokens give."""


@dataclass(frozen=True, slots=True)
class Excused:
    """A neuron whose score ``moved`` beyond the tolerance, and how far rounding ``may`` move it."""

    neuron: str
    moved: float
    may: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The ``largest`` difference of one quantity, and the ``tolerance`` for it."""

    largest: float
    tolerance: float

    def __or__(self, other: Difference) -> Difference:
        """The larger of two differences of one quantity."""
        return Difference(max(self.largest, other.largest), self.tolerance)


@dataclass(frozen=True, slots=True)
class Choices:
    """Discrete results: ``changed`` of ``total``, of which a share ``allowed`` may be ties; ``name`` in the plural."""

    name: str
    changed: int
    total: int
    allowed: float

    def __add__(self, other: Choices) -> Choices:
        """Both counts as one."""
        return Choices(self.name, self.changed + other.changed, self.total + other.total, self.allowed)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Stored artifacts against their recomputation.

    ``count`` items of a ``unit`` were compared, the ``excused`` neurons among them, which differences
    and choices leave out.
    """

    what: str
    unit: str
    count: int
    differences: Mapping[str, Difference]
    choices: Choices | None = None
    excused: tuple[Excused, ...] = field(default=())

    def __add__(self, other: Comparison) -> Comparison:
        """Both comparisons as one, under the name of this one."""
        largest = {name: mine | other.differences[name] for name, mine in self.differences.items()}
        choices = self.choices
        if choices is not None and other.choices is not None:
            choices = choices + other.choices
        count, excused = self.count + other.count, self.excused + other.excused
        return replace(self, count=count, differences=largest, choices=choices, excused=excused)

    @property
    def agrees(self) -> bool:
        """Whether every difference is within its tolerance, and few enough choices changed and neurons are excused."""
        within = all(one.largest <= one.tolerance for one in self.differences.values())
        few = self.choices is None or self.choices.changed <= self.choices.allowed * self.choices.total
        return within and few and self.may_excuse(len(self.excused))

    def may_excuse(self, neurons: int) -> bool:
        """Whether rounding may explain so many of the compared neurons."""
        return neurons <= EXCUSED * self.count

    def __str__(self) -> str:
        largest = ", ".join(
            f"{one.largest:.1e} in {name} (tolerance {one.tolerance:.0e})" for name, one in self.differences.items()
        )
        choices = self.choices
        changed = "" if choices is None else f", {choices.changed} of {choices.total} {choices.name}"
        named = _named(self.excused)
        return f"{self.what}, {self.count} {self.unit} computed again: largest difference {largest}{changed}{named}"

    def checked(self, suite: str) -> Comparison:
        """Return this comparison; raise :class:`EvidenceDiffers` if it does not agree."""
        if not self.agrees:
            raise EvidenceDiffers(f"evidence of suite {suite}: {self}; run: universal-neurons compute --recompute")
        return self


def _named(excused: Iterable[Excused]) -> str:
    """The excused neurons in words: how many, how far they moved, and which moved furthest."""
    furthest = sorted(excused, key=lambda one: -one.moved)
    if not furthest:
        return ""
    names = list(dict.fromkeys(one.neuron for one in furthest))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (
        f", without {len(furthest)} neurons that rounding moves: at most {furthest[0].moved:.1e} where "
        f"{furthest[0].may:.1e} is possible ({', '.join(names[:_NAMED])}{more})"
    )


def total(comparisons: Iterable[Comparison], *, what: str) -> Comparison | None:
    """All ``comparisons`` of one stage as one called ``what``; None of none."""
    listed = list(comparisons)
    return replace(reduce(add, listed), what=what) if listed else None


def column_differences(
    stored: pd.DataFrame, again: pd.DataFrame, tolerances: Mapping[str, float]
) -> dict[str, Difference]:
    """The largest absolute difference per column; a column without a tolerance must be equal.

    A column that only one table has, or NaN on one side only, is an infinite difference.
    """

    def largest(name: str) -> float:
        if name not in stored or name not in again or len(stored) != len(again):
            return float("inf")
        if stored[name].dtype.kind in "biuf":
            return float(absolute_differences(stored[name].to_numpy(), again[name].to_numpy()).max(initial=0.0))
        return 0.0 if stored[name].equals(again[name]) else float("inf")

    names = dict.fromkeys(map(str, [*stored.columns, *again.columns]))
    return {name: Difference(largest(name), tolerances.get(name, 0.0)) for name in names}


def absolute_differences(stored: npt.NDArray[Any], again: npt.NDArray[Any]) -> Floats:
    """Absolute differences; infinite where one is NaN and the other is not, 0 where both are."""
    difference = np.abs(stored.astype(np.float64) - again)
    unlike = np.where(np.isnan(stored) == np.isnan(again), 0.0, np.inf)
    return np.where(np.isnan(difference), unlike, difference)


def relative_difference(stored: pd.DataFrame, again: pd.DataFrame, tolerance: float) -> Difference:
    """The largest difference of any number, relative to the number or to the median of its column."""
    smallest = stored.abs().median().to_numpy()
    return Difference(largest_relative_difference(stored.to_numpy(), again.to_numpy(), smallest), tolerance)


def largest_relative_difference(stored: Floats, again: Floats, smallest: Floats) -> float:
    """The largest difference relative to the larger of both values and of ``smallest``.

    Infinite where one is NaN and the other is not, 0 where both are.
    """
    if stored.shape != again.shape or (np.isnan(stored) != np.isnan(again)).any():
        return float("inf")
    scale = np.maximum(np.maximum(np.abs(stored), np.abs(again)), smallest)
    difference = np.abs(stored - again)
    return float(np.divide(difference, scale, out=np.zeros_like(difference), where=difference > 0).max(initial=0.0))
