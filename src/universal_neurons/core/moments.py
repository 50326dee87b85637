# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Centred first and second moments of neuron populations, exact under merging.

This module decides how sums over tokens are taken.  It refuses to know what is made of them: rotations and maxima
are in :mod:`universal_neurons.core.nulls` and :mod:`universal_neurons.core.universality`.

Two sets of tokens a and b merge by the rule of Chan, Golub & LeVeque (The American Statistician 37, 1983), here for two
variables:

    mean = mean_a + (mean_b - mean_a) n_b / n
    C    = C_a + C_b + (n_a n_b / n) (mean_b - mean_a)_x (mean_b - mean_a)_y^T

so batches, shards, halves and resumed runs are one operation.

Accuracy.  Each chunk of tokens is centred by its own mean before it is multiplied, so the size of the mean never
enters a product; products are float32 over one chunk and are added up in float64, sums of squares are float64 from the
start.  The largest error of a correlation is then that of one float32 product over the square root of the number of
chunks, with means a thousand standard deviations from 0 as well: one chunk of 1024 tokens gives at most about 1e-6 for
correlations near 1 and 2e-7 for small ones, two hundred chunks a tenth of that.  A neuron that never varied has
deviations of exactly 0 and is told apart exactly.

Deviation: the published code takes sums and squares of float16 activations, which overflow and round, and turns an
undefined correlation into 0.  Here activations stay float32, sums are float64, and undefined stays NaN and is counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate as running_sums
from itertools import combinations, pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

FOLD_EVERY = 64
ROWS_IN_CACHE = 64


class NonFiniteActivationError(ValueError):
    """An activation is infinite or not a number; no correlation can be computed from it."""


def layer_slices(widths: Sequence[int]) -> tuple[slice, ...]:
    """Where each layer lies among the neurons of a model, which are numbered layer by layer."""
    return tuple(slice(start, stop) for start, stop in pairwise(running_sums(widths, initial=0)))


@dataclass(frozen=True, eq=False)
class NeuronMoments:
    """Moments of one model's neurons over ``count`` tokens: the means and, layer by layer, the comoments

        S_l = sum over tokens of (v - mean)(v - mean)^T   (neuron neuron), v the activations of layer l.

    Neurons are numbered layer by layer.  ``count`` 0 is the neutral element of ``+``.
    """

    count: int
    mean: Float[Tensor, " neuron"]
    layers: tuple[Float[Tensor, "_ _"], ...]

    @classmethod
    def empty(cls, widths: Sequence[int], *, device: torch.device | str = "cpu") -> "NeuronMoments":
        """The moments of no token."""
        mean = torch.zeros(sum(widths), dtype=torch.float64, device=device)
        return cls(0, mean, tuple(mean.new_zeros(width, width) for width in widths))

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons per layer."""
        return tuple(len(layer) for layer in self.layers)

    @cached_property
    def m2(self) -> Float[Tensor, " neuron"]:
        """Sum of squared deviations per neuron (the diagonals of the layers)."""
        return torch.cat([layer.diagonal() for layer in self.layers])

    @property
    def varied(self) -> Bool[Tensor, " neuron"]:
        """Which neurons took more than one value."""
        return self.m2 > 0

    @property
    def constant_count(self) -> int:
        """Number of neurons that never varied; their correlations are NaN."""
        return int((~self.varied).sum())

    @property
    def sd(self) -> Float[Tensor, " neuron"]:
        """Standard deviation per neuron with divisor n (not n - 1): 0 for a constant neuron, NaN for no token."""
        return (self.m2 / self.count).sqrt() if self.count else torch.full_like(self.m2, torch.nan)

    @property
    def inverse_norm(self) -> Float[Tensor, " neuron"]:
        """1 / sqrt(m2), NaN where a neuron never varied: a constant has no correlation, not a small one."""
        return torch.where(self.varied, self.m2.rsqrt(), torch.nan)

    def __add__(self, other: "NeuronMoments") -> "NeuronMoments":
        """The moments over the tokens of both; raises ValueError if the layers are not the same."""
        if self.widths != other.widths:
            raise ValueError(f"moments of different models: layers {self.widths} and {other.widths}")
        count, weight = _merged(self.count, other.count)
        delta = other.mean - self.mean
        parts = zip(self.layers, other.layers, (delta[s] for s in layer_slices(self.widths)), strict=True)
        layers = tuple((a + b).addr_(d.to(a.dtype), d.to(a.dtype), alpha=weight) for a, b, d in parts)
        return NeuronMoments(count, _merged_mean(self, other, count), layers)


@dataclass(frozen=True, eq=False)
class CrossMoments:
    """Moments of two models over the same tokens; ``comoment`` (x y) is the sum of (v_x - mean_x)(v_y - mean_y)^T."""

    x: NeuronMoments
    y: NeuronMoments
    comoment: Float[Tensor, "x y"]

    def __post_init__(self) -> None:
        shape = (len(self.x.mean), len(self.y.mean))
        if self.x.count != self.y.count or tuple(self.comoment.shape) != shape:
            raise ValueError(
                f"cross moments of {self.x.count} and {self.y.count} tokens, "
                f"comoment {tuple(self.comoment.shape)} for {shape} neurons"
            )

    @property
    def count(self) -> int:
        """Number of tokens."""
        return self.x.count

    def __add__(self, other: "CrossMoments") -> "CrossMoments":
        """The moments over the tokens of both; raises ValueError if the models are not the same."""
        x, y = self.x + other.x, self.y + other.y
        _, weight = _merged(self.count, other.count)
        delta_x, delta_y = other.x.mean - self.x.mean, other.y.mean - self.y.mean
        comoment = self.comoment + other.comoment
        comoment.addr_(delta_x.to(comoment.dtype), delta_y.to(comoment.dtype), alpha=weight)
        return CrossMoments(x, y, comoment)

    def transpose(self) -> "CrossMoments":
        """The same moments seen from y: a pair of models has two directions and one pass."""
        return CrossMoments(self.y, self.x, self.comoment.T)

    def correlation(self) -> Float[Tensor, "x y"]:
        """Pearson correlations C_ij / sqrt(m2_i m2_j) in float64, clipped to [-1, 1]; NaN where a neuron never varied.

        Nothing is added to the denominator: an epsilon there turns 0/0 of a dead neuron into a confident 0.
        """
        scaled = self.comoment.double() * self.x.inverse_norm[:, None]
        return scaled.mul_(self.y.inverse_norm).clamp_(-1, 1)


def _merged(a: int, b: int) -> tuple[int, float]:
    # The count of both and the weight of their difference in means; two empty sets have no difference.
    count = a + b
    return count, a * b / count if count else 0.0


def _merged_mean(a: NeuronMoments, b: NeuronMoments, count: int) -> Float[Tensor, " neuron"]:
    # From a towards b, so that equal means stay equal to the last bit; the mean of an empty set is a placeholder.
    if not a.count or not b.count:
        return a.mean if a.count else b.mean
    return a.mean + (b.mean - a.mean) * (b.count / count)


def column_means(values: Float[Tensor, "token neuron"], *, power: int = 1) -> Float[Tensor, " neuron"]:
    """Mean of ``values ** power`` per column in float64.

    The mean of a column of one float32 value is exactly that value: its sums fit into float64 up to 2^29 tokens.
    """
    step = ROWS_IN_CACHE if values.device.type == "cpu" else len(values)
    total = values.new_zeros(values.shape[1], dtype=torch.float64)
    for start in range(0, len(values), step):
        total += values[start : start + step].double().pow(power).sum(0)
    return total / len(values)


def _add_to(total: Float[Tensor, "x y"], product: Float[Tensor, "x y"]) -> None:
    if total.device.type != "cpu":
        total.add_(product)
        return
    # On a CPU torch converts the whole product before it adds; slices that stay in the cache are five times faster.
    for start in range(0, len(total), ROWS_IN_CACHE):
        rows = slice(start, start + ROWS_IN_CACHE)
        total[rows].add_(product[rows].to(total.dtype))


class _Comoments:
    """Running comoments of chosen column ranges of one joint activation matrix (token, neurons of all models).

    ``plan`` lists the products (rows of the result, columns of the result); what is not listed is not computed, so a
    tile of a matrix too large for memory is a shorter plan.  ``scratch`` holds one product before it is added up.
    """

    def __init__(
        self,
        columns: int,
        plan: Sequence[tuple[slice, slice]],
        *,
        chunk_tokens: int,
        accumulate: torch.dtype,
        scratch: Tensor,
    ) -> None:
        device = scratch.device
        self.plan = tuple(plan)
        self.count = 0
        self.mean = torch.zeros(columns, dtype=torch.float64, device=device)
        self.squares = torch.zeros_like(self.mean)
        self.sums = [torch.zeros(_shape(p), dtype=accumulate, device=device) for p in self.plan]
        self._buffer = torch.empty(chunk_tokens, columns, dtype=scratch.dtype, device=device)
        self._filled = 0
        self._pending: list[tuple[int, Tensor, Tensor]] = []
        self._scratch = scratch

    def add(self, values: Sequence[Float[Tensor, "token _"]]) -> None:
        start, tokens = 0, len(values[0])
        while start < tokens:
            size = min(tokens - start, len(self._buffer) - self._filled)
            column = 0
            for part in values:
                target = self._buffer[self._filled : self._filled + size, column : column + part.shape[1]]
                target.copy_(part[start : start + size])
                column += part.shape[1]
            self._filled += size
            start += size
            if self._filled == len(self._buffer):
                self.flush()

    def flush(self) -> None:
        """Centre the chunk by its own mean, multiply, and remember its mean for :meth:`fold`."""
        if not self._filled:
            return
        chunk = self._buffer[: self._filled]
        mean = column_means(chunk)
        if not bool(mean.isfinite().all()):
            column = int((~mean.isfinite()).nonzero()[0])
            raise NonFiniteActivationError(f"activation of joint neuron {column} is infinite or not a number")
        centre = mean.to(self._buffer.dtype)
        chunk.sub_(centre)
        self.squares += self._filled * column_means(chunk, power=2)
        for total, (rows, cols) in zip(self.sums, self.plan, strict=True):
            self._accumulate(total, chunk[:, rows], chunk[:, cols])
        self._pending.append((self._filled, mean, mean - centre.double()))
        self._filled = 0
        if len(self._pending) == FOLD_EVERY:
            self.fold()

    def _accumulate(self, total: Tensor, x: Tensor, y: Tensor) -> None:
        if total.dtype == x.dtype:
            total.addmm_(x.T, y)
            return
        product = self._scratch[: total.numel()].view(total.shape)
        torch.mm(x.T, y, out=product)
        _add_to(total, product)

    def fold(self) -> None:
        """Merge the pending chunks: what their means differ by, and what rounding their centres left, as one product.

        Chunk after chunk this would be the outer product of Chan, Golub & LeVeque; many chunks at once are the same sum
        for the price of one.  Deviations are taken from the first mean, so that equal means differ by exactly 0.
        """
        if not self._pending:
            return
        chunks = [(self.count, self.mean)] if self.count else []
        chunks += [(count, mean) for count, mean, _ in self._pending]
        counts = torch.tensor([count for count, _ in chunks], dtype=torch.float64, device=self.mean.device)
        offsets = torch.stack([mean for _, mean in chunks]) - chunks[0][1]
        offset = (counts / counts.sum()) @ offsets
        between = (offsets - offset) * counts.sqrt()[:, None]
        left = torch.stack([count**0.5 * rest for count, _, rest in self._pending])
        self.squares += between.square().sum(0) - left.square().sum(0)
        for total, (rows, cols) in zip(self.sums, self.plan, strict=True):
            total.addmm_(between[:, rows].T.to(total.dtype), between[:, cols].to(total.dtype))
            total.addmm_(left[:, rows].T.to(total.dtype), left[:, cols].to(total.dtype), alpha=-1)
        self.mean = chunks[0][1] + offset
        self.count += sum(count for count, _, _ in self._pending)
        self._pending.clear()


def _shape(product: tuple[slice, slice]) -> tuple[int, int]:
    rows, cols = product
    return rows.stop - rows.start, cols.stop - cols.start


class PairwiseAccumulator:
    """The cross moments of all pairs of several models from one stream of their activations, in disjoint groups.

    Tokens of block b go to group b modulo ``groups``.  There are two unless said otherwise, half A of the even blocks
    and half B of the odd ones; the whole is A + B, so every score has a split-half ceiling at no cost.  Model i's
    product with all later models is one matrix product x_i^T [x_{i+1} ... x_m]; the layers' own comoments are small
    products beside it.

    ``widths``: neurons per layer of every model.  ``pairs``: the wanted pairs (i, j), i < j; default all.
    ``dtype``: of the products (float32; on a GPU its precision is set by :mod:`universal_neurons.core.matmul`).
    ``accumulate``: of the sums over chunks of ``chunk_tokens`` tokens; float64 holds 8 bytes per pair of neurons and
    half, float32 four, at an error that grows with the square root of the number of chunks.
    """

    def __init__(
        self,
        widths: Sequence[Sequence[int]],
        *,
        pairs: Sequence[tuple[int, int]] | None = None,
        chunk_tokens: int = 1024,
        dtype: torch.dtype = torch.float32,
        accumulate: torch.dtype = torch.float64,
        groups: int = 2,
        device: torch.device | str = "cpu",
    ) -> None:
        self.widths = tuple(tuple(w) for w in widths)
        self.pairs = tuple(combinations(range(len(self.widths)), 2)) if pairs is None else tuple(pairs)
        if min(chunk_tokens, groups) < 1 or any(not 0 <= i < j < len(self.widths) for i, j in self.pairs):
            found = f"chunks of {chunk_tokens} tokens, {groups} groups"
            raise ValueError(f"pairs {self.pairs} of {len(self.widths)} models, {found}")
        self._models = layer_slices([sum(w) for w in self.widths])
        self._layers = [layer_slices([s.start, *w])[1:] for s, w in zip(self._models, self.widths, strict=True)]
        self._crosses = [self._cross_product(i) for i in range(len(self.widths)) if self._later(i)]
        plan = (*self._crosses, *((layer, layer) for layers in self._layers for layer in layers))
        place = torch.device(device)
        largest = max(rows * cols for rows, cols in map(_shape, plan))
        scratch = torch.empty(0 if accumulate == dtype else largest, dtype=dtype, device=place)
        columns = self._models[-1].stop
        self._groups = tuple(
            _Comoments(columns, plan, chunk_tokens=chunk_tokens, accumulate=accumulate, scratch=scratch)
            for _ in range(groups)
        )

    def _later(self, model: int) -> list[int]:
        return [j for i, j in self.pairs if i == model]

    def _cross_product(self, model: int) -> tuple[slice, slice]:
        later = self._later(model)
        return self._models[model], slice(self._models[min(later)].start, self._models[max(later)].stop)

    def add(self, values: Sequence[Float[Tensor, "token _"]], block: Int[Tensor, " token"]) -> None:
        """Take in the activations of every model at the same tokens, and the token block that each token belongs to.

        Raises ValueError if the number of models, their neurons or the number of tokens differ, and
        :class:`NonFiniteActivationError` (at the end of a chunk) if an activation is not finite.
        """
        found = [tuple(v.shape) for v in values]
        expected = [(len(block), sum(w)) for w in self.widths]
        if found != expected:
            raise ValueError(f"activations of shapes {found}; expected {expected}")
        for number, group in enumerate(self._groups):
            chosen = block % len(self._groups) == number
            if bool(chosen.all()):
                group.add(values)
            elif bool(chosen.any()):
                group.add([v[chosen.to(v.device)] for v in values])

    def cross(self, i: int, j: int) -> tuple[CrossMoments, CrossMoments]:
        """The moments of models i and j in halves A and B; for i > j the transposes of (j, i).

        Raises ValueError for a pair that was not accumulated, or where there are other than two groups.
        """
        a, b = self.crosses(i, j)
        return a, b

    def crosses(self, i: int, j: int) -> tuple[CrossMoments, ...]:
        """The moments of models i and j in each group; for i > j the transposes of (j, i).

        Raises ValueError for a pair that was not accumulated.
        """
        if i > j:
            return tuple(cross.transpose() for cross in self.crosses(j, i))
        if (i, j) not in self.pairs:
            raise ValueError(f"pair {(i, j)} was not accumulated; there are {self.pairs}")
        number = next(k for k, (rows, _) in enumerate(self._crosses) if rows == self._models[i])
        first = self._crosses[number][1].start
        columns = slice(self._models[j].start - first, self._models[j].stop - first)
        xs, ys = ([self._neurons(group, model) for group in self._groups] for model in (i, j))
        groups = zip(xs, ys, self._groups, strict=True)
        return tuple(CrossMoments(x, y, group.sums[number][:, columns].clone()) for x, y, group in groups)

    def neurons(self, model: int) -> tuple[NeuronMoments, NeuronMoments]:
        """The moments of one model's own neurons in halves A and B."""
        a, b = (self._neurons(group, model) for group in self._groups)
        return a, b

    def _neurons(self, group: _Comoments, model: int) -> NeuronMoments:
        group.flush()
        group.fold()
        first = len(self._crosses) + sum(len(layers) for layers in self._layers[:model])
        layers = []
        for number, part in enumerate(self._layers[model], start=first):
            layer = group.sums[number].to(torch.float64, copy=True)
            # The variances come from float64: a self-product in float32 adds terms of one sign, and the spread of a
            # neuron below 1e-19 would underflow to that of a constant.
            layer.diagonal().copy_(group.squares[part])
            layers.append(layer)
        return NeuronMoments(group.count, group.mean[self._models[model]].clone(), tuple(layers))


def cross_moments(
    x: Float[Tensor, "token x"],
    y: Float[Tensor, "token y"],
    *,
    x_widths: Sequence[int],
    y_widths: Sequence[int],
    chunk_tokens: int = 64,
    dtype: torch.dtype = torch.float32,
) -> CrossMoments:
    """The cross moments of two activation matrices over the same tokens, in one go.

    For little data: the short chunks keep a correlation of 1 within 1e-6 where there are too few of them to average.
    """
    accumulator = PairwiseAccumulator([x_widths, y_widths], chunk_tokens=chunk_tokens, dtype=dtype, device=x.device)
    accumulator.add([x, y], torch.zeros(len(x), dtype=torch.int64, device=x.device))
    return accumulator.cross(0, 1)[0]
