"""Effects of ablating sets of neurons, and their comparison with the effects of random sets.

The effect of a set is a mean over scored predictions, in nats: the KL divergence of the ablated from the clean output
distribution, or the increase of the cross-entropy loss (Nandan et al. 2025 v1, section 3).  A random kind of set is
known by a handful of draws only, so every comparison with one has an interval over two things at once: the token blocks
(bootstrap, the same weights for every set, so that what all sets have in common cancels) and the draws.

Over the draws the interval is parametric.  Among 20 draws the largest exceeds the true 95th percentile with probability
0.64 only, so resampling the draws would call far too many sets extreme.  The effects of the draws are taken as normal
(their logarithms for ratios), and mean and deviation as known from n draws: generalised pivots (Weerahandi 1993, JASA
88, 899-905), which for normal draws are the exact one-sided tolerance limits (Krishnamoorthy & Mathew 2009, Statistical
Tolerance Regions, chapter 2).

Every function raises :class:`SetMissing` for a set that the table does not have, and returns a missing measurement for
an empty set unless it says otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Literal, NamedTuple, assert_never

import numpy as np
import pandas as pd
import scipy

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.ablation_table import AblationTable, AnyKind, Quantity, SetKind, SetMissing, SetOf
from universal_neurons.measures.cache import cached
from universal_neurons.measures.intervals import block_weights, percentile_interval
from universal_neurons.measures.joint import weakest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from universal_neurons.measures.arrays import Floats, Integers
    from universal_neurons.measures.tables import Resampling

NATS = "nats"
RATIO = "ratio"
# The catalogue's rule N14: an effect counts as more than random above the 95th percentile of random draws.
PERCENTILE = 0.95
# The random kinds that the rule N14 compares with: of the same size, and of the same size in every layer.
MATCHED = (SetKind.RANDOM_OTHERS, SetKind.LAYER_MATCHED)

Per = Literal["set", "neuron", "norm"]


@cached
def effect(
    table: AblationTable, which: SetOf, kind: AnyKind = SetKind.UNIVERSAL, *, quantity: Quantity = Quantity.KL
) -> Measurement:
    """The effect of ablating one kind of set: the mean over predictions, of a random kind also over its draws.

    Interval: percentile of the block bootstrap over tokens.  Details: ``size``, ``norm``, ``per_neuron``, ``per_norm``
    (NaN for an empty set, whose effect is exactly 0); of a random kind ``draws``, ``draws_low``, ``draws_high`` (the
    smallest and largest draw) and ``draws_sd``.
    """
    rows = table.rows(which, kind)
    effects = _effects(table, rows, quantity)
    mean = _mean(effects)
    size, norm = _mean_of(table, rows, "size"), _mean_of(table, rows, "norm")
    details = {"size": size, "norm": norm, "per_neuron": _over(mean.value, size), "per_norm": _over(mean.value, norm)}
    return _measured(table, mean, details=details | _draw_details(effects.values, kind))


@cached
def effect_over_random(
    table: AblationTable,
    which: SetOf,
    against: AnyKind = SetKind.RANDOM_OTHERS,
    *,
    of: AnyKind = SetKind.UNIVERSAL,
    quantity: Quantity = Quantity.KL,
) -> Measurement:
    """The effect of a set minus the 95th percentile of the effects of random draws: above 0 it is more than random.

    With the effect U of the set and the effects D of the draws: U - quantile(D, 0.95), the quantile interpolated
    linearly between draws.  Interval: in replicate r of the token blocks, U_r - (mean_r + sd_r sqrt((n-1)/chi2_r)
    (z_0.95 + Z_r/sqrt(n))), with chi2_r of n - 1 degrees of freedom and Z_r standard normal: token noise and how little
    n draws say about their 95th percentile, together (see the module).  A set that is itself one more draw comes out
    significantly above 0 in about 1 of 100 cases with 20 draws, not in 5.

    Where ``of`` is a random kind, the mean of its draws takes the place of the set; where it is the kind ``against``
    which it is judged, the draws of even number take it and the odd ones judge.  Details: ``effect``, ``percentile``,
    ``draws_mean``, ``draws_sd``, ``draws``, ``rank`` (the share of draws below the set), ``ratio`` (effect over
    draws_mean), ``size``, ``norm``, ``draws_size`` and ``draws_norm``.
    """
    own, drawn = table.rows(which, of), table.rows(which, against)
    if of is against:
        own, drawn = own[::2], drawn[1::2]
        if drawn.size < 2:
            raise SetMissing(
                f"{table}: {2 * drawn.size} draws of {of.value} {which}; expected at least 4 for two halves"
            )
    if _is_empty(table, own) or _is_empty(table, drawn):
        return _missing(table)
    set_, draws = _mean(_effects(table, own, quantity)), _effects(table, drawn, quantity)
    percentile = _percentile(draws, table.resampling)
    mean = float(draws.values.mean())
    details = {
        "effect": set_.value,
        "percentile": percentile.value,
        "draws_mean": mean,
        "draws_sd": float(draws.values.std(ddof=1)),
        "draws": float(draws.values.size),
        "rank": float(np.mean(draws.values < set_.value)),
        "ratio": _over(set_.value, mean),
        "size": _mean_of(table, own, "size"),
        "norm": _mean_of(table, own, "norm"),
        "draws_size": _mean_of(table, drawn, "size"),
        "draws_norm": _mean_of(table, drawn, "norm"),
    }
    return _measured(table, _minus(set_, percentile), details=details)


@cached
def effect_over_each(
    table: AblationTable,
    which: SetOf,
    against: Iterable[SetKind] = MATCHED,
    *,
    of: SetKind | None = SetKind.UNIVERSAL,
    quantities: Iterable[Quantity] = (Quantity.KL,),
) -> Measurement:
    """The weakest :func:`effect_over_random` over several random kinds and quantities: the set exceeds them all.

    Without ``of``, one half of the draws of each kind takes the place of the set, and the other half judges it.
    """
    return weakest(
        {
            f"{quantity.value}_{kind.value}": effect_over_random(table, which, kind, of=of or kind, quantity=quantity)
            for quantity, kind in product(quantities, against)
        }
    )


@cached
def contrast(
    table: AblationTable,
    which: SetOf,
    against: AnyKind,
    *,
    of: AnyKind = SetKind.UNIVERSAL,
    quantity: Quantity = Quantity.KL,
) -> Measurement:
    """The effect of one kind of set minus the effect of another, paired over tokens.

    The effect of a random kind is the mean of its draws, its interval the interval of one further draw: mean_r + sd_r
    sqrt((n-1)/chi2_r) (Z_r/sqrt(n) + Z'_r).  So the interval excludes 0 only where the set differs from what any single
    draw could have been; half of all sets exceed the mean of draws.  Details: ``effect``, ``other``, ``size``,
    ``other_size``.
    """
    rows = table.rows(which, of), table.rows(which, against)
    if any(_is_empty(table, row) for row in rows):
        return _missing(table)
    own, other = (_further(_effects(table, row, quantity), table.resampling, stream) for stream, row in enumerate(rows))
    details = {
        "effect": own.value,
        "other": other.value,
        "size": _mean_of(table, rows[0], "size"),
        "other_size": _mean_of(table, rows[1], "size"),
    }
    return _measured(table, _minus(own, other), details=details)


@cached
def effect_ratio(
    table: AblationTable,
    which: SetOf,
    against: SetKind,
    *,
    of: SetKind = SetKind.UNIVERSAL,
    per: Per = "set",
    quantity: Quantity = Quantity.KL,
) -> Measurement:
    """The effect of one kind of set over the effect of another: as it is, per neuron, or per unit of norm removed.

    As :func:`contrast`, on the logarithms: a random kind enters with the mean of its draws and with the interval of
    one further draw, whose logarithm is taken as normal.  Missing also where an effect, of any draw or in any
    replicate, is not positive: a ratio to nothing is not a number.  Details: ``effect``, ``other``.
    """
    rows = table.rows(which, of), table.rows(which, against)
    if any(_is_empty(table, row, per) for row in rows):
        return _missing(table, RATIO)
    effects = [_effects(table, row, quantity, per=per) for row in rows]
    if any((kind.values <= 0).any() or (kind.replicates <= 0).any() for kind in effects):
        return _missing(table, RATIO)
    means = [float(kind.values.mean()) for kind in effects]
    logarithms = [_Effects(np.log(kind.values), np.log(kind.replicates)) for kind in effects]
    top, bottom = (_further(kind, table.resampling, stream) for stream, kind in enumerate(logarithms))
    ratio = _Effect(means[0] / means[1], np.exp(top.replicates - bottom.replicates))
    return _measured(table, ratio, RATIO, {"effect": means[0], "other": means[1]})


@cached
def first_layer_ratio(
    table: AblationTable,
    which: SetOf,
    kind: SetKind = SetKind.UNIVERSAL,
    *,
    per: Per = "set",
    quantity: Quantity = Quantity.KL,
) -> Measurement:
    """The effect of layer 0 alone over the largest effect of any deeper layer alone: E_0 / max over l > 0 of E_l.

    The largest is sought anew in every replicate of the token blocks.  Per neuron and per unit of norm every layer is
    divided by its own; of a random kind the mean of the draws is meant.  Details: ``layer_0``, ``size_0`` and so on.
    Missing where the set of layer 0 or the sets of all deeper layers are empty, or no deeper layer has a
    positive effect in every replicate; a single empty layer is left out.
    """
    layers = _layers(table, which, kind, quantity, per=per)
    first, deeper = _first_and_deeper(layers)
    if first is None or deeper is None or deeper.value <= 0 or (deeper.replicates <= 0).any():
        return _missing(table, RATIO)
    details = {f"layer_{layer}": of_layer.value for layer, of_layer in layers.items()}
    for layer in table.layers(which):
        details[f"size_{layer}"] = _mean_of(table, table.rows(which.in_layer(layer), kind), "size")
    return _measured(
        table, _Effect(first.value / deeper.value, first.replicates / deeper.replicates), RATIO, details=details
    )


@cached
def first_layer_margin(
    table: AblationTable, which: SetOf, factor: float, *, quantity: Quantity = Quantity.KL
) -> Measurement:
    """E_0 - ``factor`` times the largest effect of a deeper layer: :func:`first_layer_ratio` as a difference in nats.

    It exists for negative effects too, and can be combined with other differences.  Missing where the set of layer 0
    or the sets of all deeper layers are empty.
    """
    first, deeper = _first_and_deeper(_layers(table, which, SetKind.UNIVERSAL, quantity))
    if first is None or deeper is None:
        return _missing(table)
    return _measured(table, _minus(first, deeper, factor))


@cached
def negligible_margin(
    table: AblationTable, which: SetOf, against: SetKind, share: float, *, quantity: Quantity = Quantity.KL
) -> Measurement:
    """``share`` of the universal set's effect minus the effect of another kind: above 0 the other is negligible.

    The interval of a random kind is the interval of one further draw, as in :func:`contrast`.
    """
    own, drawn = table.rows(which, SetKind.UNIVERSAL), table.rows(which, against)
    if _is_empty(table, own) or _is_empty(table, drawn):
        return _missing(table)
    bound, other = _mean(_effects(table, own, quantity)), _further(_effects(table, drawn, quantity), table.resampling)
    return _measured(table, _minus(_Effect(share * bound.value, share * bound.replicates), other))


@cached
def perplexity_ratio(table: AblationTable, which: SetOf, kind: SetKind = SetKind.UNIVERSAL) -> Measurement:
    """The perplexity with the set ablated over the perplexity without: exp of the loss increase.

    Details: ``loss_increase``, ``clean_loss``, ``size``, ``share`` (of all neurons, where literally all others are a
    set too).
    """
    if _is_empty(table, table.rows(which, kind)):
        return _missing(table, RATIO)
    increase = effect(table, which, kind, quantity=Quantity.LOSS)
    size = increase.details["size"]
    details = {
        "loss_increase": increase.value,
        "clean_loss": float(np.average(table.clean_loss, weights=table.predictions)),
        "size": size,
    }
    if SetKind.OTHERS in table.kinds(which):
        both = (SetKind.UNIVERSAL, SetKind.OTHERS)
        details["share"] = size / sum(_mean_of(table, table.rows(which, part), "size") for part in both)
    value, low, high = (float(np.exp(end)) for end in (increase.value, increase.low, increase.high))
    return replace(increase, value=value, low=low, high=high, unit=RATIO, details=details)


@cached
def dose_curve(table: AblationTable, which: SetOf, *, quantity: Quantity = Quantity.KL) -> pd.DataFrame:
    """The effect of ablating a growing fraction of the universal neurons, in several random orders (F6).

    Columns: fraction, orders, size, value (mean over orders), low, high (over tokens), orders_low, orders_high.
    """
    rows = []
    for fraction in table.fractions(which):
        orders = table.rows(replace(which, fraction=fraction), SetKind.UNIVERSAL)
        effects = _effects(table, orders, quantity)
        mean = _measured(table, _mean(effects))
        ends = {"value": mean.value, "low": mean.low, "high": mean.high}
        ends |= {"orders_low": float(effects.values.min()), "orders_high": float(effects.values.max())}
        rows.append({"fraction": fraction, "orders": orders.size, "size": _mean_of(table, orders, "size"), **ends})
    return pd.DataFrame(rows)


class _Effects(NamedTuple):
    """The effects of several sets: (row,), and in every replicate of the token blocks (resample, row)."""

    values: Floats
    replicates: Floats


class _Effect(NamedTuple):
    """A value and its replicates (resample,)."""

    value: float
    replicates: Floats


@cached
def _effects(table: AblationTable, rows: Integers, quantity: Quantity, *, per: Per = "set") -> _Effects:
    effects = table.blocks(quantity)[rows].astype(np.float64)
    predictions = table.predictions.astype(np.float64)
    weights, totals = _weights(predictions, table.resampling)
    # The same division of the same sums gives value and replicates: with equal blocks no interval misses its value.
    values = effects @ predictions / predictions.sum()
    replicates = weights @ effects.T / totals
    scale = _scale(table, rows, per)
    return _Effects(values / scale, replicates / scale)


@cached
def _weights(predictions: Floats, resampling: Resampling) -> tuple[Floats, Floats]:
    """The predictions of every block in each replicate (resample, block), and their sums (resample, 1)."""
    weights = block_weights(predictions.size, resamples=resampling.resamples, seed=resampling.seed) * predictions
    return weights, weights.sum(axis=1, keepdims=True)


def _scale(table: AblationTable, rows: Integers, per: Per) -> Floats:
    match per:
        case "set":
            return np.ones(rows.size)
        case "neuron":
            return table.frame["size"].to_numpy(dtype=np.float64)[rows]
        case "norm":
            return table.frame["norm"].to_numpy(dtype=np.float64)[rows]
        case _:
            assert_never(per)


def _mean(effects: _Effects) -> _Effect:
    """A set as it is, or the mean of draws, over tokens alone."""
    return _Effect(float(effects.values.mean()), np.asarray(effects.replicates.mean(axis=1)))


def _further(effects: _Effects, resampling: Resampling, stream: int = 0) -> _Effect:
    """A set as it is, or one further draw of a random kind, of which the mean is expected."""
    mean = _mean(effects)
    draws = effects.values.size
    if draws < 2:
        return mean
    pivots = _pivots(draws, resampling, stream)
    spread = effects.replicates.std(axis=1, ddof=1) * pivots.scale
    return _Effect(mean.value, mean.replicates + spread * (pivots.mean / np.sqrt(draws) + pivots.further))


def _percentile(effects: _Effects, resampling: Resampling) -> _Effect:
    """The 95th percentile of the draws, with replicates of the percentile of the random kind."""
    draws = effects.values.size
    pivots = _pivots(draws, resampling, 0)
    spread = effects.replicates.std(axis=1, ddof=1) * pivots.scale
    above = float(scipy.stats.norm.ppf(PERCENTILE)) + pivots.mean / np.sqrt(draws)
    return _Effect(float(np.quantile(effects.values, PERCENTILE)), effects.replicates.mean(axis=1) + spread * above)


class _Pivots(NamedTuple):
    """Per replicate: standard normal error of the mean, sqrt((n-1)/chi2) of the deviation, and a further draw."""

    mean: Floats
    scale: Floats
    further: Floats


@lru_cache(maxsize=32)
def _pivots(draws: int, resampling: Resampling, stream: int) -> _Pivots:
    # Streams differ, because two random kinds are drawn independently; 1 keeps them apart from the block weights.
    generator = np.random.default_rng([resampling.seed, 1, stream])
    mean, further = generator.standard_normal((2, resampling.resamples))
    deviation = np.sqrt((draws - 1) / generator.chisquare(draws - 1, resampling.resamples))
    return _Pivots(mean, deviation, further)


def _minus(x: _Effect, y: _Effect, factor: float = 1.0) -> _Effect:
    return _Effect(x.value - factor * y.value, x.replicates - factor * y.replicates)


def _layers(
    table: AblationTable, which: SetOf, kind: SetKind, quantity: Quantity, *, per: Per = "set"
) -> dict[int, _Effect]:
    """The effect of each layer alone, without layers whose set is empty."""
    rows = {layer: table.rows(which.in_layer(layer), kind) for layer in table.layers(which)}
    return {
        layer: _mean(_effects(table, of_layer, quantity, per=per))
        for layer, of_layer in rows.items()
        if not _is_empty(table, of_layer, per)
    }


def _first_and_deeper(layers: Mapping[int, _Effect]) -> tuple[_Effect | None, _Effect | None]:
    """Layer 0 (A12), and the largest of the deeper layers, sought anew in every replicate."""
    deeper = [of_layer for layer, of_layer in layers.items() if layer > 0]
    if not deeper:
        return layers.get(0), None
    largest = _Effect(
        max(of_layer.value for of_layer in deeper), np.max([of_layer.replicates for of_layer in deeper], axis=0)
    )
    return layers.get(0), largest


def _measured(
    table: AblationTable, effect: _Effect, unit: str = NATS, details: Mapping[str, float] | None = None
) -> Measurement:
    level = table.resampling.level
    low, high = percentile_interval(effect.value, effect.replicates, level=level)
    blocks = table.predictions.size
    return Measurement(effect.value, low, high, blocks, Over.TOKEN_BLOCKS, level, unit, dict(details or {}))


def _missing(table: AblationTable, unit: str = NATS) -> Measurement:
    return Measurement.missing(n=table.predictions.size, over=Over.TOKEN_BLOCKS, unit=unit)


def _draw_details(values: Floats, kind: AnyKind) -> dict[str, float]:
    if not kind.is_random:
        return {"draws": 1.0}
    ends = {"draws_low": float(values.min()), "draws_high": float(values.max())}
    return {"draws": float(values.size), **ends, "draws_sd": float(values.std(ddof=1))}


def _is_empty(table: AblationTable, rows: Integers, per: Per = "set") -> bool:
    """True if nothing was ablated, or if an effect would be divided by 0."""
    return not table.frame["size"].to_numpy()[rows].any() or not _scale(table, rows, per).all()


def _mean_of(table: AblationTable, rows: Integers, column: str) -> float:
    return float(table.frame[column].to_numpy(dtype=np.float64)[rows].mean())


def _over(numerator: float, denominator: float) -> float:
    """numerator / denominator; NaN where the denominator is 0, because an effect per nothing is not a number."""
    return numerator / denominator if denominator else float("nan")
