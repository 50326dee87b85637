# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Explanations of neurons by labels: sums of activations per label in one pass, and what a label explains.

A *kind* of group is a partition of the tokens (by id, by previous id, by position, by domain) or a set of labels, of
which a token may have any.  The sums of a partition give the score of every label that is a union of its groups, such
as all predicates of the token, with one product.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int, Int64, Num
from torch import Tensor

# Variance that is only rounding, relative to the mean square.
_ROUNDING = 1e-12


class LabelSums:
    """Numbers of tokens and sums of activations per group, exact over any number of batches: float64, about 0.

    ``sizes``: the number of groups of each kind.  Sums of two disjoint sets of tokens add up.
    """

    def __init__(self, sizes: Mapping[str, int], *, neurons: int, device: torch.device | str = "cpu") -> None:
        self.tokens = 0
        self.sum = torch.zeros(neurons, dtype=torch.float64, device=device)
        self.squares = torch.zeros_like(self.sum)
        self.count = {kind: torch.zeros(size, dtype=torch.float64, device=device) for kind, size in sizes.items()}
        self.total = {
            kind: torch.zeros(size, neurons, dtype=torch.float64, device=device) for kind, size in sizes.items()
        }

    @torch.no_grad()
    def add(self, values: Num[Tensor, "token neuron"], groups: Mapping[str, Tensor]) -> None:
        """Add activations and the groups of their tokens: numbers (token,), or flags (token, label)."""
        exact = values.double()
        self.tokens += len(exact)
        self.sum += exact.sum(0)
        self.squares += exact.square().sum(0)
        for kind, group in groups.items():
            if group.ndim == 1:
                self.count[kind] += torch.bincount(group, minlength=len(self.count[kind]))
                self.total[kind].index_add_(0, group, exact)
            else:
                flags = group.double()
                self.count[kind] += flags.sum(0)
                self.total[kind].addmm_(flags.T, exact)

    def __add__(self, other: "LabelSums") -> "LabelSums":
        added = LabelSums({}, neurons=0)
        added.tokens = self.tokens + other.tokens
        added.sum, added.squares = self.sum + other.sum, self.squares + other.squares
        added.count = {kind: count + other.count[kind] for kind, count in self.count.items()}
        added.total = {kind: total + other.total[kind] for kind, total in self.total.items()}
        return added

    @property
    def mean(self) -> Float64[Tensor, " neuron"]:
        """The mean activation over all tokens."""
        return self.sum / self.tokens

    @property
    def variance(self) -> Float64[Tensor, " neuron"]:
        """The variance over all tokens (divisor n); NaN for a neuron that never varies."""
        found = self.squares / self.tokens - self.mean.square()
        return torch.where(found > _ROUNDING * self.squares / self.tokens, found, torch.nan)


@dataclass(frozen=True, eq=False)
class Members:
    """Which groups each label is the union of: for some labels of one ``kind``, flags (label, group)."""

    kind: str
    flags: Bool[Tensor, "label group"]


@torch.no_grad()
def variance_reduction(sums: LabelSums, members: Sequence[Members]) -> Float64[Tensor, "label neuron"]:
    """The share of every neuron's variance that each label explains, labels in the order of ``members``:

        1 - [(1 - b) var(v | not y) + b var(v | y)] / var(v)  =  b / (1 - b) (mean(v | y) - mean(v))^2 / var(v)

    with b the share of tokens that have the label y (Gurnee et al. 2024, equation 4, on activations after the
    nonlinearity).  0 for a label that no token has, or every one; NaN for a neuron that never varies.
    """
    found: list[Tensor] = []
    for one in members:
        flags = one.flags.double()
        count = (flags @ sums.count[one.kind])[:, None]
        share = count / sums.tokens
        offset = flags @ sums.total[one.kind] / count - sums.mean
        reduction = share / (1 - share) * offset.square() / sums.variance
        explains_nothing = ((count == 0) | (count == sums.tokens)) & ~sums.variance.isnan()
        found.append(torch.where(explains_nothing, 0.0, reduction))
    return torch.cat(found).clamp(max=1.0)


@dataclass(frozen=True, eq=False)
class BestLabels:
    """The label of one family that explains most, per neuron: over all tokens, and its score in halves of them.

    ``first``: the score over the first half of the label that is best in the second; ``second`` the other way round.
    -1 and NaN for a neuron that never varies, in a half too.
    """

    label: Int64[Tensor, " neuron"]
    first: Float64[Tensor, " neuron"]
    second: Float64[Tensor, " neuron"]


@torch.no_grad()
def best_labels(
    whole: Float64[Tensor, "label neuron"],
    first: Float64[Tensor, "label neuron"],
    second: Float64[Tensor, "label neuron"],
    chosen: Int[Tensor, " chosen"],
) -> BestLabels:
    """The best of the ``chosen`` labels, by the scores over all tokens and over two halves of them.

    The best of many labels in the data that chose it explains more than it does elsewhere: the score is taken where it
    did not choose.
    """
    neurons = whole.shape[1]
    if not len(chosen):
        nothing = torch.full((neurons,), torch.nan, dtype=torch.float64, device=whole.device)
        return BestLabels(torch.full((neurons,), -1, device=whole.device), nothing, nothing)
    best = [scores[chosen].nan_to_num(nan=-1.0).argmax(0) for scores in (whole, first, second)]
    column = torch.arange(neurons, device=whole.device)
    constant = whole[chosen[0]].isnan()
    return BestLabels(
        torch.where(constant, -1, chosen[best[0]]),
        first[chosen[best[2]], column],
        second[chosen[best[1]], column],
    )


@torch.no_grad()
def cross_fitted(first: LabelSums, second: LabelSums, kind: str) -> Float64[Tensor, " neuron"]:
    """The share of variance that the groups of a ``kind`` explain where their means were not fitted:

        1 - sum_t (v_t - m[g_t])^2 / sum_t (v_t - m)^2,  t in one half, group means m[g] and mean m of the other,

    mean of both directions.  A group that the other half lacks has its mean m.  At most 1, and below 0 where the groups
    say less than the mean; NaN for a neuron that never varies.
    """
    directions = [_explained_elsewhere(*pair, kind) for pair in ((first, second), (second, first))]
    return torch.stack(directions).mean(0)


def _explained_elsewhere(fitted: LabelSums, judged: LabelSums, kind: str) -> Float64[Tensor, " neuron"]:
    count, mean = fitted.count[kind][:, None], fitted.mean
    means = torch.where(count > 0, fitted.total[kind] / count, mean)
    # Sums of squares about the fitted means, from the sums alone.
    squares = judged.squares - 2 * (means * judged.total[kind]).sum(0)
    left = squares + (means.square() * judged.count[kind][:, None]).sum(0)
    whole = judged.squares - 2 * mean * judged.sum + judged.tokens * mean.square()
    return torch.where(judged.variance.isnan(), torch.nan, 1 - left / whole)
