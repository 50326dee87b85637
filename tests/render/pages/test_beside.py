from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.render.fakes import CHECKOUT, record, share
from universal_neurons.evidence.criteria import AtMost, Published
from universal_neurons.evidence.entries import EntryError
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.summary import summaries
from universal_neurons.render.pages.beside import numbers_beside
from universal_neurons.render.pages.claim import facts
from universal_neurons.render.pages.scoreboard import published_numbers, scoreboard

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = '[[published]]\nclaims = ["N2"]\ntable = "nandan2025.table1"\nwhere = { threshold = 0.5 }\nof = "GPT-2 Small"\n'


def test_the_papers_numbers_stand_beside_their_claims() -> None:
    found = numbers_beside(CHECKOUT)
    assert found["G1"] == "4.16 % (GPT-2 Small)"
    assert found["N2"] == "4.74, 5.56 and 5.71 % (GPT-2 Small)"
    assert found["N3"] == "9 numbers (GPT-2 Small)"
    assert found["N4"] == "6 numbers (GPT-2 Small)"
    assert found["G60"] == "−.69 (GPT-2 Small)"
    assert found["G10-pooled"] == "23.4 (GPT-2 Small)"


def test_every_claim_that_has_a_number_is_a_claim_of_the_project() -> None:
    assert set(numbers_beside(CHECKOUT)) <= set(Ledger.read(CHECKOUT / "fixtures" / "verdicts" / "mini.toml").claims)


def test_a_number_of_the_criterion_comes_first_and_a_dash_last() -> None:
    own = record("N7", AtMost(Published("nandan2025.text", quantity="x").at(0.8)), share(0.5, 0.01))
    assert published_numbers([own], "4 %") == "80 %"
    assert published_numbers([record()], "4 %") == "4 %"
    assert published_numbers([record()]) == "–"


def test_the_list_and_the_page_of_a_claim_show_it() -> None:
    claims = summaries([record("N2")])
    for shown in (scoreboard(claims, {"N2": "5.71 (small)"}), facts(claims[0], None, "5.71 (small)")):
        assert "5.71 (small)" in shown


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x = 1", "expected tables"),
        (ENTRY + "more = 1\n", "expected claims, table, where, of"),
        (ENTRY.replace("{ threshold = 0.5 }", '"0.5"'), "where must be a table, got '0.5'"),
        (ENTRY.replace("0.5", "0.55"), "no row of nandan2025.table1 has"),
    ],
)
def test_a_wrong_list_is_refused_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    shutil.copytree(CHECKOUT / "fixtures" / "published", tmp_path / "fixtures" / "published")
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "published.toml").write_text(text)
    with pytest.raises(EntryError, match=fault):
        numbers_beside(tmp_path)
