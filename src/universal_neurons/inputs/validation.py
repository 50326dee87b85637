"""One line for the first of the problems that pydantic finds in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


def first_problem(error: ValidationError) -> str:
    """The first problem as ``field.of.table: message``, without the field if it is about the whole file."""
    problem = error.errors()[0]
    field = ".".join(map(str, problem["loc"]))
    return f"{field}{': ' if field else ''}{problem['msg'].removeprefix('Value error, ')}"
