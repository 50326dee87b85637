"""Rounding of scores: how far float32 can move the correlations of a neuron, and which differences that excuses.

A neuron that is never on has activations that are little more than what float32 leaves of 1 + tanh near -1.  Another
processor leaves something else, and the neuron's correlations move.  How far they can is measured here, in float32
against float64 weights, on rows from all over the tokens.  Where the evidence agrees nothing is measured.

A neuron that is on in so few tokens that none is among these rows gets too large a bound.  So excuses are limited: to a
share of a table, to a largest distance, never across a threshold, and each is counted in the line that is printed.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from universal_neurons.ids import NeuronId
from universal_neurons.stages.comparison import (
    TOLERANCE,
    Choices,
    Comparison,
    Difference,
    Excused,
    absolute_differences,
)
from universal_neurons.stages.models import LoadedModels, loaded
from universal_neurons.stages.token_masks import (
    OWN,
    UNUSED,
    published_padding,
    settings,
    suite_masks,
    token_classes,
)
from universal_neurons.stages.tokens import token_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from universal_neurons.core.numerical_error import PairedMoments
    from universal_neurons.ids import ModelRef
    from universal_neurons.inputs.corpus import RowMask, TokenRows
    from universal_neurons.measures.arrays import Flags, Floats
    from universal_neurons.stages.workspace import Workspace

    Scores = Mapping[str, npt.NDArray[Any]]

# Both sides were rounded, each on its own machine, so they differ by at most two distances from the exact value.
ROUNDED_SIDES = 2
# A neuron that consists of rounding could be anything; beyond this it counts as another number all the same.
FURTHEST = 0.05
# Of mini's 792 rows these miss no neuron that rounding moves, and give the median one 1.4 times its distance, in the
# tenth part of the time.
ROWS = 64
_SCORES = ("correlation", "baseline")


def distances(work: Workspace, ref: ModelRef) -> Floats:
    """(neuron,) bounds on how far rounding to float32 moves correlations of a model's neurons over the suite's tokens.

    See :mod:`universal_neurons.core.numerical_error`.  Measured once per workspace and model: two forward passes over
    :data:`ROWS` rows, one of them in float64.
    """

    def measured() -> Floats:
        models = _twice(work, ref)
        return _measured(models, models.tokens.rows, {OWN: models.tokens.mask})[OWN]

    return work.cached(("rounding", ref), measured)


def distances_under_variants(work: Workspace, ref: ModelRef) -> Floats:
    """(variant, neuron) distances as by :func:`distances` under every variant, each over the tokens that it counts."""

    def measured() -> Floats:
        models, chosen = _twice(work, ref), settings(work)
        masks = suite_masks(models, [one for one in chosen if not one.is_padded])
        rows, padded = published_padding(models)
        found = _measured(models, models.tokens.rows, masks) | _measured(models, rows, padded)
        return np.stack([found[one.mask] for one in chosen])

    return work.cached(("rounding under variants", ref), measured)


def _twice(work: Workspace, ref: ModelRef) -> LoadedModels:
    """A model beside a copy of itself with float64 weights, which computes in float64."""
    bridge = loaded(work, ref)
    return LoadedModels(work, (ref, ref), (bridge, copy.deepcopy(bridge).double()), token_set(work))


def _measured(models: LoadedModels, rows: TokenRows, masks: Mapping[str, RowMask]) -> dict[str, Floats]:
    """(neuron,) by mask, in one pass over the tokens that some mask wants in evenly spaced rows; 0 where there is no
    such token, so that nothing is believed of rounding there."""
    import torch

    from universal_neurons.core.numerical_error import PairedMoments

    spaced = np.unique(np.linspace(0, len(rows) - 1, ROWS).astype(np.int64))
    classes, parts = token_classes({name: mask[spaced] for name, mask in masks.items()})
    used, progress = classes != UNUSED, models.work.progress
    empty = PairedMoments.empty(sum(models.widths[0]), device=models.device)
    found: dict[int, PairedMoments] = dict.fromkeys(range(int(classes.max()) + 1), empty)
    progress.start(f"{models.refs[0]}: rounding", int(used.sum()))
    for (single, double), group in models.labelled_stream(rows[spaced], used, torch.from_numpy(classes[used])):
        for number in sorted(set(group.tolist())):
            here = (group == number).nonzero()[:, 0].to(single.device)
            found[number] += PairedMoments.of(single[here], double[here])
        progress.advance(len(group))
    progress.finish()
    whole = {name: reduce(add, (found[one] for one in groups), empty) for name, groups in parts.items()}
    return {name: agreement.distance.cpu().numpy() for name, agreement in whole.items()}


@dataclass(frozen=True, eq=False)
class Excuse:
    """What rounding may move, and what it must not.

    ``own`` and ``partners``: bounds on how far rounding moves the correlations of the compared neurons and of their
    partners.  ``changed``: the neurons that are above a threshold on one side only.  ``names``: of the neurons along
    the last axis.
    """

    own: Floats
    partners: Floats
    changed: Flags
    names: npt.NDArray[np.str_]


def compare_scores(
    what: str, stored: Scores, again: Scores, *, ties: float, excuse: Callable[[], Excuse]
) -> Comparison:
    """Scores (..., neuron) against recomputed ones, without the neurons of which rounding explains the difference.

    ``ties``: the share of best partners that may change.  ``excuse`` is called only where something differs in no more
    neurons than may be excused.  Neurons that rounding cannot move beyond the tolerance are never excused, nor those
    whose status changed.
    """
    shape = stored["correlation"].shape
    if again["correlation"].shape != shape:
        return _compared(what, dict.fromkeys(_SCORES, np.full(shape, np.inf)), np.zeros(shape, dtype=bool), ties)
    differences = {name: absolute_differences(stored[name], again[name]) for name in _SCORES}
    partner = np.zeros(shape, dtype=bool)
    for name in ("partner_layer", "partner_neuron"):
        partner |= stored[name] != again[name] if name in stored else False
    plain = _compared(what, differences, partner, ties)
    beyond = np.any([moved > TOLERANCE for moved in differences.values()], axis=0) | partner
    if plain.agrees or not plain.may_excuse(int(beyond.sum())):
        return plain
    known = excuse()
    # The neuron may be sound and its partner one that is never on; a baseline depends on no single partner.
    may = {"correlation": _reach(known.own + known.partners), "baseline": _reach(known.own)}
    explained = np.all([differences[name] <= may[name] for name in _SCORES], axis=0)
    excused = beyond & explained & (may["correlation"] > TOLERANCE) & ~known.changed
    moved = np.maximum(*differences.values())
    each = zip(*(np.broadcast_to(one, shape)[excused] for one in (known.names, moved, may["correlation"])), strict=True)
    named = tuple(Excused(str(name), float(far), float(reach)) for name, far, reach in each)
    return _compared(what, differences, partner, ties, excused=excused, named=named)


def _compared(
    what: str,
    differences: Scores,
    partner: Flags,
    ties: float,
    *,
    excused: Flags | None = None,
    named: tuple[Excused, ...] = (),
) -> Comparison:
    """The largest differences and the changed partners, without the ``excused`` neurons."""
    kept = np.ones(partner.shape, dtype=bool) if excused is None else ~excused
    largest = {name: Difference(float(moved[kept].max(initial=0.0)), TOLERANCE) for name, moved in differences.items()}
    changed = Choices("partners changed", int(partner[kept].sum()), partner.size, ties)
    return Comparison(what, "neurons", partner.size, largest, changed, named)


def threshold_crossings(work: Workspace, stored: Floats, again: Floats) -> Flags:
    """(..., neuron) whether an excess (..., partner, neuron) is above a threshold on one side only.

    Against each partner, and in the mean over partners.  Universality in union or intersection then agrees too.
    """
    spec = work.suite.universality
    sides = [np.concatenate([one, one.mean(axis=-2, keepdims=True)], axis=-2) for one in (stored, again)]
    crossed = [(sides[0] > level) != (sides[1] > level) for level in {spec.threshold, *spec.thresholds}]
    flags: Flags = np.any(crossed, axis=0).any(axis=-2)
    return flags


def neuron_names(work: Workspace, model: str) -> npt.NDArray[np.str_]:
    """(neuron,) names of a model's neurons, for messages."""
    recipe = work.zoo.recipe()
    return np.array([f"{model} {NeuronId(*divmod(flat, recipe.mlp))}" for flat in range(recipe.layers * recipe.mlp)])


def _reach(distance: Floats) -> Floats:
    """How far rounding may move scores of neurons at these distances from the exact ones; the tolerance at least."""
    reach: Floats = np.clip(ROUNDED_SIDES * distance, TOLERANCE, FURTHEST)
    return reach
