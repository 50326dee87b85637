"""Errors of libraries in one line."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from universal_neurons.files import shown

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.errors import UserError

_Model = TypeVar("_Model", bound=BaseModel)
_LONGEST_VALUE_SHOWN = 60


class Table(BaseModel):
    """A table of a file: it cannot be changed and has no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StrictTable(Table):
    """A table whose values have the very types of its fields: ``true`` and ``"20"`` are mistakes and no numbers."""

    model_config = ConfigDict(strict=True)


def read_toml(path: Path, *, error: type[UserError], advice: str) -> dict[str, Any]:
    """Read the TOML file ``path``; raises ``error``, with ``advice`` if there is no file that can be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise error(f"{shown(path)}: cannot be read ({problem.strerror}); {advice}") from None
    except ValueError as problem:
        raise error(f"{shown(path)}: not TOML: {problem}") from None


def read_model(kind: type[_Model], path: Path, *, error: type[UserError], advice: str) -> _Model:
    """Read a ``kind`` of model from the TOML file ``path``; raises ``error`` as :func:`read_toml` does."""
    raw = read_toml(path, error=error, advice=advice)
    try:
        # By way of JSON, because strict pydantic takes a TOML array for a tuple only there.
        return kind.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as problem:
        raise error(f"{shown(path)}: {first_problem(problem)}") from None


def first_problem(error: ValidationError) -> str:
    """The first problem as ``field.of.table: message, got value``, without the field if it is about the whole file."""
    problem = error.errors()[0]
    field, got = ".".join(map(str, problem["loc"])), problem["input"]
    plain = isinstance(got, str | int | float) and problem["type"] != "extra_forbidden"
    said = f"{problem['msg'].removeprefix('Value error, ')}{f', got {shown_value(got)}' if plain else ''}"
    return f"{field}{': ' if field else ''}{said}"


def shown_value(value: object) -> str:
    """``value`` as errors show it: its repr, shortened."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE_SHOWN else f"{text[:_LONGEST_VALUE_SHOWN]}..."


def first_line(error: Exception) -> str:
    """The first line of what a library says, without its full stop; the name of the error where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
