"""Intervals: how far a number could have come out otherwise.

This module decides how replicates, counts and leave-one-out values become an interval or a p value.  It refuses to know
what the number means: no neuron, no threshold, no model.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """The two ends of an interval, ``low <= high``."""

    low: float
    high: float


@lru_cache(maxsize=16)
def block_weights(blocks: int, *, resamples: int, seed: int) -> Floats:
    """How often each block is drawn in each bootstrap replicate: (resample, block), every row sums to ``blocks``.

    Multinomial counts of ``blocks`` draws with replacement (Efron & Tibshirani 1993, An Introduction to the Bootstrap,
    section 6.4; contiguous blocks of a sequence: Kuensch 1989, Annals of Statistics 17, 1217-1241).  Equal arguments
    give equal weights: that is what pairs the replicates of two checkpoints or of four partners.  One block gives
    weights 1.

    The array is shared between callers and therefore read-only.  Raises ValueError without blocks or resamples.
    """
    if blocks < 1 or resamples < 1:
        raise ValueError(f"a block bootstrap needs blocks and resamples; got {blocks} blocks, {resamples} resamples")
    counts = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples)
    weights = counts.astype(np.float64)
    weights.flags.writeable = False
    return weights


def percentile_interval(value: float, replicates: npt.ArrayLike, *, level: float) -> Interval:
    """The central ``level`` of the bootstrap replicates, widened where necessary until it contains ``value``.

    Efron & Tibshirani 1993, section 13.3.  The percentile interval of a biased statistic can miss the value it is about
    (a share of scores just above a threshold is such a statistic); an interval that excludes its own value cannot be
    judged, so the nearer end is moved to the value.  For such a share the bias-corrected interval (Efron 1987, JASA 82,
    171-185) is worse, not better: the share is not smooth in the scores, the replicates fall back towards the truth,
    and the correction takes that for bias (simulated at a nominal 95 %: 79 % coverage against 95 % of this one).

    Raises ValueError without replicates, or with a NaN among them, which would vanish in the sort.  Infinite ones may
    become ends.
    """
    low, high = np.quantile(_replicates(replicates, level), _tails(level), method="inverted_cdf")
    return _containing(value, float(low), float(high))


def wilson(successes: int, n: int, *, level: float) -> Interval:
    """The Wilson score interval of the proportion ``successes / n``.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n); Wilson 1927, JASA 22, 209-212; method 3 of Newcombe 1998,
    Statistics in Medicine 17, 857-872.  At 0 and n successes it is exactly 0 and 1 at that end and still has width.

    Raises ValueError for n < 1 or successes outside 0..n.
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"a proportion needs 0 <= successes <= n and n >= 1; got {successes} of {n}")
    z = _normal_quantile(level)
    share = successes / n
    centre = share + z**2 / (2 * n)
    reach = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = ((centre + sign * reach) / (1 + z**2 / n) for sign in (-1, 1))
    # At 0 and n centre and reach agree only up to rounding; an end at -1e-19 would exclude its own value.
    return Interval(0.0 if successes == 0 else low, 1.0 if successes == n else high)


def newcombe_paired(*, both: int, first: int, second: int, neither: int, level: float) -> Interval:
    """The interval of P(second) - P(first) for one set of units observed twice.

    ``both``, ``first`` (only), ``second`` (only) and ``neither`` are the four cells.  The Wilson limits of the two
    proportions are combined by "square and add" with the correlation phi of the 2 x 2 table, its numerator
    continuity-corrected: method 10 of Newcombe 1998, Statistics in Medicine 17, 2635-2650.

    Edge cases: phi is 0 where a margin is empty.  Without any discordant unit the interval contains 0 and has width,
    unlike Wald's.  Raises ValueError without units or with a negative cell.
    """
    cells = (both, first, second, neither)
    n = sum(cells)
    if n < 1 or min(cells) < 0:
        raise ValueError(f"a paired difference needs units and no negative cell; got {cells}")
    once, twice = both + first, both + second
    margins = once * (n - once) * twice * (n - twice)
    association = both * neither - first * second
    corrected = max(association - n / 2, 0.0) if association > 0 else float(association)
    phi = corrected / math.sqrt(margins) if margins else 0.0
    p1, p2 = once / n, twice / n
    low1, high1 = wilson(once, n, level=level)
    low2, high2 = wilson(twice, n, level=level)
    difference = (second - first) / n
    below = _square_and_add(p2 - low2, high1 - p1, phi)
    above = _square_and_add(high2 - p2, p1 - low1, phi)
    return Interval(max(difference - below, -1.0), min(difference + above, 1.0))


def mcnemar_p(*, first: int, second: int) -> float:
    """The exact two-sided p value that units change in either direction equally often.

    Binomial(first + second, 1/2) on the discordant units (McNemar 1947, Psychometrika 12, 153-157; the exact form:
    Fagerland, Lydersen & Laake 2013, BMC Medical Research Methodology 13:91).  1 without discordant units.
    """
    if min(first, second) < 0:
        raise ValueError(f"counts of changed units cannot be negative; got {first} and {second}")
    if first + second == 0:
        return 1.0
    return float(stats.binomtest(second, first + second, 0.5).pvalue)


def jackknife(value: float, leave_one_out: Sequence[float], *, level: float) -> Interval:
    """value -+ t SE from the values with each unit left out once; SE^2 = (m-1)/m sum (v_i - mean)^2.

    Efron & Tibshirani 1993, equation 11.5; Student's t with m - 1 degrees of freedom because m is a handful of models
    (Miller 1974, Biometrika 61, 1-15, section 2).  For a mean over units it is the textbook interval of that mean.  The
    models of one reference share the reference: the interval is about other partners, not about other references.

    Raises ValueError with fewer than two units or a NaN among them.
    """
    values = np.asarray(leave_one_out, dtype=np.float64)
    if values.size < 2 or np.isnan(values).any() or math.isnan(value):
        raise ValueError(f"a jackknife needs at least two defined values; got {values.tolist()}")
    units = values.size
    error = math.sqrt((units - 1) / units * float(np.sum((values - values.mean()) ** 2)))
    reach = float(stats.t.ppf(_tails(level)[1], units - 1)) * error
    return Interval(value - reach, value + reach)


def holm(p_values: npt.ArrayLike) -> Floats:
    """p values adjusted so that rejecting those below alpha keeps the family-wise error rate at alpha.

    Step-down: the k-th smallest of m becomes max over j <= k of (m - j + 1) p_(j), at most 1 (Holm 1979, Scandinavian
    Journal of Statistics 6, 65-70), whatever the dependence.  An empty family gives an empty array.  Raises ValueError
    outside [0, 1].
    """
    values = _p_values(p_values)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def benjamini_hochberg(p_values: npt.ArrayLike) -> Floats:
    """p values adjusted so that rejecting those below q keeps the false discovery rate at q for independent tests.

    Step-up: the k-th smallest of m becomes min over j >= k of m p_(j) / j (Benjamini & Hochberg 1995, JRSS B 57,
    289-300), by scipy.  An empty family gives an empty array.  Raises ValueError outside [0, 1].
    """
    values = _p_values(p_values)
    return np.asarray(stats.false_discovery_control(values, method="bh"), dtype=np.float64) if values.size else values


def _replicates(replicates: npt.ArrayLike, level: float) -> Floats:
    sample = np.asarray(replicates, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or np.isnan(sample).any():
        raise ValueError(f"an interval at level {level} needs a row of defined replicates; got shape {sample.shape}")
    return sample


def _tails(level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval lies between 0 and 1; got {level}")
    return (1 - level) / 2, (1 + level) / 2


def _normal_quantile(level: float) -> float:
    return float(stats.norm.ppf(_tails(level)[1]))


def _containing(value: float, low: float, high: float) -> Interval:
    return Interval(min(low, value), max(high, value))


def _square_and_add(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(a**2 - 2 * phi * a * b + b**2, 0.0))


def _p_values(p_values: npt.ArrayLike) -> Floats:
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not np.all((values >= 0) & (values <= 1)):
        raise ValueError(f"p values are a row of numbers between 0 and 1; got {values.tolist()}")
    return values
