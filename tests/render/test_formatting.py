from __future__ import annotations

import math

import pytest

from tests.render.fakes import share
from universal_neurons.measurement import Measurement, Over
from universal_neurons.render.formatting import (
    NO_BREAK,
    MissingNumber,
    decimal,
    places_for,
    places_of,
    span,
    with_interval,
)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_does_not_exist_is_never_written(value: float) -> None:
    with pytest.raises(MissingNumber):
        decimal(value, 2)


def test_a_missing_measurement_is_said_to_be_undefined() -> None:
    assert with_interval(Measurement.missing()) == "undefined"
    assert span([math.nan], "share", 2) == "undefined"


@pytest.mark.parametrize(
    ("low", "value", "high", "unit", "written"),
    [
        (-math.inf, 0.5, math.inf, "share", "50.00 % [\u2212\u221e, \u221e]"),
        (1.0, math.inf, math.inf, "", "\u221e [1.00, \u221e]"),
        (-math.inf, -math.inf, 0.0, "nats", "\u2212\u221e nats [\u2212\u221e, 0.00]"),
        (0.0, 1e300, 1e308, "", "1.0e+300 [0, 1.0e+308]"),
    ],
)
def test_what_has_no_end_or_too_many_digits_is_written_with_a_sign(
    low: float, value: float, high: float, unit: str, written: str
) -> None:
    measurement = Measurement(value, low, high, 9, Over.NEURONS, unit=unit)
    assert with_interval(measurement).replace(NO_BREAK, " ") == written


def test_a_range_may_be_without_an_end() -> None:
    assert span([0.5, math.inf], "share", 1) == "50.0 to \u221e %"


def test_equal_ends_of_a_range_are_one_number() -> None:
    assert span([0.012, 0.0121], "share", 1) == "1.2 %"
    assert span([0.012, 0.031], "share", 1) == "1.2 to 3.1 %"


def test_decimals_follow_the_width_of_the_interval() -> None:
    assert places_of([share(0.0112, 0.002)]) == 2
    assert with_interval(share(0.0112, 0.002)) == f"1.12 % [0.92,{NO_BREAK}1.32]"
    assert places_for([math.nan, 0.0]) == 2
