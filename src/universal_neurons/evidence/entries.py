"""Readers of TOML files: of any table, and of one that is a list of tables."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.errors import UserError


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


def entries(path: Path, name: str, error: type[UserError]) -> list[tuple[str, object]]:
    """The tables ``[[name]]`` of the file at ``path``, in its order, each with its location for messages.

    Raises ``error`` if the file is missing or no TOML, or holds anything else.
    """
    raw = table(path, error)
    if raw is None:
        raise error(f"{path}: cannot be read (No such file or directory)")
    found = raw.get(name)
    if raw.keys() != {name} or not isinstance(found, list):
        raise error(f"{path}: expected tables [[{name}]] and nothing else, got {', '.join(raw) or 'nothing'}")
    return [(f"{path}: entry {number}", entry) for number, entry in enumerate(found, start=1)]
