from __future__ import annotations

import pytest

from universal_neurons.inputs.narrowing import Narrowing, NarrowingError, number_of_tokens


def test_what_is_not_narrowed_is_not_chosen() -> None:
    nothing = Narrowing.parsed({"models": None, "tokens": None})
    assert (nothing, nothing.chosen, bool(nothing)) == (Narrowing(), {}, False)


def test_options_become_the_arguments_of_a_narrowed_suite() -> None:
    written = {"models": "a, b,", "checkpoints": "25 %,step 100", "tokens": "50k", "reference": "b", "references": "b"}
    found = Narrowing.parsed(written)
    assert found
    assert found.chosen == {
        "models": ("a", "b"), "checkpoints": ("25 %", "step 100"), "tokens": 50_000, "reference": "b",
        "references": ("b",),
    }  # fmt: skip


def test_an_empty_list_is_a_choice_that_the_suite_refuses() -> None:
    assert Narrowing.parsed({"models": ""}).chosen == {"models": ()}


@pytest.mark.parametrize("text", ["many", "5G", "k", "1.5k", "-", "", "1_000", " 5", "\u0665", "+5", "5 k"])
def test_a_number_of_tokens_that_is_none_is_named(text: str) -> None:
    with pytest.raises(NarrowingError, match="tokens: expected a number such as 50000, 50k or 5M, got"):
        number_of_tokens(text)
