"""The two kinds of chart: series over an axis, and rows of named measurements.

Every chart draws, describes and tabulates its measurements in the same way, so figures differ in content only.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from universal_neurons.measurement import Over
from universal_neurons.render.escaping import Markdown, markdown
from universal_neurons.render.figures.drawing import Drawing, drawing, label_room, thinned
from universal_neurons.render.figures.figure import HALVES, Figure, LegendEntry, MissingFigure, figure
from universal_neurons.render.figures.style import LETTER, NARROW, OTHERS, OWN, WIDE, Colour, Mark, Size
from universal_neurons.render.formatting import EN_DASH, PERCENT, decimal, places_of, scale, span, suffix, with_interval
from universal_neurons.render.tables import Cell, Column, DataTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.arrays import Floats

Limits = tuple[float, float]
# The part of the distance between two places of the axis that their bars take.
BAR_ROOM = 0.74
# Fewer neurons than this are few; an interval is lopsided when one side is so many times as long as the other.
FEW, LOPSIDED = 10, 3
HEAT_OPACITY = 0.5
# The offset between series at one place, as a part of the axis: between neighbours, and in total.
NUDGE, NUDGED = 0.012, 0.055


@dataclass(frozen=True, slots=True)
class ChartAxis:
    """The horizontal axis: its title, the places of its ticks and their labels.

    ``at`` is the preposition of a place: "at 25 %", "in layer 3".
    """

    title: str
    places: tuple[float, ...]
    labels: tuple[str, ...]
    at: str = "at"

    @classmethod
    def of_layers(cls, depth: int) -> ChartAxis:
        """The axis of ``depth`` layers."""
        return cls("layer", tuple(map(float, range(depth))), tuple(map(str, range(depth))), "in layer")

    @classmethod
    def of_bins(cls, title: str, edges: Floats) -> ChartAxis:
        """The axis of bins between ``edges``: a place in the middle of each."""
        centres = tuple(float(c) for c in (edges[:-1] + edges[1:]) / 2)
        return cls(title, centres, tuple(decimal(c, 2) for c in centres))

    def said(self, place: int) -> str:
        """A place of the axis in words."""
        return f"{self.at} {self.labels[place]}"


@dataclass(frozen=True, slots=True)
class Series:
    """A series: a measurement at every place of the axis, and optionally a band (the range of draws).

    ``columns`` are further numbers of the table of the data, by their title, one for every place.
    """

    name: str
    mark: Mark
    values: tuple[Measurement, ...]
    band: tuple[Limits, ...] = ()
    columns: tuple[tuple[str, tuple[float, ...]], ...] = ()


def universal_and_others(universal: tuple[Measurement, ...], others: tuple[Measurement, ...]) -> tuple[Series, Series]:
    """The series of the neurons that are universal on average, and of all others beside them."""
    return Series("universal on average", OWN, universal), Series("all others", OTHERS, others)


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal line at a number that was printed or is meant, with its name; over ``between`` alone if given."""

    value: float
    text: str
    between: Limits | None = None


@dataclass(frozen=True, slots=True)
class LineChart:
    """Several series over one axis.  ``quantity`` names the vertical axis, ``series`` what a series is.

    ``limits`` (in the units shown) are given where several charts are to be compared by eye.
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
    logarithmic: bool = False

    @property
    def unit(self) -> str:
        """The unit of the measurements."""
        return self.curves[0].values[0].unit

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """All measurements that are there."""
        return tuple(m for curve in self.curves for m in curve.values if not m.is_missing)


def keys(chart: LineChart) -> tuple[LegendEntry, ...]:
    """The legend of a chart's series and of the lines that were printed."""
    rules = {rule.text: LegendEntry(rule.text, Mark(Colour.MUTED, "", dashed=True)) for rule in chart.rules}
    return (*(LegendEntry(curve.name, curve.mark) for curve in chart.curves), *rules.values())


def alike(charts: Sequence[LineChart]) -> tuple[LineChart, ...]:
    """The charts with one vertical scale, so that they can be compared by eye."""
    ends = [_extent(chart) for chart in charts]
    shared = (min(low for low, _ in ends), max(high for _, high in ends))
    return tuple(replace(chart, limits=shared) for chart in charts)


def _extent(chart: LineChart) -> Limits:
    factor = scale(chart.unit)
    ends = [end * factor for m in chart.measurements for end in (m.low, m.high)]
    ends += [end * factor for curve in chart.curves for band in curve.band for end in band if math.isfinite(end)]
    ends += [rule.value * factor for rule in chart.rules]
    if chart.logarithmic:
        # The values alone: an interval may reach to zero, which has no place there.
        values = [m.value * factor for m in chart.measurements] or [1.0]
        return min(values) / 1.6, max(values) * 1.6
    low, high = min([0.0, *ends]), max([0.0, *ends])
    air = (high - low or 1.0) * 0.05
    return low - (air if low < 0 else 0), high + air


# --- the drawing -----------------------------------------------------------------------------------------------------


def drawn(chart: LineChart, *, height: int = 232, named: bool = False) -> Callable[[Size], Drawing]:
    """A function that draws the chart; with ``named`` the lines are labelled at their ends."""

    def draw(size: Size) -> Drawing:
        names = [*(curve.name for curve in chart.curves), *(rule.text for rule in chart.rules)]
        right = label_room(names, size) if named else 14
        tall = height if not size.is_narrow or size.name == "half" else height - 40
        with drawing(size, tall, left=52, right=right, top=36, bottom=44) as canvas:
            ends = [
                *(_rule(canvas, chart, rule) for rule in chart.rules),
                *((_bars if chart.bars else _line)(canvas, chart, curve, i) for i, curve in enumerate(chart.curves)),
            ]
            _frame(canvas, chart)
            if named:
                canvas.label_ends([end for end in ends if end is not None])
        return canvas

    return draw


def _frame(canvas: Drawing, chart: LineChart) -> None:
    axes, places = canvas.axes, chart.axis.places
    room = _room(places)
    axes.set_xlim(places[0] - room * 0.55, places[-1] + room * 0.55)
    limits = chart.limits or _extent(chart)
    if chart.logarithmic:
        axes.set_yscale("log")
    axes.set_ylim(*limits)
    centres = [float(axes.transData.transform((place, 0))[0]) for place in places]
    axes.set_xticks(places, thinned(chart.axis.labels, centres, canvas.size))
    (plain_decades if chart.logarithmic else plain_numbers)(axes.yaxis)
    canvas.label_y(chart.quantity)
    canvas.label_x(chart.axis.title)
    if axes.get_ylim()[0] < 0 < axes.get_ylim()[1]:
        axes.spines["bottom"].set_visible(False)
        axes.axhline(0, color=Colour.MUTED.value, linewidth=1.0, zorder=1.5)


def _room(places: Sequence[float]) -> float:
    return min((b - a for a, b in itertools.pairwise(places)), default=1.0)


def plain_numbers(axis: object) -> None:
    """Set at most six ticks, all with the same number of decimals and without powers of ten."""
    from matplotlib.axis import Axis as Ticks
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    assert isinstance(axis, Ticks)  # noqa: S101 - matplotlib has no types
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    form = ScalarFormatter(useOffset=False)
    form.set_scientific(False)
    axis.set_major_formatter(form)


def plain_decades(axis: object, at_most: int | None = None) -> None:
    """Label the decades of a logarithmic axis as 0.01, 0.1, 1 instead of powers of ten."""
    from matplotlib.axis import Axis as Ticks
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    assert isinstance(axis, Ticks)  # noqa: S101 - matplotlib has no types
    axis.set_major_locator(LogLocator(base=10, numticks=at_most))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


_End = tuple[float, float, str, Colour]


def _rule(canvas: Drawing, chart: LineChart, rule: Rule) -> _End:
    room = _room(chart.axis.places) * 0.55
    low, high = rule.between or (chart.axis.places[0] - room, chart.axis.places[-1] + room)
    y = rule.value * scale(chart.unit)
    canvas.axes.plot([low, high], [y, y], color=Colour.MUTED.value, linewidth=1.4, linestyle=(0, (4, 3)), zorder=1.8)
    return high, y, rule.text, Colour.MUTED


def nudge(chart: LineChart, rank: int) -> float:
    """How far the series of a ``rank`` is moved sideways, as bars at one place would cover each other.

    None comes near the next place.  Bands are not moved: on a steep curve a reader takes the place for the value.
    """
    if chart.logarithmic:
        return 0.0
    width = (chart.axis.places[-1] - chart.axis.places[0]) or 1.0
    number = len(chart.curves)
    most = min(NUDGED * width, _room(chart.axis.places) / 2) / number
    return (rank - (number - 1) / 2) * min(NUDGE * width, most)


def _line(canvas: Drawing, chart: LineChart, curve: Series, rank: int) -> _End | None:
    factor, mark, aside = scale(chart.unit), curve.mark, nudge(chart, rank)
    xs = [x + aside for x in chart.axis.places]
    ys = [m.value * factor for m in curve.values]
    if curve.band:
        lows, highs = ([band[end] * factor for band in curve.band] for end in (0, 1))
        canvas.axes.fill_between(chart.axis.places, lows, highs, color=mark.colour.value, alpha=0.16, linewidth=0)
    if chart.logarithmic:
        lows, highs = ([getattr(m, end) * factor for m in curve.values] for end in ("low", "high"))
        canvas.axes.fill_between(xs, lows, highs, color=mark.colour.value, alpha=0.12 * mark.strength, linewidth=0)
    if not chart.logarithmic:
        # One path with gaps: matplotlib takes nearly as long for a line of two points as for all of them.
        ends = [end * factor for m in curve.values for end in (m.low, m.high, math.nan)]
        thrice = [x for x in xs for _ in range(3)]
        canvas.axes.plot(thrice, ends, color=mark.colour.value, linewidth=1.2, alpha=0.8 * mark.strength)
    canvas.axes.plot(
        xs, ys, color=mark.colour.value, linewidth=1.8 if mark.is_line else 0,
        linestyle=(0, (4, 2.4)) if mark.dashed else "-", alpha=mark.strength,
    )  # fmt: skip
    for few in sorted({is_few(m) for m in curve.values}):
        canvas.axes.plot(
            xs, [y if is_few(m) is few else math.nan for y, m in zip(ys, curve.values, strict=True)],
            linestyle="none", marker=mark.marker, markersize=5.2, markeredgewidth=1.4,
            markeredgecolor=mark.colour.value, alpha=mark.strength,
            markerfacecolor=Colour.PAPER.value if few else mark.colour.value,
        )  # fmt: skip
    known = [(x, y) for x, y in zip(xs, ys, strict=True) if not math.isnan(y)]
    return (*known[-1], curve.name, mark.colour) if known else None


def _bars(canvas: Drawing, chart: LineChart, curve: Series, rank: int) -> _End | None:
    factor, mark, number = scale(chart.unit), curve.mark, len(chart.curves)
    wide = _room(chart.axis.places) * BAR_ROOM / number
    for place, m in zip(chart.axis.places, curve.values, strict=True):
        if m.is_missing:
            continue
        x = place + (rank - (number - 1) / 2) * wide
        canvas.axes.bar(x, m.value * factor, width=wide * 0.82, color=mark.colour.value, linewidth=0)
        canvas.axes.plot([x, x], [m.low * factor, m.high * factor], color=Colour.INK.value, linewidth=1.3)
    return None


def heat_map(
    canvas: Drawing,
    cells: Mapping[tuple[int, int], Measurement],
    *,
    columns: Sequence[str],
    rows: Sequence[str],
    places: int,
) -> None:
    """A share at every (column, row), the rows upwards, as a number of ``places`` and as a strength of colour."""
    peak = max((m.value for m in cells.values() if not m.is_missing), default=0.0)
    digits = _heat_places(canvas, cells.values(), columns=len(columns), places=places)
    for (x, y), share in cells.items():
        _heat_cell(canvas, x, y, share, peak=peak, places=digits)
    axes = canvas.axes
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    centres = [float(axes.transData.transform((x, 0))[0]) for x in range(len(columns))]
    axes.set_xticks(range(len(columns)), thinned(columns, centres, canvas.size))
    axes.set_yticks(range(len(rows)), rows)


def _heat_places(canvas: Drawing, shares: Iterable[Measurement], *, columns: int, places: int) -> int | None:
    """The decimals of the numbers in a heat map: ``places``, fewer in narrow columns, None where no number has room."""
    known = [share.value * PERCENT for share in shares if not share.is_missing]
    room = canvas.plot_width / columns / (LETTER * canvas.size.text)
    return next((d for d in (places, 0) if all(len(decimal(value, d)) <= room for value in known)), None)


def _heat_cell(canvas: Drawing, x: int, y: int, share: Measurement, *, peak: float, places: int | None) -> None:
    """A cell of a heat map at column ``x`` and row ``y``: its share as a number, and as a strength against ``peak``.

    ``places``: the decimals of the number, None for none.
    """
    from matplotlib.patches import Rectangle

    strength = 0.0 if share.is_missing or peak == 0 else share.value / peak
    canvas.axes.add_patch(
        Rectangle((x - 0.485, y - 0.47), 0.97, 0.94, facecolor=Colour.RULE.value, alpha=0.35, linewidth=0)
    )
    canvas.axes.add_patch(
        Rectangle(
            (x - 0.485, y - 0.47), 0.97, 0.94, facecolor=Colour.BLUE.value, alpha=HEAT_OPACITY * strength, linewidth=0
        )
    )
    if places is not None:
        text = EN_DASH if share.is_missing else decimal(share.value * PERCENT, places)
        canvas.axes.text(x, y, text, ha="center", va="center")


# --- words and data --------------------------------------------------------------------------------------------------


def line_figure(
    chart: LineChart,
    *,
    code: str,
    caption: Markdown | None = None,
    note: str = "",
    wide: bool = False,
    height: int = 232,
    named: bool = True,
    otherwise: str = "",
) -> Figure:
    """The chart as a figure: at half width unless ``wide``; its words are made from its numbers.

    ``note`` is one more sentence of the generated caption.  A wide one has the names of its lines at their ends, unless
    not ``named``: then it stands under a legend.  Where nothing was measured the figure is left out with the reason
    ``otherwise``; without a reason that raises MissingFigure.
    """
    if not chart.measurements:
        if not otherwise:
            raise MissingFigure(chart.name)
        return Figure.left_out(chart.name, otherwise, label=chart.label)
    return figure(
        chart.name, drawn(chart, height=height, named=named and wide and not chart.bars), label=chart.label, code=code,
        caption=Markdown(
            f"{caption if caption is not None else _caption(chart, note)}{notes(chart.measurements)}"
        ),
        alt=_alt(chart), data=_data(chart),
        sizes=(WIDE, NARROW) if wide else HALVES,
    )  # fmt: skip


def at_the_end(chart: LineChart) -> str:
    """The values at the last place with a measurement: one with its interval, or the range over series."""
    last = [
        (place, m)
        for place in range(len(chart.axis.places))
        for c in chart.curves
        if not (m := c.values[place]).is_missing
    ]
    if not last:
        return "nothing to measure"
    place = max(at for at, _ in last)
    found = [m for at, m in last if at == place]
    places = places_of(found)
    said = with_interval(found[0], places) if len(found) == 1 else span([m.value for m in found], chart.unit, places)
    return f"{said} {chart.axis.said(place)}"


def lowest_to_highest(chart: LineChart) -> str:
    """The smallest and the largest value, with series and place; for an axis without a direction."""
    found = [(m, c.name, at) for c in chart.curves for at, m in enumerate(c.values) if not m.is_missing]
    if not found:
        return "nothing to measure"
    places = places_of(m for m, _, _ in found)
    ends = [choose(found, key=lambda one: one[0].value) for choose in (min, max)]
    said = [f"{with_interval(m, places)} ({name}, {chart.axis.said(at).removeprefix('in ')})" for m, name, at in ends]
    return f"from {said[0]} to {said[1]}"


def _caption(chart: LineChart, note: str) -> Markdown:
    ends = lowest_to_highest(chart) if chart.axis.at != "at" else at_the_end(chart)
    said = f"{chart.title}: {ends}."
    return Markdown(f"{markdown(said)}{' ' if note else ''}{markdown(note)}")


def _alt(chart: LineChart) -> str:
    places = places_of(chart.measurements)
    if chart.axis.at == "at":
        ends = "; ".join(f"{curve.name} {_last(curve, chart.axis, places)}" for curve in chart.curves)
    else:
        ends = f"They lie {lowest_to_highest(chart)}"
    kind = "Bars" if chart.bars else "Lines"
    return f"{kind} of {chart.quantity} by {chart.axis.title}, one per {chart.series}: {chart.title}. {ends}."


def _last(curve: Series, axis: ChartAxis, places: int) -> str:
    known = [(m, at) for at, m in enumerate(curve.values) if not m.is_missing]
    return "undefined" if not known else f"{with_interval(known[-1][0], places)} {axis.said(known[-1][1])}"


def _data(chart: LineChart) -> DataTable:
    places = min(places_of(chart.measurements) + 1, 6)
    further = list(dict.fromkeys(title for curve in chart.curves for title, _ in curve.columns))
    rows: list[tuple[Cell, ...]] = []
    for curve in chart.curves:
        extra = dict(curve.columns)
        for at, (label, m) in enumerate(zip(chart.axis.labels, curve.values, strict=True)):
            more = [finite(extra[title][at]) if title in extra else None for title in further]
            rows.append((curve.name, label, *shown(m), m.n, m.over.value, *more))
    unit = suffix(chart.unit).strip()
    value = f"value, {unit}" if unit else "value"
    columns = (
        Column(chart.series), Column(chart.axis.title), Column(value, places), Column("low", places),
        Column("high", places), Column("n", 0), Column("interval over"), *(Column(title, places) for title in further),
    )  # fmt: skip
    return DataTable(f"{chart.title} ({chart.quantity})", columns, tuple(rows), row_headers=2)


def shown(m: Measurement) -> tuple[float | None, float | None, float | None]:
    """Value and interval in the unit that is shown; None where undefined."""
    factor = scale(m.unit)
    return (None, None, None) if m.is_missing else (m.value * factor, m.low * factor, m.high * factor)


def is_few(m: Measurement) -> bool:
    """Return whether a measurement rests on fewer than ten neurons: then its mark is hollow."""
    number = m.details.get("size", m.n if m.over is Over.NEURONS else FEW)
    return not m.is_missing and number < FEW


def notes(measurements: Iterable[Measurement]) -> Markdown:
    """What a caption says of the marks and intervals that need a word: hollow ones, and lopsided ones."""
    found = [m for m in measurements if not m.is_missing]
    said = [f"Hollow: fewer than {FEW} neurons."] if any(map(is_few, found)) else []
    reaches = [sorted((m.value - m.low, m.high - m.value)) for m in found]
    if any(long > LOPSIDED * max(short, 0.0) for short, long in reaches):
        said.append("Intervals that lie to one side of their value are explained with the methods.")
    return Markdown("".join(f" {markdown(one)}" for one in said))


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
    """A named measurement; ``reach`` is the range of its random draws, if any.

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


def row_figure(shown_rows: RowChart, *, code: str, caption: Markdown) -> Figure:
    """The rows as a figure."""
    return figure(
        shown_rows.name, _drawn_rows(shown_rows), label=shown_rows.label, code=code,
        caption=Markdown(f"{caption}{notes(row.value for row in shown_rows.rows)}"),
        alt=_rows_alt(shown_rows), data=_rows_data(shown_rows),
    )  # fmt: skip


def _drawn_rows(found: RowChart) -> Callable[[Size], Drawing]:
    def draw(size: Size) -> Drawing:
        row = 42 if size.is_narrow else 30
        left = 16 if size.is_narrow else 236  # half the widest number under the axis, "−1.0"
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
                axes.set_xscale("log")
                plain_decades(axes.xaxis, at_most=7)
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
        markeredgecolor=mark.colour.value, markerfacecolor=Colour.PAPER.value if is_few(m) else mark.colour.value,
    )  # fmt: skip


def _is_drawable(found: RowChart, value: float) -> bool:
    """Return whether ``value`` has a place on the axis: finite, and positive on a logarithmic one."""
    return math.isfinite(value) and (value > 0 or not found.logarithmic)


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
