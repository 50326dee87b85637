"""Families of neurons: what the labels of tokens explain of their activations.

The score of a neuron by a label is the share of its variance that the label explains (core.explanations).  For every
family the best label is chosen on one half of the tokens and scored on the other, both ways, and the score is the mean
of the two.  *Explained* is a neuron whose best label of any family scores above one half, as Gurnee et al. 2024
(section 4.3) count families; its family is the family of that label, the first of equal ones.

The table has one row per neuron, layer by layer: layer, neuron; for every family and ``any``: F_label (a row of the
table of labels; -1 for none), F_first and F_second (scores in the halves), F_elsewhere (the mean of both with the
labels of other rows); token_share, previous_share and position_share (variance explained by the id of the token, of the
one before and by the position, cross-fitted), and the same with _elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.agreement import rate_difference
from universal_neurons.measures.intervals import student_quantile, wilson
from universal_neurons.measures.labels import PREVIOUS
from universal_neurons.measures.properties import (
    Ranking,
    extreme_dealing,
    extreme_of,
    median_of,
    ranking_of,
    share_before,
)
from universal_neurons.measures.shares import SHARE, missing_share, neuron_share
from universal_neurons.measures.study import models_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt
    import pandas as pd

    from universal_neurons.measures.arrays import Flags, Floats, Integers
    from universal_neurons.measures.study import HasStep, Study

# The best label of any family.
ANY = "any"
# Scores with the labels of other rows.
ELSEWHERE = "elsewhere"
# What explains a share of variance without being a label: the name in the table, and the kind of group.
EXPLAINED_BY = {"token": "token", PREVIOUS: "previous token", "position": "position"}
# Scores that are kept for every label, and not for the best of its family alone.
LEAST_CARRIED = 0.25
# Above the first score a neuron is explained, above the second it carries a letter, above the third it is about its
# domain; syntax says more than tokens by more than the fourth; the token says enough above the last share of variance.
EXPLAINED, CARRIED, DOMAIN, BEYOND, BY_TOKENS = 0.5, 0.37, 0.25, 0.1, 0.2
LETTERS = tuple(ascii_lowercase)
UNIGRAM, PREDICATE, SYNTAX = "unigram", "predicate", "syntax"
_QUARTERS = 4


@dataclass(frozen=True, eq=False)
class Explanations:
    """The explanations of all neurons of a model (``frame``), and of random directions of its layers.

    ``carried``: one row per label and neuron with a score above :data:`LEAST_CARRIED` over all tokens: label, layer,
    number (in the layer), score.  ``labels``: the table of labels, which label numbers are rows of.
    """

    model: str
    step: int
    frame: pd.DataFrame
    directions: pd.DataFrame
    carried: pd.DataFrame
    labels: pd.DataFrame
    families: tuple[str, ...]
    level: float

    @cached_property
    def layer(self) -> Integers:
        """The layer of each neuron (neuron,)."""
        return self.frame["layer"].to_numpy().astype(np.int64)

    @cached_property
    def layers(self) -> int:
        """The number of layers."""
        return int(self.layer.max()) + 1

    @cached_property
    def depth(self) -> Floats:
        """The depth of each neuron: the middle of its layer, as a share of all layers (neuron,)."""
        return (self.layer + 0.5) / self.layers

    def score(self, family: str = ANY) -> Floats:
        """The score of each neuron's best label of a family (neuron,); NaN for one that never varies."""
        return _score(self.frame, family)

    @cached_property
    def unigrams(self) -> Flags:
        """The neurons that their best label explains, a unigram (neuron,)."""
        return np.asarray((self.score() > EXPLAINED) & (self.family() == UNIGRAM))

    def elsewhere(self, family: str = ANY) -> Floats:
        """The same with the labels of other rows (neuron,)."""
        return self.frame[f"{family}_{ELSEWHERE}"].to_numpy(dtype=np.float64)

    def share(self, by: str, *, elsewhere: bool = False) -> Floats:
        """The share of variance that one of :data:`EXPLAINED_BY` explains (neuron,), or of other rows."""
        return self.frame[f"{by}_share{f'_{ELSEWHERE}' if elsewhere else ''}"].to_numpy(dtype=np.float64)

    def family(self, *, elsewhere: bool = False) -> npt.NDArray[Any]:
        """The family of each neuron's best label (neuron,); empty for a neuron that never varies."""
        label = self.frame[f"{ANY}_label{f'_{ELSEWHERE}' if elsewhere else ''}"].to_numpy()
        return np.where(label >= 0, self.labels["family"].to_numpy(dtype=object)[label], "")


def _score(frame: pd.DataFrame, family: str) -> Floats:
    return np.asarray(frame[[f"{family}_first", f"{family}_second"]].to_numpy(dtype=np.float64).mean(axis=1))


def explanations(study: Study, checkpoint: HasStep, model: str) -> Explanations:
    """The explanations of one model."""
    found: Explanations = study.table("explanations", model=model, checkpoint=checkpoint)
    return found


def explanations_of_all(study: Study, checkpoint: HasStep) -> list[Explanations]:
    """The explanations of every model of the suite."""
    return [explanations(study, checkpoint, name) for name in models_of(study)]


def labelled(study: Study, values: Floats, checkpoint: HasStep, threshold: float, reference: str) -> Ranking:
    """Any ``values`` of a reference's neurons (neuron,) and who is universal."""
    return ranking_of(values, study.reference_tables(checkpoint=checkpoint, reference=reference), threshold)


def share_difference(models: Mapping[str, Ranking]) -> Measurement:
    """The share of universal neurons whose value is 1, minus the share of the others of their layers, over neurons.

    Layers have the weights of their universal neurons.  Interval: Wilson's of every share, put together by squares of
    their distances to their ends (MOVER: Zou & Donner 2008, Statistics in Medicine 27, 1693-1702).  Details: both
    shares.  Missing without a universal neuron, or in a layer that has no other.
    """
    level = next(iter(models.values())).level
    chosen = np.concatenate([one.value[one.universal] for one in models.values()])
    others, below, above = 0.0, 0.0, 0.0
    for one in models.values():
        for layer in np.unique(one.layer[one.universal]):
            here = one.value[(one.layer == layer) & ~one.universal]
            if not here.size:
                return missing_share(n=len(chosen))
            weight = np.count_nonzero(one.universal & (one.layer == layer)) / len(chosen)
            share, (low, high) = float(here.mean()), wilson(int(here.sum()), here.size, level=level)
            others += weight * share
            below += (weight * (share - low)) ** 2
            above += (weight * (high - share)) ** 2
    if not chosen.size:
        return missing_share()
    share, (low, high) = float(chosen.mean()), wilson(int(chosen.sum()), chosen.size, level=level)
    value, ends = share - others, (np.hypot(share - low, above**0.5), np.hypot(high - share, below**0.5))
    details = {"universal": share, "others": others}
    return Measurement(
        value, value - float(ends[0]), value + float(ends[1]), chosen.size, Over.NEURONS, level, SHARE, details
    )


def explained(
    study: Study, checkpoint: HasStep, threshold: float, reference: str, *, elsewhere: bool = False
) -> Ranking:
    """1 for each neuron of a reference that its best label explains, 0 for the others; ``elsewhere``: of other rows."""
    table = explanations(study, checkpoint, reference)
    return labelled(
        study, _explains(table.elsewhere() if elsewhere else table.score()), checkpoint, threshold, reference
    )


def _explains(score: Floats) -> Floats:
    return np.where(np.isnan(score), np.nan, score > EXPLAINED)


def with_directions(model: Ranking, layer: Integers, values: Floats) -> Ranking:
    """Random directions of the layers in the place of the universal neurons, against all the others."""
    neurons = model.kept(~model.universal)
    return replace(
        neurons,
        layer=np.concatenate([neurons.layer, layer]),
        value=np.concatenate([neurons.value, values]),
        percentile=np.full(len(neurons.layer) + len(layer), np.nan),
        universal=np.concatenate([neurons.universal, np.ones(len(layer), dtype=np.bool_)]),
        without={},
    )


def explained_directions(study: Study, checkpoint: HasStep, threshold: float, reference: str) -> Ranking:
    """:func:`explained` with random directions in the place of universal neurons."""
    table = explanations(study, checkpoint, reference)
    directions = table.directions
    here = explained(study, checkpoint, threshold, reference)
    return with_directions(here, directions["layer"].to_numpy().astype(np.int64), _explains(_score(directions, ANY)))


def one_token(study: Study, checkpoint: HasStep, threshold: float, reference: str) -> Ranking:
    """The share of what the token's id explains that one label of it does, of neurons of which it explains enough."""
    table = explanations(study, checkpoint, reference)
    return labelled(study, _one_token(table.frame), checkpoint, threshold, reference)


def one_token_directions(study: Study, checkpoint: HasStep, threshold: float, reference: str) -> Ranking:
    """:func:`one_token` with random directions in the place of universal neurons."""
    directions = explanations(study, checkpoint, reference).directions
    ratio, layer = _one_token(directions), directions["layer"].to_numpy().astype(np.int64)
    defined = ~np.isnan(ratio)
    return with_directions(one_token(study, checkpoint, threshold, reference), layer[defined], ratio[defined])


def _one_token(frame: pd.DataFrame) -> Floats:
    share = frame["token_share"].to_numpy(dtype=np.float64)
    return np.where(share > BY_TOKENS, _score(frame, UNIGRAM) / share, np.nan)


def dealt_share_difference(model: str, ranking: Ranking) -> Measurement:
    """:func:`share_difference` of labels dealt out within layers, see :func:`extreme_dealing`."""
    return extreme_dealing({model: ranking}, share_difference, 1)


def dealt_rate_difference(model: str, ranking: Ranking) -> Measurement:
    """:func:`rate_difference` of labels dealt out within layers, see :func:`extreme_dealing`."""
    return extreme_dealing({model: ranking}, rate_difference, 1)


def lead_of_unigrams(table: Explanations, *, elsewhere: bool = False) -> Measurement:
    """The share of unigram neurons among the explained ones minus the share of the next family, over neurons.

    Interval: of the two families' neurons the share of unigrams, Wilson's, whose place above or below one half is the
    sign of the difference.  The next family is the largest other one, so the lower end is below its nominal place.
    Details: the share of every family, and ``explained`` neurons.  ``elsewhere``: the families of the same neurons'
    best labels of other rows, which are best by chance.  Missing where nothing is explained.
    """
    chosen = table.family(elsewhere=elsewhere)[table.score() > EXPLAINED]
    if not chosen.size:
        return missing_share()
    counts = {name: int((chosen == name).sum()) for name in table.families}
    mine, next_one = counts[UNIGRAM], max(count for name, count in counts.items() if name != UNIGRAM)
    details = {name: count / chosen.size for name, count in counts.items()} | {"explained": float(chosen.size)}
    both = (mine + next_one) / chosen.size
    if not both:
        return missing_share(n=chosen.size)
    low, high = (both * (2 * end - 1) for end in wilson(mine, mine + next_one, level=table.level))
    return Measurement(
        (mine - next_one) / chosen.size, low, high, chosen.size, Over.NEURONS, table.level, SHARE, details
    )


def depth_of_unigrams(table: Explanations, *, seed: int | None = None) -> Measurement:
    """The mean depth of explained neurons whose family is unigrams, over neurons; with a ``seed`` layers dealt out.

    Interval: Student's t.  Details: their number in every layer.  Missing for fewer than two.
    """
    chosen = table.unigrams
    depth = table.depth if seed is None else np.random.default_rng(seed).permutation(table.depth)
    found = mean_depth(depth[chosen], table.level)
    return replace(found, details=_by_layer(chosen, table))


def mean_depth(depth: Floats, level: float) -> Measurement:
    """The mean of depths with Student's interval, over neurons; missing for fewer than two."""
    if depth.size < 2:
        return Measurement.missing(n=depth.size, over=Over.NEURONS, unit="depth")
    error = float(depth.std(ddof=1) / np.sqrt(depth.size))
    reach, mean = student_quantile(level, depth.size) * error, float(depth.mean())
    return Measurement(mean, mean - reach, mean + reach, depth.size, Over.NEURONS, level, "depth")


def _by_layer(chosen: Flags, table: Explanations) -> dict[str, float]:
    return {f"layer_{layer}": float((chosen & (table.layer == layer)).sum()) for layer in range(table.layers)}


def extreme_layers(measure: Callable[[int], Measurement], direction: int, dealings: int) -> Measurement:
    """``measure`` of layers dealt out anew: of as many dealings the one that only a tenth exceed."""
    return extreme_of([measure(seed) for seed in range(dealings)], direction)


def carried_letters(table: Explanations, universal: Flags, *, others: bool = False) -> Measurement:
    """The number of letters that a universal neuron carries: its score by the unigram of the letter is above 0.37.

    Interval: Wilson's of their share among the 26, over labels.  ``others``: of all other unigrams of one character
    the share, times 26.  Missing where the text has no such label.
    """
    labels = table.labels
    singles = (labels["family"] == UNIGRAM).to_numpy() & (labels["name"].str.len() == 1).to_numpy()
    is_letter = labels["name"].isin(LETTERS).to_numpy()
    wanted = np.flatnonzero(singles & (~is_letter if others else is_letter))
    total = len(wanted) if others else len(LETTERS)
    if not len(wanted):
        return Measurement.missing(over=Over.LABELS, unit="letters")
    found = len(np.intersect1d(wanted, _carried_labels(table, universal)))
    low, high = (len(LETTERS) * end for end in wilson(found, total, level=table.level))
    details = {"labels": float(len(wanted))}
    return Measurement(len(LETTERS) * found / total, low, high, total, Over.LABELS, table.level, "letters", details)


def depth_of(table: Explanations, by: str, *, elsewhere: bool = False, seed: int | None = None) -> Measurement:
    """The median depth of neurons of which one of :data:`EXPLAINED_BY` explains more than half, over neurons.

    Interval: order statistics.  Details: their number in every layer.  ``elsewhere``: of other rows; with a ``seed``
    layers are dealt out.  Missing where there is none.
    """
    chosen = table.share(by, elsewhere=elsewhere) > EXPLAINED
    depth = table.depth if seed is None else np.random.default_rng(seed).permutation(table.depth)
    found = median_of(depth[chosen], table.level, unit="depth")
    return found if found.is_missing else replace(found, details=_by_layer(chosen, table))


def early_share(
    tables: Sequence[Explanations], by: str, early: float, *, elsewhere: bool = False, seed: int | None = None
) -> Measurement:
    """Of the neurons of which one of :data:`EXPLAINED_BY` explains more than half, the share in the first layers.

    Those whose depth is below ``early``; pooled over ``tables``, Wilson's interval over neurons.  Missing where there
    is none.
    """
    models = ((table.depth, table.share(by, elsewhere=elsewhere) > EXPLAINED) for table in tables)
    return share_before(early, models, level=tables[0].level, seed=seed)


def is_member(table: Explanations, family: str, *, elsewhere: bool = False) -> Flags:
    """Who of a model's neurons (neuron,) is of a family, as the claim about it counts: G20, G22, G23, G24 and G25.

    Unigrams: the best of them explains more than half.  Previous token and position: what they explain in all is more
    than half.  Syntax: its score exceeds the scores of unigrams and predicates by more than 0.1.  Domain: its score is
    above 0.25.  Raises ValueError for a family that the labels do not have.
    """
    if family not in table.families:
        raise ValueError(f"families: expected one of {', '.join(table.families)}, got {family!r}")
    score = table.elsewhere if elsewhere else table.score
    match family:
        case "previous" | "position":
            return np.asarray(table.share(family, elsewhere=elsewhere) > EXPLAINED)
        case "syntax":
            return np.asarray(score(SYNTAX) - np.fmax(score(UNIGRAM), score(PREDICATE)) > BEYOND)
        case "domain":
            return np.asarray(score(family) > DOMAIN)
        case _:
            return np.asarray(score(family) > EXPLAINED)


def letter_flags(table: Explanations, chosen: Flags) -> Flags:
    """Which of the 26 letters (letter,) one of the ``chosen`` neurons carries, as :func:`carried_letters` counts."""
    named = table.labels.iloc[_carried_labels(table, chosen)]
    found = set(named["name"][(named["family"] == UNIGRAM).to_numpy()])
    return np.array([letter in found for letter in LETTERS])


def _carried_labels(table: Explanations, chosen: Flags) -> Integers:
    """The rows of the labels that one of the ``chosen`` neurons carries: its score by the label is above 0.37."""
    carried, width = table.carried, np.bincount(table.layer).max()
    neuron = carried["layer"].to_numpy() * width + carried["number"].to_numpy()
    above = (carried["score"].to_numpy() > CARRIED) & chosen[neuron]
    return np.asarray(carried["label"].to_numpy()[above])


def quarters_beyond_tokens(table: Explanations, *, elsewhere: bool = False) -> Measurement:
    """The share of neurons that syntax explains better than the token does, in the third best quarter of the layers.

    Better: the score of syntax exceeds the scores of unigrams and predicates by more than 0.1.  Three of four quarters
    have at least this share.  Wilson's interval over the neurons of that quarter.  Details: the number in every
    quarter.  Missing for a model of fewer than four layers, or where syntax is not labelled.
    """
    if table.layers < _QUARTERS or SYNTAX not in table.families:
        return missing_share()
    beyond = is_member(table, SYNTAX, elsewhere=elsewhere)
    quarter = np.minimum((table.depth * _QUARTERS).astype(np.int64), _QUARTERS - 1)
    counts = [(int(beyond[quarter == at].sum()), int((quarter == at).sum())) for at in range(_QUARTERS)]
    found, total = sorted(counts, key=lambda one: one[0] / one[1], reverse=True)[2]
    details = {f"quarter_{at + 1}": float(count) for at, (count, _) in enumerate(counts)}
    return neuron_share(found, total, level=table.level, details=details)


def about_their_domain(
    tables: Sequence[Explanations], universal: Sequence[Flags], *, elsewhere: bool = False
) -> Measurement:
    """The share of universal neurons whose best domain scores above 0.25, over neurons of all ``tables``.

    Wilson's interval.  Details: the same share of all other neurons, and the largest score of a universal one.
    Missing where domains are not labelled, or without a universal neuron.
    """
    if "domain" not in tables[0].families:
        return missing_share()
    score = np.concatenate([one.elsewhere("domain") if elsewhere else one.score("domain") for one in tables])
    flags = np.concatenate(universal)
    if not flags.any():
        return missing_share()
    chosen, others = score[flags] > DOMAIN, score[~flags] > DOMAIN
    details = {
        "others": float(others.mean()) if others.size else float("nan"),
        "largest": float(np.nanmax(score[flags])),
    }
    return neuron_share(int(chosen.sum()), chosen.size, level=tables[0].level, details=details)


def universal_neurons(
    study: Study, checkpoint: HasStep, threshold: float, reference: str, *, seed: int | None = None
) -> Flags:
    """Who of a reference's neurons is universal (neuron,); with a ``seed`` labels dealt out within layers."""
    count = len(explanations(study, checkpoint, reference).frame)
    found = labelled(study, np.zeros(count), checkpoint, threshold, reference)
    return found.universal if seed is None else found.dealt(seed).universal
