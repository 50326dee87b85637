"""Ablation: what every set of neurons does to a model's predictions on rows that identified none of them.

One model at one step is the unit that a killed run does not lose: a table with a row per set, and the effects of the
sets per block of rows.
"""

from __future__ import annotations

from dataclasses import astuple, fields
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from universal_neurons.artifacts.provenance import capture
from universal_neurons.pipeline.models import loaded
from universal_neurons.pipeline.neuron_sets import NeuronSet, Population, SetPlan
from universal_neurons.pipeline.resources import device
from universal_neurons.pipeline.tokens import evaluation_tokens
from universal_neurons.pipeline.universality import read_table
from universal_neurons.workspace import (
    ABLATION_BATCH_ROWS,
    Workspace,
    ablated_pairs,
    ablation_keys,
    ablation_role,
    labels_step,
    pairs_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from universal_neurons.core.ablation import AblationEffects
    from universal_neurons.ids import ModelRef

_TYPES = {"threshold": np.float32, "layer": np.int16, "draw": np.int16, "fraction": np.float32}


def write_ablations(work: Workspace, step: int) -> None:
    """The ablations of every model that is ablated at ``step``, as far as they are missing.

    Raises ArtifactMissing unless the universality tables are there that say which neurons are universal.
    """
    for ref, (table, blocks) in ablation_keys(work, step).items():
        if work.store.has(table) and work.store.has(blocks):
            continue
        with capture(device=str(device(work))) as run:
            frame, effects = ablations(work, ref)
        # The table last: it is what says that the other half is there.
        work.store.write(blocks, effects, run.provenance)
        work.store.write(table, frame, run.provenance)


def ablations(work: Workspace, ref: ModelRef) -> tuple[pd.DataFrame, dict[str, npt.NDArray[np.generic]]]:
    """One row per set of neurons of ``ref``, and kl, loss_increase (row, block), clean_loss and predictions (block,).

    Effects are means in nats over the predictions of a block, in the table over all of them (claims/README.md, A7).
    """
    import torch

    from universal_neurons.core.ablation import Ablation, ablation_effects, activation_norms

    spec = work.suite.ablation
    bridge = loaded(work, ref)
    rows = torch.from_numpy(evaluation_tokens(work).rows.astype(np.int64))
    norm = activation_norms(bridge, rows, batch_rows=ABLATION_BATCH_ROWS).numpy()
    sets = set_plan(work, ref).sets()
    chosen = population(work, ref, norm)
    neurons = [chosen.neurons(one) for one in sets]
    work.progress.start(f"step {ref.step}: ablations of {ref.name}", len(sets) * len(rows))
    effects = ablation_effects(
        bridge,
        rows,
        [Ablation(torch.from_numpy(members), one.mode) for members, one in zip(neurons, sets, strict=True)],
        blocks=spec.blocks,
        batch_rows=ABLATION_BATCH_ROWS,
        seed=spec.seed,
        progress=work.progress.advance,
    )
    work.progress.finish()
    frame = _described(sets).assign(
        labels_step=np.int32(labels_step(work, ref.step)),
        size=np.array([len(members) for members in neurons], dtype=np.int32),
        norm=np.array([norm[members].sum() for members in neurons]),
        kl=_mean(effects.kl.numpy(), effects),
        loss_increase=_mean(effects.loss_increase.numpy(), effects),
    )
    return frame, {
        "kl": effects.kl.numpy().astype(np.float32),
        "loss_increase": effects.loss_increase.numpy().astype(np.float32),
        "clean_loss": effects.clean_loss.numpy(),
        "predictions": effects.predictions.numpy(),
    }


def set_plan(work: Workspace, ref: ModelRef) -> SetPlan:
    """Which sets of neurons of ``ref`` the suite ablates."""
    universality, spec = work.suite.universality, work.suite.ablation
    return SetPlan(
        role=ablation_role(work, ref.step),
        partners=tuple(ablated_pairs(work, ref)),
        thresholds=universality.thresholds,
        threshold=universality.threshold,
        layers=work.suite.layers,
        draws=spec.draws,
        dose=spec.dose,
        orders=spec.orders,
    )


def population(work: Workspace, ref: ModelRef, norm: npt.NDArray[np.float64]) -> Population:
    """The neurons of ``ref`` with the scores that decide which are universal, untrained ones with those of the last
    checkpoint; raises ArtifactMissing."""
    labels = work.model(ref.name, labels_step(work, ref.step))
    tables = {pair.partner.name: read_table(work, pair) for pair in pairs_of(work, labels)}
    return Population(
        seed=work.suite.ablation.seed,
        model=ref.name,
        layer=next(iter(tables.values()))["layer"].to_numpy(),
        norm=norm,
        excess={partner: frame["excess"].to_numpy() for partner, frame in tables.items()},
    )


def _described(sets: Sequence[NeuronSet]) -> pd.DataFrame:
    names = [field.name for field in fields(NeuronSet)]
    columns = dict(zip(names, zip(*(astuple(one) for one in sets), strict=True), strict=True))
    # Plain text: a StrEnum would go through pandas as an object that only looks like its text.
    text = {name: [str(value) for value in columns[name]] for name in ("partner", "definition", "neurons", "mode")}
    numbers = {name: np.array(columns[name], dtype=dtype) for name, dtype in _TYPES.items()}
    return pd.DataFrame({name: (text | numbers)[name] for name in names})


def _mean(effect: npt.NDArray[np.float64], effects: AblationEffects) -> npt.NDArray[np.float64]:
    """(row, block) means over the predictions of a block -> (row,) means over all predictions."""
    mean: npt.NDArray[np.float64] = np.average(effect, axis=1, weights=effects.predictions.numpy())
    return mean
