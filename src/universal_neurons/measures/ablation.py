"""The numbers a claim may ask of ablations: what a model loses when a set of neurons is taken away.

The effect of a set is a mean over scored predictions, in nats: the KL divergence of the ablated from the clean output
distribution, or the increase of the cross-entropy loss (Nandan et al. 2025 v1, section 3).  A random kind of set is
known by a handful of draws only, so every comparison with one has an interval over two things at once: the token blocks
(bootstrap, the same weights for every set, so that what all sets have in common cancels) and the draws.

Over the draws the interval is parametric.  Among 20 draws the largest exceeds the true 95th percentile with probability
0.64 only, so resampling the draws would call far too many sets extreme.  The effects of the draws are taken as normal
(their logarithms where ratios are asked), and mean and deviation as known from n draws: generalised pivots (Weerahandi
1993, JASA 88, 899-905), which for normal draws are the exact one-sided tolerance limits (Krishnamoorthy & Mathew 2009,
Statistical Tolerance Regions, chapter 2).

This module refuses to know where a table comes from: no files, no models, no published numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from itertools import product
from typing import TYPE_CHECKING, Literal, NamedTuple, assert_never

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from universal_neurons.errors import NotOnSuite
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.intervals import block_weights, percentile_interval
from universal_neurons.measures.tables import Definition, Resampling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from universal_neurons.measures.arrays import Floats, Integers

NATS = "nats"
ALL_LAYERS = -1
# The catalogue's rule N14: an effect counts as more than random above the 95th percentile of random draws.
PERCENTILE = 0.95
_COLUMNS = ("partner", "definition", "threshold", "layer", "neurons", "draw", "mode", "fraction", "size", "norm")

Replacement = Literal["zero", "mean", "resample"]
Per = Literal["set", "neuron", "norm"]


class SetMissing(NotOnSuite):
    """A set of neurons that the suite's ablation stage does not ablate."""


class Quantity(StrEnum):
    """What is measured of an ablation; both in nats per prediction."""

    KL = "kl"  # KL(P || Q), P clean, Q ablated, over the whole vocabulary
    LOSS = "loss_increase"  # cross-entropy ablated minus clean; negative where the ablation helps


class SetKind(StrEnum):
    """Which neurons a set holds (design/claims.md, A4 and F5); the random kinds have the universal set's size."""

    UNIVERSAL = "universal"
    OTHERS = "others"  # literally all that are not universal
    TOP_NORM = "top_norm"  # those that write most: largest activation norm times output norm
    RANDOM_OTHERS = "random_others"  # drawn from the others
    LAYER_MATCHED = "layer_matched"  # drawn from the others, as many in every layer
    NORM_MATCHED = "norm_matched"  # drawn from the others, of like layer and norm
    RANDOM = "random"  # drawn from all neurons, as if the labels had been shuffled

    @property
    def is_random(self) -> bool:
        """Whether there are several draws of it."""
        return self not in (SetKind.UNIVERSAL, SetKind.OTHERS, SetKind.TOP_NORM)


class FamilyKind(StrEnum):
    """Kinds that divide the universal neurons by whether one token explains them (unigram neurons; catalogue, G20).

    In every layer the two kinds of a comparison are drawn in equal number: that of the smaller one.
    """

    UNIVERSAL_UNIGRAM = "universal_unigram"  # all that are both
    UNIGRAM_DRAWN = "unigram_drawn"  # drawn from these, against the next kind
    PLAIN_DRAWN = "plain_drawn"  # drawn from the universal ones that are not unigram neurons
    SHUFFLED_DRAWN = "shuffled_drawn"  # as many drawn from all universal ones, as if the families had been shuffled
    SHARED_DRAWN = "shared_drawn"  # drawn from the universal unigram ones, against the next kind
    UNSHARED_DRAWN = "unshared_drawn"  # drawn from the unigram neurons that are not universal

    @property
    def is_random(self) -> bool:
        """Whether there are several draws of it."""
        return self is not FamilyKind.UNIVERSAL_UNIGRAM


AnyKind = SetKind | FamilyKind
# What the catalogue's rule N14 matches: the size, and the size in every layer.
MATCHED = (SetKind.RANDOM_OTHERS, SetKind.LAYER_MATCHED)


@dataclass(frozen=True, slots=True)
class SetOf:
    """What a family of sets is made from: which neurons count as universal, where, and how they are ablated.

    ``layer`` is one layer, or ALL_LAYERS for all at once; ``fraction`` is below 1 in a dose curve.  Raises ValueError
    unless there is a partner exactly where the definition is per pair.
    """

    threshold: float
    partner: str | None = None
    definition: Definition = Definition.PAIR
    layer: int = ALL_LAYERS
    mode: Replacement = "zero"
    fraction: float = 1.0

    def __post_init__(self) -> None:
        if (self.definition is Definition.PAIR) != (self.partner is not None):
            raise ValueError(f"the definition {self.definition} does not go with partner {self.partner!r}")

    def in_layer(self, layer: int) -> SetOf:
        """The same sets, confined to one layer."""
        return replace(self, layer=layer)

    def __str__(self) -> str:
        against = f"against {self.partner}" if self.partner else f"by the definition {self.definition}"
        where = "in all layers" if self.layer == ALL_LAYERS else f"in layer {self.layer}"
        return f"at threshold {self.threshold:g} {against} {where} ({self.mode}, {self.fraction:.0%})"


# neurons, partner, definition, mode, threshold, fraction, layer: what tells a set from another, but for the draw.
_Key = tuple[str, str, str, str, float, float, int]
# Thresholds and fractions are stored in single precision: 0.6 is not found by comparing with 0.6.
_DIGITS = 6


def _key(which: SetOf, kind: AnyKind) -> _Key:
    words = (kind.value, which.partner or "", which.definition.value, which.mode)
    return (*words, round(which.threshold, _DIGITS), round(which.fraction, _DIGITS), which.layer)


@dataclass(frozen=True, eq=False)
class AblationTable:
    """The ablations of one model at one training step, one row of ``frame`` per ablated set.

    Columns of ``frame``: partner ("" unless per pair), definition, threshold, layer (-1: all at once), neurons (a
    :class:`SetKind`), draw (-1 where not random), mode, fraction, size, norm (the sum of what the set's neurons write:
    mean |activation| times the norm of the output weights).  ``kl`` and ``loss_increase`` (row, block) are means over
    the predictions of a token block, ``clean_loss`` (block,) the loss without ablation, ``predictions`` (block,) the
    weights.

    Raises ValueError where these do not fit together, or for an effect that is not a finite number.
    """

    reference: str
    step: int
    frame: pd.DataFrame
    kl: npt.NDArray[np.floating]
    loss_increase: npt.NDArray[np.floating]
    clean_loss: npt.NDArray[np.floating]
    predictions: npt.NDArray[np.integer]
    resampling: Resampling

    def __post_init__(self) -> None:
        missing = [column for column in _COLUMNS if column not in self.frame]
        if missing:
            raise ValueError(f"{self}: columns missing: {', '.join(missing)}")
        blocks = self.predictions.size
        if self.clean_loss.shape != (blocks,) or blocks == 0 or not (self.predictions > 0).all():
            raise ValueError(f"{self}: expected predictions and a clean loss in every token block")
        for quantity in Quantity:
            effects = self.blocks(quantity)
            if effects.shape != (len(self.frame), blocks):
                raise ValueError(
                    f"{self}: {quantity} has shape {effects.shape}; expected ({len(self.frame)}, {blocks})"
                )
            # A NaN would vanish in a sort of replicates; an ablation that overflowed is no result.
            if not np.isfinite(effects).all():
                rows = np.flatnonzero(~np.isfinite(effects).all(axis=1)).tolist()
                raise ValueError(f"{self}: {quantity} is not finite in row {', '.join(map(str, rows[:5]))}")

    def blocks(self, quantity: Quantity) -> npt.NDArray[np.floating]:
        """(row, block): the effect of every set on every token block."""
        return self.kl if quantity is Quantity.KL else self.loss_increase

    def rows(self, which: SetOf, kind: AnyKind) -> Integers:
        """The row numbers of ``kind``, in order of the draws; raises :class:`SetMissing` where there is none."""
        found = self._found.get(_key(which, kind), np.empty(0, dtype=np.int64))
        if not found.size:
            raise SetMissing(
                f"{self}: no set {kind.value} {which}; expected one that the suite's ablation stage computes:"
                " a threshold, partner and definition of the suite"
            )
        if kind.is_random and found.size < 2:
            raise SetMissing(
                f"{self}: one draw of {kind.value} {which}; expected several, [ablation] draws of the suite"
            )
        if not kind.is_random and which.fraction == 1 and found.size > 1:
            raise ValueError(f"{self}: {found.size} rows for one set {kind.value} {which}")
        return found

    def kinds(self, which: SetOf) -> tuple[SetKind, ...]:
        """The kinds of sets there are."""
        return tuple(kind for kind in SetKind if _key(which, kind) in self._found)

    def layers(self, which: SetOf) -> tuple[int, ...]:
        """The layers of which universal sets were ablated alone; raises :class:`SetMissing` where none was."""
        every = sorted({layer for *_, layer in self._found if layer != ALL_LAYERS})
        layers = tuple(layer for layer in every if _key(which.in_layer(layer), SetKind.UNIVERSAL) in self._found)
        if not layers:
            raise SetMissing(f"{self}: nothing ablated layer by layer {which}; expected the suite's own threshold")
        return layers

    def fractions(self, which: SetOf) -> tuple[float, ...]:
        """The fractions of the universal set that were ablated, ascending."""
        every = sorted({fraction for *_, fraction, _ in self._found})
        return tuple(one for one in every if _key(replace(which, fraction=one), SetKind.UNIVERSAL) in self._found)

    @cached_property
    def _found(self) -> dict[_Key, Integers]:
        """The rows of every kind of every family, in order of the draws: a claim asks for thousands of sets."""
        rows: dict[_Key, list[int]] = {}
        order = np.argsort(self.frame["draw"].to_numpy(), kind="stable")
        names = ("neurons", "partner", "definition", "mode", "threshold", "fraction", "layer")
        columns = [self.frame[name].to_numpy()[order].tolist() for name in names]
        for row, (*words, threshold, fraction, layer) in zip(order.tolist(), zip(*columns, strict=True), strict=True):
            key = (*words, round(threshold, _DIGITS), round(fraction, _DIGITS), layer)
            rows.setdefault(key, []).append(row)
        return {key: np.array(found, dtype=np.int64) for key, found in rows.items()}

    def __str__(self) -> str:
        return f"ablations of {self.reference} at step {self.step}"


def effect(
    table: AblationTable, which: SetOf, kind: AnyKind = SetKind.UNIVERSAL, *, quantity: Quantity = Quantity.KL
) -> Measurement:
    """The effect of ablating one kind of set: the mean over predictions, of a random kind also over its draws.

    Interval: percentile of the block bootstrap over tokens.  Details: ``size``, ``norm``, ``per_neuron``, ``per_norm``
    (NaN for an empty set, whose effect is exactly 0); of a random kind ``draws``, ``draws_low``, ``draws_high`` (the
    smallest and largest draw) and ``draws_sd``.  Raises :class:`SetMissing`.
    """
    rows = table.rows(which, kind)
    series = _series(table, rows, quantity)
    arm = _typical(series)
    size, norm = _mean_of(table, rows, "size"), _mean_of(table, rows, "norm")
    details = {"size": size, "norm": norm, "per_neuron": _over(arm.value, size), "per_norm": _over(arm.value, norm)}
    return _measured(table, arm, unit=NATS, details=details | _draw_details(series.values, kind))


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
    draws_mean), ``size``, ``norm``, ``draws_size`` and ``draws_norm``.  Missing for empty sets.  Raises
    :class:`SetMissing`.
    """
    own, drawn = table.rows(which, of), table.rows(which, against)
    if of is against:
        own, drawn = own[::2], drawn[1::2]
        if drawn.size < 2:
            raise SetMissing(
                f"{table}: {2 * drawn.size} draws of {of.value} {which}; expected at least 4 for two halves"
            )
    if _is_empty(table, own) or _is_empty(table, drawn):
        return _missing(table, NATS)
    set_, draws = _typical(_series(table, own, quantity)), _series(table, drawn, quantity)
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
    return _measured(table, _minus(set_, percentile), unit=NATS, details=details)


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
    pairs = product(quantities, against)
    return weakest(
        {
            f"{quantity.value}_{kind.value}": effect_over_random(table, which, kind, of=of or kind, quantity=quantity)
            for quantity, kind in pairs
        }
    )


def contrast(
    table: AblationTable,
    which: SetOf,
    against: AnyKind,
    *,
    of: AnyKind = SetKind.UNIVERSAL,
    quantity: Quantity = Quantity.KL,
) -> Measurement:
    """The effect of one kind of set minus that of another, paired over tokens.

    The effect of a random kind is the mean of its draws, its interval that of one further draw: mean_r + sd_r
    sqrt((n-1)/chi2_r) (Z_r/sqrt(n) + Z'_r).  So the interval excludes 0 only where the set differs from what any single
    draw could have been; half of all sets exceed the mean of draws.  Details: ``effect``, ``other``, ``size``,
    ``other_size``.  Missing where either set is empty.  Raises :class:`SetMissing`.
    """
    rows = table.rows(which, of), table.rows(which, against)
    if any(_is_empty(table, row) for row in rows):
        return _missing(table, NATS)
    own, other = (_one(table, row, quantity, stream=stream) for stream, row in enumerate(rows))
    details = {
        "effect": own.value,
        "other": other.value,
        "size": _mean_of(table, rows[0], "size"),
        "other_size": _mean_of(table, rows[1], "size"),
    }
    return _measured(table, _minus(own, other), unit=NATS, details=details)


def effect_ratio(
    table: AblationTable,
    which: SetOf,
    against: SetKind,
    *,
    of: SetKind = SetKind.UNIVERSAL,
    per: Per = "set",
    quantity: Quantity = Quantity.KL,
) -> Measurement:
    """The effect of one kind of set over that of another: as it is, per neuron, or per unit of norm removed.

    As :func:`contrast`, on the logarithms: a random kind enters with the mean of its draws and with the interval of
    one further draw, whose logarithm is taken as normal.  Missing where a set is empty or an effect, of any draw or in
    any replicate, is not positive: a ratio to nothing is not a number.
    """
    rows = table.rows(which, of), table.rows(which, against)
    if any(_is_empty(table, row, per) for row in rows):
        return _missing(table, "ratio")
    series = [_series(table, row, quantity, per=per) for row in rows]
    if any((one.values <= 0).any() or (one.replicates <= 0).any() for one in series):
        return _missing(table, "ratio")
    value = float(series[0].values.mean() / series[1].values.mean())
    top, bottom = (_further(_logarithms(one), table.resampling, stream) for stream, one in enumerate(series))
    ratio = _Arm(value, np.exp(top.replicates - bottom.replicates))
    details = {"effect": float(series[0].values.mean()), "other": float(series[1].values.mean())}
    return _measured(table, ratio, unit="ratio", details=details)


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
    found = {layer: table.rows(which.in_layer(layer), kind) for layer in table.layers(which)}
    arms = {
        layer: _typical(_series(table, rows, quantity, per=per))
        for layer, rows in found.items()
        if not _is_empty(table, rows, per)
    }
    first, deeper = _first_and_deeper(arms)
    if first is None or deeper is None or deeper.value <= 0 or (deeper.replicates <= 0).any():
        return _missing(table, "ratio")
    details = {f"layer_{layer}": arm.value for layer, arm in arms.items()}
    details |= {f"size_{layer}": _mean_of(table, rows, "size") for layer, rows in found.items()}
    ratio = _Arm(first.value / deeper.value, first.replicates / deeper.replicates)
    return _measured(table, ratio, unit="ratio", details=details)


def first_layer_margin(
    table: AblationTable, which: SetOf, factor: float, *, quantity: Quantity = Quantity.KL
) -> Measurement:
    """E_0 - ``factor`` times the largest effect of a deeper layer: :func:`first_layer_ratio` as a difference in nats.

    It exists for negative effects too, and can be combined with other differences.  Missing where the set of layer 0
    or those of all deeper layers are empty.
    """
    found = {layer: table.rows(which.in_layer(layer), SetKind.UNIVERSAL) for layer in table.layers(which)}
    arms = {
        layer: _typical(_series(table, rows, quantity)) for layer, rows in found.items() if not _is_empty(table, rows)
    }
    first, deeper = _first_and_deeper(arms)
    if first is None or deeper is None:
        return _missing(table, NATS)
    return _measured(table, _minus(first, deeper, factor), unit=NATS)


def negligible_margin(
    table: AblationTable, which: SetOf, against: SetKind, share: float, *, quantity: Quantity = Quantity.KL
) -> Measurement:
    """``share`` of the universal set's effect minus the effect of another kind: above 0 the other is negligible.

    The interval of a random kind is that of one further draw, as in :func:`contrast`.  Missing for empty sets.
    """
    own, drawn = table.rows(which, SetKind.UNIVERSAL), table.rows(which, against)
    if _is_empty(table, own) or _is_empty(table, drawn):
        return _missing(table, NATS)
    bound, other = _typical(_series(table, own, quantity)), _one(table, drawn, quantity, stream=0)
    scaled = _Arm(share * bound.value, share * bound.replicates)
    return _measured(table, _minus(scaled, other), unit=NATS)


def perplexity_ratio(table: AblationTable, which: SetOf, kind: SetKind = SetKind.UNIVERSAL) -> Measurement:
    """The perplexity with the set ablated over the perplexity without: exp of the loss increase.

    Details: ``loss_increase``, ``clean_loss``, ``size``, ``share`` (of all neurons, where literally all others are a
    set too).  An empty set is missing: it would be a decline of nothing by nothing.
    """
    rows = table.rows(which, kind)
    if _is_empty(table, rows):
        return _missing(table, "ratio")
    increase = effect(table, which, kind, quantity=Quantity.LOSS)
    size = increase.details["size"]
    details = {
        "loss_increase": increase.value,
        "clean_loss": float(np.average(table.clean_loss, weights=table.predictions)),
        "size": size,
    }
    if SetKind.OTHERS in table.kinds(which):
        universal, others = (
            _mean_of(table, table.rows(which, one), "size") for one in (SetKind.UNIVERSAL, SetKind.OTHERS)
        )
        details["share"] = size / (universal + others)
    value, low, high = (float(np.exp(end)) for end in (increase.value, increase.low, increase.high))
    return replace(increase, value=value, low=low, high=high, unit="ratio", details=details)


def joint_minus_sum(table: AblationTable, which: SetOf, *, quantity: Quantity = Quantity.KL) -> Measurement:
    """The effect of the universal neurons of all layers at once minus the sum of each layer's alone (F6).

    Above 0 the layers back each other up; below 0 they damage the same.  Details: ``joint``, ``sum``.
    """
    joint = _typical(_series(table, table.rows(which, SetKind.UNIVERSAL), quantity))
    single = [
        _typical(_series(table, table.rows(which.in_layer(layer), SetKind.UNIVERSAL), quantity))
        for layer in table.layers(which)
    ]
    total = _Arm(sum(arm.value for arm in single), np.sum([arm.replicates for arm in single], axis=0))
    details = {"joint": joint.value, "sum": total.value}
    return _measured(table, _minus(joint, total), unit=NATS, details=details)


def weakest(parts: Mapping[str, Measurement]) -> Measurement:
    """The smallest of several measurements in one unit: above a bound if all are, which is what *every* means.

    The ends are the smallest ends: low is above the bound exactly where every interval is, and high is below it where
    some interval wholly is (an intersection-union test; Berger 1982, Technometrics 24, 295-300: no correction for
    several tests is needed for the first).  Missing parts are left out and counted; missing where all are.  Details:
    those of the weakest part, the value of every part by its name, ``missing_parts``.  Raises ValueError for no part,
    or for unlike parts.
    """
    present = [part for part in parts.values() if not part.is_missing]
    if not parts or len({(part.unit, part.level) for part in present}) > 1:
        raise ValueError(f"the weakest of {', '.join(parts) or 'nothing'}: expected measurements in one unit")
    if not present:
        return next(iter(parts.values()))
    least = min(present, key=lambda part: part.value)
    values = {name: part.value for name, part in parts.items()}
    return replace(
        least,
        low=min(part.low for part in present),
        high=min(part.high for part in present),
        n=min(part.n for part in present),
        details={**least.details, **values, "missing_parts": float(len(parts) - len(present))},
    )


def effects_frame(
    table: AblationTable, which: SetOf, *, quantity: Quantity = Quantity.KL, kinds: Iterable[SetKind] | None = None
) -> pd.DataFrame:
    """The effect of each kind of set, one row per kind in the order of :class:`SetKind`.

    Columns: kind, draws (1 for a set that is not random), size, norm, value, low, high (of a random kind the mean over
    draws, interval over tokens), draws_low, draws_high, draws_sd (NaN unless random), per_neuron, per_norm.
    """
    rows = []
    for kind in kinds if kinds is not None else table.kinds(which):
        found = effect(table, which, kind, quantity=quantity)
        rows.append({"kind": kind.value, "value": found.value, "low": found.low, "high": found.high, **found.details})
    columns = ["kind", "draws", "size", "norm", "value", "low", "high"]
    columns += ["draws_low", "draws_high", "draws_sd", "per_neuron", "per_norm"]
    return pd.DataFrame(rows, columns=columns)


def layers_frame(table: AblationTable, which: SetOf, *, quantity: Quantity = Quantity.KL) -> pd.DataFrame:
    """The effect of each kind of set in each layer alone: :func:`effects_frame` with a first column layer."""
    frames = []
    for layer in table.layers(which):
        frame = effects_frame(table, which.in_layer(layer), quantity=quantity)
        frame.insert(0, "layer", layer)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def dose_curve(table: AblationTable, which: SetOf, *, quantity: Quantity = Quantity.KL) -> pd.DataFrame:
    """The effect of ablating a growing fraction of the universal neurons, in several random orders (F6).

    Columns: fraction, orders, size, value (mean over orders), low, high (over tokens), orders_low, orders_high.
    """
    rows = []
    for fraction in table.fractions(which):
        found = table.rows(replace(which, fraction=fraction), SetKind.UNIVERSAL)
        series = _series(table, found, quantity)
        point = _measured(table, _typical(series), unit=NATS)
        ends = {"value": point.value, "low": point.low, "high": point.high}
        ends |= {"orders_low": float(series.values.min()), "orders_high": float(series.values.max())}
        rows.append({"fraction": fraction, "orders": found.size, "size": _mean_of(table, found, "size"), **ends})
    return pd.DataFrame(rows)


class _Series(NamedTuple):
    """The effects of several sets: (row,), and in every replicate of the token blocks (resample, row)."""

    values: Floats
    replicates: Floats


class _Arm(NamedTuple):
    """One side of a comparison: its value, and its replicates (resample,)."""

    value: float
    replicates: Floats


def _series(table: AblationTable, rows: Integers, quantity: Quantity, *, per: Per = "set") -> _Series:
    effects = table.blocks(quantity)[rows].astype(np.float64)
    predictions = table.predictions.astype(np.float64)
    resampling = table.resampling
    weights = block_weights(predictions.size, resamples=resampling.resamples, seed=resampling.seed) * predictions
    # The same division of the same sums gives value and replicates: with equal blocks no interval misses its value.
    values = effects @ predictions / predictions.sum()
    replicates = weights @ effects.T / weights.sum(axis=1, keepdims=True)
    scale = _scale(table, rows, per)
    return _Series(values / scale, replicates / scale)


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


def _typical(series: _Series) -> _Arm:
    """A set as it is, or the mean of draws, over tokens alone."""
    return _Arm(float(series.values.mean()), np.asarray(series.replicates.mean(axis=1)))


def _one(table: AblationTable, rows: Integers, quantity: Quantity, *, stream: int) -> _Arm:
    return _further(_series(table, rows, quantity), table.resampling, stream)


def _further(series: _Series, resampling: Resampling, stream: int) -> _Arm:
    """A set as it is, or one further draw of a random kind, of which the mean is expected."""
    typical = _typical(series)
    draws = series.values.size
    if draws < 2:
        return typical
    pivots = _pivots(draws, resampling, stream)
    spread = series.replicates.std(axis=1, ddof=1) * pivots.scale
    return _Arm(typical.value, typical.replicates + spread * (pivots.mean / np.sqrt(draws) + pivots.further))


def _percentile(series: _Series, resampling: Resampling) -> _Arm:
    """The 95th percentile of a random kind: that of the draws, and where it may lie."""
    draws = series.values.size
    pivots = _pivots(draws, resampling, 0)
    spread = series.replicates.std(axis=1, ddof=1) * pivots.scale
    above = float(stats.norm.ppf(PERCENTILE)) + pivots.mean / np.sqrt(draws)
    return _Arm(float(np.quantile(series.values, PERCENTILE)), series.replicates.mean(axis=1) + spread * above)


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


def _logarithms(series: _Series) -> _Series:
    return _Series(np.log(series.values), np.log(series.replicates))


def _minus(x: _Arm, y: _Arm, factor: float = 1.0) -> _Arm:
    return _Arm(x.value - factor * y.value, x.replicates - factor * y.replicates)


def _first_and_deeper(arms: Mapping[int, _Arm]) -> tuple[_Arm | None, _Arm | None]:
    """Layer 0 (catalogue, A12), and the largest of the deeper layers, sought anew in every replicate."""
    deeper = [arm for layer, arm in arms.items() if layer > 0]
    if not deeper:
        return arms.get(0), None
    largest = _Arm(max(arm.value for arm in deeper), np.max([arm.replicates for arm in deeper], axis=0))
    return arms.get(0), largest


def _measured(table: AblationTable, arm: _Arm, *, unit: str, details: Mapping[str, float] | None = None) -> Measurement:
    level = table.resampling.level
    low, high = percentile_interval(arm.value, arm.replicates, level=level)
    blocks = table.predictions.size
    return Measurement(arm.value, low, high, blocks, Over.TOKEN_BLOCKS, level, unit, dict(details or {}))


def _missing(table: AblationTable, unit: str) -> Measurement:
    return Measurement.missing(n=table.predictions.size, over=Over.TOKEN_BLOCKS, unit=unit)


def _draw_details(values: Floats, kind: AnyKind) -> dict[str, float]:
    if not kind.is_random:
        return {"draws": 1.0}
    ends = {"draws_low": float(values.min()), "draws_high": float(values.max())}
    return {"draws": float(values.size), **ends, "draws_sd": float(values.std(ddof=1))}


def _is_empty(table: AblationTable, rows: Integers, per: Per = "set") -> bool:
    """Whether nothing was ablated, or nothing of what an effect is to be divided by."""
    return not table.frame["size"].to_numpy()[rows].any() or not _scale(table, rows, per).all()


def _mean_of(table: AblationTable, rows: Integers, column: str) -> float:
    return float(table.frame[column].to_numpy(dtype=np.float64)[rows].mean())


def _over(numerator: float, denominator: float) -> float:
    """numerator / denominator; NaN where the denominator is 0, because an effect per nothing is not a number."""
    return numerator / denominator if denominator else float("nan")
