"""Operations counted by hand, and times that scale with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.render.sides import bench
from tests.sources import ROOT
from universal_neurons.inputs.suite import load_suite
from universal_neurons.render.pages.projection import (
    ComputationSize,
    is_projectable,
    projections,
    size_of,
    size_of_bench,
    suite_sizes,
)

# Three models of two layers with four neurons each, all of them references, at one trained checkpoint.
SMALL = ComputationSize(
    models=3, layers=2, width=4, residual=5, tokens=100, draws=3, half_draws=1, references=3, nulls=False
)  # fmt: skip


def test_a_pass_multiplies_every_pair_and_every_layer_with_itself() -> None:
    assert SMALL.product_operations == 2 * 100 * (3 * 8**2 + 3 * 2 * 4**2)


def test_a_null_adds_a_product_with_every_partner_and_the_permuted_layers() -> None:
    more = replace(SMALL, nulls=True).product_operations - SMALL.product_operations
    assert more == 2 * 100 * (2 * 8**2 + 2 * 4**2)


def test_a_draw_rotates_both_directions_of_every_pair_and_the_nulls() -> None:
    assert SMALL.rotation_operations == 2 * 8**2 * 4 * (3 + 2) * (3 * 2)
    assert replace(SMALL, nulls=True).rotation_operations == 2 * 8**2 * 4 * (3 + 2) * (3 * 2 + 2 * 2)


def test_a_forward_pass_is_that_of_attention_and_mlp_weights() -> None:
    assert SMALL.forward_operations == 2 * 100 * 3 * 2 * (4 * 5**2 + 2 * 5 * 4)


def test_an_untrained_checkpoint_has_no_nulls() -> None:
    both = replace(SMALL, nulls=True, untrained=1)
    assert both.product_operations == SMALL.product_operations + replace(SMALL, nulls=True).product_operations
    assert both.rotation_operations == SMALL.rotation_operations + replace(SMALL, nulls=True).rotation_operations


def test_fewer_references_are_fewer_pairs() -> None:
    assert [replace(SMALL, references=number).pairs for number in (1, 2, 3)] == [2, 3, 3]


def test_a_bench_projects_its_own_size_to_its_own_times() -> None:
    found = bench()
    (own,) = projections(found, {"own": size_of_bench(found)})
    assert own.products == pytest.approx(54.0)
    assert own.rotations == pytest.approx(18.2)
    assert own.forward == pytest.approx(5 * 100_000 / 43_097)
    assert own.published == pytest.approx(2631.0)
    assert own.total == pytest.approx(54 + 18.2 + 5 * 100_000 / 43_097)


def test_twice_the_tokens_take_twice_the_pass_and_no_more_draws() -> None:
    found = bench()
    there = size_of_bench(found)
    once, twice = projections(found, {"once": there, "twice": replace(there, tokens=2 * there.tokens)})
    assert (twice.products, twice.forward, twice.rotations) == pytest.approx(
        (2 * once.products, 2 * once.forward, once.rotations)
    )
    assert twice.published == pytest.approx(2 * (once.published or 0))


def test_a_bench_without_the_published_way_projects_none() -> None:
    without = {name: one for name, one in bench().figures.items() if name != "published_seconds"}
    (own,) = projections(bench(figures=without), {"own": SMALL})
    assert own.published is None


@pytest.mark.parametrize("lacking", ["pass_seconds", "scores_seconds", "forward_tokens_per_second"])
def test_a_bench_that_lacks_a_time_projects_nothing(lacking: str) -> None:
    assert is_projectable(bench())
    assert not is_projectable(bench(figures={n: one for n, one in bench().figures.items() if n != lacking}))
    assert not is_projectable(bench(settings={"tokens": 1}))


def test_every_suite_of_the_checkout_has_an_extent_without_a_hub() -> None:
    found = suite_sizes(ROOT)
    assert (found["mini"].neurons, found["mini"].trained, found["mini"].untrained) == (2048, 4, 1)
    assert (found["paper"].neurons, found["paper"].tokens, found["paper"].pairs) == (36_864, 5_000_000, 10)


def test_a_narrowed_suite_has_the_extent_of_what_is_left() -> None:
    suite = load_suite("mini", ROOT).narrowed(models=["a", "b"], tokens=50_000)
    found = size_of(suite, ROOT)
    assert (found.models, found.references, found.tokens) == (2, 2, 50_000)
