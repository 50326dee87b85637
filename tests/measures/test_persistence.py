"""Persistence on small tables whose answers are counted by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.measures.labels import BLOCKS, RESAMPLING, pairs, table
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.controls import shuffled_neurons
from universal_neurons.measures.intervals import block_weights, jackknife, percentile_interval, wilson
from universal_neurons.measures.persistence import (
    Pooling,
    ceiling,
    cross_fitted_persistence,
    persistence,
    persistence_by_layer,
    persistence_gain,
    recruitment,
)
from universal_neurons.measures.persistence_depth import (
    EARLY,
    LATE,
    persistence_contrast,
)
from universal_neurons.measures.tables import (
    Definition,
    InfluenceMissing,
    Resampling,
    UniversalityTable,
)

if TYPE_CHECKING:
    from collections.abc import Callable


# The conditional and its details.

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


def test_a_null_without_any_candidate_persists_as_it_does_in_every_replicate() -> None:
    earlier, later = (table(one, step=step, candidates=[]) for step, one in enumerate(("00111", "00110")))
    found = persistence(earlier, later, 0.5)
    assert (found.details["tokens_low"], found.details["tokens_high"]) == pytest.approx((2 / 3, 2 / 3))


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


def test_persistence_by_layer_has_a_row_for_a_layer_without_universal_neurons() -> None:
    layer = [0, 0, 0, 1, 1, 2, 2]
    earlier, later = table("1110011", layer=layer), table("1100010", layer=layer, step=2)
    frame = persistence_by_layer(earlier, later, 0.5)
    assert frame["value"].to_list() == pytest.approx([2 / 3, math.nan, 1 / 2], nan_ok=True)
    assert frame["n"].to_list() == [3, 0, 2]


# Over three checkpoints.


def test_the_gain_is_the_later_rate_minus_the_earlier() -> None:
    first, second, third = table("111100"), table("110011", step=2), table("110001", step=3)
    found = persistence_gain(first, second, third, 0.5)
    assert found.value == pytest.approx(3 / 4 - 2 / 4)
    assert (found.details["earlier"], found.details["later"]) == (2 / 4, 3 / 4)
    assert persistence_gain(first, first, first, 0.5).value == 0


# What else can be stable.


# Metadata.


@pytest.mark.parametrize("measure", [persistence, recruitment, cross_fitted_persistence])
def test_a_threshold_lies_between_0_and_1(measure: Callable[..., Measurement]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        measure(EARLIER, LATER, 50)
