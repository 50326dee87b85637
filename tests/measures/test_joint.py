from __future__ import annotations

import math

import pytest

from tests.measures.labels import table
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.joint import largest, needed_neurons, smallest, weakest
from universal_neurons.measures.persistence import persistence


def measured(value: float, low: float, high: float, *, n: int = 50, unit: str = "share") -> Measurement:
    return Measurement(value, low, high, n, Over.NEURONS, unit=unit)


def test_an_extreme_has_the_extreme_of_each_end_and_is_missing_where_one_is() -> None:
    some = [measured(0.5, 0.2, 0.8), measured(0.6, 0.1, 0.7)]
    lower, upper = smallest(some), largest(some)
    assert (lower.value, lower.low, lower.high) == (0.5, 0.1, 0.7)
    assert (upper.value, upper.low, upper.high) == (0.6, 0.2, 0.8)
    for extreme in (smallest, largest):
        assert extreme([*some, Measurement.missing()]).is_missing
        assert extreme([]).is_missing


def test_needed_neurons_shrink_the_interval_to_the_bound() -> None:
    assert needed_neurons(measured(0.5, 0.3, 0.6), 0.4) == 50 * 4
    assert needed_neurons(measured(0.5, 0.3, 0.6), 0.7) == math.ceil(50 / 4)
    assert needed_neurons(measured(0.5, 0.3, 0.6), 0.5) == math.inf
    assert math.isnan(needed_neurons(Measurement.missing(), 0.5))
    n = 40
    wide = persistence(table("1" * n), table("1" * 34 + "0" * 6, step=2), 0.5)
    needed = needed_neurons(wide, 0.8)
    enough = math.ceil(needed / n)
    narrow = persistence(table("1" * n * enough), table("1" * 34 * enough + "0" * 6 * enough, step=2), 0.5)
    assert wide.low < 0.8 < narrow.low


def test_the_weakest_is_above_a_bound_exactly_where_all_are() -> None:
    found = weakest({"x": measured(1.0, 0.1, 1.5, n=30), "y": measured(0.8, 0.5, 0.9)})
    assert (found.value, found.low, found.high, found.n) == (0.8, 0.1, 0.9, 30)
    assert (found.details["x"], found.details["missing_parts"]) == (1.0, 0.0)


def test_missing_parts_are_left_out_and_counted() -> None:
    missing = Measurement.missing(over=Over.NEURONS)
    found = weakest({"x": missing, "y": measured(0.8, 0.5, 0.9)})
    assert (found.value, found.details["missing_parts"]) == (0.8, 1.0)
    assert weakest({"x": missing}).is_missing


def test_parts_in_different_units_have_no_weakest() -> None:
    with pytest.raises(ValueError, match="in one unit"):
        weakest({"x": measured(1.0, 0.1, 1.5), "y": measured(0.8, 0.5, 0.9, unit="ratio")})
    with pytest.raises(ValueError, match="in one unit"):
        weakest({})
