"""Scores of one training step: as few passes over the tokens as fit feed every pair of models."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from universal_neurons.artifacts.provenance import capture
from universal_neurons.stages.passes import Reading, streamed, workload
from universal_neurons.stages.resources import rotation_workers

if TYPE_CHECKING:
    import numpy.typing as npt

    from universal_neurons.artifacts.key import JSON
    from universal_neurons.artifacts.provenance import Provenance, SharedRun
    from universal_neurons.core.scoring import ScoringRequest, TileScores
    from universal_neurons.core.universality import UniversalityScores
    from universal_neurons.stages.base import Case
    from universal_neurons.stages.models import LoadedModels
    from universal_neurons.stages.passes import Streamed


@dataclass(frozen=True)
class RequestedScores:
    """The scores to compute at one step: ``tables`` of pairs, pairs of the ``rotated`` and of the ``permuted`` null."""

    tables: tuple[Case, ...]
    rotated: tuple[Case, ...] = ()
    permuted: tuple[Case, ...] = ()

    @property
    def models(self) -> frozenset[str]:
        """The names of all models involved."""
        pairs = (*self.tables, *self.rotated, *self.permuted)
        return frozenset(name for pair in pairs for name in (pair.model, pair.partner))


@dataclass(frozen=True, eq=False)
class StepScores:
    """The requested scores of one step with their provenance.

    ``shared``: the run of the passes over the tokens, on which all scores rest.
    """

    models: LoadedModels
    running: TileScores
    passes: Streamed
    shared: SharedRun
    provenance: Provenance

    def table(self, pair: Case) -> UniversalityScores:
        """The scores of a pair."""
        return self.running.scores(*self.models.positions(pair)).scores()

    def permuted(self, pair: Case) -> UniversalityScores:
        """The scores of a pair whose reference was read with its tokens permuted."""
        return self.running.scores(len(self.models.refs), self.models.position(pair.partner)).scores()

    def rotated(self, pair: Case) -> UniversalityScores:
        """The scores of a pair after every layer of both models has been rotated, which leaves no neuron in it."""
        return self.running.rotated_scores(*self.models.positions(pair)).scores()

    def spread(self, name: str) -> npt.NDArray[np.float64]:
        """(3, neuron): over how many tokens, the mean and the sum of squares of every neuron of a model."""
        spread = self.running.spread(self.models.position(name))
        counts = np.full(len(spread.mean), float(spread.count))
        return np.stack([counts, spread.mean.numpy(), spread.squares.numpy()])

    def scoring(self, pair: Case, kind: str = "") -> Provenance:
        """The provenance of scoring a pair; its time covers all scores computed together."""
        x, y = self.models.positions(pair)
        seconds = round(self.running.seconds[f"{x} {y}" if kind == "rotated" else f"{y}"], 3)
        return replace(self.provenance, wall_seconds=seconds, shared=(self.shared,), precision=self.passes.precision)


def step_scores(models: LoadedModels, requested: RequestedScores, *, title: str = "moments") -> StepScores:
    """Stream the tokens past all models and compute the requested scores; ``title`` names them for the progress.

    For the permuted null the suite's reference joins the stream once more, as its last model, with the tokens shuffled
    inside every batch, so that nothing is shared.
    """
    from universal_neurons.core.scoring import TileScores

    wanted = _wanted(models, requested)
    reading = Reading(
        title=f"step {models.refs[0].step}: {title}",
        rows=models.tokens.rows,
        mask=models.tokens.mask,
        label=models.blocks(),
        shuffled=models.position(models.work.reference) if requested.permuted else None,
    )
    pairs = {(min(which), max(which)) for which in (*wanted.directions, *wanted.rotated)}
    load = replace(workload(models, sorted(pairs), reading, groups=2), rotated_null=bool(requested.rotated))
    running = TileScores(load, wanted)
    name: dict[str, JSON] = {
        "directions": [list(which) for which in wanted.directions],
        "rotated": [list(which) for which in wanted.rotated],
        "baseline": asdict(wanted.baseline),
        "top_k": wanted.top_k,
    }
    with capture(device=str(models.device)) as run:
        passes = streamed(models, load, reading, running, name=name)
    shared = replace(run.as_shared("moments of all pairs"), wall_seconds=passes.seconds)
    return StepScores(models, running, passes, shared, run.provenance)


def _wanted(models: LoadedModels, requested: RequestedScores) -> ScoringRequest:
    from universal_neurons.core.scoring import ScoringRequest
    from universal_neurons.core.universality import RotationSettings

    spec, again = models.work.suite.universality, len(models.refs)
    directions = [models.positions(pair) for pair in requested.tables]
    directions += [(again, models.position(pair.partner)) for pair in requested.permuted]
    return ScoringRequest(
        directions=tuple(directions),
        rotated=tuple(models.positions(pair) for pair in requested.rotated),
        names=tuple(ref.name for ref in models.refs),
        baseline=RotationSettings(kind=spec.rotation, seed=spec.seed, draws=spec.draws, half_draws=spec.half_draws),
        top_k=spec.top_k,
        workers=rotation_workers(models.device),
    )


def score_table(scores: UniversalityScores) -> pd.DataFrame:
    """The universality table: one row per neuron of x, layer by layer; -1 and NaN where a neuron has no partner.

    Excess is not stored: it is the difference of two columns (:func:`universal_neurons.measures.excess.with_excess`).
    """
    import torch

    from universal_neurons.core.universality import neuron_locations

    flat = torch.arange(len(scores.partner))
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
