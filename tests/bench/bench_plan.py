"""What the plan says a checkpoint takes against what it takes: seconds of every stage, and the largest memory.

Run by ``nox -s bench`` (``pytest tests/bench/bench_plan.py``); an ordinary test run does not collect this file, and
nothing here passes or fails by a time.  The last checkpoint of a suite is planned, calibration and all, and computed in
a process of its own into an empty store; the times are those of the artifacts' provenance.  From the environment:
BENCH_SUITE (mini), BENCH_PLAN_TOKENS (all of the suite's), BENCH_PLAN_REFERENCES (all, or some separated by commas).
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from universal_neurons.planning import plan

from universal_neurons.artifacts.provenance import SharedRun, peak_memory_bytes
from universal_neurons.stages.ablation import write_ablations
from universal_neurons.stages.extensions import write_extensions
from universal_neurons.stages.profiles import write_profiles
from universal_neurons.stages.resources import give_back
from universal_neurons.stages.tokens import evaluation_tokens, token_set
from universal_neurons.stages.variants import compute_variants
from universal_neurons.stages.workspace import Workspace, open_workspace

# A measurement is a process that runs this file, and finds no package of tests.
if TYPE_CHECKING:
    from tests.bench.publication import Publication

# glibc gives large temporaries back after each use and faults them in again; the project's commands run with this.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(16 * 2**30), "MALLOC_TOP_PAD_": str(256 * 2**20)}
# The stage of the plan in which an artifact's time is counted.
STAGES = {
    "corpus": "tokens", "evaluation": "tokens", "universality": "universality", "null-rotated": "universality",
    "null-permuted": "universality", "candidates": "candidates", "variants": "variants", "ablation": "ablation",
    "extensions": "extensions", "profiles": "profiles",
}  # fmt: skip


def measured_seconds(work: Workspace) -> dict[str, float]:
    """Seconds per stage by the provenance of what lies in the working store; every run counts once."""
    runs: dict[str, set[tuple[str, float]]] = defaultdict(set)
    shared: set[SharedRun] = set()
    for entry in work.store.entries():
        own = entry.manifest.provenance
        if entry.key.stage in STAGES:
            runs[STAGES[entry.key.stage]].add((own.created, own.wall_seconds))
        shared.update(own.shared)
    found = {stage: sum(seconds for _, seconds in of_stage) for stage, of_stage in runs.items()}
    return found | {"moments": sum(run.wall_seconds for run in shared)}


def compute_last(work: Workspace) -> None:
    """Every stage of the last checkpoint."""
    token_set(work)
    evaluation_tokens(work)
    step = work.suite.checkpoints[-1].step
    for stage in (stages.compute_step, compute_variants, write_ablations, write_extensions, write_profiles):
        give_back()
        stage(work, step)


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
    planned = plan(work, from_scratch=True)
    last = work.suite.checkpoints[-1].step
    expected = {one.stage: one for one in planned.stages if one.step in (None, last)}
    compute_last(work)
    measured = measured_seconds(work)
    return {
        "suite": str(work.suite),
        "tokens": work.suite.corpus.tokens,
        "device": planned.device,
        "calibrated_in": round(planned.calibrated_in, 2),
        "stages": {
            stage: {
                "planned": round(one.seconds or 0.0, 2),
                "measured": round(measured[stage], 2),
                "ratio": round((one.seconds or 0.0) / max(measured[stage], 1e-3), 2),
            }
            for stage, one in expected.items()
        },
        "planned_gb": round(max(one.host_mb + one.device_mb for one in expected.values()) / 1e3, 2),
        "measured_gb": round((peak_memory_bytes() or 0) / 1e9, 2),
    }


def table(found: dict[str, Any]) -> str:
    lines = [f"suite {found['suite']}, last checkpoint, {found['device']}; calibrated in {found['calibrated_in']} s"]
    lines += [f"{'stage':14}{'planned s':>12}{'measured s':>12}{'ratio':>8}"]
    for stage, one in found["stages"].items():
        lines.append(f"{stage:14}{one['planned']:12.1f}{one['measured']:12.1f}{one['ratio']:8.2f}")
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
    figures["memory_planned"] = ("largest memory, planned", found["planned_gb"], "GB")
    figures["memory_measured"] = ("largest memory, measured", found["measured_gb"], "GB")
    return figures


if __name__ == "__main__":
    print(json.dumps(figures(Path(sys.argv[1]))))
