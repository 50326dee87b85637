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
    from collections.abc import Callable, Mapping, Sequence

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
class ScoreDifferences:
    """Differences of scores, neuron by neuron (all of one shape), and whether the best partner differs.

    ``ties``: the share of best partners that may change.
    """

    what: str
    ties: float
    correlation: Floats
    baseline: Floats
    partner: Flags

    @classmethod
    def of(cls, what: str, ties: float, stored: Scores, again: Scores) -> ScoreDifferences:
        """The differences, infinite between scores of two shapes; no partner differs where none are stored."""
        partner = np.zeros(stored["correlation"].shape, dtype=bool)
        if again["correlation"].shape != partner.shape:
            infinite = np.full(partner.shape, np.inf)
            return cls(what, ties, infinite, infinite, partner)
        for name in ("partner_layer", "partner_neuron"):
            partner |= stored[name] != again[name] if name in stored else False
        correlation, baseline = (
            absolute_differences(stored[name], again[name]) for name in ("correlation", "baseline")
        )
        return cls(what, ties, correlation, baseline, partner)

    @property
    def beyond_tolerance(self) -> Flags:
        """The neurons that the tolerance does not cover."""
        return (self.correlation > TOLERANCE) | (self.baseline > TOLERANCE) | self.partner

    def comparison(self, excused: Flags | None = None, named: Sequence[Excused] = ()) -> Comparison:
        """The largest differences and the changed partners, without the ``excused`` neurons."""
        kept = np.ones(self.partner.shape, dtype=bool) if excused is None else ~excused
        largest = {
            name: Difference(float(values[kept].max(initial=0.0)), TOLERANCE)
            for name, values in (("correlation", self.correlation), ("baseline", self.baseline))
        }
        changed = Choices("partners changed", int(self.partner[kept].sum()), self.partner.size, self.ties)
        return Comparison(self.what, "neurons", self.partner.size, largest, changed, tuple(named))

    def excusing(
        self, correlation: Floats, baseline: Floats, changed: Flags, names: npt.NDArray[np.str_]
    ) -> Comparison:
        """The comparison without the neurons of which rounding may move correlation and baseline as far as they did.

        Neurons that rounding cannot move beyond the tolerance are never excused, nor those whose status ``changed``.
        ``names`` are of the neurons along the last axis.
        """
        correlation, baseline = (np.broadcast_to(one, self.partner.shape) for one in (correlation, baseline))
        explained = (self.correlation <= correlation) & (self.baseline <= baseline) & (correlation > TOLERANCE)
        excused = self.beyond_tolerance & explained & ~changed
        moved = np.maximum(self.correlation, self.baseline)[excused]
        named = np.broadcast_to(names, self.partner.shape)[excused]
        each = zip(named, moved, correlation[excused], strict=True)
        return self.comparison(excused, [Excused(str(name), float(far), float(may)) for name, far, may in each])


def compare_scores(
    what: str,
    stored: Scores,
    again: Scores,
    *,
    ties: float,
    changed: Callable[[], Flags],
    names: Callable[[], npt.NDArray[np.str_]],
    distance: Callable[[], Floats],
    distance_of_partners: Callable[[], Floats],
) -> Comparison:
    """Scores (..., neuron) against recomputed ones, with the neurons excused that rounding explains.

    ``ties``: the share of best partners that may change.  ``changed`` (..., neuron): neurons above a threshold on one
    side only.  ``distance`` and ``distance_of_partners``: bounds by rounding of the neurons and of their partners.  The
    functions are called only where something differs and no more than may be excused.
    """
    differences = ScoreDifferences.of(what, ties, stored, again)
    plain = differences.comparison()
    if plain.agrees or not plain.may_excuse(int(differences.beyond_tolerance.sum())):
        return plain
    own, which = distance(), (changed(), names())
    compared = differences.excusing(_reach(own), _reach(own), *which)
    if compared.agrees:
        return compared
    # The neuron may be sound and its partner one that is never on; a baseline depends on no single partner.
    return differences.excusing(_reach(own + distance_of_partners()), _reach(own), *which)


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
