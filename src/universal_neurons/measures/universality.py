"""Shares of universal neurons, and how they change from checkpoint to checkpoint.

A neuron of the reference is *universal* at threshold T when its excess correlation is above T, strictly (Gurnee et al.
2024, equation 3; Nandan et al. 2025 v1, section 3).  A neuron without an excess, because it or the partner never
varied, is counted in the details and left out of numerator and denominator; it is never a zero.

Every share is a statistic of the counts of universal neurons per layer (module counts), and its interval is made of the
same statistic in replicates of the token blocks (intervals.extrapolated_interval): the value is measured on the tokens
at hand, the interval is about the share that infinitely many would give.  Noise lifts a share, so the value tends to
lie in the upper part of its interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.cache import cached
from universal_neurons.measures.counts import (
    Statistic,
    layer_counts,
    layer_shares,
    share_contrast,
    share_of,
)
from universal_neurons.measures.intervals import (
    NOISE,
    ConfidenceInterval,
    extrapolated_interval,
    jackknife_details,
)
from universal_neurons.measures.joint import with_details
from universal_neurons.measures.shares import SHARE
from universal_neurons.measures.tables import (
    Definition,
    InfluenceMissing,
    ReferenceTables,
    StepTables,
    UniversalityTable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@cached
def universal_share(table: UniversalityTable, threshold: float) -> Measurement:
    """The share of neurons with excess above ``threshold``: #{i: excess_i > T} / #{i: excess_i defined}.

    Interval: block bootstrap over tokens, extrapolated to no noise.  n is the number of neurons with a defined excess.

    Details: ``half_a`` and ``half_b``, the share measured on each half of the tokens alone; ``draws_sd``, the standard
    deviation (ddof 1) over rotation draws d of the share with that single draw as the baseline,
    #{correlation - draws[d] > T}; ``undefined``, neurons left out; ``universal``, the count; ``bias``, the mean of the
    replicates minus the value: noise lifts more neurons over a threshold in the tail than it drops below it, in the
    replicates about as much as in the value; ``extrapolated``, the share without noise, the centre of the interval.

    Missing where no neuron is defined.  Raises :class:`InfluenceMissing` where non-candidates exceed ``threshold``.
    """
    return _share_measurement(table, threshold, Definition.PAIR)


@cached
def definition_share(tables: ReferenceTables, definition: Definition, threshold: float) -> Measurement:
    """The universal share of a reference under one reading of "universal" (claims/README.md, A1).

    PAIR is the mean over partners of the per-pair shares, the default reading of table 1 of Nandan et al. 2025;
    AVERAGED, UNION and INTERSECTION apply the threshold to the mean, maximum and minimum of the excess over partners.
    A neuron undefined against any partner is left out of the last three.  The replicates share their block weights
    across partners, which see the same tokens.  Details: as :func:`universal_share`, and
    ``models_low``/``models_high``, the jackknife interval over partners (left out from two partners on).
    """
    return _share_measurement(tables, threshold, definition)


@cached
def share_by_layer(tables: StepTables, threshold: float) -> pd.DataFrame:
    """The universal share of each layer: columns layer, neurons (defined), value, low, high (block bootstrap).

    NaN in a layer without defined neurons.  Of several partners: the mean share.
    """
    counts = layer_counts([tables], threshold, Definition.PAIR)
    values, centres = (
        layer_shares(layers, counts.neurons)[..., 0, :] for layers in (counts.counts, counts.extrapolated)
    )
    replicates = layer_shares(counts.moved, counts.neurons)[..., 0, :]
    ends = [
        ConfidenceInterval(np.nan, np.nan)
        if np.isnan(value)
        else extrapolated_interval(
            float(value), replicates[:, layer], float(centres[layer]), level=counts.level, within=(0.0, 1.0)
        )
        for layer, value in enumerate(values)
    ]
    return pd.DataFrame(
        {
            "layer": np.arange(values.size),
            "neurons": counts.neurons.max(axis=0).astype(np.int64),
            "value": values,
            "low": [end.low for end in ends],
            "high": [end.high for end in ends],
        }
    )


@cached
def share_difference(
    earlier: StepTables, later: StepTables, threshold: float, *, definition: Definition = Definition.PAIR
) -> Measurement:
    """share(later) - share(earlier) among the neurons defined at both.

    Paired twice: the same neurons, and the same block weights in every replicate, so that the noise both checkpoints
    share cancels.  Details: ``draws_sd`` (the draws are paired too), ``undefined``; for several partners
    ``models_low``/``models_high``.  Raises ValueError unless both
    tables have the same reference, partners and neurons.
    """
    return _measurement([earlier, later], threshold, share_contrast(-1, 1), definition, within=(-1.0, 1.0))


@cached
def threshold_curve(tables: StepTables, thresholds: Sequence[float]) -> pd.DataFrame:
    """The universal share at each threshold: columns threshold, value, low, high, half_a, half_b, draws_sd.

    It falls with the threshold.  low, high and draws_sd are NaN where the threshold lies in the reach of neurons
    without influence (module groups); the value is exact there too.
    """
    return pd.DataFrame([_curve_point(tables, threshold) for threshold in thresholds])


def _share_measurement(tables: StepTables, threshold: float, definition: Definition) -> Measurement:
    details = _half_shares(tables, threshold, definition)
    measured = _measurement([tables], threshold, share_contrast(1), definition, within=(0.0, 1.0), details=details)
    # Under PAIR with several partners the count is a mean over partners, as in the counts beside table 1.
    return with_details(measured, universal=measured.value * measured.n)


def _half_shares(tables: StepTables, threshold: float, definition: Definition) -> dict[str, float]:
    return {half: share_of(tables, threshold, definition, f"excess_{half}") for half in ("half_a", "half_b")}


def _curve_point(tables: StepTables, threshold: float) -> dict[str, float]:
    names = ("half_a", "half_b", "draws_sd")
    try:
        share = _share_measurement(tables, threshold, Definition.PAIR)
    except InfluenceMissing:
        halves = _half_shares(tables, threshold, Definition.PAIR)
        ends = {"value": share_of(tables, threshold), "low": np.nan, "high": np.nan}
        return {"threshold": threshold, **ends, **halves, "draws_sd": np.nan}
    ends = {"value": share.value, "low": share.low, "high": share.high}
    return {"threshold": threshold, **ends, **{name: share.details.get(name, np.nan) for name in names}}


def _measurement(
    checkpoints: Sequence[StepTables],
    threshold: float,
    statistic: Statistic,
    definition: Definition,
    *,
    within: tuple[float, float],
    details: Mapping[str, float] | None = None,
) -> Measurement:
    """``statistic`` of the counts at ``checkpoints`` with its interval over token blocks and its details.

    ``within`` are the least and the largest value that the statistic can have.
    """
    counts = layer_counts(checkpoints, threshold, definition)
    value = float(counts.value(statistic))
    low, high = counts.token_interval(statistic, within) if np.isfinite(value) else (value, value)
    if not np.isfinite([value, low, high]).all():
        return Measurement.missing(n=counts.n, over=Over.TOKEN_BLOCKS, unit=SHARE)
    found = {
        **(details or {}),
        "draws_sd": counts.draws_sd(statistic),
        "undefined": float(counts.layer.size - counts.n),
        "bias": float(statistic(counts.noisy[NOISE.index(1.0)], counts.neurons)) - value,
        "extrapolated": float(statistic(counts.extrapolated, counts.neurons)),
        **jackknife_details(value, _without_each(checkpoints, threshold, statistic, definition), level=counts.level),
    }
    return Measurement(value, low, high, counts.n, Over.TOKEN_BLOCKS, counts.level, SHARE, found)


def _without_each(
    checkpoints: Sequence[StepTables], threshold: float, statistic: Statistic, definition: Definition
) -> list[float]:
    """``statistic`` with each partner left out once; nothing for a single table."""
    references = [tables for tables in checkpoints if isinstance(tables, ReferenceTables)]
    if not references or len(references[0].partners) < 2:
        return []
    rest = [[tables.without(partner) for tables in references] for partner in references[0].partners]
    counts = [layer_counts(tables, threshold, definition, resampled=False) for tables in rest]
    return [float(each.value(statistic)) for each in counts]
