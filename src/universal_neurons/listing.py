"""Listings on standard output, as a table or as JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from universal_neurons.characters import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Characters in a line of a table that no terminal shows.
_WIDE = 1000


def show(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool, title: str) -> None:
    """Print rows as JSON or as a table whose columns are ``{field: heading}``.

    A table that is read by a program is as wide as its longest row: nothing is wrapped, cut or coloured.
    """
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2, default=str) + "\n")
        return
    table = Table(box=None, pad_edge=False)
    for name, heading in columns.items():
        numeric = all(isinstance(row[name], int | float) for row in rows) if rows else False
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=numeric or not sys.stdout.isatty())
    for row in rows:
        table.add_row(*(visible(str(row[name])) for name in columns))
    console = _console()
    # As the table's own title it would be wrapped to the table's width.
    console.print(visible(title))
    console.print(table)


def _console() -> Console:
    # NO_COLOR alone would leave bold and italic, which are escape codes too.
    plain = bool(os.environ.get("NO_COLOR"))
    wide = None if sys.stdout.isatty() else _WIDE
    return Console(color_system=None if plain else "auto", width=wide, highlight=False, markup=False)
