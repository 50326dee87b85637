"""Written as a claim file is, so that mypy checks here what the author of a claim sees; pytest does not collect it."""

from __future__ import annotations

from typing import Protocol

from universal_neurons.harness import (
    AtMost,
    Checkpoint,
    Measurement,
    Near,
    NotJudged,
    Published,
    claim,
    control,
    reading,
)


class Study(Protocol):
    def share(self, partner: str, checkpoint: Checkpoint) -> Measurement: ...


@claim(
    "N1",
    "Few neurons are universal.",
    source="Nandan et al., table 1",
    expect=Near(Published("nandan2025.table1", threshold=0.5, step=100_000)),
    on={"mini": AtMost(0.05), "tiny": NotJudged("it has one checkpoint")},
    family="emergence",
    promise="protocol-exact",
    correction="holm",
    axes={"checkpoint": "first", "threshold": (0.5,)},
)
def test_few_are_universal(study: Study, threshold: float, checkpoint: Checkpoint, partner: str) -> Measurement:
    return study.share(partner, checkpoint)


@control(of=test_few_are_universal)
def test_untrained_models_share_nothing(study: Study, partner: str, checkpoint: Checkpoint) -> Measurement:
    return study.share(partner, checkpoint)


@reading(of=test_few_are_universal, ambiguity="A1", says="mean of the excess over the partners")
def test_few_are_universal_on_average(study: Study, checkpoint: Checkpoint) -> Measurement:
    return study.share("b", checkpoint)
