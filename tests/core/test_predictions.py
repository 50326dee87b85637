"""Sets of tokens, ranks of activations and planted neurons against direct calculation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from universal_neurons.core.moments import NonFiniteActivationError
from universal_neurons.core.predictions import (
    NextTokenTest,
    PlantedNeurons,
    equally_frequent,
    membership,
    next_token_tests,
    random_directions,
    vocabulary_writing,
)

VOCABULARY, WIDTH = 60, 8


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def auc_by_hand(values: Tensor, is_positive: Tensor) -> float:
    positive, negative = values[is_positive], values[~is_positive]
    difference = positive[:, None] - negative[None]
    return float(((difference > 0).double() + (difference == 0).double() / 2).mean())


def test_sets_are_the_extreme_tokens_on_the_side_of_the_skewness() -> None:
    directions, unembedding = drawn(20, WIDTH, seed=1), drawn(VOCABULARY, WIDTH, seed=2)
    found = vocabulary_writing(directions, unembedding, shown=4, bound=1.5)
    for number, direction in enumerate(directions):
        cosine = torch.nn.functional.cosine_similarity(direction[None], unembedding)
        z = (cosine - cosine.mean()) / cosine.std(correction=0)
        side = 1 if float((z**3).mean()) >= 0 else -1
        expected = [int(token) for token in (side * z).argsort(descending=True)[:4] if side * z[token] > 1.5]
        assert [token for token in found.members[number].tolist() if token >= 0] == expected
        torch.testing.assert_close(found.moments.kurtosis[number], (z**4).mean())


@pytest.mark.parametrize("seed", range(5))
def test_the_test_is_the_mean_over_pairs_of_a_batch_with_ties_as_halves(seed: int) -> None:
    # Rounded, so that most values occur several times, and one neuron is a constant.
    batches = [(drawn(size, 3, seed=seed + size) * 2).round() for size in (40, 25)]
    positives = [drawn(len(values), 3, seed=seed + 100 + len(values)) > 0.8 for values in batches]
    for values in batches:
        values[:, 2] = -0.0
    total = NextTokenTest.empty(3)
    for values, is_positive in zip(batches, positives, strict=True):
        total = total + next_token_tests(values, [is_positive])[0]
    for neuron in range(3):
        pairs = [float(one[:, neuron].sum() * (~one[:, neuron]).sum()) for one in positives]
        parts = [auc_by_hand(values[:, neuron], one[:, neuron]) for values, one in zip(batches, positives, strict=True)]
        expected = sum(part * count for part, count in zip(parts, pairs, strict=True)) / sum(pairs)
        assert float(total.auc[neuron]) == pytest.approx(expected, abs=1e-12)
        assert int(total.positives[neuron]) == sum(int(one[:, neuron].sum()) for one in positives)
    assert float(total.auc[2]) == 0.5


def test_several_sets_are_tested_as_each_alone_however_many_neurons_are_sorted_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values, one, other = drawn(30, 7, seed=3).float(), drawn(30, 7, seed=4) > 1, drawn(30, 7, seed=5) > 1
    whole = next_token_tests(values, [one, other])
    monkeypatch.setattr("universal_neurons.core.predictions.NEURONS_PER_SORT", 2)
    for found, expected in zip(next_token_tests(values, [one, other]), whole, strict=True):
        torch.testing.assert_close(found.auc, expected.auc, equal_nan=True)
    torch.testing.assert_close(next_token_tests(values, [other])[0].auc, whole[1].auc, equal_nan=True)


def test_without_a_token_of_each_kind_there_is_no_area() -> None:
    nothing = torch.zeros(5, 2, dtype=torch.bool)
    nothing[:, 1] = True
    (found,) = next_token_tests(drawn(5, 2), [nothing])
    assert found.auc.isnan().all()
    assert found.positives.tolist() == [0, 5]
    (one_pair,) = next_token_tests(torch.tensor([[1.0], [2.0]]), [torch.tensor([[False], [True]])])
    assert one_pair.auc.tolist() == [1.0]


def test_an_infinite_activation_is_refused() -> None:
    values = torch.zeros(4, 2)
    values[1, 1] = torch.inf
    with pytest.raises(NonFiniteActivationError):
        next_token_tests(values, [values > 0])


def test_membership_is_whether_a_token_is_in_a_set() -> None:
    members = torch.tensor([[3, 1], [-1, -1], [0, -1]])
    found = membership(members, 4)
    assert found.T.tolist() == [[False, True, False, True], [False] * 4, [True, False, False, False]]


@pytest.mark.parametrize("vocabulary", [VOCABULARY, VOCABULARY + 1])
def test_exchanged_tokens_are_others_of_neighbouring_frequency(vocabulary: int) -> None:
    counts = torch.randint(0, 50, (vocabulary,), generator=dice())
    members = torch.stack([torch.randperm(vocabulary, generator=dice(seed))[:10] for seed in range(30)])
    members[0, 4:] = -1
    found = equally_frequent(members, counts, generator=dice(9))
    ordered = counts.sort().values
    gap = int((ordered[1:] - ordered[:-1]).max())
    assert (found[0, 4:] == -1).all()
    for own, other in zip(members.tolist(), found.tolist(), strict=True):
        assert not {token for token in other if token >= 0} & set(own)
        for token, exchanged in zip(own, other, strict=True):
            assert exchanged < 0 or abs(int(counts[token] - counts[exchanged])) <= gap
    assert (found[members >= 0] >= 0).float().mean() > 0.7


def test_a_planted_neuron_writes_to_its_tokens_and_fires_before_them() -> None:
    unembedding = drawn(400, 48, seed=6)
    unembedding -= unembedding.mean(1, keepdim=True)
    planted = PlantedNeurons.drawn(unembedding, torch.arange(100), count=40, size=4, generator=dice(1))
    written = vocabulary_writing(planted.directions, unembedding, shown=10, bound=3.0)
    noise = vocabulary_writing(
        random_directions(2000, unembedding, generator=dice(2)), unembedding, shown=10, bound=3.0
    )
    threshold = float(noise.moments.kurtosis.quantile(0.999))
    assert float((written.moments.kurtosis > threshold).double().mean()) > 0.8
    assert ((written.moments.skewness[::2] > 0) & (written.moments.skewness[1::2] < 0)).double().mean() > 0.8
    following = torch.randint(0, 400, (20_000,), generator=dice(3))
    values = planted.activations(following, shift=1.0, generator=dice(4))
    (found,) = next_token_tests(values, [membership(planted.members, 400)[following]])
    # Of two unit normals one apart the larger one is larger with probability 0.76.
    assert float(found.auc.mean()) == pytest.approx(0.760, abs=0.01)
    (silent,) = next_token_tests(values, [membership(planted.members.roll(7, 0), 400)[following]])
    assert abs(float(silent.auc.median()) - 0.5) < 0.02


def test_sets_larger_than_their_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="3 tokens for sets of 5"):
        PlantedNeurons.drawn(drawn(9, 4), torch.arange(3), count=1, size=5, generator=dice())


def test_random_directions_are_unit_vectors_without_a_mean() -> None:
    found = random_directions(50, drawn(9, WIDTH), generator=dice())
    assert torch.equal(found, random_directions(50, drawn(9, WIDTH), generator=dice()))
    torch.testing.assert_close(torch.linalg.vector_norm(found, dim=1), torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close(found.mean(1), torch.zeros(50, dtype=torch.float64))
