"""Intervals against published examples, exact hand calculations and their own promise of coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from universal_neurons.measures.intervals import (
    NOISE,
    block_weights,
    extrapolated,
    extrapolated_interval,
    jackknife,
    jackknife_details,
    jackknife_of_samples,
    percentile_interval,
    wilson,
)


def test_block_weights_draw_every_replicate_with_as_many_blocks_as_there_are() -> None:
    weights = block_weights(100, resamples=500, seed=1)
    assert weights.shape == (500, 100)
    np.testing.assert_array_equal(weights.sum(axis=1), 100)
    assert weights.var() == pytest.approx(1 - 1 / 100, rel=0.05)  # multinomial: B (1/B) (1 - 1/B)


def test_block_weights_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    first = block_weights(20, resamples=50, seed=1).copy()
    block_weights.cache_clear()
    np.testing.assert_array_equal(first, block_weights(20, resamples=50, seed=1))
    assert not np.array_equal(first, block_weights(20, resamples=50, seed=2))


def test_shared_block_weights_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        block_weights(5, resamples=5, seed=1)[0, 0] = 7


def test_one_block_has_weight_1_in_the_one_replicate() -> None:
    assert block_weights(1, resamples=1, seed=1).tolist() == [[1.0]]


@pytest.mark.parametrize(("blocks", "resamples"), [(0, 10), (10, 0)])
def test_block_weights_need_blocks_and_resamples(blocks: int, resamples: int) -> None:
    with pytest.raises(ValueError, match="needs blocks and resamples"):
        block_weights(blocks, resamples=resamples, seed=1)


def test_percentile_interval_takes_the_central_replicates() -> None:
    assert percentile_interval(50, np.arange(1, 101), level=0.9) == (5, 95)


@pytest.mark.parametrize("value", [-3.0, 0.0, 400.0])
def test_a_bootstrap_interval_always_contains_its_value(value: float) -> None:
    low, high = percentile_interval(value, np.arange(100), level=0.95)
    assert low <= value <= high


def test_replicates_that_never_differ_give_a_point() -> None:
    assert percentile_interval(0.25, np.full(50, 0.25), level=0.95) == (0.25, 0.25)


def test_an_infinite_replicate_may_be_an_end_of_the_interval() -> None:
    assert percentile_interval(1.0, [0.9] * 50 + [1.1] * 40 + [math.inf] * 10, level=0.95).high == math.inf


@pytest.mark.parametrize("replicates", [[], [0.1, math.nan], [[0.1], [0.2]]])
def test_a_bootstrap_interval_refuses_replicates_it_cannot_sort(replicates: list[float]) -> None:
    with pytest.raises(ValueError, match="needs a row of defined replicates"):
        percentile_interval(0.1, replicates, level=0.95)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_lies_between_0_and_1(level: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        percentile_interval(0.1, [0.1, 0.2], level=level)


@pytest.mark.parametrize("curve", [(3.0, 0.0, 0.0), (1.0, -0.5, 0.0), (0.3, 0.2, 0.1)])
def test_a_parabola_is_extrapolated_to_no_noise_exactly(curve: tuple[float, float, float]) -> None:
    constant, slope, bend = curve
    means = [constant + slope * noise + bend * noise**2 for noise in NOISE]
    assert extrapolated(means) == pytest.approx(constant - slope + bend)


def test_the_extrapolated_interval_is_wider_than_the_replicates_by_the_price_of_extrapolating() -> None:
    # The price from its definition: scores of even density, counted with the weights of the extrapolation.
    x = np.linspace(-30, 30, 60_001)
    weights = np.array([35, -40, 14]) / 9
    counted = sum(w * stats.norm.cdf(x / math.sqrt(noise)) for w, noise in zip(weights, NOISE, strict=True))
    missed = float(np.sum((counted - stats.norm.cdf(x)) ** 2) * (x[1] - x[0]))
    factor = math.sqrt(1 + missed * math.sqrt(math.pi))
    low, high = extrapolated_interval(0.0, [-1.0, 1.0], 0.0, level=0.95)
    assert (low, high) == pytest.approx((-1.959964 * factor, 1.959964 * factor), rel=1e-5)


def test_the_extrapolated_interval_is_about_the_extrapolated_value_and_contains_the_measured_one() -> None:
    low, high = extrapolated_interval(0.1, [0.105, 0.115], 0.09, level=0.95)
    assert (low + high) / 2 == pytest.approx(0.09)
    assert extrapolated_interval(0.2, [0.105, 0.115], 0.09, level=0.95) == (low, 0.2)


def test_the_extrapolated_interval_stays_within_the_values_that_are_possible() -> None:
    assert extrapolated_interval(0.1, [0.0, 0.3], 0.05, level=0.95, within=(0.0, 1.0)).low == 0.0


def test_replicates_that_never_differ_are_extrapolated_to_exactly_their_value() -> None:
    assert extrapolated([1 / 7] * 3) == 1 / 7
    assert extrapolated_interval(1 / 7, np.full(50, 1 / 7), 1 / 7, level=0.95) == (1 / 7, 1 / 7)


def test_an_infinite_replicate_leaves_the_extrapolated_interval_without_ends() -> None:
    assert extrapolated_interval(1.0, [1.0, math.inf], 1.0, level=0.95) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3.
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_wilson_gives_the_published_intervals(successes: int, n: int, expected: tuple[float, float]) -> None:
    assert wilson(successes, n, level=0.95) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("n", [1, 20, 7919])
def test_wilson_at_none_and_all_includes_the_ends_exactly(n: int) -> None:
    assert wilson(0, n, level=0.95).low == 0.0
    assert wilson(n, n, level=0.95).high == 1.0


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="a proportion needs"):
        wilson(successes, n, level=0.95)


def test_the_jackknife_of_a_mean_is_the_textbook_interval() -> None:
    models = np.array([4.1, 5.0, 4.6, 5.3])
    leave_one_out = [np.delete(models, i).mean() for i in range(4)]
    reach = 3.182446305284264 * models.std(ddof=1) / 2  # t(3) at 97.5 %
    expected = (models.mean() - reach, models.mean() + reach)
    assert jackknife(models.mean(), leave_one_out, level=0.95) == pytest.approx(expected)


@pytest.mark.parametrize("values", [[], [0.1], [0.1, math.nan]])
def test_a_jackknife_refuses_less_than_two_values(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two"):
        jackknife(0.1, values, level=0.95)


def test_the_jackknife_of_the_difference_of_two_means_is_welchs_interval() -> None:
    first, second = np.array([4.1, 5.0, 4.6, 5.3]), np.array([3.0, 3.9, 2.2, 4.4, 3.1, 2.8])
    value = float(first.mean() - second.mean())
    samples = [
        [float(np.delete(first, i).mean() - second.mean()) for i in range(4)],
        [float(first.mean() - np.delete(second, i).mean()) for i in range(6)],
    ]
    welch = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert jackknife_of_samples(value, samples, level=0.95) == pytest.approx((welch.low, welch.high))
    assert jackknife_of_samples(0.5, [[0.5, 0.5], [0.5, 0.5, 0.5]], level=0.95) == (0.5, 0.5)
    with pytest.raises(ValueError, match="at least two"):
        jackknife_of_samples(0.5, [[0.5, 0.4], [0.5]], level=0.95)


def test_the_jackknife_as_details_needs_two_defined_values() -> None:
    low, high = jackknife(0.5, [0.4, 0.6], level=0.95)
    assert jackknife_details(0.5, [0.4, 0.6], level=0.95) == {"models_low": low, "models_high": high}
    for values in ([], [0.4], [0.4, math.nan], [0.4, math.inf]):
        assert jackknife_details(0.5, values, level=0.95) == {}
