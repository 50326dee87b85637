"""Profiles: what is known of every single neuron of the models at the last checkpoint.

One model is the unit that a killed run does not lose: a table with a row per neuron.  It names places in the suite's
rows of tokens and numbers of tokens, and holds no text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from universal_neurons.artifacts.provenance import capture
from universal_neurons.measures.profiles import GELU_MINIMUM, WINDOW, stored_profiles
from universal_neurons.pipeline.models import batch_rows, loaded
from universal_neurons.pipeline.resources import device
from universal_neurons.pipeline.tokens import evaluation_tokens, token_set
from universal_neurons.workspace import Workspace, profiles_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from universal_neurons.core.activations import ActivationBatch
    from universal_neurons.core.profiles import ActivationProfiles, WeightProfiles
    from universal_neurons.ids import ModelRef

    Arrays = dict[str, npt.NDArray[Any]]


def write_profiles(work: Workspace, step: int) -> None:
    """The profiles of every model at ``step``, as far as they are missing; none but at the last checkpoint."""
    for ref, key in profiles_keys(work, step).items():
        if work.store.has(key):
            continue
        with capture(device=str(device(work))) as run:
            table = profiles(work, ref)
        work.store.write(key, table, run.provenance)


def profiles(work: Workspace, ref: ModelRef) -> pd.DataFrame:
    """The profiles of one model as they are stored; see :class:`~universal_neurons.measures.profiles.NeuronProfiles`.

    Raises ValueError for a value that does not fit into what it is stored as.
    """
    from universal_neurons.core.profiles import weight_profiles
    from universal_neurons.core.weights import folded_weights

    bridge = loaded(work, ref)
    activations = _activations(work, ref, bridge)
    weights = weight_profiles(folded_weights(bridge), shown=work.suite.profiles.shown)
    frame = pd.concat([_numbered(work), _distribution(activations), _weights(weights)], axis=1)
    return stored_profiles(frame, _tops(activations) | _tokens(weights) | _effects(work, ref, bridge))


def _activations(work: Workspace, ref: ModelRef, bridge: Any) -> ActivationProfiles:
    import torch

    from universal_neurons.core.activations import layer_widths, stream
    from universal_neurons.core.profiles import activation_profiles

    spec, tokens = work.suite.profiles, token_set(work)
    rows, mask = torch.from_numpy(tokens.rows.astype(np.int64)), torch.from_numpy(tokens.mask)

    def one_pass() -> Iterator[ActivationBatch]:
        for batch in stream(bridge, rows, mask, batch_rows=batch_rows(rows.shape[1])):
            yield batch
            work.progress.advance(len(batch))
            del batch

    work.progress.start(f"step {ref.step}: activations of {ref.name}", 2 * tokens.scored)
    found = activation_profiles(
        one_pass,
        mask.nonzero()[:, 1].to(next(bridge.parameters()).device),
        neurons=sum(layer_widths(bridge)),
        top=spec.top,
        bins=spec.bins,
        floor=GELU_MINIMUM,
        window=WINDOW,
    )
    work.progress.finish()
    return found


def _effects(work: Workspace, ref: ModelRef, bridge: Any) -> Arrays:
    """kl, loss_increase (neuron block) of zeroing every neuron alone; a block is a row of tokens, none of no rows."""
    import torch

    from universal_neurons.core.ablation import Ablation, ablation_effects
    from universal_neurons.core.activations import layer_widths

    count = work.suite.profiles.ablation_rows
    if not count:
        nothing = np.empty((sum(layer_widths(bridge)), 0))
        return {"kl": nothing, "loss_increase": nothing}
    rows = torch.from_numpy(evaluation_tokens(work).rows[:count].astype(np.int64))
    alone = [Ablation(neuron[None]) for neuron in torch.arange(sum(layer_widths(bridge)))]
    work.progress.start(f"step {ref.step}: neurons of {ref.name}, each ablated", len(alone) * count)
    # Nothing is resampled, so neither the seed nor the size of a batch changes a result.
    effects = ablation_effects(
        bridge, rows, alone, blocks=count, batch_rows=count, seed=0, progress=work.progress.advance
    )
    work.progress.finish()
    return {"kl": effects.kl.numpy(), "loss_increase": effects.loss_increase.numpy()}


def _numbered(work: Workspace) -> pd.DataFrame:
    recipe = work.zoo.recipe()
    layer, neuron = np.divmod(np.arange(recipe.layers * recipe.mlp), recipe.mlp)
    return pd.DataFrame({"layer": layer.astype(np.int16), "neuron": neuron.astype(np.int32)})


def _distribution(found: ActivationProfiles) -> pd.DataFrame:
    moments = found.moments
    columns = {
        "share_positive": found.positive / moments.count,
        "mean": moments.mean,
        "sd": moments.variance.sqrt(),
        "skewness": moments.skewness,
        "kurtosis": moments.kurtosis,
        "maximum": found.maximum,
    }
    return _float32(columns)


def _weights(found: WeightProfiles) -> pd.DataFrame:
    columns = {
        "input_bias": found.input_bias,
        "w_in_norm": found.input_norm,
        "w_out_norm": found.output_norm,
        "cos_in_out": found.alignment,
        "vocabulary_variance": found.vocabulary.variance,
        "vocabulary_skewness": found.vocabulary.skewness,
        "vocabulary_kurtosis": found.vocabulary.kurtosis,
    }
    return _float32(columns)


def _float32(columns: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame({name: tensor.cpu().numpy().astype(np.float32) for name, tensor in columns.items()})


def _tops(found: ActivationProfiles) -> Arrays:
    nowhere = found.top.row < 0
    return {
        "top_row": found.top.row.T.cpu().numpy(),
        "top_position": found.top.position.T.cpu().numpy(),
        "top_value": found.top.value.masked_fill(nowhere, np.nan).T.cpu().numpy(),
        "top_window": _windows(found),
        "histogram": (found.histogram / found.moments.count).cpu().numpy(),
    }


def _windows(found: ActivationProfiles) -> npt.NDArray[Any]:
    """(neuron entry): shares of the top activation, the tokens of one window after the other."""
    shares = (found.around.value / found.top.value[..., None]).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).clamp(0, 1)
    return np.ascontiguousarray(shares.transpose(0, 1).flatten(1).cpu().numpy())


def _tokens(found: WeightProfiles) -> Arrays:
    return {
        "promoted_token": found.promoted.cpu().numpy(),
        "promoted_cosine": found.promoted_cosine.cpu().numpy(),
        "suppressed_token": found.suppressed.cpu().numpy(),
        "suppressed_cosine": found.suppressed_cosine.cpu().numpy(),
    }
