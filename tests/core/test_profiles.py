"""Streamed statistics of single neurons equal those of the whole matrix of activations in float64."""

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add

import pytest
import torch
from torch import Tensor

from tests.core.oracle import activations
from universal_neurons.core.activations import ActivationBatch
from universal_neurons.core.moments import NonFiniteActivationError
from universal_neurons.core.profiles import (
    ActivationProfiles,
    CentralMoments,
    TopActivations,
    activation_profiles,
    bin_counts,
    weight_profiles,
)
from universal_neurons.core.weights import NeuronWeights

NEURONS, FLOOR = 7, -0.17
# The scored positions of five rows, which are not equally many.
POSITIONS = [[1, 2, 4, 5], [3], [1, 2, 3, 4, 5], [2, 5], [1, 4]]


def values(tokens: int = 200, *, offset: float = 0.0) -> Tensor:
    return activations(tokens, [NEURONS], seed=3, offset=offset)


def dense(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, variance, skewness and kurtosis of every column from the whole matrix."""
    double = matrix.double()
    deviation = double - double.mean(0)
    variance = deviation.square().mean(0)
    return double.mean(0), variance, deviation.pow(3).mean(0) / variance**1.5, deviation.pow(4).mean(0) / variance**2


def assert_moments(found: CentralMoments, matrix: Tensor, *, tolerance: float = 1e-11) -> None:
    of_found = found.mean, found.variance, found.skewness, found.kurtosis
    for one, other in zip(of_found, dense(matrix), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
    assert found.count == len(matrix)


# --- moments ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[200], [1, 199], [100, 100], [7, 0, 64, 1, 128], [1] * 200])
def test_moments_split_anywhere_equal_the_whole(sizes: Sequence[int]) -> None:
    matrix = values()
    parts = [CentralMoments.of(part) for part in torch.split(matrix, list(sizes)) if len(part)]
    assert_moments(reduce(add, parts, CentralMoments.empty(NEURONS)), matrix)
    assert_moments(reduce(add, reversed(parts)), matrix)


def test_a_large_mean_costs_no_digits() -> None:
    matrix = values(offset=1e3)
    assert_moments(reduce(add, map(CentralMoments.of, torch.split(matrix, 30))), matrix, tolerance=1e-8)


def test_a_constant_has_no_skewness_and_no_kurtosis() -> None:
    matrix = torch.full((200, 1), 0.1)
    found = CentralMoments.of(matrix[:70]) + CentralMoments.of(matrix[70:])
    assert (float(found.variance), float(found.mean)) == (0.0, float(matrix[0, 0].double()))
    assert bool(found.skewness.isnan().all() and found.kurtosis.isnan().all())


def test_no_token_has_no_moments() -> None:
    nothing = CentralMoments.empty(2) + CentralMoments.empty(2)
    assert nothing.count == 0
    assert bool(nothing.variance.isnan().all())


def test_two_equal_points_have_the_kurtosis_of_a_coin() -> None:
    found = CentralMoments.of(torch.tensor([[-1.0], [1.0]])) + CentralMoments.of(torch.tensor([[1.0], [-1.0]]))
    assert (float(found.skewness), float(found.kurtosis)) == (0.0, 1.0)


@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
def test_an_activation_that_is_not_finite_is_refused(bad: float) -> None:
    matrix = values()
    matrix[5, 3] = bad
    with pytest.raises(NonFiniteActivationError, match="column 3"):
        CentralMoments.of(matrix)


# --- the stream -------------------------------------------------------------------------------------------------------


def stream(matrix: Tensor, *, batch_rows: int) -> Iterator[ActivationBatch]:
    row = torch.cat([torch.full((len(part),), number) for number, part in enumerate(POSITIONS)])
    for start in range(0, len(POSITIONS), batch_rows):
        chosen = (row >= start) & (row < start + batch_rows)
        yield ActivationBatch(matrix[chosen], row[chosen])


def profiled(matrix: Tensor, *, batch_rows: int = 2, top: int = 3, bins: int = 5) -> ActivationProfiles:
    position = torch.tensor([place for part in POSITIONS for place in part])
    return activation_profiles(
        lambda: stream(matrix, batch_rows=batch_rows), position, neurons=NEURONS, top=top, bins=bins, floor=FLOOR
    )


@pytest.mark.parametrize("batch_rows", [1, 2, 5])
def test_profiles_do_not_depend_on_batches(batch_rows: int) -> None:
    matrix = values(14)
    found = profiled(matrix, batch_rows=batch_rows)
    assert_moments(found.moments, matrix)
    assert found.positive.tolist() == (matrix > 0).sum(0).tolist()
    assert torch.equal(found.maximum, matrix.max(0).values)
    assert torch.equal(found.histogram, bin_counts(matrix, matrix.max(0).values, bins=5, floor=FLOOR))
    assert found.histogram.sum(1).tolist() == [14] * NEURONS


@pytest.mark.parametrize("batch_rows", [1, 2, 5])
def test_top_activations_are_the_largest_of_different_rows(batch_rows: int) -> None:
    matrix = values(14)
    found = profiled(matrix, batch_rows=batch_rows).top
    places = [(row, position) for row, part in enumerate(POSITIONS) for position in part]
    for neuron in range(NEURONS):
        best: dict[int, tuple[float, int, int]] = {}
        for value, (row, position) in zip(matrix[:, neuron].tolist(), places, strict=True):
            best[row] = max(best.get(row, (-torch.inf, row, position)), (value, row, position))
        expected = sorted(best.values(), reverse=True)[:3]
        columns = (part[:, neuron].tolist() for part in (found.value, found.row, found.position))
        assert list(zip(*columns, strict=True)) == expected


def test_among_equal_activations_the_first_stays() -> None:
    found = profiled(torch.zeros(14, NEURONS), batch_rows=1, top=2).top
    assert found.row[:, 0].tolist() == [0, 1]
    assert found.position[:, 0].tolist() == [1, 3]


def test_with_too_few_rows_the_rest_has_no_position() -> None:
    found = profiled(values(14), top=6).top
    assert found.row[5].tolist() == found.position[5].tolist() == [-1] * NEURONS
    assert bool(found.value[5].isneginf().all())
    assert bool((found.row[:5] >= 0).all())


def test_another_number_of_positions_than_tokens_is_refused() -> None:
    matrix = values(14)
    for position in (torch.arange(15), torch.arange(13), torch.arange(0)):
        with pytest.raises(ValueError, match="positions"):
            activation_profiles(
                lambda: stream(matrix, batch_rows=2), position, neurons=NEURONS, top=2, bins=2, floor=FLOOR
            )
    with pytest.raises(ValueError, match="a batch of 3 tokens with 2 positions"):
        TopActivations.empty(2, 1).with_rows(ActivationBatch(torch.zeros(3, 1), torch.zeros(3).long()), torch.arange(2))


# --- histograms -------------------------------------------------------------------------------------------------------


def test_bins_are_a_histogram_between_the_floor_and_the_maximum() -> None:
    matrix = values(500).clamp(min=FLOOR + 1e-3)
    found = bin_counts(matrix, matrix.max(0).values, bins=9, floor=FLOOR)
    for neuron in range(NEURONS):
        column = matrix[:, neuron].double()
        expected = torch.histogram(column, bins=9, range=(FLOOR, float(column.max()))).hist
        # A value on an edge may round to either side of it.
        assert (found[neuron] - expected).abs().max() <= 1
        assert int(found[neuron].sum()) == 500


def test_values_below_the_floor_and_neurons_that_never_rise_are_in_the_first_bin() -> None:
    matrix = torch.tensor([[-0.18, -0.2, 0.0], [1.0, -0.3, 0.0]])
    found = bin_counts(matrix, matrix.max(0).values, bins=4, floor=FLOOR)
    assert found.tolist() == [[1, 0, 0, 1], [2, 0, 0, 0], [0, 0, 0, 2]]


# --- weights ----------------------------------------------------------------------------------------------------------


def weights(neurons: int = 6, width: int = 5, vocabulary: int = 40) -> NeuronWeights:
    generator = torch.Generator().manual_seed(1)
    shapes = ((neurons, width), (neurons,), (neurons, width), (vocabulary, width))
    return NeuronWeights(*(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes))


def test_weight_statistics_are_those_of_all_cosines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("universal_neurons.core.profiles.NEURONS_PER_TILE", 4)
    given = weights()
    found = weight_profiles(given, shown=3)
    cosine = torch.nn.functional.cosine_similarity(given.w_out[:, None], given.unembedding[None], dim=-1)
    assert_moments(found.vocabulary, cosine.T)
    order = cosine.argsort(1)
    assert torch.equal(found.promoted, order.flip(1)[:, :3])
    assert torch.equal(found.suppressed, order[:, :3])
    torch.testing.assert_close(found.promoted_cosine, cosine.gather(1, found.promoted))
    torch.testing.assert_close(found.suppressed_cosine, cosine.gather(1, found.suppressed))
    torch.testing.assert_close(found.alignment, torch.nn.functional.cosine_similarity(given.w_in, given.w_out))
    torch.testing.assert_close(found.input_norm, given.w_in.norm(dim=1))
    torch.testing.assert_close(found.output_norm, given.w_out.norm(dim=1))
    assert torch.equal(found.input_bias, given.b_in)


def test_a_planted_token_is_promoted_and_its_opposite_suppressed() -> None:
    given = weights()
    given.w_out[2] = 3 * given.unembedding[11]
    given.unembedding[30] = -given.unembedding[11]
    found = weight_profiles(given, shown=1)
    assert (int(found.promoted[2, 0]), int(found.suppressed[2, 0])) == (11, 30)
    assert float(found.promoted_cosine[2, 0]) == pytest.approx(1)
    assert float(found.suppressed_cosine[2, 0]) == pytest.approx(-1)


def test_weights_of_zero_have_no_cosine_and_tokens_of_zero_are_left_out() -> None:
    given = weights()
    given.w_out[1] = 0
    given.w_in[4] = 0
    given.unembedding[7] = 0
    given.unembedding[8, 0] = 0
    found = weight_profiles(given, shown=39)
    assert found.alignment.isnan().tolist() == [False, True, False, False, True, False]
    assert found.promoted_cosine.isnan().any(1).nonzero().flatten().tolist() == [1]
    assert bool(found.vocabulary.kurtosis[1].isnan())
    assert found.vocabulary.count == 39
    assert not bool((found.promoted == 7).any() or (found.suppressed == 7).any())
    with pytest.raises(ValueError, match="40 tokens of a vocabulary of 39"):
        weight_profiles(given, shown=40)
