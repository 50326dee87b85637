"""Which parts of the pairs' matrices are summed up in one pass over the tokens, so that they fit into memory.

This module decides the passes: pure arithmetic on numbers of neurons and bytes.  It refuses to know what is summed up,
on which device, and how much memory there is.

A *tile* is a block of layers of one model against a block of layers of another.  A pass holds, per group of tokens, the
comoments of its tiles and those of every layer in them with itself (the baseline of a layer needs it), so a pass is
scored when it ends and nothing of it stays.  Every pass streams the tokens again: the fewest passes are the cheapest.
Where everything fits there is one pass, and one tile per pair.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise, product
from math import ceil

# Means of this many chunks of tokens wait until they are folded into the moments.
FOLD_EVERY = 64
# Elements of a product that wait beside sums of another type.
SCRATCH_ELEMENTS = 2**25
# Elements of comoments that are scored at once, unless a layer against a layer has more; where pairs are cut into
# tiles, memory is short, and half of that has to do.
SCORED_ELEMENTS = 2**25
# Of what scoring holds in float64 beside them, strip by strip, and of a product with rotated directions.
STRIP_ELEMENTS = 2**21
ROTATED_ELEMENTS = 2**23
# Sums of a layer with itself are float64 whatever the others are: the variance of a rotated direction is small in it.
LAYER_BYTES = 8
# Bytes of float64, and of int64.
_WIDE = 8
_VALUE = 4
# Copies of a strip that scoring holds: what it reads, its scale, its rank, and what comes of them.
_STRIP_COPIES = 6
# What libraries and the allocator hold beside what is asked of them: measured at the largest layers.
_OVERHEAD = 160 * 2**20
# Finer cuts than this fit hardly better and take seconds to compare.
_MOST_PARTS = 64


class BudgetTooSmall(ValueError):
    """Not even one layer against one layer fits; ``needed`` is how many bytes would do."""

    def __init__(self, budget: int, needed: int) -> None:
        super().__init__(
            f"memory: expected at least {in_units(needed)} for one layer against one layer, got {in_units(budget)}"
        )
        self.needed = needed


@dataclass(frozen=True, slots=True)
class Tile:
    """Layers ``x_layers`` of the model at place ``x`` of the stream against ``y_layers`` of the one at ``y``; x < y."""

    x: int
    y: int
    x_layers: range
    y_layers: range

    def __str__(self) -> str:
        sides = ((self.x, self.x_layers), (self.y, self.y_layers))
        return " x ".join(f"{model}:{layers.start}-{layers.stop - 1}" for model, layers in sides)


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be summed up.

    ``widths``: neurons per layer of every model of the stream; ``pairs``: the wanted ones, (i, j) with i < j.
    ``groups``: of tokens whose moments are kept apart.  ``sum_bytes``: of one sum over chunks (float64 8, float32 4);
    ``value_bytes``: of one activation in a product.  ``chunk_tokens``: in one product; ``batch_tokens``: in one forward
    pass.  ``resident``: bytes that are taken throughout, such as the models' weights.  ``rotated_null``: whether pairs
    of rotated models are scored too; ``whitened``: pairs of which one model is whitened.  ``abreast``: how many models
    read at a time.

    Raises ValueError for a pair that is none of the models'.
    """

    widths: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[int, int], ...]
    groups: int = 2
    sum_bytes: int = 8
    value_bytes: int = 4
    chunk_tokens: int = 1024
    batch_tokens: int = 4096
    resident: int = 0
    rotated_null: bool = False
    whitened: bool = False
    abreast: int = 1

    def __post_init__(self) -> None:
        if not self.pairs or any(not 0 <= i < j < len(self.widths) for i, j in self.pairs):
            raise ValueError(f"pairs {self.pairs} of {len(self.widths)} models")

    def shape(self, tile: Tile) -> tuple[int, int]:
        """Rows and columns of a tile."""
        rows = sum(self.widths[tile.x][layer] for layer in tile.x_layers)
        return rows, sum(self.widths[tile.y][layer] for layer in tile.y_layers)

    def whole(self) -> tuple[Tile, ...]:
        """One tile per pair."""
        return tuple(
            Tile(i, j, range(len(self.widths[i])), range(len(self.widths[j]))) for i, j in sorted(set(self.pairs))
        )


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes of one pass.

    ``resident``: throughout; ``sums``: comoments of the tiles; ``layers``: of the layers with themselves; ``buffers``:
    chunks of tokens and the means of those that wait; ``batch``: activations of one forward pass; ``scratch``: one
    product before it is added up; ``scores``: what scoring holds, when buffers, batch and scratch are gone.
    """

    resident: int
    sums: int
    layers: int
    buffers: int
    batch: int
    scratch: int
    scores: int

    @property
    def kept(self) -> int:
        """What is held from the first token to the last score."""
        return self.resident + self.sums + self.layers

    @property
    def streaming(self) -> int:
        """The most that is held while tokens stream by."""
        return self.kept + self.buffers + self.batch + self.scratch

    @property
    def scoring(self) -> int:
        """The most that is held while the pass is scored."""
        return self.kept + self.scores

    @property
    def total(self) -> int:
        """The most that is held at any time."""
        return max(self.streaming, self.scoring)


@dataclass(frozen=True, slots=True)
class Pass:
    """Tiles that are summed up while the tokens stream by once, and what that takes."""

    tiles: tuple[Tile, ...]
    needs: Needs

    def layers(self, model: int) -> tuple[int, ...]:
        """The layers of a model whose activations the pass needs, in ascending order."""
        return layers_of(self.tiles, model)


def layers_of(tiles: Sequence[Tile], model: int) -> tuple[int, ...]:
    """The layers of a model that occur in ``tiles``, in ascending order."""
    wanted = {layer for tile in tiles if tile.x == model for layer in tile.x_layers}
    return tuple(sorted(wanted.union(*(tile.y_layers for tile in tiles if tile.y == model))))


def passes(work: Workload, budget: int | None, *, tiles: Sequence[Tile] | None = None) -> tuple[Pass, ...]:
    """The fewest passes that stay below ``budget`` bytes each; one if there is no budget or everything fits.

    ``tiles``: what is still to be summed up, by default everything.  Every element of theirs lies in exactly one tile
    of one pass.  Among equally many passes those with the fewest tiles are taken, so that products stay large.
    Raises :class:`BudgetTooSmall`.
    """
    wanted = work.whole() if tiles is None else tuple(tiles)
    together = Pass(wanted, needs(work, wanted))
    if budget is None or together.needs.total <= budget:
        return (together,)
    smallest = max(needs(work, (_widest_block(work, tile),)).total for tile in wanted)
    if smallest > budget:
        raise BudgetTooSmall(budget, smallest)
    found: tuple[Pass, ...] = ()
    for x_parts, y_parts in _cuts(wanted):
        cut = [part for tile in wanted for part in _grid(tile, x_parts, y_parts)]
        if found and x_parts * y_parts > _MOST_PARTS:
            break
        if max(needs(work, (tile,)).total for tile in _largest(work, cut)) <= budget:
            packed = _packed(work, cut, budget)
            if not found or len(packed) < len(found):
                found = packed
        if found and len(found) <= _fewest(work, wanted, budget):
            break
    return found


def halved(work: Workload, tiles: Sequence[Tile]) -> tuple[Pass, Pass] | None:
    """The tiles of a pass that did not fit as two passes; None where there is but one layer against one layer."""
    ordered = list(tiles)
    if len(ordered) == 1:
        (tile,) = ordered
        longer = len(tile.x_layers) >= len(tile.y_layers)
        if len(tile.x_layers) * len(tile.y_layers) == 1:
            return None
        ordered = list(_grid(tile, 2, 1) if longer else _grid(tile, 1, 2))
    first, second = tuple(ordered[: len(ordered) // 2]), tuple(ordered[len(ordered) // 2 :])
    return Pass(first, needs(work, first)), Pass(second, needs(work, second))


def needs(work: Workload, tiles: Sequence[Tile]) -> Needs:
    """The bytes that a pass over ``tiles`` takes."""
    return reduce(_Held.with_tile, tiles, _Held(work)).needs()


@dataclass(frozen=True, slots=True)
class _Held:
    """What of tiles decides their bytes, so that one tile more is not counted from the beginning.

    ``layers``: of every model, as the bits of a number; ``columns``: their neurons; ``squares``: the sum of squares of
    these; ``sums``: elements of the tiles; ``against``: of those that have a model, for every model; ``largest``: of
    the largest; ``widest``: neurons of the widest layer; ``cut``: whether a tile is less than a pair.
    """

    work: Workload
    layers: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    squares: int = 0
    sums: int = 0
    against: tuple[int, ...] = ()
    largest: int = 0
    widest: int = 0
    cut: bool = False

    def with_tile(self, tile: Tile) -> "_Held":
        rows, columns = self.work.shape(tile)
        nothing = (0,) * len(self.work.widths)
        layers, neurons, against = (list(known or nothing) for known in (self.layers, self.columns, self.against))
        squares, widest = self.squares, self.widest
        for model, block in ((tile.x, tile.x_layers), (tile.y, tile.y_layers)):
            against[model] += rows * columns
            for layer in block:
                if not layers[model] >> layer & 1:
                    width = self.work.widths[model][layer]
                    layers[model] |= 1 << layer
                    neurons[model] += width
                    squares += width * width
                    widest = max(widest, width)
        sums, largest = self.sums + rows * columns, max(self.largest, rows * columns)
        cut = self.cut or is_cut(self.work, tile)
        return _Held(self.work, tuple(layers), tuple(neurons), squares, sums, tuple(against), largest, widest, cut)

    def needs(self) -> Needs:
        work, columns, most = self.work, sum(self.columns), max(self.columns)
        # Products of one block of layers with several models are one product.
        product = min(SCRATCH_ELEMENTS, most * columns) if work.sum_bytes != work.value_bytes else 0
        pending = FOLD_EVERY * columns * _WIDE * 2
        return Needs(
            resident=work.resident,
            sums=self.sums * work.sum_bytes * work.groups,
            layers=self.squares * LAYER_BYTES * work.groups,
            buffers=(work.chunk_tokens * columns * work.value_bytes + pending) * work.groups + 2 * pending,
            # Of a model that reads, all layers are caught before its scored tokens are copied out of them.
            batch=work.batch_tokens * (columns + 2 * most * work.abreast) * _VALUE,
            scratch=max(product, self.widest**2) * work.value_bytes,
            scores=self._score_bytes(),
        )

    def _score_bytes(self) -> int:
        """What scoring holds.

        Of all tiles that look for partners in one model the whole, which is the sum of the groups, and a layer of it in
        float32; or, when these are gone, of a pair of rotated models, in float64, both halves twice and their sum, or
        of a pair with a whitened model, in float64, its layers and these beside each other.  More than two groups are
        added up one by one, the sum so far beside the next.  A layer's own whole, twice; its rotation.  And what
        libraries need.
        """
        layer, limit = self.widest**2, scored_elements(cut=self.cut)
        scored = max(min(limit, max(self.against)), min(layer, self.largest))
        pair = max(min(limit, self.largest), min(layer, self.largest))
        turned = 5 * _WIDE * pair if self.work.rotated_null else 0
        added = pair * self.work.sum_bytes if self.work.groups > 2 else 0
        added = max(added, 2 * _WIDE * pair if self.work.whitened else 0)
        strips = STRIP_ELEMENTS * _WIDE * _STRIP_COPIES + ROTATED_ELEMENTS * _VALUE
        held = scored * self.work.sum_bytes + min(scored, sum(self.columns) * self.widest) * _VALUE
        return max(held + added, turned) + (2 * LAYER_BYTES + _VALUE) * layer + strips + _OVERHEAD


def is_cut(work: Workload, tile: Tile) -> bool:
    """Whether a tile is less than a pair."""
    return len(tile.x_layers) < len(work.widths[tile.x]) or len(tile.y_layers) < len(work.widths[tile.y])


def scored_elements(*, cut: bool) -> int:
    """How many elements are scored at once in a pass, by whether pairs are cut into tiles in it."""
    return SCORED_ELEMENTS // 2 if cut else SCORED_ELEMENTS


def operations_per_token(work: Workload, tiles: Sequence[Tile]) -> int:
    """Floating-point operations that one token costs in a pass over ``tiles``, without its forward passes."""
    crosses = sum(rows * columns for rows, columns in map(work.shape, tiles))
    within = sum(
        work.widths[model][layer] ** 2 for model in range(len(work.widths)) for layer in layers_of(tiles, model)
    )
    return 2 * (crosses + within)


def layer_blocks(widths: Sequence[int], *, bytes_per_neuron: int, budget: int | None) -> tuple[range, ...]:
    """Consecutive layers of one model, as many at a time as fit below ``budget`` bytes, at least one."""
    blocks: list[range] = []
    start, held = 0, 0
    for layer, width in enumerate(widths):
        if budget is not None and layer > start and (held + width) * bytes_per_neuron > budget:
            blocks.append(range(start, layer))
            start, held = layer, 0
        held += width
    return (*blocks, range(start, len(widths)))


def scored_parts(
    rows: Sequence[tuple[int, range]], columns: tuple[int, range], work: Workload, *, elements: int = SCORED_ELEMENTS
) -> Iterator[tuple[list[tuple[int, range]], range]]:
    """What is scored at once of several models' layers ``rows`` against the layers ``columns`` of one.

    Everything, where it has at most so many ``elements``; else few layers of ``columns`` and, of these, of
    ``rows``.  Each yields (model, layers) of the rows, and the layers of the columns.
    """
    model, layers = columns
    height = sum(work.widths[row][layer] for row, block in rows for layer in block)
    for block in _blocks(work.widths[model], layers, elements // height):
        width = sum(work.widths[model][layer] for layer in block)
        yield from ((part, block) for part in _row_parts(rows, work, elements // width))


def _row_parts(rows: Sequence[tuple[int, range]], work: Workload, neurons: int) -> Iterator[list[tuple[int, range]]]:
    part: list[tuple[int, range]] = []
    held = 0
    for model, layers in rows:
        for block in _blocks(work.widths[model], layers, neurons):
            size = sum(work.widths[model][layer] for layer in block)
            if part and held + size > neurons:
                yield part
                part, held = [], 0
            part.append((model, block))
            held += size
    if part:
        yield part


def _blocks(widths: Sequence[int], layers: range, neurons: int) -> list[range]:
    """``layers`` in consecutive blocks of at most ``neurons`` neurons, at least one layer each."""
    chosen = [widths[layer] for layer in layers]
    blocks = layer_blocks(chosen, bytes_per_neuron=1, budget=neurons)
    return [layers[block.start : block.stop] for block in blocks]


def _widest_block(work: Workload, tile: Tile) -> Tile:
    """One layer against one layer of the tile, those with the most neurons."""
    x = max(tile.x_layers, key=lambda layer: work.widths[tile.x][layer])
    y = max(tile.y_layers, key=lambda layer: work.widths[tile.y][layer])
    return replace(tile, x_layers=range(x, x + 1), y_layers=range(y, y + 1))


def _cuts(tiles: Sequence[Tile]) -> list[tuple[int, int]]:
    """In how many parts the two sides of every tile may be cut, from coarse to fine."""
    rows, columns = max(len(tile.x_layers) for tile in tiles), max(len(tile.y_layers) for tile in tiles)
    cuts = [(x, y) for x in range(1, rows + 1) for y in range(1, columns + 1)]
    return sorted(cuts, key=lambda cut: (cut[0] * cut[1], cut))


def _grid(tile: Tile, x_parts: int, y_parts: int) -> list[Tile]:
    """The tile cut into as many parts a side, whose sizes differ by at most one layer."""
    sides = (_even(tile.x_layers, x_parts), _even(tile.y_layers, y_parts))
    return [replace(tile, x_layers=x, y_layers=y) for x, y in product(*sides)]


def _even(layers: range, parts: int) -> list[range]:
    count = min(parts, len(layers))
    edges = [len(layers) * part // count for part in range(count + 1)]
    return [layers[start:stop] for start, stop in pairwise(edges)]


def _largest(work: Workload, tiles: Sequence[Tile]) -> list[Tile]:
    """The tiles among which the one that needs most is: the first of every shape."""
    shapes = {(work.shape(tile), tile.x, tile.y): tile for tile in reversed(tiles)}
    return list(shapes.values())


def _packed(work: Workload, tiles: Sequence[Tile], budget: int) -> tuple[Pass, ...]:
    """The tiles in order, as many in each pass as fit."""
    packed: list[Pass] = []
    members: list[Tile] = []
    held = _Held(work)
    for tile in tiles:
        together = held.with_tile(tile)
        if members and together.needs().total > budget:
            packed.append(Pass(tuple(members), held.needs()))
            members, together = [], _Held(work).with_tile(tile)
        members.append(tile)
        held = together
    packed.append(Pass(tuple(members), held.needs()))
    return tuple(packed)


def _fewest(work: Workload, tiles: Sequence[Tile], budget: int) -> int:
    """A number of passes that nothing can go below: the sums of the tiles alone, in what is not taken throughout."""
    sums = needs(work, tiles).sums
    return max(1, ceil(sums / max(1, budget - work.resident)))


def in_units(size: int) -> str:
    """A number of bytes as one reads it.

    >>> in_units(3 * 2**29)
    '1.5 GiB'
    """
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"
