"""Block influences: the contribution of every block of tokens to the scores that may decide, from a second pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from universal_neurons.artifacts.provenance import capture
from universal_neurons.stages.batches import batch_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from universal_neurons.artifacts.provenance import Provenance, SharedRun
    from universal_neurons.core.moments import NeuronSpread
    from universal_neurons.core.universality import SelectedPairs
    from universal_neurons.stages.base import Case
    from universal_neurons.stages.models import LoadedModels

# Copies of a batch's activations: those of one model as they are caught and side by side, and their candidates.
_COPIES = 3


def block_influence(
    models: LoadedModels,
    tables: Mapping[Case, pd.DataFrame],
    spreads: Mapping[str, npt.NDArray[np.float64]],
    *,
    shared: tuple[SharedRun, ...],
) -> tuple[dict[str, npt.NDArray[np.int64]], dict[Case, npt.NDArray[np.float64]], Provenance]:
    """The candidates of every model with tables, the influence (block, candidate) per pair, and the provenance.

    Candidates are the rows of neurons whose excess exceeds the suite's floor against at least one partner.
    ``tables``: with excess, of a model against all its partners.  Activations are standardised by the ``spreads`` of
    each model (count mean squares, neuron), which the ``shared`` runs accumulated.  Without a candidate, as in
    untrained models, the tokens are not read again.
    """
    with capture(device=str(models.device), shared=shared) as run:
        frames: dict[str, list[pd.DataFrame]] = {}
        for pair, frame in tables.items():
            frames.setdefault(pair.model, []).append(frame)
        floor = models.work.suite.universality.floor
        chosen = {
            name: np.flatnonzero(np.any([frame["excess"].to_numpy() > floor for frame in own], axis=0))
            for name, own in frames.items()
        }
        if any(map(len, chosen.values())):
            selected = [_selected(models, pair, frame, chosen[pair.model]) for pair, frame in tables.items()]
            influence = dict(zip(tables, _weighed(models, spreads, selected), strict=True))
        else:
            influence = dict.fromkeys(tables, np.zeros((models.work.suite.universality.blocks, 0)))
    return chosen, influence, run.provenance


def _weighed(
    models: LoadedModels, spreads: Mapping[str, npt.NDArray[np.float64]], selected: Sequence[SelectedPairs]
) -> list[npt.NDArray[np.float64]]:
    """The influences of selected pairs, from one pass over the tokens."""
    from universal_neurons.core.matmul import mode_of_products
    from universal_neurons.core.universality import BlockInfluence

    moments = [_spread(spreads[ref.name]).on(models.device) for ref in models.refs]
    passes = BlockInfluence(moments, selected, blocks=models.work.suite.universality.blocks)
    with mode_of_products("float32", device=models.device):
        title = f"step {models.refs[0].step}: influence"
        for values, block in models.stream(title, rows_at_once=rows_at_once(models)):
            passes.add(values, block)
            del values
    return [found.numpy() for found in passes.influence()]


def _spread(stored: npt.NDArray[np.float64]) -> NeuronSpread:
    import torch

    from universal_neurons.core.moments import NeuronSpread

    count, mean, squares = torch.from_numpy(stored.copy())
    return NeuronSpread(int(count.max()), mean, squares)


def rows_at_once(models: LoadedModels) -> int:
    """Rows in one forward pass: fewer than usual where all activations of all models would not fit."""
    length = models.tokens.rows.shape[1]
    usual = batch_rows(length)
    neurons = sum(sum(widths) for widths in models.widths)
    fitting: int = (models.budget - models.weight_bytes) // (_COPIES * 4 * neurons * length)
    return max(1, min(usual, fitting))


def _selected(models: LoadedModels, pair: Case, frame: pd.DataFrame, rows: npt.NDArray[np.int64]) -> SelectedPairs:
    import torch

    from universal_neurons.core.moments import layer_slices
    from universal_neurons.core.universality import NO_PARTNER, SelectedPairs

    x, y = models.positions(pair)
    starts = np.array([layer.start for layer in layer_slices(models.widths[y])])
    layer, neuron = frame["partner_layer"].to_numpy()[rows], frame["partner_neuron"].to_numpy()[rows]
    partner = np.where(layer == NO_PARTNER, NO_PARTNER, starts[layer] + neuron)
    return SelectedPairs(x, y, torch.from_numpy(rows), torch.from_numpy(partner))
