"""Attention heads that rest on the first position, and the neurons that turn them off and on.

Three tables of one model (:class:`AttentionTables`):

- ``heads``, one row per head: layer, head; to_first, mean attention to position 0 from the second half of a row;
  first_norm, middle_norm, other_norm, mean of |W_O v| at the first, the middle and at all positions but the first;
  raw_kurtosis, relative_kurtosis and random_kurtosis of the scores of the neurons below, raw and relative, and of the
  relative scores of random directions;
- ``paths``, one row per head above the first layer and neuron: role (top, bottom, matched, random, planted),
  source_layer and source_neuron, active (tested tokens at which it is above 0), raw and relative score of its unit
  output weights, three correlations over tested tokens, effect (change of attention per activation and unit of output
  weights) and mean_attention (its mean change), all of taking the neuron out of the head's query;
- ``points``, of each head's first top and bottom neuron: activation, change of attention, relative change of the norm.

A *sink head* is above the first layer and attends to position 0 with at least a tenth on average.  A *deactivation*
neuron raises that attention, which makes the head's output smaller: with v its activation, dA and dz what changes where
it is taken out, r(v, dA) < 0, r(dA, dz) < 0 and r(v, dz) > 0.  For an *activation* neuron the first and the last sign
are the other way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import scipy

from universal_neurons.errors import NotOnSuite
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.ablation_table import Quantity
from universal_neurons.measures.cache import cached
from universal_neurons.measures.intervals import jackknife
from universal_neurons.measures.properties import percentiles_in_layers
from universal_neurons.measures.study import models_of, tables_of_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from universal_neurons.measures.arrays import Floats
    from universal_neurons.measures.study import HasStep, Study

SINK, ACTIVE = 0.1, 20
_FEWEST_MODELS = 3
# The signs of r(v, dA), r(dA, dz) and r(v, dz).
SIGNS = {"deactivation": (-1, -1, 1), "activation": (1, -1, -1)}
PathCorrelation = Literal["r_activation_attention", "r_attention_norm", "r_activation_norm"]
PATH_CORRELATIONS: tuple[PathCorrelation, ...] = get_args(PathCorrelation)
Action = Literal["deactivation", "activation"]
PathSource = Literal["scored", "matched", "planted"]


@dataclass(frozen=True, eq=False)
class AttentionTables:
    """The tables of one model, and the level of intervals."""

    heads: pd.DataFrame
    paths: pd.DataFrame
    points: pd.DataFrame
    level: float

    @property
    def sinks(self) -> pd.DataFrame:
        """The sink heads."""
        return self.heads[(self.heads["layer"] > 0) & (self.heads["to_first"] >= SINK)]

    def paths_of(self, layer: int, head: int, role: str) -> pd.DataFrame:
        """The neurons of one role of one head."""
        table = self.paths
        return table[(table["layer"] == layer) & (table["head"] == head) & (table["role"] == role)]


def every_model(study: Study, checkpoint: HasStep) -> tuple[AttentionTables, ...]:
    """The tables of every model of the suite, the reference first."""
    return tables_of_models(study, "heads", checkpoint)


@cached
def sink_norm_ratio(models: tuple[AttentionTables, ...], *, at: Literal["first", "middle"] = "first") -> Measurement:
    """The median over heads of mean |W_O v| of all positions but the first over the same ``at`` one, mean over models.

    Interval: over models (jackknife).  Details: the lowest and the highest of the models.
    """
    ratios = [float((one.heads["other_norm"] / one.heads[f"{at}_norm"]).median()) for one in models]
    return mean_over_models(ratios, models[0].level)


@cached
def excess_kurtosis(models: tuple[AttentionTables, ...], score: Literal["raw", "random"]) -> Measurement:
    """The kurtosis over neurons of raw scores minus the kurtosis of random directions, mean over models.

    Median over heads above the first layer.  ``random``: the kurtosis of random directions minus 3, a Gaussian's, of
    sink heads.  Interval: over models.
    """

    def typical(one: AttentionTables) -> float:
        heads = one.heads[one.heads["layer"] > 0] if score == "raw" else one.sinks
        base = 3.0 if score == "random" else heads["random_kurtosis"]
        return float((heads[f"{score}_kurtosis"] - base).median())

    return mean_over_models([typical(one) for one in models], models[0].level)


@cached
def kurtosis_ratio(models: tuple[AttentionTables, ...], score: Literal["relative", "random"]) -> Measurement:
    """The logarithm of the kurtosis of relative scores over the kurtosis of random ones, mean over models.

    Of the median ratio of sink heads; ``random``: of random directions over 3, a Gaussian's.  Interval: over models.
    Details: the lowest and the highest of the models.
    """

    def typical(one: AttentionTables) -> float:
        base = 3.0 if score == "random" else one.sinks["random_kurtosis"]
        ratio = (one.sinks[f"{score}_kurtosis"] / base).median()
        return float(np.log(ratio))

    return mean_over_models([typical(one) for one in models], models[0].level)


@cached
def weakest_sign(
    models: tuple[AttentionTables, ...], action: Action, source: PathSource = "scored", *, reverse: bool = False
) -> Measurement:
    """The smallest of the three correlations, each with the sign that the action gives it, mean over sink heads.

    Above 0 all three signs are right.  ``source``: the neuron with the largest (of activation: the smallest) relative
    score among those active at twenty tested tokens or more; a random neuron of the same layer; or the planted one.
    ``reverse``: by the signs of the other action.  Mean over models; interval over them.  Missing where a model has no
    sink head, or fewer than three models.  Details: the lowest and highest of the models, and ``best``, of all heads.
    """
    signs = SIGNS["activation" if (action == "activation") != reverse else "deactivation"]
    values = [_weakest_signs(one, action, source, signs) for one in models]
    means = [float(one.mean()) if one.size else float("nan") for one in values]
    best = max((float(one.max()) for one in values if one.size), default=float("nan"))
    return mean_over_models(means, models[0].level, best=best)


def _weakest_signs(one: AttentionTables, action: Action, source: PathSource, signs: tuple[int, ...]) -> Floats:
    return np.asarray((_path_correlations(one, action, source) * np.array(signs)).min(axis=1))


def _path_correlations(one: AttentionTables, action: Action, source: PathSource) -> Floats:
    """The three correlations of one neuron of each sink head (head, 3), where it is active often enough."""
    role = {"deactivation": "top", "activation": "bottom"}[action] if source == "scored" else source
    found = []
    for head in one.sinks.itertuples():
        rows = one.paths_of(int(head.layer), int(head.head), role)  # type: ignore[arg-type]
        # The matched neurons are one for each of the top and then one for each of the bottom ones.
        row = rows.iloc[len(rows) // 2] if source == "matched" and action == "activation" else rows.iloc[0]
        values = [float(row[name]) for name in PATH_CORRELATIONS]
        if row["active"] >= ACTIVE and not np.isnan(values).any():
            found.append(values)
    return np.array(found, dtype=np.float64).reshape(-1, len(PATH_CORRELATIONS))


@cached
def path_correlation(
    models: tuple[AttentionTables, ...], action: Action, source: PathSource, pair: PathCorrelation
) -> Measurement:
    """One of the three correlations over tested tokens, mean over sink heads and models; interval over models.

    Of the neurons as in :func:`weakest_sign`.
    """
    at = PATH_CORRELATIONS.index(pair)
    found = [_path_correlations(one, action, source)[:, at] for one in models]
    means = [float(one.mean()) if one.size else float("nan") for one in found]
    return mean_over_models(means, models[0].level)


@cached
def score_and_effect(models: tuple[AttentionTables, ...], *, seed: int | None = None) -> Measurement:
    """Spearman's correlation of the relative score with the measured effect, over random neurons below a sink head.

    Mean over sink heads, then over models; interval over models.  With a ``seed`` scores are dealt out anew.
    """
    dice = None if seed is None else np.random.default_rng(seed)
    means = []
    for one in models:
        values = []
        for head in one.sinks.itertuples():
            rows = one.paths_of(int(head.layer), int(head.head), "random").dropna(subset=["relative", "effect"])  # type: ignore[arg-type]
            score = rows["relative"].to_numpy(np.float64)
            score = score if dice is None else dice.permutation(score)
            values.append(float(scipy.stats.spearmanr(score, rows["effect"].to_numpy(np.float64)).statistic))
        means.append(float(np.mean(values)) if values else float("nan"))
    return mean_over_models(means, models[0].level)


def lone_losses(study: Study) -> tuple[pd.DataFrame, ...]:
    """What each neuron's ablation alone costs every model, the reference first: layer, neuron, loss (nats).

    Raises NotOnSuite where the suite ablates no single neurons.
    """
    tables = []
    for model in models_of(study):
        profiles = study.profiles(model=model)
        if not profiles.loss_increase.shape[1]:
            raise NotOnSuite("expected profiles with the ablation of every neuron alone, got none")
        loss = profiles.effect(Quantity.LOSS)["value"].to_numpy()
        tables.append(profiles.frame[["layer", "neuron"]].assign(loss=loss))
    return tuple(tables)


@cached
def loss_percentile(
    models: tuple[AttentionTables, ...], losses: tuple[pd.DataFrame, ...], role: Literal["top", "matched"]
) -> Measurement:
    """The percentile in its layer of what a neuron's ablation costs, of the neurons of one role of sink heads.

    Median over neurons, each counted once; mean over models, interval over models.  Missing where a model has no sink
    head.
    """
    medians = []
    for one, table in zip(models, losses, strict=True):
        percentile = percentiles_in_layers(table["layer"].to_numpy().astype(np.int64), table["loss"].to_numpy())
        paths = one.paths[one.paths["role"] == role].merge(one.sinks[["layer", "head"]])
        chosen = paths[["source_layer", "source_neuron"]].drop_duplicates()
        own = table.assign(percentile=percentile).merge(
            chosen, left_on=["layer", "neuron"], right_on=["source_layer", "source_neuron"]
        )
        medians.append(float(own["percentile"].median()))
    return mean_over_models(medians, models[0].level)


def mean_over_models(values: Sequence[float], level: float, **details: float) -> Measurement:
    """The mean over models with a jackknife; missing for fewer than three models or where a model has no value."""
    if len(values) < _FEWEST_MODELS or not np.isfinite(values).all():
        return Measurement.missing(n=len(values), over=Over.MODELS)
    whole = float(np.mean(values))
    rest = [float(np.mean([*values[:place], *values[place + 1 :]])) for place in range(len(values))]
    low, high = jackknife(whole, rest, level=level)
    known = {name: value for name, value in details.items() if np.isfinite(value)}
    known |= {"lowest": min(values), "highest": max(values)}
    return Measurement(whole, low, high, len(values), Over.MODELS, level, details=known)
