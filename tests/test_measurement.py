from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universal_neurons.measurement import Measurement, Over

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
    with pytest.raises(ValueError, match=r"measurement 0\.5 lies outside its interval"):
        Measurement(0.5, low, high, 10, Over.TOKEN_BLOCKS)


def test_a_value_on_the_edge_of_its_interval_is_inside() -> None:
    assert not Measurement(0.5, 0.5, 0.5, 10, Over.NOTHING).is_missing
