from __future__ import annotations

import math

import pytest

from tests.render.fakes import share
from universal_neurons.measurement import Measurement
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


def test_equal_ends_of_a_range_are_one_number() -> None:
    assert span([0.012, 0.0121], "share", 1) == "1.2 %"
    assert span([0.012, 0.031], "share", 1) == "1.2 to 3.1 %"


def test_decimals_follow_the_width_of_the_interval() -> None:
    assert places_of([share(0.0112, 0.002)]) == 2
    assert with_interval(share(0.0112, 0.002)) == f"1.12 % [0.92,{NO_BREAK}1.32]"
    assert places_for([math.nan, 0.0]) == 2
