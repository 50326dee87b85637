"""Persistence: P(universal at one checkpoint | universal at another), and the rates it is compared with.

P_persist = P(univ at t2 | univ at t1) (Nandan et al. 2025 v1, section 3).  By default a neuron is universal per pair
(A1) and the pairs are pooled (A10).  The details of each value are chance (the base rate at t2), the ceiling that the
noise of the tokens allows (the same conditional between two halves of the tokens at one checkpoint), lift, kappa and
Jaccard.

Every interval that is judged is over neurons: the question is whether neurons like these persist, and a layer with six
universal neurons can say little, however many tokens were read.  The interval over token blocks is in the details.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

import numpy as np
import pandas as pd

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.cache import cached
from universal_neurons.measures.histories import History, Rate, SpanIndices, Term, combined, rate_of
from universal_neurons.measures.intervals import jackknife_details, percentile_interval
from universal_neurons.measures.joint import needed_neurons, with_details
from universal_neurons.measures.shares import SHARE, missing_share
from universal_neurons.measures.tables import Definition, StepTables

if TYPE_CHECKING:
    from universal_neurons.measures.arrays import Floats, Integers
    from universal_neurons.measures.spans import TablesSpan

# The terms of a contrast, given the groups (partners) that it is over.
Terms = Callable[[tuple[int, ...]], list[Term]]
_HALVES = ("excess_half_a", "excess_half_b")


class Pooling(StrEnum):
    """Ways to make one number of the pairs of a reference (claims/README.md, A10)."""

    MICRO = "micro"  # all universal neurons of all pairs together
    MACRO = "macro"  # the mean over pairs of each pair's rate


@cached
def persistence(
    given: StepTables,
    then: StepTables,
    threshold: float,
    *,
    definition: Definition = Definition.PAIR,
    pooling: Pooling = Pooling.MICRO,
) -> Measurement:
    """P(universal at ``then`` | universal at ``given``); backward persistence with the later checkpoint as ``given``.

    #{universal at both} / #{universal at given} over neurons (and partners, under PAIR) defined at both.
    Interval over neurons: :meth:`Rate.limits`; n is the number of neurons universal at ``given``.

    Details: ``pairs`` (neurons, each partner counted), ``effective`` (their effective number);
    ``tokens_low``/``tokens_high``, the paired block bootstrap (NaN where a replicate has no universal neuron);
    ``draws_sd`` over rotation draws; ``models_low``/``models_high``, the jackknife over partners; ``chance``, the base
    rate at ``then``, and ``chance_in_layers``, the rate if labels were dealt anew within each layer; ``lift``, the
    value over chance; ``kappa`` (Cohen 1960, Educational and Psychological Measurement 20, 37-46) and ``jaccard`` of
    the two sets; ``ceiling``, see :func:`ceiling`, of both checkpoints pooled.

    Missing, and not 0, where no neuron is universal at ``given``; under MACRO, where that is so against any partner.
    Raises ValueError for tables of different neurons, partners or replicates, and :class:`InfluenceMissing`.
    """
    return persistence_in(History.of([given, then], threshold, definition), (0, 1), pooling)


@cached
def cross_fitted_persistence(given: StepTables, then: StepTables, threshold: float) -> Measurement:
    """P(universal at ``then`` by one half of the tokens | universal at ``given`` by the other), both directions pooled.

    Noise that both checkpoints share, because they read the same tokens, cannot make a neuron persist here.  A neuron
    without an excess on a half is not universal by it.  Interval over neurons; missing as :func:`persistence`.
    """
    history = History.of([given, then], threshold, Definition.PAIR)
    halves = [history.column_states(column) for column in _HALVES]
    rate = rate_of(
        np.concatenate([half[:, 0] for half in halves]), np.concatenate([half[:, 1] for half in halves[::-1]])
    )
    return _of_rate(rate, history.level)


@cached
def recruitment(given: StepTables, then: StepTables, threshold: float) -> Measurement:
    """P(universal at ``then`` | defined but not universal at ``given``): the rate of the other neurons.

    Interval over neurons; missing where every neuron is universal at ``given``.
    """
    history = History.of([given, then], threshold, Definition.PAIR)
    return _of_rate(rate_of(history.defined & ~history.states[:, 0], history.states[:, 1]), history.level)


@cached
def ceiling(tables: StepTables, threshold: float) -> Measurement:
    """P(universal by one half of the tokens | universal by the other) at one checkpoint, both directions pooled.

    A neuron that never changes seems to persist about this often (catalogue, F3).  It is measured on half of the tokens
    and so lies below what all of them allow: persistence may exceed it.  Interval over neurons; missing where no neuron
    is universal by either half.
    """
    history = History.of([tables], threshold, Definition.PAIR)
    return _of_rate(_ceiling_rate(history, [0], None), history.level)


@cached
def persistence_gain(
    first: StepTables, second: StepTables, third: StepTables, threshold: float, *, resampled: bool = True
) -> Measurement:
    """P(third | second) - P(second | first): the gain in persistence from the earlier to the later interval.

    Pooled over pairs, interval over neurons with the correlation of the two rates, which share neurons.  Details as
    :func:`contrast_with_0` with ``earlier`` and ``later`` for the two rates.
    """
    history = History.of([first, second, third], threshold, Definition.PAIR, resampled=resampled)
    gain = contrast_with_0(history, _differences((1, 2), (0, 1)))
    return with_details(gain, earlier=_value(history, (0, 1)), later=_value(history, (1, 2)))


@cached
def persistence_by_layer(given: StepTables, then: StepTables, threshold: float) -> pd.DataFrame:
    """The persistence of each layer: columns layer, value, low, high, n, and the details of :func:`persistence`.

    Figures 1 and 4 to 6 of Nandan et al. 2025.  NaN and n = 0 in a layer without a universal neuron at ``given``.
    """
    history = History.of([given, then], threshold, Definition.PAIR)
    layers = [persistence_in(history, (0, 1), layers=(layer,)) for layer in range(history.layers)]
    return pd.DataFrame(
        [
            {"layer": layer, "value": rate.value, "low": rate.low, "high": rate.high, "n": rate.n, **rate.details}
            for layer, rate in enumerate(layers)
        ]
    )


def persistence_in(
    history: History, span: SpanIndices, pooling: Pooling = Pooling.MICRO, layers: tuple[int, ...] | None = None
) -> Measurement:
    """:func:`persistence` over one span of a history, in some of its layers or in all."""

    def terms(groups: tuple[int, ...]) -> list[Term]:
        match pooling:
            case Pooling.MICRO:
                return [Term((span,), layers, groups)]
            case Pooling.MACRO:
                return [Term((span,), layers, (group,), 1 / len(groups)) for group in groups]
            case _:
                assert_never(pooling)

    measured = _measurement(history, terms)
    pooled = history.rate(Term((span,), layers))
    if measured.is_missing or pooled is None:
        return measured
    inside = np.arange(history.layers) if layers is None else np.array(layers, dtype=np.int64)
    details = {"pairs": float(pooled.count), "effective": pooled.effective}
    details |= _agreement(history, span, inside, measured.value)
    limit = _ceiling_rate(history, span, layers)
    return with_details(measured, **details, ceiling=math.nan if limit is None else limit.value)


def contrast_with_0(history: History, terms: Terms) -> Measurement:
    """A sum of rates, to be compared with 0, with its interval over neurons (:func:`histories.combined`).

    Details: ``tokens_low``/``tokens_high``, ``draws_sd``, ``models_low``/``models_high`` as :func:`persistence`;
    ``needed_neurons``, see :func:`joint.needed_neurons`, to exclude 0.  Missing where a rate has no universal neuron.
    """
    contrast = _measurement(history, terms)
    return with_details(contrast, needed_neurons=needed_neurons(contrast, 0.0))


def history_over(
    spans: Sequence[TablesSpan], threshold: float, definition: Definition = Definition.PAIR, *, resampled: bool = True
) -> tuple[History, tuple[SpanIndices, ...]]:
    """The history over every table of ``spans``, each once, and the spans in it."""
    ends: dict[int, StepTables] = {id(tables): tables for span in spans for tables in span}
    order = list(ends)
    history = History.of(list(ends.values()), threshold, definition, resampled=resampled)
    return history, tuple((order.index(id(given)), order.index(id(then))) for given, then in spans)


def token_ends(value: float, replicates: Floats, level: float) -> dict[str, float]:
    """The interval over token blocks as details: NaN with a NaN among the replicates, nothing without any."""
    if replicates.size == 0:
        return {}
    if np.isnan(replicates).any():
        return {"tokens_low": math.nan, "tokens_high": math.nan}
    low, high = percentile_interval(value, replicates, level=level)
    return {"tokens_low": low, "tokens_high": high}


def _measurement(history: History, terms: Terms) -> Measurement:
    """The sum of the terms with its interval over neurons, and its other intervals in the details."""
    summed = terms(tuple(range(history.groups)))
    rates = [rate for term in summed if (rate := history.rate(term)) is not None]
    if len(rates) < len(summed):
        return missing_share()
    value, (low, high) = combined(rates, [term.coefficient for term in summed], level=history.level)
    neurons = int(np.count_nonzero(np.any([rate.given for rate in rates], axis=0)))
    details = token_ends(value, history.value(summed, history.joint_replicates), history.level)
    draws = history.value(summed, history.joint_draws)
    details |= {"draws_sd": float(np.std(draws, ddof=1))} if draws.size > 1 else {}
    others = [tuple(other for other in range(history.groups) if other != group) for group in range(history.groups)]
    rest = [float(history.value(terms(groups), history.joint)) for groups in others if groups]
    details |= jackknife_details(value, rest, level=history.level)
    return Measurement(value, low, high, neurons, Over.NEURONS, history.level, SHARE, details)


def _agreement(history: History, span: SpanIndices, layers: Integers, value: float) -> dict[str, float]:
    """Chance, lift, kappa and Jaccard of the two sets, pooled over groups."""
    given, then = span
    joint = history.joint[..., layers].sum(axis=0)
    neurons = np.array([np.count_nonzero(history.defined[:, history.layer == layer]) for layer in layers], dtype=float)
    total, first, second, both = (
        float(cell.sum()) for cell in (neurons, joint[given, given], joint[then, then], joint[given, then])
    )
    expected = (first * second + (total - first) * (total - second)) / total**2
    observed = (total - first - second + 2 * both) / total
    dealt = float(np.sum(joint[given, given] * joint[then, then] / neurons.clip(min=1)))
    chance = second / total
    return {
        "chance": chance,
        "chance_in_layers": dealt / first,
        "lift": value / chance if chance else math.nan,
        "kappa": (observed - expected) / (1 - expected) if expected < 1 else math.nan,
        "jaccard": both / (first + second - both),
    }


def _ceiling_rate(history: History, checkpoints: Iterable[int], layers: tuple[int, ...] | None) -> Rate | None:
    """The rate from half to half at each of ``checkpoints``, all pooled."""
    inside = np.ones(history.layer.size, dtype=np.bool_) if layers is None else np.isin(history.layer, layers)
    a, b = (
        np.concatenate([history.column_states(column)[:, checkpoint] for checkpoint in checkpoints])
        for column in _HALVES
    )
    return rate_of(np.concatenate([a, b]) & inside, np.concatenate([b, a]))


def _of_rate(rate: Rate | None, level: float) -> Measurement:
    if rate is None:
        return missing_share()
    low, high = rate.limits(level)
    details = {"pairs": float(rate.count), "effective": rate.effective}
    n = int(np.count_nonzero(rate.given))
    return Measurement(rate.value, low, high, n, Over.NEURONS, level, SHARE, details)


def _differences(plus: SpanIndices, minus: SpanIndices) -> Terms:
    return lambda groups: [Term((plus,), None, groups), Term((minus,), None, groups, -1.0)]


def _value(history: History, span: SpanIndices) -> float:
    return float(history.value([Term((span,))], history.joint))
