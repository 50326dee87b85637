"""Shares of universal neurons over several reference models (claims/README.md, A2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.arrays import ratio_or_nan
from universal_neurons.measures.cache import cached
from universal_neurons.measures.counts import LayerCounts, layer_counts
from universal_neurons.measures.intervals import extrapolated_interval, jackknife_details
from universal_neurons.measures.tables import Definition
from universal_neurons.measures.universality import SHARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.measures.arrays import Floats
    from universal_neurons.measures.tables import ReferenceTables


@cached
def share_over_references(references: Sequence[ReferenceTables], threshold: float) -> Measurement:
    """The per-pair share, mean over partners and then over several reference models.

    Interval: as of a share, over token blocks, the same block weights for every reference because all read the same
    tokens.  Details: ``lowest`` and ``highest`` of the references, ``models_low``/``models_high``, the jackknife over
    references, from two on.  Missing where a reference has no defined neuron.  Raises ValueError without a reference.
    """
    return _over_references([[tables] for tables in references], threshold, (1,))


@cached
def growth_over_references(
    earlier: Sequence[ReferenceTables], later: Sequence[ReferenceTables], threshold: float
) -> Measurement:
    """The growth of :func:`share_over_references` between two checkpoints, neurons and token blocks paired.

    Raises ValueError for no reference, or for references that differ between the checkpoints.
    """
    return _over_references([list(both) for both in zip(earlier, later, strict=True)], threshold, (-1, 1))


def _over_references(
    references: Sequence[Sequence[ReferenceTables]], threshold: float, coefficients: tuple[int, ...]
) -> Measurement:
    """A contrast over checkpoints of the per-pair shares, mean over pairs and then over references."""
    if not references:
        raise ValueError("a mean over reference models: got none")
    counts = [layer_counts(checkpoints, threshold, Definition.PAIR) for checkpoints in references]
    values = np.array([_contrast(each.counts, each, coefficients) for each in counts])
    n, level = sum(each.n for each in counts), counts[0].level
    if np.isnan(values).any():
        return Measurement.missing(n=n, over=Over.TOKEN_BLOCKS, unit=SHARE)
    value = float(values.mean())
    replicates = np.mean([_contrast(each.moved, each, coefficients) for each in counts], axis=0)
    centre = np.mean([_contrast(each.extrapolated, each, coefficients) for each in counts])
    least = 0.0 if len(coefficients) == 1 else -1.0
    low, high = extrapolated_interval(value, replicates, float(centre), level=level, within=(least, 1.0))
    details = {"lowest": float(values.min()), "highest": float(values.max())}
    rest = [float(np.delete(values, left_out).mean()) for left_out in range(len(values))] if len(values) > 1 else []
    details |= jackknife_details(value, rest, level=level)
    return Measurement(value, low, high, n, Over.TOKEN_BLOCKS, level, SHARE, details)


def _contrast(layers: Floats, counts: LayerCounts, coefficients: tuple[int, ...]) -> Floats:
    """The contrast (...) of counts (..., pair, checkpoint, layer); NaN where a pair has no defined neuron."""
    # Before any division: equal counts must differ by 0 and not by a rounding error.
    summed = layers.sum(axis=-1) @ np.array(coefficients, dtype=np.float64)
    return np.asarray(ratio_or_nan(summed, counts.neurons.sum(axis=-1)).mean(axis=-1))
