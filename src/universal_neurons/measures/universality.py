"""The numbers a claim may ask of universality tables.

A neuron of the reference is *universal* at threshold T when its excess correlation is above T, strictly (Gurnee et al.
2024, equation 3; Nandan et al. 2025 v1, section 3).  A neuron without an excess, because it or the partner never
varied, is counted in the details and left out of numerator and denominator; it is never a zero.

Every share here is a function of the counts of universal neurons per layer (module counts), and its interval is made of
the same function of the counts in replicates of the token blocks (intervals.extrapolated_interval): the value is that
of the tokens at hand, the interval is about the share that infinitely many would give.  Noise lifts a share, so the
value tends to lie in the upper part of its interval.  This module refuses to know where a table comes from: no
files, no models, no published numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.arrays import Floats, Integers
from universal_neurons.measures.counts import LayerCounts, groups_of, layer_counts, share_of
from universal_neurons.measures.intervals import (
    NOISE,
    ConfidenceInterval,
    extrapolated_interval,
    jackknife,
    mcnemar_p,
    newcombe_paired,
    percentile_interval,
)
from universal_neurons.measures.tables import (
    Definition,
    InfluenceMissing,
    ReferenceTables,
    Resampling,
    StepTables,
    UniversalityTable,
    members,
    shuffled_layers,
)

__all__ = [
    "SHARE",
    "Definition",
    "InfluenceMissing",
    "ReferenceTables",
    "Resampling",
    "StepTables",
    "UniversalityTable",
    "acceleration",
    "definition_share",
    "depth_contrast",
    "depth_rank_correlation",
    "early_share_ratio",
    "growth_by_layer",
    "layer_layer_mass",
    "mcnemar_difference",
    "same_depth_mass",
    "share_by_layer",
    "share_difference",
    "shuffled_layers",
    "table_one",
    "threshold_curve",
    "universal_share",
]

SHARE = "share"
Statistic = Callable[[Floats, Floats], Floats]


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


def definition_share(tables: ReferenceTables, definition: Definition, threshold: float) -> Measurement:
    """The universal share of a reference under one reading of "universal" (design/claims.md, A1).

    PAIR is the mean over partners of the per-pair shares, the default reading of table 1 of Nandan et al. 2025;
    AVERAGED, UNION and INTERSECTION apply the threshold to the mean, maximum and minimum of the excess over partners.
    A neuron undefined against any partner is left out of the last three.  The replicates share their block weights
    across partners, which see the same tokens.  Details: as :func:`universal_share`, and
    ``models_low``/``models_high``, the jackknife interval over partners (left out from two partners on).
    """
    return _share_measurement(tables, threshold, definition)


def share_by_layer(tables: StepTables, threshold: float, *, definition: Definition = Definition.PAIR) -> pd.DataFrame:
    """The universal share of each layer: columns layer, neurons (defined), value, low, high (block bootstrap).

    NaN in a layer without defined neurons.  Of several partners: the mean share, under PAIR.
    """
    panel = layer_counts([tables], threshold, definition)
    values = _layer_shares(panel.counts, panel.neurons)[0]
    ends = _layer_ends(panel, lambda counts, neurons: _layer_shares(counts, neurons)[..., 0, :], (0.0, 1.0))
    return pd.DataFrame(
        {
            "layer": np.arange(values.size),
            "neurons": panel.neurons.max(axis=0).astype(np.int64),
            "value": values,
            "low": [end.low for end in ends],
            "high": [end.high for end in ends],
        }
    )


def share_difference(
    earlier: StepTables, later: StepTables, threshold: float, *, definition: Definition = Definition.PAIR
) -> Measurement:
    """share(later) - share(earlier) among the neurons defined at both.

    Paired twice: the same neurons, and the same block weights in every replicate, so that the noise both checkpoints
    share cancels.  Details: ``draws_sd`` (the draws are paired too), ``undefined``; for one pair also the McNemar view
    of :func:`mcnemar_difference`; for several partners ``models_low``/``models_high``.  Raises ValueError unless both
    tables have the same reference, partners and neurons.
    """
    measured = _measurement([earlier, later], threshold, _difference, definition, within=(-1.0, 1.0))
    if measured.is_missing or isinstance(earlier, ReferenceTables):
        return measured
    details = {**measured.details, **_mcnemar_details(earlier, later, threshold)}
    return dataclasses.replace(measured, details=details)


def mcnemar_difference(earlier: UniversalityTable, later: UniversalityTable, threshold: float) -> Measurement:
    """share(later) - share(earlier) with an interval over neurons: each neuron is a pair of yes and no.

    Value (gained - lost) / n; interval: Newcombe's for paired proportions; details: ``gained``, ``lost``, the exact
    ``mcnemar_p``, and ``tokens_low``/``tokens_high``, the block bootstrap of :func:`share_difference`.  It treats
    neurons as a sample of those that could have been trained, so it answers a wider question than token noise.
    """
    over_tokens = share_difference(earlier, later, threshold)
    if over_tokens.is_missing:
        return Measurement.missing(over=Over.NEURONS, unit=SHARE)
    details = dict(over_tokens.details)
    low, high = details.pop("neurons_low"), details.pop("neurons_high")
    details |= {"tokens_low": over_tokens.low, "tokens_high": over_tokens.high}
    value = over_tokens.value
    return Measurement(
        value, min(low, value), max(high, value), over_tokens.n, Over.NEURONS, over_tokens.level, SHARE, details
    )


def acceleration(
    first: StepTables,
    second: StepTables,
    third: StepTables,
    threshold: float,
    *,
    definition: Definition = Definition.PAIR,
) -> Measurement:
    """The second step of growth minus the first: (s3 - s2) - (s2 - s1), negative where growth slows.

    Paired as :func:`share_difference`.  It means a change of speed only where the three checkpoints are equally spaced.
    """
    return _measurement([first, second, third], threshold, _acceleration, definition, within=(-2.0, 2.0))


def early_share_ratio(
    earlier: StepTables, later: StepTables, threshold: float, *, definition: Definition = Definition.PAIR
) -> Measurement:
    """share(earlier) / share(later): how much of the later share is already there.

    Missing where the later share is zero, or so near to it that it is exactly zero in a replicate.
    """
    return _measurement([earlier, later], threshold, _ratio, definition, within=(0.0, math.inf), unit="")


def growth_by_layer(
    earlier: StepTables, later: StepTables, threshold: float, *, definition: Definition = Definition.PAIR
) -> pd.DataFrame:
    """The growth of the share in each layer: columns layer, neurons, earlier, later, value (the growth), low, high."""
    panel = layer_counts([earlier, later], threshold, definition)
    shares = _layer_shares(panel.counts, panel.neurons)
    values = _growth(panel.counts, panel.neurons)
    ends = _layer_ends(panel, _growth, (-1.0, 1.0))
    return pd.DataFrame(
        {
            "layer": np.arange(values.size),
            "neurons": panel.neurons.max(axis=0).astype(np.int64),
            "earlier": shares[0],
            "later": shares[1],
            "value": values,
            "low": [end.low for end in ends],
            "high": [end.high for end in ends],
        }
    )


def depth_contrast(earlier: StepTables, later: StepTables, threshold: float) -> Measurement:
    """Growth of the share in the deeper half of the layers minus growth in the shallower half.

    With the change g_i of a neuron, universal later minus universal earlier, averaged over partners: mean(g over deep)
    - mean(g over shallow), each over the neurons of that half; the middle layer of an odd number belongs to neither.
    Interval: bootstrap over neurons within layers, because two halves of the neurons are compared and even random
    halves differ by which neurons they hold; a neuron takes its changes against all partners along.  Details:
    ``tokens_low``/``tokens_high`` (block bootstrap), ``draws_sd``, ``rank_correlation``
    (:func:`depth_rank_correlation`). Missing with fewer than two layers or an empty half.
    """
    panel = layer_counts([earlier, later], threshold, Definition.PAIR)
    value = float(_contrast(panel.counts, panel.neurons))
    if np.isnan(value):
        return Measurement.missing(over=Over.NEURONS, unit=SHARE)
    changes = _changes(earlier, later, threshold)
    replicates = _contrast_over_neurons(changes, panel.layer, earlier)
    low, high = percentile_interval(value, replicates, level=panel.level)
    over_tokens = _token_interval(panel, _contrast, (-2.0, 2.0))
    details = {
        "tokens_low": over_tokens.low,
        "tokens_high": over_tokens.high,
        "draws_sd": _sd(_contrast(panel.draws, panel.neurons)),
        "rank_correlation": float(_rank_correlation(panel.counts, panel.neurons)),
    }
    n = int(np.count_nonzero(~np.isnan(changes)))
    return Measurement(value, low, high, n, Over.NEURONS, panel.level, SHARE, details)


def depth_rank_correlation(earlier: StepTables, later: StepTables, threshold: float) -> Measurement:
    """Spearman's rank correlation of layer and growth of its share, ties ranked by their mean.

    Interval: percentile of the block bootstrap, because ranks are no smooth function of counts.  A replicate in which
    no layer differs from another has no order and counts as 0; missing where that holds for the value.  n is the number
    of layers, and few layers give few values.
    """
    panel = layer_counts([earlier, later], threshold, Definition.PAIR)
    value = float(_rank_correlation(panel.counts, panel.neurons))
    layers = panel.counts.shape[-1]
    if np.isnan(value):
        return Measurement.missing(n=layers, over=Over.TOKEN_BLOCKS)
    replicates = np.nan_to_num(_rank_correlation(panel.replicates, panel.neurons), nan=0.0)
    low, high = percentile_interval(value, replicates, level=panel.level)
    return Measurement(value, low, high, layers, Over.TOKEN_BLOCKS, panel.level)


def threshold_curve(
    tables: StepTables, thresholds: Sequence[float], *, definition: Definition = Definition.PAIR
) -> pd.DataFrame:
    """The universal share at each threshold: columns threshold, value, low, high, half_a, half_b, draws_sd.

    It falls with the threshold.  low, high and draws_sd are NaN where the threshold lies in the reach of neurons
    without influence (see the module); the value is exact there too.
    """
    return pd.DataFrame([_curve_point(tables, threshold, definition) for threshold in thresholds])


def table_one(
    checkpoints: Mapping[str, ReferenceTables],
    thresholds: Sequence[float],
    *,
    definition: Definition = Definition.PAIR,
    published: Mapping[tuple[float, str], float] | None = None,
) -> pd.DataFrame:
    """Table 1 of Nandan et al. 2025, long: one row per threshold and checkpoint label.

    Columns: threshold, checkpoint, step, value (the share; under PAIR the mean over pairs), low, high (token blocks),
    models_low, models_high (jackknife over partners, NaN for one partner), sd (ddof 1, of the per-pair shares),
    draws_sd, and published (NaN where ``published`` has no entry for this threshold and label).
    """
    rows = []
    for threshold in thresholds:
        for label, tables in checkpoints.items():
            share = definition_share(tables, definition, threshold)
            pairs = np.array([share_of(table, threshold) for table in tables.tables.values()])
            row = {"threshold": threshold, "checkpoint": label, "step": tables.step, "value": share.value}
            row |= {"low": share.low, "high": share.high}
            row |= {name: share.details.get(name, np.nan) for name in ("models_low", "models_high", "draws_sd")}
            rows.append(row | {"sd": _sd(pairs), "published": (published or {}).get((threshold, label), np.nan)})
    return pd.DataFrame(rows)


def same_depth_mass(table: UniversalityTable, *, within: int = 1) -> Measurement:
    """The share of neurons whose best partner lies at most ``within`` layers away, minus its expectation by chance.

    With the cell shares p(l, m) of neurons in layer l whose best partner lies in layer m (Gurnee et al. 2024, figure
    2c): sum over |l - m| <= within of p(l, m) - p(l .) p(. m).  The second term is the exact mean over all permutations
    of the partner layers among the neurons; it keeps how often each layer is anyone's best partner, so that one layer
    that attracts everything is no specialisation.  Interval: percentile bootstrap over neurons, the expectation
    recomputed in every replicate.  Details: ``mass``, ``expected``, ``expected_uniform`` (the expectation when the
    layers of the partner are relabelled at random instead), ``undefined``.  Neurons without a partner are left out;
    missing where none has one.

    Deviation: the paper shows the heat map without a chance level; the expectation is ours.
    """
    cells = _layer_cells(table)
    n = int(cells.sum())
    if n == 0:
        return Measurement.missing(over=Over.NEURONS, unit=SHARE)
    generator = np.random.default_rng(table.resampling.seed)
    resampled = generator.multinomial(n, (cells / n).ravel(), size=table.resampling.resamples)
    mass, expected = _depth_terms(cells / n, within)
    replicate_mass, replicate_expected = _depth_terms(resampled.reshape(-1, *cells.shape) / n, within)
    value = float(mass - expected)
    low, high = percentile_interval(value, replicate_mass - replicate_expected, level=table.resampling.level)
    near = _near(cells.shape[0], cells.shape[1], within)
    details = {
        "mass": float(mass),
        "expected": float(expected),
        "expected_uniform": float(cells.sum(axis=1) @ near.mean(axis=1) / n),
        "undefined": float(len(table.frame) - n),
    }
    return Measurement(value, low, high, n, Over.NEURONS, table.resampling.level, SHARE, details)


def layer_layer_mass(tables: StepTables) -> Floats:
    """(layer, partner layer): the share of each layer's neurons whose best partner lies there, mean over partners.

    Figure 2c of Gurnee et al. 2024.  Rows sum to 1; a layer without any defined neuron is a row of NaN.
    """
    shares = []
    for table in members(tables):
        cells = _layer_cells(table)
        shares.append(_ratio_or_nan(cells, cells.sum(axis=1, keepdims=True)))
    return np.asarray(np.mean(shares, axis=0))


def _share_measurement(tables: StepTables, threshold: float, definition: Definition) -> Measurement:
    details = {
        "half_a": share_of(tables, threshold, definition, column="excess_half_a"),
        "half_b": share_of(tables, threshold, definition, column="excess_half_b"),
    }
    measured = _measurement([tables], threshold, _first_share, definition, within=(0.0, 1.0), details=details)
    if measured.is_missing:
        return measured
    # Under PAIR with several partners the count is a mean over partners, as in the counts beside table 1.
    return dataclasses.replace(measured, details={**measured.details, "universal": measured.value * measured.n})


def _curve_point(tables: StepTables, threshold: float, definition: Definition) -> dict[str, float]:
    names = ("half_a", "half_b", "draws_sd")
    try:
        share = _share_measurement(tables, threshold, definition)
    except InfluenceMissing:
        halves = [share_of(tables, threshold, definition, f"excess_{half}") for half in ("half_a", "half_b")]
        ends = {"value": share_of(tables, threshold, definition), "low": np.nan, "high": np.nan}
        return {"threshold": threshold, **ends, **dict(zip(names, (*halves, np.nan), strict=True))}
    ends = {"value": share.value, "low": share.low, "high": share.high}
    return {"threshold": threshold, **ends, **{name: share.details.get(name, np.nan) for name in names}}


def _measurement(
    checkpoints: Sequence[StepTables],
    threshold: float,
    statistic: Statistic,
    definition: Definition,
    *,
    within: tuple[float, float],
    unit: str = SHARE,
    details: Mapping[str, float] | None = None,
) -> Measurement:
    """``statistic`` of the counts at ``checkpoints`` with its interval over token blocks and its details.

    ``within`` are the least and the largest value that the statistic can have.
    """
    _check_partners(checkpoints)
    panel = layer_counts(checkpoints, threshold, definition)
    value = float(statistic(panel.counts, panel.neurons))
    if not np.isfinite(value):
        return Measurement.missing(n=panel.n, over=Over.TOKEN_BLOCKS, unit=unit)
    low, high = _token_interval(panel, statistic, within)
    if not np.isfinite([low, high]).all():
        return Measurement.missing(n=panel.n, over=Over.TOKEN_BLOCKS, unit=unit)
    found = {**(details or {}), "draws_sd": _sd(statistic(panel.draws, panel.neurons))}
    bias = float(statistic(panel.noisy[NOISE.index(1.0)], panel.neurons)) - value
    centre = float(statistic(panel.extrapolated, panel.neurons))
    found |= {"undefined": float(panel.layer.size - panel.n)}
    found |= {"bias": bias, "extrapolated": centre}
    found |= _models_interval(checkpoints, threshold, statistic, definition, value, panel.level)
    return Measurement(value, low, high, panel.n, Over.TOKEN_BLOCKS, panel.level, unit, found)


def _token_interval(panel: LayerCounts, statistic: Statistic, within: tuple[float, float]) -> ConfidenceInterval:
    """Infinite where a replicate is: a number that may not exist has no interval, wherever its replicates are moved."""
    if not np.isfinite(statistic(panel.replicates, panel.neurons)).all():
        return ConfidenceInterval(-math.inf, math.inf)
    return extrapolated_interval(
        float(statistic(panel.counts, panel.neurons)),
        statistic(panel.moved, panel.neurons),
        float(statistic(panel.extrapolated, panel.neurons)),
        level=panel.level,
        within=within,
    )


def _layer_ends(panel: LayerCounts, statistic: Statistic, within: tuple[float, float]) -> list[ConfidenceInterval]:
    """The interval of each layer for a ``statistic`` with a last axis of layers; NaN where a layer has no value."""
    values, replicates, centres = (
        statistic(counts, panel.neurons) for counts in (panel.counts, panel.moved, panel.extrapolated)
    )
    return [
        ConfidenceInterval(np.nan, np.nan)
        if np.isnan(value)
        else extrapolated_interval(
            float(value), replicates[:, layer], float(centres[layer]), level=panel.level, within=within
        )
        for layer, value in enumerate(values)
    ]


def _check_partners(checkpoints: Sequence[StepTables]) -> None:
    for earlier, later in pairwise(checkpoints):
        before, after = ([table.partner for table in members(tables)] for tables in (earlier, later))
        if before != after:
            raise ValueError(f"checkpoints with different partners cannot be compared: {before} and {after}")


def _models_interval(
    checkpoints: Sequence[StepTables],
    threshold: float,
    statistic: Statistic,
    definition: Definition,
    value: float,
    level: float,
) -> dict[str, float]:
    """The jackknife over partners as details; nothing for one partner or where leaving one out leaves no value."""
    references = [tables for tables in checkpoints if isinstance(tables, ReferenceTables)]
    if not references or len(references[0].partners) < 2:
        return {}
    values = []
    for partner in references[0].partners:
        rest = layer_counts([tables.without(partner) for tables in references], threshold, definition, resampled=False)
        values.append(float(statistic(rest.counts, rest.neurons)))
    if not np.isfinite(values).all():
        return {}
    low, high = jackknife(value, values, level=level)
    return {"models_low": low, "models_high": high}


def _mcnemar_details(earlier: UniversalityTable, later: StepTables, threshold: float) -> dict[str, float]:
    changes = _changes(earlier, later, threshold)
    n = int(np.count_nonzero(~np.isnan(changes)))
    gained, lost = int(np.count_nonzero(changes > 0)), int(np.count_nonzero(changes < 0))
    (group,) = groups_of(earlier, Definition.PAIR)
    both = int(np.count_nonzero((changes == 0) & (group.scores() > group.cut(threshold))))
    low, high = newcombe_paired(
        both=both, first=lost, second=gained, neither=n - both - gained - lost, level=earlier.resampling.level
    )
    p_value = mcnemar_p(first=lost, second=gained)
    return {
        "gained": float(gained),
        "lost": float(lost),
        "mcnemar_p": p_value,
        "neurons_low": low,
        "neurons_high": high,
    }


def _changes(earlier: StepTables, later: StepTables, threshold: float) -> Floats:
    """(neuron,): universal later minus universal earlier, mean over partners; NaN where undefined against any."""
    states = []
    for tables in (earlier, later):
        groups = groups_of(tables, Definition.PAIR)
        scores = np.stack([group.scores() for group in groups])
        above = np.stack([score > group.cut(threshold) for score, group in zip(scores, groups, strict=True)])
        states.append(np.where(np.isnan(scores), np.nan, above).mean(axis=0))
    return np.asarray(states[1] - states[0])


def _contrast_over_neurons(changes: Floats, layer: Integers, tables: StepTables) -> Floats:
    """(resample,): the depth contrast with the neurons of each layer drawn anew from that layer."""
    resampling = members(tables)[0].resampling
    generator = np.random.default_rng(resampling.seed)
    layers = int(layer.max()) + 1
    sums = np.zeros((resampling.resamples, layers))
    neurons = np.zeros(layers)
    for place in range(layers):
        values, counts = np.unique(changes[(layer == place) & ~np.isnan(changes)], return_counts=True)
        neurons[place] = counts.sum()
        if values.size:
            drawn = generator.multinomial(counts.sum(), counts / counts.sum(), size=resampling.resamples)
            sums[:, place] = drawn @ values
    shallow, deep = _halves(layers)
    return np.asarray(sums[:, deep].sum(1) / neurons[deep].sum() - sums[:, shallow].sum(1) / neurons[shallow].sum())


# Statistics: functions of counts (..., group, checkpoint, layer) and neurons (group, layer).


def _shares(counts: Floats, neurons: Floats) -> Floats:
    """(..., checkpoint): the share over all layers, mean over groups."""
    return np.asarray(_ratio_or_nan(counts.sum(axis=-1), neurons.sum(axis=-1)[:, None]).mean(axis=-2))


def _layer_shares(counts: Floats, neurons: Floats) -> Floats:
    """(..., checkpoint, layer): mean over groups; NaN in a layer without neurons."""
    return np.asarray(_ratio_or_nan(counts, neurons[:, None, :]).mean(axis=-3))


def _over_checkpoints(counts: Floats, coefficients: Sequence[int]) -> Floats:
    """(..., group, 1, layer): a contrast of whole counts.

    Taken before any division: a difference of two equal growths must be 0, not 1e-19, when it is judged against 0.
    """
    contrast = np.einsum("...cl,c->...l", counts, np.array(coefficients, dtype=np.float64))
    return np.asarray(contrast[..., None, :])


def _first_share(counts: Floats, neurons: Floats) -> Floats:
    return np.asarray(_shares(counts, neurons)[..., 0])


def _difference(counts: Floats, neurons: Floats) -> Floats:
    return _first_share(_over_checkpoints(counts, (-1, 1)), neurons)


def _acceleration(counts: Floats, neurons: Floats) -> Floats:
    return _first_share(_over_checkpoints(counts, (1, -2, 1)), neurons)


def _ratio(counts: Floats, neurons: Floats) -> Floats:
    """The first share over the second; infinite where the second is zero, so that such a replicate is not lost.

    A count may be moved below zero, and no share is: it counts as zero.
    """
    first, second = np.moveaxis(np.maximum(_shares(counts, neurons), 0.0), -1, 0)
    return np.nan_to_num(_ratio_or_nan(first, second), nan=np.inf)


def _growth(counts: Floats, neurons: Floats) -> Floats:
    """(..., layer)."""
    return np.asarray(_layer_shares(_over_checkpoints(counts, (-1, 1)), neurons)[..., 0, :])


def _contrast(counts: Floats, neurons: Floats) -> Floats:
    """Growth of the deeper half of the layers minus growth of the shallower half, mean over groups."""
    shallow, deep = (_difference(counts[..., half], neurons[..., half]) for half in _halves(counts.shape[-1]))
    return np.asarray(deep - shallow)


def _halves(layers: int) -> tuple[slice, slice]:
    half = layers // 2
    return slice(0, half), slice(layers - half, layers)


def _rank_correlation(counts: Floats, neurons: Floats) -> Floats:
    """Spearman's correlation of layer number and growth; NaN where all layers tie."""
    growth = _growth(counts, neurons)
    if np.isnan(growth).any() or growth.shape[-1] < 2:
        return np.full(growth.shape[:-1], np.nan)
    # Equal growths of several partners differ by rounding; they must tie.
    ranks = stats.rankdata(np.round(growth, 12), axis=-1)
    ranks = ranks - ranks.mean(axis=-1, keepdims=True)
    depth = np.arange(growth.shape[-1]) - (growth.shape[-1] - 1) / 2
    scale = np.sqrt((ranks**2).sum(axis=-1) * (depth**2).sum())
    return _ratio_or_nan((ranks * depth).sum(axis=-1), scale)


def _layer_cells(table: UniversalityTable) -> Floats:
    """(layer, partner layer): how many neurons have their best partner there; square, to compare layers."""
    layer, partner = (table.frame[name].to_numpy(dtype=np.int64) for name in ("layer", "partner_layer"))
    layers = max(int(layer.max(initial=-1)), int(partner.max(initial=-1))) + 1
    defined = partner >= 0
    cells = np.bincount(layer[defined] * layers + partner[defined], minlength=layers**2)
    return cells.reshape(layers, layers).astype(np.float64)


def _depth_terms(shares: Floats, within: int) -> tuple[Floats, Floats]:
    """Mass near the diagonal of (..., layer, partner layer), and its mean over permutations of the partner layers."""
    near = _near(shares.shape[-2], shares.shape[-1], within)
    mass = np.einsum("...xy,xy->...", shares, near)
    expected = np.einsum("...x,...y,xy->...", shares.sum(axis=-1), shares.sum(axis=-2), near)
    return mass, expected


def _near(layers: int, partner_layers: int, within: int) -> Floats:
    distance = np.abs(np.arange(layers)[:, None] - np.arange(partner_layers)[None, :])
    return np.asarray(distance <= within, dtype=np.float64)


def _ratio_or_nan(numerator: Floats, denominator: Floats) -> Floats:
    """numerator / denominator; NaN where the denominator is 0, because a share of nothing is not a number."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    undefined = np.full(numerator.shape, np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=denominator != 0))


def _sd(values: Floats) -> float:
    """Sample standard deviation (ddof 1); NaN for fewer than two values."""
    return float(np.std(values, ddof=1)) if values.size > 1 else float("nan")
