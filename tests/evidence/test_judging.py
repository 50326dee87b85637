from __future__ import annotations

import math

import pytest
from scipy import stats

from universal_neurons.evidence.criteria import (
    AboveDraws,
    AtMost,
    Between,
    Criterion,
    Equivalent,
    GreaterThan,
    LessThan,
    Near,
)
from universal_neurons.evidence.judging import _student, judged, voided_by
from universal_neurons.measurement import Measurement, Over


def measured(low: float, value: float, high: float, over: Over = Over.NEURONS) -> Measurement:
    return Measurement(value, low, high, 100, over)


@pytest.mark.parametrize(
    ("criterion", "interval", "tail"),
    [
        (GreaterThan(0.0), (-0.75, 0.25, 1.25), "; about 1,600 neurons instead of 100 would decide"),
        (AtMost(0.05), (0.04, 0.0453, 0.0535), "; about 305 neurons instead of 100 would decide"),
        # Barely undecided: never "100 instead of 100", which is what there is already.
        (AtMost(0.5), (0.2, 0.25, 0.500001), "; about 101 neurons instead of 100 would decide"),
        # Inside, both borders must be left behind; outside, only the nearer one.
        (Between(0.0, 1.0), (-1.0, 0.25, 1.5), "; about 2,500 neurons instead of 100 would decide"),
        (Between(0.0, 1.0), (0.5, 1.25, 2.0), "; about 900 neurons instead of 100 would decide"),
        (Equivalent(to=0.0, margin=1.0), (-1.5, 0.0, 1.5), "; about 225 neurons instead of 100 would decide"),
        (Near(0.5, absolute=0.125, relative=0.0), (0.5625, 0.75, 0.9375), "; about 225 neurons instead of 100 would"),
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
        name = "seeds" if over is Over.MODELS else over
        assert f" {name} instead of 100 would" in judged(GreaterThan(0), measured(-0.5, 0.25, 1, over)).reason
    assert judged(GreaterThan(0), measured(-0.5, 0.25, 1, Over.NOTHING)).reason.endswith("straddles: greater than 0")


@pytest.mark.parametrize("measurement", [measured(0.5, 0.6, 0.7), measured(-2, -1, -0.5), Measurement.missing()])
def test_what_is_decided_or_missing_needs_no_more(measurement: Measurement) -> None:
    assert judged(GreaterThan(0), measurement) == GreaterThan(0).judge(measurement)


def test_an_interval_without_end_is_not_promised_anything() -> None:
    assert "no number of" in judged(AtMost(0.5), measured(0.1, 0.2, math.inf)).reason


def two_sources(tokens: float, draws: float) -> Measurement:
    """A value of 1 with a half-width of 2 from tokens and draws with the given errors, 20 draws."""
    details = {"error_tokens": tokens, "error_draws": draws, "draws": 20.0}
    return Measurement(1.0, -1.0, 3.0, 100, Over.TOKEN_BLOCKS, details=details)


@pytest.mark.parametrize(
    ("tokens", "draws", "tail"),
    [
        (1.0, 0.1, "; about 413 token blocks instead of 100 would decide"),
        (0.1, 1.0, "; about 83 draws instead of 20 would decide"),
        (3.0, 0.3, "; about 413 token blocks instead of 100 would decide"),
        # Either alone leaves more than what would decide: 4 times of both.
        (1.0, 1.0, "; no single one of token blocks and draws would decide: about 4 times as many of each would"),
    ],
)
def test_the_resource_that_would_decide_is_named(tokens: float, draws: float, tail: str) -> None:
    assert judged(GreaterThan(0), two_sources(tokens, draws)).reason.endswith(tail)


def test_of_two_resources_that_would_decide_alone_the_one_that_needs_less_of_it_is_named() -> None:
    details = {"error_tokens": 1.0, "error_draws": 0.9, "draws": 20.0}
    reason = judged(GreaterThan(0), Measurement(1.0, -0.1, 2.1, 100, Over.TOKEN_BLOCKS, details=details)).reason
    assert reason.endswith("; about 146 token blocks instead of 100 would decide")


def test_between_the_bounds_of_draws_nothing_would_decide() -> None:
    reason = judged(AboveDraws(), two_sources(1.0, 0.1)).reason
    assert reason.endswith("; no number of token blocks or draws would decide at this value")


@pytest.mark.parametrize("value", [0.8, 0.5, 0.2])
def test_the_number_of_seeds_knows_that_students_quantile_falls_with_it(value: float) -> None:
    def reach(models: int) -> float:
        return float(stats.t.ppf(0.975, models - 1)) * 0.75 / math.sqrt(models)

    needed = next(models for models in range(6, 100) if reach(models) < value)
    reason = judged(GreaterThan(0), Measurement(value, value - reach(5), value + reach(5), 5, Over.MODELS)).reason
    assert reason.endswith(f"about {needed} seeds instead of 5 would decide")


@pytest.mark.parametrize("degrees", [4, 5, 8, 20, 1000])
def test_students_quantile_is_known_within_1_per_cent(degrees: int) -> None:
    assert _student(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=0.01)


OWN = Measurement(0.5, 0.4, 0.6, 50, Over.NEURONS)


@pytest.mark.parametrize(
    ("criterion", "control", "is_void"),
    [
        (GreaterThan(0.0), (0.1, 0.2, 0.3), False),
        (GreaterThan(0.0), (0.3, 0.45, 0.6), True),
        (GreaterThan(0.0), (-0.1, 0.2, 0.5), False),
        (LessThan(1.0), (0.7, 0.8, 0.9), False),
        (LessThan(1.0), (0.4, 0.55, 0.7), True),
        # A region with two ends has no beyond.
        (Between(0.0, 1.0), (0.1, 0.2, 0.3), True),
    ],
)
def test_a_control_that_is_exceeded_makes_nothing_void(
    criterion: Criterion, control: tuple[float, float, float], is_void: bool
) -> None:
    found = voided_by(criterion, OWN, {"none": None, "missing": Measurement.missing(), "one": measured(*control)})
    assert found == ("one" if is_void else None)


def test_the_controls_of_an_item_are_corrected_for_their_number() -> None:
    barely = measured(0.001, 0.5, 1.0)
    assert voided_by(GreaterThan(0.0), OWN, {"one": barely}) == "one"
    others = {name: measured(-1.0, -0.1, 1.0) for name in "ab"}
    assert voided_by(GreaterThan(0.0), OWN, {"one": barely, **others}) is None
