"""The nearest neuron of the same model is the one of the whole correlation matrix in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.core.oracle import activations
from universal_neurons.core.activations import ActivationBatch
from universal_neurons.core.duplicates import nearest_neurons
from universal_neurons.core.matmul import BOUNDS
from universal_neurons.core.moments import NonFiniteActivationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

WIDTHS = (5, 300, 4)


def matrix(offset: float = 0.0) -> Tensor:
    values = activations(400, list(WIDTHS), seed=2, offset=offset)
    values[:, 7] = 0.9 * values[:, 2] + 0.1 * values[:, 30]
    values[:, 9] = 0.5
    return values


def batches(values: Tensor, size: int) -> Iterator[ActivationBatch]:
    for start in range(0, len(values), size):
        part = values[start : start + size]
        yield ActivationBatch(part, torch.zeros(len(part), dtype=torch.int64))


@pytest.mark.parametrize(("size", "layers", "offset"), [(1, (0, 3), 0.0), (64, (1, 2), 0.0), (400, (0, 3), 1e3)])
def test_the_nearest_neuron_is_the_one_of_the_whole_matrix(size: int, layers: tuple[int, int], offset: float) -> None:
    values = matrix(offset)
    found = nearest_neurons(batches(values, size), WIDTHS, range(*layers), chunk_tokens=100)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.corrcoef(values.double().numpy().T)
    np.fill_diagonal(correlation, np.nan)
    ends = np.cumsum([0, *WIDTHS])
    rows = np.arange(ends[layers[0]], ends[layers[1]])
    defined = rows != 9
    expected = np.nanmax(correlation[rows[defined]], axis=1)
    np.testing.assert_allclose(found.correlation.numpy()[defined], expected, atol=1e-4 if offset else 2e-6)
    chosen = found.other.numpy()[defined]
    np.testing.assert_allclose(correlation[rows[defined], chosen], expected, atol=1e-4 if offset else 2e-6)
    assert not (found.other == 9).any()
    if layers[0] == 0:
        assert int(found.other[7]) == 2
        assert int(found.other[9]) == -1
        assert bool(found.correlation[9].isnan())


def test_an_infinite_activation_is_refused() -> None:
    values = matrix()
    values[3, 1] = torch.inf
    with pytest.raises(NonFiniteActivationError):
        nearest_neurons(batches(values, 64), WIDTHS, range(3))


def test_rounded_operands_give_the_correlations_within_the_bound_of_their_mode() -> None:
    values = matrix()
    exact, rounded = (
        nearest_neurons(batches(values, 64), WIDTHS, range(3), mode=mode).correlation
        for mode in ("float32", "bfloat16")
    )
    error = (rounded - exact).nan_to_num(0).abs().max()
    assert BOUNDS["float32"] < error < BOUNDS["bfloat16"]
