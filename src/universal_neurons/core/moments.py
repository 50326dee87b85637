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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import accumulate as running_sums
from itertools import combinations, pairwise
from operator import add

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from universal_neurons.core.matmul import Mode, add_product, adds_in_place, operands, put_product
from universal_neurons.core.tiling import FOLD_EVERY, SCRATCH_ELEMENTS, Tile, layers_of

ROWS_IN_CACHE = 64
# Neurons of every layer whose products with each other are summed up in float64 as well.
SAMPLED_PER_LAYER = 8


class NonFiniteActivationError(ValueError):
    """An activation is infinite or not a number; no correlation can be computed from it."""


def layer_slices(widths: Sequence[int]) -> tuple[slice, ...]:
    """Where each layer lies among the neurons of a model, which are numbered layer by layer."""
    return tuple(slice(start, stop) for start, stop in pairwise(running_sums(widths, initial=0)))


class _Neurons:
    """What follows from the number of tokens and each neuron's sum of squared deviations, however these are kept."""

    count: int
    mean: Float[Tensor, " neuron"]

    @property
    def m2(self) -> Float[Tensor, " neuron"]:
        """Sum of squared deviations per neuron."""
        raise NotImplementedError

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


@dataclass(frozen=True, eq=False)
class NeuronSpread(_Neurons):
    """Means and spreads of some neurons over ``count`` tokens, without what ties the neurons of a layer together.

    ``squares``: the sum of squared deviations per neuron.  A hundred thousand of these are a megabyte, where their
    layers are gigabytes: enough for whoever standardises activations, or looks for partners.
    """

    count: int
    mean: Float[Tensor, " neuron"]
    squares: Float[Tensor, " neuron"]

    @property
    def m2(self) -> Float[Tensor, " neuron"]:
        """Sum of squared deviations per neuron."""
        return self.squares

    def on(self, device: torch.device | str) -> "NeuronSpread":
        """The same on another device."""
        return NeuronSpread(self.count, self.mean.to(device), self.squares.to(device))

    def __getitem__(self, part: slice) -> "NeuronSpread":
        """That of some of the neurons."""
        return NeuronSpread(self.count, self.mean[part], self.squares[part])

    def __add__(self, other: "NeuronSpread") -> "NeuronSpread":
        """That over the tokens of both."""
        count, weight = _merged(self.count, other.count)
        delta = other.mean - self.mean
        return NeuronSpread(count, _merged_mean(self, other, count), self.squares + other.squares + weight * delta**2)


@dataclass(frozen=True, eq=False)
class NeuronMoments(_Neurons):
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
    def spread(self) -> NeuronSpread:
        """Means and spreads alone."""
        return NeuronSpread(self.count, self.mean, self.m2)

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
    """Moments of two models over the same tokens; ``comoment`` (x y) is the sum of (v_x - mean_x)(v_y - mean_y)^T.

    Of ``x`` the spread is enough for everything but turning the moments round and rotating both models.
    """

    x: NeuronMoments | NeuronSpread
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

    @property
    def x_moments(self) -> NeuronMoments:
        """The moments of x with those of its layers; raises ValueError where only its spread is known."""
        if not isinstance(self.x, NeuronMoments):
            raise ValueError("of the first model only the spread is known, and its layers are asked for")
        return self.x

    def __add__(self, other: "CrossMoments") -> "CrossMoments":
        """The moments over the tokens of both; raises ValueError if the models are not the same."""
        return CrossMoments(_both(self.x, other.x), self.y + other.y, merged_comoment(self, other))

    def transpose(self) -> "CrossMoments":
        """The same moments seen from y: a pair of models has two directions and one pass."""
        return CrossMoments(self.y, self.x_moments, self.comoment.T)

    def correlation(self, rows: slice = slice(None)) -> Float[Tensor, "_ y"]:
        """Pearson correlations C_ij / sqrt(m2_i m2_j) in float64, clipped to [-1, 1]; NaN where a neuron never varied.

        Nothing is added to the denominator: an epsilon there turns 0/0 of a dead neuron into a confident 0.
        ``rows``: only those of these neurons of x.
        """
        scaled = self.comoment[rows].double() * self.x.inverse_norm[rows, None]
        return scaled.mul_(self.y.inverse_norm).clamp_(-1, 1)


def merged_comoment(a: CrossMoments, b: CrossMoments) -> Float[Tensor, "x y"]:
    """The comoment over the tokens of both."""
    _, weight = _merged(a.count, b.count)
    delta_x, delta_y = b.x.mean - a.x.mean, b.y.mean - a.y.mean
    comoment = a.comoment + b.comoment
    return comoment.addr_(delta_x.to(comoment.dtype), delta_y.to(comoment.dtype), alpha=weight)


def _both(a: NeuronMoments | NeuronSpread, b: NeuronMoments | NeuronSpread) -> NeuronMoments | NeuronSpread:
    if isinstance(a, NeuronMoments) and isinstance(b, NeuronMoments):
        return a + b
    return _spread(a) + _spread(b)


def _spread(neurons: NeuronMoments | NeuronSpread) -> NeuronSpread:
    return neurons.spread if isinstance(neurons, NeuronMoments) else neurons


def _merged(a: int, b: int) -> tuple[int, float]:
    # The count of both and the weight of their difference in means; two empty sets have no difference.
    count = a + b
    return count, a * b / count if count else 0.0


def _merged_mean(a: _Neurons, b: _Neurons, count: int) -> Float[Tensor, " neuron"]:
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

    ``plan`` lists the products (rows of the result, columns of the result) and the type of their sums; what is not
    listed is not computed.  ``scratch`` holds one product before it is added to sums of another type.
    """

    def __init__(
        self,
        columns: int,
        plan: Sequence[tuple[slice, slice, torch.dtype]],
        *,
        chunk_tokens: int,
        scratch: Tensor,
        mode: Mode = "float32",
    ) -> None:
        device = scratch.device
        self.plan = tuple((rows, cols) for rows, cols, _ in plan)
        self.mode: Mode = mode
        self.count = 0
        self.mean = torch.zeros(columns, dtype=torch.float64, device=device)
        self.squares = torch.zeros_like(self.mean)
        self.sums = [torch.zeros(_shape((rows, cols)), dtype=dtype, device=device) for rows, cols, dtype in plan]
        self._buffer = torch.empty(chunk_tokens, columns, dtype=scratch.dtype, device=device)
        self._filled = 0
        self._pending: list[tuple[int, Tensor, Tensor]] = []
        self._scratch = scratch

    def add(self, values: Sequence[Float[Tensor, "token _"]], tokens: Int[Tensor, " chosen"]) -> None:
        """Take in the values at ``tokens``; no more of them than fills a chunk is copied beside the values."""
        start = 0
        while start < len(tokens):
            size = min(len(tokens) - start, len(self._buffer) - self._filled)
            column = 0
            for part in values:
                target = self._buffer[self._filled : self._filled + size, column : column + part.shape[1]]
                target.copy_(part.index_select(0, tokens[start : start + size]))
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
        multiplied = operands(chunk, self.mode)
        for total, (rows, cols) in zip(self.sums, self.plan, strict=True):
            self._accumulate(total, multiplied[:, rows], multiplied[:, cols])
        self._pending.append((self._filled, mean, mean - centre.double()))
        self._filled = 0
        if len(self._pending) == FOLD_EVERY:
            self.fold()

    def _accumulate(self, total: Tensor, x: Tensor, y: Tensor) -> None:
        if total.dtype == self._scratch.dtype and (x.dtype == total.dtype or adds_in_place(x.dtype, x.device)):
            add_product(total, x, y)
            return
        rows = max(1, len(self._scratch) // total.shape[1])
        for start in range(0, len(total), rows):
            part = total[start : start + rows]
            product = self._scratch[: part.numel()].view(part.shape)
            put_product(product, x[:, start : start + rows], y)
            _add_to(part, product)

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

    def finish(self) -> None:
        """Take in the last, partial chunk and let go of the buffers: no more tokens come."""
        self.flush()
        self.fold()
        self._buffer, self._scratch = self._buffer.new_empty(0, 0), self._scratch.new_empty(0)

    def state(self) -> dict[str, Tensor]:
        """Everything that another accumulator of the same plan goes on with, to the last bit; views, not copies."""
        counts = torch.tensor([self.count, *(count for count, _, _ in self._pending)], dtype=torch.int64)
        none = self.mean.new_empty(0, len(self.mean))
        return {
            "counts": counts,
            "mean": self.mean,
            "squares": self.squares,
            "waiting": self._buffer[: self._filled],
            "means": torch.stack([mean for _, mean, _ in self._pending]) if self._pending else none,
            "rests": torch.stack([rest for _, _, rest in self._pending]) if self._pending else none,
            **{f"sums {number}": total for number, total in enumerate(self.sums)},
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from :meth:`state`; raises ValueError if it is that of another plan."""
        shapes = {name: tuple(tensor.shape) for name, tensor in self.state().items() if name.startswith("sums")}
        if shapes != {name: tuple(tensor.shape) for name, tensor in state.items() if name.startswith("sums")}:
            raise ValueError("the state of other sums")
        for number, total in enumerate(self.sums):
            total.copy_(state[f"sums {number}"])
        self.mean.copy_(state["mean"])
        self.squares.copy_(state["squares"])
        self.count, *waiting = state["counts"].tolist()
        means, rests = (state[name].to(self.mean) for name in ("means", "rests"))
        self._pending = list(zip(waiting, means.unbind(), rests.unbind(), strict=True))
        self._filled = len(state["waiting"])
        self._buffer[: self._filled].copy_(state["waiting"])


def _shape(product: tuple[slice, slice]) -> tuple[int, int]:
    rows, cols = product
    return rows.stop - rows.start, cols.stop - cols.start


class PairwiseAccumulator:
    """The cross moments of all pairs of several models from one stream of their activations, in disjoint groups.

    Tokens of block b go to group b modulo ``groups``.  There are two unless said otherwise, half A of the even blocks
    and half B of the odd ones; the whole is A + B, so every score has a split-half ceiling at no cost.  Model i's
    product with all later models is one matrix product x_i^T [x_{i+1} ... x_m]; the layers' own comoments are small
    products beside it.

    ``widths``: neurons per layer of every model.  ``pairs``: the wanted pairs (i, j), i < j; default all.  ``tiles``:
    only these blocks of layers of pairs, where all of them would not fit into memory; then the stream brings of every
    model the layers that occur in them (``layers``) and no others.
    ``mode``: of the products (:mod:`universal_neurons.core.matmul`, which also sets their precision on a GPU).
    ``accumulate``: of the sums over chunks of ``chunk_tokens`` tokens; float64 holds 8 bytes per pair of neurons and
    half, float32 four, at an error that grows with the square root of the number of chunks.  A layer's own sums are
    float64 in any case.

    Some neurons of every layer (``SAMPLED_PER_LAYER``) are multiplied and summed up in float64 from their own
    activations as well: :meth:`largest_error` says what the others' precision cost.
    """

    def __init__(
        self,
        widths: Sequence[Sequence[int]],
        *,
        pairs: Sequence[tuple[int, int]] | None = None,
        tiles: Sequence[Tile] | None = None,
        chunk_tokens: int = 1024,
        mode: Mode = "float32",
        accumulate: torch.dtype = torch.float64,
        groups: int = 2,
        device: torch.device | str = "cpu",
    ) -> None:
        self.widths = tuple(tuple(w) for w in widths)
        self.pairs = tuple(combinations(range(len(self.widths)), 2)) if pairs is None else tuple(pairs)
        if tiles is not None:
            self.pairs = tuple(dict.fromkeys((tile.x, tile.y) for tile in tiles))
        if min(chunk_tokens, groups) < 1 or any(not 0 <= i < j < len(self.widths) for i, j in self.pairs):
            found = f"chunks of {chunk_tokens} tokens, {groups} groups"
            raise ValueError(f"pairs {self.pairs} of {len(self.widths)} models, {found}")
        every = tuple(tuple(range(len(w))) for w in self.widths)
        whole = [Tile(i, j, range(len(every[i])), range(len(every[j]))) for i, j in self.pairs]
        self.tiles = tuple(whole if tiles is None else tiles)
        self.layers = every if tiles is None else tuple(layers_of(self.tiles, model) for model in range(len(every)))
        self._place = _columns(self.widths, self.layers)
        self._products = self._joined()
        own = {(model, layer): place for model, places in enumerate(self._place) for layer, place in places.items()}
        self._own = {which: number for number, which in enumerate(own, start=len(self._products))}
        within = [(place, place) for place in own.values()]
        plan = [(*both, accumulate) for both in self._products] + [(*both, torch.float64) for both in within]
        waiting = within if accumulate == torch.float32 else [*self._products, *within]
        size = max(min(SCRATCH_ELEMENTS, rows * cols) for rows, cols in map(_shape, waiting))
        widest = max(_shape(both)[1] for both in (*self._products, *within))
        scratch = torch.empty(max(size, widest), dtype=torch.float32, device=torch.device(device))
        self._groups = tuple(
            _Comoments(_end(own.values()), plan, chunk_tokens=chunk_tokens, scratch=scratch, mode=mode)
            for _ in range(groups)
        )
        self._sample = _Sample(self._place, groups=groups, device=scratch.device)

    def _joined(self) -> list[tuple[slice, slice]]:
        """The products of all tiles; those of the same rows with columns side by side are one."""
        joined: list[tuple[slice, slice]] = []
        order = sorted(self.tiles, key=lambda t: (t.x, t.x_layers.start, t.x_layers.stop, t.y, t.y_layers.start))
        for tile in order:
            rows, cols = self._range(tile.x, tile.x_layers), self._range(tile.y, tile.y_layers)
            if joined and joined[-1][0] == rows and joined[-1][1].stop == cols.start:
                joined[-1] = (rows, slice(joined[-1][1].start, cols.stop))
            else:
                joined.append((rows, cols))
        return joined

    def place(self, model: int, layers: range) -> slice:
        """Where consecutive layers lie among those of the model that are accumulated, as in :meth:`spread`."""
        found, first = self._range(model, layers), min(place.start for place in self._place[model].values())
        return slice(found.start - first, found.stop - first)

    def _range(self, model: int, layers: range) -> slice:
        """Where consecutive layers of a model lie in the joint matrix; raises ValueError if one does not."""
        if any(layer not in self._place[model] for layer in layers):
            raise ValueError(f"layers {layers} of model {model} were not accumulated")
        return slice(self._place[model][layers[0]].start, self._place[model][layers[-1]].stop)

    def add(self, values: Sequence[Float[Tensor, "token _"]], block: Int[Tensor, " token"]) -> None:
        """Take in the activations of every model at the same tokens, and the token block that each token belongs to.

        Raises ValueError if the number of models, their neurons or the number of tokens differ, and
        :class:`NonFiniteActivationError` (at the end of a chunk) if an activation is not finite.
        """
        found = [tuple(v.shape) for v in values]
        kept = zip(self.widths, self.layers, strict=True)
        expected = [(len(block), sum(w[layer] for layer in layers)) for w, layers in kept]
        if found != expected:
            raise ValueError(f"activations of shapes {found}; expected {expected}")
        sampled = self._sample.of(values)
        for number in range(len(self._groups)):
            tokens = (block % len(self._groups) == number).nonzero()[:, 0].to(self.device)
            if len(tokens):
                self._groups[number].add(values, tokens)
                self._sample.groups[number].add(sampled, tokens)

    @property
    def device(self) -> torch.device:
        """Where the sums are."""
        return self._groups[0].mean.device

    def finish(self) -> None:
        """Take in what is left of the tokens and let go of the buffers; after that, tokens cannot be added."""
        for group in (*self._groups, *self._sample.groups):
            group.finish()

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Everything that another accumulator of the same tiles goes on with, to the last bit; views, not copies."""
        for kind, groups in (("group", self._groups), ("sample", self._sample.groups)):
            for number, group in enumerate(groups):
                yield from ((f"{kind} {number} {name}", tensor) for name, tensor in group.state().items())

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from :meth:`state`; raises ValueError or KeyError if it is that of other tiles."""
        for kind, groups in (("group", self._groups), ("sample", self._sample.groups)):
            for number, group in enumerate(groups):
                prefix = f"{kind} {number} "
                group.restore({name[len(prefix) :]: t for name, t in state.items() if name.startswith(prefix)})

    def largest_error(self, unions: Sequence[Sequence[int]] | None = None) -> float:
        """Largest difference of a sampled correlation from that of float64 activations and products.

        Over the tokens of each of ``unions`` of groups, by default of each group: over those that are scored.  Of
        tokens that hardly differ, such as the first ones of all rows, a product in float32 has few digits left, which
        says nothing about a union in which they hardly weigh.  Infinite where one of the two is undefined and the other
        is not.  It ends the current chunk, so it is asked for when all tokens are there.
        """
        for one in (*self._groups, *self._sample.groups):
            one.flush()
            one.fold()
        wanted = [(number,) for number in range(len(self._groups))] if unions is None else unions
        errors = [0.0]
        for tile in self.tiles:
            x, y = ([(model, layer) for layer in layers] for model, layers in _sides(tile))
            found = [self._sampled(group, x, y) for group in self._groups]
            exact = [self._sample.cross(group, x, y) for group in self._sample.groups]
            for union in wanted:
                mine, theirs = (reduce(add, (parts[group] for group in union)) for parts in (found, exact))
                errors.append(_difference(mine.correlation(), theirs.correlation()))
        return max(errors)

    def _sampled(self, group: _Comoments, x: Sequence[tuple[int, int]], y: Sequence[tuple[int, int]]) -> "_Sampled":
        """The moments of sampled neurons of some layers, as the sums of a group have them."""
        i, j = self._sample.joint(x), self._sample.joint(y)
        rows, cols = (self._range(side[0][0], range(side[0][1], side[-1][1] + 1)) for side in (x, y))
        number = self._number(rows, cols)
        first_x, first_y = (place.start for place in self._products[number])
        part = group.sums[number].index_select(0, i - first_x).index_select(1, j - first_y)
        return _Sampled(_spread_of(group, i), _spread_of(group, j), part.double())

    def cross(self, i: int, j: int) -> tuple[CrossMoments, CrossMoments]:
        """The moments of models i and j in halves A and B; for i > j the transposes of (j, i).

        Raises ValueError for a pair that was not accumulated, or where there are other than two groups.
        """
        a, b = self.crosses(i, j)
        return a, b

    def crosses(self, i: int, j: int) -> tuple[CrossMoments, ...]:
        """The moments of models i and j in each group; for i > j the transposes of (j, i).

        Raises ValueError for a pair that was not accumulated, or of which some layers were not.
        """
        if i > j:
            return tuple(cross.transpose() for cross in self.crosses(j, i))
        if (i, j) not in self.pairs:
            raise ValueError(f"pair {(i, j)} was not accumulated; there are {self.pairs}")
        x, y = (range(len(self.widths[model])) for model in (i, j))
        xs, ys = self._own_moments(i), self._own_moments(j)
        parts = (self.comoment(number, (i, x), (j, y)).clone() for number in range(len(self._groups)))
        return tuple(CrossMoments(*three) for three in zip(xs, ys, parts, strict=True))

    def neurons(self, model: int) -> tuple[NeuronMoments, NeuronMoments]:
        """The moments of one model's own neurons in halves A and B."""
        a, b = self._own_moments(model)
        return a, b

    def _own_moments(self, model: int) -> list[NeuronMoments]:
        """Copies of them, so that tokens which are added later do not change what was read."""
        seen = [self.moments((number,), model, range(len(self.widths[model]))) for number in range(len(self._groups))]
        return [
            NeuronMoments(own.count, own.mean.clone(), tuple(layer.clone() for layer in own.layers)) for own in seen
        ]

    def comoment(self, group: int, x: tuple[int, range], y: tuple[int, range]) -> Float[Tensor, "x y"]:
        """The comoment of some layers of two models in one group: a view, which later tokens change.

        For (model, layers) in the other order than the tile's the transpose.  Raises ValueError for layers that are not
        inside one tile.
        """
        if x[0] > y[0]:
            return self.comoment(group, y, x).T
        rows, cols = self._range(*x), self._range(*y)
        number = self._number(rows, cols)
        place_x, place_y = self._products[number]
        return self._folded(group).sums[number][_within(place_x, rows), _within(place_y, cols)]

    def _number(self, rows: slice, cols: slice) -> int:
        for number, (place_x, place_y) in enumerate(self._products):
            if _holds(place_x, rows) and _holds(place_y, cols):
                return number
        raise ValueError(f"columns {rows} and {cols} of the joint matrix were not accumulated together")

    def moments(self, groups: Sequence[int], model: int, layers: range) -> NeuronMoments:
        """The moments of consecutive layers of a model over the tokens of some groups.

        Those of one group are views, which later tokens change.
        """
        return reduce(add, (self._moments(group, model, layers) for group in groups))

    def _moments(self, number: int, model: int, layers: range) -> NeuronMoments:
        group, place = self._folded(number), self._range(model, layers)
        found = []
        for layer in layers:
            sums = group.sums[self._own[model, layer]]
            # The variances come from float64: a self-product in float32 adds terms of one sign, and the spread of a
            # neuron below 1e-19 would underflow to that of a constant.
            sums.diagonal().copy_(group.squares[self._place[model][layer]])
            found.append(sums)
        return NeuronMoments(group.count, group.mean[place], tuple(found))

    def spread(self, groups: Sequence[int], model: int) -> NeuronSpread:
        """Means and spreads of all layers of a model that were accumulated, over the tokens of some groups.

        Layer by layer, so that never more than one layer's moments are held beside the groups'.
        """
        parts = [self.moments(groups, model, range(layer, layer + 1)).spread for layer in self.layers[model]]
        mean, squares = (torch.cat([getattr(part, name) for part in parts]) for name in ("mean", "squares"))
        return NeuronSpread(parts[0].count, mean, squares)

    def _folded(self, number: int) -> _Comoments:
        group = self._groups[number]
        group.flush()
        group.fold()
        return group


@dataclass(frozen=True, eq=False)
class _Sampled:
    """Cross moments of some neurons; ``+`` gives those over the tokens of both."""

    x: NeuronSpread
    y: NeuronSpread
    comoment: Float[Tensor, "x y"]

    def __add__(self, other: "_Sampled") -> "_Sampled":
        _, weight = _merged(self.x.count, other.x.count)
        between = torch.outer(other.x.mean - self.x.mean, other.y.mean - self.y.mean)
        return _Sampled(self.x + other.x, self.y + other.y, self.comoment + other.comoment + weight * between)

    def correlation(self) -> Float[Tensor, "x y"]:
        return self.comoment * self.x.inverse_norm[:, None] * self.y.inverse_norm


def _spread_of(group: _Comoments, columns: Int[Tensor, " neuron"]) -> NeuronSpread:
    return NeuronSpread(group.count, group.mean[columns], group.squares[columns])


class _Sample:
    """Some neurons of every layer, summed up in float64 from activations that nothing was taken from or rounded in."""

    def __init__(self, place: Sequence[Mapping[int, slice]], *, groups: int, device: torch.device) -> None:
        self._joint: dict[tuple[int, int], Tensor] = {}
        self._own: dict[tuple[int, int], Tensor] = {}
        self._chosen: list[Tensor] = []
        count = 0
        for model, places in enumerate(place):
            first = min((columns.start for columns in places.values()), default=0)
            for layer, columns in places.items():
                size = min(SAMPLED_PER_LAYER, columns.stop - columns.start)
                evenly = torch.linspace(columns.start, columns.stop - 1, size, device=device).round().long()
                self._joint[model, layer] = evenly
                self._own[model, layer] = torch.arange(count, count + size, device=device)
                count += size
            chosen = [self._joint[model, layer] for layer in places]
            nothing = torch.empty(0, dtype=torch.int64, device=device)
            self._chosen.append(torch.cat([nothing, *chosen]) - first)
        everything = (slice(0, count), slice(0, count), torch.float64)
        scratch = torch.empty(0, dtype=torch.float64, device=device)
        self.groups = tuple(_Comoments(count, [everything], chunk_tokens=1024, scratch=scratch) for _ in range(groups))

    def of(self, values: Sequence[Float[Tensor, "token _"]]) -> list[Float[Tensor, "token _"]]:
        """The sampled columns of every model's activations."""
        return [part.index_select(1, columns).double() for part, columns in zip(values, self._chosen, strict=True)]

    def joint(self, layers: Sequence[tuple[int, int]]) -> Int[Tensor, " sampled"]:
        """Where the sampled neurons of (model, layer) lie in the joint matrix."""
        return torch.cat([self._joint[which] for which in layers])

    def cross(self, group: _Comoments, x: Sequence[tuple[int, int]], y: Sequence[tuple[int, int]]) -> _Sampled:
        """The moments of the sampled neurons of (model, layer) in one of the ``groups``."""
        i, j = (torch.cat([self._own[which] for which in side]) for side in (x, y))
        return _Sampled(_spread_of(group, i), _spread_of(group, j), group.sums[0][i][:, j])


def _columns(widths: Sequence[Sequence[int]], layers: Sequence[Sequence[int]]) -> list[dict[int, slice]]:
    """Where each kept layer of each model lies in the joint matrix: model by model, layer by layer."""
    places: list[dict[int, slice]] = []
    column = 0
    for own, kept in zip(widths, layers, strict=True):
        ends = list(running_sums((own[layer] for layer in kept), initial=column))
        places.append({layer: slice(*both) for layer, both in zip(kept, pairwise(ends), strict=True)})
        column = ends[-1]
    return places


def _sides(tile: Tile) -> tuple[tuple[int, range], tuple[int, range]]:
    return (tile.x, tile.x_layers), (tile.y, tile.y_layers)


def _end(places: Iterable[slice]) -> int:
    return max((int(place.stop) for place in places), default=0)


def _holds(outer: slice, inner: slice) -> bool:
    return bool(outer.start <= inner.start and inner.stop <= outer.stop)


def _within(outer: slice, inner: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)


def _difference(found: Float[Tensor, "x y"], expected: Float[Tensor, "x y"]) -> float:
    if bool((found.isnan() != expected.isnan()).any()):
        return float("inf")
    return float((found - expected).abs().nan_to_num(nan=0.0).amax()) if found.numel() else 0.0


def cross_moments(
    x: Float[Tensor, "token x"],
    y: Float[Tensor, "token y"],
    *,
    x_widths: Sequence[int],
    y_widths: Sequence[int],
    chunk_tokens: int = 64,
) -> CrossMoments:
    """The cross moments of two activation matrices over the same tokens, in one go.

    For little data: the short chunks keep a correlation of 1 within 1e-6 where there are too few of them to average.
    """
    accumulator = PairwiseAccumulator([x_widths, y_widths], chunk_tokens=chunk_tokens, device=x.device)
    accumulator.add([x, y], torch.zeros(len(x), dtype=torch.int64, device=x.device))
    return accumulator.cross(0, 1)[0]
