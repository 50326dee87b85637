"""History of the verdicts accepted on a suite, each with its date, criterion and evidence, to explain changes.

A ledger has the present verdicts; the run that rewrites it adds to the history, from which nothing is removed.  It is a
TOML file under version control, one table for each acceptance of one claim, oldest first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from universal_neurons.errors import UserError
from universal_neurons.evidence.entries import quoted, tables
from universal_neurons.evidence.record import replace_text
from universal_neurons.evidence.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from universal_neurons.evidence.ledger import Ledger
    from universal_neurons.evidence.summary import ClaimSummary

FOLDER = "history"
_TABLE = "accepted"
_TEXTS = ("claim", "verdict", "criterion", "evidence")
_REQUIRED = {"claim", "date", "verdict"}


class HistoryError(UserError):
    """A history that cannot be read; the message names the file, the entry and what was expected."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One acceptance: the verdict of a claim from ``date`` on.

    ``criterion`` is its text, ``evidence`` a digest over the artifacts that its cases read; both are empty where they
    were not recorded.
    """

    claim: str
    date: date
    verdict: Verdict
    criterion: str = ""
    evidence: str = ""

    def because(self, before: Accepted | None) -> str:
        """The reason for accepting this verdict after the one ``before``: the other changes.

        >>> first = Accepted("N1", date(2026, 1, 1), Verdict.REFUTED, "at most 0.05", "3f2a")
        >>> then = Accepted("N1", date(2026, 1, 2), Verdict.REPRODUCED, "at most 0.05", "77bc")
        >>> first.because(None), then.because(first)
        ('first judged', 'other evidence')
        """
        if before is None:
            return "first judged"
        causes = [
            f"another {name}" if name == "criterion" else f"other {name}"
            for name in ("criterion", "evidence")
            if getattr(self, name) and getattr(before, name) and getattr(self, name) != getattr(before, name)
        ]
        return " and ".join(causes) or "not recorded"


def path_of(ledger: Path) -> Path:
    """The history that belongs to the ledger at ``ledger``: of the same name, in a folder beside it."""
    return ledger.parent / FOLDER / ledger.name


def read_history(path: Path) -> tuple[Accepted, ...]:
    """The entries of the file at ``path``, oldest first; none where there is no file.

    Raises :class:`HistoryError` for a file that is damaged or not in order of time.
    """
    found = tuple(_entry(where, entry) for where, entry in tables(path, _TABLE, HistoryError))
    for number, (earlier, later) in enumerate(pairwise(found), start=2):
        if later.date < earlier.date:
            raise HistoryError(f"{path}: entry {number}: expected no date before {earlier.date}, got {later.date}")
    return found


def _entry(where: str, raw: Any) -> Accepted:
    if not isinstance(raw, dict) or not _REQUIRED <= raw.keys() <= {*_REQUIRED, *_TEXTS}:
        raise HistoryError(f"{where}: expected {', '.join(sorted(_REQUIRED))}, and perhaps criterion and evidence")
    texts = {name: raw[name] for name in _TEXTS if name in raw}
    if not all(isinstance(text, str) for text in texts.values()) or type(raw["date"]) is not date:
        raise HistoryError(f"{where}: expected texts and a date, got {raw!r}")
    try:
        return Accepted(**{**texts, "date": raw["date"], "verdict": Verdict(raw["verdict"])})
    except ValueError:
        known = ", ".join(verdict.value for verdict in Verdict)
        raise HistoryError(f"{where}: expected one of {known}, got {raw['verdict']!r}") from None


def evidence_digest(claim: ClaimSummary) -> str:
    """A digest over the artifacts that the cases of ``claim`` were judged from, in any order; "" for none."""
    artifacts = sorted({digest for record in claim.items for digest in record.artifacts})
    return hashlib.sha256("\n".join(artifacts).encode()).hexdigest()[:16] if artifacts else ""


def accepted_now(
    claims: Iterable[ClaimSummary], now: Ledger, *, today: date, after: Sequence[Accepted] = ()
) -> tuple[Accepted, ...]:
    """The entries that follow from writing the ledger ``now``.

    There is one for each claim whose verdict or criterion is not the one recorded last: what the history lacks, because
    a process was killed or a file was put back, is thus added at the next occasion.  They come ``after`` those that are
    there, also where a clock was set back since.
    """
    day = max([today, *(entry.date for entry in after)])
    last = {entry.claim: (entry.verdict, entry.criterion) for entry in after}
    entries = [
        Accepted(claim.claim, day, verdict, claim.first.criterion_text, evidence_digest(claim))
        for claim in claims
        if (verdict := now.accepted_claim(claim.claim)) is not None
    ]
    return tuple(
        entry
        for entry in entries
        if last.get(entry.claim) not in ((entry.verdict, entry.criterion), (entry.verdict, ""))
    )


def write_history(path: Path, entries: Sequence[Accepted], suite: str) -> None:
    """Write the file, whole or not at all."""
    head = (
        f"# Every verdict that was accepted on suite {suite}, oldest first.\n"
        f"# `pytest claims --suite {suite} --update-verdicts` adds to it; nothing is ever taken away.\n"
    )
    replace_text(path, head + "".join(map(_toml, entries)))


def _toml(entry: Accepted) -> str:
    texts = {"verdict": entry.verdict.value, "criterion": entry.criterion, "evidence": entry.evidence}
    lines = [f"{name} = {quoted(text)}" for name, text in texts.items() if text]
    return "\n".join(["", f"[[{_TABLE}]]", f"claim = {quoted(entry.claim)}", f"date = {entry.date}", *lines, ""])
