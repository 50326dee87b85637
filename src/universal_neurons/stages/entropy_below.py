"""Effects of neurons of the layer before the last on the entropy of predictions, by running the last block again.

Every model at the last checkpoint, on the rows of the table of entropy: the neurons that look like entropy neurons by
their weights, those that are most opposed to the last layer's candidate, and others, at their mean and at fixed values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.measures.entropy import CLAMPS, NeuronsBelow
from universal_neurons.measures.profiles import rounded_columns
from universal_neurons.stages import costs
from universal_neurons.stages.base import Artifacts, Case, Need, Reader, Stage, example_dice, step_of
from universal_neurons.stages.comparison import Choices, Comparison, Difference, largest_relative_difference
from universal_neurons.stages.entropy import (
    BITS,
    CANDIDATES,
    OTHERS,
    ROWS,
    TOLERANCE,
    candidates_and_others,
    mean_changes,
)
from universal_neurons.stages.models import finite_logits, loaded
from universal_neurons.stages.tokens import EVALUATION, ONLY, evaluation_digest, evaluation_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.core.ablation import AblationEngine, CleanPass
    from universal_neurons.core.entropy import FinalState, Prediction
    from universal_neurons.measures.arrays import Integers
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace

# Neurons that are most opposed to the candidate of the last layer.
OPPOSED = 4
ROLES = ("candidate",) * CANDIDATES + ("opposed",) * OPPOSED + ("other",) * OTHERS
# NaN for the neuron's mean.
VALUES = (float("nan"), *CLAMPS)
COLUMNS = (
    "cosine", "entropy_change", "total", "direct", "loss_change", "divergence", "scale_change",
    "reciprocal_rank_change", "first_kept",
)  # fmt: skip


class EntropyBelow(Stage):
    """Some neurons of one model's layer before the last at their mean and at fixed values."""

    name: ClassVar[str] = "entropy-below"
    in_first_look: ClassVar[bool] = False
    subject: ClassVar[str] = "neurons below the last layer of {case.model}"

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """Every model at the last checkpoint; none where models have a single layer."""
        models = work.suite.zoo.models if work.zoo.recipe().layers > 1 else ()
        return tuple(Case(work.last_step, name) for name in models)

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The model, the rows, and what is chosen and set."""
        return {
            "model": case.model,
            "step": case.step,
            "rows": ROWS,
            "candidates": CANDIDATES,
            "opposed": OPPOSED,
            "others": OTHERS,
            "clamps": list(CLAMPS),
            "dtype": "float32",
        }

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The weights and the rows."""
        return {
            "model": work.model(case.model, step_of(case)).digest,
            "rows": evaluation_digest(work, rows=ROWS),
        }

    def needs(self, work: Workspace, case: Case) -> tuple[Need, ...]:
        """The rows for ablations."""
        return ((EVALUATION, ONLY),)

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of two clean runs, and of the last block and the unembedding, twice, for every value."""
        shape = sizes.shape
        positions, runs = ROWS * shape.row, len(ROLES) * len(VALUES)
        exact = replace(sizes, tf32=False)
        rows = len(ROLES) * len(VALUES) * (16 + 4 * len(COLUMNS))
        vectors = 4 * costs.DOUBLE * shape.vocabulary * (shape.width + shape.mlp)
        kept = costs.clean_bytes(sizes, ROWS) + 5 * costs.SINGLE * positions * shape.vocabulary
        return costs.per_case(
            sizes,
            cases,
            costs.clean(exact, 2 * positions),
            costs.reruns(exact, [shape.layers - 2] * runs, positions),
            costs.reruns(exact, [shape.layers - 1] * runs, positions),
            {costs.WorkKind.DOUBLE: 4.0 * shape.vocabulary * shape.width * shape.mlp},
            device=max(vectors, kept),
            host=rows,
            disk=rows,
        )

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """The effects of one model's neurons."""
        import torch

        from universal_neurons.core.ablation import AblationEngine
        from universal_neurons.core.entropy import final_state, rerun_predictions

        ref = work.model(case.model, step_of(case))
        bridge = loaded(work, ref)
        rows = torch.from_numpy(evaluation_tokens(work).rows[:ROWS].astype(np.int64))
        rows = rows.to(next(bridge.parameters()).device)
        chosen = _chosen(bridge, work.zoo.recipe().layers)
        with finite_logits(ref):
            state = final_state(bridge, rows)
        engine = AblationEngine(bridge)
        with torch.no_grad():
            clean = engine.clean(rows, seed=0)
        before, _ = rerun_predictions(state, state.deviation)
        layer, found = work.zoo.recipe().layers - 2, []
        work.progress.start(f"step {ref.step}: entropy neurons below the last layer of {ref.name}", len(chosen))
        for neuron in chosen["source_neuron"]:
            found.extend(_effects(engine, clean, state, before, layer, int(neuron)))
            work.progress.advance(1)
        work.progress.finish()
        table = chosen.loc[chosen.index.repeat(len(VALUES))].reset_index(drop=True)
        return {self.name: _frame(layer, pd.concat([table, pd.DataFrame(found)], axis=1))}

    def read(self, reader: Reader, work: Workspace, case: Case) -> NeuronsBelow:
        """The neurons at each value."""
        return NeuronsBelow(reader(self, case)[0].table, level=work.suite.resampling.level)

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up effects."""
        dice, count = example_dice(case), len(ROLES) * len(VALUES)
        table = pd.DataFrame({name: dice.uniform(0.1, 1.0, count) for name in COLUMNS})
        roles = np.repeat(np.array(ROLES, dtype=object), len(VALUES))
        return {self.name: _frame(0, table.assign(source_neuron=0, role=roles))}

    def comparison(self, work: Workspace, case: Case, stored: Artifacts, again: Artifacts) -> Comparison:
        """The stored effects of the neurons that are the same ones in both, relative to each or to the median."""
        mine, theirs = (one[0].table for one in (stored, again))
        same = (mine["source_neuron"] == theirs["source_neuron"]).to_numpy()
        old, new = (table[list(COLUMNS)].to_numpy()[same] for table in (mine, theirs))
        scale = mine[list(COLUMNS)].abs().median().to_numpy()
        effects = Difference(largest_relative_difference(old, new, scale), TOLERANCE)
        changed = Choices("neurons changed", int((~same).sum()), len(mine), 1 / len(ROLES))
        return Comparison(self.name, "values", len(mine), {"effects": effects}, changed)


ENTROPY_BELOW = EntropyBelow()


def _frame(layer: int, table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source_layer": np.full(len(table), layer, dtype=np.int16),
            "source_neuron": table["source_neuron"].to_numpy(np.int32),
            "role": table["role"].to_numpy(dtype=object),
            "value": np.resize(np.array(VALUES, dtype=np.float32), len(table)),
            **rounded_columns({name: table[name].to_numpy(np.float64) for name in COLUMNS}, bits=BITS),
        }
    )


def _chosen(bridge: Any, layers: int) -> pd.DataFrame:
    """The neurons by role, and their cosines with the candidate of the last layer."""
    import torch

    from universal_neurons.core.weights import folded_weights, raw_weights

    unembedding = folded_weights(bridge).unembedding
    w_out = raw_weights(bridge).w_out
    centred = w_out - w_out.mean(1, keepdim=True)
    unit = torch.nn.functional.normalize(centred, dim=1)
    width = len(w_out) // layers

    def ranked(layer: int) -> tuple[Integers, Integers]:
        own = slice(layer * width, (layer + 1) * width)
        columns = {
            "norm": torch.linalg.vector_norm(centred[own], dim=1).cpu().numpy(),
            "logit_variance": (unit[own] @ unembedding.T).var(1, correction=0).cpu().numpy(),
        }
        return candidates_and_others(pd.DataFrame(rounded_columns(columns, bits=BITS)))

    (last, *_), _ = ranked(layers - 1)
    candidates, others = ranked(layers - 2)
    below = unit[(layers - 2) * width : (layers - 1) * width]
    cosine = (below @ unit[(layers - 1) * width + int(last)]).cpu().numpy()
    neurons = np.concatenate([candidates, np.argsort(cosine, kind="stable")[:OPPOSED], others])
    return pd.DataFrame({"source_neuron": neurons, "role": np.array(ROLES, dtype=object), "cosine": cosine[neurons]})


def _effects(
    engine: AblationEngine, clean: CleanPass, state: FinalState, before: Prediction, layer: int, neuron: int
) -> list[dict[str, float]]:
    from universal_neurons.core.entropy import rerun_predictions, set_deviation

    rows = []
    for value in VALUES:
        deviation = set_deviation(engine, clean, layer, neuron, None if np.isnan(value) else value)
        total, divergence = rerun_predictions(state, deviation)
        direct, _ = rerun_predictions(state, deviation, frozen=True)
        ranks = (total.reciprocal_rank - before.reciprocal_rank).double().mean()
        rows.append(
            mean_changes(before, total, direct)
            | {"divergence": float(divergence.double().mean()), "reciprocal_rank_change": float(ranks)}
        )
    return rows
