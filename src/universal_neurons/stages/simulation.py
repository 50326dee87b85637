"""Discrete simulation of tasks on several workers: when each starts and ends, from planned durations."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Chained(Protocol):
    """A task by its name, and the names of those that must be done before."""

    @property
    def name(self) -> str:
        """The name."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of earlier tasks."""


# Seconds between a task's start and its first work: a process starts, and its models are loaded.
TASK_SECONDS = 15.0


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


def chain_seconds(tasks: Sequence[Chained], seconds: Mapping[str, float]) -> dict[str, float]:
    """The length of the longest chain that begins with each task, itself included."""
    chains = dict(seconds)
    for task in reversed(tasks):
        for need in task.needs:
            chains[need] = max(chains[need], seconds[need] + chains[task.name])
    return chains


def simulate(tasks: Sequence[Chained], seconds: Mapping[str, float], *, workers: int) -> Simulated:
    """Run ``tasks`` in their order, each as soon as a worker is free and what it needs is done.

    ``seconds``: the duration of each, overhead included.
    """
    left = {task.name: len(task.needs) for task in tasks}
    order = {task.name: number for number, task in enumerate(tasks)}
    users: dict[str, list[str]] = {}
    for task in tasks:
        for need in task.needs:
            users.setdefault(need, []).append(task.name)
    ready = [order[name] for name, count in left.items() if not count]
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            number = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[tasks[number].name], number))
        now, ended = heapq.heappop(running)
        for user in users.get(tasks[ended].name, ()):
            left[user] -= 1
            if not left[user]:
                heapq.heappush(ready, order[user])
    chains = chain_seconds(tasks, seconds)
    return Simulated(len(tasks), workers, now, sum(seconds.values()), max(chains.values(), default=0.0))
