"""Ledger of the accepted verdicts of a suite.

A ledger is a TOML file under version control, one table per claim and one line per item, sorted, so that a change of
verdict is a readable line of a diff.  ``harness.outcome`` compares a run with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, get_args

from universal_neurons.errors import UserError
from universal_neurons.evidence.entries import quoted, table
from universal_neurons.evidence.multiplicity import Correction
from universal_neurons.evidence.record import EvidenceRecord, natural_order, replace_text
from universal_neurons.evidence.summary import summaries
from universal_neurons.evidence.verdict import Verdict, claim_verdict

if TYPE_CHECKING:
    from pathlib import Path

# A broken or stale item and one whose evidence is missing say nothing that could be agreed with.
NEVER_ACCEPTED = frozenset({Verdict.ERROR, Verdict.STALE})
_KEYS = {"verdict", "correction", "items", "readings"}

Items = Mapping[str, Verdict]


class LedgerError(UserError):
    """A ledger that cannot be read; the message names the file, the claim and what was expected."""


class Corrected(NamedTuple):
    """The verdict of a claim after a correction, which does not follow from its own items alone."""

    correction: Correction
    verdict: Verdict


@dataclass(frozen=True)
class Ledger:
    """Accepted verdicts per claim id and item; a claim without parameters has the single item ``""``.

    ``readings`` has verdicts per claim id and reading (``test_name[item]``), ``corrected`` the verdicts of claims that
    are corrected for multiple testing.  Every item's verdict is its own, before any correction.
    """

    claims: Mapping[str, Items] = field(default_factory=dict)
    readings: Mapping[str, Items] = field(default_factory=dict)
    corrected: Mapping[str, Corrected] = field(default_factory=dict)

    def accepted(self, claim: str, item: str) -> Verdict | None:
        """The verdict accepted for one item, or None."""
        return self.claims.get(claim, {}).get(item)

    def accepted_reading(self, claim: str, reading: str) -> Verdict | None:
        """The verdict accepted for one item of a reading, or None."""
        return self.readings.get(claim, {}).get(reading)

    def accepted_claim(self, claim: str) -> Verdict | None:
        """The verdict accepted for a whole claim, or None; follows from its items unless it is corrected."""
        if claim in self.corrected:
            return self.corrected[claim].verdict
        items = self.claims.get(claim)
        return claim_verdict(items.values()) if items else None

    def updated(
        self,
        records: Iterable[EvidenceRecord],
        *,
        complete: Collection[str] = (),
        uncorrectable: Collection[str] = (),
    ) -> Ledger:
        """This ledger with the verdicts of ``records``.

        Items that were not run keep their verdicts, except of claims in ``complete``, of which every item was
        collected: what is left over of these is gone from the code.  Items that broke, or whose evidence is missing,
        keep their verdicts too.  Claims in ``uncorrectable``, whose family did not run whole, keep the verdict accepted
        for them as long as it can follow from their items.
        """
        run = list(records)
        items = [(r.claim, r.item, r) for r in run if r.role == "claim"]
        readings = [(r.claim, r.reading, r) for r in run if r.role == "reading"]
        claims = _updated(self.claims, items, complete)
        corrected = dict(self.corrected)
        for summary in summaries(run):
            correction, claim = summary.first.correction, summary.claim
            corrected.pop(claim, None)
            if correction is None or claim not in claims:
                continue
            possible = _possible(claims[claim], correction)
            stated = self.accepted_claim(claim) if claim in uncorrectable else summary.verdict
            corrected[claim] = Corrected(correction, stated if stated in possible else possible[0])
        return Ledger(
            claims,
            {claim: read for claim, read in _updated(self.readings, readings, complete).items() if claim in claims},
            {claim: verdict for claim, verdict in corrected.items() if claim in claims},
        )

    def without(self, claims: Collection[str]) -> Ledger:
        """This ledger without the named claims."""
        return Ledger(
            {claim: items for claim, items in self.claims.items() if claim not in claims},
            {claim: items for claim, items in self.readings.items() if claim not in claims},
            {claim: verdict for claim, verdict in self.corrected.items() if claim not in claims},
        )

    def changes_from(self, other: Ledger) -> int:
        """In how many items, readings and corrected claims this ledger differs from ``other``."""
        mine, theirs = self._flat(), other._flat()
        return sum(mine.get(key) != theirs.get(key) for key in mine.keys() | theirs.keys())

    def _flat(self) -> dict[tuple[str, str, str], object]:
        parts = (("item", self.claims), ("reading", self.readings))
        flat: dict[tuple[str, str, str], object] = {
            (part, claim, name): verdict
            for part, entries in parts
            for claim, items in entries.items()
            for name, verdict in items.items()
        }
        return flat | {("claim", claim, ""): verdict for claim, verdict in self.corrected.items()}

    def to_toml(self, suite: str) -> str:
        """The file's text: claims, items and readings in natural order."""
        parts = [
            f"# The accepted verdicts of suite {suite}, compared with every run.\n"
            f"# Rewritten by `pytest claims --suite {suite} --update-verdicts`; read the diff before committing it.\n"
        ]
        for claim in sorted(self.claims, key=natural_order):
            items, readings = self.claims[claim], self.readings.get(claim, {})
            parts.append(f'\n[{claim}]\nverdict = "{self.accepted_claim(claim)}"\n')
            if claim in self.corrected:
                parts.append(f'correction = "{self.corrected[claim].correction}"\n')
            # A single item without a name is the claim itself, unless a correction sets the two apart.
            if set(items) != {""} or claim in self.corrected:
                parts.append(_table(f"{claim}.items", items))
            if readings:
                parts.append(_table(f"{claim}.readings", readings))
        return "".join(parts)

    def write(self, path: Path, suite: str) -> None:
        """Write the ledger to ``path``, whole or not at all."""
        replace_text(path, self.to_toml(suite))

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """The ledger at ``path``, empty if there is none yet.

        Raises :class:`LedgerError` if it is no TOML, has an unknown verdict, or a claim's verdict cannot follow from
        its items (somebody edited one and not the other).
        """
        raw = table(path, LedgerError) or {}
        entries = {claim: _Entry.read(path, claim, entry) for claim, entry in raw.items()}
        return cls(
            {claim: entry.items for claim, entry in entries.items()},
            {claim: entry.readings for claim, entry in entries.items() if entry.readings},
            {claim: entry.corrected for claim, entry in entries.items() if entry.corrected is not None},
        )


class _Entry(NamedTuple):
    """The entry of one claim in a ledger."""

    items: dict[str, Verdict]
    readings: dict[str, Verdict]
    corrected: Corrected | None

    @classmethod
    def read(cls, path: Path, claim: str, entry: object) -> _Entry:
        if not isinstance(entry, dict) or not entry.keys() <= _KEYS or "verdict" not in entry:
            raise LedgerError(f"{path}: [{claim}] must hold verdict and, with parameters, a table of items")
        stated = _verdict(path, claim, entry["verdict"])
        correction = _correction(path, claim, entry.get("correction"))
        items = _items(path, f"{claim}.items", entry.get("items", {"": entry["verdict"]}))
        readings = _items(path, f"{claim}.readings", entry["readings"]) if "readings" in entry else {}
        possible = _possible(items, correction)
        if stated not in possible:
            raise LedgerError(
                f"{path}: [{claim}] says {stated}, its items give {' or '.join(possible)}; "
                "run: pytest claims --update-verdicts"
            )
        return cls(items, readings, None if correction is None else Corrected(correction, stated))


def _updated(
    old: Mapping[str, Items], run: Iterable[tuple[str, str, EvidenceRecord]], complete: Collection[str]
) -> dict[str, dict[str, Verdict]]:
    """``old`` with the acceptable verdicts of ``run``, and without what ``complete`` claims no longer have."""
    found = list(run)
    collected = {(claim, name) for claim, name, _ in found}
    new = {
        claim: {name: v for name, v in items.items() if claim not in complete or (claim, name) in collected}
        for claim, items in old.items()
    }
    for claim, name, record in found:
        if record.verdict not in NEVER_ACCEPTED and record.command is None:
            new.setdefault(claim, {})[name] = record.verdict
    return {claim: items for claim, items in new.items() if items}


def _possible(items: Items, correction: Correction | None) -> tuple[Verdict, ...]:
    """The verdicts that a claim with ``items`` can have: a correction can take back refutations, and nothing else."""
    derived = claim_verdict(items.values())
    if correction is None or derived is not Verdict.REFUTED:
        return (derived,)
    taken_back = (Verdict.INCONCLUSIVE if v is Verdict.REFUTED else v for v in items.values())
    return tuple(dict.fromkeys(chain((derived,), (claim_verdict(taken_back),))))


def _table(name: str, items: Items) -> str:
    lines = (f'{quoted(item)} = "{items[item]}"\n' for item in sorted(items, key=natural_order))
    return f"\n[{name}]\n{''.join(lines)}"


def _items(path: Path, where: str, raw: object) -> dict[str, Verdict]:
    if not isinstance(raw, dict) or not raw:
        raise LedgerError(f"{path}: [{where}] must be a table of item and verdict")
    return {item: _verdict(path, where, word) for item, word in raw.items()}


def _correction(path: Path, claim: str, word: object) -> Correction | None:
    if word is None:
        return None
    known: tuple[Correction, ...] = get_args(Correction)
    for correction in known:
        if word == correction:
            return correction
    raise LedgerError(f"{path}: [{claim}] has correction {word!r}, expected one of {', '.join(known)}")


def _verdict(path: Path, where: str, word: object) -> Verdict:
    acceptable = {verdict.value: verdict for verdict in Verdict if verdict not in NEVER_ACCEPTED}
    if not isinstance(word, str) or word not in acceptable:
        raise LedgerError(f"{path}: [{where}] has verdict {word!r}, expected one of {', '.join(acceptable)}")
    return acceptable[word]
