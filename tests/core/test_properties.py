"""Streamed statistics of pre-activations equal those of the whole matrix in float64; the nearest cosine is right."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tests.core.oracle import activations
from tests.core.test_profiles import assert_moments
from universal_neurons.core.activations import ActivationBatch
from universal_neurons.core.moments import NonFiniteActivationError
from universal_neurons.core.properties import nearest_cosine, pre_activations

NEURONS = 7


def batches(matrix: Tensor, size: int) -> Iterator[ActivationBatch]:
    for first in range(0, len(matrix), size):
        part = matrix[first : first + size]
        yield ActivationBatch(part, torch.zeros(len(part), dtype=torch.int64))


@pytest.mark.parametrize(("size", "offset"), [(1, 0.0), (30, 0.0), (200, 0.0), (30, 1e3)])
def test_batches_of_any_size_give_the_statistics_of_the_whole(size: int, offset: float) -> None:
    matrix = activations(200, [NEURONS], seed=3, offset=offset)
    bounds = (offset, offset - 0.1)
    found = pre_activations(batches(matrix, size), bounds, neurons=NEURONS)
    assert_moments(found.moments, matrix, tolerance=1e-8 if offset else 1e-11)
    assert torch.equal(found.above, torch.stack([(matrix > bound).sum(0) for bound in bounds]))


def test_a_value_on_a_bound_is_not_above_it() -> None:
    matrix = torch.tensor([[0.0], [-0.5], [0.5]])
    assert pre_activations(batches(matrix, 2), (0.0, -0.5), neurons=1).above.tolist() == [[1], [2]]


def test_an_infinite_pre_activation_is_refused() -> None:
    matrix = torch.zeros(4, 2)
    matrix[3, 1] = torch.inf
    with pytest.raises(NonFiniteActivationError):
        pre_activations(batches(matrix, 2), (0.0,), neurons=2)


@pytest.mark.parametrize("neurons", [2, 600])
def test_the_nearest_cosine_is_that_of_another_vector(neurons: int) -> None:
    vectors = torch.randn(neurons, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    cosine = torch.nn.functional.cosine_similarity(vectors[:, None], vectors[None], dim=-1).fill_diagonal_(-2)
    torch.testing.assert_close(nearest_cosine(vectors), cosine.amax(1))


def test_a_vector_of_zeros_has_no_cosine_and_is_nobodys_nearest() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    found = nearest_cosine(vectors)
    assert bool(found[1].isnan())
    assert found[[0, 2]].tolist() == [-1.0, -1.0]
