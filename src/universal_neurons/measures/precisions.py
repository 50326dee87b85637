"""Mutual best pairs of neurons that are the same where sums of products are kept in fewer bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.measures.arrays import quotient
from universal_neurons.measures.pooled import pooled_counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.study import HasStep, Study


@dataclass(frozen=True, eq=False)
class PairsBySums:
    """The mutual best pairs of two models by every kind of sums of products.

    ``frame``: one row per kind of ``sums`` (:mod:`universal_neurons.core.precisions`), with the columns pairs, found,
    kept, correlation and error.  ``level``: of intervals.
    """

    frame: pd.DataFrame
    level: float


def kept_pairs(study: Study, checkpoint: HasStep, sums: str) -> Measurement:
    """The share of the exact mutual best pairs of the reference and its partners that one kind of ``sums`` finds too.

    Over models: partners are left out in turn.  Details: the mean ``correlation`` of the exact pairs by exact sums and
    by this kind (``by_sums``); the share of this kind's pairs that are ``others``; the largest ``error`` of a
    correlation.  Missing without any.
    """
    tables = {
        (study.reference, partner): study.table("precisions", partner=partner, checkpoint=checkpoint)
        for partner in study.partners()
    }
    rows = {pair: _row(table, sums) for pair, table in tables.items()}
    described = {
        "correlation": _mean([_row(table, "exact") for table in tables.values()]),
        "by_sums": _mean(list(rows.values())),
        "error": max(row["error"] for row in rows.values()),
    }
    return pooled_counts(
        {pair: np.array([row["kept"], row["pairs"], row["found"]]) for pair, row in rows.items()},
        lambda c: quotient(c[0], c[1]),
        level=next(iter(tables.values())).level,
        details=lambda c: described | {"others": 1 - quotient(c[0], c[2])},
    )


def _mean(rows: Sequence[Mapping[str, float]]) -> float:
    """The mean correlation of the exact pairs of all rows; NaN without any."""
    return quotient(
        sum(row["pairs"] * row["correlation"] for row in rows if row["pairs"]), sum(row["pairs"] for row in rows)
    )


def _row(table: PairsBySums, sums: str) -> dict[str, float]:
    (row,) = table.frame[table.frame["sums"] == sums].to_dict("records")
    return {str(name): float(value) for name, value in row.items() if name != "sums"}
