"""The distance between two computations of a neuron bounds the change of its correlations."""

from __future__ import annotations

from functools import reduce
from operator import add

import pytest
import torch
from torch import Tensor

from universal_neurons.core.numerical_error import NEURONS_PER_TILE, PairedMoments


def unit(values: Tensor) -> Tensor:
    """The deviations of each column from its mean, of length 1."""
    deviation = values.double() - values.double().mean(dim=0)
    length: Tensor = deviation.square().sum(dim=0).sqrt()
    return deviation / length


def two_computations(tokens: int, neurons: int, *, noise: float, mean: float = 0.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    one, error = torch.randn(2, tokens, neurons, generator=generator, dtype=torch.float64) + mean
    return one, one + noise * error


@pytest.mark.parametrize(("noise", "mean"), [(0.5, 0.0), (1e-3, 0.0), (1e-2, 1e3), (30.0, 0.0)])
def test_the_distance_is_between_the_unit_vectors(noise: float, mean: float) -> None:
    one, other = two_computations(200, NEURONS_PER_TILE + 3, noise=noise, mean=mean)
    expected = (unit(one) - unit(other)).norm(dim=0)
    torch.testing.assert_close(PairedMoments.of(one, other).distance, expected, rtol=1e-4, atol=1e-6)


def test_no_correlation_changes_by_more_than_the_distance() -> None:
    one, other = two_computations(50, 40, noise=0.1)
    anything = unit(torch.randn(50, 500, generator=torch.Generator().manual_seed(2)))
    moved = ((unit(one) - unit(other)).T @ anything).abs()
    distance = PairedMoments.of(one, other).distance
    assert bool((moved <= distance[:, None] + 1e-12).all())
    assert bool((moved.amax(dim=1) > distance / 5).all())


@pytest.mark.parametrize("sizes", [[200], [1, 199], [3, 0, 90, 107]])
def test_tokens_may_be_split_anywhere(sizes: list[int]) -> None:
    one, other = two_computations(200, 5, noise=0.1, mean=1e3)
    parts = [PairedMoments.of(*both) if len(both[0]) else PairedMoments.empty(5) for both in zip(
        torch.split(one, sizes), torch.split(other, sizes), strict=True)]  # fmt: skip
    found = reduce(add, parts, PairedMoments.empty(5))
    assert found.count == 200
    torch.testing.assert_close(found.distance, PairedMoments.of(one, other).distance, rtol=1e-6, atol=1e-7)


def test_scale_and_offset_are_no_difference() -> None:
    one, _ = two_computations(200, 5, noise=0.0)
    assert float(PairedMoments.of(one, 3 * one + 7).distance.max()) < 1e-6


def test_a_neuron_that_varied_in_one_computation_only_is_uncertain() -> None:
    varying, constant = torch.randn(100, 1), torch.full((100, 1), 0.1)
    found = PairedMoments.of(torch.hstack([varying, constant, constant]), torch.hstack([constant, varying, constant]))
    torch.testing.assert_close(found.distance, torch.tensor([2**0.5, 2**0.5, 0.0], dtype=torch.float64))
    assert PairedMoments.empty(2).distance.tolist() == [0, 0]
