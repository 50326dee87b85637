"""Kinds of work: what the time of a computation is made of, each in a unit of its own.

This module decides what is counted and how many operations a unit has.  It refuses to know how long a unit takes: that
is measured on the device (:mod:`universal_neurons.planning.calibration`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from collections.abc import Mapping

    from universal_neurons.inputs.catalogue import Architecture
    from universal_neurons.inputs.recipe import TrainingRecipe


class Effort(StrEnum):
    """A kind of work and its unit."""

    READING = "characters of text read"
    ENCODING = "characters of text encoded"
    LOADING = "parameters of models loaded"
    FORWARD = "positions run up to the last activation"
    ABREAST = "positions run by all models of a step, model by model"
    PRODUCT = "operations of accumulated products"
    ADDITION = "entries of moments added"
    SCORE = "entries of correlation matrices searched"
    RANDOM = "entries of random layers drawn"
    TURN = "cubed widths of random layers that get unit variance"
    ORTHOGONAL = "cubed widths of factorised random layers"
    SEARCH = "operations of products with random directions"
    DOUBLE = "operations of products in float64"
    WHITENING = "cubed widths of decomposed covariances"
    INFLUENCE = "activations of candidates, token by token"
    CLEAN = "positions run clean, with probabilities"
    BLOCK = "positions run again, block by block"
    EDIT = "positions edited, block by block"
    HEAD = "positions whose divergence is taken"
    PROFILE = "activations looked at twice"
    VOCABULARY = "cosines of neurons with tokens"
    FAMILY = "activations added by token"


Efforts = dict[Effort, float]


def together(*parts: Mapping[Effort, float], times: float = 1) -> Efforts:
    """The efforts of all ``parts``, each done ``times`` times; what there is nothing of is left out.

    >>> together({Effort.SCORE: 2.0}, {Effort.SCORE: 1.0, Effort.TURN: 0.0}, times=3)
    {<Effort.SCORE: 'entries of correlation matrices searched'>: 9.0}
    """
    summed: Efforts = {}
    for part in parts:
        for effort, amount in part.items():
            if amount:
                summed[effort] = summed.get(effort, 0.0) + times * amount
    return summed


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
        """The shape that a zoo's recipe or the catalogue of models has."""
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
    def block_operations(self) -> int:
        """Operations of a block at one position: its matrices, and attention over a row (no causal saving)."""
        return 2 * self.block_weights + 4 * self.row * self.width

    @property
    def head_operations(self) -> int:
        """Operations of a product with the unembedding at one position."""
        return 2 * self.vocabulary * self.width

    def operations(self, effort: Effort) -> int:
        """Operations of matrix products in one unit of ``effort``, multiplication and addition counted apart.

        Elementwise work and what only moves data count 0: their time is that of the memory.
        """
        match effort:
            case Effort.FORWARD | Effort.ABREAST:
                # The last block ends before its down projection.
                return self.layers * self.block_operations - 2 * self.width * self.mlp
            case Effort.CLEAN:
                # The logits, and the expectation of the unembedding under them.
                return self.layers * self.block_operations + 2 * self.head_operations
            case Effort.BLOCK:
                return self.block_operations
            case Effort.HEAD:
                return self.head_operations
            case Effort.PRODUCT | Effort.SEARCH | Effort.DOUBLE:
                return 1
            case Effort.TURN:
                return 2
            case Effort.ORTHOGONAL:
                # Householder QR and its explicit Q: 4/3 each (Golub & Van Loan, Matrix Computations, section 5.2).
                return 3
            case Effort.WHITENING:
                # Eigenvalues and vectors of a symmetric matrix (the same, section 8.3).
                return 9
            case Effort.VOCABULARY:
                return 2 * self.width
            case (
                Effort.READING
                | Effort.ENCODING
                | Effort.LOADING
                | Effort.ADDITION
                | Effort.SCORE
                | Effort.RANDOM
                | Effort.INFLUENCE
                | Effort.EDIT
                | Effort.PROFILE
                | Effort.FAMILY
            ):
                return 0
            case _:
                assert_never(effort)

    def total_operations(self, efforts: Mapping[Effort, float]) -> float:
        """Operations of all ``efforts``."""
        return float(sum(self.operations(effort) * amount for effort, amount in efforts.items()))


def scoring(shape: Shape, draws: int, *, halves: bool, top: bool = True) -> Efforts:
    """All neurons of a model scored against another with ``draws`` rotations of it, without making the rotations.

    ``halves``: of the tokens, which are scored beside the whole; ``draws`` are those of all of them together.  ``top``:
    whether partners are searched too.
    """
    matrix = shape.neurons**2
    return {
        Effort.ADDITION: float(matrix * (3 if halves else 0)),
        Effort.SCORE: float(matrix * (3 if halves else 1)) if top else 0.0,
        Effort.SEARCH: float(2 * matrix * shape.mlp * draws),
    }


def turning(shape: Shape, kind: str, layers: int, draws: int) -> Efforts:
    """``draws`` rotations of as many ``layers``; each is drawn anew, though some are kept."""
    squares = float(layers * draws * shape.mlp**2)
    cubes = squares * shape.mlp
    return {Effort.RANDOM: squares, Effort.TURN: cubes, Effort.ORTHOGONAL: cubes if kind == "orthogonal" else 0.0}
