"""Statements of the papers that no test judges, listed with the reason in ``claims/untested.toml``."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from universal_neurons.errors import UserError
from universal_neurons.evidence.entries import entries

if TYPE_CHECKING:
    from pathlib import Path

UntestedKind = Literal["interpretive", "untestable", "open"]
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class UntestedError(UserError):
    """A list of untested statements that cannot be read; the message names file, entry and what was expected."""


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
    see: tuple[str, ...]


def read_untested(path: Path) -> tuple[Untested, ...]:
    """The entries of the file at ``path``, in its order.

    Raises :class:`UntestedError` if the file is missing or no TOML, holds anything but tables ``untested``, or an entry
    lacks a field, has one too many, has an empty text, an unknown kind, an id that is no plain word or comes twice, or
    points to itself.
    """
    read = tuple(_entry(where, entry) for where, entry in entries(path, "untested", UntestedError))
    for number, entry in enumerate(read):
        if entry.id in (other.id for other in read[:number]):
            raise UntestedError(f"{path}: {entry.id} is listed twice")
    return read


def _entry(where: str, raw: object) -> Untested:
    names = tuple(field.name for field in fields(Untested))
    if not isinstance(raw, dict) or raw.keys() != set(names):
        got = ", ".join(raw) if isinstance(raw, dict) else repr(raw)
        raise UntestedError(f"{where}: expected {', '.join(names)}; got {got}")
    where = f"{where} ({raw['id']})"
    for name in ("id", "statement", "source", "reason"):
        if not isinstance(raw[name], str) or not raw[name].strip():
            raise UntestedError(f"{where}: {name} must be a text, got {raw[name]!r}")
    if raw["kind"] not in get_args(UntestedKind):
        raise UntestedError(f"{where}: kind is {raw['kind']!r}, expected {' or '.join(get_args(UntestedKind))}")
    return Untested(raw["id"], raw["statement"], raw["source"], raw["kind"], raw["reason"], _see(where, raw))


def _see(where: str, raw: dict[str, Any]) -> tuple[str, ...]:
    see = raw["see"]
    ids = [raw["id"], *see] if isinstance(see, list) else []
    if not ids or not all(isinstance(name, str) and _ID.fullmatch(name) for name in ids):
        raise UntestedError(f"{where}: id and see must be ids of claims such as N7, got {raw['id']!r} and {see!r}")
    if raw["id"] in see:
        raise UntestedError(f"{where}: points to itself")
    return tuple(see)
