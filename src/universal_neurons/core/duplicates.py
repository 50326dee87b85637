# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""The nearest other neuron of the same model, by the correlation of activations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from universal_neurons.core.activations import ActivationBatch
from universal_neurons.core.comoments import ComomentSums
from universal_neurons.core.matmul import PrecisionMode, mode_of_products
from universal_neurons.core.moments import LayerId, layer_slices

# Rows that are scored at once.
_ROWS = 256


@dataclass(frozen=True, eq=False)
class NearestNeurons:
    """Of each neuron of some layers the largest correlation with another neuron, and which neuron that is.

    Neurons are numbered layer by layer.  NaN and -1 for a neuron that never varies, which is nobody's nearest.
    """

    correlation: Float64[Tensor, " neuron"]
    other: Int64[Tensor, " neuron"]


@torch.no_grad()
def nearest_neurons(
    batches: Iterable[ActivationBatch],
    widths: Sequence[int],
    layers: range,
    *,
    chunk_tokens: int = 1024,
    mode: PrecisionMode = "float32",
    device: torch.device | str = "cpu",
) -> NearestNeurons:
    """The nearest neurons of all layers for the neurons of ``layers``, in one pass over activations of all layers.

    The sums take 8 bytes per neuron of ``layers`` and neuron of the model; accuracy as in :class:`ComomentSums`, in
    other modes of the products the bound of :data:`~universal_neurons.core.matmul.BOUNDS`.
    Raises :class:`~universal_neurons.core.moments.NonFiniteActivationError`.
    """
    columns = layer_slices(widths)
    rows = slice(columns[layers[0]].start, columns[layers[-1]].stop)
    named: dict[LayerId, slice] = {(0, layer): part for layer, part in enumerate(columns)}
    everyone = slice(0, columns[-1].stop)
    wanted = [(rows, everyone, torch.float64)]
    sums = ComomentSums(named, wanted, chunk_tokens=chunk_tokens, device=device, mode=mode)
    with mode_of_products(mode, device=device):
        for batch in batches:
            sums.add([batch.values], torch.arange(len(batch), device=device))
            # A batch that still has a name stays in memory while the next one is computed.
            del batch
        sums.finish()
    norm = torch.where(sums.squares > 0, sums.squares.sqrt(), torch.nan)
    (comoment,) = sums.sums
    best: list[Tensor] = []
    other: list[Tensor] = []
    for start in range(0, len(comoment), _ROWS):
        part = comoment[start : start + _ROWS]
        own = torch.arange(len(part), device=part.device) + rows.start + start
        correlation = (part / norm[own][:, None] / norm).nan_to_num(nan=-torch.inf)
        correlation[torch.arange(len(part), device=part.device), own] = -torch.inf
        found = correlation.max(1)
        alone = found.values.isinf()
        best.append(torch.where(alone, torch.nan, found.values.clamp(-1, 1)))
        other.append(torch.where(alone, -1, found.indices))
    return NearestNeurons(torch.cat(best), torch.cat(other))
