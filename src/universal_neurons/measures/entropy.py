"""Entropy neurons: neurons of the last layer that move the scale of the final layer norm and with it all logits.

Two tables of one model (:class:`EntropyTables`):

- ``neurons``, one row per neuron of the last layer (kind ``neuron``), random and planted direction, the latter two with
  the activations of the neuron ``source`` and a median norm, and further random directions (``direction``) that are not
  ablated: norm of output weights; of their unit vector logit_variance (over the vocabulary), null_share (length of the
  projection on the hundredth of the unembedding's singular directions with the smallest values, at least one) and
  frequency_cosine (of its logits with the logarithm of the tokens' frequencies); and of setting the activation to its
  mean: total and direct, the mean size of the change of entropy at a position, in total and with the scale frozen;
  entropy_change and loss_change, mean changes in nats; scale_change, relative; first_kept, the share of positions that
  keep their most probable token;
- ``clamps``, of candidates (of the tenth with the largest norms those with the least logit variance), others of the
  same tenth and a planted direction: mean entropy, loss, relative scale, reciprocal rank of the true token and
  first_kept, where the activation is set to a value.

A third, ``entropy-below`` (:class:`NeuronsBelow`), has neurons of the layer before the last: role ``candidate`` and
``other`` as above, ``opposed`` the ones whose output weights have the smallest cosine with the last layer's first
candidate's (``cosine``); for each the value it is set to, NaN for its mean, and what this changes.

The *mediated* share of an effect is 1 - direct / total: what freezing the scale takes away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy

from universal_neurons.measures.attention import mean_over_models
from universal_neurons.measures.cache import cached
from universal_neurons.measures.study import tables_of_models

if TYPE_CHECKING:
    import pandas as pd

    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.arrays import Floats
    from universal_neurons.measures.study import HasStep, Study

# The values of Gurnee et al.: the minimum of GELU, and up to far above what neurons reach.
CLAMPS = (-0.17, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
HIGHEST = CLAMPS[-1]
# The share of random directions below a threshold.
CHANCES = {"null_share": 0.99, "frequency_cosine": 0.95}
DirectionKind = Literal["neuron", "random", "planted"]
ClampedRole = Literal["candidate", "other", "planted"]
RoleBelow = Literal["candidate", "opposed", "other"]


@dataclass(frozen=True, eq=False)
class EntropyTables:
    """The tables of one model, and the level of intervals."""

    neurons: pd.DataFrame
    clamps: pd.DataFrame
    level: float

    def of(self, kind: DirectionKind) -> pd.DataFrame:
        """The rows of one kind, with the ``mediated`` share; NaN where there is no effect."""
        rows = self.neurons[self.neurons["kind"] == kind]
        total = rows["total"].to_numpy(np.float64)
        mediated = np.full(len(rows), np.nan)
        np.divide(rows["direct"].to_numpy(np.float64), total, out=mediated, where=total > 0)
        return rows.assign(mediated=1 - mediated)

    @property
    def candidate(self) -> int:
        """The neuron that is most likely an entropy neuron: of the largest norms the one with the least variance."""
        return int(self.clamps[self.clamps["role"] == "candidate"]["source"].iloc[0])

    @property
    def kept_by_planted(self) -> float:
        """The share of positions that keep their most probable token where the planted direction is set to 6."""
        return float(_clamped(self.clamps, "planted", HIGHEST)["first_kept"].iloc[0])


@dataclass(frozen=True, eq=False)
class NeuronsBelow:
    """Neurons of one model's layer before the last, set to values, and the level of intervals.

    ``table``: source_layer, source_neuron, role, value, cosine; against the clean run entropy_change, loss_change and
    divergence (KL) in nats, scale_change (relative), reciprocal_rank_change and first_kept; total and direct, the mean
    size of the change of entropy at a position, in total and with the scale frozen.
    """

    table: pd.DataFrame
    level: float

    def rise(self, role: RoleBelow, column: str) -> float:
        """``column`` where a neuron is set to 6 minus where it is set to 0: of the first one, of others the median."""
        highest, nothing = (_clamped(self.table, role, value)[column].to_numpy(np.float64) for value in (HIGHEST, 0.0))
        return _of_role(highest - nothing, role)

    @property
    def opposition(self) -> float:
        """The cosine of the most opposed neuron with the candidate of the last layer."""
        return float(self.table[self.table["role"] == "opposed"]["cosine"].iloc[0])


def every_layer_below(study: Study, checkpoint: HasStep) -> tuple[NeuronsBelow, ...]:
    """The neurons of the layer before the last of every model of the suite, the reference first."""
    return tables_of_models(study, "entropy-below", checkpoint)


def every_model(study: Study, checkpoint: HasStep) -> tuple[EntropyTables, ...]:
    """The tables of every model of the suite, the reference first."""
    return tables_of_models(study, "entropy", checkpoint)


@cached
def candidate_mediation(models: tuple[EntropyTables, ...], *, possible: float) -> Measurement:
    """The mediated share of each model's candidate, mean over models; interval over models.

    Only models in which the planted directions have a median mediated share above ``possible``: elsewhere no neuron
    could have one.  Missing for fewer than three of them.
    """
    able = [one for one in models if one.of("planted")["mediated"].median() > possible]
    found = [float(one.of("neuron").set_index("source")["mediated"].loc[one.candidate]) for one in able]
    return mean_over_models(found, models[0].level)


@cached
def typical_mediation(models: tuple[EntropyTables, ...], kind: DirectionKind) -> Measurement:
    """The median mediated share of the directions of one kind, mean over models; interval over models."""
    return mean_over_models([float(one.of(kind)["mediated"].median()) for one in models], models[0].level)


@cached
def clamped_share_kept(models: tuple[EntropyTables, ...], role: ClampedRole, *, possible: float) -> Measurement:
    """The share of positions that keep their most probable token where one neuron is set to 6, mean over models.

    Of candidates the first, of others the median.  Only models in which a planted direction keeps at least
    ``possible``: elsewhere no neuron could.  Missing for fewer than three of them.  Details: the relative change of the
    scale, and of entropy in nats against the activation 0, for the first of the role.
    """
    kept, scale, entropy = [], [], []
    for one in models:
        if one.kept_by_planted < possible:
            continue
        highest, nothing = (_clamped(one.clamps, role, value) for value in (HIGHEST, 0.0))
        kept.append(_of_role(highest["first_kept"].to_numpy(np.float64), role))
        scale.append(float(highest["scale"].iloc[0]) - 1)
        entropy.append(float(highest["entropy"].iloc[0] - nothing["entropy"].iloc[0]))
    if not kept:
        return mean_over_models(kept, models[0].level)
    return mean_over_models(kept, models[0].level, scale=float(np.mean(scale)), entropy=float(np.mean(entropy)))


@cached
def clamp_curve(
    models: tuple[EntropyTables, ...], role: ClampedRole, column: Literal["entropy", "scale", "first_kept"]
) -> tuple[Measurement, ...]:
    """``column`` at each of :data:`CLAMPS`, of the first neuron of a role, of others the median; over models.

    Entropy in nats above what it is at the value 0.
    """

    def curve(one: EntropyTables) -> list[float]:
        groups = (_clamped(one.clamps, role, value)[column].to_numpy(np.float64) for value in CLAMPS)
        found = [_of_role(group, role) for group in groups]
        return [value - found[CLAMPS.index(0.0)] for value in found] if column == "entropy" else found

    curves = [curve(one) for one in models]
    return tuple(mean_over_models(values, models[0].level) for values in zip(*curves, strict=True))


@cached
def entropy_raised(models: tuple[NeuronsBelow, ...], role: RoleBelow) -> Measurement:
    """By how much entropy (nats) rises where a neuron of the layer before the last is set from 0 to 6.

    Of the first neuron of the role, of others the median; mean over models, interval over models.  Details: the change
    of the ``scale`` and, of the opposed neuron, its ``cosine`` with the candidate of the last layer, mean over models.
    """
    found = [one.rise(role, "entropy_change") for one in models]
    details = {"scale": float(np.mean([one.rise(role, "scale_change") for one in models]))}
    if role == "opposed":
        details["cosine"] = float(np.mean([one.opposition for one in models]))
    return mean_over_models(found, models[0].level, **details)


@cached
def tail_excess(
    models: tuple[EntropyTables, ...], column: Literal["null_share", "frequency_cosine"], *, half: bool = False
) -> Measurement:
    """The share of last-layer neurons whose |column| is above a percentile of random directions, minus its tail.

    The 99th percentile for the null space, which few neurons write to, the 95th for frequencies; mean over models.
    ``half``: of one half of the random directions against the other.  Details: ``largest`` of the neurons and
    ``largest_random``, mean over models.
    """
    chance = CHANCES[column]
    found, largest, largest_random = [], [], []
    for one in models:
        chosen = one.neurons["kind"].isin(["random", "direction"])
        drawn, own = (one.neurons[column][flags].abs().to_numpy(np.float64) for flags in (
            chosen, one.neurons["kind"] == "neuron",
        ))  # fmt: skip
        own, drawn = (drawn[::2], drawn[1::2]) if half else (own, drawn)
        found.append(float((own > np.quantile(drawn, chance)).mean()) - (1 - chance))
        largest.append(float(own.max()))
        largest_random.append(float(drawn.max()))
    details = {"largest": float(np.mean(largest)), "largest_random": float(np.mean(largest_random))}
    return mean_over_models(found, models[0].level, **details)


@cached
def null_space_and_mediation(models: tuple[EntropyTables, ...], *, seed: int | None = None) -> Measurement:
    """Spearman's correlation over last-layer neurons of the null-space share with the mediated share, mean over models.

    With a ``seed`` the shares are dealt out anew.
    """
    dice = None if seed is None else np.random.default_rng(seed)
    found = []
    for one in models:
        rows = one.of("neuron").dropna(subset=["mediated"])
        share = rows["null_share"].to_numpy(np.float64)
        share = share if dice is None else dice.permutation(share)
        found.append(float(scipy.stats.spearmanr(share, rows["mediated"].to_numpy(np.float64)).statistic))
    return mean_over_models(found, models[0].level)


def _clamped(table: pd.DataFrame, role: str, value: float) -> pd.DataFrame:
    """The neurons of a role where they are set to ``value``."""
    return table[(table["role"] == role) & np.isclose(table["value"], value)]


def _of_role(values: Floats, role: str) -> float:
    """Of the first neuron of a role, of others the median."""
    return float(np.median(values) if role == "other" else values[0])
