"""Extensions of the paper: ablation by families, and patching, of the suite's reference at one checkpoint.

What is a unigram neuron is found on the suite's scored tokens, what becomes of the predictions on the rows that
identified nothing.  The rows stand in a seeded order and every two (three in the last block, if their number is odd)
are a block, inside which rows are patched into each other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from universal_neurons.artifacts.provenance import capture
from universal_neurons.measures.ablation_table import ALL_LAYERS, AnyKind, FamilyKind, SetKind
from universal_neurons.measures.tables import Definition
from universal_neurons.pipeline.ablation import population
from universal_neurons.pipeline.models import LoadedModels, batch_rows, loaded
from universal_neurons.pipeline.neuron_sets import NOT_RANDOM, NeuronSet
from universal_neurons.pipeline.resources import budget, device
from universal_neurons.pipeline.tokens import evaluation_tokens
from universal_neurons.workspace import (
    UNIGRAM_RATE,
    UNIGRAM_THRESHOLD,
    Workspace,
    extensions_keys,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.ids import ModelRef
    from universal_neurons.measures.arrays import Flags
    from universal_neurons.pipeline.neuron_sets import Neurons, Population

# What is held of the sums of labels when they become scores, and of a batch of activations.
_LABEL_COPIES, _ACTIVATION_COPIES = 4, 5

# What is patched: the set, what it is compared with, and a control whose labels are shuffled.
PATCHED = (SetKind.UNIVERSAL, SetKind.OTHERS, SetKind.LAYER_MATCHED, SetKind.RANDOM)


@dataclass(frozen=True, slots=True)
class ExtensionSet:
    """One set of neurons: its kind, its draw, whether it is ablated ("zero") or patched ("resample")."""

    kind: AnyKind
    draw: int
    mode: str
    neurons: Neurons


def family_kinds() -> tuple[AnyKind, ...]:
    """What is ablated by family, the universal neurons as a whole among it."""
    return (SetKind.UNIVERSAL, *FamilyKind)


def write_extensions(work: Workspace, step: int) -> None:
    """The extensions at ``step``, as far as they are missing; raises ArtifactMissing without universality tables."""
    keys = extensions_keys(work, step)
    if not keys:
        return
    table, blocks = keys
    if all(work.store.has(key) for key in keys):
        return
    with capture(device=str(device(work))) as run:
        frame, arrays = extensions(work, work.model(work.suite.zoo.reference, step))
    # The table last: it is what says that the other half is there.
    work.store.write(blocks, arrays, run.provenance)
    work.store.write(table, frame, run.provenance)


def extensions(work: Workspace, ref: ModelRef) -> tuple[pd.DataFrame, dict[str, npt.NDArray[Any]]]:
    """One row per set as in the ablation table, and arrays.

    Arrays: ``score`` and ``token`` (neuron,), the best unigram explanation; kl, loss_increase, toward (row, block);
    clean_loss, distance, predictions (block,).  ``toward`` is 0 where a set is ablated.
    """
    import torch

    from universal_neurons.core.ablation import Ablation, ablation_effects, activation_norms
    from universal_neurons.core.patching import donors, patching_effects

    score, token = unigram_scores(work, ref)
    bridge = loaded(work, ref)
    rows = torch.from_numpy(shuffled_rows(work))
    blocks = len(rows) // 2
    norm = activation_norms(bridge, rows, batch_rows=work.suite.ablation.batch_rows).numpy()
    # NaN compares as below the threshold: what no token explains is of no family.
    ablated, patched = extension_sets(work, population(work, ref, norm), score >= UNIGRAM_THRESHOLD)
    work.progress.start(f"step {ref.step}: extensions of {ref.name}", len([*ablated, *patched]) * len(rows))
    options: Any = {"blocks": blocks, "batch_rows": work.suite.ablation.batch_rows, "progress": work.progress.advance}
    zeroed = [Ablation(torch.from_numpy(one.neurons)) for one in ablated]
    zero = ablation_effects(bridge, rows, zeroed, seed=work.suite.ablation.seed, **options)
    chosen = [torch.from_numpy(one.neurons) for one in patched]
    patch = patching_effects(bridge, rows, donors(len(rows), blocks=blocks), chosen, **options)
    work.progress.finish()
    arrays = {
        "kl": torch.cat([zero.kl, patch.kl]).numpy().astype(np.float32),
        "loss_increase": torch.cat([zero.loss_increase, patch.loss_increase]).numpy().astype(np.float32),
        "toward": torch.cat([torch.zeros_like(zero.kl), patch.toward]).numpy().astype(np.float32),
        "clean_loss": patch.clean_loss.numpy(),
        "distance": patch.distance.numpy(),
        "predictions": patch.predictions.numpy(),
    }
    frame = _described(work, [*ablated, *patched], norm, ref.step, arrays)
    return frame, {**arrays, "score": score.astype(np.float32), "token": token.astype(np.int32)}


def unigram_scores(work: Workspace, ref: ModelRef) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """(neuron,) the share of variance that the best single token explains, and its id, over the scored tokens.

    As many layers at a time as the memory allows.
    """
    import torch

    from universal_neurons.core.families import TokenSums
    from universal_neurons.core.tiling import layer_blocks

    models = LoadedModels.of(work, (ref,))
    rows, mask, (widths,) = models.tokens.rows, models.tokens.mask, models.widths
    ids = torch.from_numpy(rows[mask].astype(np.int64))
    count = torch.bincount(ids, minlength=work.zoo.recipe().vocabulary)
    occurrences = max(round(UNIGRAM_RATE * len(ids)), 2)
    labels = int((count >= occurrences).sum()) + 1
    within = budget(work, models.device, resident=models.weight_bytes) - models.weight_bytes
    blocks = layer_blocks(widths, bytes_per_neuron=unigram_bytes(labels, rows.shape[1]), budget=within)
    work.progress.start(f"step {ref.step}: unigrams of {ref.name}", len(blocks) * len(ids))
    found = []
    for layers in blocks:
        sums = TokenSums(count, occurrences=occurrences, neurons=sum(widths[layer] for layer in layers))
        for (values,), tokens in models.labelled_stream(rows, mask, ids, layers=[list(layers)]):
            sums.add(values, tokens)
            work.progress.advance(len(tokens))
            del values
        found.append(sums.scores())
    work.progress.finish()
    return torch.cat([one.score for one in found]).numpy(), torch.cat([one.token for one in found]).numpy()


def unigram_bytes(labels: int, row_length: int) -> int:
    """Bytes per neuron of its sums over ``labels`` labels and of its activations in a batch of rows of this length.

    Scores are made of some copies of the sums, and a batch of activations passes by.
    """
    return 8 * _LABEL_COPIES * labels + 4 * _ACTIVATION_COPIES * batch_rows(row_length) * row_length


def shuffled_rows(work: Workspace) -> npt.NDArray[np.int64]:
    """The evaluation rows in an order of the suite's seed: neighbours, which may be of one document, are not paired."""
    rows = evaluation_tokens(work).rows.astype(np.int64)
    shuffled: npt.NDArray[np.int64] = rows[np.random.default_rng(work.suite.ablation.seed).permutation(len(rows))]
    return shuffled


def extension_sets(
    work: Workspace, neurons: Population, unigram: Flags
) -> tuple[list[ExtensionSet], list[ExtensionSet]]:
    """The sets that are ablated and those that are patched; ``unigram`` (neuron,) says who is of the family."""
    draws = work.suite.ablation.draws
    threshold = work.suite.universality.threshold

    def plain(kind: SetKind, draw: int) -> NeuronSet:
        return NeuronSet("", Definition.AVERAGED, threshold, ALL_LAYERS, kind, draw)

    universal = neurons.universal(plain(SetKind.UNIVERSAL, NOT_RANDOM))
    ablated = [ExtensionSet(SetKind.UNIVERSAL, NOT_RANDOM, "zero", np.flatnonzero(universal))]
    for family in FamilyKind:
        for draw in range(draws) if family.is_random else (NOT_RANDOM,):
            generator = _generator(neurons, family, draw)
            members = family_members(family, universal, unigram, neurons.layer, generator)
            ablated.append(ExtensionSet(family, draw, "zero", members))
    patched = [
        ExtensionSet(kind, draw, "resample", neurons.neurons(plain(kind, draw)))
        for kind in PATCHED
        for draw in (range(draws) if kind.is_random else (NOT_RANDOM,))
    ]
    return ablated, patched


def family_members(
    family: FamilyKind,
    universal: Flags,
    unigram: Flags,
    layer: npt.NDArray[np.integer],
    generator: np.random.Generator,
) -> Neurons:
    """The neurons of one draw of ``family``, ascending: in every layer as many as the smaller of the two compared has.

    Without that the larger kind would have the larger effect for its number alone.
    """
    both, plain, unshared = universal & unigram, universal & ~unigram, ~universal & unigram
    if family is FamilyKind.UNIVERSAL_UNIGRAM:
        return np.flatnonzero(both)
    pool, opposite = {
        FamilyKind.UNIGRAM_DRAWN: (both, plain),
        FamilyKind.PLAIN_DRAWN: (plain, both),
        FamilyKind.SHUFFLED_DRAWN: (universal, plain),
        FamilyKind.SHARED_DRAWN: (both, unshared),
        FamilyKind.UNSHARED_DRAWN: (unshared, both),
    }[family]
    order = generator.permutation(len(layer))
    found = []
    for at in np.unique(layer):
        here = layer == at
        size = min(int((both & here).sum()), int((opposite & here).sum()), int((pool & here).sum()))
        found.append(order[(pool & here)[order]][:size])
    return np.sort(np.concatenate(found))


def _generator(neurons: Population, kind: AnyKind, draw: int) -> np.random.Generator:
    digest = hashlib.sha256(repr((neurons.seed, neurons.model, str(kind), draw)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _described(
    work: Workspace,
    sets: Sequence[ExtensionSet],
    norm: npt.NDArray[np.float64],
    step: int,
    arrays: dict[str, npt.NDArray[Any]],
) -> pd.DataFrame:
    means = {name: np.average(arrays[name], axis=1, weights=arrays["predictions"]) for name in ("kl", "loss_increase")}
    return pd.DataFrame(
        {
            "partner": [""] * len(sets),
            "definition": [Definition.AVERAGED.value] * len(sets),
            "threshold": np.full(len(sets), work.suite.universality.threshold, dtype=np.float32),
            "layer": np.full(len(sets), ALL_LAYERS, dtype=np.int16),
            "neurons": [one.kind.value for one in sets],
            "draw": np.array([one.draw for one in sets], dtype=np.int16),
            "mode": [one.mode for one in sets],
            "fraction": np.ones(len(sets), dtype=np.float32),
            "labels_step": np.full(len(sets), step, dtype=np.int32),
            "size": np.array([len(one.neurons) for one in sets], dtype=np.int32),
            "norm": np.array([norm[one.neurons].sum() for one in sets]),
            **means,
        }
    )
