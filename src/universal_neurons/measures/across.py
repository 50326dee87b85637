"""Statements about several suites: models of other sizes, or of another family, each with seeds of its own.

A statistic is a function of what was counted in all directed pairs of each suite.  Models are what would differ if the
statement were tried again, and no suite's models depend on another's: the interval is the jackknife of independent
samples, in which each model of each suite is left out once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.errors import ArtifactMissing
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.arrays import quotient
from universal_neurons.measures.intervals import jackknife_of_samples
from universal_neurons.measures.pooled import every_pair, models_left_out, own_pairs, share_counts, summed
from universal_neurons.measures.shares import SHARE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from universal_neurons.measures.arrays import Floats
    from universal_neurons.measures.pooled import PairTables
    from universal_neurons.measures.study import NullKind, Study
    from universal_neurons.measures.tables import UniversalityTable

_FEWEST_SIZES = 3
# Excess correlations lie between -1 and 1; two distributions are compared to within a bin.
_BINS = np.linspace(-1, 1, 1001)


def share_by_size(
    study: Study, suites: Sequence[str], threshold: float, *, null: NullKind | None = None
) -> Measurement:
    """By how much the universal share changes where models have ten times as many neurons.

    The least-squares slope of the share of each suite, over all directed pairs at the last checkpoint, on log10 of the
    neurons of a model; or of the ``null`` models of one kind.  Of the ``suites`` those count whose evidence is here,
    this study's among them.  Details: each suite's share.  Missing where all have as many neurons.

    Raises NotOnSuite on another suite, and ArtifactMissing with fewer than three sizes.
    """

    def counts(tables: tuple[UniversalityTable, ...]) -> Floats:
        return np.append(share_counts(tables, threshold), 1.0)

    def shares(found: Mapping[str, Floats]) -> dict[str, float]:
        return {name: quotient(universal, neurons) for name, (universal, neurons, _) in found.items()}

    def slope(found: Mapping[str, Floats]) -> float:
        size = np.log10([neurons / pairs for _, neurons, pairs in found.values()])
        distance = size - size.mean()
        return quotient(float(distance @ np.array(list(shares(found).values()))), float(distance @ distance))

    return _across(_last_pairs(study, suites, _FEWEST_SIZES, null), counts, slope, details=shares, unit=SHARE)


def apart(study: Study, alone: str, together: tuple[str, str], *, null: NullKind | None = None) -> Measurement:
    """How much farther one suite's excess correlations lie from two other suites' than these from each other.

    min(D(alone, x), D(alone, y)) - D(x, y), D the distance of Kolmogorov and Smirnov between the distributions of the
    excess over neurons and directed pairs at the last checkpoint; or of the ``null`` models of one kind.  Details: the
    three distances, by the suites' names.

    Raises NotOnSuite on a fourth suite, and ArtifactMissing unless the evidence of all three is here.
    """

    def counts(tables: tuple[UniversalityTable, ...]) -> Floats:
        excess = tables[0].frame["excess"].to_numpy(dtype=np.float64)
        return np.histogram(excess[~np.isnan(excess)], _BINS)[0].astype(np.float64)

    def distances(found: Mapping[str, Floats]) -> dict[str, float]:
        return {f"{x} {y}": _distance(found[x], found[y]) for x, y in ((alone, one), (alone, other), (one, other))}

    def further(found: Mapping[str, Floats]) -> float:
        first, second, between = distances(found).values()
        return min(first, second) - between

    one, other = together
    return _across(_last_pairs(study, (alone, one, other), 3, null), counts, further, details=distances)


def _last_pairs(study: Study, suites: Sequence[str], fewest: int, null: NullKind | None) -> dict[str, PairTables]:
    """The tables at the last checkpoint of the ``suites`` whose evidence is here, this study's among them."""
    found: dict[str, PairTables] = {}
    lacking: ArtifactMissing | None = None
    for name, one in study.beside(*suites).items():
        last = one.checkpoints[-1]
        try:
            found[name] = every_pair(one, last) if null is None else own_pairs(one, last, null=null)
        except ArtifactMissing as missing:
            # Whoever asks about this suite wants to know first what it lacks itself.
            if one is study:
                raise
            lacking = lacking or missing
    if lacking is not None and len(found) < fewest:
        raise lacking
    return found


def _across(
    suites: Mapping[str, PairTables],
    counts: Callable[[tuple[UniversalityTable, ...]], Floats],
    statistic: Callable[[Mapping[str, Floats]], float],
    *,
    details: Callable[[Mapping[str, Floats]], dict[str, float]],
    unit: str = "",
) -> Measurement:
    """``statistic`` of the summed counts of each suite; n is the number of models that are left out once."""
    counted = {name: {pair: counts(tables) for pair, tables in pairs.items()} for name, pairs in suites.items()}
    total = {name: summed(pairs.values()) for name, pairs in counted.items()}
    value = statistic(total)
    samples = [[statistic({**total, name: rest}) for rest in models_left_out(pairs)] for name, pairs in counted.items()]
    n = sum(map(len, samples))
    if math.isnan(value):
        return Measurement.missing(n=n, over=Over.MODELS, unit=unit)
    level = next(iter(next(iter(suites.values())).values()))[0].resampling.level
    is_known = not np.isnan(np.concatenate(samples)).any()
    ends = jackknife_of_samples(value, samples, level=level) if is_known else (-math.inf, math.inf)
    return Measurement(value, *ends, n, Over.MODELS, level, unit, details(total))


def _distance(first: Floats, second: Floats) -> float:
    """The largest difference of two cumulative distributions, from counts in the same bins."""
    return float(np.abs(np.cumsum(first) / first.sum() - np.cumsum(second) / second.sum()).max())
