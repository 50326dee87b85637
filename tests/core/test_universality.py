"""Scores of a pair equal a dense float64 oracle; the linearised block bootstrap is close to the exact one."""

import pytest
import torch
from torch import Tensor

from tests.core.direct import pair_scores, transposed
from tests.core.oracle import X_WIDTHS, Y_WIDTHS, activations, correlation, rotated_activations
from universal_neurons.core.accumulator import cross_moments
from universal_neurons.core.moments import CrossMoments, NeuronMoments
from universal_neurons.core.nulls import rotated
from universal_neurons.core.universality import (
    BlockInfluence,
    SelectedPairs,
    UniversalityScores,
    best_partners,
    neuron_locations,
)

TOKENS, BLOCKS, SEED = 1200, 60, 3
BLOCK = torch.arange(TOKENS) * BLOCKS // TOKENS
EVEN = BLOCK % 2 == 0
PLANTED = 3


def data() -> tuple[Tensor, Tensor]:
    """Two models whose first three neurons are shared up to noise; partner k of x is neuron k of y."""
    shared = torch.randn(TOKENS, PLANTED, generator=torch.Generator().manual_seed(7))
    noise = 0.2 * torch.randn(TOKENS, PLANTED, generator=torch.Generator().manual_seed(8))
    return activations(TOKENS, X_WIDTHS, seed=1, shared=shared), activations(
        TOKENS, Y_WIDTHS, seed=2, shared=shared + noise
    )


def excess(found: UniversalityScores) -> Tensor:
    return found.best_correlation - found.baseline


def halves(x: Tensor, y: Tensor) -> tuple[CrossMoments, CrossMoments]:
    a, b = (cross_moments(x[h], y[h], x_widths=X_WIDTHS, y_widths=Y_WIDTHS) for h in (EVEN, ~EVEN))
    return a, b


def scores(
    half_a: CrossMoments, half_b: CrossMoments, **changed: object
) -> tuple[UniversalityScores, UniversalityScores]:
    settings = {"draws": 4, "half_draws": 2, "rotation": "gaussian", "seed": SEED, "top_k": 3, "models": ("a", "b")}
    return pair_scores(half_a, half_b, **{**settings, **changed})  # type: ignore[arg-type]


def explicit_draws(x: Tensor, y: Tensor, draws: int, model: str, widths: tuple[int, ...]) -> Tensor:
    turned = [rotated_activations(y, widths, kind="gaussian", seed=SEED, draw=d, model=model) for d in range(draws)]
    return torch.stack([correlation(x, t).amax(1) for t in turned])


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.double(), expected.double(), rtol=0, atol=1e-6, equal_nan=True)


def assert_is_oracle(found: UniversalityScores, x: Tensor, y: Tensor, model: str) -> None:
    whole = correlation(x, y)
    best = whole.topk(3, dim=1)
    assert_close(found.correlation, best.values)
    assert torch.equal(found.partner, best.indices)
    draws = explicit_draws(x, y, 4, model, found.y_widths)
    assert_close(found.baseline_draws, draws)
    assert_close(found.baseline, draws.mean(0))
    assert_close(found.baseline_sd, draws.std(0))
    assert_close(excess(found), best.values[:, 0] - draws.mean(0))
    for half, chosen in ((found.half_a, EVEN), (found.half_b, ~EVEN)):
        own = explicit_draws(x[chosen], y[chosen], 2, model, found.y_widths).mean(0)
        assert_close(half.correlation, correlation(x[chosen], y[chosen]).amax(1))
        assert_close(half.baseline, own)
        assert_close((half.correlation - half.baseline), correlation(x[chosen], y[chosen]).amax(1) - own)
    in_a, in_b = correlation(x[EVEN], y[EVEN]), correlation(x[~EVEN], y[~EVEN])
    row = torch.arange(len(whole))
    assert_close(found.correlation_crossfit, (in_b[row, in_a.argmax(1)] + in_a[row, in_b.argmax(1)]) / 2)


def test_both_directions_equal_the_dense_oracle() -> None:
    x, y = data()
    forward, backward = scores(*halves(x, y))
    assert_is_oracle(forward, x, y, "b")
    assert_is_oracle(backward, y, x, "a")
    assert (forward.x_widths, forward.y_widths) == (X_WIDTHS, Y_WIDTHS)
    assert (backward.x_widths, backward.y_widths) == (Y_WIDTHS, X_WIDTHS)


def test_two_draws_have_a_standard_deviation_and_one_has_none() -> None:
    two, one = (scores(*halves(*data()), draws=draws, half_draws=1)[0] for draws in (2, 1))
    assert_close(two.baseline_sd, two.baseline_draws.std(0))
    assert one.baseline_sd.isnan().all()


def test_planted_neurons_are_found_and_only_they_stand_out() -> None:
    forward, backward = scores(*halves(*data()))
    for found in (forward, backward):
        assert found.partner[:PLANTED, 0].tolist() == list(range(PLANTED))
        assert bool((found.best_correlation[:PLANTED] > 0.95).all())
        assert bool((found.correlation_crossfit[:PLANTED] > 0.95).all())
        assert bool((found.best_correlation[PLANTED:] < 0.3).all())


def test_swapped_models_swap_the_directions() -> None:
    half_a, half_b = halves(*data())
    forward, backward = scores(half_a, half_b)
    again = scores(transposed(half_a), transposed(half_b), models=("b", "a"))
    for one, other in zip((forward, backward), reversed(again), strict=True):
        assert torch.equal(one.partner, other.partner)
        assert_close(excess(one), excess(other))


def test_swapped_halves_change_nothing_but_their_names() -> None:
    half_a, half_b = halves(*data())
    one, other = scores(half_a, half_b)[0], scores(half_b, half_a)[0]
    assert_close(excess(one), excess(other))
    assert_close(one.correlation_crossfit, other.correlation_crossfit)
    assert_close(one.half_a.correlation, other.half_b.correlation)
    assert_close(one.half_a.baseline, other.half_b.baseline)


def test_a_model_with_itself_finds_every_neuron_with_correlation_one() -> None:
    x, _ = data()
    a, b = (cross_moments(x[h], x[h].clone(), x_widths=X_WIDTHS, y_widths=X_WIDTHS) for h in (EVEN, ~EVEN))
    for found in scores(a, b):
        assert found.partner[:, 0].tolist() == list(range(11))
        assert_close(found.best_correlation, torch.ones(11))
        assert float(found.best_correlation.max()) <= 1


def test_constants_have_no_score_and_are_never_a_partner() -> None:
    x, y = data()
    x[:, 4] = 0.3
    y[:, 1] = 0.3
    x[EVEN, 6] = 1.5
    forward, backward = scores(*halves(x, y))
    assert int(forward.best_correlation.isnan().sum()) == 1
    assert forward.partner[4].tolist() == [-1, -1, -1]
    assert forward.best_correlation[4].isnan()
    assert forward.baseline[4].isnan()
    assert forward.correlation_crossfit[4].isnan()
    assert not bool((forward.partner == 1).any())
    assert not bool((backward.partner == 4).any())
    assert forward.half_a.correlation[6].isnan()
    assert forward.correlation_crossfit[6].isnan()
    assert not forward.half_b.correlation[6].isnan()
    assert not excess(forward)[6].isnan()


def test_one_token_scores_nothing() -> None:
    x, y = data()
    one = cross_moments(x[:1], y[:1], x_widths=X_WIDTHS, y_widths=Y_WIDTHS)
    none = CrossMoments(
        NeuronMoments.empty(X_WIDTHS), NeuronMoments.empty(Y_WIDTHS), torch.zeros(11, 16, dtype=torch.float64)
    )
    for found in scores(one, none):
        assert excess(found).isnan().all()
        assert found.best_correlation.isnan().all()
        assert bool((found.partner == -1).all())


def test_ranks_beyond_the_number_of_neurons_are_empty() -> None:
    matrix = torch.tensor([[0.5, float("nan"), 0.7], [float("nan")] * 3])
    partner, value = best_partners(matrix, 4)
    assert partner.tolist() == [[2, 0, -1, -1], [-1] * 4]
    assert_close(value[0], torch.tensor([0.7, 0.5, float("nan"), float("nan")]))


def test_a_single_draw_has_no_spread() -> None:
    forward, _ = scores(*halves(*data()), draws=1, half_draws=1)
    assert forward.baseline_sd.isnan().all()
    assert not forward.baseline.isnan().any()


@pytest.mark.parametrize("name", ["draws", "half_draws", "top_k"])
def test_zero_draws_and_zero_ranks_are_refused(name: str) -> None:
    half_a, half_b = halves(*data())
    with pytest.raises(ValueError, match=f"{name} 0"):
        scores(half_a, half_b, **{name: 0})


def test_rotated_against_rotated_has_no_excess_where_the_models_share_neurons() -> None:
    half_a, half_b = halves(*data())
    turned = [rotated(h, kind="gaussian", seed=SEED, models=("a", "b")) for h in (half_a, half_b)]
    null, real = scores(*turned, draws=20)[0], scores(half_a, half_b, draws=20)[0]
    assert float(excess(real).max()) > 0.3
    assert float(excess(null).mean().abs()) < 0.1
    # The baseline is another rotation: were it the same one, every baseline would repeat the correlation of draw 0.
    assert float((null.baseline_draws - null.best_correlation).abs().amin(1).max()) > 1e-4


def test_flat_indices_are_located_in_their_layers() -> None:
    layer, index = neuron_locations(torch.tensor([0, 5, 6, 10, -1]), X_WIDTHS)
    assert layer.tolist() == [0, 0, 1, 1, -1]
    assert index.tolist() == [0, 5, 0, 4, -1]


def influence(x: Tensor, y: Tensor, neuron: list[int], partner: list[int], step: int = 170) -> Tensor:
    half_a, half_b = halves(x, y)
    whole = half_a + half_b
    pairs = SelectedPairs(0, 1, torch.tensor(neuron), torch.tensor(partner))
    swapped = SelectedPairs(1, 0, torch.tensor(partner), torch.tensor(neuron))
    accumulator = BlockInfluence([whole.x, whole.y], [pairs, swapped], blocks=BLOCKS)
    for start in range(0, TOKENS, step):
        part = slice(start, start + step)
        accumulator.add([x[part], y[part]], BLOCK[part])
    one, other = accumulator.influence()
    torch.testing.assert_close(one, other, equal_nan=True)
    return one


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
def test_influence_equals_its_formula_and_adds_up_to_zero(offset: float) -> None:
    x, y = (values + offset for values in data())
    found = influence(x, y, [0, 1, 7], [0, 4, 9])
    u, v = (
        (values.double() - values.double().mean(0)) / values.double().std(0, correction=0)
        for values in (x[:, [0, 1, 7]], y[:, [0, 4, 9]])
    )
    rho = (u * v).mean(0)
    terms = (u * v - rho * (u**2 + v**2) / 2) / TOKENS
    expected = torch.stack([terms[b == BLOCK].sum(0) for b in range(BLOCKS)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.sum(0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-6)


def test_the_linearised_block_bootstrap_agrees_with_the_exact_one() -> None:
    x, y = data()
    # One block in ten pulls harder than the others, so that the weights matter.
    x[BLOCK % 10 == 5, 1] += 0.5
    neuron, partner = [0, 1, 7], [0, 1, 9]
    found = influence(x, y, neuron, partner)
    chosen_x, chosen_y = x[:, neuron], y[:, partner]
    rho = correlation(chosen_x, chosen_y).diagonal()
    generator = torch.Generator().manual_seed(0)
    linear, exact = [], []
    for _ in range(300):
        drawn = torch.randint(BLOCKS, (BLOCKS,), generator=generator)
        weights = torch.bincount(drawn, minlength=BLOCKS).double()
        tokens = torch.cat([(b == BLOCK).nonzero()[:, 0] for b in drawn.tolist()])
        linear.append(rho + (weights - 1) @ found)
        exact.append(correlation(chosen_x[tokens], chosen_y[tokens]).diagonal())
    a, b = torch.stack(linear), torch.stack(exact)
    torch.testing.assert_close(a.std(0), b.std(0), rtol=0.1, atol=0)
    assert float((a - b).pow(2).mean().sqrt()) < 0.15 * float(b.std(0).mean())
    for level in (0.025, 0.975):
        assert bool(((a.quantile(level, dim=0) - b.quantile(level, dim=0)).abs() < 0.25 * b.std(0)).all())


def test_the_size_of_the_batches_does_not_matter_to_the_influence() -> None:
    x, y = data()
    torch.testing.assert_close(influence(x, y, [0, 7], [0, 9]), influence(x, y, [0, 7], [0, 9], step=1200))


def test_pairs_without_partner_or_variance_have_no_influence() -> None:
    x, y = data()
    x[:, 4] = 0.3
    found = influence(x, y, [0, 4, 5], [-1, 3, 2])
    assert found[:, :2].isnan().all()
    assert not found[:, 2].isnan().any()


def test_influence_over_other_tokens_than_the_moments_is_refused() -> None:
    x, y = data()
    half_a, half_b = halves(x, y)
    whole = half_a + half_b
    pairs = SelectedPairs(0, 1, torch.tensor([0]), torch.tensor([0]))
    accumulator = BlockInfluence([whole.x, whole.y], [pairs], blocks=BLOCKS)
    accumulator.add([x[:-1], y[:-1]], BLOCK[:-1])
    with pytest.raises(ValueError, match=r"influence over 1199 tokens; the moments are over \[1200\]"):
        accumulator.influence()
