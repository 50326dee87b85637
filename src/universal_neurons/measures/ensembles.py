"""Ensembles: prediction and suppression neurons of one layer that fire alike and write the same tokens.

A neuron's set are the tokens shown of its profile at the end of the vocabulary that its skewness points to.  Two
neurons *write the same* as far as both promote or both suppress: the share of the tokens of their sets in common, and 0
where one promotes and the other suppresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.measures.attention import mean_over_models
from universal_neurons.measures.cache import cached
from universal_neurons.measures.predictions import written
from universal_neurons.measures.properties import DEALINGS, extreme_of
from universal_neurons.measures.study import models_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.arrays import Floats, Integers
    from universal_neurons.measures.study import HasStep, Study

# Above this correlation of activations two neurons of a model are alike, as they are between models.
ALIKE = 0.5


@dataclass(frozen=True, eq=False)
class WritingPairs:
    """The neurons of one model that write, and which of them fire alike.

    ``layer``, ``sign`` (neuron,): 1 for prediction, -1 for suppression, 0 for neither.  ``tokens`` (neuron shown).
    ``nearest`` (neuron,): the row of the neuron of the same layer that fires most like it, by a correlation above
    :data:`ALIKE`, or -1.
    """

    layer: Integers
    sign: Integers
    tokens: Integers
    nearest: Integers
    level: float

    @property
    def pairs(self) -> Integers:
        """(pair 2) rows of neurons that both write and of which one is the nearest of the other, each pair once."""
        rows = np.flatnonzero((self.nearest >= 0) & (self.sign != 0))
        rows = rows[self.sign[self.nearest[rows]] != 0]
        return np.unique(np.sort(np.stack([rows, self.nearest[rows]], axis=1), axis=1), axis=0)

    def same(self, pairs: Integers) -> Floats:
        """How far the neurons of each pair write the same (pair,)."""
        first, second = self.tokens[pairs[:, 0]], self.tokens[pairs[:, 1]]
        common = (first[:, :, None] == second[:, None, :]).any(axis=2).mean(axis=1)
        return np.where(self.sign[pairs[:, 0]] == self.sign[pairs[:, 1]], common, 0.0)

    def expected(self) -> Floats:
        """The mean of :meth:`same` over all pairs of writing neurons of each layer (layer,), NaN for fewer than two."""
        means = np.full(int(self.layer.max()) + 1, np.nan)
        for layer in range(len(means)):
            writing = self.sign[self.layer == layer]
            total = 0
            for sign in (-1, 1):
                counts = np.bincount(self.tokens[(self.layer == layer) & (self.sign == sign)].ravel())
                total += int((counts * (counts - 1)).sum())
            count = int((writing != 0).sum())
            if count > 1:
                means[layer] = total / self.tokens.shape[1] / (count * (count - 1))
        return means

    def dealt(self, dice: np.random.Generator) -> Integers:
        """:attr:`pairs` with another writing neuron of the layer in the place of each second one."""
        pairs = self.pairs
        for layer in np.unique(self.layer[pairs[:, 0]]):
            writing = np.flatnonzero((self.layer == layer) & (self.sign != 0))
            here = np.flatnonzero(self.layer[pairs[:, 0]] == layer)
            place = np.searchsorted(writing, pairs[here, 0])
            # Never the neuron itself.
            pairs[here, 1] = writing[(place + dice.integers(1, len(writing), size=len(here))) % len(writing)]
        return pairs


def writing_pairs(study: Study, checkpoint: HasStep) -> tuple[WritingPairs, ...]:
    """The writing neurons of every model of the suite, the reference first."""
    return tuple(_writing_pairs(study, checkpoint, model) for model in models_of(study))


def _writing_pairs(study: Study, checkpoint: HasStep, model: str) -> WritingPairs:
    neurons, profiles = written(study, checkpoint, model), study.profiles(model=model)
    table: pd.DataFrame = study.table("duplicates", model=model, checkpoint=checkpoint)
    sign = neurons.role("prediction").astype(np.int64) - neurons.role("suppression").astype(np.int64)
    is_upper: npt.NDArray[np.bool_] = (neurons.skewness >= 0)[:, None]
    width = int((neurons.layer == 0).sum())
    other_layer, other = (table[name].to_numpy(np.int64) for name in ("other_layer", "other_neuron"))
    is_alike = (table["correlation"].to_numpy(np.float64) > ALIKE) & (other_layer == neurons.layer)
    return WritingPairs(
        layer=neurons.layer,
        sign=sign,
        tokens=np.where(is_upper, profiles.promoted_token, profiles.suppressed_token).astype(np.int64),
        nearest=np.where(is_alike, other_layer * width + other, -1),
        level=neurons.level,
    )


@cached
def common_writing(models: tuple[WritingPairs, ...]) -> Measurement:
    """How far neurons that fire alike write the same, minus the mean over all pairs of writing neurons of their layers.

    Mean over pairs, then over models; interval over models.  Missing where a model has no pair.  Details: ``alike``,
    the first term, and ``pairs`` of all models.
    """
    return _common(models, [one.pairs for one in models])


@cached
def dealt_common_writing(models: tuple[WritingPairs, ...]) -> Measurement:
    """The same of dealt pairs: of 200 dealings the one that only a tenth exceed."""
    found = []
    for seed in range(DEALINGS):
        dice = np.random.default_rng(seed)
        found.append(_common(models, [one.dealt(dice) for one in models]))
    return extreme_of(found, 1)


def _common(models: tuple[WritingPairs, ...], pairs: list[Integers]) -> Measurement:
    differences, alike = [], []
    for one, own in zip(models, pairs, strict=True):
        if not len(own):
            differences.append(np.nan)
            continue
        same = one.same(own)
        differences.append(float((same - one.expected()[one.layer[own[:, 0]]]).mean()))
        alike.append(float(same.mean()))
    counted = float(sum(map(len, pairs)))
    return mean_over_models(differences, models[0].level, alike=float(np.mean(alike or [np.nan])), pairs=counted)
