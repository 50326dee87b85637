"""A project of claims in a folder of its own, and what its runs leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.harness.worlds import HEADER, INI, WORLD
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.log import PARTIAL, RECORDS, EvidenceLog
from universal_neurons.evidence.summary import ClaimSummary, summaries
from universal_neurons.evidence.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from universal_neurons.evidence.record import EvidenceRecord


class Project:
    """A project of claim files in a folder of its own."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.root = pytester.path
        pytester.makepyfile(fake_world=WORLD)
        (self.root / "pytest.ini").write_text(INI)
        (self.root / "claims").mkdir()
        pytester.syspathinsert()

    def write(self, *claims: str, file: str = "test_claims.py") -> None:
        (self.root / "claims" / file).write_text(HEADER + "\n".join(claims))

    def accept(self, **verdicts: str | dict[str, str]) -> None:
        """Accept the named verdicts, of a claim or of its items."""
        items = {claim: v if isinstance(v, dict) else {"": v} for claim, v in verdicts.items()}
        claims = {claim: {item: Verdict(word) for item, word in v.items()} for claim, v in items.items()}
        Ledger(claims).write(self.ledger, "mini")

    def accept_readings(self, claim: str, readings: dict[str, str]) -> None:
        """Accept verdicts of readings beside what is accepted already."""
        accepted = Ledger.read(self.ledger)
        words = {name: Verdict(word) for name, word in readings.items()}
        Ledger(accepted.claims, {**accepted.readings, claim: words}, accepted.corrected).write(self.ledger, "mini")

    def run(self, *arguments: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess(*(arguments or ("claims",)))

    def run_workers(self, *arguments: str) -> pytest.RunResult:
        return self.pytester.runpytest_subprocess("claims", "-p", "xdist", "-n", "2", *arguments)

    @property
    def ledger(self) -> Path:
        return self.root / "fixtures" / "verdicts" / "mini.toml"

    @property
    def evidence(self) -> Path:
        return self.root / ".universal-neurons" / "evidence" / "mini"

    def records(self) -> dict[str, EvidenceRecord]:
        return {f"{r.role} {r.claim} {r.item}".rstrip(): r for r in self.log().records}

    def log(self) -> EvidenceLog:
        """The log of the latest run, whole or not."""
        part = self.evidence / PARTIAL
        return EvidenceLog.read(part if part.exists() else self.evidence / RECORDS)

    def claims(self) -> tuple[ClaimSummary, ...]:
        return summaries(self.log().records)


def assert_refused(result: pytest.RunResult, *words: str) -> None:
    """One line with all ``words``, exit status 4, no traceback."""
    assert result.ret == 4
    lines = [*result.outlines, *result.errlines]
    assert any(all(word in line for word in words) for line in lines), lines
    assert not any("Traceback" in line or "INTERNALERROR" in line or line.startswith("E  ") for line in lines), lines
