"""Duplicates: the neuron of the same model whose activations are most like a neuron's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.measures.profiles import rounded
from universal_neurons.stages import costs
from universal_neurons.stages.base import (
    Artifacts,
    Case,
    example_count,
    example_dice,
    example_neurons,
    neuron_columns,
    step_of,
)
from universal_neurons.stages.batches import batch_rows
from universal_neurons.stages.comparison import Choices, Comparison, Difference
from universal_neurons.stages.model_table import ModelTable
from universal_neurons.stages.models import LoadedModels, finite_activations, read_batches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace

# Significant bits of a correlation, by how much a recomputed one may differ, and the share of neurons with two others
# that are equal to within that.
BITS, TOLERANCE, TIES = 16, 1e-4, 0.01


class Duplicates(ModelTable):
    """The nearest other neuron of every neuron of a model at the last checkpoint.

    One row per neuron: layer, neuron, correlation (the largest with another one), other_layer, other_neuron.  NaN and
    -1 for a neuron that never varies.
    """

    name: ClassVar[str] = "duplicates"
    in_first_look: ClassVar[bool] = False

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The model, its step and the precision of products."""
        return {"model": case.model, "step": case.step, "dtype": work.suite.universality.precision}

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of a pass per block of layers, against all neurons."""
        shape = sizes.shape
        blocks, largest = sizes.layer_blocks(nearest_bytes(shape.neurons, shape.row))
        products = 2.0 * sizes.tokens * shape.neurons**2
        return costs.per_case(
            sizes,
            cases,
            costs.forward(sizes, sizes.positions * len(blocks)),
            {costs.WorkKind.PRODUCT: products, costs.WorkKind.MEMORY: float(32 * shape.neurons**2)},
            passes=len(blocks),
            device=largest + costs.batch_bytes(sizes, 1),
            host=shape.neurons * 16,
            disk=shape.neurons * 16,
        )

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """The nearest neurons of one model."""
        return {self.name: duplicates(work, case)}

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up duplicates."""
        count = example_count(work)
        correlation, other = example_dice(case).uniform(0, 1, count), np.zeros(count, dtype=np.int64)
        return {self.name: _frame(example_neurons(work), correlation, other, 1)}

    def comparison(self, work: Workspace, case: Case, stored: Artifacts, again: Artifacts) -> Comparison:
        """The stored correlations against recomputed ones."""
        mine, theirs = stored[0].table, again[0].table
        moved = np.abs(mine["correlation"].to_numpy() - theirs["correlation"].to_numpy())
        names = ["other_layer", "other_neuron"]
        changed = int((mine[names].to_numpy() != theirs[names].to_numpy()).any(axis=1).sum())
        return Comparison(
            self.name,
            "neurons",
            len(mine),
            {"correlations": Difference(float(np.nanmax(moved, initial=0.0)), TOLERANCE)},
            Choices("nearest neurons changed", changed, len(mine), TIES),
        )


DUPLICATES = Duplicates()


def nearest_bytes(neurons: int, row_length: int) -> int:
    """Bytes per neuron of its sums with all neurons, of what is scored of them, and of a batch of activations."""
    return 8 * 2 * neurons + 4 * 3 * batch_rows(row_length) * row_length


def _frame(neurons: Mapping[str, np.ndarray], correlation: np.ndarray, other: np.ndarray, width: int) -> pd.DataFrame:
    alone = other < 0
    return pd.DataFrame(
        {
            **neurons,
            "correlation": rounded(correlation, bits=BITS).astype(np.float32),
            "other_layer": np.where(alone, -1, other // width).astype(np.int16),
            "other_neuron": np.where(alone, -1, other % width).astype(np.int32),
        }
    )


def duplicates(work: Workspace, case: Case) -> pd.DataFrame:
    """The table of one model, as many layers at a time as the memory allows."""
    import torch

    from universal_neurons.core.duplicates import nearest_neurons

    models = LoadedModels.of(work, step_of(case), (case.model,))
    (bridge,), (widths,), tokens, mode = models.bridges, models.widths, models.tokens, work.suite.universality.precision
    blocks = models.layer_blocks(nearest_bytes(sum(widths), tokens.rows.shape[1]))
    work.progress.start(f"step {case.step}: duplicates in {case.model}", len(blocks) * tokens.scored)
    with finite_activations(models.refs[0], widths):
        found = [
            nearest_neurons(
                read_batches(work, bridge, tokens.rows, tokens.mask), widths, layers, mode=mode, device=models.device
            )
            for layers in blocks
        ]
    work.progress.finish()
    correlation, other = (
        torch.cat([getattr(one, name) for one in found]).cpu().numpy() for name in ("correlation", "other")
    )
    return _frame(neuron_columns(work), correlation, other, widths[0])
