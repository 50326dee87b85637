# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Pre-activations of single neurons as a stream of batches, and the nearest neuron by the direction of its weights.

Deviation: the published code takes moments from the bins of a histogram of pre-activations; here they are exact.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from universal_neurons.core.activations import ActivationBatch
from universal_neurons.core.profiles import NEURONS_PER_TILE, CentralMoments


@dataclass(frozen=True, eq=False)
class PreActivations:
    """Moments of every neuron's pre-activations, and at how many tokens each is above every one of some bounds."""

    moments: CentralMoments
    above: Int64[Tensor, "bound neuron"]


@torch.no_grad()
def pre_activations(
    batches: Iterable[ActivationBatch], bounds: tuple[float, ...], *, neurons: int, device: torch.device | str = "cpu"
) -> PreActivations:
    """The statistics of ``neurons`` neurons in one pass, above ``bounds`` strictly.

    Raises :class:`~universal_neurons.core.moments.NonFiniteActivationError`.
    """
    moments = CentralMoments.empty(neurons, device=device)
    above = torch.zeros(len(bounds), neurons, dtype=torch.int64, device=device)
    for batch in batches:
        moments = moments + CentralMoments.of(batch.values)
        for place, bound in enumerate(bounds):
            above[place] += (batch.values > bound).sum(0)
        # A batch that still has a name stays in memory while the next one is computed.
        del batch
    return PreActivations(moments, above)


@torch.no_grad()
def nearest_cosine(vectors: Float64[Tensor, "neuron width"]) -> Float64[Tensor, " neuron"]:
    """The largest cosine of each vector with another one; NaN for a vector of zeros, which is nobody's nearest."""
    norm = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    unit = vectors / norm
    found: list[Tensor] = []
    for start in range(0, len(unit), NEURONS_PER_TILE):
        cosine = (unit[start : start + NEURONS_PER_TILE] @ unit.T).nan_to_num(nan=-torch.inf)
        # The vector itself.
        cosine.diagonal(start).fill_(-torch.inf)
        found.append(cosine.amax(1))
    return torch.where(norm[:, 0] > 0, torch.cat(found), torch.nan)
