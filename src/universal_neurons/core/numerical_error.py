# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""A bound on the change of any correlation between two computations of the same activations.

A correlation is the inner product of two unit vectors.  Let u and w be the deviations of one neuron's activations from
their mean in the two computations, each divided by its length.  With any unit vector b, and so with every neuron and
with every direction of a rotated layer,

    |<u, b> - <w, b>| <= |u - w| = sqrt(2 (1 - r)),   r = <u, w> the neuron's correlation with itself,

and the largest of several correlations changes by no more than the largest change.  Nothing is assumed about the
errors: neither independence nor a distribution.
"""

from dataclasses import dataclass
from math import sqrt

import torch
from jaxtyping import Float, Float64
from torch import Tensor

# Deviations are float64 and held beside the activations, so they are computed for some neurons at a time.
NEURONS_PER_TILE = 512


@dataclass(frozen=True, eq=False)
class PairedMoments:
    """Sums over ``count`` tokens of two computations of the same neurons.

    ``mean`` and ``squares`` (the sum of squared deviations) of either, and ``product``, the sum of the products of both
    deviations.
    ``count`` 0 is the neutral element of ``+``, which merges as :mod:`universal_neurons.core.moments` does.
    """

    count: int
    mean: Float64[Tensor, "2 neuron"]
    squares: Float64[Tensor, "2 neuron"]
    product: Float64[Tensor, " neuron"]

    @classmethod
    def empty(cls, neurons: int, *, device: torch.device | str = "cpu") -> "PairedMoments":
        """The sums over no tokens."""
        nothing = torch.zeros(5, neurons, dtype=torch.float64, device=device)
        return cls(0, nothing[:2], nothing[2:4], nothing[4])

    @classmethod
    def of(cls, one: Float[Tensor, "token neuron"], other: Float[Tensor, "token neuron"]) -> "PairedMoments":
        """The sums over some tokens, at least one."""
        tiles = (torch.split(values, NEURONS_PER_TILE, dim=1) for values in (one, other))
        parts = [_summed(*both) for both in zip(*tiles, strict=True)]
        sums = torch.cat(parts, dim=1)
        return cls(len(one), sums[:2], sums[2:4], sums[4])

    def __add__(self, other: "PairedMoments") -> "PairedMoments":
        """The sums over the tokens of both."""
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        delta = other.mean - self.mean
        weight = self.count * other.count / count
        return PairedMoments(
            count,
            self.mean + delta * (other.count / count),
            self.squares + other.squares + weight * delta**2,
            self.product + other.product + weight * delta[0] * delta[1],
        )

    @property
    def distance(self) -> Float64[Tensor, " neuron"]:
        """sqrt(2 (1 - r)) per neuron: 0 for the same activations up to scale and offset, sqrt(2) for unrelated ones.

        A neuron that is constant in one computation only has no certain correlation: sqrt(2).  If it is constant in
        both, they agree: 0.  Distances below 1e-7 are lost in the subtraction.
        """
        varied = self.squares > 0
        correlation = self.product / self.squares.prod(dim=0).sqrt()
        distance = (2 * (1 - correlation)).clamp(min=0.0).sqrt()
        unlike = torch.where(varied.any(dim=0), sqrt(2), 0.0).to(distance)
        return torch.where(varied.all(dim=0), distance, unlike)


def _summed(one: Float[Tensor, "token neuron"], other: Float[Tensor, "token neuron"]) -> Float64[Tensor, "5 neuron"]:
    both = torch.stack([one.double(), other.double()])
    mean = both.mean(dim=1)
    # The mean of equal numbers can differ from them in its last bit, which would make a constant neuron vary.
    first = both[:, 0]
    deviation = both - torch.where((both == first[:, None]).all(dim=1), first, mean)[:, None]
    return torch.cat([mean, deviation.square().sum(dim=1), deviation.prod(dim=0).sum(dim=0, keepdim=True)])
