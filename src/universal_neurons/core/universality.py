# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Universality scores of neurons (best partner in another model, and baseline) and the influence of token blocks.

Thresholds on these scores are applied by the measures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor

from universal_neurons.core.moments import CrossMoments, NeuronMoments, NeuronSpread
from universal_neurons.core.nulls import strips
from universal_neurons.core.tiling import STRIP_ELEMENTS
from universal_neurons.ids import Rotation

NO_PARTNER = -1
# The whole and its two halves.
WHOLE, HALF_A, HALF_B = range(3)


@dataclass(frozen=True, eq=False)
class HalfScores:
    """The scores of one half of the tokens, with partners and a baseline of its own; NaN and -1 as in the whole."""

    partner: Int64[Tensor, "neuron rank"]
    correlation: Float32[Tensor, " neuron"]
    baseline: Float32[Tensor, " neuron"]


@dataclass(frozen=True, eq=False)
class UniversalityScores:
    """The neurons of x, scored against all neurons of all layers of y; on the CPU.

    ``partner`` (neuron rank): flat indices of the best partners in y, best first, -1 where undefined.
    ``correlation`` (neuron rank): the correlations with them; signed, so a negative one never counts (Gurnee et al.
    2024, equation 3).
    ``baseline_draws`` (draw neuron): largest correlation with any rotated direction of y, per rotation draw.
    ``correlation_crossfit``: the correlation on one half with the partner chosen on the other, averaged over the two
    ways; free of the upward bias of a maximum.
    NaN where a neuron never varied, or never within the half concerned.
    """

    x_widths: tuple[int, ...]
    y_widths: tuple[int, ...]
    partner: Int64[Tensor, "neuron rank"]
    correlation: Float32[Tensor, "neuron rank"]
    baseline_draws: Float32[Tensor, "draw neuron"]
    half_a: HalfScores
    half_b: HalfScores
    correlation_crossfit: Float32[Tensor, " neuron"]

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


@dataclass(frozen=True, slots=True)
class RotationSettings:
    """Settings of the rotation baselines: ``draws`` for the whole, the first ``half_draws`` of them for each half.

    Raises ValueError if one of them is below 1.
    """

    kind: Rotation
    seed: int
    draws: int
    half_draws: int

    def __post_init__(self) -> None:
        if min(self.draws, self.half_draws) < 1:
            raise ValueError(f"draws {self.draws} and half_draws {self.half_draws} must be at least 1")

    @property
    def counts(self) -> tuple[int, int, int]:
        """Draws of the whole and of each half."""
        return self.draws, self.half_draws, self.half_draws


def neuron_locations(
    flat: Int[Tensor, "*shape"], widths: Sequence[int]
) -> tuple[Int64[Tensor, "*shape"], Int64[Tensor, "*shape"]]:
    """Layer and index within the layer of flat neuron indices; -1 and -1 for -1."""
    ends = torch.tensor(widths).cumsum(0)
    layer = torch.searchsorted(ends, flat.clamp(min=0), right=True)
    index = flat - (ends - torch.tensor(widths))[layer]
    missing = flat < 0
    return layer.masked_fill(missing, NO_PARTNER), index.masked_fill(missing, NO_PARTNER)


@dataclass(frozen=True, eq=False)
class _Best:
    """The best columns so far of every row, best first; NaN and -1 where there is none.  Updated in place."""

    value: Float[Tensor, "neuron rank"]
    column: Int64[Tensor, "neuron rank"]

    @classmethod
    def none(cls, neurons: int, ranks: int) -> "_Best":
        value = torch.full((neurons, ranks), torch.nan, dtype=torch.float64)
        return cls(value, torch.full((neurons, ranks), NO_PARTNER))

    def take(self, rows: slice, value: Float[Tensor, "row rank"], column: Int64[Tensor, "row rank"]) -> Tensor:
        """Insert better columns; returns, per row and rank, whether the entry is new (or there was none before)."""
        values = torch.cat([self.value[rows], value], dim=1)
        columns = torch.cat([self.column[rows], column], dim=1)
        # Stable, so that among equal values the earlier column stays.
        order = torch.where(values.isnan(), -torch.inf, values).sort(dim=1, descending=True, stable=True).indices
        chosen = order[:, : self.value.shape[1]]
        self.value[rows], self.column[rows] = values.gather(1, chosen), columns.gather(1, chosen)
        return chosen >= self.value.shape[1]


class RunningScores:
    """The scores of the neurons of x against the neurons of y, updated block by block of their layers.

    ``x_widths``, ``y_widths``: neurons per layer.  A few numbers per neuron are kept, on the CPU: maxima of parts are
    the maxima of the whole.  ``top_k`` partners are kept, ``half_top_k`` of them for each half.  Raises ValueError if
    one of these is below 1.
    """

    def __init__(
        self,
        x_widths: Sequence[int],
        y_widths: Sequence[int],
        *,
        baseline: RotationSettings,
        top_k: int,
        half_top_k: int = 1,
    ) -> None:
        if min(top_k, half_top_k) < 1:
            raise ValueError(f"top_k {top_k} and half_top_k {half_top_k} must be at least 1")
        self._x_widths, self._y_widths = tuple(x_widths), tuple(y_widths)
        neurons = sum(x_widths)
        self._best = tuple(_Best.none(neurons, ranks) for ranks in (top_k, half_top_k, half_top_k))
        # The correlation on the other half with the partner chosen on each half.
        self._elsewhere = tuple(torch.full((neurons,), torch.nan, dtype=torch.float64) for _ in (HALF_A, HALF_B))
        self._draws = tuple(torch.full((count, neurons), torch.nan) for count in baseline.counts)

    def take(
        self,
        rows: slice,
        first_column: int,
        crosses: Sequence[CrossMoments],
        draws: Sequence[Tensor],
    ) -> None:
        """Update with some layers of x (its neurons ``rows``) against some of y (from neuron ``first_column`` on).

        ``crosses``: the moments of the whole, of half A and of half B; ``draws`` (draw row): the largest correlation
        of each row with a rotated direction of these layers of y, per draw, in the whole and in the halves.
        """
        for known, drawn in zip(self._draws, draws, strict=True):
            known[:, rows] = torch.fmax(known[:, rows], drawn.float().cpu())
        height, width = crosses[WHOLE].comoment.shape
        for strip in strips(height, width, STRIP_ELEMENTS):
            neurons = slice(rows.start + strip.start, rows.start + strip.stop)
            self._take(neurons, first_column, [cross.correlation(strip) for cross in crosses])

    def _take(self, rows: slice, first_column: int, correlations: Sequence[Float[Tensor, "row column"]]) -> None:
        for kind, best in enumerate(self._best):
            column, value = best_partners(correlations[kind], best.value.shape[1])
            is_new = best.take(rows, value.cpu(), torch.where(column < 0, column, column + first_column).cpu())
            if kind != WHOLE:
                other = correlations[HALF_B if kind == HALF_A else HALF_A]
                elsewhere = self._elsewhere[kind - HALF_A]
                there = _chosen(other, column[:, 0]).cpu()
                elsewhere[rows] = torch.where(is_new[:, 0], there, elsewhere[rows])

    def scores(self) -> UniversalityScores:
        """The scores over all blocks so far."""
        whole, a, b = self._best
        return UniversalityScores(
            x_widths=self._x_widths,
            y_widths=self._y_widths,
            partner=whole.column,
            correlation=whole.value.float(),
            baseline_draws=self._draws[WHOLE],
            half_a=HalfScores(a.column, a.value[:, 0].float(), _mean(self._draws[HALF_A])),
            half_b=HalfScores(b.column, b.value[:, 0].float(), _mean(self._draws[HALF_B])),
            correlation_crossfit=((self._elsewhere[0] + self._elsewhere[1]) / 2).float(),
        )

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors from which the scores resume, by name; views, not copies."""
        for kind, best in enumerate(self._best):
            yield from ((f"value {kind}", best.value), (f"column {kind}", best.column))
            yield f"draws {kind}", self._draws[kind]
        yield from ((f"elsewhere {half}", values) for half, values in enumerate(self._elsewhere))


def best_partners(
    correlation: Float[Tensor, "x y"], count: int
) -> tuple[Int64[Tensor, "x rank"], Float[Tensor, "x rank"]]:
    """Columns and values of the ``count`` largest entries of each row; -1 and NaN where fewer are defined."""
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
    """Neurons of model ``x`` and their partners in model ``y`` (flat indices; models by position in the stream)."""

    x: int
    y: int
    neuron: Int64[Tensor, " candidate"]
    partner: Int64[Tensor, " candidate"]


class BlockInfluence:
    """Influence of each block of tokens on the correlation of selected pairs, from a second, cheap pass.

    With u, v the activations of neuron and partner standardised over all n tokens, the influence function of Pearson's
    correlation (Devlin, Gnanadesikan & Kettenring 1975) summed over block b is

        influence[b, i] = (1/n) sum over t in b of ( u_t v_t - rho (u_t^2 + v_t^2) / 2 ),

    and a block bootstrap replicate with block weights w is, to first order, rho + sum_b (w_b - 1) influence[b, i].
    The influences of all blocks add up to 0.  NaN where a neuron of the pair never varied or has no partner.

    ``moments``: of every model over all tokens (halves added up); the stream must repeat the same tokens.
    """

    def __init__(
        self, moments: Sequence[NeuronMoments | NeuronSpread], selected: Sequence[SelectedPairs], *, blocks: int
    ) -> None:
        self._moments = tuple(moments)
        self._selected = tuple(selected)
        self._seen = 0
        self._paired = [
            (_paired_neurons(moments, s.x, s.neuron), _paired_neurons(moments, s.y, s.partner)) for s in selected
        ]
        self._products = [torch.zeros(blocks, len(s.neuron), dtype=torch.float64) for s in selected]
        self._squares = [torch.zeros_like(product) for product in self._products]

    def add(self, values: Sequence[Float[Tensor, "token _"]], block: Int[Tensor, " token"]) -> None:
        """Add the activations of every model at the same tokens; ``block`` is the token block of each."""
        self._seen += len(block)
        runs = _runs(block)
        for number, pairs in enumerate(self._selected):
            paired_x, paired_y = self._paired[number]
            u, v = paired_x.standardised(values[pairs.x]), paired_y.standardised(values[pairs.y])
            products, squares = u * v, (u * u).add_(v * v)
            for b, run in runs:
                self._products[number][b] += products[run].sum(0, dtype=torch.float64).cpu()
                self._squares[number][b] += squares[run].sum(0, dtype=torch.float64).cpu()

    def influence(self) -> tuple[Float[Tensor, "block _"], ...]:
        """The influences (block candidate) per selection; raises ValueError after another number of tokens."""
        expected = {moments.count for moments in self._moments}
        if expected != {self._seen}:
            raise ValueError(f"influence over {self._seen} tokens; the moments are over {sorted(expected)}")
        result = []
        for products, squares in zip(self._products, self._squares, strict=True):
            correlation = products.sum(0) / self._seen
            result.append((products - correlation * squares / 2) / self._seen)
        return tuple(result)


def _runs(block: Int[Tensor, " token"]) -> list[tuple[int, slice]]:
    # Tokens are in row order, so a block is a slice of the batch and its sum needs no scatter.
    starts = [0, *((block[1:] != block[:-1]).nonzero()[:, 0] + 1).tolist()] if len(block) else []
    stops = [*starts[1:], len(block)]
    return [(int(block[start]), slice(start, stop)) for start, stop in zip(starts, stops, strict=False)]


@dataclass(frozen=True, eq=False)
class _PairedNeurons:
    """The neurons of one model in selected pairs, and their standardisation."""

    column: Int64[Tensor, " candidate"]
    centre: Float32[Tensor, " candidate"]
    rest: Float32[Tensor, " candidate"]
    inverse_sd: Float32[Tensor, " candidate"]

    def standardised(self, values: Float[Tensor, "token neuron"]) -> Float[Tensor, "token candidate"]:
        # A float32 centre alone would leave its rounding error in the mean, so ``rest`` is subtracted after it.
        chosen = values.index_select(1, self.column)
        return chosen.sub_(self.centre).sub_(self.rest).mul_(self.inverse_sd)


def _paired_neurons(
    moments: Sequence[NeuronMoments | NeuronSpread], model: int, neuron: Int64[Tensor, " candidate"]
) -> _PairedNeurons:
    own = moments[model]
    column = neuron.to(own.mean.device).clamp(min=0)
    mean = own.mean[column]
    centre = mean.float()
    inverse_sd = own.inverse_norm[column] * own.count**0.5
    inverse_sd = inverse_sd.masked_fill(neuron.to(column.device) == NO_PARTNER, torch.nan)
    return _PairedNeurons(column, centre, (mean - centre.double()).float(), inverse_sd.float())
