"""Moments and scores of whole pairs of models at once, to compare the scores of tiles with."""

import torch
from torch import Tensor

from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.core.moments import CrossMoments, NeuronMoments, NeuronSpread
from universal_neurons.core.nulls import Rotations, rotated_maxima
from universal_neurons.core.universality import RotationSettings, RunningScores, UniversalityScores
from universal_neurons.ids import Rotation


def crosses(accumulator: PairwiseAccumulator, i: int, j: int) -> tuple[CrossMoments, ...]:
    """The moments of models i and j in each group; copies, which later tokens do not change."""
    x, y = ((model, range(len(accumulator.widths[model]))) for model in (i, j))
    xs, ys = own_moments(accumulator, i), own_moments(accumulator, j)
    comoments = (accumulator.comoment(group, x, y).clone() for group in range(len(xs)))
    return tuple(CrossMoments(*three) for three in zip(xs, ys, comoments, strict=True))


def own_moments(accumulator: PairwiseAccumulator, model: int) -> list[NeuronMoments]:
    """The moments of one model's neurons in each group; copies."""
    layers = range(len(accumulator.widths[model]))
    views = [accumulator.moments((group,), model, layers) for group in range(len(accumulator._groups))]
    return [NeuronMoments(v.count, v.mean.clone(), tuple(layer.clone() for layer in v.layers)) for v in views]


def transposed(cross: CrossMoments) -> CrossMoments:
    """The same moments seen from y."""
    return CrossMoments(cross.y, cross.x_moments, cross.comoment.T)


def standard_deviation(neurons: NeuronMoments | NeuronSpread) -> Tensor:
    """Per neuron with divisor n: 0 for a constant neuron, NaN for no token."""
    return (neurons.m2 / neurons.count).sqrt() if neurons.count else torch.full_like(neurons.m2, torch.nan)


def constant_count(neurons: NeuronMoments | NeuronSpread) -> int:
    """Number of neurons that never varied."""
    return int((~neurons.varied).sum())


def pair_scores(
    half_a: CrossMoments,
    half_b: CrossMoments,
    *,
    draws: int,
    half_draws: int,
    rotation: Rotation,
    seed: int,
    top_k: int,
    models: tuple[str, str] = ("x", "y"),
) -> tuple[UniversalityScores, UniversalityScores]:
    """The scores of x's neurons against y and of y's against x, from the moments of the two halves of the tokens."""
    settings = RotationSettings(kind=rotation, seed=seed, draws=draws, half_draws=half_draws)
    forward = scores_against(half_a, half_b, model=models[1], baseline=settings, top_k=top_k)
    turned = transposed(half_a), transposed(half_b)
    return forward, scores_against(*turned, model=models[0], baseline=settings, top_k=top_k)


def scores_against(
    half_a: CrossMoments, half_b: CrossMoments, *, model: str, baseline: RotationSettings, top_k: int
) -> UniversalityScores:
    """The scores of x against y, called ``model``."""
    unions = (half_a + half_b, half_a, half_b)
    rotations = Rotations(baseline.kind, seed=baseline.seed, model=model, draws=baseline.draws)
    draws = [
        rotated_maxima([cross], draws=count, rotations=rotations)[0]
        for cross, count in zip(unions, baseline.counts, strict=True)
    ]
    running = RunningScores(half_a.x_moments.widths, half_a.y.widths, baseline=baseline, top_k=top_k)
    running.take(slice(0, len(half_a.comoment)), 0, unions, draws)
    return running.scores()
