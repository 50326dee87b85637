"""Correction of verdicts for multiple testing.

An interval is read as a test: p values are recovered from its two ends, adjusted within a family of claims, and a
verdict that the adjusted p value no longer supports becomes inconclusive.  A correction
never makes a verdict stronger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, NamedTuple, assert_never

from universal_neurons.evidence.criteria import AboveDraws, Criterion, Near, Region
from universal_neurons.evidence.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.measurement import Measurement

Correction = Literal["holm", "benjamini-hochberg"]


@dataclass(frozen=True, slots=True)
class Tested:
    """One case of a family: its verdict after the correction, its p value, and the p value adjusted for the family.

    Both p values are NaN where the case tests nothing: a missing measurement, a criterion that is not judged.
    """

    verdict: Verdict
    p: float
    adjusted: float


class PValues(NamedTuple):
    """The one-sided p values of a criterion and of its negation; NaN where the criterion's rule tests no such thing.

    A small ``fails`` speaks for *reproduced*: it is the p value of the hypothesis that the criterion does not hold.  A
    small ``holds`` speaks for *refuted*.
    """

    fails: float
    holds: float

    @property
    def smaller(self) -> float:
        """The p value of the decision towards which the measurement leans; NaN where there is none."""
        return min((p for p in self if not math.isnan(p)), default=math.nan)


def adjusted(cases: Sequence[tuple[Criterion, Measurement]], method: Correction) -> list[Tested]:
    """The verdict of every case of a family after ``method``, in the order of ``cases``.

    The p value of a case is :attr:`PValues.smaller`.  A raw *reproduced* or *refuted* stays if the adjusted p value is
    at most (1 - level)/2 of its measurement, and becomes *inconclusive* otherwise; every other raw verdict stays.  A
    case can be decided wrongly in two directions, each at (1 - level)/2, so a family of intervals at level 95 % has a
    family-wise error rate (Holm) or a false discovery rate (Benjamini-Hochberg) of 5 %.

    Edge cases: a case that tests nothing keeps its verdict and does not count into the family's size.  A match with a
    published number (:class:`Near`, reproduced) is not the rejection of a hypothesis, so no correction can take it
    away; only its refutation is a test.
    """
    p_values = [p_values_of(criterion, measurement).smaller for criterion, measurement in cases]
    tested = [place for place, p in enumerate(p_values) if not math.isnan(p)]
    corrected = dict(zip(tested, _adjust([p_values[place] for place in tested], method), strict=True))
    return [
        Tested(_corrected_verdict(criterion, measurement, corrected.get(place, math.nan)), p_values[place],
               corrected.get(place, math.nan))
        for place, (criterion, measurement) in enumerate(cases)
    ]  # fmt: skip


def p_values_of(criterion: Criterion, measurement: Measurement) -> PValues:
    """The p values that ``measurement`` gives to ``criterion``; both NaN where nothing is tested.

    A bound gives one test for each direction.  *Between* and *Equivalent* fail where either bound fails, so their
    ``fails`` is the larger of two one-sided p values (Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics
    15, 657-680: TOST; Berger 1982, Technometrics 24, 295-300, in general), and ``holds`` is the p value at the bound
    that the measurement is beyond.  *Near* is refuted by the same rule over its whole band; its match is no test, so
    ``fails`` is NaN.  Raises :class:`CriterionError` for a criterion without a region, or a published bound that was
    not looked up.
    """
    if measurement.is_missing:
        return PValues(math.nan, math.nan)
    p_values = _p_values_of(criterion.region, measurement)
    match criterion:
        case Near():
            return p_values._replace(fails=math.nan)
        case AboveDraws():
            return p_values._replace(holds=p_above(measurement, 0.0, including=True))
        case _:
            return p_values


def p_below(measurement: Measurement, bound: float, *, including: bool) -> float:
    """The one-sided p value of the hypothesis that the true value is below ``bound``, or equal to it if ``including``.

    Phi(-z r) with z the normal quantile at (1 + level)/2 and r how often the interval's reach goes into the distance
    (Altman & Bland 2011, BMJ 343:d2304, one-sided).  An interval that is not symmetric about its value has two readings
    of r: the distance from the value over the half on the side of the bound, and the distance from the middle over half
    the width.  The smaller r counts: the first alone would be certain of everything beyond the value where the value is
    an end of its own interval, as a biased one may be.  Both are 1 on the end of the interval, so p <= (1 - level)/2
    exactly when the interval excludes the bound; there p is (1 - level)/2, and the criterion's strictness decides.

    Edge cases: an interval without width leaves no doubt: p is 0 where it excludes the hypothesis and 1 where it does
    not.  Otherwise p is at least 1/2 where the value itself satisfies the hypothesis, and 1/2 towards an infinite end.
    """
    return _p_beyond(
        measurement.value - bound,
        towards=measurement.value - measurement.low,
        away=measurement.high - measurement.value,
        level=measurement.level,
        including=including,
    )


def p_above(measurement: Measurement, bound: float, *, including: bool) -> float:
    """The one-sided p value of the hypothesis that the true value is above ``bound``; see :func:`p_below`."""
    return _p_beyond(
        bound - measurement.value,
        towards=measurement.high - measurement.value,
        away=measurement.value - measurement.low,
        level=measurement.level,
        including=including,
    )


def needed(measurement: Measurement, bound: float) -> float:
    """The factor by which n would have to grow for the interval to just exclude ``bound``, all else as observed.

    (reach / |value - bound|)^2 with the half of the interval on the side of the bound, because its width shrinks with
    1/sqrt(n).  At most 1 where the bound is excluded already, infinite where the value is on the bound, NaN where there
    is no value.  A factor of units like those measured: more neurons for an interval over neurons.
    """
    if measurement.is_missing:
        return math.nan
    distance = abs(measurement.value - bound)
    reach = measurement.value - measurement.low if bound < measurement.value else measurement.high - measurement.value
    return (reach / distance) ** 2 if distance else math.inf


def needed_to_decide(criterion: Criterion, measurement: Measurement) -> float:
    """The factor by which n would have to grow for ``criterion`` to be decided at the observed value.

    :func:`needed` at the criterion's bound.  Of two bounds, both must be excluded from within, and the nearer one from
    without.  NaN where nothing is tested; for :class:`Near` it is the factor for a refutation, NaN where the value
    matches.
    """
    if measurement.is_missing:
        return math.nan
    if isinstance(criterion, AboveDraws):
        # Between the bounds the claim is neither reproduced nor refuted, however much is measured.
        is_between = 0 <= measurement.value <= criterion.bound
        return math.inf if is_between else needed(measurement, criterion.bound if measurement.value > 0 else 0.0)
    region = criterion.region
    if isinstance(criterion, Near) and region.contains(measurement.value, measurement.value):
        return math.nan
    # From without, the nearer bound is the harder to exclude: both lie on one side of the value.
    return max((needed(measurement, end) for end in region.ends if end is not None), default=math.nan)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted so that rejecting those up to alpha keeps the family-wise error rate at alpha.

    Step-down: the k-th smallest of m becomes max over j <= k of (m - j + 1) p_(j), at most 1 (Holm 1979, Scandinavian
    Journal of Statistics 6, 65-70), whatever the dependence.  An empty family gives an empty list.  Raises ValueError
    outside [0, 1].
    """
    order = _ascending(p_values)
    size = len(order)
    stepped = accumulate(((size - rank) * p_values[place] for rank, place in enumerate(order)), max)
    return _placed(order, [min(p, 1.0) for p in stepped])


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """p values adjusted so that rejecting those up to q keeps the false discovery rate at q.

    Step-up: the k-th smallest of m becomes min over j >= k of m p_(j) / j (Benjamini & Hochberg 1995, JRSS B 57,
    289-300), for independent tests and for positively dependent ones (Benjamini & Yekutieli 2001, Annals of Statistics
    29, 1165-1188), such as intervals over the same tokens.  An empty family gives an empty list.  Raises ValueError
    outside [0, 1].
    """
    order = _ascending(p_values)[::-1]
    size = len(order)
    stepped = accumulate((p_values[place] * size / (size - rank) for rank, place in enumerate(order)), min)
    return _placed(order, [min(p, 1.0) for p in stepped])


def _adjust(p_values: Sequence[float], method: Correction) -> list[float]:
    match method:
        case "holm":
            return holm(p_values)
        case "benjamini-hochberg":
            return benjamini_hochberg(p_values)
        case _:
            assert_never(method)


def _corrected_verdict(criterion: Criterion, measurement: Measurement, adjusted_p: float) -> Verdict:
    raw = criterion.judge(measurement).verdict
    is_test = raw is Verdict.REFUTED or (raw is Verdict.REPRODUCED and not isinstance(criterion, Near))
    # Written so that a NaN, which is no evidence, cannot pass for a small p value.
    is_held = adjusted_p <= _alpha(measurement.level)
    return Verdict.INCONCLUSIVE if is_test and not is_held else raw


def _p_values_of(region: Region, measurement: Measurement) -> PValues:
    """The p values of lying in ``region``: of lying beyond one of its ends, and on the inner side of every end."""
    fails, holds = [], []
    if region.lower is not None:
        fails.append(p_below(measurement, region.lower, including=not region.is_closed))
        holds.append(p_above(measurement, region.lower, including=region.is_closed))
    if region.upper is not None:
        fails.append(p_above(measurement, region.upper, including=not region.is_closed))
        holds.append(p_below(measurement, region.upper, including=region.is_closed))
    return PValues(max(fails, default=math.nan), min(holds, default=math.nan))


def _p_beyond(distance: float, *, towards: float, away: float, level: float, including: bool) -> float:
    """The p value of lying beyond a bound ``distance`` away, given the reach ``towards`` it and ``away`` from it.

    A negative distance means that the value itself lies beyond the bound.
    """
    half = (towards + away) / 2
    is_excluded = distance > 0 or (distance == 0 and not including)
    if half == 0:
        return 0.0 if is_excluded else 1.0
    if math.isinf(towards):
        return 0.5
    reach = towards if distance >= 0 else away
    certain = math.inf if is_excluded else 0.0
    from_value = distance / reach if reach else certain
    from_middle = 1 + (distance - towards) / half
    p = _NORMAL.cdf(_NORMAL.inv_cdf(_alpha(level)) * min(from_value, from_middle))
    # On the end of an interval rounding must not turn its own alpha into a little more than alpha.
    return min(p, _alpha(level)) if is_excluded and distance >= towards else p


def _alpha(level: float) -> float:
    return (1 - level) / 2


def _ascending(p_values: Sequence[float]) -> list[int]:
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p values are numbers between 0 and 1; got {list(p_values)}")
    return sorted(range(len(p_values)), key=p_values.__getitem__)


def _placed(order: Sequence[int], values: Sequence[float]) -> list[float]:
    placed = dict(zip(order, values, strict=True))
    return [placed[place] for place in range(len(order))]


_NORMAL = NormalDist()
