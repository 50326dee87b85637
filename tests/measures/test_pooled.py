"""Statistics pooled over directed pairs of models, on tables made by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import stats

from tests.measures.labels import table
from universal_neurons.errors import NotOnSuite
from universal_neurons.measurement import CEILING, Over
from universal_neurons.measures.pooled import (
    altered,
    beside,
    every_pair,
    own_pairs,
    pooled_acceleration,
    pooled_agreement,
    pooled_depth_contrast,
    pooled_growth,
    pooled_long_span,
    pooled_persistence,
    pooled_ratio,
    pooled_share,
    variant_pairs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from universal_neurons.measures.pooled import Pair, PairTables
    from universal_neurons.measures.tables import UniversalityTable

MODELS = "abcd"
PAIRS: tuple[Pair, ...] = tuple((x, y) for x in MODELS for y in MODELS if x != y)


def pairs_of(tables: Callable[[str, str], tuple[UniversalityTable, ...]]) -> PairTables:
    return {(x, y): tables(x, y) for x, y in PAIRS}


def named(own: UniversalityTable, reference: str, partner: str) -> UniversalityTable:
    return dataclasses.replace(own, reference=reference, partner=partner)


def same(*excess: str, half_a: str | None = None, half_b: str | None = None) -> PairTables:
    """The same tables for every pair."""
    own = [table(one, step=step, half_a=half_a, half_b=half_b) for step, one in enumerate(excess)]
    return pairs_of(lambda x, y: tuple(named(one, x, y) for one in own))


def test_the_interval_is_the_jackknife_that_leaves_every_model_out_with_all_of_its_pairs() -> None:
    universal = dict(zip(PAIRS, [3, 5, 2, 4, 6, 1, 2, 2, 7, 3, 4, 5], strict=True))
    pairs = pairs_of(lambda x, y: (named(table("1" * universal[x, y] + "0" * (20 - universal[x, y])), x, y),))
    found = pooled_share(pairs, 0.5)
    rest = [np.mean([u for pair, u in universal.items() if left not in pair]) / 20 for left in MODELS]
    error = math.sqrt(3 / 4 * np.sum((np.array(rest) - np.mean(rest)) ** 2))
    reach = float(stats.t.ppf(0.975, 3)) * error
    value = np.mean(list(universal.values())) / 20
    assert (found.value, found.low, found.high) == pytest.approx((value, value - reach, value + reach))
    assert (found.n, found.over, found.unit, found.details["pairs"]) == (4, Over.MODELS, "share", 12)
    own = [np.mean([u for pair, u in universal.items() if pair[0] == one]) / 20 for one in MODELS]
    assert (found.details["lowest"], found.details["highest"]) == pytest.approx((min(own), max(own)))


def test_of_one_reference_the_partners_are_left_out() -> None:
    pairs = {pair: tables for pair, tables in same("1100").items() if pair[0] == "a"}
    assert pooled_share(pairs, 0.5).n == 3
    with pytest.raises(NotOnSuite, match="at least 3 models to leave out in turn, got 2"):
        pooled_share({pair: tables for pair, tables in pairs.items() if pair[1] != "d"}, 0.5)


def test_shares_of_neurons_defined_throughout_are_compared() -> None:
    assert pooled_share(same("110-"), 0.5).value == pytest.approx(2 / 3)
    assert pooled_growth(same("1000-", "1110-"), 0.5).value == pytest.approx(2 / 4)
    assert pooled_growth(same("10-1", "111-"), 0.5).value == pytest.approx(1 / 2)
    assert pooled_acceleration(same("1000", "1110", "1111"), 0.5).value == pytest.approx((1 - 2) / 4)
    assert pooled_ratio(same("1000", "1110"), 0.5).value == pytest.approx(1 / 3)
    assert pooled_ratio(same("1000", "0000"), 0.5).is_missing
    assert pooled_share(same("--"), 0.5).is_missing


def test_an_equal_growth_is_exactly_none() -> None:
    assert pooled_growth(same("110", "101"), 0.5).as_dict()["low"] == 0
    assert pooled_acceleration(same("100", "110", "111"), 0.5).value == 0


def test_depth_compares_growth_of_the_halves_and_leaves_the_middle_out() -> None:
    layer = [0, 0, 1, 1, 2, 2]
    own = table("000000", layer=layer), table("001110", layer=layer, step=2)
    assert pooled_depth_contrast(pairs_of(lambda x, y: tuple(named(one, x, y) for one in own)), 0.5).value == 0.5
    assert pooled_depth_contrast(same("0000", "1000"), 0.5).is_missing


def test_persistence_pools_every_universal_neuron_and_knows_its_ceiling() -> None:
    pairs = same("11110000", "11000010", half_a="11100000", half_b="11010000")
    found = pooled_persistence(pairs, 0.5)
    assert found.value == pytest.approx(2 / 4)
    assert found.details["chance"] == pytest.approx(3 / 8)
    assert found.details[CEILING] == pytest.approx(2 / 3)
    assert pooled_persistence(same("00", "11"), 0.5).is_missing


def test_a_large_pair_counts_more_than_a_small_one() -> None:
    small, large = ("1000", "0000"), ("1110", "1110")
    pairs = pairs_of(
        lambda x, y: tuple(named(table(e, step=i), x, y) for i, e in enumerate(small if x == "a" else large))
    )
    assert pooled_persistence(pairs, 0.5).value == pytest.approx(9 * 3 / (9 * 3 + 3))


def test_the_long_span_is_compared_with_the_less_persistent_of_the_short_ones() -> None:
    found = pooled_long_span(same("1" * 10, "1" * 8 + "00", "1" * 4 + "0" * 6), 0.5)
    assert found.value == pytest.approx(0.4 - 0.5)
    rates = [found.details[name] for name in ("first_second", "second_third", "first_third")]
    assert rates == pytest.approx([0.8, 0.5, 0.4])
    assert pooled_long_span(same("110", "110", "110"), 0.5).value == 0


def test_half_b_judges_what_half_a_identified_and_not_the_other_way() -> None:
    # Unequal halves: 4 identified by A, of which B has 3, and 5 identified by B.
    found = pooled_agreement(same("1" * 6 + "0-", half_a="111100--", half_b="11101101"), 0.5)
    assert found.value == pytest.approx(3 / 4)
    assert found.details["reverse"] == pytest.approx(3 / 5)
    assert found.details["expected"] == pytest.approx(5 / 6)
    assert pooled_agreement(same("11", half_a="00", half_b="11"), 0.5).is_missing


def test_a_statistic_that_needs_one_model_has_an_interval_without_end() -> None:
    pairs = pairs_of(lambda x, y: (named(table("10" if "a" in (x, y) else "00"), x, y), named(table("10"), x, y)))
    found = pooled_persistence(pairs, 0.5)
    assert (found.value, found.low, found.high) == (1.0, -math.inf, math.inf)


def test_tables_of_other_neurons_are_refused() -> None:
    pairs = altered(same("11", "11"), lambda one: dataclasses.replace(one, partner="z"))
    with pytest.raises(ValueError, match="not about the same neurons"):
        pooled_growth(pairs, 0.5)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint at which as many neurons as steps are universal."""

    step: int


class FourModels:
    """A study in which the number of universal neurons says which table was read."""

    reference = "a"

    def partners(self) -> tuple[str, ...]:
        return ("b", "c", "d")

    def universality(self, *, partner: str, checkpoint: Checkpoint, reference: str = "a") -> UniversalityTable:
        return named(table("1" * checkpoint.step + "0" * (9 - checkpoint.step)), reference, partner)

    def null(self, *, partner: str, checkpoint: Checkpoint, kind: str) -> UniversalityTable:
        del checkpoint, kind
        return named(table("0" * 9), "a", partner)

    def variant(self, name: str, *, partner: str, checkpoint: Checkpoint) -> UniversalityTable:
        draws = np.empty((1 if name == "draws:1" else 2, 0))
        found = named(table("1" * (checkpoint.step + 1) + "0" * (8 - checkpoint.step), candidates=[]), "a", partner)
        return dataclasses.replace(found, draws=draws, influence=np.empty((12, 0)))


def test_pairs_are_read_at_every_checkpoint_of_every_model_or_of_the_reference() -> None:
    study: Any = FourModels()
    two, three, five = (Checkpoint(step) for step in (2, 3, 5))
    every = every_pair(study, two, five)
    assert set(every) == set(PAIRS)
    assert pooled_growth(every, 0.5).value == pytest.approx(3 / 9)
    assert set(own_pairs(study, two)) == {("a", y) for y in "bcd"}
    mixed = beside(own_pairs(study, three, null="rotated"), every_pair(study, three))
    assert pooled_growth(mixed, 0.5).value == pytest.approx(3 / 9)
    assert pooled_share(own_pairs(study, three, variant="mask:all"), 0.5).value == pytest.approx(4 / 9)


def test_a_variant_is_compared_with_the_suites_own_table_with_as_many_draws() -> None:
    study: Any = FourModels()
    assert pooled_growth(variant_pairs(study, "mask:all", Checkpoint(3)), 0.5).value == pytest.approx(1 / 9)
    # A baseline of one draw of two: the first draw alone takes every neuron below the threshold.
    drawn = np.array([[0.9, 0.9], [-0.5, -0.5]])
    study.universality = lambda **k: dataclasses.replace(
        named(table("110"), "a", k["partner"]), candidates=np.array([0, 1]), draws=drawn, influence=np.zeros((12, 2))
    )
    study.variant = lambda _name, **k: dataclasses.replace(
        named(table("110", candidates=[]), "a", k["partner"]), draws=np.empty((1, 0)), influence=np.empty((12, 0))
    )
    assert pooled_growth(variant_pairs(study, "rotation:orthogonal", Checkpoint(3)), 0.5).value == pytest.approx(2 / 3)
    assert pooled_growth(variant_pairs(study, "draws:1", Checkpoint(3)), 0.5).value == 0
