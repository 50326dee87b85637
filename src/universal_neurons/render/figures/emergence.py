"""Emergence: shares of universal neurons by checkpoint, layer, partner, reading and threshold, and their figures.

The numbers come from ``measures.universality``, as for the claims.  Captions and alternative texts are made from them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from universal_neurons.inputs.published import published, published_table
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.shares import SHARE
from universal_neurons.measures.tables import Definition
from universal_neurons.measures.universality import (
    definition_share,
    share_by_layer,
    threshold_curve,
    universal_share,
)
from universal_neurons.render.escaping import Markdown, markdown
from universal_neurons.render.figures.charts import (
    ChartAxis,
    LineChart,
    Series,
    heat_map,
    line_figure,
    shown,
)
from universal_neurons.render.figures.drawing import Drawing, drawing
from universal_neurons.render.figures.figure import Figure, FigureGroup, figure
from universal_neurons.render.figures.numbers import Numbers, settings_of
from universal_neurons.render.figures.style import OWN, Colour, Mark, Size, model_marks, time_marks
from universal_neurons.render.formatting import PERCENT, decimal, listed, places_of, plural, with_interval
from universal_neurons.render.tables import Column, DataTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from universal_neurons.measures.tables import ReferenceTables
    from universal_neurons.stages.study import StoredStudy


PUBLISHED = "published"
NO_SHARE = Measurement.missing(over=Over.TOKEN_BLOCKS, unit=SHARE)
MEAN = "mean"
CURVE_THRESHOLDS = tuple(step / 20 for step in range(2, 18))
READINGS = {
    Definition.PAIR: "each pair, mean",
    Definition.AVERAGED: "mean excess",
    Definition.UNION: "with any",
    Definition.INTERSECTION: "with all",
}
_CODE = "render.figures.emergence."


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


@dataclass(frozen=True)
class Emergence(Numbers):
    """The tables of the reference by the label of the checkpoint, and what was printed."""

    tables: Mapping[str, ReferenceTables]
    published: tuple[PublishedCell, ...]

    def share(self, threshold: float, label: str, definition: Definition = Definition.PAIR) -> Measurement:
        """The share of universal neurons at a checkpoint, by default the mean over partners."""
        return definition_share(self.tables[label], definition, threshold)

    def shares(self, definition: Definition) -> tuple[Measurement, ...]:
        """The share at every checkpoint, at the default threshold."""
        return tuple(self.share(self.threshold, label, definition) for label in self.tables)

    @property
    def first_share(self) -> Measurement:
        """The share at the first checkpoint, mean over partners."""
        return self.share(self.threshold, self.labels[0])

    @property
    def last_share(self) -> Measurement:
        """The share at the last checkpoint, mean over partners."""
        return self.share(self.threshold, self.last)


def emergence_of(study: StoredStudy, printed: tuple[PublishedCell, ...]) -> Emergence:
    """The tables of the reference; raises the study's own errors where an artifact is missing."""
    tables = {c.label: study.reference_tables(checkpoint=c) for c in study.checkpoints}
    return Emergence(*settings_of(study), tables, printed)


def emergence_figures(found: Emergence) -> dict[str, FigureGroup]:
    """All figures about emergence."""
    return {
        "partners": FigureGroup((partner_lines(found),)),
        "thresholds": FigureGroup((threshold_curves(found),)),
        "readings": FigureGroup((reading_lines(found),)),
        "layers": FigureGroup((layer_heat_map(found),)),
    }


# --- the heat map ----------------------------------------------------------------------------------------------------


def layer_heat_map(found: Emergence) -> Figure:
    """The heat map for claim N6: layers upwards, training to the right, the share as a number in every cell."""
    shares = {
        (int(row["layer"]), label): _measurement(row, n=int(row["neurons"]), level=found.level)
        for label, tables in found.tables.items()
        for row in share_by_layer(tables, found.threshold).to_dict("records")
    }
    layers, checkpoints = sorted({layer for layer, _ in shares}), tuple(found.tables)
    places = places_of(shares.values())
    cells = {(x, y): shares[layer, label] for y, layer in enumerate(layers) for x, label in enumerate(checkpoints)}

    def draw(size: Size) -> Drawing:
        row = 46 if len(layers) <= 6 else 30
        left = 74 if not size.is_narrow else 26
        with drawing(size, row * len(layers) + 86, left=left, right=2, top=34, bottom=52) as canvas:
            rows = [str(layer) if size.is_narrow else f"layer {layer}" for layer in layers]
            heat_map(canvas, cells, columns=checkpoints, rows=rows, places=places)
            canvas.label_y("universal neurons, % of the layer" if not size.is_narrow else "layer; % universal")
            canvas.label_x("share of training")
        return canvas

    first, last = checkpoints[0], checkpoints[-1]
    densest = max(layers, key=lambda layer: shares[layer, last].value)
    top = shares[densest, last]
    alt = (
        f"Heat map of the share of universal neurons in {len(layers)} layers at {len(checkpoints)} "
        f"checkpoints, from {first} to {last}. At {last} the densest layer is layer {densest} with "
        f"{with_interval(top, places)}."
    )
    caption = Markdown(
        f"Share of neurons that are universal with a partner, per layer (upwards) and checkpoint, excess correlation "
        f"above {markdown(decimal(found.threshold, 1))}, mean over partners. At {markdown(last)} of the training "
        f"layer {densest} is the densest: {markdown(with_interval(top, places))}."
    )
    rows = tuple(
        (f"layer {layer}", checkpoint, *shown(shares[layer, checkpoint]))
        for layer in reversed(layers)
        for checkpoint in checkpoints
    )
    titles = (Column("layer"), Column("checkpoint"), Column("share", 3), Column("low", 3), Column("high", 3))
    return figure(
        "layers", draw, caption=caption, alt=alt, code=_CODE + "layer_heat_map",
        data=DataTable("Share of universal neurons per layer and checkpoint, in per cent", titles, rows, row_headers=2),
    )  # fmt: skip


# --- lines over the checkpoints --------------------------------------------------------------------------------------


def partner_lines(found: Emergence) -> Figure:
    """The share of the reference's neurons that are universal with each partner, over the training."""
    lines = {
        f"with {partner}": tuple(universal_share(t.tables[partner], found.threshold) for t in found.tables.values())
        for partner in found.partners
    }
    mean = found.shares(Definition.PAIR)
    places = places_of(mean)
    labels = list(found.tables)
    said = " and ".join(
        f"{with_interval(mean[at], places)} at {labels[at]}" for at in ((0, -1) if len(labels) > 1 else (0,))
    )
    caption = Markdown(
        f"Share of neurons that are universal with each of {plural(len(lines), 'partner')}, and the mean over them; "
        f"excess correlation above {markdown(decimal(found.threshold, 1))}. Bars are {mean[-1].level * PERCENT:.0f} % "
        f"intervals over {markdown(mean[-1].over.value)}. The mean is {markdown(said)}."
    )
    lines[MEAN] = mean
    return _lines_figure(found, "partners", lines, caption=caption, series="partner", code=_CODE + "partner_lines")


def reading_lines(found: Emergence) -> Figure:
    """The share under each reading of "universal", over the training."""
    lines = {name: found.shares(definition) for definition, name in READINGS.items()}
    places = places_of([values[-1] for values in lines.values()])
    ends = listed([f"{with_interval(values[-1], places)} ({name})" for name, values in lines.items()])
    caption = Markdown(
        f"The share depends on the meaning of “universal”: {len(lines)} readings over the training, excess "
        f"correlation above {markdown(decimal(found.threshold, 1))}. At {markdown(found.last)}: "
        f"{markdown(ends)}."
    )
    return _lines_figure(found, "readings", lines, caption=caption, series="reading", code=_CODE + "reading_lines")


def _lines_figure(
    found: Emergence,
    name: str,
    lines: Mapping[str, tuple[Measurement, ...]],
    *,
    caption: Markdown,
    series: str,
    code: str,
) -> Figure:
    """The lines as a chart; the mean over all of them is drawn in ink."""
    styles = dict(zip((line for line in lines if line != MEAN), model_marks(len(lines)), strict=False))
    chart = LineChart(
        name, "", f"Share of universal neurons per {series} and checkpoint",
        found.training, "universal neurons, % of all",
        series, tuple(Series(line, styles.get(line, OWN), values) for line, values in lines.items()),
    )  # fmt: skip
    return line_figure(chart, code=code, caption=caption, wide=True, height=330)


# --- the threshold curve ---------------------------------------------------------------------------------------------


def threshold_curves(found: Emergence) -> Figure:
    """The share of neurons whose excess correlation exceeds T, for every T, on a logarithmic scale."""
    thresholds = tuple(sorted({*CURVE_THRESHOLDS, found.threshold}))
    curves = [
        Series(label, replace(mark, marker=""), _curve(found, label, thresholds))
        for label, mark in zip(found.tables, time_marks(len(found.tables)), strict=True)
    ]
    latest = max((cell.training for cell in found.published), default=math.nan)
    printed = {cell.threshold: cell.value for cell in found.published if cell.training == latest}
    if printed:
        points = tuple(
            Measurement(printed[t], printed[t], printed[t], 0, Over.NOTHING, unit=SHARE) if t in printed else NO_SHARE
            for t in thresholds
        )
        curves.append(Series(PUBLISHED, Mark(Colour.MUTED, "D", is_line=False), points))
    axis = ChartAxis("threshold on the excess correlation", thresholds, tuple(decimal(t, 2) for t in thresholds))
    chart = LineChart(
        "thresholds", "", "Share of neurons above each threshold", axis, "neurons above the threshold, % of all",
        "checkpoint", tuple(curves), logarithmic=True,
    )  # fmt: skip
    published = " Diamonds are the published numbers, for GPT-2 Small." if printed else ""
    caption = Markdown(
        "Share of neurons whose excess correlation exceeds each threshold, mean over partners, one curve per "
        f"checkpoint, on a logarithmic scale. At {markdown(found.last)} of the training "
        f"{markdown(with_interval(found.last_share, 2))} of the neurons are above "
        f"{markdown(decimal(found.threshold, 1))}.{published}"
    )
    return line_figure(chart, code=_CODE + "threshold_curves", caption=caption, wide=True, height=360)


def _curve(found: Emergence, label: str, thresholds: Sequence[float]) -> tuple[Measurement, ...]:
    """The share above each threshold; without an interval below the candidates' floor, where none is known."""
    rows = threshold_curve(found.tables[label], thresholds).to_dict("records")
    level = found.level
    values = []
    for row in rows:
        low, high = (row["value"] if math.isnan(row[end]) else row[end] for end in ("low", "high"))
        found_any = row["value"] > 0
        # A share of zero has no place on a logarithmic axis: the curve ends where the last neuron is.
        share = Measurement(row["value"], low, high, 0, Over.TOKEN_BLOCKS, level, SHARE) if found_any else NO_SHARE
        values.append(share)
    return tuple(values)


def _measurement(row: Mapping[Any, Any], *, n: int, level: float) -> Measurement:
    if math.isnan(row["value"]):
        return Measurement.missing(n=n, over=Over.TOKEN_BLOCKS, unit=SHARE)
    return Measurement(row["value"], row["low"], row["high"], n, Over.TOKEN_BLOCKS, level, SHARE)
