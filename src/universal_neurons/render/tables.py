"""Tables of words and numbers, as HTML that lines up on the decimal point and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.render.escaping import Html, csv_text, html_text
from universal_neurons.render.formatting import MINUS, NO_BREAK, decimal, interval, value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from universal_neurons.measurement import Measurement

Cell = str | float | int | None
MARKED = ' class="marked"'
DIGEST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and the decimals of its numbers (None for words)."""

    title: str
    places: int | None = None


@dataclass(frozen=True, slots=True)
class DataTable:
    """A table of words and numbers; None is an undefined number, shown as a dash.

    ``marked`` are the indices of highlighted rows.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    row_headers: int = 1
    marked: frozenset[int] = frozenset()

    def html(self, *, css: str = "") -> Html:
        """The table with a caption, scoped headers and numbers aligned on the decimal point."""
        head = "".join(
            f'<th scope="col"{_number_class(column)}>{html_text(column.title)}</th>' for column in self.columns
        )
        # Where there is no room for columns, cells stand under each other and each says what it is.
        labelled = "stack" in css.split()
        body = "\n".join(
            f"<tr{MARKED if place in self.marked else ''}>{self._row(row, labelled=labelled)}</tr>"
            for place, row in enumerate(self.rows)
        )
        style = f' class="{css}"' if css else ""
        return scrolling(
            self.caption,
            f"<table{style}><caption>{html_text(self.caption)}</caption>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>",
        )

    def _row(self, row: Sequence[Cell], *, labelled: bool) -> str:
        cells = []
        for index, (column, cell) in enumerate(zip(self.columns, row, strict=True)):
            tag, scope = ("th", ' scope="row"') if index < self.row_headers else ("td", "")
            if labelled and tag == "td":
                ending = "" if column.title.endswith("?") else ":"
                scope = f' data-label="{html_text(column.title)}{ending}"'
            cells.append(f"<{tag}{scope}{_number_class(column)}>{cell_html(cell, column.places)}</{tag}>")
        return "".join(cells)

    def csv(self) -> str:
        """The table as CSV with unrounded numbers and a header line; lines end with a line feed."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([csv_text(column.title) for column in self.columns])
        for row in self.rows:
            writer.writerow([_csv_cell(cell) for cell in row])
        return stream.getvalue()


def scrolling(name: str, table: str) -> Html:
    """A ``table`` in HTML that scrolls by itself where it is wider than the page, under its ``name``."""
    return Html(f'<div class="scroll" role="region" tabindex="0" aria-label="{html_text(name)}">{table}</div>')


def cell_html(cell: Cell, places: int | None) -> Html:
    """A cell as HTML: text is escaped, numbers are written with ``places`` decimals."""
    if isinstance(cell, Html):
        return cell
    if cell is None:
        return Html('<span class="none" title="undefined">–</span>')
    if isinstance(cell, str):
        return html_text(cell)
    return html_text(decimal(float(cell), places or 0))


def short_digest(digest: str) -> Html:
    """The first characters of a digest as a cell; empty where there is none."""
    return Html(f'<span class="digest">{html_text(digest[:DIGEST_SHOWN])}</span>') if digest else Html("")


def _csv_cell(cell: Cell) -> str | float | int:
    if cell is None:
        return ""
    return csv_text(cell) if isinstance(cell, str) else cell


def _number_class(column: Column) -> str:
    return "" if column.places is None else ' class="number"'


@dataclass(frozen=True, slots=True)
class Room:
    """The width of a column's longest value, low end and high end, in digits."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, measurements: Iterable[Measurement], places: int | None) -> Room:
        """The room for ``measurements``, written with ``places`` decimals; none where nothing was measured."""
        parts = [_parts(m, places) for m in measurements if not m.is_missing]
        return cls(*(max((room_of(part[i]) for part in parts), default=0.0) for i in range(3)))


# Of a font whose digits are as wide as each other; a column is a little wide rather than a little narrow.
_LETTER_ROOM = {".": 0.6, "[": 0.6, "]": 0.6, " ": 0.6, NO_BREAK: 0.6, MINUS: 1.4, "%": 1.6}


def room_of(text: str) -> float:
    """The width of ``text`` in digits.

    >>> round(room_of("12.5"), 1)
    3.6
    """
    return sum(_LETTER_ROOM.get(letter, 1.0) for letter in text)


def _parts(m: Measurement, places: int | None) -> tuple[str, str, str]:
    low, _, high = interval(m, places).partition(f",{NO_BREAK}")
    return value(m, places), low, high


def measured(measurement: Measurement | None, places: int | None = None, room: Room | None = None) -> Html:
    """A measurement in a cell: the value, and the interval with its brackets after it in a fainter colour.

    With the ``room`` of its column, decimal points are aligned with the other rows.
    """
    if measurement is None or measurement.is_missing:
        return Html('<span class="none">undefined</span>')
    shown, low, high = _parts(measurement, places)
    if room is None:
        return Html(
            f'<span class="value">{html_text(shown)}</span> <span class="interval">{html_text(low)},{NO_BREAK}'
            f"{html_text(high)}</span>"
        )
    ends = f"{_aligned(low, room.low)},{NO_BREAK}{_aligned(high, room.high)}"
    return Html(f'{_aligned(shown, room.value, "value")} <span class="interval">{ends}</span>')


def _aligned(text: str, room: float, css: str = "") -> str:
    names = f"{css} aligned".strip()
    return f'<span class="{names}" style="min-width:{room:.1f}ch">{html_text(text)}</span>'
