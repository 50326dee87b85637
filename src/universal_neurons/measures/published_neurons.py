"""Agreement of a model's neurons with a table that a paper's authors published of the same model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import scipy

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.controls import dealt_within_layers
from universal_neurons.measures.groups import average_group
from universal_neurons.measures.intervals import student_quantile
from universal_neurons.measures.joint import smallest, with_details
from universal_neurons.measures.properties import property_of
from universal_neurons.measures.shares import neuron_share

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from universal_neurons.measures.arrays import Floats, Integers
    from universal_neurons.measures.tables import ReferenceTables

# The columns of the published table, by ours (properties).
STATISTICS = {
    "w_in_norm": "w_in_norm",
    "input_bias": "input_bias",
    "w_out_norm": "w_out_norm",
    "cos_in_out": "in_out_sim",
    "weight_norm": "l2_penalty",
    "vocabulary_mean": "vocab_mean",
    "vocabulary_variance": "vocab_var",
    "vocabulary_skewness": "vocab_skew",
    "vocabulary_kurtosis": "vocab_kurt",
}
# Largest difference of two equal numbers, as a share of the number or of the column's root mean square.
EQUAL = 1e-4


def agreeing_weights(
    table: pd.DataFrame, published: Mapping[str, Floats], *, level: float, raw: bool = False, neighbours: bool = False
) -> Measurement:
    """The share of published neurons of which every weight statistic is ours within 1e-4, over neurons (Wilson).

    A difference is taken as a share of the published number, or of the root mean square of its column where that is
    larger, so that numbers near 0 need not be equal to all digits.  Details: the largest difference of each statistic.
    ``raw``: our statistics of the weights as stored, neither folded nor centred; ``neighbours``: of the next neuron of
    the layer.  Raises ValueError for a published neuron that the model does not have.
    """
    rows = _rows(table["layer"].to_numpy().astype(np.int64), published, neighbours=neighbours)
    ours = table if not raw else table.assign(**{name: table[f"raw_{name}"] for name in STATISTICS if name in table})
    differences = {}
    for mine, theirs in STATISTICS.items():
        value = published[theirs]
        size = np.maximum(np.abs(value), np.sqrt(np.mean(value**2)))
        differences[mine] = np.abs(property_of(ours, mine)[rows] - value) / size
    equal = np.all([difference <= EQUAL for difference in differences.values()], axis=0)
    details = {name: float(difference.max()) for name, difference in differences.items()}
    return neuron_share(int(equal.sum()), len(equal), level=level, details=details)


def same_universal_neurons(
    tables: ReferenceTables, published: Mapping[str, Floats], threshold: float, *, seed: int | None = None
) -> Measurement:
    """The smaller of recall and precision of our universal neurons against the published ones, over neurons (Wilson).

    Details: both.  With a ``seed`` ours are dealt out within layers.  Missing where we have none.
    """
    group = average_group(tables)
    layer = group.tables[0].frame["layer"].to_numpy().astype(np.int64)
    ours, theirs = group.universal(threshold), np.zeros(len(layer), dtype=np.bool_)
    theirs[_rows(layer, published)] = True
    if seed is not None:
        ours = ours[dealt_within_layers(layer, seed)]
    level, both = group.resampling.level, int((ours & theirs).sum())
    totals = {"recall": int(theirs.sum()), "precision": int(ours.sum())}
    parts = {name: neuron_share(both, total, level=level) for name, total in totals.items()}
    return with_details(smallest(list(parts.values())), **{name: part.value for name, part in parts.items()})


def slope_on_published_excess(
    tables: ReferenceTables, published: Mapping[str, Floats], *, seed: int | None = None
) -> Measurement:
    """The slope of the regression of our excess on the published one, over the published neurons.

    Least squares with Student's interval.  Details: the intercept, the root mean square of the differences (rmse) and
    the correlation.  The published neurons were chosen by their excess, which leaves the slope of ours on theirs as it
    is.  With a ``seed`` the published numbers are dealt out within layers.  Missing for fewer than three neurons.
    """
    group = average_group(tables)
    layer = group.tables[0].frame["layer"].to_numpy().astype(np.int64)
    rows, theirs = _rows(layer, published), published["excess_corr"]
    if seed is not None:
        theirs = theirs[dealt_within_layers(layer[rows], seed)]
    ours = group.scores()[rows]
    kept = ~np.isnan(ours)
    ours, theirs, level = ours[kept], theirs[kept], group.resampling.level
    if len(ours) < 3:
        return Measurement.missing(n=len(ours), over=Over.NEURONS)
    fitted = scipy.stats.linregress(theirs, ours)
    reach = student_quantile(level, len(ours) - 1) * float(fitted.stderr)
    slope = float(fitted.slope)
    found = Measurement(slope, slope - reach, slope + reach, len(ours), Over.NEURONS, level)
    details = {
        "intercept": float(fitted.intercept),
        "rmse": float(np.sqrt(np.mean((ours - theirs) ** 2))),
        "correlation": float(fitted.rvalue),
    }
    return replace(found, details=details)


def _rows(layer: Integers, published: Mapping[str, Floats], *, neighbours: bool = False) -> Integers:
    """The rows of the published neurons in a table sorted by layer, or of the next neurons of their layers."""
    layers, starts, widths = np.unique(layer, return_index=True, return_counts=True)
    at, number = (published[name].astype(np.int64) for name in ("layer", "neuron"))
    known = np.isin(at, layers)
    place = np.searchsorted(layers, np.where(known, at, layers[0]))
    if not (known & (number >= 0) & (number < widths[place])).all():
        raise ValueError("the published table has neurons that the model does not have")
    return np.asarray(starts[place] + (number + neighbours) % widths[place])
