"""Labels of a small text of the tests' own: English and Python, by position, spelling, domain and syntax."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.refusals import refusal
from universal_neurons import inputs
from universal_neurons.errors import UserError
from universal_neurons.ids import CorpusRef
from universal_neurons.inputs.corpus import TokenSet
from universal_neurons.inputs.labels import families, label_sources
from universal_neurons.inputs.labels.positions import DOMAIN, POSITION
from universal_neurons.inputs.labels.python_source import NAMES, PYTHON
from universal_neurons.inputs.labels.source import LabelColumn, LabelledText, LabelSource, Of
from universal_neurons.inputs.labels.text import row_passages
from universal_neurons.inputs.labels.vocabulary import VOCABULARY

if TYPE_CHECKING:
    from collections.abc import Iterator

ENGLISH = ["", "She", " said", " Paris", ",", " in", " June", " 1999", "!", "\n", "she", " they", "ing", " It's", "(a)"]


def text_of(
    spelling: list[str], row: list[int], length: int, *, domains: tuple[str, ...] = ("en", "py")
) -> LabelledText:
    """A text of rows, each begun with the special token 0; the first row is of the first domain."""
    body = [row[start : start + length - 1] for start in range(0, len(row), length - 1)]
    rows = np.array([[0, *part, *[0] * (length - 1 - len(part))] for part in body], dtype=np.uint16)
    mask = rows > 0
    domain = np.broadcast_to(np.minimum(np.arange(len(rows)), 1)[:, None], rows.shape).astype(np.uint8)
    ref = CorpusRef("test", "1", "0" * 64, length, "published-first", int(mask.sum()), "0" * 64)
    tokens = TokenSet(rows, mask, domain, domains, ref)
    return LabelledText(tokens, tuple(spelling), lambda: row_passages(tokens, spelling))


def labelled(source: LabelSource, text: LabelledText) -> dict[str, LabelColumn]:
    columns = list(source.columns(text))
    assert {column.family for column in columns} <= set(source.families)
    found = {f"{column.family}:{column.name}": column for column in columns}
    assert len(found) == len(columns), "two labels of one family have one name"
    return found


@pytest.fixture
def english() -> dict[str, LabelColumn]:
    return labelled(VOCABULARY, text_of(ENGLISH, [1, 2, 3], 4))


@pytest.mark.parametrize(
    ("label", "tokens"),
    [
        ("unigram:she", ["She", "she"]),
        ("unigram:\n", ["\n"]),
        ("predicate:is_female_pronoun", ["She", "she"]),
        ("predicate:is_neutral_pronoun", [" they"]),
        ("predicate:is_month", [" June"]),
        ("predicate:is_year", [" 1999"]),
        ("predicate:is_four_digit", [" 1999"]),
        ("predicate:starts_with_space", [" said", " Paris", " in", " June", " 1999", " they", " It's"]),
        ("predicate:starts_with_capital", ["She", " Paris", " June", " It's"]),
        ("predicate:starts_without_space_with_capital", ["She"]),
        ("predicate:all_white_space", ["\n"]),
        ("predicate:contains_apostrophe", [" It's"]),
        ("predicate:any_symbolic", [",", "!", " It's", "(a)"]),
        ("predicate:ends_with_ing", ["ing"]),
        ("predicate:starts_with_p", [" Paris"]),
        ("predicate:contains_closing_punctuation", ["(a)"]),
    ],
)
def test_a_spelling_has_the_label(english: dict[str, LabelColumn], label: str, tokens: list[str]) -> None:
    column = english[label]
    assert column.of is Of.TOKEN
    assert [spelled for spelled, flag in zip(ENGLISH, column.flags, strict=True) if flag] == tokens


def test_the_special_token_has_no_label(english: dict[str, LabelColumn]) -> None:
    assert not any(column.flags[0] for column in english.values())


def test_a_predicate_that_no_spelling_has_is_no_label(english: dict[str, LabelColumn]) -> None:
    assert "predicate:contains_dollar" not in english


def test_positions_are_bins_and_all_before_an_end() -> None:
    columns = labelled(POSITION, text_of(ENGLISH, [1] * 15, 16))
    assert np.flatnonzero(columns["position:before_2"].flags).tolist() == [0, 1]
    assert np.flatnonzero(columns["position:from_4_before_6"].flags).tolist() == [4, 5]
    bins = [column.flags for name, column in columns.items() if "from" in name]
    assert np.sum(bins, axis=0).tolist() == [0] + [1] * 15


def test_a_domain_is_a_label() -> None:
    columns = labelled(DOMAIN, text_of(ENGLISH, [1, 2, 3, 4], 3))
    assert {name: column.flags.tolist() for name, column in columns.items()} == {
        "domain:en": [True, False], "domain:py": [False, True],
    }  # fmt: skip


SOURCE = "@deco\ndef foo(self, nä=1):\n    return self._x + len([i for i in self]) or None\nclass Foo:\n    f'{x}'# c\n"


def syntax(source: str, pieces: list[str]) -> dict[str, list[str]]:
    """The pieces of ``source`` that have each label."""
    assert "".join(pieces) == source
    spelling = ["", *dict.fromkeys(pieces)]
    row = [spelling.index(piece) for piece in pieces]
    text = text_of(spelling, row, len(row) + 1)
    found: dict[str, list[str]] = {}
    for column in PYTHON.columns(text):
        assert column.of is Of.PLACE
        places = np.flatnonzero(column.flags[0])
        found[column.name] = [spelling[text.tokens.rows[0, place]] for place in places]
    return found


@pytest.fixture(scope="module")
def python() -> dict[str, list[str]]:
    pieces = [
        "@", "deco", "\n", "def", " f", "oo", "(", "self", ",", " nä", "=", "1", ")", ":", "\n    ", "return", " self",
        ".", "_x", " +", " len", "(", "[", "i", " for", " i", " in", " self", "]", ")", " or", " None", "\n", "class",
        " Foo", ":", "\n    ", "f'", "{", "x", "}", "'", "# c", "\n",
    ]  # fmt: skip
    return syntax(SOURCE, pieces)


@pytest.mark.parametrize(
    ("label", "pieces"),
    [
        ("decorator", ["@", "deco"]),
        ("function_name", [" f", "oo"]),
        ("word_continuation", ["oo"]),
        ("parameters", ["(", "self", ",", " nä", "=", "1", ")"]),
        ("default", ["1"]),
        ("function_header", ["def", " f", "oo", "(", "self", ",", " nä", "=", "1", ")", ":", "\n    "]),
        ("keyword_return", ["return"]),
        ("self", ["self", " self", " self"]),
        ("attribute", ["_x"]),
        ("private", ["_x"]),
        ("builtin", [" len"]),
        ("called", [" len"]),
        ("comprehension", ["[", "i", " for", " i", " in", " self", "]"]),
        ("none", [" None"]),
        ("class_name", [" Foo"]),
        ("interpolation", ["{", "x", "}"]),
        ("f_string", ["f'", "{", "x", "}", "'"]),
        ("comment", ["# c"]),
        ("first_in_line", ["@", "def", "return", "class", "f'"]),
        ("square_open", ["["]),
        ("operator_arithmetic", [" +"]),
        ("keyword_while", []),
    ],
)
def test_a_piece_of_python_has_the_label(python: dict[str, list[str]], label: str, pieces: list[str]) -> None:
    assert python[label] == pieces


def test_text_with_an_error_and_no_text_are_labelled_too() -> None:
    assert syntax("def (:", ["def", " (", ":"])["keyword_def"] == ["def"]
    assert all(not pieces for pieces in syntax("  ", ["  "]).values())


def test_names_of_labels_are_sorted_and_different() -> None:
    assert list(NAMES) == sorted(set(NAMES))


def test_without_tree_sitter_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tree_sitter", None)
    said = refusal(UserError, lambda: list(PYTHON.columns(text_of(ENGLISH, [1], 2))))
    assert said == "labels.sources: 'python' needs tree-sitter; run: pip install 'universal-neurons[labels]'"


def shouting(text: LabelledText) -> Iterator[LabelColumn]:
    """A source of labels as a user writes one, in a file of its own: tokens that shout."""
    yield LabelColumn("loud", "mood", Of.TOKEN, np.array(["!" in spelled for spelled in text.spelling]))


def test_a_source_is_added_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    known: Any = inputs.labels
    monkeypatch.setattr(known, "SOURCES", (*known.SOURCES, LabelSource("shouting", ("mood",), shouting)))
    (source,) = label_sources(["shouting"])
    assert families([source, VOCABULARY]) == ("mood", "unigram", "predicate")
    assert labelled(source, text_of(ENGLISH, [1], 2))["mood:loud"].flags.sum() == 1


def test_an_unknown_source_is_one_line() -> None:
    said = refusal(UserError, lambda: label_sources(["vocabulary", "topics"]))
    known = "vocabulary, python, english, english_small, position, domain"
    assert said == f"labels.sources: expected some of {known}, got 'topics'"
