"""The figures about emergence: what is drawn, its caption and alt text from its numbers, the table of its data.

Decides axes, series and words of each figure; the look is that of ``render.figures.style``, the frame that of
``render.figures.figure``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.render.escaping import Markdown, markdown
from universal_neurons.render.figures.drawing import Drawing, drawing, label_room
from universal_neurons.render.figures.figure import Figure, figure
from universal_neurons.render.figures.style import MARKERS, SERIES, Colour, Size
from universal_neurons.render.formatting import (
    EN_DASH,
    NO_BREAK,
    decimal,
    listed,
    places_of,
    with_interval,
)
from universal_neurons.render.tables import Column, DataTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.measurement import Measurement

PERCENT = 100.0
HEAT_OPACITY = 0.5
PUBLISHED = "published"
_CODE = "render.figures.emergence."


# --- the heat map ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LayerShares:
    """The share of universal neurons per layer and checkpoint; ``shares[layer, checkpoint]``, checkpoints by label."""

    layers: tuple[int, ...]
    checkpoints: tuple[str, ...]
    shares: Mapping[tuple[int, str], Measurement]
    threshold: float


def layer_heat_map(shares: LayerShares) -> Figure:
    """The heat map that claim N6 asks for: layers upwards, training to the right, the share in words in every cell."""
    peak = max((m.value for m in shares.shares.values() if not m.is_missing), default=0.0)
    places = places_of(shares.shares.values())

    def draw(size: Size) -> Drawing:
        row = 46 if len(shares.layers) <= 6 else 30
        left = 74 if not size.is_narrow else 26
        with drawing(size, row * len(shares.layers) + 86, left=left, right=2, top=34, bottom=52) as canvas:
            for y, layer in enumerate(shares.layers):
                for x, checkpoint in enumerate(shares.checkpoints):
                    _heat_cell(canvas, x, y, shares.shares[layer, checkpoint], peak=peak, places=places)
            axes = canvas.axes
            axes.set_xlim(-0.5, len(shares.checkpoints) - 0.5)
            axes.set_ylim(-0.5, len(shares.layers) - 0.5)
            axes.grid(visible=False)
            axes.spines["bottom"].set_visible(False)
            axes.tick_params(length=0)
            axes.set_xticks(range(len(shares.checkpoints)), shares.checkpoints)
            axes.set_yticks(range(len(shares.layers)), [_layer(layer, size) for layer in shares.layers])
            canvas.label_y("universal neurons, % of the layer" if not size.is_narrow else "layer; % universal")
            canvas.label_x("share of training")
        return canvas

    first, last = shares.checkpoints[0], shares.checkpoints[-1]
    densest = max(shares.layers, key=lambda layer: _number(shares.shares[layer, last]))
    top = shares.shares[densest, last]
    alt = (
        f"Heat map of the share of universal neurons in {len(shares.layers)} layers at {len(shares.checkpoints)} "
        f"checkpoints, from {first} to {last}. At {last} the densest layer is layer {densest} with "
        f"{with_interval(top, places)}."
    )
    caption = Markdown(
        f"Share of universal neurons per layer (upwards) and checkpoint, excess correlation above "
        f"{markdown(decimal(shares.threshold, 1))}, mean over partners. At {markdown(last)} of the training layer "
        f"{densest} is the densest: {markdown(with_interval(top, places))}."
    )
    rows = [
        (f"layer {layer}", checkpoint, *_percent(shares.shares[layer, checkpoint]))
        for layer in reversed(shares.layers)
        for checkpoint in shares.checkpoints
    ]
    return figure(
        "layers", draw, caption=caption, alt=alt, code=_CODE + "layer_heat_map",
        data=_share_table(
            "Share of universal neurons per layer and checkpoint, in per cent", ("layer", "checkpoint"), rows
        ),
    )  # fmt: skip


def _heat_cell(canvas: Drawing, x: int, y: int, share: Measurement, *, peak: float, places: int) -> None:
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
    text = EN_DASH if share.is_missing else decimal(share.value * PERCENT, places)
    canvas.axes.text(x, y, text, ha="center", va="center")


def _layer(layer: int, size: Size) -> str:
    return str(layer) if size.is_narrow else f"layer {layer}"


# --- lines over the checkpoints --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One named line of measurements over the checkpoints; the emphasised one is drawn in ink and heavier."""

    name: str
    values: tuple[Measurement, ...]
    emphasised: bool = False


@dataclass(frozen=True, slots=True)
class CheckpointLines:
    """Several lines over the same checkpoints, which are placed at their share of the training."""

    checkpoints: tuple[str, ...]
    shares_of_training: tuple[float, ...]
    lines: tuple[Line, ...]
    threshold: float


def partner_lines(shown: CheckpointLines) -> Figure:
    """The share of the reference's neurons that are universal with each partner, over the training."""
    partners = [line for line in shown.lines if not line.emphasised]
    mean = next(line for line in shown.lines if line.emphasised)
    places = places_of(mean.values)
    first, last = mean.values[0], mean.values[-1]
    caption = Markdown(
        f"Share of universal neurons with each of {len(partners)} partners over the training, and their mean; excess "
        f"correlation above {markdown(decimal(shown.threshold, 1))}. Bars are {_level(last)} intervals over "
        f"{markdown(last.over.value)}. The mean is {markdown(with_interval(first, places))} at "
        f"{markdown(shown.checkpoints[0])} and {markdown(with_interval(last, places))} at "
        f"{markdown(shown.checkpoints[-1])}."
    )
    return _lines_figure("partners", shown, caption=caption, what="partner", code=_CODE + "partner_lines")


def reading_lines(shown: CheckpointLines) -> Figure:
    """The share under each reading of "universal", over the training."""
    last = [(line.name, line.values[-1]) for line in shown.lines]
    places = places_of([m for _, m in last])
    ends = listed([f"{with_interval(m, places)} ({name})" for name, m in last])
    caption = Markdown(
        f"What “universal” means moves the number: {len(shown.lines)} readings over the training, excess correlation "
        f"above {markdown(decimal(shown.threshold, 1))}. At {markdown(shown.checkpoints[-1])}: {markdown(ends)}."
    )
    return _lines_figure("readings", shown, caption=caption, what="reading", code=_CODE + "reading_lines")


def _lines_figure(name: str, shown: CheckpointLines, *, caption: Markdown, what: str, code: str) -> Figure:
    def draw(size: Size) -> Drawing:
        right = label_room([line.name for line in shown.lines], size)
        with drawing(size, 330 if not size.is_narrow else 270, left=36, right=right) as canvas:
            colours = iter(SERIES)
            ends = []
            for rank, line in enumerate(shown.lines):
                colour = Colour.INK if line.emphasised else next(colours)
                _measured_line(canvas, shown, line, colour, rank)
                ends.append((shown.shares_of_training[-1], _number(line.values[-1]) * PERCENT, line.name, colour))
            canvas.axes.set_xticks(shown.shares_of_training, shown.checkpoints)
            canvas.axes.set_ylim(bottom=0)
            canvas.axes.margins(x=0.04)
            canvas.label_y("universal neurons, % of all")
            canvas.label_x("share of training")
            canvas.label_ends(ends)
        return canvas

    rows = [
        (line.name, checkpoint, *_percent(m))
        for line in shown.lines
        for checkpoint, m in zip(shown.checkpoints, line.values, strict=True)
    ]
    places = places_of([m for line in shown.lines for m in line.values])
    ends = "; ".join(f"{line.name} {with_interval(line.values[-1], places)}" for line in shown.lines)
    alt = (
        f"Line chart of the share of universal neurons over {len(shown.checkpoints)} checkpoints, one line per {what}. "
        f"At {shown.checkpoints[-1]}: {ends}."
    )
    table = _share_table(
        f"Share of universal neurons per {what} and checkpoint, in per cent", (what, "checkpoint"), rows
    )
    return figure(name, draw, caption=caption, alt=alt, data=table, code=code)


def _measured_line(canvas: Drawing, shown: CheckpointLines, line: Line, colour: Colour, rank: int) -> None:
    values = [_number(m) * PERCENT for m in line.values]
    # Intervals of several lines at one checkpoint would cover each other.
    nudge = (rank - (len(shown.lines) - 1) / 2) * 0.005 * (max(shown.shares_of_training) or 1)
    xs = [x + nudge for x in shown.shares_of_training]
    width = 2.6 if line.emphasised else 1.8
    marker = "o" if line.emphasised else MARKERS[rank % len(MARKERS)]
    canvas.axes.plot(xs, values, color=colour.value, linewidth=width, marker=marker, markersize=5.5)
    for x, m in zip(xs, line.values, strict=True):
        if not m.is_missing:
            canvas.axes.plot([x, x], [m.low * PERCENT, m.high * PERCENT], color=colour.value, linewidth=1.0, alpha=0.75)


# --- the threshold curve ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The share above one threshold; ``low`` and ``high`` are NaN below the candidates' floor, where none is known."""

    threshold: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ThresholdCurves:
    """The share above each threshold, one curve per checkpoint; ``published`` are points (threshold, share)."""

    curves: Mapping[str, tuple[CurvePoint, ...]]
    published: tuple[tuple[float, float], ...]
    threshold: float


def threshold_curves(shown: ThresholdCurves) -> Figure:
    """The share of neurons whose excess correlation exceeds T, for every T, on a logarithmic scale."""
    names = tuple(shown.curves)
    last = min(shown.curves[names[-1]], key=lambda point: abs(point.threshold - shown.threshold))

    def draw(size: Size) -> Drawing:
        right = label_room([*names, *([PUBLISHED] if shown.published else [])], size)
        with drawing(size, 360 if not size.is_narrow else 300, left=46, right=right) as canvas:
            axes = canvas.axes
            axes.set_yscale("log")
            axes.axvline(shown.threshold, color=Colour.MUTED.value, linewidth=1, linestyle=(0, (3, 3)))
            ends = [
                end
                for rank, name in enumerate(names)
                if (end := _threshold_curve(canvas, name, shown.curves[name], (rank + 1) / len(names))) is not None
            ]
            if shown.published:
                ends.append(_published_points(canvas, shown.published))
            _plain_decades(axes)
            axes.set_xlim(0, 1)
            canvas.label_y("neurons above the threshold, % of all")
            canvas.label_x("threshold on the excess correlation")
            canvas.label_ends(ends)
        return canvas

    interval = "" if math.isnan(last.low) else f" [{_share(last.low)},{NO_BREAK}{_share(last.high)}]"
    said = f"{_share(last.value)} %{interval} of the neurons are above {decimal(shown.threshold, 1)}"
    published = " Diamonds are the published numbers, for GPT-2 small." if shown.published else ""
    caption = Markdown(
        "Share of neurons whose excess correlation exceeds each threshold, mean over partners, one curve per "
        f"checkpoint, on a logarithmic scale. At {markdown(names[-1])} of the training {markdown(said)} "
        f"(dashed line).{published}"
    )
    alt = f"Falling curves on a logarithmic scale, one per checkpoint ({listed(names)}). At {names[-1]} {said}."
    rows = [
        (name, decimal(p.threshold, 2), *(None if math.isnan(v) else v * PERCENT for v in (p.value, p.low, p.high)))
        for name in names
        for p in shown.curves[name]
    ]
    table = _share_table("Share of neurons above each threshold, in per cent", ("checkpoint", "threshold"), rows)
    return figure("thresholds", draw, caption=caption, alt=alt, data=table, code=_CODE + "threshold_curves")


def _share(value: float) -> str:
    return decimal(value * PERCENT, 2)


def _threshold_curve(
    canvas: Drawing, name: str, points: Sequence[CurvePoint], strength: float
) -> tuple[float, float, str, Colour] | None:
    # A share of zero has no place on a logarithmic axis: the curve ends where the last neuron is.
    points = [point for point in points if point.value > 0]
    if not points:
        return None
    ts, values = [p.threshold for p in points], [p.value * PERCENT for p in points]
    canvas.axes.plot(ts, values, color=Colour.BLUE.value, alpha=0.3 + 0.7 * strength)
    known = [p for p in points if not math.isnan(p.low)]
    if strength == 1 and known:
        floor = min(p.value for p in points) / 2
        canvas.axes.fill_between(
            [p.threshold for p in known], [max(p.low, floor) * PERCENT for p in known],
            [max(p.high, floor) * PERCENT for p in known], color=Colour.BLUE.value, alpha=0.12, linewidth=0,
        )  # fmt: skip
    return ts[-1], values[-1], name, Colour.BLUE


def _published_points(canvas: Drawing, points: Sequence[tuple[float, float]]) -> tuple[float, float, str, Colour]:
    ts, values = [t for t, _ in points], [share * PERCENT for _, share in points]
    canvas.axes.plot(
        ts, values, linestyle="none", marker="D", markersize=7, markerfacecolor="none",
        markeredgecolor=Colour.VERMILION.value, markeredgewidth=1.8,
    )  # fmt: skip
    return ts[-1], values[-1], PUBLISHED, Colour.VERMILION


def _plain_decades(axes: object) -> None:
    """Write 0.01, 0.1, 1 at the decades instead of powers of ten."""
    from matplotlib.axes import Axes
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    assert isinstance(axes, Axes)  # noqa: S101 - matplotlib has no types
    axes.yaxis.set_major_locator(LogLocator(base=10))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


# --- training --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrainingCurve:
    """The loss of one seed over its training: (tokens, training loss) and, at some of them, (tokens, held-out loss)."""

    model: str
    tokens: tuple[float, ...]
    loss: tuple[float, ...]
    held_out: tuple[tuple[float, float], ...]


def training_curves(curves: Sequence[TrainingCurve], checkpoints: Sequence[float]) -> Figure:
    """Loss per seed against tokens; light vertical lines are the checkpoints."""
    ends = {curve.model: (curve.held_out[-1][1] if curve.held_out else curve.loss[-1]) for curve in curves}
    tokens = max(curve.tokens[-1] for curve in curves)

    def draw(size: Size) -> Drawing:
        right = label_room([_seed(curve.model) for curve in curves], size)
        with drawing(size, 320 if not size.is_narrow else 260, left=36, right=right) as canvas:
            for at in checkpoints:
                canvas.axes.axvline(at / 1e6, color=Colour.RULE.value, linewidth=1)
            tips = []
            for curve, colour in zip(curves, SERIES, strict=False):
                xs = [t / 1e6 for t in curve.tokens]
                canvas.axes.plot(xs, curve.loss, color=colour.value, linewidth=1.2, alpha=0.8)
                canvas.axes.plot(
                    [t / 1e6 for t, _ in curve.held_out], [loss for _, loss in curve.held_out], linestyle="none",
                    marker="o", markersize=4.5, color=colour.value,
                )  # fmt: skip
                tips.append((xs[-1], ends[curve.model], _seed(curve.model), colour))
            canvas.axes.set_ylim(*_loss_range(curves))
            canvas.axes.set_xlim(0, tokens / 1e6 * 1.01)
            canvas.label_y("loss, nats per token")
            canvas.label_x("million training tokens")
            canvas.label_ends(tips)
        return canvas

    low, high = min(ends.values()), max(ends.values())
    which = "held-out loss" if any(curve.held_out for curve in curves) else "training loss"
    reached = f"{decimal(low, 3)} to {decimal(high, 3)} nats per token"
    said = f"after {decimal(tokens / 1e6, 1)} million tokens the {which} is {reached}"
    caption = Markdown(
        f"Training of the {len(curves)} seeds: lines are the training loss, dots the loss on held-out documents, "
        f"vertical lines the checkpoints; {markdown(said)}."
    )
    alt = f"Falling loss curves of {len(curves)} seeds ({listed([c.model for c in curves])}); {said}."
    rows = [
        (curve.model, t / 1e6, loss, dict(curve.held_out).get(t))
        for curve in curves
        for t, loss in zip(curve.tokens, curve.loss, strict=True)
    ]
    table = DataTable(
        "Loss of each seed over its training",
        (Column("seed"), Column("million tokens", 2), Column("training loss", 3), Column("held-out loss", 3)),
        tuple(rows),
    )
    return figure("training", draw, caption=caption, alt=alt, data=table, code=_CODE + "training_curves")


def _seed(model: str) -> str:
    return f"seed {model}"


def _loss_range(curves: Sequence[TrainingCurve]) -> tuple[float, float]:
    """The losses after the first twentieth of the training, with air: the first steps would flatten everything else."""
    seen = [
        loss
        for curve in curves
        for t, loss in (*zip(curve.tokens, curve.loss, strict=True), *curve.held_out)
        if t >= curve.tokens[-1] / 20
    ]
    air = (max(seen) - min(seen)) * 0.06 or 0.1
    return min(seen) - air, max(seen) + air


# --- shared ----------------------------------------------------------------------------------------------------------


def _number(measurement: Measurement) -> float:
    """The value for an axis; an undefined one leaves a gap."""
    return measurement.value


def _percent(m: Measurement) -> tuple[float | None, float | None, float | None]:
    if m.is_missing:
        return None, None, None
    return m.value * PERCENT, m.low * PERCENT, m.high * PERCENT


def _level(m: Measurement) -> str:
    return f"{m.level * PERCENT:.0f} %"


def _share_table(caption: str, keys: tuple[str, ...], rows: Sequence[tuple[str | float | None, ...]]) -> DataTable:
    columns = (*(Column(key) for key in keys), Column("share", 3), Column("low", 3), Column("high", 3))
    return DataTable(caption, columns, tuple(rows), row_headers=len(keys))
