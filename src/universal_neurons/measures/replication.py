"""The comparisons of a public replication of Gurnee et al. 2024, which had one trained model instead of several.

It correlated the model with a noisy copy of itself, and with itself on other tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.measures.excess import excess_correlation
from universal_neurons.measures.groups import average_group
from universal_neurons.measures.properties import median_of
from universal_neurons.measures.shares import missing_share, neuron_share

if TYPE_CHECKING:
    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.tables import ReferenceTables


def universal_against_a_noisy_copy(tables: ReferenceTables, threshold: float, *, noise: float) -> Measurement:
    """The share of a model's neurons that are universal against a copy of the same model with noise, over neurons.

    The copy adds to each activation independent noise with ``noise`` times its standard deviation, so that a neuron
    correlates with its own copy by 1 / sqrt(1 + noise^2) and with no other by more.  The baseline is its mean one
    against the partners: the copy has no partner of its own.  Wilson's interval.  Details: that correlation, and the
    median baseline.  Missing where no baseline is defined.
    """
    group = average_group(tables)
    baseline = group.scores("baseline")
    baseline = baseline[~np.isnan(baseline)]
    if not baseline.size:
        return missing_share()
    correlation = float(1 / np.sqrt(1 + noise**2))
    found = int((excess_correlation(np.full(baseline.size, correlation), baseline) > threshold).sum())
    details = {"correlation": correlation, "baseline": float(np.median(baseline))}
    return neuron_share(found, baseline.size, level=group.resampling.level, details=details)


def typical_correlation(tables: ReferenceTables, *, of_directions: bool = False) -> Measurement:
    """The median over neurons of their largest correlation, mean over partners, over neurons (order statistics).

    ``of_directions``: with any rotated direction instead of any neuron.  Missing where none is defined.
    """
    group = average_group(tables)
    scores = group.scores("baseline" if of_directions else "correlation")
    return median_of(scores[~np.isnan(scores)], group.resampling.level)
