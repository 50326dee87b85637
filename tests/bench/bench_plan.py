"""The planned against the measured cost of a checkpoint: seconds of every stage, and the largest memory.

Run by ``nox -s bench`` (``pytest tests/bench/bench_plan.py``); an ordinary test run does not collect this file, and
nothing here passes or fails by a time.  The last checkpoint of a suite is planned, with a new measurement of the
device, and computed in a process of its own into an empty store; the times are from the provenance of the artifacts.
From the environment: BENCH_SUITE (mini), BENCH_PLAN_TOKENS (all of the suite's), BENCH_PLAN_REFERENCES (all, or some
separated by commas).

Of GPT-2 Small's shape, reduced to BENCH_PLAN_LAYERS layers (2) and BENCH_PLAN_POSITIONS positions (8192), the parts of
a stage are run on random weights: forward passes of two models with their products, the scores of a pair, ablated runs.
"""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from universal_neurons.artifacts.provenance import SharedRun, peak_memory_bytes
from universal_neurons.core.ablation import Ablation, ablation_effects
from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.core.activations import stream
from universal_neurons.core.scoring import ScoringRequest, TileScores
from universal_neurons.core.tiling import Workload
from universal_neurons.core.universality import RotationSettings
from universal_neurons.inputs.bridge import random_bridge
from universal_neurons.inputs.suite import load_suite, project_root
from universal_neurons.measures.ablation_table import ALL_LAYERS, SetKind
from universal_neurons.measures.tables import Definition
from universal_neurons.stages.ablation import model_cost
from universal_neurons.stages.batches import batch_rows
from universal_neurons.stages.calibration import measured_speed
from universal_neurons.stages.costs import Cost, Shape, Sizes, WorkKind
from universal_neurons.stages.neuron_sets import NeuronSet
from universal_neurons.stages.plan import plan
from universal_neurons.stages.registry import suite_cases
from universal_neurons.stages.resources import device
from universal_neurons.stages.runner import compute
from universal_neurons.stages.speeds import DeviceSpeed
from universal_neurons.stages.universality import moments_cost, scoring_cost
from universal_neurons.stages.workspace import Workspace, open_workspace

# A measurement is a process that runs this file, and finds no package of tests.
if TYPE_CHECKING:
    from tests.bench.publication import Publication

# glibc gives large temporaries back after each use and faults them in again; the project's commands run with this.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(16 * 2**30), "MALLOC_TOP_PAD_": str(256 * 2**20)}
GPT2_SMALL = Shape(layers=12, width=768, heads=12, mlp=3072, vocabulary=50257, context=1024, row=512)
REDUCED = {"LAYERS": "2", "POSITIONS": "8192"}
# The nulls are scored together with the tables, whose row of the plan has the time of both.
ROWS = {"null-rotated": "universality", "null-permuted": "universality"}
# The halves of artifacts that are written together, and what stays in the working store.
SECOND = {"ablation-blocks", "extensions-blocks", "tokens", "evaluation-tokens", "baseline-draws"}


def measured_seconds(work: Workspace) -> dict[str, float]:
    """Seconds per stage by the provenance of what lies in the working store; every run counts once."""
    runs: dict[str, set[tuple[str, float]]] = defaultdict(set)
    shared: set[SharedRun] = set()
    for entry in work.store.entries():
        own = entry.manifest.provenance
        stage = entry.key.stage
        if stage not in SECOND:
            runs[ROWS.get(stage, stage)].add((own.created, own.wall_seconds))
        shared.update(own.shared)
    found = {stage: sum(seconds for _, seconds in of_stage) for stage, of_stage in runs.items()}
    return found | {"moments": sum(run.wall_seconds for run in shared)}


def compute_last(work: Workspace) -> None:
    """Every stage of the last checkpoint."""
    compute(work, [(stage, case) for stage, case in suite_cases(work) if case.step in (None, work.last_step)])


def figures(folder: Path) -> dict[str, Any]:
    """Planned and measured seconds and their ratio by stage, and planned and measured memory."""
    suite, tokens = os.environ.get("BENCH_SUITE", "mini"), os.environ.get("BENCH_PLAN_TOKENS")
    references = os.environ.get("BENCH_PLAN_REFERENCES")
    narrowing = {
        "tokens": int(tokens) if tokens else None,
        "references": references.split(",") if references else None,
    }
    narrowing = {name: value for name, value in narrowing.items() if value is not None}
    work = open_workspace(suite, store=folder, recompute=True, local=True, narrowing=narrowing)
    began = time.perf_counter()
    speed = measured_speed(device(work))
    calibrated_in = time.perf_counter() - began
    planned = plan(work, from_scratch=True, measure=lambda _: speed)
    last = work.suite.checkpoints[-1].step
    expected = {one.stage: one for one in planned.steps if one.step in (None, last) and one.stage not in ROWS}
    compute_last(work)
    measured, peak = measured_seconds(work), peak_memory_bytes() or 0
    # Last, because models of this shape hold more memory than the suite.
    shapes = shape_figures(speed, device(work))
    return {
        "suite": str(work.suite),
        "tokens": work.suite.corpus.tokens,
        "device": planned.device,
        "calibrated_in": round(calibrated_in, 2),
        "stages": {stage: compared(one.seconds or 0.0, measured[stage]) for stage, one in expected.items()},
        "gpt2_small": shapes,
        "planned_gb": round(max(one.host_bytes + one.device_bytes for one in expected.values()) / 1e9, 2),
        "measured_gb": round(peak / 1e9, 2),
    }


def compared(planned: float, measured: float) -> dict[str, float]:
    ratio = planned / max(measured, 1e-3)
    return {"planned": round(planned, 2), "measured": round(measured, 2), "ratio": round(ratio, 2)}


def shape_figures(speed: DeviceSpeed, place: torch.device) -> dict[str, dict[str, float]]:
    """Planned and measured seconds of the parts of stages at GPT-2 Small's width, with few layers and positions."""
    layers, positions = (int(os.environ.get(f"BENCH_PLAN_{name}", usual)) for name, usual in REDUCED.items())
    shape = replace(GPT2_SMALL, layers=layers)
    rows = max(1, positions // shape.row)
    sizes = Sizes(
        shape=shape, models=2, tokens=rows * shape.row, positions=rows * shape.row, evaluated=rows * shape.row,
        device=speed.kind, readers=speed.threads if speed.kind == "cpu" else 1, budget=2**62,
    )  # fmt: skip
    workload = sizes.workload(2, [(0, 1)], groups=2, row=shape.row)
    suite = load_suite("mini", project_root())
    spec = suite.universality.model_copy(update={"draws": 2, "half_draws": 1})
    sets = [NeuronSet("", Definition.AVERAGED, 0.5, ALL_LAYERS, SetKind.RANDOM_OTHERS, draw) for draw in range(4)]
    costs = {
        "moments": moments_cost(sizes, workload),
        "universality": scoring_cost(sizes, workload, spec, [(0, 1)], tables=1, nulls=0),
        "ablation": model_cost(sizes, sets, suite.ablation),
    }
    measured = ShapeRuns(shape, rows, workload, place).seconds()
    return {
        stage: compared(speed.seconds(without_loading(cost), width=shape.width, precision="float32"), measured[stage])
        for stage, cost in costs.items()
    }


def without_loading(cost: Cost) -> Cost:
    return replace(cost, work={**cost.work, WorkKind.LOADING: 0.0})


@dataclass(frozen=True)
class ShapeRuns:
    """Random models of ``shape`` over ``rows`` rows, and the seconds of each part of the pipeline on them."""

    shape: Shape
    rows: int
    workload: Workload
    place: torch.device

    def seconds(self) -> dict[str, float]:
        models = [self._model() for _ in range(2)]
        accumulators: list[PairwiseAccumulator] = []
        moments = self._timed(lambda: accumulators.append(self._accumulated(models)))
        baseline = RotationSettings("gaussian", seed=0, draws=2, half_draws=1)
        scores = TileScores(self.workload, ScoringRequest(((0, 1),), (), ("a", "b"), baseline, top_k=3))
        universality = self._timed(lambda: scores.take(accumulators[0]))
        some = [Ablation(torch.arange(draw, self.shape.neurons, 20)) for draw in range(4)]
        ablation = self._timed(
            lambda: ablation_effects(models[0], self._tokens(), some, blocks=1, batch_rows=16, seed=0)
        )
        return {"moments": moments, "universality": universality, "ablation": ablation}

    def _model(self) -> Any:
        shape = self.shape
        bridge = random_bridge(
            layers=shape.layers, width=shape.width, heads=shape.heads, mlp=shape.mlp, vocabulary=shape.vocabulary,
            context=shape.context,
        )  # fmt: skip
        return bridge.to(self.place) if self.place.type == "cuda" else bridge

    def _tokens(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randint(self.shape.vocabulary, (self.rows, self.shape.row), generator=generator)

    def _accumulated(self, models: list[Any]) -> PairwiseAccumulator:
        rows, step = self._tokens(), batch_rows(self.shape.row)
        accumulator = PairwiseAccumulator.of(self.workload, self.workload.whole(), device=self.place)
        streams = (stream(bridge, rows, torch.ones_like(rows, dtype=torch.bool), batch_rows=step) for bridge in models)
        for batches in zip(*streams, strict=True):
            accumulator.add([batch.values for batch in batches], batches[0].row.cpu() % 2)
        accumulator.finish()
        return accumulator

    def _timed(self, run: Callable[[], object]) -> float:
        began = time.perf_counter()
        run()
        if self.place.type == "cuda":
            torch.cuda.synchronize(self.place)
        return time.perf_counter() - began


def table(found: dict[str, Any]) -> str:
    lines = [f"suite {found['suite']}, last checkpoint, {found['device']}; calibrated in {found['calibrated_in']} s"]
    lines += [f"{'stage':18}{'planned s':>12}{'measured s':>12}{'ratio':>8}"]
    at_width = {f"{stage} 768": one for stage, one in found["gpt2_small"].items()}
    for stage, one in (found["stages"] | at_width).items():
        lines.append(f"{stage:18}{one['planned']:12.1f}{one['measured']:12.1f}{one['ratio']:8.2f}")
    lines.append(f"largest memory: planned {found['planned_gb']} GB, measured {found['measured_gb']} GB")
    return "\n".join(lines)


def test_plan_against_what_it_took(
    tmp_path: Path, benchmark: Any, publication: "Publication", capsys: pytest.CaptureFixture[str]
) -> None:
    """One checkpoint in a process of its own, whose peak memory is its own."""
    done: subprocess.CompletedProcess[str] = benchmark.pedantic(
        subprocess.run,
        args=([sys.executable, __file__, str(tmp_path)],),
        kwargs={"env": os.environ | MALLOC, "capture_output": True, "text": True, "check": False},
        rounds=1,
        iterations=1,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    benchmark.extra_info |= found
    with capsys.disabled():
        print("\n" + table(found))
    publish(publication, found)


def publish(publication: "Publication", found: dict[str, Any]) -> None:
    """Keep it for the report."""
    is_cpu = found["device"].startswith("CPU, ")
    publication.add(
        "plan", "The plan", device=None if is_cpu else found["device"], kind="cpu" if is_cpu else "cuda",
        using=found["device"].removeprefix("CPU, ") if is_cpu else "float32",
        settings={"suite": found["suite"], "tokens": found["tokens"]}, figures=published(found),
    )  # fmt: skip


def published(found: dict[str, Any]) -> dict[str, tuple[str, float, str]]:
    """Times of the last checkpoint, and the calibration that the plan rests on."""
    figures = {"calibration": ("time of the calibration", found["calibrated_in"], "s")}
    for stage, one in found["stages"].items():
        figures[f"{stage}_seconds"] = (f"{stage}: measured", one["measured"], "s")
        figures[f"{stage}_ratio"] = (f"{stage}: planned over measured", one["ratio"], "")
    for stage, one in found["gpt2_small"].items():
        figures[f"gpt2_small_{stage}_ratio"] = (
            f"{stage} at GPT-2 Small's width: planned over measured",
            one["ratio"],
            "",
        )
    figures["memory_planned"] = ("largest memory, planned", found["planned_gb"], "GB")
    figures["memory_measured"] = ("largest memory, measured", found["measured_gb"], "GB")
    return figures


if __name__ == "__main__":
    print(json.dumps(figures(Path(sys.argv[1]))))
