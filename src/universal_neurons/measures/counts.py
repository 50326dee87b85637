"""Counts of universal neurons per layer: as measured, in bootstrap replicates, per rotation draw.

Every share is a statistic of the counts, a function of (counts, neurons) that keeps leading axes, so the value, its
replicates and its draws cannot differ in anything but the counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from universal_neurons.measures.arrays import Flags, Floats, Integers, ratio_or_nan
from universal_neurons.measures.cache import cached
from universal_neurons.measures.groups import Group, groups_of, series_of
from universal_neurons.measures.intervals import NOISE, ConfidenceInterval, extrapolated, extrapolated_interval
from universal_neurons.measures.tables import Definition, StepTables

Statistic = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True, slots=True)
class LayerCounts:
    """Counts of universal neurons, axes (..., group, checkpoint, layer), and the neurons they are counts of.

    ``replicates`` and ``draws`` have a leading axis of block bootstrap replicates and of rotation draws, ``noisy`` one
    of amounts of noise (intervals.NOISE), with the mean counts over replicates.
    """

    counts: Floats
    replicates: Floats
    noisy: Floats
    draws: Floats
    neurons: Floats  # (group, layer): defined at every checkpoint
    layer: Integers  # (neuron,)
    n: int  # neurons defined at every checkpoint in every group
    level: float

    @property
    def extrapolated(self) -> Floats:
        """The counts without noise."""
        return extrapolated(self.noisy)

    @property
    def moved(self) -> Floats:
        """The replicates moved to have the mean :attr:`extrapolated`, where the noise has lifted them away from it."""
        return np.asarray(self.replicates + (self.extrapolated - self.noisy[NOISE.index(1.0)]))

    def value(self, statistic: Statistic) -> Floats:
        """``statistic`` of the counts."""
        return statistic(self.counts, self.neurons)

    def token_interval(self, statistic: Statistic, within: tuple[float, float]) -> ConfidenceInterval:
        """The interval of ``statistic`` over token blocks; ``within`` are the least and the largest value it can have.

        Infinite where a replicate is: a number that may not exist has no interval, wherever its replicates are moved.
        """
        if not np.isfinite(statistic(self.replicates, self.neurons)).all():
            return ConfidenceInterval(-math.inf, math.inf)
        value, centre = float(self.value(statistic)), float(statistic(self.extrapolated, self.neurons))
        replicates = statistic(self.moved, self.neurons)
        return extrapolated_interval(value, replicates, centre, level=self.level, within=within)

    def draws_sd(self, statistic: Statistic) -> float:
        """Standard deviation (ddof 1) of ``statistic`` over rotation draws; NaN for fewer than two."""
        return sample_sd(statistic(self.draws, self.neurons))


def layer_counts(
    checkpoints: Sequence[StepTables], threshold: float, definition: Definition, *, resampled: bool = True
) -> LayerCounts:
    """The counts at ``checkpoints``, among the neurons that each group defines at all of them.

    Raises as :func:`groups.series_of`, and InfluenceMissing where non-candidates exceed ``threshold``.
    """
    series = series_of(checkpoints, threshold, definition)
    first = series[0][0].tables[0]
    layer = first.frame["layer"].to_numpy(dtype=np.int64)
    layers = int(layer.max()) + 1 if layer.size else 0
    kept = [np.all([~np.isnan(group.scores()) for group in groups], axis=0) for groups in series]
    counted = [
        [_counts(group, threshold, defined, layer, layers, resampled=resampled) for group in groups]
        for groups, defined in zip(series, kept, strict=True)
    ]
    fewest = min(count.draws.shape[0] for group in counted for count in group)
    return LayerCounts(
        counts=np.array([[count.measured for count in group] for group in counted]),
        replicates=np.moveaxis(np.array([[count.replicates for count in group] for group in counted]), 2, 0),
        noisy=np.moveaxis(np.array([[count.noisy for count in group] for group in counted]), 2, 0),
        draws=np.moveaxis(np.array([[count.draws[:fewest] for count in group] for group in counted]), 2, 0),
        neurons=np.array([_per_layer(layer[defined], layers) for defined in kept]),
        layer=layer,
        n=int(np.count_nonzero(np.all(kept, axis=0))),
        level=first.resampling.level,
    )


class _Counts(NamedTuple):
    """Universal neurons per layer: (layer,), in replicates, at amounts of noise, in draws (..., layer)."""

    measured: Floats
    replicates: Floats
    noisy: Floats
    draws: Floats


@cached
def _counts(
    group: Group, threshold: float, defined: Flags, layer: Integers, layers: int, *, resampled: bool
) -> _Counts:
    universal = defined & group.universal(threshold)
    counts = _per_layer(layer[universal], layers)
    if not resampled:
        nothing = np.empty((0, layers))
        return _Counts(counts, nothing, nothing, nothing)
    group.check_candidates(universal, threshold)
    candidates = group.tables[0].candidates
    others = universal.copy()
    others[candidates] = False
    fixed = _per_layer(layer[others], layers)
    kept = defined[candidates]
    membership = np.eye(layers)[layer[candidates[kept]]]
    states = group.noisy_states(threshold)[..., kept]
    draws = group.draw_states(threshold)[:, kept].astype(np.float64) @ membership + fixed
    return _Counts(
        measured=counts,
        replicates=states[NOISE.index(1.0)].astype(np.float64) @ membership + fixed,
        # As numpy's mean of flags, which takes twice as long for it.
        noisy=states.sum(axis=1, dtype=np.int32) / states.shape[1] @ membership + fixed,
        draws=draws,
    )


def _per_layer(layer: Integers, layers: int) -> Floats:
    return np.bincount(layer, minlength=layers).astype(np.float64)


def share_of(
    tables: StepTables, threshold: float, definition: Definition = Definition.PAIR, column: str = "excess"
) -> float:
    """The share by ``column`` alone, without interval; NaN where nothing is defined."""
    shares = []
    for group in groups_of(tables, definition):
        states = group.states(threshold, column)
        defined = states[~np.isnan(states)]
        shares.append(float(np.mean(defined)) if defined.size else np.nan)
    return float(np.mean(shares))


def sample_sd(values: Floats) -> float:
    """Sample standard deviation (ddof 1); NaN for fewer than two values."""
    return float(np.std(values, ddof=1)) if values.size > 1 else float("nan")


# Statistics: functions of counts (..., group, checkpoint, layer) and neurons (group, layer).


def shares(counts: Floats, neurons: Floats) -> Floats:
    """The share over all layers, mean over groups (..., checkpoint)."""
    return np.asarray(ratio_or_nan(counts.sum(axis=-1), neurons.sum(axis=-1)[:, None]).mean(axis=-2))


def layer_shares(counts: Floats, neurons: Floats) -> Floats:
    """The share of each layer, mean over groups (..., checkpoint, layer); NaN in a layer without neurons."""
    return np.asarray(ratio_or_nan(counts, neurons[:, None, :]).mean(axis=-3))


def over_checkpoints(counts: Floats, coefficients: Sequence[int]) -> Floats:
    """A contrast of whole counts (..., group, 1, layer).

    Taken before any division: a difference of two equal growths must be 0, not 1e-19, when it is judged against 0.
    """
    contrast = np.einsum("...cl,c->...l", counts, np.array(coefficients, dtype=np.float64))
    return np.asarray(contrast[..., None, :])


def share_contrast(*coefficients: int) -> Statistic:
    """The statistic: a contrast over checkpoints of the share over all layers, mean over groups (...)."""
    return lambda counts, neurons: np.asarray(shares(over_checkpoints(counts, coefficients), neurons)[..., 0])
