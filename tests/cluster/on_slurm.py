"""The miniature suite under a real Slurm, which these tests start and end themselves: ``nox -s cluster``."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster import campaign
from tests.cluster.campaign import KINDS, command, environment, payloads
from tests.cluster.slurm import Cluster, cluster, lacking, wait_until
from universal_neurons.stages.base import read_artifact
from universal_neurons.stages.tasks import tasks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.stages.workspace import Workspace

pytestmark = pytest.mark.skipif(bool(lacking()), reason=f"Slurm is not here: no {', '.join(lacking())}")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Slurm for all tests."""
    with cluster(tmp_path_factory.mktemp("cluster") / "slurm") as running:
        yield running


def program(project: Miniature, slurm: Cluster, *arguments: str, status: int = 0) -> str:
    """What the program says; standard error too where it fails."""
    run = subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, env=environment(project, slurm)
    )
    assert run.returncode == status, run.stderr
    return run.stderr if status else run.stdout


@contextmanager
def drained(slurm: Cluster) -> Iterator[None]:
    """Let no job start meanwhile."""
    slurm.ask("scontrol", "update", "NodeName=localhost", "State=drain", "Reason=test")
    try:
        yield
    finally:
        slurm.ask("scontrol", "update", "NodeName=localhost", "State=resume")


def opened(project: Miniature, store: Path, **options: Any) -> Workspace:
    return project.workspace("brief", store=store, local=True, **options)


def test_the_suite_under_slurm_has_the_bytes_of_one_process_and_needs_come_first(
    miniature: Miniature, slurm: Cluster, tmp_path: Path
) -> None:
    """A user submits and leaves, looks at the state, and comes back with the same command."""
    store, alone = tmp_path / "store", tmp_path / "alone"
    words = ("--suite", "brief", "--store", str(store))
    count = len(tasks(opened(miniature, alone)))
    submit = ("compute", *words, "--engine", "slurm", "--time", "30")
    # Nothing starts before everything is seen to be in the queue.
    with drained(slurm):
        said = program(miniature, slurm, *submit, "--detach")
        assert said.startswith(f"suite brief: {count} tasks submitted as jobs un-brief-")
        assert program(miniature, slurm, "status", *words) == f"tasks: {count} waiting\n"
        queue = slurm.ask("squeue", "--noheader", "--array", "--format=%i %E").splitlines()
        assert len(queue) == count
        # All but the tokens wait for something.
        assert sum("afterany" in line for line in queue) == count - 1
        # The same command submits nothing twice.
        assert program(miniature, slurm, *submit, "--detach").startswith("suite brief: 0 tasks submitted")
    began = time.monotonic()
    assert program(miniature, slurm, *submit).startswith(f"suite brief: {count} tasks computed, everything is there")
    print(f"{count} tasks on {slurm.ask('sinfo', '--noheader', '--format=%c').strip()} processors: "
          f"{time.monotonic() - began:.0f} s")  # fmt: skip
    assert f"{count} done" in program(miniature, slurm, "status", *words)
    program(miniature, slurm, "compute", "--suite", "brief", "--store", str(alone))
    work = opened(miniature, store)
    assert payloads(work) == payloads(opened(miniature, alone))
    assert not work.store.verify()
    ended = {task.name: _ended(work, task) for task in tasks(work)}
    for task in tasks(work):
        assert all(ended[need] <= ended[task.name] for need in task.needs), task.name


def _ended(work: Workspace, task: Any) -> datetime:
    from datetime import datetime

    keys = [key for stage, case in task.cases for key in stage.keys(work, case)]
    return max(datetime.fromisoformat(read_artifact(work, key).provenance.created) for key in keys)


@pytest.fixture(scope="module")
def expected(miniature: Miniature, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one process writes."""
    return campaign.single(miniature, tmp_path_factory.mktemp("single"))


@pytest.mark.parametrize("seed", range(2))
def test_tasks_that_are_killed_end_with_the_same_bytes(
    miniature: Miniature, slurm: Cluster, tmp_path: Path, expected: dict[str, str], seed: int
) -> None:
    run = campaign.run(miniature, slurm, tmp_path / "store", expected, seed=2 * seed, kills=2)
    assert run.kills
    assert set(run.kills) <= set(KINDS)
    assert (run.status, run.same_bytes, run.sound) == (0, True, True), run


def test_a_task_that_always_fails_is_named_with_its_log(miniature: Miniature, slurm: Cluster, tmp_path: Path) -> None:
    project = miniature.copied(tmp_path / "project")
    weights = project.root / "fixtures" / "zoo" / "mini" / "c" / "step-30" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    words = ("--suite", "brief", "--models", "a,c", "--store", str(tmp_path / "store"))
    said = program(project, slurm, "compute", *words, "--engine", "slurm", status=4)
    error = said.splitlines()[-1]
    assert error.startswith("error: suite brief: ")
    log = error.partition("see ")[2].partition(";")[0]
    assert "c/step-30" in (project.root / log).read_text()


def test_a_partition_that_does_not_exist_is_one_line(miniature: Miniature, slurm: Cluster, tmp_path: Path) -> None:
    words = ("--suite", "brief", "--store", str(tmp_path / "store"), "--engine", "slurm", "--partition", "none")
    assert "sbatch refused" in program(miniature, slurm, "compute", *words, status=4)
    wait_until(lambda: not slurm.jobs("RUNNING", "PENDING"), "an empty queue", seconds=5)
