"""Persistence over the depth of a model: bands of layers, a U-shape, a trend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from universal_neurons.errors import TooFewNeurons
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.cache import cached
from universal_neurons.measures.depth import rank_correlation
from universal_neurons.measures.histories import History, Rate, SpanIndices, Term
from universal_neurons.measures.intervals import percentile_interval
from universal_neurons.measures.joint import smallest, with_details
from universal_neurons.measures.persistence import (
    Pooling,
    contrast_with_0,
    history_over,
    persistence_in,
    token_ends,
)
from universal_neurons.measures.shares import missing_share
from universal_neurons.measures.tables import Definition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.measures.arrays import Floats
    from universal_neurons.measures.persistence import Terms
    from universal_neurons.measures.spans import TablesSpan


@dataclass(frozen=True, slots=True)
class Band:
    """Layers ``first`` to ``last`` of a model of ``of`` layers, to be applied to models of other depths.

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


@cached
def lowest_persistence(
    spans: Sequence[TablesSpan],
    threshold: float,
    band: Band | None = None,
    *,
    definition: Definition = Definition.PAIR,
    pooling: Pooling = Pooling.MICRO,
) -> Measurement:
    """The smallest persistence of any of ``spans``; with a ``band`` also of any of its layers: see :func:`smallest`.

    Details: of :func:`persistence` for the smallest.  Missing where one of them is, or the band is empty here.
    """
    history, indices = history_over(spans, threshold, definition)
    layers = [None] if band is None else [(layer,) for layer in band.layers(history.layers)]
    return smallest([persistence_in(history, span, pooling, inside) for span in indices for inside in layers])


@cached
def persistence_contrast(
    spans: Sequence[TablesSpan],
    threshold: float,
    plus: Sequence[Band],
    minus: Sequence[Band] | None = None,
    *,
    resampled: bool = True,
) -> Measurement:
    """The mean persistence of the layers in ``plus`` minus the mean of the layers in ``minus`` (None: all others).

    Each layer's rate is pooled over pairs and ``spans`` and counts once, however many universal neurons it has.
    Interval over neurons, with layers as independent.  Details: ``plus``, ``minus``, and the details of
    :func:`contrast_with_0`.  Missing where a band is empty or a layer of it has no universal neuron.  With
    ``resampled`` False the block bootstrap and the rotation draws are left out: a control that is dealt many times
    needs the judged interval only.
    """
    history, indices = history_over(spans, threshold, resampled=resampled)
    return _band_contrast(history, indices, plus, minus)


@cached
def u_shape(
    spans: Sequence[TablesSpan], threshold: float, middle: Band = MIDDLE, *, resampled: bool = True
) -> Measurement:
    """The smaller of two contrasts: early layers minus middle ones, and late layers minus middle ones.

    Above 0 exactly where persistence falls and rises again over depth.  It is an intersection-union test
    (module joint): its lower end is the lower of two.  Details: of the smaller
    contrast, as :func:`persistence_contrast`; ``early``, ``middle``, ``late``, the mean rates; ``quadratic``,
    ``quadratic_low``, ``quadratic_high``, the contrast with the orthogonal polynomial of degree 2 over the layers,
    scaled to a difference of two weighted means; ``two_lines_...``, see
    :func:`two_lines`.
    """
    history, indices = history_over(spans, threshold, resampled=resampled)
    early, late = (_band_contrast(history, indices, [band], [middle]) for band in (EARLY, LATE))
    smaller = smallest([early, late])
    if smaller.is_missing:
        return smaller
    details = {"early": early.details["plus"], "middle": early.details["minus"], "late": late.details["plus"]}
    curved = contrast_with_0(history, _by_layer(indices, _quadratic(history.layers)))
    details |= {"quadratic": curved.value, "quadratic_low": curved.low, "quadratic_high": curved.high}
    return with_details(smaller, **details, **two_lines(history, indices))


@cached
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
    history, indices = history_over(spans, threshold, resampled=resampled)
    terms = [Term(indices, (layer,)) for layer in range(history.layers)]
    for layer in range(history.layers):
        _check_layer(history, indices, layer)
    rates = [rate for term in terms if (rate := history.rate(term)) is not None]
    if len(rates) < max(len(terms), 3):
        return missing_share()
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
    details |= token_ends(value, _rank_correlation(replicates), history.level)
    return Measurement(value, low, high, len(rates), Over.NEURONS, history.level, "", details)


def _band_contrast(
    history: History, spans: tuple[SpanIndices, ...], plus: Sequence[Band], minus: Sequence[Band] | None
) -> Measurement:
    layers = _layers_of(plus, history.layers)
    others = tuple(layer for layer in range(history.layers) if layer not in layers)
    rest = others if minus is None else _layers_of(minus, history.layers)
    if not layers or not rest:
        return missing_share()
    # Every layer's rate counts once, so each must be one of enough neurons.
    for layer in (*layers, *rest):
        _check_layer(history, spans, layer)
    coefficients = {layer: 1 / len(layers) for layer in layers} | {layer: -1 / len(rest) for layer in rest}
    contrast = contrast_with_0(history, _by_layer(spans, coefficients))
    return with_details(contrast, plus=_mean_rate(history, spans, layers), minus=_mean_rate(history, spans, rest))


# A rate of fewer neurons is one of single ones: its interval reaches over most of what a rate can be.
_FEWEST_NEURONS = 10


def _check_layer(history: History, spans: tuple[SpanIndices, ...], layer: int) -> None:
    """Raise :class:`TooFewNeurons` for a layer with fewer universal neurons than a rate can be said of."""
    rate = history.rate(Term(spans, (layer,)))
    neurons = 0 if rate is None else int(np.count_nonzero(rate.given))
    if neurons < _FEWEST_NEURONS:
        raise TooFewNeurons(f"model {history.first.reference}, layer {layer}", neurons, _FEWEST_NEURONS)


def _by_layer(spans: tuple[SpanIndices, ...], coefficients: Mapping[int, float]) -> Terms:
    return lambda groups: [Term(spans, (layer,), groups, weight) for layer, weight in coefficients.items()]


def _layers_of(bands: Sequence[Band], depth: int) -> tuple[int, ...]:
    return tuple(sorted({layer for band in bands for layer in band.layers(depth)}))


def _mean_rate(history: History, spans: tuple[SpanIndices, ...], layers: Sequence[int]) -> float:
    terms = [Term(spans, (layer,), None, 1 / len(layers)) for layer in layers]
    return float(history.value(terms, history.joint))


def _quadratic(depth: int) -> dict[int, float]:
    """The orthogonal polynomial of degree 2 over the layers, scaled so that its positive weights sum to 1."""
    distance = np.arange(depth) - (depth - 1) / 2
    weights = distance**2 - np.mean(distance**2)
    scale = weights.clip(min=0).sum()
    return {layer: float(weight / scale) for layer, weight in enumerate(weights)}


def _rank_correlation(rates: Floats) -> Floats:
    """Spearman's correlation with the layer (...) of rates (..., layer); 0 where all tie, NaN with a NaN among them."""
    return np.asarray(np.where(np.isnan(rates).any(axis=-1), np.nan, np.nan_to_num(rank_correlation(rates))))


def two_lines(history: History, spans: tuple[SpanIndices, ...]) -> dict[str, float]:
    """Simonsohn's two-lines test of a U-shape of persistence over depth, as details; nothing where it cannot be done.

    Two regressions of "persisted" (0 or 1) on the layer, up to a break and from it on (Simonsohn 2018, Advances in
    Methods and Practices in Psychological Science 1, 538-555).  The break is set by his Robin Hood procedure: among the
    inner layers whose mean lies within one standard error of the lowest inner mean, first the median, then the quantile
    |z2| / (|z1| + |z2|) of these layers, so that the weaker line gets more of the data.  Errors of the slopes are
    clustered by neuron (a neuron counts once per pair and span).  It needs a universal neuron in each of at least three
    layers.

    Details: ``two_lines_breakpoint``; ``two_lines_first_slope`` and ``two_lines_second_slope``, change of the rate per
    layer; ``two_lines_first_p`` and ``two_lines_second_p``, two-sided p values.

    Deviation: the flexible fit that finds the lowest point is the mean of each layer instead of a cubic spline, because
    depth is a whole number.
    """
    rates = [rate for layer in range(history.layers) if (rate := history.rate(Term(spans, (layer,)))) is not None]
    if len(rates) < max(history.layers, 3):
        return {}
    layer, persisted, neuron = _rows(history, spans)
    means, errors = np.array([rate.value for rate in rates]), np.array([_error(rate) for rate in rates])
    inner = np.arange(1, history.layers - 1)
    lowest = inner[np.argmin(means[inner])]
    flat = np.sort(layer[np.isin(layer, inner[means[inner] <= means[lowest] + errors[lowest]])])
    middle = float(np.quantile(flat, 0.5, method="inverted_cdf"))
    _, z1, _, z2 = _two_slopes(layer, persisted, neuron, middle)
    weight = abs(z2) / (abs(z1) + abs(z2)) if abs(z1) + abs(z2) > 0 else 0.5
    breakpoint_ = float(np.quantile(flat, weight, method="inverted_cdf"))
    first, z1, second, z2 = _two_slopes(layer, persisted, neuron, breakpoint_)
    return {
        "two_lines_breakpoint": breakpoint_,
        "two_lines_first_slope": first,
        "two_lines_first_p": _two_sided(z1),
        "two_lines_second_slope": second,
        "two_lines_second_p": _two_sided(z2),
    }


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
    _, clustered = np.unique(cluster, return_inverse=True)
    scores = np.bincount(clustered, weights=centred * residual)
    clusters = scores.size
    error = math.sqrt(float(np.sum(scores**2)) * clusters / max(clusters - 1, 1)) / scale
    # Where every neuron of each layer did the same, the errors vanish, and certainty would be an artefact.
    return slope, slope / error if error > 1e-12 else 0.0


def _two_sided(z: float) -> float:
    return float(2 * scipy.stats.norm.sf(abs(z)))


def _error(rate: Rate) -> float:
    return float(np.sqrt(np.sum(rate.influence**2)))
