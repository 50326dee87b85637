"""Universal neurons over the depth of a model: growth of deeper layers, and layers of the best partners."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.arrays import ratio_or_nan
from universal_neurons.measures.cache import cached
from universal_neurons.measures.intervals import percentile_interval
from universal_neurons.measures.shares import SHARE, missing_share

if TYPE_CHECKING:
    from universal_neurons.measures.arrays import Floats
    from universal_neurons.measures.tables import UniversalityTable


@cached
def same_depth_mass(table: UniversalityTable) -> Measurement:
    """The share of neurons whose best partner lies at most one layer away, minus its expectation by chance.

    With the cell shares p(l, m) of neurons in layer l whose best partner lies in layer m (Gurnee et al. 2024, figure
    2c): sum over |l - m| <= 1 of p(l, m) - p(l .) p(. m).  The second term is the exact mean over all permutations
    of the partner layers among the neurons; it keeps how often each layer is anyone's best partner, so that one layer
    that attracts everything is no specialisation.  Interval: percentile bootstrap over neurons, the expectation
    recomputed in every replicate.  Details: ``mass``, ``expected``, ``expected_uniform`` (the expectation when the
    layers of the partner are relabelled at random instead), ``undefined``.  Neurons without a partner are left out;
    missing where none has one.

    Deviation: the paper shows the heat map without a chance level; the expectation is ours.
    """
    cells = _layer_cells(table)
    n = int(cells.sum())
    if n == 0:
        return missing_share()
    generator = np.random.default_rng(table.resampling.seed)
    resampled = generator.multinomial(n, (cells / n).ravel(), size=table.resampling.resamples)
    mass, expected = _depth_terms(cells / n)
    replicate_mass, replicate_expected = _depth_terms(resampled.reshape(-1, *cells.shape) / n)
    value = float(mass - expected)
    low, high = percentile_interval(value, replicate_mass - replicate_expected, level=table.resampling.level)
    near = _near(len(cells))
    details = {
        "mass": float(mass),
        "expected": float(expected),
        "expected_uniform": float(cells.sum(axis=1) @ near.mean(axis=1) / n),
        "undefined": float(len(table.frame) - n),
    }
    return Measurement(value, low, high, n, Over.NEURONS, table.resampling.level, SHARE, details)


def rank_correlation(values: Floats) -> Floats:
    """Spearman's rank correlation of layer number and ``values`` (..., layer), ties ranked by their mean.

    Values that differ by less than 1e-12 tie.  NaN where all layers tie or one has no value.
    """
    ranks = scipy.stats.rankdata(np.round(values, 12), axis=-1)
    ranks = ranks - ranks.mean(axis=-1, keepdims=True)
    depth = np.arange(values.shape[-1]) - (values.shape[-1] - 1) / 2
    scale = np.sqrt((ranks**2).sum(axis=-1) * (depth**2).sum())
    return ratio_or_nan((ranks * depth).sum(axis=-1), scale)


def halves(layers: int) -> tuple[slice, slice]:
    """The shallower and the deeper half of the layers; the middle one of an odd number belongs to neither."""
    half = layers // 2
    return slice(0, half), slice(layers - half, layers)


def _layer_cells(table: UniversalityTable) -> Floats:
    """Number of neurons whose best partner lies there (layer, partner layer); square, to compare layers."""
    layer, partner = (table.frame[name].to_numpy(dtype=np.int64) for name in ("layer", "partner_layer"))
    layers = max(int(layer.max(initial=-1)), int(partner.max(initial=-1))) + 1
    defined = partner >= 0
    cells = np.bincount(layer[defined] * layers + partner[defined], minlength=layers**2)
    return cells.reshape(layers, layers).astype(np.float64)


def _depth_terms(shares: Floats) -> tuple[Floats, Floats]:
    """Mass near the diagonal of (..., layer, partner layer), and its mean over permutations of the partner layers."""
    near = _near(shares.shape[-1])
    mass = np.einsum("...xy,xy->...", shares, near)
    expected = np.einsum("...x,...y,xy->...", shares.sum(axis=-1), shares.sum(axis=-2), near)
    return mass, expected


def _near(layers: int) -> Floats:
    """1 where two layers are the same or next to each other (layer, partner layer), else 0."""
    depth = np.arange(layers)
    return np.asarray(np.abs(depth[:, None] - depth) <= 1, dtype=np.float64)
