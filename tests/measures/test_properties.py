"""Ranks of properties in layers, and how they are compared, against direct calculation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.measures.labels import plain_table
from universal_neurons.measurement import Over
from universal_neurons.measures import properties
from universal_neurons.measures.intervals import jackknife
from universal_neurons.measures.properties import (
    ALL,
    EIGHT,
    Ranking,
    alignment_and_frequency,
    by_labels_of_partners,
    distance_from_gaussian,
    early_share_of_frequent,
    enough_median_percentile,
    extreme_dealing,
    farthest_from_none,
    in_layer,
    mean_median_percentile,
    median_of,
    median_percentile,
    percentiles_in_layers,
    property_of,
    ranking,
    spearman_in_layers,
)
from universal_neurons.measures.tables import ReferenceTables

LAYERS, WIDTH = 3, 60
LAYER = np.repeat(np.arange(LAYERS), WIDTH)
DICE = np.random.default_rng(4)


def one(seed: int, shift: float = 0.0, share: float = 0.3) -> Ranking:
    dice = np.random.default_rng(seed)
    universal = dice.random(len(LAYER)) < share
    values = dice.normal(0, 1, len(LAYER)) + shift * universal
    without = {name: universal & (dice.random(len(LAYER)) < 0.8) for name in "abc"}
    return Ranking(LAYER, values, percentiles_in_layers(LAYER, values), universal, without, 0.95)


def tables(excess: list[np.ndarray]) -> ReferenceTables:
    numbers = {"layer": LAYER, "neuron": np.tile(np.arange(WIDTH), LAYERS)}
    return ReferenceTables.of(
        [
            plain_table(pd.DataFrame({**numbers, "excess": values}), partner=partner)
            for partner, values in zip("bc", excess, strict=True)
        ]
    )


def frame(**columns: np.ndarray) -> pd.DataFrame:
    names = [*(name for name in EIGHT if name != "weight_norm"), "w_in_norm", "w_out_norm", "frequency"]
    made = {name: np.random.default_rng(7).normal(size=len(LAYER)) for name in names}
    return pd.DataFrame({"layer": LAYER, "neuron": np.tile(np.arange(WIDTH), LAYERS), **made, **columns})


def test_percentiles_are_mid_ranks_in_the_layer() -> None:
    values = DICE.integers(0, 20, len(LAYER)).astype(float)
    found = percentiles_in_layers(LAYER, values)
    for layer in range(LAYERS):
        here = values[layer == LAYER]
        expected = [stats.percentileofscore(here, value, kind="mean") for value in here]
        np.testing.assert_allclose(found[layer == LAYER], expected)


def test_an_undefined_property_has_no_rank_and_takes_none() -> None:
    found = percentiles_in_layers(np.zeros(3, dtype=int), np.array([1.0, np.nan, 2.0]))
    np.testing.assert_array_equal(found, [25, np.nan, 75])


def test_the_median_of_universal_neurons_has_the_interval_of_order_statistics() -> None:
    models = [one(1, 1.0), one(2, 1.0)]
    sample = np.concatenate([model.percentile[model.universal] for model in models])
    found = median_percentile(models)
    tested: Any = stats.quantile_test(sample, q=50, p=0.5)
    ends = tested.confidence_interval(0.95)
    assert (found.value, found.low, found.high) == (np.median(sample), ends.low, ends.high)
    assert (found.n, found.over) == (len(sample), Over.NEURONS)
    assert found.low > 50 > found.details["others"]
    # Percentiles of several models tie; without ties each end is one value of its own.
    distinct: Any = stats.quantile_test(np.arange(60.0), q=30, p=0.5)
    middle, ends = median_of(np.arange(60.0), 0.95), distinct.confidence_interval(0.95)
    assert (middle.low, middle.high) == (ends.low, ends.high)


def test_too_few_neurons_have_an_infinite_interval_and_none_have_no_median() -> None:
    model = one(1)
    few = replace(model, universal=np.arange(len(LAYER)) < 3)
    assert median_percentile([few]).high == np.inf
    assert median_percentile([replace(model, universal=np.zeros(len(LAYER), dtype=bool))]).is_missing


def test_the_auc_is_that_of_mann_and_whitney_by_layer() -> None:
    model = one(3, 0.7)
    total, weight = 0.0, 0
    for layer in range(LAYERS):
        here = layer == LAYER
        x, y = model.value[here & model.universal], model.value[here & ~model.universal]
        total += float(stats.mannwhitneyu(x, y).statistic) / len(y)
        weight += len(x)
    assert median_percentile([model]).details["auc"] == pytest.approx(total / weight)


def test_all_models_together_leave_each_out_as_reference_and_as_partner() -> None:
    models = {name: one(seed, 1.0) for seed, name in enumerate("abc")}
    found = mean_median_percentile(models)

    def mean(chosen: dict[str, np.ndarray]) -> float:
        return float(np.mean([np.median(models[name].percentile[flags]) for name, flags in chosen.items()]))

    rest = [mean({name: models[name].without[out] for name in "abc" if name != out}) for out in "abc"]
    assert found.value == mean({name: models[name].universal for name in "abc"})
    assert (found.low, found.high) == jackknife(found.value, rest, level=0.95)
    assert (found.n, found.over) == (3, Over.MODELS)
    medians = [mean({name: models[name].universal}) for name in "abc"]
    assert found.details == {"lowest": min(medians), "highest": max(medians)}
    assert mean_median_percentile({name: models[name] for name in "ab"}).is_missing


def test_dealing_keeps_the_number_of_each_layer_and_moves_labels() -> None:
    model = one(5)
    dealt = model.dealt(1)
    assert (dealt.universal != model.universal).any()
    np.testing.assert_array_equal(np.bincount(LAYER[dealt.universal]), np.bincount(LAYER[model.universal]))
    np.testing.assert_array_equal(dealt.percentile, model.percentile)


@pytest.mark.parametrize("side", [-1, 1])
def test_the_extreme_dealing_is_exceeded_by_a_tenth(side: int) -> None:
    models = {name: one(seed, 2.0) for seed, name in enumerate("abc")}
    found = extreme_dealing(models, mean_median_percentile, side)
    every = [
        mean_median_percentile({name: model.dealt(seed) for name, model in models.items()})
        for seed in range(properties.DEALINGS)
    ]
    ends = [side * (dealt.low if side > 0 else dealt.high) for dealt in [*every, found]]
    assert sum(end > ends[-1] for end in ends) == properties.DEALINGS / 10


@pytest.mark.parametrize("side", [-1, 1])
def test_the_extreme_dealing_does_not_exclude_50_where_the_interval_is_right(side: int) -> None:
    found = extreme_dealing({"a": one(6, 2.0)}, lambda dealt: median_percentile(list(dealt.values())), side)
    assert found.low <= 50 <= found.high


def test_labels_of_a_partner_are_its_numbers() -> None:
    models = {name: one(seed, 3.0) for seed, name in enumerate("abc")}
    medians = sorted(float(np.median(models["a"].percentile[models[m].universal])) for m in "bc")
    assert by_labels_of_partners(models, "a", 1).value == medians[1]


def test_a_layer_with_few_universal_neurons_is_not_judged() -> None:
    model = one(1, share=0.9)
    rare = replace(model, universal=model.universal & (LAYER != 1))
    assert enough_median_percentile(in_layer({"a": rare}, 1)).is_missing
    assert enough_median_percentile(in_layer({"a": rare}, 0)).n == int((rare.universal & (LAYER == 0)).sum())


def test_universal_is_the_mean_over_the_partners_and_without_one_the_other() -> None:
    excess = [DICE.random(len(LAYER)) for _ in "bc"]
    found = ranking(frame(), tables(excess), "pre_kurtosis", 0.5)
    np.testing.assert_array_equal(found.universal, np.mean(excess, axis=0) > 0.5)
    np.testing.assert_array_equal(found.without["b"], excess[1] > 0.5)


def test_a_neuron_without_the_property_is_left_out() -> None:
    values = np.arange(len(LAYER), dtype=float)
    values[7] = np.nan
    found = ranking(frame(pre_kurtosis=values), tables([DICE.random(len(LAYER))] * 2), "pre_kurtosis", 0.5)
    assert len(found.layer) == len(found.universal) == len(found.without["b"]) == len(LAYER) - 1


def test_all_eight_are_the_mean_on_the_published_side() -> None:
    table = frame()
    ranks = [side * (percentiles_in_layers(LAYER, property_of(table, name)) - 50) for name, side in EIGHT.items()]
    found = ranking(table, tables([DICE.random(len(LAYER))] * 2), ALL, 0.5)
    np.testing.assert_allclose(found.value, np.mean(ranks, axis=0))


def test_properties_of_other_neurons_are_refused() -> None:
    with pytest.raises(ValueError, match="not about the same neurons"):
        ranking(frame().iloc[::-1], tables([DICE.random(len(LAYER))] * 2), "pre_mean", 0.5)


def test_the_correlation_with_the_excess_is_spearmans_in_one_layer() -> None:
    layer, neuron = np.zeros(50, dtype=int), np.arange(50)
    values, excess = DICE.normal(size=50), DICE.random(50)
    table = pd.DataFrame({"layer": layer, "neuron": neuron, "pre_mean": values})
    scores = ReferenceTables.of([plain_table(table.assign(excess=excess))])
    found = spearman_in_layers(table, scores, "pre_mean")
    assert found.value == pytest.approx(stats.spearmanr(values, excess).statistic)
    assert found.low < found.value < found.high


def test_pearsons_correlation_has_the_interval_of_scipy() -> None:
    x, y = DICE.normal(size=(2, 80))
    ends = stats.pearsonr(x, y).confidence_interval(0.95)
    found = properties.correlation(x, y, level=0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


def test_the_interval_of_a_rank_correlation_is_wider_by_bonett_and_wright() -> None:
    x, y = np.random.default_rng(4).normal(size=(2, 80))
    plain, ranked = (properties.correlation(x, 2 * x + y, level=0.95, rank=rank) for rank in (False, True))
    reach = [np.arctanh(found.high) - np.arctanh(found.value) for found in (plain, ranked)]
    assert reach[1] / reach[0] == pytest.approx(np.sqrt(1 + plain.value**2 / 2))


def test_the_farthest_from_none_has_an_interval_over_all() -> None:
    x, y = DICE.normal(size=(2, 80))
    parts = {name: properties.correlation(x, side * x + y, level=0.95) for name, side in (("up", 1), ("down", -1))}
    found = farthest_from_none(parts)
    assert (found.low, found.high) == (parts["down"].low, parts["up"].high)
    assert set(found.details) == {"up", "down"}


def test_cosines_dealt_out_in_layers_keep_what_layers_share() -> None:
    cosine = DICE.normal(size=len(LAYER))
    table = frame(cos_in_out=cosine, frequency=-cosine)
    assert alignment_and_frequency(table, level=0.95).value == pytest.approx(-1)
    assert abs(alignment_and_frequency(table, level=0.95, seed=0).value) < 0.3
    confounded = frame(cos_in_out=LAYER + cosine / 9, frequency=-LAYER + cosine / 9)
    assert alignment_and_frequency(confounded, level=0.95, seed=0).value < -0.8
    assert alignment_and_frequency(confounded, level=0.95, within=True).value == pytest.approx(1)


def test_the_distance_from_a_gaussian_is_the_larger_one_in_units_of_its_margin() -> None:
    none = np.zeros(len(LAYER), dtype=bool)

    def around(value: float) -> Ranking:
        return replace(one(1), value=np.full(len(LAYER), value), universal=none)

    def distance(kurtosis: float, skewness: float) -> float:
        return distance_from_gaussian(around(kurtosis), around(skewness), universal=False).value

    assert [distance(3.2, 0.3), distance(1.0, 0.3), distance(3, -0.4), distance(3, 0)] == pytest.approx(
        [0.6, 2, 0.8, 0]
    )
    wide = replace(one(1), universal=none)
    found = distance_from_gaussian(around(3.0), wide, universal=False)
    assert found.low == 0 < found.high


def test_the_share_of_frequent_neurons_that_are_early() -> None:
    layer = np.repeat(np.arange(8), 10)
    frequency = np.where(layer < 2, 0.9, 0.1)
    frequency[-1] = 0.9
    table = pd.DataFrame({"layer": layer, "frequency": frequency})
    found = early_share_of_frequent([table, table], level=0.95)
    assert (found.value, found.n) == (40 / 42, 42)
    assert early_share_of_frequent([table], level=0.95, seed=0).value < 0.6
    assert early_share_of_frequent([table.assign(frequency=0.1)], level=0.95).is_missing
