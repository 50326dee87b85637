"""Effects of ablating sets of neurons, and their comparison with the effects of random sets.

The effect of a set is a mean over scored predictions, in nats: the KL divergence of the ablated from the clean output
distribution, or the increase of the cross-entropy loss (Nandan et al. 2025 v1, section 3).  A random kind of set is
known by a handful of draws only, so every comparison with one has an interval over two things at once: the token blocks
(bootstrap-t of the difference per block, so that what all sets have in common cancels) and the draws.

Over the draws the interval is parametric.  Among 20 draws the largest exceeds the true 95th percentile with probability
0.64 only, so resampling the draws would call far too many sets extreme.  The effects of the draws are taken as normal
(their logarithms for ratios), and mean and deviation as known from n draws: generalised pivots (Weerahandi 1993, JASA
88, 899-905), which for normal draws are the exact one-sided tolerance limits (Krishnamoorthy & Mathew 2009, Statistical
Tolerance Regions, chapter 2).

Every function raises :class:`SetMissing` for a set that the table does not have, and returns a missing measurement for
an empty set unless it says otherwise.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Literal, NamedTuple, assert_never

import numpy as np
import pandas as pd

from universal_neurons.errors import NotOnSuite, TooFewNeurons
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.ablation_table import AblationTable, AnyKind, Quantity, SetKind, SetMissing, SetOf
from universal_neurons.measures.arrays import quotient
from universal_neurons.measures.cache import cached
from universal_neurons.measures.controls import rank_beyond_chance
from universal_neurons.measures.intervals import (
    block_weights,
    normal_quantile,
    percentile_interval,
    student_quantile,
    studentised_replicates,
)
from universal_neurons.measures.joint import weakest, with_details

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from universal_neurons.measures.arrays import Floats, Integers
    from universal_neurons.measures.tables import Resampling

NATS = "nats"
RATIO = "ratio"
DRAWS = "sd of draws"

Per = Literal["set", "neuron", "norm"]
# How often one of 20 normal draws has a standing that is significantly above the 95th percentile of the others.
ABOVE_PERCENTILE = 0.01


@cached
def effect(
    table: AblationTable, which: SetOf, kind: AnyKind = SetKind.UNIVERSAL, *, quantity: Quantity = Quantity.KL
) -> Measurement:
    """The effect of ablating one kind of set: the mean over predictions, of a random kind also over its draws.

    Interval: bootstrap-t over token blocks (:func:`intervals.studentised_replicates`).  Details: ``size``, ``norm``,
    ``per_neuron``, ``per_norm`` (NaN for an empty set, whose effect is exactly 0); of a random kind ``draws``,
    ``draws_low``, ``draws_high`` (the smallest and largest draw) and ``draws_sd``.
    """
    rows = table.rows(which, kind)
    effects = _effects(table, rows, quantity)
    mean = _mean(effects)
    size, norm = _mean_of(table, rows, "size"), _mean_of(table, rows, "norm")
    details = {
        "size": size,
        "norm": norm,
        "per_neuron": quotient(mean.value, size),
        "per_norm": quotient(mean.value, norm),
    }
    return _measured(table, mean, details=details | _draw_details(effects.values, kind))


@cached
def standing(
    table: AblationTable,
    which: SetOf,
    against: AnyKind = SetKind.LAYER_MATCHED,
    *,
    of: AnyKind = SetKind.UNIVERSAL,
    quantity: Quantity = Quantity.KL,
    per: Per = "set",
) -> Measurement:
    """The standing of a set among random draws: by how many of their standard deviations its effect exceeds their mean.

    With the effect U of the set and effects of mean m and standard deviation s (ddof 1) of n draws: (U - m) / s, which
    is above the 95th percentile of normal draws at 1.64, below their mean at 0.  Interval: in replicate r of the token
    blocks (U - m)_r / (s_r q_r) - Z_r / sqrt(n), with q_r = sqrt((n-1)/chi2_r) of n - 1 degrees of freedom and Z_r
    standard normal: token noise and how little n draws say about their distribution, together (see the module).  A set
    that is itself one more draw comes out significantly above 1.64 in about 1 of 100 cases with 20 draws, and
    significantly below 0 in about a third.

    Where ``of`` is a random kind, the mean of its draws takes the place of the set.  Details: ``effect``,
    ``draws_mean``, ``draws_sd``, ``percentile`` (the 95th of normal draws), ``draws``, ``rank`` (the share of draws
    below the set), ``ratio`` (effect over draws_mean), ``size``, ``norm``, ``draws_size`` and ``draws_norm``;
    ``error_tokens`` and ``error_draws``, the standard errors that tokens and draws leave, each alone.  Missing also
    where the draws do not differ.
    """
    own, drawn = table.rows(which, of), table.rows(which, against)
    if _is_empty(table, own, per) or _is_empty(table, drawn, per):
        return _missing(table, DRAWS)
    set_, draws = _mean(_effects(table, own, quantity, per=per)), _effects(table, drawn, quantity, per=per)
    sizes = {
        "size": _mean_of(table, own, "size"),
        "norm": _mean_of(table, own, "norm"),
        "draws_size": _mean_of(table, drawn, "size"),
        "draws_norm": _mean_of(table, drawn, "norm"),
    }
    return _standing(table, set_, draws, sizes)


def weakest_standing(
    table: AblationTable,
    which: SetOf,
    against: AnyKind = SetKind.LAYER_MATCHED,
    *,
    quantities: Iterable[Quantity] = (Quantity.KL,),
    per: Iterable[Per] = ("set",),
) -> Measurement:
    """The smallest :func:`standing` over several quantities and scales: the set stands out by all of them."""
    return weakest(
        {
            f"{quantity.value}_per_{scale}": standing(table, which, against, quantity=quantity, per=scale)
            for quantity, scale in product(quantities, per)
        }
    )


@cached
def single_draws(
    table: AblationTable,
    which: SetOf,
    kind: AnyKind,
    *,
    quantities: Sequence[Quantity] = (Quantity.KL,),
    per: Sequence[Per] = ("set",),
) -> Measurement:
    """Each draw of a random kind in the place of the set, judged by the others: a control of :func:`weakest_standing`.

    The draws are left out one by one, as a set is that was never drawn.  Of their standings the one that is returned
    has a rank that chance hardly reaches (:func:`controls.rank_beyond_chance`), so that it satisfies a criterion where
    more draws do than its error rate allows, and not where one of twenty does.  Details as :func:`standing`, without
    sizes, and ``satisfying_rank``.
    """
    rows = table.rows(which, kind)
    if any(_is_empty(table, rows, scale) for scale in per):
        return _missing(table, DRAWS)
    parts = {
        f"{quantity.value}_per_{scale}": _effects(table, rows, quantity, per=scale)
        for quantity, scale in product(quantities, per)
    }
    rank = rank_beyond_chance(rows.size, ABOVE_PERCENTILE, level=table.resampling.level)
    draw, rest = _left_out(table, parts, rank)
    judged = {name: _standing(table, _mean(effects.of([draw])), effects.of(rest)) for name, effects in parts.items()}
    return with_details(weakest(judged), satisfying_rank=float(rank))


@cached
def single_draw_contrast(table: AblationTable, which: SetOf, kind: SetKind) -> Measurement:
    """The weakest :func:`contrast` over all quantities of a single draw with the others, of a rank as single_draws'."""
    rows, level = table.rows(which, kind), table.resampling.level
    if _is_empty(table, rows):
        return _missing(table)
    parts = {quantity.value: _effects(table, rows, quantity) for quantity in Quantity}
    draw, rest = _left_out(table, parts, rank_beyond_chance(rows.size, (1 - level) / 2, level=level))
    return weakest(
        {
            name: _measured(table, _minus(_mean(effects.of([draw])), _further(effects.of(rest), table.resampling)))
            for name, effects in parts.items()
        }
    )


@cached
def single_draw_ratio(table: AblationTable, which: SetOf, kind: SetKind) -> Measurement:
    """The :func:`effect_ratio` of the other draws of a kind to a single one, of a rank as single_draws'.

    One draw seldom has several times the effect of the others: not in 1 of 100 cases.
    """
    rows = table.rows(which, kind)
    if _is_empty(table, rows):
        return _missing(table, RATIO)
    effects = _effects(table, rows, Quantity.KL)
    rank = rank_beyond_chance(rows.size, ABOVE_PERCENTILE, level=table.resampling.level)
    draw, rest = _left_out(table, {"kl": effects}, rank)
    return _ratio(table, effects.of(rest), effects.of([draw]))


def _left_out(table: AblationTable, parts: Mapping[str, _Effects], rank: int) -> tuple[int, Integers]:
    """The draw whose smallest standing among the others has ``rank`` from above, and the other draws."""
    count = next(iter(parts.values())).values.size
    if count < 3:
        raise SetMissing(f"{table}: {count} draws; expected at least 3, to leave one out")
    values = np.min([_left_out_standings(effects.values) for effects in parts.values()], axis=0)
    draw = int(np.argsort(values)[-rank])
    return draw, np.delete(np.arange(count), draw)


@cached
def contrast(
    table: AblationTable,
    which: SetOf,
    against: AnyKind,
    *,
    quantity: Quantity = Quantity.KL,
) -> Measurement:
    """The effect of the universal neurons minus the effect of another kind of set, paired over tokens.

    The effect of a random kind is the mean of its draws, its interval the interval of one further draw: mean_r + sd_r
    sqrt((n-1)/chi2_r) (Z_r/sqrt(n) + Z'_r).  So the interval excludes 0 only where the set differs from what any single
    draw could have been; half of all sets exceed the mean of draws.  Details: ``effect``, ``other``, ``size``,
    ``other_size``.
    """
    rows = table.rows(which, SetKind.UNIVERSAL), table.rows(which, against)
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
    table: AblationTable, which: SetOf, against: SetKind, *, of: SetKind = SetKind.UNIVERSAL
) -> Measurement:
    """The effect of one kind of set over the effect of another, by the KL divergence.

    As :func:`contrast`, on the logarithms: a random kind enters with the mean of its draws and with the interval of
    one further draw, whose logarithm is taken as normal.  Missing also where an effect, of any draw or in any
    replicate, is not positive: a ratio to nothing is not a number.  Details: ``effect``, ``other``.
    """
    rows = table.rows(which, of), table.rows(which, against)
    if any(_is_empty(table, row) for row in rows):
        return _missing(table, RATIO)
    return _ratio(table, *(_effects(table, row, Quantity.KL) for row in rows))


def _ratio(table: AblationTable, *effects: _Effects) -> Measurement:
    if any((kind.values <= 0).any() or (kind.replicates <= 0).any() for kind in effects):
        return _missing(table, RATIO)
    means = [float(kind.values.mean()) for kind in effects]
    top, bottom = (_further(kind.logarithms, table.resampling, stream) for stream, kind in enumerate(effects))
    replicates = np.exp(_replicates(table, _minus(top, bottom)))
    return _of_replicates(table, means[0] / means[1], replicates, RATIO, {"effect": means[0], "other": means[1]})


def first_layer_ratio(
    tables: Mapping[str, AblationTable],
    which: SetOf,
    kind: SetKind = SetKind.UNIVERSAL,
    *,
    per: Per = "set",
    draw: int | None = None,
) -> Measurement:
    """The KL of ablating layer 0 alone over the largest KL of any deeper layer alone, over the reference models.

    E_0 / max over l > 0 of E_l of each model whose layer 0 has such neurons; value and interval are the geometric mean
    and Student's t over the logarithms.  Per neuron every layer is divided by its own size.  Of a random kind one
    ``draw`` of every layer is meant, or the mean of the draws.  The details are in :func:`_over_references`.
    """

    def ratio(table: AblationTable) -> float:
        effects = {layer: _layer_effect(table, which.in_layer(layer), kind, per, draw) for layer in table.layers(which)}
        deeper = [effect for layer, effect in effects.items() if layer > 0 and effect is not None]
        first = effects.get(0)
        return math.nan if first is None or not deeper else first / max(deeper)

    return _over_references(tables, which, ratio)


def first_layer_over_random(
    tables: Mapping[str, AblationTable], which: SetOf, *, draw: int | None = None
) -> Measurement:
    """The KL of ablating layer 0 alone over the mean KL of as many other neurons of layer 0, over the reference models.

    As :func:`first_layer_ratio`; with ``draw`` one draw of the others takes the place of the universal neurons, and the
    mean is of the rest.
    """

    def ratio(table: AblationTable) -> float:
        own, drawn = (_layer_values(table, which.in_layer(0), k) for k in (SetKind.UNIVERSAL, SetKind.LAYER_MATCHED))
        if own is None or drawn is None:
            return math.nan
        return float(own[0] / drawn.mean() if draw is None else drawn[draw] / np.delete(drawn, draw).mean())

    return _over_references(tables, which, ratio)


def single_draws_of_first_layer(
    tables: Mapping[str, AblationTable], which: SetOf, kind: SetKind, ratio: Callable[[int], Measurement]
) -> Measurement:
    """Of the ``ratio`` with each draw of a random kind in the place of the universal neurons, one as single_draws'.

    It has the rank that chance hardly reaches; missing where the ratio of any draw is.
    """
    count = min(table.rows(which.in_layer(0), kind).size for table in tables.values())
    drawn = [ratio(draw) for draw in range(count)]
    if any(one.is_missing for one in drawn):
        return Measurement.missing(over=Over.MODELS, unit=RATIO)
    level = next(iter(tables.values())).resampling.level
    return sorted(drawn, key=lambda one: one.value)[-rank_beyond_chance(count, (1 - level) / 2, level=level)]


# Fewer neurons are single ones: what they do says nothing about the layer's universal neurons.
FEWEST_NEURONS = 10


def _over_references(
    tables: Mapping[str, AblationTable], which: SetOf, ratio: Callable[[AblationTable], float]
) -> Measurement:
    """The geometric mean of ``ratio`` over the models whose layer 0 has universal neurons, with Student's t interval.

    Details: ``neurons``, the universal neurons of layer 0 of all models together; ``lowest`` and ``highest`` of the
    ratios.  Raises :class:`TooFewNeurons` where these are fewer than :data:`FEWEST_NEURONS`, and NotOnSuite with fewer
    than three models; missing where a ratio is not positive.
    """
    first = which.in_layer(0)
    sizes = {name: _mean_of(of, of.rows(first, SetKind.UNIVERSAL), "size") for name, of in tables.items()}
    neurons = int(sum(sizes.values()))
    if neurons < FEWEST_NEURONS:
        raise TooFewNeurons(f"layer 0 of {len(tables)} models", neurons, FEWEST_NEURONS)
    values = np.array([ratio(tables[name]) for name, size in sizes.items() if size])
    if values.size < 3:
        raise NotOnSuite(f"expected three models with universal neurons in layer 0, got {values.size}")
    if not (values > 0).all():
        return Measurement.missing(n=values.size, over=Over.MODELS, unit=RATIO)
    logarithms, level = np.log(values), next(iter(tables.values())).resampling.level
    centre = float(logarithms.mean())
    error = float(logarithms.std(ddof=1)) / math.sqrt(values.size)
    reach = student_quantile(level, values.size) * error
    value, low, high = (math.exp(centre + part) for part in (0.0, -reach, reach))
    details = {"neurons": float(neurons), "lowest": float(values.min()), "highest": float(values.max())}
    return Measurement(value, low, high, values.size, Over.MODELS, level, RATIO, details)


def _layer_values(table: AblationTable, which: SetOf, kind: SetKind, per: Per = "set") -> Floats | None:
    """The KL of each set of a kind (draw,); None where nothing was ablated."""
    rows = table.rows(which, kind)
    return None if _is_empty(table, rows, per) else _values(table, rows, Quantity.KL, per)[0]


def _layer_effect(table: AblationTable, which: SetOf, kind: SetKind, per: Per, draw: int | None) -> float | None:
    values = _layer_values(table, which, kind, per)
    return None if values is None else float(values.mean() if draw is None else values[draw])


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
def dose_curve(table: AblationTable, which: SetOf) -> pd.DataFrame:
    """The KL divergence of ablating a growing fraction of the universal neurons, in several random orders (F6).

    Columns: fraction, orders, size, value (mean over orders), low, high (over tokens), orders_low, orders_high.
    """
    rows = []
    for fraction in table.fractions(which):
        orders = table.rows(replace(which, fraction=fraction), SetKind.UNIVERSAL)
        effects = _effects(table, orders, Quantity.KL)
        mean = _measured(table, _mean(effects))
        ends = {"value": mean.value, "low": mean.low, "high": mean.high}
        ends |= {"orders_low": float(effects.values.min()), "orders_high": float(effects.values.max())}
        rows.append({"fraction": fraction, "orders": orders.size, "size": _mean_of(table, orders, "size"), **ends})
    return pd.DataFrame(rows)


class _Effects(NamedTuple):
    """The effects of several sets: (row,), per token block (row, block), and in replicates of the blocks.

    ``blocks`` are linearised, so that their plain mean is the mean over predictions.
    """

    values: Floats
    blocks: Floats
    replicates: Floats  # (resample, row)

    def of(self, rows: Integers | list[int]) -> _Effects:
        """The effects of some of the sets."""
        return _Effects(self.values[rows], self.blocks[rows], self.replicates[:, rows])

    @property
    def logarithms(self) -> _Effects:
        """The logarithms of the effects, to first order in every block."""
        values = np.log(self.values)
        blocks = values[:, None] + self.blocks / self.values[:, None] - 1
        return _Effects(values, blocks, np.log(self.replicates))


class _Effect(NamedTuple):
    """A value, its token blocks (block,), and what the draws add in every replicate (resample,)."""

    value: float
    blocks: Floats
    noise: Floats


def _effects(table: AblationTable, rows: Integers, quantity: Quantity, *, per: Per = "set") -> _Effects:
    values, effects = _values(table, rows, quantity, per)
    predictions = table.predictions.astype(np.float64)
    blocks = values[:, None] + (effects - values[:, None]) * (predictions / predictions.mean())
    weights, total = _weights_of_predictions(table)
    return _Effects(values, blocks, weights @ effects.T / total)


def _values(table: AblationTable, rows: Integers, quantity: Quantity, per: Per) -> tuple[Floats, Floats]:
    """The effects of several sets (row,), and per token block (row, block)."""
    effects = table.blocks(quantity)[rows].astype(np.float64) / _scale(table, rows, per)[:, None]
    predictions = table.predictions.astype(np.float64)
    # The same division of the same sums gives value and replicates: with equal blocks no interval misses its value.
    return effects @ predictions / predictions.sum(), effects


@lru_cache(maxsize=8)
def _weights_of_predictions(table: AblationTable) -> tuple[Floats, Floats]:
    """The weight of each block in each replicate (resample, block), and their sum (resample, 1)."""
    weights = _weights(table) * table.predictions.astype(np.float64)
    return weights, weights.sum(axis=1, keepdims=True)


def _weights(table: AblationTable) -> Floats:
    resampling = table.resampling
    return block_weights(table.predictions.size, resamples=resampling.resamples, seed=resampling.seed)


def _scale(table: AblationTable, rows: Integers, per: Per) -> Floats:
    match per:
        case "set":
            return np.ones(rows.size)
        case "neuron":
            return table.column("size")[rows]
        case "norm":
            return table.column("norm")[rows]
        case _:
            assert_never(per)


def _mean(effects: _Effects) -> _Effect:
    """A set as it is, or the mean of draws, over tokens alone."""
    return _Effect(float(effects.values.mean()), np.asarray(effects.blocks.mean(axis=0)), np.zeros(1))


def _further(effects: _Effects, resampling: Resampling, stream: int = 0) -> _Effect:
    """A set as it is, or one further draw of a random kind, of which the mean is expected."""
    mean = _mean(effects)
    draws = effects.values.size
    if draws < 2:
        return mean
    pivots = _pivots(draws, resampling, stream)
    spread = effects.replicates.std(axis=1, ddof=1) * pivots.scale
    return mean._replace(noise=spread * (pivots.mean / np.sqrt(draws) + pivots.further))


def _standing(
    table: AblationTable, set_: _Effect, draws: _Effects, sizes: Mapping[str, float] | None = None
) -> Measurement:
    count = draws.values.size
    mean, sd = float(draws.values.mean()), float(draws.values.std(ddof=1))
    spread = draws.replicates.std(axis=1, ddof=1)
    if not sd > 0 or not (spread > 0).all():
        return _missing(table, DRAWS)
    pivots = _pivots(count, table.resampling, 0)
    distances = _replicates(table, _minus(set_, _mean(draws)))
    value = (set_.value - mean) / sd
    replicates = distances / (spread * pivots.scale) - pivots.mean / np.sqrt(count)
    details = {
        "effect": set_.value,
        "draws_mean": mean,
        "draws_sd": sd,
        "percentile": mean + normal_quantile(0.9) * sd,
        "draws": float(count),
        "rank": float(np.mean(draws.values < set_.value)),
        "ratio": quotient(set_.value, mean),
        "error_tokens": float((distances / sd).std()),
        "error_draws": float((value / pivots.scale - pivots.mean / np.sqrt(count)).std()),
    }
    return _of_replicates(table, value, replicates, DRAWS, details | dict(sizes or {}))


def _left_out_standings(values: Floats) -> Floats:
    """The standing of each draw among the others (draw,); infinite or NaN where these do not differ."""
    others = values.size - 1
    means = (values.sum() - values) / others
    squares = ((values - values.mean()) ** 2).sum() - (values - values.mean()) ** 2 * (1 + 1 / others)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((values - means) / np.sqrt(np.maximum(squares, 0.0) / (others - 1)))


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


def _minus(x: _Effect, y: _Effect) -> _Effect:
    return _Effect(x.value - y.value, x.blocks - y.blocks, x.noise - y.noise)


def _replicates(table: AblationTable, effect: _Effect) -> Floats:
    return studentised_replicates(effect.blocks, _weights(table)) + effect.noise


def _measured(table: AblationTable, effect: _Effect, details: Mapping[str, float] | None = None) -> Measurement:
    return _of_replicates(table, effect.value, _replicates(table, effect), NATS, details)


def _of_replicates(
    table: AblationTable, value: float, replicates: Floats, unit: str, details: Mapping[str, float] | None
) -> Measurement:
    level = table.resampling.level
    low, high = percentile_interval(value, replicates, level=level)
    return Measurement(value, low, high, table.predictions.size, Over.TOKEN_BLOCKS, level, unit, dict(details or {}))


def _missing(table: AblationTable, unit: str = NATS) -> Measurement:
    return Measurement.missing(n=table.predictions.size, over=Over.TOKEN_BLOCKS, unit=unit)


def _draw_details(values: Floats, kind: AnyKind) -> dict[str, float]:
    if not kind.is_random:
        return {"draws": 1.0}
    ends = {"draws_low": float(values.min()), "draws_high": float(values.max())}
    return {"draws": float(values.size), **ends, "draws_sd": float(values.std(ddof=1))}


def _is_empty(table: AblationTable, rows: Integers, per: Per = "set") -> bool:
    """True if nothing was ablated, or if an effect would be divided by 0."""
    return not table.column("size")[rows].any() or not _scale(table, rows, per).all()


def _mean_of(table: AblationTable, rows: Integers, column: str) -> float:
    return float(table.column(column)[rows].mean())
