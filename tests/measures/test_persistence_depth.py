from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from tests.measures.labels import layered, table
from universal_neurons.errors import TooFewNeurons
from universal_neurons.measures.persistence import history_over
from universal_neurons.measures.persistence_depth import (
    DEEPEST,
    EARLY,
    LATE,
    MIDDLE,
    NARROW_MIDDLE,
    Band,
    lowest_persistence,
    persistence_contrast,
    persistence_rank_correlation,
    two_lines,
    u_shape,
)

if TYPE_CHECKING:
    from universal_neurons.measurement import Measurement


@pytest.mark.parametrize(
    ("band", "of_twelve", "of_four"),
    [
        (EARLY, (0, 1), (0,)),
        (MIDDLE, (2, 3, 4, 5), (1,)),
        (NARROW_MIDDLE, (3, 4, 5), (1,)),
        (LATE, (9, 10, 11), (3,)),
        (DEEPEST, (10, 11), (3,)),
        (Band(0, 11), tuple(range(12)), (0, 1, 2, 3)),
    ],
)
def test_a_band_of_twelve_layers_is_found_again_in_four(
    band: Band, of_twelve: tuple[int, ...], of_four: tuple[int, ...]
) -> None:
    assert band.layers(12) == of_twelve
    assert band.layers(4) == of_four


def close(measured: Measurement, other: Measurement) -> bool:
    return (measured.value, measured.low, measured.high) == pytest.approx((other.value, other.low, other.high))


def test_a_contrast_is_the_mean_of_the_layers_of_one_band_minus_that_of_another() -> None:
    spans = layered([0.9, 0.5, 0.7, 0.8])
    found = persistence_contrast(spans, 0.5, [EARLY, LATE], [MIDDLE])
    assert found.value == pytest.approx(0.85 - 0.5)
    assert found.n == 3 * 40
    assert persistence_contrast(spans, 0.5, [MIDDLE]).value == pytest.approx(0.5 - 0.8)
    mirrored = persistence_contrast(spans, 0.5, [MIDDLE], [EARLY, LATE])
    assert close(
        dataclasses.replace(mirrored, value=-mirrored.value, low=-mirrored.high, high=-mirrored.low),
        persistence_contrast(spans, 0.5, [EARLY, LATE], [MIDDLE]),
    )


def test_one_neuron_is_one_neuron() -> None:
    assert str(TooFewNeurons("layer 0", 1, 10)).startswith(
        "layer 0: 1 universal neuron; expected at least 10, 10 times"
    )


def test_a_contrast_with_a_layer_of_too_few_universal_neurons_is_refused_with_their_number() -> None:
    layer = np.repeat([0, 1, 2, 3], 10)
    states = "1" * 10 + "1" * 9 + "0" + "1" * 20
    earlier, later = table(states, layer=layer), table(states, layer=layer, step=2)
    with pytest.raises(TooFewNeurons, match="model a, layer 1: 9 universal neurons; expected at least 10"):
        persistence_contrast([(earlier, later)], 0.5, [EARLY], [MIDDLE])
    assert persistence_contrast([(earlier, later)], 0.5, [EARLY], [LATE]).value == 0
    with pytest.raises(TooFewNeurons, match="layer 1"):
        persistence_rank_correlation([(earlier, later)], 0.5)


def test_a_u_falls_and_rises_and_a_slope_does_not() -> None:
    assert u_shape(layered([0.9, 0.4, 0.5, 0.8]), 0.5).low > 0
    slope = u_shape(layered([0.2, 0.4, 0.6, 0.8], neurons=100), 0.5)
    assert slope.high < 0
    assert slope.details["early"] == pytest.approx(0.2)
    assert slope.details["quadratic"] == pytest.approx(0, abs=1e-12)
    assert u_shape(layered([0.9, 0.4, 0.5, 0.8]), 0.5).details["quadratic"] == pytest.approx(0.85 - 0.45)


def lines(*rates: float) -> dict[str, float]:
    details = two_lines(*history_over(layered(rates, neurons=100), 0.5))
    return {name.removeprefix("two_lines_"): value for name, value in details.items()}


def is_u(found: dict[str, float]) -> bool:
    return found["first_slope"] < 0 < found["second_slope"] and max(found["first_p"], found["second_p"]) < 0.05


def test_two_lines_find_a_u_and_neither_a_slope_nor_a_hat() -> None:
    found = lines(0.9, 0.6, 0.3, 0.3, 0.6, 0.9)
    assert is_u(found)
    assert found["first_slope"] == pytest.approx(-0.3, abs=0.1)
    # Of the two lowest layers the first is tried as the break: the line behind it is the surer one and has to give.
    assert found["breakpoint"] == 3
    assert not is_u(lines(0.2, 0.3, 0.5, 0.6, 0.8, 0.9))
    assert not is_u(lines(0.3, 0.6, 0.9, 0.9, 0.6, 0.3))
    assert not is_u(lines(1.0, 1.0, 1.0, 1.0))
    assert lines(0.9, 0.3) == {}


def test_the_slopes_of_two_lines_are_least_squares_on_both_sides_of_the_break() -> None:
    found = lines(0.9, 0.5, 0.2, 0.7)
    assert found["breakpoint"] == 2
    assert found["first_slope"] == pytest.approx(np.polyfit([0, 1, 2], [0.9, 0.5, 0.2], 1)[0])
    assert found["second_slope"] == pytest.approx(0.5)


def test_the_errors_of_the_slopes_are_of_neurons_however_often_one_counts() -> None:
    # Behind the break 20 and 70 of 100 neurons persist, half a layer from the middle.
    error = np.sqrt(0.25 * (16 + 21) * 200 / 199) / (0.25 * 200)
    spans = layered([0.9, 0.5, 0.2, 0.7], neurons=100)
    once, twice = (two_lines(*history_over(given, 0.5)) for given in (spans, spans * 2))
    assert once["two_lines_second_p"] == pytest.approx(2 * stats.norm.sf(0.5 / error))
    assert twice == pytest.approx(once)


def test_the_rank_correlation_is_1_in_order_and_has_width_where_every_neuron_stayed() -> None:
    assert persistence_rank_correlation(layered([0.2, 0.4, 0.6, 0.8], neurons=100), 0.5).low > 0
    assert persistence_rank_correlation(layered([0.8, 0.6, 0.4, 0.2], neurons=100), 0.5).value == -1
    same = persistence_rank_correlation(layered([1.0, 1.0, 1.0, 1.0], neurons=10), 0.5)
    assert same.value == 0
    assert same.low < -0.5 < 0.5 < same.high
    few = persistence_rank_correlation(layered([0.9, 1.0, 1.0, 1.0], neurons=10), 0.5)
    assert few.low < 0 < few.value
    assert persistence_rank_correlation(layered([0.2, 0.8]), 0.5).is_missing


def test_the_lowest_persistence_is_that_of_the_worst_layer_and_span() -> None:
    first, second = layered([0.9, 0.9, 0.5, 0.9])[0], layered([0.9, 0.7, 0.9, 0.6])[0]
    assert lowest_persistence([first, second], 0.5, Band(0, 11)).value == 0.5
    assert lowest_persistence([first, second], 0.5, DEEPEST).value == 0.6
    assert lowest_persistence([first, second], 0.5).value == pytest.approx(3.1 / 4)
    assert lowest_persistence([layered([0.5])[0]], 0.5, DEEPEST).is_missing
