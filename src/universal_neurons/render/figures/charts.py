"""The two kinds of chart: series over an axis, and rows of named measurements.

Every chart draws, describes and tabulates its measurements in the same way, so figures differ in content only.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from universal_neurons.render.escaping import Markdown, markdown
from universal_neurons.render.figures.drawing import Drawing, drawing, label_room, thinned
from universal_neurons.render.figures.figure import HALVES, Figure, LegendEntry, MissingFigure, figure
from universal_neurons.render.figures.style import MARKERS, NARROW, SERIES, WIDE, Colour, Mark, Size
from universal_neurons.render.formatting import decimal, places_of, scale, span, suffix, with_interval
from universal_neurons.render.tables import Cell, Column, DataTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from universal_neurons.measurement import Measurement

Limits = tuple[float, float]
PERCENT = 100.0
# Of the room between two places of the axis, how much the bars there take together.
BAR_ROOM = 0.74
# How far series stand apart at one place, of the axis: one from the next, and all together.
NUDGE, NUDGED = 0.012, 0.055


@dataclass(frozen=True, slots=True)
class ChartAxis:
    """The horizontal axis: what it counts, where its ticks are, and what is written there.

    ``at`` is how a place is said: "at 25 %", "in layer 3".
    """

    title: str
    places: tuple[float, ...]
    labels: tuple[str, ...]
    at: str = "at"

    def said(self, place: int) -> str:
        """One place in words."""
        return f"{self.at} {self.labels[place]}"


@dataclass(frozen=True, slots=True)
class Series:
    """One series: a measurement at every place of the axis, and where given a band around it (the range of draws).

    ``columns`` are further numbers of the table of the data, by their title, one for every place.
    """

    name: str
    mark: Mark
    values: tuple[Measurement, ...]
    band: tuple[Limits, ...] = ()
    columns: tuple[tuple[str, tuple[float, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal line at a number that was printed or is meant, with its name; over ``between`` alone if given."""

    value: float
    text: str
    between: Limits | None = None
    colour: Colour = Colour.VERMILION


@dataclass(frozen=True, slots=True)
class LineChart:
    """Several series over one axis.  ``quantity`` names the vertical axis, ``series`` what a series is.

    ``limits`` (in the units shown) are given where several panels are to be compared by eye.
    """

    name: str
    label: str
    title: str
    axis: ChartAxis
    quantity: str
    series: str
    curves: tuple[Series, ...]
    rules: tuple[Rule, ...] = ()
    limits: Limits | None = None
    bars: bool = False
    has_zero: bool = True

    @property
    def unit(self) -> str:
        """The unit of the measurements; that of the first one."""
        return self.curves[0].values[0].unit

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """All measurements that are there."""
        return tuple(m for curve in self.curves for m in curve.values if not m.is_missing)


def marks(number: int, *, bars: bool = False) -> tuple[Mark, ...]:
    """As many different marks for series of one rank.

    >>> [mark.marker for mark in marks(2)]
    ['o', 's']
    """
    return tuple(Mark(SERIES[i % len(SERIES)], MARKERS[i % len(MARKERS)], is_bar=bars) for i in range(number))


def keys(panel: LineChart) -> tuple[LegendEntry, ...]:
    """The legend of a panel's series and of the lines that were printed."""
    rules = {rule.text: LegendEntry(rule.text, Mark(rule.colour, "", dashed=True)) for rule in panel.rules}
    return (*(LegendEntry(curve.name, curve.mark) for curve in panel.curves), *rules.values())


def alike(panels: Sequence[LineChart]) -> tuple[LineChart, ...]:
    """The panels with one vertical scale, so that they can be compared by eye."""
    ends = [_extent(panel) for panel in panels]
    shared = (min(low for low, _ in ends), max(high for _, high in ends))
    return tuple(replace(panel, limits=shared) for panel in panels)


def _extent(panel: LineChart) -> Limits:
    factor = scale(panel.unit)
    ends = [end * factor for m in panel.measurements for end in (m.low, m.high)]
    ends += [end * factor for curve in panel.curves for band in curve.band for end in band if math.isfinite(end)]
    ends += [rule.value * factor for rule in panel.rules] + ([0.0] if panel.has_zero else [])
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    air = (high - low or 1.0) * 0.05
    return low - (air if low < 0 or not panel.has_zero else 0), high + air


# --- the drawing -----------------------------------------------------------------------------------------------------


def drawn(panel: LineChart, *, height: int = 232, named: bool = False) -> Callable[[Size], Drawing]:
    """How the panel is drawn; with ``named`` the series have their names at their ends."""

    def draw(size: Size) -> Drawing:
        names = [*(curve.name for curve in panel.curves), *(rule.text for rule in panel.rules)]
        right = label_room(names, size) if named else 14
        tall = height if not size.is_narrow or size.name == "half" else height - 40
        with drawing(size, tall, left=44, right=right, top=36, bottom=44) as canvas:
            ends = [
                *(_rule(canvas, panel, rule) for rule in panel.rules),
                *((_bars if panel.bars else _line)(canvas, panel, curve, i) for i, curve in enumerate(panel.curves)),
            ]
            _frame(canvas, panel)
            if named:
                canvas.label_ends([end for end in ends if end is not None])
        return canvas

    return draw


def _frame(canvas: Drawing, panel: LineChart) -> None:
    axes, places = canvas.axes, panel.axis.places
    room = _room(places)
    axes.set_xlim(places[0] - room * 0.55, places[-1] + room * 0.55)
    axes.set_ylim(*(panel.limits or _extent(panel)))
    centres = [float(axes.transData.transform((place, 0))[0]) for place in places]
    axes.set_xticks(places, thinned(panel.axis.labels, centres, canvas.size))
    plain_numbers(axes.yaxis)
    canvas.label_y(panel.quantity)
    canvas.label_x(panel.axis.title)
    if axes.get_ylim()[0] < 0 < axes.get_ylim()[1]:
        axes.spines["bottom"].set_visible(False)
        axes.axhline(0, color=Colour.MUTED.value, linewidth=1.0, zorder=1.5)


def _room(places: Sequence[float]) -> float:
    return min((b - a for a, b in itertools.pairwise(places)), default=1.0)


def plain_numbers(axis: object) -> None:
    """At most six ticks, written alike: without powers of ten, with as many decimals for one as for the other."""
    from matplotlib.axis import Axis as Ticks
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    assert isinstance(axis, Ticks)  # noqa: S101 - matplotlib has no types
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    form = ScalarFormatter(useOffset=False)
    form.set_scientific(False)
    axis.set_major_formatter(form)


_End = tuple[float, float, str, Colour]


def _rule(canvas: Drawing, panel: LineChart, rule: Rule) -> _End:
    room = _room(panel.axis.places) * 0.55
    low, high = rule.between or (panel.axis.places[0] - room, panel.axis.places[-1] + room)
    y = rule.value * scale(panel.unit)
    canvas.axes.plot([low, high], [y, y], color=rule.colour.value, linewidth=1.4, linestyle=(0, (4, 3)), zorder=1.8)
    return high, y, rule.text, rule.colour


def _line(canvas: Drawing, panel: LineChart, curve: Series, rank: int) -> _End | None:
    factor, mark = scale(panel.unit), curve.mark
    width = (panel.axis.places[-1] - panel.axis.places[0]) or 1.0
    # Intervals of several series at one place would cover each other.
    number = len(panel.curves)
    nudge = (rank - (number - 1) / 2) * min(NUDGE, NUDGED / number) * width
    xs = [x + nudge for x in panel.axis.places]
    ys = [m.value * factor for m in curve.values]
    if curve.band:
        lows, highs = ([band[end] * factor for band in curve.band] for end in (0, 1))
        canvas.axes.fill_between(panel.axis.places, lows, highs, color=mark.colour.value, alpha=0.16, linewidth=0)
    for x, m in zip(xs, curve.values, strict=True):
        if not m.is_missing:
            ends = [m.low * factor, m.high * factor]
            canvas.axes.plot([x, x], ends, color=mark.colour.value, linewidth=1.2, alpha=0.8)
    canvas.axes.plot(
        xs, ys, color=mark.colour.value, linewidth=1.8, linestyle=(0, (4, 2.4)) if mark.dashed else "-",
        marker=mark.marker, markersize=5.2, markeredgewidth=1.4, markeredgecolor=mark.colour.value,
        markerfacecolor=Colour.PAPER.value if mark.hollow else mark.colour.value,
    )  # fmt: skip
    known = [(x, y) for x, y in zip(xs, ys, strict=True) if not math.isnan(y)]
    return (*known[-1], curve.name, mark.colour) if known else None


def _bars(canvas: Drawing, panel: LineChart, curve: Series, rank: int) -> _End | None:
    factor, mark, number = scale(panel.unit), curve.mark, len(panel.curves)
    wide = _room(panel.axis.places) * BAR_ROOM / number
    for place, m in zip(panel.axis.places, curve.values, strict=True):
        if m.is_missing:
            continue
        x = place + (rank - (number - 1) / 2) * wide
        canvas.axes.bar(x, m.value * factor, width=wide * 0.82, color=mark.colour.value, linewidth=0)
        canvas.axes.plot([x, x], [m.low * factor, m.high * factor], color=Colour.INK.value, linewidth=1.3)
    return None


# --- words and data --------------------------------------------------------------------------------------------------


def line_figure(
    panel: LineChart,
    *,
    code: str,
    caption: Markdown | None = None,
    note: str = "",
    wide: bool = False,
    height: int = 232,
) -> Figure:
    """The panel as a figure: at half width unless ``wide``; its words are made from its numbers.

    ``note`` is one more sentence of the generated caption.  Raises MissingFigure where nothing was measured.
    """
    if not panel.measurements:
        raise MissingFigure(panel.name)
    named = wide and not panel.bars
    return figure(
        panel.name, drawn(panel, height=height, named=named), label=panel.label, code=code,
        caption=caption if caption is not None else _caption(panel, note), alt=_alt(panel), data=_data(panel),
        sizes=(WIDE, NARROW) if wide else HALVES,
    )  # fmt: skip


def line_figure_or_sentence(panel: LineChart, why: str, draw: Callable[[], Figure]) -> Figure:
    """What ``draw`` makes of the panel, or ``why`` it is left out where nothing could be measured."""
    return draw() if panel.measurements else Figure.left_out(panel.name, why, label=panel.label)


def at_the_end(panel: LineChart) -> str:
    """What the series are at the last place that has one: the value with its interval, or the range over series."""
    last = [
        (place, m)
        for place in range(len(panel.axis.places))
        for c in panel.curves
        if not (m := c.values[place]).is_missing
    ]
    if not last:
        return "nothing to measure"
    place = max(at for at, _ in last)
    found = [m for at, m in last if at == place]
    places = places_of(found)
    said = with_interval(found[0], places) if len(found) == 1 else span([m.value for m in found], panel.unit, places)
    return f"{said} {panel.axis.said(place)}"


def lowest_to_highest(panel: LineChart) -> str:
    """Between what the series lie, and which and where the two ends are: for an axis without a direction."""
    found = [(m, c.name, at) for c in panel.curves for at, m in enumerate(c.values) if not m.is_missing]
    if not found:
        return "nothing to measure"
    places = places_of(m for m, _, _ in found)
    ends = [choose(found, key=lambda one: one[0].value) for choose in (min, max)]
    said = [f"{with_interval(m, places)} ({name}, {panel.axis.said(at).removeprefix('in ')})" for m, name, at in ends]
    return f"from {said[0]} to {said[1]}"


def _caption(panel: LineChart, note: str) -> Markdown:
    ends = lowest_to_highest(panel) if panel.axis.at != "at" else at_the_end(panel)
    said = f"{panel.title}: {ends}."
    return Markdown(f"{markdown(said)}{' ' if note else ''}{markdown(note)}")


def _alt(panel: LineChart) -> str:
    places = places_of(panel.measurements)
    if panel.axis.at == "at":
        ends = "; ".join(f"{curve.name} {_last(curve, panel.axis, places)}" for curve in panel.curves)
    else:
        ends = f"They lie {lowest_to_highest(panel)}"
    kind = "Bars" if panel.bars else "Lines"
    return f"{kind} of {panel.quantity} by {panel.axis.title}, one per {panel.series}: {panel.title}. {ends}."


def _last(curve: Series, axis: ChartAxis, places: int) -> str:
    known = [(m, at) for at, m in enumerate(curve.values) if not m.is_missing]
    return "undefined" if not known else f"{with_interval(known[-1][0], places)} {axis.said(known[-1][1])}"


def _data(panel: LineChart) -> DataTable:
    places = min(places_of(panel.measurements) + 1, 6)
    further = list(dict.fromkeys(title for curve in panel.curves for title, _ in curve.columns))
    rows: list[tuple[Cell, ...]] = []
    for curve in panel.curves:
        extra = dict(curve.columns)
        for at, (label, m) in enumerate(zip(panel.axis.labels, curve.values, strict=True)):
            more = [finite(extra[title][at]) if title in extra else None for title in further]
            rows.append((curve.name, label, *shown(m), m.n, m.over.value, *more))
    unit = suffix(panel.unit).strip()
    value = f"value, {unit}" if unit else "value"
    columns = (
        Column(panel.series), Column(panel.axis.title), Column(value, places), Column("low", places),
        Column("high", places), Column("n", 0), Column("interval over"), *(Column(title, places) for title in further),
    )  # fmt: skip
    return DataTable(f"{panel.title} ({panel.quantity})", columns, tuple(rows), row_headers=2)


def shown(m: Measurement) -> tuple[float | None, float | None, float | None]:
    """Value and interval in the unit that is shown; None where undefined."""
    factor = scale(m.unit)
    return (None, None, None) if m.is_missing else (m.value * factor, m.low * factor, m.high * factor)


def finite(value: float) -> float | None:
    """``value``, or None where it is not a number."""
    return value if math.isfinite(value) else None


# --- rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """A further number of a row: a chance level, a ceiling, a printed value."""

    value: float
    mark: Mark


@dataclass(frozen=True, slots=True)
class ChartRow:
    """One named measurement; ``reach`` is what it ranges over (draws), where there is such a thing.

    ``columns`` are further numbers of the table of the data, by their title.
    """

    name: str
    value: Measurement
    mark: Mark
    reach: Limits | None = None
    ticks: tuple[Tick, ...] = ()
    columns: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class RowChart:
    """Named measurements under each other on one horizontal axis."""

    name: str
    label: str
    title: str
    quantity: str
    rows: tuple[ChartRow, ...]
    line: float | None = None
    logarithmic: bool = False

    @property
    def unit(self) -> str:
        """The unit of the measurements."""
        return self.rows[0].value.unit


def row_figure(shown_rows: RowChart, *, code: str, caption: Markdown, alt: str = "") -> Figure:
    """The rows as a figure; ``alt`` says what it shows where its numbers have no intervals."""
    return figure(
        shown_rows.name, _drawn_rows(shown_rows), label=shown_rows.label, code=code, caption=caption,
        alt=alt or _rows_alt(shown_rows), data=_rows_data(shown_rows),
    )  # fmt: skip


def _drawn_rows(found: RowChart) -> Callable[[Size], Drawing]:
    def draw(size: Size) -> Drawing:
        row = 42 if size.is_narrow else 30
        left = 8 if size.is_narrow else 236
        with drawing(size, row * len(found.rows) + 80, left=left, right=16, top=14, bottom=48) as canvas:
            for rank, one in enumerate(found.rows):
                _row(canvas, found, one, -rank)
            axes = canvas.axes
            axes.grid(visible=False)
            axes.grid(visible=True, axis="x")
            axes.set_ylim(0.6 - len(found.rows), 0.7 if size.is_narrow else 0.6)
            axes.set_yticks([])
            if found.line is not None:
                axes.axvline(found.line * scale(found.unit), color=Colour.MUTED.value, linewidth=1, zorder=1)
            if found.logarithmic:
                _logarithmic(axes)
            else:
                plain_numbers(axes.xaxis)
            canvas.label_x(found.quantity)
        return canvas

    return draw


def _row(canvas: Drawing, found: RowChart, one: ChartRow, y: float) -> None:
    axes, factor, mark, narrow = canvas.axes, scale(found.unit), one.mark, canvas.size.is_narrow
    place = {"xytext": (0, 11), "ha": "left"} if narrow else {"xytext": (-12, 0), "ha": "right"}
    axes.annotate(
        one.name, (0, y), xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
        annotation_clip=False, **place,
    )  # fmt: skip
    at = y - 0.12 if narrow else y
    if one.reach is not None and _is_drawable(found, one.reach[0]):
        axes.plot(
            [end * factor for end in one.reach], [at, at], color=mark.colour.value, linewidth=7, alpha=0.22,
            solid_capstyle="butt",
        )  # fmt: skip
    for tick in one.ticks:
        if _is_drawable(found, tick.value):
            axes.plot(
                tick.value * factor, at, linestyle="none", marker=tick.mark.marker, markersize=7,
                markeredgecolor=tick.mark.colour.value, markeredgewidth=1.6,
                markerfacecolor="none" if tick.mark.hollow else tick.mark.colour.value,
            )  # fmt: skip
    m = one.value
    if m.is_missing or not _is_drawable(found, m.value):
        return
    low = m.low if _is_drawable(found, m.low) else m.value
    axes.plot([low * factor, m.high * factor], [at, at], color=mark.colour.value, linewidth=1.8)
    axes.plot(
        m.value * factor, at, linestyle="none", marker=mark.marker, markersize=6.5, color=mark.colour.value,
        markeredgecolor=mark.colour.value, markerfacecolor=Colour.PAPER.value if mark.hollow else mark.colour.value,
    )  # fmt: skip


def _is_drawable(found: RowChart, value: float) -> bool:
    """Nothing that is not a number, and on a logarithmic axis nothing that is not positive, has a place."""
    return math.isfinite(value) and (value > 0 or not found.logarithmic)


def _logarithmic(axes: object) -> None:
    from matplotlib.axes import Axes
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    assert isinstance(axes, Axes)  # noqa: S101 - matplotlib has no types
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(base=10, numticks=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _rows_alt(found: RowChart) -> str:
    places = places_of(row.value for row in found.rows)
    said = "; ".join(f"{row.name} {with_interval(row.value, places)}" for row in found.rows)
    return f"Dots with intervals, {found.quantity}: {found.title}. {said}."


def _rows_data(found: RowChart) -> DataTable:
    places = min(places_of(row.value for row in found.rows) + 1, 6)
    further = list(dict.fromkeys(title for row in found.rows for title, _ in row.columns))
    rows: list[tuple[Cell, ...]] = []
    for row in found.rows:
        extra = dict(row.columns)
        more = [finite(extra[title]) if title in extra else None for title in further]
        rows.append((row.name, *shown(row.value), row.value.n, row.value.over.value, *more))
    unit = suffix(found.unit).strip()
    columns = (
        Column("what"), Column(f"value, {unit}" if unit else "value", places), Column("low", places),
        Column("high", places), Column("n", 0), Column("interval over"), *(Column(title, places) for title in further),
    )  # fmt: skip
    return DataTable(found.title, columns, tuple(rows))


def percent(share: float, places: int = 1) -> str:
    """A share in per cent."""
    return f"{decimal(share * PERCENT, places)} %"
