"""A pair of models with 24 layers of 4096 neurons, one pass of many under two gibibytes, as a process of its own.

Prints JSON: the number of passes, their planned memory, the memory of the process beyond its models, and the largest
difference of its correlations and maxima from float64.  Run by test_large_shape.py.
"""

import json
import sys
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from tests.core.oracle import correlation
from universal_neurons.artifacts.provenance import peak_memory_bytes
from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.core.activations import mlp_activations, stream
from universal_neurons.core.moments import layer_slices
from universal_neurons.core.nulls import rotation
from universal_neurons.core.scoring import ScoringRequest, TileScores
from universal_neurons.core.tiling import Pass, Workload, passes
from universal_neurons.core.universality import RotationSettings
from universal_neurons.inputs.bridge import random_bridge

LAYERS, WIDTH, CONTEXT, ROWS = 24, 4096, 64, 8
BASELINE = RotationSettings("gaussian", seed=0, draws=1, half_draws=1)


def bridge(seed: int) -> Any:
    torch.manual_seed(seed)
    return random_bridge(layers=LAYERS, width=16, heads=2, mlp=WIDTH, vocabulary=97, context=CONTEXT)


def accumulated(work: Workload, one: Pass, models: list[Any], rows: Tensor) -> PairwiseAccumulator:
    accumulator = PairwiseAccumulator.of(work, one.tiles)
    mask = torch.ones_like(rows, dtype=torch.bool)
    streams = [stream(model, rows, mask, batch_rows=4, layers=one.layers(place)) for place, model in enumerate(models)]
    for parts in zip(*streams, strict=True):
        accumulator.add([part.values for part in parts], parts[0].row)
    accumulator.finish()
    return accumulator


def activations(model: Any, rows: Tensor, layer: int) -> Tensor:
    return mlp_activations(model, rows, layers=[layer]).flatten(0, 1).double()


def largest_error(one: Pass, accumulator: PairwiseAccumulator, scores: TileScores, models: list[Any], rows: Tensor,
                  ) -> dict[str, float]:  # fmt: skip
    """Largest error of the correlations of all blocks in each half, and of the maxima over the pass."""
    errors = {"correlation": 0.0, "best": 0.0, "baseline": 0.0}
    block = torch.arange(ROWS).repeat_interleave(CONTEXT)
    for tile in one.tiles:
        for i in tile.x_layers:
            x, best, turned = activations(models[0], rows, i), [], []
            for j in tile.y_layers:
                y = activations(models[1], rows, j)
                for group in (0, 1):
                    own = block % 2 == group
                    expected = correlation(x[own], y[own])
                    ours = accumulator.comoment(group, (0, range(i, i + 1)), (1, range(j, j + 1)))
                    sides = ((0, range(i, i + 1)), (1, range(j, j + 1)))
                    norms = [accumulator.moments((group,), *side).inverse_norm for side in sides]
                    found = ours * norms[0][:, None] * norms[1]
                    errors["correlation"] = max(errors["correlation"], difference(found, expected))
                best.append(correlation(x, y).amax(1))
                turn = rotation("gaussian", WIDTH, seed=0, draw=0, model="y", layer=j).double()
                turned.append(correlation(x, y @ turn.T).amax(1))
            found_here = scores.scores(0, 1).scores()
            neurons = layer_slices([WIDTH] * LAYERS)[i]
            for name, ours, theirs in (
                ("best", found_here.best_correlation[neurons], torch.stack(best).amax(0)),
                ("baseline", found_here.baseline_draws[0, neurons], torch.stack(turned).amax(0)),
            ):
                errors[name] = max(errors[name], difference(ours, theirs))
    return errors


def difference(found: Tensor, expected: Tensor) -> float:
    """Infinite where one is undefined and the other is not: no error may hide behind NaN, which compares as nothing."""
    if not torch.equal(found.isnan(), expected.isnan()):
        return float("inf")
    return float((found - expected).abs().nan_to_num(nan=0.0).amax())


def warm_up(models: list[Any], rows: Tensor) -> None:
    """Run everything once, small, so that libraries have loaded what they keep."""
    work = Workload(widths=((256,), (256,)), pairs=((0, 1),))
    values = [mlp_activations(model, rows[:4], layers=[0]).flatten(0, 1)[:, :256] for model in models]
    accumulator = PairwiseAccumulator(work.widths)
    accumulator.add(values, torch.arange(len(values[0])))
    TileScores(work, ScoringRequest(((0, 1),), (), ("x", "y"), BASELINE, top_k=2)).take(accumulator)


def main(budget: int) -> None:
    work = Workload(widths=((WIDTH,) * LAYERS,) * 2, pairs=((0, 1),), chunk_tokens=64, batch_tokens=4 * CONTEXT)
    planned = passes(work, budget)
    one = planned[len(planned) // 2]
    models = [bridge(seed) for seed in (1, 2)]
    rows = torch.randint(97, (ROWS, CONTEXT), generator=torch.Generator().manual_seed(3))
    warm_up(models, rows)
    before = int(peak_memory_bytes() or 0)
    accumulator = accumulated(work, one, models, rows)
    scores = TileScores(work, ScoringRequest(((0, 1),), (), ("x", "y"), BASELINE, top_k=2))
    scores.take(accumulator)
    taken = int(peak_memory_bytes() or 0) - before
    every = [block for p in planned for t in p.tiles for block in product(t.x_layers, t.y_layers)]
    report = {
        "passes": len(planned),
        "blocks": len(set(every)),
        "planned": max(p.memory.total for p in planned),
        "taken": taken,
        **largest_error(replace(one), accumulator, scores, models, rows),
        "sampled": accumulator.largest_error([(0,), (1,)]),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(int(sys.argv[1]))
