"""Rates at which universal neurons stay universal: as measured, in replicates, and over neurons.

A neuron of the reference is the same (layer, index) at every checkpoint and is never matched again; its partner may
change (claims/README.md, Definitions).  A rate is sum(given and then) / sum(given) over neurons and, where several are
pooled, over partners and spans of time.

A rate has two intervals.  Over neurons: Wilson's with an effective number of neurons, because one neuron that is
universal against four partners is not four neurons.  Over token blocks: the same rate in paired replicates.  They
carry the noise of the tokens once more than the value does and move neurons across the threshold on both sides, so that
interval is not centred on the value; it stands in the details, and the interval over neurons is judged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.measures.arrays import Flags, Floats, Integers, ratio_or_nan
from universal_neurons.measures.groups import Group, series_of
from universal_neurons.measures.intervals import ConfidenceInterval, normal_quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from universal_neurons.measures.tables import Definition, StepTables, UniversalityTable

# The numbers of two checkpoints of a history: the condition is universal at the first of them.
SpanIndices = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Term:
    """``coefficient`` times the rate of one pool of neurons, P(universal at ``then`` | universal at ``given``).

    The pool is over ``spans`` of (given, then), over ``groups`` and over ``layers``; None means all of them.
    """

    spans: tuple[SpanIndices, ...]
    layers: tuple[int, ...] | None = None
    groups: tuple[int, ...] | None = None
    coefficient: float = 1.0


@dataclass(frozen=True, eq=False)
class Rate:
    """A proportion of neurons and its interval.

    ``effective`` is the number of neurons that a simple random sample would need for the same variance (Kish 1965,
    Survey Sampling, section 8.2); ``influence`` (neuron,) is the part of each neuron in the error of
    ``value``; ``given`` (neuron,) marks the neurons of the pool; ``count`` counts each once per partner and span.
    """

    value: float
    effective: float
    influence: Floats
    given: Flags
    count: int

    def limits(self, level: float) -> ConfidenceInterval:
        """Wilson's score interval (Wilson 1927, JASA 22, 209-212) with ``effective`` units instead of a count.

        For clustered units: Korn & Graubard 1998, Survey Methodology 24, 193-201; Dean & Pagano 2015, Journal of Survey
        Statistics and Methodology 3, 484-503.  With one group and one span it is :func:`intervals.wilson` itself.
        """
        z = normal_quantile(level)
        centre = self.value + z**2 / (2 * self.effective)
        reach = z * math.sqrt(self.value * (1 - self.value) / self.effective + (z / (2 * self.effective)) ** 2)
        low, high = ((centre + sign * reach) / (1 + z**2 / self.effective) for sign in (-1, 1))
        return ConfidenceInterval(
            0.0 if self.value == 0 else min(low, self.value), 1.0 if self.value == 1 else max(high, self.value)
        )


def rate_of(given: Flags, then: Flags) -> Rate | None:
    """The share of ``given`` that is also ``then``, both (pool, neuron), one column per neuron; None for no given.

    With r_i = sum over the pool of (given and then) - value * given, the variance over neurons is sum r_i^2 / count^2;
    against value (1 - value) / count it gives the effective number.  It is never above count, nor, where nothing varies
    (all or none persist), above the number of neurons: four partners of one neuron may then all say the same.
    """
    count = int(np.count_nonzero(given))
    if count == 0:
        return None
    per_neuron = given.sum(axis=0)
    stayed = (given & then).sum(axis=0)
    value = float(stayed.sum() / count)
    influence = (stayed - value * per_neuron) / count
    variance, simple = float(np.sum(influence**2)), value * (1 - value)
    present = np.asarray(per_neuron > 0)
    effective = min(simple / variance, float(count)) if simple > 0 and variance > 0 else float(present.sum())
    return Rate(value, effective, influence, present, count)


def combined(rates: Sequence[Rate], coefficients: Sequence[float], *, level: float) -> tuple[float, ConfidenceInterval]:
    """The sum of coefficient times rate, with its interval over neurons.

    With t_k = c_k p_k and the distances d_k from p_k to that limit of its own interval which lowers t_k, the lower end
    is sum t_k - sqrt(sum_jk r_jk c_j d_j c_k d_k), the upper end likewise (MOVER: Zou, Huang & Zhang 2009,
    Computational Statistics and Data Analysis 53, 1080-1085, for independent proportions; with correlations Zou 2007,
    Psychological Methods 12, 399-413).  r_jk is the correlation of the two errors over neurons: 0 for rates of
    different neurons, as of two layers.  Unlike a bootstrap it has width where every neuron of a layer persisted.
    """
    weights = np.array(coefficients, dtype=np.float64)
    values = np.array([rate.value for rate in rates])
    limits = np.array([rate.limits(level) for rate in rates])
    value = float(weights @ values)
    related = _correlations([rate.influence for rate in rates])
    below, above = values - limits[:, 0], limits[:, 1] - values
    lowered = weights * np.where(weights >= 0, below, above)
    raised = weights * np.where(weights >= 0, above, below)
    low, high = (math.sqrt(max(float(side @ related @ side), 0.0)) for side in (lowered, raised))
    return value, ConfidenceInterval(
        max(value - low, min(value, float(weights.clip(max=0).sum()))),
        min(value + high, max(value, float(weights.clip(min=0).sum()))),
    )


@dataclass(frozen=True, eq=False)
class History:
    """The universal neurons at several checkpoints, against each partner (group), by one definition and threshold.

    A neuron belongs to a group where it is defined at every checkpoint; elsewhere it is in no rate.
    """

    series: tuple[tuple[Group, ...], ...]  # (group, checkpoint)
    threshold: float
    resampled: bool = True  # whether there are replicates and draws

    @classmethod
    def of(
        cls, checkpoints: Sequence[StepTables], threshold: float, definition: Definition, *, resampled: bool = True
    ) -> History:
        """The history over ``checkpoints``; raises as :func:`groups.series_of`."""
        return _history(series_of(checkpoints, threshold, definition), threshold, resampled)

    @property
    def first(self) -> UniversalityTable:
        """The table of the first group at the first checkpoint."""
        return self.series[0][0].tables[0]

    @property
    def level(self) -> float:
        """The level of the intervals."""
        return self.first.resampling.level

    @property
    def groups(self) -> int:
        """Number of partners, or 1 where a definition combines them."""
        return len(self.series)

    @cached_property
    def layer(self) -> Integers:
        """The layer of every neuron (neuron,)."""
        return self.first.frame["layer"].to_numpy(dtype=np.int64)

    @property
    def layers(self) -> int:
        """The depth of the reference."""
        return int(self.layer.max(initial=-1)) + 1

    @cached_property
    def defined(self) -> Flags:
        """Flags of the neurons defined at every checkpoint (group, neuron)."""
        return np.array([np.all([~np.isnan(group.scores()) for group in row], axis=0) for row in self.series])

    @cached_property
    def states(self) -> Flags:
        """Flags of the neurons defined throughout and universal then (group, checkpoint, neuron)."""
        return self.column_states("excess")

    def column_states(self, column: str) -> Flags:
        """The same by another column, such as the excess on half of the tokens."""
        above = np.array([[group.universal(self.threshold, column) for group in row] for row in self.series])
        return above & self.defined[:, None, :]

    def rate(self, term: Term) -> Rate | None:
        """The rate of a term; None where no neuron is given."""
        inside = np.ones(self.layer.size, dtype=np.bool_) if term.layers is None else np.isin(self.layer, term.layers)
        groups = range(self.groups) if term.groups is None else term.groups
        pool = [(self.states[group, given], self.states[group, then]) for group in groups for given, then in term.spans]
        return rate_of(np.array([given & inside for given, _ in pool]), np.array([then for _, then in pool]))

    @cached_property
    def joint(self) -> Floats:
        """Number of neurons universal at both (group, checkpoint, checkpoint, layer); on the diagonal, at one."""
        return np.array([_joint(states[..., None], self._membership)[0] for states in np.asarray(self.states)])

    @cached_property
    def joint_replicates(self) -> Floats:
        """:attr:`joint` in each replicate of the token blocks (resample, ...)."""
        return self._resampled(lambda group: group.replicate_states(self.threshold))

    @cached_property
    def joint_draws(self) -> Floats:
        """:attr:`joint` with each rotation draw alone as the baseline (draw, ...)."""
        return self._resampled(lambda group: group.draw_states(self.threshold))

    def value(self, terms: Sequence[Term], joint: Floats) -> Floats:
        """The sum of the terms (...) from ``joint`` (..., group, checkpoint, checkpoint, layer); NaN for no given."""
        return np.asarray(sum(term.coefficient * self._pooled(term, joint) for term in terms))

    @cached_property
    def _membership(self) -> Floats:
        return np.eye(self.layers)[self.layer]

    def _pooled(self, term: Term, joint: Floats) -> Floats:
        layers = np.arange(self.layers) if term.layers is None else np.array(term.layers, dtype=np.int64)
        groups = np.arange(self.groups) if term.groups is None else np.array(term.groups, dtype=np.int64)
        inside = joint[..., groups, :, :, :][..., layers].sum(axis=(-1, -4))
        stayed = np.sum([inside[..., given, then] for given, then in term.spans], axis=0)
        counted = np.sum([inside[..., given, given] for given, _ in term.spans], axis=0)
        return ratio_or_nan(stayed, counted)

    def _resampled(self, states_of: Callable[[Group], Flags]) -> Floats:
        if not self.resampled:
            return np.empty((0, *self.joint.shape))
        of_groups = []
        for row, measured, defined in zip(self.series, self.states, self.defined, strict=True):
            moving = np.unique(np.concatenate([group.tables[0].candidates for group in row]))
            columns = np.union1d(moving, np.flatnonzero(measured.any(axis=0)))
            resampled = []
            for group, state in zip(row, measured, strict=True):
                candidates = group.tables[0].candidates
                group.check_candidates(state, self.threshold)
                drawn = states_of(group).T
                kept = np.repeat(state[columns, None], drawn.shape[1], axis=1)
                kept[np.searchsorted(columns, candidates)] = drawn & defined[candidates, None]
                resampled.append(kept)
            fewest = min(states.shape[1] for states in resampled)
            stacked = np.stack([states[:, :fewest] for states in resampled])
            of_groups.append(_joint(stacked, self._membership[columns]))
        fewest = min(joint.shape[0] for joint in of_groups)
        return np.stack([joint[:fewest] for joint in of_groups], axis=1)


# Several claims ask the same history; its replicates are computed on demand and then stay with it: some megabytes each.
@lru_cache(maxsize=64)
def _history(series: tuple[tuple[Group, ...], ...], threshold: float, resampled: bool) -> History:  # noqa: FBT001
    return History(series, threshold, resampled)


def _joint(states: Flags, membership: Floats) -> Floats:
    """(checkpoint, neuron, resample) and (neuron, layer) -> (resample, checkpoint, checkpoint, layer)."""
    ever = states.any(axis=(0, 2))
    # Counts of neurons are exact in float32, and twice as fast.
    states, layers = states[:, ever], membership[ever].T.astype(np.float32)
    checkpoints, _, resamples = states.shape
    joint = np.empty((resamples, checkpoints, checkpoints, len(layers)))
    for x in range(checkpoints):
        for y in range(x, checkpoints):
            both = (layers @ (states[x] & states[y]).astype(np.float32)).T
            joint[:, x, y], joint[:, y, x] = both, both
    return joint


def _correlations(influences: Sequence[Floats]) -> Floats:
    """Correlation of the errors (rate, rate); 0 beside a rate that no neuron moves, 1 on the diagonal."""
    stacked = np.stack(influences)
    products = stacked @ stacked.T
    scale = np.sqrt(np.outer(np.diag(products), np.diag(products)))
    related = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    np.fill_diagonal(related, 1.0)
    return np.asarray(related)
