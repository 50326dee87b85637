"""Common base of the numbers behind figures: the suite, the models and the checkpoints that they are of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from universal_neurons.render.figures.charts import ChartAxis
from universal_neurons.render.formatting import listed, plural

if TYPE_CHECKING:
    from universal_neurons.inputs.suite import Checkpoint, Suite
    from universal_neurons.stages.study import StoredStudy

Settings = tuple["Suite", str, tuple[str, ...], tuple["Checkpoint", ...]]


@dataclass(frozen=True)
class Numbers:
    """Numbers of one suite; ``artifacts`` are the digests of what they were read from."""

    suite: Suite
    reference: str
    partners: tuple[str, ...]
    checkpoints: tuple[Checkpoint, ...]
    artifacts: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def threshold(self) -> float:
        """The suite's default threshold."""
        return self.suite.universality.threshold

    @property
    def level(self) -> float:
        """The level of the intervals."""
        return self.suite.resampling.level

    @property
    def depth(self) -> int:
        """The number of layers."""
        return self.suite.layers

    @property
    def labels(self) -> tuple[str, ...]:
        """The checkpoints by their labels."""
        return tuple(checkpoint.label for checkpoint in self.checkpoints)

    @property
    def last(self) -> str:
        """The last checkpoint."""
        return self.checkpoints[-1].label

    @property
    def models(self) -> str:
        """The models taken as the reference, in words."""
        names = references_of(self.suite, self.reference)
        return f"{plural(len(names), 'model')} {listed(names)}"

    @property
    def training(self) -> ChartAxis:
        """The axis of the checkpoints."""
        return ChartAxis("share of training", tuple(one.share for one in self.checkpoints), self.labels)


def settings_of(study: StoredStudy) -> Settings:
    """The first fields of numbers of any kind."""
    return study.suite, study.reference, study.partners(), study.checkpoints


def references_of(suite: Suite, reference: str) -> tuple[str, ...]:
    """The models taken as the reference, the ``reference`` of the study first."""
    return (reference, *(name for name in suite.references if name != reference))
