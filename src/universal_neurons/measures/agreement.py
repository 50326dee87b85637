"""Agreement of the scores of a model's neurons over partners, in both directions, and their distance from chance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import scipy

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.controls import dealt_within_layers, rescored
from universal_neurons.measures.groups import average_group
from universal_neurons.measures.intervals import jackknife, normal_quantile
from universal_neurons.measures.properties import Ranking, median_of, ranking_of
from universal_neurons.measures.tables import row_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from universal_neurons.measures.arrays import Flags, Floats, Integers
    from universal_neurons.measures.study import HasStep, Study
    from universal_neurons.measures.tables import ReferenceTables, UniversalityTable


def excess_agreement(tables: ReferenceTables) -> Measurement:
    """The intraclass correlation ICC(1) of a neuron's excess over partners, over neurons.

    (MSB - MSW) / (MSB + (k - 1) MSW) with the mean squares between and within neurons and k partners (Shrout & Fleiss
    1979, Psychological Bulletin 86, 420-428).  Its own interval takes scores for normal, which these are not; here it
    is the delta method on the means over neurons of what the mean squares are made of.  Missing for one partner.
    """
    scores = _columns(tables, "excess")
    k, n = scores.shape
    if k < 2 or n < 2:
        return Measurement.missing(n=n, over=Over.NEURONS)
    mean, within = scores.mean(axis=0), scores.var(axis=0, ddof=1)
    sums = np.stack([mean, mean**2, within])

    def agreement(means: Floats) -> float:
        between = k * (means[1] - means[0] ** 2) * n / (n - 1)
        return float((between - means[2]) / (between + (k - 1) * means[2]))

    centre = sums.mean(axis=1)
    steps = np.diag(1e-6 * np.maximum(np.abs(centre), 1e-6))
    slopes = [(agreement(centre + step) - agreement(centre - step)) / (2 * step.max()) for step in steps]
    error = float(np.sqrt(slopes @ np.cov(sums) @ slopes / n))
    return _normal(agreement(centre), error, n, tables.first.resampling.level)


def range_over_partners(tables: ReferenceTables, threshold: float) -> Measurement:
    """The mean over universal neurons of the range over partners of their maximum correlation, over neurons.

    Details: ``all_neurons``, the same over all of them.  Missing for fewer than two universal neurons.
    """
    correlations = _columns(tables, "correlation")
    spread = np.ptp(correlations, axis=0)
    chosen = spread[_columns(tables, "excess").mean(axis=0) > threshold]
    if len(chosen) < 2:
        return Measurement.missing(n=len(chosen), over=Over.NEURONS)
    error = float(chosen.std(ddof=1) / np.sqrt(len(chosen)))
    found = _normal(float(chosen.mean()), error, len(chosen), tables.first.resampling.level)
    return replace(found, details={"all_neurons": float(spread.mean())})


def typical_excess(tables: ReferenceTables) -> Measurement:
    """The median over neurons of their mean excess over partners, over neurons (order statistics).

    Details: the medians of correlation and baseline, and ``ks``, Kolmogorov and Smirnov's distance between the two.
    The distance alone says little: it has no scale, and is as large where both are noise of a hundredth.
    """
    excess, correlation, baseline = (
        _columns(tables, name).mean(axis=0) for name in ("excess", "correlation", "baseline")
    )
    details = {
        "correlation": float(np.median(correlation)),
        "baseline": float(np.median(baseline)),
        "ks": float(scipy.stats.ks_2samp(correlation, baseline).statistic),
    }
    return replace(median_of(excess, tables.first.resampling.level), details=details)


def lead(tables: ReferenceTables, neuron: tuple[int, int]) -> Measurement:
    """The mean excess of ``neuron`` (layer, number in it) less the largest of all others, over partners (jackknife).

    Details: both.  Raises NotOnSuite for a neuron that the model does not have.
    """
    row = row_of(tables.first.neurons[0], *neuron)
    scores = np.stack([table.frame["excess"].to_numpy(dtype=np.float64) for table in tables.tables.values()])
    own, others = scores[:, row], np.delete(scores, row, axis=1)

    def ahead(partners: Flags) -> float:
        return float(own[partners].mean() - np.nanmax(others[partners].mean(axis=0)))

    everyone = np.ones(len(scores), dtype=bool)
    value = ahead(everyone)
    if len(scores) < 2 or np.isnan(value):
        return Measurement.missing(n=len(scores), over=Over.MODELS)
    without = [ahead(everyone & (np.arange(len(scores)) != out)) for out in range(len(scores))]
    low, high = jackknife(value, without, level=tables.first.resampling.level)
    details = {"neuron": float(own.mean()), "others": float(own.mean() - value)}
    return Measurement(value, low, high, len(scores), Over.MODELS, tables.first.resampling.level, details=details)


def mutual_matches(study: Study, checkpoint: HasStep, threshold: float, reference: str) -> Ranking:
    """For each neuron of a reference the share of partners whose best match of its best match is itself."""
    tables = study.reference_tables(checkpoint=checkpoint, reference=reference)
    back = [
        study.universality(partner=reference, checkpoint=checkpoint, reference=partner) for partner in tables.partners
    ]
    found = [is_mutual(there, again) for there, again in zip(tables.tables.values(), back, strict=True)]
    return ranking_of(np.mean(found, axis=0, dtype=np.float64), tables, threshold)


def rate_difference(models: Mapping[str, Ranking]) -> Measurement:
    """The mean value of universal neurons minus the mean of the others of their layers, over neurons of all ``models``.

    Layers have the weights of their universal neurons.  Interval: normal, from the variances in both groups.  Details:
    both means.  Missing where there are fewer than two universal neurons, or no other one in a layer of one.
    """
    level = next(iter(models.values())).level
    chosen = np.concatenate([one.value[one.universal] for one in models.values()])
    mean, variance = 0.0, 0.0
    for one in models.values():
        for layer in np.unique(one.layer[one.universal]):
            others = one.value[(one.layer == layer) & ~one.universal]
            weight = np.count_nonzero(one.universal & (one.layer == layer)) / len(chosen)
            if len(others) < 2:
                return Measurement.missing(n=len(chosen), over=Over.NEURONS)
            mean += weight * float(others.mean())
            variance += weight**2 * float(others.var(ddof=1)) / len(others)
    if len(chosen) < 2:
        return Measurement.missing(n=len(chosen), over=Over.NEURONS)
    error = float(np.sqrt(variance + chosen.var(ddof=1) / len(chosen)))
    details = {"universal": float(chosen.mean()), "others": float(mean)}
    return replace(_normal(float(chosen.mean()) - mean, error, len(chosen), level), details=details)


def is_mutual(there: UniversalityTable, back: UniversalityTable) -> Flags:
    """Whether the best partner of each neuron of ``there`` has it as its best partner in ``back`` (neuron,)."""
    best, again = _best_rows(there, back), _best_rows(back, there)
    return np.asarray((best >= 0) & (again[best] == np.arange(len(best))))


def with_partners_shuffled(tables: ReferenceTables, *, seed: int) -> ReferenceTables:
    """The scores against each partner dealt out anew within layers, each partner in its own way."""
    dice = np.random.default_rng(seed)

    def shuffled(table: UniversalityTable) -> UniversalityTable:
        source = dealt_within_layers(table.frame["layer"].to_numpy(), dice)
        names = ("excess", "correlation", "baseline")
        return rescored(table, **{name: table.frame[name].to_numpy()[source] for name in names})

    return tables.each(shuffled)


def _best_rows(table: UniversalityTable, partner: UniversalityTable) -> Integers:
    """The row in ``partner`` of each neuron's best partner (neuron,); -1 where it has none."""
    layer, number = (table.frame[name].to_numpy().astype(np.int64) for name in ("partner_layer", "partner_neuron"))
    return np.where(layer >= 0, np.searchsorted(partner.frame["layer"].to_numpy(), layer) + number, -1)


def _columns(tables: ReferenceTables, name: str) -> Floats:
    """A column against every partner (partner, neuron), without neurons that have no excess against one of them."""
    group = average_group(tables)
    stack = np.stack([table.frame[name].to_numpy(dtype=np.float64) for table in group.tables])
    return np.asarray(stack[:, ~np.isnan(group.scores())])


def _normal(value: float, error: float, n: int, level: float) -> Measurement:
    reach = normal_quantile(level) * error
    return Measurement(value, value - reach, value + reach, n, Over.NEURONS, level)
