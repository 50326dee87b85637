"""Samples below the maximum, and the surroundings of activations, equal those of the whole matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from universal_neurons.core.activations import ActivationBatch
from universal_neurons.core.profiles import ActivationProfiles, NearestActivations, activation_profiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

ROWS, CONTEXT, NEURONS, BEFORE, AFTER = 9, 6, 5, 2, 1
LEVELS = (0.7, 0.3)


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
    return activation_profiles(
        stream, position, neurons=NEURONS, top=3, bins=4, floor=-0.2, window=(BEFORE, AFTER), levels=LEVELS
    )


@pytest.mark.parametrize("rows_in_batch", [1, 2, 4, ROWS])
def test_samples_are_nearest_to_their_share_of_the_maximum(rows_in_batch: int) -> None:
    values, scored = dense()
    found = profiled(rows_in_batch).below
    known = values.masked_fill(~scored[..., None], torch.inf).flatten(0, 1)
    for level, share in enumerate(LEVELS):
        place = (known - share * values[scored].max(0).values).abs().argmin(0)
        torch.testing.assert_close(found.value[level], known.gather(0, place[None])[0])
        assert torch.equal(found.row[level] * CONTEXT + found.position[level], place)


def test_among_equal_samples_the_first_stays() -> None:
    below = NearestActivations.unknown(torch.full((1, 1), 0.5))
    for row in range(2):
        below.read(ActivationBatch(torch.tensor([[0.25], [0.75], [0.25]]), torch.full((3,), row)), torch.arange(3))
    assert (int(below.row), int(below.position), float(below.value)) == (0, 0, 0.25)


@pytest.mark.parametrize("rows_in_batch", [1, 2, 4, ROWS])
def test_the_window_of_an_activation_equals_the_whole_matrix(rows_in_batch: int) -> None:
    values, scored = dense()
    profiles = profiled(rows_in_batch)
    for found, around in ((profiles.top, profiles.around), (profiles.below, profiles.around_below)):
        assert around.value.shape == (*found.row.shape, BEFORE + 1 + AFTER)
        for one in range(len(found.row)):
            for neuron in range(NEURONS):
                row, peak = int(found.row[one, neuron]), int(found.position[one, neuron])
                for entry, position in enumerate(range(peak - BEFORE, peak + AFTER + 1)):
                    there = 0 <= position < CONTEXT and bool(scored[row, position])
                    expected = values[row, position, neuron] if there else torch.tensor(torch.nan)
                    torch.testing.assert_close(around.value[one, neuron, entry], expected, equal_nan=True)


def test_the_window_holds_the_top_activation_itself() -> None:
    found = profiled(2)
    torch.testing.assert_close(found.around.value[..., BEFORE], found.top.value)
