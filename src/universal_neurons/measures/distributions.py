"""Distributions over neurons, as the figures of Gurnee et al. 2024 show them: shares by bin, medians by group."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.properties import median_of
from universal_neurons.measures.shares import neuron_share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.measures.arrays import Flags, Floats, Integers
    from universal_neurons.measures.properties import Ranking
    from universal_neurons.measures.tables import ReferenceTables


def shares_by_bin(values: Floats, edges: Floats, *, level: float) -> tuple[Measurement, ...]:
    """The share of the ``values`` (neuron,) in each bin between ``edges``, over neurons (Wilson's interval).

    The last bin holds its upper edge; values outside of all count into the total.  Missing of no neuron; a value that
    is not a number is none.
    """
    known = values[~np.isnan(values)]
    counts, _ = np.histogram(known, edges)
    return tuple(neuron_share(int(count), len(known), level=level) for count in counts)


def share_among(chosen: Flags, among: Flags, *, level: float, over: Over = Over.NEURONS) -> Measurement:
    """The share of ``chosen`` ``among`` some (Wilson's interval); missing of none."""
    return replace(neuron_share(int((chosen & among).sum()), int(among.sum()), level=level), over=over)


def shares_by_layer(
    models: Sequence[tuple[Integers, Flags, Flags]], *, depth: int, level: float
) -> tuple[Measurement, ...]:
    """The share of neurons chosen in each layer of all ``models``, each its layers, chosen neurons and among which."""
    layer, chosen, among = (np.concatenate(parts) for parts in zip(*models, strict=True))
    return tuple(share_among(chosen, among & (layer == at), level=level) for at in range(depth))


def bounded_median(values: Floats, *, level: float, unit: str = "") -> Measurement:
    """The median over neurons with the interval of order statistics; missing of so few that it has no end."""
    found = median_of(values[~np.isnan(values)], level, unit=unit)
    if found.is_missing or np.isfinite([found.low, found.high]).all():
        return found
    return Measurement.missing(n=found.n, over=Over.NEURONS, unit=unit)


def medians_by_bin(values: Floats, by: Floats, edges: Floats, *, level: float) -> tuple[Measurement, ...]:
    """:func:`bounded_median` of the ``values`` (neuron,) of the neurons whose ``by`` lies in each bin."""
    place = np.digitize(by, edges) - 1
    return tuple(bounded_median(values[place == at], level=level) for at in range(len(edges) - 1))


def medians_by_layer(models: Sequence[Ranking], *, universal: bool, depth: int) -> tuple[Measurement, ...]:
    """:func:`bounded_median` of a property of the universal neurons, or the others, of each layer of all ``models``."""

    def chosen(one: Ranking, layer: int) -> Flags:
        return np.asarray((one.layer == layer) & (one.universal == universal))

    return tuple(
        bounded_median(np.concatenate([one.value[chosen(one, layer)] for one in models]), level=models[0].level)
        for layer in range(depth)
    )


def dealt_range(models: Mapping[str, Ranking], *, dealings: int) -> tuple[float, float]:
    """The lowest and the highest mean over models of the median percentile, over labels dealt out within layers.

    NaN where a model has no universal neuron.
    """
    means = []
    for seed in range(dealings):
        dealt = [one.dealt(seed) for one in models.values()]
        found = [np.median(one.percentile[one.universal]) if one.universal.any() else np.nan for one in dealt]
        means.append(float(np.mean(found)))
    return min(means), max(means)


def partner_layers(tables: ReferenceTables, *, depth: int) -> dict[tuple[int, int], Measurement]:
    """The share of the neurons of each layer whose most correlated partner lies in a layer, by both layers.

    The mean over partners, as figure 2c of Gurnee et al. 2024.  Interval: Wilson's over the neurons of the layer, whose
    partners in different models are not independent of each other.
    """
    frames = [table.frame for table in tables.tables.values()]
    found: dict[tuple[int, int], Measurement] = {}
    for layer in range(depth):
        best = [frame["partner_layer"].to_numpy()[frame["layer"].to_numpy() == layer] for frame in frames]
        matched = [partner[partner >= 0] for partner in best]
        n = round(float(np.mean([len(one) for one in matched])))
        for other in range(depth):
            hits = float(np.mean([np.mean(one == other) if len(one) else np.nan for one in matched]))
            successes = round(hits * n) if n else 0
            found[layer, other] = neuron_share(successes, n, level=tables.first.resampling.level)
    return found
