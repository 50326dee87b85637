"""The evidence against its recomputation: whether what is shipped is what its weights and tokens give.

This module decides how far two computations of one table may lie apart.  Nothing of the working store is trusted: the
stored side is always the shipped evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from universal_neurons.artifacts.store import Store
from universal_neurons.errors import UserError
from universal_neurons.pipeline.models import LoadedModels
from universal_neurons.pipeline.universality import accumulated_moments, score_table, scores_against_partner
from universal_neurons.workspace import WORK_FOLDER, Pair, Workspace, missing, table_keys, universality_key, with_excess

if TYPE_CHECKING:
    import pandas as pd

    from universal_neurons.artifacts.key import Key

# Between two machines the same float32 products differ in their last bits; a wrong mask or a wrong rotation moves
# correlations by percents.
TOLERANCE = 1e-4
# Of neurons whose two best partners are equal to within the tolerance, so that either may come first.
TIES = 0.002


class EvidenceDiffers(UserError):
    """The shipped evidence is not what its weights and tokens give."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Tables of the evidence against their recomputation: largest differences, and partners that changed."""

    what: str
    neurons: int
    correlation_error: float
    baseline_error: float
    partners_changed: int

    @classmethod
    def of(cls, what: str, stored: pd.DataFrame, again: pd.DataFrame) -> Comparison:
        """One table against another of the same pair."""
        moved = [stored[name].to_numpy() != again[name].to_numpy() for name in ("partner_layer", "partner_neuron")]
        return cls(
            what=what,
            neurons=len(stored),
            correlation_error=largest_difference(stored["correlation"], again["correlation"]),
            baseline_error=largest_difference(stored["baseline"], again["baseline"]),
            partners_changed=int((moved[0] | moved[1]).sum()),
        )

    def __add__(self, other: Comparison) -> Comparison:
        """Both comparisons as one, under the name of this one."""
        return Comparison(
            self.what,
            self.neurons + other.neurons,
            max(self.correlation_error, other.correlation_error),
            max(self.baseline_error, other.baseline_error),
            self.partners_changed + other.partners_changed,
        )

    @property
    def agrees(self) -> bool:
        """Whether every number is within the tolerance and no partner changed by more than a tie."""
        worst = max(self.correlation_error, self.baseline_error)
        return worst <= TOLERANCE and self.partners_changed <= TIES * self.neurons

    def __str__(self) -> str:
        return (
            f"{self.what}, {self.neurons} neurons computed again: largest difference {self.correlation_error:.1e} in "
            f"correlation, {self.baseline_error:.1e} in baseline, {self.partners_changed} other partners "
            f"(tolerance {TOLERANCE:.0e})"
        )

    def checked(self, suite: str) -> Comparison:
        """This comparison; raises :class:`EvidenceDiffers` if it does not agree."""
        if not self.agrees:
            raise EvidenceDiffers(f"evidence of suite {suite}: {self}; run: universal-neurons compute --recompute")
        return self


def spotcheck(work: Workspace) -> Comparison:
    """Compute one shipped table again: the reference against its first partner at the last checkpoint.

    Raises :class:`EvidenceDiffers` if they disagree, ArtifactMissing if nothing is shipped, and UserError if this
    machine's corpus is another one, because then there is nothing to compare.
    """
    step = work.suite.checkpoints[-1].step
    pair = next(pair for pair in work.pairs(step) if pair.reference.name == work.suite.zoo.reference)
    stored = _shipped_table(work, universality_key(work, pair))
    if stored is None:
        raise missing(work, universality_key(work, pair))
    models = LoadedModels.of(work, (pair.reference, pair.partner))
    accumulator = accumulated_moments(work, models, permuted=False)
    (scores,) = scores_against_partner(work, models, accumulator, pair.partner, [pair], [])
    return Comparison.of(_named(pair), stored, with_excess(score_table(scores))).checked(work.suite.name)


def recomputation_check(work: Workspace) -> Comparison | None:
    """Every recomputed table of ``work`` against the shipped one of the same name; None where none is shipped.

    None is the answer on a machine whose corpus is another one.  Raises :class:`EvidenceDiffers` if they disagree.
    """
    found = []
    for step in work.steps:
        for pair, key in table_keys(work, step).items():
            stored, again = _shipped_table(work, key), work.store.read(key)
            if stored is not None and again is not None:
                compared = Comparison.of(_named(pair), stored, with_excess(again.table))
                found.append(compared.checked(work.suite.name))
    return replace(reduce(add, found), what="all tables") if found else None


def _named(pair: Pair) -> str:
    return f"{pair.reference} against {pair.partner}"


def _shipped_table(work: Workspace, key: Key) -> pd.DataFrame | None:
    nothing = work.root / WORK_FOLDER / "unused"
    found = Store(nothing, [work.root / "fixtures" / "evidence"], warn=work.warn).read(key)
    return None if found is None else with_excess(found.table)


def largest_difference(stored: pd.Series[float], again: pd.Series[float]) -> float:
    """Largest absolute difference; infinite where one is NaN and the other is not, 0 where both are throughout."""
    if len(stored) != len(again) or (stored.isna() != again.isna()).any():
        return float("inf")
    return float((stored - again).abs().fillna(0.0).max())
