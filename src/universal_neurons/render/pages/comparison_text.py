"""The comparison of two runs as tables for a terminal.

Characters that would control the terminal are spelled out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.characters import visible
from universal_neurons.render.formatting import NARROW_SPACE, NO_BREAK
from universal_neurons.render.pages.comparison import (
    NOTHING,
    difference_line,
    key_figure_rows,
    key_figure_titles,
    labels,
    other_differences_line,
    summary,
)
from universal_neurons.render.pages.scoreboard import measured_line
from universal_neurons.render.wording import WORDING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from universal_neurons.evidence.comparison import SideBySide
    from universal_neurons.evidence.summary import ClaimSummary

NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class TerminalTable:
    """A table for a terminal: its title, its columns as field and heading, its rows by field."""

    title: str
    columns: dict[str, str]
    rows: list[dict[str, str]]


def tables(both: SideBySide, *, only_changed: bool = False) -> Iterator[TerminalTable]:
    """The tables of claims, of shares and ablations, and of settings that differ; empty ones are left out."""
    left, right = labels(both.comparison)
    pairs = both.comparison.changed if only_changed else both.comparison.claims
    claims = [
        {
            "claim": pair.claim, "changed": "*" if pair.has_other_verdict else "", "left": _verdict(pair.left),
            "right": _verdict(pair.right), "left_value": _value(pair.left), "right_value": _value(pair.right),
            "difference": difference_line(pair) or NOTHING, "other": other_differences_line(pair) or NOTHING,
        }
        for pair in pairs
    ]  # fmt: skip
    columns = {
        "claim": "claim", "changed": "", "left": left, "right": right, "left_value": f"{left}: measured",
        "right_value": f"{right}: measured", "difference": "difference", "other": "what else differs",
    }  # fmt: skip
    yield from _filled(f"claims of {left} and {right}", columns, claims)
    names = ("what", "of", "threshold", "checkpoint", "left", "right", "difference")
    rows = [dict(zip(names, row, strict=True)) for row in key_figure_rows(both)]
    yield from _filled("shares and ablations", dict(zip(names, key_figure_titles(both), strict=True)), rows)
    settings = [setting.as_dict() for setting in both.settings]
    yield from _filled("what the two were made with", {"name": "setting", "left": left, "right": right}, settings)


def lines(both: SideBySide) -> list[str]:
    """The summary in sentences, and the parts that could not be compared."""
    return [_plain(line) for line in (*summary(both.comparison), *(f"not compared: {a}" for a in both.absences))]


def _filled(title: str, columns: dict[str, str], rows: Sequence[Mapping[str, str]]) -> Iterator[TerminalTable]:
    if rows:
        plain = [{name: _plain(text) for name, text in row.items()} for row in rows]
        yield TerminalTable(_plain(title), {name: _plain(text) for name, text in columns.items()}, plain)


def _verdict(claim: ClaimSummary | None) -> str:
    return NOT_JUDGED if claim is None else WORDING[claim.verdict].label


def _value(claim: ClaimSummary | None) -> str:
    return NOTHING if claim is None else measured_line(claim.items) or NOTHING


def _plain(text: str) -> str:
    """``text`` on one line, without spaces that a terminal may not know and without control characters."""
    return visible(text).replace(NO_BREAK, " ").replace(NARROW_SPACE, " ").replace(NOTHING, "-")
