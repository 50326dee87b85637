"""The register of rules against the claims of this checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.claims.declared import declared_in
from universal_neurons.evidence.history import path_of, read_history
from universal_neurons.evidence.registration import FILE, Register
from universal_neurons.harness.register import parts_of

ROOT = Path(__file__).parents[2]
VERDICTS = ROOT / "fixtures" / "verdicts"
CLAIMS = declared_in(sorted((ROOT / "claims").rglob("test_*.py")))


@pytest.mark.parametrize("suite", ["mini", "paper"])
def test_every_rule_is_as_registered(suite: str) -> None:
    register = Register.read(VERDICTS / FILE)
    changed = {}
    for name, declared in CLAIMS.items():
        entry = register.latest(suite, name)
        changed[name] = ("nothing registered",) if entry is None else entry.changed_from(parts_of(declared, suite))
    open_ = {name: parts for name, parts in changed.items() if parts}
    assert not open_, f"run: pytest claims --suite {suite} --register REASON"


def test_the_rules_of_the_papers_models_were_registered_before_anything_was_measured_there() -> None:
    assert not read_history(path_of(VERDICTS / "paper.toml"))
    register = Register.read(VERDICTS / FILE)
    assert not [one.claim for one in register.entries if one.suite == "paper" and one.reason]


def test_what_was_registered_after_measuring_on_mini_has_its_reason() -> None:
    judged = {entry.claim: entry.date for entry in reversed(read_history(path_of(VERDICTS / "mini.toml")))}
    for entry in Register.read(VERDICTS / FILE).entries:
        if entry.suite == "mini":
            assert entry.reason or judged.get(entry.claim, entry.date) >= entry.date, entry.claim
