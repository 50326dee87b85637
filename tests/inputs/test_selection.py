from __future__ import annotations

import pytest

from universal_neurons.inputs.selection import OPTIONS, WHOLE, Selection, SelectionError, number_of_tokens

ALL: dict[str, str | bool | None] = {
    "models": "a, b,", "checkpoints": "25 %,step 100", "tokens": "50k", "reference": "b", "references": "b",
    "claims": "N1,N7", "precision": "tf32", "quick": True,
}  # fmt: skip
PARSED = {
    "models": ("a", "b"), "checkpoints": ("25 %", "step 100"), "tokens": 50_000, "reference": "b", "references": ("b",),
    "claims": ("N1", "N7"), "precision": "tf32", "quick": True,
}  # fmt: skip
LINE = (
    "--models a,b --checkpoints '25 %,step 100' --tokens 50000 --reference b --references b --claims N1,N7 "
    "--precision tf32 --quick"
)


def test_the_test_knows_every_option() -> None:
    assert [option.name for option in OPTIONS] == list(ALL)
    assert [option.name for option in OPTIONS if option.is_flag] == ["quick"]
    assert all(option.help.endswith(".") for option in OPTIONS)


def test_options_that_are_not_given_select_everything() -> None:
    nothing = Selection.parsed({"models": None, "tokens": None, "quick": False})
    assert (nothing, nothing.given, nothing.narrowing, nothing.line) == (WHOLE, {}, {}, "")


def test_options_become_the_arguments_of_a_narrowed_suite() -> None:
    selection = Selection.parsed(ALL)
    assert selection.given == PARSED
    assert selection.narrowing == {name: value for name, value in PARSED.items() if name != "claims"}


def test_a_selection_becomes_a_shell_line_and_back() -> None:
    selection = Selection.parsed(ALL)
    assert selection.line == LINE
    assert Selection.from_line(LINE) == selection
    assert Selection.from_line("") == WHOLE


@pytest.mark.parametrize("line", ["--colour red", "a,b", "--models", "--tokens 1k --models", "--quick --fast"])
def test_a_line_of_other_options_is_one_line(line: str) -> None:
    with pytest.raises(SelectionError, match="expected options of --checkpoints, --claims"):
        Selection.from_line(line)


def test_an_empty_list_is_a_choice_that_the_suite_refuses() -> None:
    assert Selection.parsed({"models": ""}).narrowing == {"models": ()}


@pytest.mark.parametrize(
    ("texts", "asked"),
    [({"claims": "N1"}, {}), ({"quick": True, "tokens": "1k"}, {"tokens": 1000, "quick": True}), ({}, {})],
)
def test_a_suite_is_asked_for_what_is_given_only(texts: dict[str, str | bool | None], asked: dict[str, object]) -> None:
    assert Selection.parsed(texts).narrowing == asked


@pytest.mark.parametrize("text", ["many", "5G", "k", "1.5k", "-", "", "1_000", " 5", "\u0665", "+5", "5 k"])
def test_a_number_of_tokens_that_is_none_is_named(text: str) -> None:
    with pytest.raises(SelectionError, match="tokens: expected a number such as 50000, 50k or 5M, got"):
        number_of_tokens(text)
