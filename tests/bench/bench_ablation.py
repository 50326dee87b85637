"""Cost of the ablation engine, against the naive way: a clean and an ablated full forward pass per set.

Run by ``nox -s bench`` (``pytest tests/bench/bench_ablation.py``); an ordinary test run does not collect this file.
The model and the rows are the mini zoo's architecture with seeded weights and tokens: time does not depend on either.
The sets are one per layer and repetition, ablated by zeros, which is most of the ablation stage; sets over all layers
are measured beside them.  Each measurement is a process of its own with one thread.
The size comes from the environment: BENCH_ABLATION_ROWS (48), BENCH_ABLATION_SETS (10, per layer),
BENCH_ABLATION_BATCH (8 rows).

The naive way runs the bridge twice per set, clean and edited at hook_post, and takes KL and loss from two float32
log-softmaxes over the vocabulary.  It is what a notebook would do, without any needless hook or cache.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from universal_neurons.core.ablation import Ablation, ablation_effects
from universal_neurons.inputs.bridge import frozen_bridge

# A measurement is a process that runs this file, and finds no package of tests.
if TYPE_CHECKING:
    from tests.bench.publication import Publication

LAYERS, WIDTH, CONTEXT, VOCABULARY, SIZE = 4, 512, 128, 1024, 25
REQUIRED_RATIO, TOLERANCE = 1.6, 1e-5
# glibc gives large temporaries back after each use and faults them in again; both ways run with this tuned.
MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(16 * 2**30),
    "MALLOC_TOP_PAD_": str(256 * 2**20),
    "OMP_NUM_THREADS": "1",
}


def setting(name: str, default: int) -> int:
    return int(os.environ.get(f"BENCH_ABLATION_{name}", default))


ROWS, SETS, BATCH_ROWS = setting("ROWS", 48), setting("SETS", 10), setting("BATCH", 8)
KINDS = ("layer by layer", "all layers")
Figures = dict[str, float]


def model() -> Any:
    """The mini suite's architecture with weights large enough that every set has an effect."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=128, n_layer=LAYERS, n_head=4, n_inner=WIDTH,
        initializer_range=0.1, bos_token_id=0, eos_token_id=0, use_cache=False,
    )  # fmt: skip
    return frozen_bridge(GPT2LMHeadModel(config), name="mini")


def ablated_sets(kind: str) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    if kind == "all layers":
        return [torch.randperm(LAYERS * WIDTH, generator=generator)[: LAYERS * SIZE] for _ in range(SETS)]
    return [
        torch.randperm(WIDTH, generator=generator)[:SIZE] + layer * WIDTH
        for _ in range(SETS)
        for layer in range(LAYERS)
    ]


def engine_effects(bridge: Any, rows: Tensor, sets: Sequence[Tensor]) -> Tensor:
    """KL and loss increase (2 set row) by the engine."""
    found = ablation_effects(
        bridge, rows, [Ablation(neurons) for neurons in sets], blocks=len(rows), batch_rows=BATCH_ROWS, seed=0
    )
    return torch.stack([found.kl, found.loss_increase])


def zeroed(values: Tensor, hook: Any, *, columns: Tensor) -> Tensor:
    values[..., columns] = 0
    return values


@torch.no_grad()
def naive_effects(bridge: Any, rows: Tensor, sets: Sequence[Tensor]) -> Tensor:
    """KL and loss increase (2 set row) by two full passes per set."""
    return torch.stack([naive_effect(bridge, rows, neurons) for neurons in sets], dim=1)


def naive_effect(bridge: Any, rows: Tensor, neurons: Tensor) -> Tensor:
    layers = neurons // WIDTH
    hooks = [
        (f"blocks.{layer}.mlp.hook_post", partial(zeroed, columns=neurons[layers == layer] % WIDTH))
        for layer in layers.unique().tolist()  # type: ignore[no-untyped-call]
    ]
    parts = []
    for start in range(0, len(rows), BATCH_ROWS):
        batch = rows[start : start + BATCH_ROWS]
        p = bridge(batch)[:, :-1].log_softmax(-1)
        q = bridge.run_with_hooks(batch, fwd_hooks=hooks)[:, :-1].log_softmax(-1)
        kl = (p.exp() * (p - q)).sum(-1)
        gain = (p - q).gather(-1, batch[:, 1:, None])[..., 0]
        parts.append(torch.stack([kl, gain]).double().mean(-1))
    return torch.cat(parts, dim=1)


WAYS = {"engine": engine_effects, "naive": naive_effects}


def measure(way: str, kind: str, result: Path) -> Figures:
    bridge = model()
    rows = torch.randint(VOCABULARY, (ROWS, CONTEXT), generator=torch.Generator().manual_seed(2))
    sets = ablated_sets(kind)
    WAYS[way](bridge, rows[:BATCH_ROWS], sets[:1])
    wall, cpu = time.perf_counter(), time.process_time()
    effects = WAYS[way](bridge, rows, sets)
    figures = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    save_file({"effects": effects.contiguous()}, result)
    return figures | {"tokens_per_second": len(sets) * ROWS * (CONTEXT - 1) / figures["wall"]}


def in_a_process(way: str, kind: str, result: Path) -> Figures:
    command = [sys.executable, __file__, way, kind, str(result)]
    done = subprocess.run(command, env=os.environ | MALLOC, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


@pytest.fixture(scope="module")
def compared() -> dict[str, tuple[Figures, Figures, float]]:
    """What was measured of each kind of sets: the naive way, the engine, their largest difference."""
    return {}


@pytest.mark.parametrize("kind", KINDS)
def test_cost(
    kind: str,
    tmp_path: Path,
    compared: dict[str, tuple[Figures, Figures, float]],
    benchmark: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Equal results, and for sets of one layer at least the ratio that the engine is for."""
    naive = in_a_process("naive", kind, tmp_path / "naive")
    engine = benchmark.pedantic(in_a_process, args=("engine", kind, tmp_path / "engine"), rounds=1, iterations=1)
    found, expected = (load_file(tmp_path / way)["effects"] for way in ("engine", "naive"))
    difference, ratio = float((found - expected).abs().max()), naive["cpu"] / engine["cpu"]
    benchmark.extra_info |= {"kind": kind, "ratio": ratio, "difference": difference, "naive": naive, "engine": engine}
    with capsys.disabled():
        print("\n" + table(kind, naive, engine, difference))
    compared[kind] = naive, engine, difference
    assert float(expected[0].mean()) > 100 * TOLERANCE
    assert difference <= TOLERANCE
    assert kind != "layer by layer" or ratio >= REQUIRED_RATIO


def test_what_is_published(compared: dict[str, tuple[Figures, Figures, float]], publication: "Publication") -> None:
    """The figures of both kinds of sets, for the report."""
    figures: dict[str, tuple[str, float, str]] = {}
    for kind, (naive, engine, difference) in compared.items():
        name = kind.replace(" ", "_")
        figures |= {
            f"{name}_engine_seconds": (f"engine, sets {kind}", engine["wall"], "s"),
            f"{name}_naive_seconds": (f"naive way, sets {kind}", naive["wall"], "s"),
            f"{name}_times_faster": (f"naive way over engine, sets {kind}", naive["wall"] / engine["wall"], "times"),
            f"{name}_times_faster_cpu": ("the same in CPU time", naive["cpu"] / engine["cpu"], "times"),
            f"{name}_difference": (f"largest difference of an effect, sets {kind}", difference, "nats"),
        }
    publication.add(
        "ablation", "The ablation engine", using="one thread, float32", kind="cpu",
        settings={
            "rows": ROWS, "row_length": CONTEXT, "batch_rows": BATCH_ROWS, "layers": LAYERS, "width": WIDTH,
            "set_size": SIZE, **{f"sets_{kind.replace(' ', '_')}": len(ablated_sets(kind)) for kind in KINDS},
        },
        figures=figures,
    )  # fmt: skip


def table(kind: str, naive: Figures, engine: Figures, difference: float) -> str:
    return "\n".join(
        [
            f"ablation, {kind}: {ROWS} rows of {CONTEXT}, {len(ablated_sets(kind))} sets, one thread",
            *(
                f"{name:34} {figures['wall']:12.2f} s {figures['tokens_per_second']:12,.0f} tokens of sets/s"
                for name, figures in (("naive", naive), ("engine", engine))
            ),
            f"  times the naive way              {naive['wall'] / engine['wall']:12.2f}     "
            f"({naive['cpu'] / engine['cpu']:.2f} in CPU time)",
            f"  largest difference               {difference:12.1e} nats (mean of a row)",
        ]
    )


if __name__ == "__main__":
    way, kind, result = sys.argv[1:]
    print(json.dumps(measure(way, kind, Path(result))))
