"""Cost of the engine at the true shape of GPT-2 Small: five models of 12 x 3072 neurons on a GPU, as JSON.

Run by ``nox -s shape`` (``python tests/bench/bench_shape.py``); without a GPU the same code runs at a reduced size.
Weights are random: the time of a product does not depend on what is multiplied.  Every precision is measured in a
process of its own, so that peak memory is its own.  Size: ``--layers --width --models --tokens --draws``.

For each precision:

- ``ceiling_flops``: a product of chunks, shaped as the engine's, repeated, and nothing else;
- ``tokens_per_second``: all models' forward passes, all pairs' products, sums in two halves;
- ``fraction_of_ceiling``: the operations of these products over the time of the pass, over the ceiling;
- ``forward_share``: the time of the forward passes alone over that of the pass;
- ``largest_error``: of a sampled correlation, against float64 activations and sums;
- ``planned_pass`` and ``planned_scores``: seconds that the plan expects of these, over the measured ones;
- ``draws_share``: share of the rotation draws in the whole (pass and scores) at five million tokens;
- ``paper_hours``: passes and scores of the suite ``paper``, four steps of five million tokens each with the nulls, at
  the speeds that were measured: by numbers of operations where the shape here is not GPT-2 Small's.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from universal_neurons.artifacts.provenance import peak_memory_bytes
from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.core.activations import stream
from universal_neurons.core.matmul import BOUNDS, PrecisionMode, add_product, mode_of_products, operands
from universal_neurons.core.scoring import ScoringRequest, TileScores
from universal_neurons.core.tiling import Pass, Workload, operations_per_token, passes
from universal_neurons.core.universality import RotationSettings
from universal_neurons.inputs.bridge import random_bridge
from universal_neurons.inputs.suite import load_suite, project_root
from universal_neurons.stages.batches import CHUNK_TOKENS
from universal_neurons.stages.calibration import measured_speed
from universal_neurons.stages.costs import Cost, Shape, Sizes, WorkKind
from universal_neurons.stages.passes import ahead
from universal_neurons.stages.resources import free_bytes, less_margin, rotation_workers
from universal_neurons.stages.universality import moments_cost, scoring_cost

PAPER_TOKENS, PAPER_STEPS = 5_000_000, 4
CONTEXT, VOCABULARY, BATCH_TOKENS, BLOCKS = 512, 2048, 4096, 100


@dataclass(frozen=True)
class Size:
    """The size that is measured; ``embedding``: width of the residual stream."""

    models: int
    layers: int
    width: int
    embedding: int
    tokens: int
    draws: int

    @classmethod
    def usual(cls, device: str) -> "Size":
        """GPT-2 Small's shape and a million tokens on a GPU; elsewhere a minute of a CPU."""
        if device == "cuda":
            return cls(models=5, layers=12, width=3072, embedding=768, tokens=1_000_000, draws=20)
        return cls(models=5, layers=4, width=256, embedding=64, tokens=16_384, draws=20)


def synchronised(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(device: str, work: Callable[[], object]) -> float:
    synchronised(device)
    start = time.perf_counter()
    work()
    synchronised(device)
    return time.perf_counter() - start


def bridges(size: Size, device: str) -> list[Any]:
    """Untrained models; their unembedding is never used, so their vocabulary is small."""
    made = []
    for seed in range(size.models):
        torch.manual_seed(seed)
        bridge = random_bridge(
            layers=size.layers, width=size.embedding, heads=max(1, size.embedding // 64), mlp=size.width,
            vocabulary=VOCABULARY, context=CONTEXT,
        )  # fmt: skip
        made.append(bridge.to(device) if device != "cpu" else bridge)
    return made


def ceiling(work: Workload, mode: PrecisionMode, device: str) -> float:
    """Operations per second of a product of the engine's shape, with sums in place."""
    neurons = sum(work.widths[0])
    generator = torch.Generator().manual_seed(0)
    wide = min(neurons * (len(work.widths) - 1), 2 * neurons)
    x, y = (torch.randn(work.chunk_tokens, columns, generator=generator).to(device) for columns in (neurons, wide))
    x, y = operands(x, mode), operands(y, mode)
    total = torch.zeros(neurons, wide, device=device)
    with mode_of_products(mode, device=device):
        add_product(total, x, y)
        repeats = 20 if device == "cuda" else 3
        best = min(seconds(device, lambda: add_product(total, x, y)) for _ in range(repeats))
    return 2 * work.chunk_tokens * neurons * wide / best


def tokens_of(size: Size) -> tuple[Tensor, Tensor]:
    rows = torch.randint(VOCABULARY, (-(-size.tokens // CONTEXT), CONTEXT), generator=torch.Generator().manual_seed(1))
    return rows, torch.ones_like(rows, dtype=torch.bool)


def batches(models: list[Any], rows: Tensor, mask: Tensor, device: str) -> Any:
    """The batches of all models, as the pipeline streams them."""
    step = BATCH_TOKENS // CONTEXT
    streams = zip(*(stream(bridge, rows, mask, batch_rows=step) for bridge in models), strict=True)
    read = (([one.values for one in parts], parts[0].row.cpu() * BLOCKS // len(rows)) for parts in streams)
    return ahead(read, torch.device(device))


def one_pass(
    one: Pass, work: Workload, models: list[Any], mode: PrecisionMode, device: str, size: Size
) -> PairwiseAccumulator:
    accumulator = PairwiseAccumulator.of(work, one.tiles, mode=mode, device=device)
    rows, mask = tokens_of(size)
    with mode_of_products(mode, device=device):
        for values, block in batches(models, rows, mask, device):
            accumulator.add(values, block)
        accumulator.finish()
    return accumulator


def forward(models: list[Any], device: str, size: Size) -> None:
    rows, mask = tokens_of(size)
    for _ in batches(models, rows, mask, device):
        pass


def measured(mode: PrecisionMode, device: str, size: Size) -> dict[str, Any]:
    models = bridges(size, device)
    work = Workload(
        widths=((size.width,) * size.layers,) * size.models,
        pairs=tuple(combinations(range(size.models), 2)),
        sum_bytes=8 if device == "cpu" else 4,
        chunk_tokens=CHUNK_TOKENS[device],
        batch_tokens=BATCH_TOKENS,
    )
    small = replace(size, tokens=min(size.tokens, 4 * BATCH_TOKENS))
    with mode_of_products(mode, device=device):
        seconds(device, lambda: forward(models, device, small))
        alone = seconds(device, lambda: forward(models, device, size))
    fastest = ceiling(work, mode, device)
    before = peak_memory_bytes() or 0
    within = less_margin(free_bytes(torch.device(device)), torch.device(device).type)
    planned = passes(work, within)
    spent, operations, errors = 0.0, 0, []
    found: dict[int, float] = {}
    for one in planned:
        held: list[PairwiseAccumulator] = []
        took = seconds(device, lambda o=one, h=held: h.append(one_pass(o, work, models, mode, device, size)))  # type: ignore[misc]
        spent += took
        operations += operations_per_token(work, one.tiles) * size.tokens
        errors.append(held[0].largest_error([(0,), (1,)]))
        for draws in (1, size.draws):
            found[draws] = found.get(draws, 0.0) + seconds(
                device,
                lambda h=held, d=draws: scores(work, d, device).take(h[0]),  # type: ignore[misc]
            )
        del held
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else (peak_memory_bytes() or 0) - before
    expected_pass, expected_scores = planned_seconds(work, within, mode, device, size)
    streaming = PAPER_TOKENS * spent / size.tokens
    drawn = (found[size.draws] - found[1]) * size.draws / max(1, size.draws - 1)
    return {
        "mode": mode,
        "passes": len(planned),
        "planned_bytes": max(one.memory.total for one in planned),
        "peak_bytes": peak,
        "ceiling_flops": fastest,
        "tokens_per_second": size.tokens / spent,
        "fraction_of_ceiling": operations / spent / fastest,
        "forward_share": alone / spent,
        "largest_error": max(errors),
        "bound": BOUNDS[mode],
        "planned_pass": expected_pass / spent,
        "planned_scores": expected_scores / found[size.draws],
        "scores_seconds": found[size.draws],
        "draws_share": drawn / (streaming + found[size.draws]),
        "paper_hours": paper_hours(size, operations / spent, found[size.draws]),
    }


def planned_seconds(work: Workload, budget: int, mode: PrecisionMode, device: str, size: Size) -> tuple[float, float]:
    """Seconds that the plan expects of all passes, and of scoring every direction."""
    shape = Shape(
        layers=size.layers, width=size.embedding, heads=max(1, size.embedding // 64), mlp=size.width,
        vocabulary=VOCABULARY, context=CONTEXT, row=CONTEXT,
    )  # fmt: skip
    speed = measured_speed(torch.device(device))
    positions = len(tokens_of(size)[0]) * CONTEXT
    sizes = Sizes(
        shape=shape, models=size.models, tokens=size.tokens, positions=positions, evaluated=0, device=speed.kind,
        readers=speed.threads if device == "cpu" else 1, budget=budget,
    )  # fmt: skip
    moments = moments_cost(sizes, work)
    streamed = dict(moments.work)
    del streamed[WorkKind.LOADING]
    spec = load_suite("mini", project_root()).universality
    spec = spec.model_copy(update={"draws": size.draws, "half_draws": half_draws(size.draws)})
    pairs = [(x, y) for i, j in work.pairs for x, y in ((i, j), (j, i))]
    scores = scoring_cost(sizes, work, spec, pairs, tables=len(pairs), nulls=0)

    def expected(cost: Cost) -> float:
        return speed.seconds(cost, width=shape.width, precision=mode)

    return expected(replace(moments, work=streamed)), expected(scores)


def paper_hours(size: Size, flops: float, scoring: float) -> float:
    """Hours of all passes at ``flops`` operations per second, and of scoring in proportion to its operations."""
    small = Size.usual("cuda")
    # The permuted reference joins the pairs of the others, the rotated one is scored once more against each.
    widths = ((small.width,) * small.layers,) * (small.models + 1)
    pairs = (*combinations(range(small.models), 2), *((i, small.models) for i in range(1, small.models)))
    work = Workload(widths=widths, pairs=pairs)
    products = operations_per_token(work, work.whole()) * PAPER_TOKENS / flops
    directions = len(pairs) * 2
    scores_there = (
        scoring * rotated_operations(small, directions) / rotated_operations(size, size.models * (size.models - 1))
    )
    return PAPER_STEPS * (products + scores_there) / 3600


def rotated_operations(size: Size, directions: int) -> float:
    """Operations of all draws: every layer of y against every neuron of x."""
    neurons = size.layers * size.width
    return 2.0 * directions * size.draws * neurons * neurons * size.width


def half_draws(draws: int) -> int:
    return max(1, draws // 4)


def scores(work: Workload, draws: int, device: str) -> TileScores:
    baseline = RotationSettings("gaussian", seed=0, draws=draws, half_draws=half_draws(draws))
    directions = tuple((x, y) for i, j in work.pairs for x, y in ((i, j), (j, i)))
    names = tuple("abcdefgh"[place] for place in range(len(work.widths)))
    workers = rotation_workers(torch.device(device))
    return TileScores(work, ScoringRequest(directions, (), names, baseline, top_k=3, workers=workers))


def in_a_process(mode: PrecisionMode, arguments: list[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--mode", mode, *arguments]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
    if done.returncode:
        return {"mode": mode, "failed": done.stderr.strip().splitlines()[-1]}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="The engine at GPT-2 Small's shape, as JSON.")
    parser.add_argument("--mode", choices=["float32", "tf32", "bfloat16"], help="only this one, in this process")
    parser.add_argument("--out", type=Path, help="also write the JSON to this file")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name in ("models", "layers", "width", "embedding", "tokens", "draws"):
        parser.add_argument(f"--{name}", type=int)
    given = parser.parse_args()
    usual = Size.usual(given.device)
    chosen = {name: getattr(given, name) for name in vars(usual) if getattr(given, name) is not None}
    size = replace(usual, **chosen)
    if given.mode:
        print(json.dumps(measured(given.mode, given.device, size)))
        return
    modes: list[PrecisionMode] = ["float32", "tf32", "bfloat16"] if given.device == "cuda" else ["float32", "bfloat16"]
    passed = [f"--{name}={value}" for name, value in {**chosen, "device": given.device}.items()]
    name = (
        torch.cuda.get_device_name()
        if given.device == "cuda"
        else f"{platform.machine()}, {torch.get_num_threads()} threads"
    )
    report = {
        "device": name,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "size": vars(size),
        "command": " ".join(["python", "tests/bench/bench_shape.py", *sys.argv[1:]]),
        "modes": [in_a_process(mode, passed) for mode in modes],
    }
    text = json.dumps(report, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
