"""Persistence on small tables whose answers are counted by hand."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.intervals import block_weights, jackknife, percentile_interval, wilson
from universal_neurons.measures.persistence import (
    DEEPEST,
    EARLY,
    LATE,
    MIDDLE,
    NARROW_MIDDLE,
    Band,
    Pooling,
    ceiling,
    cross_fitted_persistence,
    distance_from_share,
    hysteresis,
    largest,
    layers_dealt_anew,
    long_span_excess,
    lowest_persistence,
    needed_neurons,
    partner_stability,
    persistence,
    persistence_by_layer,
    persistence_contrast,
    persistence_gain,
    persistence_pairs,
    persistence_rank_correlation,
    recruitment,
    score_stability,
    shuffled_neurons,
    smallest,
    survival,
    two_lines,
    typical,
    u_shape,
)
from universal_neurons.measures.tables import (
    Definition,
    InfluenceMissing,
    ReferenceTables,
    Resampling,
    UniversalityTable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RESAMPLING = Resampling(resamples=300, level=0.95, seed=7)
BLOCKS = 12


def table(
    excess: npt.ArrayLike | str,
    *,
    layer: npt.ArrayLike | None = None,
    partner: str = "b",
    step: int = 1,
    half_a: npt.ArrayLike | str | None = None,
    half_b: npt.ArrayLike | str | None = None,
    partner_neuron: npt.ArrayLike | None = None,
    influence: npt.ArrayLike | None = None,
    candidates: npt.ArrayLike | None = None,
    resampling: Resampling = RESAMPLING,
) -> UniversalityTable:
    """A table with these scores; ``"10-"`` is a universal neuron, one that is not, and one without score."""
    scores = scored(excess)
    layer = np.zeros(scores.size, dtype=np.int16) if layer is None else np.asarray(layer, dtype=np.int16)
    frame = pd.DataFrame(
        {
            "layer": layer,
            "neuron": np.arange(scores.size, dtype=np.int32),
            "partner_layer": np.zeros(scores.size, dtype=np.int16),
            "partner_neuron": np.zeros(scores.size, dtype=np.int32) if partner_neuron is None else partner_neuron,
            "correlation": scores + 0.2,
            "excess": scores,
            "excess_half_a": scores if half_a is None else scored(half_a),
            "excess_half_b": scores if half_b is None else scored(half_b),
        }
    )
    chosen = np.flatnonzero(scores > 0.2) if candidates is None else np.asarray(candidates, dtype=np.int64)
    moves = np.zeros((BLOCKS, chosen.size)) if influence is None else np.asarray(influence)
    draws = np.full((2, chosen.size), 0.2)
    return UniversalityTable("a", partner, step, frame, chosen, moves, draws, resampling)


def scored(excess: npt.ArrayLike | str) -> npt.NDArray[np.float32]:
    if isinstance(excess, str):
        return np.array([{"1": 0.75, "0": 0.25, "-": np.nan}[sign] for sign in excess], dtype=np.float32)
    return np.asarray(excess, dtype=np.float32)


def pairs(step: int, **excess: str) -> ReferenceTables:
    return ReferenceTables.of([table(value, partner=name, step=step) for name, value in excess.items()])


def layered(rates: Sequence[float], *, neurons: int = 40) -> list[tuple[UniversalityTable, UniversalityTable]]:
    """One span in which of ``neurons`` universal neurons per layer this share stays."""
    layer = np.repeat(np.arange(len(rates)), neurons)
    stays = np.tile(np.arange(neurons), len(rates)) < np.repeat(np.array(rates) * neurons, neurons)
    return [(table("1" * layer.size, layer=layer), table(np.where(stays, 0.75, 0.25), layer=layer, step=2))]


def close(measured: Measurement, other: Measurement) -> bool:
    return (measured.value, measured.low, measured.high) == pytest.approx((other.value, other.low, other.high))


# The conditional and what stands beside it.

EARLIER, LATER = table("1111000000-"), table("11100110-01", step=2)


def test_persistence_is_the_share_of_neurons_universal_before_that_are_universal_after() -> None:
    found = persistence(EARLIER, LATER, 0.5)
    assert found.value == 3 / 4
    assert (found.low, found.high) == pytest.approx(wilson(3, 4, level=0.95))
    assert found.n == 4
    assert found.over is Over.NEURONS


def test_the_details_are_chance_lift_kappa_and_jaccard_of_the_neurons_defined_at_both() -> None:
    details = persistence(EARLIER, LATER, 0.5).details
    # Nine neurons are defined at both: 4 universal before, 5 after, 3 at both, 3 at neither.
    expected = (4 * 5 + 5 * 4) / 81
    assert details["chance"] == pytest.approx(5 / 9)
    assert details["lift"] == pytest.approx((3 / 4) / (5 / 9))
    assert details["kappa"] == pytest.approx((6 / 9 - expected) / (1 - expected))
    assert details["jaccard"] == pytest.approx(3 / 6)
    assert details["pairs"] == details["effective"] == 4


def test_chance_in_layers_is_the_mean_persistence_over_labels_dealt_anew() -> None:
    layer = [0] * 6 + [1] * 4
    earlier, later = table("1110001000", layer=layer), table("1100001110", layer=layer, step=2)
    expected = persistence(earlier, later, 0.5).details["chance_in_layers"]
    dealt = [persistence(earlier, shuffled_neurons(later, seed=seed), 0.5).value for seed in range(100)]
    assert expected == pytest.approx((3 * 2 / 6 + 1 * 3 / 4) / 4)
    assert np.mean(dealt) == pytest.approx(expected, abs=0.06)


def test_backwards_is_the_same_with_the_checkpoints_swapped() -> None:
    earlier, later = table("111100"), table("110010", step=2)
    assert persistence(earlier, later, 0.5).value == 2 / 4
    assert persistence(later, earlier, 0.5).value == 2 / 3
    frame = persistence_pairs([earlier, later], 0.5).set_index(["given", "then"])
    assert frame["value"].to_dict() == {(1, 2): 2 / 4, (2, 1): pytest.approx(2 / 3)}


def test_at_one_and_the_same_checkpoint_everything_persists() -> None:
    found = persistence(EARLIER, EARLIER, 0.5)
    assert found.value == found.high == found.details["kappa"] == found.details["jaccard"] == 1
    assert found.low < 1


def test_persistence_of_no_universal_neuron_is_missing_and_not_zero() -> None:
    nothing, some = table("000"), table("110", step=2)
    assert persistence(nothing, some, 0.5).is_missing
    assert persistence(some, nothing, 0.5).value == 0
    assert persistence(nothing, nothing, 0.5).is_missing


def test_the_order_of_the_neurons_does_not_matter() -> None:
    generator = np.random.default_rng(1)
    order = generator.permutation(60)
    layer = np.repeat([0, 1, 2], 20)
    scores = [generator.uniform(0.1, 0.9, 60) for _ in range(2)]
    straight = [table(score, layer=layer, step=step) for step, score in enumerate(scores)]
    mixed = [table(score[order], layer=layer[order], step=step) for step, score in enumerate(scores)]
    assert persistence(straight[0], straight[1], 0.5) == persistence(mixed[0], mixed[1], 0.5)
    assert persistence_contrast([(straight[0], straight[1])], 0.5, [LATE], [EARLY]).is_missing
    rates = [persistence_by_layer(tables[0], tables[1], 0.5)["value"].to_list() for tables in (straight, mixed)]
    assert rates[0] == rates[1]


def test_the_interval_over_token_blocks_is_that_of_persistence_recomputed_replicate_by_replicate() -> None:
    generator = np.random.default_rng(5)
    scores = [generator.uniform(0.3, 0.8, 50) for _ in range(2)]
    moves = [generator.normal(0, 0.02, (BLOCKS, 50)) for _ in range(2)]
    earlier, later = (
        table(score, influence=move, step=step) for step, (score, move) in enumerate(zip(scores, moves, strict=True))
    )
    found = persistence(earlier, later, 0.5)
    replicates = []
    for weights in block_weights(BLOCKS, resamples=RESAMPLING.resamples, seed=RESAMPLING.seed):
        states = [
            score.astype(np.float32) + (weights - 1) @ move > 0.5 for score, move in zip(scores, moves, strict=True)
        ]
        replicates.append(np.sum(states[0] & states[1]) / np.sum(states[0]))
    expected = percentile_interval(found.value, replicates, level=0.95)
    assert (found.details["tokens_low"], found.details["tokens_high"]) == pytest.approx(expected)
    assert found.details["tokens_low"] < found.value


def test_a_universal_neuron_without_influence_is_refused() -> None:
    with pytest.raises(InfluenceMissing, match="1 neurons exceed the threshold"):
        persistence(table("11", candidates=[0]), table("11", step=2), 0.5)


def test_a_null_without_candidates_is_measured_all_the_same() -> None:
    null = table("110", candidates=[])
    assert persistence(null, null, 0.5).value == 1


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (table("11", layer=[0, 1]), "not about the same neurons"),
        (table("11", resampling=Resampling(300, 0.95, 8)), "resampled differently"),
        (table("11", partner="c"), "different partners"),
    ],
)
def test_tables_that_do_not_belong_together_are_refused(other: UniversalityTable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        persistence(table("11"), other, 0.5)


# Several partners.

BEFORE = pairs(1, b="1111000000", c="1000000000", d="1110000000")
AFTER = pairs(2, b="1110100000", c="1000000000", d="0100000000")


def test_pairs_are_pooled_or_averaged_or_united() -> None:
    assert persistence(BEFORE, AFTER, 0.5).value == 5 / 8
    assert persistence(BEFORE, AFTER, 0.5, pooling=Pooling.MACRO).value == pytest.approx((3 / 4 + 1 + 1 / 3) / 3)
    assert persistence(BEFORE, AFTER, 0.5, definition=Definition.UNION).value == 3 / 4
    assert persistence(BEFORE, AFTER, 0.5, definition=Definition.INTERSECTION).value == 0
    # The mean excess of the first neuron falls from 0.75 to 0.58, of the second and third from 0.58 to 0.58 and 0.42.
    assert persistence(BEFORE, AFTER, 0.5, definition=Definition.AVERAGED).value == pytest.approx(2 / 3)


def test_pooled_pairs_count_neurons_and_show_the_jackknife_over_partners() -> None:
    found = persistence(BEFORE, AFTER, 0.5)
    assert found.n == 4
    assert found.details["pairs"] == 8
    assert 4 <= found.details["effective"] <= 8
    rest = [(5 - stayed) / (8 - given) for stayed, given in ((3, 4), (1, 1), (1, 3))]
    expected = jackknife(5 / 8, rest, level=0.95)
    assert (found.details["models_low"], found.details["models_high"]) == pytest.approx(expected)


def test_a_mean_over_pairs_is_missing_where_a_pair_has_no_universal_neuron() -> None:
    before, after = pairs(1, b="110", c="000"), pairs(2, b="100", c="000")
    assert persistence(before, after, 0.5, pooling=Pooling.MACRO).is_missing
    assert persistence(before, after, 0.5).value == 1 / 2


# Noise, halves and the other neurons.


def test_the_ceiling_is_the_conditional_between_halves_in_both_directions() -> None:
    tables = table("111100", half_a="111000", half_b="011110")
    assert ceiling(tables, 0.5).value == pytest.approx((2 + 2) / (3 + 4))
    assert persistence(tables, tables, 0.5).details["ceiling"] == pytest.approx(4 / 7)


def test_cross_fitting_identifies_on_one_half_and_judges_on_the_other() -> None:
    earlier = table("1111", half_a="1100", half_b="0011")
    later = table("1111", half_a="1100", half_b="0011", step=2)
    # Everything persists, but no neuron that one half names is confirmed by the other.
    assert persistence(earlier, later, 0.5).value == 1
    assert cross_fitted_persistence(earlier, later, 0.5).value == 0
    assert cross_fitted_persistence(earlier, table("1111", step=2), 0.5).value == 1


def test_recruitment_is_the_rate_of_the_neurons_that_were_not_universal() -> None:
    assert recruitment(table("1100-"), table("10101", step=2), 0.5).value == 1 / 2
    assert recruitment(table("11"), table("10", step=2), 0.5).is_missing


# Over depth.


@pytest.mark.parametrize(
    ("band", "of_twelve", "of_four"),
    [
        (EARLY, (0, 1), (0,)),
        (MIDDLE, (2, 3, 4, 5), (1,)),
        (NARROW_MIDDLE, (3, 4, 5), (1,)),
        (LATE, (9, 10, 11), (3,)),
        (DEEPEST, (10, 11), (3,)),
        (Band(0, 11), tuple(range(12)), (0, 1, 2, 3)),
    ],
)
def test_a_band_of_twelve_layers_is_found_again_in_four(
    band: Band, of_twelve: tuple[int, ...], of_four: tuple[int, ...]
) -> None:
    assert band.layers(12) == of_twelve
    assert band.layers(4) == of_four


def test_persistence_by_layer_has_a_row_for_a_layer_without_universal_neurons() -> None:
    layer = [0, 0, 0, 1, 1, 2, 2]
    earlier, later = table("1110011", layer=layer), table("1100010", layer=layer, step=2)
    frame = persistence_by_layer(earlier, later, 0.5)
    assert frame["value"].to_list() == pytest.approx([2 / 3, math.nan, 1 / 2], nan_ok=True)
    assert frame["n"].to_list() == [3, 0, 2]


def test_a_contrast_is_the_mean_of_the_layers_of_one_band_minus_that_of_another() -> None:
    spans = layered([0.9, 0.5, 0.7, 0.8])
    assert persistence_contrast(spans, 0.5, [EARLY, LATE], [MIDDLE]).value == pytest.approx(0.85 - 0.5)
    assert persistence_contrast(spans, 0.5, [MIDDLE]).value == pytest.approx(0.5 - 0.8)
    mirrored = persistence_contrast(spans, 0.5, [MIDDLE], [EARLY, LATE])
    assert close(
        dataclasses.replace(mirrored, value=-mirrored.value, low=-mirrored.high, high=-mirrored.low),
        persistence_contrast(spans, 0.5, [EARLY, LATE], [MIDDLE]),
    )


def test_a_contrast_with_a_layer_that_has_no_universal_neuron_is_missing() -> None:
    layer = np.repeat([0, 1, 2, 3], 2)
    earlier, later = table("11001111", layer=layer), table("11001111", layer=layer, step=2)
    assert persistence_contrast([(earlier, later)], 0.5, [EARLY], [MIDDLE]).is_missing
    assert persistence_contrast([(earlier, later)], 0.5, [EARLY], [LATE]).value == 0


def test_a_u_falls_and_rises_and_a_slope_does_not() -> None:
    assert u_shape(layered([0.9, 0.4, 0.5, 0.8]), 0.5).low > 0
    slope = u_shape(layered([0.2, 0.4, 0.6, 0.8], neurons=100), 0.5)
    assert slope.high < 0
    assert slope.details["early"] == pytest.approx(0.2)
    assert slope.details["quadratic"] == pytest.approx(0, abs=1e-12)
    assert u_shape(layered([0.9, 0.4, 0.5, 0.8]), 0.5).details["quadratic"] == pytest.approx(0.85 - 0.45)


def test_two_lines_find_a_u_and_neither_a_slope_nor_a_hat() -> None:
    def lines(*rates: float) -> Any:
        return two_lines(layered(rates, neurons=100), 0.5)

    found = lines(0.9, 0.6, 0.3, 0.3, 0.6, 0.9)
    assert found.is_u()
    assert found.first_slope == pytest.approx(-0.3, abs=0.1)
    assert 2 <= found.breakpoint <= 3
    assert not lines(0.2, 0.3, 0.5, 0.6, 0.8, 0.9).is_u()
    assert not lines(0.3, 0.6, 0.9, 0.9, 0.6, 0.3).is_u()
    assert not lines(1.0, 1.0, 1.0, 1.0).is_u()
    assert lines(0.9, 0.3) is None


def test_the_slopes_of_two_lines_are_least_squares_on_both_sides_of_the_break() -> None:
    found = two_lines(layered([0.9, 0.5, 0.2, 0.7], neurons=100), 0.5)
    assert found is not None
    assert found.breakpoint == 2
    assert found.first_slope == pytest.approx(np.polyfit([0, 1, 2], [0.9, 0.5, 0.2], 1)[0])
    assert found.second_slope == pytest.approx(0.5)


def test_the_rank_correlation_is_1_in_order_and_has_width_where_every_neuron_stayed() -> None:
    assert persistence_rank_correlation(layered([0.2, 0.4, 0.6, 0.8], neurons=100), 0.5).low > 0
    assert persistence_rank_correlation(layered([0.8, 0.6, 0.4, 0.2], neurons=100), 0.5).value == -1
    same = persistence_rank_correlation(layered([1.0, 1.0, 1.0, 1.0], neurons=5), 0.5)
    assert same.value == 0
    assert same.low < -0.5 < 0.5 < same.high
    few = persistence_rank_correlation(layered([0.5, 1.0, 1.0, 1.0], neurons=2), 0.5)
    assert few.low < 0 < few.value
    assert persistence_rank_correlation(layered([0.2, 0.8]), 0.5).is_missing


def test_the_lowest_persistence_is_that_of_the_worst_layer_and_span() -> None:
    first, second = layered([0.9, 0.9, 0.5, 0.9])[0], layered([0.9, 0.7, 0.9, 0.6])[0]
    assert lowest_persistence([first, second], 0.5, Band(0, 11)).value == 0.5
    assert lowest_persistence([first, second], 0.5, DEEPEST).value == 0.6
    assert lowest_persistence([first, second], 0.5).value == pytest.approx(3.1 / 4)
    assert lowest_persistence([layered([0.5])[0]], 0.5, DEEPEST).is_missing


# Over three checkpoints.


def test_the_gain_is_the_later_rate_minus_the_earlier() -> None:
    first, second, third = table("111100"), table("110011", step=2), table("110001", step=3)
    found = persistence_gain(first, second, third, 0.5)
    assert found.value == pytest.approx(3 / 4 - 2 / 4)
    assert (found.details["earlier"], found.details["later"]) == (2 / 4, 3 / 4)
    assert persistence_gain(first, first, first, 0.5).value == 0


def test_the_long_span_is_compared_with_the_less_persistent_of_the_short_ones() -> None:
    first, second, third = table("1" * 10), table("1" * 8 + "00", step=2), table("1" * 4 + "0" * 6, step=3)
    found = long_span_excess(first, second, third, 0.5)
    assert found.value == pytest.approx(0.4 - 0.5)
    rates = [found.details[name] for name in ("first_second", "second_third", "first_third")]
    assert rates == pytest.approx([0.8, 0.5, 0.4])
    assert long_span_excess(first, first, first, 0.5).value == 0


def test_drift_is_seen_with_enough_neurons_and_flicker_around_the_threshold_is_not_drift() -> None:
    generator = np.random.default_rng(3)
    first = generator.random(3000) < 0.5
    second = first & (generator.random(3000) < 0.9)
    third = second & (generator.random(3000) < 0.9)
    drifting = [table(np.where(states, 0.75, 0.25), step=step) for step, states in enumerate((first, second, third))]
    assert long_span_excess(drifting[0], drifting[1], drifting[2], 0.5).high < 0
    flicker = [table(np.where(first & (generator.random(3000) < 0.9), 0.75, 0.25), step=step) for step in range(3)]
    assert long_span_excess(flicker[0], flicker[1], flicker[2], 0.5).high > 0


# Extremes and plans.


def measured(value: float, low: float, high: float) -> Measurement:
    return Measurement(value, low, high, 50, Over.NEURONS)


def test_an_extreme_has_the_extreme_of_each_end_and_is_missing_where_one_is() -> None:
    some = [measured(0.5, 0.2, 0.8), measured(0.6, 0.1, 0.7)]
    lower, upper = smallest(some), largest(some)
    assert (lower.value, lower.low, lower.high) == (0.5, 0.1, 0.7)
    assert (upper.value, upper.low, upper.high) == (0.6, 0.2, 0.8)
    for extreme in (smallest, largest):
        assert extreme([*some, Measurement.missing()]).is_missing
        assert extreme([]).is_missing


def test_needed_neurons_shrink_the_interval_to_the_bound() -> None:
    assert needed_neurons(measured(0.5, 0.3, 0.6), 0.4) == 50 * 4
    assert needed_neurons(measured(0.5, 0.3, 0.6), 0.7) == math.ceil(50 / 4)
    assert needed_neurons(measured(0.5, 0.3, 0.6), 0.5) == math.inf
    assert math.isnan(needed_neurons(Measurement.missing(), 0.5))
    n = 40
    wide = persistence(table("1" * n), table("1" * 34 + "0" * 6, step=2), 0.5)
    needed = needed_neurons(wide, 0.8)
    enough = math.ceil(needed / n)
    narrow = persistence(table("1" * n * enough), table("1" * 34 * enough + "0" * 6 * enough, step=2), 0.5)
    assert wide.low < 0.8 < narrow.low


def test_a_control_dealt_several_times_is_the_median_one() -> None:
    values = {0: 0.9, 1: 0.1, 2: 0.3, 3: 0.2, 4: 0.8}
    assert typical(lambda seed: measured(values[seed], 0.0, 1.0)).value == 0.3
    assert typical(lambda seed: measured(0.5, 0, 1) if seed else Measurement.missing()).is_missing
    with pytest.raises(ValueError, match="odd number"):
        typical(lambda _: measured(0.5, 0, 1), dealings=4)


# What else can be stable.


def test_partner_stability_is_the_share_that_keeps_its_best_partner() -> None:
    earlier = table("11110", partner_neuron=[0, 1, 2, 3, 4])
    later = table("11101", partner_neuron=[0, 1, 9, 3, 4], step=2)
    found = partner_stability(earlier, later, 0.5)
    assert found.value == pytest.approx(2 / 3)
    assert found.details["chance"] == pytest.approx(2 / 9)
    assert partner_stability(table("10"), table("01", step=2), 0.5).is_missing


def test_scores_are_correlated_per_partner_and_layer_and_over_all_layers() -> None:
    generator = np.random.default_rng(1)
    scores = generator.uniform(0, 1, 40)
    layer = np.repeat([0, 1], 20)
    later = np.where(layer == 0, scores, 1 - scores)
    frame = score_stability(table(scores, layer=layer), table(later, layer=layer, step=2)).set_index("layer")
    assert frame["pearson"].loc[[0, 1]].to_list() == pytest.approx([1, -1])
    assert frame["neurons"].to_dict() == {-1: 40, 0: 20, 1: 20}
    together = frame.to_dict("index")[-1]
    assert together["low"] < together["pearson"] < together["high"]
    assert score_stability(table("111"), table("110", step=2))["pearson"].isna().all()


def test_hysteresis_counts_crossings_by_the_distance_from_the_threshold() -> None:
    earlier = table(
        [0.51, 0.52, 0.58, 0.59, 0.49, 0.48], half_a=[0.51] * 6, half_b=[0.49, 0.51, 0.51, 0.51, 0.51, 0.51]
    )
    later = table([0.45, 0.55, 0.55, 0.55, 0.55, 0.45], step=2)
    frame = hysteresis(earlier, later, 0.5, [-0.05, 0.0, 0.05, 0.1])
    assert frame["neurons"].to_list() == [2, 2, 2]
    assert frame["rate"].to_list() == [1 / 2, 1 / 2, 0]
    # One of six neurons is on different sides by the two halves; by half b it lies below.
    assert frame["noise"].to_list() == pytest.approx([1, 1 / 11, math.nan], nan_ok=True)


def test_survival_counts_those_universal_then_and_those_universal_always() -> None:
    frame = survival([table("1111"), table("1100", step=2), table("1010", step=3)], 0.5)
    assert frame["step"].to_list() == [2, 3]
    assert frame["still"].to_list() == [1 / 2, 1 / 2]
    assert frame["always"].to_list() == [1 / 2, 1 / 4]


# Controls.


def test_labels_dealt_anew_keep_the_share_of_every_layer_and_belong_to_other_neurons() -> None:
    layer = np.repeat([0, 1], 50)
    scores = np.concatenate([np.linspace(0.3, 0.9, 50), np.linspace(0.1, 0.6, 50)])
    straight = table(scores, layer=layer)
    dealt = shuffled_neurons(straight, seed=0)
    for place in (0, 1):
        inside = layer == place
        assert sorted(dealt.frame["excess"][inside]) == sorted(straight.frame["excess"][inside])
    assert dealt.frame["neuron"].to_list() == straight.frame["neuron"].to_list()
    assert not np.array_equal(dealt.frame["excess"], straight.frame["excess"])
    # Candidates have moved with their scores, or intervals would be those of other neurons.
    before, after = (t.frame["excess"].to_numpy()[t.candidates] for t in (straight, dealt))
    assert np.array_equal(before, after)


def test_layers_dealt_anew_are_the_same_at_both_ends_and_against_every_partner() -> None:
    layer = np.repeat([0, 1, 2], 4)
    before, after = (
        ReferenceTables.of([table("1" * 12, layer=layer, partner=name, step=step) for name in ("b", "c")])
        for step in (1, 2)
    )
    ((earlier, later),) = layers_dealt_anew([(before, after)], seed=0)
    assert isinstance(earlier, ReferenceTables)
    assert isinstance(later, ReferenceTables)
    dealt = [t.frame["layer"].to_list() for tables in (earlier, later) for t in tables.tables.values()]
    assert all(one == dealt[0] for one in dealt)
    assert dealt[0] != layer.tolist()


# Metadata.


@dataclass(frozen=True)
class Stage:
    step: int
    share: float


@dataclass(frozen=True)
class Stages:
    checkpoints: tuple[Stage, ...]


def test_a_checkpoint_lies_where_its_share_says_or_some_way_off() -> None:
    study: Any = Stages((Stage(100, 0.25), Stage(210, 0.5), Stage(400, 1.0)))
    assert distance_from_share(study, Stage(100, 0.0), named=Stage(100, 0.0)).value == 0
    assert distance_from_share(study, Stage(210, 0.0), named=Stage(210, 0.0)).value == pytest.approx(0.025)
    assert distance_from_share(study, Stage(400, 0.0), named=Stage(100, 0.0)).value == 0.75
    assert distance_from_share(study, Stage(100, 0.0), named=Stage(7, 0.0)).is_missing


@pytest.mark.parametrize("measure", [persistence, recruitment, cross_fitted_persistence, partner_stability])
def test_a_threshold_lies_between_0_and_1(measure: Callable[..., Measurement]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        measure(EARLIER, LATER, 50)
