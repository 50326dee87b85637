"""Moments of parts add up to the moments of the whole, in any split and order."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.direct import constant_count, transposed
from tests.core.oracle import X_WIDTHS, Y_WIDTHS, correlation
from tests.core.pairs import TOKENS, assert_same, moments, pair
from universal_neurons.core.accumulator import cross_moments
from universal_neurons.core.moments import CrossMoments, NeuronMoments, NeuronSpread, column_means, layer_slices


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, TOKENS), max_size=6), st.permutations(range(7)))
def test_any_split_merged_in_any_order_is_the_whole(cuts: set[int], order: list[int]) -> None:
    x, y = pair(1e3)
    parts = [moments(x[a:b], y[a:b]) for a, b in pairwise(sorted({0, TOKENS, *cuts}))]
    total = CrossMoments(
        NeuronMoments.empty(X_WIDTHS), NeuronMoments.empty(Y_WIDTHS), torch.zeros(11, 16, dtype=torch.float64)
    )
    for k in order:
        total = total + parts[k] if k < len(parts) else total
    assert_same(total, moments(x, y))


def test_spreads_of_parts_add_up_to_the_spread_of_the_whole() -> None:
    values = pair(1e3)[0].double()
    values[250:] += 5

    def spread(part: torch.Tensor) -> NeuronSpread:
        return NeuronSpread(len(part), part.mean(0), (part - part.mean(0)).square().sum(0))

    total, whole = spread(values[:250]) + spread(values[250:]), spread(values)
    assert total.count == whole.count
    torch.testing.assert_close(total.mean, whole.mean)
    torch.testing.assert_close(total.squares, whole.squares)


def test_swapped_models_are_the_transpose() -> None:
    x, y = pair()
    swapped = cross_moments(y, x, x_widths=Y_WIDTHS, y_widths=X_WIDTHS)
    assert_same(transposed(moments(x, y)), swapped)


def test_a_neuron_that_is_constant_in_each_half_but_not_in_the_whole_is_defined() -> None:
    x, y = pair()
    first = torch.arange(TOKENS) < 300
    x[:, 2] = torch.where(first, 0.1, 0.2)
    a, b = moments(x[first], y[first]), moments(x[~first], y[~first])
    assert (constant_count(a.x), constant_count(b.x), constant_count((a + b).x)) == (1, 1, 0)
    torch.testing.assert_close((a + b).correlation(), correlation(x, y), rtol=0, atol=1e-6)


def test_moments_of_different_models_or_tokens_do_not_combine() -> None:
    x, y = pair()
    with pytest.raises(ValueError, match="different models"):
        moments(x, y) + transposed(moments(x, y))
    with pytest.raises(ValueError, match="cross moments of 700 and 699 tokens"):
        CrossMoments(moments(x, y).x, moments(x[1:], y[1:]).y, torch.zeros(11, 16))


def test_the_mean_of_one_repeated_value_is_that_value() -> None:
    values = torch.rand(50, generator=torch.Generator().manual_seed(0)).expand(1001, 50)
    assert torch.equal(column_means(values).float(), values[0])


def test_layers_lie_one_after_the_other() -> None:
    assert layer_slices((2, 3)) == (slice(0, 2), slice(2, 5))
