"""Intervals of the excess correlation of single neurons against a single partner."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from universal_neurons.measures.intervals import normal_quantile

if TYPE_CHECKING:
    from universal_neurons.measures.arrays import Floats
    from universal_neurons.measures.tables import UniversalityTable


class ExcessReach(NamedTuple):
    """Half the width of every neuron's interval of excess, (neuron,), and whether it is the neuron's own.

    The interval is excess -+ reach.  ``is_own`` (neuron,) is False where the width is pooled over the neurons that have
    no influence per token block.
    """

    reach: Floats
    is_own: npt.NDArray[np.bool_]


def excess_reach(table: UniversalityTable) -> ExcessReach:
    """The reach of the interval over token blocks of each neuron's excess against one partner.

    A correlation is smooth in the weights of the blocks, so that its bootstrap has a closed form: with influences I_b
    and multinomial weights w_b the variance of sum_b (w_b - 1) I_b is sum_b (I_b - mean I)^2 (Efron & Tibshirani 1993,
    section 6.4), and the reach is z times its root.  Only candidates have influences.  The others get z times
    root(mean (a - b)^2) / 2, pooled over all of them, from the excess a and b on the two halves of the tokens: each
    half has twice the variance of the whole, their difference four times.

    The baseline counts as known; its own spread over rotations is not part of the interval.  NaN where the excess is
    undefined, or where no neuron without influence has both halves.
    """
    z = normal_quantile(table.resampling.level)
    frame = table.frame
    is_own = np.zeros(len(frame), dtype=np.bool_)
    is_own[table.candidates] = True
    halves = (frame["excess_half_a"] - frame["excess_half_b"]).to_numpy(dtype=np.float64)[~is_own]
    halves = halves[~np.isnan(halves)]
    pooled = np.sqrt(np.mean(halves**2)) / 2 if halves.size else np.nan
    errors = np.full(len(frame), pooled)
    if table.candidates.size:
        influence = table.influence.astype(np.float64)
        errors[table.candidates] = np.sqrt(((influence - influence.mean(axis=0)) ** 2).sum(axis=0))
    errors[frame["excess"].isna().to_numpy()] = np.nan
    return ExcessReach(z * errors, is_own)
