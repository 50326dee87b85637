"""Studies whose tables of one stage are planted, so that the truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tests.measures.labels import plain_table
from universal_neurons.inputs.suite import Checkpoint
from universal_neurons.measures.tables import ReferenceTables

if TYPE_CHECKING:
    import pandas as pd

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


class ScoredModels:
    """Three models, each with the same scores against both others: what a study tells of universality."""

    reference = "a"

    def scores(self, model: str) -> pd.DataFrame:
        """The columns layer, neuron and excess of a model."""
        raise NotImplementedError

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        return tuple(name for name in "abc" if name != (reference or self.reference))

    def reference_tables(self, *, checkpoint: Any, reference: str | None = None) -> ReferenceTables:
        name = reference or self.reference
        frame = self.scores(name)
        return ReferenceTables.of(
            [
                plain_table(frame, reference=name, partner=partner, step=checkpoint.step)
                for partner in self.partners(name)
            ]
        )
