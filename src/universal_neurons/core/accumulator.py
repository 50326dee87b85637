# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""The moments of several models and of all pairs of them, from one stream of their activations.

Baselines and maxima are computed from them in :mod:`universal_neurons.core.nulls` and
:mod:`universal_neurons.core.universality`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import accumulate as running_sums
from itertools import combinations, pairwise
from operator import add

import torch
from jaxtyping import Float, Int
from torch import Tensor

from universal_neurons.core.comoments import ComomentSums
from universal_neurons.core.matmul import PrecisionMode
from universal_neurons.core.moments import CrossMoments, LayerId, NeuronMoments, NeuronSpread, NonFiniteActivationError
from universal_neurons.core.precision_audit import PrecisionAudit, SampledMoments
from universal_neurons.core.tiling import LayerRange, Tile, Workload, layers_of


class PairwiseAccumulator:
    """The cross moments of all pairs of several models from one stream of their activations, in disjoint groups.

    Tokens of block b go to group b modulo ``groups``.  By default there are two, half A of the even blocks and half B
    of the odd ones; the whole is A + B, so every score has a split-half ceiling at no cost.  Model i's product with all
    later models is one matrix product x_i^T [x_{i+1} ... x_m]; the layers' own comoments are small products beside it.

    ``widths``: neurons per layer of every model.  ``tiles``: the blocks of layers of pairs that are summed up, by
    default all pairs whole; the stream brings only the layers of every model that occur in them (``layers``).
    ``mode``: the precision of the products (:mod:`universal_neurons.core.matmul`, which also sets it on a GPU).
    ``accumulate``: the type of the sums over chunks of ``chunk_tokens`` tokens; float64 holds 8 bytes per pair of
    neurons and half, float32 four, at an error that grows with the square root of the number of chunks.  A layer's own
    sums are float64 in any case.  The sums of some neurons are float64 throughout
    (:mod:`universal_neurons.core.precision_audit`): :meth:`largest_error` compares with them.

    Raises ValueError for a tile that is none of two models, the first before the second, and for no group or no token
    in a chunk.
    """

    def __init__(
        self,
        widths: Sequence[Sequence[int]],
        *,
        tiles: Sequence[Tile] | None = None,
        chunk_tokens: int = 1024,
        mode: PrecisionMode = "float32",
        accumulate: torch.dtype = torch.float64,
        groups: int = 2,
        device: torch.device | str = "cpu",
    ) -> None:
        self.widths = tuple(tuple(w) for w in widths)
        self.tiles = _all_pairs(self.widths) if tiles is None else tuple(tiles)
        pairs = tuple(dict.fromkeys((tile.x, tile.y) for tile in self.tiles))
        if min(chunk_tokens, groups) < 1 or any(not 0 <= i < j < len(self.widths) for i, j in pairs):
            raise ValueError(
                f"pairs {pairs} of {len(self.widths)} models, chunks of {chunk_tokens} tokens, {groups} groups"
            )
        every = tuple(tuple(range(len(w))) for w in self.widths)
        self.layers = every if tiles is None else tuple(layers_of(self.tiles, model) for model in range(len(every)))
        self._columns = _joint_columns(self.widths, self.layers)
        self._products = self._joined()
        own = {(model, layer): cols for model, layers in enumerate(self._columns) for layer, cols in layers.items()}
        self._own = {which: number for number, which in enumerate(own, start=len(self._products))}
        within = [(cols, cols) for cols in own.values()]
        plan = [(*both, accumulate) for both in self._products] + [(*both, torch.float64) for both in within]
        device = torch.device(device)
        self._groups = tuple(
            ComomentSums(own, plan, chunk_tokens=chunk_tokens, device=device, mode=mode) for _ in range(groups)
        )
        self._audit = PrecisionAudit(self._columns, groups=groups, device=device)

    @classmethod
    def of(
        cls,
        workload: Workload,
        tiles: Sequence[Tile],
        *,
        mode: PrecisionMode = "float32",
        device: torch.device | str = "cpu",
    ) -> "PairwiseAccumulator":
        """The accumulator of some ``tiles`` of a workload."""
        return cls(
            workload.widths,
            tiles=tiles,
            chunk_tokens=workload.chunk_tokens,
            mode=mode,
            accumulate=torch.float64 if workload.sum_bytes == 8 else torch.float32,
            groups=workload.groups,
            device=device,
        )

    def _joined(self) -> list[tuple[slice, slice]]:
        """The products of all tiles; products of the same rows with adjacent columns are joined."""
        joined: list[tuple[slice, slice]] = []
        order = sorted(self.tiles, key=lambda t: (t.x, t.x_layers.start, t.x_layers.stop, t.y, t.y_layers.start))
        for tile in order:
            rows, cols = self._range(tile.x, tile.x_layers), self._range(tile.y, tile.y_layers)
            if joined and joined[-1][0] == rows and joined[-1][1].stop == cols.start:
                joined[-1] = (rows, slice(joined[-1][1].start, cols.stop))
            else:
                joined.append((rows, cols))
        return joined

    def layer_slice(self, model: int, layers: range) -> slice:
        """The neurons of consecutive layers among all accumulated neurons of their model, as in :meth:`spread`."""
        columns, first = self._range(model, layers), min(cols.start for cols in self._columns[model].values())
        return slice(columns.start - first, columns.stop - first)

    def _range(self, model: int, layers: range) -> slice:
        """The columns of consecutive layers of a model in the joint matrix; raises ValueError if one is missing."""
        if any(layer not in self._columns[model] for layer in layers):
            raise ValueError(f"layers {layers} of model {model} were not accumulated")
        return slice(self._columns[model][layers[0]].start, self._columns[model][layers[-1]].stop)

    def add(self, values: Sequence[Float[Tensor, "token _"]], block: Int[Tensor, " token"]) -> None:
        """Add the activations of every model at the same tokens; ``block`` is the token block of each.

        Raises ValueError if the number of models, their neurons or the number of tokens differ, and
        :class:`NonFiniteActivationError` (at the end of a chunk) if an activation is not finite.
        """
        shapes = [tuple(v.shape) for v in values]
        kept = zip(self.widths, self.layers, strict=True)
        expected = [(len(block), sum(w[layer] for layer in layers)) for w, layers in kept]
        if shapes != expected:
            raise ValueError(f"activations of shapes {shapes}; expected {expected}")
        sampled = self._audit.sampled(values)
        for number in range(len(self._groups)):
            tokens = (block % len(self._groups) == number).nonzero()[:, 0].to(self.device)
            if len(tokens):
                self._groups[number].add(values, tokens)
                try:
                    self._audit.groups[number].add(sampled, tokens)
                except NonFiniteActivationError:
                    # The sample may lack the neuron with which it began, and would name a later layer.
                    self._groups[number].flush()
                    raise

    @property
    def device(self) -> torch.device:
        """The device of the sums."""
        return self._groups[0].mean.device

    def finish(self) -> None:
        """Sum up the last, partial chunk and release the buffers; no tokens can be added afterwards."""
        for group in (*self._groups, *self._audit.groups):
            group.finish()

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors from which an accumulator of the same tiles resumes to the last bit; views, not copies."""
        for name, group in self._named_groups():
            yield from ((f"{name}{tensor_name}", tensor) for tensor_name, tensor in group.state().items())

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Resume from :meth:`state`; raises ValueError or KeyError if it belongs to other tiles."""
        for prefix, group in self._named_groups():
            group.restore({name[len(prefix) :]: t for name, t in state.items() if name.startswith(prefix)})

    def _named_groups(self) -> Iterator[tuple[str, ComomentSums]]:
        for kind, groups in (("group", self._groups), ("sample", self._audit.groups)):
            yield from ((f"{kind} {number} ", group) for number, group in enumerate(groups))

    def largest_error(self, unions: Sequence[Sequence[int]]) -> float:
        """Largest difference of a sampled correlation from one of float64 activations and products.

        Taken over the tokens of each of ``unions`` of groups, which should be those that are scored: tokens that hardly
        differ, such as the first ones of all rows, have few digits left in a float32 product, which says nothing about
        a union in which they hardly weigh.  Infinite where only one of the two correlations is defined.  It ends the
        current chunk, so it is asked for after the last token.
        """
        for sums in (*self._groups, *self._audit.groups):
            sums.settle()
        errors = [0.0]
        for tile in self.tiles:
            x = [(tile.x, layer) for layer in tile.x_layers]
            y = [(tile.y, layer) for layer in tile.y_layers]
            summed = [self._sampled(group, x, y) for group in self._groups]
            exact = [self._audit.moments(group, x, y) for group in self._audit.groups]
            for union in unions:
                ours, theirs = (reduce(add, (parts[group] for group in union)) for parts in (summed, exact))
                errors.append(ours.largest_difference(theirs))
        return max(errors)

    def _sampled(self, group: ComomentSums, x: Sequence[LayerId], y: Sequence[LayerId]) -> SampledMoments:
        """The moments of the sampled neurons of some layers, from the sums of a group."""
        i, j = self._audit.joint_columns(x), self._audit.joint_columns(y)
        rows, cols = (self._range(side[0][0], range(side[0][1], side[-1][1] + 1)) for side in (x, y))
        number = self._number(rows, cols)
        first_x, first_y = (columns.start for columns in self._products[number])
        part = group.sums[number].index_select(0, i - first_x).index_select(1, j - first_y)
        return SampledMoments(group.spread(i), group.spread(j), part.double())

    def comoment(self, group: int, x: LayerRange, y: LayerRange) -> Float[Tensor, "x y"]:
        """The comoment of some layers of two models in one group: a view, which later tokens change.

        The transpose if (model, layers) come in the other order than in the tile.  Raises ValueError for layers that
        are not inside one tile.
        """
        if x[0] > y[0]:
            return self.comoment(group, y, x).T
        rows, cols = self._range(*x), self._range(*y)
        number = self._number(rows, cols)
        outer_rows, outer_cols = self._products[number]
        return self._settled(group).sums[number][_within(outer_rows, rows), _within(outer_cols, cols)]

    def _number(self, rows: slice, cols: slice) -> int:
        for number, (outer_rows, outer_cols) in enumerate(self._products):
            if _holds(outer_rows, rows) and _holds(outer_cols, cols):
                return number
        raise ValueError(f"columns {rows} and {cols} of the joint matrix were not accumulated together")

    def moments(self, groups: Sequence[int], model: int, layers: range) -> NeuronMoments:
        """The moments of consecutive layers of a model over the tokens of some groups.

        The moments of a single group are views, which later tokens change.
        """
        return reduce(add, (self._moments(group, model, layers) for group in groups))

    def _moments(self, number: int, model: int, layers: range) -> NeuronMoments:
        group, columns = self._settled(number), self._range(model, layers)
        comoments = []
        for layer in layers:
            sums = group.sums[self._own[model, layer]]
            # The variances come from float64: a self-product in float32 adds terms of one sign, and the spread of a
            # neuron below 1e-19 would underflow to 0.
            sums.diagonal().copy_(group.squares[self._columns[model][layer]])
            comoments.append(sums)
        return NeuronMoments(group.count, group.mean[columns], tuple(comoments))

    def spread(self, groups: Sequence[int], model: int) -> NeuronSpread:
        """Means and spreads of all accumulated layers of a model over the tokens of some groups.

        Layer by layer, so that never more than one layer's moments are held beside the groups'.
        """
        parts = [self.moments(groups, model, range(layer, layer + 1)).spread for layer in self.layers[model]]
        mean, squares = (torch.cat([getattr(part, name) for part in parts]) for name in ("mean", "squares"))
        return NeuronSpread(parts[0].count, mean, squares)

    def _settled(self, number: int) -> ComomentSums:
        self._groups[number].settle()
        return self._groups[number]


def _all_pairs(widths: Sequence[Sequence[int]]) -> tuple[Tile, ...]:
    return tuple(
        Tile(i, j, range(len(widths[i])), range(len(widths[j]))) for i, j in combinations(range(len(widths)), 2)
    )


def _joint_columns(widths: Sequence[Sequence[int]], layers: Sequence[Sequence[int]]) -> list[dict[int, slice]]:
    """The columns of each accumulated layer of each model in the joint matrix: model by model, layer by layer."""
    columns: list[dict[int, slice]] = []
    start = 0
    for own, kept in zip(widths, layers, strict=True):
        ends = list(running_sums((own[layer] for layer in kept), initial=start))
        columns.append({layer: slice(*both) for layer, both in zip(kept, pairwise(ends), strict=True)})
        start = ends[-1]
    return columns


def _holds(outer: slice, inner: slice) -> bool:
    return bool(outer.start <= inner.start and inner.stop <= outer.stop)


def _within(outer: slice, inner: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)


def cross_moments(
    x: Float[Tensor, "token x"],
    y: Float[Tensor, "token y"],
    *,
    x_widths: Sequence[int],
    y_widths: Sequence[int],
    chunk_tokens: int = 64,
) -> CrossMoments:
    """The cross moments of two activation matrices over the same tokens, at once.

    For little data: with short chunks, correlations of 1 stay within 1e-6 although there are few chunks to average.
    """
    accumulator = PairwiseAccumulator([x_widths, y_widths], chunk_tokens=chunk_tokens, groups=1, device=x.device)
    accumulator.add([x, y], torch.zeros(len(x), dtype=torch.int64, device=x.device))
    x_layers, y_layers = (0, range(len(x_widths))), (1, range(len(y_widths)))
    x_moments, y_moments = (accumulator.moments((0,), *layers) for layers in (x_layers, y_layers))
    return CrossMoments(x_moments, y_moments, accumulator.comoment(0, x_layers, y_layers))
