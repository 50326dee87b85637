"""The tables behind the figures and texts of the report, read once from a study.

Every number comes from the function of ``measures`` that also judged the claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.inputs.published import published, published_table
from universal_neurons.measures.tables import Definition, ReferenceTables
from universal_neurons.measures.universality import definition_share
from universal_neurons.render.figures.ablation import Ablations, ablations
from universal_neurons.render.figures.persistence import (
    Persistence,
    PrintedPersistence,
    persistence_of,
    printed_persistence,
)
from universal_neurons.render.figures.robustness import Robustness, robustness_results
from universal_neurons.render.figures.training import TrainingCurve, checkpoint_tokens, training

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from universal_neurons.inputs.suite import Checkpoint, Suite
    from universal_neurons.measurement import Measurement
    from universal_neurons.stages.study import StoredStudy


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """A number of the published table 1, at a threshold and a share of the training."""

    threshold: float
    training: float
    label: str
    value: float


def published_table_one(root: Path) -> tuple[PublishedCell, ...]:
    """The numbers that are printed in table 1 of Nandan et al. 2025 v1, at their shares of the training.

    Raises PublishedError where the project's files of published numbers do not have them.
    """
    total = published("nandan2025.setting", root=root, quantity="training steps")
    return tuple(
        PublishedCell(
            threshold=float(row.keys["threshold"]),
            training=float(row.keys["step"]) / total,
            label=f"{float(row.keys['step']) / 1000:g}k",
            value=row.value,
        )
        for row in published_table("nandan2025.table1", root=root).rows
    )


@dataclass(frozen=True)
class Results:
    """What the pages say of one suite; ``tables`` of the reference by the label of the checkpoint.

    ``training`` and ``checkpoint_tokens`` are empty for published models, of whose training there is no log.
    """

    suite: Suite
    reference: str
    partners: tuple[str, ...]
    checkpoints: tuple[Checkpoint, ...]
    tables: Mapping[str, ReferenceTables]
    published: tuple[PublishedCell, ...]
    training: tuple[TrainingCurve, ...]
    training_digest: str
    checkpoint_tokens: tuple[float, ...]
    artifacts: tuple[str, ...]
    persistence: Persistence
    ablation: Ablations
    robustness: Robustness

    @property
    def is_ours(self) -> bool:
        """Return whether the models were trained by this project, which then has a training log."""
        return self.suite.zoo.kind == "fixtures"

    @property
    def threshold(self) -> float:
        """The suite's default threshold."""
        return self.suite.universality.threshold

    def share(self, threshold: float, label: str, definition: Definition = Definition.PAIR) -> Measurement:
        """The share of universal neurons at a checkpoint, by default the mean over partners."""
        return definition_share(self.tables[label], definition, threshold)

    def shares(self, definition: Definition) -> tuple[Measurement, ...]:
        """The share at every checkpoint, at the default threshold."""
        return tuple(self.share(self.threshold, label, definition) for label in self.tables)

    @property
    def first(self) -> Measurement:
        """The share at the first checkpoint, mean over partners."""
        return self.share(self.threshold, self.checkpoints[0].label)

    @property
    def last(self) -> Measurement:
        """The share at the last checkpoint, mean over partners."""
        return self.share(self.threshold, self.checkpoints[-1].label)


@dataclass(frozen=True, slots=True)
class Printed:
    """The printed numbers shown beside ours: the paper's table 1 and its statements on persistence."""

    table_one: tuple[PublishedCell, ...]
    persistence: PrintedPersistence


def printed_numbers(root: Path) -> Printed:
    """Read the numbers of Nandan et al. 2025 v1; raises PublishedError if they are not in the project's files."""
    return Printed(published_table_one(root), printed_persistence(root))


def results(study: StoredStudy, printed: Printed) -> Results:
    """The tables of ``study``; raises the study's own errors where an artifact is missing."""
    before = len(study.reads)
    tables = {checkpoint.label: study.reference_tables(checkpoint=checkpoint) for checkpoint in study.checkpoints}
    is_ours = study.suite.zoo.kind == "fixtures"
    return Results(
        suite=study.suite,
        reference=study.reference,
        partners=study.partners(),
        checkpoints=study.checkpoints,
        tables=tables,
        published=printed.table_one,
        training=training(study.training_log()) if is_ours else (),
        training_digest=study.training_digest() if is_ours else "",
        checkpoint_tokens=checkpoint_tokens(study) if is_ours else (),
        artifacts=tuple(dict.fromkeys(study.reads[before:])),
        persistence=persistence_of(study, printed.persistence),
        ablation=ablations(study),
        robustness=robustness_results(study),
    )
