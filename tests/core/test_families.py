"""The score of a token label is equation 4, computed by its definition in numpy, for every batch size."""

import numpy as np
import pytest
import torch

from universal_neurons.core.families import TokenSums, UnigramScores

TOKENS, NEURONS, VOCABULARY = 400, 6, 9


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(VOCABULARY - 1, (TOKENS,), generator=generator)
    values = torch.randn(TOKENS, NEURONS, generator=generator) + 3
    values[:, 1] += 8 * (tokens == 4)
    values[:, 2] = 0.7
    tokens[7] = VOCABULARY - 1
    values[7, 3] = 1000.0
    return values, tokens


def scores(*batches: slice, occurrences: int = 5) -> UnigramScores:
    values, tokens = data()
    count = torch.bincount(tokens, minlength=VOCABULARY)
    sums = TokenSums(count, occurrences=occurrences, neurons=NEURONS)
    for batch in batches:
        sums.add(values[batch], tokens[batch])
    return sums.scores()


def by_definition(occurrences: int) -> np.ndarray:
    values, tokens = (array.double().numpy() for array in data())
    found = []
    for token in np.unique(tokens):
        chosen = tokens == token
        if chosen.sum() >= occurrences:
            beta = chosen.mean()
            within = (1 - beta) * values[~chosen].var(0) + beta * values[chosen].var(0)
            with np.errstate(all="ignore"):
                found.append(1 - within / values.var(0))
    best: np.ndarray = np.stack(found).max(axis=0)
    return best


@pytest.mark.parametrize("occurrences", [1, 5, 20])
def test_the_score_is_the_reduction_of_variance_by_the_best_token(occurrences: int) -> None:
    found = scores(slice(None), occurrences=occurrences)
    others = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(found.score[others], by_definition(occurrences)[others], rtol=1e-9, atol=1e-12)
    assert found.token[1] == 4
    assert found.score[1] > 0.8


def test_batches_do_not_matter() -> None:
    whole, parts = scores(slice(None)), scores(slice(0, 33), slice(33, 300), slice(300, None))
    torch.testing.assert_close(whole.score, parts.score, rtol=1e-12, atol=1e-12, equal_nan=True)
    assert torch.equal(whole.token, parts.token)


def test_a_rare_token_explains_nothing_and_a_constant_neuron_is_not_explained() -> None:
    rare, often = scores(slice(None), occurrences=1), scores(slice(None), occurrences=2)
    assert rare.token[3] == VOCABULARY - 1
    assert rare.score[3] > 0.9 > 0.1 > often.score[3]
    assert often.score[2].isnan()
    assert often.token[2] == -1


def test_without_labels_there_is_no_score() -> None:
    found = scores(slice(None), occurrences=TOKENS + 1)
    assert found.score.isnan().all()
    assert (found.token == -1).all()


def test_only_labels_have_sums_of_their_own() -> None:
    values, tokens = data()
    count = torch.bincount(tokens, minlength=50_000)
    sums = TokenSums(count, occurrences=50, neurons=NEURONS)
    sums.add(values, tokens)
    often = int((count >= 50).sum())
    assert 0 < often < VOCABULARY - 1
    assert sums.total.shape == (often + 1, NEURONS)
    torch.testing.assert_close(sums.scores().score, scores(slice(None), occurrences=50).score, equal_nan=True)


def test_a_token_that_every_row_repeats_explains_nothing() -> None:
    sums = TokenSums(torch.tensor([0, 3]), occurrences=1, neurons=2)
    sums.add(torch.tensor([[1.0, 2.0], [2.0, 2.0], [4.0, 2.0]]), torch.tensor([1, 1, 1]))
    assert sums.scores().score.isnan().all()


def test_tokens_other_than_the_counted_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="scores of 0 tokens; counted before were 0"):
        TokenSums(torch.zeros(2, dtype=torch.int64), occurrences=1, neurons=1).scores()
    sums = TokenSums(torch.tensor([1, 2]), occurrences=1, neurons=1)
    sums.add(torch.ones(3, 1), torch.tensor([0, 0, 1]))
    with pytest.raises(ValueError, match="scores of 3 tokens; counted before were 3, or others"):
        sums.scores()
