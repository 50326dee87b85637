"""The plan of a suite: every stage of every step with what it takes and about how long that is on this device.

This module decides what is said.  Nothing is sampled, downloaded or computed for it but a few seconds of made-up work
that tell the device's pace, and not even that where nothing is missing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from universal_neurons.core.tiling import BudgetTooSmall
from universal_neurons.errors import UserError
from universal_neurons.inputs.corpus import CorpusManifest
from universal_neurons.inputs.suite import CORPORA
from universal_neurons.pipeline.fetching import pin
from universal_neurons.pipeline.resources import check_precision
from universal_neurons.planning.calibration import Pace, Text, calibrated, device_name
from universal_neurons.planning.efforts import Effort, together
from universal_neurons.planning.inventory import Absent, Shelf, absent, absent_tokens
from universal_neurons.planning.stages import (
    NOTHING,
    Demand,
    Sizes,
    ablation_demand,
    candidates_demand,
    extensions_demand,
    moments_demand,
    profiles_demand,
    token_demand,
    universality_demand,
    variants_demand,
)
from universal_neurons.workspace import hub_corpus, unpinned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from universal_neurons.planning.efforts import Shape
    from universal_neurons.workspace import Workspace

    # What tells the pace: of a shape, for some efforts, on a device, with text if need be.
    Calibrate = Callable[..., Pace]

TOKENS, MOMENTS = "tokens", "moments"


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage at one step: its artifacts, how many are there, and what the absent ones take.

    ``passes`` over the tokens; ``teraflop``: 10^12 operations of matrix products; ``streamed_gb``: 10^9 bytes of
    activations that the passes bring; ``device_mb``, ``host_mb``: 10^6 bytes held at most, of what a GPU works on and
    of the rest, the process itself among it (without a GPU all of it is the host's); ``disk_mb``: 10^6 bytes written at
    most; ``seconds``: at the pace of this device, None where text has to come over a network.  All are 0 where nothing
    is absent.

    The stage ``moments`` has no artifacts of its own: it is what ``universality`` and ``candidates`` rest on.
    """

    stage: str
    step: int | None
    artifacts: int
    present: int
    passes: int
    teraflop: float
    streamed_gb: float
    device_mb: float
    host_mb: float
    disk_mb: float
    seconds: float | None

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only, rounded for reading."""
        return {name: round(v, 2) if isinstance(v, float) else v for name, v in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages of ``suite`` in the order in which they are computed, on ``device`` in at most ``budget`` bytes of it.

    ``calibrated_in``: seconds that telling the device's pace took; 0 where nothing is absent.
    """

    suite: str
    device: str
    budget: int
    calibrated_in: float
    stages: tuple[PlannedStage, ...]

    @property
    def whole(self) -> PlannedStage:
        """All stages together: sums, and of memory the most that any of them holds."""
        seconds = [stage.seconds for stage in self.stages]
        return PlannedStage(
            stage="all",
            step=None,
            artifacts=sum(stage.artifacts for stage in self.stages),
            present=sum(stage.present for stage in self.stages),
            passes=sum(stage.passes for stage in self.stages),
            teraflop=sum(stage.teraflop for stage in self.stages),
            streamed_gb=sum(stage.streamed_gb for stage in self.stages),
            device_mb=max(stage.device_mb for stage in self.stages),
            host_mb=max(stage.host_mb for stage in self.stages),
            disk_mb=sum(stage.disk_mb for stage in self.stages),
            seconds=sum(one for one in seconds if one is not None),
        )

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every stage and, last, all of them."""
        return [stage.as_dict() for stage in (*self.stages, self.whole)]

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {
            "suite": self.suite,
            "device": self.device,
            "memory_budget_bytes": self.budget,
            "calibrated_in_seconds": round(self.calibrated_in, 2),
            "stages": [stage.as_dict() for stage in self.stages],
            "all": self.whole.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class _Line:
    """A stage before its time is known."""

    stage: str
    step: int | None
    artifacts: int
    present: int
    demand: Demand
    timed: bool = True


def plan(work: Workspace, *, from_scratch: bool = False, calibrate: Calibrate | None = None) -> Plan:
    """Every stage of a suite, step by step, on the workspace's device and in the memory that it may use.

    Models that nobody pinned yet are pinned first, because keys depend on them; the tokens are not sampled: before they
    are, nothing can be there.  ``from_scratch`` asks neither hub nor store: everything counts as absent.
    Raises ``HubError`` where the hub has to be asked and cannot, and UserError for a budget in which nothing fits or a
    precision that the device does not have.
    """
    if from_scratch:
        work = unpinned(work)
        shelf = Shelf(work, empty=True)
    else:
        pin(work)
        shelf = Shelf.of(work)
    sizes = Sizes.of(work, sampled=not shelf.empty)
    lines = [_token_line(sizes, absent_tokens(shelf))]
    try:
        for step in work.steps:
            lines += _step_lines(sizes, absent(shelf, step))
    except BudgetTooSmall as error:
        raise UserError(f"suite {work.suite.name}: {error}") from error
    pace = _pace(sizes, together(*(line.demand.efforts for line in lines)), calibrate or calibrated)
    stages = tuple(_planned(line, sizes.shape, pace) for line in lines)
    return Plan(str(work.suite), pace.device, sizes.budget, pace.measured_in, stages)


def _token_line(sizes: Sizes, missing: Sequence[str]) -> _Line:
    comes_from_here = hub_corpus(sizes.work) is None
    demand = token_demand(sizes, missing)
    return _Line(TOKENS, None, 2, 2 - len(missing), demand, timed=comes_from_here or not missing)


def _step_lines(sizes: Sizes, missing: Absent) -> list[_Line]:
    demands = {
        MOMENTS: moments_demand(sizes, missing),
        "universality": universality_demand(sizes, missing),
        "candidates": candidates_demand(sizes, missing),
        "variants": variants_demand(sizes, missing),
        "ablation": ablation_demand(sizes, missing.ablations),
        "extensions": extensions_demand(sizes, missing),
        "profiles": profiles_demand(sizes, missing.profiles),
    }
    counts = {stage: (missing.artifacts.get(stage, 0), missing.missing.get(stage, 0)) for stage in demands}
    return [
        _Line(stage, missing.step, every, every - lacking, demands[stage])
        for stage, (every, lacking) in counts.items()
        if every or demands[stage] is not NOTHING
    ]


def _pace(sizes: Sizes, efforts: dict[Effort, float], calibrate: Calibrate) -> Pace:
    work, device = sizes.work, sizes.place.type
    if not efforts:
        return Pace(device_name(device), device == "cuda", {}, 0.0)
    check_precision(work, sizes.place)
    text = None
    if efforts.keys() & {Effort.READING, Effort.ENCODING}:
        manifest = CorpusManifest.read(work.root / CORPORA / f"{work.suite.corpus.recipe}.json")
        shortest = min(manifest.distributions, key=lambda distribution: distribution.characters)
        text = Text(shortest.name, work.zoo.tokenizer())
    precision = work.suite.universality.precision
    return calibrate(sizes.shape, efforts, device=device, precision=precision, models=sizes.models, text=text)


def _planned(line: _Line, shape: Shape, pace: Pace) -> PlannedStage:
    demand = line.demand
    process = 0 if demand is NOTHING else pace.process
    return PlannedStage(
        stage=line.stage,
        step=line.step,
        artifacts=line.artifacts,
        present=line.present,
        passes=demand.passes,
        teraflop=shape.total_operations(demand.efforts) / 1e12,
        streamed_gb=demand.streamed / 1e9,
        device_mb=demand.device / 1e6 if pace.is_gpu else 0.0,
        # Without a GPU what the device works on lies in the same memory.
        host_mb=(process + demand.host + (0 if pace.is_gpu else demand.device)) / 1e6,
        disk_mb=demand.disk / 1e6,
        seconds=pace.total(demand.efforts) if line.timed else None,
    )
