"""Costs of stages: work by kind, passes over the tokens, bytes held and written.

A kind of work is counted in operations of matrix products, in bytes moved, or in another unit of its own; how fast a
device does each kind is in :mod:`universal_neurons.stages.speeds`.  Each stage adds up its cost from the parts below.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import log
from typing import TYPE_CHECKING, Literal

from universal_neurons.core.tiling import Pass, Workload, layer_blocks, operations_per_token, passes
from universal_neurons.stages.batches import FORWARD_COPIES, batch_rows, shape_workload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.inputs.catalogue import Architecture
    from universal_neurons.inputs.recipe import TrainingRecipe

# A set's row in a table of ablations; before compression.
SET_BYTES = 64
SINGLE, DOUBLE, INDEX = 4, 8, 8

# Bytes that elementwise work moves, in the time that it takes, measured at the mini suite's shape on two cores:
# per activation that a pass brings, from its layer into the batch of all layers and into the sums, on a GPU as counted
# by tests/bench/roofline.py in bfloat16;
STREAMED_BYTES = {"cpu": 80, "cuda": 55}
# per entry of a correlation matrix, from its moments to the best partners of its row (about twelve float64);
SCORED_BYTES = 96
# per activation that is ablated in a layer above the first, in place;
EDITED_BYTES = 8
# per width of the residual stream in a block whose products are TF32, and no longer hide it: layer norms, attention's
# and the MLP's activations as they are written and read again;
BLOCK_BYTES = 140
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
    TENSOR = "operations of models' blocks and outputs in TF32"
    PRODUCT = "operations of accumulated products in the suite's precision"
    BASELINE = "operations of other products in float32"
    DOUBLE = "operations of products and factorisations in float64"
    MEMORY = "bytes moved by elementwise work"
    RANDOM = "random numbers drawn"
    TEXT = "characters of text encoded"
    LOADING = "bytes of models loaded"


OPERATIONS = (WorkKind.FORWARD, WorkKind.TENSOR, WorkKind.PRODUCT, WorkKind.BASELINE, WorkKind.DOUBLE)
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

    ``device_bytes`` and ``host_bytes``: the most held at a time, of what the device works on and of the rest, without
    the process itself; ``disk_bytes``: written at most, before compression.
    """

    work: Mapping[WorkKind, float]
    passes: int = 0
    device_bytes: int = 0
    host_bytes: int = 0
    disk_bytes: int = 0

    @property
    def operations(self) -> float:
        """Operations of matrix products of every kind, multiplication and addition counted apart."""
        return float(sum(self.work.get(kind, 0.0) for kind in OPERATIONS))


def per_case(
    sizes: Sizes,
    cases: Sequence[object],
    *parts: Mapping[WorkKind, float],
    device: int,
    host: int,
    disk: int,
    models: int = 1,
    passes: int = 1,
) -> Cost:
    """The cost of ``cases`` one after the other, each of loading ``models`` and of the work of ``parts``.

    ``device``: bytes held beside the models; ``host``: beside the tokens; ``disk``: written of each case.
    """
    one = summed(loading(sizes, models), *parts)
    return Cost(
        summed(one, times=len(cases)),
        passes=passes,
        device_bytes=models * sizes.shape.loaded_bytes + device,
        host_bytes=sizes.token_bytes + host,
        disk_bytes=len(cases) * disk,
    )


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
        return SINGLE * (self.parameters + 3 * self.layers * self.width**2)

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
    ``budget``: bytes of it that a pass of all models may take; ``tf32``: ablated models compute in TF32.
    """

    shape: Shape
    models: int
    tokens: int
    positions: int
    evaluated: int
    device: Literal["cpu", "cuda"]
    readers: int
    budget: int
    tf32: bool = False

    @property
    def batch(self) -> int:
        """Positions in one forward pass over the suite's tokens."""
        return batch_rows(self.shape.row) * self.shape.row

    @property
    def token_bytes(self) -> int:
        """Bytes of the rows as they are stored and as models read them, of their mask, and of each token's block."""
        return self.positions * (2 + INDEX + 1 + INDEX)

    @property
    def sum_bytes(self) -> int:
        """Bytes of one sum over chunks of tokens."""
        return DOUBLE if self.device == "cpu" else SINGLE

    def activations(self, tokens: int, models: int = 1) -> int:
        """Bytes of the activations of ``models`` at ``tokens``."""
        return SINGLE * tokens * self.shape.neurons * models

    def layer_blocks(self, bytes_per_neuron: int) -> tuple[tuple[range, ...], int]:
        """The layers of a model by how many fit beside the weights of all, and the bytes of the largest block."""
        shape, free = self.shape, self.budget - self.shape.loaded_bytes * self.models
        blocks = layer_blocks((shape.mlp,) * shape.layers, bytes_per_neuron=bytes_per_neuron, budget=free)
        return blocks, max(map(len, blocks)) * shape.mlp * bytes_per_neuron

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


def loading(sizes: Sizes, models: int) -> Work:
    """As many models loaded."""
    return {WorkKind.LOADING: float(SINGLE * sizes.shape.parameters * models)}


def forward(sizes: Sizes, positions: int, *, models: int = 1) -> Work:
    """The activations of all layers of ``models`` at ``positions``."""
    return summed(reading(sizes, positions, range(sizes.shape.layers)), times=models)


def reading(sizes: Sizes, positions: int, layers: Sequence[int]) -> Work:
    """The activations of some layers of a model, in ascending order; the forward pass ends at the last of them."""
    shape, count = sizes.shape, float(positions)
    above = (shape.layers - 1 - layers[-1]) * shape.block_operations
    return {
        WorkKind.FORWARD: count * (shape.forward_operations - above),
        WorkKind.MEMORY: count * len(layers) * shape.mlp * STREAMED_BYTES[sizes.device],
    }


def streaming(sizes: Sizes, workload: Workload, planned: Sequence[Pass], positions: int, tokens: int) -> Work:
    """Passes over ``positions`` of the models whose layers they need, and their products at ``tokens``."""
    products = sum(operations_per_token(workload, each.tiles) for each in planned) * tokens
    read = (reading(sizes, positions, layers) for each in planned for layers in _read_layers(sizes, each))
    return summed(*read, {WorkKind.PRODUCT: float(products)})


def _read_layers(sizes: Sizes, one: Pass) -> list[list[int]]:
    """The layers that a pass reads of each model; the one that is read once more, shuffled, counts as the first."""
    wanted = [set(one.layers(model)) for model in range(sizes.models)]
    wanted[0].update(one.layers(sizes.models))
    return [sorted(layers) for layers in wanted if layers]


def clean(sizes: Sizes, positions: int) -> Work:
    """Clean runs with probabilities: the logits, and the mean of the unembedding under them."""
    run = _run(sizes, positions * sizes.shape.layers, 2 * positions)
    return summed(run, {WorkKind.MEMORY: float(positions * sizes.shape.vocabulary * PROBABILITY_BYTES)})


def _run(sizes: Sizes, blocks: int, heads: int) -> Work:
    """The products of so many blocks and unembeddings of models that are ablated."""
    shape = sizes.shape
    operations, outputs = float(blocks * shape.block_operations), float(heads * shape.head_operations)
    if not sizes.tf32:
        return {WorkKind.FORWARD: operations, WorkKind.BASELINE: outputs}
    return {WorkKind.TENSOR: operations + outputs, WorkKind.MEMORY: float(blocks * shape.width * BLOCK_BYTES)}


def reruns(sizes: Sizes, firsts: Sequence[int], positions: int, *, edited: bool = False) -> Work:
    """One ablated run per set, upwards from its first layer in ``firsts``; ``edited``: the layers above are ablated
    too."""
    shape, runs = sizes.shape, positions * len(firsts)
    blocks = positions * sum(shape.layers - 1 - first for first in firsts)
    edits = blocks * shape.mlp * EDITED_BYTES if edited else 0
    moved = float(edits + runs * shape.vocabulary * DIVERGENCE_BYTES)
    return summed(_run(sizes, blocks, runs), {WorkKind.MEMORY: moved})


def scoring(sizes: Sizes, draws: int) -> Work:
    """All neurons of a model scored against another, over all tokens and over each half, with the baseline.

    ``draws``: rotations over all three.
    """
    moved = 3 * sizes.shape.neurons**2 * (3 * sizes.sum_bytes + SCORED_BYTES)
    return {WorkKind.MEMORY: float(moved)} | baseline(sizes, draws)


def baseline(sizes: Sizes, draws: int) -> Work:
    """All neurons of a model correlated with ``draws`` rotations of another, without making the rotations."""
    return {WorkKind.BASELINE: float(2 * sizes.shape.neurons**2 * sizes.shape.mlp * draws)}


def rotations(shape: Shape, kind: str, layers: int, draws: int) -> Work:
    """``draws`` rotations of as many ``layers``, with unit variance; each is drawn anew, though some are kept."""
    squares = float(layers * draws * shape.mlp**2)
    per_entry = shape.mlp * (2 + (QR_OPERATIONS if kind == "orthogonal" else 0))
    return {WorkKind.RANDOM: squares, WorkKind.DOUBLE: squares * per_entry}


def frequent_tokens(vocabulary: int, rate: float) -> int:
    """About how many tokens make up at least ``rate`` of a text each.

    By Zipf's law the word of rank k is 1 / (k ln V) of a text.
    """
    return min(vocabulary, round(1 / (rate * log(vocabulary))))


def batch_bytes(sizes: Sizes, models: int) -> int:
    """One batch of activations of ``models``, and what the models that read at a time hold beside: a layer that is
    computed, and all layers as they are caught and beside each other."""
    reading = 2 * sizes.activations(sizes.batch) + FORWARD_COPIES * SINGLE * sizes.batch * sizes.shape.mlp
    return sizes.activations(sizes.batch, models) + min(sizes.readers, models) * reading


def clean_bytes(sizes: Sizes, rows: int, *, runs: int = 1) -> int:
    """Bytes that a clean run over ``rows`` rows keeps: residuals, activations, probabilities and expectations."""
    shape, positions = sizes.shape, rows * sizes.shape.row
    kept = shape.layers * (2 * shape.width + 2 * shape.mlp) + 4 * shape.vocabulary + 4 * shape.width
    return runs * SINGLE * positions * kept + SINGLE * shape.vocabulary * shape.width
