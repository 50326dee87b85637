"""The plan of a suite: every stage of every step with its cost, and about how long that takes on a device.

Nothing is sampled, downloaded or computed for a plan.  The speed of this device is measured once and kept; where it is
kept, or where another device is asked about, torch is not imported.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

from universal_neurons.core.tiling import BudgetTooSmall
from universal_neurons.errors import UserError
from universal_neurons.stages import speeds
from universal_neurons.stages.ablation import ablation_mode
from universal_neurons.stages.base import absent, read_artifact
from universal_neurons.stages.costs import Cost, Shape, Sizes
from universal_neurons.stages.fetching import pin
from universal_neurons.stages.registry import in_groups, stages, with_needs
from universal_neurons.stages.resources import check_precision, device, free_host_bytes, less_margin
from universal_neurons.stages.tokens import ONLY, TOKENS
from universal_neurons.stages.workspace import WORK_FOLDER, hub_corpus, unpinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import torch

    from universal_neurons.stages.base import Case, Need, StageGroup
    from universal_neurons.stages.speeds import DeviceSpeed
    from universal_neurons.stages.workspace import Workspace

ALL = "all"


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage at one step (None: all steps): its artifacts, how many are there, and the cost of the absent ones.

    ``passes`` over the tokens; ``operations`` of matrix products; ``device_bytes``, ``host_bytes``: held at most, of a
    GPU's memory and of the machine's, the process itself included; ``disk_bytes``: written at most; ``seconds``: None
    where text has to come over a network.  All are 0 where nothing is absent.

    The stage ``moments`` has no artifacts of its own: ``universality`` and ``candidates`` rest on it.
    """

    stage: str
    step: int | None
    artifacts: int
    present: int
    passes: int = 0
    operations: float = 0.0
    device_bytes: int = 0
    host_bytes: int = 0
    disk_bytes: int = 0
    seconds: float | None = 0.0

    @classmethod
    def of(cls, stage: str, rows: Sequence[PlannedStage]) -> PlannedStage:
        """Several rows as one: sums, and of memory the most that any of them holds.

        Unknown times are left out, unless none is known.
        """
        columns = {field.name: [getattr(row, field.name) for row in rows] for field in fields(cls)}
        known = [seconds for seconds in columns["seconds"] if seconds is not None]
        sums = ("artifacts", "present", "passes", "operations", "disk_bytes")
        return cls(
            stage=stage,
            step=None,
            seconds=sum(known) if known else None,
            **{name: sum(columns[name]) for name in sums},
            **{name: max(columns[name], default=0) for name in ("device_bytes", "host_bytes")},
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages of ``suite`` step by step, in the order in which they are computed, on ``device``.

    ``source``: where the device's speeds come from.  ``budget``: bytes of it that a pass may take.
    """

    suite: str
    device: str
    source: str
    budget: int
    steps: tuple[PlannedStage, ...]

    @property
    def stages(self) -> tuple[PlannedStage, ...]:
        """Every stage with all of its steps together."""
        order = {stage.name: float(number) for number, stage in enumerate(stages())}
        # What stages share has a row of its own before theirs.
        shared = {row.stage: order.get(after.stage, 0) - 0.5 for row, after in pairwise(self.steps)}
        names = sorted({row.stage for row in self.steps}, key=(shared | order).__getitem__)
        return tuple(PlannedStage.of(name, [row for row in self.steps if row.stage == name]) for name in names)

    @property
    def whole(self) -> PlannedStage:
        """All stages together."""
        return PlannedStage.of(ALL, self.steps)

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only: raw numbers, with their unit in the name of the field."""
        return {
            "suite": self.suite,
            "device": self.device,
            "speeds": self.source,
            "memory_budget_bytes": self.budget,
            "steps": [asdict(row) for row in self.steps],
            "stages": [asdict(row) for row in self.stages],
            "all": asdict(self.whole),
        }


def plan(
    work: Workspace,
    *,
    only: Iterable[Need] | None = None,
    from_scratch: bool = False,
    on: str | None = None,
    measure: Callable[[torch.device], DeviceSpeed] | None = None,
) -> Plan:
    """Every stage of a suite, step by step, on the workspace's device or on the published device ``on``.

    ``only``: some cases and what they need.  Models that are not pinned yet are pinned first, because keys depend on
    them; the tokens are not sampled: before they are, nothing can be there.  ``from_scratch`` asks neither hub nor
    store: everything counts as absent.  ``measure``: the measurement of a device whose speed is not kept.
    Raises ``HubError`` where the hub has to be asked and cannot, and UserError for an unknown device, a budget in which
    nothing fits, or a precision that the device does not have.
    """
    elsewhere = None if on is None else _published_speed(work, on)
    if from_scratch:
        work = unpinned(work)
    else:
        pin(work)
    # Keys rest on the digest of the tokens: before they are sampled there are none, and nothing can have been computed.
    sampled = not from_scratch and TOKENS.is_present(work, ONLY)
    steps = [
        _Step(
            group,
            step,
            cases,
            {
                stage.name: absent(work, stage, cases) if sampled else cases.get(stage.name, ())
                for stage in group.stages
            },
        )
        for group, step, cases in in_groups(with_needs(work, only))
    ]
    if not any(step.is_lacking for step in steps):
        present = tuple(
            PlannedStage(name, step.step, count, count) for step in steps for name, (count, _) in step.artifacts.items()
        )
        return Plan(str(work.suite), "", "everything is there, so no speed is needed", 0, present)
    speed = elsewhere or local_speed(work, measure)
    sizes = sizes_of(work, speed, sampled=sampled)
    rows = tuple(row for step in steps for row in _rows(work, sizes, speed, step))
    return Plan(str(work.suite), speed.device, speed.source, sizes.budget, rows)


def rows(
    work: Workspace, sizes: Sizes, speed: DeviceSpeed, group: StageGroup, cases: Sequence[Need]
) -> tuple[PlannedStage, ...]:
    """The stages of a group, what they share before them, where all ``cases`` of one step are absent.

    Raises UserError for a budget in which nothing fits.
    """
    by_name: dict[str, list[Case]] = {stage.name: [] for stage in group.stages}
    for stage, case in cases:
        by_name[stage.name].append(case)
    return tuple(_rows(work, sizes, speed, _Step(group, cases[0][1].step, by_name, by_name)))


@dataclass(frozen=True, slots=True)
class _Step:
    """The requested cases of one group at one step, and the lacking ones of them, by the name of the stage."""

    group: StageGroup
    step: int | None
    requested: Mapping[str, Sequence[Case]]
    lacking: Mapping[str, Sequence[Case]]

    @property
    def is_lacking(self) -> bool:
        return any(self.lacking.values())

    @property
    def artifacts(self) -> dict[str, tuple[int, int]]:
        """The numbers of artifacts and of lacking ones, by the name of the stage."""
        return {
            stage.name: (len(stage.parts) * len(cases), len(stage.parts) * len(self.lacking[stage.name]))
            for stage in self.group.stages
            if (cases := self.requested.get(stage.name))
        }


def _rows(work: Workspace, sizes: Sizes, speed: DeviceSpeed, step: _Step) -> Iterator[PlannedStage]:
    """The stages of a group at one step, what they share before them; raises as :func:`rows`."""
    try:
        costs = step.group.costs(work, sizes, step.requested, step.lacking) if step.is_lacking else {}
    except BudgetTooSmall as error:
        raise UserError(f"suite {work.suite.name}: {error}") from error
    is_gpu, precision = speed.kind == "cuda", work.suite.universality.precision
    # Text of a hub comes over a network, whose speed is not known.
    is_timed = step.step is not None or hub_corpus(work) is None
    shared = {name: (0, 0) for name in costs if name not in step.artifacts}
    for name, (artifacts, lacking) in (shared | step.artifacts).items():
        cost, process = costs.get(name, Cost({})), speed.process_bytes if name in costs else 0
        seconds = speed.seconds(cost, width=sizes.shape.width, precision=precision)
        yield PlannedStage(
            stage=name,
            step=step.step,
            artifacts=artifacts,
            present=artifacts - lacking,
            passes=cost.passes,
            operations=cost.operations,
            device_bytes=cost.device_bytes if is_gpu else 0,
            # Without a GPU what the device works on lies in the same memory.
            host_bytes=process + cost.host_bytes + (0 if is_gpu else cost.device_bytes),
            disk_bytes=cost.disk_bytes,
            seconds=seconds if is_timed else None,
        )


def local_speed(work: Workspace, measure: Callable[[torch.device], DeviceSpeed] | None = None) -> DeviceSpeed:
    """The speed of the workspace's device: the kept one, or else measured now and kept in the work folder."""
    precision, folder = work.suite.universality.precision, work.root / WORK_FOLDER
    asked = work.resources.device or speeds.default_device()
    speed = None if measure else speeds.KeptSpeed(folder, speeds.measured_where(asked)).read()
    if speed is not None and precision in speed.products:
        return speed
    here = device(work)
    check_precision(work, here)
    if measure is not None:
        return measure(here)
    # torch may see no GPU where there is a driver.
    kept = speeds.KeptSpeed(folder, speeds.measured_where(str(here)))
    speed = kept.read()
    if speed is None:
        from universal_neurons.stages.calibration import measured_speed

        speed = measured_speed(here)
        try:
            kept.write(speed)
        except OSError as error:
            work.warn(
                f"{kept.path}: the device's speed cannot be kept ({error.strerror}) and is measured again next time"
            )
    return speed


def speed_of(work: Workspace, on: str | None) -> DeviceSpeed:
    """The speed of the published device ``on``, or of the workspace's own."""
    return local_speed(work) if on is None else _published_speed(work, on)


def _published_speed(work: Workspace, name: str) -> DeviceSpeed:
    if work.resources.device is not None:
        raise UserError("--on: expected a device that is not here, or --device, got both")
    speed, precision = speeds.published_speed(name), work.suite.universality.precision
    if precision not in speed.products:
        raise UserError(f"--on {name}: universality.precision: expected {' or '.join(speed.products)}, got {precision}")
    return speed


def sizes_of(work: Workspace, speed: DeviceSpeed, *, sampled: bool) -> Sizes:
    """The sizes of the workspace's suite on a device of this ``speed``.

    Positions are exact where the tokens were ``sampled``; before, as many as there would be without newlines in the
    text.
    """
    spec, ablation, models = work.suite.corpus, work.suite.ablation, len(work.suite.zoo.models)
    shape = Shape.of(work.zoo.recipe(), row=spec.row_length)
    rows = ceil(spec.tokens / (spec.row_length - 1))
    if sampled:
        rows = int(str(read_artifact(work, TOKENS.key(work, ONLY)).document["rows"]))
    resident = models * shape.loaded_bytes
    free = speed.memory_bytes - resident if speed.memory_bytes else free_host_bytes()
    return Sizes(
        shape=shape,
        models=models,
        tokens=spec.tokens,
        positions=rows * spec.row_length,
        evaluated=ceil(ablation.tokens / (spec.row_length - 1)) * spec.row_length,
        device=speed.kind,
        readers=speed.threads if speed.kind == "cpu" else 1,
        budget=work.resources.memory or resident + less_margin(free, speed.kind),
        tf32=ablation_mode(work) == "tf32",
    )
