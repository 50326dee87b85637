"""Judgement of a measurement by a criterion; an inconclusive one adds the amount of data that would decide."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from universal_neurons.evidence.multiplicity import needed_to_decide
from universal_neurons.evidence.verdict import Judgement, Verdict
from universal_neurons.measurement import Over

if TYPE_CHECKING:
    from universal_neurons.evidence.criteria import Criterion
    from universal_neurons.measurement import Measurement

# Beyond this the value is on the bound for all practical purposes, and a number would only look like a plan.
_HOPELESS = 1_000


def judged(criterion: Criterion, measurement: Measurement) -> Judgement:
    """The judgement of ``criterion``; an inconclusive one also says how many times the data would decide.

    >>> from universal_neurons.evidence.criteria import AtMost
    >>> from universal_neurons.measurement import Measurement
    >>> judged(AtMost(0.05), Measurement(0.04, 0.02, 0.06, 900, Over.NEURONS)).reason
    '0.04 [0.02, 0.06] straddles: at most 0.05; about 4 times as many neurons would decide'
    """
    judgement = criterion.judge(measurement)
    if judgement.verdict is not Verdict.INCONCLUSIVE:
        return judgement
    return Judgement(judgement.verdict, f"{judgement.reason}{_decisive(criterion, measurement)}")


def _decisive(criterion: Criterion, measurement: Measurement) -> str:
    """The amount of data that would decide, all else as observed; empty where the interval is over nothing."""
    factor = needed_to_decide(criterion, measurement)
    if measurement.over is Over.NOTHING or math.isnan(factor):
        return ""
    if math.isinf(factor):
        return f"; no number of {measurement.over} would decide at this value"
    if factor > _HOPELESS:
        return f"; more than {_HOPELESS} times as many {measurement.over} would be needed to decide"
    # Rounded upwards: "1 times as many" would be what there is already.
    shown = math.ceil(factor * 10) / 10 if factor < 10 else math.ceil(factor)
    return f"; about {shown:g} times as many {measurement.over} would decide"
