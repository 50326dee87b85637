"""The surroundings of top activations equal the whole matrix of activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from universal_neurons.core.activations import ActivationBatch
from universal_neurons.core.profiles import ActivationProfiles, activation_profiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

ROWS, CONTEXT, NEURONS, BEFORE, AFTER = 9, 6, 5, 2, 1


def dense() -> tuple[Tensor, Tensor]:
    """Activations (row position neuron) and which positions are scored: every row lacks another one."""
    generator = torch.Generator().manual_seed(4)
    scored = torch.ones(ROWS, CONTEXT, dtype=torch.bool)
    scored[torch.arange(ROWS), torch.arange(ROWS) % CONTEXT] = False
    return torch.randn(ROWS, CONTEXT, NEURONS, generator=generator), scored


def profiled(rows_in_batch: int) -> ActivationProfiles:
    values, scored = dense()

    def stream() -> Iterator[ActivationBatch]:
        for start in range(0, ROWS, rows_in_batch):
            part = slice(start, start + rows_in_batch)
            yield ActivationBatch(values[part][scored[part]], scored[part].nonzero()[:, 0] + start)

    position = scored.nonzero()[:, 1]
    return activation_profiles(stream, position, neurons=NEURONS, top=3, bins=4, floor=-0.2, window=(BEFORE, AFTER))


@pytest.mark.parametrize("rows_in_batch", [1, 2, 4, ROWS])
def test_the_window_of_a_top_activation_equals_the_whole_matrix(rows_in_batch: int) -> None:
    values, scored = dense()
    found = profiled(rows_in_batch)
    assert found.around.value.shape == (3, NEURONS, BEFORE + 1 + AFTER)
    for top in range(3):
        for neuron in range(NEURONS):
            row, peak = int(found.top.row[top, neuron]), int(found.top.position[top, neuron])
            for entry, position in enumerate(range(peak - BEFORE, peak + AFTER + 1)):
                there = 0 <= position < CONTEXT and bool(scored[row, position])
                expected = values[row, position, neuron] if there else torch.tensor(torch.nan)
                torch.testing.assert_close(found.around.value[top, neuron, entry], expected, equal_nan=True)


def test_the_window_holds_the_top_activation_itself() -> None:
    found = profiled(2)
    torch.testing.assert_close(found.around.value[..., BEFORE], found.top.value)
