"""Passes over the tokens that each fit into memory: arithmetic on numbers of neurons and bytes.

A *tile* is a block of layers of one model against a block of layers of another.  A pass holds, per group of tokens, the
comoments of its tiles and of every layer in them with itself (the baseline of a layer needs it), and is scored and
released when it ends.  Every pass streams the tokens again: the fewest passes are the cheapest.  If everything fits
there is one pass, and one tile per pair.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from math import ceil

# Number of chunks of tokens whose means are merged into the moments at once.
FOLD_EVERY = 64
# Rows and columns of a product that is held before it is added to sums of another type: large enough for the fastest
# kernels, small enough for a CPU's cache.
PRODUCT_WIDTH = 1024
PRODUCT_ELEMENTS = PRODUCT_WIDTH**2
# Elements of comoments that are scored at once, unless a layer against a layer has more; half of them if pairs are cut
# into tiles, because memory is short then.
SCORED_ELEMENTS = 2**25
# Elements that scoring holds in float64 beside them, strip by strip, and of a product with rotated directions.
STRIP_ELEMENTS = 2**21
ROTATED_ELEMENTS = 2**23
# Sums of a layer with itself are always float64: the variance of a rotated direction is a small difference of them.
LAYER_BYTES = 8
# Bytes of float64 (and int64), and of float32.
_WIDE = 8
_VALUE = 4
# Copies of a strip that scoring holds: its values, their scale, their ranks, and results.
_STRIP_COPIES = 6
# Bytes that libraries and the allocator hold beside the tensors: measured at the largest layers.
_OVERHEAD = 160 * 2**20
# Finer cuts hardly fit better and take seconds to compare.
_MOST_PARTS = 64


# Consecutive layers of a model of the stream.
LayerRange = tuple[int, range]


class BudgetTooSmall(ValueError):
    """Not even one layer against one layer fits; ``needed``: the bytes that it takes."""

    def __init__(self, budget: int, needed: int) -> None:
        super().__init__(
            f"memory: expected at least {in_units(needed)} for one layer against one layer, got {in_units(budget)}"
        )
        self.needed = needed


@dataclass(frozen=True, slots=True)
class Tile:
    """Layers ``x_layers`` of model ``x`` against ``y_layers`` of model ``y``, by position in the stream; x < y."""

    x: int
    y: int
    x_layers: range
    y_layers: range


@dataclass(frozen=True, slots=True)
class Workload:
    """The pairs of models to sum up and the sizes that decide their memory.

    ``widths``: neurons per layer of every model of the stream; ``pairs``: (i, j) with i < j.  ``groups``: groups of
    tokens with moments of their own.  ``sum_bytes``: bytes of one sum over chunks (float64 8, float32 4);
    ``value_bytes``: of one activation in a product.  ``chunk_tokens``: tokens in one product; ``batch_tokens``: in one
    forward pass.  ``resident``: bytes taken throughout, such as the models' weights.  ``rotated_null``: pairs of
    rotated models are scored too; ``whitened``: pairs with one model whitened are.  ``abreast``: number of models that
    are read at a time.

    Raises ValueError for no pair, or a pair that is none of the models'.
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
        x, y = self.widths[tile.x], self.widths[tile.y]
        return sum(x[tile.x_layers.start : tile.x_layers.stop]), sum(y[tile.y_layers.start : tile.y_layers.stop])

    def whole(self) -> tuple[Tile, ...]:
        """One tile per pair."""
        return tuple(
            Tile(i, j, range(len(self.widths[i])), range(len(self.widths[j]))) for i, j in sorted(set(self.pairs))
        )


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes of one pass.

    ``resident``: throughout; ``sums``: comoments of the tiles; ``layers``: of the layers with themselves; ``buffers``:
    chunks of tokens and means not merged yet; ``batch``: activations of one forward pass; ``scratch``: one block
    of a product per group, before it is added; ``scores``: held while scoring, after buffers, batch and scratch are
    released.
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
        """Bytes held from the first token to the last score."""
        return self.resident + self.sums + self.layers

    @property
    def streaming(self) -> int:
        """Peak while the tokens are streamed."""
        return self.kept + self.buffers + self.batch + self.scratch

    @property
    def scoring(self) -> int:
        """Peak while the pass is scored."""
        return self.kept + self.scores

    @property
    def total(self) -> int:
        """Peak of the pass."""
        return max(self.streaming, self.scoring)


@dataclass(frozen=True, slots=True)
class Pass:
    """Tiles that are summed up in one stream of the tokens, and the memory that it takes."""

    tiles: tuple[Tile, ...]
    memory: MemoryEstimate

    def layers(self, model: int) -> tuple[int, ...]:
        """The layers of a model whose activations the pass needs, in ascending order."""
        return layers_of(self.tiles, model)


def layers_of(tiles: Sequence[Tile], model: int) -> tuple[int, ...]:
    """The layers of a model that occur in ``tiles``, in ascending order."""
    layers = {layer for tile in tiles if tile.x == model for layer in tile.x_layers}
    return tuple(sorted(layers.union(*(tile.y_layers for tile in tiles if tile.y == model))))


def passes(workload: Workload, budget: int, *, tiles: Sequence[Tile] | None = None) -> tuple[Pass, ...]:
    """The fewest passes that stay below ``budget`` bytes each; one if everything fits.

    ``tiles``: the tiles that are left, by default all pairs whole.  Every element of them lies in exactly one tile of
    one pass.  Among equally many passes those with the fewest tiles are taken, so that products stay large.  Raises
    :class:`BudgetTooSmall`.
    """
    whole = workload.whole() if tiles is None else tuple(tiles)
    together = Pass(whole, memory_estimate(workload, whole))
    if together.memory.total <= budget:
        return (together,)
    smallest = max(memory_estimate(workload, (_widest_block(workload, tile),)).total for tile in whole)
    if smallest > budget:
        raise BudgetTooSmall(budget, smallest)
    fewest: tuple[Sequence[Tile], ...] = ()
    for x_parts, y_parts in _cuts(whole):
        cut = [part for tile in whole for part in _grid(tile, x_parts, y_parts)]
        if fewest and x_parts * y_parts > _MOST_PARTS:
            break
        if max(memory_estimate(workload, (tile,)).total for tile in _largest(workload, cut)) <= budget:
            fewest = _packed(workload, cut, budget, fewer_than=len(fewest) or None) or fewest
        if fewest and len(fewest) <= _lower_bound(workload, whole, budget):
            break
    return tuple(Pass(tuple(members), memory_estimate(workload, members)) for members in fewest)


def halved(workload: Workload, tiles: Sequence[Tile]) -> tuple[Pass, Pass] | None:
    """Split a pass that did not fit into two; None for one layer against one layer."""
    ordered = list(tiles)
    if len(ordered) == 1:
        (tile,) = ordered
        longer = len(tile.x_layers) >= len(tile.y_layers)
        if len(tile.x_layers) * len(tile.y_layers) == 1:
            return None
        ordered = list(_grid(tile, 2, 1) if longer else _grid(tile, 1, 2))
    first, second = tuple(ordered[: len(ordered) // 2]), tuple(ordered[len(ordered) // 2 :])
    return Pass(first, memory_estimate(workload, first)), Pass(second, memory_estimate(workload, second))


def memory_estimate(workload: Workload, tiles: Sequence[Tile]) -> MemoryEstimate:
    """The bytes that a pass over ``tiles`` takes."""
    totals = _TileTotals(workload)
    for tile in tiles:
        totals.add(tile)
    return totals.memory()


@dataclass(slots=True)
class _TileTotals:
    """Running totals over tiles that decide their bytes, so that adding a tile does not count from the beginning.

    ``layers``: of every model; ``columns``: their neurons; ``squares``: the sum of squared
    widths; ``sums``: elements of the tiles; ``against``: elements of the tiles of every model; ``largest``: elements of
    the largest tile; ``widest``: neurons of the widest layer; ``cut``: True if a tile is less than a pair.
    """

    workload: Workload
    layers: list[set[int]] = field(init=False)
    columns: list[int] = field(init=False)
    against: list[int] = field(init=False)
    squares: int = 0
    sums: int = 0
    largest: int = 0
    widest: int = 0
    cut: bool = False

    def __post_init__(self) -> None:
        models = len(self.workload.widths)
        self.layers, self.columns, self.against = [set() for _ in range(models)], [0] * models, [0] * models

    def add(self, tile: Tile) -> None:
        rows, columns = self.workload.shape(tile)
        elements = rows * columns
        for model, layers in ((tile.x, tile.x_layers), (tile.y, tile.y_layers)):
            self.against[model] += elements
            new = [self.workload.widths[model][layer] for layer in layers if layer not in self.layers[model]]
            self.layers[model].update(layers)
            self.columns[model] += sum(new)
            self.squares += sum(width * width for width in new)
            self.widest = max(self.widest, *new) if new else self.widest
        self.sums += elements
        self.largest = max(self.largest, elements)
        self.cut = self.cut or is_cut(self.workload, tile)

    def memory(self) -> MemoryEstimate:
        workload, columns, most = self.workload, sum(self.columns), max(self.columns)
        pending = FOLD_EVERY * columns * _WIDE * 2
        return MemoryEstimate(
            resident=workload.resident,
            sums=self.sums * workload.sum_bytes * workload.groups,
            layers=self.squares * LAYER_BYTES * workload.groups,
            buffers=(workload.chunk_tokens * columns * workload.value_bytes + pending) * workload.groups + 2 * pending,
            # All layers of a model are captured before its scored tokens are copied out of them.
            batch=workload.batch_tokens * (columns + 2 * most * workload.abreast) * _VALUE,
            scratch=PRODUCT_ELEMENTS * workload.value_bytes * workload.groups,
            scores=self._score_bytes(columns),
        )

    def _score_bytes(self, columns: int) -> int:
        """Bytes that scoring holds.

        The sum of the groups over all tiles against one model, and a layer of it in float32; or, afterwards, a pair of
        rotated models in float64 (both halves twice and their sum) or a pair with a whitened model in float64 (its
        layers before and after).  More than two groups are added one by one, the sum beside the next.  The layer's own
        comoment twice, its rotation, and the overhead of libraries.
        """
        layer, limit = self.widest**2, scored_elements(cut=self.cut)
        scored = max(min(limit, max(self.against)), min(layer, self.largest))
        pair = max(min(limit, self.largest), min(layer, self.largest))
        turned = 5 * _WIDE * pair if self.workload.rotated_null else 0
        added = pair * self.workload.sum_bytes if self.workload.groups > 2 else 0
        added = max(added, 2 * _WIDE * pair if self.workload.whitened else 0)
        strips = STRIP_ELEMENTS * _WIDE * _STRIP_COPIES + ROTATED_ELEMENTS * _VALUE
        held = scored * self.workload.sum_bytes + min(scored, columns * self.widest) * _VALUE
        return max(held + added, turned) + (2 * LAYER_BYTES + _VALUE) * layer + strips + _OVERHEAD


def is_cut(workload: Workload, tile: Tile) -> bool:
    """True if a tile is less than a whole pair."""
    return len(tile.x_layers) < len(workload.widths[tile.x]) or len(tile.y_layers) < len(workload.widths[tile.y])


def scored_elements(*, cut: bool) -> int:
    """Number of elements that are scored at once; ``cut``: pairs are cut into tiles."""
    return SCORED_ELEMENTS // 2 if cut else SCORED_ELEMENTS


def operations_per_token(workload: Workload, tiles: Sequence[Tile]) -> int:
    """Floating-point operations per token of a pass over ``tiles``, without forward passes."""
    crosses = sum(rows * columns for rows, columns in map(workload.shape, tiles))
    within = sum(
        workload.widths[model][layer] ** 2 for model in range(len(workload.widths)) for layer in layers_of(tiles, model)
    )
    return 2 * (crosses + within)


def layer_blocks(widths: Sequence[int], *, bytes_per_neuron: int, budget: int) -> tuple[range, ...]:
    """Split the layers of a model into consecutive blocks below ``budget`` bytes each, at least one layer per block."""
    blocks: list[range] = []
    start, held = 0, 0
    for layer, width in enumerate(widths):
        if layer > start and (held + width) * bytes_per_neuron > budget:
            blocks.append(range(start, layer))
            start, held = layer, 0
        held += width
    return (*blocks, range(start, len(widths)))


def scored_parts(
    rows: Sequence[LayerRange],
    columns: LayerRange,
    workload: Workload,
    *,
    elements: int = SCORED_ELEMENTS,
) -> Iterator[tuple[list[LayerRange], range]]:
    """Split layers ``rows`` of several models against layers ``columns`` of one into parts of at most ``elements``.

    A part is some layers of ``columns`` and as many of ``rows`` as fit, at least one each.  Yields the (model, layers)
    of the rows and the layers of the columns.
    """
    model, layers = columns
    height = sum(workload.widths[row][layer] for row, block in rows for layer in block)
    for block in _blocks(workload.widths[model], layers, elements // height):
        width = sum(workload.widths[model][layer] for layer in block)
        yield from ((part, block) for part in _row_parts(rows, workload, elements // width))


def _row_parts(rows: Sequence[LayerRange], workload: Workload, neurons: int) -> Iterator[list[LayerRange]]:
    part: list[LayerRange] = []
    held = 0
    for model, layers in rows:
        for block in _blocks(workload.widths[model], layers, neurons):
            size = sum(workload.widths[model][layer] for layer in block)
            if part and held + size > neurons:
                yield part
                part, held = [], 0
            part.append((model, block))
            held += size
    if part:
        yield part


def _blocks(widths: Sequence[int], layers: range, neurons: int) -> list[range]:
    """Split ``layers`` into consecutive blocks of at most ``neurons`` neurons, at least one layer each."""
    chosen = [widths[layer] for layer in layers]
    blocks = layer_blocks(chosen, bytes_per_neuron=1, budget=neurons)
    return [layers[block.start : block.stop] for block in blocks]


def _widest_block(workload: Workload, tile: Tile) -> Tile:
    """The widest layer of x against the widest layer of y."""
    x = max(tile.x_layers, key=lambda layer: workload.widths[tile.x][layer])
    y = max(tile.y_layers, key=lambda layer: workload.widths[tile.y][layer])
    return replace(tile, x_layers=range(x, x + 1), y_layers=range(y, y + 1))


def _cuts(tiles: Sequence[Tile]) -> list[tuple[int, int]]:
    """Numbers of parts to cut the layers of x and of y into, from coarse to fine."""
    rows, columns = max(len(tile.x_layers) for tile in tiles), max(len(tile.y_layers) for tile in tiles)
    cuts = [(x, y) for x in range(1, rows + 1) for y in range(1, columns + 1)]
    return sorted(cuts, key=lambda cut: (cut[0] * cut[1], cut))


def _grid(tile: Tile, x_parts: int, y_parts: int) -> list[Tile]:
    """Cut a tile into parts whose sizes differ by at most one layer."""
    blocks = product(_even(tile.x_layers, x_parts), _even(tile.y_layers, y_parts))
    return [Tile(tile.x, tile.y, x, y) for x, y in blocks]


def _even(layers: range, parts: int) -> list[range]:
    count = min(parts, len(layers))
    edges = [len(layers) * part // count for part in range(count + 1)]
    return [layers[start:stop] for start, stop in pairwise(edges)]


def _largest(workload: Workload, tiles: Sequence[Tile]) -> list[Tile]:
    """The first tile of every shape; the largest is among them."""
    shapes = {(workload.shape(tile), tile.x, tile.y): tile for tile in reversed(tiles)}
    return list(shapes.values())


def _packed(
    workload: Workload, tiles: Sequence[Tile], budget: int, *, fewer_than: int | None = None
) -> tuple[Sequence[Tile], ...] | None:
    """The tiles in order, as many in each pass as fit; None unless there are ``fewer_than`` so many passes."""
    packed: list[Sequence[Tile]] = []
    start, totals = 0, _TileTotals(workload)
    for number, tile in enumerate(tiles):
        totals.add(tile)
        if number > start and totals.memory().total > budget:
            packed.append(tiles[start:number])
            # Another pass follows.
            if fewer_than is not None and len(packed) + 1 >= fewer_than:
                return None
            start, totals = number, _TileTotals(workload)
            totals.add(tile)
    return (*packed, tiles[start:])


def _lower_bound(workload: Workload, tiles: Sequence[Tile], budget: int) -> int:
    """A lower bound on the number of passes: the sums of the tiles alone over the memory that is left for them."""
    sums = memory_estimate(workload, tiles).sums
    return max(1, ceil(sums / max(1, budget - workload.resident)))


def in_units(size: int) -> str:
    """Format a number of bytes.

    >>> in_units(3 * 2**29)
    '1.5 GiB'
    """
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"
