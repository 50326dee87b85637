"""What the report needs of ``universal_neurons.stages.study.Study``: the tables of the claims, and where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from universal_neurons.measures import study

if TYPE_CHECKING:
    import pandas as pd

    from universal_neurons.artifacts.receipt import Imported
    from universal_neurons.ids import CorpusRef, ModelRef
    from universal_neurons.inputs.suite import Checkpoint, Suite
    from universal_neurons.measures.profiles import NeuronProfiles
    from universal_neurons.measures.study import HasStep


class Study(study.Study, Protocol):
    """A study with its suite, its models and its provenance."""

    @property
    def suite(self) -> Suite:
        """The suite whose numbers are shown."""

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The trained checkpoints, in order."""

    @property
    def untrained(self) -> Checkpoint | None:
        """The checkpoint before the first training step, where the suite has it."""

    @property
    def reads(self) -> list[str]:
        """The digests of the artifacts that were read so far."""

    def model(self, name: str, checkpoint: HasStep) -> ModelRef:
        """The identity of one set of weights."""

    def corpus(self) -> CorpusRef:
        """The identity of the scored tokens."""

    def profiles(self, *, model: str | None = None) -> NeuronProfiles:
        """What is known of every neuron of a model at the last checkpoint."""

    def training_log(self) -> pd.DataFrame:
        """One row per logged training step."""

    def training_digest(self) -> str:
        """The sha256 of the training log's file; empty where there is none."""

    def provenance(self) -> pd.DataFrame:
        """One row per artifact."""

    def imported(self) -> Imported:
        """How much of the evidence was computed elsewhere, and what of it was checked."""
