"""Studies whose tables of one stage are planted, so that the truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from universal_neurons.inputs.suite import Checkpoint

LAST = Checkpoint(400, 1.0, "100%")


class Planted(Protocol):
    """What makes the tables of a model in which something is planted."""

    def tables(self, model: str) -> Any: ...


@dataclass(frozen=True)
class PlantedStudy:
    """Four models at the last checkpoint, whose tables of ``stage`` are as ``planted`` makes them."""

    stage: str
    planted: Planted
    reference: str = "a"
    others: tuple[str, ...] = ("b", "c", "d")

    def partners(self) -> tuple[str, ...]:
        return self.others

    def table(self, stage: str, *, model: str, checkpoint: Any) -> Any:
        assert (stage, checkpoint) == (self.stage, LAST)
        return self.planted.tables(model)

    def profiles(self, *, model: str) -> Any:
        return self.planted.profiles(model)  # type: ignore[attr-defined]
