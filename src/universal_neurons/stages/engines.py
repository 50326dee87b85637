"""Engines that compute tasks: processes of this machine, or jobs of a Slurm cluster.

Both start the same command, one process per task, and believe the store alone: a task is done when its artifacts are
there.  :func:`supervise` waits, and submits again what failed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from universal_neurons.errors import UserError
from universal_neurons.files import replace_file, shown
from universal_neurons.stages.fetching import pin
from universal_neurons.stages.resources import free_host_bytes, less_margin
from universal_neurons.stages.tasks import longest_first, tasks
from universal_neurons.stages.workspace import WORK_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from universal_neurons.stages.base import Need
    from universal_neurons.stages.tasks import Task
    from universal_neurons.stages.workspace import Workspace

    Engine: TypeAlias = "LocalEngine | SlurmEngine"

# How often a task that failed is submitted again.
RETRIES = 2
JOBS = "jobs"
# The job of every task that was submitted, by name of the task.
SUBMITTED = "submitted.json"
CLI = "universal_neurons.cli"
# States of Slurm in which a job comes to an end by itself or with the help of an operator.
_RUNNING = frozenset({"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"})
_WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESIZING"})


def engine(
    kind: Literal["local", "slurm"],
    work: Workspace,
    selection: Sequence[str],
    command: Sequence[str],
    *,
    workers: int | None,
    memory: int | None,
    options: SlurmOptions,
) -> Engine:
    """The engine of this ``kind`` for the ``command`` of a task; ``memory``: bytes that a pass of one may take.

    Raises UserError for more local workers than GPUs, and where Slurm cannot be used.
    """
    folder = jobs_folder(work, selection)
    limit = [] if memory is None else ["--memory", f"{memory / 2**20:.0f}MiB"]
    if kind == "slurm":
        return SlurmEngine(folder, work.root, [*command, *limit], options)
    devices = [] if (work.resources.device or "cuda").partition(":")[0] != "cuda" else gpus()
    count = workers or max(1, len(devices))
    if devices and count > len(devices):
        raise UserError(f"--workers: expected at most {len(devices)}, one per GPU, got {count}")
    if not devices and memory is None:
        # Each would take all that is free.
        each = less_margin(free_host_bytes(), "cpu") / count
        limit = ["--memory", f"{each / 2**20:.0f}MiB"]
    return LocalEngine(folder, [*command, *limit], count, devices)


def run(work: Workspace, only: Iterable[Need] | None, chosen: Engine, *, detach: bool) -> str:
    """Compute all tasks that are not done, or only submit them; a line that says what was done."""
    pin(work)
    listed = longest_first(work, tasks(work, only))
    if not detach:
        count = supervise(work, listed, chosen)
        return f"{count} tasks computed, everything is there" if count else "everything was there"
    if not isinstance(chosen, SlurmEngine):
        raise UserError("--detach: expected --engine slurm: processes of this machine end with the command")
    count = submit(work, listed, chosen)
    command = work.suite.command("universal-neurons status")
    return f"{count} tasks submitted as jobs {chosen.name}; to see how far they are run: {command}"


def submitted_line(work: Workspace, only: Iterable[Need] | None, selection: Sequence[str]) -> str:
    """How far the tasks are that were submitted to Slurm, and one that failed; empty where none were submitted."""
    jobs = submitted(folder := jobs_folder(work, selection))
    if not jobs:
        return ""
    under_way = under_way_of(work, selection)
    # As whoever computes opens it.
    computing = replace(work, local=True, cache={})
    states = {task.name: task.state(computing, under_way) for task in tasks(computing, only)}
    failed = next((name for name, state in states.items() if state == "not done" and name in jobs), None)
    said = ", ".join(f"{count} {state}" for state, count in sorted(Counter(states.values()).items()))
    if failed is not None:
        said += f"; {failed} has ended without its artifacts, see {shown(log_of(folder, jobs[failed]))}"
    return f"tasks: {said}"


def under_way_of(work: Workspace, selection: Sequence[str]) -> dict[str, bool]:
    """The submitted tasks that have not ended, and whether they run; none where Slurm is not here."""
    jobs = submitted(folder := jobs_folder(work, selection))
    if not jobs or shutil.which("squeue") is None:
        return {}
    return under_way(jobs, squeue(job_name(folder)))


def supervise(work: Workspace, listed: Sequence[Task], engine: Engine) -> int:
    """Submit the tasks that are not done, wait, and submit what failed again, ``RETRIES`` times at most.

    Tasks that the engine already has are waited for.  Returns how many tasks were not done before.  Raises UserError
    where some are not done in the end: it names the first one that failed, and its log.
    """
    left = {task.name: task for task in listed if not task.is_done(work)}
    count, failures, blocked = len(left), dict.fromkeys(left, 0), set[str]()
    submit(work, list(left.values()), engine)
    work.progress.start("tasks", len(listed))
    work.progress.advance(len(listed) - count)
    while left:
        under_way = engine.under_way()
        again = []
        for name in [name for name in left if name not in under_way]:
            task = left[name]
            if task.is_done(work):
                del left[name]
                work.progress.advance()
            elif any(need in left for need in task.needs):
                # It may have ended for lack of what it needs, which is no failure of its own.
                blocked.add(name)
            elif name in blocked:
                blocked.discard(name)
                again.append(task)
            elif failures[name] <= RETRIES:
                failures[name] += 1
                if failures[name] <= RETRIES:
                    work.warn(f"task {name} failed and is submitted again; see {shown(engine.log(name))}")
                    again.append(task)
        engine.submit(again)
        failed = [name for name, count in failures.items() if count > RETRIES]
        running = sum(under_way.values())
        work.progress.describe(f"tasks: {running} running, {len(under_way) - running} waiting, {len(failed)} failed")
        if left and not under_way and not again and not blocked - _behind(left, failed):
            raise _failure(work, listed, engine, failed, waiting=len(left) - len(failed))
        if left:
            time.sleep(engine.poll_seconds)
    work.progress.describe("tasks")
    work.progress.finish()
    return count


def submit(work: Workspace, listed: Sequence[Task], engine: Engine) -> int:
    """Submit the ``listed`` tasks that are not done and not under way; returns how many."""
    under_way = engine.under_way()
    fresh = [task for task in listed if task.name not in under_way and not task.is_done(work)]
    engine.submit(fresh)
    return len(fresh)


def _behind(left: Mapping[str, Task], failed: Sequence[str]) -> set[str]:
    """The tasks that failed for good, and all that need one of them."""
    behind = set(failed)
    for name, task in left.items():
        if behind.intersection(task.needs):
            behind.add(name)
    return behind


def _failure(
    work: Workspace, listed: Sequence[Task], engine: Engine, failed: Sequence[str], *, waiting: int
) -> UserError:
    return UserError(
        f"suite {work.suite.name}: {len(failed)} of {len(listed)} tasks failed {RETRIES + 1} times and {waiting} wait "
        f"for them; the first, {failed[0]}: see {shown(engine.log(failed[0]))}; the same command resumes"
    )


def jobs_folder(work: Workspace, words: Sequence[str]) -> Path:
    """The folder of logs and of what was submitted for one suite, the ``words`` of its selection, and a store."""
    named = json.dumps([str(work.store.working), *words])
    return work.root / WORK_FOLDER / JOBS / f"{work.suite.folder}-{sha256(named.encode()).hexdigest()[:8]}"


def gpus() -> list[str]:
    """The GPUs of this machine that are not hidden, as CUDA_VISIBLE_DEVICES names them; imports no torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() not in ("", "-1")]
    folder = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number, _ in enumerate(folder.iterdir())] if folder.is_dir() else []


@dataclass
class LocalEngine:
    """Processes of this machine, ``workers`` at a time, each on a GPU of its own where there are ``devices``.

    ``words``: the command of a task without its name.
    """

    folder: Path
    words: Sequence[str]
    workers: int
    devices: Sequence[str] = ()
    poll_seconds: float = 0.2
    _queue: list[Task] = field(default_factory=list)
    _running: dict[int, tuple[str, subprocess.Popen[bytes]]] = field(default_factory=dict)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue ``tasks``."""
        self._queue += tasks

    def under_way(self) -> dict[str, bool]:
        """Start what can start, and name the tasks that have not ended."""
        self._running = {slot: pair for slot, pair in self._running.items() if pair[1].poll() is None}
        for slot in set(range(self.workers)) - set(self._running):
            unfinished = {name for name, _ in self._running.values()} | {task.name for task in self._queue}
            ready = next((task for task in self._queue if not unfinished.intersection(task.needs)), None)
            if ready is not None:
                self._queue.remove(ready)
                self._running[slot] = (ready.name, self._started(ready, slot))
        running = {name: True for name, _ in self._running.values()}
        return running | {task.name: False for task in self._queue}

    def log(self, task: str) -> Path:
        """The output of all processes of a task."""
        return self.folder / f"{task.replace(':', '-')}.log"

    def _started(self, task: Task, slot: int) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
        if self.devices:
            environment["CUDA_VISIBLE_DEVICES"] = self.devices[slot]
        with self.log(task.name).open("ab") as log:
            command = [sys.executable, "-m", CLI, *self.words, "--task", task.name]
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)


@dataclass(frozen=True)
class SlurmJob:
    """What a job of Slurm runs: one task, and again from its last state when its time was up."""

    words: tuple[str, ...]
    root: str

    def __call__(self) -> None:
        """Run the command in this process, so that it gets Slurm's signals."""
        import runpy

        os.environ["UNIVERSAL_NEURONS_ROOT"] = self.root
        sys.argv = ["universal-neurons", *self.words]
        runpy.run_module(CLI, run_name="__main__")

    def checkpoint(self) -> Any:
        """The same again: a pass over the tokens has written its state, and what is finished is in the store."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass(frozen=True, slots=True)
class SlurmOptions:
    """What a job asks Slurm for; None for the cluster's default.  ``minutes``: its time limit."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gpus_per_task: int | None = None
    cpus_per_task: int | None = None
    memory: int | None = None
    minutes: int = 240
    array_parallelism: int = 64

    @property
    def parameters(self) -> dict[str, Any]:
        """As submitit names them."""
        known = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "gpus_per_node": self.gpus_per_task,
            "cpus_per_task": self.cpus_per_task,
            "mem": None if self.memory is None else f"{self.memory // 2**20}M",
            "time": self.minutes,
            "array_parallelism": self.array_parallelism,
        }
        return {name: value for name, value in known.items() if value is not None}


# A job is told so long before its time is up, and may be told so as often.
_NOTICE_SECONDS, _MOST_TIMEOUTS = 120, 20


@dataclass
class SlurmEngine:
    """Job arrays of a Slurm cluster, one per group of stages and step, each after the arrays that it needs.

    ``words``: the command of a task without its name.  What was submitted is kept in ``folder``, so that another
    process can ask for it.  Raises UserError without submitit or without Slurm's programs.
    """

    folder: Path
    root: Path
    words: Sequence[str]
    options: SlurmOptions = field(default_factory=SlurmOptions)
    poll_seconds: float = 5.0
    _submitted: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise UserError("--engine slurm: submitit is not installed; run: pip install submitit") from None
        if lacking := [name for name in ("sbatch", "srun", "squeue", "scontrol") if shutil.which(name) is None]:
            raise UserError(f"--engine slurm: expected Slurm's programs on the PATH, there is no {', '.join(lacking)}")
        self._submitted = submitted(self.folder)

    @property
    def name(self) -> str:
        """The name of all jobs."""
        return job_name(self.folder)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Submit one array per batch."""
        batches: dict[int, list[Task]] = {}
        for task in tasks:
            batches.setdefault(task.batch, []).append(task)
        alive = self.under_way() if tasks else {}
        for batch in batches.values():
            needs = {need for task in batch for need in task.needs}
            jobs = {self._submitted[need].partition("_")[0] for need in needs if need in alive}
            self._submit(batch, after=sorted(jobs, key=int))
            alive |= {task.name: False for task in batch}

    def _submit(self, batch: Sequence[Task], *, after: Sequence[str]) -> None:
        import submitit

        executor = submitit.SlurmExecutor(self.folder, max_num_timeout=_MOST_TIMEOUTS)
        executor.update_parameters(
            **self.options.parameters,
            job_name=self.name,
            signal_delay_s=_NOTICE_SECONDS,
            stderr_to_stdout=True,
            # After them however they end: a task that lacks something says so, the others of its batch go on.
            dependency=f"afterany:{':'.join(after)}" if after else None,
            additional_parameters={"requeue": True},
        )
        jobs = [SlurmJob((*self.words, "--task", task.name), str(self.root)) for task in batch]
        try:
            started = executor.submit_array(jobs)
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            raise UserError(f"--engine slurm: sbatch refused: {' '.join(str(error).split())}") from None
        # Read again: another process may have submitted other tasks.
        self._submitted = submitted(self.folder) | {
            task.name: job.job_id for task, job in zip(batch, started, strict=True)
        }
        replace_file(self.folder / SUBMITTED, json.dumps(self._submitted, indent=1).encode())

    def under_way(self) -> dict[str, bool]:
        """The tasks whose jobs have not ended; a job that squeue does not know has."""
        return under_way(self._submitted, squeue(self.name))

    def log(self, task: str) -> Path:
        """The log of the latest job of a task; a job that is requeued appends to it."""
        return log_of(self.folder, self._submitted[task])


def job_name(folder: Path) -> str:
    """The name of all jobs that were submitted from a folder."""
    return f"un-{folder.name}"


def log_of(folder: Path, job: str) -> Path:
    """The log of a job, as submitit names it."""
    return folder / f"{job}_0_log.out"


def submitted(folder: Path) -> dict[str, str]:
    """The jobs that were submitted from this folder, by name of the task; none where there is no record."""
    try:
        record: dict[str, str] = json.loads((folder / SUBMITTED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record


def squeue(name: str) -> dict[str, str]:
    """The states of the jobs called ``name``, by their number; waits while Slurm's controller does not answer."""
    command = ["squeue", "--noheader", "--array", "--states=all", f"--name={name}", "--format=%i %T"]
    for pause in (1, 5, 30, 120, 600):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return dict(line.split() for line in answer.stdout.splitlines())
        time.sleep(pause)
    raise UserError(f"squeue: {' '.join(answer.stderr.split())}; the jobs go on, and the same command waits for them")


def under_way(jobs: Mapping[str, str], states: Mapping[str, str]) -> dict[str, bool]:
    """The tasks whose ``jobs`` have not ended, and whether they run.

    >>> under_way({"a": "1_0", "b": "1_1", "c": "2"}, {"1_0": "RUNNING", "1_1": "PENDING", "2": "FAILED"})
    {'a': True, 'b': False}
    """
    known = {task: states.get(job, "") for task, job in jobs.items()}
    return {task: state in _RUNNING for task, state in known.items() if state in _RUNNING | _WAITING}
