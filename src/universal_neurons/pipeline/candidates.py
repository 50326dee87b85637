"""Candidates: a second, cheap pass says how much each block of tokens weighs in the scores that may decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from universal_neurons.artifacts.provenance import capture
from universal_neurons.pipeline.models import batch_rows
from universal_neurons.pipeline.resources import budget
from universal_neurons.pipeline.universality import read_table
from universal_neurons.workspace import Pair, Workspace, draws_key, pairs_of, read, stored_influence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from universal_neurons.artifacts.key import Key
    from universal_neurons.core.universality import SelectedPairs
    from universal_neurons.ids import ModelRef
    from universal_neurons.pipeline.models import LoadedModels
    from universal_neurons.pipeline.universality import StepScores

# Of the activations of a batch: those of one model as they are caught and beside each other, and their candidates.
_COPIES = 3


def write_candidates(work: Workspace, scores: StepScores, absent: Mapping[ModelRef, Key]) -> None:
    """The influence of every token block on the candidates of each reference, and their baseline per rotation draw.

    Activations are standardised by the moments that the passes of ``scores`` found.
    """
    from universal_neurons.core.matmul import fastest_checked_precision
    from universal_neurons.core.universality import BlockInfluence

    models = scores.models
    with capture(device=str(models.device), shared=(scores.shared,)) as run:
        moments = [scores.running.spread(place).on(models.device) for place in range(len(models.refs))]
        tables = {pair: read_table(work, pair) for ref in absent for pair in pairs_of(work, ref)}
        chosen = {ref: candidate_rows(work, [tables[pair] for pair in pairs_of(work, ref)]) for ref in absent}
        selected = [_selected(models, pair, frame, chosen[pair.reference]) for pair, frame in tables.items()]
        passes = BlockInfluence(moments, selected, blocks=work.suite.universality.blocks)
        with fastest_checked_precision():
            title = f"step {models.refs[0].step}: influence"
            for values, block in models.stream(title, rows_at_once=rows_at_once(models)):
                passes.add(values, block)
                del values
        influence = iter(passes.influence())
    for ref, key in absent.items():
        pairs = pairs_of(work, ref)
        arrays: dict[str, Any] = {
            "neuron": chosen[ref].astype(np.int32),
            "influence": np.stack([stored_influence(next(influence).numpy()) for _ in pairs]),
            "draws": np.stack([read(work, draws_key(work, pair)).arrays["draws"][:, chosen[ref]] for pair in pairs]),
        }
        work.store.write(key, arrays, run.provenance)


def rows_at_once(models: LoadedModels) -> int:
    """Rows in one forward pass: fewer than usual where all activations of all models would not fit."""
    length = models.tokens.rows.shape[1]
    usual = batch_rows(length)
    within = budget(models.work, models.device, resident=models.weight_bytes) - models.weight_bytes
    neurons = sum(sum(widths) for widths in models.widths)
    fitting: int = within // (_COPIES * 4 * neurons * length)
    return max(1, min(usual, fitting))


def candidate_rows(work: Workspace, frames: Sequence[pd.DataFrame]) -> npt.NDArray[np.int64]:
    """The rows of a reference's neurons whose excess exceeds the suite's floor against at least one partner."""
    above = np.stack([frame["excess"].to_numpy() > work.suite.universality.floor for frame in frames])
    return np.flatnonzero(above.any(axis=0))


def _selected(models: LoadedModels, pair: Pair, frame: pd.DataFrame, rows: npt.NDArray[np.int64]) -> SelectedPairs:
    import torch

    from universal_neurons.core.moments import layer_slices
    from universal_neurons.core.universality import NO_PARTNER, SelectedPairs

    x, y = models.position(pair.reference.name), models.position(pair.partner.name)
    starts = np.array([layer.start for layer in layer_slices(models.widths[y])])
    layer, neuron = frame["partner_layer"].to_numpy()[rows], frame["partner_neuron"].to_numpy()[rows]
    partner = np.where(layer == NO_PARTNER, NO_PARTNER, starts[layer] + neuron)
    return SelectedPairs(x, y, torch.from_numpy(rows), torch.from_numpy(partner))
