from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.render.fakes import CHECKOUT, record
from universal_neurons.evidence.entries import EntryError
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.summary import summaries
from universal_neurons.evidence.untested import read_untested
from universal_neurons.render.pages.claim import Background, Neighbours, claim_page
from universal_neurons.render.pages.sentences import (
    Sentence,
    in_the_papers_words,
    read_sentences,
    sentences_of,
)

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = '[[sentence]]\nclaims = ["N1"]\nwhere = "section 4"\ntext = "Few are."\n'
# What the claims of the first paper are about that no sentence of it says: other readers' words, and a table's.
WITHOUT = {"V6", "V7"}


@pytest.fixture(scope="module")
def sentences() -> tuple[Sentence, ...]:
    return read_sentences(CHECKOUT / "fixtures" / "published" / "sentences.toml")


def test_every_claim_of_the_paper_and_every_untested_statement_has_its_sentence(
    sentences: tuple[Sentence, ...],
) -> None:
    ledger = Ledger.read(CHECKOUT / "fixtures" / "verdicts" / "mini.toml")
    claims = {claim for claim in ledger.claims if claim[0] in "NV"}
    assert len(claims) > 20
    statements = {one.id for one in read_untested(CHECKOUT / "claims" / "untested.toml") if one.id[0] in "NV"}
    assert {name for name in claims | statements if not sentences_of(name, sentences)} == WITHOUT


def test_a_part_of_a_claim_has_its_own_sentence_or_that_of_the_whole() -> None:
    whole, part = Sentence(("N14",), "a", "All."), Sentence(("N14", "N14-others"), "b", "Others.")
    assert sentences_of("N14", (whole, part)) == (whole, part)
    assert sentences_of("N14-others", (whole, part)) == (part,)
    assert sentences_of("N14-neuron", (whole, part)) == (whole, part)
    assert sentences_of("N1", (whole, part)) == ()


def test_the_page_of_a_claim_quotes_the_sentence_with_its_place() -> None:
    found = (Sentence(("N1",), "section 4, lines 1 to 2", "Fewer than 5% & more."),)
    background = Background(Ledger(), (), {}, {}, {}, found)
    page = claim_page(summaries([record()])[0], Neighbours(None, None), background)
    assert page["printed"] == in_the_papers_words(found)
    assert "“Fewer than 5% &amp; more.”" in page["printed"]
    assert "section 4, lines 1 to 2" in page["printed"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x = [", "not a TOML file"),
        ("x = 1", "expected tables"),
        (ENTRY + "more = 1\n", "expected claims, where, text; got claims, where, text, more"),
        (ENTRY.replace('["N1"]', "[]"), r"claims must be a list of ids such as N7, got \[\]"),
        (ENTRY.replace('["N1"]', '"N1"'), "claims must be a list of ids"),
        (ENTRY.replace("Few are.", " "), "text must be a text"),
        (ENTRY + ENTRY, "listed twice: Few are"),
    ],
)
def test_a_wrong_list_is_refused_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(EntryError, match=fault):
        read_sentences(tmp_path / "s.toml")
