"""How the parameters of an item are shown on a claim's card."""

import pytest

from universal_neurons.render.pages.scoreboard import spelled

QUARTER, HALF = {"step": 10, "label": "25 %"}, {"step": 20, "label": "50 %"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, "0.5"),
        ("b", "b"),
        (3, "3"),
        (QUARTER, "25 %"),
        ({"earlier": QUARTER, "later": HALF}, "25 % to 50 %"),
    ],
)
def test_a_parameter_is_shown_in_words(value: object, expected: str) -> None:
    assert spelled(value) == expected
