"""Files that people write, checked against a table of their fields, and errors of libraries in one line."""

from __future__ import annotations

import json
import tomllib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from universal_neurons.characters import visible
from universal_neurons.errors import UserError
from universal_neurons.files import shown, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_Model = TypeVar("_Model", bound=BaseModel)
_LONGEST_VALUE_SHOWN = 60


class Table(BaseModel):
    """A table of a file: it cannot be changed and has no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StrictTable(Table):
    """A table whose values have the very types of its fields: ``true`` and ``"20"`` are mistakes and no numbers."""

    model_config = ConfigDict(strict=True)


def parsed_toml(content: str | bytes, *, where: str, error: type[UserError]) -> dict[str, Any]:
    """The table that a TOML file says; raises ``error`` in one line, in which it is ``where``."""
    try:
        return tomllib.loads(content.decode() if isinstance(content, bytes) else content)
    except (ValueError, RecursionError) as problem:
        raise error(f"{where}: not TOML: {first_line(problem)}") from None


def read_toml(path: Path, *, error: type[UserError], advice: str) -> dict[str, Any]:
    """Read the TOML file ``path``; raises ``error``, with ``advice`` if there is no file that can be read."""
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as problem:
        raise error(f"{shown(path)}: cannot be read ({getattr(problem, 'strerror', problem)}); {advice}") from None
    return parsed_toml(content, where=shown(path), error=error)


def checked_model(kind: type[_Model], raw: Any, *, where: str, error: type[UserError]) -> _Model:
    """The ``kind`` of model that a TOML table says; raises ``error`` in one line, in which it is ``where``."""
    try:
        # By way of JSON, because strict pydantic takes a TOML array for a tuple only there.
        return kind.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as problem:
        raise error(f"{where}: {first_problem(problem)}") from None


def read_model(kind: type[_Model], path: Path, *, error: type[UserError], advice: str) -> _Model:
    """Read a ``kind`` of model from the TOML file ``path``; raises ``error`` as :func:`read_toml` does."""
    return checked_model(kind, read_toml(path, error=error, advice=advice), where=shown(path), error=error)


def first_problem(error: ValidationError) -> str:
    """The first problem as ``field.of.table: message, got value``, without the field if it is about the whole file."""
    # A misspelt field is also a missing one; its misspelling is the mistake.
    problem = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    field, got = ".".join(map(str, problem["loc"])), problem["input"]
    plain = isinstance(got, str | int | float) and problem["type"] != "extra_forbidden"
    said = f"{problem['msg'].removeprefix('Value error, ')}{f', got {shown_value(got)}' if plain else ''}"
    return f"{field}{': ' if field else ''}{said}"


def shown_value(value: object) -> str:
    """``value`` as errors show it: its repr, shortened."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE_SHOWN else f"{text[:_LONGEST_VALUE_SHOWN]}..."


def first_line(error: Exception) -> str:
    """The first line of what a library says, short, without full stop and secrets; its name where it says nothing."""
    lines = without_secrets(str(error)).strip().splitlines()
    return visible(lines[0]).rstrip(".")[:200] if lines else type(error).__name__


@contextmanager
def one_line(where: str, expected: str, *, error: type[UserError]) -> Iterator[None]:
    """Turn whatever a library raises while it reads somebody's input into ``error``, one line with its cause.

    Libraries raise anything for bytes that are not theirs: also KeyError, OverflowError, RecursionError, MemoryError.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as problem:  # noqa: BLE001
        raise error(f"{where}: expected {expected}, got something else ({first_line(problem)})") from None
