from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.render.fakes import CHECKOUT, record, share
from universal_neurons.evidence.criteria import GreaterThan
from universal_neurons.evidence.entries import EntryError
from universal_neurons.evidence.summary import summaries
from universal_neurons.render.pages.mechanisms import (
    Mechanism,
    mechanisms_page,
    missing,
    read_mechanisms,
    verdicts_of,
)

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = '[[mechanism]]\nkind = "mechanism"\ntitle = "T"\ntext = "X"\nwhere = "w"\nbears = "b"\nclaims = ["N1"]\n'
CLAIMS = summaries([record("G5"), record("G50-sinks", GreaterThan(0.0), share(-0.2, 0.01)), record("N1")])


def mechanism(*claims: str) -> Mechanism:
    return Mechanism("mechanism", "One", "They do.", "summary", "It shows.", claims)


def test_the_list_has_three_mechanisms_and_three_questions() -> None:
    found = read_mechanisms(CHECKOUT / "claims" / "mechanisms.toml")
    assert [one.kind for one in found] == ["mechanism"] * 3 + ["question"] * 3
    assert all(one.where.startswith("summary of Gurnee et al. 2024") for one in found)


def test_claims_and_their_parts_bear_on_a_mechanism_and_no_others() -> None:
    one = mechanism("G50", "G5", "G51")
    assert [claim.claim for claim in one.judged_by(CLAIMS)] == ["G50-sinks", "G5"]
    assert one.without(CLAIMS) == ["G51"]


def test_the_verdicts_are_counted_from_the_run() -> None:
    assert verdicts_of(mechanism("G50", "G5"), CLAIMS) == "Of 2 claims, 1 is reproduced and 1 is refuted."
    assert verdicts_of(mechanism("G51"), CLAIMS) == ""


def test_claims_that_the_run_does_not_have_are_named() -> None:
    assert missing(mechanism("G5"), CLAIMS) == ""
    assert missing(mechanism("G5", "G40"), CLAIMS) == "Not part of this run: G40."
    assert missing(mechanism("G40", "G41"), CLAIMS) == "No test of this run bears on it; G40 and G41 would."


def test_every_verdict_on_the_page_is_marked_with_its_claim() -> None:
    groups = mechanisms_page([mechanism("G50", "G5")], CLAIMS)["groups"]
    (section,) = groups[0]["sections"]
    assert 'data-claim="G50-sinks" data-verdict="refuted"' in section["table"]
    assert 'href="claims/g50-sinks.html"' in section["table"]
    assert "“They do.”" in section["quotation"]
    assert groups[1]["sections"] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x = 1", "expected tables"),
        (ENTRY + "more = 1\n", "expected kind, title, text, where, bears, claims; got"),
        (ENTRY.replace('"X"', '" "'), "text must be a text"),
        (ENTRY.replace('= "mechanism"', '= "guess"'), "kind must be mechanism or question, got 'guess'"),
        (ENTRY.replace('["N1"]', "[]"), "claims must be a list of ids"),
        (ENTRY.replace('["N1"]', '["N 1"]'), "claims must be a list of ids"),
    ],
)
def test_a_wrong_list_is_refused_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(EntryError, match=fault):
        read_mechanisms(tmp_path / "m.toml")
