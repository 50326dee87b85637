"""Tasks of a suite: parts that separate processes and machines compute, connected by the store alone.

A task is some cases of one group of stages at one step (:meth:`StageGroup.shares`).  The list is the same wherever it
is made.  A task whose artifacts are in a store is done; one whose needs are not there yet is left for later.  A run on
several workers can be simulated, from planned durations.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from universal_neurons.errors import ArtifactMissing, UserError
from universal_neurons.stages.plan import PlannedStage, rows, sizes_of
from universal_neurons.stages.registry import in_groups, with_needs
from universal_neurons.stages.runner import compute
from universal_neurons.stages.speeds import published_speed
from universal_neurons.stages.tokens import ONLY, TOKENS
from universal_neurons.stages.workspace import Resources

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from universal_neurons.stages.base import Case, Need, StageGroup
    from universal_neurons.stages.speeds import DeviceSpeed
    from universal_neurons.stages.workspace import Workspace

# The device for which tasks are put in order: lengths matter here only beside each other.
_ORDERED_FOR = "h200"
# Seconds between a task's start and its first work: a process starts, and its models are loaded.
TASK_SECONDS = 15.0
_SHARE = re.compile(r"([0-9]+)/([0-9]+)")


@dataclass(frozen=True, slots=True)
class Task:
    """Some ``cases`` of a group of stages at one step; ``needs``: names of earlier tasks.

    ``batch``: the number of the group at that step, whose tasks have the same shape.
    """

    name: str
    batch: int
    group: StageGroup
    step: int | None
    cases: tuple[Need, ...]
    needs: tuple[str, ...]

    def is_done(self, work: Workspace) -> bool:
        """Whether every artifact is in a store."""
        try:
            return all(stage.is_present(work, case) for stage, case in self.cases)
        except ArtifactMissing:
            # Keys rest on the tokens and the pins of models, which are not there yet.
            return False

    def state(
        self, work: Workspace, under_way: Mapping[str, bool]
    ) -> Literal["done", "running", "waiting", "not done"]:
        """Where the task is; ``under_way``: tasks that were submitted and have not ended, and whether they run."""
        if self.is_done(work):
            return "done"
        if self.name not in under_way:
            return "not done"
        return "running" if under_way[self.name] else "waiting"

    def makes(self, work: Workspace) -> str:
        """The artifacts in a few words."""
        return "; ".join(f"{stage.name} of {stage.describe(work, case)}" for stage, case in self.cases)


def tasks(work: Workspace, only: Iterable[Need] | None = None) -> tuple[Task, ...]:
    """Every task of the suite, or of ``only`` some cases and their needs; a task comes after those that it needs."""
    listed: list[Task] = []
    makers: dict[Need, str] = {}
    for batch, (group, step, cases) in enumerate(in_groups(with_needs(work, only))):
        for share in group.shares(cases):
            own = tuple((stage, case) for stage in group.stages for case in share.get(stage.name, ()))
            needs = dict.fromkeys(makers[need] for stage, case in own for need in stage.needs(work, case))
            listed.append(Task(_name(work, step, share), batch, group, step, own, tuple(needs)))
            makers.update(dict.fromkeys(own, listed[-1].name))
    return tuple(listed)


def _name(work: Workspace, step: int | None, share: Mapping[str, Sequence[Case]]) -> str:
    """``universality@100000:a+b``: the first stage, the step, the models or the text."""
    involved = {name for own in share.values() for case in own for name in (case.model, case.partner)}
    texts = {case.text for own in share.values() for case in own if case.text}
    models = "+".join([*(name for name in work.suite.zoo.models if name in involved), *sorted(texts)])
    return f"{next(iter(share))}{'' if step is None else f'@{step}'}{f':{models}' if models else ''}"


def chosen(listed: Sequence[Task], which: str) -> tuple[Task, ...]:
    """The tasks that ``which`` names: a share ``I/N`` of them, or the name of one; raises UserError."""
    if (share := _SHARE.fullmatch(which)) is None:
        return named(listed, (which,))
    number, of = int(share[1]), int(share[2])
    if not 1 <= number <= of:
        raise UserError(f"--task: expected I/N with I from 1 to N, got {which}")
    return tuple(listed[number - 1 :: of])


def named(listed: Sequence[Task], names: Iterable[str]) -> tuple[Task, ...]:
    """The tasks called ``names``, in their order in the list; raises UserError for an unknown one."""
    wanted, known = set(names), {task.name for task in listed}
    if unknown := sorted(wanted - known):
        raise UserError(
            f"task: expected one of the {len(known)} that universal-neurons tasks lists, got {', '.join(unknown)}"
        )
    return tuple(task for task in listed if task.name in wanted)


def compute_tasks(work: Workspace, listed: Sequence[Task], wanted: Sequence[Task]) -> int:
    """Compute the ``wanted`` ones of the ``listed`` tasks that are not done; returns how many artifacts.

    Raises UserError at the end where some were left out because tasks that they need are not done.
    """
    by_name = {task.name: task for task in listed}
    count, waiting = 0, dict[str, list[str]]()
    for task in wanted:
        if task.is_done(work):
            continue
        if lacking := [name for name in task.needs if not by_name[name].is_done(work)]:
            waiting[task.name] = lacking
            continue
        count += compute(work, task.cases)
    if waiting:
        first, lacking = next(iter(waiting.items()))
        raise UserError(
            f"suite {work.suite.name}: {len(waiting)} of {len(wanted)} tasks wait for others, the first, {first}, for "
            f"{', '.join(lacking)}; run the same command when these are done"
        )
    return count


def planned(work: Workspace, listed: Sequence[Task], speed: DeviceSpeed) -> tuple[PlannedStage, ...]:
    """What each task takes on a device of this ``speed``, as if nothing were there."""
    try:
        sampled = TOKENS.is_present(work, ONLY)
    except ArtifactMissing:
        sampled = False
    sizes = sizes_of(work, speed, sampled=sampled)
    return tuple(PlannedStage.of(task.name, rows(work, sizes, speed, task.group, task.cases)) for task in listed)


def longest_first(work: Workspace, listed: Sequence[Task]) -> tuple[Task, ...]:
    """The tasks by the length of the chain that begins with each, as a GPU would take for it.

    In this order few workers are idle at the end; what a task needs still comes before it.
    """
    unlimited = replace(work, resources=Resources())
    seconds = durations(planned(unlimited, listed, published_speed(_ORDERED_FOR)))
    chains = chain_seconds(listed, seconds)
    return tuple(sorted(listed, key=lambda task: -chains[task.name]))


def durations(rows: Iterable[PlannedStage]) -> dict[str, float]:
    """The seconds of each planned task, by name, with the start of its process; text of a hub counts nothing."""
    return {row.stage: (row.seconds or 0.0) + TASK_SECONDS for row in rows}


def chain_seconds(listed: Sequence[Task], seconds: Mapping[str, float]) -> dict[str, float]:
    """The length of the longest chain that begins with each task, itself included."""
    chains = dict(seconds)
    for task in reversed(listed):
        for need in task.needs:
            chains[need] = max(chains[need], seconds[need] + chains[task.name])
    return chains


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulated run: ``makespan`` and ``work`` in seconds, ``work`` summed over all workers.

    ``critical``: the longest chain of tasks that need each other, which no number of workers shortens.
    """

    tasks: int
    workers: int
    makespan: float
    work: float
    critical: float

    def as_dict(self) -> dict[str, float]:
        """Builtin types only: seconds, with their unit in the name of the field."""
        return {
            "tasks": self.tasks,
            "workers": self.workers,
            "makespan_seconds": self.makespan,
            "work_seconds": self.work,
            "longest_chain_seconds": self.critical,
            "efficiency": self.efficiency,
        }

    @property
    def efficiency(self) -> float:
        """The share of the workers' time in which they work."""
        return self.work / (self.workers * self.makespan) if self.makespan else 1.0


def simulate(listed: Sequence[Task], seconds: Mapping[str, float], *, workers: int) -> Simulated:
    """Run the ``listed`` tasks in their order, each as soon as a worker is free and what it needs is done.

    ``seconds``: the duration of each, overhead included.
    """
    left = {task.name: len(task.needs) for task in listed}
    order = {task.name: number for number, task in enumerate(listed)}
    users: dict[str, list[str]] = {}
    for task in listed:
        for need in task.needs:
            users.setdefault(need, []).append(task.name)
    ready = [order[name] for name, count in left.items() if not count]
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            number = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[listed[number].name], number))
        now, ended = heapq.heappop(running)
        for user in users.get(listed[ended].name, ()):
            left[user] -= 1
            if not left[user]:
                heapq.heappush(ready, order[user])
    chains = chain_seconds(listed, seconds)
    return Simulated(len(listed), workers, now, sum(seconds.values()), max(chains.values(), default=0.0))


def simulated(work: Workspace, listed: Sequence[Task], speed: DeviceSpeed, *, workers: int) -> Simulated:
    """A simulated run of the ``listed`` tasks that are not done, on ``workers`` devices of this ``speed``."""
    left = [task for task in listed if not task.is_done(work)]
    names = {task.name for task in left}
    left = [replace(task, needs=tuple(need for need in task.needs if need in names)) for task in left]
    seconds = durations(planned(work, left, speed))
    chains = chain_seconds(left, seconds)
    return simulate(sorted(left, key=lambda task: -chains[task.name]), seconds, workers=workers)
