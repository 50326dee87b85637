from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from universal_neurons.evidence.registration import Register, Registration, RegistrationError, is_explained

if TYPE_CHECKING:
    from pathlib import Path

PARTS = {"criterion": "aa", "control test_c": "bb", "reading test_r": "cc"}
BEFORE = Registration("paper", "N1", date(2026, 1, 1), "abc", PARTS)
AFTER = Registration("mini", "N1", date(2026, 1, 2), "def", PARTS, 'it said "more" than it could')


def test_a_rule_that_is_as_registered_beforehand_needs_no_word() -> None:
    assert Register((BEFORE,)).note("paper", "N1", PARTS) == ""
    assert Register().note("paper", "N1", PARTS) == ""


def test_a_rule_registered_after_measuring_says_so_with_its_reason() -> None:
    note = Register((AFTER,)).note("mini", "N1", PARTS)
    assert note == 'registered on 2026-01-02, after measuring: it said "more" than it could'
    assert is_explained(note)
    assert not is_explained(Register((AFTER,)).note("mini", "N2", PARTS))


@pytest.mark.parametrize(
    ("parts", "changed"),
    [
        ({**PARTS, "criterion": "zz"}, "criterion"),
        ({**PARTS, "control test_d": "dd"}, "control test_d"),
        ({"criterion": "aa", "control test_c": "bb"}, "reading test_r"),
    ],
)
def test_a_part_that_is_other_new_or_gone_is_named(parts: dict[str, str], changed: str) -> None:
    assert Register((BEFORE,)).note("paper", "N1", parts) == f"not as registered on 2026-01-01: {changed}"


def test_a_claim_without_a_registration_on_a_registered_suite_is_said() -> None:
    assert Register((BEFORE,)).note("paper", "N2", PARTS) == "not registered on suite paper before it was measured"


def test_only_what_differs_is_added_and_the_latest_counts(tmp_path: Path) -> None:
    changed = Registration("paper", "N1", date(2026, 2, 1), "fed", {**PARTS, "criterion": "zz"}, "why")
    register = Register((BEFORE, AFTER)).with_claims([BEFORE, changed])
    assert register.entries == (BEFORE, AFTER, changed)
    assert register.latest("paper", "N1") == changed
    register.write(tmp_path / "registered.toml")
    assert Register.read(tmp_path / "registered.toml") == register
    assert Register.read(tmp_path / "none.toml") == Register()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("registered = 1", "expected tables"),
        ("other = 1", "expected tables"),
        ("[[registered]]\nsuite = 'mini'", "entry 1: expected claim, commit"),
        ("[[registered]]\nsuite = 1\nclaim = 'N1'\ndate = 2026-01-01\ncommit = ''\nparts = {}", "expected texts"),
        ("=", "not a TOML file"),
    ],
)
def test_a_damaged_register_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "registered.toml").write_text(text)
    with pytest.raises(RegistrationError, match=message):
        Register.read(tmp_path / "registered.toml")
