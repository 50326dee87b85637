"""Receipts of imports: where evidence came from, and whether a sample of it was computed again here.

All bytes of one export are sealed by one digest, so recomputing a part of it is a sample of the whole.

    <imported store>/.receipts/<suite>-<digest of the export>.json
"""

from __future__ import annotations

from dataclasses import asdict, field
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from universal_neurons.artifacts.codec import json_bytes
from universal_neurons.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RECEIPTS = ".receipts"
_SHOWN = 16
_STRICT = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True, slots=True, config=_STRICT)
class Sample:
    """One artifact that was computed again here and agreed: its digest, the time (UTC), our commit, and the result."""

    artifact: str
    created: str
    git_commit: str | None
    result: str


@dataclass(frozen=True, slots=True, config=_STRICT)
class Receipt:
    """One export of ``suite`` that was imported, wholly or in part.

    ``source`` names its origin as it may be shown (no path of a machine, no credentials); ``bundle`` is the sha256 of
    its list; ``artifacts`` maps the digest of each artifact taken from it to the sha256 of its payload.
    """

    suite: str
    source: str
    bundle: str
    artifacts: dict[str, str]
    sample: Sample | None = None
    format: Literal[1] = 1

    def covers(self, digest: str, sha256: str) -> bool:
        """True if these bytes of that artifact came with this import."""
        return self.artifacts.get(digest) == sha256

    def path(self, imported: Path) -> Path:
        """The file of the receipt in the imported store."""
        return imported / RECEIPTS / f"{self.suite}-{self.bundle[:_SHOWN]}.json"

    def write(self, imported: Path) -> None:
        """Write its file in one step; raises OSError."""
        path = self.path(imported)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json_bytes(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Receipt | None:
        """The receipt in ``path``; None if there is none that can be read.

        Without it the artifacts that it is about count as unchecked; nothing else is lost.
        """
        try:
            data = path.read_bytes()
            receipt = TypeAdapter(cls).validate_json(data)
        except (OSError, ValueError):
            return None
        return receipt if json_bytes(asdict(receipt)) == data else None


@dataclass(frozen=True, slots=True)
class Imported:
    """The imported part of a suite's evidence, and how far it can be believed.

    ``sources`` are the imports that it came with; ``checked`` are the digests of artifacts of an import of which a
    sample was computed again here, ``unchecked`` the digests of all others.
    """

    sources: tuple[Receipt, ...] = ()
    checked: frozenset[str] = field(default_factory=frozenset)
    unchecked: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, receipts: tuple[Receipt, ...], artifacts: Mapping[str, str]) -> Imported:
        """The standing of imported ``artifacts`` (digest to sha256 of the payload)."""
        sampled = [receipt for receipt in receipts if receipt.sample is not None]
        checked = frozenset(d for d, sha256 in artifacts.items() if any(r.covers(d, sha256) for r in sampled))
        sources = tuple(r for r in receipts if any(r.covers(d, sha256) for d, sha256 in artifacts.items()))
        return cls(sources, checked, frozenset(artifacts) - checked)


def receipts_of(imported: Path, suite: str) -> tuple[Receipt, ...]:
    """The readable receipts of ``suite`` in the imported store, by file name."""
    receipts = map(Receipt.read, sorted((imported / RECEIPTS).glob("*.json")))
    return tuple(receipt for receipt in receipts if receipt is not None and receipt.suite == suite)
