"""Emergence: shares of universal neurons by checkpoint, layer, partner, reading and threshold, and their figures.

The numbers come from ``measures.universality``, as for the claims.  Captions and alternative texts are made from them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from universal_neurons.inputs.published import published, published_table
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.tables import Definition
from universal_neurons.measures.universality import (
    SHARE,
    definition_share,
    share_by_layer,
    threshold_curve,
    universal_share,
)
from universal_neurons.render.escaping import Markdown, markdown
from universal_neurons.render.figures.charts import ChartAxis, LineChart, Series, line_figure, plain_decades
from universal_neurons.render.figures.drawing import Drawing, drawing, label_room
from universal_neurons.render.figures.figure import Figure, FigureGroup, figure
from universal_neurons.render.figures.style import OWN, Colour, Size, model_marks
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
    from pathlib import Path

    from universal_neurons.inputs.suite import Checkpoint
    from universal_neurons.measures.tables import ReferenceTables
    from universal_neurons.render.results import Results

PERCENT = 100.0
HEAT_OPACITY = 0.5
PUBLISHED = "published"
MEAN = "mean"
CURVE_THRESHOLDS = tuple(step / 20 for step in range(2, 18))
READINGS = {
    Definition.PAIR: "each pair, mean",
    Definition.AVERAGED: "mean excess",
    Definition.UNION: "with any",
    Definition.INTERSECTION: "with all",
}
_CODE = "render.figures.emergence."


def emergence_figures(found: Results) -> dict[str, FigureGroup]:
    """All figures about emergence."""
    return {
        "partners": FigureGroup((partner_lines(found.by_partner),)),
        "thresholds": FigureGroup((threshold_curves(found.thresholds),)),
        "readings": FigureGroup((reading_lines(found.by_reading),)),
        "layers": FigureGroup((layer_heat_map(found.layers),)),
    }


# --- the heat map ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LayerShares:
    """The share of universal neurons per layer and checkpoint; ``shares[layer, checkpoint]``, checkpoints by label."""

    layers: tuple[int, ...]
    checkpoints: tuple[str, ...]
    shares: Mapping[tuple[int, str], Measurement]
    threshold: float


def shares_by_layer(tables: Mapping[Checkpoint, ReferenceTables], threshold: float) -> LayerShares:
    """The share of universal neurons of every layer at every checkpoint, mean over partners."""
    frames = {checkpoint.label: share_by_layer(found, threshold) for checkpoint, found in tables.items()}
    level = next(iter(next(iter(tables.values())).tables.values())).resampling.level
    shares = {
        (int(row["layer"]), label): _measurement(row, n=int(row["neurons"]), level=level)
        for label, frame in frames.items()
        for row in frame.to_dict("records")
    }
    layers = tuple(sorted({layer for layer, _ in shares}))
    return LayerShares(layers=layers, checkpoints=tuple(frames), shares=shares, threshold=threshold)


def layer_heat_map(shares: LayerShares) -> Figure:
    """The heat map for claim N6: layers upwards, training to the right, the share as a number in every cell."""
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
        f"Share of neurons that are universal with a partner, per layer (upwards) and checkpoint, excess correlation "
        f"above {markdown(decimal(shares.threshold, 1))}, mean over partners. At {markdown(last)} of the training "
        f"layer {densest} is the densest: {markdown(with_interval(top, places))}."
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
class CheckpointLines:
    """Several lines by their names over the same checkpoints, which are placed at their share of the training."""

    checkpoints: tuple[str, ...]
    shares_of_training: tuple[float, ...]
    lines: Mapping[str, tuple[Measurement, ...]]
    threshold: float


def shares_by_partner(tables: Mapping[Checkpoint, ReferenceTables], threshold: float) -> CheckpointLines:
    """The share of the reference's neurons that are universal with each partner, and the mean over the partners."""
    partners = next(iter(tables.values())).partners
    lines = {
        f"with {partner}": tuple(universal_share(found.tables[partner], threshold) for found in tables.values())
        for partner in partners
    }
    mean = tuple(definition_share(found, Definition.PAIR, threshold) for found in tables.values())
    return _lines(tables, {**lines, MEAN: mean}, threshold)


def shares_by_reading(tables: Mapping[Checkpoint, ReferenceTables], threshold: float) -> CheckpointLines:
    """The share of universal neurons under each reading of the word."""
    lines = {
        name: tuple(definition_share(found, definition, threshold) for found in tables.values())
        for definition, name in READINGS.items()
    }
    return _lines(tables, lines, threshold)


def _lines(
    tables: Mapping[Checkpoint, ReferenceTables], lines: Mapping[str, tuple[Measurement, ...]], threshold: float
) -> CheckpointLines:
    labels, shares = (tuple(getattr(checkpoint, name) for checkpoint in tables) for name in ("label", "share"))
    return CheckpointLines(labels, shares, lines, threshold)


def partner_lines(shown: CheckpointLines) -> Figure:
    """The share of the reference's neurons that are universal with each partner, over the training."""
    mean = shown.lines[MEAN]
    places = places_of(mean)
    first, last = mean[0], mean[-1]
    caption = Markdown(
        f"Share of neurons that are universal with each of {len(shown.lines) - 1} partners, and the mean over them; "
        f"excess correlation above {markdown(decimal(shown.threshold, 1))}. Bars are {_level(last)} intervals over "
        f"{markdown(last.over.value)}. The mean is {markdown(with_interval(first, places))} at "
        f"{markdown(shown.checkpoints[0])} and {markdown(with_interval(last, places))} at "
        f"{markdown(shown.checkpoints[-1])}."
    )
    return _lines_figure("partners", shown, caption=caption, series="partner", code=_CODE + "partner_lines")


def reading_lines(shown: CheckpointLines) -> Figure:
    """The share under each reading of "universal", over the training."""
    last = [(name, values[-1]) for name, values in shown.lines.items()]
    places = places_of([m for _, m in last])
    ends = listed([f"{with_interval(m, places)} ({name})" for name, m in last])
    caption = Markdown(
        f"The share depends on the meaning of “universal”: {len(shown.lines)} readings over the training, excess "
        f"correlation above {markdown(decimal(shown.threshold, 1))}. At {markdown(shown.checkpoints[-1])}: "
        f"{markdown(ends)}."
    )
    return _lines_figure("readings", shown, caption=caption, series="reading", code=_CODE + "reading_lines")


def _lines_figure(name: str, shown: CheckpointLines, *, caption: Markdown, series: str, code: str) -> Figure:
    """The lines as a chart; the mean over all of them is drawn in ink."""
    styles = dict(zip((line for line in shown.lines if line != MEAN), model_marks(len(shown.lines)), strict=False))
    chart = LineChart(
        name, "", f"Share of universal neurons per {series} and checkpoint",
        ChartAxis("share of training", shown.shares_of_training, shown.checkpoints), "universal neurons, % of all",
        series, tuple(Series(line, styles.get(line, OWN), values) for line, values in shown.lines.items()),
    )  # fmt: skip
    rows = [
        (line, checkpoint, *_percent(m))
        for line, values in shown.lines.items()
        for checkpoint, m in zip(shown.checkpoints, values, strict=True)
    ]
    table = _share_table(f"{chart.title}, in per cent", (series, "checkpoint"), rows)
    return replace(line_figure(chart, code=code, caption=caption, wide=True, height=330), data=table)


# --- the threshold curve ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """A number of the published table 1, at a threshold and a share of the training."""

    threshold: float
    training: float
    label: str
    value: float


def published_table_one(root: Path) -> tuple[PublishedCell, ...]:
    """The numbers that are printed in table 1 of Nandan et al. 2025 v1, at their shares of the training.

    Raises PublishedError where the project's files of published numbers do not have them.
    """
    total = published("nandan2025.setting", root=root, quantity="training steps")
    return tuple(
        PublishedCell(
            threshold=float(row.keys["threshold"]),
            training=float(row.keys["step"]) / total,
            label=f"{float(row.keys['step']) / 1000:g}k",
            value=row.value,
        )
        for row in published_table("nandan2025.table1", root=root).rows
    )


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


def shares_by_threshold(
    tables: Mapping[Checkpoint, ReferenceTables], threshold: float, printed: Sequence[PublishedCell]
) -> ThresholdCurves:
    """The share above every threshold at every checkpoint, with the numbers that were printed for the last one."""
    curves = {
        checkpoint.label: tuple(
            CurvePoint(float(row["threshold"]), float(row["value"]), float(row["low"]), float(row["high"]))
            for row in threshold_curve(found, sorted({*CURVE_THRESHOLDS, threshold})).to_dict("records")
        )
        for checkpoint, found in tables.items()
    }
    latest = max((cell.training for cell in printed), default=math.nan)
    points = tuple((cell.threshold, cell.value) for cell in printed if cell.training == latest)
    return ThresholdCurves(curves=curves, published=tuple(sorted(points)), threshold=threshold)


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
            plain_decades(axes.yaxis)
            axes.set_xlim(0, 1)
            canvas.label_y("neurons above the threshold, % of all")
            canvas.label_x("threshold on the excess correlation")
            canvas.label_ends(ends)
        return canvas

    interval = "" if math.isnan(last.low) else f" [{_share(last.low)},{NO_BREAK}{_share(last.high)}]"
    said = f"{_share(last.value)} %{interval} of the neurons are above {decimal(shown.threshold, 1)}"
    published = " Diamonds are the published numbers, for GPT-2 Small." if shown.published else ""
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
        markeredgecolor=Colour.MUTED.value, markeredgewidth=1.8,
    )  # fmt: skip
    return ts[-1], values[-1], PUBLISHED, Colour.MUTED


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


def _measurement(row: Mapping[Any, Any], *, n: int, level: float) -> Measurement:
    if math.isnan(row["value"]):
        return Measurement.missing(n=n, over=Over.TOKEN_BLOCKS, unit=SHARE)
    return Measurement(row["value"], row["low"], row["high"], n, Over.TOKEN_BLOCKS, level, SHARE)
