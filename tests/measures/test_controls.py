from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from tests.measures.tables import table
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.controls import (
    dealt_within_layers,
    rank_beyond_chance,
    shuffled_layers,
    shuffled_neurons,
    typical,
    with_second_half_of,
    with_second_half_shuffled,
    without_baseline,
)
from universal_neurons.measures.robustness import share_over_neurons
from universal_neurons.measures.tables import (
    ReferenceTables,
)
from universal_neurons.measures.universality import share_difference

T = 0.5


def test_dealing_the_layers_out_anew_keeps_the_shares_and_destroys_the_order_of_depth() -> None:
    layer = np.repeat([0, 1, 2, 3], 300)
    earlier = table(np.full(1200, 0.1), layer=layer)
    later = table(np.where(layer >= 2, 0.7, 0.1), layer=layer, step=2)
    false_earlier, false_later = shuffled_layers(earlier, seed=3), shuffled_layers(later, seed=3)
    growth, false = (
        later.frame.groupby("layer")["excess"].mean() - earlier.frame.groupby("layer")["excess"].mean()
        for earlier, later in ((earlier, later), (false_earlier, false_later))
    )
    assert growth.to_list() == pytest.approx([0.0, 0.0, 0.6, 0.6])
    assert false.to_list() == pytest.approx([0.3] * 4, abs=0.05)
    assert share_difference(false_earlier, false_later, 0.5).value == share_difference(earlier, later, 0.5).value
    assert false_later.frame["layer"].value_counts().tolist() == [300] * 4
    gathered = ReferenceTables.of([earlier]).each(lambda one: shuffled_layers(one, seed=3))
    pd.testing.assert_frame_equal(gathered.tables["b"].frame, false_earlier.frame)


def test_labels_dealt_anew_keep_the_share_of_every_layer_and_belong_to_other_neurons() -> None:
    layer = np.repeat([0, 1], 50)
    scores = np.concatenate([np.linspace(0.3, 0.9, 50), np.linspace(0.1, 0.6, 50)])
    straight = table(scores, layer=layer)
    dealt = shuffled_neurons(straight, seed=0)
    for at in (0, 1):
        inside = layer == at
        assert sorted(dealt.frame["excess"][inside]) == sorted(straight.frame["excess"][inside])
    assert dealt.frame["neuron"].to_list() == straight.frame["neuron"].to_list()
    assert not np.array_equal(dealt.frame["excess"], straight.frame["excess"])
    # Candidates have moved with their scores, or intervals would be of other neurons.
    before, after = (t.frame["excess"].to_numpy()[t.candidates] for t in (straight, dealt))
    assert np.array_equal(before, after)


def test_a_shuffled_half_agrees_no_better_than_its_layer() -> None:
    scores = np.where(np.arange(4000) % 10 == 0, 0.9, 0.1)
    layer = np.arange(4000) // 2000
    own = table(np.where(layer == 1, scores, 0.1), layer=layer)
    shuffled = with_second_half_shuffled(own, seed=0)
    a, b = (shuffled.frame[f"excess_half_{half}"].to_numpy() > T for half in "ab")
    assert 0.04 < (a & b).sum() / a.sum() < 0.17
    assert not (shuffled.frame["excess_half_b"].to_numpy()[layer == 0] > T).any()
    assert share_over_neurons(shuffled, T).value == share_over_neurons(own, T).value


def test_the_half_of_another_table_is_taken_row_by_row() -> None:
    other = table([0.1, 0.9], partner="c")
    found = with_second_half_of(table([0.9, 0.1]), other)
    assert found.frame["excess_half_b"].tolist() == pytest.approx([0.1, 0.9])
    with pytest.raises(ValueError, match="2 and 3 neurons"):
        with_second_half_of(table([0.9, 0.1]), table([0.1, 0.1, 0.1]))


def test_without_a_baseline_the_score_is_the_correlation() -> None:
    own = table([0.4, 0.1], correlation=[0.7, 0.6])
    assert share_over_neurons(without_baseline(own), T).value == 1
    assert without_baseline(own).candidates.size == 0


def test_chance_satisfies_a_control_of_several_draws_less_often_than_a_single_interval_errs() -> None:
    assert rank_beyond_chance(20, 0.025, level=0.95) == 3
    assert rank_beyond_chance(20, 0.01, level=0.95) == 2
    for draws in (5, 20, 100):
        rank = rank_beyond_chance(draws, 0.025, level=0.95)
        assert binom.sf(rank - 1, draws, 0.025) <= 0.025 < binom.sf(rank - 2, draws, 0.025)


def measured(value: float) -> Measurement:
    return Measurement(value, 0.0, 1.0, 50, Over.NEURONS)


def test_a_control_dealt_several_times_is_the_median_one() -> None:
    values = {0: 0.9, 1: 0.1, 2: 0.3, 3: 0.2, 4: 0.8}
    assert typical(lambda seed: measured(values[seed])).value == 0.3
    assert typical(lambda seed: measured(0.5) if seed else Measurement.missing()).is_missing


def test_dealings_of_one_seed_are_one_array_that_nobody_can_change() -> None:
    layer = np.repeat(np.arange(3), 20)
    dealt = dealt_within_layers(layer, 7)
    assert dealt_within_layers(layer.copy(), 7) is dealt
    assert (dealt == dealt_within_layers(layer, np.random.default_rng(7))).all()
    assert (layer[dealt] == layer).all()
    assert (dealt != dealt_within_layers(layer, 8)).any()
    with pytest.raises(ValueError, match="read-only"):
        dealt[0] = 1
