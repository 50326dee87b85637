"""Questions that the papers leave open, with the default answer of the claims: ``claims/ambiguities.toml``.

The claims that have other readings are known from the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.evidence.entries import read_entries

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """A question that a paper leaves open, by its id in the catalogue, and the answer that the claims give to it."""

    id: str
    question: str
    default: str


def read_ambiguities(path: Path) -> dict[str, Ambiguity]:
    """The entries of the file at ``path`` by id, in its order; raises EntryError."""
    return {one.id: one for one in read_entries(path, "ambiguity", Ambiguity, unique="id")}
