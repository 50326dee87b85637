# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""A sample of neurons summed up in float64, which bounds the error of the other sums.

Some neurons of every layer are multiplied and summed up in float64 from their own activations, beside the sums of all
neurons in the precision of the suite.  The largest difference of a correlation between the two is the measured cost of
that precision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from universal_neurons.core.comoments import ComomentSums
from universal_neurons.core.moments import LayerId, NeuronSpread, merged_count

SAMPLED_PER_LAYER = 8


@dataclass(frozen=True, eq=False)
class SampledMoments:
    """Cross moments of some neurons of two models; ``+`` gives the moments over the tokens of both."""

    x: NeuronSpread
    y: NeuronSpread
    comoment: Float[Tensor, "x y"]

    def __add__(self, other: "SampledMoments") -> "SampledMoments":
        _, weight = merged_count(self.x.count, other.x.count)
        between = torch.outer(other.x.mean - self.x.mean, other.y.mean - self.y.mean)
        return SampledMoments(self.x + other.x, self.y + other.y, self.comoment + other.comoment + weight * between)

    def largest_difference(self, exact: "SampledMoments") -> float:
        """Largest difference of a correlation; infinite where only one of the two is defined."""
        ours, theirs = self._correlation(), exact._correlation()
        if bool((ours.isnan() != theirs.isnan()).any()):
            return float("inf")
        return float((ours - theirs).abs().nan_to_num(nan=0.0).amax()) if ours.numel() else 0.0

    def _correlation(self) -> Float[Tensor, "x y"]:
        return self.comoment * self.x.inverse_norm[:, None] * self.y.inverse_norm


class PrecisionAudit:
    """Sums in float64 over evenly spaced neurons of every layer, from the unrounded activations.

    ``columns``: per model, the columns of each accumulated layer in the joint matrix of all models.  ``groups``: the
    sums of each group of tokens.
    """

    def __init__(self, columns: Sequence[Mapping[int, slice]], *, groups: int, device: torch.device) -> None:
        self._joint: dict[LayerId, Tensor] = {}
        self._own: dict[LayerId, Tensor] = {}
        self._chosen: list[Tensor] = []
        sampled: dict[LayerId, slice] = {}
        count = 0
        for model, layers in enumerate(columns):
            first = min((part.start for part in layers.values()), default=0)
            for layer, part in layers.items():
                size = min(SAMPLED_PER_LAYER, part.stop - part.start)
                evenly = torch.linspace(part.start, part.stop - 1, size, device=device).round().long()
                self._joint[model, layer] = evenly
                sampled[model, layer] = slice(count, count + size)
                self._own[model, layer] = torch.arange(count, count + size, device=device)
                count += size
            chosen = [self._joint[model, layer] for layer in layers]
            nothing = torch.empty(0, dtype=torch.int64, device=device)
            self._chosen.append(torch.cat([nothing, *chosen]) - first)
        everything = (slice(0, count), slice(0, count), torch.float64)
        self.groups = tuple(
            ComomentSums(sampled, [everything], chunk_tokens=1024, device=device, dtype=torch.float64)
            for _ in range(groups)
        )

    def sampled(self, values: Sequence[Float[Tensor, "token _"]]) -> list[Float[Tensor, "token _"]]:
        """The sampled columns of every model's activations."""
        return [part.index_select(1, columns).double() for part, columns in zip(values, self._chosen, strict=True)]

    def joint_columns(self, layers: Sequence[LayerId]) -> Int[Tensor, " sampled"]:
        """The columns of the sampled neurons of some layers in the joint matrix of all models."""
        return torch.cat([self._joint[layer] for layer in layers])

    def moments(self, group: ComomentSums, x: Sequence[LayerId], y: Sequence[LayerId]) -> SampledMoments:
        """The moments of the sampled neurons of some layers in one of the ``groups``."""
        i, j = (torch.cat([self._own[layer] for layer in side]) for side in (x, y))
        return SampledMoments(group.spread(i), group.spread(j), group.sums[0][i][:, j])
