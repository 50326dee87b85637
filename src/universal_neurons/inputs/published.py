"""Numbers that the papers print, each with its locator.

One TOML file per paper under ``fixtures/published``; a name such as ``nandan2025.table1`` is a file and a table of it.
A number is stored as the paper spells it, so that it can be found there again, and converted here once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from universal_neurons.errors import UserError
from universal_neurons.inputs.suite import project_root
from universal_neurons.inputs.validation import read_toml

PUBLISHED = Path("fixtures") / "published"

RowLabel = str | int | float
# printed: in the paper's text or tables; data: tabulated from data or notebook outputs that its authors published;
# calculated: by us from such numbers; figure: read off a picture by eye.
NumberKind = Literal["printed", "data", "calculated", "figure"]
Unit = Literal["percent", "count", "number"]
_TABLE_FIELDS = frozenset({"title", "where", "kind", "unit", "keys", "rows"})
_OPTIONAL_FIELDS = frozenset({"code", "note"})
_ROW_FIELDS = frozenset({"as", "where", "kind", "note", "code"})


class PublishedError(UserError):
    """A published number is missing, or a file of them is malformed."""


@dataclass(frozen=True, slots=True)
class PublishedValue:
    """One number: ``keys`` name it in its table, ``text`` is its spelling in the source, ``value`` the number itself.

    Percentages become shares: ``4.74`` per cent is 0.0474.  ``where`` is the locator in the source, ``code`` what the
    code or data of the paper say about the number, ``note`` a remark of ours; both may be empty.
    """

    keys: Mapping[str, RowLabel]
    text: str
    value: float
    where: str
    kind: NumberKind
    code: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """The numbers of one table; ``keys`` are the names that every row gives a label for."""

    name: str
    title: str
    keys: tuple[str, ...]
    unit: Unit
    rows: tuple[PublishedValue, ...]


def published(name: str, *, root: Path | None = None, **keys: RowLabel) -> float:
    """The published number in table ``name`` whose labels are exactly ``keys``, as a share if printed in per cent.

    ``published("nandan2025.table1", threshold=0.5, step=100000)`` is 0.0474.  ``root`` is the project's root.
    Raises :class:`PublishedError` if there is no such table or row, or a key is missing or unknown.
    """
    table = published_table(name, root=root)
    if set(keys) != set(table.keys):
        raise PublishedError(f"{name}: expected the keys {', '.join(table.keys)}, got {', '.join(keys) or 'none'}")
    for row in table.rows:
        if all(row.keys[key] == label for key, label in keys.items()):
            return row.value
    labels = {key: sorted({row.keys[key] for row in table.rows}, key=str) for key in table.keys}
    unknown = next((key for key in table.keys if keys[key] not in labels[key]), None)
    if unknown is None:
        raise PublishedError(f"{name}: no row has {_spelled(keys)} together")
    known = ", ".join(str(label) for label in labels[unknown])
    raise PublishedError(f"{name}: no row has {_spelled({unknown: keys[unknown]})}; it has {known}")


def published_table(name: str, *, root: Path | None = None) -> PublishedTable:
    """The table ``name``, such as ``nandan2025.table1``; raises :class:`PublishedError` if it is missing or broken."""
    folder = (project_root() if root is None else root) / PUBLISHED
    paper, _, table = name.partition(".")
    path = folder / f"{paper}.toml"
    if not path.is_file():
        papers = ", ".join(sorted(file.stem for file in folder.glob("[!.]*.toml"))) or "none"
        raise PublishedError(f"{name}: no paper {paper!r} in {folder}; there are {papers}")
    document = read_toml(path, error=PublishedError, advice="expected published numbers")
    tables = {key: raw for key, raw in document.items() if key != "paper"}
    if table not in tables:
        raise PublishedError(f"{name}: no table {table!r} in {path}; there are {', '.join(tables) or 'none'}")
    return _table(name, tables[table], path)


def _table(name: str, raw: Any, path: Path) -> PublishedTable:
    where = f"{path}: [{name.partition('.')[2]}]"
    _check_fields(raw, required=_TABLE_FIELDS, optional=_OPTIONAL_FIELDS, where=where)
    if raw["unit"] not in get_args(Unit):
        raise PublishedError(f"{where}: unit is {raw['unit']!r}, expected {' or '.join(get_args(Unit))}")
    keys = tuple(raw["keys"])
    rows = tuple(_row(row, raw, keys, f"{where} row {number}") for number, row in enumerate(raw["rows"], start=1))
    labels = [tuple(row.keys[key] for key in keys) for row in rows]
    for number, label in enumerate(labels):
        if label in labels[:number]:
            raise PublishedError(f"{where}: two rows have {_spelled(dict(zip(keys, label, strict=True)))}")
    return PublishedTable(name, raw["title"], keys, raw["unit"], rows)


def _row(row: Any, table: Mapping[str, Any], keys: tuple[str, ...], where: str) -> PublishedValue:
    _check_fields(row, required=frozenset({*keys, "as"}), optional=_ROW_FIELDS, where=where)
    kind = row.get("kind", table["kind"])
    if kind not in get_args(NumberKind):
        raise PublishedError(f"{where}: kind is {kind!r}, expected {' or '.join(get_args(NumberKind))}")
    return PublishedValue(
        keys=MappingProxyType({key: row[key] for key in keys}),
        text=str(row["as"]),
        value=_value(row["as"], table["unit"], where),
        where=row.get("where", table["where"]),
        kind=kind,
        code=row.get("code", table.get("code", "")),
        note=row.get("note", table.get("note", "")),
    )


def _value(text: Any, unit: Unit, where: str) -> float:
    # Text, because TOML's 9.50 would come back as 9.5 and could not be found in the paper again.
    if not isinstance(text, str):
        raise PublishedError(f"{where}: 'as' is {text!r}, expected the number in quotes, as the paper spells it")
    try:
        number = Decimal(text.replace(",", ""))
    except InvalidOperation as error:
        raise PublishedError(f"{where}: 'as' is {text!r}, expected a number") from error
    if not number.is_finite():
        raise PublishedError(f"{where}: 'as' is {text!r}, expected a finite number")
    return float(number / 100 if unit == "percent" else number)


def _check_fields(raw: Any, *, required: frozenset[str], optional: frozenset[str], where: str) -> None:
    if not isinstance(raw, Mapping):
        raise PublishedError(f"{where}: expected a table with {', '.join(sorted(required))}, got {raw!r}")
    if missing := required - set(raw):
        raise PublishedError(f"{where}: missing {', '.join(sorted(missing))}")
    if unknown := set(raw) - required - optional:
        raise PublishedError(f"{where}: unknown {', '.join(sorted(unknown))}")


def _spelled(keys: Mapping[str, RowLabel]) -> str:
    return ", ".join(f"{key}={label!r}" for key, label in keys.items())
