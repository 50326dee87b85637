"""Labels of a small English text by a pipeline of rules: its grammar is the tests' own, and no model is needed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from tests.inputs.labels.test_sources import text_of
from tests.refusals import refusal
from universal_neurons.errors import UserError
from universal_neurons.inputs.labels import english
from universal_neurons.inputs.labels.english import ENGLISH, ENGLISH_SMALL, character_labels
from universal_neurons.inputs.labels.source import Of

PIECES = ["The", " cat", "s", " did", " not", " see", " Par", "is", ".", " It", " sle", "pt", "."]


@pytest.fixture(scope="module")
def rules() -> Any:
    """A blank English pipeline with rules for a few words."""
    import spacy

    pipeline = spacy.blank("en")
    pipeline.add_pipe("sentencizer")
    ruler: Any = pipeline.add_pipe("attribute_ruler")
    ruler.add([[{"LOWER": "cats"}]], {"POS": "NOUN", "DEP": "nsubj", "MORPH": "Number=Plur"})
    ruler.add([[{"LOWER": "not"}]], {"POS": "PART", "DEP": "neg"})
    ruler.add([[{"LOWER": "."}]], {"POS": "PUNCT", "DEP": "punct"})
    entities: Any = pipeline.add_pipe("entity_ruler")
    entities.add_patterns([{"label": "GPE", "pattern": "Paris"}])
    return pipeline


@pytest.fixture
def labelled(rules: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The pieces of the text that have each label."""
    monkeypatch.setattr(english, "_parser", lambda *_: rules)
    spelling = ["", *dict.fromkeys(PIECES)]
    text = text_of(spelling, [spelling.index(piece) for piece in PIECES], len(PIECES) + 1)
    found: dict[str, list[str]] = {}
    for column in ENGLISH.columns(text):
        assert (column.family, column.of) == ("syntax", Of.PLACE)
        found[column.name] = [spelling[token] for token in text.tokens.rows[0][column.flags[0]]]
    return found


@pytest.mark.parametrize(
    ("label", "pieces"),
    [
        ("pos_NOUN", [" cat", "s"]),
        ("dep_nsubj", [" cat", "s"]),
        ("Number=Plur", [" cat", "s"]),
        ("dep_neg", [" not"]),
        ("entity_GPE", [" Par", "is"]),
        # Two labels of one name, told apart by their kind.
        ("pos_PUNCT", [".", "."]),
        ("dep_punct", [".", "."]),
        ("stop", ["The", " did", " not", " see", " It"]),
        ("sentence_start", ["The", " It"]),
    ],
)
def test_every_piece_of_a_word_has_its_label(labelled: dict[str, list[str]], label: str, pieces: list[str]) -> None:
    assert labelled[label] == pieces


def test_pieces_of_a_long_text_are_labelled_alike(rules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "The cats did not see Paris. " * 5
    whole = character_labels(rules, text)
    monkeypatch.setattr(english, "LONGEST", 28)
    parts = character_labels(rules, text)
    assert set(whole) == set(parts)
    for label, flags in whole.items():
        assert np.array_equal(flags, parts[label]), label
    assert character_labels(rules, "") == {}
    # A word longer than a piece is cut: there is no blank in it.
    assert character_labels(rules, "x" * 60)["sentence_start"].sum() == 60


def test_what_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(["", "a"], [1], 2)
    said = refusal(UserError, lambda: list(ENGLISH_SMALL.columns(text)))
    assert said == (
        "labels.sources: 'english_small' needs spaCy's en_core_web_sm; run: python -m spacy download en_core_web_sm"
    )
    monkeypatch.setitem(sys.modules, "spacy", None)
    said = refusal(UserError, lambda: list(ENGLISH.columns(text)))
    assert said == "labels.sources: 'english' needs spaCy; run: pip install 'universal-neurons[labels]'"
