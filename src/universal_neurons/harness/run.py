"""One run over the claims of a suite: its records, its exit status, and the accepted verdicts it rewrites.

A run lives in the process that reports (under pytest-xdist the controller), so that every record is written once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from universal_neurons.artifacts.provenance import git_commit, versions
from universal_neurons.evidence.history import accepted_now, path_of, read_history, write_history
from universal_neurons.evidence.log import PARTIAL, RECORDS, EvidenceLog
from universal_neurons.evidence.record import RecordError, natural_order, writing
from universal_neurons.evidence.summary import ClaimSummary, summaries
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.outcome import OutcomeKind, outcome
from universal_neurons.harness.readme import is_current, update_readme

if TYPE_CHECKING:
    from collections.abc import Collection as Group
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from universal_neurons.evidence.ledger import Ledger
    from universal_neurons.evidence.record import EvidenceRecord, ItemRole

LOST = 3
ACCEPTED = "all as accepted"


@dataclass(frozen=True, slots=True)
class Collected:
    """One collected item: its node id, the id of its claim, and its role."""

    test: str
    claim: str
    role: ItemRole


@dataclass
class Collection:
    """Items that pytest collected and claims it then deselected; workers send it in builtin types.

    ``evidence``: digest of the bytes of every artifact read, by the digest of its key.
    """

    items: dict[str, Collected] = field(default_factory=dict)
    deselected: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    evidence: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        items = [asdict(item) for item in self.items.values()]
        sent = {"warnings": self.warnings, "evidence": self.evidence}
        return {"items": items, "deselected": sorted(self.deselected), **sent}

    def merge(self, raw: dict[str, Any]) -> None:
        """Add what a worker collected; the workers collect the same, so adding twice changes nothing."""
        self.items.update({entry["test"]: Collected(**entry) for entry in raw["items"]})
        self.deselected.update(raw["deselected"])
        self.evidence.update(raw["evidence"])
        self.warnings.extend(line for line in raw["warnings"] if line not in self.warnings)


@dataclass(frozen=True, slots=True)
class RunScope:
    """Scope of the command line: single items (``by_id``), and whether it covers all claims of the project."""

    by_id: bool
    all_claims: bool


class Run:
    """The records of a run, with the verdicts, notes and exit status that follow from them."""

    def __init__(
        self,
        *,
        suite: str,
        folder: Path,
        ledger: Ledger,
        ledger_path: Path,
        readme: Path | None = None,
        collection: Collection | None = None,
    ) -> None:
        # Not at the end of a long run.
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.suite = suite
        self.folder = folder
        self.ledger = ledger
        self.ledger_path = ledger_path
        self.readme = readme
        self.collection = collection or Collection()
        self.records: dict[str, EvidenceRecord] = {}
        self.notes: list[str] = []
        # Claims whose verdict after correction is not the accepted one.
        self.recorrected: set[str] = set()
        self._claims: tuple[ClaimSummary, ...] | None = None

    def add(self, record: EvidenceRecord) -> None:
        """Add ``record``, once: the reports of setup, call and teardown all carry it."""
        if record.test not in self.records:
            self.records[record.test] = record
            self._claims = None

    @property
    def claims(self) -> tuple[ClaimSummary, ...]:
        """The summary of each claim, from the records."""
        if self._claims is None:
            self._claims = summaries(self.records.values())
        return self._claims

    @property
    def acceptance(self) -> str:
        """Whether every verdict is the accepted one, in words, with the claims of which one is not."""
        if any(record.narrowed_by for record in self.records.values()):
            return "nothing is accepted of a narrowed suite"
        failed = {r.claim for r in self.records.values() if outcome(r, self.ledger).kind is OutcomeKind.FAILED}
        names = sorted(failed | self.recorrected, key=natural_order)
        return f"not as accepted: {', '.join(names)}" if names else ACCEPTED

    @property
    def missing(self) -> tuple[str, ...]:
        """The collected items that left no record."""
        return tuple(test for test in self.collection.items if test not in self.records)

    def orphans(self, scope: RunScope) -> tuple[str, ...]:
        """The accepted claims that nobody collected, though everything was asked for: their tests are lost."""
        if scope.by_id or not scope.all_claims or self.collection.deselected:
            return ()
        present = {item.claim for item in self.collection.items.values() if item.role == "claim"}
        return tuple(claim for claim in self.ledger.claims if claim not in present)

    def uncorrected(self, scope: RunScope, *, stopped: bool) -> frozenset[str]:
        """The claims to be corrected of whose family something did not run, broke, or has no evidence.

        The size of the family is a part of its correction, so such a run does not know these claims' verdicts.
        """
        corrected = [claim for claim in self.claims if claim.first.correction is not None]
        is_whole = scope.all_claims and not (scope.by_id or stopped or self.collection.deselected or self.missing)
        broken = {_family(claim) for claim in corrected if any(map(_says_nothing, claim.items))}
        return frozenset(claim.claim for claim in corrected if not is_whole or _family(claim) in broken)

    def changed(self, uncorrected: Group[str]) -> tuple[str, ...]:
        """One line for each claim whose correction, or whose verdict after it, is not as accepted.

        The test of an item reports a change without a correction; so do the items of a claim that was never accepted.
        """
        return tuple(
            line
            for claim in self.claims
            if claim.claim in self.ledger.claims
            for line in _changes(claim, self.ledger, is_comparable=claim.claim not in uncorrected)
        )

    def finish(self, status: int, *, scope: RunScope, stopped: bool, update: bool) -> int:
        """The exit status of the run, after writing its log and, if asked, the ledger.

        ``status`` is pytest's own, passed or failed; ``stopped`` says whether it ended early on purpose (``-x``).
        """
        lost, orphans = self.missing, self.orphans(scope)
        every_case = not (lost or stopped or scope.by_id or self.collection.deselected)
        complete = every_case and scope.all_claims
        self._log(scope, complete=complete)
        if lost and not stopped:
            self._note(f"{len(lost)} collected without leaving a record: {', '.join(lost)}")
            return LOST
        uncorrected = self.uncorrected(scope, stopped=stopped)
        self._tell_of(uncorrected)
        if update and not lost:
            self._update(scope, orphans, uncorrected)
            if complete:
                self._update_readme()
            return 1
        if update:
            self._note("accepted verdicts not rewritten: the run was stopped early")
        if orphans and not update:
            self._note(
                f"accepted in {self.ledger_path} but not collected: {', '.join(orphans)}; restore, or --update-verdicts"
            )
        if complete and self.readme is not None and not is_current(self.readme, self.claims):
            self._note(f"{self.readme.name} does not have this run's table of verdicts; run with --update-verdicts")
        changed = self.changed(uncorrected)
        self.recorrected = {line.partition(":")[0] for line in changed}
        for line in () if update else changed:
            self._note(line)
        return 1 if update or orphans or changed else status

    def _tell_of(self, uncorrected: Group[str]) -> None:
        # Without a refutation there is nothing that a correction could take back, so nothing is left open either.
        open_ = [c.claim for c in self.claims if c.claim in uncorrected and _is_refuted_somewhere(c)]
        if open_:
            self._note(
                f"corrected for what ran only, and not compared with the accepted verdict: {', '.join(open_)}; "
                "the family did not run whole"
            )

    def _update(self, scope: RunScope, orphans: Iterable[str], uncorrected: Group[str]) -> None:
        complete = self._whole_claims(scope)
        updated = self.ledger.updated(self.records.values(), complete=complete, uncorrectable=uncorrected)
        new = updated.without(set(orphans))
        # First: no verdict is ever accepted without its entry, and a damaged history leaves the ledger as it is.
        history = path_of(self.ledger_path)
        past = read_history(history)
        added = accepted_now(self.claims, new, today=datetime.now(UTC).date(), after=past)
        if added:
            write_history(history, (*past, *added), self.suite)
        new.write(self.ledger_path, self.suite)
        changes = new.changes_from(self.ledger)
        self._note(f"accepted verdicts rewritten ({changes} changed): {self.ledger_path}; read them and run again")

    def _update_readme(self) -> None:
        if self.readme is not None and update_readme(self.readme, self.claims):
            self._note(f"table of verdicts rewritten: {self.readme}")

    def _whole_claims(self, scope: RunScope) -> set[str]:
        """The claims of which every case was collected and left a record."""
        items = self.collection.items.values()
        lost = {item.claim for item in items if item.test not in self.records}
        return set() if scope.by_id else {item.claim for item in items} - self.collection.deselected - lost

    def _log(self, scope: RunScope, *, complete: bool) -> None:
        """Write the log of the run; that of a part goes into the last whole run, or beside it."""
        # Workers of pytest-xdist end in any order.
        records = tuple(self.records[test] for test in self.collection.items if test in self.records)
        log = EvidenceLog(records, complete, code_of_run(), self.collection.evidence, tuple(self.collection.warnings))
        whole, part = self.folder / RECORDS, self.folder / PARTIAL
        if not complete:
            kept, why = self._last_whole(log)
            if kept is None:
                log.write(part)
                self._note(f"a part of the claims ran, and {why}; `report --partial` shows what ran")
                return
            log = kept.with_part(log, self._whole_claims(scope))
            self._note("a part of the claims ran; the last whole run has these verdicts now")
        log.write(whole)
        with writing(part):
            part.unlink(missing_ok=True)

    def _last_whole(self, part: EvidenceLog) -> tuple[EvidenceLog | None, str]:
        """The last whole run that ``part`` can be merged into; else None, with the reason."""
        path = self.folder / RECORDS
        if not path.exists():
            return None, "no whole run is here yet"
        try:
            kept = EvidenceLog.read(path)
        except RecordError as damage:
            return None, f"the last whole run cannot be read ({damage})"
        why = kept.difference(part)
        return (None, f"the last whole run stays as it was: it has {why}") if why else (kept, "")

    def _note(self, line: str) -> None:
        self.notes.append(line)


def code_of_run() -> dict[str, str]:
    """The code that judges: the project's commit, its measures, and the versions of Python and of the packages."""
    from universal_neurons.measures.cache import code_digest

    commit = git_commit()
    return {**({} if commit is None else {"commit": commit}), "measures": code_digest()[:12], **versions()}


def _family(claim: ClaimSummary) -> tuple[str | None, str | None]:
    """The key of the claims that are corrected together."""
    return claim.first.family, claim.first.correction


def _says_nothing(record: EvidenceRecord) -> bool:
    return record.verdict in (Verdict.ERROR, Verdict.STALE) or record.command is not None


def _is_refuted_somewhere(claim: ClaimSummary) -> bool:
    return any(record.verdict is Verdict.REFUTED for record in claim.items)


def _changes(claim: ClaimSummary, ledger: Ledger, *, is_comparable: bool) -> Iterator[str]:
    correction = claim.first.correction
    accepted = ledger.corrected.get(claim.claim)
    known = None if accepted is None else accepted.correction
    if correction != known:
        yield f"{claim.claim}: correction changed from {known} to {correction}; run with --update-verdicts"
    elif accepted is not None and is_comparable and claim.verdict is not accepted.verdict:
        yield f"{claim.claim}: changed from {accepted.verdict} to {claim.verdict} after {correction} over its family"
