from __future__ import annotations

import math

import pytest

from universal_neurons.evidence.criteria import AtMost, Between, Criterion, Equivalent, GreaterThan, Near
from universal_neurons.evidence.judging import judged
from universal_neurons.measurement import Measurement, Over


def measured(low: float, value: float, high: float, over: Over = Over.NEURONS) -> Measurement:
    return Measurement(value, low, high, 100, over)


@pytest.mark.parametrize(
    ("criterion", "interval", "tail"),
    [
        (GreaterThan(0.0), (-0.75, 0.25, 1.25), "; about 16 times as many neurons would decide"),
        (AtMost(0.05), (0.04, 0.0453, 0.0535), "; about 3.1 times as many neurons would decide"),
        # Barely undecided: never "1 times as many", which is what there is already.
        (AtMost(0.5), (0.2, 0.25, 0.500001), "; about 1.1 times as many neurons would decide"),
        # Inside, both borders must be left behind; outside, only the nearer one.
        (Between(0.0, 1.0), (-1.0, 0.25, 1.5), "; about 25 times as many neurons would decide"),
        (Between(0.0, 1.0), (0.5, 1.25, 2.0), "; about 9 times as many neurons would decide"),
        (Equivalent(to=0.0, margin=1.0), (-1.5, 0.0, 1.5), "; about 2.3 times as many neurons would decide"),
        (Near(0.5, absolute=0.125, relative=0.0), (0.5625, 0.75, 0.9375), "; about 2.3 times as many neurons would"),
        (GreaterThan(0.0), (-1.0, 0.0, 1.0), "; no number of neurons would decide at this value"),
        (GreaterThan(0.0), (-1.0, 1e-9, 1.0), "; more than 1000 times as many neurons would be needed to decide"),
    ],
)
def test_an_inconclusive_reason_says_how_much_more_data_would_decide(
    criterion: Criterion, interval: tuple[float, float, float], tail: str
) -> None:
    measurement = measured(*interval)
    assert judged(criterion, measurement).verdict is criterion.judge(measurement).verdict
    own, reason = criterion.judge(measurement).reason, judged(criterion, measurement).reason
    assert reason.startswith(own)
    assert reason.removeprefix(own).startswith(tail)


def test_the_units_are_those_of_the_interval() -> None:
    for over in set(Over) - {Over.NOTHING}:
        assert f"times as many {over} would" in judged(GreaterThan(0), measured(-0.5, 0.25, 1, over)).reason
    assert judged(GreaterThan(0), measured(-0.5, 0.25, 1, Over.NOTHING)).reason.endswith("straddles: greater than 0")


@pytest.mark.parametrize("measurement", [measured(0.5, 0.6, 0.7), measured(-2, -1, -0.5), Measurement.missing()])
def test_what_is_decided_or_missing_needs_no_more(measurement: Measurement) -> None:
    assert judged(GreaterThan(0), measurement) == GreaterThan(0).judge(measurement)


def test_an_interval_without_end_is_not_promised_anything() -> None:
    assert "no number of" in judged(AtMost(0.5), measured(0.1, 0.2, math.inf)).reason
