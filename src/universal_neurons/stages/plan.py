"""The plan of a suite: every stage of every step with its cost, and about how long that takes on a device.

Nothing is sampled, downloaded or computed for a plan.  The speed of this device is measured once and kept; where it is
kept, or where another device is asked about, torch is not imported.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

from universal_neurons.core.tiling import BudgetTooSmall
from universal_neurons.errors import UserError
from universal_neurons.stages import speeds
from universal_neurons.stages.base import read_artifact
from universal_neurons.stages.costs import NOTHING, Cost, Shape, Sizes
from universal_neurons.stages.fetching import pin
from universal_neurons.stages.registry import in_groups, stages, suite_cases, with_needs
from universal_neurons.stages.resources import MARGIN, check_precision, device, free_host_bytes
from universal_neurons.stages.tokens import ONLY, TOKENS
from universal_neurons.stages.workspace import WORK_FOLDER, hub_corpus, unpinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import torch

    from universal_neurons.stages.base import Case, Need, Stage, StageGroup
    from universal_neurons.stages.speeds import DeviceSpeed
    from universal_neurons.stages.workspace import Workspace

ALL = "all"


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage at one step (None: all steps): its artifacts, how many are there, and the cost of the absent ones.

    ``passes`` over the tokens; ``operations`` of matrix products; ``streamed_bytes`` of activations that the passes
    bring; ``device_bytes``, ``host_bytes``: held at most, of a GPU's memory and of the machine's, the process itself
    included; ``disk_bytes``: written at most; ``seconds``: None where text has to come over a network.  All are 0 where
    nothing is absent.

    The stage ``moments`` has no artifacts of its own: ``universality`` and ``candidates`` rest on it.
    """

    stage: str
    step: int | None
    artifacts: int
    present: int
    passes: int
    operations: float
    streamed_bytes: int
    device_bytes: int
    host_bytes: int
    disk_bytes: int
    seconds: float | None

    @classmethod
    def of(cls, stage: str, rows: Iterable[PlannedStage]) -> PlannedStage:
        """Several rows as one: sums, and of memory the most that any of them holds.

        Unknown times are left out, unless none is known.
        """
        rows = tuple(rows)
        known = [row.seconds for row in rows if row.seconds is not None]
        return cls(
            stage=stage,
            step=None,
            artifacts=sum(row.artifacts for row in rows),
            present=sum(row.present for row in rows),
            passes=sum(row.passes for row in rows),
            operations=sum(row.operations for row in rows),
            streamed_bytes=sum(row.streamed_bytes for row in rows),
            device_bytes=max(row.device_bytes for row in rows),
            host_bytes=max(row.host_bytes for row in rows),
            disk_bytes=sum(row.disk_bytes for row in rows),
            seconds=sum(known) if known else None,
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
        order = {stage.name: place for place, stage in enumerate(stages())}
        # What stages share has a row of its own before theirs.
        following = {row.stage: order.get(after.stage, 0) - 0.5 for row, after in pairwise(self.steps)}
        names = sorted(
            dict.fromkeys(row.stage for row in self.steps), key=lambda name: order.get(name, following.get(name, 0.0))
        )
        return tuple(PlannedStage.of(name, (row for row in self.steps if row.stage == name)) for name in names)

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
    elsewhere = None if on is None else _speed_elsewhere(work, on)
    if from_scratch:
        work = unpinned(work)
    else:
        pin(work)
    # Keys rest on the digest of the tokens: before they are sampled there are none, and nothing can have been computed.
    sampled = not from_scratch and TOKENS.is_present(work, ONLY)
    steps = list(_steps(work, suite_cases(work) if only is None else with_needs(work, only), sampled=sampled))
    if not any(any(step.lacking.values()) for step in steps):
        return _nothing_to_do(work, steps)
    speed = elsewhere or local_speed(work, measure)
    sizes = sizes_of(work, speed, sampled=sampled)
    try:
        rows = tuple(row for step in steps for row in _rows(work, sizes, speed, step))
    except BudgetTooSmall as error:
        raise UserError(f"suite {work.suite.name}: {error}") from error
    return Plan(str(work.suite), speed.device, speed.source, sizes.budget, rows)


@dataclass(frozen=True, slots=True)
class _Step:
    """The requested cases of one group at one step, and the lacking ones of them, by the name of the stage."""

    group: StageGroup
    step: int | None
    requested: Mapping[str, Sequence[Case]]
    lacking: Mapping[str, Sequence[Case]]

    def counts(self, stage: Stage) -> tuple[int, int]:
        """How many artifacts of a stage there are, and how many are lacking."""
        name, parts = stage.name, len(stage.parts)
        return parts * len(self.requested.get(name, ())), parts * len(self.lacking[name])


def _steps(work: Workspace, cases: Iterable[Need], *, sampled: bool) -> Iterator[_Step]:
    for group, steps in in_groups(cases):
        for step, requested in steps.items():
            lacking = {
                stage.name: [
                    case for case in requested.get(stage.name, ()) if not sampled or not stage.is_present(work, case)
                ]
                for stage in group.stages
            }
            yield _Step(group, step, requested, lacking)


def _rows(work: Workspace, sizes: Sizes, speed: DeviceSpeed, step: _Step) -> Iterator[PlannedStage]:
    """The stages of a group at one step, what they share before them."""
    is_lacking = any(step.lacking.values())
    costs = step.group.costs(work, sizes, step.requested, step.lacking) if is_lacking else {}
    stages = {stage.name: stage for stage in step.group.stages if step.requested.get(stage.name)}
    for name in dict.fromkeys([*(name for name in costs if name not in stages), *stages]):
        artifacts, lacking = step.counts(stages[name]) if name in stages else (0, 0)
        # Text of a hub comes over a network, whose speed is not known.
        is_timed = step.step is not None or hub_corpus(work) is None
        yield _planned(
            work, speed, sizes, name, step.step, artifacts, lacking, costs.get(name, NOTHING), is_timed=is_timed
        )


def _nothing_to_do(work: Workspace, steps: Sequence[_Step]) -> Plan:
    rows = tuple(
        PlannedStage(stage.name, step.step, count, count, 0, 0.0, 0, 0, 0, 0, 0.0)
        for step in steps
        for stage in step.group.stages
        if (count := step.counts(stage)[0])
    )
    return Plan(str(work.suite), "", "everything is there, so no speed is needed", 0, rows)


def _planned(
    work: Workspace, speed: DeviceSpeed, sizes: Sizes, stage: str, step: int | None, artifacts: int, missing: int,
    cost: Cost, *, is_timed: bool,
) -> PlannedStage:  # fmt: skip
    is_gpu, process = speed.kind == "cuda", 0 if cost is NOTHING else speed.process_bytes
    seconds = speed.seconds(cost, width=sizes.shape.width, precision=work.suite.universality.precision)
    return PlannedStage(
        stage=stage,
        step=step,
        artifacts=artifacts,
        present=artifacts - missing,
        passes=cost.passes,
        operations=cost.operations,
        streamed_bytes=cost.streamed_bytes,
        device_bytes=cost.device_bytes if is_gpu else 0,
        # Without a GPU what the device works on lies in the same memory.
        host_bytes=process + cost.host_bytes + (0 if is_gpu else cost.device_bytes),
        disk_bytes=cost.disk_bytes,
        seconds=seconds if is_timed else None,
    )


# --- the device ------------------------------------------------------------------------------------------------------


def local_speed(work: Workspace, measure: Callable[[torch.device], DeviceSpeed] | None = None) -> DeviceSpeed:
    """The speed of the workspace's device: the kept one, or else measured now and kept in the work folder."""
    precision, folder = work.suite.universality.precision, work.root / WORK_FOLDER
    where = speeds.measured_where(work.resources.device or speeds.default_device())
    speed = None if measure else speeds.kept_speed(speeds.kept_file(folder, where), where)
    if speed is not None and precision in speed.products:
        return speed
    place = device(work)
    check_precision(work, place)
    if measure is not None:
        return measure(place)
    # torch may see no GPU where there is a driver.
    where = speeds.measured_where(str(place))
    path = speeds.kept_file(folder, where)
    speed = speeds.kept_speed(path, where)
    if speed is None:
        from universal_neurons.stages.calibration import measured_speed

        speed = measured_speed(place)
        try:
            speeds.keep_speed(path, where, speed)
        except OSError as error:
            work.warn(f"{path}: the device's speed cannot be kept ({error.strerror}) and is measured again next time")
    return speed


def _speed_elsewhere(work: Workspace, name: str) -> DeviceSpeed:
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
        budget=work.resources.memory or resident + round((1 - MARGIN) * free),
    )
