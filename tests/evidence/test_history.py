from __future__ import annotations

import tomllib
from datetime import date
from typing import TYPE_CHECKING

import pytest

from tests.evidence.records import record
from universal_neurons.evidence.criteria import AtMost
from universal_neurons.evidence.history import (
    Accepted,
    HistoryError,
    accepted_now,
    evidence_digest,
    path_of,
    read_history,
    write_history,
)
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.summary import ClaimSummary, summaries
from universal_neurons.evidence.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

MONDAY, TUESDAY = date(2026, 11, 16), date(2026, 11, 17)
ENTRIES = (
    Accepted("N1", MONDAY, Verdict.REFUTED),
    Accepted('N"2\\\x7f', TUESDAY, Verdict.REPRODUCED, "at most 0.05", "3f2a"),
)


def claims(**changes: object) -> tuple[ClaimSummary, ...]:
    return summaries([record("a-b", **changes)])


def accepting(**verdicts: Verdict) -> Ledger:
    return Ledger({claim: {"a-b": verdict} for claim, verdict in verdicts.items()})


def test_a_history_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = path_of(tmp_path / "verdicts" / "mini.toml")
    assert path == tmp_path / "verdicts" / "history" / "mini.toml"
    assert read_history(path) == ()
    write_history(path, ENTRIES, "mini")
    assert read_history(path) == ENTRIES
    assert "criterion" not in tomllib.loads(path.read_text(encoding="utf-8"))["accepted"][0]


def test_what_is_accepted_for_the_first_time_or_anew_is_added_with_its_criterion_and_evidence() -> None:
    (entry,) = accepted_now(claims(), accepting(N1=Verdict.REPRODUCED), today=TUESDAY)
    assert (entry.claim, entry.date, entry.verdict) == ("N1", TUESDAY, Verdict.REPRODUCED)
    assert entry.criterion == "at most 0.05"
    assert entry.evidence == evidence_digest(claims()[0]) != ""
    now = accepting(N1=Verdict.REPRODUCED)
    assert len(accepted_now(claims(), accepting(N1=Verdict.REFUTED), today=TUESDAY, after=(entry,))) == 1
    assert accepted_now(claims(), now, today=TUESDAY, after=(entry,)) == ()
    assert accepted_now(claims(), Ledger(), today=TUESDAY) == ()


def test_another_criterion_is_added_though_the_verdict_stayed() -> None:
    same = accepting(N1=Verdict.REPRODUCED)
    past = (Accepted("N1", MONDAY, Verdict.REPRODUCED, "at most 0.5", "3f2a"),)
    (entry,) = accepted_now(claims(), same, today=TUESDAY, after=past)
    assert entry.because(past[0]) == "another criterion and other evidence"
    # One that was not recorded is not known to have been another.
    unknown = Accepted("N1", MONDAY, Verdict.REPRODUCED)
    assert accepted_now(claims(), same, today=TUESDAY, after=(unknown,)) == ()


def test_a_clock_that_was_set_back_does_not_put_entries_out_of_order(tmp_path: Path) -> None:
    added = accepted_now(claims(), accepting(N1=Verdict.REPRODUCED), today=MONDAY, after=ENTRIES)
    assert added[0].date == TUESDAY
    write_history(tmp_path / "mini.toml", (*ENTRIES, *added), "mini")
    assert len(read_history(tmp_path / "mini.toml")) == 3


def test_the_digest_of_evidence_is_that_of_its_artifacts_in_any_order() -> None:
    one, other = (claims(artifacts=artifacts)[0] for artifacts in (("a", "b"), ("b", "a")))
    assert evidence_digest(one) == evidence_digest(other) != evidence_digest(claims(artifacts=("a",))[0])
    assert evidence_digest(claims(artifacts=())[0]) == ""


def test_the_reason_of_a_change_is_what_else_changed() -> None:
    first = Accepted("N1", MONDAY, Verdict.REFUTED, "at most 0.05", "3f2a")
    assert Accepted("N1", TUESDAY, Verdict.REPRODUCED, "at most 0.06", "3f2a").because(first) == "another criterion"
    assert Accepted("N1", TUESDAY, Verdict.REPRODUCED, "at most 0.05", "3f2a").because(first) == "not recorded"
    assert Accepted("N1", TUESDAY, Verdict.REPRODUCED).because(first) == "not recorded"


ENTRY = '[[accepted]]\nclaim = "N1"\ndate = 2026-11-16\nverdict = "refuted"\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x = [", "not a TOML file"),
        ("x = 1", r"expected tables \[\[accepted\]\] and nothing else, got x"),
        ("accepted = 1", r"expected tables \[\[accepted\]\]"),
        ("[[accepted]]\nclaim = 'N1'", "entry 1: expected claim, date, verdict"),
        (ENTRY + "who = 'me'\n", "entry 1: expected claim, date, verdict"),
        (ENTRY.replace("refuted", "fine"), "entry 1: expected one of .*reproduced.* got 'fine'"),
        (ENTRY.replace("2026-11-16", "2026-11-16T10:00:00"), "entry 1: expected texts and a date"),
        (ENTRY.replace('"N1"', "1"), "entry 1: expected texts and a date"),
        (ENTRY + ENTRY.replace("16", "15"), "entry 2: expected no date before 2026-11-16, got 2026-11-15"),
    ],
)
def test_a_damaged_history_is_one_line_that_says_where(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "mini.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(HistoryError, match=fault) as wrong:
        read_history(path)
    assert "\n" not in str(wrong.value)


def test_a_history_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="cannot be read"):
        read_history(tmp_path)


def test_the_criterion_of_the_record_is_the_one_that_is_kept() -> None:
    other = AtMost(0.1)
    found = claims(criterion=other.as_dict(), criterion_text=other.text())
    (entry,) = accepted_now(found, accepting(N1=Verdict.REPRODUCED), today=MONDAY)
    assert entry.criterion == "at most 0.1"
