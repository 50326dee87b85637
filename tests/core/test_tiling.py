"""Every element is summed up once, every pass fits, no pass is wasted, and pairs that fit are not cut."""

from dataclasses import replace
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universal_neurons.core.tiling import (
    SCORED_ELEMENTS,
    BudgetTooSmall,
    Pass,
    Tile,
    Workload,
    halved,
    in_units,
    layer_blocks,
    memory_estimate,
    operations_per_token,
    passes,
    scored_parts,
)

GIBIBYTE = 2**30
MINI = Workload(widths=((512,) * 4,) * 5, pairs=tuple(combinations(range(5), 2)))
SMALL_PAIRS = (*combinations(range(5), 2), *((i, 5) for i in range(1, 5)))
# Five models of GPT-2 Small's shape and one of them once more with permuted tokens, in float32 as on a GPU.
SMALL = Workload(widths=((3072,) * 12,) * 6, pairs=SMALL_PAIRS, sum_bytes=4, chunk_tokens=4096, rotated_null=True)
MEDIUM = Workload(widths=((4096,) * 24,) * 2, pairs=((0, 1),))


def blocks(tiles: tuple[Tile, ...]) -> list[tuple[int, int, int, int]]:
    """All (model, model, layer, layer) of the tiles."""
    return [(t.x, t.y, i, j) for t in tiles for i, j in product(t.x_layers, t.y_layers)]


def all_blocks(work: Workload) -> list[tuple[int, int, int, int]]:
    return blocks(work.whole())


def covered(found: tuple[Pass, ...]) -> list[tuple[int, int, int, int]]:
    return [block for one in found for block in blocks(one.tiles)]


def test_within_a_large_budget_there_is_one_pass_with_a_tile_per_pair() -> None:
    (found,) = passes(MINI, 2**40)
    assert found.tiles == tuple(Tile(i, j, range(4), range(4)) for i, j in combinations(range(5), 2))
    assert found.layers(3) == (0, 1, 2, 3)


def test_pairs_that_fit_are_not_cut() -> None:
    needed = memory_estimate(MINI, MINI.whole()).total
    assert passes(MINI, needed)[0].tiles == MINI.whole()
    assert len(passes(MINI, needed - 1)) > 1
    assert needed < 1.5 * GIBIBYTE


def test_scoring_is_cut_into_smaller_parts_before_there_are_more_passes() -> None:
    # Five models look for partners in one, and little of the tokens is there at a time.
    work = Workload(widths=((512,) * 4,) * 6, pairs=SMALL_PAIRS, chunk_tokens=64, batch_tokens=64)
    (cut,) = passes(work, memory_estimate(work, work.whole()).total - 1)
    assert len(cut.tiles) == 2 * len(work.whole())


def test_the_bytes_of_the_mini_suite_equal_a_count_by_hand() -> None:
    found = memory_estimate(MINI, MINI.whole())
    assert found.sums == 10 * 2048**2 * 8 * 2
    assert found.layers == 5 * 4 * 512**2 * 8 * 2
    assert found.scratch == 1024**2 * 4 * 2
    assert found.batch == 4096 * 7 * 2048 * 4
    assert found.total == found.sums + found.layers + max(found.buffers + found.batch + found.scratch, found.scores)


def test_buffers_and_scores_are_not_there_at_the_same_time() -> None:
    found = memory_estimate(MINI, MINI.whole())
    assert found.streaming == found.kept + found.buffers + found.batch + found.scratch
    assert found.scoring == found.kept + found.scores
    assert found.total == max(found.streaming, found.scoring)


def test_models_read_at_a_time_hold_their_activations_at_a_time() -> None:
    one, two = (memory_estimate(replace(MINI, abreast=readers), MINI.whole()) for readers in (1, 2))
    assert two.batch - one.batch == 4096 * 2 * 2048 * 4
    assert replace(two, batch=one.batch) == one


def test_scoring_holds_all_pairs_with_one_model_at_once_and_no_others() -> None:
    # Four matrices of 2048 x 2048, whole, and a layer of each in float32.
    few, many = (memory_estimate(MINI, MINI.whole()[:count]).scores for count in (1, 10))
    assert many - few == 3 * 2048**2 * 8 + 3 * 2048 * 512 * 4
    # Rotated pairs are scored when these are gone, and take more only where they are larger.
    turned = memory_estimate(replace(MINI, rotated_null=True), MINI.whole()).scores
    assert turned - many == 5 * 8 * 2048**2 - (4 * 2048**2 * 8 + 5 * 2048 * 512 * 4)
    whitened = memory_estimate(replace(MINI, whitened=True), MINI.whole()).scores
    assert whitened - many == 2 * 8 * 2048**2
    # The sum of some groups lies beside that with one more.
    grouped = memory_estimate(replace(MINI, groups=3), MINI.whole()).scores
    assert grouped - many == 8 * 2048**2


@pytest.mark.parametrize(
    ("work", "budget"),
    [(SMALL, 16), (SMALL, 24), (SMALL, 48), (SMALL, 80), (SMALL, 130), (MEDIUM, 2), (MEDIUM, 8), (MEDIUM, 24)],
)
def test_every_block_is_in_one_pass_and_every_pass_fits(work: Workload, budget: int) -> None:
    found = passes(work, budget * GIBIBYTE)
    assert sorted(covered(found)) == sorted(all_blocks(work))
    assert max(one.memory.total for one in found) <= budget * GIBIBYTE
    assert all(one.memory == memory_estimate(work, one.tiles) for one in found)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=5).map(tuple), min_size=2, max_size=4).map(tuple),
    st.integers(1, 3),
    st.floats(0, 1),
    st.data(),
)
def test_models_of_any_shape_are_covered_under_any_budget_that_is_enough(
    widths: tuple[tuple[int, ...], ...], groups: int, share: float, data: st.DataObject
) -> None:
    every = list(combinations(range(len(widths)), 2))
    pairs = data.draw(st.lists(st.sampled_from(every), min_size=1, unique=True).map(tuple))
    work = Workload(widths, pairs, groups=groups, chunk_tokens=4, batch_tokens=4)
    with pytest.raises(BudgetTooSmall) as refused:
        passes(work, 1)
    least, most = refused.value.needed, memory_estimate(work, work.whole()).total
    budget = round(least + share * (most - least))
    found = passes(work, budget)
    assert sorted(covered(found)) == sorted(all_blocks(work))
    assert max(one.memory.total for one in found) <= budget


def test_more_memory_never_takes_more_passes() -> None:
    counts = [len(passes(SMALL, budget * GIBIBYTE)) for budget in (12, 16, 24, 32, 48, 64, 80, 130, 200)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 1
    assert counts[0] > 10


def test_several_pairs_share_a_pass_where_they_fit_together() -> None:
    (first, *rest) = passes(SMALL, 130 * GIBIBYTE)
    assert len(rest) == 1
    assert len({(tile.x, tile.y) for tile in first.tiles}) >= 7


def test_a_model_of_98_304_neurons_fits_into_two_gibibytes_in_as_many_passes_as_its_sums_fill() -> None:
    found = passes(MEDIUM, 2 * GIBIBYTE)
    sums = 98_304**2 * 8 * 2
    assert len(found) >= sums / (2 * GIBIBYTE)
    # Beside the sums of a tile stand those of its layers with themselves, and what scoring holds.
    assert len(found) <= 8 * sums / (2 * GIBIBYTE)


def test_resident_bytes_leave_less_for_the_tiles() -> None:
    resident = Workload(widths=MEDIUM.widths, pairs=MEDIUM.pairs, resident=12 * GIBIBYTE)
    assert len(passes(resident, 24 * GIBIBYTE)) > len(passes(MEDIUM, 24 * GIBIBYTE))


def test_a_budget_below_one_layer_against_one_layer_says_how_much_is_needed() -> None:
    with pytest.raises(BudgetTooSmall, match=r"memory: expected at least .* GiB .*, got 512 MiB") as refused:
        passes(MEDIUM, GIBIBYTE // 2)
    assert passes(MEDIUM, refused.value.needed)


def test_only_the_tiles_that_are_left_are_planned_again() -> None:
    left = (Tile(0, 1, range(12, 24), range(24)),)
    found = passes(MEDIUM, 8 * GIBIBYTE, tiles=left)
    assert sorted(covered(found)) == sorted(blocks(left))


def test_a_pass_that_did_not_fit_is_halved_until_one_layer_is_left() -> None:
    def down(tiles: tuple[Tile, ...]) -> list[tuple[int, int, int, int]]:
        halves = halved(MINI, tiles)
        return blocks(tiles) if halves is None else [block for half in halves for block in down(half.tiles)]

    assert sorted(down(MINI.whole())) == sorted(all_blocks(MINI))
    first, second = halved(MINI, MINI.whole()) or (None, None)
    assert first is not None
    assert second is not None
    assert len(first.tiles) == len(second.tiles) == 5
    assert first.memory.total < memory_estimate(MINI, MINI.whole()).total
    assert halved(MINI, (Tile(0, 1, range(1, 2), range(3, 4)),)) is None


def test_the_operations_of_a_token_are_two_per_product_of_neurons() -> None:
    assert operations_per_token(MINI, MINI.whole()) == 2 * (10 * 2048**2 + 5 * 4 * 512**2)
    parts = [operations_per_token(MEDIUM, one.tiles) for one in passes(MEDIUM, 8 * GIBIBYTE)]
    # In several passes the layers with themselves come again.
    assert sum(parts) > operations_per_token(MEDIUM, MEDIUM.whole())


def test_the_mini_suite_is_scored_at_once() -> None:
    rows = [(model, range(4)) for model in range(1, 5)]
    assert list(scored_parts(rows, (0, range(4)), MINI)) == [(rows, range(4))]


def test_parts_are_scored_within_their_limit_and_cover_every_block_once() -> None:
    rows = [(1, range(12)), (2, range(3, 12))]
    found = list(scored_parts(rows, (0, range(12)), SMALL))
    pieces = [(model, i, j) for part, columns in found for model, layers in part for i in layers for j in columns]
    assert sorted(pieces) == sorted((m, i, j) for m, layers in rows for i in layers for j in range(12))
    sizes = [3072**2 * sum(len(layers) for _, layers in part) * len(columns) for part, columns in found]
    assert max(sizes) <= SCORED_ELEMENTS
    # A layer against a layer is scored at once however large it is.
    single = list(scored_parts([(0, range(2))], (1, range(2)), Workload(((9000,) * 2,) * 2, ((0, 1),))))
    assert [(part, columns) for part, columns in single] == [
        ([(0, range(i, i + 1))], range(j, j + 1)) for j in range(2) for i in range(2)
    ]


def test_layers_are_grouped_as_far_as_they_fit() -> None:
    assert layer_blocks((3, 3, 3, 3), bytes_per_neuron=2, budget=13) == (range(2), range(2, 4))
    assert layer_blocks((3, 3), bytes_per_neuron=2, budget=12) == (range(2),)
    assert layer_blocks((9, 9), bytes_per_neuron=2, budget=1) == (range(1), range(1, 2))


def test_pairs_of_unknown_models_are_refused() -> None:
    for pairs in ((), ((1, 0),), ((0, 5),)):
        with pytest.raises(ValueError, match="of 5 models"):
            Workload(widths=MINI.widths, pairs=pairs)


@pytest.mark.parametrize(
    ("size", "text"), [(12, "12 bytes"), (2048, "2 KiB"), (3 * 2**29, "1.5 GiB"), (2**40, "1 TiB"), (2**21, "2 MiB")]
)
def test_bytes_are_formatted_in_units(size: int, text: str) -> None:
    assert in_units(size) == text
