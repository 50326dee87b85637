"""The scores of several models against each other, pass by pass over blocks of their layers.

When a pass is over, all models that are compared with the same layers of one model y are scored together, so that a
layer is rotated once for all of them.  A few numbers per neuron are kept of each pass.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Literal

import torch
from torch import Tensor

from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.core.matmul import mode_of_products
from universal_neurons.core.moments import CrossMoments, NeuronSpread, merged_comoment
from universal_neurons.core.nulls import (
    DirectionVariances,
    Rotations,
    rotated,
    rotated_maxima,
    strips,
    whitened,
    whitening,
)
from universal_neurons.core.tiling import STRIP_ELEMENTS, LayerRange, Workload, is_cut, scored_elements, scored_parts
from universal_neurons.core.universality import RotationSettings, RunningScores, best_partners
from universal_neurons.ids import Rotation

Baseline = Literal[Rotation, "whitened"]
# Models (x, y): the neurons of x look for partners in y.
Direction = tuple[int, int]

# The groups of tokens that make up the whole and each half.
_WHOLE_AND_HALVES = ((0, 1), (0,), (1,))
# Bytes of one layer's rotations that stay on the host of a GPU: twenty of GPT-2 Small's.
_KEPT_BESIDE_GPU = 2**30
# The same on a CPU, where they share the memory of everything else.
_KEPT_ON_CPU = 2**26


@dataclass(frozen=True)
class ScoringRequest:
    """The directions (x, y) to score, models by position in the stream: neurons of x look for partners in y.

    ``rotated``: directions that are scored once more with every layer of both models rotated.  ``names``: of the models
    y, by position; the rotations depend on them.  ``workers``: threads that generate rotations ahead.
    """

    directions: tuple[Direction, ...]
    rotated: tuple[Direction, ...]
    names: tuple[str, ...]
    baseline: RotationSettings
    top_k: int
    half_top_k: int = 1
    workers: int = 0


@dataclass
class TileScores:
    """The running scores of all requested directions, and the spreads of all neurons so far.

    ``seconds``: scoring time so far, by the model y ("1") or by the direction of rotated models ("0 1").
    """

    workload: Workload
    request: ScoringRequest
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._running = {direction: self._empty(direction) for direction in self.request.directions}
        self._rotated = {direction: self._empty(direction) for direction in self.request.rotated}
        self._spreads = [
            torch.full((3, sum(widths)), torch.nan, dtype=torch.float64) for widths in self.workload.widths
        ]

    def _empty(self, direction: Direction) -> RunningScores:
        x, y = (self.workload.widths[model] for model in direction)
        request = self.request
        return RunningScores(x, y, baseline=request.baseline, top_k=request.top_k, half_top_k=request.half_top_k)

    def scores(self, x: int, y: int) -> RunningScores:
        """The scores of x against y."""
        return self._running[x, y]

    def rotated_scores(self, x: int, y: int) -> RunningScores:
        """The scores of x against y with every layer of both rotated."""
        return self._rotated[x, y]

    def spread(self, model: int) -> NeuronSpread:
        """Means and spreads of all neurons of a model over all tokens; NaN for layers of no pass."""
        count, mean, squares = self._spreads[model]
        return NeuronSpread(int(count.nan_to_num(nan=0.0).amax()), mean, squares)

    @property
    def unions(self) -> tuple[tuple[int, ...], ...]:
        """The unions of groups of tokens that are scored: the whole and the halves."""
        return _WHOLE_AND_HALVES

    def take(self, accumulator: PairwiseAccumulator) -> None:
        """Update the scores with the moments of a finished pass."""
        spreads = {
            (kind, model): accumulator.spread(groups, model)
            for kind, groups in enumerate(_WHOLE_AND_HALVES)
            for model, layers in enumerate(accumulator.layers)
            if layers
        }
        for model, layers in enumerate(accumulator.layers):
            if layers:
                self._keep(model, layers, accumulator, spreads[0, model])
        scorer = _PassScorer(self, accumulator, spreads)
        for y in sorted({y for _, y in (*self.request.directions, *self.request.rotated)}):
            scorer.score(y)

    def _keep(self, model: int, layers: Sequence[int], accumulator: PairwiseAccumulator, spread: NeuronSpread) -> None:
        for layer in layers:
            here = accumulator.layer_slice(model, range(layer, layer + 1))
            part = neurons_of(self.workload, (model, range(layer, layer + 1)))
            self._spreads[model][0, part] = spread.count
            self._spreads[model][1, part] = spread.mean[here].cpu()
            self._spreads[model][2, part] = spread.squares[here].cpu()

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors from which the scores resume, by name; views, not copies."""
        for kind, all_running in (("scores", self._running), ("rotated", self._rotated)):
            for (x, y), running in all_running.items():
                yield from ((f"{kind} {x} {y} {name}", tensor) for name, tensor in running.state())
        yield from ((f"spread {model}", values) for model, values in enumerate(self._spreads))


@dataclass(frozen=True, eq=False)
class PartnerMaxima:
    """The maxima of every neuron against one partner over one union of groups of tokens.

    ``tokens`` (1,): their number; ``best``: the largest correlation; ``draws`` (draw neuron): by baseline, the largest
    correlation with a rotated direction per draw.  Updated in place; NaN where nothing is known yet.
    """

    tokens: Tensor
    best: Tensor
    draws: Mapping[Baseline, Tensor]

    @classmethod
    def none(cls, neurons: int, baselines: Mapping[Baseline, int]) -> "PartnerMaxima":
        """Nothing known yet."""
        unknown = {name: torch.full((draws, neurons), torch.nan) for name, draws in baselines.items()}
        return cls(torch.zeros(1, dtype=torch.int64), torch.full((neurons,), torch.nan, dtype=torch.float64), unknown)

    def take(self, rows: slice, cross: CrossMoments, draws: Mapping[Baseline, Tensor]) -> None:
        """Update with some neurons (``rows``) against some layers of the partner."""
        self.tokens.fill_(cross.count)
        height, width = cross.comoment.shape
        for strip in strips(height, width, STRIP_ELEMENTS):
            neurons = slice(rows.start + strip.start, rows.start + strip.stop)
            best = best_partners(cross.correlation(strip), 1)[1][:, 0].cpu()
            self.best[neurons] = torch.fmax(self.best[neurons], best)
        for baseline, drawn in draws.items():
            known = self.draws[baseline]
            known[:, rows] = torch.fmax(known[:, rows], drawn.float().cpu())

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors from which the scores resume, by name; views, not copies."""
        yield from (("tokens", self.tokens), ("best", self.best))
        yield from ((f"draws {baseline}", drawn) for baseline, drawn in self.draws.items())


class GroupScores:
    """The maxima of the first model against all others over several unions of groups of tokens.

    ``baselines``: for every union the number of draws of each baseline; rotations of a whitened model are drawn as
    ``kind``.  ``names``: of the models by position.  ``seconds`` stays empty: all unions are one result.
    """

    def __init__(
        self,
        workload: Workload,
        baselines: Mapping[tuple[int, ...], Mapping[Baseline, int]],
        *,
        names: Sequence[str],
        kind: Rotation,
        seed: int,
        workers: int = 0,
    ) -> None:
        self.seconds: dict[str, float] = {}
        self._workload, self._baselines, self._names = workload, baselines, names
        self._kind, self._seed, self._workers = kind, seed, workers
        neurons = sum(workload.widths[0])
        self._maxima = {
            (partner, union): PartnerMaxima.none(neurons, draws)
            for partner in range(1, len(workload.widths))
            for union, draws in baselines.items()
        }

    def maxima(self, partner: int, union: tuple[int, ...]) -> PartnerMaxima:
        """The maxima over the groups of ``union`` against the model at position ``partner``."""
        return self._maxima[partner, union]

    @property
    def unions(self) -> tuple[tuple[int, ...], ...]:
        """The unions of groups of tokens that are scored."""
        return tuple(self._baselines)

    def take(self, accumulator: PairwiseAccumulator) -> None:
        """Update the scores with the moments of a finished pass."""
        # The shipped evidence was scored with this kernel.
        with mode_of_products("float32", device=accumulator.device):
            self._take_all(accumulator)

    def _take_all(self, accumulator: PairwiseAccumulator) -> None:
        spreads = {union: accumulator.spread(union, 0) for union in self._baselines}
        elements = _elements(self._workload, accumulator)
        for tile in accumulator.tiles:
            rotations = {kind: self._rotations(kind, tile.y) for kind in self._kinds()}
            try:
                x, y = [(0, tile.x_layers)], (tile.y, tile.y_layers)
                for rows, block in scored_parts(x, y, self._workload, elements=elements):
                    for union in self._baselines:
                        layers = [own for _, own in rows]
                        self._take(accumulator, spreads[union], union, layers, (tile.y, block), rotations)
            finally:
                for kept in rotations.values():
                    kept.close()

    def _kinds(self) -> set[Rotation]:
        return {self._drawn_as(baseline) for draws in self._baselines.values() for baseline in draws}

    def _drawn_as(self, baseline: Baseline) -> Rotation:
        return self._kind if baseline == "whitened" else baseline

    def _rotations(self, kind: Rotation, partner: int) -> Rotations:
        most = max(count for draws in self._baselines.values() for count in draws.values())
        return Rotations(kind, seed=self._seed, model=self._names[partner], draws=most, workers=self._workers)

    def _take(
        self,
        accumulator: PairwiseAccumulator,
        spread: NeuronSpread,
        union: tuple[int, ...],
        rows: Sequence[range],
        columns: LayerRange,
        rotations: Mapping[Rotation, Rotations],
    ) -> None:
        baselines, y = self._baselines[union], accumulator.moments(union, *columns)
        roots = whitening(y) if "whitened" in baselines else None
        for layers in rows:
            comoment = reduce(add, (_group_cross(accumulator, group, layers, columns) for group in union)).comoment
            cross = CrossMoments(spread[accumulator.layer_slice(0, layers)], y, comoment)
            draws: dict[Baseline, Tensor] = {}
            for baseline, count in baselines.items():
                basis = whitened(cross, roots=roots) if baseline == "whitened" else cross
                turns = rotations[self._drawn_as(baseline)]
                (draws[baseline],) = rotated_maxima([basis], draws=count, rotations=turns, first_layer=columns[1].start)
            self._maxima[columns[0], union].take(neurons_of(self._workload, (0, layers)), cross, draws)

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors from which the scores resume, by name; views, not copies."""
        for (partner, union), maxima in self._maxima.items():
            yield from ((f"{partner} {union} {name}", tensor) for name, tensor in maxima.state())


def _group_cross(accumulator: PairwiseAccumulator, group: int, layers: range, columns: LayerRange) -> CrossMoments:
    """The moments of some layers of the first model with some of another over one group of tokens."""
    x = accumulator.moments((group,), 0, layers).spread
    comoment = accumulator.comoment(group, (0, layers), columns)
    return CrossMoments(x, accumulator.moments((group,), *columns), comoment)


def _elements(workload: Workload, accumulator: PairwiseAccumulator) -> int:
    return scored_elements(cut=any(is_cut(workload, tile) for tile in accumulator.tiles))


def neurons_of(workload: Workload, layers: LayerRange) -> slice:
    """The neurons of consecutive layers of a model, numbered layer by layer."""
    model, block = layers
    widths = workload.widths[model]
    return slice(sum(widths[: block.start]), sum(widths[: block.stop]))


class _PassScorer:
    """Scoring of the moments of one finished pass."""

    def __init__(
        self, scores: TileScores, accumulator: PairwiseAccumulator, spreads: Mapping[tuple[int, int], NeuronSpread]
    ) -> None:
        self._scores, self._accumulator, self._spreads = scores, accumulator, spreads
        self._workload, self._request = scores.workload, scores.request
        self._elements = _elements(self._workload, accumulator)

    def score(self, y: int) -> None:
        """Score all models that look for partners in model ``y``."""
        baseline = self._request.baseline
        on_gpu = self._request.workers > 0
        rotations = Rotations(
            baseline.kind,
            seed=baseline.seed,
            model=self._request.names[y],
            draws=baseline.draws,
            kept_bytes=_KEPT_BESIDE_GPU if on_gpu else _KEPT_ON_CPU,
            workers=self._request.workers,
        )
        # In a pass the moments of a layer of y are the same for all parts of x.
        plain: list[DirectionVariances] = [{} for _ in _WHOLE_AND_HALVES]
        turned: list[DirectionVariances] = [{} for _ in _WHOLE_AND_HALVES]
        try:
            for rows, columns in self._parts(y, self._request.directions):
                with self._timed(f"{y}"):
                    self._score_part(rows, columns, rotations, plain)
            for rows, columns in self._parts(y, self._request.rotated):
                for x in rows:
                    with self._timed(f"{x[0]} {y}"):
                        self._score_rotated(x, columns, rotations, turned)
        finally:
            rotations.close()

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to an entry of the scores."""
        start, seconds = time.perf_counter(), self._scores.seconds
        try:
            yield
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start

    def _parts(self, y: int, directions: Sequence[Direction]) -> Iterator[tuple[list[LayerRange], LayerRange]]:
        """The layers of all models x that are scored at once against some layers of ``y``, in stream order."""
        rows_of: dict[range, list[LayerRange]] = {}
        for columns, rows in sorted(self._tiles(y, directions), key=lambda s: (s[0].start, s[1][0], s[1][1].start)):
            rows_of.setdefault(columns, []).append(rows)
        for columns, all_rows in rows_of.items():
            for part, block in scored_parts(all_rows, (y, columns), self._workload, elements=self._elements):
                yield part, (y, block)

    def _tiles(self, y: int, directions: Sequence[Direction]) -> Iterator[tuple[range, LayerRange]]:
        """Layers of ``y``, and the layers of another model against them, of every tile in either direction."""
        for tile in self._accumulator.tiles:
            if tile.y == y and (tile.x, y) in directions:
                yield tile.y_layers, (tile.x, tile.x_layers)
            if tile.x == y and (tile.y, y) in directions:
                yield tile.x_layers, (tile.y, tile.y_layers)

    def _score_part(
        self,
        rows: Sequence[LayerRange],
        columns: LayerRange,
        rotations: Rotations,
        variances: Sequence[DirectionVariances],
    ) -> None:
        by_union = list(zip(*self._crosses(rows, columns), strict=True))
        draws_by_union = self._draws(by_union, columns, rotations, variances)
        per_model = zip(rows, zip(*by_union, strict=True), zip(*draws_by_union, strict=True), strict=True)
        for x, crosses, draws in per_model:
            self._scores.scores(x[0], columns[0]).take(*self._where(x, columns), crosses, draws)

    def _draws(
        self,
        by_union: Sequence[Sequence[CrossMoments]],
        columns: LayerRange,
        rotations: Rotations,
        variances: Sequence[DirectionVariances],
    ) -> list[tuple[Tensor, ...]]:
        """The rotated maxima of the whole and of each half, of every model; ``variances`` of each of the three."""
        counts, first = self._request.baseline.counts, columns[1].start
        return [
            rotated_maxima(crosses, draws=count, rotations=rotations, first_layer=first, variances=known)
            for crosses, count, known in zip(by_union, counts, variances, strict=True)
        ]

    def _where(self, x: LayerRange, columns: LayerRange) -> tuple[slice, int]:
        return neurons_of(self._workload, x), neurons_of(self._workload, columns).start

    def _crosses(self, rows: Sequence[LayerRange], columns: LayerRange) -> Iterator[tuple[CrossMoments, ...]]:
        """The moments of the whole and of the halves, of every model of ``rows``."""
        accumulator = self._accumulator
        ys = [accumulator.moments(groups, *columns) for groups in _WHOLE_AND_HALVES]
        for model, layers in rows:
            part = accumulator.layer_slice(model, layers)
            xs = [self._spreads[union, model][part] for union in range(len(_WHOLE_AND_HALVES))]
            comoments = [accumulator.comoment(group, (model, layers), columns) for group in (0, 1)]
            a, b = (CrossMoments(*half) for half in zip(xs[1:], ys[1:], comoments, strict=True))
            yield CrossMoments(xs[0], ys[0], merged_comoment(a, b)), a, b

    def _score_rotated(
        self, x: LayerRange, columns: LayerRange, rotations: Rotations, variances: Sequence[DirectionVariances]
    ) -> None:
        """Score a pair after rotating every layer of both models, which leaves no neuron in it."""
        baseline, accumulator = self._request.baseline, self._accumulator
        names = (self._request.names[x[0]], self._request.names[columns[0]])
        a, b = (
            rotated(
                CrossMoments(
                    accumulator.moments((group,), *x),
                    accumulator.moments((group,), *columns),
                    accumulator.comoment(group, x, columns),
                ),
                kind=baseline.kind,
                seed=baseline.seed,
                models=names,
                first_layers=(x[1].start, columns[1].start),
            )
            for group in (0, 1)
        )
        crosses = (a + b, a, b)
        draws = [drawn for (drawn,) in self._draws([[cross] for cross in crosses], columns, rotations, variances)]
        self._scores.rotated_scores(x[0], columns[0]).take(*self._where(x, columns), crosses, draws)
