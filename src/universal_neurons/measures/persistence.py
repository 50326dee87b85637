"""How universal neurons stay universal: P(universal at one checkpoint | universal at another), and what it is beside.

P_persist = P(univ at t2 | univ at t1) (Nandan et al. 2025 v1, section 3).  By default a neuron is universal per pair
(A1) and the pairs are pooled (A10).  Beside each value stand chance (the base rate at t2), the ceiling that the noise
of the tokens allows (the same conditional between two halves of the tokens at one checkpoint), lift, kappa and Jaccard.

Every interval that is judged is over neurons: the question is whether neurons like these persist, and a layer with six
universal neurons can say little, however many tokens were read.  The interval over token blocks is in the details.
This module refuses to know where a table comes from, and which bound a claim compares with.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, pairwise, permutations
from typing import TYPE_CHECKING, assert_never

import numpy as np
import pandas as pd
from scipy import stats

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.histories import History, Rate, SpanIndices, Term, combined, rate_of
from universal_neurons.measures.intervals import jackknife, percentile_interval
from universal_neurons.measures.study import HasStep, Study, TrainedCheckpoint, ends_of, null_tables, paper_checkpoints
from universal_neurons.measures.tables import Definition, StepTables, UniversalityTable, shuffled_layers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from universal_neurons.measures.arrays import Floats, Integers


SHARE = "share"
TablesSpan = tuple[StepTables, StepTables]
Terms = Callable[[tuple[int, ...]], list[Term]]
_HALVES = ("excess_half_a", "excess_half_b")
# More neurons than any layer has, so that a layer and a neuron make one number.
_WIDEST = 2**32


class Pooling(StrEnum):
    """How the pairs of one reference become one number (design/claims.md, A10)."""

    MICRO = "micro"  # all universal neurons of all pairs together
    MACRO = "macro"  # the mean over pairs of each pair's rate


@dataclass(frozen=True, slots=True)
class Band:
    """Layers ``first`` to ``last`` of a model of ``of`` layers, to be found again in a model of another depth.

    >>> Band(2, 5).layers(12), Band(2, 5).layers(4)
    ((2, 3, 4, 5), (1,))
    """

    first: int
    last: int
    of: int = 12

    def layers(self, depth: int) -> tuple[int, ...]:
        """The layers of a model with ``depth`` layers whose middle lies in the band; empty where there is none.

        Layer l of L covers [l/L, (l+1)/L) of the depth and has its middle at (l + 1/2)/L.
        """
        low, high = self.first / self.of, (self.last + 1) / self.of
        return tuple(layer for layer in range(depth) if low <= (layer + 0.5) / depth < high)


# The bands of Nandan et al. 2025 v1, sections 4 and A.2, and of the catalogue's rules for N12 and V3.
EARLY, LATE, DEEPEST = Band(0, 1), Band(9, 11), Band(10, 11)
MIDDLE, NARROW_MIDDLE = Band(2, 5), Band(3, 5)


def paper_spans(study: Study) -> tuple[tuple[TrainedCheckpoint, TrainedCheckpoint], ...]:
    """The spans of time that the paper looks at: every earlier and later one of :func:`paper_checkpoints`.

    Raises NotOnSuite where there is one checkpoint alone.
    """
    return spans_between(paper_checkpoints(study))


def spans_between(stages: Sequence[TrainedCheckpoint]) -> tuple[tuple[TrainedCheckpoint, TrainedCheckpoint], ...]:
    """Every earlier and later one of ``stages``; raises NotOnSuite where there is one checkpoint alone."""
    ends_of(stages)
    return tuple(combinations(stages, 2))


def distance_from_share(study: Study, checkpoint: HasStep, *, named: HasStep) -> Measurement:
    """Where ``checkpoint`` lies in the training, as a share of all steps, minus the share ``named`` is called after.

    The steps of the whole training are the last checkpoint's over its share.  n is that number; nothing is sampled.
    Missing where ``named`` is no checkpoint of the study.
    """
    last = study.checkpoints[-1]
    steps = last.step / last.share
    shares = {stage.step: stage.share for stage in study.checkpoints}
    if named.step not in shares:
        return Measurement.missing(unit=SHARE)
    distance = checkpoint.step / steps - shares[named.step]
    return Measurement(distance, distance, distance, round(steps), Over.NOTHING, unit=SHARE)


def spans_of(stages: Sequence[tuple[HasStep, HasStep]], tables_of: Callable[[HasStep], StepTables]) -> list[TablesSpan]:
    """The tables at both ends of each span; what two spans share is read once and then known to be the same."""
    found: dict[int, StepTables] = {}
    for stage in (stage for span in stages for stage in span):
        if stage.step not in found:
            found[stage.step] = tables_of(stage)
    return [(found[earlier.step], found[later.step]) for earlier, later in stages]


def reference_spans(study: Study) -> list[TablesSpan]:
    """The spans that the paper looks at, of the suite's reference against all its partners."""
    return spans_of(paper_spans(study), lambda stage: study.reference_tables(checkpoint=stage))


def pair_spans(study: Study, partner: str) -> list[TablesSpan]:
    """The same of one pair."""
    return spans_of(paper_spans(study), lambda stage: study.universality(partner=partner, checkpoint=stage))


def untrained_spans(study: Study) -> list[TablesSpan]:
    """The same of untrained models, which are the same at both ends: whatever is universal in them persists."""
    return spans_of(paper_spans(study), lambda stage: null_tables(study, checkpoint=stage, kind="untrained"))


def persistence(
    given: StepTables,
    then: StepTables,
    threshold: float,
    *,
    definition: Definition = Definition.PAIR,
    pooling: Pooling = Pooling.MICRO,
    layers: Sequence[int] | None = None,
) -> Measurement:
    """P(universal at ``then`` | universal at ``given``); backward persistence with the later checkpoint as ``given``.

    #{universal at both} / #{universal at given} over neurons (and partners, under PAIR) defined at both, in ``layers``
    or everywhere.  Interval over neurons: :meth:`Rate.limits`; n is the number of neurons universal at ``given``.

    Details: ``pairs`` (neurons, each partner counted), ``effective`` (the neurons that these are worth);
    ``tokens_low``/``tokens_high``, the paired block bootstrap (NaN where a replicate has no universal neuron);
    ``draws_sd`` over rotation draws; ``models_low``/``models_high``, the jackknife over partners; ``chance``, the base
    rate at ``then``, and ``chance_in_layers``, the rate if labels were dealt anew within each layer; ``lift``, the
    value over chance; ``kappa`` (Cohen 1960, Educational and Psychological Measurement 20, 37-46) and ``jaccard`` of
    the two sets; ``ceiling``, see :func:`ceiling`, of both checkpoints pooled.

    Missing, and not 0, where no neuron is universal at ``given``; under MACRO, where that is so against any partner.
    Raises ValueError for tables of different neurons, partners or replicates, and :class:`InfluenceMissing`.
    """
    history = History.of([given, then], threshold, definition)
    inside = None if layers is None else tuple(layers)
    return _persistence(history, (0, 1), pooling, inside)


def lowest_persistence(
    spans: Sequence[TablesSpan],
    threshold: float,
    band: Band | None = None,
    *,
    definition: Definition = Definition.PAIR,
    pooling: Pooling = Pooling.MICRO,
) -> Measurement:
    """The smallest persistence of any of ``spans``; with a ``band`` also of any of its layers: see :func:`smallest`.

    Details: those of :func:`persistence` for the smallest.  Missing where one of them is, or the band is empty here.
    """
    history, places = _history(spans, threshold, definition)
    layers = [None] if band is None else [(layer,) for layer in band.layers(history.layers)]
    return smallest([_persistence(history, place, pooling, inside) for place in places for inside in layers])


def cross_fitted_persistence(
    given: StepTables, then: StepTables, threshold: float, *, definition: Definition = Definition.PAIR
) -> Measurement:
    """P(universal at ``then`` by one half of the tokens | universal at ``given`` by the other), both directions pooled.

    Noise that both checkpoints share, because they read the same tokens, cannot make a neuron persist here.  A neuron
    without an excess on a half is not universal by it.  Interval over neurons; missing as :func:`persistence`.
    """
    history = History.of([given, then], threshold, definition)
    halves = [history.column_states(column) for column in _HALVES]
    rate = rate_of(
        np.concatenate([half[:, 0] for half in halves]), np.concatenate([half[:, 1] for half in halves[::-1]])
    )
    return _of_rate(rate, history.level)


def recruitment(
    given: StepTables, then: StepTables, threshold: float, *, definition: Definition = Definition.PAIR
) -> Measurement:
    """P(universal at ``then`` | defined but not universal at ``given``): the rate of the other neurons.

    Interval over neurons; missing where every neuron is universal at ``given``.
    """
    history = History.of([given, then], threshold, definition)
    return _of_rate(rate_of(history.defined & ~history.states[:, 0], history.states[:, 1]), history.level)


def ceiling(tables: StepTables, threshold: float, *, definition: Definition = Definition.PAIR) -> Measurement:
    """P(universal by one half of the tokens | universal by the other) at one checkpoint, both directions pooled.

    A neuron that never changes seems to persist about this often (catalogue, F3).  It is measured on half of the tokens
    and so lies below what all of them allow: persistence may exceed it.  Interval over neurons; missing where no neuron
    is universal by either half.
    """
    history = History.of([tables], threshold, definition)
    return _of_rate(_ceiling_rate(history, [0], None), history.level)


def persistence_contrast(
    spans: Sequence[TablesSpan],
    threshold: float,
    plus: Sequence[Band],
    minus: Sequence[Band] | None = None,
    *,
    resampled: bool = True,
) -> Measurement:
    """The mean persistence of the layers in ``plus`` minus that of the layers in ``minus`` (None: all others).

    Each layer's rate is pooled over pairs and ``spans`` and counts once, however many universal neurons it has.
    Interval over neurons: :func:`combined`, with layers as independent.  Details: ``plus``, ``minus``;
    ``tokens_low``/``tokens_high``, ``draws_sd``, ``models_low``/``models_high`` as :func:`persistence`;
    ``needed_neurons``, see :func:`needed_neurons`, to exclude 0.  Missing where a band is empty or a layer of it has no
    universal neuron.  With ``resampled`` False the block bootstrap and the rotation draws are left out: a control that
    is dealt many times needs the judged interval only.
    """
    history, places = _history(spans, threshold, resampled=resampled)
    return _band_contrast(history, places, plus, minus)


def u_shape(
    spans: Sequence[TablesSpan], threshold: float, middle: Band = MIDDLE, *, resampled: bool = True
) -> Measurement:
    """The smaller of two contrasts: early layers minus middle ones, and late layers minus middle ones.

    Above 0 exactly where persistence falls and rises again over depth.  It is an intersection-union test: its lower
    end is the lower of two, which keeps the level (Berger 1982, Technometrics 24, 295-300).  Details: of the smaller
    contrast, as :func:`persistence_contrast`; ``early``, ``middle``, ``late``, the mean rates; ``quadratic``,
    ``quadratic_low``, ``quadratic_high``, the contrast with the orthogonal polynomial of degree 2 over the layers,
    scaled to a difference of two weighted means; ``two_lines_...``, see :func:`two_lines`.
    """
    history, places = _history(spans, threshold, resampled=resampled)
    sides = [_band_contrast(history, places, [side], [middle]) for side in (EARLY, LATE)]
    smaller = smallest(sides)
    if smaller.is_missing:
        return smaller
    details = {"early": sides[0].details["plus"], "middle": sides[0].details["minus"], "late": sides[1].details["plus"]}
    curved = _contrast(history, _by_layer(places, _quadratic(history.layers)))
    details |= {"quadratic": curved.value, "quadratic_low": curved.low, "quadratic_high": curved.high}
    lines = _two_lines(history, places)
    return _with(smaller, **details, **({} if lines is None else lines.details()))


def persistence_gain(
    first: StepTables, second: StepTables, third: StepTables, threshold: float, *, resampled: bool = True
) -> Measurement:
    """P(third | second) - P(second | first): how much more persistent the later interval is.

    Pooled over pairs, interval over neurons with the correlation of the two rates, which share neurons.  Details as
    :func:`persistence_contrast` with ``earlier`` and ``later`` for the two rates.
    """
    history = History.of([first, second, third], threshold, Definition.PAIR, resampled=resampled)
    found = _contrast(history, _differences((1, 2), (0, 1)))
    return _with(found, earlier=_value(history, (0, 1)), later=_value(history, (1, 2)))


def long_span_excess(
    first: StepTables, second: StepTables, third: StepTables, threshold: float, *, resampled: bool = True
) -> Measurement:
    """P(third | first) minus the smaller of P(second | first) and P(third | second): negative where drift adds up.

    The larger of two differences, each with an interval over neurons that pairs its two rates by neuron; its upper end
    is the larger of two, an intersection-union test as in :func:`u_shape`.  Details as :func:`persistence_contrast` of
    the larger difference, and the three rates ``first_second``, ``second_third``, ``first_third``.
    """
    history = History.of([first, second, third], threshold, Definition.PAIR, resampled=resampled)
    found = largest([_contrast(history, _differences((0, 2), short)) for short in ((0, 1), (1, 2))])
    spans: Mapping[str, SpanIndices] = {"first_second": (0, 1), "second_third": (1, 2), "first_third": (0, 2)}
    return _with(found, **{name: _value(history, span) for name, span in spans.items()})


def persistence_rank_correlation(
    spans: Sequence[TablesSpan], threshold: float, *, resampled: bool = True
) -> Measurement:
    """Spearman's rank correlation of layer number and persistence, pooled over pairs and ``spans``.

    Interval over neurons: the central part of the correlations of draws in which each layer's rate p of effective n is
    Beta(n p + 1/2, n (1 - p) + 1/2), the posterior under Jeffreys' prior (Brown, Cai & DasGupta 2001, Statistical
    Science 16, 101-133); a bootstrap would take a layer in which six of six persisted for certain.  n is the number of
    layers.  Details: ``layer_0`` and on, the rates; ``tokens_low``/``tokens_high``.  With few layers few values are
    possible.  Missing with fewer than three layers, or a layer without universal neurons; layers that all tie are 0.
    """
    history, places = _history(spans, threshold, resampled=resampled)
    terms = [Term(places, (layer,)) for layer in range(history.layers)]
    rates = [rate for term in terms if (rate := history.rate(term)) is not None]
    if len(rates) < max(len(terms), 3):
        return _missing()
    values = np.array([rate.value for rate in rates])
    value = float(_rank_correlation(values))
    resampling = history.first.resampling
    effective = np.array([rate.effective for rate in rates])
    drawn = np.random.default_rng(resampling.seed).beta(
        effective * values + 0.5, effective * (1 - values) + 0.5, size=(resampling.resamples, len(rates))
    )
    low, high = percentile_interval(value, _rank_correlation(drawn), level=history.level)
    replicates = np.stack([history.value([term], history.joint_replicates) for term in terms], axis=-1)
    details = {f"layer_{layer}": float(rate) for layer, rate in enumerate(values)}
    details |= _token_ends(value, _rank_correlation(replicates), history.level)
    return Measurement(value, low, high, len(rates), Over.NEURONS, history.level, "", details)


def partner_stability(
    given: StepTables, then: StepTables, threshold: float, *, definition: Definition = Definition.PAIR
) -> Measurement:
    """Of the neurons universal at both checkpoints, the share whose best partner is the same neuron at both.

    Under PAIR pooled over partners; under the other definitions the best partner in every model must be the same.
    Interval over neurons.  Details: ``chance``, the share if the partners at ``then`` were dealt anew among these
    neurons, sum over partners of the product of their two frequencies (a mean over pairs, NaN for other definitions).
    Missing where no neuron is universal at both.
    """
    history = History.of([given, then], threshold, definition)
    both = history.states[:, 0] & history.states[:, 1]
    partners = [[np.stack([_partner_ids(table) for table in group.tables]) for group in row] for row in history.series]
    same = np.array([np.all(earlier == later, axis=0) for earlier, later in partners])
    found = _of_rate(rate_of(both, same), history.level)
    if found.is_missing or definition is not Definition.PAIR:
        return found
    chances = [
        _coincidence(earlier[0, kept], later[0, kept])
        for (earlier, later), kept in zip(partners, both, strict=True)
        if kept.any()
    ]
    return _with(found, chance=float(np.mean(chances)))


def smallest(measurements: Sequence[Measurement]) -> Measurement:
    """The smallest of several values with the smallest of their lower and of their upper ends; missing if any is.

    For "always above": its lower end is below a bound as soon as one of them is, so the statement about all keeps the
    level of one (intersection-union, Berger 1982).  Details: those of the smallest.
    """
    return _extreme(measurements, min)


def largest(measurements: Sequence[Measurement]) -> Measurement:
    """The mirror image of :func:`smallest`, for "always below"."""
    return _extreme(measurements, max)


def needed_neurons(measurement: Measurement, bound: float) -> float:
    """How many units like the n measured ones would be needed for the interval to exclude ``bound`` at this value.

    ceil(n (reach / |value - bound|)^2) with ``reach`` the half of the interval on the side of the bound, because
    widths shrink with 1/sqrt(n).  Infinite where the value is the bound; NaN for a missing measurement.  An estimate
    from an observed effect: it says whether ten times or a thousand times more would do, not which n to choose.
    """
    if measurement.is_missing:
        return math.nan
    distance = measurement.value - bound
    reach = measurement.value - measurement.low if distance > 0 else measurement.high - measurement.value
    # Rounded first: four times as many must not become four times as many and one more by 1e-14.
    return float(math.ceil(round(measurement.n * (reach / distance) ** 2, 6))) if distance else math.inf


@dataclass(frozen=True, slots=True)
class TwoLines:
    """The two slopes of :func:`two_lines`, change of the rate per layer, with two-sided p values."""

    breakpoint: float
    first_slope: float
    first_p: float
    second_slope: float
    second_p: float

    def is_u(self, alpha: float = 0.05) -> bool:
        """Whether persistence falls significantly up to the break and rises significantly from it."""
        return self.first_slope < 0 < self.second_slope and max(self.first_p, self.second_p) < alpha

    def details(self) -> dict[str, float]:
        """The numbers by name, for a measurement's details."""
        return {f"two_lines_{field.name}": getattr(self, field.name) for field in dataclasses.fields(self)}


def two_lines(spans: Sequence[TablesSpan], threshold: float) -> TwoLines | None:
    """Simonsohn's two-lines test of a U-shape of persistence over depth; None where it cannot be done.

    Two regressions of "persisted" (0 or 1) on the layer, up to a break and from it on (Simonsohn 2018, Advances in
    Methods and Practices in Psychological Science 1, 538-555).  The break is set by his Robin Hood procedure: among the
    inner layers whose mean lies within one standard error of the lowest inner mean, first the median, then the quantile
    |z2| / (|z1| + |z2|) of these layers, so that the weaker line gets more of the data.  Errors of the slopes are
    clustered by neuron (a neuron counts once per pair and span).  It needs a universal neuron in each of at least three
    layers.

    Deviation: the flexible fit that finds the lowest point is the mean of each layer instead of a cubic spline, because
    depth is a whole number.
    """
    return _two_lines(*_history(spans, threshold))


# Tables for the report.


def persistence_pairs(
    checkpoints: Sequence[StepTables],
    threshold: float,
    *,
    definition: Definition = Definition.PAIR,
    pooling: Pooling = Pooling.MICRO,
) -> pd.DataFrame:
    """The persistence between every two checkpoints, forwards and backwards: one row per ordered pair.

    Columns: given, then (steps), value, low, high (over neurons), n, and the details of :func:`persistence`.
    """
    history = History.of(checkpoints, threshold, definition)
    rows = []
    for given, then in permutations(range(len(checkpoints)), 2):
        found = _persistence(history, (given, then), pooling, None)
        rows.append({"given": checkpoints[given].step, "then": checkpoints[then].step, **_row(found)})
    return pd.DataFrame(rows)


def persistence_by_layer(
    given: StepTables,
    then: StepTables,
    threshold: float,
    *,
    definition: Definition = Definition.PAIR,
    pooling: Pooling = Pooling.MICRO,
) -> pd.DataFrame:
    """The persistence of each layer: columns layer, value, low, high, n, and the details of :func:`persistence`.

    Figures 1 and 4 to 6 of Nandan et al. 2025.  NaN and n = 0 in a layer without a universal neuron at ``given``.
    """
    history = History.of([given, then], threshold, definition)
    rows = [
        {"layer": layer, **_row(_persistence(history, (0, 1), pooling, (layer,)))} for layer in range(history.layers)
    ]
    return pd.DataFrame(rows)


def survival(
    checkpoints: Sequence[StepTables], threshold: float, *, definition: Definition = Definition.PAIR
) -> pd.DataFrame:
    """What becomes of the neurons universal at the first checkpoint, pooled over pairs: one row per later one.

    Columns: step; still, still_low, still_high, the share universal then; always, always_low, always_high, the share
    universal at every checkpoint until then; over neurons.  NaN where no neuron is universal at the first.
    """
    history = History.of(checkpoints, threshold, definition)
    states = history.states
    rows = []
    for place in range(1, len(checkpoints)):
        still = _of_rate(rate_of(states[:, 0], states[:, place]), history.level)
        always = _of_rate(rate_of(states[:, 0], np.all(states[:, : place + 1], axis=1)), history.level)
        row = {"step": checkpoints[place].step, "still": still.value, "still_low": still.low, "still_high": still.high}
        rows.append(row | {"always": always.value, "always_low": always.low, "always_high": always.high})
    return pd.DataFrame(rows)


def score_stability(given: StepTables, then: StepTables) -> pd.DataFrame:
    """How alike the excess is at two checkpoints, whatever the threshold: one row per partner and layer.

    Columns: partner, layer (-1: all layers together), neurons (defined at both), pearson, low, high, spearman.  The
    interval is Fisher's for Pearson's correlation over neurons, tanh(atanh r -+ z / sqrt(n - 3)) (Fisher 1921, Metron
    1, 3-32).  NaN with fewer than four neurons or where the excess does not vary.
    """
    history = History.of([given, then], 0.5, Definition.PAIR)
    rows = []
    for row, defined in zip(history.series, history.defined, strict=True):
        earlier, later = (group.scores() for group in row)
        for layer in range(-1, history.layers):
            kept = defined & ((layer < 0) | (history.layer == layer))
            place = {"partner": row[0].tables[0].partner, "layer": layer, "neurons": int(kept.sum())}
            rows.append(place | _correlation(earlier[kept], later[kept], history.level))
    return pd.DataFrame(rows)


def hysteresis(given: StepTables, then: StepTables, threshold: float, edges: Sequence[float]) -> pd.DataFrame:
    """How often a neuron crosses the threshold, by the distance of its excess from it at ``given``, pooled over pairs.

    ``edges`` rise; bin k holds the distances excess - T in (edges[k], edges[k + 1]], so that an edge at 0 keeps
    universal neurons (above) and others apart.  Columns: distance_low, distance_high, neurons, rate (the share that is
    on the other side at ``then``), low, high (over neurons), noise (the same share from one half of the tokens to the
    other at ``given``, by the distance in the first half; both directions pooled: what would cross without training).
    NaN in an empty bin.  A rate above the noise is drift; above the threshold it is loss, below it gain.
    """
    history = History.of([given, then], threshold, Definition.PAIR)
    measured = _distances(history, "excess")
    halves = [_distances(history, column) for column in _HALVES]
    crossed = history.states[:, 0] != history.states[:, 1]
    sides = [history.column_states(column)[:, 0] for column in _HALVES]
    rows = []
    for low, high in pairwise(edges):
        found = _of_rate(rate_of((measured > low) & (measured <= high), crossed), history.level)
        inside = np.concatenate([(half > low) & (half <= high) for half in halves])
        noise = rate_of(inside, np.concatenate([sides[0] != sides[1]] * 2))
        rates = {"rate": found.value, "low": found.low, "high": found.high}
        row = {"distance_low": low, "distance_high": high, "neurons": found.n, **rates}
        rows.append(row | {"noise": math.nan if noise is None else noise.value})
    return pd.DataFrame(rows)


# Controls.


def shuffled_neurons(table: UniversalityTable, *, seed: int) -> UniversalityTable:
    """The same table with everything that was measured dealt out anew among the neurons of each layer.

    One seed gives one dealing for all partners.  At one of two checkpoints it leaves each share as it is and makes
    persistence fall to chance: a control for every statement about persistence.
    """
    layer = table.frame["layer"].to_numpy()
    generator = np.random.default_rng(seed)
    source = np.arange(layer.size)
    for place in np.unique(layer):
        rows = np.flatnonzero(layer == place)
        source[rows] = generator.permutation(rows)
    names = {name: table.frame[name].to_numpy() for name in ("layer", "neuron")}
    frame = table.frame.iloc[source].reset_index(drop=True).assign(**names)
    return dataclasses.replace(table, frame=frame, candidates=np.argsort(source)[table.candidates])


def each_table(tables: StepTables, change: Callable[[UniversalityTable], UniversalityTable]) -> StepTables:
    """What ``change`` makes of a table, or of every table of a reference."""
    return change(tables) if isinstance(tables, UniversalityTable) else tables.each(change)


def layers_dealt_anew(spans: Sequence[TablesSpan], *, seed: int) -> list[TablesSpan]:
    """The same spans with the layers dealt out anew among the neurons, the same at every checkpoint and partner."""
    found: dict[int, StepTables] = {}
    for tables in (tables for span in spans for tables in span):
        if id(tables) not in found:
            found[id(tables)] = each_table(tables, lambda table: shuffled_layers(table, seed=seed))
    return [(found[id(given)], found[id(then)]) for given, then in spans]


def typical(dealt: Callable[[int], Measurement], *, dealings: int = 5) -> Measurement:
    """Of ``dealings`` controls that differ in their seed, the one with the median value; missing if any is.

    A control dealt at random satisfies a criterion by chance in one of forty cases, and would then call a claim vacuous
    that is not.  The median of five does so in one of some thousands, yet always where chance satisfies it as a rule.
    Raises ValueError for an even number, which has no median among them.
    """
    if dealings % 2 == 0:
        raise ValueError(f"a median of dealings needs an odd number of them; got {dealings}")
    found = [dealt(seed) for seed in range(dealings)]
    if any(one.is_missing for one in found):
        return _missing()
    return sorted(found, key=lambda one: one.value)[dealings // 2]


# From histories to measurements.


def _persistence(history: History, span: SpanIndices, pooling: Pooling, layers: tuple[int, ...] | None) -> Measurement:
    def terms(groups: tuple[int, ...]) -> list[Term]:
        match pooling:
            case Pooling.MICRO:
                return [Term((span,), layers, groups)]
            case Pooling.MACRO:
                return [Term((span,), layers, (group,), 1 / len(groups)) for group in groups]
            case _:
                assert_never(pooling)

    found = _measurement(history, terms)
    pooled = history.rate(Term((span,), layers))
    if found.is_missing or pooled is None:
        return found
    inside = np.arange(history.layers) if layers is None else np.array(layers, dtype=np.int64)
    details = {"pairs": float(pooled.count), "effective": pooled.effective}
    details |= _agreement(history, span, inside, found.value)
    limit = _ceiling_rate(history, span, layers)
    return _with(found, **details, ceiling=math.nan if limit is None else limit.value)


def _measurement(history: History, terms: Terms) -> Measurement:
    """The sum of the terms with its interval over neurons, and its other intervals in the details."""
    groups = tuple(range(history.groups))
    wanted = terms(groups)
    rates = [rate for term in wanted if (rate := history.rate(term)) is not None]
    if len(rates) < len(wanted):
        return _missing()
    value, (low, high) = combined(rates, [term.coefficient for term in wanted], level=history.level)
    neurons = int(np.count_nonzero(np.any([rate.given for rate in rates], axis=0)))
    details = _token_ends(value, history.value(wanted, history.joint_replicates), history.level)
    draws = history.value(wanted, history.joint_draws)
    details |= {"draws_sd": float(np.std(draws, ddof=1))} if draws.size > 1 else {}
    details |= _models(history, terms, value)
    return Measurement(value, low, high, neurons, Over.NEURONS, history.level, SHARE, details)


def _contrast(history: History, terms: Terms) -> Measurement:
    """A measurement that is to be compared with 0."""
    found = _measurement(history, terms)
    return found if found.is_missing else _with(found, needed_neurons=needed_neurons(found, 0.0))


def _band_contrast(
    history: History, places: tuple[SpanIndices, ...], plus: Sequence[Band], minus: Sequence[Band] | None
) -> Measurement:
    layers = _layers_of(plus, history.layers)
    others = tuple(layer for layer in range(history.layers) if layer not in layers)
    rest = others if minus is None else _layers_of(minus, history.layers)
    if not layers or not rest:
        return _missing()
    coefficients = {layer: 1 / len(layers) for layer in layers} | {layer: -1 / len(rest) for layer in rest}
    found = _contrast(history, _by_layer(places, coefficients))
    return _with(found, plus=_mean_rate(history, places, layers), minus=_mean_rate(history, places, rest))


def _models(history: History, terms: Terms, value: float) -> dict[str, float]:
    """The jackknife over partners; nothing for one partner or where leaving one out leaves no value."""
    groups = range(history.groups)
    if history.groups < 2:
        return {}
    rest = [tuple(other for other in groups if other != group) for group in groups]
    values = [float(history.value(terms(kept), history.joint)) for kept in rest]
    if not np.isfinite(values).all():
        return {}
    low, high = jackknife(value, values, level=history.level)
    return {"models_low": low, "models_high": high}


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


def _ceiling_rate(history: History, places: Iterable[int], layers: tuple[int, ...] | None) -> Rate | None:
    """The rate from half to half at each of ``places``, all pooled."""
    inside = np.ones(history.layer.size, dtype=np.bool_) if layers is None else np.isin(history.layer, layers)
    a, b = (np.concatenate([history.column_states(column)[:, place] for place in places]) for column in _HALVES)
    return rate_of(np.concatenate([a, b]) & inside, np.concatenate([b, a]))


def _of_rate(rate: Rate | None, level: float) -> Measurement:
    if rate is None:
        return _missing()
    low, high = rate.limits(level)
    details = {"pairs": float(rate.count), "effective": rate.effective}
    n = int(np.count_nonzero(rate.given))
    return Measurement(rate.value, low, high, n, Over.NEURONS, level, SHARE, details)


def _missing() -> Measurement:
    return Measurement.missing(over=Over.NEURONS, unit=SHARE)


def _with(measurement: Measurement, **details: float) -> Measurement:
    """The measurement with further details; a missing one stays bare."""
    if measurement.is_missing:
        return measurement
    return dataclasses.replace(measurement, details={**measurement.details, **details})


def _extreme(measurements: Sequence[Measurement], choose: Callable[..., float]) -> Measurement:
    if not measurements or any(found.is_missing for found in measurements):
        return _missing()
    value = choose(found.value for found in measurements)
    kept = next(found for found in measurements if found.value == value)
    low, high = choose(found.low for found in measurements), choose(found.high for found in measurements)
    return dataclasses.replace(kept, low=low, high=high)


def _token_ends(value: float, replicates: Floats, level: float) -> dict[str, float]:
    if replicates.size == 0:
        return {}
    if np.isnan(replicates).any():
        return {"tokens_low": math.nan, "tokens_high": math.nan}
    low, high = percentile_interval(value, replicates, level=level)
    return {"tokens_low": low, "tokens_high": high}


def _row(found: Measurement) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n, **found.details}


# Terms.


def _history(
    spans: Sequence[TablesSpan], threshold: float, definition: Definition = Definition.PAIR, *, resampled: bool = True
) -> tuple[History, tuple[SpanIndices, ...]]:
    """The history over every table of ``spans``, each once, and the places of the spans in it."""
    found: dict[int, StepTables] = {id(tables): tables for span in spans for tables in span}
    order = list(found)
    history = History.of(list(found.values()), threshold, definition, resampled=resampled)
    return history, tuple((order.index(id(given)), order.index(id(then))) for given, then in spans)


def _by_layer(spans: tuple[SpanIndices, ...], coefficients: Mapping[int, float]) -> Terms:
    return lambda groups: [Term(spans, (layer,), groups, weight) for layer, weight in coefficients.items()]


def _differences(plus: SpanIndices, minus: SpanIndices) -> Terms:
    return lambda groups: [Term((plus,), None, groups), Term((minus,), None, groups, -1.0)]


def _layers_of(bands: Sequence[Band], depth: int) -> tuple[int, ...]:
    return tuple(sorted({layer for band in bands for layer in band.layers(depth)}))


def _mean_rate(history: History, spans: tuple[SpanIndices, ...], layers: Sequence[int]) -> float:
    terms = [Term(spans, (layer,), None, 1 / len(layers)) for layer in layers]
    return float(history.value(terms, history.joint))


def _value(history: History, span: SpanIndices) -> float:
    return float(history.value([Term((span,))], history.joint))


def _quadratic(depth: int) -> dict[int, float]:
    """The orthogonal polynomial of degree 2 over the layers, scaled so that its positive weights sum to 1."""
    place = np.arange(depth) - (depth - 1) / 2
    weights = place**2 - np.mean(place**2)
    scale = weights.clip(min=0).sum()
    return {layer: float(weight / scale) for layer, weight in enumerate(weights)}


# Small statistics.


def _rank_correlation(rates: Floats) -> Floats:
    """(..., layer) -> (...): Spearman's correlation with the layer; 0 where all tie, NaN with a NaN among them."""
    ranks = stats.rankdata(np.round(rates, 12), axis=-1)
    ranks = ranks - ranks.mean(axis=-1, keepdims=True)
    depth = np.arange(rates.shape[-1]) - (rates.shape[-1] - 1) / 2
    scale = np.sqrt((ranks**2).sum(axis=-1) * (depth**2).sum())
    found = np.divide((ranks * depth).sum(axis=-1), scale, out=np.zeros(np.shape(scale)), where=scale > 0)
    return np.asarray(np.where(np.isnan(rates).any(axis=-1), np.nan, found))


def _two_lines(history: History, places: tuple[SpanIndices, ...]) -> TwoLines | None:
    rates = [history.rate(Term(places, (layer,))) for layer in range(history.layers)]
    if history.layers < 3 or any(rate is None for rate in rates):
        return None
    layer, persisted, neuron = _rows(history, places)
    means = np.array([rate.value for rate in rates if rate is not None])
    errors = np.array([_error(rate) for rate in rates if rate is not None])
    inner = np.arange(1, history.layers - 1)
    lowest = inner[np.argmin(means[inner])]
    flat = np.sort(layer[np.isin(layer, inner[means[inner] <= means[lowest] + errors[lowest]])])
    middle = float(np.quantile(flat, 0.5, method="inverted_cdf"))
    _, z1, _, z2 = _two_slopes(layer, persisted, neuron, middle)
    weight = abs(z2) / (abs(z1) + abs(z2)) if abs(z1) + abs(z2) > 0 else 0.5
    found = float(np.quantile(flat, weight, method="inverted_cdf"))
    first, z1, second, z2 = _two_slopes(layer, persisted, neuron, found)
    return TwoLines(found, first, _two_sided(z1), second, _two_sided(z2))


def _rows(history: History, spans: tuple[SpanIndices, ...]) -> list[Floats]:
    """Layer, persisted (0 or 1) and neuron of every universal neuron, once per pair and span."""
    layer, persisted, neuron = [], [], []
    for states in history.states:
        for given, then in spans:
            rows = np.flatnonzero(states[given])
            layer.append(history.layer[rows])
            persisted.append(states[then, rows])
            neuron.append(rows)
    return [np.concatenate(part).astype(np.float64) for part in (layer, persisted, neuron)]


def _two_slopes(layer: Floats, persisted: Floats, neuron: Floats, at: float) -> tuple[float, float, float, float]:
    first, z1 = _slope(*(part[layer <= at] for part in (layer, persisted, neuron)))
    second, z2 = _slope(*(part[layer >= at] for part in (layer, persisted, neuron)))
    return first, z1, second, z2


def _slope(x: Floats, y: Floats, cluster: Floats) -> tuple[float, float]:
    """The least-squares slope and its z value with errors clustered (Liang & Zeger 1986, Biometrika 73, 13-22)."""
    centred = x - x.mean()
    scale = float(np.sum(centred**2))
    slope = float(centred @ (y - y.mean()) / scale)
    residual = y - y.mean() - slope * centred
    _, places = np.unique(cluster, return_inverse=True)
    scores = np.bincount(places, weights=centred * residual)
    clusters = scores.size
    error = math.sqrt(float(np.sum(scores**2)) * clusters / max(clusters - 1, 1)) / scale
    # Where every neuron of each layer did the same, the errors vanish, and certainty would be an artefact.
    return slope, slope / error if error > 1e-12 else 0.0


def _two_sided(z: float) -> float:
    return float(2 * stats.norm.sf(abs(z)))


def _error(rate: Rate) -> float:
    return float(np.sqrt(np.sum(rate.influence**2)))


def _correlation(x: Floats, y: Floats, level: float) -> dict[str, float]:
    if x.size < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return dict.fromkeys(("pearson", "low", "high", "spearman"), math.nan)
    pearson = float(np.corrcoef(x, y)[0, 1])
    reach = float(stats.norm.ppf((1 + level) / 2)) / math.sqrt(x.size - 3)
    # A correlation of exactly 1 is infinite on Fisher's scale, and its interval a point.
    with np.errstate(divide="ignore"):
        centre = np.arctanh(np.clip(pearson, -1, 1))
    ranked = float(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1])
    return {
        "pearson": pearson,
        "low": min(float(np.tanh(centre - reach)), pearson),
        "high": max(float(np.tanh(centre + reach)), pearson),
        "spearman": ranked,
    }


def _distances(history: History, column: str) -> Floats:
    """(group, neuron): excess minus threshold at the first checkpoint; NaN, and so in no bin, where undefined."""
    scores = np.stack([row[0].scores(column) - row[0].cut(history.threshold) for row in history.series])
    return np.asarray(np.where(history.defined, scores, np.nan))


def _partner_ids(table: UniversalityTable) -> Integers:
    """(neuron,): one number per best partner, the same at every checkpoint."""
    layer, neuron = (table.frame[name].to_numpy(dtype=np.int64) for name in ("partner_layer", "partner_neuron"))
    return np.asarray(layer * _WIDEST + neuron)


def _coincidence(x: Integers, y: Integers) -> float:
    """The probability that a value drawn from ``x`` equals one drawn from ``y``."""
    _, places = np.unique(np.concatenate([x, y]), return_inverse=True)
    size = int(places.max()) + 1
    first, second = (np.bincount(part, minlength=size) / part.size for part in (places[: x.size], places[x.size :]))
    return float(first @ second)
