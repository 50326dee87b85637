"""Persistence: its numbers from a study's universality tables, and figures 1 and 3 to 6 of Nandan et al. 2025 v1.

The numbers come from ``measures.persistence`` and ``measures.robustness``, as for the claims.  Series of a pair are the
partners of the reference; in figure 1 they are pooled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from universal_neurons.inputs.published import published
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.persistence import ceiling, persistence, persistence_by_layer
from universal_neurons.measures.persistence_depth import DEEPEST
from universal_neurons.measures.shares import SHARE
from universal_neurons.measures.study import paper_checkpoints
from universal_neurons.render.escaping import Markdown, markdown
from universal_neurons.render.figures.charts import (
    ChartAxis,
    ChartRow,
    LineChart,
    RowChart,
    Rule,
    Series,
    Tick,
    keys,
    line_figure,
    percent,
    row_figure,
)
from universal_neurons.render.figures.figure import Figure, FigureGroup, LegendEntry
from universal_neurons.render.figures.numbers import Numbers, settings_of
from universal_neurons.render.figures.style import OWN, Colour, Mark, model_marks, time_marks
from universal_neurons.render.formatting import PERCENT, decimal, listed, places_of, plural, span, with_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from universal_neurons.measures.study import TrainedCheckpoint
    from universal_neurons.measures.tables import ReferenceTables, StepTables
    from universal_neurons.stages.study import StoredStudy


TrainingSpan = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PrintedPersistence:
    """The paper's lower bounds of persistence: overall and in its two deepest layers."""

    overall: float
    deepest: float


@dataclass(frozen=True)
class Persistence(Numbers):
    """Persistence between checkpoints, named by their labels, from the tables of the reference.

    ``spans`` are those that the paper looks at: three, one of two checkpoints, none of one.
    """

    tables: Mapping[str, ReferenceTables]
    spans: tuple[TrainingSpan, ...]
    printed: PrintedPersistence

    @property
    def longest(self) -> TrainingSpan:
        """The span from the first to the last of the paper's checkpoints."""
        return self.spans[-1]

    @property
    def all_spans(self) -> tuple[TrainingSpan, ...]:
        """All later checkpoints from all earlier ones."""
        return tuple(combinations(self.tables, 2))

    def _ends(self, span: TrainingSpan, partner: str | None) -> tuple[StepTables, StepTables]:
        given, then = (self.tables[label] for label in span)
        return (given, then) if partner is None else (given.tables[partner], then.tables[partner])

    def over(self, span: TrainingSpan, partner: str | None = None) -> Measurement:
        """The share that persists, with one partner or pooled over all."""
        return persistence(*self._ends(span, partner), self.threshold)

    def by_layer(self, span: TrainingSpan, partner: str | None = None) -> tuple[Measurement, ...]:
        """The same of every layer."""
        found = persistence_by_layer(*self._ends(span, partner), self.threshold)
        rows = found.to_dict("records")
        return tuple(measured(row, over=Over.NEURONS, unit=SHARE, level=self.level) for row in rows)

    def ceiling(self, label: str) -> Measurement:
        """The agreement of the two halves of the tokens at one checkpoint."""
        return ceiling(self.tables[label], self.threshold)

    def said(self, span: TrainingSpan) -> str:
        """The persistence over a span, with its interval; empty where no neuron could persist."""
        kept = self.over(span)
        return "" if kept.is_missing else with_interval(kept, 1)


def printed_persistence(root: Path) -> PrintedPersistence:
    """The two numbers of the paper's text; raises PublishedError where they are not among the published ones."""
    overall = published("nandan2025.text", root=root, quantity="persistence, lower bound")
    deepest = published("nandan2025.text", root=root, quantity="persistence of layers 10 and 11, lower bound")
    return PrintedPersistence(overall, deepest)


def persistence_of(study: StoredStudy, printed: PrintedPersistence) -> Persistence:
    """The tables from which persistence is measured; raises the study's own errors where an artifact is missing."""
    tables = {c.label: study.reference_tables(checkpoint=c) for c in study.checkpoints}
    spans = _in_the_papers_order([str(c) for c in _shown(paper_checkpoints(study))])
    return Persistence(*settings_of(study), tables, spans, printed)


def _shown(stages: Sequence[TrainedCheckpoint]) -> tuple[TrainedCheckpoint, ...]:
    """Three checkpoints, as the paper's figures have; where the suite lacks the paper's own, both ends and the middle.

    All of twelve would be sixty-six spans, which no figure shows.
    """
    return tuple(stages) if len(stages) <= 3 else (stages[0], stages[len(stages) // 2], stages[-1])


def _in_the_papers_order(labels: list[str]) -> tuple[TrainingSpan, ...]:
    """Neighbours first, then the long spans, as figures 4 to 6 have them."""
    places = sorted(combinations(range(len(labels)), 2), key=lambda span: (span[1] - span[0], span))
    return tuple((labels[given], labels[then]) for given, then in places)


def measured(row: Mapping[Any, Any], *, over: Over, unit: str, level: float) -> Measurement:
    """A row of a table of measurements as a measurement; its other finite numbers are the details."""
    n = int(row.get("n", 0) or 0)
    if math.isnan(row["value"]):
        return Measurement.missing(n=n, over=over, unit=unit)
    details = {
        str(k): float(v)
        for k, v in row.items()
        if k not in {"value", "low", "high", "n"} and isinstance(v, int | float) and not math.isnan(v)
    }
    return Measurement(row["value"], row["low"], row["high"], n, over, level, unit, details)


ALL = (0.0, 1.05)
CHANCE = Mark(Colour.MUTED, "v", hollow=True)
CEILING = Mark(Colour.MUTED, "D", hollow=True)
_QUANTITY = "still universal, %"
_STILL = "Neurons universal with each partner that are still so"
LAYERED = (4, 5, 6)
_ALONE = "it compares checkpoints of one training, and this suite has only one."
_FEW = "it needs a third checkpoint, and this suite has two."
_NONE = "no neuron is universal at the earlier checkpoint."


def persistence_figures(found: Persistence) -> dict[str, FigureGroup]:
    """All figures about persistence; figures of missing spans are left out with a reason."""
    if not found.spans:
        return {
            "paper_1": FigureGroup((_left_out(1, _ALONE),)),
            "by_layer": FigureGroup(tuple(_left_out(number, _ALONE) for number in (3, *LAYERED))),
            "ceiling": FigureGroup((Figure.left_out("ceiling", _ALONE),)),
        }
    layered = [layer_chart(found, number, one) for number, one in zip(LAYERED, found.spans, strict=False)]
    code = "render.figures.persistence.layer_chart"
    by_layer = (
        by_interval(found),
        *(line_figure(chart, code=code, note=_small(chart), otherwise=_NONE) for chart in layered),
        *(_left_out(number, _FEW) for number in LAYERED[len(layered) :]),
    )
    return {
        "paper_1": FigureGroup((aggregated(found),)),
        "by_layer": FigureGroup(by_layer, (*keys(layered[0]), _printed_key(found))),
        "ceiling": FigureGroup((beside_ceiling(found),)),
    }


def _left_out(number: int, why: str) -> Figure:
    return Figure.left_out(f"paper-{number}", why, label=f"Figure {number} of the paper.")


def _printed_rule(found: Persistence) -> Rule:
    return Rule(found.printed.overall, f"printed: over {percent(found.printed.overall, 0)}")


def _printed_key(found: Persistence) -> LegendEntry:
    rule = _printed_rule(found)
    return LegendEntry(rule.text, Mark(Colour.MUTED, "", dashed=True))


def in_words(one: TrainingSpan) -> str:
    """A span of time: "25 % to 50 %"."""
    return " to ".join(one)


def _counted(values: tuple[Measurement, ...]) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Further columns of the data: chance and ceiling, in per cent."""
    return tuple(
        (f"{name}, %", tuple(m.details.get(name, float("nan")) * PERCENT for m in values))
        for name in ("chance", "ceiling")
    )


def _aggregated_chart(found: Persistence) -> LineChart:
    curves = tuple(
        Series(in_words(one), mark, values, columns=_counted(values))
        for one, mark in zip(found.spans, time_marks(len(found.spans)), strict=True)
        if (values := found.by_layer(one))
    )
    deepest = DEEPEST.layers(found.depth)
    between = (deepest[0] - 0.4, deepest[-1] + 0.4) if deepest else None
    rules = [_printed_rule(found)]
    if between is not None:
        rules.append(Rule(found.printed.deepest, f"printed: over {percent(found.printed.deepest, 0)}", between))
    return LineChart(
        "paper-1", "Figure 1 of the paper.", "Persistence by layer", ChartAxis.of_layers(found.depth), _QUANTITY,
        "interval", curves, tuple(rules), (0.0, 105.0),
    )  # fmt: skip


def aggregated(found: Persistence) -> Figure:
    """Figure 1: the persistence of every layer over every interval, pooled over partners."""
    chart = _aggregated_chart(found)
    if not chart.measurements:
        return _left_out(1, _NONE)
    first, last = 0, found.depth - 1
    ends = [found.by_layer(found.longest)[layer] for layer in (first, last)]
    places = places_of(ends)
    said = " and ".join(
        f"{with_interval(m, places)} in layer {layer} ({plural(m.n, 'neuron')})"
        for m, layer in zip(ends, (first, last), strict=True)
    )
    caption = Markdown(
        f"Share of the neurons of each layer universal with a partner that still are at a later checkpoint, pooled "
        f"over {plural(len(found.partners), 'partner')}; "
        f"excess correlation above {markdown(decimal(found.threshold, 1))}. "
        f"From {markdown(in_words(found.longest))} of the training: {markdown(said)}. Bars are intervals over neurons. "
        f"The dashed lines are what the paper printed of all neurons "
        f"({markdown(f'over {percent(found.printed.overall, 0)}')}) and of its two deepest layers "
        f"({markdown(f'over {percent(found.printed.deepest, 0)}')}). Our axis begins at zero, the paper’s does "
        f"not."
    )
    return line_figure(chart, code="render.figures.persistence.aggregated", caption=caption, wide=True, height=330)


def by_interval(found: Persistence) -> Figure:
    """Figure 3: the persistence of all layers together, one bar per partner."""
    curves = tuple(
        Series(f"with {partner}", mark, values, columns=_counted(values))
        for partner, mark in zip(found.partners, model_marks(len(found.partners)), strict=True)
        if (values := tuple(found.over(one, partner) for one in found.spans))
    )
    axis = ChartAxis(
        "interval", tuple(map(float, range(len(found.spans)))), tuple(f"{a} – {b}" for a, b in found.spans)
    )
    chart = LineChart(
        "paper-3", "Figure 3 of the paper.", f"{_STILL}, all layers together", axis, _QUANTITY,
        "partner", curves, (_printed_rule(found),), (0.0, 105.0), bars=True,
    )  # fmt: skip
    ranges = [
        f"{span([c.values[at].value for c in curves], 'share', 1)} from {in_words(one)}"
        for at, one in enumerate(found.spans)
    ]
    caption = markdown(f"{chart.title}: {listed(ranges)}.")
    code = "render.figures.persistence.by_interval"
    return line_figure(chart, code=code, caption=caption, otherwise=_NONE)


def layer_chart(found: Persistence, number: int, one: TrainingSpan) -> LineChart:
    """Figures 4 to 6: the persistence of every layer over one interval, one curve per partner."""
    curves = tuple(
        Series(f"with {partner}", mark, values, columns=_counted(values))
        for partner, mark in zip(found.partners, model_marks(len(found.partners)), strict=True)
        if (values := found.by_layer(one, partner))
    )
    return LineChart(
        f"paper-{number}", f"Figure {number} of the paper.", f"{_STILL}, by layer, from {in_words(one)}",
        ChartAxis.of_layers(found.depth), _QUANTITY, "partner", curves, limits=(0.0, 105.0),
    )  # fmt: skip


def _small(chart: LineChart) -> str:
    """The smallest and largest number of neurons behind a point, if there is one; few neurons give wide intervals."""
    counts = [m.n for curve in chart.curves for m in curve.values]
    return f"A point rests on {min(counts)} to {max(counts)} neurons." if counts else ""


def beside_ceiling(found: Persistence) -> Figure:
    """Persistence between every two checkpoints beside chance and beside the agreement of two halves of the tokens."""
    rows = tuple(
        ChartRow(
            in_words(one), m, OWN,
            ticks=(Tick(m.details["chance"], CHANCE), Tick(m.details["ceiling"], CEILING)) if not m.is_missing else (),
            columns=tuple((f"{k}, %", m.details.get(k, float("nan")) * PERCENT) for k in ("chance", "ceiling")),
        )
        for one in found.all_spans
        if (m := found.over(one))
    )  # fmt: skip
    longest = found.all_spans[len(found.tables) - 2]
    m = found.over(longest)
    halves = [half for label in found.tables if not (half := found.ceiling(label)).is_missing]
    said = (
        f"From {in_words(longest)} of the training {with_interval(m, 1)} stay universal"
        + ("" if m.is_missing else f"; by chance it would be {percent(m.details['chance'])}")
        + f". Of the neurons that one half of the tokens calls universal, the other half at the same checkpoint "
        f"agrees on {span([half.value for half in halves], 'share', 1)}."
    )
    caption = Markdown(
        "The part of the apparent change that is noise: persistence between every two checkpoints (interval over "
        "neurons), beside chance (triangle) and beside the agreement of two halves of the same tokens (diamond), which "
        f"is below 100 % even if no neuron changes. {markdown(said)} The halves have half as many tokens as "
        "persistence is measured on, so persistence may exceed their agreement."
    )
    return row_figure(
        RowChart("ceiling", "", "Persistence, chance and split-half agreement", "still universal, %", rows),
        code="render.figures.persistence.beside_ceiling", caption=caption,
    )  # fmt: skip
