# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Centred first and second moments of neuron populations, as values that add.

Two sets of tokens a and b merge by the rule of Chan, Golub & LeVeque (The American Statistician 37, 1983), here for two
variables:

    mean = mean_a + (mean_b - mean_a) n_b / n
    C    = C_a + C_b + (n_a n_b / n) (mean_b - mean_a)_x (mean_b - mean_a)_y^T

so batches, shards, halves and resumed runs are one operation.  Sums over a stream of tokens are taken in
:mod:`universal_neurons.core.accumulator`.

Deviation: the published code takes sums and squares of float16 activations, which overflow and round, and turns an
undefined correlation into 0.  Here activations stay float32, sums are float64, and undefined stays NaN and is counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate as running_sums
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

ROWS_IN_CACHE = 64

# (model, layer)
LayerId = tuple[int, int]


class NonFiniteActivationError(ValueError):
    """An activation is infinite or not a number; no correlation can be computed from it.

    ``column``: its column in the matrix.  ``layer``: its model and layer, where the matrix joins several models.
    """

    def __init__(self, column: int, layer: LayerId | None = None) -> None:
        where = f"column {column}" if layer is None else f"model {layer[0]}, layer {layer[1]}"
        super().__init__(f"{where} has an activation that is infinite or not a number")
        self.column, self.layer = column, layer


def layer_slices(widths: Sequence[int]) -> tuple[slice, ...]:
    """The neurons of each layer, numbered layer by layer over the whole model."""
    return tuple(slice(start, stop) for start, stop in pairwise(running_sums(widths, initial=0)))


class _Neurons:
    """Statistics that follow from the number of tokens and each neuron's sum of squared deviations."""

    count: int
    mean: Float[Tensor, " neuron"]

    @property
    def m2(self) -> Float[Tensor, " neuron"]:
        """Sum of squared deviations per neuron."""
        raise NotImplementedError

    @property
    def varied(self) -> Bool[Tensor, " neuron"]:
        """True for neurons that took more than one value."""
        return self.m2 > 0

    @property
    def inverse_norm(self) -> Float[Tensor, " neuron"]:
        """1 / sqrt(m2), NaN where a neuron never varied: a constant has no correlation, not a small one."""
        return torch.where(self.varied, self.m2.rsqrt(), torch.nan)


@dataclass(frozen=True, eq=False)
class NeuronSpread(_Neurons):
    """Means and spreads of some neurons over ``count`` tokens, without the comoments within their layers.

    ``squares``: the sum of squared deviations per neuron.  Enough to standardise activations or to look for partners:
    for a hundred thousand neurons a megabyte, where the comoments of their layers are gigabytes.
    """

    count: int
    mean: Float[Tensor, " neuron"]
    squares: Float[Tensor, " neuron"]

    @property
    def m2(self) -> Float[Tensor, " neuron"]:
        """Sum of squared deviations per neuron."""
        return self.squares

    def on(self, device: torch.device | str) -> "NeuronSpread":
        """Copy to another device."""
        return NeuronSpread(self.count, self.mean.to(device), self.squares.to(device))

    def __getitem__(self, part: slice) -> "NeuronSpread":
        """Select a slice of neurons."""
        return NeuronSpread(self.count, self.mean[part], self.squares[part])

    def __add__(self, other: "NeuronSpread") -> "NeuronSpread":
        """The spread over the tokens of both."""
        count, weight = merged_count(self.count, other.count)
        delta = other.mean - self.mean
        return NeuronSpread(count, _merged_mean(self, other, count), self.squares + other.squares + weight * delta**2)


@dataclass(frozen=True, eq=False)
class NeuronMoments(_Neurons):
    """Moments of one model's neurons over ``count`` tokens: the means and, layer by layer, the comoments

        S_l = sum over tokens of (v - mean)(v - mean)^T   (neuron neuron), v the activations of layer l.

    Neurons are numbered layer by layer.  ``count`` 0 is the neutral element of ``+``.
    """

    count: int
    mean: Float[Tensor, " neuron"]
    layers: tuple[Float[Tensor, "_ _"], ...]

    @classmethod
    def empty(cls, widths: Sequence[int], *, device: torch.device | str = "cpu") -> "NeuronMoments":
        """The moments of no token."""
        mean = torch.zeros(sum(widths), dtype=torch.float64, device=device)
        return cls(0, mean, tuple(mean.new_zeros(width, width) for width in widths))

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons per layer."""
        return tuple(len(layer) for layer in self.layers)

    @cached_property
    def m2(self) -> Float[Tensor, " neuron"]:
        """Sum of squared deviations per neuron (the diagonals of the layers)."""
        return torch.cat([layer.diagonal() for layer in self.layers])

    @property
    def spread(self) -> NeuronSpread:
        """Means and spreads without the comoments."""
        return NeuronSpread(self.count, self.mean, self.m2)

    def __add__(self, other: "NeuronMoments") -> "NeuronMoments":
        """The moments over the tokens of both; raises ValueError if the layers are not the same."""
        if self.widths != other.widths:
            raise ValueError(f"moments of different models: layers {self.widths} and {other.widths}")
        count, weight = merged_count(self.count, other.count)
        delta = other.mean - self.mean
        parts = zip(self.layers, other.layers, (delta[s] for s in layer_slices(self.widths)), strict=True)
        layers = tuple((a + b).addr_(d.to(a.dtype), d.to(a.dtype), alpha=weight) for a, b, d in parts)
        return NeuronMoments(count, _merged_mean(self, other, count), layers)


@dataclass(frozen=True, eq=False)
class CrossMoments:
    """Moments of two models over the same tokens; ``comoment`` (x y) is the sum of (v_x - mean_x)(v_y - mean_y)^T.

    For ``x`` the spread suffices, except to rotate both models.  Raises ValueError if the shapes or the numbers of
    tokens differ.
    """

    x: NeuronMoments | NeuronSpread
    y: NeuronMoments
    comoment: Float[Tensor, "x y"]

    def __post_init__(self) -> None:
        shape = (len(self.x.mean), len(self.y.mean))
        if self.x.count != self.y.count or tuple(self.comoment.shape) != shape:
            raise ValueError(
                f"cross moments of {self.x.count} and {self.y.count} tokens, "
                f"comoment {tuple(self.comoment.shape)} for {shape} neurons"
            )

    @property
    def count(self) -> int:
        """Number of tokens."""
        return self.x.count

    @property
    def x_moments(self) -> NeuronMoments:
        """The moments of x with the comoments of its layers; raises ValueError if only its spread is known."""
        if not isinstance(self.x, NeuronMoments):
            raise ValueError("model x: expected moments with the comoments of its layers, got its spread alone")
        return self.x

    def __add__(self, other: "CrossMoments") -> "CrossMoments":
        """The moments over the tokens of both; raises ValueError if the models are not the same."""
        x: Any = self.x
        return CrossMoments(x + other.x, self.y + other.y, merged_comoment(self, other))

    def correlation(self, rows: slice = slice(None)) -> Float[Tensor, "_ y"]:
        """Pearson correlations C_ij / sqrt(m2_i m2_j) in float64, clipped to [-1, 1]; NaN where a neuron never varied.

        Nothing is added to the denominator: an epsilon there turns 0/0 of a dead neuron into a confident 0.
        ``rows``: a slice of the neurons of x.
        """
        scaled = self.comoment[rows].double() * self.x.inverse_norm[rows, None]
        return scaled.mul_(self.y.inverse_norm).clamp_(-1, 1)


def merged_comoment(a: CrossMoments, b: CrossMoments) -> Float[Tensor, "x y"]:
    """The comoment over the tokens of both."""
    _, weight = merged_count(a.count, b.count)
    delta_x, delta_y = b.x.mean - a.x.mean, b.y.mean - a.y.mean
    comoment = a.comoment + b.comoment
    return comoment.addr_(delta_x.to(comoment.dtype), delta_y.to(comoment.dtype), alpha=weight)


def merged_count(a: int, b: int) -> tuple[int, float]:
    """The number of tokens of both and the weight n_a n_b / n of their difference in means (0 for no token)."""
    count = a + b
    return count, a * b / count if count else 0.0


def _merged_mean(a: _Neurons, b: _Neurons, count: int) -> Float[Tensor, " neuron"]:
    # From a towards b, so that equal means stay equal to the last bit; an empty set has no mean.
    if not a.count or not b.count:
        return a.mean if a.count else b.mean
    return a.mean + (b.mean - a.mean) * (b.count / count)


def column_means(values: Float[Tensor, "token neuron"], *, power: int = 1) -> Float[Tensor, " neuron"]:
    """Mean of ``values ** power`` per column in float64.

    The mean of a column that repeats one float32 value is exactly that value up to 2^29 tokens.  ``power``: 1 or 2.
    """
    if values.device.type != "cpu":
        # Without a copy in float64, which a GPU would write and read again: a tenth of the bytes.
        total = (
            torch.linalg.vector_norm(values, dim=0, dtype=torch.float64).square()
            if power == 2
            else values.sum(0, dtype=torch.float64)
        )
        return total / len(values)
    total = values.new_zeros(values.shape[1], dtype=torch.float64)
    for start in range(0, len(values), ROWS_IN_CACHE):
        total += values[start : start + ROWS_IN_CACHE].double().pow(power).sum(0)
    return total / len(values)
