"""Excess correlation, by which a neuron is called universal.

The excess of a neuron of the reference against a partner is its largest correlation with any neuron of the partner
minus its baseline, the largest correlation with any rotated direction of the partner, mean over rotation draws:

    max over j of rho_ij  -  max over j of rho_bar_ij

(Gurnee et al. 2024, equation 3, before the mean over partners; Nandan et al. 2025 v1, section 3, per pair).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

if TYPE_CHECKING:
    import pandas as pd


class _Subtractable(Protocol):
    def __sub__(self, other: Any, /) -> Self: ...


Scores = TypeVar("Scores", bound=_Subtractable)


def excess_correlation(correlation: Scores, baseline: Scores) -> Scores:
    """``correlation - baseline`` of the same shape: arrays, columns or tensors, in the precision that they have.

    NaN where either is: a neuron that never varied, or against a partner that never varied, has no excess; it is never
    a zero.
    """
    return correlation - baseline


def with_excess(frame: pd.DataFrame) -> pd.DataFrame:
    """A stored universality table with its excess columns, for all tokens and for each half of them.

    ``excess`` from ``correlation`` and ``baseline``; ``excess_half_a`` and ``excess_half_b`` likewise.  They are not
    stored, because they are differences of two columns that are.
    """
    return frame.assign(
        **{
            f"excess{part}": excess_correlation(frame[f"correlation{part}"], frame[f"baseline{part}"])
            for part in ("", "_half_a", "_half_b")
        }
    )
