"""Outcomes of tests: the mapping from record and ledger to the four outcomes of pytest, as a pure function.

A claim passes only if it is reproduced, now and in the ledger.  A reading passes if its verdict is the accepted one,
whichever that is.  A narrowed suite has no accepted verdicts, so no verdict on it is a change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

from universal_neurons.evidence.criteria import NotJudged
from universal_neurons.evidence.verdict import Verdict

if TYPE_CHECKING:
    from universal_neurons.evidence.ledger import Ledger
    from universal_neurons.evidence.record import EvidenceRecord


class OutcomeKind(StrEnum):
    """The outcome of a test."""

    PASSED = "passed"
    XFAILED = "xfailed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a test and the line that explains it."""

    kind: OutcomeKind
    message: str


def outcome(record: EvidenceRecord, ledger: Ledger | None) -> Outcome:
    """The outcome of the test of ``record``; ``ledger`` is None where nothing is accepted."""
    if record.verdict is Verdict.ERROR:
        return Outcome(OutcomeKind.FAILED, f"error: {record.reason}")
    # Missing evidence says nothing about the claim, so it is no change of verdict either.
    if record.command is not None:
        return Outcome(OutcomeKind.SKIPPED, record.reason)
    if (changed := _change(record, ledger)) is not None:
        return changed
    match record.role:
        case "claim":
            return _of_claim(record, ledger)
        case "control":
            return _of_control(record)
        case "reading":
            return _of_reading(record)
        case _:
            assert_never(record.role)


def _of_claim(record: EvidenceRecord, ledger: Ledger | None) -> Outcome:
    if record.verdict is Verdict.REPRODUCED:
        return Outcome(OutcomeKind.PASSED, record.reason)
    if _is_not_judged(record):
        return Outcome(OutcomeKind.SKIPPED, record.reason)
    return Outcome(OutcomeKind.XFAILED, f"{record.verdict}{'' if ledger is None else ' as accepted'}: {record.reason}")


def _of_reading(record: EvidenceRecord) -> Outcome:
    return Outcome(
        OutcomeKind.SKIPPED if _is_not_judged(record) else OutcomeKind.PASSED, f"{record.verdict}: {record.reason}"
    )


def _change(record: EvidenceRecord, ledger: Ledger | None) -> Outcome | None:
    """The failure of a claim or reading whose verdict is not the accepted one."""
    if ledger is None or record.role == "control":
        return None
    accepted = (
        ledger.accepted(record.claim, record.item)
        if record.role == "claim"
        else ledger.accepted_reading(record.claim, record.reading)
    )
    if accepted is None:
        # A suite that cannot answer was written so; that needs no acceptance.
        if _is_unanswered(record):
            return None
        unknown = f"{record.verdict}, but no accepted verdict; run with --update-verdicts ({record.reason})"
        return Outcome(OutcomeKind.FAILED, unknown)
    if record.verdict is not accepted:
        return Outcome(OutcomeKind.FAILED, f"changed from {accepted} to {record.verdict}: {record.reason}")
    return None


def _of_control(record: EvidenceRecord) -> Outcome:
    if _is_not_judged(record):
        return Outcome(OutcomeKind.SKIPPED, record.reason)
    if record.verdict is not Verdict.REPRODUCED:
        return Outcome(OutcomeKind.PASSED, f"control is {record.verdict}: {record.reason}")
    # Whether the claim is vacuous for it is said by the claim's own items, whose change of verdict fails.
    message = f"the control satisfies the criterion of {record.claim} too: {record.reason}"
    return Outcome(OutcomeKind.XFAILED, message)


def _is_not_judged(record: EvidenceRecord) -> bool:
    return record.criterion.get("kind") == NotJudged.kind or _is_unanswered(record)


def _is_unanswered(record: EvidenceRecord) -> bool:
    """True if the suite cannot answer, so that nothing was measured."""
    return record.verdict is Verdict.NOT_EVALUATED and record.measurement is None
