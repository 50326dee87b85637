"""Precisions: the mutual best pairs of the reference and a partner where sums of products are kept in fewer bits."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.measures.precisions import PairsBySums
from universal_neurons.measures.profiles import rounded_columns
from universal_neurons.stages import costs
from universal_neurons.stages.base import Case, Reader, example_dice, own_pairs, step_of
from universal_neurons.stages.comparison import Comparison, column_differences
from universal_neurons.stages.models import LoadedModels, finite_activations
from universal_neurons.stages.tokens import TokenTable, corpus_ref

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.core.moments import NeuronSpread
    from universal_neurons.stages.base import Artifacts
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace

# Positions of a batch, after which sums are rounded: four rows of 256, as avdravid/rosetta-neuron-scaling reads them.
BATCH_POSITIONS = 1024
# Of a larger suite the first tokens alone are read: sums in bfloat16 only become worse with more, and on all of GPT-2
# Medium's the pairs would take two weeks of an H200.
MOST_TOKENS = 200_000
# Bytes per pair of neurons: the sums of every kind, two products, and the correlations of two kinds while they are
# compared.
PAIR_BYTES = (8 + 8 + 4 + 4 + 2) + 2 * 4 + 2 * 8
KINDS = ("exact", "float32", "operands", "bfloat16", "half")
COUNTS, CORRELATIONS = ("pairs", "found", "kept"), ("correlation", "error")
# Significant bits of a correlation.  Between two processors products differ in their last bits, and a sum near the
# middle of two numbers of bfloat16 goes the other way: by how much a recomputed correlation, and by which share of all
# pairs a recomputed count may differ.
BITS, TOLERANCE, MOVED = 16, 5e-3, 0.01


class Precisions(TokenTable):
    """The mutual best pairs of the suite's reference and every partner at the last checkpoint."""

    name: ClassVar[str] = "precisions"
    in_first_look: ClassVar[bool] = False
    subject: ClassVar[str] = "{case.model} and {case.partner}"

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """The suite's reference and every partner, at the last step."""
        return own_pairs(work, Case(work.last_step, work.reference))

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The models, their step, after how many positions sums are rounded, and how many tokens if not all."""
        return {
            "model": case.model,
            "partner": case.partner,
            "step": case.step,
            "sums": list(KINDS),
            "batch_positions": BATCH_POSITIONS,
            "dtype": "float32",
            **({"tokens": MOST_TOKENS} if work.suite.corpus.tokens > MOST_TOKENS else {}),
        }

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The weights of both models and the tokens."""
        return {
            "model": work.model(case.model, step_of(case)).digest,
            "partner": work.model(case.partner, step_of(case)).digest,
            "tokens": corpus_ref(work).sha256,
        }

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of a pass of every model for its spread, and per pair and block of layers one with two products."""
        tokens = min(sizes.tokens, MOST_TOKENS)
        sizes = replace(sizes, tokens=tokens, positions=ceil(sizes.positions * tokens / sizes.tokens))
        shape = sizes.shape
        blocks, largest = sizes.layer_blocks(shape.neurons * PAIR_BYTES)
        batches = -(-sizes.positions // BATCH_POSITIONS)
        stored = len(KINDS) * 8 * (1 + len(COUNTS) + len(CORRELATIONS))
        models = {name for case in cases for name in (case.model, case.partner)}
        pairs = costs.per_case(
            sizes,
            cases,
            costs.forward(sizes, sizes.positions * len(blocks), models=2),
            {
                costs.WorkKind.BASELINE: 2 * 2.0 * sizes.tokens * shape.neurons**2,
                costs.WorkKind.MEMORY: float(2 * PAIR_BYTES * batches * shape.neurons**2),
            },
            models=2,
            passes=1 + len(blocks),
            device=largest + costs.batch_bytes(sizes, 2),
            host=stored,
            disk=stored,
        )
        return replace(pairs, work=costs.summed(pairs.work, costs.forward(sizes, sizes.positions, models=len(models))))

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """The pairs of two models."""
        return {self.name: _pairs(work, case)}

    def read(self, reader: Reader, work: Workspace, case: Case) -> PairsBySums:
        """One row per kind of sums."""
        return PairsBySums(reader(self, case)[0].table, level=work.suite.resampling.level)

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up pairs."""
        dice, count = example_dice(case), len(KINDS)
        found = {"pairs": np.full(count, 20), "found": dice.integers(10, 20, count), "kept": np.full(count, 10)}
        return {self.name: _frame(found | {name: dice.uniform(0, 1, count) for name in CORRELATIONS})}

    def comparison(self, work: Workspace, case: Case, stored: Artifacts, again: Artifacts) -> Comparison:
        """The stored counts and correlations against recomputed ones; the ones of exact sums as closely as others."""
        mine, theirs = stored[0].table, again[0].table
        allowed = MOVED * float(mine["pairs"].max())
        found = column_differences(
            mine, theirs, dict.fromkeys(COUNTS, allowed) | dict.fromkeys(CORRELATIONS, TOLERANCE)
        )
        return Comparison(self.name, "kinds of sums", len(mine), found)


PRECISIONS = Precisions()


def _frame(columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    counts = {name: np.asarray(columns[name], dtype=np.int32) for name in COUNTS}
    correlations = rounded_columns({name: columns[name] for name in CORRELATIONS}, bits=BITS)
    return pd.DataFrame({"sums": np.array(KINDS, dtype=object), **counts, **correlations})


def _pairs(work: Workspace, case: Case) -> pd.DataFrame:
    """The table of two models, as many layers of the first at a time as the memory allows."""
    from universal_neurons.core.matmul import mode_of_products
    from universal_neurons.core.precisions import pairs_by_sums

    models = LoadedModels.of(work, step_of(case), (case.model, case.partner))
    models = replace(models, tokens=models.tokens.first(MOST_TOKENS))
    blocks = models.layer_blocks(sum(models.widths[1]) * PAIR_BYTES)
    rows_at_once = max(1, BATCH_POSITIONS // models.tokens.rows.shape[1])

    def passes() -> Iterator[tuple[Tensor, Tensor]]:
        title = f"step {case.step}: precisions of {case.model} and {case.partner}"
        for (x, y), _ in models.stream(title, rows_at_once=rows_at_once):
            yield x, y
            del x, y

    with mode_of_products("float32", device=models.device):
        found = pairs_by_sums(passes, (_spread(models, 0), _spread(models, 1)), models.widths[0], blocks)
    names = (*COUNTS, *CORRELATIONS)
    return _frame({name: np.array([getattr(found[kind], name) for kind in KINDS]) for name in names})


def _spread(models: LoadedModels, place: int) -> NeuronSpread:
    """The spread of the neurons of one of the models over the tokens: one pass for all pairs that it is part of."""
    from universal_neurons.core.precisions import spread_over

    ref = models.refs[place]
    alone = replace(models, refs=(ref,), bridges=(models.bridges[place],))

    def spread() -> NeuronSpread:
        stream = alone.stream(f"step {ref.step}: spreads of {ref.name}")
        with finite_activations(ref, models.widths[place]):
            return spread_over(values for (values,), _ in stream)

    return models.work.cached(("spread", ref, models.tokens.scored), spread)
