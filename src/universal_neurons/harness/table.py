"""Verdict table at the end of a run: one aligned row per claim, as plain text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.characters import visible
from universal_neurons.evidence.criteria import Criterion
from universal_neurons.evidence.verdict import Verdict, tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from universal_neurons.evidence.summary import ClaimSummary
    from universal_neurons.measurement import Measurement

HEADINGS = ("claim", "statement", "criterion", "value", "p", "verdict")
_GAP = 2
# Fewest characters of a shortened statement or criterion, however narrow the terminal.
_MIN_STATEMENT = 24
_MIN_CRITERION = 16
_MAX_CRITERION = 36
# On a wider one the eye loses the line before it reaches the verdict.
_MAX_STATEMENT = 100
_SMALLEST_P = 0.001


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters beyond ASCII that the table uses."""

    ellipsis: str
    dash: str

    @classmethod
    def for_encoding(cls, encoding: str | None) -> Glyphs:
        """Typographic ones if ``encoding`` has them, otherwise ASCII."""
        try:
            "…–".encode(encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            return cls("...", "-")
        return cls("…", "–")


@dataclass(frozen=True, slots=True)
class TableLine:
    """One line of the table, aligned, and the verdict that colours it (None for the headings)."""

    text: str
    verdict: Verdict | None


def verdict_table(claims: Iterable[ClaimSummary], *, width: int, encoding: str | None) -> list[TableLine]:
    """The rows of the table, headings first; only statements and criteria are shortened to fit into ``width``.

    The column of p values is there only if a claim was corrected for multiple testing.
    """
    glyphs = Glyphs.for_encoding(encoding)
    summaries = list(claims)
    rows = [HEADINGS, *(_cells(summary, glyphs) for summary in summaries)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    _, statement, criterion, _, p, _ = columns
    if not any(p[1:]):
        columns.remove(p)
    others = [column for column in columns if column is not statement and column is not criterion]
    room = width - sum(map(_width, others)) - _GAP * (len(columns) - 1)
    _shorten(criterion, min(_MAX_CRITERION, max(_MIN_CRITERION, room - _MIN_STATEMENT)), glyphs)
    _shorten(statement, min(_MAX_STATEMENT, max(_MIN_STATEMENT, room - _width(criterion))), glyphs)
    widths = [_width(column) for column in columns]
    verdicts = [None, *(summary.verdict for summary in summaries)]
    return [
        TableLine(_line(row, widths), verdict)
        for row, verdict in zip(zip(*columns, strict=True), verdicts, strict=True)
    ]


def value_range(measurements: Sequence[Measurement], dash: str = "-") -> str:
    """The smallest and the largest value, and the interval that holds all their intervals.

    >>> from universal_neurons.measurement import Measurement, Over
    >>> value_range([Measurement(0.02, 0.01, 0.03, 9, Over.NEURONS), Measurement(0.05, 0.04, 0.06, 9, Over.NEURONS)])
    '0.02 - 0.05 [0.01, 0.06]'
    """
    present = [m for m in measurements if not m.is_missing]
    if not present:
        return dash
    low, high = f"{min(m.low for m in present):.3g}", f"{max(m.high for m in present):.3g}"
    smallest, largest = f"{min(m.value for m in present):.3g}", f"{max(m.value for m in present):.3g}"
    value = smallest if smallest == largest else f"{smallest} {dash} {largest}"
    units = {m.unit for m in present}
    unit = f" {units.pop()}" if len(units) == 1 and units != {""} else ""
    return f"{value} [{low}, {high}]{unit}"


def _cells(summary: ClaimSummary, glyphs: Glyphs) -> tuple[str, ...]:
    measured = [m for record in summary.items if (m := record.measured()) is not None]
    first = summary.first
    criterion = Criterion.from_dict(first.criterion).without_sources()
    p = "" if summary.adjusted_p is None else _p_value(summary.adjusted_p)
    value = value_range(measured, glyphs.dash)
    return visible(summary.claim), visible(first.statement), visible(criterion.text()), value, p, _verdict(summary)


def _p_value(p: float) -> str:
    """``p`` with two digits, for as long as these say something."""
    return f"{p:.2g}" if p >= _SMALLEST_P else f"<{_SMALLEST_P:g}"


def _verdict(summary: ClaimSummary) -> str:
    """The verdict and the number of items that have it."""
    total = len(summary.items)
    count = tally(summary.corrected)[summary.verdict]
    if total == 1:
        return summary.verdict.value
    return f"{summary.verdict} ({total})" if count == total else f"{summary.verdict} ({count} of {total})"


def _width(column: Sequence[str]) -> int:
    return max(map(len, column))


def _shorten(column: list[str], room: int, glyphs: Glyphs) -> None:
    column[:] = [_shortened(text, room, glyphs) for text in column]


def _shortened(text: str, room: int, glyphs: Glyphs) -> str:
    text = text if glyphs.ellipsis == "…" else text.encode("ascii", "replace").decode("ascii")
    return text if len(text) <= room else text[: room - len(glyphs.ellipsis)].rstrip() + glyphs.ellipsis


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    gap = " " * _GAP
    return gap.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
