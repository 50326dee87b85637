"""Duplicates of neurons in their own model, and how many of them respond to the first token of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.families import labelled
from universal_neurons.measures.intervals import wilson
from universal_neurons.measures.properties import Ranking, property_of

if TYPE_CHECKING:
    import pandas as pd

    from universal_neurons.measures.arrays import Flags, Floats
    from universal_neurons.measures.study import HasStep, Study

# A neuron responds where its pre-activation is more than so many standard deviations above its mean.
RESPONSE = 5.0
# Position 0 of a row, or a scored position after it that was drawn.
Position = Literal["first", "elsewhere"]


def duplicated(study: Study, checkpoint: HasStep, threshold: float, reference: str, *, above: float) -> Ranking:
    """1 for each neuron of a reference that another one of the model correlates with by more than ``above``, else 0."""
    correlation = _nearest(study, checkpoint, reference)
    return labelled(
        study, np.where(np.isnan(correlation), np.nan, correlation > above), checkpoint, threshold, reference
    )


def _nearest(study: Study, checkpoint: HasStep, reference: str) -> Floats:
    """The largest correlation of each neuron with another one of its model (neuron,); NaN for one that never varies."""
    table: pd.DataFrame = study.table("duplicates", model=reference, checkpoint=checkpoint)
    return table["correlation"].to_numpy(dtype=np.float64)


def responds(study: Study, checkpoint: HasStep, reference: str, at: Position) -> Flags:
    """Who of a reference's neurons (neuron,) responds at a position.

    Its pre-activation there is more than five standard deviations above its mean, both over the scored tokens.  Masks
    leave position 0 out of them, all but ``all``: there it is one of the L positions of a row and raises mean and
    deviation, so that five deviations are 5 / sqrt(1 - 26 / L) of the other positions', 5.1 in rows of 512 and 5.6 in
    rows of 128.  Raises NotOnSuite where rows do not begin with beginning-of-text.
    """
    positions: pd.DataFrame = study.table("positions", model=reference, checkpoint=checkpoint)
    properties: pd.DataFrame = study.table("properties", model=reference, checkpoint=checkpoint)
    mean, variance = (property_of(properties, name) for name in ("pre_mean", "pre_variance"))
    return np.asarray(property_of(positions, at) - mean > RESPONSE * np.sqrt(variance))


def responding_duplicates(study: Study, checkpoint: HasStep, *, above: float, at: Position = "first") -> Measurement:
    """The number of neurons of the suite's reference that have a near duplicate and respond at a position.

    Interval: Wilson's of their share of all neurons, times the number of these, over neurons.  Details: the number of
    neurons that respond, ``with_or_without`` a duplicate, and of all ``duplicates``.
    """
    is_responding = responds(study, checkpoint, study.reference, at)
    is_near = _nearest(study, checkpoint, study.reference) > above
    level = study.reference_tables(checkpoint=checkpoint).first.resampling.level
    total, found = len(is_near), int((is_near & is_responding).sum())
    low, high = (total * end for end in wilson(found, total, level=level))
    details = {"with_or_without": float(is_responding.sum()), "duplicates": float(is_near.sum())}
    return Measurement(float(found), low, high, total, Over.NEURONS, level, "neurons", details)


def responding(study: Study, checkpoint: HasStep, reference: str, *, above: float, at: Position = "first") -> Ranking:
    """1 for each neuron of a reference that responds at a position, else 0; near duplicates as the universal ones."""
    values = responds(study, checkpoint, reference, at).astype(np.float64)
    is_near = _nearest(study, checkpoint, reference) > above
    first = study.reference_tables(checkpoint=checkpoint, reference=reference).first
    return Ranking(first.neurons[0], values, np.full(len(values), np.nan), is_near, {}, first.resampling.level)
