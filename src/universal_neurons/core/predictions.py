# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Neurons by what they write into the vocabulary, and a test of whether the next token agrees with it.

A neuron's set S are the tokens at the end of the vocabulary that its skewness points to: of its cosines with the
unembedding at most ``shown`` with |z| above a bound.  It is tested by the area under the ROC curve of its activation
for "the next token is in S", in batches: with n+ tokens in a batch whose next token is in S and n- others,

    AUC = sum over batches of U / sum over batches of n+ n-,

U being Mann and Whitney's statistic with ties counted as one half.  Tokens are compared within their batch only, so
nothing has to be sorted over the whole text, and differences between texts do not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from universal_neurons.core.moments import NonFiniteActivationError
from universal_neurons.core.profiles import CentralMoments, weight_profiles
from universal_neurons.core.weights import NeuronWeights

# Bounds what the ranks of a batch take beside it.
NEURONS_PER_SORT = 512


@dataclass(frozen=True, eq=False)
class VocabularyWriting:
    """Moments over the vocabulary of the cosines of directions with the unembedding, and the set of each direction.

    ``members``: the tokens of the set, the most extreme first, and -1 where fewer than ``shown`` are extreme enough.
    """

    moments: CentralMoments
    members: Int64[Tensor, "direction shown"]


@torch.no_grad()
def vocabulary_writing(
    directions: Float64[Tensor, "direction width"],
    unembedding: Float64[Tensor, "vocab width"],
    *,
    shown: int,
    bound: float,
) -> VocabularyWriting:
    """The moments of ``directions``, and sets of at most ``shown`` tokens with a |z| above ``bound``.

    The set is at the upper end where the skewness is at least 0, and otherwise at the lower.
    Raises ValueError if fewer than ``shown`` tokens have an unembedding.
    """
    silent = directions.new_zeros(len(directions))
    found = weight_profiles(NeuronWeights(directions, silent, directions, unembedding), shown=shown)
    moments = found.vocabulary
    is_upper = (moments.skewness >= 0)[:, None]
    tokens = torch.where(is_upper, found.promoted, found.suppressed)
    cosine = torch.where(is_upper, found.promoted_cosine, found.suppressed_cosine)
    extremity = (cosine - moments.mean[:, None]).abs() / moments.variance.sqrt()[:, None]
    return VocabularyWriting(moments, torch.where(extremity > bound, tokens, -1))


def equally_frequent(
    members: Int64[Tensor, "set shown"], counts: Int64[Tensor, " vocab"], *, generator: torch.Generator
) -> Int64[Tensor, "set shown"]:
    """Other tokens of nearly the same frequency: each is exchanged for its neighbour in the order of ``counts``.

    Neighbours are pairs, and tokens of equal counts stand in random order.  A neighbour that is in the set itself is
    left out (-1).
    """
    shuffled = torch.randperm(len(counts), generator=generator).to(counts.device)
    order = shuffled[counts[shuffled].argsort(stable=True)]
    last = len(order) - len(order) % 2
    neighbour = torch.arange(len(counts), device=counts.device)
    neighbour[order[:last:2]], neighbour[order[1:last:2]] = order[1:last:2], order[:last:2]
    exchanged = torch.where(members >= 0, neighbour[members.clamp(min=0)], -1)
    inside = (exchanged[:, :, None] == members[:, None, :]).any(2)
    return torch.where(inside, -1, exchanged)


@dataclass(frozen=True, eq=False)
class NextTokenTest:
    """Sums over batches of Mann and Whitney's U and of the pairs it counts, and tokens before one of the set."""

    statistic: Float64[Tensor, " neuron"]
    pairs: Float64[Tensor, " neuron"]
    positives: Int64[Tensor, " neuron"]

    @classmethod
    def empty(cls, neurons: int, *, device: torch.device | str = "cpu") -> "NextTokenTest":
        """The test of no token."""
        statistic, pairs = torch.zeros(2, neurons, dtype=torch.float64, device=device)
        return cls(statistic, pairs, torch.zeros(neurons, dtype=torch.int64, device=device))

    def __add__(self, other: "NextTokenTest") -> "NextTokenTest":
        """The test on the batches of both."""
        return NextTokenTest(
            self.statistic + other.statistic, self.pairs + other.pairs, self.positives + other.positives
        )

    @property
    def auc(self) -> Float64[Tensor, " neuron"]:
        """P(larger where the next token is in S), NaN where no batch has tokens of both kinds."""
        return torch.where(self.pairs > 0, self.statistic / self.pairs, torch.nan)


def membership(members: Int64[Tensor, "set shown"], vocabulary: int) -> Bool[Tensor, "vocab set"]:
    """Whether each token of the vocabulary is in each set."""
    # One row more for the places without a member.
    table = torch.zeros(vocabulary + 1, len(members), dtype=torch.bool, device=members.device)
    table[members.T, torch.arange(len(members), device=members.device)] = True
    return table[:-1]


@torch.no_grad()
def next_token_tests(
    values: Float[Tensor, "token neuron"], positives: Sequence[Bool[Tensor, "token neuron"]]
) -> list[NextTokenTest]:
    """The test on one batch of activations for each of several ``positives``: who is before a token of the set.

    Raises :class:`~universal_neurons.core.moments.NonFiniteActivationError`.
    """
    if not bool(values.isfinite().all()):
        raise NonFiniteActivationError(int((~values.isfinite().all(0)).nonzero()[0]))
    parts = [
        _tested(
            values[:, start : start + NEURONS_PER_SORT], [one[:, start : start + NEURONS_PER_SORT] for one in positives]
        )
        for start in range(0, values.shape[1], NEURONS_PER_SORT)
    ]
    return [NextTokenTest(*map(torch.cat, zip(*tests, strict=True))) for tests in zip(*parts, strict=True)]


def _tested(values: Tensor, positives: Sequence[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
    # Sorting along memory takes two thirds of the time.
    ordered, token = values.T.contiguous().sort(dim=1)
    rank = _middle_ranks(ordered)
    tests = []
    for is_positive in positives:
        number = is_positive.sum(0)
        count = number.double()
        total = (rank * is_positive.T.gather(1, token)).sum(1, dtype=torch.float64)
        tests.append((total - count * (count + 1) / 2, count * (len(values) - count), number))
    return tests


def _middle_ranks(ordered: Float[Tensor, "neuron token"]) -> Float[Tensor, "neuron token"]:
    """Ranks from 1 of ascending values, the middle of their ranks for equal ones: halves, which float32 has exactly."""
    place = torch.arange(ordered.shape[1], device=ordered.device).expand_as(ordered)
    is_new = torch.ones_like(ordered, dtype=torch.bool)
    is_new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    if bool(is_new.all()):
        return place + 1.0
    first = torch.where(is_new, place, 0).cummax(1).values
    is_last = torch.ones_like(is_new)
    is_last[:, :-1] = is_new[:, 1:]
    last = torch.where(is_last, place, ordered.shape[1]).flip(1).cummin(1).values.flip(1)
    return (first + last) / 2 + 1.0


@dataclass(frozen=True, eq=False)
class PlantedNeurons:
    """Made-up prediction and suppression neurons, whose direction and activations are known to agree.

    ``members``: the tokens that each one fires before, a drawn one and its nearest by the unembedding;
    ``directions``: the one whose cosines with the unembedding are nearest to 1 for them and 0 for all others (least
    squares), against it for a suppression neuron (every second one), and half as much of a random direction.
    """

    members: Int64[Tensor, "planted size"]
    directions: Float64[Tensor, "planted width"]

    @classmethod
    def drawn(
        cls,
        unembedding: Float64[Tensor, "vocab width"],
        candidates: Int64[Tensor, " candidate"],
        *,
        count: int,
        size: int,
        generator: torch.Generator,
    ) -> "PlantedNeurons":
        """``count`` neurons with sets of ``size`` of the ``candidates``; raises ValueError if they are fewer."""
        if len(candidates) < size:
            raise ValueError(f"{len(candidates)} tokens for sets of {size}")
        unit = torch.nn.functional.normalize(unembedding, dim=1)
        first = torch.randint(len(candidates), (count,), generator=generator).to(candidates.device)
        members = candidates[(unit[candidates[first]] @ unit[candidates].T).topk(size, dim=1).indices]
        target = unembedding.new_zeros(len(unembedding), count)
        target[members.T, torch.arange(count, device=members.device)] = 1.0
        # Without the direction of all ones, in which a centred unembedding has nothing but rounding.
        signal = torch.nn.functional.normalize((torch.linalg.pinv(unit, rtol=1e-9) @ target).T, dim=1)
        signal[1::2] *= -1
        return cls(members, signal + random_directions(count, unembedding, generator=generator) / 2)

    def activations(
        self, following: Int64[Tensor, " token"], *, shift: float, generator: torch.Generator
    ) -> Float64[Tensor, "token planted"]:
        """Standard normal noise, ``shift`` larger where the ``following`` token is a member."""
        fires = (following[:, None, None] == self.members).any(2)
        noise = torch.randn(len(following), len(self.members), generator=generator, dtype=torch.float64)
        return noise.to(following.device) + shift * fires


def random_directions(
    count: int, unembedding: Float64[Tensor, "vocab width"], *, generator: torch.Generator
) -> Float64[Tensor, "direction width"]:
    """Unit vectors of even distribution in the subspace of centred vectors, where folded output weights lie."""
    drawn = torch.randn(count, unembedding.shape[1], generator=generator, dtype=torch.float64).to(unembedding.device)
    return torch.nn.functional.normalize(drawn - drawn.mean(1, keepdim=True), dim=1)
