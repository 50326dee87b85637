"""Prediction of universality from the properties of neurons of other models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.cache import cached
from universal_neurons.measures.controls import dealt_within_layers
from universal_neurons.measures.intervals import student_quantile
from universal_neurons.measures.properties import percentiles_in_layers, property_of, ranking_of
from universal_neurons.measures.study import models_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.measures.arrays import Flags, Floats, Integers
    from universal_neurons.measures.study import HasStep, Study

# Of the eight properties the ones that need no text.
WEIGHTS = ("input_bias", "cos_in_out", "weight_norm", "vocabulary_kurtosis")


def predicted_universality(
    study: Study,
    checkpoint: HasStep,
    threshold: float,
    names: Sequence[str],
    *,
    trained_on: int | None = None,
    judged_on: int | None = None,
) -> Measurement:
    """How well properties of other models' neurons predict who is universal in a model, over models.

    For every model: a logistic regression of universality on the percentiles in the layers of the properties ``names``
    (each also squared, because both ends of a rank may matter), fitted on all other models; the probability that a
    universal neuron of the model is given a higher score than another one of its layer, mean over layers weighted by
    their universal neurons.  Value: the mean over models with Student's t interval; details: the lowest and the highest
    of them.  With a seed ``trained_on``, who is universal is dealt out within the layers of the models that are fitted;
    with ``judged_on``, of the model that is judged.  Missing for fewer than three models, or for one without a
    universal neuron.
    """
    features, layers, universal = [], [], []
    for model in models_of(study):
        table = study.table("properties", model=model, checkpoint=checkpoint)
        layer = table["layer"].to_numpy().astype(np.int64)
        ranks = [percentiles_in_layers(layer, property_of(table, name)) for name in names]
        tables = study.reference_tables(checkpoint=checkpoint, reference=model)
        level = tables.first.resampling.level
        # A property that is undefined says nothing: the middle of the ranks.
        features.append(np.nan_to_num(np.stack(ranks, axis=1), nan=50.0))
        layers.append(layer)
        universal.append(ranking_of(np.zeros(len(layer)), tables, threshold).universal)
    return _mean_auc(features, layers, universal, level=level, trained_on=trained_on, judged_on=judged_on)


@cached
def _mean_auc(
    features: Sequence[Floats],
    layers: Sequence[Integers],
    universal: Sequence[Flags],
    *,
    level: float,
    trained_on: int | None,
    judged_on: int | None,
) -> Measurement:
    count = len(features)
    if count < 3 or not all(one.any() for one in universal):
        return Measurement.missing(n=count, over=Over.MODELS)
    fitted = [_dealt(*pair, trained_on) for pair in zip(layers, universal, strict=True)]
    judged = [_dealt(*pair, judged_on) for pair in zip(layers, universal, strict=True)]
    found = []
    for left_out in range(count):
        others = [number for number in range(count) if number != left_out]
        model = _fitted(
            np.concatenate([_with_squares(features[number]) for number in others]),
            np.concatenate([fitted[number] for number in others]),
        )
        score = np.asarray(model.decision_function(_with_squares(features[left_out])))
        found.append(auc_in_layers(score, layers[left_out], judged[left_out]))
    mean, error = float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(count))
    reach = student_quantile(level, count) * error
    details = {"lowest": min(found), "highest": max(found)}
    return Measurement(mean, mean - reach, mean + reach, count, Over.MODELS, level, "", details)


def _dealt(layer: Integers, universal: Flags, seed: int | None) -> Flags:
    return universal if seed is None else np.asarray(universal[dealt_within_layers(layer, seed)])


def _with_squares(percentiles: Floats) -> Floats:
    centred = percentiles / 50 - 1
    return np.concatenate([centred, centred**2], axis=1)


def _fitted(features: Floats, universal: Flags) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000).fit(features, universal)


def auc_in_layers(score: Floats, layer: Integers, universal: Flags) -> float:
    """The probability that a universal neuron has a higher ``score`` than another one of its layer, ties half.

    Mean over layers, weighted by their universal neurons; layers of one kind of neuron say nothing.
    """
    total, weight = 0.0, 0
    for at in np.unique(layer):
        chosen, others = score[(layer == at) & universal], score[(layer == at) & ~universal]
        if chosen.size and others.size:
            total += float(scipy.stats.mannwhitneyu(chosen, others).statistic) / others.size
            weight += chosen.size
    return total / weight if weight else float("nan")
