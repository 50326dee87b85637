from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from tests.measures.tables import table
from universal_neurons.measures.depth import halves, rank_correlation, same_depth_mass

LAYERS = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]


def test_the_halves_of_the_layers_leave_the_middle_one_out() -> None:
    assert halves(4) == (slice(0, 2), slice(2, 4))
    assert halves(3) == (slice(0, 1), slice(2, 3))


def test_the_rank_correlation_with_depth_is_spearmans_row_by_row() -> None:
    rows = np.array([[0.2, 0.4, 0.4, 0.9, 0.8], [0.9, 0.5, 0.1, 0.3, 0.2], [0.3] * 5, [0.1, np.nan, 0.2, 0.3, 0.4]])
    found = rank_correlation(rows)
    assert found[:2] == pytest.approx([stats.spearmanr(range(5), row).statistic for row in rows[:2]])
    assert np.isnan(found[2:]).all()


def test_the_expected_mass_is_the_mean_over_all_permutations_of_the_partner_layers() -> None:
    layer, partner = [0, 0, 1, 2, 3, 3], [0, 1, 1, 3, 3, 2]
    measured = same_depth_mass(table([0.3] * 6, layer=layer, partner_layer=partner))
    near = [np.mean(np.abs(np.array(layer) - np.array(order)) <= 1) for order in permutations(partner)]
    assert measured.details["mass"] == 1.0
    assert measured.details["expected"] == pytest.approx(np.mean(near))
    assert measured.value == pytest.approx(1 - np.mean(near))
    relabelled = [
        np.mean([abs(x - names[y]) <= 1 for x, y in zip(layer, partner, strict=True)])
        for names in permutations(range(4))
    ]
    assert measured.details["expected_uniform"] == pytest.approx(np.mean(relabelled))


def test_one_layer_that_attracts_every_neuron_is_no_specialisation() -> None:
    layer = np.repeat([0, 1, 2, 3], 25)
    measured = same_depth_mass(table([0.3] * 100, layer=layer, partner_layer=np.ones(100)))
    assert measured.details["mass"] == 0.75
    assert measured.value == pytest.approx(0, abs=1e-12)


def test_neurons_without_partner_are_left_out_and_counted() -> None:
    measured = same_depth_mass(table([0.3, np.nan, 0.3], layer=[0, 1, 3], partner_layer=[0, -1, 3]))
    assert measured.n == 2
    assert measured.details["undefined"] == 1
    assert measured.details["mass"] == 1.0
    assert same_depth_mass(table([np.nan], partner_layer=[-1])).is_missing


def test_partners_in_random_layers_have_no_excess_mass_as_often_as_the_interval_says() -> None:
    generator = np.random.default_rng(6)
    layer = np.repeat([0, 1, 2, 3], 200)
    hits = 0
    for _ in range(200):
        measured = same_depth_mass(table(np.full(800, 0.3), layer=layer, partner_layer=generator.integers(0, 4, 800)))
        hits += measured.low <= 0 <= measured.high
    assert 0.92 <= hits / 200 <= 0.98
