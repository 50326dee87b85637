"""Readers of TOML files: of any table, and of lists of entries that are all of one kind."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints

from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


_Entry = TypeVar("_Entry", bound=_Dataclass)
ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class EntryError(UserError):
    """A list of entries cannot be read; the message names file, entry and what was expected."""


def table(path: Path, error: type[UserError]) -> dict[str, Any] | None:
    """The table that the TOML file at ``path`` says; None where there is no file; otherwise raises ``error``."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as wrong:
        raise error(f"{path}: cannot be read ({wrong.strerror or wrong})") from wrong
    # Also what is nested too deeply.
    except (ValueError, RecursionError) as wrong:
        raise error(f"{path}: not a TOML file ({wrong}); restore it from version control") from None


def quoted(text: str) -> str:
    """``text`` as a TOML string: a backslash or a quote in an id would otherwise end or change the key."""
    # JSON's strings are TOML's, but for the character DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def tables(path: Path, name: str, error: type[UserError]) -> list[tuple[str, Any]]:
    """The tables ``[[name]]`` of the file at ``path``, in its order, each with its location for messages.

    Empty where there is no file.  Raises ``error`` if it is no TOML, or holds anything else.
    """
    raw = table(path, error) or {}
    found = raw.get(name, [])
    if raw.keys() - {name} or not isinstance(found, list):
        raise error(f"{path}: expected tables [[{name}]] and nothing else, got {', '.join(raw)}")
    return [(f"{path}: entry {number}", one) for number, one in enumerate(found, start=1)]


def read_entries(path: Path, name: str, kind: type[_Entry], *, unique: str = "") -> tuple[_Entry, ...]:
    """The tables ``[[name]]`` of the file at ``path``, each as a dataclass of this ``kind``, in the file's order.

    Raises :class:`EntryError` if the file is missing or no TOML, or holds anything else; if an entry lacks a field or
    has one too many; if a text is empty, a Literal is none of its words, a tuple no list of ids of claims, or empty
    where it has no default; or if two entries have the same field ``unique``.
    """
    raw = table(path, EntryError)
    if raw is None:
        raise EntryError(f"{path}: cannot be read (No such file or directory)")
    found = raw.get(name)
    if raw.keys() != {name} or not isinstance(found, list):
        raise EntryError(f"{path}: expected tables [[{name}]] and nothing else, got {', '.join(raw) or 'nothing'}")
    read = tuple(_entry(f"{path}: entry {number}", one, kind) for number, one in enumerate(found, start=1))
    seen: set[object] = set()
    for value in (getattr(one, unique) for one in read if unique):
        if value in seen:
            raise EntryError(f"{path}: listed twice: {value}")
        seen.add(value)
    return read


def _entry(where: str, raw: object, kind: type[_Entry]) -> _Entry:
    names = [field.name for field in fields(kind)]
    if not isinstance(raw, dict) or raw.keys() != set(names):
        got = ", ".join(raw) if isinstance(raw, dict) else repr(raw)
        raise EntryError(f"{where}: expected {', '.join(names)}; got {got}")
    types = get_type_hints(kind)
    for field in fields(kind):
        if expected := _expected(field, types[field.name], raw[field.name]):
            raise EntryError(f"{where}: {field.name} must be {expected}, got {raw[field.name]!r}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()})


def _expected(field: Field[Any], hint: object, value: object) -> str:
    """The expected kind of value in words; empty if ``value`` may stand in the field of this type."""
    if get_origin(hint) is Literal:
        return "" if value in get_args(hint) else " or ".join(get_args(hint))
    if get_origin(hint) is tuple:
        are_ids = isinstance(value, list) and all(isinstance(one, str) and ID.fullmatch(one) for one in value)
        return "" if are_ids and (value or field.default == ()) else "a list of ids such as N7"
    if get_origin(hint) is dict:
        return "" if isinstance(value, dict) else "a table"
    if not isinstance(value, str) or not value.strip():
        return "a text"
    return "" if field.name != "id" or ID.fullmatch(value) else "an id such as N7"
