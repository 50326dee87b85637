"""Distributions over neurons against direct counting."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.measures.labels import plain_table
from universal_neurons.measurement import Over
from universal_neurons.measures.distributions import (
    bounded_median,
    dealt_range,
    medians_by_bin,
    medians_by_layer,
    partner_layers,
    share_among,
    shares_by_bin,
    shares_by_layer,
)
from universal_neurons.measures.intervals import wilson
from universal_neurons.measures.properties import Ranking, percentiles_in_layers
from universal_neurons.measures.tables import ReferenceTables

LEVEL = 0.95
LAYER = np.repeat(np.arange(3), 40)


def ranking(values: np.ndarray, universal: np.ndarray) -> Ranking:
    return Ranking(LAYER, values, percentiles_in_layers(LAYER, values), universal, {}, LEVEL)


def test_shares_by_bin_are_counts_over_all_known_neurons() -> None:
    values = np.array([0.1, 0.1, 0.4, 0.99, np.nan, 1.0, -3.0])
    found = shares_by_bin(values, np.array([0.0, 0.25, 0.5, 1.0]), level=LEVEL)
    assert [m.value for m in found] == [2 / 6, 1 / 6, 2 / 6]
    assert (found[0].low, found[0].high) == wilson(2, 6, level=LEVEL)
    assert {(m.n, m.over, m.unit) for m in found} == {(6, Over.NEURONS, "share")}


def test_of_no_neuron_every_share_is_missing() -> None:
    found = shares_by_bin(np.array([np.nan]), np.array([0.0, 0.5, 1.0]), level=LEVEL)
    assert [m.is_missing for m in found] == [True, True]


def test_shares_by_layer_are_of_all_models_and_among_some_neurons_only() -> None:
    one = (np.array([0, 0, 0, 1]), np.array([True, True, False, True]), np.array([True, False, True, True]))
    other = (np.array([0, 1]), np.array([True, False]), np.array([True, True]))
    first, second, third = shares_by_layer([one, other], depth=3, level=LEVEL)
    assert (first.value, first.n, second.value, second.n) == (2 / 3, 3, 1 / 2, 2)
    assert third.is_missing
    assert share_among(*one[1:], level=LEVEL, over=Over.MODELS).over is Over.MODELS


def test_a_median_without_a_finite_interval_is_missing_and_keeps_its_number() -> None:
    few = bounded_median(np.array([1.0, 2.0, 3.0]), level=LEVEL)
    assert few.is_missing
    assert few.n == 3
    many = bounded_median(np.arange(101.0), level=LEVEL)
    assert (many.value, many.low < 50 < many.high) == (50.0, True)


def test_medians_by_bin_take_the_neurons_of_the_bin() -> None:
    by = np.repeat([0.25, 0.75], 50)
    values = np.concatenate([np.arange(50.0), np.arange(100.0, 150.0)])
    low, high, none = medians_by_bin(values, by, np.array([0.0, 0.5, 1.0, 1.5]), level=LEVEL)
    assert (low.value, high.value) == (24.5, 124.5)
    assert none.is_missing


def test_medians_by_layer_tell_universal_neurons_from_others() -> None:
    universal = np.tile([True, False], 60)
    one = ranking(LAYER * 10.0 + universal, universal)
    assert [m.value for m in medians_by_layer([one, one], universal=True, depth=3)] == [1.0, 11.0, 21.0]
    assert [m.value for m in medians_by_layer([one, one], universal=False, depth=3)] == [0.0, 10.0, 20.0]
    assert {m.n for m in medians_by_layer([one, one], universal=True, depth=3)} == {40}


def test_dealt_labels_lie_around_the_middle_and_true_ones_beyond() -> None:
    universal = np.zeros(120, dtype=bool)
    values = np.random.default_rng(1).normal(size=120)
    universal[np.argsort(values)[-20:]] = True
    models = {name: ranking(values, universal) for name in "ab"}
    low, high = dealt_range(models, dealings=20)
    assert low < 50 < high < np.median(models["a"].percentile[universal])
    assert all(np.isnan(dealt_range({"a": ranking(values, np.zeros(120, dtype=bool))}, dealings=2)))


@pytest.mark.parametrize(("unmatched", "n"), [(0, 40), (10, 30)])
def test_partner_layers_are_shares_of_the_matched_neurons_of_a_layer(unmatched: int, n: int) -> None:
    best = np.concatenate([np.repeat([0, 1], 20), np.full(80, 2)])
    best[:unmatched] = -1
    frame = pd.DataFrame({"layer": LAYER, "neuron": np.tile(np.arange(40), 3), "partner_layer": best, "excess": 0.0})
    cells = partner_layers(ReferenceTables.of([plain_table(frame)]), depth=3)
    assert cells[0, 0].value == pytest.approx((20 - unmatched) / n)
    assert cells[0, 0].n == n
    assert cells[1, 2].value == 1.0
    assert sum(cells[2, other].value for other in range(3)) == pytest.approx(1.0)


def test_partner_layers_are_means_over_partners() -> None:
    frame = pd.DataFrame({"layer": LAYER, "neuron": np.tile(np.arange(40), 3), "partner_layer": LAYER, "excess": 0.0})
    every = [plain_table(frame), plain_table(frame.assign(partner_layer=2), partner="c")]
    cells = partner_layers(ReferenceTables.of(every), depth=3)
    assert [cells[0, other].value for other in range(3)] == [0.5, 0.0, 0.5]
    assert cells[2, 2].value == 1.0
    assert cells[0, 0].n == 40
