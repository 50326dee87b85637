"""What labels explain is equation 4 by its definition in float64, for every batch size and every kind of group."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from universal_neurons.core.explanations import (
    LabelSums,
    Members,
    best_labels,
    cross_fitted,
    variance_reduction,
)

TOKENS, NEURONS, GROUPS, FLAGS = 300, 5, 6, 4
CONSTANT = 3
MEMBERS = torch.tensor([[1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]]).bool()


def data(offset: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    dice = torch.Generator().manual_seed(0)
    group = torch.randint(GROUPS - 1, (TOKENS,), generator=dice)
    flags = torch.rand(TOKENS, FLAGS, generator=dice) < 0.3
    flags[:, 2], flags[:, 3] = False, True
    values = torch.randn(TOKENS, NEURONS, generator=dice) + offset
    values[:, 0] += 4 * (group == 0)
    values[:, 1] += 3 * flags[:, 0]
    values[:, CONSTANT] = 0.5 + offset
    return values, group, flags


def sums(chosen: torch.Tensor, size: int = TOKENS, offset: float = 0.0) -> LabelSums:
    found = LabelSums({"group": GROUPS, "place": FLAGS}, neurons=NEURONS)
    values, group, flags = (part[chosen] for part in data(offset))
    for start in range(0, len(values), size):
        part = slice(start, start + size)
        found.add(values[part], {"group": group[part], "place": flags[part]})
    return found


EVERYONE, FIRST, SECOND = torch.arange(TOKENS), torch.arange(0, TOKENS, 2), torch.arange(1, TOKENS, 2)
LABELS = [Members("group", MEMBERS), Members("place", torch.eye(FLAGS).bool())]


def by_definition(chosen: torch.Tensor, offset: float = 0.0) -> np.ndarray:
    """Equation 4 of every label: 1 - [(1 - b) var(v | not y) + b var(v | y)] / var(v)."""
    values, group, flags = (part[chosen].double().numpy() for part in data(offset))
    labels = [np.isin(group, np.flatnonzero(row)) for row in MEMBERS.numpy()] + list(flags.T.astype(bool))
    found = np.zeros((len(labels), NEURONS))
    for row, label in zip(found, labels, strict=True):
        if 0 < label.sum() < len(label):
            share = label.mean()
            within = (1 - share) * values[~label].var(0) + share * values[label].var(0)
            row[:] = 1 - within / values.var(0).clip(1e-300)
    found[:, CONSTANT] = np.nan
    return found


@pytest.mark.parametrize(("size", "offset"), [(1, 0.0), (7, 0.0), (TOKENS, 0.0), (64, 1e3)])
def test_every_label_explains_what_the_definition_says(size: int, offset: float) -> None:
    found = variance_reduction(sums(EVERYONE, size, offset), LABELS)
    np.testing.assert_allclose(found.numpy(), by_definition(EVERYONE, offset), atol=1e-6 if offset else 1e-12)


def test_a_label_of_no_token_or_of_all_explains_nothing_and_a_constant_neuron_is_undefined() -> None:
    found = variance_reduction(sums(EVERYONE), LABELS)
    # The last group and the third flag never occur, the fourth flag always.
    assert found[[2, 5, 6]][:, [0, 1, 2, 4]].abs().max() == 0
    assert bool(found[:, CONSTANT].isnan().all())


def test_two_halves_add_up_to_the_whole() -> None:
    whole, halves = sums(EVERYONE), sums(FIRST) + sums(SECOND)
    assert halves.tokens == whole.tokens
    torch.testing.assert_close(halves.total, whole.total)
    torch.testing.assert_close(halves.count, whole.count)
    torch.testing.assert_close(halves.variance, whole.variance, equal_nan=True)


def test_the_best_label_is_chosen_on_one_half_and_scored_on_the_other() -> None:
    whole, first, second = (by_definition(chosen) for chosen in (EVERYONE, FIRST, SECOND))
    chosen = np.array([0, 1, 3, 4])
    tensors = [torch.from_numpy(scores) for scores in (whole, first, second)]
    found = best_labels(tensors[0], tensors[1], tensors[2], torch.from_numpy(chosen))
    for neuron in range(NEURONS):
        if neuron == CONSTANT:
            assert int(found.label[neuron]) == -1
            assert bool(found.first[neuron].isnan())
            continue
        assert int(found.label[neuron]) == chosen[whole[chosen, neuron].argmax()]
        assert float(found.first[neuron]) == first[chosen[second[chosen, neuron].argmax()], neuron]
        assert float(found.second[neuron]) == second[chosen[first[chosen, neuron].argmax()], neuron]


def test_of_no_label_nothing_is_best() -> None:
    whole = torch.zeros(0, 2, dtype=torch.float64)
    found = best_labels(whole, whole, whole, torch.zeros(0, dtype=torch.int64))
    assert found.label.tolist() == [-1, -1]
    assert bool(found.first.isnan().all())


def test_noise_that_many_labels_compete_for_scores_less_where_it_was_not_chosen() -> None:
    dice = torch.Generator().manual_seed(3)
    noise = [LabelSums({"place": 200}, neurons=20) for _ in range(2)]
    for half in noise:
        half.add(torch.randn(200, 20, generator=dice), {"place": torch.rand(200, 200, generator=dice) < 0.5})
    scores = [
        variance_reduction(one, [Members("place", torch.eye(200).bool())]) for one in (noise[0] + noise[1], *noise)
    ]
    found = best_labels(scores[0], scores[1], scores[2], torch.arange(200))
    assert float(found.first.mean()) < 0.02 < float(scores[1].amax(0).mean())


def test_the_groups_explain_elsewhere_what_the_definition_says() -> None:
    values, group, _ = (part.double().numpy() for part in data())
    group[SECOND[0]] = GROUPS - 1  # a group that the first half lacks
    found = []
    for fitted, judged in ((FIRST, SECOND), (SECOND, FIRST)):
        mean = values[fitted].mean(0)
        means = {one: values[fitted][group[fitted] == one].mean(0) for one in np.unique(group[fitted])}
        predicted = np.array([means.get(one, mean) for one in group[judged]])
        left, whole = ((values[judged] - guess) ** 2 for guess in (predicted, mean))
        with np.errstate(invalid="ignore"):
            found.append(1 - left.sum(0) / whole.sum(0))
    halves = [LabelSums({"group": GROUPS}, neurons=NEURONS) for _ in range(2)]
    for half, chosen in zip(halves, (FIRST, SECOND), strict=True):
        half.add(torch.from_numpy(values)[chosen], {"group": torch.from_numpy(group).long()[chosen]})
    explained = cross_fitted(halves[0], halves[1], "group").numpy()
    np.testing.assert_allclose(np.delete(explained, CONSTANT), np.delete(np.mean(found, axis=0), CONSTANT), atol=1e-12)
    assert np.isnan(explained[CONSTANT])
    # Nothing that the groups decide: they say less than the mean.
    assert explained[4] < 0 < explained[0]
