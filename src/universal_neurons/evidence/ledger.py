"""The accepted verdicts of a suite: what the claims said when somebody last looked and agreed.

A ledger is a TOML file under version control, one table per claim and one line per item, sorted, so that a change of
verdict is a readable line of a diff.  Nothing here decides what happens to a test; see ``harness.outcome``.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from universal_neurons.errors import UserError
from universal_neurons.evidence.record import EvidenceRecord, natural_order, replace_text
from universal_neurons.evidence.verdict import Verdict, claim_verdict

if TYPE_CHECKING:
    from pathlib import Path

# A broken or stale item and one whose evidence is missing say nothing that could be agreed with.
NEVER_ACCEPTED = frozenset({Verdict.ERROR, Verdict.STALE})

Items = Mapping[str, Verdict]


class LedgerError(UserError):
    """A ledger that cannot be read; the message names the file, the claim and what was expected."""


@dataclass(frozen=True)
class Ledger:
    """Accepted verdicts per claim id and item; a claim without parameters has the single item ``""``."""

    claims: Mapping[str, Items] = field(default_factory=dict)

    def accepted(self, claim: str, item: str) -> Verdict | None:
        """The verdict accepted for one item, or None."""
        return self.claims.get(claim, {}).get(item)

    def accepted_claim(self, claim: str) -> Verdict | None:
        """The verdict accepted for a whole claim, or None; follows from its items."""
        items = self.claims.get(claim)
        return claim_verdict(items.values()) if items else None

    def updated(self, records: Iterable[EvidenceRecord], *, complete: Collection[str] = ()) -> Ledger:
        """This ledger with the verdicts of ``records``.

        Items that were not run keep their verdicts, except those of claims in ``complete``, of which every item was
        collected: what is left over of these is gone from the code.  Items that broke, or whose evidence is missing,
        keep their verdicts too.
        """
        items = [record for record in records if record.role == "claim"]
        collected = {(record.claim, record.item) for record in items}
        claims = {
            claim: {item: v for item, v in old.items() if claim not in complete or (claim, item) in collected}
            for claim, old in self.claims.items()
        }
        for record in items:
            if record.verdict not in NEVER_ACCEPTED and record.command is None:
                claims.setdefault(record.claim, {})[record.item] = record.verdict
        return Ledger({claim: verdicts for claim, verdicts in claims.items() if verdicts})

    def without(self, claims: Collection[str]) -> Ledger:
        """This ledger without the named claims."""
        return Ledger({claim: items for claim, items in self.claims.items() if claim not in claims})

    def changes_from(self, other: Ledger) -> int:
        """In how many items this ledger differs from ``other``."""
        mine, theirs = self._flat(), other._flat()
        return sum(mine.get(key) != theirs.get(key) for key in mine.keys() | theirs.keys())

    def _flat(self) -> dict[tuple[str, str], Verdict]:
        return {(claim, item): verdict for claim, items in self.claims.items() for item, verdict in items.items()}

    def to_toml(self, suite: str) -> str:
        """The file's text: claims and items in natural order."""
        parts = [
            f"# The accepted verdicts of suite {suite}, compared with every run.\n"
            f"# Rewritten by `pytest claims --suite {suite} --update-verdicts`; read the diff before committing it.\n"
        ]
        for claim in sorted(self.claims, key=natural_order):
            items = self.claims[claim]
            parts.append(f'\n[{claim}]\nverdict = "{claim_verdict(items.values())}"\n')
            if set(items) != {""}:
                lines = (f'{_quoted(item)} = "{items[item]}"\n' for item in sorted(items, key=natural_order))
                parts.append(f"\n[{claim}.items]\n{''.join(lines)}")
        return "".join(parts)

    def write(self, path: Path, suite: str) -> None:
        """Write the ledger to ``path``, whole or not at all."""
        replace_text(path, self.to_toml(suite))

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """The ledger at ``path``, empty if there is none yet.

        Raises :class:`LedgerError` if it is no TOML, has an unknown verdict, or a claim's verdict does not follow from
        its items (somebody edited one and not the other).
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise LedgerError(f"{path}: cannot be read ({error.strerror or error})") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise LedgerError(f"{path}: not a TOML file ({error}); restore it from version control") from error
        return cls({claim: _items(path, claim, entry) for claim, entry in raw.items()})


def _items(path: Path, claim: str, entry: object) -> dict[str, Verdict]:
    if not isinstance(entry, dict) or not entry.keys() <= {"verdict", "items"} or "verdict" not in entry:
        raise LedgerError(f"{path}: [{claim}] must hold verdict and, with parameters, a table of items")
    stated = _verdict(path, claim, entry["verdict"])
    raw = entry.get("items", {"": entry["verdict"]})
    if not isinstance(raw, dict) or not raw:
        raise LedgerError(f"{path}: [{claim}.items] must be a table of item and verdict")
    items = {item: _verdict(path, f"{claim}.items", word) for item, word in raw.items()}
    derived = claim_verdict(items.values())
    if derived is not stated:
        raise LedgerError(
            f"{path}: [{claim}] says {stated}, its items give {derived}; run: pytest claims --update-verdicts"
        )
    return items


def _verdict(path: Path, where: str, word: object) -> Verdict:
    acceptable = {verdict.value: verdict for verdict in Verdict if verdict not in NEVER_ACCEPTED}
    if not isinstance(word, str) or word not in acceptable:
        raise LedgerError(f"{path}: [{where}] has verdict {word!r}, expected one of {', '.join(acceptable)}")
    return acceptable[word]


def _quoted(text: str) -> str:
    """``text`` as a TOML basic string: a backslash or a quote in an id would otherwise end or change the key."""
    # JSON's strings are TOML's, but for the character DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
