"""Statements of the papers that no test judges, listed with the reason in ``claims/untested.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from universal_neurons.evidence.entries import EntryError, read_entries

if TYPE_CHECKING:
    from pathlib import Path

UntestedKind = Literal["interpretive", "untestable", "open"]


@dataclass(frozen=True, slots=True)
class Untested:
    """A statement of a paper in our words, with its source, why no test judges it, and the claims nearest to it.

    ``interpretive`` statements say what results mean, so claims bear on them without deciding them; of ``untestable``
    ones no measurement of a model would decide anything; of ``open`` ones somebody could write the test.
    """

    id: str
    statement: str
    source: str
    kind: UntestedKind
    reason: str
    see: tuple[str, ...] = ()


def read_untested(path: Path) -> tuple[Untested, ...]:
    """The entries of the file at ``path``, in its order; raises EntryError, also for one that points to itself."""
    read = read_entries(path, "untested", Untested, unique="id")
    for one in read:
        if one.id in one.see:
            raise EntryError(f"{path}: {one.id} points to itself")
    return read
