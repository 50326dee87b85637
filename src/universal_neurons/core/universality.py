# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""How universal each neuron is: its best partner in another model, against what chance gives.

This module decides what the scores of a pair of models are, and how much each block of tokens weighs in them.  It
refuses to know any threshold: which excess makes a neuron universal is a matter of the measures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor

from universal_neurons.core.moments import CrossMoments, NeuronMoments, PairwiseAccumulator
from universal_neurons.core.nulls import Rotation, rotated_maxima

NO_PARTNER = -1


@dataclass(frozen=True, eq=False)
class HalfScores:
    """The scores of one half of the tokens, with an argmax and a baseline of its own; NaN as in the whole."""

    correlation: Float32[Tensor, " neuron"]
    baseline: Float32[Tensor, " neuron"]

    @property
    def excess(self) -> Float32[Tensor, " neuron"]:
        """Correlation minus baseline."""
        return self.correlation - self.baseline


@dataclass(frozen=True, eq=False)
class UniversalityScores:
    """The neurons of x, scored against all neurons of all layers of y; on the CPU.

    ``partner`` (neuron rank): flat indices of the best partners in y, best first, -1 where undefined.
    ``correlation`` (neuron rank): theirs; signed, so a negative one never counts (Gurnee et al. 2024, equation 3).
    ``baseline_draws`` (draw neuron): largest correlation with any rotated direction of y, per rotation draw.
    ``correlation_crossfit``: the partner chosen on one half, correlated on the other, averaged over the two ways; free
    of the upward bias of a maximum.
    NaN where a neuron never varied, or never within the half concerned.
    """

    tokens: int
    x_widths: tuple[int, ...]
    y_widths: tuple[int, ...]
    partner: Int64[Tensor, "neuron rank"]
    correlation: Float32[Tensor, "neuron rank"]
    baseline_draws: Float32[Tensor, "draw neuron"]
    half_a: HalfScores
    half_b: HalfScores
    correlation_crossfit: Float32[Tensor, " neuron"]

    @property
    def best_partner(self) -> Int64[Tensor, " neuron"]:
        """Flat index of the best partner, -1 where undefined."""
        return self.partner[:, 0]

    @property
    def best_correlation(self) -> Float32[Tensor, " neuron"]:
        """Correlation with the best partner."""
        return self.correlation[:, 0]

    @property
    def baseline(self) -> Float32[Tensor, " neuron"]:
        """Mean over draws of the largest rotated correlation."""
        return _mean(self.baseline_draws)

    @property
    def baseline_sd(self) -> Float32[Tensor, " neuron"]:
        """Standard deviation over draws (divisor draws - 1); NaN for a single draw."""
        if len(self.baseline_draws) < 2:
            return torch.full_like(self.best_correlation, torch.nan)
        return self.baseline_draws.double().std(0).float()

    @property
    def excess(self) -> Float32[Tensor, " neuron"]:
        """Excess correlation: best correlation minus baseline (Nandan et al. 2025, per pair)."""
        return self.best_correlation - self.baseline

    @property
    def undefined_count(self) -> int:
        """Number of neurons without a score."""
        return int(self.best_correlation.isnan().sum())


@dataclass(frozen=True, slots=True)
class RotationSettings:
    """How baselines are drawn: ``draws`` rotations for the whole, the first ``half_draws`` of them for each half.

    Raises ValueError if there is no draw for one of them.
    """

    kind: Rotation
    seed: int
    draws: int
    half_draws: int

    def __post_init__(self) -> None:
        if min(self.draws, self.half_draws) < 1:
            raise ValueError(f"draws {self.draws} and half_draws {self.half_draws} must be at least 1")


def neuron_locations(
    flat: Int[Tensor, "*shape"], widths: Sequence[int]
) -> tuple[Int64[Tensor, "*shape"], Int64[Tensor, "*shape"]]:
    """Layer and index within the layer of flat neuron indices; -1 and -1 for -1."""
    ends = torch.tensor(widths).cumsum(0)
    layer = torch.searchsorted(ends, flat.clamp(min=0), right=True)
    index = flat - (ends - torch.tensor(widths))[layer]
    missing = flat < 0
    return layer.masked_fill(missing, NO_PARTNER), index.masked_fill(missing, NO_PARTNER)


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
    """The scores of a pair of models in both directions, from the moments of the two halves of its tokens.

    The first are x's neurons against y, the second y's against x.  ``draws`` rotations make the baseline of the whole,
    the first ``half_draws`` of them that of each half.  ``models`` names x and y, for the rotations.
    Raises ValueError if there are no draws or no ranks.
    """
    settings = RotationSettings(kind=rotation, seed=seed, draws=draws, half_draws=half_draws)
    (forward,) = scores_against([(half_a, half_b)], model=models[1], baseline=settings, top_k=top_k)
    turned = (half_a.transpose(), half_b.transpose())
    (backward,) = scores_against([turned], model=models[0], baseline=settings, top_k=top_k)
    return forward, backward


def scores_against(
    halves: Sequence[tuple[CrossMoments, CrossMoments]], *, model: str, baseline: RotationSettings, top_k: int
) -> list[UniversalityScores]:
    """The scores of several models x against one y, called ``model``, from the moments (half A, half B) of each.

    The same as one by one, at a lower price: the layers of y are rotated once for all of them.
    """
    if top_k < 1:
        raise ValueError(f"top_k {top_k} must be at least 1")
    kinds = [[a + b for a, b in halves], [a for a, _ in halves], [b for _, b in halves]]
    counts = (baseline.draws, baseline.half_draws, baseline.half_draws)
    drawn = [
        rotated_maxima(crosses, draws=count, kind=baseline.kind, seed=baseline.seed, model=model)
        for crosses, count in zip(kinds, counts, strict=True)
    ]
    per_model = zip(zip(*kinds, strict=True), zip(*drawn, strict=True), strict=True)
    return [_scores(crosses, [maxima.float().cpu() for maxima in draws], top_k) for crosses, draws in per_model]


def all_scores(
    accumulator: PairwiseAccumulator, *, models: Sequence[str], baseline: RotationSettings, top_k: int
) -> dict[tuple[str, str], UniversalityScores]:
    """The scores of every accumulated pair in both directions, by the names of (x, y); ``models`` in stream order.

    Raises ValueError if the names are not as many as the models or not distinct: the rotations depend on them.
    """
    if len(set(models)) != len(accumulator.widths) or len(models) != len(accumulator.widths):
        raise ValueError(f"names {list(models)} for {len(accumulator.widths)} models; they must be distinct")
    result: dict[tuple[str, str], UniversalityScores] = {}
    for y, model in enumerate(models):
        others = [x for x in range(len(models)) if (min(x, y), max(x, y)) in accumulator.pairs]
        if others:
            halves = [accumulator.cross(x, y) for x in others]
            scores = scores_against(halves, model=model, baseline=baseline, top_k=top_k)
            result |= {(models[x], model): found for x, found in zip(others, scores, strict=True)}
    return result


def _scores(crosses: Sequence[CrossMoments], baselines: Sequence[Tensor], top_k: int) -> UniversalityScores:
    cross = crosses[0]
    whole, in_a, in_b = (c.correlation() for c in crosses)
    partner, correlation = best_partners(whole, top_k)
    partner_a, best_a = best_partners(in_a, 1)
    partner_b, best_b = best_partners(in_b, 1)
    crossfit = (_chosen(in_b, partner_a[:, 0]) + _chosen(in_a, partner_b[:, 0])) / 2
    return UniversalityScores(
        tokens=cross.count,
        x_widths=cross.x.widths,
        y_widths=cross.y.widths,
        partner=partner.cpu(),
        correlation=correlation.float().cpu(),
        baseline_draws=baselines[0],
        half_a=HalfScores(best_a[:, 0].float().cpu(), _mean(baselines[1])),
        half_b=HalfScores(best_b[:, 0].float().cpu(), _mean(baselines[2])),
        correlation_crossfit=crossfit.float().cpu(),
    )


def best_partners(
    correlation: Float[Tensor, "x y"], count: int
) -> tuple[Int64[Tensor, "x rank"], Float[Tensor, "x rank"]]:
    """The ``count`` largest entries of each row and their columns; NaN is never large: -1 and NaN if none is left."""
    defined = torch.where(correlation.isnan(), -torch.inf, correlation)
    missing = max(0, count - defined.shape[1])
    values, columns = torch.nn.functional.pad(defined, (0, missing), value=-torch.inf).topk(count, dim=1)
    absent = values == -torch.inf
    return columns.masked_fill(absent, NO_PARTNER), values.masked_fill(absent, torch.nan)


def _chosen(correlation: Float[Tensor, "x y"], partner: Int64[Tensor, " x"]) -> Float[Tensor, " x"]:
    values = correlation.gather(1, partner.clamp(min=0)[:, None])[:, 0]
    return values.masked_fill(partner == NO_PARTNER, torch.nan)


def _mean(draws: Float32[Tensor, "draw neuron"]) -> Float32[Tensor, " neuron"]:
    return draws.double().mean(0).float()


@dataclass(frozen=True, eq=False)
class SelectedPairs:
    """Neurons of model ``x`` and their partners in model ``y`` (flat indices; models by their place in the stream)."""

    x: int
    y: int
    neuron: Int64[Tensor, " candidate"]
    partner: Int64[Tensor, " candidate"]


class BlockInfluence:
    """How much each block of tokens pulls at the correlation of selected pairs: the second, cheap pass.

    With u, v the activations of neuron and partner standardised over all n tokens, the influence function of Pearson's
    correlation (Devlin, Gnanadesikan & Kettenring 1975) summed over block b is

        influence[b, i] = (1/n) sum over t in b of ( u_t v_t - rho (u_t^2 + v_t^2) / 2 ),

    and a block bootstrap replicate with block weights w is, to first order, rho + sum_b (w_b - 1) influence[b, i].
    The influences of all blocks add up to 0.  NaN where a neuron of the pair never varied or has no partner.

    ``moments``: of every model over all tokens (halves added up); the stream must bring the same tokens again.
    """

    def __init__(self, moments: Sequence[NeuronMoments], selected: Sequence[SelectedPairs], *, blocks: int) -> None:
        self._moments = tuple(moments)
        self._selected = tuple(selected)
        self._seen = 0
        self._sides = [(_side(moments, s.x, s.neuron), _side(moments, s.y, s.partner)) for s in selected]
        self._products = [torch.zeros(blocks, len(s.neuron), dtype=torch.float64) for s in selected]
        self._squares = [torch.zeros_like(product) for product in self._products]

    def add(self, values: Sequence[Float[Tensor, "token _"]], block: Int[Tensor, " token"]) -> None:
        """Take in the activations of every model at the same tokens, and each token's block."""
        self._seen += len(block)
        runs = _runs(block)
        for number, pairs in enumerate(self._selected):
            side_x, side_y = self._sides[number]
            u, v = side_x.standardised(values[pairs.x]), side_y.standardised(values[pairs.y])
            products, squares = u * v, (u * u).add_(v * v)
            for b, run in runs:
                self._products[number][b] += products[run].sum(0, dtype=torch.float64).cpu()
                self._squares[number][b] += squares[run].sum(0, dtype=torch.float64).cpu()

    def influence(self) -> tuple[Float[Tensor, "block _"], ...]:
        """The influences (block candidate) per selection; raises ValueError if other tokens were streamed."""
        expected = {moments.count for moments in self._moments}
        if expected != {self._seen}:
            raise ValueError(f"influence over {self._seen} tokens; the moments are over {sorted(expected)}")
        result = []
        for products, squares in zip(self._products, self._squares, strict=True):
            correlation = products.sum(0) / self._seen
            result.append((products - correlation * squares / 2) / self._seen)
        return tuple(result)


def _runs(block: Int[Tensor, " token"]) -> list[tuple[int, slice]]:
    # Tokens come row by row, so a block is one run per batch and its sum needs no scatter.
    starts = [0, *((block[1:] != block[:-1]).nonzero()[:, 0] + 1).tolist()] if len(block) else []
    stops = [*starts[1:], len(block)]
    return [(int(block[start]), slice(start, stop)) for start, stop in zip(starts, stops, strict=False)]


@dataclass(frozen=True, eq=False)
class _Side:
    """One side of selected pairs: which columns, and how they are standardised."""

    column: Int64[Tensor, " candidate"]
    centre: Float32[Tensor, " candidate"]
    rest: Float32[Tensor, " candidate"]
    inverse_sd: Float32[Tensor, " candidate"]

    def standardised(self, values: Float[Tensor, "token neuron"]) -> Float[Tensor, "token candidate"]:
        # A float32 centre alone would leave its rounding error in the mean; what it lacks is taken away after it.
        chosen = values.index_select(1, self.column)
        return chosen.sub_(self.centre).sub_(self.rest).mul_(self.inverse_sd)


def _side(moments: Sequence[NeuronMoments], model: int, neuron: Int64[Tensor, " candidate"]) -> _Side:
    own = moments[model]
    column = neuron.to(own.mean.device).clamp(min=0)
    mean = own.mean[column]
    centre = mean.float()
    inverse_sd = own.inverse_norm[column] * own.count**0.5
    inverse_sd = inverse_sd.masked_fill(neuron.to(column.device) == NO_PARTNER, torch.nan)
    return _Side(column, centre, (mean - centre.double()).float(), inverse_sd.float())
