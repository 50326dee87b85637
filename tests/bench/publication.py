"""What a bench measured, as the file of ``fixtures/benchmarks`` that the report shows.

Decides how a device is called and what a figure of a bench is called; nothing here measures.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from universal_neurons.artifacts.provenance import git_commit, versions
from universal_neurons.inputs.benchmarks import FORMAT, Benchmark

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
# What of the environment changes a bench: its size, and how many threads it has.
SETTINGS = ("BENCH_", "OMP_NUM_THREADS")
SHAPE = "nox -s shape -- --out FILE; python -m tests.bench.publication FILE"
PACKAGES = ("python", "torch", "transformer-lens")


@dataclass
class Publication:
    """The benches of one run, written to ``root`` at its end if ``wanted``; all or, where one fails, none."""

    wanted: bool
    note: str = ""
    root: Path = ROOT
    benches: list[Benchmark] = field(default_factory=list)

    def add(self, bench: str, title: str, *, using: str, device: str | None = None, **parts: Any) -> None:
        """Keep one bench; ``parts`` are kind, settings, figures and note of :class:`Benchmark`.

        ``device`` is this machine's processor by default, and ``using`` what of it: "one thread, float32".  A figure is
        a tuple of what it is, its number and its unit.
        """
        figures = {
            name: {"says": says, "value": float(value), "unit": unit}
            for name, (says, value, unit) in parts.pop("figures").items()
        }
        known = versions()
        self.benches.append(
            Benchmark.model_validate(
                {
                    "format": FORMAT,
                    "bench": bench,
                    "title": title,
                    "device": f"{device or cpu_name()}, {using}",
                    "date": datetime.now(UTC).strftime("%Y-%m-%d"),
                    "command": command(os.environ),
                    "commit": git_commit(),
                    "versions": {name: known[name] for name in PACKAGES if name in known},
                    "figures": figures,
                    "note": self.note,
                    **parts,
                }
            )
        )

    def conclude(self) -> list[Path]:
        """Write what was kept; the paths of the files."""
        return [bench.write(self.root) for bench in self.benches] if self.wanted else []


def add_shape(publication: Publication, report: Mapping[str, Any]) -> None:
    """Keep what ``bench_shape.py`` found, every precision in turn; one that failed is a note and no number."""
    size = dict(report["size"])
    kind = "cpu" if "threads" in report["device"] else "cuda"
    found = [mode for mode in report["modes"] if "failed" not in mode]
    failed = [f"{mode['mode']}: {mode['failed']}" for mode in report["modes"] if "failed" in mode]
    figures: dict[str, tuple[str, float, str]] = {}
    for mode in found:
        figures |= {f"{mode['mode']}_{name}": figure for name, figure in _shape_figures(mode).items()}
    publication.add(
        "shape", "The engine at the shape of GPT-2 Small" if kind == "cuda" else "The engine at a reduced shape",
        device=report["device"] if kind == "cuda" else None, using=", ".join(mode["mode"] for mode in found),
        kind=kind, settings={"residual" if name == "embedding" else name: value for name, value in size.items()},
        figures=figures, command=SHAPE, versions=report["versions"],
        note=" ".join([*([publication.note] if publication.note else []), *(f"Failed: {line}." for line in failed)]),
    )  # fmt: skip


def _shape_figures(mode: Mapping[str, Any]) -> dict[str, tuple[str, float, str]]:
    """The figures of one precision, in the order in which a reader asks for them."""
    name = mode["mode"]
    return {
        "tokens_per_second": (f"{name}: tokens through all models, all pairs", mode["tokens_per_second"], "tokens/s"),
        "ceiling": (f"{name}: speed of a bare product of this shape", mode["ceiling_flops"] / 1e12, "TFLOP/s"),
        "fraction_of_ceiling": (f"{name}: fraction of that speed", mode["fraction_of_ceiling"], ""),
        "forward_share": (f"{name}: share of the forward passes in the pass", 100 * mode["forward_share"], "%"),
        "largest_error": (f"{name}: largest error of a correlation against float64", mode["largest_error"], ""),
        "bound": (f"{name}: the bound beyond which results are refused", mode["bound"], ""),
        "peak_memory": (f"{name}: peak memory", mode["peak_bytes"] / 2**30, "GiB"),
        "passes": (f"{name}: passes over the tokens", mode["passes"], ""),
        "planned_pass": (f"{name}: passes, planned over measured time", mode["planned_pass"], ""),
        "planned_scores": (f"{name}: scores, planned over measured time", mode["planned_scores"], ""),
        "draws_share": (f"{name}: share of the rotation draws, at 5M tokens", 100 * mode["draws_share"], "%"),
        "paper_hours": (f"{name}: projected passes and scores of suite paper", mode["paper_hours"], "h"),
    }


def command(environment: Mapping[str, str]) -> str:
    """The command that measures the same again: the variables that change a bench, and nox."""
    given = [f"{name}={shlex.quote(environment[name])}" for name in sorted(environment) if name.startswith(SETTINGS)]
    return " ".join([*given, "nox -s bench -- --publish"])


def main() -> None:
    """Publish the JSON of ``nox -s shape -- --out FILE``: ``python -m tests.bench.publication FILE [NOTE]``."""
    path, *note = sys.argv[1:]
    publication = Publication(wanted=True, note=" ".join(note))
    add_shape(publication, json.loads(Path(path).read_text(encoding="utf-8")))
    for written in publication.conclude():
        print(f"published: {written.relative_to(publication.root)}")


def cpu_name() -> str:
    """The processor as its maker calls it, and how many cores this process may use."""
    found = platform.processor() or platform.machine()
    # The standard library knows the architecture only; Linux knows the name.
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        found = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), found)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{found}, {cores} {'core' if cores == 1 else 'cores'}"


if __name__ == "__main__":
    main()
