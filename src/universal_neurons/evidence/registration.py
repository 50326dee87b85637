"""Registered rules: what each claim, control and reading was on a suite, since when, and what changed after measuring.

The register is a TOML file under version control, one table for each registration of one claim on one suite, oldest
first.  It holds digests, so that a rule that was changed afterwards differs from what was registered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from universal_neurons.errors import UserError
from universal_neurons.evidence.entries import quoted, tables
from universal_neurons.evidence.record import replace_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FILE = "registered.toml"
_TABLE = "registered"
# How a note begins that is about a rule as registered.
_LATE = "registered on"
_REQUIRED = {"suite", "claim", "date", "commit", "parts"}
_HEAD = """\
# The rules of each claim as they were registered on each suite, oldest first: a digest of its criterion, of each
# control and of each reading.  `pytest claims --suite NAME --register REASON` adds to it; nothing is taken away.
"""


class RegistrationError(UserError):
    """A register that cannot be read; the message names the file, the entry and what was expected."""


@dataclass(frozen=True, slots=True)
class Registration:
    """The ``parts`` of one claim on one suite, name to digest, from ``date`` and ``commit`` on.

    ``reason`` says why they are registered after the claim was measured there; empty for a registration before that.
    """

    suite: str
    claim: str
    date: date
    commit: str
    parts: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    def changed_from(self, parts: Mapping[str, str]) -> tuple[str, ...]:
        """The names of the parts that are not as registered: other, new or gone."""
        return tuple(sorted(n for n in self.parts.keys() | parts.keys() if self.parts.get(n) != parts.get(n)))

    def to_toml(self) -> str:
        """The entry as a table of the file."""
        texts = {"suite": self.suite, "claim": self.claim}
        lines = [f"{name} = {quoted(text)}" for name, text in texts.items()]
        lines += [f"date = {self.date}", f"commit = {quoted(self.commit)}"]
        lines += [f"reason = {quoted(self.reason)}"] if self.reason else []
        parts = [f"{quoted(name)} = {quoted(digest)}" for name, digest in self.parts.items()]
        return "\n".join(["", f"[[{_TABLE}]]", *lines, f"[{_TABLE}.parts]", *parts, ""])


def is_explained(note: str) -> bool:
    """True for a :meth:`Register.note` on rules that are as registered, after measuring and with the reason why."""
    return note.startswith(_LATE)


@dataclass(frozen=True)
class Register:
    """All registrations, oldest first."""

    entries: tuple[Registration, ...] = ()

    def latest(self, suite: str, claim: str) -> Registration | None:
        """The registration in force, or None."""
        own = [one for one in self.entries if (one.suite, one.claim) == (suite, claim)]
        return own[-1] if own else None

    def has(self, suite: str) -> bool:
        """True if anything is registered on ``suite``."""
        return any(one.suite == suite for one in self.entries)

    def note(self, suite: str, claim: str, parts: Mapping[str, str]) -> str:
        """What is to be known of a claim's rules beside its verdict; empty where they are as registered beforehand.

        A suite on which nothing is registered has no rules that could have been changed.
        """
        entry = self.latest(suite, claim)
        if entry is None:
            return f"not registered on suite {suite} before it was measured" if self.has(suite) else ""
        if changed := entry.changed_from(parts):
            return f"not as registered on {entry.date}: {', '.join(changed)}"
        return f"{_LATE} {entry.date}, after measuring: {entry.reason}" if entry.reason else ""

    def with_claims(self, new: Iterable[Registration]) -> Register:
        """This register with every entry of ``new`` that differs from the registration in force."""
        added = []
        for one in new:
            before = self.latest(one.suite, one.claim)
            if before is None or before.changed_from(one.parts):
                added.append(one)
        return Register((*self.entries, *added))

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        replace_text(path, _HEAD + "".join(entry.to_toml() for entry in self.entries))

    @classmethod
    def read(cls, path: Path) -> Register:
        """The register at ``path``, empty where there is no file; raises :class:`RegistrationError` if damaged."""
        return cls(tuple(_entry(where, one) for where, one in tables(path, _TABLE, RegistrationError)))


def _entry(where: str, raw: Any) -> Registration:
    if not isinstance(raw, dict) or not _REQUIRED <= raw.keys() <= {*_REQUIRED, "reason"}:
        raise RegistrationError(f"{where}: expected {', '.join(sorted(_REQUIRED))}, and perhaps reason")
    texts = [raw[name] for name in ("suite", "claim", "commit")] + [raw.get("reason", "")]
    parts = raw["parts"]
    are_texts = isinstance(parts, dict) and all(isinstance(text, str) for text in [*texts, *parts.values()])
    if not are_texts or type(raw["date"]) is not date:
        raise RegistrationError(f"{where}: expected texts, a date and a table of digests, got {raw!r}")
    return Registration(**raw)
