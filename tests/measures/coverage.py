"""Populations of which the truth is known, for every kind of interval that a claim is judged by.

The truth is the number in the population: with infinitely many tokens, of all neurons like these, over all models like
these.  Sizes, standard errors and skewness are as in a small suite (mini) or somewhat worse; nothing here was fitted to
a verdict.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tests.measures.ablations import Ablated, draws, table_of
from tests.measures.related import NEURONS, all_kept, population, sampled, true_partners
from universal_neurons.measures.ablation import contrast, effect, effect_ratio, first_layer_ratio, standing
from universal_neurons.measures.ablation_table import SetKind, SetOf
from universal_neurons.measures.histories import combined, rate_of
from universal_neurons.measures.intervals import ConfidenceInterval, jackknife, jackknife_of_samples
from universal_neurons.measures.mutual import mutual_pairs, mutual_share
from universal_neurons.measures.tables import Definition, ReferenceTables, Resampling, UniversalityTable
from universal_neurons.measures.universality import definition_share, share_difference

if TYPE_CHECKING:
    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.ablation_table import AblationTable
    from universal_neurons.measures.arrays import Floats

# An interval of one simulated study, and the truth that it should cover.
Simulation = Callable[[np.random.Generator], tuple[ConfidenceInterval, float]]

BLOCKS = 100
RESAMPLING = Resampling(resamples=200, level=0.95, seed=3)
NEAR = 0.15  # about ten standard errors: neurons that lie lower never cross the threshold


@dataclass(frozen=True)
class Population:
    """How the correlations of a reference's neurons are distributed, over several tables at once.

    ``alike`` and ``shared`` are the correlations, from one table to the next, of the true values and of the noise.
    """

    neurons: int
    threshold: float
    means: tuple[float, ...]
    alike: float = 0.87
    shared: float = 0.74
    error: float = 0.022

    def tables(self, generator: np.random.Generator) -> tuple[Floats, list[UniversalityTable]]:
        """The true correlations (table, neuron) and what one corpus of 100 blocks makes of them."""
        shape = (len(self.means), self.neurons)
        truth = np.array(self.means)[:, None] + 0.16 * chained(generator.standard_normal(shape), self.alike)
        candidates = np.flatnonzero((truth > self.threshold - NEAR).any(axis=0))
        spread = np.exp(0.5 * generator.standard_normal(candidates.size))
        errors = self.error * (1 - truth[:, candidates] ** 2) * spread
        # Blocks of tokens differ in how much they matter; it gives influences the kurtosis of mini's, above 4.
        weight = np.exp(0.3 * generator.standard_normal((BLOCKS, 1)) - 0.09)
        noise = weight * generator.standard_normal((len(self.means), BLOCKS, candidates.size))
        moves = errors[:, None, :] * chained(noise, self.shared) / math.sqrt(BLOCKS)
        excess = truth.copy()
        excess[:, candidates] += moves.sum(axis=1)
        influence = (moves - moves.mean(axis=1, keepdims=True)).astype(np.float32)
        return truth, [
            measured(excess[row], candidates, influence[row], partner="bcde"[row], step=row)
            for row in range(len(self.means))
        ]


def chained(noise: Floats, correlation: float) -> Floats:
    """Each entry along the first axis correlated with the one before it."""
    for row in range(1, len(noise)):
        noise[row] = correlation * noise[row - 1] + math.sqrt(1 - correlation**2) * noise[row]
    return noise


def measured(
    excess: Floats, candidates: npt.NDArray[np.int64], influence: Floats, *, partner: str, step: int
) -> UniversalityTable:
    columns = ("correlation", "excess", "excess_half_a", "excess_half_b")
    zeros = np.zeros(excess.size, dtype=np.int16)
    frame = pd.DataFrame({"layer": zeros, "neuron": np.arange(excess.size), **dict.fromkeys(columns, excess)})
    draws = np.zeros((2, candidates.size))
    return UniversalityTable("a", partner, step, frame, candidates, influence, draws, RESAMPLING)


def at_steps(tables: list[UniversalityTable]) -> list[UniversalityTable]:
    """The same tables against one partner at successive steps."""
    return [
        UniversalityTable("a", "b", t.step, t.frame, t.candidates, t.influence, t.draws, t.resampling) for t in tables
    ]


def of_partners(tables: list[UniversalityTable]) -> ReferenceTables:
    """The same tables against several partners at one step."""
    return ReferenceTables.of(
        [
            UniversalityTable("a", t.partner, 1, t.frame, t.candidates, t.influence, t.draws, t.resampling)
            for t in tables
        ]
    )


def mean_share(population: Population, tables: list[UniversalityTable]) -> Measurement:
    return definition_share(of_partners(tables), Definition.PAIR, population.threshold)


def difference(population: Population, tables: list[UniversalityTable]) -> Measurement:
    earlier, later = at_steps(tables)
    return share_difference(earlier, later, population.threshold)


# The numbers as functions of the shares (table,), without any code of the measures.
TRUTHS: dict[Callable[[Population, list[UniversalityTable]], Measurement], Callable[[Floats], float]] = {
    mean_share: lambda shares: float(shares.mean()),
    difference: lambda shares: float(shares[1] - shares[0]),
}
FOUR = (0.22, 0.22, 0.22, 0.22)


def share_of_population(
    population: Population, number: Callable[[Population, list[UniversalityTable]], Measurement]
) -> Simulation:
    """One corpus of 100 blocks of a population."""

    def simulation(generator: np.random.Generator) -> tuple[ConfidenceInterval, float]:
        truth, tables = population.tables(generator)
        return ends(number(population, tables)), TRUTHS[number]((truth > population.threshold).mean(axis=1))

    return simulation


def ends(found: Measurement) -> ConfidenceInterval:
    """The interval of a measurement."""
    return ConfidenceInterval(found.low, found.high)


# Persistence: neurons differ in how universal they are, against all partners and at all checkpoints.


@dataclass(frozen=True)
class Persisting:
    """Neurons of one model against four partners at three checkpoints; ``alike``: what a neuron's scores share."""

    neurons: int = 2048
    alike: float = 0.6

    def states(self, generator: np.random.Generator, neurons: int) -> npt.NDArray[np.bool_]:
        """Flags of universal neurons (partner, checkpoint, neuron), 4 % of all, more persistent later on."""
        own = math.sqrt(self.alike) * generator.standard_normal(neurons)
        noise = generator.standard_normal((3, 4, neurons))
        for step, kept in ((1, 0.75), (2, 0.9)):
            noise[step] = kept * noise[step - 1] + math.sqrt(1 - kept**2) * noise[step]
        scores = own + math.sqrt(1 - self.alike) * noise
        return np.moveaxis(scores > 1.75, 0, 1)

    @cache  # noqa: B019  the populations live as long as the tests
    def truths(self) -> tuple[float, float]:
        """The two rates of persistence, from a very large population."""
        states = self.states(np.random.default_rng(1), 2_000_000)
        both = [float((states[:, step] & states[:, step + 1]).sum() / states[:, step].sum()) for step in (0, 1)]
        return both[0], both[1]

    def rate(self, generator: np.random.Generator) -> tuple[ConfidenceInterval, float]:
        """The persistence over the first interval, partners pooled."""
        states = self.states(generator, self.neurons)
        found = rate_of(states[:, 0], states[:, 1])
        assert found is not None
        return found.limits(0.95), self.truths()[0]

    def gain(self, generator: np.random.Generator) -> tuple[ConfidenceInterval, float]:
        """The persistence over the second interval minus the first."""
        states = self.states(generator, self.neurons)
        rates = [rate_of(states[:, step], states[:, step + 1]) for step in (0, 1)]
        _, interval = combined([rate for rate in rates if rate is not None], (-1.0, 1.0), level=0.95)
        first, second = self.truths()
        return interval, second - first


# Pooled over models: every directed pair of five models, of which each has a part as reference and one as partner.


def pooled_over_pairs(generator: np.random.Generator, models: int = 5) -> tuple[ConfidenceInterval, float]:
    """The mean over all directed pairs, and the interval of the jackknife that leaves out one model at a time."""
    reference, partner = 0.6 * generator.standard_normal((models, 1)), 0.4 * generator.standard_normal(models)
    values = reference + partner + 0.5 * generator.standard_normal((models, models))
    np.fill_diagonal(values, np.nan)
    rest = [np.delete(np.delete(values, left_out, axis=0), left_out, axis=1) for left_out in range(models)]
    value = float(np.nanmean(values))
    return jackknife(value, [float(np.nanmean(part)) for part in rest], level=0.95), 0.0


def slope_over_sizes(generator: np.random.Generator) -> tuple[ConfidenceInterval, float]:
    """The slope over three suites of four to ten models, whose shares rise by one for each; models vary by a half."""
    suites = [place + 0.5 * generator.standard_normal(models) for place, models in enumerate((10, 5, 4))]

    def slope(means: list[float]) -> float:
        return (means[2] - means[0]) / 2

    means = [float(values.mean()) for values in suites]
    rest = [
        [slope([*means[:at], float(np.delete(values, i).mean()), *means[at + 1 :]]) for i in range(len(values))]
        for at, values in enumerate(suites)
    ]
    return jackknife_of_samples(slope(means), rest, level=0.95), 1.0


# Ablation: effects per row of tokens are lognormal, as skewed as mini's, and partly common to all sets.


@dataclass(frozen=True)
class Ablating:
    """A universal set with effect 1 and 20 draws, seen through blocks.

    ``spread`` is the standard deviation of the logarithm over rows, of the universal set and of the draws, ``varied``
    the coefficient of variation of the draws, which are gamma distributed, and ``mean`` their mean.
    """

    blocks: int = 100
    mean: float = 0.3
    varied: float = 0.2
    spread: tuple[float, float] = (0.7, 0.45)

    def drawn(self, generator: np.random.Generator, count: int) -> Floats:
        """True effects of random sets."""
        shape = 1 / self.varied**2
        return generator.gamma(shape, self.mean / shape, count)

    def study(self, generator: np.random.Generator) -> tuple[AblationTable, float]:
        """The table, and the true effect of a further draw."""
        effects = self.drawn(generator, 21)
        deviations = np.array([self.spread[0], *[self.spread[1]] * 20])
        seen = rows_of(np.array([1.0, *effects[:20]]), deviations, self.blocks, generator)
        return dataclasses.replace(unmeasured(self.blocks), kl=seen), float(effects[20])

    def effect(self, generator: np.random.Generator) -> tuple[ConfidenceInterval, float]:
        """The effect of the universal set over tokens."""
        return ends(effect(self.study(generator)[0], PAIR)), 1.0

    def standing(self, generator: np.random.Generator) -> tuple[ConfidenceInterval, float]:
        """The distance of the set from the mean of random sets in their standard deviations."""
        table, _ = self.study(generator)
        return ends(standing(table, PAIR)), (1 - self.mean) / (self.varied * self.mean)

    def contrast(self, generator: np.random.Generator) -> tuple[ConfidenceInterval, float]:
        """The set minus a further draw."""
        table, further = self.study(generator)
        return ends(contrast(table, PAIR, SetKind.LAYER_MATCHED)), 1 - further

    def ratio(self, generator: np.random.Generator) -> tuple[ConfidenceInterval, float]:
        """The set over a further draw."""
        table, further = self.study(generator)
        return ends(effect_ratio(table, PAIR, SetKind.LAYER_MATCHED)), 1 / further

    def first_layer(self, generator: np.random.Generator) -> tuple[ConfidenceInterval, float]:
        """Layer 0 over the largest deeper layer, over five models, in whose deeper layers the effects are alike."""
        tables = {}
        for model in "abcde":
            first, *deeper = np.exp(0.5 * generator.standard_normal()), 1.0, 0.9, 0.3
            seen = rows_of(np.array([first, *deeper]), np.full(4, 0.7), self.blocks, generator)
            tables[model] = dataclasses.replace(layers_of(self.blocks), reference=model, kl=seen)
        return ends(first_layer_ratio(tables, PAIR)), 1.0


PAIR = SetOf(0.5, "b")
# Percentiles of few resamples would cost a studentised interval half a percentage point.
MANY = dataclasses.replace(RESAMPLING, resamples=1000)


def rows_of(effects: Floats, spread: Floats, blocks: int, generator: np.random.Generator) -> Floats:
    """Effects per block (set, block), lognormal with ``spread``, of whose logarithms 60 % are common to all sets."""
    common = math.sqrt(0.6) * generator.standard_normal(blocks)
    own = math.sqrt(0.4) * generator.standard_normal((effects.size, blocks))
    return np.asarray(effects[:, None] * np.exp(spread[:, None] * (common + own) - spread[:, None] ** 2 / 2))


@cache
def unmeasured(blocks: int) -> AblationTable:
    """A universal set and draws without effects: a frame to be given some, which is quicker than a new one."""
    sets = [Ablated(SetKind.UNIVERSAL, 0.0), *draws(SetKind.LAYER_MATCHED, [0.0] * 20)]
    return table_of(sets, blocks=blocks, resampling=MANY)


@cache
def layers_of(blocks: int) -> AblationTable:
    """The universal neurons of each of four layers, without effects."""
    sets = [Ablated(SetKind.UNIVERSAL, 0.0, layer=layer) for layer in range(4)]
    return table_of(sets, blocks=blocks, resampling=MANY)


@dataclass(frozen=True)
class IntervalKind:
    """A kind of number that claims use: what it is, over what its interval is, and how to simulate it."""

    says: str
    over: str
    simulate: Simulation


def mutual_pairs_of_two(generator: np.random.Generator) -> tuple[ConfidenceInterval, float]:
    """The share of neurons with a mutual best partner, of two models of 60 neurons that read 1,600 tokens."""
    reads = population(2, seed=int(generator.integers(2**32)))
    truth = true_partners(reads)
    kept = all_kept(sampled(reads, tokens=1600, seed=int(generator.integers(2**32))))
    found = mutual_share(kept, (0, 1), dataclasses.replace(RESAMPLING, resamples=60))
    return ends(found), len(mutual_pairs(truth[0, 1], truth[1, 0])) / NEURONS


def _share(population: Population, number: Any) -> Simulation:
    return share_of_population(population, number)


KINDS: dict[str, IntervalKind] = {
    "share": IntervalKind("share", "token blocks", _share(Population(1024, 0.5, (0.22,)), mean_share)),
    "share_high": IntervalKind(
        "share at a high threshold", "token blocks", _share(Population(2048, 0.6, (0.22,)), mean_share)
    ),
    "mean_share": IntervalKind(
        "mean share of four partners", "token blocks", _share(Population(512, 0.5, FOUR, shared=0.72), mean_share)
    ),
    "difference": IntervalKind(
        "difference of shares", "token blocks", _share(Population(512, 0.5, (0.20, 0.22)), difference)
    ),
    "mutual": IntervalKind("share of neurons with a mutual partner", "token blocks", mutual_pairs_of_two),
    "persistence": IntervalKind("persistence", "neurons", Persisting().rate),
    "persistence_gain": IntervalKind("difference of persistence", "neurons", Persisting().gain),
    "pooled": IntervalKind("mean over directed pairs, jackknife over five models", "models", pooled_over_pairs),
    "slope": IntervalKind("slope over three suites, jackknife over the models of each", "models", slope_over_sizes),
    "effect": IntervalKind("effect of an ablation", "token blocks", Ablating().effect),
    "effect_pairs": IntervalKind("effect of a patch, 50 blocks", "token blocks", Ablating(blocks=50).effect),
    "standing_percentile": IntervalKind(
        "standing at the draws' 95th percentile", "token blocks and draws",
        Ablating(mean=1 / (1 + 0.2 * 1.645)).standing,
    ),
    "standing_mean": IntervalKind("standing at the draws' mean", "token blocks and draws", Ablating(mean=1.0).standing),
    "contrast": IntervalKind("set minus a further draw", "token blocks and draws", Ablating().contrast),
    "draws_ratio": IntervalKind("set over a further draw", "token blocks and draws", Ablating().ratio),
    "first_layer": IntervalKind("layer 0 over the largest deeper layer", "models", Ablating().first_layer),
}  # fmt: skip


@dataclass(frozen=True)
class Coverage:
    """Of how many simulated intervals how many lay below and above the truth."""

    simulations: int
    below: int
    above: int

    @property
    def covered(self) -> float:
        """The share of intervals that contain the truth."""
        return 1 - (self.below + self.above) / self.simulations


def coverage(kind: IntervalKind, simulations: int, *, seed: int) -> Coverage:
    """The coverage of one kind in ``simulations`` studies; with room for rounding."""
    generator = np.random.default_rng(seed)
    found = [kind.simulate(generator) for _ in range(simulations)]
    below = sum(interval.high < truth - 1e-12 for interval, truth in found)
    above = sum(interval.low > truth + 1e-12 for interval, truth in found)
    return Coverage(simulations, below, above)
