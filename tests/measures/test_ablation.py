from __future__ import annotations

import dataclasses
import math
from functools import cache
from typing import Any, get_args

import numpy as np
import pytest
from scipy import optimize, stats

from tests.measures.ablations import BLOCKS, RESAMPLING, Ablated, draws, table_of
from universal_neurons.errors import NotOnSuite, TooFewNeurons
from universal_neurons.measurement import Over
from universal_neurons.measures.ablation import (
    Per,
    contrast,
    dose_curve,
    effect,
    effect_ratio,
    first_layer_over_random,
    first_layer_ratio,
    perplexity_ratio,
    single_draw_contrast,
    single_draw_ratio,
    single_draws,
    standing,
    weakest_standing,
)
from universal_neurons.measures.ablation_table import AblationTable, Quantity, SetKind, SetMissing, SetOf
from universal_neurons.measures.intervals import block_weights
from universal_neurons.measures.tables import Definition, Resampling

PAIR = SetOf(0.5, "b")
AVERAGED = SetOf(0.5, definition=Definition.AVERAGED)
# In this spelling: 0.025 of 400 replicates is the tenth, (1 - 0.95) / 2 in binary a little more.
TAILS = ((1 - 0.95) / 2, (1 + 0.95) / 2)


def noise(seed: int, sets: int, scale: float = 0.02) -> Any:
    """(set, block)."""
    return np.random.default_rng(seed).normal(0, scale, (sets, BLOCKS))


def compared(universal: float = 1.0, random: float = 0.3, spread: float = 0.02, **given: Any) -> AblationTable:
    """A universal set against 20 draws of two kinds, with token noise of their own and in common."""
    common = noise(1, 1, 0.1)[0]
    effects = random + spread * np.random.default_rng(2).standard_normal(20)
    rows = [Ablated(SetKind.UNIVERSAL, universal + common, loss=universal / 2, **given)]
    rows += draws(SetKind.RANDOM_OTHERS, list(effects[:, None] + common + noise(3, 20)), **given)
    rows += draws(SetKind.LAYER_MATCHED, list(effects[::-1, None] + 0.1 + common + noise(4, 20)), **given)
    return table_of(rows)


def layered(effects: dict[int, float], *, sizes: dict[int, int] | None = None, joint: float = 2.0) -> AblationTable:
    """Universal sets of single layers, and of all of them."""
    rows = [Ablated(SetKind.UNIVERSAL, joint, loss=joint / 2)]
    for layer, value in effects.items():
        size = (sizes or {}).get(layer, 10)
        rows.append(
            Ablated(SetKind.UNIVERSAL, value + noise(layer, 1)[0] * value, loss=value / 2, layer=layer, size=size)
        )
    return table_of(rows)


def weights(table: AblationTable) -> Any:
    resampling = table.resampling
    return block_weights(len(table.predictions), resamples=resampling.resamples, seed=resampling.seed)


def bootstrap_t(blocks: Any, table: AblationTable) -> tuple[float, float]:
    """The interval of a mean over blocks, one resample after the other."""
    pivots = []
    for row in weights(table):
        drawn = np.repeat(blocks, row.astype(int))
        pivots.append((drawn.mean() - blocks.mean()) / drawn.std())
    high, low = np.quantile(pivots, TAILS, method="inverted_cdf")
    return blocks.mean() - low * blocks.std(), blocks.mean() - high * blocks.std()


# What a set is.


def test_an_effect_is_the_mean_over_predictions_and_not_over_blocks() -> None:
    counts = [10] * (BLOCKS - 1) + [50]
    values = np.arange(BLOCKS, dtype=np.float64)
    table = table_of([Ablated(SetKind.UNIVERSAL, values)], predictions=counts)
    found = effect(table, PAIR)
    assert found.value == pytest.approx(np.average(values, weights=counts))
    contributions = found.value + (values - found.value) * np.array(counts) / np.mean(counts)
    assert (found.low, found.high) == pytest.approx(bootstrap_t(contributions, table))
    assert (found.n, found.over, found.unit) == (BLOCKS, Over.TOKEN_BLOCKS, "nats")


def test_the_effect_of_a_random_kind_is_the_mean_of_its_draws_with_their_range() -> None:
    table = table_of(draws(SetKind.RANDOM_OTHERS, [0.1, 0.2, 0.6]))
    found = effect(table, PAIR, SetKind.RANDOM_OTHERS)
    assert found.value == pytest.approx(0.3)
    assert found.details["draws"] == 3
    assert found.details["draws_low"] == pytest.approx(0.1)
    assert found.details["draws_high"] == pytest.approx(0.6)
    assert found.details["draws_sd"] == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1))


def test_ablating_nothing_has_an_effect_of_exactly_zero_and_none_per_neuron() -> None:
    found = effect(table_of([Ablated(SetKind.UNIVERSAL, 0.0, size=0, norm=0.0)]), PAIR)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert math.isnan(found.details["per_neuron"])
    assert math.isnan(found.details["per_norm"])


@pytest.mark.parametrize(
    "wanted",
    [
        SetOf(0.4, "b"),
        SetOf(0.5, "c"),
        SetOf(0.5, "b", layer=1),
        SetOf(0.5, "b", mode="mean"),
        SetOf(0.5, "b", fraction=0.1),
        AVERAGED,
    ],
)
def test_a_set_that_was_not_ablated_is_named(wanted: SetOf) -> None:
    with pytest.raises(SetMissing, match=r"ablations of a at step 400: no set universal at threshold"):
        effect(compared(), wanted)


def test_every_property_of_a_set_tells_it_from_another() -> None:
    asked = [
        PAIR,
        SetOf(0.5, "c"),
        SetOf(0.4, "b"),
        SetOf(0.6, "b"),
        PAIR.in_layer(0),
        SetOf(0.5, "b", mode="mean"),
        SetOf(0.5, "b", mode="resample"),
        SetOf(0.5, "b", fraction=0.1),
        *(SetOf(0.5, definition=one) for one in (Definition.AVERAGED, Definition.UNION, Definition.INTERSECTION)),
    ]
    rows = [
        Ablated(SetKind.UNIVERSAL, float(number), **{**dataclasses.asdict(one), "partner": one.partner or ""})
        for number, one in enumerate(asked)
    ]
    table = table_of(rows)
    assert [effect(table, one).value for one in asked] == list(range(len(asked)))


def test_a_set_per_pair_has_a_partner_and_no_other_set_has() -> None:
    with pytest.raises(ValueError, match="does not go with partner None"):
        SetOf(0.5)
    with pytest.raises(ValueError, match="does not go with partner 'b'"):
        SetOf(0.5, "b", Definition.UNION)


def test_two_rows_for_one_set_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rows for one set"):
        effect(table_of([Ablated(SetKind.UNIVERSAL, 1.0), Ablated(SetKind.UNIVERSAL, 2.0)]), PAIR)


def test_a_table_that_does_not_fit_together_is_refused() -> None:
    good = compared()
    with pytest.raises(ValueError, match=r"kl has shape \(41, 23\); expected \(41, 24\)"):
        dataclasses.replace(good, kl=good.kl[:, 1:])
    with pytest.raises(ValueError, match="columns missing: norm"):
        dataclasses.replace(good, frame=good.frame.drop(columns="norm"))
    with pytest.raises(ValueError, match="in every token block"):
        dataclasses.replace(good, predictions=np.zeros(BLOCKS, dtype=np.int64))
    broken = good.loss_increase.copy()
    broken[3, 1] = np.nan
    with pytest.raises(ValueError, match="loss_increase is not finite in row 3"):
        dataclasses.replace(good, loss_increase=broken)


# Against random draws.


def test_the_standing_is_the_distance_from_the_mean_of_the_draws_in_their_deviations() -> None:
    table = compared()
    drawn = table.kl[1:21].astype(np.float64).mean(axis=1)
    own = float(table.kl[0].astype(np.float64).mean())
    found = standing(table, PAIR, SetKind.RANDOM_OTHERS)
    assert found.value == pytest.approx((own - drawn.mean()) / drawn.std(ddof=1))
    assert found.details["percentile"] == pytest.approx(drawn.mean() + stats.norm.ppf(0.95) * drawn.std(ddof=1))
    assert found.details["ratio"] == pytest.approx(own / drawn.mean())
    assert (found.details["rank"], found.details["draws"], found.unit) == (1.0, 20, "sd of draws")


def test_the_interval_over_draws_is_the_exact_one_where_tokens_say_everything() -> None:
    effects = 0.3 + 0.05 * np.random.default_rng(5).standard_normal(20)
    rows = [Ablated(SetKind.UNIVERSAL, 0.5), *draws(SetKind.RANDOM_OTHERS, list(effects))]
    found = standing(table_of(rows, resampling=Resampling(40_000, 0.95, 7)), PAIR, SetKind.RANDOM_OTHERS)
    # sqrt(n) (U - m) / s is noncentral t with the noncentrality sqrt(n) times the standing: its confidence limits.
    observed = (0.5 - effects.mean()) / effects.std(ddof=1) * np.sqrt(20)

    def limit(tail: float) -> float:
        return float(optimize.brentq(lambda d: stats.nct.sf(observed, 19, d) - tail, -10, 60)) / math.sqrt(20)

    low, high = limit(0.025), limit(0.975)
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.01)
    assert found.details["error_tokens"] < 1e-6 < found.details["error_draws"]


def test_what_all_sets_have_in_common_on_a_block_does_not_widen_the_interval() -> None:
    calm = compared()
    shift = 5 * noise(9, 1, 1.0)[0].astype(np.float32)
    stormy = dataclasses.replace(calm, kl=calm.kl + shift)
    for measure in (standing, contrast):
        first, second = (measure(table, PAIR, SetKind.RANDOM_OTHERS) for table in (calm, stormy))
        assert (second.value, second.low, second.high) == pytest.approx(
            (first.value, first.low, first.high), abs=1e-5, rel=1e-5
        )


def test_the_order_of_blocks_and_of_rows_does_not_matter() -> None:
    table = compared()
    order = np.random.default_rng(0).permutation(len(table.frame))
    shuffled = dataclasses.replace(
        table,
        frame=table.frame.iloc[order].reset_index(drop=True),
        kl=table.kl[order],
        loss_increase=table.loss_increase[order],
    )
    turned = dataclasses.replace(table, kl=table.kl[:, ::-1], loss_increase=table.loss_increase[:, ::-1])
    first = standing(table, PAIR)
    assert standing(shuffled, PAIR).as_dict() == first.as_dict()
    assert standing(turned, PAIR).value == pytest.approx(first.value)


def test_intervals_are_the_same_whenever_they_are_asked_for() -> None:
    assert standing(compared(), PAIR).as_dict() == standing(compared(), PAIR).as_dict()


@cache
def unmeasured(sets: int) -> AblationTable:
    """A universal set and draws without effects: a frame to be given some, which is quicker than a new one."""
    return table_of([Ablated(SetKind.UNIVERSAL, 0.0), *draws(SetKind.RANDOM_OTHERS, [0.0] * (sets - 1))])


def simulated(generator: np.random.Generator, effects: Any) -> AblationTable:
    """A universal set and draws with the given true effects, the set's first, seen through token noise."""
    common = generator.normal(0, 0.1, BLOCKS)
    seen = effects[:, None] + common + generator.normal(0, 0.02, (effects.size, BLOCKS))
    return dataclasses.replace(unmeasured(effects.size), kl=seen)


@pytest.mark.parametrize("truth", [0.0, 2.0, 14.0])
def test_the_interval_covers_the_true_standing(truth: float) -> None:
    generator, covered = np.random.default_rng(11), 0
    for _ in range(1000):
        effects = np.array([0.3 + 0.05 * truth, *(0.3 + 0.05 * generator.standard_normal(20))])
        found = standing(simulated(generator, effects), PAIR, SetKind.RANDOM_OTHERS)
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / 1000 <= 0.98


@pytest.mark.parametrize(("skewed", "most"), [(False, 0.02), (True, 0.05)])
def test_a_set_that_is_one_more_draw_seldom_stands_out_and_is_below_the_mean_in_a_third(
    skewed: bool, most: float
) -> None:
    generator = np.random.default_rng(12)
    above, below, different = 0, 0, 0
    for _ in range(500):
        # Sums of a few strong neurons are skewed; the interval takes draws as normal.
        effects = 0.02 * generator.gamma(6.0, size=21) if skewed else 0.3 + 0.05 * generator.standard_normal(21)
        table = simulated(generator, effects)
        found = standing(table, PAIR, SetKind.RANDOM_OTHERS)
        above, below = above + (found.low > stats.norm.ppf(0.95)), below + (found.high < 0)
        different += contrast(table, PAIR, SetKind.RANDOM_OTHERS).low > 0
    assert above / 500 <= most
    assert 0.25 <= below / 500 <= 0.4
    assert different / 500 <= 0.025 + most


def test_another_kind_in_the_sets_place_stands_by_the_mean_of_its_draws() -> None:
    table = compared()
    found = standing(table, PAIR, SetKind.RANDOM_OTHERS, of=SetKind.LAYER_MATCHED)
    drawn = table.kl.astype(np.float64).mean(axis=1)
    assert found.value == pytest.approx((drawn[21:].mean() - drawn[1:21].mean()) / drawn[1:21].std(ddof=1))


def test_of_single_draws_judged_by_the_others_the_one_of_a_rank_beyond_chance_is_returned() -> None:
    effects = np.array([0.1, 0.2, 0.15, 0.12, 0.3, 0.11, 0.13, 0.4, 0.5, *np.linspace(0.1, 0.2, 11)])
    found = single_draws(table_of(draws(SetKind.RANDOM_OTHERS, list(effects))), PAIR, SetKind.RANDOM_OTHERS)
    second = effects == 0.4
    expected = (0.4 - effects[~second].mean()) / effects[~second].std(ddof=1)
    assert found.value == pytest.approx(expected, rel=1e-5)
    assert found.details["satisfying_rank"] == 2
    silent = table_of(draws(SetKind.RANDOM_OTHERS, list(effects), norm=0.0))
    assert single_draws(silent, PAIR, SetKind.RANDOM_OTHERS, per=("set", "norm")).is_missing
    with pytest.raises(SetMissing, match="at least 3, to leave one out"):
        single_draws(table_of(draws(SetKind.RANDOM_OTHERS, [1.0, 0.1])), PAIR, SetKind.RANDOM_OTHERS)


def test_single_draws_trip_where_more_of_them_stand_out_than_chance_allows() -> None:
    # A kind of two sorts of sets, whose few strong ones are no draws of the many weak ones.
    strong = np.array([*np.linspace(0.1, 0.11, 18), 0.31, 0.32])
    even = np.linspace(0.1, 0.3, 20)
    bound = stats.norm.ppf(0.95)
    assert single_draws(table_of(draws(SetKind.RANDOM_OTHERS, list(strong))), PAIR, SetKind.RANDOM_OTHERS).low > bound
    assert single_draws(table_of(draws(SetKind.RANDOM_OTHERS, list(even))), PAIR, SetKind.RANDOM_OTHERS).low < bound


def test_standing_out_by_each_quantity_is_standing_out_by_the_weaker_one() -> None:
    table = compared()
    both = weakest_standing(table, PAIR, quantities=tuple(Quantity))
    assert both.value == min(standing(table, PAIR, quantity=one).value for one in Quantity)
    assert both.details["kl_per_set"] == standing(table, PAIR).value


def test_draws_that_do_not_differ_say_nothing() -> None:
    rows = [Ablated(SetKind.UNIVERSAL, 1.0), *draws(SetKind.LAYER_MATCHED, [0.25, 0.25, 0.25])]
    assert standing(table_of(rows), PAIR).is_missing


@pytest.mark.parametrize("measure", [standing, contrast, effect_ratio])
def test_an_empty_set_is_compared_with_nothing(measure: Any) -> None:
    rows = [
        Ablated(SetKind.UNIVERSAL, 0.0, size=0, norm=0.0),
        *draws(SetKind.RANDOM_OTHERS, [0.0, 0.0], size=0, norm=0.0),
    ]
    assert measure(table_of(rows), PAIR, SetKind.RANDOM_OTHERS).is_missing
    rows = [Ablated(SetKind.UNIVERSAL, 0.0, size=0, norm=0.0), *draws(SetKind.RANDOM_OTHERS, [0.1, 0.2])]
    assert measure(table_of(rows), PAIR, SetKind.RANDOM_OTHERS).is_missing


def test_one_draw_is_no_random_kind() -> None:
    table = table_of([Ablated(SetKind.UNIVERSAL, 1.0), *draws(SetKind.RANDOM_OTHERS, [0.1])])
    with pytest.raises(SetMissing, match="one draw of random"):
        standing(table, PAIR, SetKind.RANDOM_OTHERS)


# Contrasts and ratios.


def test_a_contrast_with_one_set_is_the_paired_difference() -> None:
    own, others = 1.0 + noise(1, 1)[0], 3.0 + noise(2, 1)[0]
    table = table_of([Ablated(SetKind.UNIVERSAL, own), Ablated(SetKind.OTHERS, others, size=100)])
    found = contrast(table, PAIR, SetKind.OTHERS)
    difference = own.astype(np.float32).astype(np.float64) - others.astype(np.float32)
    assert found.value == pytest.approx(difference.mean())
    assert (found.low, found.high) == pytest.approx(bootstrap_t(difference, table), abs=2e-5)


def test_a_contrast_with_draws_has_the_interval_of_one_more_draw() -> None:
    effects = 0.3 + 0.05 * np.random.default_rng(5).standard_normal(20)
    rows = [Ablated(SetKind.UNIVERSAL, 0.4), *draws(SetKind.RANDOM_OTHERS, list(effects))]
    found = contrast(table_of(rows, resampling=Resampling(40_000, 0.95, 7)), PAIR, SetKind.RANDOM_OTHERS)
    reach = stats.t.ppf(0.975, 19) * effects.std(ddof=1) * np.sqrt(1 + 1 / 20)
    assert found.value == pytest.approx(0.4 - effects.mean(), abs=1e-6)
    assert (found.low, found.high) == pytest.approx((found.value - reach, found.value + reach), abs=0.003)


def test_a_standing_is_of_effects_or_of_effects_per_neuron_or_per_norm() -> None:
    drawn = draws(SetKind.LAYER_MATCHED, [0.2, 0.3, 0.1], size=2, norm=8.0)
    own = Ablated(SetKind.UNIVERSAL, 1.0, size=5, norm=4.0)
    found = [standing(table_of([own, *drawn]), PAIR, per=per).details for per in get_args(Per)]
    assert [one["effect"] for one in found] == pytest.approx([1.0, 1 / 5, 1 / 4])
    assert [one["draws_mean"] for one in found] == pytest.approx([0.2, 0.2 / 2, 0.2 / 8])


def test_a_ratio_turned_around_is_its_inverse() -> None:
    table = table_of(
        [Ablated(SetKind.UNIVERSAL, 1.0 + noise(1, 1)[0]), Ablated(SetKind.OTHERS, 2.0 + noise(2, 1)[0], size=90)]
    )
    first = effect_ratio(table, PAIR, SetKind.OTHERS)
    second = effect_ratio(table, PAIR, SetKind.UNIVERSAL, of=SetKind.OTHERS)
    assert (second.value, second.low, second.high) == pytest.approx(
        (1 / first.value, 1 / first.high, 1 / first.low), rel=1e-3
    )


def test_a_ratio_of_two_random_kinds_knows_that_both_were_drawn() -> None:
    generator = np.random.default_rng(1)
    first, second = 0.3 * np.exp(0.2 * generator.standard_normal((2, 20)))
    table = table_of(
        [
            Ablated(SetKind.OTHERS, 0.3),
            *draws(SetKind.RANDOM_OTHERS, list(first)),
            *draws(SetKind.RANDOM_OTHERS, list(second)),
        ],
        resampling=Resampling(20_000, 0.95, 7),
    )
    both = effect_ratio(table, PAIR, SetKind.RANDOM_OTHERS, of=SetKind.RANDOM_OTHERS)
    reach = math.log(both.high / both.low) / 2
    single = [
        effect_ratio(table, PAIR, kind, of=SetKind.OTHERS) for kind in (SetKind.RANDOM_OTHERS, SetKind.RANDOM_OTHERS)
    ]
    apart = [math.log(one.high / one.low) / 2 for one in single]
    assert reach == pytest.approx(math.hypot(*apart), rel=0.05)


@pytest.mark.parametrize("worst", [0.0, -0.1])
def test_a_ratio_to_no_effect_or_a_negative_one_is_missing(worst: float) -> None:
    rows = [Ablated(SetKind.UNIVERSAL, 1.0), *draws(SetKind.RANDOM_OTHERS, [0.2, worst, 0.3])]
    assert effect_ratio(table_of(rows), PAIR, SetKind.RANDOM_OTHERS).is_missing


def test_a_standing_per_norm_of_neurons_that_write_nothing_is_missing() -> None:
    rows = [Ablated(SetKind.UNIVERSAL, 2.0, norm=0.0), *draws(SetKind.LAYER_MATCHED, [0.2, 0.3, 0.1])]
    assert standing(table_of(rows), PAIR, per="norm").is_missing


# Layers.


def references(*effects: dict[int, float], **given: Any) -> dict[str, AblationTable]:
    return {model: layered(own, **given) for model, own in zip("abcde", effects, strict=False)}


def test_the_first_layer_is_divided_by_the_largest_deeper_one_of_each_model_and_averaged_over_models() -> None:
    ratios = (2.0, 4.0, 8.0)
    found = first_layer_ratio(references(*({0: one, 1: 0.5, 2: 1.0} for one in ratios)), PAIR)
    assert found.value == pytest.approx(4.0, rel=0.02)
    reach = float(stats.t.ppf(0.975, 2)) * math.log(2) / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((4 / math.exp(reach), 4 * math.exp(reach)), rel=0.05)
    assert (found.n, found.over, found.details["neurons"]) == (3, Over.MODELS, 30)


def test_the_first_layer_per_neuron_divides_every_layer_by_its_own() -> None:
    tables = references(*[{0: 3.0, 1: 1.0}] * 3, sizes={0: 30, 1: 5})
    assert first_layer_ratio(tables, PAIR, per="neuron").value == pytest.approx(0.5, rel=0.05)


def test_models_without_neurons_in_the_first_layer_are_left_out_and_too_few_neurons_are_said() -> None:
    tables = references(*[{0: 3.0, 1: 0.0, 2: 1.0}] * 3, sizes={1: 0})
    empty = references(*[{0: 0.0, 1: 1.0}] * 4, sizes={0: 0})
    found = first_layer_ratio({**empty, **tables}, PAIR, per="neuron")
    assert found.value == pytest.approx(3.0, rel=0.02)
    assert found.n == 3
    with pytest.raises(
        TooFewNeurons, match=r"layer 0 of 3 models: 6 universal neurons; expected at least 10, 1.7 times"
    ):
        first_layer_ratio(references(*[{0: 1.0, 1: 1.0}] * 3, sizes={0: 2}), PAIR)
    with pytest.raises(NotOnSuite, match="expected three models"):
        first_layer_ratio(references(*[{0: 1.0, 1: 1.0}] * 2), PAIR)


def test_the_first_layer_against_others_of_it_takes_one_draw_out_of_the_rest() -> None:
    rows = [Ablated(SetKind.UNIVERSAL, 1.0, layer=0), *draws(SetKind.LAYER_MATCHED, [0.1, 0.2, 0.3], layer=0)]
    tables = {model: table_of(rows) for model in "abc"}
    assert first_layer_over_random(tables, PAIR).value == pytest.approx(5.0)
    assert first_layer_over_random(tables, PAIR, draw=2).value == pytest.approx(0.3 / 0.15)


def test_nothing_ablated_layer_by_layer_is_said() -> None:
    with pytest.raises(SetMissing, match="no set universal"):
        first_layer_ratio({"a": compared()}, PAIR)


# Perplexity.


def test_the_perplexity_ratio_is_the_exponential_of_the_loss_increase() -> None:
    loss = 0.7 + noise(1, 1)[0]
    table = table_of([Ablated(SetKind.UNIVERSAL, 9.0, loss=loss, size=5), Ablated(SetKind.OTHERS, 9.0, size=95)])
    found, increase = perplexity_ratio(table, PAIR), effect(table, PAIR, quantity=Quantity.LOSS)
    assert (found.value, found.low, found.high) == pytest.approx(
        tuple(np.exp([increase.value, increase.low, increase.high]))
    )
    assert found.unit == "ratio"
    assert found.details["share"] == pytest.approx(0.05)
    assert found.details["clean_loss"] == pytest.approx(3.0)


def test_the_perplexity_without_an_empty_set_is_missing() -> None:
    assert perplexity_ratio(table_of([Ablated(SetKind.UNIVERSAL, 0.0, size=0)]), PAIR).is_missing


# The dose curve.


def test_the_dose_curve_is_the_mean_over_orders_with_their_range() -> None:
    rows = [Ablated(SetKind.UNIVERSAL, 2.0, partner="", definition=Definition.AVERAGED)]
    for fraction in (0.1, 0.5):
        rows += [
            Ablated(
                SetKind.UNIVERSAL,
                fraction + order,
                draw=order,
                partner="",
                definition=Definition.AVERAGED,
                fraction=fraction,
            )
            for order in range(3)
        ]
    frame = dose_curve(table_of(rows), AVERAGED)
    assert frame["fraction"].tolist() == pytest.approx([0.1, 0.5, 1.0])
    assert frame["orders"].tolist() == [3, 3, 1]
    assert frame["value"].tolist() == pytest.approx([1.1, 1.5, 2.0])
    assert frame["orders_high"].tolist() == pytest.approx([2.1, 2.5, 2.0])


def test_resampling_of_the_table_is_used() -> None:
    wide = standing(compared(), PAIR)
    narrow = standing(dataclasses.replace(compared(), resampling=dataclasses.replace(RESAMPLING, level=0.5)), PAIR)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert narrow.level == 0.5


@pytest.mark.parametrize(("strong", "is_seen"), [((), False), ((0.9, 0.95, 1.0), True)])
def test_a_single_draw_is_beyond_the_others_only_where_some_are_strong(
    strong: tuple[float, ...], is_seen: bool
) -> None:
    effects = [*np.linspace(0.1, 0.14, 20 - len(strong)), *strong]
    table = table_of(draws(SetKind.LAYER_MATCHED, effects))
    assert (single_draw_contrast(table, PAIR, SetKind.LAYER_MATCHED).low > 0) == is_seen


def test_the_ratio_to_a_single_draw_is_small_only_where_some_are_very_strong() -> None:
    plain, wild = (
        table_of(draws(SetKind.LAYER_MATCHED, [*np.linspace(0.1, 0.14, 18), *strong]))
        for strong in ((0.13, 0.14), (1e5, 1.1e5))
    )
    assert single_draw_ratio(plain, PAIR, SetKind.LAYER_MATCHED).low > 0.1
    assert single_draw_ratio(wild, PAIR, SetKind.LAYER_MATCHED).high < 0.1
