"""Small drawings of measurements with their intervals, for the cells of tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.render.escaping import Html, html_text
from universal_neurons.render.figures.style import Colour
from universal_neurons.render.formatting import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from universal_neurons.measurement import Measurement

STRIP_WIDTH, STRIP_ROW, STRIP_MARGIN, STRIP_MOST = 180, 7, 8, 84
MARK_WIDTH, MARK_HEIGHT = 150, 16
Bounds = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class StripAxis:
    """A horizontal axis of small drawings, ``width`` pixels wide; values beyond its ends are drawn at them."""

    low: float
    high: float
    width: int

    @classmethod
    def over(cls, measurements: Sequence[Measurement], bounds: Iterable[Bounds | None], width: int) -> StripAxis:
        """The axis that shows all intervals and all bounds, without the ends that are infinite or beyond writing."""
        ends = [end for m in measurements for end in (m.low, m.value, m.high)]
        ends += [end for pair in bounds for end in pair or () if end is not None]
        finite = [end for end in ends if abs(end) < LARGEST] or [0.0]
        low, high = min(finite), max(finite)
        margin = (high - low or abs(high) or 1.0) * 0.06
        return cls(low - margin, high + margin, width)

    def at(self, x: float) -> str:
        """The position of ``x`` in pixels."""
        share = (min(max(x, self.low), self.high) - self.low) / (self.high - self.low)
        return f"{share * self.width:.1f}"

    def background(self, bounds: Bounds | None, height: int) -> str:
        """The shaded part that a criterion accepts, and the line at zero."""
        parts = []
        if bounds is not None and any(bound is not None for bound in bounds):
            left, right = (
                self.at(end if bound is None else bound)
                for end, bound in zip((self.low, self.high), bounds, strict=True)
            )
            parts.append(
                f'<path d="M{left} 0H{right}V{height}H{left}Z" fill="{Colour.GREEN.css}" fill-opacity="0.13"/>'
            )
        if self.low < 0 < self.high:
            parts.append(
                f'<path d="M{self.at(0)} 0V{height}" stroke="{Colour.MUTED.css}" stroke-dasharray="2 2" '
                'stroke-opacity="0.7"/>'
            )
        return "".join(parts)

    def mark(self, m: Measurement, colour: Colour, y: float, radius: float = 2.6) -> str:
        """Draw a measurement as a dot on its interval."""
        return (
            f'<path d="M{self.at(m.low)} {y:g}H{self.at(m.high)}" stroke="{colour.css}" '
            f'stroke-width="{min(1.6, radius):g}"/>'
            f'<circle cx="{self.at(m.value)}" cy="{y:g}" r="{radius:g}" fill="{colour.css}"/>'
        )


def strip(
    measurements: Sequence[Measurement],
    colours: Sequence[Colour],
    bounds: Bounds | None,
    alt: str,
) -> Html:
    """Every measurement of a claim as a dot with its interval, one under the other, on a shared axis.

    The shaded part of the axis is what the claim's criterion accepts, where that is an interval.  Many measurements
    move together, so that no claim takes more room than a few lines of text.
    """
    if not measurements:
        return Html("")
    axis = StripAxis.over(measurements, [bounds], STRIP_WIDTH)
    row = min(STRIP_ROW, STRIP_MOST / len(measurements))
    height = math.ceil(row * len(measurements)) + 2 * STRIP_MARGIN
    radius = min(2.6, max(1.1, 0.45 * row))
    parts = [
        axis.mark(m, colour, round(STRIP_MARGIN + row * (rank + 0.5), 2), radius)
        for rank, (m, colour) in enumerate(zip(measurements, colours, strict=True))
    ]
    return Html(
        f'<svg class="strip" viewBox="0 0 {STRIP_WIDTH} {height}" width="{STRIP_WIDTH}" height="{height}" role="img" '
        f'aria-label="{html_text(alt)}">{axis.background(bounds, height)}{"".join(parts)}</svg>'
    )


def mark(measurement: Measurement, colour: Colour, bounds: Bounds | None, axis: StripAxis) -> Html:
    """A measurement on the axis of its table; hidden from screen readers, which get the numbers beside it."""
    drawn = axis.background(bounds, MARK_HEIGHT) + axis.mark(measurement, colour, MARK_HEIGHT / 2, 3.2)
    return Html(
        f'<svg class="mark" viewBox="0 0 {axis.width} {MARK_HEIGHT}" width="{axis.width}" height="{MARK_HEIGHT}" '
        f'aria-hidden="true">{drawn}</svg>'
    )
