# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Unigram neurons: the share of a neuron's variance that a single token explains."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int, Int64, Num
from torch import Tensor


@dataclass(frozen=True, eq=False)
class UnigramScores:
    """The best single-token explanation of every neuron: its ``score`` and its ``token``.

    NaN and -1 for a neuron that never varies, and if no token occurs often enough.
    """

    score: Float64[Tensor, " neuron"]
    token: Int64[Tensor, " neuron"]


class TokenSums:
    """Sums of activations per label, exact over any number of batches: float64, about 0.

    With the sums of squares over all tokens they suffice for :meth:`scores`, because the variance within the two groups
    of a label is the whole variance less the variance between them.

    ``count`` (vocabulary,): occurrences of each token among all that will be added.  The labels are the tokens that
    occur ``occurrences`` times or more, unless one is all there is.  The other tokens share one row of sums: a
    vocabulary of fifty thousand tokens has some hundred labels, and its sums would be a hundred times as large.
    """

    def __init__(self, count: Int[Tensor, " vocabulary"], *, occurrences: int, neurons: int) -> None:
        self.count = count.long().cpu()
        is_label = (self.count >= max(occurrences, 1)) & (self.count < self.count.sum())
        self.labels: Tensor = is_label.nonzero()[:, 0]
        rest = len(self.labels)
        self._row = torch.full((len(count),), rest, dtype=torch.int64)
        self._row[self.labels] = torch.arange(rest)
        self.total = torch.zeros(rest + 1, neurons, dtype=torch.float64)
        self.squares = torch.zeros(neurons, dtype=torch.float64)
        self.added = torch.zeros_like(self.count)

    def add(self, values: Num[Tensor, "token neuron"], tokens: Int[Tensor, " token"]) -> None:
        """Add the activations at the scored ``tokens``, given by their ids."""
        exact, ids = values.double().cpu(), tokens.long().cpu()
        self.added += torch.bincount(ids, minlength=len(self.added))
        self.total.index_add_(0, self._row[ids], exact)
        self.squares += exact.square().sum(0)

    def scores(self) -> UnigramScores:
        """The score of the label "the current token is w", maximal over the labels w:

            1 - [(1 - beta) var(v | not w) + beta var(v | w)] / var(v)  =  beta / (1 - beta) (mean_w - mean)^2 / var(v)

        with beta the share of w: the reduction of variance of Gurnee et al. 2024, equation 4, on activations after the
        nonlinearity.  It is between 0 and 1.

        Deviation: a label is one id of the vocabulary; theirs joins the spellings of a word in lower and upper case.
        A token rarer than ``occurrences`` is no label, because the best of many rare ones explains much by chance.  A
        token that is all there is explains nothing.  Raises ValueError if other tokens were added than were counted.
        """
        tokens = int(self.count.sum())
        if not tokens or not torch.equal(self.added, self.count):
            raise ValueError(f"scores of {int(self.added.sum())} tokens; counted before were {tokens}, or others")
        mean = self.total.sum(0) / tokens
        variance = self.squares / tokens - mean.square()
        occurrences = self.count[self.labels].double()[:, None]
        share = occurrences / tokens
        offset = self.total[:-1] / occurrences - mean
        # The variance of a constant is a rounding error, relative to its mean square.
        varies = variance > 1e-12 * self.squares / tokens
        reduction = torch.where(varies, share / (1 - share) * offset.square() / variance, torch.nan)
        if not len(self.labels):
            return UnigramScores(torch.full_like(mean, torch.nan), torch.full(mean.shape, -1))
        best = reduction.nan_to_num(nan=-1.0).max(0)
        score = torch.where(varies, best.values.clamp(max=1.0), torch.nan)
        return UnigramScores(score, torch.where(varies, self.labels[best.indices], -1))
