"""Prediction, suppression and partition neurons: where they are, who is among them, and whether the next token agrees.

Three tables of one model (:class:`PredictionTables`):

- ``neurons``, one row per neuron, layer by layer: layer, neuron; kurtosis (3 for a Gaussian), skewness and variance of
  the cosines of its output weights with the unembedding; common_..., the same without rare tokens; permuted_..., with
  the coordinates of the unembedding permuted; members, the size of its set of extreme tokens; positives, at how many
  tokens the next one is in it; auc, P(more active where it is); matched_auc, of other tokens of the same frequencies;
- ``directions``, the same moments of random directions;
- ``planted``, moments and tests of made-up neurons, every second one against its tokens.

A neuron is a *prediction* neuron where the kurtosis is above a threshold and the skewness positive, a *suppression*
neuron where the latter is negative, and otherwise a *partition* neuron where the variance is above a threshold.  Both
thresholds are the 99.9th percentile of the random directions, so one direction in a thousand is above.

Deviation: the published code has a kurtosis of 10 and a variance of 0.005 for all models, which says nothing about
models with other vocabularies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd

from universal_neurons.errors import NotOnSuite
from universal_neurons.measurement import Measurement, independent_difference
from universal_neurons.measures.cache import cached
from universal_neurons.measures.controls import dealt_within_layers
from universal_neurons.measures.distributions import bounded_median
from universal_neurons.measures.groups import average_group
from universal_neurons.measures.joint import smallest, with_details
from universal_neurons.measures.properties import DEALINGS, EXTREME, median_of
from universal_neurons.measures.shares import neuron_share
from universal_neurons.measures.study import models_of
from universal_neurons.measures.tables import row_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.measures.arrays import Flags, Floats, Integers
    from universal_neurons.measures.study import HasStep, Study

Vocabulary = Literal["", "common_", "permuted_"]
SharpRole = Literal["prediction", "suppression"]
WritingRole = Literal["prediction", "suppression", "partition"]
# The share of random directions below a threshold.
CALIBRATION = 0.999
QUARTERS = 4


@dataclass(frozen=True, eq=False)
class PredictionTables:
    """The tables of one model, and the level of intervals."""

    neurons: pd.DataFrame
    directions: pd.DataFrame
    planted: pd.DataFrame
    level: float

    def threshold(self, name: str) -> float:
        """The 99.9th percentile of a moment of the random directions."""
        return float(np.quantile(self.directions[name], CALIBRATION))

    def writing(self, kind: Vocabulary = "", *, bound: float | None = None) -> Writing:
        """The neurons by their own moments or other ones; ``bound``: a threshold of kurtosis instead of the percentile.

        With permuted coordinates the threshold stays the neurons' own.
        """
        calibrated = "" if kind == "permuted_" else kind
        columns = {
            name: self.neurons[kind + name].to_numpy(np.float64) for name in ("kurtosis", "skewness", "variance")
        }
        return Writing(
            layer=self.neurons["layer"].to_numpy().astype(np.int64),
            **columns,
            auc=self.neurons["auc"].to_numpy(np.float64),
            matched_auc=self.neurons["matched_auc"].to_numpy(np.float64),
            threshold=self.threshold(f"{calibrated}kurtosis") if bound is None else bound,
            variance_threshold=self.threshold(f"{calibrated}variance"),
            level=self.level,
        )

    def random_writing(self) -> Writing:
        """A random direction in the place of every neuron."""
        chosen = np.arange(len(self.neurons)) % len(self.directions)
        drawn = self.directions.iloc[chosen].reset_index(drop=True)
        return replace(
            self.writing(),
            kurtosis=_column(drawn, "kurtosis"),
            skewness=_column(drawn, "skewness"),
            variance=_column(drawn, "variance"),
        )

    def planted_writing(self) -> Writing:
        """The planted neurons, as if they were of one layer, against the thresholds of this model."""
        tables = replace(self, neurons=self.planted.assign(layer=0))
        return tables.writing()


@dataclass(frozen=True, eq=False)
class Writing:
    """Moments over the vocabulary of every neuron (neuron,), its tests of the next token, and the thresholds."""

    layer: Integers
    kurtosis: Floats
    skewness: Floats
    variance: Floats
    auc: Floats
    matched_auc: Floats
    threshold: float
    variance_threshold: float
    level: float

    @property
    def is_sharp(self) -> Flags:
        """Prediction and suppression neurons."""
        return self.kurtosis > self.threshold

    def role(self, name: WritingRole | None) -> Flags:
        """The neurons of one role; of None those that have no role."""
        if name is None:
            return np.asarray(~np.logical_or.reduce([self.role(one) for one in get_args(WritingRole)]))
        if name == "partition":
            return ~self.is_sharp & (self.variance > self.variance_threshold)
        return self.is_sharp & ((self.skewness > 0) if name == "prediction" else (self.skewness < 0))

    @property
    def quarter(self) -> Integers:
        """The quarter of the depth in which each neuron is; raises NotOnSuite for fewer than four layers."""
        layers = int(self.layer.max()) + 1
        if layers < QUARTERS:
            raise NotOnSuite(f"expected at least {QUARTERS} layers, a quarter of the depth each, got {layers}")
        return self.layer * QUARTERS // layers

    @property
    def is_last(self) -> Flags:
        """The neurons of the last layer."""
        return np.asarray(self.layer == self.layer.max())


def written(
    study: Study, checkpoint: HasStep, model: str, kind: Vocabulary = "", *, bound: float | None = None
) -> Writing:
    """The writing of one model's neurons."""
    tables: PredictionTables = study.table("predictions", model=model, checkpoint=checkpoint)
    return tables.writing(kind, bound=bound)


def every_model(
    study: Study, checkpoint: HasStep, kind: Vocabulary = "", *, bound: float | None = None
) -> tuple[Writing, ...]:
    """The writing of every model of the suite, the reference first."""
    return tuple(written(study, checkpoint, model, kind, bound=bound) for model in models_of(study))


@cached
def smallest_rise(neurons: Writing) -> Measurement:
    """The smaller of two steps of the share of prediction and suppression neurons, from a quarter of the depth to the
    next, the second to the third and the third to the last.

    Over neurons: Wilson's intervals of both shares, combined by square and add.  Details: the share of every quarter.
    Raises NotOnSuite for fewer than four layers.
    """
    quarter, is_sharp = neurons.quarter, neurons.is_sharp
    shares = [_share(is_sharp[quarter == at], neurons.level) for at in range(QUARTERS)]
    steps = [independent_difference(shares[at], shares[at + 1]) for at in (1, 2)]
    details = {f"quarter_{at + 1}": share.value for at, share in enumerate(shares)}
    return with_details(smallest(steps), **details)


@cached
def role_share(models: tuple[Writing, ...], role: WritingRole, layer: int) -> Measurement:
    """The share of the neurons of a layer that have a role, all models together, over neurons (Wilson's interval)."""
    return _share(np.concatenate([one.role(role)[one.layer == layer] for one in models]), models[0].level)


@cached
def median_cosine(
    models: tuple[Writing, ...], cosines: tuple[Floats, ...], role: WritingRole | None, rank: int
) -> Measurement:
    """The median over the neurons of a role of the cosine of their output weights with their token of one rank.

    ``cosines`` (neuron, rank) of every model are those with the tokens that each neuron promotes or suppresses most.
    All models together.  Interval: order statistics; missing of so few neurons that it has no end.
    """
    found = [values[one.role(role), rank] for one, values in zip(models, cosines, strict=True)]
    return bounded_median(np.concatenate(found).astype(np.float64), level=models[0].level)


@cached
def suppression_shift(models: tuple[Writing, ...], *, seed: int | None = None) -> Measurement:
    """P(skewness < 0 | kurtosis above) in the last layer minus in the layer before, all models together, over neurons.

    With a ``seed`` the signs are dealt out anew among each model's neurons above in both layers.  Missing where a layer
    has none; raises NotOnSuite for a single layer.
    """
    dice = None if seed is None else np.random.default_rng(seed)
    flags: tuple[list[bool], list[bool]] = ([], [])
    for one in models:
        last = int(one.layer.max())
        if last == 0:
            raise NotOnSuite("expected a layer before the last, got a single one")
        chosen = one.is_sharp & (one.layer >= last - 1)
        negative = one.skewness[chosen] < 0
        negative = negative if dice is None else dice.permutation(negative)
        for at in (0, 1):
            flags[at].extend(negative[one.layer[chosen] == last - 1 + at])
    before, after = (_share(np.array(part, dtype=bool), models[0].level) for part in flags)
    found = independent_difference(before, after)
    return with_details(found, before=before.value, last=after.value, n_before=before.n, n_last=after.n)


def universal_flags(study: Study, checkpoint: HasStep, threshold: float) -> tuple[Flags, ...]:
    """Which neurons of every model are universal by the mean excess over its partners, the reference first."""
    tables = (study.reference_tables(checkpoint=checkpoint, reference=model) for model in models_of(study))
    return tuple(average_group(one).universal(threshold) for one in tables)


@cached
def last_layer_contrast(models: tuple[Writing, ...], universal: tuple[Flags, ...]) -> Measurement:
    """In last layers, the share above the threshold among universal neurons minus among others, over neurons.

    All models together; Wilson's intervals combined by square and add.  Details: both shares.
    """
    chosen = [flags[one.is_last] for one, flags in zip(models, universal, strict=True)]
    sharp = np.concatenate([one.is_sharp[one.is_last] for one in models])
    flags = np.concatenate(chosen)
    others, own = (_share(sharp[flags == value], models[0].level) for value in (False, True))
    return with_details(
        independent_difference(others, own), universal=own.value, others=others.value, n_universal=own.n
    )


@cached
def dealt_last_layer_contrast(models: tuple[Writing, ...], universal: tuple[Flags, ...]) -> Measurement:
    """The same with labels dealt out within layers: of 200 dealings the one that only a tenth exceed."""
    found = []
    for seed in range(DEALINGS):
        dealt = tuple(flags[dealt_within_layers(one.layer, seed)] for one, flags in zip(models, universal, strict=True))
        found.append(last_layer_contrast(models, dealt))
    if any(one.is_missing for one in found):
        return found[0]
    return sorted(found, key=lambda one: one.low)[round(EXTREME * DEALINGS) - 1]


@cached
def median_auc(models: tuple[Writing, ...], role: SharpRole, *, matched: bool = False) -> Measurement:
    """The median over neurons of P(more active before a token of its set), of one role in the last quarter of layers.

    All models together; ``matched``: of other tokens of the same frequencies.  Interval: order statistics.  Details:
    ``share`` of the neurons above a half.  Raises NotOnSuite for fewer than four layers.
    """
    chosen = [one.role(role) & (one.quarter == QUARTERS - 1) for one in models]
    return _median_auc(models, chosen, matched=matched)


@cached
def planted_auc(planted: Writing, role: SharpRole, *, matched: bool = False) -> Measurement:
    """The same of the planted neurons of one role that are found."""
    return _median_auc((planted,), [planted.role(role)], matched=matched)


@cached
def planted_share(planted: Writing) -> Measurement:
    """The share of planted neurons that are found with the right sign: prediction and suppression by turns."""
    right = np.where(np.arange(len(planted.layer)) % 2, planted.role("suppression"), planted.role("prediction"))
    return _share(right.astype(bool), planted.level)


@cached
def named_share(neurons: Writing, named: Sequence[tuple[int, int, WritingRole]]) -> Measurement:
    """The share of ``named`` neurons (layer, number in it, role) that have the role, over these neurons.

    Interval: Wilson.  Raises NotOnSuite for a neuron that the model does not have.
    """
    found = [bool(neurons.role(role)[row_of(neurons.layer, layer, number)]) for layer, number, role in named]
    return _share(np.array(found), neurons.level)


@cached
def unnamed_share(neurons: Writing, named: Sequence[tuple[int, int, WritingRole]]) -> Measurement:
    """The share of all other neurons of the layers of ``named`` ones that have their roles, over neurons."""
    flags = []
    for layer, number, role in named:
        others = neurons.layer == layer
        others[row_of(neurons.layer, layer, number)] = False
        flags.append(neurons.role(role)[others])
    return _share(np.concatenate(flags), neurons.level)


def roles_by_layer(models: dict[str, Writing]) -> pd.DataFrame:
    """One row per model and layer: model, layer, neurons, and how many are prediction, suppression and partition."""
    rows = []
    for model, one in models.items():
        for layer in np.unique(one.layer):
            here = one.layer == layer
            counts = {name: int((one.role(name) & here).sum()) for name in get_args(WritingRole)}
            rows.append({"model": model, "layer": int(layer), "neurons": int(here.sum()), **counts})
    return pd.DataFrame(rows)


def neuron_roles(tables: PredictionTables) -> pd.DataFrame:
    """One row per neuron: layer, neuron, role (empty for none), auc, matched_auc, positives and members."""
    one = tables.writing()
    role = np.select([one.role(name) for name in get_args(WritingRole)], get_args(WritingRole), "")
    return tables.neurons[["layer", "neuron", "auc", "matched_auc", "positives", "members"]].assign(role=role)


def _column(table: pd.DataFrame, name: str) -> Floats:
    return table[name].to_numpy(dtype=np.float64)


def _median_auc(models: Sequence[Writing], chosen: Sequence[Flags], *, matched: bool) -> Measurement:
    areas = [(one.matched_auc if matched else one.auc)[flags] for one, flags in zip(models, chosen, strict=True)]
    sample = np.concatenate(areas)
    sample = sample[~np.isnan(sample)]
    return with_details(median_of(sample, models[0].level), share=float((sample > 0.5).mean()) if sample.size else 0.0)


def _share(flags: Flags, level: float) -> Measurement:
    return neuron_share(int(flags.sum()), len(flags), level=level)
