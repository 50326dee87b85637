"""Numbers that the papers print, each with its locator.

One TOML file per paper under ``fixtures/published``; a name such as ``nandan2025.table1`` is a file and a table of it.
A number is stored as the paper spells it, so that it can be found there again, and converted here once.
"""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from universal_neurons.errors import NotOnSuite, UserError
from universal_neurons.inputs.suite import project_root
from universal_neurons.inputs.validation import Table, first_problem, read_toml

PUBLISHED = Path("fixtures") / "published"

RowLabel = str | int | float
# printed: in the paper's text or tables; data: tabulated from data or notebook outputs that its authors published;
# calculated: by us from such numbers; figure: read off a picture by eye.
NumberKind = Literal["printed", "data", "calculated", "figure"]


class PublishedError(UserError):
    """A published number is missing, or a file of them is malformed."""


class NotPublished(PublishedError, NotOnSuite):
    """A table has no number with these labels; one of them may be a checkpoint that the paper does not look at."""


class _Source(Table):
    """The origin of numbers: locator, kind and unit; ``code``: what the paper's code or data say, ``note``: ours."""

    where: str
    kind: NumberKind
    unit: Literal["percent", "count", "number"]
    code: str = ""
    note: str = ""


class PublishedValue(_Source):
    """One number: ``keys`` name it in its table, ``text`` is its spelling in the source.

    What its row does not say of its source is the table's.
    """

    keys: dict[str, RowLabel]
    text: str = Field(alias="as")

    @model_validator(mode="before")
    @classmethod
    def _keys_apart(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        own = {name: value for name, value in raw.items() if name == "as" or name in _Source.model_fields}
        return {**own, "keys": {name: value for name, value in raw.items() if name not in own}}

    @field_validator("text")
    @classmethod
    def _is_a_number(cls, text: str) -> str:
        try:
            finite = _number(text).is_finite()
        except InvalidOperation:
            finite = False
        if not finite:
            raise ValueError("expected a finite number, as the paper spells it")
        return text

    @property
    def value(self) -> float:
        """The number itself; percentages become shares: ``4.74`` per cent is 0.0474."""
        return float(_number(self.text) / 100 if self.unit == "percent" else _number(self.text))


class PublishedTable(_Source):
    """The numbers of one table; ``keys`` are the names that every row gives a label for."""

    title: str
    keys: tuple[str, ...]
    rows: tuple[PublishedValue, ...]

    @model_validator(mode="before")
    @classmethod
    def _rows_inherit(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or not isinstance(raw.get("rows"), list):
            return raw
        shared = {name: raw[name] for name in _Source.model_fields if name in raw}
        return {**raw, "rows": [{**shared, **row} if isinstance(row, dict) else row for row in raw["rows"]]}

    @model_validator(mode="after")
    def _rows_differ(self) -> Self:
        labels = [row.keys for row in self.rows]
        for number, label in enumerate(labels):
            if label.keys() != set(self.keys):
                raise ValueError(f"rows.{number}: expected the keys {', '.join(self.keys)}, got {', '.join(label)}")
            if label in labels[:number]:
                raise ValueError(f"two rows have {_spelled(label)}")
        return self


def _number(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


def published(name: str, *, root: Path | None = None, **keys: RowLabel) -> float:
    """The published number in table ``name`` whose labels are exactly ``keys``, as a share if printed in per cent.

    ``published("nandan2025.table1", threshold=0.5, step=100000)`` is 0.0474.  ``root`` is the project's root.
    Raises :class:`PublishedError` if there is no such table or a key is missing or unknown, :class:`NotPublished` if
    there is no such row.
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
        raise NotPublished(f"{name}: no row has {_spelled(keys)} together")
    known = ", ".join(str(label) for label in labels[unknown])
    raise NotPublished(f"{name}: no row has {_spelled({unknown: keys[unknown]})}; it has {known}")


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
    try:
        return PublishedTable.model_validate(tables[table])
    except ValidationError as error:
        raise PublishedError(f"{path}: [{table}] {first_problem(error)}") from None


def _spelled(keys: dict[str, RowLabel]) -> str:
    return ", ".join(f"{key}={label!r}" for key, label in keys.items())
