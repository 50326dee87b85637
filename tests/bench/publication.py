"""What a bench measured, as the file of ``fixtures/benchmarks`` that the report shows.

Decides how a device is called and what a figure of a bench is called; nothing here measures.
"""

from __future__ import annotations

import os
import platform
import shlex
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


def command(environment: Mapping[str, str]) -> str:
    """The command that measures the same again: the variables that change a bench, and nox."""
    given = [f"{name}={shlex.quote(environment[name])}" for name in sorted(environment) if name.startswith(SETTINGS)]
    return " ".join([*given, "nox -s bench -- --publish"])


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
