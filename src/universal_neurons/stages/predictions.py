"""Neurons by what they write into the vocabulary: prediction, suppression and partition neurons, and the next token.

Moments of the cosines of output weights with the unembedding are in the table of properties; here is what they are
compared with: random directions, the same neurons with the unembedding's coordinates permuted, the vocabulary without
rare tokens, and neurons that were planted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.measures.predictions import PredictionTables
from universal_neurons.measures.profiles import rounded
from universal_neurons.stages import costs
from universal_neurons.stages.base import (
    Case,
    Reader,
    example_count,
    example_dice,
    example_neurons,
    neuron_columns,
    step_of,
)
from universal_neurons.stages.model_table import RelativeTable
from universal_neurons.stages.models import finite_activations, loaded, read_batches
from universal_neurons.stages.neuron_sets import named_generator
from universal_neurons.stages.tokens import token_set

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import Tensor

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.core.predictions import NextTokenTest, PlantedNeurons, VocabularyWriting
    from universal_neurons.ids import ModelRef
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace

# Random directions, whose 99.9th percentile is a threshold, and planted neurons: half of them suppress.
DIRECTIONS, PLANTED = 4096, 64
# Tokens that a planted neuron fires before.
PLANTED_SET = 5
# A set has at most so many tokens (Gurnee et al. show ten), each at least so many standard deviations out.
SHOWN, BOUND = 10, 3.0
# A rare token occurs less often than this; a planted neuron fires before tokens that occur at least so often.
RARE, OFTEN = 5, 20
# Standard deviations by which a planted neuron is more active before its tokens: an area of 0.58.
SHIFT = 0.3
MOMENTS = ("kurtosis", "skewness", "variance")
COMMON, PERMUTED = (tuple(f"{kind}_{name}" for name in MOMENTS) for kind in ("common", "permuted"))
TESTED = ("members", "positives", "auc", "matched_auc")
COLUMNS = (*MOMENTS, *COMMON, *PERMUTED, *TESTED)
BITS = 16
# Bytes moved per activation in the time of its ranks and of looking its next token up in two sets.
RANKED_BYTES, COSINE_BYTES = 400, 60


class Predictions(RelativeTable):
    """The writing of all neurons of a model at the last checkpoint."""

    name: ClassVar[str] = "predictions"
    in_first_look: ClassVar[bool] = False
    parts: ClassVar[tuple[str, ...]] = ("predictions", "predictions-directions", "predictions-planted")
    tolerance: ClassVar[float] = 1e-3

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The model, and what is drawn."""
        return {
            "model": case.model,
            "step": case.step,
            "directions": DIRECTIONS,
            "planted": PLANTED,
            "planted_set": PLANTED_SET,
            "shown": SHOWN,
            "bound": BOUND,
            "rare": RARE,
            "often": OFTEN,
            "shift": SHIFT,
            "seed": work.suite.universality.seed,
            "dtype": "float32",
        }

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of one pass with ranks, and of cosines of neurons, thrice, and directions with the vocabulary."""
        shape = sizes.shape
        cosines = float((3 * shape.neurons + DIRECTIONS + PLANTED) * shape.vocabulary)
        vectors = 3 * costs.DOUBLE * shape.width * (shape.vocabulary + 2 * shape.neurons)
        ranks = 2 * sizes.batch * shape.neurons
        row = 6 + 4 * len(COLUMNS)
        return costs.per_case(
            sizes,
            cases,
            costs.forward(sizes, sizes.positions),
            {costs.WorkKind.DOUBLE: 2 * shape.width * cosines},
            {costs.WorkKind.MEMORY: sizes.tokens * shape.neurons * RANKED_BYTES + cosines * COSINE_BYTES},
            device=max(vectors, costs.batch_bytes(sizes, 1) + ranks),
            host=shape.neurons * row,
            disk=shape.neurons * row + DIRECTIONS * 24,
        )

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """The writing of one model."""
        from universal_neurons.core.predictions import vocabulary_writing
        from universal_neurons.core.weights import folded_weights

        ref = work.model(case.model, step_of(case))
        bridge = loaded(work, ref)
        weights, text = folded_weights(bridge), _Text(work)
        drawn = _Drawn(work, weights.unembedding, text)
        own = _written(weights.w_out, weights.unembedding)
        planted = _written(drawn.planted.directions, weights.unembedding)
        tests = _tested(work, ref, bridge, text, drawn, (own, planted))
        columns = _moments("", own) | _moments("common_", _written(weights.w_out, text.common(weights.unembedding)))
        permuted = vocabulary_writing(weights.w_out[:, drawn.order], weights.unembedding, shown=1, bound=BOUND)
        columns |= _moments("permuted_", permuted) | tests[0]
        directions = _moments("", _written(drawn.directions, weights.unembedding))
        directions |= _moments("common_", _written(drawn.directions, text.common(weights.unembedding)))
        return {
            self.parts[0]: pd.DataFrame(neuron_columns(work) | _stored(columns)),
            self.parts[1]: pd.DataFrame(_stored(directions)),
            self.parts[2]: pd.DataFrame(_stored(_moments("", planted) | tests[1])),
        }

    def read(self, reader: Reader, work: Workspace, case: Case) -> PredictionTables:
        """The neurons, random directions and planted neurons."""
        neurons, directions, planted = (one.table for one in reader(self, case))
        return PredictionTables(neurons, directions, planted, level=work.suite.resampling.level)

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up writing."""
        dice = example_dice(case)

        def columns(names: Sequence[str], count: int) -> dict[str, Any]:
            return _stored({name: dice.uniform(0.1, 1.0, count) for name in names})

        return {
            self.parts[0]: pd.DataFrame({**example_neurons(work), **columns(COLUMNS, example_count(work))}),
            self.parts[1]: pd.DataFrame(columns((*MOMENTS, *COMMON), DIRECTIONS)),
            self.parts[2]: pd.DataFrame(columns((*MOMENTS, *TESTED), PLANTED)),
        }


PREDICTIONS = Predictions()


class _Text:
    """The scored tokens that have a next one in their row, the next one, and how often each token is next."""

    def __init__(self, work: Workspace) -> None:
        import torch

        tokens = token_set(work)
        self.rows: Any = tokens.rows.astype(np.int64)
        # The last token of a row is followed by nothing that belongs to it.
        self.mask: Any = tokens.mask & (np.arange(tokens.mask.shape[1]) < tokens.mask.shape[1] - 1)
        self.following = torch.from_numpy(np.roll(self.rows, -1, axis=1)[self.mask])
        self.counts = torch.bincount(self.following, minlength=work.zoo.recipe().vocabulary)

    def common(self, unembedding: Tensor) -> Tensor:
        """The unembedding of tokens that are not rare, and 0 for the others, which no moment counts."""
        return unembedding * (self.counts >= RARE).to(unembedding)[:, None]


class _Drawn:
    """All that is drawn: directions, planted neurons, and an order of the coordinates of the residual stream."""

    def __init__(self, work: Workspace, unembedding: Tensor, text: _Text) -> None:
        import torch

        from universal_neurons.core.predictions import PlantedNeurons, random_directions

        self._seed = work.suite.universality.seed
        self.order = torch.randperm(unembedding.shape[1], generator=self.generator("order"))
        self.directions = random_directions(DIRECTIONS, unembedding, generator=self.generator("directions"))
        # A text too short for its tokens to be frequent has the most frequent ones.
        often = text.counts.topk(max(PLANTED_SET, int((text.counts >= OFTEN).sum()))).indices.to(unembedding.device)
        self.planted: PlantedNeurons = PlantedNeurons.drawn(
            unembedding, often, count=PLANTED, size=PLANTED_SET, generator=self.generator("planted")
        )

    def generator(self, purpose: str) -> torch.Generator:
        """A generator of its own for each purpose."""
        import torch

        seed = int(named_generator(("predictions", self._seed, purpose)).integers(2**62))
        return torch.Generator().manual_seed(seed)


def _written(directions: Tensor, unembedding: Tensor) -> VocabularyWriting:
    from universal_neurons.core.predictions import vocabulary_writing

    known = int(unembedding.any(1).sum())
    return vocabulary_writing(directions, unembedding, shown=min(SHOWN, known), bound=BOUND)


def _moments(prefix: str, found: VocabularyWriting) -> dict[str, Any]:
    moments = found.moments
    columns = (moments.kurtosis, moments.skewness, moments.variance)
    return {prefix + name: column.cpu().numpy() for name, column in zip(MOMENTS, columns, strict=True)}


def _stored(columns: Mapping[str, Any]) -> dict[str, Any]:
    counts = {"members", "positives"}
    return {
        name: values.astype(np.int32) if name in counts else rounded(values, bits=BITS).astype(np.float32)
        for name, values in columns.items()
    }


def _tested(
    work: Workspace, ref: ModelRef, bridge: Any, text: _Text, drawn: _Drawn, written: Sequence[VocabularyWriting]
) -> list[dict[str, Any]]:
    """The columns :data:`TESTED` of the model's neurons and of the planted ones."""
    from universal_neurons.core.activations import layer_widths
    from universal_neurons.core.predictions import NextTokenTest, equally_frequent, membership, next_token_tests

    device, counts = next(bridge.parameters()).device, text.counts
    sets = [one.members for one in written]
    matched = [equally_frequent(one, counts.to(device), generator=drawn.generator("matched")) for one in sets]
    tables = [[membership(one, len(counts)) for one in both] for both in zip(sets, matched, strict=True)]
    found = [[NextTokenTest.empty(len(one), device=device)] * 2 for one in sets]
    noise, start = drawn.generator("activations"), 0
    work.progress.start(f"step {ref.step}: next tokens of {ref.name}", len(text.following))
    with finite_activations(ref, layer_widths(bridge)):
        for batch in read_batches(work, bridge, text.rows, text.mask):
            following = text.following[start : start + len(batch)].to(device)
            start += len(batch)
            made = drawn.planted.activations(following, shift=SHIFT, generator=noise)
            for place, values in enumerate((batch.values, made)):
                tests = next_token_tests(values, [table[following] for table in tables[place]])
                found[place] = [one + more for one, more in zip(found[place], tests, strict=True)]
            del batch, values
    work.progress.finish()
    return [_test_columns(members, *tests) for members, tests in zip(sets, found, strict=True)]


def _test_columns(members: Tensor, own: NextTokenTest, matched: NextTokenTest) -> dict[str, Any]:
    columns = ((members >= 0).sum(1), own.positives, own.auc, matched.auc)
    return {name: column.cpu().numpy() for name, column in zip(TESTED, columns, strict=True)}
