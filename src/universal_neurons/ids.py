"""Names of models, corpora, neurons and rotations.  Equal names mean equal values, forever."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

# The kinds of random rotations that a baseline is made of; core.nulls draws them.
Rotation = Literal["gaussian", "orthogonal"]
_NEURON = re.compile(r"L(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class NeuronId:
    """One MLP neuron by zero-based layer and index; ``L5.1203`` is its only spelling.

    >>> NeuronId.parse("L5.1203")
    NeuronId(layer=5, index=1203)
    >>> str(NeuronId(5, 1203))
    'L5.1203'
    """

    layer: int
    index: int

    def __str__(self) -> str:
        return f"L{self.layer}.{self.index}"

    @classmethod
    def parse(cls, text: str) -> NeuronId:
        """The neuron spelled ``text``; raises ValueError for any other spelling."""
        match = _NEURON.fullmatch(text)
        if match is None:
            raise ValueError(f"not a neuron: {text!r}; expected a spelling like L5.1203")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True, order=True)
class ModelRef:
    """One set of weights: model ``name`` (a letter in a suite), where it comes from, its training step, its digest.

    ``source`` is a hub repository with its commit or a folder of fixtures.  ``digest`` is the sha256 of the weights and
    enters every key: a loader that returns the same weights under two labels is noticed instead of believed.
    """

    name: str
    source: str
    step: int
    digest: str

    def __str__(self) -> str:
        return f"{self.name}@{self.step}"


@dataclass(frozen=True, slots=True, order=True)
class CorpusRef:
    """One set of scored tokens: corpus, revision, tokenizer, row length, mask policy, count, sha256 of the rows."""

    name: str
    revision: str
    tokenizer: str
    row_length: int
    mask: str
    tokens: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}:{self.tokens}"
