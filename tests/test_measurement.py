from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universal_neurons.measurement import Incomparable, Measurement, MeasurementError, Over, independent_difference

numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None, derandomize=True, database=None)
@given(st.tuples(numbers, numbers, numbers).map(sorted), st.sampled_from(Over), st.dictionaries(st.text(), numbers))
def test_a_measurement_survives_json(bounds: list[float], over: Over, details: dict[str, float]) -> None:
    low, value, high = bounds
    measurement = Measurement(value, low, high, n=3, over=over, level=0.9, unit="nats", details=details)
    assert Measurement.from_dict(json.loads(json.dumps(measurement.as_dict(), allow_nan=False))) == measurement


def test_a_missing_measurement_survives_json_without_nan() -> None:
    missing = Measurement.missing(n=2, over=Over.NEURONS, unit="share")
    text = json.dumps(missing.as_dict(), allow_nan=False)
    again = Measurement.from_dict(json.loads(text))
    assert again.is_missing
    assert math.isnan(again.low)
    assert (again.n, again.over, again.unit) == (2, Over.NEURONS, "share")


def test_a_missing_detail_survives_json_without_nan() -> None:
    measurement = Measurement(1.0, 1.0, 1.0, 1, Over.NOTHING, details={"half_a": math.nan, "half_b": 0.5})
    details = Measurement.from_dict(json.loads(json.dumps(measurement.as_dict(), allow_nan=False))).details
    assert math.isnan(details["half_a"])
    assert details["half_b"] == 0.5


@pytest.mark.parametrize(("low", "high"), [(0.6, 0.7), (0.3, 0.4), (math.nan, 0.7), (0.3, math.nan), (0.7, 0.3)])
def test_a_value_outside_its_interval_is_refused(low: float, high: float) -> None:
    with pytest.raises(MeasurementError, match=r"measurement 0\.5 lies outside its interval"):
        Measurement(0.5, low, high, 10, Over.TOKEN_BLOCKS)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"value": "0.5"}, "value: expected a number, got '0.5'"),
        ({"high": None}, "high: expected a number, got None"),
        ({"n": 1.5}, "n: expected an integer, got 1.5"),
        ({"over": "neurons"}, "over: expected Over, one of token blocks, neurons, models, .*, got 'neurons'"),
        ({"level": 95}, r"level: expected a number in \(0, 1\) such as 0\.95, got 95"),
        ({"level": "0.95"}, r"level: expected a number in \(0, 1\) such as 0\.95, got '0\.95'"),
        ({"unit": None}, "unit: expected text, got None"),
        ({"details": [0.5]}, r"details: expected a mapping of names to numbers, got \[0\.5\]"),
        ({"details": {"chance": "0.5"}}, "details: expected names and numbers, got 'chance': '0.5'"),
        ({"details": {0.5: 0.5}}, "details: expected names and numbers, got 0.5: 0.5"),
        ({"high": 10**400}, r"high: expected a number up to 1\.8e\+308, got a larger one"),
        ({"n": 10**400}, r"n: expected a number up to 1\.8e\+308, got a larger one"),
        ({"details": {"ratio": Fraction(-(10**400))}}, r"details: 'ratio': expected a number up to 1\.8e\+308"),
    ],
)
@pytest.mark.parametrize("value", [0.5, math.nan])
def test_a_part_that_is_not_what_it_must_be_is_refused(value: float, part: dict[str, Any], said: str) -> None:
    parts: dict[str, Any] = {"value": value, "low": 0.4, "high": 0.6, "n": 9, "over": Over.NEURONS}
    with pytest.raises(MeasurementError, match=said):
        Measurement(**{**parts, **part})


def test_numbers_of_numpy_are_numbers() -> None:
    one = np.float32(0.5)
    measurement = Measurement(one, one, one, np.int64(9), Over.NOTHING, details={"chance": np.float64(0.1)})  # type: ignore[arg-type]
    assert measurement.as_dict()["value"] == 0.5


def test_a_value_on_the_edge_of_its_interval_is_inside() -> None:
    assert not Measurement(0.5, 0.5, 0.5, 10, Over.NOTHING).is_missing


def around(value: float, below: float = 0.1, above: float = 0.1, **changes: Any) -> Measurement:
    given = {"n": 10, "over": Over.NEURONS, "unit": "share", **changes}
    return Measurement(value, value - below, value + above, **given)


def test_a_difference_adds_the_reaches_that_point_at_each_other_in_squares() -> None:
    found = independent_difference(around(0.2, below=0.4, above=0.03), around(0.5, below=0.04, above=0.3))
    assert (found.value, found.value - found.low, found.high - found.value) == pytest.approx((0.3, 0.05, 0.5))
    assert (found.n, found.over, found.level, found.unit) == (10, Over.NEURONS, 0.95, "share")


def test_the_interval_of_a_difference_covers_the_true_one_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    truth, spread = (1.0, 1.4), (0.2, 0.3)
    reach = [1.959964 * sd for sd in spread]
    covered = 0
    for _ in range(2000):
        left, right = (around(random.normal(m, sd), r, r) for m, sd, r in zip(truth, spread, reach, strict=True))
        found = independent_difference(left, right)
        covered += found.low <= 0.4 <= found.high
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)


@settings(deadline=None, derandomize=True, database=None)
@given(*[st.floats(-1e3, 1e3)] * 2, *[st.floats(0, 1e3)] * 4)
def test_a_difference_turned_around_is_its_negative(
    left: float, right: float, a: float, b: float, c: float, d: float
) -> None:
    forward = independent_difference(around(left, a, b), around(right, c, d))
    backward = independent_difference(around(right, c, d), around(left, a, b))
    assert (forward.value, forward.low, forward.high) == pytest.approx((-backward.value, -backward.high, -backward.low))


def test_a_number_without_sampling_error_leaves_the_other_interval_as_it_is() -> None:
    exact = Measurement(0.2, 0.2, 0.2, 5, Over.NOTHING, 0.9, "share")
    for found in (independent_difference(exact, around(0.5)), independent_difference(around(0.5), exact)):
        assert (found.high - found.low, found.over, found.level) == pytest.approx((0.2, Over.NEURONS, 0.95))


@pytest.mark.parametrize("nothing", [Measurement.missing(unit="share"), around(math.inf, unit="share")])
def test_what_is_not_a_finite_number_has_no_difference(nothing: Measurement) -> None:
    assert independent_difference(nothing, around(0.5)).is_missing
    assert independent_difference(around(0.5), nothing).is_missing


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"unit": "nats"}, "units differ: share and nats"),
        ({"over": Over.TOKEN_BLOCKS}, "intervals are over neurons and over token blocks"),
        ({"level": 0.9}, r"intervals have level 0\.95 and level 0\.9"),
    ],
)
def test_measurements_of_different_quantities_are_not_subtracted(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Incomparable, match=why):
        independent_difference(around(0.2), around(0.5, **changes))
