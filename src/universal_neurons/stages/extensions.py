"""Extensions of the paper: ablation by families, and patching, of the suite's reference at one checkpoint.

Unigram neurons are identified on the suite's scored tokens, effects on the rows that identified nothing.  These rows
stand in a seeded order, and every two (three in the last block, if their number is odd) are a block, inside which rows
are patched into each other.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from universal_neurons.errors import NotOnSuite
from universal_neurons.measures.ablation_table import (
    ALL_LAYERS,
    AblationTable,
    AnyKind,
    FamilyKind,
    Replacement,
    SetKind,
)
from universal_neurons.measures.extensions import Extensions
from universal_neurons.measures.tables import Definition
from universal_neurons.stages import costs
from universal_neurons.stages.ablation import (
    ablation_mode,
    ablation_table,
    compare_effects,
    population,
    resumed_effects,
    set_table,
)
from universal_neurons.stages.base import (
    Artifacts,
    Case,
    Need,
    Reader,
    Stage,
    check_trained,
    example_count,
    example_dice,
    own_pairs,
    step_of,
)
from universal_neurons.stages.batches import batch_rows
from universal_neurons.stages.costs import Cost
from universal_neurons.stages.models import LoadedModels, finite_logits, loaded
from universal_neurons.stages.neuron_sets import NOT_RANDOM, NeuronSet, named_generator
from universal_neurons.stages.tokens import EVALUATION, ONLY, TOKENS, corpus_ref, evaluation_digest, evaluation_tokens
from universal_neurons.stages.universality import UNIVERSALITY, table_digests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.measures.arrays import Flags
    from universal_neurons.stages.comparison import Comparison
    from universal_neurons.stages.costs import Sizes
    from universal_neurons.stages.neuron_sets import Neurons, Population
    from universal_neurons.stages.workspace import Workspace

# The rarest unigram label, as Gurnee et al. 2024 allow it: 3,000 occurrences in 10 million tokens.
UNIGRAM_RATE = 0.0003
# The score from which a neuron is counted among a family (section 4.3).
UNIGRAM_THRESHOLD = 0.5
# Bytes moved per activation that is added to the sums of its token, in the time that it takes.
FAMILY_BYTES = 32
# Copies of the sums of labels that become scores, and of a batch of activations.
_LABEL_COPIES, _ACTIVATION_COPIES = 4, 5

# What is ablated by family, the universal neurons as a whole among it.
FAMILIES = (SetKind.UNIVERSAL, *FamilyKind)
# What is patched: the set, and what it is compared with.
PATCHED = (SetKind.UNIVERSAL, SetKind.OTHERS, SetKind.LAYER_MATCHED)


class FamiliesAndPatches(Stage):
    """Families of universal neurons and patched sets of the suite's reference, and their effects per block of rows."""

    name: ClassVar[str] = "extensions"
    # 2: without sets that nothing reads.
    version: ClassVar[int] = 2
    parts: ClassVar[tuple[str, ...]] = ("extensions", "extensions-blocks")
    subject: ClassVar[str] = "families and patches of {case.model}"

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """The suite's reference at every trained step, where the suite has extensions."""
        return tuple(Case(step, work.reference) for step in work.trained_steps if work.suite.ablation.extensions)

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The sets of neurons, and what decides the last bits."""
        spec = work.suite.ablation
        return {
            "model": case.model,
            "step": case.step,
            "threshold": work.suite.universality.threshold,
            "unigram_threshold": UNIGRAM_THRESHOLD,
            "unigram_rate": UNIGRAM_RATE,
            "draws": spec.draws,
            "seed": spec.seed,
            "batch_rows": spec.batch_rows,
            "dtype": ablation_mode(work),
        }

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The weights, the rows, the tokens, and the tables that say which neurons are universal."""
        return {
            "model": work.model(case.model, step_of(case)).digest,
            "rows": evaluation_digest(work),
            "tokens": corpus_ref(work).sha256,
            **table_digests(work, own_pairs(work, case)),
        }

    def needs(self, work: Workspace, case: Case) -> tuple[Need, ...]:
        """The tokens, the rows, and the tables that say which neurons are universal."""
        return ((TOKENS, ONLY), (EVALUATION, ONLY), *((UNIVERSALITY, pair) for pair in own_pairs(work, case)))

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of a pass over the tokens, and of every set ablated or patched."""
        evaluated, shape = sizes.evaluated, sizes.shape
        sets = sum(map(len, extension_sets(work)))
        labels = costs.frequent_tokens(shape.vocabulary, UNIGRAM_RATE) + 1
        _, sums = sizes.layer_blocks(unigram_bytes(labels, shape.row))
        # Sums lie on the host.  Without a GPU the models run there too, but only when the sums are gone.
        beside = sizes.device == "cuda"
        return Cost(
            costs.summed(
                costs.loading(sizes, 2),
                costs.forward(sizes, sizes.positions + evaluated),
                {costs.WorkKind.MEMORY: float(sizes.tokens * shape.neurons * FAMILY_BYTES)},
                # A batch is run clean for what is ablated, and with its donors for what is patched.
                costs.clean(sizes, 3 * evaluated),
                costs.reruns(sizes, [0] * sets, evaluated, edited=True),
            ),
            passes=1,
            device_bytes=2 * sizes.shape.loaded_bytes
            + max(
                costs.batch_bytes(sizes, 1),
                0 if beside else sums,
                costs.clean_bytes(sizes, work.suite.ablation.batch_rows, runs=2),
            ),
            host_bytes=sizes.token_bytes + (sums if beside else 0),
            disk_bytes=sets * (costs.SET_BYTES + 3 * max(evaluated // shape.row // 2, 1) * costs.SINGLE)
            + shape.neurons * 2 * costs.SINGLE,
        )

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Ablate the families and patch the sets; raises ArtifactMissing without universality tables."""
        return dict(zip(self.parts, extensions(work, case), strict=True))

    def case(self, work: Workspace, asked: Case) -> Case:
        """The case of the suite's reference at a trained checkpoint."""
        if not work.suite.ablation.extensions:
            raise NotOnSuite(f"suite {work.suite.name}: no families of neurons are ablated, and none are patched")
        check_trained(work, asked, what=self.name)
        return Case(asked.step, work.reference)

    def read(self, reader: Reader, work: Workspace, case: Case) -> Extensions:
        """The families, the patches and the unigram scores."""
        table, blocks = reader(self, case)
        frame, arrays = table.table, blocks.arrays
        neurons = np.arange(len(arrays["score"]))
        return Extensions(
            reference=case.model,
            step=step_of(case),
            families=_effects(work, case, frame, arrays, mode="zero", kl="kl"),
            patches=_effects(work, case, frame, arrays, mode="resample", kl="toward"),
            distance=arrays["distance"],
            score=arrays["score"],
            token=arrays["token"],
            layer=neurons // (len(neurons) // work.suite.layers),
        )

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up effects, larger for universal neurons than for others; every other neuron is a unigram neuron."""
        sets = list(chain(*extension_sets(work)))
        rows = -(-work.suite.ablation.tokens // (work.suite.corpus.row_length - 1))
        dice, blocks, count = example_dice(case), rows // 2, example_count(work)
        larger = np.array([[1.0 if one.neurons.is_random else 3.0] for one in sets])
        arrays: dict[str, npt.NDArray[Any]] = {
            name: (larger * dice.uniform(0.01, 0.02, (len(sets), blocks))).astype(np.float32)
            for name in ("kl", "loss_increase", "toward")
        }
        arrays |= {name: dice.uniform(2, 3, blocks) for name in ("clean_loss", "distance")}
        arrays["predictions"] = np.full(blocks, 100)
        members = [np.empty(0, dtype=np.int64)] * len(sets)
        frame = set_table(sets, members, np.zeros(count), labels_step=step_of(case), effects=arrays)
        arrays["score"] = np.resize([0.9, 0.1], count).astype(np.float32)
        arrays["token"] = np.zeros(count, dtype=np.int32)
        return dict(zip(self.parts, (frame, arrays), strict=True))

    def comparison(self, work: Workspace, case: Case, stored: Artifacts, again: Artifacts) -> Comparison:
        """The stored effects against the recomputed ones."""
        return compare_effects(stored, again)


EXTENSIONS = FamiliesAndPatches()


def _effects(
    work: Workspace, case: Case, frame: pd.DataFrame, arrays: Mapping[str, Any], *, mode: str, kl: str
) -> AblationTable:
    chosen = (frame["mode"] == mode).to_numpy()
    rows = {name: arrays[name][chosen] for name in (kl, "loss_increase")}
    return ablation_table(work, case, frame[chosen].reset_index(drop=True), {**arrays, **rows}, kl=kl)


def extensions(work: Workspace, case: Case) -> tuple[pd.DataFrame, dict[str, npt.NDArray[Any]]]:
    """One row per set as in the ablation table, and arrays.

    Arrays: ``score`` and ``token`` (neuron,), the best unigram explanation; kl, loss_increase, toward (row, block);
    clean_loss, distance, predictions (block,).  ``toward`` is 0 where a set is ablated.
    """
    import torch

    from universal_neurons.core.ablation import Ablation, activation_norms
    from universal_neurons.core.patching import donors, patching_effects

    score, token = unigram_scores(work, case)
    ref = work.model(case.model, step_of(case))
    bridge = loaded(work, ref)
    rows = torch.from_numpy(shuffled_rows(work))
    blocks = len(rows) // 2
    norm = activation_norms(bridge, rows, batch_rows=work.suite.ablation.batch_rows).numpy()
    ablated, patched = extension_sets(work)
    sets, neurons = [*ablated, *patched], population(work, case, norm)
    # NaN compares as below the threshold: what no token explains is of no family.
    members = [set_members(one, neurons, score >= UNIGRAM_THRESHOLD) for one in sets]
    indices = [torch.from_numpy(own) for own in members]
    title = f"step {case.step}: extensions of {case.model}"
    options: Any = {"blocks": blocks, "batch_rows": work.suite.ablation.batch_rows, "mode": ablation_mode(work)}
    zeroed = [Ablation(own) for own in indices[: len(ablated)]]
    zero = resumed_effects(
        (work, EXTENSIONS, case), bridge, rows, zeroed, title=title, seed=work.suite.ablation.seed, **options
    )
    work.progress.start(f"{title}, patched", len(patched) * len(rows))
    with finite_logits(ref):
        patch = patching_effects(
            bridge,
            rows,
            donors(len(rows), blocks=blocks),
            indices[len(ablated) :],
            progress=work.progress.advance,
            **options,
        )
    work.progress.finish()
    arrays = {
        "kl": torch.cat([zero.kl, patch.kl]).numpy().astype(np.float32),
        "loss_increase": torch.cat([zero.loss_increase, patch.loss_increase]).numpy().astype(np.float32),
        "toward": torch.cat([torch.zeros_like(zero.kl), patch.toward]).numpy().astype(np.float32),
        "clean_loss": patch.clean_loss.numpy(),
        "distance": patch.distance.numpy(),
        "predictions": patch.predictions.numpy(),
    }
    frame = set_table(sets, members, norm, labels_step=step_of(case), effects=arrays)
    return frame, {**arrays, "score": score.astype(np.float32), "token": token.astype(np.int32)}


def unigram_scores(work: Workspace, case: Case) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """(neuron,) the share of variance that the best single token explains, and its id, over the scored tokens.

    As many layers at a time as the memory allows.
    """
    import torch

    from universal_neurons.core.families import TokenSums

    models = LoadedModels.of(work, step_of(case), (case.model,))
    rows, mask, (widths,) = models.tokens.rows, models.tokens.mask, models.widths
    ids = torch.from_numpy(rows[mask].astype(np.int64))
    count = torch.bincount(ids, minlength=work.zoo.recipe().vocabulary)
    occurrences = max(round(UNIGRAM_RATE * len(ids)), 2)
    labels = int((count >= occurrences).sum()) + 1
    blocks = models.layer_blocks(unigram_bytes(labels, rows.shape[1]))
    work.progress.start(f"step {case.step}: unigrams of {case.model}", len(blocks) * len(ids))
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


def extension_sets(work: Workspace) -> tuple[list[NeuronSet], list[NeuronSet]]:
    """The sets that are ablated and those that are patched."""
    draws, threshold = work.suite.ablation.draws, work.suite.universality.threshold

    def sets(kinds: Sequence[AnyKind], mode: Replacement) -> list[NeuronSet]:
        return [
            NeuronSet("", Definition.AVERAGED, threshold, ALL_LAYERS, kind, draw, mode)
            for kind in kinds
            for draw in (range(draws) if kind.is_random else (NOT_RANDOM,))
        ]

    return sets(FAMILIES, "zero"), sets(PATCHED, "resample")


def set_members(wanted: NeuronSet, neurons: Population, unigram: Flags) -> Neurons:
    """The neurons of a set, in ascending order; ``unigram`` (neuron,) says who is of the family."""
    kind = wanted.neurons
    if not isinstance(kind, FamilyKind):
        return neurons.neurons(wanted)
    generator = named_generator((neurons.seed, neurons.model, str(kind), wanted.draw))
    return family_members(kind, neurons.universal(wanted), unigram, neurons.layer, generator)


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
