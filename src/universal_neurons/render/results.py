"""Collect all numbers of the report, once, from a study's tables.

Every number comes from the function of ``measures`` that also judged the claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from universal_neurons.measurement import Measurement
from universal_neurons.measures.tables import Definition, ReferenceTables
from universal_neurons.measures.universality import (
    definition_share,
    universal_share,
)
from universal_neurons.render.figures.ablation import AblationResults, ablation_results
from universal_neurons.render.figures.emergence import (
    CheckpointLines,
    LayerShares,
    PublishedCell,
    ThresholdCurves,
    published_table_one,
    shares_by_layer,
    shares_by_partner,
    shares_by_reading,
    shares_by_threshold,
)
from universal_neurons.render.figures.persistence import (
    Persistence,
    PrintedPersistence,
    persistence_results,
    printed_persistence,
)
from universal_neurons.render.figures.robustness import Robustness, robustness_results
from universal_neurons.render.figures.training import TrainingCurve, checkpoint_tokens, training

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from universal_neurons.inputs.suite import Checkpoint, Suite
    from universal_neurons.measurement import Measurement
    from universal_neurons.stages.study import StoredStudy


@dataclass(frozen=True)
class Results:
    """The numbers of one suite; ``table_one`` by threshold and step of the training.

    ``training`` and ``checkpoint_tokens`` are empty for published models, of whose training there is no log.
    """

    suite: Suite
    reference: str
    partners: tuple[str, ...]
    checkpoints: tuple[Checkpoint, ...]
    table_one: Mapping[tuple[float, int], Measurement]
    published: tuple[PublishedCell, ...]
    layers: LayerShares
    by_partner: CheckpointLines
    by_reading: CheckpointLines
    thresholds: ThresholdCurves
    training: tuple[TrainingCurve, ...]
    training_digest: str
    checkpoint_tokens: tuple[float, ...]
    pairs: pd.DataFrame
    artifacts: tuple[str, ...]
    persistence: Persistence
    ablation: AblationResults
    robustness: Robustness

    @property
    def is_ours(self) -> bool:
        """Return whether the models were trained by this project, which then has a training log."""
        return self.suite.zoo.kind == "fixtures"

    @property
    def threshold(self) -> float:
        """The suite's default threshold."""
        return self.suite.universality.threshold

    @property
    def first(self) -> Measurement:
        """The share at the first checkpoint, mean over partners."""
        return self.table_one[self.threshold, self.checkpoints[0].step]

    @property
    def last(self) -> Measurement:
        """The share at the last checkpoint, mean over partners."""
        return self.table_one[self.threshold, self.checkpoints[-1].step]


@dataclass(frozen=True, slots=True)
class Printed:
    """The printed numbers shown beside ours: the paper's table 1 and its statements on persistence."""

    table_one: tuple[PublishedCell, ...]
    persistence: PrintedPersistence


def printed_numbers(root: Path) -> Printed:
    """Read the numbers of Nandan et al. 2025 v1; raises PublishedError if they are not in the project's files."""
    return Printed(published_table_one(root), printed_persistence(root))


def results(study: StoredStudy, printed: Printed) -> Results:
    """All numbers of the report from ``study``; raises the study's own errors where an artifact is missing."""
    before = len(study.reads)
    tables = {checkpoint: study.reference_tables(checkpoint=checkpoint) for checkpoint in study.checkpoints}
    threshold = study.suite.universality.threshold
    is_ours = study.suite.zoo.kind == "fixtures"
    return Results(
        suite=study.suite,
        reference=study.reference,
        partners=study.partners(),
        checkpoints=study.checkpoints,
        table_one={
            (t, checkpoint.step): definition_share(found, Definition.PAIR, t)
            for t in study.suite.universality.thresholds
            for checkpoint, found in tables.items()
        },
        published=printed.table_one,
        layers=shares_by_layer(tables, threshold),
        by_partner=shares_by_partner(tables, threshold),
        by_reading=shares_by_reading(tables, threshold),
        thresholds=shares_by_threshold(tables, threshold, printed.table_one),
        training=training(study.training_log()) if is_ours else (),
        training_digest=study.training_digest() if is_ours else "",
        checkpoint_tokens=checkpoint_tokens(study) if is_ours else (),
        pairs=_pairs(tables, study.suite.universality.thresholds),
        artifacts=tuple(dict.fromkeys(study.reads[before:])),
        persistence=persistence_results(study, printed.persistence),
        ablation=ablation_results(study),
        robustness=robustness_results(study),
    )


def _pairs(tables: Mapping[Checkpoint, ReferenceTables], thresholds: Sequence[float]) -> pd.DataFrame:
    """Table 1 pair by pair: threshold, checkpoint, partner, and the share with its interval."""
    rows = []
    for checkpoint, found in tables.items():
        for partner, table in found.tables.items():
            for threshold in thresholds:
                m = universal_share(table, threshold)
                where = {"threshold": threshold, "checkpoint": checkpoint.label, "partner": partner}
                rows.append({**where, "value": m.value, "low": m.low, "high": m.high})
    return pd.DataFrame(rows)
