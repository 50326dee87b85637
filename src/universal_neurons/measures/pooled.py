"""Shares and persistence pooled over all directed pairs of models, with intervals over models.

"The share of universal neurons" is said of models, so models are what would differ if the statement were tried again:
the pairs of one reference share that reference, and neurons of one pair share its two models.  A statistic is a
function of counts that are summed over directed pairs (reference, partner); its interval is the jackknife in which each
model is left out once, with every pair that it is part of (Efron & Tibshirani 1993, equation 11.5), and Student's t
with one degree of freedom less than there are models.  Of the pairs of one reference the partners are left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.errors import NotOnSuite
from universal_neurons.measurement import CEILING, Measurement, Over
from universal_neurons.measures.arrays import quotient
from universal_neurons.measures.depth import halves
from universal_neurons.measures.groups import pair_group
from universal_neurons.measures.intervals import jackknife
from universal_neurons.measures.robustness import comparable
from universal_neurons.measures.shares import SHARE
from universal_neurons.measures.study import models_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from universal_neurons.measures.arrays import Flags, Floats, Integers
    from universal_neurons.measures.study import HasStep, NullKind, Study
    from universal_neurons.measures.tables import UniversalityTable

Pair = tuple[str, str]
# The tables of each directed pair (reference, partner), one for each checkpoint or variant that is compared.
PairTables = dict[Pair, tuple["UniversalityTable", ...]]
_FEWEST_MODELS = 3


def every_pair(study: Study, *checkpoints: HasStep) -> PairTables:
    """All directed pairs of the study's models at ``checkpoints``."""
    return _pairs(
        models_of(study),
        lambda x, y: [study.universality(reference=x, partner=y, checkpoint=one) for one in checkpoints],
    )


def own_pairs(
    study: Study, *checkpoints: HasStep, null: NullKind | None = None, variant: str | None = None
) -> PairTables:
    """The pairs of the study's reference alone; or their null models of one kind, or by a variant."""

    def table(partner: str, checkpoint: HasStep) -> UniversalityTable:
        if null is not None:
            return study.null(partner=partner, checkpoint=checkpoint, kind=null)
        if variant is not None:
            return study.variant(variant, partner=partner, checkpoint=checkpoint)
        return study.universality(partner=partner, checkpoint=checkpoint)

    return {(study.reference, y): tuple(table(y, one) for one in checkpoints) for y in study.partners()}


def beside(first: PairTables, second: PairTables) -> PairTables:
    """The tables of the pairs that both have, first the tables in ``first``."""
    return {pair: (*tables, *second[pair]) for pair, tables in first.items() if pair in second}


def variant_pairs(study: Study, name: str, checkpoint: HasStep) -> PairTables:
    """The pairs of the study's reference by the suite's choice, and by the variant ``name``.

    Other references have no variants.  The suite's own baseline has as many draws as the variant's, unless the variant
    is one of the draws.
    """
    varied, own = own_pairs(study, checkpoint, variant=name), own_pairs(study, checkpoint)
    return {pair: (comparable(own[pair][0], table, name), table) for pair, (table,) in varied.items()}


def altered(pairs: PairTables, change: Callable[[UniversalityTable], UniversalityTable], *, at: int = -1) -> PairTables:
    """The same pairs with one of their tables changed, by default the last one."""
    changed = {}
    for pair, tables in pairs.items():
        own = list(tables)
        own[at] = change(own[at])
        changed[pair] = tuple(own)
    return changed


def pooled_share(pairs: PairTables, threshold: float) -> Measurement:
    """The universal share, #{excess > T} / #{defined}, mean over pairs of models with equally many neurons."""
    return pooled(pairs, lambda one: share_counts(one, threshold), lambda c: quotient(c[0], c[-1]))


def pooled_growth(pairs: PairTables, threshold: float) -> Measurement:
    """The share at the second table minus the share at the first, among the neurons defined in both."""
    return pooled(pairs, lambda one: share_counts(one, threshold), lambda c: quotient(c[1] - c[0], c[-1]))


def pooled_acceleration(pairs: PairTables, threshold: float) -> Measurement:
    """The second step of growth minus the first, (s3 - s2) - (s2 - s1): negative where growth slows."""
    return pooled(pairs, lambda one: share_counts(one, threshold), lambda c: quotient(c[2] - 2 * c[1] + c[0], c[-1]))


def pooled_ratio(pairs: PairTables, threshold: float) -> Measurement:
    """The share at the first table over the share at the second; missing where the latter is 0."""
    return pooled(pairs, lambda one: share_counts(one, threshold), lambda c: quotient(c[0], c[1]), unit="")


def pooled_depth_contrast(pairs: PairTables, threshold: float) -> Measurement:
    """Growth of the share in the deeper half of the layers minus growth in the shallower half.

    The middle layer of an odd number belongs to neither.  Missing with fewer than two layers.
    """

    def counts(tables: tuple[UniversalityTable, ...]) -> Floats:
        states, layer = _states(tables, threshold)
        layers = int(layer.max(initial=-1)) + 1
        per_layer = [np.bincount(layer[universal], minlength=layers) for universal in states]
        return np.array([*per_layer, np.bincount(layer, minlength=layers)], dtype=np.float64)

    def contrast(c: Floats) -> float:
        shallow, deep = (quotient((c[1] - c[0])[part].sum(), c[2][part].sum()) for part in halves(c.shape[1]))
        return deep - shallow

    return pooled(pairs, counts, contrast)


def pooled_persistence(pairs: PairTables, threshold: float) -> Measurement:
    """P(universal in the second table | universal in the first): every universal neuron of every pair counts once.

    Backwards in time with the later checkpoint first.  Details: ``chance``, the base rate in the second table, and the
    ceiling: P(universal by one half of the tokens | universal by the other) in both tables, both directions pooled,
    above which no neuron that never changed could be seen to persist.
    """
    return pooled(
        pairs,
        lambda one: _joint_counts(one, threshold),
        lambda c: quotient(c[0], c[1]),
        details=lambda c: {"chance": quotient(c[2], c[3]), CEILING: quotient(c[4], c[5])},
    )


def pooled_long_span(pairs: PairTables, threshold: float) -> Measurement:
    """P(third | first) minus the smaller of P(second | first) and P(third | second): negative where drift adds up.

    The smaller is sought anew whenever a model is left out.  Details: the three rates.
    """

    def counts(tables: tuple[UniversalityTable, ...]) -> Floats:
        (a, b, c), _ = _states(tables, threshold)
        return np.array([(a & b).sum(), (b & c).sum(), (a & c).sum(), a.sum(), b.sum()], dtype=np.float64)

    def rates(c: Floats) -> dict[str, float]:
        return {
            "first_second": quotient(c[0], c[3]),
            "second_third": quotient(c[1], c[4]),
            "first_third": quotient(c[2], c[3]),
        }

    def excess(c: Floats) -> float:
        first, second, long = rates(c).values()
        return long - min(first, second)

    return pooled(pairs, counts, excess, details=rates)


def pooled_agreement(pairs: PairTables, threshold: float) -> Measurement:
    """Identified in half A of the tokens, judged in half B: P(excess_b > T | excess_a > T).

    Each half has a partner, a correlation and a baseline of its own (F4), so nothing that was selected in A is judged
    by A.  Details: ``reverse``, the same from B to A, and ``expected``, the share in half B, which agreement by chance
    would give.
    """

    def counts(tables: tuple[UniversalityTable, ...]) -> Floats:
        a, b, defined = _half_states(tables[0], threshold)
        return np.array([(a & b).sum(), a.sum(), b.sum(), defined.sum()], dtype=np.float64)

    return pooled(
        pairs,
        counts,
        lambda c: quotient(c[0], c[1]),
        details=lambda c: {"reverse": quotient(c[0], c[2]), "expected": quotient(c[2], c[3])},
    )


def _pairs(models: Iterable[str], tables: Callable[[str, str], Iterable[UniversalityTable]]) -> PairTables:
    names = tuple(models)
    return {(x, y): tuple(tables(x, y)) for x in names for y in names if x != y}


def pooled(
    pairs: PairTables,
    counts: Callable[[tuple[UniversalityTable, ...]], Floats],
    statistic: Callable[[Floats], float],
    *,
    unit: str = SHARE,
    details: Callable[[Floats], dict[str, float]] | None = None,
) -> Measurement:
    """``statistic`` of the summed ``counts`` of each pair; see :func:`pooled_counts`."""
    counted = {pair: counts(tables) for pair, tables in pairs.items()}
    level = next(iter(pairs.values()))[0].resampling.level
    return pooled_counts(counted, statistic, level=level, unit=unit, details=details)


def pooled_counts(
    counted: Mapping[Pair, Floats],
    statistic: Callable[[Floats], float],
    *,
    level: float,
    unit: str = SHARE,
    details: Callable[[Floats], dict[str, float]] | None = None,
) -> Measurement:
    """``statistic`` of the sums of what was ``counted`` of each directed pair, with its interval over models.

    n is the number of models that are left out once; details: ``pairs``, and ``lowest`` and ``highest``, the statistic
    of the pairs of one reference.  Missing where the statistic is, without end where it is so with a model left out.
    Raises NotOnSuite with fewer than three models to leave out.
    """
    left_out = [statistic(counts) for counts in models_left_out(counted)]
    total = summed(counted.values())
    value = statistic(total)
    if math.isnan(value):
        return Measurement.missing(n=len(left_out), over=Over.MODELS, unit=unit)
    references = dict.fromkeys(reference for reference, _ in counted)
    own = [statistic(summed(c for (reference, _), c in counted.items() if reference == one)) for one in references]
    found = {"pairs": float(len(counted)), "lowest": min(own), "highest": max(own)}
    found |= {} if details is None else details(total)
    ends = (-math.inf, math.inf) if np.isnan(left_out).any() else jackknife(value, left_out, level=level)
    return Measurement(value, *ends, len(left_out), Over.MODELS, level, unit, found)


def models_left_out(counted: Mapping[Pair, Floats]) -> tuple[Floats, ...]:
    """What was counted of all pairs without one model, for each model in turn.

    Of the pairs of one reference its partners are left out.  Raises NotOnSuite with fewer than three models.
    """
    models = dict.fromkeys(model for pair in counted for model in pair)
    rest = ([counts for pair, counts in counted.items() if model not in pair] for model in models)
    found = tuple(summed(others) for others in rest if others)
    if len(found) < _FEWEST_MODELS:
        raise NotOnSuite(f"expected at least {_FEWEST_MODELS} models to leave out in turn, got {len(found)}")
    return found


def summed(counts: Iterable[Floats]) -> Floats:
    """The sum of what was counted of some pairs."""
    return np.asarray(np.sum(list(counts), axis=0))


def _states(tables: tuple[UniversalityTable, ...], threshold: float) -> tuple[list[Flags], Integers]:
    """Flags of the universal neurons in each table, and their layers, among the neurons that all of them define."""
    first, *others = tables
    for table in others:
        same = np.array_equal(table.neurons, first.neurons)
        if (table.reference, table.partner) != (first.reference, first.partner) or not same:
            raise ValueError(f"{table} and {first} are not about the same neurons")
    states = np.array([pair_group(table).states(threshold) for table in tables])
    defined = ~np.isnan(states).any(axis=0)
    layer = first.neurons[0][defined]
    return [np.asarray(one[defined] > 0) for one in states], layer


def share_counts(tables: tuple[UniversalityTable, ...], threshold: float) -> Floats:
    """The number of universal neurons in each table, and of the neurons (table + 1,)."""
    states, layer = _states(tables, threshold)
    return np.array([*(one.sum() for one in states), layer.size], dtype=np.float64)


def _half_states(table: UniversalityTable, threshold: float) -> tuple[Flags, Flags, Flags]:
    """Flags of the neurons universal in half A, in half B, and defined in both."""
    a, b = (pair_group(table).states(threshold, f"excess_half_{half}") for half in ("a", "b"))
    defined = ~np.isnan(a) & ~np.isnan(b)
    return np.asarray((a > 0) & defined), np.asarray((b > 0) & defined), defined


def _joint_counts(tables: tuple[UniversalityTable, ...], threshold: float) -> Floats:
    """Universal in both tables, in the first, in the second, neurons; universal in both halves, in either half."""
    (given, then), layer = _states(tables, threshold)
    halved = [_half_states(table, threshold) for table in tables]
    both = 2 * sum(int((a & b).sum()) for a, b, _ in halved)
    either = sum(int(a.sum()) + int(b.sum()) for a, b, _ in halved)
    found = [(given & then).sum(), given.sum(), then.sum(), layer.size, both, either]
    return np.array(found, dtype=np.float64)
