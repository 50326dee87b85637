# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Profiles of single neurons: the distribution of activations, the largest ones, and input and output weights.

A top activation is given by its row and its position in the row; the text is unknown here.  So are samples below the
maximum: the largest activations alone make a neuron look as if it were about one thing (Bolukbasi et al. 2021, An
interpretability illusion for BERT, arXiv 2104.07143).

Activations are streamed twice: the bins of a histogram end at the neuron's maximum, which is known after the first pass
only.  Moments of two sets of tokens a and b merge exactly; with delta = mean_b - mean_a and n = n_a + n_b,

    M2 = M2_a + M2_b + delta^2 n_a n_b / n
    M3 = M3_a + M3_b + delta^3 n_a n_b (n_a - n_b) / n^2 + 3 delta (n_a M2_b - n_b M2_a) / n
    M4 = M4_a + M4_b + delta^4 n_a n_b (n_a^2 - n_a n_b + n_b^2) / n^3
         + 6 delta^2 (n_a^2 M2_b + n_b^2 M2_a) / n^2 + 4 delta (n_a M3_b - n_b M3_a) / n

Source: Chan, Golub & LeVeque (The American Statistician 37, 1983) for M2; Pebay (Sandia report SAND2008-6212, 2008).

Deviation: the published code takes moments from the bins of a histogram of pre-activations and counts a neuron as
active from the bin below 0 on.  Here moments are exact, of post-GELU activations, and active is above 0.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor

from universal_neurons.core.activations import ActivationBatch
from universal_neurons.core.moments import NonFiniteActivationError, column_means
from universal_neurons.core.weights import NeuronWeights

ROWS_IN_CACHE = 64
NEURONS_PER_TILE = 512


@dataclass(frozen=True, eq=False)
class CentralMoments:
    """Mean of every column over ``count`` rows, and the sums M2, M3, M4 of powers of the deviations from it.

    ``count`` 0 is the neutral element of ``+``.
    """

    count: int
    mean: Float64[Tensor, " neuron"]
    m2: Float64[Tensor, " neuron"]
    m3: Float64[Tensor, " neuron"]
    m4: Float64[Tensor, " neuron"]

    @classmethod
    def empty(cls, columns: int, *, device: torch.device | str = "cpu") -> "CentralMoments":
        """The moments of no row."""
        return cls(0, *torch.zeros(4, columns, dtype=torch.float64, device=device).unbind())

    @classmethod
    def of(cls, values: Float[Tensor, "token neuron"]) -> "CentralMoments":
        """The moments of the columns; raises :class:`NonFiniteActivationError` if a value is not finite."""
        mean = column_means(values)
        if not bool(mean.isfinite().all()):
            column = int((~mean.isfinite()).nonzero()[0])
            raise NonFiniteActivationError(column)
        sums = mean.new_zeros(3, len(mean))
        step = ROWS_IN_CACHE if values.device.type == "cpu" else len(values)
        for start in range(0, len(values), step):
            deviation = values[start : start + step].double() - mean
            square = deviation * deviation
            sums[0] += square.sum(0)
            sums[1] += deviation.mul_(square).sum(0)
            sums[2] += square.mul_(square).sum(0)
        return cls(len(values), mean, *sums.unbind())

    def __add__(self, other: "CentralMoments") -> "CentralMoments":
        """The moments over the rows of both."""
        if not self.count or not other.count:
            return self if self.count else other
        a, b, n = self.count, other.count, self.count + other.count
        delta = other.mean - self.mean
        step = delta / n
        between = delta * step * a * b
        m3 = between * step * (a - b) + 3 * step * (a * other.m2 - b * self.m2)
        m4 = between * step**2 * (a * a - a * b + b * b)
        m4 += 6 * step**2 * (a * a * other.m2 + b * b * self.m2) + 4 * step * (a * other.m3 - b * self.m3)
        return CentralMoments(
            n,
            self.mean + b * step,
            self.m2 + other.m2 + between,
            self.m3 + other.m3 + m3,
            self.m4 + other.m4 + m4,
        )

    @property
    def variance(self) -> Float64[Tensor, " neuron"]:
        """M2 / n, 0 for a constant; NaN for no row."""
        return self.m2 / self.count if self.count else torch.full_like(self.m2, torch.nan)

    @property
    def skewness(self) -> Float64[Tensor, " neuron"]:
        """(M3 / n) / (M2 / n)^1.5; NaN for a constant."""
        return torch.where(self.m2 > 0, self.m3 / self.count / self.variance**1.5, torch.nan)

    @property
    def kurtosis(self) -> Float64[Tensor, " neuron"]:
        """(M4 / n) / (M2 / n)^2, which is 3 for a Gaussian; NaN for a constant."""
        return torch.where(self.m2 > 0, self.m4 / self.count / self.variance**2, torch.nan)


@dataclass(frozen=True, eq=False)
class TopActivations:
    """The largest activations of every neuron, descending, at most one per row of tokens, with row and position.

    Among equal activations the first in the order of rows and positions is taken.  If there are too few rows, the rest
    has value -inf and row and position -1.
    """

    value: Float32[Tensor, "top neuron"]
    row: Int64[Tensor, "top neuron"]
    position: Int64[Tensor, "top neuron"]

    @classmethod
    def empty(cls, top: int, neurons: int, *, device: torch.device | str = "cpu") -> "TopActivations":
        """The top activations of no token."""
        value = torch.full((top, neurons), -torch.inf, device=device)
        nowhere = torch.full((top, neurons), -1, device=device)
        return cls(value, nowhere, nowhere.clone())

    def with_rows(self, batch: ActivationBatch, position: Int64[Tensor, " token"]) -> "TopActivations":
        """The top activations of these rows and of the rows of ``batch``, which are later and whole.

        ``position``: of each token of the batch in its row.  Raises ValueError for another number of them.
        """
        if len(position) != len(batch):
            raise ValueError(f"a batch of {len(batch)} tokens with {len(position)} positions")
        _, sizes = torch.unique_consecutive(batch.row, return_counts=True)
        values, positions, rows = [self.value], [self.position], [self.row]
        start = 0
        for size in sizes.tolist():
            best = batch.values[start : start + size].max(0)
            values.append(best.values[None])
            positions.append(position[start + best.indices][None])
            rows.append(batch.row[start].expand_as(best.indices)[None])
            start += size
        # Stable, so that among equal activations the earlier row stays.
        value, order = torch.cat(values).sort(dim=0, descending=True, stable=True)
        chosen = order[: len(self.value)]
        row, kept = torch.cat(rows).gather(0, chosen), torch.cat(positions).gather(0, chosen)
        return TopActivations(value[: len(self.value)], row, kept)


@dataclass(frozen=True, eq=False)
class NearestActivations:
    """The activations of every neuron that are nearest to its ``aims``, with row and position; of equal ones the first.

    Before any token the value is infinite, and row and position are -1.
    """

    aim: Float32[Tensor, "level neuron"]
    value: Float32[Tensor, "level neuron"]
    row: Int64[Tensor, "level neuron"]
    position: Int64[Tensor, "level neuron"]

    @classmethod
    def unknown(cls, aim: Float32[Tensor, "level neuron"]) -> "NearestActivations":
        """The nearest activations among no tokens."""
        nowhere = torch.full(aim.shape, -1, device=aim.device)
        return cls(aim, torch.full_like(aim, torch.inf), nowhere, nowhere.clone())

    def read(self, batch: ActivationBatch, position: Int64[Tensor, " token"]) -> Bool[Tensor, "level neuron"]:
        """Take in, in place, the tokens of ``batch``; ``position``: of each in its row.  Returns which have changed."""
        closer = torch.zeros_like(self.row, dtype=torch.bool)
        for level, aim in enumerate(self.aim):
            token = (batch.values - aim).abs_().min(0).indices
            value = batch.values.gather(0, token[None])[0]
            closer[level] = (value - aim).abs() < (self.value[level] - aim).abs()
            for mine, theirs in ((self.value, value), (self.row, batch.row[token]), (self.position, position[token])):
                mine[level] = torch.where(closer[level], theirs, mine[level])
        return closer


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The activations of each neuron around each of some activations, from ``before`` tokens ahead of it.

    ``value``: NaN at positions that are not a scored token of the same row.
    """

    value: Float32[Tensor, "entry neuron window"]
    before: int

    @classmethod
    def unknown(cls, of: TopActivations | NearestActivations, *, before: int, after: int) -> "Surroundings":
        """Empty surroundings, up to ``after`` tokens behind each."""
        shape = (*of.value.shape, before + 1 + after)
        return cls(torch.full(shape, torch.nan, device=of.value.device), before)

    def read(
        self, of: TopActivations | NearestActivations, batch: ActivationBatch, position: Int64[Tensor, " token"]
    ) -> None:
        """Fill in, in place, the values of the whole rows of ``batch``; ``position``: of its tokens in their rows."""
        first, rows = batch.row[0], int(batch.row[-1] - batch.row[0]) + 1
        inside = (of.row >= first) & (of.row < first + rows)
        width = self.value.shape[2]
        # Index in the batch of each (row, position), with a margin of -1.
        token = torch.full((rows, int(position.max()) + 1 + width), -1, device=position.device)
        token[batch.row - first, position + self.before] = torch.arange(len(batch), device=position.device)
        row = torch.where(inside, of.row - first, 0)
        last = token.shape[1] - 1
        for offset in range(width):
            # The position of an activation in another row may lie beyond these rows.
            index = token[row, (of.position + offset).clamp(0, last)]
            values = batch.values.gather(0, index.clamp(min=0))
            self.value[..., offset] = torch.where(inside & (index >= 0), values, self.value[..., offset])


@dataclass(frozen=True, eq=False)
class ActivationProfiles:
    """The distribution of every neuron's activations over the scored tokens.

    ``positive``: number of tokens at which it is above 0; ``histogram``: number of tokens in bins of equal width from
    ``floor`` to its maximum, with values below the floor in the first bin.  ``below``: one activation near each of some
    shares of the maximum.
    """

    moments: CentralMoments
    positive: Int64[Tensor, " neuron"]
    top: TopActivations
    around: Surroundings
    below: NearestActivations
    around_below: Surroundings
    histogram: Int64[Tensor, "neuron bin"]

    @property
    def maximum(self) -> Float32[Tensor, " neuron"]:
        """The largest activation of every neuron."""
        return self.top.value[0]


@torch.no_grad()
def activation_profiles(
    stream: Callable[[], Iterable[ActivationBatch]],
    position: Int64[Tensor, " token"],
    *,
    neurons: int,
    top: int,
    bins: int,
    floor: float,
    window: tuple[int, int] = (0, 0),
    levels: Sequence[float] = (),
) -> ActivationProfiles:
    """The profiles of ``neurons`` neurons in two passes over their activations.

    ``stream`` begins a pass over batches of whole rows, the same in both passes.  ``position``: of every token in its
    row, on the device of the activations.  ``window``: number of tokens before and after an activation in its
    surroundings.  ``levels``: shares of the maximum near which an activation is wanted.  Raises
    :class:`NonFiniteActivationError`, and ValueError if the stream has another number of tokens than ``position``.
    """
    moments = CentralMoments.empty(neurons, device=position.device)
    largest = TopActivations.empty(top, neurons, device=position.device)
    positive = torch.zeros(neurons, dtype=torch.int64, device=position.device)
    for batch in stream():
        read = slice(moments.count, moments.count + len(batch))
        largest = largest.with_rows(batch, position[read])
        moments = moments + CentralMoments.of(batch.values)
        positive += (batch.values > 0).sum(0)
        # A batch that still has a name stays in memory while the next one is computed.
        del batch
    if not 0 < moments.count == len(position):
        raise ValueError(f"a stream of {moments.count} tokens with {len(position)} positions")
    histogram = torch.zeros(neurons, bins, dtype=torch.int64, device=position.device)
    below = NearestActivations.unknown(torch.outer(torch.tensor(levels, device=position.device), largest.value[0]))
    around, around_below = (Surroundings.unknown(of, before=window[0], after=window[1]) for of in (largest, below))
    start = 0
    for batch in stream():
        places = position[start : start + len(batch)]
        histogram += bin_counts(batch.values, largest.value[0], bins=bins, floor=floor)
        around.read(largest, batch, places)
        # What was around the activation of before is not around this one.
        around_below.value[below.read(batch, places)] = torch.nan
        around_below.read(below, batch, places)
        start += len(batch)
        del batch
    return ActivationProfiles(moments, positive, largest, around, below, around_below, histogram)


def bin_counts(
    values: Float32[Tensor, "token neuron"], maximum: Float32[Tensor, " neuron"], *, bins: int, floor: float
) -> Int64[Tensor, "neuron bin"]:
    """Number of ``values`` in each of ``bins`` bins of equal width from ``floor`` to the neuron's maximum.

    A bin includes its lower edge, the last one its upper edge as well.  Values below the floor count in the first bin,
    and so do all values of a neuron whose maximum is not above the floor.
    """
    width = (maximum - floor) / bins
    scale = torch.where(width > 0, 1 / width, 0.0)
    bin_index = ((values - floor) * scale).to(torch.int32).clamp_(0, bins - 1)
    bin_index += torch.arange(len(maximum), dtype=torch.int32, device=values.device) * bins
    return torch.bincount(bin_index.flatten(), minlength=bins * len(maximum)).view(len(maximum), bins)


@dataclass(frozen=True, eq=False)
class WeightProfiles:
    """Statistics of every neuron's weights.

    ``alignment``: cosine of input and output weights.  ``vocabulary``: the moments over all tokens of the cosine of the
    output weights with the token's unembedding.  ``promoted``, ``suppressed``: the tokens with the largest and smallest
    cosine, the most extreme first, and the cosines.  Tokens whose unembedding is 0 are omitted from both.  If a
    neuron's own weights are 0 its cosines are NaN, and its tokens are arbitrary.
    """

    input_bias: Float64[Tensor, " neuron"]
    input_norm: Float64[Tensor, " neuron"]
    output_norm: Float64[Tensor, " neuron"]
    alignment: Float64[Tensor, " neuron"]
    vocabulary: CentralMoments
    promoted: Int64[Tensor, "neuron shown"]
    promoted_cosine: Float64[Tensor, "neuron shown"]
    suppressed: Int64[Tensor, "neuron shown"]
    suppressed_cosine: Float64[Tensor, "neuron shown"]


@torch.no_grad()
def weight_profiles(weights: NeuronWeights, *, shown: int) -> WeightProfiles:
    """The profiles of all neurons by their weights, with ``shown`` tokens at both ends of the vocabulary.

    The cosines with the vocabulary are computed for some hundreds of neurons at a time, to fit into memory.
    Raises ValueError if fewer than ``shown`` tokens have an unembedding.
    """
    known = weights.unembedding.any(1).nonzero()[:, 0]
    if shown > len(known):
        raise ValueError(f"{shown} tokens of a vocabulary of {len(known)}")
    writes, tokens = _unit(weights.w_out), _unit(weights.unembedding[known])
    input_norm, output_norm = (torch.linalg.vector_norm(part, dim=1) for part in (weights.w_in, weights.w_out))
    moments: list[CentralMoments] = []
    ends: list[tuple[Tensor, ...]] = []
    for start in range(0, len(writes), NEURONS_PER_TILE):
        # A row per neuron: on a CPU the largest entries of rows are found ten times as fast as those of columns.
        cosine = writes[start : start + NEURONS_PER_TILE] @ tokens.T
        moments.append(CentralMoments.of(cosine.T))
        ends.append((*cosine.topk(shown), *cosine.topk(shown, largest=False)))
    highest, promoted, lowest, suppressed = (torch.cat(parts) for parts in zip(*ends, strict=True))
    directed = torch.where(output_norm > 0, 1.0, torch.nan)
    return WeightProfiles(
        input_bias=weights.b_in,
        input_norm=input_norm,
        output_norm=output_norm,
        alignment=torch.linalg.vecdot(_unit(weights.w_in), writes) * torch.where(input_norm > 0, directed, torch.nan),
        vocabulary=_concatenated(moments),
        promoted=known[promoted],
        promoted_cosine=highest * directed[:, None],
        suppressed=known[suppressed],
        suppressed_cosine=lowest * directed[:, None],
    )


def _unit(vectors: Float64[Tensor, "vector width"]) -> Float64[Tensor, "vector width"]:
    # A vector of zeros stays 0: it has no direction, and callers make its cosines NaN.
    norm = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(norm > 0, norm, 1.0)


def _concatenated(parts: list[CentralMoments]) -> CentralMoments:
    names = ("mean", "m2", "m3", "m4")
    return CentralMoments(parts[0].count, *(torch.cat([getattr(part, name) for part in parts]) for name in names))
