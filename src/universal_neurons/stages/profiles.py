"""Profiles: statistics, weights, top activations and the effect of ablating it of every single neuron of a model.

A profile names positions in the suite's rows of tokens and ids of tokens, and holds no text.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.measures.profiles import GELU_MINIMUM, LEVELS, WINDOW, NeuronProfiles, stored_profiles
from universal_neurons.stages import costs
from universal_neurons.stages.ablation import resumed_effects
from universal_neurons.stages.base import (
    Artifacts,
    Case,
    Need,
    Reader,
    check_one_of,
    example_count,
    example_dice,
    example_neurons,
    neuron_columns,
    step_of,
)
from universal_neurons.stages.comparison import (
    Choices,
    Comparison,
    Difference,
    largest_relative_difference,
    relative_difference,
)
from universal_neurons.stages.model_table import ModelTable
from universal_neurons.stages.models import finite_activations, loaded, read_batches
from universal_neurons.stages.tokens import (
    EVALUATION,
    ONLY,
    corpus_ref,
    evaluation_digest,
    evaluation_tokens,
    token_set,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    from torch import Tensor

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.core.profiles import (
        ActivationProfiles,
        NearestActivations,
        Surroundings,
        TopActivations,
        WeightProfiles,
    )
    from universal_neurons.ids import ModelRef
    from universal_neurons.stages.costs import Cost, Sizes
    from universal_neurons.stages.workspace import Workspace

    Arrays = dict[str, npt.NDArray[Any]]

# Statistics are stored in steps of one part in 2048, effects in steps of one in 128 and with a rounding of 1e-6 nats in
# them, shares of a histogram in steps of a twelfth.
STATISTICS, EFFECTS, SMALLEST_EFFECT, HISTOGRAM = 1e-3, 0.02, 1e-4, 0.05
# The share of positions and tokens that may change: two may be equal to within rounding.
TIES = 0.002
# Bytes moved in the time of an activation in both passes (histogram, largest values, windows), and of a cosine of a
# neuron with a token (moments, both ends).
PROFILED_BYTES, COSINE_BYTES = 270, 60
_STATISTICS = (
    "share_positive", "mean", "sd", "skewness", "kurtosis", "maximum",
    "input_bias", "w_in_norm", "w_out_norm", "cos_in_out",
    "vocabulary_variance", "vocabulary_skewness", "vocabulary_kurtosis",
)  # fmt: skip
_POSITIONS = ("top_row", "top_position", "below_row", "below_position", "promoted_token", "suppressed_token")


class Profiles(ModelTable):
    """The profiles of all neurons of one model at the last checkpoint."""

    name: ClassVar[str] = "profiles"

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The numbers of entries per neuron, and of the rows for its ablation."""
        spec = work.suite.profiles
        return {
            "model": case.model,
            "step": case.step,
            "top": spec.top,
            "window": list(WINDOW),
            "levels": list(LEVELS),
            "bins": spec.bins,
            "shown": spec.shown,
            "ablation_rows": spec.ablation_rows,
            "dtype": "float32",
        }

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The weights, the tokens, and the rows for ablations."""
        return super().inputs(work, case) | {"rows": evaluation_digest(work, rows=work.suite.profiles.ablation_rows)}

    def needs(self, work: Workspace, case: Case) -> tuple[Need, ...]:
        """The tokens and the rows for ablations."""
        return (*super().needs(work, case), (EVALUATION, ONLY))

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of two passes, of the weights, and of ablating every neuron alone, of every model."""
        # The effect of a single neuron is smaller than the error of TF32.
        sizes = replace(sizes, tf32=False)
        shape, spec = sizes.shape, work.suite.profiles
        positions, cosines = spec.ablation_rows * shape.row, float(shape.neurons * shape.vocabulary)
        alone = [layer for layer in range(shape.layers) for _ in range(shape.mlp)] if positions else []
        places = spec.top + len(LEVELS)
        row = 80 + places * (10 + sum(WINDOW)) + 2 * spec.bins + 16 * spec.shown + 4 * spec.ablation_rows
        # Weights of neurons and tokens in float64, as they are and as unit vectors.
        vectors = 2 * costs.DOUBLE * shape.width * (shape.vocabulary + 2 * shape.neurons)
        seen = shape.neurons * (spec.bins * costs.INDEX + places * (sum(WINDOW) + 6) * costs.SINGLE)
        ablated = costs.clean_bytes(sizes, spec.ablation_rows)
        return costs.per_case(
            sizes,
            cases,
            costs.forward(sizes, 2 * sizes.positions),
            {costs.WorkKind.DOUBLE: 2 * shape.width * cosines},
            {costs.WorkKind.MEMORY: sizes.tokens * shape.neurons * PROFILED_BYTES + cosines * COSINE_BYTES},
            costs.clean(sizes, positions),
            costs.reruns(sizes, alone, positions),
            passes=2,
            device=max(vectors, seen + costs.batch_bytes(sizes, 1), ablated),
            host=shape.neurons * row,
            disk=shape.neurons * row,
        )

    def compute(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """The profiles of one model."""
        return {self.name: profiles(work, case)}

    def case(self, work: Workspace, asked: Case) -> Case:
        """The case of a model at the last checkpoint."""
        check_one_of(work, asked.model, work.suite.zoo.models, what="profiles")
        return Case(work.last_step, asked.model)

    def read(self, reader: Reader, work: Workspace, case: Case) -> NeuronProfiles:
        """The profiles, to the precision in which they are stored."""
        return NeuronProfiles.from_table(
            reader(self, case)[0].table,
            model=case.model,
            step=step_of(case),
            tokens=corpus_ref(work).sha256,
            predictions=work.suite.corpus.row_length - 1,
            level=work.suite.resampling.level,
        )

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Made-up profiles."""
        spec, dice, count = work.suite.profiles, example_dice(case), example_count(work)
        statistics = {name: dice.uniform(0.1, 1.0, count).astype(np.float32) for name in _STATISTICS}
        widths = dict.fromkeys(("top_row", "top_position", "top_value"), spec.top)
        widths |= dict.fromkeys(("below_row", "below_position", "below_value"), len(LEVELS))
        widths |= {f"{of}_window": widths[f"{of}_row"] * (sum(WINDOW) + 1) for of in ("top", "below")}
        widths |= {"histogram": spec.bins}
        widths |= {f"{side}_{what}": spec.shown for side in ("promoted", "suppressed") for what in ("token", "cosine")}
        widths |= dict.fromkeys(("kl", "loss_increase"), spec.ablation_rows)
        arrays = {name: dice.uniform(0, 1, (count, width)) for name, width in widths.items()}
        arrays |= {name: np.zeros((count, widths[name]), dtype=np.int32) for name in _POSITIONS}
        frame = pd.DataFrame({**example_neurons(work), **statistics})
        return {self.name: stored_profiles(frame, arrays)}

    def comparison(self, work: Workspace, case: Case, stored: Artifacts, again: Artifacts) -> Comparison:
        """The stored profiles against the recomputed ones."""
        return compare_profiles(_read(stored), _read(again))


PROFILES = Profiles()


def compare_profiles(stored: NeuronProfiles, again: NeuronProfiles) -> Comparison:
    """The profiles of one model against recomputed ones.

    Differences of statistics are relative to the number, or to the median of its column where that is larger; of
    effects to the effect, or to 1e-4 nats; of a histogram they are its total variation.
    """
    numbers = [name for name in stored.frame if name not in ("layer", "neuron")]
    mine, theirs = stored.frame[numbers], again.frame[numbers]
    effects = [np.hstack([one.kl, one.loss_increase]) for one in (stored, again)]
    positions = [np.hstack([getattr(one, name) for name in _POSITIONS]) for one in (stored, again)]
    effect = largest_relative_difference(effects[0], effects[1], np.array(SMALLEST_EFFECT))
    variation = float(np.abs(stored.histogram - again.histogram).sum(axis=1).max() / 2)
    return Comparison(
        what="profiles",
        unit="neurons",
        count=len(stored),
        differences={
            "statistics": relative_difference(mine, theirs, STATISTICS),
            "effects": Difference(effect, EFFECTS),
            "histograms": Difference(variation, HISTOGRAM),
        },
        choices=Choices(
            "positions and tokens changed", int((positions[0] != positions[1]).sum()), positions[0].size, TIES
        ),
    )


def _read(artifacts: Artifacts) -> NeuronProfiles:
    # Only the numbers are compared; the key says whose they are.
    return NeuronProfiles.from_table(artifacts[0].table, model="", step=0, tokens="", predictions=1, level=0.5)


def profiles(work: Workspace, case: Case) -> pd.DataFrame:
    """The profiles of one model as they are stored; see :class:`~universal_neurons.measures.profiles.NeuronProfiles`.

    Raises ValueError for a value that does not fit into what it is stored as.
    """
    from universal_neurons.core.profiles import weight_profiles
    from universal_neurons.core.weights import folded_weights

    ref = work.model(case.model, step_of(case))
    bridge = loaded(work, ref)
    activations = _activations(work, ref, bridge)
    weights = weight_profiles(folded_weights(bridge), shown=work.suite.profiles.shown)
    statistics = _distribution(activations) | _weights(weights)
    numbers = {name: tensor.cpu().numpy().astype(np.float32) for name, tensor in statistics.items()}
    frame = pd.DataFrame(neuron_columns(work) | numbers)
    return stored_profiles(frame, _tops(activations) | _tokens(weights) | _effects(work, case, bridge))


def _activations(work: Workspace, ref: ModelRef, bridge: Any) -> ActivationProfiles:
    import torch

    from universal_neurons.core.activations import layer_widths
    from universal_neurons.core.profiles import activation_profiles

    spec, tokens = work.suite.profiles, token_set(work)
    widths = layer_widths(bridge)
    work.progress.start(f"step {ref.step}: activations of {ref.name}", 2 * tokens.scored)
    with finite_activations(ref, widths):
        found = activation_profiles(
            partial(read_batches, work, bridge, tokens.rows, tokens.mask),
            torch.from_numpy(np.nonzero(tokens.mask)[1]).to(next(bridge.parameters()).device),
            neurons=sum(widths),
            top=spec.top,
            bins=spec.bins,
            floor=GELU_MINIMUM,
            window=WINDOW,
            levels=LEVELS,
        )
    work.progress.finish()
    return found


def _effects(work: Workspace, case: Case, bridge: Any) -> Arrays:
    """kl, loss_increase (neuron block) of zeroing every neuron alone; a block is a row of tokens, none of no rows."""
    import torch

    from universal_neurons.core.ablation import Ablation
    from universal_neurons.core.activations import layer_widths

    count = work.suite.profiles.ablation_rows
    if not count:
        nothing = np.empty((sum(layer_widths(bridge)), 0))
        return {"kl": nothing, "loss_increase": nothing}
    rows = torch.from_numpy(evaluation_tokens(work).rows[:count].astype(np.int64))
    alone = [Ablation(neuron[None]) for neuron in torch.arange(sum(layer_widths(bridge)))]
    title = f"step {case.step}: neurons of {case.model}, each ablated"
    # Nothing is resampled, so neither the seed nor the size of a batch changes a result.
    effects = resumed_effects(
        (work, PROFILES, case), bridge, rows, alone, title=title, blocks=count, batch_rows=count, seed=0
    )
    return {"kl": effects.kl.numpy(), "loss_increase": effects.loss_increase.numpy()}


def _distribution(found: ActivationProfiles) -> dict[str, Tensor]:
    moments = found.moments
    return {
        "share_positive": found.positive / moments.count,
        "mean": moments.mean,
        "sd": moments.variance.sqrt(),
        "skewness": moments.skewness,
        "kurtosis": moments.kurtosis,
        "maximum": found.maximum,
    }


def _weights(found: WeightProfiles) -> dict[str, Tensor]:
    return {
        "input_bias": found.input_bias,
        "w_in_norm": found.input_norm,
        "w_out_norm": found.output_norm,
        "cos_in_out": found.alignment,
        "vocabulary_variance": found.vocabulary.variance,
        "vocabulary_skewness": found.vocabulary.skewness,
        "vocabulary_kurtosis": found.vocabulary.kurtosis,
    }


def _tops(found: ActivationProfiles) -> Arrays:
    return {
        **_places("top", found.top, found.around, found.top.value),
        **_places("below", found.below, found.around_below, found.maximum),
        "histogram": (found.histogram / found.moments.count).cpu().numpy(),
    }


def _places(name: str, of: TopActivations | NearestActivations, around: Surroundings, whole: Tensor) -> Arrays:
    """Where some activations are, and their windows as shares of ``whole``, the tokens of one after the other."""
    shares = (around.value / whole[..., None]).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).clamp(0, 1)
    return {
        f"{name}_row": of.row.T.cpu().numpy(),
        f"{name}_position": of.position.T.cpu().numpy(),
        f"{name}_value": of.value.masked_fill(of.row < 0, np.nan).T.cpu().numpy(),
        f"{name}_window": np.ascontiguousarray(shares.transpose(0, 1).flatten(1).cpu().numpy()),
    }


def _tokens(found: WeightProfiles) -> Arrays:
    return {
        "promoted_token": found.promoted.cpu().numpy(),
        "promoted_cosine": found.promoted_cosine.cpu().numpy(),
        "suppressed_token": found.suppressed.cpu().numpy(),
        "suppressed_cosine": found.suppressed_cosine.cpu().numpy(),
    }
