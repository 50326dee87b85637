"""Coverage of the intervals over token blocks, in populations of neurons whose true correlations are known.

The truth is the number with the true correlations, what infinitely many tokens would give.  Correlations and standard
errors are as in a small suite (mini) and half as much again; nothing here was fitted to a verdict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from universal_neurons.measures.groups import Group
from universal_neurons.measures.intervals import ConfidenceInterval, percentile_interval
from universal_neurons.measures.tables import Definition, ReferenceTables, Resampling, UniversalityTable
from universal_neurons.measures.universality import (
    definition_share,
    share_difference,
    universal_share,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.arrays import Floats

# The standard error of a coverage of 95 % is 1.1 percentage points.
DRAWS = 400
BLOCKS = 100
RESAMPLING = Resampling(resamples=200, level=0.95, seed=3)
NEAR = 0.15  # about ten standard errors: neurons that lie lower never cross the threshold


@dataclass(frozen=True)
class Population:
    """How the correlations of a reference's neurons are distributed, over several tables at once.

    ``alike`` and ``shared`` are the correlations, from one table to the next, of the true values and of the noise.
    """

    neurons: int
    threshold: float
    means: tuple[float, ...]
    alike: float = 0.87
    shared: float = 0.74
    error: float = 0.022

    def tables(self, generator: np.random.Generator) -> tuple[Floats, list[UniversalityTable]]:
        """The true correlations (table, neuron) and what one corpus of 100 blocks makes of them."""
        shape = (len(self.means), self.neurons)
        truth = np.array(self.means)[:, None] + 0.16 * chained(generator.standard_normal(shape), self.alike)
        candidates = np.flatnonzero((truth > self.threshold - NEAR).any(axis=0))
        spread = np.exp(0.5 * generator.standard_normal(candidates.size))
        errors = self.error * (1 - truth[:, candidates] ** 2) * spread
        # Blocks of tokens differ in how much they matter; it gives influences the kurtosis of mini's, above 4.
        weight = np.exp(0.3 * generator.standard_normal((BLOCKS, 1)) - 0.09)
        noise = weight * generator.standard_normal((len(self.means), BLOCKS, candidates.size))
        moves = errors[:, None, :] * chained(noise, self.shared) / math.sqrt(BLOCKS)
        excess = truth.copy()
        excess[:, candidates] += moves.sum(axis=1)
        influence = (moves - moves.mean(axis=1, keepdims=True)).astype(np.float32)
        return truth, [
            measured(excess[row], candidates, influence[row], partner="bcde"[row], step=row)
            for row in range(len(self.means))
        ]


def chained(noise: Floats, correlation: float) -> Floats:
    """Each entry along the first axis correlated with the one before it."""
    for row in range(1, len(noise)):
        noise[row] = correlation * noise[row - 1] + math.sqrt(1 - correlation**2) * noise[row]
    return noise


def measured(
    excess: Floats, candidates: npt.NDArray[np.int64], influence: Floats, *, partner: str, step: int
) -> UniversalityTable:
    columns = ("correlation", "excess", "excess_half_a", "excess_half_b")
    zeros = np.zeros(excess.size, dtype=np.int16)
    frame = pd.DataFrame({"layer": zeros, "neuron": np.arange(excess.size), **dict.fromkeys(columns, excess)})
    draws = np.zeros((2, candidates.size))
    return UniversalityTable("a", partner, step, frame, candidates, influence, draws, RESAMPLING)


def at_steps(tables: list[UniversalityTable]) -> list[UniversalityTable]:
    """The same tables against one partner at successive steps."""
    return [
        UniversalityTable("a", "b", t.step, t.frame, t.candidates, t.influence, t.draws, t.resampling) for t in tables
    ]


def of_partners(tables: list[UniversalityTable]) -> ReferenceTables:
    """The same tables against several partners at one step."""
    return ReferenceTables.of(
        [
            UniversalityTable("a", t.partner, 1, t.frame, t.candidates, t.influence, t.draws, t.resampling)
            for t in tables
        ]
    )


def mean_share(population: Population, tables: list[UniversalityTable]) -> Measurement:
    return definition_share(of_partners(tables), Definition.PAIR, population.threshold)


def difference(population: Population, tables: list[UniversalityTable]) -> Measurement:
    earlier, later = at_steps(tables)
    return share_difference(earlier, later, population.threshold)


# The numbers as functions of the shares (table,), without any code of the measures.
TRUTHS: dict[Callable[[Population, list[UniversalityTable]], Measurement], Callable[[Floats], float]] = {
    mean_share: lambda shares: float(shares.mean()),
    difference: lambda shares: float(shares[1] - shares[0]),
}
FOUR = (0.22, 0.22, 0.22, 0.22)


def covers(interval: ConfidenceInterval, truth: float) -> bool:
    """With room for rounding: a share and its truth may be the same count divided in another order."""
    return interval.low - 1e-12 <= truth <= interval.high + 1e-12


@pytest.mark.parametrize(
    ("population", "number"),
    [
        pytest.param(Population(1024, 0.5, (0.22,)), mean_share, id="share"),
        pytest.param(Population(2048, 0.6, (0.22,)), mean_share, id="share, high threshold"),
        pytest.param(Population(512, 0.5, (0.22,)), mean_share, id="share, few neurons"),
        pytest.param(Population(512, 0.5, FOUR, shared=0.72), mean_share, id="mean share of four partners"),
        pytest.param(Population(512, 0.5, (0.20, 0.22)), difference, id="difference"),
        pytest.param(Population(1024, 0.6, (0.20, 0.22)), difference, id="difference, high threshold"),
    ],
)
def test_the_intervals_cover_the_value_without_noise(
    population: Population, number: Callable[[Population, list[UniversalityTable]], Measurement]
) -> None:
    generator = np.random.default_rng(20251109)
    covered = 0
    for _ in range(DRAWS):
        truth, tables = population.tables(generator)
        found = number(population, tables)
        covered += covers(
            ConfidenceInterval(found.low, found.high), TRUTHS[number]((truth > population.threshold).mean(axis=1))
        )
    assert 0.93 <= covered / DRAWS <= 0.97


def test_the_percentile_interval_does_not_cover_the_share_without_noise() -> None:
    # What the test above would find of the interval that it replaced; fails if these populations are too easy to tell.
    population, generator, covered = Population(2048, 0.5, (0.22,)), np.random.default_rng(20251109), 0
    for _ in range(200):
        truth, (table,) = population.tables(generator)
        replicates = (
            Group((table,), Definition.PAIR).replicate_states(population.threshold).sum(axis=1) / population.neurons
        )
        value = universal_share(table, population.threshold).value
        interval = percentile_interval(value, replicates, level=0.95)
        covered += covers(interval, float((truth[0] > population.threshold).mean()))
    assert covered / 200 < 0.8
