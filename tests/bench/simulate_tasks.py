"""Simulated makespans of the larger suites' tasks, for the report: ``python -m tests.bench.simulate_tasks``."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from platform import python_version

from universal_neurons.inputs.benchmarks import FORMAT, BenchFigure, Benchmark
from universal_neurons.inputs.suite import project_root
from universal_neurons.stages.speeds import published_speed
from universal_neurons.stages.tasks import TASK_SECONDS, simulated, tasks
from universal_neurons.stages.workspace import open_workspace, unpinned

SUITES = ("paper", "gurnee_medium")
GPUS = (1, 8, 64)
DEVICE = "h200"


def benchmark() -> Benchmark:
    """The makespan and the efficiency of every suite on every number of GPUs, in hours of the plan."""
    figures: dict[str, BenchFigure] = {}
    for suite in SUITES:
        work = unpinned(open_workspace(suite))
        listed = tasks(work)
        runs = {gpus: simulated(work, listed, published_speed(DEVICE), workers=gpus) for gpus in GPUS}
        for gpus, run in runs.items():
            many = f"{gpus} GPU{'s' if gpus > 1 else ''}"
            figures[f"{suite}_{gpus}"] = BenchFigure(
                says=f"{suite}, {len(listed)} tasks on {many}: hours to the end", value=run.makespan / 3600, unit="h"
            )
            figures[f"{suite}_{gpus}_efficiency"] = BenchFigure(
                says=f"{suite} on {many}: share of the GPUs' time in which they work", value=run.efficiency, unit=""
            )
        chain = runs[1].critical
        figures[f"{suite}_chain"] = BenchFigure(
            says=f"{suite}: longest chain of tasks that need each other, which no number of GPUs shortens",
            value=chain / 3600,
            unit="h",
        )
        figures[f"{suite}_useful"] = BenchFigure(
            says=f"{suite}: work over the longest chain, the number of GPUs beyond which none helps",
            value=runs[1].work / chain,
            unit="GPUs",
        )
    return Benchmark(
        format=FORMAT,
        bench="tasks",
        title="Tasks on several GPUs",
        device=published_speed(DEVICE).device,
        kind="simulated",
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        command="python -m tests.bench.simulate_tasks",
        commit=None,
        versions={"python": python_version(), "torch": version("torch")},
        settings={"seconds_to_start_a_task": TASK_SECONDS},
        figures=figures,
        note="Simulated, not measured: durations are those of the plan, which come from the device's data sheet; the "
        "longest chains start first, and the time in which text comes over a network is left out.",
    )


if __name__ == "__main__":
    benchmark().write(project_root())
