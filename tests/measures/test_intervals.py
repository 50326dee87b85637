"""Intervals against published examples, exact hand calculations and their own promise of coverage."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from universal_neurons.measures.intervals import (
    benjamini_hochberg,
    block_weights,
    holm,
    jackknife,
    mcnemar_p,
    newcombe_paired,
    percentile_interval,
    wilson,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Adjustment = Callable[[npt.ArrayLike], npt.NDArray[np.float64]]


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


def test_newcombe_gives_the_published_interval_of_a_paired_difference() -> None:
    # Airway hyper-responsiveness before and after: 1, 1, 7, 12 of 21 (Fagerland, Lydersen & Laake 2014, Statistics in
    # Medicine 33, 2850-2875: square-and-add -0.507 to -0.026 for before minus after).
    assert newcombe_paired(both=1, first=1, second=7, neither=12, level=0.95) == pytest.approx((0.026, 0.507), abs=5e-4)
    assert mcnemar_p(first=1, second=7) == pytest.approx(0.0703, abs=5e-5)


def test_newcombe_changes_sign_when_time_is_reversed() -> None:
    low, high = newcombe_paired(both=30, first=4, second=11, neither=55, level=0.95)
    assert newcombe_paired(both=30, first=11, second=4, neither=55, level=0.95) == pytest.approx((-high, -low))


def test_newcombe_is_narrower_the_more_the_two_observations_agree() -> None:
    agreeing = newcombe_paired(both=100, first=5, second=10, neither=885, level=0.95)
    independent = newcombe_paired(both=12, first=93, second=98, neither=797, level=0.95)
    assert agreeing.high - agreeing.low < (independent.high - independent.low) / 2


@pytest.mark.parametrize("cells", [(0, 0, 0, 50), (50, 0, 0, 0), (10, 0, 0, 40)])
def test_newcombe_without_any_change_contains_0_and_has_width(cells: tuple[int, int, int, int]) -> None:
    both, first, second, neither = cells
    low, high = newcombe_paired(both=both, first=first, second=second, neither=neither, level=0.95)
    assert low <= 0 <= high
    assert high > low


@pytest.mark.parametrize("cells", [(0, 0, 0, 0), (5, -1, 3, 3)])
def test_newcombe_refuses_impossible_cells(cells: tuple[int, int, int, int]) -> None:
    both, first, second, neither = cells
    with pytest.raises(ValueError, match="a paired difference needs"):
        newcombe_paired(both=both, first=first, second=second, neither=neither, level=0.95)


def test_mcnemar_is_the_binomial_tail_of_the_changed_units() -> None:
    assert mcnemar_p(first=0, second=5) == pytest.approx(2 / 2**5)
    assert mcnemar_p(first=0, second=0) == 1.0
    with pytest.raises(ValueError, match="negative"):
        mcnemar_p(first=-1, second=2)


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


def test_holm_steps_down_and_keeps_the_order_of_its_input() -> None:
    # 4 x 0.005, then max(0.02, 3 x 0.01), max(0.03, 2 x 0.03), max(0.06, 0.04)
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_benjamini_hochberg_steps_up_and_keeps_the_order_of_its_input() -> None:
    # 0.04; min(0.04, 4/3 x 0.03); 4/2 x 0.01; 4 x 0.005
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_an_empty_family_stays_empty_and_one_test_stays_itself(
    adjust: Adjustment,
) -> None:
    assert adjust([]).size == 0
    assert adjust([0.2]) == pytest.approx([0.2])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize("values", [[1.2], [-0.1], [math.nan]])
def test_adjustments_refuse_what_is_no_p_value(adjust: Adjustment, values: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjust(values)
