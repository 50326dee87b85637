"""Rates and their intervals over neurons, against textbook formulas and against samples drawn anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from universal_neurons.measures.histories import Rate, combined, rate_of
from universal_neurons.measures.intervals import wilson

if TYPE_CHECKING:
    from universal_neurons.measures.arrays import Flags

LEVEL = 0.95


def flags(*rows: str) -> Flags:
    """``"101"`` is three neurons, of which the second is not."""
    return np.array([[sign == "1" for sign in row] for row in rows])


def rate(given: Flags, then: Flags) -> Rate:
    found = rate_of(given, then)
    assert found is not None
    return found


def sample(generator: np.random.Generator, p: float, *, neurons: int, partners: int, alike: float) -> Rate:
    """Neurons that persist with probability ``p``, a share ``alike`` of them against all partners or none."""
    own = generator.random((partners, neurons)) < p
    common = generator.random(neurons) < p
    then = np.where(generator.random(neurons) < alike, common, own)
    given = generator.random((partners, neurons)) < 0.8
    return rate(given, then & given)


def test_a_rate_is_what_stayed_over_what_was_given_with_each_partner_counted() -> None:
    found = rate(flags("1110", "0110"), flags("1011", "0010"))
    assert found.value == 3 / 5
    assert found.count == 5
    assert found.given.tolist() == [True, True, True, False]


def test_a_rate_of_nothing_is_none() -> None:
    assert rate_of(flags("000"), flags("111")) is None


@pytest.mark.parametrize(("stayed", "n"), [(0, 7), (3, 7), (7, 7), (1, 1), (90, 100)])
def test_the_interval_of_one_pair_is_wilsons(stayed: int, n: int) -> None:
    found = rate(np.ones((1, n), dtype=bool), np.arange(n)[None, :] < stayed)
    assert found.effective == pytest.approx(n)
    assert found.limits(LEVEL) == pytest.approx(wilson(stayed, n, level=LEVEL))


def test_four_partners_that_say_the_same_are_worth_one_and_four_that_differ_are_worth_more() -> None:
    one = np.arange(40)[None, :] < 30
    same = rate(np.ones((4, 40), dtype=bool), np.repeat(one, 4, axis=0))
    generator = np.random.default_rng(1)
    differing = rate(np.ones((4, 40), dtype=bool), generator.random((4, 40)) < 0.75)
    assert same.count == 160
    assert same.effective == pytest.approx(40)
    assert 80 < differing.effective <= 160


def test_where_every_neuron_stayed_against_every_partner_only_neurons_are_counted() -> None:
    found = rate(np.ones((4, 6), dtype=bool), np.ones((4, 6), dtype=bool))
    assert found.effective == 6
    assert found.limits(LEVEL) == pytest.approx(wilson(6, 6, level=LEVEL))


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_the_interval_of_a_pooled_rate_contains_the_truth_as_often_as_it_says(alike: float) -> None:
    generator = np.random.default_rng(3)
    hits = 0
    for _ in range(1000):
        low, high = sample(generator, 0.8, neurons=60, partners=4, alike=alike).limits(LEVEL)
        hits += int(low <= 0.8 <= high)
    assert 0.925 <= hits / 1000 <= 0.975


@pytest.mark.parametrize("n", [20, 20_000])
def test_one_rate_with_weight_1_keeps_its_interval_and_with_weight_minus_1_mirrors_it(n: int) -> None:
    found = rate(np.ones((1, n), dtype=bool), np.arange(n)[None, :] < n * 3 // 4)
    low, high = found.limits(LEVEL)
    value, ends = combined([found], [1.0], level=LEVEL)
    assert (value, *ends) == pytest.approx((0.75, low, high))
    value, ends = combined([found], [-1.0], level=LEVEL)
    assert (value, *ends) == pytest.approx((-0.75, -high, -low))


def test_the_difference_of_rates_of_different_neurons_is_newcombes_square_and_add() -> None:
    # Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10: 56/70 - 48/80 is 0.0524 to 0.3339.
    given = np.zeros((1, 150), dtype=bool)
    given[0, :70] = True
    first = rate(given, np.arange(150)[None, :] < 56)
    second = rate(~given, np.arange(150)[None, :] < 70 + 48)
    value, ends = combined([first, second], [1.0, -1.0], level=LEVEL)
    assert value == pytest.approx(0.2)
    assert ends == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_a_rate_minus_itself_is_0_as_far_as_its_interval_is_symmetric() -> None:
    found = rate(np.ones((1, 20), dtype=bool), np.arange(20)[None, :] < 15)
    value, ends = combined([found, found], [1.0, -1.0], level=LEVEL)
    assert value == 0
    low, high = found.limits(LEVEL)
    asymmetry = abs((high - 0.75) - (0.75 - low))
    assert ends == pytest.approx((-asymmetry, asymmetry))


def test_two_layers_in_which_all_stayed_still_differ_by_an_interval_with_width() -> None:
    few, many = (rate(np.ones((1, n), dtype=bool), np.ones((1, n), dtype=bool)) for n in (3, 5))
    few = Rate(few.value, few.effective, np.zeros(8), np.arange(8) < 3, 3)
    many = Rate(many.value, many.effective, np.zeros(8), np.arange(8) >= 3, 5)
    value, (low, high) = combined([few, many], [1.0, -1.0], level=LEVEL)
    assert value == 0
    assert low < -0.3
    assert high > 0.3


def test_the_interval_of_a_contrast_of_layers_contains_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    truth = np.array([0.9, 0.6, 0.7, 0.95])
    weights = np.array([0.5, -1.0, 0.0, 0.5])
    hits = 0
    for _ in range(1000):
        rates = []
        for layer, p in enumerate(truth):
            own = sample(generator, p, neurons=25, partners=3, alike=0.5)
            influence, given = np.zeros(100), np.zeros(100, dtype=bool)
            influence[layer * 25 : (layer + 1) * 25], given[layer * 25 : (layer + 1) * 25] = own.influence, own.given
            rates.append(Rate(own.value, own.effective, influence, given, own.count))
        _, (low, high) = combined(rates, list(weights), level=LEVEL)
        hits += int(low <= weights @ truth <= high)
    assert 0.925 <= hits / 1000 <= 0.98


def test_the_interval_of_a_paired_difference_uses_that_both_rates_are_of_the_same_neurons() -> None:
    generator = np.random.default_rng(7)
    hits, widths = 0, []
    for _ in range(1000):
        given = np.ones((1, 150), dtype=bool)
        first = generator.random((1, 150)) < 0.8
        second = first & (generator.random((1, 150)) < 0.95)
        _, (low, high) = combined([rate(given, second), rate(given, first)], [1.0, -1.0], level=LEVEL)
        hits += int(low <= -0.04 <= high)
        widths.append(high - low)
    unpaired = 2 * stats.norm.ppf(0.975) * np.sqrt((0.8 * 0.2 + 0.76 * 0.24) / 150)
    assert 0.92 <= hits / 1000 <= 0.98
    assert np.mean(widths) < 0.75 * unpaired
