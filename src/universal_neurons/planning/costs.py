"""The cost of every stage of a suite at one step: work by kind, passes over the tokens, bytes held and written.

One pure function per stage, of plain numbers.  They mirror the stages of :mod:`universal_neurons.pipeline`.  A kind of
work is counted in operations of matrix products, in bytes moved, or in another unit of its own; how fast a device does
each kind is in :mod:`universal_neurons.planning.speeds`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from math import ceil, log
from typing import TYPE_CHECKING, Literal

from universal_neurons.core.tiling import Pass, Workload, layer_blocks, operations_per_token, passes
from universal_neurons.measures.profiles import WINDOW
from universal_neurons.pipeline.models import batch_rows
from universal_neurons.pipeline.passes import FORWARD_COPIES, shape_workload
from universal_neurons.workspace import ABLATION_BATCH_ROWS, UNIGRAM_RATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.inputs.catalogue import Architecture
    from universal_neurons.inputs.recipe import TrainingRecipe
    from universal_neurons.pipeline.neuron_sets import NeuronSet
    from universal_neurons.pipeline.variants import Setting

# Of a trained model's neurons, those whose excess passes the floor against some partner: a quarter in the mini suite.
CANDIDATE_SHARE = 0.25
# A neuron's row in a universality table without its further partners, and of each of them; before compression.
TABLE_BYTES, RANK_BYTES = 44, 10
# A set's row in a table of ablations; before compression.
SET_BYTES = 64
_SINGLE, _DOUBLE, _INDEX = 4, 8, 8

# Bytes that elementwise work moves, in the time that it takes, measured at the mini suite's shape on two cores:
# per activation that a pass brings, from its layer into the batch of all layers;
STREAMED_BYTES = 80
# per entry of a correlation matrix, from its moments to the best partners of its row (about twelve float64);
SCORED_BYTES = 96
# per candidate and token, both neurons standardised, multiplied and summed by block;
INFLUENCE_BYTES = 80
# per activation, its histogram, largest values and windows in both passes;
PROFILED_BYTES = 220
# per cosine of a neuron with a token, its moments and both ends;
COSINE_BYTES = 240
# per activation that is added to the sums of its token;
FAMILY_BYTES = 32
# per activation that is ablated in a layer above the first, in place;
EDITED_BYTES = 8
# per token of the vocabulary at one position: the divergence of an ablated run, and the probabilities of a clean one.
DIVERGENCE_BYTES, PROBABILITY_BYTES = 24, 100
# Operations, over the cubed width, in the time of as many of a float64 product.  Householder QR in float32 with its
# explicit Q has 8/3 (Golub & Van Loan, Matrix Computations, section 5.2), an eigendecomposition 9 (section 8.3): both
# are slower than products.
QR_OPERATIONS, EIGENVECTOR_OPERATIONS = 3, 18
# Characters that are read in the time in which one is encoded.
READ_CHARACTERS = 30


class WorkKind(StrEnum):
    """A kind of work and its unit."""

    FORWARD = "operations of models' blocks in float32"
    PRODUCT = "operations of accumulated products in the suite's precision"
    BASELINE = "operations of other products in float32"
    DOUBLE = "operations of products and factorisations in float64"
    MEMORY = "bytes moved by elementwise work"
    RANDOM = "random numbers drawn"
    TEXT = "characters of text encoded"
    LOADING = "bytes of models loaded"


OPERATIONS = (WorkKind.FORWARD, WorkKind.PRODUCT, WorkKind.BASELINE, WorkKind.DOUBLE)
Work = dict[WorkKind, float]


def summed(*parts: Mapping[WorkKind, float], times: float = 1) -> Work:
    """The work of all ``parts``, each done ``times`` times, without kinds of which there is none.

    >>> summed({WorkKind.TEXT: 2.0}, {WorkKind.TEXT: 1.0, WorkKind.RANDOM: 0.0}, times=3)
    {<WorkKind.TEXT: 'characters of text encoded'>: 9.0}
    """
    total: Work = {}
    for part in parts:
        for kind, amount in part.items():
            if amount:
                total[kind] = total.get(kind, 0.0) + times * amount
    return total


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one stage at one step.

    ``streamed_bytes``: activations that its passes bring; ``device_bytes`` and ``host_bytes``: the most held at a time,
    of what the device works on and of the rest, without the process itself; ``disk_bytes``: written at most, before
    compression.
    """

    work: Mapping[WorkKind, float]
    passes: int = 0
    streamed_bytes: int = 0
    device_bytes: int = 0
    host_bytes: int = 0
    disk_bytes: int = 0

    @property
    def operations(self) -> float:
        """Operations of matrix products of every kind, multiplication and addition counted apart."""
        return float(sum(self.work.get(kind, 0.0) for kind in OPERATIONS))


NOTHING = Cost({})


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a suite's models: ``mlp`` neurons in each of ``layers`` layers, rows of ``row`` positions."""

    layers: int
    width: int
    heads: int
    mlp: int
    vocabulary: int
    context: int
    row: int

    @classmethod
    def of(cls, recipe: Architecture | TrainingRecipe, *, row: int) -> Shape:
        """The shape of the models of a recipe or of the catalogue."""
        return cls(recipe.layers, recipe.width, recipe.heads, recipe.mlp, recipe.vocabulary, recipe.context, row)

    @property
    def neurons(self) -> int:
        """Neurons of a model."""
        return self.layers * self.mlp

    @property
    def block_weights(self) -> int:
        """Weights in the matrices of a block: attention's four and the two of the MLP."""
        return 4 * self.width**2 + 2 * self.width * self.mlp

    @property
    def parameters(self) -> int:
        """Weights of a model: its blocks, its embeddings of tokens and positions."""
        return self.layers * self.block_weights + (self.vocabulary + self.context) * self.width

    @property
    def loaded_bytes(self) -> int:
        """Bytes of a loaded model; the backend holds attention's input matrices a second time."""
        return _SINGLE * (self.parameters + 3 * self.layers * self.width**2)

    @property
    def block_operations(self) -> int:
        """Operations of a block at one position: its matrices, and attention over a row (no causal saving)."""
        return 2 * self.block_weights + 4 * self.row * self.width

    @property
    def forward_operations(self) -> int:
        """Operations up to the last activation at one position: the last block ends before its down projection."""
        return self.layers * self.block_operations - 2 * self.width * self.mlp

    @property
    def head_operations(self) -> int:
        """Operations of a product with the unembedding at one position."""
        return 2 * self.vocabulary * self.width


@dataclass(frozen=True, slots=True)
class Sizes:
    """The numbers of a suite and of its device from which all costs follow.

    ``models`` of the suite read ``positions`` positions to have ``tokens`` scored ones; ablations are judged on
    ``evaluated`` positions.  ``readers``: models that may read at a time on ``device`` (on a processor one per thread);
    ``budget``: bytes of it that a pass of all models may take.
    """

    shape: Shape
    models: int
    tokens: int
    positions: int
    evaluated: int
    device: Literal["cpu", "cuda"]
    readers: int
    budget: int

    @property
    def batch(self) -> int:
        """Positions in one forward pass over the suite's tokens."""
        return batch_rows(self.shape.row) * self.shape.row

    @property
    def token_bytes(self) -> int:
        """Bytes of the rows as they are stored and as models read them, of their mask, and of each token's block."""
        return self.positions * (2 + _INDEX + 1 + _INDEX)

    @property
    def sum_bytes(self) -> int:
        """Bytes of one sum over chunks of tokens."""
        return _DOUBLE if self.device == "cpu" else _SINGLE

    def activations(self, tokens: int, models: int = 1) -> int:
        """Bytes of the activations of ``models`` at ``tokens``."""
        return _SINGLE * tokens * self.shape.neurons * models

    def workload(self, models: int, pairs: Sequence[tuple[int, int]], *, groups: int, row: int) -> Workload:
        """The sums of passes over rows of ``row`` positions of so many ``models``, the shuffled one among them."""
        widths = ((self.shape.mlp,) * self.shape.layers,) * models
        weights, readers = self.shape.loaded_bytes * self.models, min(self.readers, models)
        return shape_workload(
            widths, pairs, groups=groups, row_length=row, weights=weights, device=self.device, readers=readers
        )


# The steps of a suite have the same passes, and finding the fewest takes a tenth of a second.
@lru_cache(maxsize=64)
def planned_passes(workload: Workload, budget: int) -> tuple[Pass, ...]:
    """The fewest passes within ``budget`` bytes; raises :class:`~universal_neurons.core.tiling.BudgetTooSmall`."""
    return passes(workload, budget)


def step_workload(
    sizes: Sizes,
    *,
    pairs: Sequence[tuple[int, int]],
    permuted: Sequence[tuple[int, int]],
    rotated: Sequence[tuple[int, int]],
) -> Workload:
    """The sums of the passes of a step: every scored pair, and the permuted reference as one more model.

    Pairs are two positions of models in the suite: the neurons of the first look for partners in the second.
    """
    both = {(min(pair), max(pair)) for pair in pairs} | {(partner, sizes.models) for _, partner in permuted}
    workload = sizes.workload(sizes.models + bool(permuted), sorted(both), groups=2, row=sizes.shape.row)
    return replace(workload, rotated_null=bool(rotated))


# --- stages ----------------------------------------------------------------------------------------------------------


def tokens_cost(sizes: Sizes, *, absent: Sequence[str], characters: tuple[int, float] | None) -> Cost:
    """Sampling the ``absent`` ones of the token sets ``corpus`` and ``evaluation``.

    ``characters``: of installed text that are read, and that are encoded; None for text of a hub, of which no time is
    known.
    """
    if not absent:
        return NOTHING
    row = sizes.shape.row
    positions = {"corpus": sizes.positions, "evaluation": sizes.evaluated}
    # Ids of 16 bits, the mask, and a row's domain.
    disk = sum(3 * positions[name] + positions[name] // row for name in absent)
    if characters is None:
        return Cost({}, disk_bytes=disk)
    read, encoded = characters
    text = {WorkKind.TEXT: encoded + read / READ_CHARACTERS}
    # The documents, and their tokens as Python's integers before they are an array.
    return Cost(summed(text, times=len(absent)), host_bytes=int(encoded) * 4, disk_bytes=disk)


def moments_cost(sizes: Sizes, workload: Workload) -> Cost:
    """The passes over the tokens that feed all pairs: loading the models, their forward passes, the products."""
    planned = planned_passes(workload, sizes.budget)
    return Cost(
        summed(_loading(sizes, sizes.models), _streaming(sizes, workload, planned, sizes.positions, sizes.tokens)),
        passes=len(planned),
        streamed_bytes=_streamed(sizes, planned, sizes.tokens),
        device_bytes=max(one.memory.streaming for one in planned),
        host_bytes=sizes.token_bytes,
    )


def universality_cost(
    sizes: Sizes,
    workload: Workload,
    *,
    pairs: Sequence[tuple[int, int]],
    permuted: Sequence[tuple[int, int]],
    rotated: Sequence[tuple[int, int]],
    rotation: str,
    draws: int,
    half_draws: int,
    top_k: int,
) -> Cost:
    """The scores of a step's tables and nulls: a partner is rotated once for all who look for it in a pass."""
    shape, neurons = sizes.shape, sizes.shape.neurons
    all_draws = draws + 2 * half_draws
    planned = planned_passes(workload, sizes.budget)
    scored = [*pairs, *permuted]
    parts = [summed(_scoring(sizes, all_draws, halves=True), times=len(scored) + len(rotated))]
    for partner in {partner for _, partner in scored}:
        layers = sum(len(one.layers(partner)) for one in planned)
        parts.append(_rotations(shape, rotation, layers, all_draws))
    # Both sides of both halves are really turned, in float64: the pair's matrix, and every layer with itself.
    turned = 4 * (2 * neurons**2 * shape.mlp + 2 * 2 * shape.layers * shape.mlp**3)
    null = summed({WorkKind.DOUBLE: float(turned)}, _rotations(shape, rotation, shape.layers, all_draws))
    parts.append(summed(null, times=len(rotated)))
    table = neurons * (TABLE_BYTES + RANK_BYTES * (top_k - 1))
    drawn = len(pairs) * neurons * draws * _SINGLE
    # Of every pair in the whole and in both halves, kept until the last pass is scored: its draws, its best partners
    # with their correlations, and the partners of a half in the other half.
    kept = neurons * (all_draws * _SINGLE + (top_k + 2) * (_DOUBLE + _INDEX) + 2 * _DOUBLE)
    return Cost(
        summed(*parts),
        device_bytes=max(one.memory.scoring for one in planned),
        # Once more while a pass is scored, so that nothing is taken in twice where memory runs out.
        host_bytes=sizes.token_bytes + 2 * (len(scored) + len(rotated)) * kept,
        disk_bytes=(len(scored) + len(rotated)) * table + drawn,
    )


def candidates_cost(sizes: Sizes, *, references: int, trained: bool, draws: int, blocks: int) -> Cost:
    """The second, cheap pass: the weight of each block of tokens in the candidates' scores, of so many references.

    Untrained models have no candidates.
    """
    if not references:
        return NOTHING
    each = round(sizes.shape.neurons * CANDIDATE_SHARE) if trained else 0
    selected = each * references * (sizes.models - 1)
    # Of one pair at a time both sides of its candidates, their products and their squares.
    standardised = 4 * _SINGLE * sizes.batch * each
    return Cost(
        summed(
            _forward(sizes, sizes.positions, models=sizes.models),
            {WorkKind.MEMORY: float(sizes.tokens * selected * INFLUENCE_BYTES)},
        ),
        passes=1,
        streamed_bytes=sizes.activations(sizes.tokens, sizes.models),
        device_bytes=sizes.models * sizes.shape.loaded_bytes + _batch_bytes(sizes, sizes.models) + standardised,
        # Products and squares per block, then the influences that they become.
        host_bytes=sizes.token_bytes + selected * blocks * 3 * _DOUBLE,
        disk_bytes=selected * (2 * blocks + _SINGLE * draws),
    )


def variants_cost(sizes: Sizes, *, settings: Sequence[Setting], rotation: str, padded_tokens: int) -> Cost:
    """The suite's reference under other tokens, paddings and rotations: two passes, and rotations for each.

    ``rotation``: the kind that whitened layers are turned by.
    """
    padded = [setting for setting in settings if setting.is_padded]
    plain = [setting for setting in settings if not setting.is_padded]
    pairs = [(0, other) for other in range(1, sizes.models)]
    context, row = sizes.shape.context, sizes.shape.row
    work: list[Work] = [_loading(sizes, sizes.models)]
    streamed, device, count = 0, 0, 0
    # Some mask wants every position, and most padding is counted.
    for part, row_length, positions in (
        (plain, row, sizes.positions),
        (padded, context, ceil(padded_tokens / context) * context),
    ):
        whitened = any(setting.baseline == "whitened" for setting in part)
        workload = sizes.workload(sizes.models, pairs, groups=_classes(part), row=row_length)
        planned = planned_passes(replace(workload, whitened=whitened), sizes.budget)
        work.append(_streaming(sizes, workload, planned, positions, positions))
        work.append(summed(_variant_scores(sizes, part, rotation), times=sizes.models - 1))
        streamed += _streamed(sizes, planned, positions)
        device, count = max(device, *(one.memory.total for one in planned)), count + len(planned)
    # The draws of every setting against every partner, and its best correlations.
    scores = (sizes.models - 1) * sizes.shape.neurons * sum(one.draws * _SINGLE + _DOUBLE for one in settings)
    return Cost(
        summed(*work),
        passes=count,
        streamed_bytes=streamed,
        device_bytes=device,
        # The classes of all positions are numbers, found from what every mask says of them.
        host_bytes=sizes.token_bytes + sizes.positions * (2 * _INDEX + 2 * len(settings)) + 2 * scores,
        disk_bytes=len(settings) * (sizes.models - 1) * sizes.shape.neurons * 2 * _SINGLE,
    )


def ablation_cost(sizes: Sizes, *, sets: Sequence[Sequence[NeuronSet]], blocks: int) -> Cost:
    """The ``sets`` of every ablated model: a clean run per batch, and the layers above for each set."""
    costs = [_model_ablation_cost(sizes, of_model, blocks) for of_model in sets]
    if not costs:
        return NOTHING
    return Cost(
        summed(*(cost.work for cost in costs)),
        streamed_bytes=sum(cost.streamed_bytes for cost in costs),
        device_bytes=max(cost.device_bytes for cost in costs),
        host_bytes=max(cost.host_bytes for cost in costs),
        disk_bytes=sum(cost.disk_bytes for cost in costs),
    )


def _model_ablation_cost(sizes: Sizes, sets: Sequence[NeuronSet], blocks: int) -> Cost:
    within = [one.layer for one in sets if one.layer >= 0]
    # Norms, and the means of what is ablated to its mean.
    forwards = 1 + any(one.mode == "mean" for one in sets)
    rows = sizes.evaluated // sizes.shape.row
    return Cost(
        summed(
            _loading(sizes, 1),
            _forward(sizes, forwards * sizes.evaluated),
            _clean(sizes, sizes.evaluated),
            _reruns(sizes, [0] * (len(sets) - len(within)), sizes.evaluated, edited=True),
            _reruns(sizes, within, sizes.evaluated),
        ),
        streamed_bytes=sizes.activations(sizes.evaluated) * (1 + forwards),
        device_bytes=sizes.shape.loaded_bytes + _clean_bytes(sizes, ABLATION_BATCH_ROWS),
        host_bytes=len(sets) * (sizes.shape.neurons * _INDEX // 2 + rows * 16),
        disk_bytes=len(sets) * (SET_BYTES + 2 * blocks * _SINGLE),
    )


def extensions_cost(sizes: Sizes, *, sets: int, unigram_bytes: int) -> Cost:
    """Families and patches of the suite's reference: a pass over the tokens, then so many ``sets`` ablated or patched.

    ``unigram_bytes``: held per neuron while activations are added by token.
    """
    evaluated, shape = sizes.evaluated, sizes.shape
    blocks = max(evaluated // shape.row // 2, 1)
    widths, within = (shape.mlp,) * shape.layers, sizes.budget - sizes.shape.loaded_bytes * sizes.models
    at_once = layer_blocks(widths, bytes_per_neuron=unigram_bytes, budget=within)
    sums = max(len(layers) for layers in at_once) * shape.mlp * unigram_bytes
    # Sums lie on the host.  Without a GPU the models run there too, but only when the sums are gone.
    beside = sizes.device == "cuda"
    return Cost(
        summed(
            _loading(sizes, 2),
            _forward(sizes, sizes.positions + evaluated),
            {WorkKind.MEMORY: float(sizes.tokens * shape.neurons * FAMILY_BYTES)},
            # A batch is run clean for what is ablated, and with its donors for what is patched.
            _clean(sizes, 3 * evaluated),
            _reruns(sizes, [0] * sets, evaluated, edited=True),
        ),
        passes=1,
        streamed_bytes=sizes.activations(sizes.tokens),
        device_bytes=2 * sizes.shape.loaded_bytes
        + max(_batch_bytes(sizes, 1), 0 if beside else sums, _clean_bytes(sizes, ABLATION_BATCH_ROWS, runs=2)),
        host_bytes=sizes.token_bytes + (sums if beside else 0),
        disk_bytes=sets * (SET_BYTES + 3 * blocks * _SINGLE) + shape.neurons * 2 * _SINGLE,
    )


def unigram_labels(vocabulary: int) -> int:
    """Tokens that are frequent enough for a label, and the rest as one.

    By Zipf's law the word of rank k is 1 / (k ln V) of a text.
    """
    return min(vocabulary, round(1 / (UNIGRAM_RATE * log(vocabulary)))) + 1


def profiles_cost(sizes: Sizes, *, models: int, top: int, bins: int, shown: int, ablation_rows: int) -> Cost:
    """The profiles of every neuron of so many ``models``: two passes, its weights, and its ablation alone."""
    if not models:
        return NOTHING
    shape, positions = sizes.shape, ablation_rows * sizes.shape.row
    alone = [layer for layer in range(shape.layers) for _ in range(shape.mlp)] if positions else []
    cosines = float(shape.neurons * shape.vocabulary)
    work = summed(
        _loading(sizes, 1),
        _forward(sizes, 2 * sizes.positions),
        {WorkKind.DOUBLE: 2 * shape.width * cosines},
        {WorkKind.MEMORY: sizes.tokens * shape.neurons * PROFILED_BYTES + cosines * COSINE_BYTES},
        _clean(sizes, positions),
        _reruns(sizes, alone, positions),
    )
    row = 80 + top * (10 + sum(WINDOW)) + 2 * bins + 16 * shown + 4 * ablation_rows
    # Weights of neurons and tokens in float64, as they are and as unit vectors.
    vectors = 2 * _DOUBLE * shape.width * (shape.vocabulary + 2 * shape.neurons)
    seen = shape.neurons * (bins * _INDEX + top * (sum(WINDOW) + 6) * _SINGLE)
    return Cost(
        summed(work, times=models),
        passes=2,
        streamed_bytes=2 * sizes.activations(sizes.tokens, models),
        device_bytes=sizes.shape.loaded_bytes
        + max(vectors, seen + _batch_bytes(sizes, 1), _clean_bytes(sizes, ablation_rows)),
        host_bytes=sizes.token_bytes + shape.neurons * row,
        disk_bytes=models * shape.neurons * row,
    )


# --- what stages are made of -----------------------------------------------------------------------------------------


def _loading(sizes: Sizes, models: int) -> Work:
    return {WorkKind.LOADING: float(_SINGLE * sizes.shape.parameters * models)}


def _forward(sizes: Sizes, positions: int, *, models: int = 1) -> Work:
    """The activations of ``models`` at ``positions``."""
    shape, count = sizes.shape, float(positions * models)
    return {
        WorkKind.FORWARD: count * shape.forward_operations,
        WorkKind.MEMORY: count * shape.neurons * STREAMED_BYTES,
    }


def _streaming(sizes: Sizes, workload: Workload, planned: Sequence[Pass], positions: int, tokens: int) -> Work:
    """Passes over ``positions`` of all models, and their products at ``tokens``."""
    products = sum(operations_per_token(workload, one.tiles) for one in planned) * tokens
    forward = _forward(sizes, positions, models=sizes.models)
    return summed(summed(forward, times=len(planned)), {WorkKind.PRODUCT: float(products)})


def _streamed(sizes: Sizes, planned: Sequence[Pass], tokens: int) -> int:
    layers = sum(len(one.layers(model)) for one in planned for model in range(sizes.models))
    return _SINGLE * tokens * layers * sizes.shape.mlp


def _clean(sizes: Sizes, positions: int) -> Work:
    """Clean runs with probabilities: the logits, and the mean of the unembedding under them."""
    shape = sizes.shape
    return {
        WorkKind.FORWARD: float(positions * shape.layers * shape.block_operations),
        WorkKind.BASELINE: float(positions * 2 * shape.head_operations),
        WorkKind.MEMORY: float(positions * shape.vocabulary * PROBABILITY_BYTES),
    }


def _reruns(sizes: Sizes, firsts: Sequence[int], positions: int, *, edited: bool = False) -> Work:
    """One ablated run per set, upwards from its first layer in ``firsts``; ``edited``: the layers above are ablated
    too."""
    shape, runs = sizes.shape, positions * len(firsts)
    blocks = positions * sum(shape.layers - 1 - first for first in firsts)
    edits = blocks * shape.mlp * EDITED_BYTES if edited else 0
    return {
        WorkKind.FORWARD: float(blocks * shape.block_operations),
        WorkKind.BASELINE: float(runs * shape.head_operations),
        WorkKind.MEMORY: float(edits + runs * shape.vocabulary * DIVERGENCE_BYTES),
    }


def _scoring(sizes: Sizes, draws: int, *, halves: bool, top: bool = True) -> Work:
    """All neurons of a model scored against another with ``draws`` rotations of it, without making the rotations.

    ``halves``: the halves of the tokens are scored beside the whole; ``draws`` are the sum over all of them.  ``top``:
    partners are searched too.
    """
    matrix, scored = sizes.shape.neurons**2, 3 if halves else 1
    added = matrix * 3 * sizes.sum_bytes * (scored if halves else 0)
    return {
        WorkKind.MEMORY: float(added + (matrix * scored * SCORED_BYTES if top else 0)),
        WorkKind.BASELINE: float(2 * matrix * sizes.shape.mlp * draws),
    }


def _rotations(shape: Shape, kind: str, layers: int, draws: int) -> Work:
    """``draws`` rotations of as many ``layers``, with unit variance; each is drawn anew, though some are kept."""
    squares = float(layers * draws * shape.mlp**2)
    per_entry = shape.mlp * (2 + (QR_OPERATIONS if kind == "orthogonal" else 0))
    return {WorkKind.RANDOM: squares, WorkKind.DOUBLE: squares * per_entry}


def _variant_scores(sizes: Sizes, settings: Sequence[Setting], rotation: str) -> Work:
    """The scores of ``settings`` against one partner: one correlation matrix per mask, rotations per kind."""
    shape, matrix, cubes = sizes.shape, sizes.shape.neurons**2, sizes.shape.layers * sizes.shape.mlp**3
    work: list[Work] = []
    for mask in {setting.mask for setting in settings}:
        masked = [setting for setting in settings if setting.mask == mask]
        added = 3 * sizes.sum_bytes * _classes(settings)
        work.append({WorkKind.MEMORY: float(matrix * (added + SCORED_BYTES))})
        for baseline in {setting.baseline for setting in masked}:
            draws = max(setting.draws for setting in masked if setting.baseline == baseline)
            kind = rotation if baseline == "whitened" else baseline
            work += [
                _rotations(shape, kind, shape.layers, draws),
                _scoring(sizes, draws, halves=False, top=False),
            ]
            if baseline == "whitened":
                turned = 2 * matrix * shape.mlp + 3 * 2 * cubes
                work.append({WorkKind.DOUBLE: float(turned + EIGENVECTOR_OPERATIONS * cubes)})
    return summed(*work)


def _classes(settings: Sequence[Setting]) -> int:
    """Disjoint classes of tokens that the settings' masks are made of: about as many as there are masks."""
    return len({setting.mask for setting in settings})


def _batch_bytes(sizes: Sizes, models: int) -> int:
    """One batch of activations of ``models``, and what the models that read at a time hold beside: a layer that is
    computed, and all layers as they are caught and beside each other."""
    reading = 2 * sizes.activations(sizes.batch) + FORWARD_COPIES * _SINGLE * sizes.batch * sizes.shape.mlp
    return sizes.activations(sizes.batch, models) + min(sizes.readers, models) * reading


def _clean_bytes(sizes: Sizes, rows: int, *, runs: int = 1) -> int:
    """Bytes that a clean run over ``rows`` rows keeps: residuals, activations, probabilities and expectations."""
    shape, positions = sizes.shape, rows * sizes.shape.row
    kept = shape.layers * (2 * shape.width + 2 * shape.mlp) + 4 * shape.vocabulary + 4 * shape.width
    return runs * _SINGLE * positions * kept + _SINGLE * shape.vocabulary * shape.width
