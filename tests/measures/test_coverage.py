"""Coverage of every kind of interval that a claim is judged by; ``nox -s coverage`` measures it with more studies."""

from __future__ import annotations

import numpy as np
import pytest

from tests.measures.coverage import KINDS, Population, coverage
from universal_neurons.measures.groups import Group
from universal_neurons.measures.intervals import percentile_interval
from universal_neurons.measures.tables import Definition
from universal_neurons.measures.universality import universal_share

# The standard error of a coverage of 95 % is 1.1 percentage points.
DRAWS = 400


@pytest.mark.parametrize("name", KINDS)
def test_the_intervals_cover_the_truth(name: str) -> None:
    assert 0.925 <= coverage(KINDS[name], DRAWS, seed=20251109).covered <= 0.98


def test_percentiles_of_a_skewed_mean_cover_less() -> None:
    # What the studentised interval replaced; fails if the populations are too easy to tell.
    generator, blocks, covered = np.random.default_rng(1), 100, 0
    for _ in range(1000):
        rows = np.exp(0.7 * generator.standard_normal(blocks) - 0.245)
        means = generator.multinomial(blocks, np.full(blocks, 1 / blocks), size=400) @ rows / blocks
        interval = percentile_interval(float(rows.mean()), means, level=0.95)
        covered += interval.low <= 1 <= interval.high
    assert covered / 1000 < 0.935


def test_the_percentile_interval_does_not_cover_the_share_without_noise() -> None:
    # What the extrapolated interval replaced; fails if these populations are too easy to tell.
    population, generator, covered = Population(2048, 0.5, (0.22,)), np.random.default_rng(20251109), 0
    for _ in range(200):
        truth, (table,) = population.tables(generator)
        replicates = (
            Group((table,), Definition.PAIR).replicate_states(population.threshold).sum(axis=1) / population.neurons
        )
        value = universal_share(table, population.threshold).value
        interval = percentile_interval(value, replicates, level=0.95)
        share = float((truth[0] > population.threshold).mean())
        covered += interval.low - 1e-12 <= share <= interval.high + 1e-12
    assert covered / 200 < 0.8
