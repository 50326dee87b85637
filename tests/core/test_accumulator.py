"""Streamed moments equal the moments of the whole data, and constants are told apart exactly."""

from functools import reduce
from operator import add

import pytest
import torch

from tests.core.direct import constant_count, crosses, own_moments, standard_deviation, transposed
from tests.core.oracle import X_WIDTHS, Y_WIDTHS, activations, correlation
from tests.core.pairs import TOKENS, assert_same, moments, pair, streamed
from universal_neurons.core.accumulator import PairwiseAccumulator, cross_moments
from universal_neurons.core.matmul import PrecisionMode
from universal_neurons.core.moments import NonFiniteActivationError
from universal_neurons.core.nulls import permuted
from universal_neurons.core.tiling import Tile

TILES = (
    Tile(0, 1, range(1), range(2)),
    Tile(0, 1, range(1), range(2, 3)),
    Tile(0, 1, range(1, 2), range(1, 3)),
)


# At 1e5 the float32 mean of a chunk is off by up to 0.004 standard deviations, which must not enter as variance.
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3, 1e5])
def test_correlations_equal_the_dense_float64_oracle(offset: float) -> None:
    x, y = pair(offset)
    torch.testing.assert_close(moments(x, y).correlation(), correlation(x, y), rtol=0, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 3, 64, 300])
@pytest.mark.parametrize("accumulate", [torch.float64, torch.float32])
def test_the_size_of_the_chunks_does_not_matter(chunk: int, accumulate: torch.dtype) -> None:
    x, y = pair(1e3)
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=chunk, accumulate=accumulate)
    accumulator.add([x, y], torch.zeros(TOKENS, dtype=torch.int64))
    result = crosses(accumulator, 0, 1)[0].correlation()
    torch.testing.assert_close(result, correlation(x, y), rtol=0, atol=1e-6)


def test_a_trend_across_chunks_is_not_lost_with_their_means() -> None:
    x, y = pair()
    trend = torch.linspace(-50, 50, TOKENS)[:, None]
    x, y = x + trend, y - trend
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=5)
    accumulator.add([x, y], torch.zeros(TOKENS, dtype=torch.int64))
    result = crosses(accumulator, 0, 1)[0].correlation()
    torch.testing.assert_close(result, correlation(x, y), rtol=0, atol=1e-6)
    assert float(result.max()) < -0.9


def test_halves_are_the_even_and_the_odd_blocks_and_add_up_to_the_whole() -> None:
    x, y = pair()
    block = torch.arange(TOKENS) * 7 // TOKENS
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=64)
    for start in range(0, TOKENS, 90):
        part = slice(start, start + 90)
        accumulator.add([x[part], y[part]], block[part])
    half_a, half_b = crosses(accumulator, 0, 1)
    even = block % 2 == 0
    assert_same(half_a, moments(x[even], y[even]))
    assert_same(half_b, moments(x[~even], y[~even]))
    assert_same(half_a + half_b, moments(x, y))


def test_three_models_feed_three_pairs_from_one_stream() -> None:
    x, y = pair()
    z = activations(TOKENS, (3, 3), seed=3)
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS, (3, 3)], chunk_tokens=128)
    accumulator.add([x, y, z], torch.zeros(TOKENS, dtype=torch.int64))
    models = (x, y, z)
    assert [(tile.x, tile.y) for tile in accumulator.tiles] == [(0, 1), (0, 2), (1, 2)]
    for i, j in ((0, 1), (0, 2), (1, 2), (2, 0)):
        found = crosses(accumulator, i, j)[0].correlation()
        torch.testing.assert_close(found, correlation(models[i], models[j]), rtol=0, atol=1e-6)


def test_only_the_pairs_of_the_tiles_are_summed_up() -> None:
    accumulator = PairwiseAccumulator([(2,), (3,), (4,)], tiles=[Tile(0, 2, range(1), range(1))])
    x, _, z = [torch.randn(9, n, generator=torch.Generator().manual_seed(n)) for n in (2, 3, 4)]
    accumulator.add([x, x[:, :0], z], torch.zeros(9, dtype=torch.int64))
    torch.testing.assert_close(crosses(accumulator, 0, 2)[0].correlation(), correlation(x, z), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="of model 1 were not accumulated"):
        accumulator.comoment(0, (0, range(1)), (1, range(1)))


def test_reading_the_moments_does_not_disturb_the_stream() -> None:
    x, y = pair()
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=50)
    block = torch.zeros(TOKENS, dtype=torch.int64)
    accumulator.add([x[:333], y[:333]], block[:333])
    early = crosses(accumulator, 0, 1)[0]
    accumulator.add([x[333:], y[333:]], block[333:])
    assert_same(early, moments(x[:333], y[:333]))
    assert_same(crosses(accumulator, 0, 1)[0], moments(x, y))


def test_the_order_of_the_tokens_does_not_matter_if_it_is_the_same_for_both() -> None:
    x, y = pair(1e3)
    order = torch.randperm(TOKENS, generator=torch.Generator().manual_seed(0))
    assert_same(moments(x[order], y[order]), moments(x, y))


def test_tokens_permuted_in_one_model_only_lose_their_partners() -> None:
    x, y = pair()
    assert float(moments(x, y).correlation()[7, 3]) > 0.9
    shuffled = permuted(y, seed=0, model="y", batch=0)
    assert float(moments(x, shuffled).correlation()[7, 3]) < 0.3
    torch.testing.assert_close(correlation(shuffled, shuffled), correlation(y, y))
    assert torch.equal(shuffled, permuted(y, seed=0, model="y", batch=0))
    assert not torch.equal(shuffled, permuted(y, seed=0, model="y", batch=1))


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_a_model_with_itself_has_ones_on_the_diagonal_and_nothing_above_one(offset: float) -> None:
    x, _ = pair(offset)
    own = cross_moments(x, x.clone(), x_widths=X_WIDTHS, y_widths=X_WIDTHS).correlation()
    torch.testing.assert_close(own.diagonal(), torch.ones(11, dtype=torch.float64), rtol=0, atol=1e-6)
    assert float(own.max()) <= 1


def test_a_spread_below_the_float32_range_of_squares_is_not_a_constant() -> None:
    x, y = pair()
    x[:, 2] *= 1e-28
    cross = moments(x, y)
    assert constant_count(cross.x) == 0
    torch.testing.assert_close(cross.correlation(), correlation(x, y), rtol=0, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -1 / 3, 1e3 + 0.7, 1e-30, 1e30])
@pytest.mark.parametrize("chunk", [1, 7, 2048])
def test_a_constant_neuron_is_exactly_nan_and_counted(value: float, chunk: int) -> None:
    x, y = pair()
    x[:, 2] = value
    y[:, 5] = value
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=chunk)
    for start in range(0, TOKENS, 99):
        accumulator.add([x[start : start + 99], y[start : start + 99]], torch.arange(TOKENS)[start : start + 99] // 30)
    half_a, half_b = crosses(accumulator, 0, 1)
    for cross in (half_a, half_b, half_a + half_b):
        missing = cross.correlation().isnan()
        assert constant_count(cross.x) == 1
        assert constant_count(cross.y) == 1
        assert missing[2].all()
        assert missing[:, 5].all()
        assert int(missing.sum()) == 11 + 16 - 1


def test_one_token_has_no_correlation() -> None:
    cross = moments(*pair(tokens=1))
    assert cross.count == 1
    assert constant_count(cross.x) == 11
    assert cross.correlation().isnan().all()


def test_no_token_has_no_correlation_and_no_spread() -> None:
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS])
    cross = crosses(accumulator, 0, 1)[1]
    assert cross.count == 0
    assert cross.correlation().isnan().all()
    assert standard_deviation(cross.x).isnan().all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_activations_that_are_not_finite_are_refused(bad: float) -> None:
    x, y = pair()
    y[13, 2] = bad
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS])
    accumulator.add([x, y], torch.zeros(TOKENS, dtype=torch.int64))
    with pytest.raises(NonFiniteActivationError, match="model 1, layer 0 has an activation that is infinite"):
        crosses(accumulator, 0, 1)


@pytest.mark.parametrize("chunk_tokens", [1, 64, 4096])
def test_the_first_layer_that_is_not_finite_is_named_whatever_is_sampled(chunk_tokens: int) -> None:
    widths, tokens = [(3,), (30, 30)], 2000
    x, y = torch.randn(tokens, 3), torch.randn(tokens, 60)
    # Neuron 1 is not among those summed up in float64, neuron 30, which it spreads to, is.
    y[5, [1, 30]] = torch.nan
    accumulator = PairwiseAccumulator(widths, chunk_tokens=chunk_tokens, groups=1)
    with pytest.raises(NonFiniteActivationError) as caught:
        accumulator.add([x, y], torch.zeros(tokens, dtype=torch.int64))
    assert caught.value.layer == (1, 0)


def test_activations_of_other_shapes_are_refused() -> None:
    x, y = pair()
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS])
    with pytest.raises(ValueError, match=r"shapes \[\(700, 11\)\]; expected"):
        accumulator.add([x], torch.zeros(TOKENS, dtype=torch.int64))
    with pytest.raises(ValueError, match="expected"):
        accumulator.add([x, y[1:]], torch.zeros(TOKENS, dtype=torch.int64))


@pytest.mark.parametrize("pair", [(1, 0), (0, 0), (0, 2)])
def test_tiles_of_no_pair_are_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="pairs"):
        PairwiseAccumulator([(2,), (3,)], tiles=[Tile(*pair, range(1), range(1))])


def test_no_group_and_no_token_in_a_chunk_are_refused() -> None:
    with pytest.raises(ValueError, match="0 groups"):
        PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], groups=0)
    with pytest.raises(ValueError, match="chunks of 0 tokens"):
        PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=0)


@pytest.mark.parametrize("groups", [1, 3, 5])
def test_groups_have_the_moments_of_their_tokens_and_add_up_to_the_whole(groups: int) -> None:
    x, y = pair(1e3)
    group = torch.arange(TOKENS) ** 2 % 5 % groups
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=64, groups=groups)
    for tokens in torch.split(torch.arange(TOKENS), 97):
        accumulator.add([x[tokens], y[tokens]], group[tokens])
    found = crosses(accumulator, 0, 1)
    assert len(found) == groups
    for number, cross in enumerate(found):
        chosen = group == number
        if bool(chosen.any()):
            assert_same(cross, moments(x[chosen], y[chosen]))
        assert cross.count == int(chosen.sum())
    assert_same(reduce(add, found), moments(x, y))
    assert_same(transposed(crosses(accumulator, 1, 0)[0]), found[0])


def test_tiles_have_the_sums_of_their_layers_and_need_no_others() -> None:
    x, y = pair(1e3)
    whole = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=64)
    tiled = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], tiles=TILES, chunk_tokens=64)
    assert tiled.layers == ((0, 1), (0, 1, 2))
    for accumulator in (whole, tiled):
        streamed(accumulator, x, y)
        accumulator.finish()
    for tile in TILES:
        sides = (0, tile.x_layers), (1, tile.y_layers)
        for group in (0, 1):
            torch.testing.assert_close(
                tiled.comoment(group, *sides), whole.comoment(group, *sides), rtol=1e-6, atol=1e-5
            )
            assert torch.equal(tiled.comoment(group, *sides[::-1]), tiled.comoment(group, *sides).T)
    with pytest.raises(ValueError, match="not accumulated together"):
        tiled.comoment(0, (0, range(1, 2)), (1, range(1)))
    last = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], tiles=[Tile(0, 1, range(1, 2), range(2, 3))])
    assert last.layers == ((1,), (2,))
    with pytest.raises(ValueError, match="expected"):
        streamed(last, x, y)
    streamed(last, x[:, 6:], y[:, 11:])
    expected = whole.spread((0, 1), 0)[slice(6, 11)]
    torch.testing.assert_close(last.spread((0, 1), 0).m2, expected.m2, rtol=1e-9, atol=0)
    with pytest.raises(ValueError, match="layers range\\(0, 1\\) of model 0 were not accumulated"):
        last.moments((0,), 0, range(1))


def test_the_spread_equals_the_moments_to_the_last_bit() -> None:
    x, y = pair(1e3)
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=64)
    streamed(accumulator, x, y)
    a, b = own_moments(accumulator, 1)
    whole, spread = a + b, accumulator.spread((0, 1), 1)
    assert torch.equal(spread.mean, whole.mean)
    assert torch.equal(spread.m2, whole.m2)
    assert torch.equal(spread.inverse_norm, whole.inverse_norm)
    torch.testing.assert_close((a.spread + b.spread).m2, whole.m2, rtol=1e-14, atol=0)


@pytest.mark.parametrize("stop", [1, 90, 333, 699])
@pytest.mark.parametrize("mode", ["float32", "bfloat16"])
def test_a_restored_accumulator_resumes_to_the_last_bit(stop: int, mode: PrecisionMode) -> None:
    x, y = pair(1e3)
    undisturbed, first, second = (
        PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=50, mode=mode) for _ in range(3)
    )
    for accumulator in (undisturbed, first):
        streamed(accumulator, x, y, slice(0, stop))
    state = {name: tensor.clone() for name, tensor in first.state()}
    second.restore(state)
    for accumulator in (undisturbed, second):
        streamed(accumulator, x, y, slice(stop, None))
    for mine, theirs in zip(crosses(second, 0, 1), crosses(undisturbed, 0, 1), strict=True):
        assert torch.equal(mine.comoment, theirs.comoment)
        assert torch.equal(mine.x.mean, theirs.x.mean)
        assert torch.equal(mine.y.m2, theirs.y.m2)
        assert mine.count == theirs.count
    assert second.largest_error([(0,), (1,)]) == undisturbed.largest_error([(0,), (1,)])


def test_the_state_of_other_tiles_is_refused() -> None:
    state = dict(PairwiseAccumulator([X_WIDTHS, Y_WIDTHS]).state())
    with pytest.raises(ValueError, match="the state of other sums"):
        PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], tiles=TILES).restore(state)


def test_products_are_made_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pair(1e3)
    monkeypatch.setattr("universal_neurons.core.comoments.PRODUCT_WIDTH", 5)
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS], chunk_tokens=64)
    streamed(accumulator, x, y)
    a, b = crosses(accumulator, 0, 1)
    assert_same(a + b, moments(x, y))


def test_finished_sums_take_no_more_tokens() -> None:
    x, y = pair()
    accumulator = PairwiseAccumulator([X_WIDTHS, Y_WIDTHS])
    streamed(accumulator, x, y)
    accumulator.finish()
    a, b = crosses(accumulator, 0, 1)
    assert_same(a + b, moments(x, y))
    assert all(not len(tensor) for name, tensor in accumulator.state() if name.endswith("waiting"))
