"""A campaign against a real Slurm: runs in which tasks are killed at random must end with the same bytes.

``python -m tests.cluster.campaign --runs 20 --out FILE`` makes a miniature project and a Slurm of its own, and writes
what happened.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.slurm import Cluster, cluster
from tests.miniature import Miniature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.stages.workspace import Workspace

# What can happen to a task, in the order in which runs begin with it.
KINDS = ("kill -9", "scancel", "time limit", "node")
# Kills of one run: a task that is killed three times is given up, which is right and not what is tested here.
KILLS = 3
SELECTION = ("--suite", "brief", "--models", "a,b")


@dataclass(frozen=True)
class Run:
    """One run: what was done to it, how it ended, and whether the store holds what it should."""

    kills: tuple[str, ...]
    status: int
    same_bytes: bool
    sound: bool
    resubmitted: int
    seconds: float
    said: str


def payloads(work: Workspace) -> dict[str, str]:
    """The sha256 of everything that the working store holds, by stage and digest of the key."""
    return {f"{entry.key.stage} {entry.key.digest}": entry.manifest.sha256 for entry in work.store.entries()}


def environment(project: Miniature, slurm: Cluster) -> dict[str, str]:
    """The variables of a user on the cluster."""
    own = {"UNIVERSAL_NEURONS_ROOT": str(project.root), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **own, "TOKENIZERS_PARALLELISM": "false", **slurm.variables}


def command(*arguments: str) -> list[str]:
    """The command line of the program."""
    return [sys.executable, "-m", "universal_neurons.cli", *arguments]


def run(
    project: Miniature, slurm: Cluster, store: Path, expected: dict[str, str], *, seed: int, kills: int = KILLS
) -> Run:
    """Compute the suite under Slurm into an empty ``store``, and kill some of its tasks meanwhile."""
    dice, began = random.Random(seed), time.monotonic()
    done: list[str] = []
    words = command("compute", *SELECTION, "--store", str(store), "--engine", "slurm", "--time", "30")
    with (store.parent / f"{store.name}.log").open("w+") as log:
        process = subprocess.Popen(words, env=environment(project, slurm), stdout=log, stderr=log)
        pause = dice.uniform(0, 10)
        while process.poll() is None:
            time.sleep(1)
            slurm.hurry()
            pause -= 1
            if pause < 0 and len(done) < kills:
                kind = KINDS[(seed + len(done)) % len(KINDS)]
                if _struck(slurm, kind, dice):
                    done.append(kind)
                    pause = dice.uniform(3, 20)
        log.seek(0)
        said = log.read()
    found = project.workspace("brief", store=store, local=True, narrowing={"models": ("a", "b")}, warn=lambda _: None)
    return Run(
        tuple(done),
        process.returncode,
        payloads(found) == expected,
        not found.store.verify(),
        said.count("submitted again"),
        round(time.monotonic() - began, 1),
        said.strip().splitlines()[-1] if said.strip() else "",
    )


def _struck(slurm: Cluster, kind: str, dice: random.Random) -> bool:
    """Do something to a running job, or to the node; False where nothing runs."""
    jobs = slurm.jobs("RUNNING")
    if not jobs:
        return False
    job = dice.choice(jobs)
    with suppress(subprocess.CalledProcessError, ProcessLookupError):
        if kind == "kill -9":
            processes = slurm.processes(job)
            for pid in processes:
                os.kill(pid, signal.SIGKILL)
            return bool(processes)
        if kind == "scancel":
            slurm.ask("scancel", job)
        elif kind == "time limit":
            slurm.ask("scontrol", "update", f"JobId={job}", "TimeLimit=1")
        else:
            for state in ("drain", "down", "resume"):
                slurm.ask("scontrol", "update", "NodeName=localhost", f"State={state}", "Reason=campaign")
                time.sleep(2)
        return True
    return False


def single(project: Miniature, store: Path) -> dict[str, str]:
    """What one process writes, in a process of its own as the tasks are."""
    words = command("compute", *SELECTION, "--store", str(store))
    variables = {"OMP_NUM_THREADS": "1", "UNIVERSAL_NEURONS_ROOT": str(project.root), "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run(words, check=True, env={**os.environ, **variables}, capture_output=True)
    return payloads(project.workspace("brief", store=store, local=True, narrowing={"models": ("a", "b")}))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the campaign, and write a line of JSON per run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        project = Miniature.built(folder / "project")
        expected = single(project, folder / "single")
        with cluster(folder / "slurm") as slurm, asked.out.open("a") as out:
            total: Counter[str] = Counter()
            for seed in range(asked.first, asked.first + asked.runs):
                found = run(project, slurm, folder / f"store-{seed}", expected, seed=seed)
                total.update(found.kills)
                out.write(json.dumps({"seed": seed, **asdict(found)}) + "\n")
                out.flush()
            print(dict(total))


if __name__ == "__main__":
    main()
