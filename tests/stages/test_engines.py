"""Engines: what is submitted, waited for, submitted again and given up, with processes that really start."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from universal_neurons.errors import UserError
from universal_neurons.progress import NoProgress
from universal_neurons.stages import engines
from universal_neurons.stages.engines import LocalEngine, SlurmEngine, SlurmOptions, supervise, under_way

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Named:
    """A task that is done when there is a file of its name."""

    name: str
    needs: tuple[str, ...]
    folder: Path
    batch: int = 0

    def is_done(self, work: Any) -> bool:
        return (self.folder / self.name).exists()


@dataclass
class Scripted:
    """An engine whose tasks end at once: they make their file unless they are said to fail so often."""

    failing: Counter[str]
    poll_seconds: float = 0.0
    started: list[str] = field(default_factory=list)

    def submit(self, tasks: Sequence[Any]) -> None:
        for task in tasks:
            self.started.append(task.name)
            lacking = [need for need in task.needs if not (task.folder / need).exists()]
            if self.failing[task.name] or lacking:
                self.failing[task.name] -= not lacking
            else:
                (task.folder / task.name).touch()

    def under_way(self) -> dict[str, bool]:
        return {}

    def log(self, task: str) -> Path:
        return Path(f"{task}.log")


class Work:
    """As much of a workspace as waiting needs."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warn, self.progress, self.suite = self.lines.append, NoProgress(), self
        self.name = "brief"


def chain(folder: Path) -> list[Any]:
    return [Named("a", (), folder), Named("b", ("a",), folder), Named("c", ("b",), folder), Named("other", (), folder)]


def test_everything_is_submitted_once_where_nothing_fails(tmp_path: Path) -> None:
    engine = Scripted(Counter())
    assert supervise(Work(), chain(tmp_path), engine) == 4  # type: ignore[arg-type]
    assert engine.started == ["a", "b", "c", "other"]


def test_what_is_done_is_not_submitted(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    engine = Scripted(Counter())
    assert supervise(Work(), chain(tmp_path), engine) == 3  # type: ignore[arg-type]
    assert engine.started == ["b", "c", "other"]


def test_a_task_that_failed_is_submitted_again_and_so_is_what_waited_for_it(tmp_path: Path) -> None:
    work, engine = Work(), Scripted(Counter(a=2))
    supervise(work, chain(tmp_path), engine)  # type: ignore[arg-type]
    assert Counter(engine.started) == {"a": 3, "b": 2, "c": 2, "other": 1}
    # What ended for lack of its needs has not failed.
    assert work.lines == ["task a failed and is submitted again; see a.log"] * 2


def test_a_task_that_fails_three_times_is_given_up_and_named_with_its_log(tmp_path: Path) -> None:
    engine = Scripted(Counter(b=99))
    with pytest.raises(UserError, match=r"1 of 4 tasks failed 3 times and 1 wait for them; the first, b: see b\.log"):
        supervise(Work(), chain(tmp_path), engine)  # type: ignore[arg-type]
    assert Counter(engine.started)["b"] == 3
    assert (tmp_path / "other").exists()


STUB = '''"""Instead of the command line: a task makes its file, notes what it saw, and fails as often as it is told."""
import os, sys, time
folder, name = sys.argv[1], sys.argv[-1]
with open(f"{folder}/started", "a") as file:
    file.write(f"{name} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
failed = f"{folder}/fail-{name}"
time.sleep(0.2)
if os.path.exists(failed):
    os.unlink(failed)
    print("not today")
    os.kill(os.getpid(), 9)
open(f"{folder}/{name}", "w").close()
'''


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the command of a task is a stub."""
    (tmp_path / "stub_of_the_command.py").write_text(STUB)
    monkeypatch.setattr(engines, "CLI", "stub_of_the_command")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_local_processes_are_killed_alone_and_started_again(stub: Path) -> None:
    (stub / "fail-a").touch()
    work = Work()
    engine = LocalEngine(stub / "logs", [str(stub)], workers=2, poll_seconds=0.05)
    supervise(work, chain(stub), engine)  # type: ignore[arg-type]
    names = [line.split()[0] for line in (stub / "started").read_text().splitlines()]
    # A free worker does not take b before a has ended.
    assert sorted(names[:2]) == ["a", "other"]
    assert Counter(names)["a"] == 2
    assert all((stub / name).exists() for name in "abc")
    assert engine.log("a").read_text() == "not today\n"
    assert len(work.lines) == 1


def test_every_local_worker_has_a_gpu_of_its_own(stub: Path) -> None:
    engine = LocalEngine(stub / "logs", [str(stub)], workers=2, devices=["4", "GPU-7"], poll_seconds=0.05)
    alone: list[Any] = [Named(name, (), stub) for name in "abcd"]
    supervise(Work(), alone, engine)  # type: ignore[arg-type]
    assert {line.split()[1] for line in (stub / "started").read_text().splitlines()} == {"4", "GPU-7"}


def test_hidden_gpus_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, expected in (("", []), ("-1", []), ("3,5", ["3", "5"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
        assert engines.gpus() == expected


def test_without_slurm_the_programs_that_lack_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="expected Slurm's programs on the PATH, there is no sbatch, srun"):
        SlurmEngine(tmp_path, tmp_path, [])


def test_without_submitit_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match="submitit is not installed; run: pip install submitit"):
        SlurmEngine(tmp_path, tmp_path, [])


def test_only_what_is_given_is_asked_of_slurm() -> None:
    assert SlurmOptions().parameters == {"time": 240, "array_parallelism": 64}
    asked = SlurmOptions(partition="gpu", gpus_per_task=1, memory=3 * 2**30, minutes=90).parameters
    assert asked == {
        "partition": "gpu", "gpus_per_node": 1, "mem": "3072M", "time": 90, "array_parallelism": 64,
    }  # fmt: skip


def test_a_requeued_job_is_under_way_and_a_job_that_slurm_forgot_has_ended() -> None:
    jobs = {"a": "1_0", "b": "1_1", "c": "2", "d": "3"}
    states = {"1_0": "REQUEUED", "1_1": "COMPLETING", "2": "TIMEOUT"}
    assert under_way(jobs, states) == {"a": False, "b": True}
