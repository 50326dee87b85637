"""Pairs of neurons that fire alike against pairs that are looked at one by one."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from universal_neurons.measures.ensembles import WritingPairs, common_writing, dealt_common_writing

LAYERS, WIDTH, SHOWN = 3, 40, 10


def neurons(seed: int) -> WritingPairs:
    """Neurons of which every second one fires like the one before and has half of its tokens."""
    dice = np.random.default_rng(seed)
    layer = np.repeat(np.arange(LAYERS), WIDTH)
    tokens = dice.permuted(np.tile(np.arange(60), (len(layer), 1)), axis=1)[:, :SHOWN]
    # A set has no token twice.
    tokens[1::2] += 60
    tokens[1::2, :5] = tokens[::2, :5]
    sign = dice.choice([-1, 0, 1], size=len(layer))
    nearest = np.where(dice.random(len(layer)) < 0.8, np.arange(len(layer)) ^ 1, -1)
    return WritingPairs(layer, sign, tokens, nearest, 0.95)


MODELS = tuple(neurons(seed) for seed in range(4))


def same(one: WritingPairs, a: int, b: int) -> float:
    common = len(set(one.tokens[a]) & set(one.tokens[b])) / SHOWN
    return common if one.sign[a] == one.sign[b] else 0.0


def test_pairs_are_neurons_that_both_write_and_each_pair_counts_once() -> None:
    one = MODELS[0]
    expected = {
        tuple(sorted((row, int(other))))
        for row, other in enumerate(one.nearest)
        if other >= 0 and one.sign[row] and one.sign[other]
    }
    assert {tuple(pair) for pair in one.pairs.tolist()} == expected
    assert len(one.pairs) == len(expected)
    first = neurons(9)
    first.sign[:], first.nearest[:], first.nearest[1] = 1, -1, 0
    assert first.pairs.tolist() == [[0, 1]]


def test_what_is_in_common_is_compared_with_all_pairs_of_the_layer() -> None:
    differences, alike = [], []
    for one in MODELS:
        means = []
        for layer in range(LAYERS):
            writing = np.flatnonzero((one.layer == layer) & (one.sign != 0))
            means.append(np.mean([same(one, a, b) for a, b in combinations(writing.tolist(), 2)]))
        assert one.expected() == pytest.approx(means)
        own = [same(one, a, b) for a, b in one.pairs]
        differences.append(np.mean([value - means[one.layer[a]] for value, (a, _) in zip(own, one.pairs, strict=True)]))
        alike.append(np.mean(own))
    found = common_writing(MODELS)
    assert found.value == pytest.approx(np.mean(differences))
    assert found.details["alike"] == pytest.approx(np.mean(alike))
    assert found.details["pairs"] == sum(len(one.pairs) for one in MODELS)


def test_dealt_pairs_are_others_of_the_layer_and_write_no_more_alike_than_any() -> None:
    one = MODELS[0]
    dealt = one.dealt(np.random.default_rng(1))
    assert (one.sign[dealt] != 0).all()
    assert (one.layer[dealt[:, 0]] == one.layer[dealt[:, 1]]).all()
    assert (dealt[:, 0] != dealt[:, 1]).all()
    assert abs(dealt_common_writing(MODELS).value) < common_writing(MODELS).value / 2


def test_a_model_without_a_pair_leaves_nothing_to_judge() -> None:
    alone = neurons(9)
    alone.nearest[:] = -1
    assert common_writing((*MODELS, alone)).is_missing
    assert dealt_common_writing((*MODELS, alone)).is_missing


def test_a_layer_with_one_writing_neuron_has_no_pairs_to_expect_anything_of() -> None:
    one = neurons(3)
    one.sign[one.layer == 1] = 0
    assert np.isnan(one.expected()).tolist() == [False, True, False]
