"""Universality: one pass over the tokens of a checkpoint feeds all pairs; every score follows from its moments."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from universal_neurons.artifacts.provenance import capture
from universal_neurons.workspace import NullKind, Pair, Workspace, draws_key, read, universality_key, with_excess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.artifacts.key import Key
    from universal_neurons.core.moments import PairwiseAccumulator
    from universal_neurons.core.universality import RotationSettings, UniversalityScores
    from universal_neurons.ids import ModelRef
    from universal_neurons.pipeline.models import LoadedModels


def accumulated_moments(work: Workspace, models: LoadedModels, *, permuted: bool) -> PairwiseAccumulator:
    """One pass over the tokens: the cross moments of all pairs, in halves.

    With ``permuted`` the reference joins the stream once more, as its last model, with its tokens shuffled inside every
    batch: the null in which nothing is shared.
    """
    from universal_neurons.core.matmul import fastest_checked_precision
    from universal_neurons.core.moments import PairwiseAccumulator
    from universal_neurons.core.nulls import permuted as shuffled

    # A sample of the evidence may be about two other models.
    reference = models.position(work.suite.zoo.reference) if permuted else 0
    count, seed = len(models.refs), work.suite.universality.seed
    looking = {models.position(ref.name) for ref in models.refs if ref.name in work.suite.references}
    pairs = [pair for pair in combinations(range(count), 2) if looking.intersection(pair)]
    widths = models.widths
    if permuted:
        pairs += [(i, count) for i in range(count) if i != reference]
        widths = [*widths, widths[reference]]
    accumulator = PairwiseAccumulator(widths, pairs=pairs)
    with fastest_checked_precision():
        for number, (values, block) in enumerate(models.stream(f"step {models.refs[0].step}: moments")):
            if permuted:
                values.append(shuffled(values[reference], seed=seed, model=models.refs[reference].name, batch=number))
            accumulator.add(values, block)
    return accumulator


def write_tables(
    work: Workspace,
    models: LoadedModels,
    accumulator: PairwiseAccumulator,
    tables: Sequence[Pair],
    nulls: Mapping[tuple[Pair, NullKind], Key],
) -> None:
    """Score every missing table and null, partner by partner: a partner is rotated once for all who look for it."""
    work.progress.start(f"step {models.refs[0].step}: scores", len(tables) + len(nulls))
    for y in models.refs:
        pairs = [pair for pair in tables if pair.partner == y]
        permuted = [pair for pair, kind in nulls if pair.partner == y and kind == "permuted"]
        rotated = [pair for pair, kind in nulls if pair.partner == y and kind == "rotated"]
        with capture() as run:
            scores = scores_against_partner(work, models, accumulator, y, pairs, permuted)
        for pair, score in zip(pairs, scores[: len(pairs)], strict=True):
            work.store.write(draws_key(work, pair), {"draws": score.baseline_draws.numpy()}, run.provenance)
            work.store.write(universality_key(work, pair), score_table(score), run.provenance)
        for pair, score in zip(permuted, scores[len(pairs) :], strict=True):
            work.store.write(nulls[pair, "permuted"], score_table(score), run.provenance)
        for pair in rotated:
            with capture() as run:
                score = _rotated_scores(work, models, accumulator, pair)
            work.store.write(nulls[pair, "rotated"], score_table(score), run.provenance)
        work.progress.advance(len(pairs) + len(permuted) + len(rotated))
    work.progress.finish()


def scores_against_partner(
    work: Workspace,
    models: LoadedModels,
    accumulator: PairwiseAccumulator,
    y: ModelRef,
    pairs: Sequence[Pair],
    permuted: Sequence[Pair],
) -> list[UniversalityScores]:
    """The scores of ``pairs``, then of those whose reference is permuted, all against ``y``."""
    from universal_neurons.core.universality import scores_against

    places = [models.position(pair.reference.name) for pair in pairs] + [len(models.refs)] * len(permuted)
    if not places:
        return []
    halves = [accumulator.cross(x, models.position(y.name)) for x in places]
    return scores_against(halves, model=y.name, baseline=_rotations(work), top_k=work.suite.universality.top_k)


def _rotated_scores(
    work: Workspace, models: LoadedModels, accumulator: PairwiseAccumulator, pair: Pair
) -> UniversalityScores:
    """The scores that are left when every layer of both models has been rotated: no neuron is in them any more."""
    from universal_neurons.core.nulls import rotated
    from universal_neurons.core.universality import scores_against

    spec, names = work.suite.universality, (pair.reference.name, pair.partner.name)
    a, b = (
        rotated(half, kind=spec.rotation, seed=spec.seed, draw=0, models=names)
        for half in accumulator.cross(*(models.position(name) for name in names))
    )
    (scores,) = scores_against([(a, b)], model=names[1], baseline=_rotations(work), top_k=spec.top_k)
    return scores


def _rotations(work: Workspace) -> RotationSettings:
    from universal_neurons.core.universality import RotationSettings

    spec = work.suite.universality
    return RotationSettings(kind=spec.rotation, seed=spec.seed, draws=spec.draws, half_draws=spec.half_draws)


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
