"""The scores of all wanted directions of several models, pass by pass over blocks of their layers.

This module decides what is scored together when a pass is over: for one model y and some of its layers, all models that
look for partners there, so that a layer is rotated once for all of them.  It refuses to know how many passes there are:
what it keeps of one is a few numbers per neuron.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Literal

import torch
from torch import Tensor

from universal_neurons.core.matmul import fastest_checked_precision
from universal_neurons.core.moments import CrossMoments, NeuronSpread, PairwiseAccumulator, merged_comoment
from universal_neurons.core.nulls import Rotation, Rotations, rotated, rotated_maxima, strips, whitened, whitening
from universal_neurons.core.tiling import STRIP_ELEMENTS, Tile, Workload, is_cut, scored_elements, scored_parts
from universal_neurons.core.universality import RotationSettings, RunningScores, best_partners

Baseline = Literal["gaussian", "orthogonal", "whitened"]
Direction = tuple[int, int]
Layers = tuple[int, range]

# The groups of tokens that make up the whole and each half.
_KINDS = ((0, 1), (0,), (1,))
# The rotations of one layer that are kept on the host of a GPU: twenty of GPT-2 Small's.
_KEPT_BESIDE_A_GPU = 2**30
# On a processor they share its memory: those of a model with two thousand neurons.
_KEPT = 2**26


@dataclass(frozen=True)
class Wanted:
    """What is to be scored: ``directions`` (x, y) by the models' places in the stream, whose x look for partners in y.

    ``rotated``: directions that are scored once more with every layer of both models rotated.  ``names``: of the models
    y, by place; the rotations depend on them.  ``workers``: processes of this machine that make rotations ahead.
    """

    directions: tuple[Direction, ...]
    rotated: tuple[Direction, ...]
    names: tuple[str, ...]
    baseline: RotationSettings
    top_k: int
    workers: int = 0


@dataclass
class TileScores:
    """The running scores of everything that is wanted, and the spreads of all neurons that were seen.

    ``seconds``: what scoring took so far, by the model y, or by the direction of a pair of rotated models.
    """

    work: Workload
    wanted: Wanted
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._running = {which: self._empty(which) for which in self.wanted.directions}
        self._rotated = {which: self._empty(which) for which in self.wanted.rotated}
        self._spreads = [torch.full((3, sum(widths)), torch.nan, dtype=torch.float64) for widths in self.work.widths]

    def _empty(self, direction: Direction) -> RunningScores:
        x, y = (self.work.widths[model] for model in direction)
        return RunningScores(x, y, baseline=self.wanted.baseline, top_k=self.wanted.top_k)

    def scores(self, x: int, y: int) -> RunningScores:
        """The scores of x against y."""
        return self._running[x, y]

    def rotated_scores(self, x: int, y: int) -> RunningScores:
        """The scores of x against y where every layer of both is rotated."""
        return self._rotated[x, y]

    def spread(self, model: int) -> NeuronSpread:
        """Means and spreads of all neurons of a model over all tokens; NaN where no pass needed them."""
        count, mean, squares = self._spreads[model]
        return NeuronSpread(int(count.nan_to_num(nan=0.0).amax()), mean, squares)

    @property
    def unions(self) -> tuple[tuple[int, ...], ...]:
        """Of groups of tokens, those that are scored: the whole and the halves."""
        return _KINDS

    def take(self, accumulator: PairwiseAccumulator) -> None:
        """Score what a finished pass has accumulated."""
        spreads = {
            (kind, model): accumulator.spread(groups, model)
            for kind, groups in enumerate(_KINDS)
            for model, layers in enumerate(accumulator.layers)
            if layers
        }
        for model, layers in enumerate(accumulator.layers):
            if layers:
                self._keep(model, layers, accumulator, spreads[0, model])
        scorer = _Pass(self, accumulator, spreads)
        for y in sorted({y for _, y in (*self.wanted.directions, *self.wanted.rotated)}):
            scorer.score(y)

    def _keep(self, model: int, layers: Sequence[int], accumulator: PairwiseAccumulator, spread: NeuronSpread) -> None:
        for layer in layers:
            here = accumulator.place(model, range(layer, layer + 1))
            part = neurons_of(self.work, (model, range(layer, layer + 1)))
            self._spreads[model][0, part] = spread.count
            self._spreads[model][1, part] = spread.mean[here].cpu()
            self._spreads[model][2, part] = spread.squares[here].cpu()

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Everything that was taken in so far, by name."""
        for kind, all_running in (("scores", self._running), ("rotated", self._rotated)):
            for (x, y), running in all_running.items():
                yield from ((f"{kind} {x} {y} {name}", tensor) for name, tensor in running.state())
        yield from ((f"spread {model}", values) for model, values in enumerate(self._spreads))

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from :meth:`state`; raises KeyError or RuntimeError if it is that of something else."""
        for name, tensor in self.state():
            tensor.copy_(state[name])


@dataclass(frozen=True, eq=False)
class GroupFound:
    """What is known of one kind of tokens against one partner: ``tokens`` (1,), the ``best`` correlation of every
    neuron, and, by baseline, the largest rotated one per draw (draw neuron)."""

    tokens: Tensor
    best: Tensor
    draws: Mapping[Baseline, Tensor]

    @classmethod
    def none(cls, neurons: int, baselines: Mapping[Baseline, int]) -> "GroupFound":
        """Nothing yet."""
        unknown = {name: torch.full((draws, neurons), torch.nan) for name, draws in baselines.items()}
        return cls(torch.zeros(1, dtype=torch.int64), torch.full((neurons,), torch.nan, dtype=torch.float64), unknown)

    def take(self, rows: slice, cross: CrossMoments, draws: Mapping[Baseline, Tensor]) -> None:
        """Take in some neurons against some layers of the partner."""
        self.tokens.fill_(cross.count)
        height, width = cross.comoment.shape
        for strip in strips(height, width, STRIP_ELEMENTS):
            place = slice(rows.start + strip.start, rows.start + strip.stop)
            best = best_partners(cross.correlation(strip), 1)[1][:, 0].cpu()
            self.best[place] = torch.fmax(self.best[place], best)
        for baseline, drawn in draws.items():
            known = self.draws[baseline]
            known[:, rows] = torch.fmax(known[:, rows], drawn.float().cpu())

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Everything that was taken in so far, by name."""
        yield from (("tokens", self.tokens), ("best", self.best))
        yield from ((f"draws {baseline}", drawn) for baseline, drawn in self.draws.items())


class GroupScores:
    """The scores of the first model against all others over several unions of groups of tokens.

    ``asked``: of every union the baselines, and over how many draws; a whitened one is drawn as ``kind``.  ``names``:
    of the models by place.  ``seconds`` stays empty: all of it is one result.
    """

    def __init__(
        self,
        work: Workload,
        asked: Mapping[tuple[int, ...], Mapping[Baseline, int]],
        *,
        names: Sequence[str],
        kind: Rotation,
        seed: int,
        workers: int = 0,
    ) -> None:
        self.seconds: dict[str, float] = {}
        self._work, self._asked, self._names = work, asked, names
        self._kind, self._seed, self._workers = kind, seed, workers
        neurons = sum(work.widths[0])
        self._found = {
            (place, used): GroupFound.none(neurons, baselines)
            for place in range(1, len(work.widths))
            for used, baselines in asked.items()
        }

    def found(self, place: int, used: tuple[int, ...]) -> GroupFound:
        """What is known of the groups ``used`` against the model at ``place``."""
        return self._found[place, used]

    @property
    def unions(self) -> tuple[tuple[int, ...], ...]:
        """Of groups of tokens, those that are scored."""
        return tuple(self._asked)

    def take(self, accumulator: PairwiseAccumulator) -> None:
        """Score what a finished pass has accumulated."""
        # What was shipped was scored with this kernel, so it stays.
        with fastest_checked_precision(device=accumulator.device):
            self._take_all(accumulator)

    def _take_all(self, accumulator: PairwiseAccumulator) -> None:
        spreads = {used: accumulator.spread(used, 0) for used in self._asked}
        elements = _elements(self._work, accumulator)
        for tile in accumulator.tiles:
            turns = {kind: self._rotations(kind, tile.y) for kind in self._kinds()}
            try:
                sides = [(0, tile.x_layers)], (tile.y, tile.y_layers)
                for rows, block in scored_parts(*sides, self._work, elements=elements):
                    for used in self._asked:
                        self._take(
                            accumulator, spreads[used], used, [layers for _, layers in rows], (tile.y, block), turns
                        )
            finally:
                for rotations in turns.values():
                    rotations.close()

    def _kinds(self) -> set[Rotation]:
        return {self._drawn_as(baseline) for baselines in self._asked.values() for baseline in baselines}

    def _drawn_as(self, baseline: Baseline) -> Rotation:
        return self._kind if baseline == "whitened" else baseline

    def _rotations(self, kind: Rotation, place: int) -> Rotations:
        most = max(draws for baselines in self._asked.values() for draws in baselines.values())
        return Rotations(kind, seed=self._seed, model=self._names[place], draws=most, workers=self._workers)

    def _take(
        self,
        read: PairwiseAccumulator,
        spread: NeuronSpread,
        used: tuple[int, ...],
        rows: Sequence[range],
        columns: Layers,
        turns: Mapping[Rotation, Rotations],
    ) -> None:
        baselines, y = self._asked[used], read.moments(used, *columns)
        roots = whitening(y) if "whitened" in baselines else None
        for layers in rows:
            comoment = reduce(add, (_group_cross(read, group, layers, columns) for group in used)).comoment
            cross = CrossMoments(spread[read.place(0, layers)], y, comoment)
            draws: dict[Baseline, Tensor] = {}
            for baseline, count in baselines.items():
                turned = whitened(cross, roots=roots) if baseline == "whitened" else cross
                kind = self._drawn_as(baseline)
                (draws[baseline],) = rotated_maxima(
                    [turned], draws=count, kind=kind, seed=self._seed, model=self._names[columns[0]],
                    first_layer=columns[1].start, rotations=turns[kind],
                )  # fmt: skip
            self._found[columns[0], used].take(neurons_of(self._work, (0, layers)), cross, draws)

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Everything that was taken in so far, by name."""
        for (place, used), found in self._found.items():
            yield from ((f"{place} {used} {name}", tensor) for name, tensor in found.state())

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from :meth:`state`; raises KeyError or RuntimeError if it is that of something else."""
        for name, tensor in self.state():
            tensor.copy_(state[name])


def _group_cross(read: PairwiseAccumulator, group: int, layers: range, columns: Layers) -> CrossMoments:
    """The moments of some layers of the first model with some of another over one group of tokens."""
    x = read.moments((group,), 0, layers).spread
    return CrossMoments(x, read.moments((group,), *columns), read.comoment(group, (0, layers), columns))


def _elements(work: Workload, accumulator: PairwiseAccumulator) -> int:
    return scored_elements(cut=any(is_cut(work, tile) for tile in accumulator.tiles))


def neurons_of(work: Workload, layers: Layers) -> slice:
    """The neurons of consecutive layers of a model, numbered layer by layer."""
    model, block = layers
    widths = work.widths[model]
    return slice(sum(widths[: block.start]), sum(widths[: block.stop]))


class _Pass:
    """What one pass has accumulated, being scored."""

    def __init__(
        self, scores: TileScores, accumulator: PairwiseAccumulator, spreads: Mapping[tuple[int, int], NeuronSpread]
    ) -> None:
        self._scores, self._accumulator, self._spreads = scores, accumulator, spreads
        self._work, self._wanted = scores.work, scores.wanted
        self._elements = _elements(self._work, accumulator)

    def score(self, y: int) -> None:
        """Everything that looks for partners in model ``y``."""
        baseline = self._wanted.baseline
        on_gpu = self._wanted.workers > 0
        turns = Rotations(
            baseline.kind,
            seed=baseline.seed,
            model=self._wanted.names[y],
            draws=baseline.draws,
            kept_bytes=_KEPT_BESIDE_A_GPU if on_gpu else _KEPT,
            workers=self._wanted.workers,
        )
        try:
            for columns, rows in self._rows(y, self._wanted.directions).items():
                for part, block in scored_parts(rows, (y, columns), self._work, elements=self._elements):
                    with self._timed(f"{y}"):
                        self._score_part(part, (y, block), turns)
            for columns, rows in self._rows(y, self._wanted.rotated).items():
                for part, block in scored_parts(rows, (y, columns), self._work, elements=self._elements):
                    for side in part:
                        with self._timed(f"{side[0]} {y}"):
                            self._score_rotated(side, (y, block), turns)
        finally:
            turns.close()

    def _timed(self, name: str) -> "_Timer":
        return _Timer(self._scores.seconds, name)

    def _rows(self, y: int, directions: Sequence[Direction]) -> dict[range, list[Layers]]:
        """The layers of all models that are wanted against the same layers of ``y``, in the order of the stream."""
        found: dict[range, list[Layers]] = {}
        for columns, rows in sorted(self._sides(y, directions), key=lambda s: (s[0].start, s[1][0], s[1][1].start)):
            found.setdefault(columns, []).append(rows)
        return found

    def _sides(self, y: int, directions: Sequence[Direction]) -> Iterator[tuple[range, Layers]]:
        tiles: Sequence[Tile] = self._accumulator.tiles
        for tile in tiles:
            if tile.y == y and (tile.x, y) in directions:
                yield tile.y_layers, (tile.x, tile.x_layers)
            if tile.x == y and (tile.y, y) in directions:
                yield tile.x_layers, (tile.y, tile.y_layers)

    def _score_part(self, part: Sequence[Layers], columns: Layers, turns: Rotations) -> None:
        baseline = self._wanted.baseline
        by_kind = list(zip(*self._crosses(part, columns), strict=True))
        drawn = [
            rotated_maxima(
                crosses, draws=count, kind=baseline.kind, seed=baseline.seed, model=self._wanted.names[columns[0]],
                first_layer=columns[1].start, rotations=turns,
            )
            for crosses, count in zip(by_kind, baseline.counts, strict=True)
        ]  # fmt: skip
        per_side = zip(part, zip(*by_kind, strict=True), zip(*drawn, strict=True), strict=True)
        for side, crosses, draws in per_side:
            self._scores.scores(side[0], columns[0]).take(*self._where(side, columns), crosses, draws)

    def _where(self, side: Layers, columns: Layers) -> tuple[slice, int]:
        return neurons_of(self._work, side), neurons_of(self._work, columns).start

    def _crosses(self, part: Sequence[Layers], columns: Layers) -> Iterator[tuple[CrossMoments, ...]]:
        """The moments of the whole and of the halves, of every side with the same columns."""
        read = self._accumulator
        ys = [read.moments(groups, *columns) for groups in _KINDS]
        for model, layers in part:
            xs = [self._spreads[kind, model][read.place(model, layers)] for kind in range(len(_KINDS))]
            a, b = (CrossMoments(xs[g + 1], ys[g + 1], read.comoment(g, (model, layers), columns)) for g in (0, 1))
            yield CrossMoments(xs[0], ys[0], merged_comoment(a, b)), a, b

    def _score_rotated(self, side: Layers, columns: Layers, turns: Rotations) -> None:
        """What is left of a pair when every layer of both models has been rotated: no neuron is in it any more."""
        baseline, read = self._wanted.baseline, self._accumulator
        names = (self._wanted.names[side[0]], self._wanted.names[columns[0]])
        a, b = (
            rotated(
                CrossMoments(
                    read.moments((group,), *side),
                    read.moments((group,), *columns),
                    read.comoment(group, side, columns),
                ),
                kind=baseline.kind, seed=baseline.seed, draw=0, models=names,
                first_layers=(side[1].start, columns[1].start),
            )
            for group in (0, 1)
        )  # fmt: skip
        crosses = (a + b, a, b)
        draws = [
            rotated_maxima(
                [cross], draws=count, kind=baseline.kind, seed=baseline.seed, model=names[1],
                first_layer=columns[1].start, rotations=turns,
            )[0]
            for cross, count in zip(crosses, baseline.counts, strict=True)
        ]  # fmt: skip
        self._scores.rotated_scores(side[0], columns[0]).take(*self._where(side, columns), crosses, draws)


class _Timer:
    """Adds the seconds of its block to an entry."""

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds, self._name, self._start = seconds, name, 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + time.perf_counter() - self._start
