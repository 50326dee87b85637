"""Tables as data: one grid becomes an HTML table that lines up on the decimal point and a CSV file.

Decides the markup of tables and of the small interval drawings inside them.  Every header cell has its scope.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.render.escaping import Html, csv_text, html_text
from universal_neurons.render.numerals import decimal, interval, value
from universal_neurons.render.plotting import Colour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.measurement import Measurement

Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its title, and the decimals of its numbers (None: a column of words)."""

    title: str
    places: int | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of words and numbers; None is a number that does not exist and is shown as a dash that says so."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    row_headers: int = 1

    def html(self, *, css: str = "") -> Html:
        """The table with a caption, scoped headers and numbers aligned on the decimal point."""
        head = "".join(
            f'<th scope="col"{_number_class(column)}>{html_text(column.title)}</th>' for column in self.columns
        )
        body = "\n".join(f"<tr>{self._row(row)}</tr>" for row in self.rows)
        style = f' class="{css}"' if css else ""
        return Html(
            f'<div class="scroll" role="region" tabindex="0" aria-label="{html_text(self.caption)}">'
            f"<table{style}><caption>{html_text(self.caption)}</caption>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
        )

    def _row(self, row: Sequence[Cell]) -> str:
        cells = []
        for index, (column, cell) in enumerate(zip(self.columns, row, strict=True)):
            tag, scope = ("th", ' scope="row"') if index < self.row_headers else ("td", "")
            cells.append(f"<{tag}{scope}{_number_class(column)}>{cell_html(cell, column.places)}</{tag}>")
        return "".join(cells)

    def csv(self) -> str:
        """The same numbers unrounded, with a header line; lines end with a line feed."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([csv_text(column.title) for column in self.columns])
        for row in self.rows:
            writer.writerow([_csv_cell(cell) for cell in row])
        return stream.getvalue()


def cell_html(cell: Cell, places: int | None) -> Html:
    """One cell: HTML stays, words are escaped, numbers are written with ``places`` decimals."""
    if isinstance(cell, Html):
        return cell
    if cell is None:
        return Html('<span class="none" title="undefined">–</span>')
    if isinstance(cell, str):
        return html_text(cell)
    return html_text(decimal(float(cell), places or 0))


def _csv_cell(cell: Cell) -> str | float | int:
    if cell is None:
        return ""
    return csv_text(cell) if isinstance(cell, str) else cell


def _number_class(column: Column) -> str:
    return "" if column.places is None else ' class="number"'


def measured(measurement: Measurement | None, places: int | None = None) -> Html:
    """A measurement in a cell: the value, and the interval in smaller type below it."""
    if measurement is None or measurement.is_missing:
        return Html('<span class="none">undefined</span>')
    return Html(
        f'<span class="value">{html_text(value(measurement, places))}</span>'
        f' <span class="interval">{html_text(interval(measurement, places))}</span>'
    )


STRIP_WIDTH, STRIP_ROW, STRIP_MARGIN = 180, 7, 8


def strip(
    measurements: Sequence[Measurement],
    colours: Sequence[Colour],
    bounds: tuple[float | None, float | None] | None,
    alt: str,
) -> Html:
    """Every measurement of a claim as a dot with its interval, one under the other, on a shared axis.

    The shaded part of the axis is what the claim's criterion accepts, where that is an interval.  The axis covers
    all intervals and the finite bounds.
    """
    if not measurements:
        return Html("")
    finite = [bound for bound in bounds or () if bound is not None]
    low = min([m.low for m in measurements] + finite)
    high = max([m.high for m in measurements] + finite)
    margin = (high - low or abs(high) or 1.0) * 0.06
    low, high = low - margin, high + margin
    height = STRIP_ROW * len(measurements) + 2 * STRIP_MARGIN

    def at(x: float) -> str:
        return f"{(x - low) / (high - low) * STRIP_WIDTH:.1f}"

    parts = []
    if bounds is not None and finite:
        left, right = (at(edge if bound is None else bound) for edge, bound in zip((low, high), bounds, strict=True))
        parts.append(f'<path d="M{left} 0H{right}V{height}H{left}Z" fill="{Colour.GREEN.css}" fill-opacity="0.13"/>')
    if low < 0 < high:
        parts.append(f'<path d="M{at(0)} 0V{height}" stroke="{Colour.MUTED.css}" stroke-dasharray="2 2"/>')
    for rank, (m, colour) in enumerate(zip(measurements, colours, strict=True)):
        y = STRIP_MARGIN + STRIP_ROW * (rank + 0.5)
        parts.append(
            f'<path d="M{at(m.low)} {y}H{at(m.high)}" stroke="{colour.css}" stroke-width="1.6"/>'
            f'<circle cx="{at(m.value)}" cy="{y}" r="2.6" fill="{colour.css}"/>'
        )
    return Html(
        f'<svg class="strip" viewBox="0 0 {STRIP_WIDTH} {height}" width="{STRIP_WIDTH}" height="{height}" role="img" '
        f'aria-label="{html_text(alt)}">{"".join(parts)}</svg>'
    )
