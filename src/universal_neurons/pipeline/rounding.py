"""What rounding can do to every neuron of a model: its activations in float32 against those of float64 weights.

A neuron that is never on has activations that are little more than what float32 leaves of 1 + tanh near -1.  Another
processor leaves something else, and the neuron's correlations move.  How far they can is measured here, on rows from
all over the tokens: what rounding leaves is alike everywhere, and of a neuron that is on in so few places that none is
among these rows, too much is believed.  Whoever relies on it bounds what that can do.

Nothing of it is stored: it belongs to a comparison, not to the evidence.
"""

from __future__ import annotations

import copy
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, cast

import numpy as np

from universal_neurons.pipeline.models import LoadedModels, loaded
from universal_neurons.pipeline.tokens import token_set
from universal_neurons.pipeline.variants import OWN, UNUSED, published_padding, settings, suite_masks, token_classes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from universal_neurons.core.numerical_error import PairedMoments
    from universal_neurons.ids import ModelRef
    from universal_neurons.inputs.corpus import RowMask, TokenRows
    from universal_neurons.workspace import Workspace

    Distances = npt.NDArray[np.float64]

# Of mini's 792 rows these miss no neuron that rounding moves, and give the median one 1.4 times its distance, in the
# tenth part of the time.
ROWS = 64


def distances(work: Workspace, ref: ModelRef) -> Distances:
    """(neuron,) how far rounding to float32 can move any correlation of a model's neurons over the suite's tokens.

    See :mod:`universal_neurons.core.numerical_error`.  Measured once per workspace and model: two forward passes over
    :data:`ROWS` rows, one of them in float64.
    """
    name = ("rounding", ref)
    if name not in work.cache:
        models = _twice(work, ref)
        work.cache[name] = _measured(models, models.tokens.rows, {OWN: models.tokens.mask})[OWN]
    return cast("Distances", work.cache[name])


def distances_under_variants(work: Workspace, ref: ModelRef) -> Distances:
    """(variant neuron) the same under every variant of the suite, each over the tokens that it counts."""
    name = ("rounding under variants", ref)
    if name not in work.cache:
        models, wanted = _twice(work, ref), settings(work)
        masks = suite_masks(models, [one for one in wanted if not one.is_padded])
        rows, padded = published_padding(models)
        found = _measured(models, models.tokens.rows, masks) | _measured(models, rows, padded)
        work.cache[name] = np.stack([found[one.mask] for one in wanted])
    return cast("Distances", work.cache[name])


def _twice(work: Workspace, ref: ModelRef) -> LoadedModels:
    """A model beside itself with float64 weights, which computes in float64 whatever it computes."""
    bridge = loaded(work, ref)
    return LoadedModels(work, (ref, ref), (bridge, copy.deepcopy(bridge).double()), token_set(work))


def _measured(models: LoadedModels, rows: TokenRows, masks: Mapping[str, RowMask]) -> dict[str, Distances]:
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
