"""Properties of universal neurons: where they rank in their layers, and how a property follows the excess correlation.

The table of properties has one row per neuron, layer by layer: layer, neuron, and

- of its pre-activations at the scored tokens: pre_mean, pre_variance (divisor n), pre_skewness, pre_kurtosis (3 for a
  Gaussian), frequency (share of tokens above 0) and published_frequency (above the bound of the published code, A21);
- of its folded weights: input_bias, w_in_norm, w_out_norm, cos_in_out, and vocabulary_mean, _variance, _skewness and
  _kurtosis of the cosines of its output weights with the unembedding;
- twin_in, twin_out: the largest cosine of its input and of its output weights with another neuron's;
- raw_...: the same weight statistics without folding and centring.

Universal is the mean excess over the partners above the threshold, as Gurnee et al. define it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy

from universal_neurons.errors import NotOnSuite
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.cache import cached
from universal_neurons.measures.controls import dealt_within_layers
from universal_neurons.measures.groups import average_group
from universal_neurons.measures.intervals import jackknife, normal_quantile
from universal_neurons.measures.joint import largest, weakest
from universal_neurons.measures.shares import neuron_share
from universal_neurons.measures.study import models_of
from universal_neurons.measures.tables import neurons_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from universal_neurons.measures.arrays import Flags, Floats, Integers
    from universal_neurons.measures.study import HasStep, Study
    from universal_neurons.measures.tables import ReferenceTables

PERCENTILE = "percentile"
# A distance of two percentiles: "above 0 percentiles", not "above the 0th percentile".
PERCENTILES = "percentiles"
# The eight properties of figure 3 of Gurnee et al. 2024, and on which side of the layer's median universal neurons are.
EIGHT: dict[str, int] = {
    "published_frequency": -1,
    "pre_mean": -1,
    "pre_skewness": 1,
    "pre_kurtosis": 1,
    "input_bias": -1,
    "cos_in_out": 1,
    "weight_norm": 1,
    "vocabulary_kurtosis": 1,
}
# The mean over the eight of how far a neuron is on the published side of its layer's median, in percentiles.
ALL = "eight"
# Fewer universal neurons than these have a layer's median nearly anywhere.
LEAST = 20
DEALINGS, EXTREME = 200, 0.9
# Neurons that are active at more of the tokens than this are frequent; layers before this share of the depth are early.
FREQUENT, EARLY = 0.5, 0.25


@dataclass(frozen=True, eq=False)
class Ranking:
    """The neurons of one model: the layer, a property as it is and as a percentile in the layer, and who is universal.

    ``without``: the same flags with each partner left out once.  Neurons whose property is undefined are not among
    them.
    """

    layer: Integers
    value: Floats
    percentile: Floats
    universal: Flags
    without: Mapping[str, Flags]
    level: float

    def kept(self, neurons: Flags) -> Ranking:
        """Only these ``neurons``, ranked as before."""
        return replace(
            self,
            layer=self.layer[neurons],
            value=self.value[neurons],
            percentile=self.percentile[neurons],
            universal=self.universal[neurons],
            without={name: flags[neurons] for name, flags in self.without.items()},
        )

    def dealt(self, seed: int) -> Ranking:
        """The labels dealt out anew within each layer."""
        source = dealt_within_layers(self.layer, seed)
        moved = {name: flags[source] for name, flags in self.without.items()}
        return Ranking(self.layer, self.value, self.percentile, self.universal[source], moved, self.level)

    def labelled_by(self, other: Ranking) -> Ranking:
        """The labels of another model's neurons of the same numbers."""
        return replace(self, universal=other.universal, without=other.without)


@cached
def percentiles_in_layers(layer: Integers, values: Floats) -> Floats:
    """The mid-rank of each value among its layer's, 100 (rank - 1/2) / n: half are below 50; NaN where undefined."""
    found = np.full(len(values), np.nan)
    for at in np.unique(layer):
        rows = np.flatnonzero((layer == at) & ~np.isnan(values))
        found[rows] = 100 * (scipy.stats.rankdata(values[rows]) - 0.5) / max(len(rows), 1)
    return found


def property_of(table: pd.DataFrame, name: str) -> Floats:
    """A column of the table, or ``weight_norm``, the sum of the squared norms of input and output weights."""
    if name == "weight_norm":
        return np.asarray(property_of(table, "w_in_norm") ** 2 + property_of(table, "w_out_norm") ** 2)
    return table[name].to_numpy(dtype=np.float64)


def ranking(table: pd.DataFrame, tables: ReferenceTables, name: str, threshold: float) -> Ranking:
    """One property of a reference's neurons, or :data:`ALL`; raises ValueError for tables of other neurons."""
    first = tables.first
    if not np.array_equal(neurons_of(table), first.neurons):
        raise ValueError(f"properties and {first} are not about the same neurons")
    return ranking_of(
        _on_the_published_side(table, first.neurons[0]) if name == ALL else property_of(table, name), tables, threshold
    )


def ranking_of(values: Floats, tables: ReferenceTables, threshold: float) -> Ranking:
    """Any ``values`` of a reference's neurons (neuron,)."""
    layer, partners = tables.first.neurons[0], tables.partners
    without = {name: _universal(tables.without(name), threshold) for name in partners if len(partners) > 1}
    universal, level = _universal(tables, threshold), tables.first.resampling.level
    found = Ranking(layer, values, percentiles_in_layers(layer, values), universal, without, level)
    return found.kept(~np.isnan(values))


def _on_the_published_side(table: pd.DataFrame, layer: Integers) -> Floats:
    ranks = [side * (percentiles_in_layers(layer, property_of(table, name)) - 50) for name, side in EIGHT.items()]
    return np.asarray(np.mean(ranks, axis=0))


def ranked(
    study: Study,
    name: str,
    checkpoint: HasStep,
    threshold: float,
    *,
    model: str | None = None,
    properties_at: HasStep | None = None,
) -> Ranking:
    """One property of a model's neurons at a checkpoint, or ``properties_at`` another one with the labels of this."""
    table: Any = study.table("properties", model=model, checkpoint=properties_at or checkpoint)
    return ranking(table, study.reference_tables(checkpoint=checkpoint, reference=model), name, threshold)


def ranked_models(study: Study, name: str, checkpoint: HasStep, threshold: float) -> dict[str, Ranking]:
    """One property of the neurons of every model of the suite at its last checkpoint."""
    return {model: ranked(study, name, checkpoint, threshold, model=model) for model in models_of(study)}


def median_percentile(models: Sequence[Ranking]) -> Measurement:
    """The median percentile of the universal neurons of all ``models`` together, over neurons.

    Interval: order statistics (scipy.stats.quantile_test), which are infinite where there are too few neurons.
    Details: ``others``, the median of all other neurons; ``auc``, the probability that a universal neuron has a larger
    value than another one of its layer, mean over layers weighted by their universal neurons.  Missing without a
    universal neuron.
    """
    found = plain_median_percentile(models)
    if found.is_missing:
        return found
    details = {
        "others": float(np.median(np.concatenate([one.percentile[~one.universal] for one in models]))),
        "auc": _auc(models),
    }
    return replace(found, details=details)


def plain_median_percentile(models: Sequence[Ranking]) -> Measurement:
    """:func:`median_percentile` without its details, which cost more than the median: for hundreds of dealings."""
    percentiles = np.concatenate([one.percentile[one.universal] for one in models])
    return median_of(percentiles, models[0].level, unit=PERCENTILE)


def median_of(sample: Floats, level: float, *, unit: str = "") -> Measurement:
    """The median of a sample of neurons with the interval of order statistics; missing of none."""
    if not sample.size:
        return Measurement.missing(over=Over.NEURONS, unit=unit)
    ordered = np.sort(sample)
    first, last = _median_ranks(sample.size, level)
    low = float(ordered[first - 1]) if first else -np.inf
    high = float(ordered[last - 1]) if last <= sample.size else np.inf
    return Measurement(median(ordered), low, high, sample.size, Over.NEURONS, level, unit)


@lru_cache(maxsize=1024)
def _median_ranks(n: int, level: float) -> tuple[int, int]:
    """The places of the ends of the median's interval among ``n`` ordered values, 0 and n + 1 where it has none."""
    tested: Any = scipy.stats.quantile_test(np.arange(1, n + 1), q=(n + 1) / 2, p=0.5)
    ends = tested.confidence_interval(level)
    return int(np.nan_to_num(ends.low, nan=0)), int(np.nan_to_num(ends.high, nan=n + 1))


def mean_median_percentile(models: Mapping[str, Ranking]) -> Measurement:
    """The median percentile of each model's universal neurons, mean over ``models``, over models.

    Interval: each model is left out once, as a reference and as a partner (jackknife).  The mean of medians, because a
    jackknife of the median of all neurons together excludes 50 too often (one-sided 3.5 instead of 2.5 %).  Details:
    ``lowest`` and ``highest`` of the models.  Missing for fewer than three models, or where a model has no universal
    neuron.
    """
    medians = {name: _median_of(one.universal, one) for name, one in models.items()}
    rest = [
        float(np.mean([_median_of(one.without[left_out], one) for name, one in models.items() if name != left_out]))
        for left_out in models
        if len(models) > 2
    ]
    value = float(np.mean(list(medians.values())))
    if not rest or not np.isfinite([value, *rest]).all():
        return Measurement.missing(n=len(models), over=Over.MODELS, unit=PERCENTILE)
    level = next(iter(models.values())).level
    low, high = jackknife(value, rest, level=level)
    details = {"lowest": min(medians.values()), "highest": max(medians.values())}
    return Measurement(value, low, high, len(models), Over.MODELS, level, PERCENTILE, details)


def _median_of(chosen: Flags, model: Ranking) -> float:
    return median(np.sort(model.percentile[chosen]))


def median(ordered: Floats) -> float:
    """The median of ``ordered`` values, NaN of none: of hundreds of dealings in a tenth of the time of np.median."""
    places = (ordered.size - 1) // 2, ordered.size // 2
    return float((ordered[places[0]] + ordered[places[1]]) / 2) if ordered.size else float("nan")


def extreme_dealing(
    models: Mapping[str, Ranking], measure: Callable[[Mapping[str, Ranking]], Measurement], direction: int
) -> Measurement:
    """``measure`` of labels dealt out within layers: of 200 dealings the one that only a tenth exceed.

    They are ordered by the end of the interval towards 50.  One dealing in forty excludes 50 on the side of
    ``direction`` if the interval is right, so a single one would satisfy a claim by chance now and then; this one does
    where they are more than four times as many.
    """
    return extreme_of(
        [measure({name: one.dealt(seed) for name, one in models.items()}) for seed in range(DEALINGS)], direction
    )


def extreme_of(dealt: Sequence[Measurement], direction: int) -> Measurement:
    """Of several dealings the one that only a tenth exceed, by the end of the interval away from ``direction``.

    Missing where one of them is.
    """
    if missing := next((one for one in dealt if one.is_missing), None):
        return missing
    return sorted(dealt, key=lambda one: one.low if direction > 0 else -one.high)[round(EXTREME * len(dealt)) - 1]


def by_labels_of_partners(models: Mapping[str, Ranking], model: str, direction: int) -> Measurement:
    """The median percentile of the neurons of ``model`` that have the numbers of a partner's universal neurons.

    Of the partners the median one (the upper): with one in forty, some partner would satisfy a claim by chance.
    """
    found = [
        median_percentile([models[model].labelled_by(other)])
        for name, other in models.items()
        if name != model and len(other.layer) == len(models[model].layer)
    ]
    present = sorted((one for one in found if not one.is_missing), key=lambda one: direction * one.value)
    return present[len(present) // 2] if present else Measurement.missing(over=Over.NEURONS, unit=PERCENTILE)


def _universal(tables: ReferenceTables, threshold: float) -> Flags:
    return average_group(tables).universal(threshold)


def _auc(models: Sequence[Ranking]) -> float:
    total, weight = 0.0, 0
    for one in models:
        for layer in np.unique(one.layer):
            here = one.layer == layer
            chosen = one.percentile[here & one.universal]
            n, k = int(here.sum()), len(chosen)
            if 0 < k < n:
                # Of the percentiles' mean rank: Mann and Whitney's U over k (n - k).
                total += k * (float(chosen.mean()) * n / 100 - k / 2) / (n - k)
                weight += k
    return total / weight if weight else float("nan")


def contrast(study: Study, name: str, checkpoint: HasStep, threshold: float, reference: str) -> Measurement:
    """:func:`median_percentile` of one property of one reference."""
    return median_percentile([ranked(study, name, checkpoint, threshold, model=reference)])


def since_untrained(study: Study, name: str, checkpoint: HasStep, threshold: float) -> Ranking:
    """How far each neuron of the suite's reference has moved since before training, in percentiles of its layer.

    The value and the percentile of the ranking are both that movement, so that its median is compared with 0.  Raises
    NotOnSuite where the suite has no untrained checkpoint.
    """
    if study.untrained is None:
        raise NotOnSuite("this suite has no untrained checkpoint, so nothing can have moved since")
    now = ranked(study, name, checkpoint, threshold)
    before = ranked(study, name, checkpoint, threshold, properties_at=study.untrained)
    moved = now.percentile - before.percentile
    return replace(now, value=moved, percentile=moved)


def gained(study: Study, checkpoint: HasStep, threshold: float) -> Measurement:
    """The median movement of universal neurons to the published side since before training, over neurons.

    Details: their median percentiles ``before`` and ``now``, for :data:`ALL` and now for each of the eight.
    """
    moved = since_untrained(study, ALL, checkpoint, threshold)
    found = replace(median_percentile([moved]), unit=PERCENTILES)
    if found.is_missing:
        return found
    before = ranked(study, ALL, checkpoint, threshold, properties_at=study.untrained)
    details = {"before": _median_of(before.universal, before), "now": contrast_of(study, ALL, checkpoint, threshold)}
    details |= {name: contrast_of(study, name, checkpoint, threshold) for name in EIGHT}
    return replace(found, details=details)


def contrast_of(study: Study, name: str, checkpoint: HasStep, threshold: float) -> float:
    """The median percentile of the universal neurons of the suite's reference."""
    one = ranked(study, name, checkpoint, threshold)
    return _median_of(one.universal, one)


def dealt_contrast(study: Study, name: str, checkpoint: HasStep, threshold: float, reference: str) -> Measurement:
    """The same of labels dealt out within layers, see :func:`extreme_dealing`."""
    one = {reference: ranked(study, name, checkpoint, threshold, model=reference)}
    return extreme_dealing(one, lambda models: plain_median_percentile(list(models.values())), EIGHT.get(name, 1))


def borrowed_contrast(study: Study, name: str, checkpoint: HasStep, threshold: float, reference: str) -> Measurement:
    """The same of a partner's labels, see :func:`by_labels_of_partners`."""
    return by_labels_of_partners(ranked_models(study, name, checkpoint, threshold), reference, EIGHT.get(name, 1))


def pooled_contrast(study: Study, name: str, checkpoint: HasStep, threshold: float) -> Measurement:
    """:func:`mean_median_percentile` of one property of every model."""
    return mean_median_percentile(ranked_models(study, name, checkpoint, threshold))


def dealt_pooled_contrast(study: Study, name: str, checkpoint: HasStep, threshold: float) -> Measurement:
    """The same of labels dealt out within layers, see :func:`extreme_dealing`."""
    models = ranked_models(study, name, checkpoint, threshold)
    return extreme_dealing(models, mean_median_percentile, EIGHT.get(name, 1))


def weakest_contrast(study: Study, checkpoint: HasStep, threshold: float, *, borrowed: bool = False) -> Measurement:
    """How far universal neurons are on the published side of their layers' median, by the weakest of the eight.

    Each is the mean over models of the median percentile minus 50, times the published side; interval of the joint
    module.  Details: every property.  ``borrowed``: the neurons that have the numbers of the next model's universal
    neurons in the place of a model's own.  Missing where one of the eight is.
    """
    parts: dict[str, Measurement] = {}
    for name, side in EIGHT.items():
        models = ranked_models(study, name, checkpoint, threshold)
        if borrowed:
            models = _labelled_by_the_next(models)
        found = replace(mean_median_percentile(models), unit=PERCENTILES)
        if found.is_missing:
            return found
        low, high = sorted(side * (end - 50) for end in (found.low, found.high))
        parts[name] = replace(found, value=side * (found.value - 50), low=low, high=high, details={})
    return weakest(parts)


def _labelled_by_the_next(models: Mapping[str, Ranking]) -> dict[str, Ranking]:
    """Each model with the labels of the next one, which stay as they are where that one itself is left out."""
    names = list(models)
    found: dict[str, Ranking] = {}
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        labelled = models[name].labelled_by(models[other])
        found[name] = replace(labelled, without={**dict.fromkeys(names, labelled.universal), **labelled.without})
    return found


def in_layer(models: Mapping[str, Ranking], layer: int) -> dict[str, Ranking]:
    """Only the neurons of one layer of each model."""
    return {name: one.kept(one.layer == layer) for name, one in models.items()}


def enough_median_percentile(models: Mapping[str, Ranking]) -> Measurement:
    """:func:`median_percentile` of all models; missing for fewer than :data:`LEAST` universal neurons."""
    found = median_percentile(list(models.values()))
    return found if found.n >= LEAST else Measurement.missing(n=found.n, over=Over.NEURONS, unit=PERCENTILE)


def distance_from_gaussian(kurtosis: Ranking, skewness: Ranking, *, universal: bool) -> Measurement:
    """The larger of |median skewness| / 0.5 and |median kurtosis - 3| / 1, over neurons: below 1 both are near.

    Of the universal neurons or of all others.  Details: both medians.
    """
    found = {
        name: median_of(one.value[one.universal == universal], one.level)
        for name, one in (("kurtosis", kurtosis), ("skewness", skewness))
    }
    scaled = [_size(found["kurtosis"], 3.0, 1.0), _size(found["skewness"], 0.0, 0.5)]
    return replace(largest(scaled), details={name: one.value for name, one in found.items()})


def _size(found: Measurement, centre: float, unit: float) -> Measurement:
    """The distance of a measurement from ``centre`` in units."""
    ends = [abs(end - centre) / unit for end in (found.low, found.high)]
    low = 0.0 if found.low <= centre <= found.high else min(ends)
    return replace(found, value=abs(found.value - centre) / unit, low=low, high=max(ends))


def spearman_in_layers(table: pd.DataFrame, tables: ReferenceTables, name: str) -> Measurement:
    """Spearman's correlation of a property with the mean excess over all neurons, within layers, over neurons.

    Pearson's of the percentiles in the layers.  Interval: Fisher's z with the variance (1 + r^2 / 2) / (n - 3) of
    Bonett & Wright 2000 (Psychometrika 65, 23-28).
    """
    group = average_group(tables)
    layer, excess, values = table["layer"].to_numpy(), group.scores(), property_of(table, name)
    defined = ~(np.isnan(excess) | np.isnan(values))
    ranks = [percentiles_in_layers(layer[defined], column[defined]) for column in (excess, values)]
    return correlation(ranks[0], ranks[1], level=group.resampling.level, rank=True)


def correlation(x: Floats, y: Floats, *, level: float, rank: bool = False) -> Measurement:
    """Pearson's correlation over neurons with Fisher's interval; ``rank``: of ranks, whose variance is larger."""
    r, n = float(np.corrcoef(x, y)[0, 1]), len(x)
    reach = normal_quantile(level) * np.sqrt((1 + rank * r**2 / 2) / (n - 3))
    # Of a correlation of exactly 1, as rounding allows, both ends are 1; numpy would warn of the division by 0.
    with np.errstate(divide="ignore"):
        low, high = (float(np.tanh(np.arctanh(r) + side * reach)) for side in (-1, 1))
    return Measurement(r, low, high, n, Over.NEURONS, level)


def farthest_from_none(parts: Mapping[str, Measurement]) -> Measurement:
    """Of several correlations the one farthest from 0, for "all are about 0"; details: every part by its name.

    Interval: from the lowest to the highest end, which lies within a margin where every part does (module joint).
    """
    value = max((part.value for part in parts.values()), key=abs)
    first = next(iter(parts.values()))
    low, high = min(part.low for part in parts.values()), max(part.high for part in parts.values())
    return replace(first, value=value, low=low, high=high, details={name: part.value for name, part in parts.items()})


def alignment_and_frequency(
    table: pd.DataFrame, *, level: float, seed: int | None = None, within: bool = False
) -> Measurement:
    """Pearson's correlation of the cosine of a neuron's weights with its frequency above 0, over all neurons.

    ``within``: of what both differ by from the mean of the layer.

    Details: ``lowest_layer`` and ``highest_layer`` of the same within layers.  With a ``seed`` the cosines are dealt
    out anew within each layer.
    """
    layer, cosine, frequency = (table[name].to_numpy(np.float64) for name in ("layer", "cos_in_out", "frequency"))
    if seed is not None:
        cosine = cosine[dealt_within_layers(layer, seed)]
    layers = [float(np.corrcoef(cosine[layer == at], frequency[layer == at])[0, 1]) for at in np.unique(layer)]
    if within:
        frame = pd.DataFrame({"layer": layer, "cosine": cosine, "frequency": frequency})
        centred = frame - frame.groupby("layer").transform("mean").assign(layer=0)
        cosine, frequency = centred["cosine"].to_numpy(), centred["frequency"].to_numpy()
    found = correlation(cosine, frequency, level=level)
    return replace(found, details={"lowest_layer": min(layers), "highest_layer": max(layers)})


def early_share_of_frequent(tables: Sequence[pd.DataFrame], *, level: float, seed: int | None = None) -> Measurement:
    """Of the neurons active at more than half of the tokens the share in the first quarter of the layers.

    Pooled over the ``tables`` of several models; Wilson's interval over neurons; missing where there is none.  With a
    ``seed`` the layers of each model are dealt out anew.
    """
    models = []
    for table in tables:
        layer = table["layer"].to_numpy()
        models.append(((layer + 0.5) / (int(layer.max()) + 1), table["frequency"].to_numpy() > FREQUENT))
    return share_before(EARLY, models, level=level, seed=seed)


def share_before(
    early: float, models: Iterable[tuple[Floats, Flags]], *, level: float, seed: int | None = None
) -> Measurement:
    """Of the chosen neurons of all ``models`` the share whose depth is below ``early``, over neurons.

    ``models``: the depth and the choice of each neuron (neuron,) of every one.  With a ``seed`` the depths of each
    model are dealt out anew.  Missing where no neuron is chosen.
    """
    dice = None if seed is None else np.random.default_rng(seed)
    chosen = [(depth if dice is None else dice.permutation(depth))[flags] for depth, flags in models]
    depths = np.concatenate(chosen)
    return neuron_share(int((depths < early).sum()), depths.size, level=level)
