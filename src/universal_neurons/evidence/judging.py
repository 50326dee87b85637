"""Judgement of a measurement by a criterion; an inconclusive one adds what would decide, and how much of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from universal_neurons.evidence.criteria import Region
from universal_neurons.evidence.multiplicity import adjusted, needed_to_decide
from universal_neurons.evidence.verdict import Judgement, Verdict
from universal_neurons.measurement import Over

if TYPE_CHECKING:
    from collections.abc import Mapping

    from universal_neurons.evidence.criteria import Criterion
    from universal_neurons.measurement import Measurement

# Beyond this the value is on the bound for all practical purposes, and a number would only look like a plan.
_HOPELESS = 1_000


def judged(criterion: Criterion, measurement: Measurement) -> Judgement:
    """The judgement of ``criterion``; an inconclusive one also names the resource that would decide.

    >>> from universal_neurons.evidence.criteria import AtMost
    >>> from universal_neurons.measurement import Measurement
    >>> judged(AtMost(0.05), Measurement(0.04, 0.02, 0.06, 900, Over.NEURONS)).reason
    '0.04 [0.02, 0.06] straddles: at most 0.05; about 3,600 neurons instead of 900 would decide'
    """
    judgement = criterion.judge(measurement)
    if judgement.verdict is not Verdict.INCONCLUSIVE:
        return judgement
    decisive = what_would_decide(criterion, measurement)
    return Judgement(judgement.verdict, "; ".join(part for part in (judgement.reason, decisive) if part))


def voided_by(criterion: Criterion, own: Measurement, controls: Mapping[str, Measurement | None]) -> str | None:
    """The name of the control that makes a judgement of ``own`` void, or None.

    It satisfies the criterion too, after a correction over the controls of the item (Holm), and ``own`` does not exceed
    it: the interval of the difference, the two taken for independent (square-and-add, as
    ``measurement.independent_difference``), reaches zero.  A claim that goes beyond its control says something that the
    control does not, even where both satisfy the criterion.  A region with two ends has no beyond: there a control that
    lies in it too is enough.
    """
    present = {name: m for name, m in controls.items() if m is not None and not m.is_missing}
    tested = adjusted([(criterion, m) for m in present.values()], "holm")
    for (name, measured), test in zip(present.items(), tested, strict=True):
        if test.verdict is Verdict.REPRODUCED and not _is_beyond(criterion, own, measured):
            return name
    return None


def _is_beyond(criterion: Criterion, own: Measurement, control: Measurement) -> bool:
    match criterion.region:
        case Region(upper=None):
            reach = math.hypot(own.value - own.low, control.high - control.value)
            return own.value - control.value > reach
        case Region(lower=None):
            reach = math.hypot(own.high - own.value, control.value - control.low)
            return control.value - own.value > reach
        case _:
            return False


def what_would_decide(criterion: Criterion, measurement: Measurement) -> str:
    """The resource of which more would decide, and how much of it, all else as observed; empty where none is known."""
    factor = needed_to_decide(criterion, measurement)
    if measurement.over is Over.NOTHING or math.isnan(factor):
        return ""
    resources = _resources(measurement)
    if math.isinf(factor):
        return f"no number of {' or '.join(one.name for one in resources)} would decide at this value"
    total = sum(one.error**2 for one in resources)
    # What the others leave must fit into the error that would just decide.
    allowed = {one: total / factor - (total - one.error**2) for one in resources}
    enough = {one: one.error**2 / left for one, left in allowed.items() if left > 0}
    if not enough:
        names = " and ".join(one.name for one in resources)
        return f"no single one of {names} would decide: {_times(factor)} as many of each would"
    cheapest = min(enough, key=enough.__getitem__)
    return cheapest.words(enough[cheapest])


@dataclass(frozen=True, slots=True)
class _Resource:
    """Something of which there were ``count``, and the standard error that it leaves by itself, in any unit."""

    name: str
    count: int
    error: float

    def words(self, factor: float) -> str:
        """The amount that would decide: ``about 43 draws instead of 20 would decide``."""
        if factor > _HOPELESS:
            return f"more than {_HOPELESS} times as many {self.name} would be needed to decide"
        count = (
            _models(self.count, factor) if self.name == _SEEDS else max(self.count + 1, math.ceil(self.count * factor))
        )
        return f"about {count:,} {self.name} instead of {self.count:,} would decide"


_SEEDS = "seeds"


def _resources(measurement: Measurement) -> list[_Resource]:
    """The sources of error of a measurement, by the details ``error_tokens`` and ``error_draws`` where it has them."""
    details, name = measurement.details, _SEEDS if measurement.over is Over.MODELS else str(measurement.over)
    parts = [
        _Resource("token blocks", measurement.n, details.get("error_tokens", 0.0)),
        _Resource("draws", round(details.get("draws", 0)), details.get("error_draws", 0.0)),
    ]
    return [one for one in parts if one.error > 0] or [_Resource(name, measurement.n, 1.0)]


def _models(count: int, factor: float) -> int:
    """The number of models whose interval is narrower by sqrt(factor): Student's quantile falls with their number too.

    From ``count`` models, whose interval is t(count - 1) sd / sqrt(count).
    """
    wanted = _student(count - 1) / math.sqrt(count * factor)
    return next(m for m in range(count + 1, 10**9) if _student(m - 1) / math.sqrt(m) < wanted)


def _student(degrees: int) -> float:
    """The 97.5 % quantile of Student's t from four degrees of freedom on, within 1 % (Cornish-Fisher expansion)."""
    z = NormalDist().inv_cdf(0.975)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3


def _times(factor: float) -> str:
    # Rounded upwards: "1 times as many" would be what there is already.
    return f"about {math.ceil(factor * 10) / 10 if factor < 10 else math.ceil(factor):g} times"
