"""Universality: as few passes over the tokens of a checkpoint as fit feed all pairs; every score follows from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from universal_neurons.artifacts.provenance import capture
from universal_neurons.pipeline.passes import Reading, streamed, workload
from universal_neurons.pipeline.resources import ROTATION_WORKERS
from universal_neurons.workspace import NullKind, Pair, Workspace, draws_key, read, universality_key, with_excess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.artifacts.key import JSON, Key
    from universal_neurons.artifacts.provenance import Provenance, SharedRun
    from universal_neurons.core.scoring import ScoringRequest, TileScores
    from universal_neurons.core.universality import RotationSettings, UniversalityScores
    from universal_neurons.pipeline.models import LoadedModels
    from universal_neurons.pipeline.passes import Streamed


@dataclass(frozen=True)
class Asked:
    """What is to be scored at one step: ``tables``, and of which pairs the ``rotated`` and ``permuted`` nulls."""

    tables: tuple[Pair, ...]
    rotated: tuple[Pair, ...] = ()
    permuted: tuple[Pair, ...] = ()

    @classmethod
    def of(cls, tables: Sequence[Pair], nulls: Sequence[tuple[Pair, NullKind]]) -> Asked:
        """The same from cases as the keys name them."""
        kinds: dict[str, tuple[Pair, ...]] = {
            wanted: tuple(pair for pair, kind in nulls if kind == wanted) for wanted in ("rotated", "permuted")
        }
        return cls(tuple(tables), kinds["rotated"], kinds["permuted"])


@dataclass(frozen=True, eq=False)
class StepScores:
    """Every score that was asked for at one step, and what it took.

    ``shared``: the passes over the tokens, which all of them rest on.
    """

    models: LoadedModels
    running: TileScores
    passes: Streamed
    shared: SharedRun
    provenance: Provenance

    def table(self, pair: Pair) -> UniversalityScores:
        """The scores of a pair."""
        return self.running.scores(*_places(self.models, pair)).scores()

    def permuted(self, pair: Pair) -> UniversalityScores:
        """The scores of a pair whose reference was read with its tokens permuted."""
        return self.running.scores(len(self.models.refs), self.models.position(pair.partner.name)).scores()

    def rotated(self, pair: Pair) -> UniversalityScores:
        """What is left of a pair when every layer of both models has been rotated: no neuron is in it any more."""
        return self.running.rotated_scores(*_places(self.models, pair)).scores()

    def scoring(self, name: str) -> Provenance:
        """The circumstances of scoring, by its name among the running scores' seconds."""
        seconds = round(self.running.seconds[name], 3)
        return replace(self.provenance, wall_seconds=seconds, shared=(self.shared,), precision=self.passes.precision)


def step_scores(models: LoadedModels, asked: Asked) -> StepScores:
    """Stream the tokens past all models and score what is asked for.

    The permuted null is the reference joining the stream once more, as its last model, with its tokens shuffled inside
    every batch: the null in which nothing is shared.
    """
    from universal_neurons.core.scoring import TileScores

    wanted = _wanted(models, asked)
    reading = Reading(
        title=f"step {models.refs[0].step}: moments",
        rows=models.tokens.rows,
        mask=models.tokens.mask,
        label=models.blocks(),
        shuffled=models.position(models.work.suite.zoo.reference) if asked.permuted else None,
    )
    both = {(min(which), max(which)) for which in (*wanted.directions, *wanted.rotated)}
    work = replace(workload(models, sorted(both), reading, groups=2), rotated_null=bool(asked.rotated))
    running = TileScores(work, wanted)
    name: dict[str, JSON] = {
        "directions": [list(which) for which in wanted.directions],
        "rotated": [list(which) for which in wanted.rotated],
        "baseline": asdict(wanted.baseline),
        "top_k": wanted.top_k,
    }
    with capture(device=str(models.device)) as run:
        passes = streamed(models, work, reading, running, name=name)
    shared = replace(run.as_shared("moments of all pairs"), wall_seconds=passes.seconds)
    return StepScores(models, running, passes, shared, run.provenance)


def _wanted(models: LoadedModels, asked: Asked) -> ScoringRequest:
    from universal_neurons.core.scoring import ScoringRequest

    again = len(models.refs)
    directions = [_places(models, pair) for pair in asked.tables]
    directions += [(again, models.position(pair.partner.name)) for pair in asked.permuted]
    return ScoringRequest(
        directions=tuple(directions),
        rotated=tuple(_places(models, pair) for pair in asked.rotated),
        names=tuple(ref.name for ref in models.refs),
        baseline=_rotations(models.work),
        top_k=models.work.suite.universality.top_k,
        workers=ROTATION_WORKERS if models.device.type == "cuda" else 0,
    )


def _places(models: LoadedModels, pair: Pair) -> tuple[int, int]:
    return models.position(pair.reference.name), models.position(pair.partner.name)


def _rotations(work: Workspace) -> RotationSettings:
    from universal_neurons.core.universality import RotationSettings

    spec = work.suite.universality
    return RotationSettings(kind=spec.rotation, seed=spec.seed, draws=spec.draws, half_draws=spec.half_draws)


def write_tables(
    work: Workspace, scores: StepScores, tables: Sequence[Pair], nulls: Mapping[tuple[Pair, NullKind], Key]
) -> None:
    """Commit every missing table and null; each with the time that scoring all who look for its partner took."""
    for y, partner in enumerate(scores.models.refs):
        for pair in (pair for pair in tables if pair.partner == partner):
            found, provenance = scores.table(pair), scores.scoring(f"{y}")
            work.store.write(draws_key(work, pair), {"draws": found.baseline_draws.numpy()}, provenance)
            work.store.write(universality_key(work, pair), score_table(found), provenance)
        here = {case: key for case, key in nulls.items() if case[0].partner == partner}
        for (pair, kind), key in sorted(here.items(), key=lambda item: item[0][1]):
            x, _ = _places(scores.models, pair)
            if kind == "permuted":
                work.store.write(key, score_table(scores.permuted(pair)), scores.scoring(f"{y}"))
            else:
                work.store.write(key, score_table(scores.rotated(pair)), scores.scoring(f"{x} {y}"))


def score_table(scores: UniversalityScores) -> pd.DataFrame:
    """The universality table: one row per neuron of x, layer by layer; -1 and NaN where a neuron has no partner.

    Excess is not stored: it is the difference of two columns, taken again on reading (:func:`with_excess`).
    """
    import torch

    from universal_neurons.core.universality import neuron_locations

    flat = torch.arange(len(scores.best_partner))
    layer, neuron = neuron_locations(flat, scores.x_widths)
    partner_layer, partner_neuron = neuron_locations(scores.partner, scores.y_widths)
    columns: dict[str, Any] = {
        "layer": layer.numpy().astype(np.int16),
        "neuron": neuron.numpy().astype(np.int32),
        "partner_layer": partner_layer[:, 0].numpy().astype(np.int16),
        "partner_neuron": partner_neuron[:, 0].numpy().astype(np.int32),
        "correlation": scores.best_correlation.numpy(),
        "baseline": scores.baseline.numpy(),
        "baseline_sd": scores.baseline_sd.numpy(),
        "correlation_crossfit": scores.correlation_crossfit.numpy(),
    }
    for name, half in (("half_a", scores.half_a), ("half_b", scores.half_b)):
        columns[f"correlation_{name}"] = half.correlation.numpy()
        columns[f"baseline_{name}"] = half.baseline.numpy()
    for rank in range(1, scores.partner.shape[1]):
        columns[f"partner_{rank + 1}_layer"] = partner_layer[:, rank].numpy().astype(np.int16)
        columns[f"partner_{rank + 1}_neuron"] = partner_neuron[:, rank].numpy().astype(np.int32)
        columns[f"correlation_{rank + 1}"] = scores.correlation[:, rank].numpy()
    return pd.DataFrame(columns)


def read_table(work: Workspace, pair: Pair) -> pd.DataFrame:
    """The stored universality table of a pair, with its excess; raises ArtifactMissing."""
    return with_excess(read(work, universality_key(work, pair)).table)
