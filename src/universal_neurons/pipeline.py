"""Every stage of the computation, in the order in which data flows: the only module that binds inputs, core and store.

    tokens -> universality (one pass over the tokens per checkpoint, all pairs) -> candidates (a second, cheap pass)

A stage is a key, a computation and an artifact.  Nothing is computed that the store already holds: every table is
committed when it is done, and a killed run goes on with what is missing.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from universal_neurons.artifacts.provenance import capture
from universal_neurons.errors import UserError
from universal_neurons.inputs.corpus import TokenSet
from universal_neurons.workspace import (
    NullKind,
    Pair,
    Workspace,
    candidates_key,
    corpus_fingerprint,
    corpus_key,
    corpus_recipe,
    corpus_ref_from,
    draws_key,
    null_keys,
    pairs_of,
    read,
    stored_influence,
    suite_keys,
    table_keys,
    universality_key,
    with_excess,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from universal_neurons.artifacts.key import JSON, Key
    from universal_neurons.core.moments import PairwiseAccumulator
    from universal_neurons.core.universality import RotationSettings, SelectedPairs, UniversalityScores
    from universal_neurons.ids import ModelRef

# Rows in one forward pass: 32 x 128 tokens keep the activations of five mini models within the caches' reach.
BATCH_ROWS = 32


# --- tokens ----------------------------------------------------------------------------------------------------------


def token_set(work: Workspace) -> TokenSet:
    """The scored tokens of the suite, from the working store or from the held-out documents of this machine.

    Raises UserError where the evidence that is asked for is about another text than this machine's, and CorpusError
    where there are fewer tokens than the suite wants.
    """
    key = corpus_key(work, "tokens")
    tokens, record = work.store.read(key), work.store.read(corpus_key(work, "corpus"))
    if tokens is not None and record is not None:
        return _stored_tokens(tokens.arrays, record.document)
    revision = corpus_fingerprint(work)
    if not work.local and corpus_recipe(work).manifest().fingerprint != revision:
        raise UserError(
            f"corpus {work.suite.corpus.recipe}: the shipped evidence is about another version of the text; "
            f"run: universal-neurons compute --suite {work.suite.name}"
        )
    with capture() as run:
        sampled = _sampled_tokens(work, revision=revision)
    described: dict[str, JSON] = {
        "ref": asdict(sampled.ref),
        "domains": list(sampled.domains),
        "rows": len(sampled.rows),
    }
    arrays: dict[str, Any] = {"rows": sampled.rows, "mask": sampled.mask.astype(np.uint8), "domain": sampled.domain}
    work.store.write(key, arrays, run.provenance)
    work.store.write(corpus_key(work, "corpus"), described, run.provenance)
    return sampled


def _stored_tokens(arrays: Mapping[str, Any], record: Mapping[str, Any]) -> TokenSet:
    mask = arrays["mask"].astype(np.bool_)
    domains = tuple(str(name) for name in record["domains"])
    return TokenSet(arrays["rows"], mask, arrays["domain"], domains, corpus_ref_from(record))


def _sampled_tokens(work: Workspace, *, revision: str) -> TokenSet:
    from universal_neurons.inputs.corpus import encode_documents
    from universal_neurons.inputs.corpus import token_set as sampled

    spec = work.suite.corpus
    tokenizer = work.zoo.tokenizer()
    stream = encode_documents(corpus_recipe(work).documents("held-out"), tokenizer)
    return sampled(
        stream,
        name=spec.recipe,
        revision=revision,
        tokenizer_digest=work.zoo.tokenizer_digest,
        row_length=spec.row_length,
        policy=spec.mask,
        tokens=spec.tokens,
        seed=spec.seed,
        bos=work.zoo.end_of_text,
        newline=work.zoo.newline,
    )


# --- universality: one pass over the tokens of a checkpoint feeds all pairs ------------------------------------------


@dataclass(frozen=True)
class LoadedModels:
    """The models of one training step, and the tokens that all of them read in the same order."""

    work: Workspace
    refs: tuple[ModelRef, ...]
    bridges: tuple[Any, ...]
    tokens: TokenSet

    @classmethod
    def of(cls, work: Workspace, refs: Sequence[ModelRef]) -> LoadedModels:
        """Load ``refs`` (digests verified) and the suite's tokens."""
        return cls(work, tuple(refs), tuple(work.zoo.load(ref) for ref in refs), token_set(work))

    def position(self, name: str) -> int:
        """The place of a model in the stream."""
        return next(i for i, ref in enumerate(self.refs) if ref.name == name)

    @property
    def widths(self) -> list[tuple[int, ...]]:
        """Neurons per layer of each model."""
        from universal_neurons.core.activations import layer_widths

        return [layer_widths(bridge) for bridge in self.bridges]

    def stream(self, title: str) -> Iterator[tuple[list[Tensor], Tensor]]:
        """Batch by batch: every model's activations at the same scored tokens (token neuron), each token's block."""
        from universal_neurons.core.activations import row_blocks, stream

        rows, blocks = len(self.tokens.rows), self.work.suite.universality.blocks
        streams = [
            stream(b, self.tokens.rows.astype(np.int64), self.tokens.mask, batch_rows=BATCH_ROWS) for b in self.bridges
        ]
        self.work.progress.start(title, self.tokens.scored)
        for batches in zip(*streams, strict=True):
            yield [batch.values for batch in batches], row_blocks(batches[0].row, rows=rows, blocks=blocks)
            self.work.progress.advance(len(batches[0]))
        self.work.progress.finish()


def accumulated_moments(work: Workspace, models: LoadedModels, *, permuted: bool) -> PairwiseAccumulator:
    """One pass over the tokens: the cross moments of all pairs, in halves.

    With ``permuted`` the reference joins the stream once more, as its last model, with its tokens shuffled inside every
    batch: the null in which nothing is shared.
    """
    from universal_neurons.core.matmul import fastest_checked_precision
    from universal_neurons.core.moments import PairwiseAccumulator
    from universal_neurons.core.nulls import permuted as shuffled

    reference = models.position(work.suite.zoo.reference)
    count, seed = len(models.refs), work.suite.universality.seed
    pairs = list(combinations(range(count), 2))
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


def _write_tables(
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


# --- candidates: a second, cheap pass says how much each block of tokens weighs ---------------------------------------


def _write_candidates(
    work: Workspace, models: LoadedModels, accumulator: PairwiseAccumulator, absent: Mapping[ModelRef, Key]
) -> None:
    """The influence of every token block on the candidates of each reference, and their baseline per rotation draw."""
    from universal_neurons.core.matmul import fastest_checked_precision
    from universal_neurons.core.universality import BlockInfluence

    with capture() as run:
        halves = [accumulator.neurons(models.position(ref.name)) for ref in models.refs]
        moments = [a + b for a, b in halves]
        tables = {pair: read_table(work, pair) for ref in absent for pair in pairs_of(work, ref)}
        chosen = {ref: candidate_rows(work, [tables[pair] for pair in pairs_of(work, ref)]) for ref in absent}
        selected = [_selected(models, pair, frame, chosen[pair.reference]) for pair, frame in tables.items()]
        passes = BlockInfluence(moments, selected, blocks=work.suite.universality.blocks)
        with fastest_checked_precision():
            for values, block in models.stream(f"step {models.refs[0].step}: influence"):
                passes.add(values, block)
        influence = iter(passes.influence())
    for ref, key in absent.items():
        pairs = pairs_of(work, ref)
        arrays: dict[str, Any] = {
            "neuron": chosen[ref].astype(np.int32),
            "influence": np.stack([stored_influence(next(influence).numpy()) for _ in pairs]),
            "draws": np.stack([read(work, draws_key(work, pair)).arrays["draws"][:, chosen[ref]] for pair in pairs]),
        }
        work.store.write(key, arrays, run.provenance)


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


def read_table(work: Workspace, pair: Pair) -> pd.DataFrame:
    """The stored universality table of a pair, with its excess; raises ArtifactMissing."""
    return with_excess(read(work, universality_key(work, pair)).table)


# --- all of it --------------------------------------------------------------------------------------------------------


def compute(work: Workspace) -> int:
    """Compute every artifact that the suite still lacks; returns how many of ``suite_keys`` that were.

    The tokens are not sampled where all evidence is there: only their identity is needed then.
    """
    sampled = not work.store.has(corpus_key(work, "corpus"))
    if sampled:
        token_set(work)
    absent = sum(not work.store.has(key) for key in suite_keys(work))
    for step in work.steps:
        compute_step(work, step)
    return absent + sampled


def recomputed(work: Workspace) -> None:
    """Compute the whole suite into an empty store; one that was left unfinished by a kill goes on instead."""
    finished = work.store.working / "finished"
    if finished.exists():
        # The mark goes last: without it, what a kill leaves of the old store would pass for the beginning of a new one.
        for folder in work.store.working.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder)
        finished.unlink()
    compute(work)
    finished.touch()


def compute_step(work: Workspace, step: int) -> None:
    """The tables, null tables and candidates of one training step, as far as they are missing."""
    store = work.store
    candidates = {ref: key for ref in work.models(step) if not store.has(key := candidates_key(work, ref))}
    nulls = {case: key for case, key in null_keys(work, step).items() if not store.has(key)}
    # A list: the order of a set differs from run to run, and with it the last bits of what is computed together.
    tables = [
        pair
        for pair, key in table_keys(work, step).items()
        if not store.has(key) or (pair.reference in candidates and not store.has(draws_key(work, pair)))
    ]
    if not tables and not nulls and not candidates:
        return
    models = LoadedModels.of(work, work.models(step))
    accumulator = accumulated_moments(work, models, permuted=any(kind == "permuted" for _, kind in nulls))
    if tables or nulls:
        _write_tables(work, models, accumulator, tables, nulls)
    if candidates:
        _write_candidates(work, models, accumulator, candidates)
