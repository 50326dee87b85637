"""A plan as a person reads it: a table of at most 80 columns, and a sentence that names the device and its figures."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from universal_neurons.characters import visible
from universal_neurons.stages.tasks import TASK_SECONDS

if TYPE_CHECKING:
    from universal_neurons.stages.plan import Plan, PlannedStage
    from universal_neurons.stages.tasks import Simulated

COLUMNS = 80
NOTHING = "-"


def table(plan: Plan, *, by_step: bool = False) -> str:
    """One line per stage, or per stage and step, one for all of them, and the sentence about the device."""
    rows = [*(plan.steps if by_step else plan.stages), plan.whole]
    heading = ["stage", "step", "time", "device", "host", "disk", "passes", "there", "to do"]
    cells = [heading, *(_cells(row) for row in rows)]
    if not by_step:
        cells = [[*line[:1], *line[2:]] for line in cells]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in cells
    ]
    title = _filled(f"suite {plan.suite}: time, memory of device and host, disk")
    return "\n".join([title, "", *lines, "", sentence(plan)])


def sentence(plan: Plan) -> str:
    """The device, the figures behind the times, and what the times leave out."""
    if not plan.device:
        return f"{plan.source[0].upper()}{plan.source[1:]}."
    without = (
        ", without the time in which text comes over a network"
        if any(row.seconds is None for row in plan.steps)
        else ""
    )
    said = f"On {plan.device} within {spoken_bytes(plan.budget)} of memory{without}; {plan.source}."
    return _filled(said)


def simulation_sentence(run: Simulated) -> str:
    """A simulated run of the tasks that are left."""
    if not run.tasks:
        return "Every task is done."
    said = (
        f"Simulated: {run.tasks} tasks on {run.workers} such devices take {spoken_time(run.makespan)}, "
        f"{spoken_time(run.work)} of work in all ({run.efficiency:.0%} of the devices' time); the longest chain of "
        f"tasks that need each other takes {spoken_time(run.critical)}. Every task counts {TASK_SECONDS:g} s to start."
    )
    return _filled(said)


def _filled(text: str) -> str:
    return fill(visible(text), COLUMNS, break_long_words=False, break_on_hyphens=False)


def spoken_time(seconds: float | None) -> str:
    """A time as one says it.

    >>> [spoken_time(seconds) for seconds in (None, 0, 0.4, 40, 100, 7800, 270_000)]
    ['unknown', '-', 'under 1 s', '40 s', '1 min 40 s', '2 h 10 min', '3 d 3 h']
    """
    if seconds is None:
        return "unknown"
    if not seconds:
        return NOTHING
    if seconds < 1:
        return "under 1 s"
    for size, large, part, small in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        whole, rest = divmod(round(seconds / part), size // part)
        if whole:
            return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"
    return f"{round(seconds)} s"


def spoken_bytes(size: float) -> str:
    """A number of bytes as one says it, in powers of 1000.

    >>> [spoken_bytes(size) for size in (0, 530_000_000, 1_900_000_000, 18_000_000_000)]
    ['-', '530 MB', '1.9 GB', '18 GB']
    """
    if not size:
        return NOTHING
    amount, units = size / 1e3, iter(("kB", "MB", "GB", "TB", "PB"))
    unit = next(units)
    while amount >= 999.5:
        amount, unit = amount / 1e3, next(units)
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"


def _cells(row: PlannedStage) -> list[str]:
    counts = (row.passes, row.present, row.artifacts - row.present)
    return [
        row.stage,
        "" if row.step is None else str(row.step),
        spoken_time(row.seconds),
        *(spoken_bytes(size) for size in (row.device_bytes, row.host_bytes, row.disk_bytes)),
        *(str(count) if count else NOTHING for count in counts),
    ]
