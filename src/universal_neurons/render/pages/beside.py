"""Printed numbers that stand beside a claim whose criterion names none: ``claims/published.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from universal_neurons.evidence.entries import EntryError, read_entries
from universal_neurons.inputs.published import published_table
from universal_neurons.render.formatting import MINUS, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from universal_neurons.inputs.published import PublishedValue

FILE = "published.toml"
# More numbers than these say nothing in a row of a list.
SPELLED = 3


@dataclass(frozen=True, slots=True)
class PrintedNumbers:
    """The rows of a printed ``table`` that have the labels ``where``, of the models ``of``, for some claims."""

    claims: tuple[str, ...]
    table: str
    where: dict[str, Any]
    of: str


def numbers_beside(root: Path) -> dict[str, str]:
    """What the papers print for each claim, in words, by its id: "4.16 % (GPT-2 Small)"; ``root`` is the checkout.

    Raises EntryError for a malformed entry or one that selects no number, PublishedError for an unknown table.
    """
    path = root / "claims" / FILE
    found: dict[str, list[str]] = {}
    for one in read_entries(path, "published", PrintedNumbers):
        rows = [row for row in published_table(one.table, root=root).rows if _is_meant(row, one.where)]
        if not rows:
            raise EntryError(f"{path}: no row of {one.table} has {one.where}")
        for claim in one.claims:
            found.setdefault(claim, []).append(f"{_spelled(rows)} ({one.of})")
    return {claim: "; ".join(parts) for claim, parts in found.items()}


def _is_meant(row: PublishedValue, where: Mapping[str, object]) -> bool:
    """Return whether a row has every label of ``where``, or one of them where it lists several."""
    return all(row.keys.get(key) in (label if isinstance(label, list) else [label]) for key, label in where.items())


def _spelled(rows: Sequence[PublishedValue]) -> str:
    if len(rows) > SPELLED:
        return f"{len(rows)} numbers"
    numbers = listed(row.text.replace("-", MINUS) for row in rows)
    return f"{numbers} %" if rows[0].unit == "percent" else numbers
