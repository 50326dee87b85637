"""Questions that the papers leave open, with the default answer of the claims: ``claims/ambiguities.toml``.

The claims that have other readings are known from the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from universal_neurons.errors import UserError
from universal_neurons.evidence.entries import entries

if TYPE_CHECKING:
    from pathlib import Path


class AmbiguityError(UserError):
    """The list of ambiguities cannot be read; the message names file, entry and what was expected."""


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """A question that a paper leaves open, by its id in the catalogue, and the answer that the claims give to it."""

    id: str
    question: str
    default: str


def read_ambiguities(path: Path) -> dict[str, Ambiguity]:
    """The entries of the file at ``path`` by id, in its order.

    Raises :class:`AmbiguityError` if the file is missing or no TOML, or if an entry lacks a text, has a field too many
    or comes twice.
    """
    found: dict[str, Ambiguity] = {}
    for where, entry in entries(path, "ambiguity", AmbiguityError):
        one = _entry(where, entry)
        if one.id in found:
            raise AmbiguityError(f"{path}: {one.id} is listed twice")
        found[one.id] = one
    return found


def _entry(where: str, raw: object) -> Ambiguity:
    names = {field.name for field in fields(Ambiguity)}
    if (
        not isinstance(raw, dict)
        or raw.keys() != names
        or not all(isinstance(t, str) and t.strip() for t in raw.values())
    ):
        raise AmbiguityError(f"{where}: expected a text for each of {', '.join(sorted(names))}; got {raw!r}")
    return Ambiguity(**raw)
