"""Reader of TOML files that are one list of tables."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.errors import UserError


def entries(path: Path, name: str, error: type[UserError]) -> list[tuple[str, object]]:
    """The tables ``[[name]]`` of the file at ``path``, in its order, each with its location for messages.

    Raises ``error`` if the file is missing or no TOML, or holds anything else.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as wrong:
        raise error(f"{path}: cannot be read ({wrong.strerror or wrong})") from wrong
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise error(f"{path}: not a TOML file ({wrong})") from wrong
    found = raw.get(name)
    if raw.keys() != {name} or not isinstance(found, list):
        raise error(f"{path}: expected tables [[{name}]] and nothing else, got {', '.join(raw) or 'nothing'}")
    return [(f"{path}: entry {number}", entry) for number, entry in enumerate(found, start=1)]
