"""Every number of the report, computed once from a study's tables.

Decides which quantities the report shows; asks ``measures.universality`` for each of them, so that a number of the
report and a number that a claim was judged by come from one function.  Knows nothing of words or pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from universal_neurons.inputs.published import published, published_table
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.universality import (
    SHARE,
    Definition,
    ReferenceTables,
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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from universal_neurons.ids import CorpusRef, ModelRef
    from universal_neurons.inputs.suite import Checkpoint, Suite

CURVE_THRESHOLDS = tuple(step / 20 for step in range(2, 18))
CURVE_POINTS_OF_TRAINING = 120

READINGS = {
    Definition.PAIR: "each pair, mean",
    Definition.AVERAGED: "mean excess",
    Definition.UNION: "with any",
    Definition.INTERSECTION: "with all",
}


class Study(Protocol):
    """What the report needs of ``universal_neurons.study.Study``."""

    @property
    def suite(self) -> Suite:
        """The suite whose numbers are shown."""

    @property
    def reference(self) -> str:
        """The model whose neurons are asked about."""

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The trained checkpoints, in order."""

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        """The models that partners are looked for in."""

    def reference_tables(self, *, checkpoint: Checkpoint, reference: str | None = None) -> ReferenceTables:
        """The tables of one reference against all partners."""

    def model(self, name: str, checkpoint: Checkpoint) -> ModelRef:
        """The identity of one set of weights."""

    def corpus(self) -> CorpusRef:
        """The identity of the scored tokens."""

    def training_log(self) -> pd.DataFrame:
        """One row per logged training step."""

    def provenance(self) -> pd.DataFrame:
        """One row per artifact."""


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """One number of the published table 1: the share of training, the label of its checkpoint, the share."""

    threshold: float
    training: float
    label: str
    value: float


@dataclass(frozen=True)
class Results:
    """The numbers of one suite; ``table_one`` by threshold and step of the training."""

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
    checkpoint_tokens: tuple[float, ...]

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


def results(study: Study, printed: Sequence[PublishedCell]) -> Results:
    """All numbers of the report from ``study``; raises the study's own errors where an artifact is missing."""
    tables = {checkpoint: study.reference_tables(checkpoint=checkpoint) for checkpoint in study.checkpoints}
    threshold = study.suite.universality.threshold
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
        published=tuple(printed),
        layers=_layers(tables, threshold),
        by_partner=_by_partner(study, tables, threshold),
        by_reading=_by_reading(tables, threshold),
        thresholds=_thresholds(tables, threshold, printed),
        training=training(study.training_log()),
        checkpoint_tokens=_checkpoint_tokens(study),
    )


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
