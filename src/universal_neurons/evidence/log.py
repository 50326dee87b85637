"""Logs of runs: what a run recorded, in one file that is written when it has ended, and sealed.

A run that judged all claims writes :data:`RECORDS`.  One of a part of the claims goes into the last whole run, where
code and evidence are still the same, and otherwise into :data:`PARTIAL`, so that a part never passes for the whole.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from universal_neurons.evidence.record import EvidenceRecord, RecordError, replace_text, strict_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

RECORDS = "records.jsonl"
PARTIAL = "partial.jsonl"
# Ends the file: the digest of every byte before its own.
_SEAL = '"seal": "'
_END = '"}\n'
_DIGITS = 64
_AGAIN = "run the claims again"


@dataclass(frozen=True)
class EvidenceLog:
    """The records of one run in the order of collection, and what it says about itself.

    ``complete``: whether all claims of the project ran.  ``code``: the commit and the versions that judged.
    ``evidence``: digest of the bytes of every artifact read, by the digest of its key.
    """

    records: tuple[EvidenceRecord, ...]
    complete: bool = True
    code: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        about = {name: getattr(self, name) for name in ("complete", "code", "evidence", "warnings")}
        lines = [*(record.to_json() for record in self.records), strict_json(about, indent=None).rstrip()[:-1]]
        text = "\n".join(lines) + f", {_SEAL}"
        replace_text(path, f"{text}{sha256(text.encode()).hexdigest()}{_END}")

    @classmethod
    def read(cls, path: Path) -> EvidenceLog:
        """The run recorded in the file at ``path``.

        Raises :class:`RecordError` where there is none, for a file that is not as it was written, for one of another
        version, and for a test that is recorded twice.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise RecordError(f"{path}: no evidence log here; run: pytest claims") from None
        except OSError as error:
            raise RecordError(f"{path}: cannot be read ({error.strerror or error})") from error
        sealed, end = data[: -_DIGITS - len(_END)], data[-_DIGITS - len(_END) :]
        if end != f"{sha256(sealed).hexdigest()}{_END}".encode():
            raise RecordError(f"{path}: not as a run has written it: its seal does not fit; {_AGAIN}")
        # Not splitlines(): a record may hold U+2028, which that takes for the end of a line.
        *lines, about = data.decode().rstrip("\n").split("\n")
        try:
            return cls(tuple(map(EvidenceRecord.from_json, lines)), **_about(json.loads(about)))._checked()
        except RecordError as error:
            raise RecordError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{path}: not the log of a run ({error}); {_AGAIN}") from error

    def _checked(self) -> EvidenceLog:
        twice = [test for test, number in Counter(record.test for record in self.records).items() if number > 1]
        if twice:
            raise RecordError(f"{len(twice)} tests are recorded twice, first {twice[0]}; {_AGAIN}")
        return self

    def difference(self, other: EvidenceLog) -> str:
        """Why this run and ``other`` cannot be one: another suite, other code, a changed artifact; empty if they can.

        The commit may differ, because a claim is judged again as soon as it is edited.
        """
        if len({(record.suite, record.narrowed_by) for record in (*self.records, *other.records)}) > 1:
            return "another suite"
        for name in sorted((self.code.keys() | other.code.keys()) - {"commit"}):
            if self.code.get(name) != other.code.get(name):
                return "other measures" if name == "measures" else f"another {name}"
        both = self.evidence.keys() & other.evidence.keys()
        return "other evidence" if any(self.evidence[key] != other.evidence[key] for key in both) else ""

    def with_part(self, part: EvidenceLog, claims: Collection[str]) -> EvidenceLog:
        """This run with the records of ``part`` in the place of its own; of ``claims`` there are no others in it."""
        new = {record.test: record for record in part.records}
        kept = {record.test: record for record in self.records if record.claim not in claims or record.test in new}
        commits = dict.fromkeys(code["commit"] for code in (self.code, part.code) if "commit" in code)
        return replace(
            self,
            records=tuple((kept | new).values()),
            evidence={**self.evidence, **part.evidence},
            code={**self.code, **({"commit": ", ".join(commits)} if commits else {})},
        )


def _about(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: raw[name] for name in ("complete", "code", "evidence")} | {"warnings": tuple(raw["warnings"])}
