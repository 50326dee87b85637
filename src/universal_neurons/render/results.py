"""Every number of the report, computed once from a study's tables.

Decides which quantities the report shows; asks ``measures.universality`` for each of them, so that a number of the
report and a number that a claim was judged by come from one function.  Knows nothing of words or pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from universal_neurons.inputs.published import published, published_table
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.tables import Definition, ReferenceTables
from universal_neurons.measures.universality import (
    SHARE,
    definition_share,
    share_by_layer,
    threshold_curve,
    universal_share,
)
from universal_neurons.render.figures import (
    CheckpointLines,
    CurvePoint,
    LayerShares,
    Line,
    ThresholdCurves,
    TrainingCurve,
)
from universal_neurons.render.numerals import MissingNumber
from universal_neurons.render.results_ablation import Ablations, ablation_results
from universal_neurons.render.results_persistence import (
    Persistence,
    PrintedPersistence,
    persistence_results,
    printed_persistence,
)
from universal_neurons.render.results_robustness import Robustness, robustness_results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from universal_neurons.inputs.suite import Checkpoint, Suite
    from universal_neurons.render.study import Study

CURVE_THRESHOLDS = tuple(step / 20 for step in range(2, 18))
CURVE_POINTS_OF_TRAINING = 120

READINGS = {
    Definition.PAIR: "each pair, mean",
    Definition.AVERAGED: "mean excess",
    Definition.UNION: "with any",
    Definition.INTERSECTION: "with all",
}


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """One number of the published table 1: the share of training, the label of its checkpoint, the share."""

    threshold: float
    training: float
    label: str
    value: float


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
    ablation: Ablations
    robustness: Robustness

    @property
    def is_ours(self) -> bool:
        """Whether the models were trained by this project, so that there is a log of their training."""
        return self.suite.zoo.kind == "fixtures"

    @property
    def threshold(self) -> float:
        """The threshold that is meant where none is named."""
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
    """The numbers of the paper that stand beside ours: its table 1, and what its text says about persistence."""

    table_one: tuple[PublishedCell, ...]
    persistence: PrintedPersistence


def printed_numbers(root: Path) -> Printed:
    """What Nandan et al. 2025 v1 printed; raises PublishedError where the project's files do not have it."""
    return Printed(published_table_one(root), printed_persistence(root))


def results(study: Study, printed: Printed) -> Results:
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
        layers=_layers(tables, threshold),
        by_partner=_by_partner(study, tables, threshold),
        by_reading=_by_reading(tables, threshold),
        thresholds=_thresholds(tables, threshold, printed.table_one),
        training=training(study.training_log()) if is_ours else (),
        training_digest=study.training_digest() if is_ours else "",
        checkpoint_tokens=_checkpoint_tokens(study) if is_ours else (),
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


def _layers(tables: Mapping[Checkpoint, ReferenceTables], threshold: float) -> LayerShares:
    frames = {checkpoint.label: share_by_layer(found, threshold) for checkpoint, found in tables.items()}
    level = _level(next(iter(tables.values())))
    shares = {
        (int(row["layer"]), label): _measurement(row, n=int(row["neurons"]), level=level)
        for label, frame in frames.items()
        for row in frame.to_dict("records")
    }
    layers = tuple(sorted({layer for layer, _ in shares}))
    return LayerShares(layers=layers, checkpoints=tuple(frames), shares=shares, threshold=threshold)


def _by_partner(study: Study, tables: Mapping[Checkpoint, ReferenceTables], threshold: float) -> CheckpointLines:
    lines = [
        Line(f"with {partner}", tuple(universal_share(t.tables[partner], threshold) for t in tables.values()))
        for partner in study.partners()
    ]
    mean = Line(
        "mean", tuple(definition_share(t, Definition.PAIR, threshold) for t in tables.values()), emphasised=True
    )
    return _lines(tables, (*lines, mean), threshold)


def _by_reading(tables: Mapping[Checkpoint, ReferenceTables], threshold: float) -> CheckpointLines:
    lines = [
        Line(name, tuple(definition_share(t, definition, threshold) for t in tables.values()))
        for definition, name in READINGS.items()
    ]
    return _lines(tables, lines, threshold)


def _lines(tables: Mapping[Checkpoint, ReferenceTables], lines: Sequence[Line], threshold: float) -> CheckpointLines:
    return CheckpointLines(
        checkpoints=tuple(checkpoint.label for checkpoint in tables),
        shares_of_training=tuple(checkpoint.share for checkpoint in tables),
        lines=tuple(lines),
        threshold=threshold,
    )


def _thresholds(
    tables: Mapping[Checkpoint, ReferenceTables], threshold: float, printed: Sequence[PublishedCell]
) -> ThresholdCurves:
    curves = {
        checkpoint.label: tuple(
            CurvePoint(float(row["threshold"]), float(row["value"]), float(row["low"]), float(row["high"]))
            for row in threshold_curve(found, sorted({*CURVE_THRESHOLDS, threshold})).to_dict("records")
        )
        for checkpoint, found in tables.items()
    }
    latest = max((cell.training for cell in printed), default=math.nan)
    points = tuple((cell.threshold, cell.value) for cell in printed if cell.training == latest)
    return ThresholdCurves(curves=curves, published=tuple(sorted(points)), threshold=threshold)


def training(log: pd.DataFrame) -> tuple[TrainingCurve, ...]:
    """The loss of every seed, averaged in at most ``CURVE_POINTS_OF_TRAINING`` stretches of its training.

    ``log`` has model, tokens, loss and, where it was evaluated, held_out_loss.  Raises MissingNumber for an empty log.
    """
    if log.empty:
        raise MissingNumber("the training log of the zoo is empty; run: nox -s train")
    return tuple(_training_curve(str(model), part.sort_values("tokens")) for model, part in log.groupby("model"))


def _training_curve(model: str, log: pd.DataFrame) -> TrainingCurve:
    lossy = log.dropna(subset=["loss"])
    stretch = (pd.RangeIndex(len(lossy)) * CURVE_POINTS_OF_TRAINING) // max(len(lossy), CURVE_POINTS_OF_TRAINING)
    means = lossy.groupby(stretch)[["tokens", "loss"]].mean()
    held_out = log.dropna(subset=["held_out_loss"]) if "held_out_loss" in log else log.iloc[:0]
    return TrainingCurve(
        model=model,
        tokens=tuple(float(t) for t in means["tokens"]),
        loss=tuple(float(loss) for loss in means["loss"]),
        held_out=tuple(
            (float(t), float(loss))
            for t, loss in (zip(held_out["tokens"], held_out["held_out_loss"], strict=True) if len(held_out) else ())
        ),
    )


def _checkpoint_tokens(study: Study) -> tuple[float, ...]:
    total = float(study.training_log()["tokens"].max())
    return tuple(checkpoint.share * total for checkpoint in study.checkpoints)


def _measurement(row: Mapping[Any, Any], *, n: int, level: float) -> Measurement:
    if math.isnan(row["value"]):
        return Measurement.missing(n=n, over=Over.TOKEN_BLOCKS, unit=SHARE)
    return Measurement(row["value"], row["low"], row["high"], n, Over.TOKEN_BLOCKS, level, SHARE)


def _level(tables: ReferenceTables) -> float:
    return next(iter(tables.tables.values())).resampling.level


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
