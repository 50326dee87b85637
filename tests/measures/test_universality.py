"""Shares and differences of shares on tables whose answers are known by hand, and the promises of their intervals."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from tests.measures.tables import FLOOR, RESAMPLING, noisy, table, tail
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.intervals import NOISE, block_weights, extrapolated, extrapolated_interval
from universal_neurons.measures.tables import (
    Definition,
    InfluenceMissing,
    ReferenceTables,
    Resampling,
)
from universal_neurons.measures.universality import (
    definition_share,
    share_by_layer,
    share_difference,
    threshold_curve,
    universal_share,
)


def width(measurement: Measurement) -> float:
    return measurement.high - measurement.low


# The share.


def test_a_neuron_is_universal_strictly_above_the_threshold_and_without_score_it_is_not_counted_at_all() -> None:
    share = universal_share(table([0.75, 0.5, 0.25, np.nan, 0.625, 0.125, -0.5]), 0.5)
    assert share.value == pytest.approx(2 / 6)
    assert share.n == 6
    assert share.over is Over.TOKEN_BLOCKS
    assert share.details["undefined"] == 1
    assert share.details["universal"] == pytest.approx(2)


@pytest.mark.parametrize("threshold", [0.4, 0.5, 0.6])
def test_a_score_stored_in_single_precision_as_the_threshold_is_not_above_it(threshold: float) -> None:
    assert universal_share(table([threshold, 0.9]), threshold).value == 0.5


def test_a_share_of_no_neuron_is_missing_and_not_zero() -> None:
    assert universal_share(table([np.nan, np.nan]), 0.5).is_missing


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.1, 50])
def test_a_threshold_lies_between_0_and_1(threshold: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        universal_share(table([0.7]), threshold)


def test_the_interval_is_that_of_the_share_recomputed_replicate_by_replicate() -> None:
    generator = np.random.default_rng(5)
    excess = generator.uniform(0.0, 1.0, 60)
    excess[::7] = np.nan
    layer = np.repeat([0, 1, 2], 20)
    candidates = np.flatnonzero(excess > FLOOR)
    influence = generator.normal(0, 0.01, (12, candidates.size))
    share = universal_share(table(excess, layer=layer, influence=influence, candidates=candidates, dtype=float), 0.5)
    replicates: list[list[float]] = [[], [], []]
    for weights in block_weights(12, resamples=RESAMPLING.resamples, seed=RESAMPLING.seed):
        for amount, shares in zip(NOISE, replicates, strict=True):
            moved = excess.copy()
            for column, neuron in enumerate(candidates):
                moved[neuron] += math.sqrt(amount) * sum((weights[b] - 1) * influence[b, column] for b in range(12))
            shares.append(float(np.mean(moved[~np.isnan(moved)] > 0.5)))
    means = [float(np.mean(shares)) for shares in replicates]
    expected = extrapolated_interval(share.value, replicates[0], float(extrapolated(means)), level=0.95)
    assert (share.low, share.high) == pytest.approx(tuple(expected))
    assert share.details["extrapolated"] == pytest.approx(float(extrapolated(means)))
    assert share.details["bias"] == pytest.approx(means[0] - share.value)


def test_the_details_show_the_halves_and_the_spread_over_rotation_draws() -> None:
    measured = table(
        [0.55, 0.7, 0.1, 0.1],
        correlation=[0.75, 0.9, 0.3, 0.3],
        draws=[[0.2, 0.2], [0.3, 0.2], [0.3, 0.2]],  # the first neuron is universal in the first draw only
        half_a=[0.6, 0.7, 0.1, np.nan],
        half_b=[0.4, 0.7, 0.1, 0.1],
    )
    details = universal_share(measured, 0.5).details
    assert details["half_a"] == pytest.approx(2 / 3)
    assert details["half_b"] == pytest.approx(1 / 4)
    assert details["draws_sd"] == pytest.approx(np.std([0.5, 0.25, 0.25], ddof=1))


def test_an_interval_that_would_ignore_universal_neurons_without_influence_is_refused() -> None:
    with pytest.raises(InfluenceMissing, match=r"table a against b at step 1: 1 neurons exceed the threshold 0\.5"):
        universal_share(table([0.7, 0.8], candidates=[0]), 0.5)


def test_a_null_without_any_candidate_is_a_point() -> None:
    share = universal_share(table([0.7, 0.1], candidates=[]), 0.5)
    assert (share.low, share.value, share.high) == (0.5, 0.5, 0.5)


def test_the_order_of_the_neurons_does_not_matter() -> None:
    true = tail(300)
    ordered = noisy(true, seed=1)
    order = np.random.default_rng(2).permutation(300)
    candidates = np.argsort(order)[ordered.candidates]
    shuffled = dataclasses.replace(ordered, frame=ordered.frame.iloc[order], candidates=candidates)
    assert universal_share(shuffled, 0.5) == universal_share(ordered, 0.5)


def test_the_interval_of_a_share_contains_the_truth_as_often_as_it_says() -> None:
    resampling = Resampling(resamples=200, level=0.95, seed=7)
    hits = 0
    for seed in range(400):
        true = tail(800, seed)
        share = universal_share(noisy(true, seed + 1000, resampling=resampling), 0.5)
        hits += int(share.low <= np.mean(true > 0.5) <= share.high)
    assert 0.92 <= hits / 400 <= 0.98


# Tables that do not fit together.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": np.array([0, 9])}, "distinct row numbers below 3"),
        ({"candidates": np.array([1, 1])}, "distinct row numbers"),
        ({"influence": np.zeros((10, 3))}, "influence has shape"),
        ({"draws": np.zeros(2)}, "draws has shape"),
        ({"influence": np.full((10, 2), np.nan)}, "NaN influence or draws"),
    ],
)
def test_a_table_whose_parts_contradict_each_other_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(table([0.7, 0.1, 0.6]), **change)


def test_a_candidate_without_score_against_this_partner_needs_no_influence() -> None:
    undefined = table([0.7, np.nan], candidates=[0, 1], influence=[[0.0, np.nan]] * 4, draws=[[0.1, np.nan]] * 2)
    assert universal_share(undefined, 0.5).value == 1.0


def test_reference_tables_refuse_a_table_under_a_wrong_name() -> None:
    with pytest.raises(ValueError, match="cannot stand for a against c"):
        ReferenceTables("a", 1, {"c": table([0.7])})
    with pytest.raises(ValueError, match="has no partner"):
        ReferenceTables("a", 1, {})


# Differences between checkpoints.


def test_growth_is_the_difference_of_the_shares_of_neurons_defined_at_both_checkpoints() -> None:
    earlier = table([0.6, 0.1, 0.1, 0.1, np.nan])
    later = table([0.6, 0.7, 0.7, np.nan, 0.7], step=2)
    growth = share_difference(earlier, later, 0.5)
    assert growth.value == pytest.approx(2 / 3)
    assert growth.n == 3
    assert growth.details["undefined"] == 2


def test_a_checkpoint_compared_with_itself_has_not_grown_in_any_replicate() -> None:
    measured = noisy(tail(300), seed=1)
    growth = share_difference(measured, measured, 0.5)
    assert (growth.low, growth.value, growth.high) == (0, 0, 0)


def test_growth_ends_where_every_neuron_is_universal() -> None:
    earlier, later = (noisy(np.full(60, true), seed=step, step=step) for true, step in ((0.3, 1), (0.55, 2)))
    growth = share_difference(earlier, later, 0.5)
    assert growth.details["extrapolated"] > 1
    assert growth.high == 1
    assert share_difference(later, earlier, 0.5).low == -1


def test_growth_changes_sign_when_time_is_reversed() -> None:
    earlier, later = noisy(tail(400), seed=1), noisy(tail(400) + 0.03, seed=2, step=2)
    forwards, backwards = share_difference(earlier, later, 0.5), share_difference(later, earlier, 0.5)
    assert forwards.value > 0
    assert backwards.value == -forwards.value
    # Ends are order statistics, so mirroring moves them by at most one replicate.
    assert (-backwards.high, -backwards.low) == pytest.approx((forwards.low, forwards.high), abs=0.005)


def test_pairing_narrows_the_interval_of_growth() -> None:
    common = np.random.default_rng(9).normal(0, 0.3, (100, 600))
    earlier = noisy(tail(600), seed=1, common=common)
    later = noisy(tail(600) + 0.01, seed=1, common=common, step=2)
    unpaired = math.hypot(width(universal_share(earlier, 0.5)), width(universal_share(later, 0.5)))
    assert 0 < width(share_difference(earlier, later, 0.5)) < unpaired / 2


def test_tables_of_different_neurons_or_replicates_are_not_compared() -> None:
    with pytest.raises(ValueError, match="not about the same neurons"):
        share_difference(table([0.7, 0.7]), table([0.7, 0.7], layer=[0, 1]), 0.5)
    with pytest.raises(ValueError, match="resampled differently"):
        share_difference(table([0.7]), table([0.7], resampling=Resampling(400, 0.95, 8)), 0.5)


def test_tables_against_different_partners_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different partners"):
        share_difference(table([0.7]), table([0.7], partner="c"), 0.5)


# Definitions over several partners.

PARTNERS = ReferenceTables.of(
    [
        table([0.9, 0.6, 0.8, 0.1, np.nan], partner="b", candidates=[0, 1, 2]),
        table([0.9, 0.3, 0.4, 0.1, 0.1], partner="c", candidates=[0, 1, 2]),
    ]
)


@pytest.mark.parametrize(
    ("definition", "expected", "n"),
    [
        (Definition.PAIR, (3 / 4 + 1 / 5) / 2, 4),
        (Definition.AVERAGED, 2 / 4, 4),
        (Definition.UNION, 3 / 4, 4),
        (Definition.INTERSECTION, 1 / 4, 4),
    ],
)
def test_each_reading_of_universal_gives_its_own_share(definition: Definition, expected: float, n: int) -> None:
    share = definition_share(PARTNERS, definition, 0.5)
    assert share.value == pytest.approx(expected)
    assert share.n == n
    assert share.details["undefined"] == 1
    assert share.details["half_a"] == pytest.approx(expected)


def test_the_jackknife_leaves_each_partner_out() -> None:
    tables = ReferenceTables.of(
        [table([0.7] * c + [0.1] * (10 - c), partner=p) for p, c in zip("bcde", (4, 5, 4, 6), strict=True)]
    )
    share = definition_share(tables, Definition.PAIR, 0.5)
    reach = 3.182446305284264 * np.std([0.4, 0.5, 0.4, 0.6], ddof=1) / 2
    assert (share.details["models_low"], share.details["models_high"]) == pytest.approx((0.475 - reach, 0.475 + reach))
    assert "models_low" not in definition_share(ReferenceTables.of([table([0.7])]), Definition.PAIR, 0.5).details


def test_partners_share_the_noise_of_their_common_tokens() -> None:
    # Two partners that see exactly the same noise are one partner: with weights of their own the mean would look surer.
    measured = noisy(tail(400), seed=1)
    twin = dataclasses.replace(measured, partner="c")
    both = definition_share(ReferenceTables.of([measured, twin]), Definition.PAIR, 0.5)
    alone = universal_share(measured, 0.5)
    assert (both.value, both.low, both.high) == pytest.approx((alone.value, alone.low, alone.high))


@pytest.mark.parametrize("definition", [Definition.AVERAGED, Definition.UNION, Definition.INTERSECTION])
def test_readings_that_combine_scores_need_the_same_candidates(definition: Definition) -> None:
    tables = ReferenceTables.of([table([0.7, 0.1]), table([0.7, 0.7], partner="c")])
    with pytest.raises(ValueError, match="same candidates"):
        definition_share(tables, definition, 0.5)


def test_growth_over_several_partners_is_the_mean_of_their_growths() -> None:
    earlier = ReferenceTables.of([table([0.7, 0.1]), table([0.1, 0.1], partner="c")])
    later = ReferenceTables.of([table([0.7, 0.7], step=2), table([0.1, 0.1], partner="c", step=2)])
    growth = share_difference(earlier, later, 0.5)
    assert growth.value == pytest.approx(0.25)
    assert {"models_low", "models_high"} <= set(growth.details)


# Layers.


def test_the_layers_shares_weighted_by_their_neurons_are_the_share() -> None:
    measured = noisy(tail(400), seed=3)
    frame = measured.frame.assign(layer=np.repeat([0, 1, 2], [50, 150, 200]).astype(np.int16))
    measured = dataclasses.replace(measured, frame=frame)
    layers = share_by_layer(measured, 0.5)
    assert layers["neurons"].tolist() == [50, 150, 200]
    assert np.average(layers["value"], weights=layers["neurons"]) == pytest.approx(universal_share(measured, 0.5).value)
    assert (layers["low"] <= layers["value"]).all()
    assert (layers["value"] <= layers["high"]).all()


def test_a_layer_without_any_score_has_no_share() -> None:
    layers = share_by_layer(table([0.7, np.nan, 0.1], layer=[0, 1, 2]), 0.5)
    assert layers["value"].isna().tolist() == [False, True, False]
    assert layers["low"].isna().tolist() == [False, True, False]


# Tables for pictures.


def test_the_threshold_curve_falls_and_has_no_interval_where_influence_is_missing() -> None:
    curve = threshold_curve(noisy(tail(500), seed=1), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert (curve["value"].diff().dropna() <= 0).all()
    assert curve["value"].iloc[0] > curve["value"].iloc[-1]
    assert curve["low"].isna().tolist() == [True] + [False] * 8
    assert (curve["half_a"] == curve["value"]).all()


# Depth specialisation.
