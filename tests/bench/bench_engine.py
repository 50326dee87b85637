"""Cost of the engine, against a bare matrix product and against a plain re-implementation of the published way.

Run by ``nox -s bench`` (``pytest tests/bench/bench_engine.py``); an ordinary test run does not collect this file, and
nothing here passes or fails by a time.  Every measurement is a process of its own on the same stored activations, so
that peak memory is its own.  The size comes from the environment: BENCH_TOKENS (200000), BENCH_LAYERS (4), BENCH_WIDTH
(512), BENCH_MODELS (5), BENCH_DRAWS (20), BENCH_SHARE (1), the share of the tokens that the published way is measured
on.

The engine is timed as the pipeline runs it: a :class:`PairwiseAccumulator` with products in the precision of the
suite, then :class:`TileScores` of all directions.

The published way (Gurnee et al. 2024, correlations_fast.py) computes per pair and batch one float32 product per layer
pair, added into a float64 matrix; for the baseline the same again over activations that were rotated explicitly, per
draw and per direction.  It is measured for one pair and one draw and multiplied by all pairs, both directions and all
draws: these runs are the same code on the same shapes.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from universal_neurons.artifacts.provenance import peak_memory_bytes
from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.core.activations import stream
from universal_neurons.core.matmul import (
    checked_precision,
    matmul_precision,
    mode_of_products,
)
from universal_neurons.core.moments import layer_slices
from universal_neurons.core.nulls import rotation
from universal_neurons.core.scoring import ScoringRequest, TileScores
from universal_neurons.core.tiling import Workload
from universal_neurons.core.universality import RotationSettings
from universal_neurons.inputs.bridge import random_bridge

# A measurement is a process that runs this file, and finds no package of tests.
if TYPE_CHECKING:
    from tests.bench.publication import Publication

POOL_TOKENS, BATCH_TOKENS, CHUNK_TOKENS, CONTEXT, BLOCKS = 8192, 4096, 1024, 128, 100
MEBIBYTE = 2**20
# The width of the models whose forward passes are timed.
RESIDUAL = 128
# glibc gives large temporaries back after each use and faults them in again; all measurements run with this tuned.
MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(16 * 2**30),
    "MALLOC_TOP_PAD_": str(256 * MEBIBYTE),
}


def setting(name: str, default: str) -> str:
    return os.environ.get(f"BENCH_{name}", default)


TOKENS, LAYERS, WIDTH = int(setting("TOKENS", "200000")), int(setting("LAYERS", "4")), int(setting("WIDTH", "512"))
MODELS, DRAWS, SHARE = int(setting("MODELS", "5")), int(setting("DRAWS", "20")), float(setting("SHARE", "1"))
PAIRS = MODELS * (MODELS - 1) // 2
WIDTHS = (WIDTH,) * LAYERS
NEURONS = LAYERS * WIDTH

Figures = dict[str, float | str]


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of ``run``."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def peak_mebibytes() -> float:
    return (peak_memory_bytes() or 0) / 2**20


def batches(pool: list[Tensor], tokens: int) -> Iterator[list[Tensor]]:
    """The activations of all models, batch by batch; the stored tokens come again and again until there are enough."""
    for start in range(0, tokens, BATCH_TOKENS):
        size = min(BATCH_TOKENS, tokens - start)
        first = start % POOL_TOKENS
        yield [values[first : first + size] for values in pool]


def bare_products(pool: list[Tensor], tokens: int) -> None:
    """The engine's products and nothing else: x_i^T [x_{i+1} ... x_m] and every layer with itself."""
    models = layer_slices([NEURONS] * MODELS)
    joint = torch.cat([values[:CHUNK_TOKENS] for values in pool], dim=1)
    cross = [(joint[:, m], joint[:, m.stop :]) for m in models[:-1]]
    layers = [(joint[:, s], joint[:, s]) for s in layer_slices([WIDTH] * (LAYERS * MODELS))]
    results = [torch.empty(x.shape[1], y.shape[1]) for x, y in (*cross, *layers)]
    for _ in range(0, tokens, CHUNK_TOKENS):
        for result, (x, y) in zip(results, (*cross, *layers), strict=True):
            torch.mm(x.T, y, out=result)


def measure_bare(pool: list[Tensor], tokens: int) -> Figures:
    precision = checked_precision()
    with mode_of_products("float32"):
        bare_products(pool, CHUNK_TOKENS)
        wall, cpu = timed(lambda: bare_products(pool, tokens))
    return {"wall": wall, "cpu": cpu, "kernel": precision}


def measure_engine(pool: list[Tensor], tokens: int) -> Figures:
    workload = Workload((WIDTHS,) * MODELS, tuple(combinations(range(MODELS), 2)), chunk_tokens=CHUNK_TOKENS)
    accumulator = PairwiseAccumulator.of(workload, workload.whole())

    def consume() -> None:
        done = 0
        for batch in batches(pool, tokens):
            size = len(batch[0])
            accumulator.add(batch, (torch.arange(done, done + size) * BLOCKS) // tokens)
            done += size
        accumulator.finish()

    with mode_of_products("float32"):
        precision = torch.get_float32_matmul_precision()
        wall, cpu = timed(consume)
    scored = {draws: timed(partial(scores(workload, draws).take, accumulator))[0] for draws in (1, DRAWS)}
    return {"wall": wall, "cpu": cpu, "scores_1": scored[1], "scores": scored[DRAWS], "kernel": precision}


def scores(workload: Workload, draws: int) -> TileScores:
    """The scores of all pairs in both directions."""
    baseline = RotationSettings("gaussian", seed=0, draws=draws, half_draws=half_draws(draws))
    directions = tuple(permutations(range(MODELS), 2))
    names = tuple(chr(ord("a") + model) for model in range(MODELS))
    return TileScores(workload, ScoringRequest(directions, (), names, baseline, top_k=5))


class PublishedPair:
    """Streaming Pearson correlations of one pair the published way: a float64 matrix of sums, layer pair by layer pair.

    Its sums are float64, where the published code took them in float16: the same work without the overflow.
    """

    def __init__(self) -> None:
        self.count = 0
        self.sums = torch.zeros(2, NEURONS, dtype=torch.float64)
        self.squares = torch.zeros(2, NEURONS, dtype=torch.float64)
        self.products = torch.zeros(LAYERS, WIDTH, LAYERS, WIDTH, dtype=torch.float64)

    def add(self, x: Tensor, y: Tensor) -> None:
        self.count += len(x)
        for side, values in enumerate((x, y)):
            self.sums[side] += values.sum(0)
            self.squares[side] += (values**2).sum(0)
        for i, rows in enumerate(layer_slices(WIDTHS)):
            for j, columns in enumerate(layer_slices(WIDTHS)):
                self.products[i, :, j] += x[:, rows].T @ y[:, columns]

    def maxima(self) -> tuple[Tensor, Tensor]:
        mean, n = self.sums / self.count, self.count
        sd = (self.squares / n - mean**2).clamp(min=0).sqrt()
        covariance = self.products.view(NEURONS, NEURONS) / n - mean[0][:, None] * mean[1]
        correlation = (covariance / sd[0][:, None] / sd[1]).nan_to_num()
        return correlation.amax(1), correlation.amax(0)


def published_pass(pool: list[Tensor], tokens: int, turns: list[Tensor] | None) -> None:
    pair = PublishedPair()
    for x, y, *_ in batches(pool, tokens):
        turned = y
        if turns is not None:
            parts = zip(turns, layer_slices(WIDTHS), strict=True)
            turned = torch.cat([y[:, part] @ turn.T for turn, part in parts], dim=1)
        pair.add(x, turned)
    pair.maxima()


def measure_published(pool: list[Tensor], tokens: int, *, checked: bool = False) -> Figures:
    turns = [rotation("gaussian", WIDTH, seed=0, draw=0, model="b", layer=layer) for layer in range(LAYERS)]
    with matmul_precision(checked_precision() if checked else "highest"):
        published_pass(pool, BATCH_TOKENS, turns)
        real, real_cpu = timed(lambda: published_pass(pool, tokens, None))
        rotated, rotated_cpu = timed(lambda: published_pass(pool, tokens, turns))
    return {"real": real, "rotated": rotated, "real_cpu": real_cpu, "rotated_cpu": rotated_cpu}


def measure_forward(folder: Path) -> Figures:
    """Forward passes of untrained models of the mini suite's architecture; their activations are the stored data."""
    rows = torch.randint(1024, (POOL_TOKENS // CONTEXT, CONTEXT), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(rows, dtype=torch.bool)
    tensors: dict[str, Tensor] = {}
    spent = 0.0
    for model in range(MODELS):
        torch.manual_seed(model)
        bridge = random_bridge(layers=LAYERS, width=RESIDUAL, heads=4, mlp=WIDTH, vocabulary=1024, context=CONTEXT)
        next(stream(bridge, rows, mask))
        parts: list[Tensor] = []
        wall, _ = timed(lambda b=bridge, p=parts: p.extend(batch.values for batch in stream(b, rows, mask)))  # type: ignore[misc]
        spent += wall
        tensors[f"{model:02}"] = torch.cat(parts)
    save_file(tensors, folder / "pool.safetensors")
    return {"tokens_per_second": MODELS * POOL_TOKENS / spent}


def measure(kind: str, folder: Path, tokens: int) -> Figures:
    if kind == "forward":
        return measure_forward(folder)
    stored = load_file(folder / "pool.safetensors")
    pool = [stored[name] for name in sorted(stored)]
    # Every stored page is touched now, so that the peak from here on is the method's and not the data's.
    assert all(bool(values.isfinite().all()) for values in pool)
    before = peak_mebibytes()
    match kind:
        case "bare":
            figures = measure_bare(pool, tokens)
        case "engine":
            figures = measure_engine(pool, tokens)
        case "published":
            figures = measure_published(pool, tokens)
        case "published-checked":
            figures = measure_published(pool, tokens, checked=True)
        case _:
            raise ValueError(f"unknown measurement {kind!r}")
    return figures | {"peak_mebibytes": peak_mebibytes() - before, "data_mebibytes": before}


def in_a_process(kind: str, folder: Path, tokens: int) -> Figures:
    command = [sys.executable, __file__, kind, str(folder), str(tokens)]
    done = subprocess.run(command, env=os.environ | MALLOC, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


@pytest.fixture(scope="module")
def results() -> dict[str, Figures]:
    return {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


def published_tokens() -> int:
    """On how many tokens the published way is measured."""
    return max(BATCH_TOKENS, round(TOKENS * SHARE))


def half_draws(draws: int) -> int:
    """The rotation draws of each half, for as many of the whole."""
    return max(1, draws // 4)


@pytest.mark.parametrize("kind", ["forward", "bare", "engine", "published", "published-checked"])
def test_cost(kind: str, folder: Path, results: dict[str, Figures], benchmark: Any) -> None:
    """One measurement in a process of its own; ``forward`` comes first and stores the data of the others."""
    tokens = published_tokens() if kind.startswith("published") else TOKENS
    figures = benchmark.pedantic(in_a_process, args=(kind, folder, tokens), rounds=1, iterations=1)
    benchmark.extra_info |= {"tokens": tokens, "neurons": NEURONS, "models": MODELS, **figures}
    results[kind] = figures | {"tokens": tokens}


def test_table(results: dict[str, Figures], publication: "Publication", capsys: pytest.CaptureFixture[str]) -> None:
    """One readable table of all measurements at the end, and what of it is published."""
    found = {kind: number(figures) for kind, figures in results.items()}
    with capsys.disabled():
        print("\n" + table(found))
    publication.add(
        "engine", "The correlation engine", using=f"{torch.get_num_threads()} threads, float32",
        kind="cpu", settings=published_settings(), figures=published_figures(found),
    )  # fmt: skip


def published_settings() -> dict[str, float]:
    """The size of the bench, by the names that a projection asks for; ``residual`` is the model's width."""
    return {
        "models": MODELS, "layers": LAYERS, "width": WIDTH, "residual": RESIDUAL, "tokens": TOKENS, "draws": DRAWS,
        "half_draws": half_draws(DRAWS), "tokens_published_way": published_tokens(),
    }  # fmt: skip


def published_figures(found: dict[str, dict[str, float]]) -> dict[str, tuple[str, float, str]]:
    """What the report shows, in the order of the table; times without a digit of their own are made of these."""
    engine, bare, published = found["engine"], found["bare"], found["published"]
    rate = 2 * TOKENS * (PAIRS * NEURONS**2 + MODELS * LAYERS * WIDTH**2) / 1e9
    one, many = published_seconds(published, 1), published_seconds(published, DRAWS)
    checked = published_seconds(found["published-checked"], DRAWS)
    whole = engine["wall"] + engine["scores"]
    return {
        "bare_seconds": ("the same products and nothing else", bare["wall"], "s"),
        "bare_rate": ("speed of these products", rate / bare["wall"], "GFLOP/s"),
        "pass_seconds": (f"engine, one pass over the tokens for all {PAIRS} pairs", engine["wall"], "s"),
        "pass_fraction": ("speed of the pass, as a fraction of the products alone", bare["wall"] / engine["wall"], ""),
        "pass_fraction_cpu": ("the same in CPU time", bare["cpu"] / engine["cpu"], ""),
        "scores_one_seconds": ("engine, scores of both directions, one rotation draw", engine["scores_1"], "s"),
        "scores_seconds": (f"engine, scores of both directions, {DRAWS} rotation draws", engine["scores"], "s"),
        "draws_share": (f"share of the {DRAWS} rotation draws in the whole", 100 * engine["scores"] / whole, "%"),
        "forward_tokens_per_second": (
            "forward passes, one model", found["forward"]["tokens_per_second"], "tokens/s",
        ),
        "forward_share": (
            "forward passes of all models, against the pass", 100 * forward_seconds(found) / engine["wall"], "%",
        ),
        "published_one_seconds": ("published way, one rotation draw", one, "s"),
        "published_seconds": (f"published way, {DRAWS} rotation draws", many, "s"),
        "times_faster_one": (
            "published way over engine, one draw", one / (engine["wall"] + engine["scores_1"]), "times",
        ),
        "times_faster": (f"published way over engine, {DRAWS} draws", many / whole, "times"),
        "times_faster_checked": ("the same, the published way with our kernel", checked / whole, "times"),
        "memory": ("engine, peak memory beyond the data, all pairs in two halves", engine["peak_mebibytes"], "MiB"),
        "memory_published": ("published way, the same for one pair", published["peak_mebibytes"], "MiB"),
    }  # fmt: skip


def forward_seconds(found: dict[str, dict[str, float]]) -> float:
    """How long the forward passes of all models take over all tokens."""
    return MODELS * TOKENS / found["forward"]["tokens_per_second"]


def number(figures: Figures) -> dict[str, float]:
    return {name: value for name, value in figures.items() if isinstance(value, int | float)}


def published_seconds(figures: dict[str, float], draws: int) -> float:
    """All pairs once, and each direction of each pair once per draw, at the full number of tokens."""
    return (figures["real"] + 2 * draws * figures["rotated"]) * PAIRS * TOKENS / figures["tokens"]


def table(found: dict[str, dict[str, float]]) -> str:
    engine, bare, published = found["engine"], found["bare"], found["published"]
    rate = 2 * TOKENS * (PAIRS * NEURONS**2 + MODELS * LAYERS * WIDTH**2) / 1e9
    lines = [
        f"{MODELS} models x {LAYERS} layers x {WIDTH} neurons, {PAIRS} pairs, {TOKENS:,} tokens, "
        f"{torch.get_num_threads()} threads",
        f"forward passes (bridge)            {found['forward']['tokens_per_second']:12,.0f} tokens/s, one model",
        f"bare products                      {bare['wall']:12.2f} s   {rate / bare['wall']:8.0f} GFLOP/s",
        f"engine, pass over tokens           {engine['wall']:12.2f} s   {rate / engine['wall']:8.0f} GFLOP/s",
        f"  fraction of the bare product     {bare['wall'] / engine['wall']:12.2f}     "
        f"({bare['cpu'] / engine['cpu']:.2f} in CPU time)",
        f"engine, scores of both directions  {engine['scores_1']:12.2f} s (1 draw) {engine['scores']:10.2f} s "
        f"({DRAWS} draws)",
    ]
    for kind, name in (("published", "published way, its kernel"), ("published-checked", "published way, our kernel")):
        one, many = published_seconds(found[kind], 1), published_seconds(found[kind], DRAWS)
        lines += [
            f"{name:34} {one:12.2f} s (1 draw) {many:10.2f} s ({DRAWS} draws)   from one pair, "
            f"{found[kind]['tokens']:,.0f} tokens",
            f"  times the engine                 {one / (engine['wall'] + engine['scores_1']):12.1f}            "
            f"{many / (engine['wall'] + engine['scores']):12.1f}",
        ]
    lines += [
        f"peak memory beyond the data        {engine['peak_mebibytes']:12.0f} MiB engine (all pairs, two halves)"
        f"   {published['peak_mebibytes']:8.0f} MiB published (one pair)",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="One measurement of bench_engine.py, as JSON.")
    parser.add_argument("kind")
    parser.add_argument("folder", type=Path)
    parser.add_argument("tokens", type=int)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.kind, arguments.folder, arguments.tokens)))
