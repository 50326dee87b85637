"""Printed numbers that stand beside a claim whose criterion names none: ``claims/published.toml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.errors import UserError
from universal_neurons.evidence.entries import entries
from universal_neurons.inputs.published import published_table
from universal_neurons.render.formatting import MINUS, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from universal_neurons.inputs.published import PublishedValue

FILE = "published.toml"
FIELDS = ("claims", "table", "where", "of")
# More numbers than these say nothing in a row of a list.
SPELLED = 3


class BesideError(UserError):
    """The list of printed numbers cannot be read, or names a number that is not there."""


def numbers_beside(root: Path) -> dict[str, str]:
    """What the papers print for each claim, in words, by its id: "4.16 % (GPT-2 Small)"; ``root`` is the checkout.

    Raises :class:`BesideError` for a malformed entry or one that selects no number, PublishedError for an unknown
    table.
    """
    found: dict[str, list[str]] = {}
    for where, raw in entries(root / "claims" / FILE, "published", BesideError):
        if not isinstance(raw, dict) or raw.keys() != set(FIELDS):
            raise BesideError(f"{where}: expected {', '.join(FIELDS)}; got {raw!r}")
        table = published_table(str(raw["table"]), root=root)
        rows = [row for row in table.rows if _is_meant(row, raw["where"])]
        if not rows:
            raise BesideError(f"{where}: no row of {raw['table']} has {raw['where']}")
        for claim in raw["claims"]:
            found.setdefault(claim, []).append(f"{_spelled(rows)} ({raw['of']})")
    return {claim: "; ".join(parts) for claim, parts in found.items()}


def _is_meant(row: PublishedValue, where: Mapping[str, object]) -> bool:
    """Return whether a row has every label of ``where``, or one of them where it lists several."""
    return all(row.keys.get(key) in (label if isinstance(label, list) else [label]) for key, label in where.items())


def _spelled(rows: Sequence[PublishedValue]) -> str:
    if len(rows) > SPELLED:
        return f"{len(rows)} numbers"
    numbers = listed(row.text.replace("-", MINUS) for row in rows)
    return f"{numbers} %" if rows[0].unit == "percent" else numbers
