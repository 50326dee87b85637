"""The numbers about ablation that the report shows, from a study's ablation tables.

Decides which sets of neurons stand for which series: against each partner of the reference (ambiguity A3, first
reading) where the paper's figures have one curve per model, and the mean over all models as reference where it
averages.  "Non-universal" are as many random others (A4, second reading), in one layer as many of that layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.ablation import NATS, dose_curve, effect, effect_over_random
from universal_neurons.measures.ablation_table import AblationTable, Quantity, SetKind, SetOf
from universal_neurons.measures.intervals import jackknife
from universal_neurons.measures.tables import Definition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from universal_neurons.inputs.suite import Checkpoint
    from universal_neurons.render.study import Study

# What the paper's figures compare: the universal neurons, and its "non-universal" ones.
COMPARED = (SetKind.UNIVERSAL, SetKind.RANDOM_OTHERS)
COMPARED_IN_LAYER = (SetKind.UNIVERSAL, SetKind.LAYER_MATCHED)
# The random control of v2's figures, and the one that cannot be explained by where the neurons are.
BANDS = (SetKind.RANDOM_OTHERS, SetKind.LAYER_MATCHED)


@dataclass(frozen=True, slots=True)
class PairEffect:
    """Which effect: of which kind of set, at which threshold, in which quantity, against which partner, when."""

    kind: SetKind
    threshold: float
    quantity: Quantity
    partner: str
    checkpoint: str


@dataclass(frozen=True, slots=True)
class LayerEffect:
    """Which effect of one layer alone, mean over models."""

    kind: SetKind
    quantity: Quantity
    checkpoint: str
    layer: int


@dataclass(frozen=True, slots=True)
class TwinEffect:
    """Which loss increase of the averaged definition: of which kind of set, at which threshold, when."""

    kind: SetKind
    threshold: float
    checkpoint: str


@dataclass(frozen=True)
class Ablations:
    """Effects of ablations in nats per prediction; checkpoints by their labels, ``models`` taken as the reference.

    ``doses`` are the dose curves of every model at the last checkpoint, ``readings`` there the effect of every kind of
    set in the reference, ``exceeding`` by (model, checkpoint) the loss increase beyond the 95th percentile of random
    others.
    """

    reference: str
    models: tuple[str, ...]
    partners: tuple[str, ...]
    checkpoints: tuple[str, ...]
    shares: tuple[float, ...]
    thresholds: tuple[float, ...]
    threshold: float
    depth: int
    pairs: Mapping[PairEffect, Measurement]
    layers: Mapping[LayerEffect, Measurement]
    twins: Mapping[TwinEffect, Measurement]
    exceeding: Mapping[tuple[str, str], Measurement]
    doses: Mapping[str, pd.DataFrame]
    readings: Mapping[SetKind, Measurement]
    level: float
    artifacts: tuple[str, ...]


def ablation_results(study: Study) -> Ablations:
    """All numbers about ablation; raises the study's ArtifactMissing where the ablations were not computed."""
    before = len(study.reads)
    spec = study.suite.universality
    models = study.suite.references
    tables = {(m, c.label): study.ablation(checkpoint=c, reference=m) for c in study.checkpoints for m in models}
    own = {c.label: tables[study.reference, c.label] for c in study.checkpoints}
    last = study.checkpoints[-1].label
    averaged = SetOf(spec.threshold, definition=Definition.AVERAGED)
    first = own[last]
    return Ablations(
        reference=study.reference,
        models=models,
        partners=study.partners(),
        checkpoints=tuple(c.label for c in study.checkpoints),
        shares=tuple(c.share for c in study.checkpoints),
        thresholds=spec.thresholds,
        threshold=spec.threshold,
        depth=study.suite.layers,
        pairs=_pairs(own, study.partners(), spec.thresholds),
        layers=_by_layer(tables, models, study.checkpoints, averaged, study.suite.layers),
        twins=_twins(own, spec.thresholds),
        exceeding={
            place: effect_over_random(table, averaged, SetKind.RANDOM_OTHERS, quantity=Quantity.LOSS)
            for place, table in tables.items()
        },
        doses={model: dose_curve(tables[model, last], averaged) for model in models},
        readings={kind: effect(first, averaged, kind) for kind in first.kinds(averaged)},
        level=first.resampling.level,
        artifacts=tuple(dict.fromkeys(study.reads[before:])),
    )


def _pairs(
    own: Mapping[str, AblationTable], partners: Sequence[str], thresholds: Sequence[float]
) -> dict[PairEffect, Measurement]:
    return {
        PairEffect(kind, threshold, quantity, partner, label): effect(
            table, SetOf(threshold, partner), kind, quantity=quantity
        )
        for label, table in own.items()
        for partner in partners
        for threshold in thresholds
        for quantity in Quantity
        for kind in COMPARED
    }


def _by_layer(
    tables: Mapping[tuple[str, str], AblationTable],
    models: Sequence[str],
    checkpoints: Sequence[Checkpoint],
    averaged: SetOf,
    depth: int,
) -> dict[LayerEffect, Measurement]:
    return {
        LayerEffect(kind, quantity, c.label, layer): over_models(
            [effect(tables[m, c.label], averaged.in_layer(layer), kind, quantity=quantity) for m in models]
        )
        for c in checkpoints
        for layer in range(depth)
        for quantity in Quantity
        for kind in COMPARED_IN_LAYER
    }


def _twins(own: Mapping[str, AblationTable], thresholds: Sequence[float]) -> dict[TwinEffect, Measurement]:
    return {
        TwinEffect(kind, threshold, label): effect(
            table, SetOf(threshold, definition=Definition.AVERAGED), kind, quantity=Quantity.LOSS
        )
        for label, table in own.items()
        for threshold in thresholds
        for kind in (SetKind.UNIVERSAL, *BANDS)
    }


def over_models(effects: Sequence[Measurement]) -> Measurement:
    """The mean effect over models with its interval over models; the mean number of neurons in the details.

    The jackknife of a mean, which is Student's interval (``measures.intervals.jackknife``).  Missing if any is, and
    with fewer than two models.
    """
    values = [one.value for one in effects]
    if len(values) < 2 or any(map(math.isnan, values)):
        return Measurement.missing(n=len(values), over=Over.MODELS, unit=NATS)
    value, level = sum(values) / len(values), effects[0].level
    rest = [(value * len(values) - one) / (len(values) - 1) for one in values]
    low, high = jackknife(value, rest, level=level)
    size = sum(one.details["size"] for one in effects) / len(effects)
    return Measurement(
        value, min(low, value), max(high, value), len(values), Over.MODELS, level, NATS, {"size": size}
    )  # fmt: skip
