"""Properties of single neurons: their pre-activations, and their weights with and without folding and centring.

The columns are those that Gurnee et al. (2024, section 4.2) rank, and what they are made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.measures.profiles import rounded
from universal_neurons.stages import costs
from universal_neurons.stages.base import (
    Case,
    example_count,
    example_dice,
    example_neurons,
    neuron_columns,
    step_of,
)
from universal_neurons.stages.model_table import RelativeTable
from universal_neurons.stages.models import finite_activations, loaded, read_batches
from universal_neurons.stages.tokens import token_set

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.core.properties import PreActivations
    from universal_neurons.core.weights import NeuronWeights
    from universal_neurons.ids import ModelRef
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace

# Where the published code begins to count a neuron as active: the upper edge of the bin below 0, of 256 edges from -10
# to 15 (claims/README.md, A21).
PUBLISHED_BOUND = -25 / 255
PRE_ACTIVATIONS = ("pre_mean", "pre_variance", "pre_skewness", "pre_kurtosis", "frequency", "published_frequency")
WEIGHTS = (
    "input_bias", "w_in_norm", "w_out_norm", "cos_in_out",
    "vocabulary_mean", "vocabulary_variance", "vocabulary_skewness", "vocabulary_kurtosis",
)  # fmt: skip
TWINS = ("twin_in", "twin_out")
COLUMNS = (*PRE_ACTIVATIONS, *WEIGHTS, *TWINS, *(f"raw_{name}" for name in WEIGHTS))
# Significant bits that are stored: one part in 65536.
BITS = 16
# Bytes moved in the time of an activation (deviations and their powers), and of a cosine of two vectors.
STREAMED_BYTES, COSINE_BYTES = 100, 60


class Properties(RelativeTable):
    """The properties of all neurons of a model: the reference's at every step, every other model's at the last."""

    name: ClassVar[str] = "properties"
    tolerance: ClassVar[float] = 1e-3

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """The reference at every step, untrained too; every model at the last."""
        last = (Case(work.last_step, name) for name in work.suite.zoo.models)
        return tuple(dict.fromkeys((*(Case(step, work.reference) for step in work.steps), *last)))

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The model and the bound of the published frequency."""
        return {"model": case.model, "step": case.step, "bound": PUBLISHED_BOUND, "dtype": "float32"}

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of one pass, of cosines of all neurons with the vocabulary, and with each other."""
        shape = sizes.shape
        cosines = 2.0 * shape.neurons * (shape.vocabulary + shape.neurons)
        # Weights of neurons and tokens in float64: raw, folded and as unit vectors.
        vectors = 3 * costs.DOUBLE * shape.width * (shape.vocabulary + 2 * shape.neurons)
        row = 6 + 4 * len(COLUMNS)
        return costs.per_case(
            sizes,
            cases,
            costs.forward(sizes, sizes.positions),
            {costs.WorkKind.DOUBLE: 2 * shape.width * cosines},
            {costs.WorkKind.MEMORY: sizes.tokens * shape.neurons * STREAMED_BYTES + cosines * COSINE_BYTES},
            device=max(vectors, costs.batch_bytes(sizes, 1)),
            host=shape.neurons * row,
            disk=shape.neurons * row,
        )

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """The properties of one model."""
        from universal_neurons.core.properties import nearest_cosine
        from universal_neurons.core.weights import folded_weights, raw_weights

        ref = work.model(case.model, step_of(case))
        bridge = loaded(work, ref)
        columns = _pre_activations(_streamed(work, ref, bridge))
        folded = folded_weights(bridge)
        columns |= _weights(folded)
        columns |= {"twin_in": nearest_cosine(folded.w_in), "twin_out": nearest_cosine(folded.w_out)}
        del folded
        columns |= {f"raw_{name}": values for name, values in _weights(raw_weights(bridge)).items()}
        stored = {name: rounded(columns[name].double().cpu().numpy(), bits=BITS) for name in COLUMNS}
        return {self.name: _frame(neuron_columns(work), stored)}

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up properties."""
        dice, count = example_dice(case), example_count(work)
        made = {name: dice.uniform(0.1, 1.0, count) for name in COLUMNS}
        return {self.name: _frame(example_neurons(work), made)}


PROPERTIES = Properties()


def _frame(neurons: Mapping[str, Any], columns: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame({**neurons, **{name: values.astype(np.float32) for name, values in columns.items()}})


def _streamed(work: Workspace, ref: ModelRef, bridge: Any) -> PreActivations:
    from universal_neurons.core.activations import layer_widths
    from universal_neurons.core.properties import pre_activations

    tokens, widths = token_set(work), layer_widths(bridge)
    batches = read_batches(work, bridge, tokens.rows, tokens.mask, place="hook_pre")
    work.progress.start(f"step {ref.step}: pre-activations of {ref.name}", tokens.scored)
    device = next(bridge.parameters()).device
    with finite_activations(ref, widths):
        found = pre_activations(batches, (0.0, PUBLISHED_BOUND), neurons=sum(widths), device=device)
    work.progress.finish()
    return found


def _pre_activations(found: PreActivations) -> dict[str, Tensor]:
    moments = found.moments
    statistics = (moments.mean, moments.variance, moments.skewness, moments.kurtosis, *found.above / moments.count)
    return dict(zip(PRE_ACTIVATIONS, statistics, strict=True))


def _weights(weights: NeuronWeights) -> dict[str, Tensor]:
    from universal_neurons.core.profiles import weight_profiles

    found = weight_profiles(weights, shown=0)
    tokens = found.vocabulary
    statistics = (
        found.input_bias, found.input_norm, found.output_norm, found.alignment,
        tokens.mean, tokens.variance, tokens.skewness, tokens.kurtosis,
    )  # fmt: skip
    return dict(zip(WEIGHTS, statistics, strict=True))
