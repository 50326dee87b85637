"""Mutual partners against a search over all pairs, and intervals against populations whose truth is known."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from tests.measures.related import (
    BLOCKS,
    NEURONS,
    Values,
    all_kept,
    correlations,
    kept,
    population,
    sampled,
    true_partners,
)
from universal_neurons.measurement import CEILING
from universal_neurons.measures.intervals import NOISE, block_weights, extrapolated, extrapolated_interval
from universal_neurons.measures.mutual import (
    KeptPartners,
    class_share,
    mutual_pairs,
    mutual_share,
    spanning_classes,
)
from universal_neurons.measures.tables import Resampling

RESAMPLING = Resampling(resamples=60, level=0.95, seed=1)


def models(count: int, tokens: int, *, neurons: int = 30, seed: int = 0, noise: float = 1.0) -> list[Values]:
    """Models whose neurons read the same sources with more and more noise, in different orders."""
    dice = np.random.default_rng(seed)
    source = dice.normal(size=(tokens, neurons))
    strength = np.linspace(0.0, 1.0, neurons)
    values = [source * strength + noise * dice.normal(size=source.shape) for _ in range(count)]
    return [one[:, np.random.default_rng(place).permutation(neurons)] for place, one in enumerate(values)]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_mutual_pairs_equal_a_search_over_all_pairs(rank: int) -> None:
    x, y = models(2, 400)
    rho = correlations(x, y)
    expected = [
        [i, j]
        for i in range(30)
        for j in range(30)
        if (rho[i] > rho[i, j]).sum() < rank and (rho[:, j] > rho[i, j]).sum() < rank
    ]
    partners = all_kept([x, y])
    found = mutual_pairs(partners[0, 1].partner, partners[1, 0].partner, rank=rank)
    assert sorted(found.tolist()) == expected
    assert len(expected) > 10


def test_a_neuron_without_partner_is_in_no_pair() -> None:
    forward, backward = np.array([[1], [-1]]), np.array([[0], [0]])
    assert mutual_pairs(forward, backward).tolist() == [[0, 1]]
    assert mutual_pairs(np.array([[-1]]), np.array([[0]])).tolist() == []


def test_classes_equal_the_components_of_a_graph() -> None:
    values = models(3, 800)
    partners = {pair: one.partner for pair, one in all_kept(values).items()}
    graph = nx.Graph()
    for x, y in ((0, 1), (0, 2), (1, 2)):
        graph.add_edges_from(((x, i), (y, j)) for i, j in mutual_pairs(partners[x, y], partners[y, x]).tolist())
    expected = sorted(
        [neuron for _, neuron in sorted(part)]
        for part in nx.connected_components(graph)
        if sorted(model for model, _ in part) == [0, 1, 2]
    )
    assert spanning_classes(partners, [30, 30, 30]).tolist() == expected
    assert len(expected) > 5


def test_a_connected_set_with_two_neurons_of_one_model_is_no_class() -> None:
    # 0:0 - 1:0 - 2:0 - 0:1: connected, and in no way one neuron.
    partners = {
        (0, 1): np.array([[0], [-1]]), (1, 0): np.array([[0]]), (1, 2): np.array([[0]]), (2, 1): np.array([[0]]),
        (0, 2): np.array([[-1], [0]]), (2, 0): np.array([[1]]),
    }  # fmt: skip
    assert spanning_classes(partners, [2, 1, 1]).tolist() == []
    partners[0, 2][1] = -1
    assert spanning_classes(partners, [2, 1, 1]).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("rank", [1, 2])
def test_shares_have_an_interval_a_null_and_a_ceiling(rank: int) -> None:
    x, y = models(2, 800)
    unrelated = models(2, 800, noise=1e6)
    partners = all_kept([x, y])
    for pair, (one, other) in {(0, 1): (0, 1), (1, 0): (1, 0)}.items():
        null = kept(unrelated[one], unrelated[other]).partner
        partners[pair] = kept([x, y][one], [x, y][other], null=null)
    share = mutual_share(partners, (0, 1), RESAMPLING, rank=rank)
    assert share.low < share.value < share.high
    assert 0.2 < share.details["null"] < share.value
    assert 0.3 < share.details[CEILING] < 1
    assert share.n == 30


def test_the_interval_is_that_of_the_share_recomputed_replicate_by_replicate() -> None:
    partners = all_kept(models(2, 800))
    found = mutual_share(partners, (0, 1), RESAMPLING)
    change = block_weights(BLOCKS, resamples=RESAMPLING.resamples, seed=RESAMPLING.seed) - 1
    shares = []
    for amount in np.sqrt(NOISE):
        moved = [[partners[pair].moved(amount * row) for pair in ((0, 1), (1, 0))] for row in change]
        shares.append([len(mutual_pairs(forward, backward)) / 30 for forward, backward in moved])
    centre = float(extrapolated(np.mean(shares, axis=1)))
    ends = extrapolated_interval(found.value, shares[0], centre, level=RESAMPLING.level)
    # A count is a whole number: half a pair more to each side.
    assert (found.low, found.high) == pytest.approx((ends.low - 0.5 / 30, ends.high + 0.5 / 30))


def test_identical_models_share_everything_and_halves_agree() -> None:
    x = models(1, 400, noise=0.1)[0]
    share = mutual_share({(0, 1): kept(x, x), (1, 0): kept(x, x)}, (0, 1), RESAMPLING)
    assert (share.value, share.high, share.details[CEILING]) == (1.0, 1.0, 1.0)
    assert np.isnan(share.details["null"])


def test_a_rank_that_leaves_no_choice_is_an_error() -> None:
    x, y = models(2, 400)
    with pytest.raises(ValueError, match="rank 4"):
        mutual_share(all_kept([x, y]), (0, 1), RESAMPLING, rank=4)


def test_nobody_has_a_partner() -> None:
    none = KeptPartners(
        np.full((3, 2), -1), np.full((3, 2), np.nan), np.full((BLOCKS, 3, 2), np.nan),
        np.full((3, 2), -1), np.full((3, 2), -1),
    )  # fmt: skip
    assert mutual_share({(0, 1): none, (1, 0): none}, (0, 1), RESAMPLING).n == 0


def test_intervals_of_classes_contain_what_infinitely_many_tokens_would_give() -> None:
    covered = []
    for seed in range(30):
        reads = population(3, seed=seed)
        true = len(spanning_classes(true_partners(reads), [NEURONS] * 3))
        share = class_share(all_kept(sampled(reads, tokens=800, seed=seed + 1000)), 3, RESAMPLING)
        covered.append(share.low <= true / NEURONS <= share.high)
    # Nominal are 95 per cent of 30.
    assert sum(covered) >= 27
