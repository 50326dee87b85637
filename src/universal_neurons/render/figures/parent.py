"""Figure 2 of Gurnee et al. 2024 at the last checkpoint of a suite, and the numbers behind figures of the parent paper.

The numbers come from ``measures``, as for the claims.  Universal is the mean excess over the partners above the
threshold, as the paper defines it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.inputs.published import published, published_table
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.agreement import excess_agreement, range_over_partners
from universal_neurons.measures.distributions import (
    partner_layers,
    shares_by_bin,
)
from universal_neurons.measures.properties import (
    ALL,
    EIGHT,
    Ranking,
    ranked,
)
from universal_neurons.measures.study import null_tables
from universal_neurons.measures.tables import Definition
from universal_neurons.measures.universality import definition_share
from universal_neurons.render.escaping import Markdown, markdown
from universal_neurons.render.figures.charts import (
    ChartAxis,
    ChartRow,
    LineChart,
    RowChart,
    Series,
    Tick,
    heat_map,
    keys,
    line_figure,
    row_figure,
    shown,
)
from universal_neurons.render.figures.drawing import Drawing, drawing
from universal_neurons.render.figures.figure import Figure, FigureGroup, figure
from universal_neurons.render.figures.numbers import Numbers, references_of, settings_of
from universal_neurons.render.figures.style import OTHERS, OWN, PRINTED, Colour, Mark, Size, model_marks
from universal_neurons.render.formatting import decimal, listed, places_of, plural, span, with_interval
from universal_neurons.render.tables import Column, DataTable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from universal_neurons.measures.arrays import Floats
    from universal_neurons.measures.tables import ReferenceTables
    from universal_neurons.stages.study import StoredStudy

_CODE = "render.figures.parent."
SMALL = "gpt2-small-a"
# The models of the paper in the words of a reader.
PAPER_MODELS = {SMALL: "GPT-2 Small", "gpt2-medium-a": "GPT-2 Medium", "pythia-160m": "Pythia 160M"}
# Edges of the bins of correlations.
CORRELATIONS = np.linspace(-0.1, 1.0, 23)
# The properties of figure 3 in the paper's order, and the two that figure 14 has besides.
NAMES: dict[str, tuple[str, str]] = {
    "published_frequency": ("G10", "activation frequency"),
    "pre_mean": ("G11", "mean pre-activation"),
    "pre_skewness": ("G12", "skewness of pre-activations"),
    "pre_kurtosis": ("G13", "kurtosis of pre-activations"),
    "input_bias": ("G14", "input bias"),
    "cos_in_out": ("G15", "input-output cosine"),
    "weight_norm": ("G16", "squared norms of the weights"),
    "vocabulary_kurtosis": ("G17", "kurtosis over the vocabulary"),
}
# Largest cosines of weights with another neuron's.
TWINS = {"twin_in": "input", "twin_out": "output"}
ALSO_BY_LAYER = {"vocabulary_skewness": "skewness over the vocabulary"}


@dataclass(frozen=True, slots=True)
class PrintedByParent:
    """What Gurnee et al. 2024 print or publish: shares, ranges and correlations by model, percentiles of small-a."""

    shares: Mapping[str, float]
    ranges: Mapping[str, float]
    percentiles: Mapping[str, float]
    correlations: Mapping[str, float]


def printed_by_parent(root: Path) -> PrintedByParent:
    """Read the numbers; raises PublishedError if they are not in the project's files."""
    shares, correlations = (
        {_called(row.keys["model"]): row.value for row in published_table(f"gurnee2024.{name}", root=root).rows}
        for name in ("prevalence", "alignment_and_frequency")
    )
    ranges = {
        _called(row.keys["model"]): row.value
        for row in published_table("gurnee2024.variation", root=root).rows
        if row.keys["neurons"] == "universal"
    }
    percentiles = {
        name: published("gurnee2024.percentiles", root=root, property=claim, model=SMALL)
        for name, (claim, _) in NAMES.items()
    }
    return PrintedByParent(shares, ranges, percentiles, correlations)


def _called(model: object) -> str:
    return PAPER_MODELS.get(str(model), str(model))


@dataclass(frozen=True)
class Parent(Numbers):
    """The tables of all models at the last checkpoint, every property as a ranking, and the reference's over training.

    ``permuted`` is the null model of partners that read other tokens, None where the suite has none.  ``over_training``
    are the rankings by the mean of the eight properties at each checkpoint, ``before`` the same neurons before training
    (empty if the suite has none).
    """

    tables: Mapping[str, ReferenceTables]
    permuted: ReferenceTables | None
    properties: Mapping[str, pd.DataFrame]
    rankings: Mapping[str, Mapping[str, Ranking]]
    over_training: Mapping[str, Ranking]
    before: Mapping[str, Ranking]
    printed: PrintedByParent

    @property
    def set_of(self) -> str:
        """Which neurons are universal, for a caption."""
        return f"universal on average (mean excess above {decimal(self.threshold, 1)})"


def parent_of(study: StoredStudy, printed: PrintedByParent) -> Parent:
    """The numbers behind the figures; raises the study's own errors where an artifact is missing."""
    last, threshold, nulls = study.checkpoints[-1], study.suite.universality.threshold, study.suite.universality.nulls
    models = references_of(study.suite, study.reference)
    untrained = study.untrained
    return Parent(
        *settings_of(study),
        tables={name: study.reference_tables(checkpoint=last, reference=name) for name in models},
        permuted=null_tables(study, checkpoint=last, kind="permuted") if "permuted" in nulls else None,
        properties={name: study.table("properties", model=name, checkpoint=last) for name in models},
        rankings={
            name: {model: ranked(study, name, last, threshold, model=model) for model in models}
            for name in (*EIGHT, *ALSO_BY_LAYER, *TWINS)
        },
        over_training={c.label: ranked(study, ALL, c, threshold) for c in study.checkpoints},
        before={}
        if untrained is None
        else {c.label: ranked(study, ALL, c, threshold, properties_at=untrained) for c in study.checkpoints},
        printed=printed,
    )


def parent_figures(found: Parent) -> dict[str, FigureGroup]:
    """The figures of prevalence and of the agreement between models."""
    return {
        "prevalence": FigureGroup((prevalence(found),)),
        "correlations": correlations(found),
        "densities": densities(found),
        "ranges": FigureGroup((ranges(found),)),
        "depths": FigureGroup((depths(found),)),
    }


# --- prevalence ------------------------------------------------------------------------------------------------------


def prevalence(found: Parent) -> Figure:
    """The share of universal neurons of every model, and the printed shares."""
    measured = {
        name: definition_share(tables, Definition.AVERAGED, found.threshold) for name, tables in found.tables.items()
    }
    rows = [ChartRow(f"model {name}", m, OWN) for name, m in measured.items()]
    rows += [
        ChartRow(f"printed: {name}", _number(value, "share"), PRINTED) for name, value in found.printed.shares.items()
    ]
    values = list(measured.values())
    said = span([m.value for m in values], "share", places_of(values))
    caption = markdown(
        f"Share of the neurons of each model that are {found.set_of} over all other models, at {found.last} of "
        f"the training: {said}. Intervals over {values[0].over.value}. Diamonds: printed for other models."
    )
    return row_figure(
        RowChart("prevalence", "", "Share of universal neurons by model", "universal neurons, % of all", tuple(rows)),
        code=_CODE + "prevalence", caption=caption,
    )  # fmt: skip


def _number(value: float, unit: str = "") -> Measurement:
    """A printed number, which has no interval."""
    return Measurement(value, value, value, 0, Over.NOTHING, unit=unit)


# --- figure 2 --------------------------------------------------------------------------------------------------------


def _mean_over_partners(tables: ReferenceTables, column: str) -> Floats:
    frames = [table.frame[column].to_numpy(dtype=np.float64) for table in tables.tables.values()]
    return np.asarray(np.mean(frames, axis=0))


def _distributions(found: Parent, curves: Mapping[str, tuple[Mark, Floats]]) -> tuple[Series, ...]:
    """Neurons by their values, a curve each, which ends at the last bin that holds a neuron."""
    return tuple(
        Series(name, mark, _until_the_last(shares_by_bin(values, CORRELATIONS, level=found.level)))
        for name, (mark, values) in curves.items()
    )


def correlations(found: Parent) -> FigureGroup:
    """Figure 2a: distributions of the maximum correlation, its baseline, the excess, and the null model."""
    own, null = found.tables[found.reference], ""
    if found.permuted is not None:
        largest = float(np.nanmax(_mean_over_partners(found.permuted, "correlation")))
        null = f"The control, partners that read other tokens, has none above {decimal(largest, 2)}. "
    curves = {
        "maximum correlation": (OWN, _mean_over_partners(own, "correlation")),
        "rotated partners": (OTHERS, _mean_over_partners(own, "baseline")),
        "excess": (Mark(Colour.BLUE, "o"), _mean_over_partners(own, "excess")),
    }
    chart = LineChart(
        "parent-2a", "Figures 2a, 12a and 13a of the parent paper.",
        "Neurons by their correlation with their best partner", ChartAxis.of_bins("correlation", CORRELATIONS),
        "neurons of the model, %", "quantity", _distributions(found, curves),
    )  # fmt: skip
    medians = listed(f"{decimal(float(np.nanmedian(values)), 3)} ({name})" for name, (_, values) in curves.items())
    caption = markdown(
        f"All neurons of model {found.reference} at {found.last} of the training by their maximum correlation, "
        f"mean over {plural(len(own.partners), 'partner')}; by the same with rotated partners (the baseline); and "
        f"by the excess over it. Medians: {medians}. {null}"
        f"Bins of {decimal(float(np.diff(CORRELATIONS)[0]), 2)}; bars are intervals over "
        f"neurons. The paper has one such figure for each of three models and prints no number."
    )
    return _under_a_legend(chart, _CODE + "correlations", caption)


def _under_a_legend(chart: LineChart, code: str, caption: Markdown) -> FigureGroup:
    """A wide figure of distributions, all of which end near zero, where no name has room beside its line."""
    return FigureGroup(
        (line_figure(chart, code=code, caption=caption, wide=True, height=300, named=False),), keys(chart)
    )


def densities(found: Parent) -> FigureGroup:
    """Figure 11: distributions of the maximum correlation with each partner alone, and of the baseline."""
    own = found.tables[found.reference]
    curves = {
        f"with {name}": (mark, table.frame["correlation"].to_numpy(np.float64))
        for (name, table), mark in zip(own.tables.items(), model_marks(len(own.tables)), strict=True)
    }
    curves["rotated partners"] = (OTHERS, _mean_over_partners(own, "baseline"))
    chart = LineChart(
        "parent-11", "Figure 11 of the parent paper.", "Neurons by their correlation with each partner’s best neuron",
        ChartAxis.of_bins("correlation", CORRELATIONS), "neurons of the model, %", "partner",
        _distributions(found, curves),
    )  # fmt: skip
    *medians, baseline = (float(np.nanmedian(values)) for _, values in curves.values())
    lowest, highest = decimal(min(medians), 3), decimal(max(medians), 3)
    said = lowest if lowest == highest else f"{lowest} to {highest}"
    caption = markdown(
        f"All neurons of model {found.reference} at {found.last} of the training by their maximum correlation with "
        f"each of {plural(len(medians), 'partner')} alone, medians {said}, and with rotated partners (the "
        f"baseline, mean over partners), median {decimal(baseline, 3)}. Bins of "
        f"{decimal(float(np.diff(CORRELATIONS)[0]), 2)}; bars are intervals over neurons."
    )
    return _under_a_legend(chart, _CODE + "densities", caption)


def _until_the_last(shares: tuple[Measurement, ...]) -> tuple[Measurement, ...]:
    """The shares up to the last bin that holds a neuron, so that a curve ends there."""
    last = max((at for at, m in enumerate(shares) if m.value > 0), default=-1)
    nothing = Measurement.missing(over=Over.NEURONS, unit="share")
    return tuple(m if at <= last else nothing for at, m in enumerate(shares))


def ranges(found: Parent) -> Figure:
    """Figure 2b as numbers: the range over partners of the maximum correlation of universal neurons."""
    measured = {name: range_over_partners(tables, found.threshold) for name, tables in found.tables.items()}
    rows = [
        ChartRow(
            f"model {name}", m, OWN, ticks=(Tick(m.details["all_neurons"], OTHERS),) if not m.is_missing else (),
            columns=(("all neurons", m.details.get("all_neurons", math.nan)),),
        )
        for name, m in measured.items()
    ]  # fmt: skip
    rows += [ChartRow(f"printed: {name}", _number(value), PRINTED) for name, value in found.printed.ranges.items()]
    label = "Figures 2b, 12b and 13b of the parent paper."
    if all(m.is_missing for m in measured.values()):
        return Figure.left_out("parent-2b", "it needs universal neurons, and more than one of them.", label=label)
    agreement = excess_agreement(found.tables[found.reference])
    between = (
        f" Of the variation of the excess of model {found.reference}, {with_interval(agreement)} is between neurons "
        "and the rest between partners (intraclass correlation)."
        if not agreement.is_missing
        else ""
    )
    caption = markdown(
        f"Range over partners of a neuron’s maximum correlation, mean over the neurons {found.set_of}, at "
        f"{found.last} of the training; grey squares: over all neurons. Intervals over neurons.{between} Diamonds: "
        "published for other models."
    )
    return row_figure(
        RowChart("parent-2b", label, "Range of the correlation over partners",
                 "range over partners", tuple(rows), 0.0),
        code=_CODE + "ranges", caption=caption,
    )  # fmt: skip


def depths(found: Parent) -> Figure:
    """Figure 2c: the layer of the most correlated partner by the layer of the neuron, as a heat map."""
    label = "Figures 2c, 12c and 13c of the parent paper."
    if found.permuted is None:
        return Figure.left_out("parent-2c", "it needs partners that read other tokens.", label=label)
    cells = partner_layers(found.tables[found.reference], depth=found.depth)
    chance = partner_layers(found.permuted, depth=found.depth)
    layers, row = range(found.depth), 40 if found.depth <= 6 else 28 if found.depth <= 12 else 20
    names = [str(layer) for layer in layers]

    def draw(size: Size) -> Drawing:
        with drawing(size, row * found.depth + 86, left=40, right=2, top=34) as canvas:
            upwards = {(other, layer): m for (layer, other), m in cells.items()}
            heat_map(canvas, upwards, columns=names, rows=names, places=1)
            canvas.label_y("layer of the neuron; % of its neurons")
            canvas.label_x("layer of its best partner")
        return canvas

    own, null = (_diagonal(one, found.depth) for one in (cells, chance))
    said = (
        f"On the diagonal are {decimal(own * 100, 1)} % of the neurons, mean over layers; where partners read other "
        f"tokens, {decimal(null * 100, 1)} %"
    )
    caption = markdown(
        f"Where the most correlated partner of a neuron lies: of all neurons of each layer of model "
        f"{found.reference} (upwards) the share whose best partner is in each layer of the other models, mean "
        f"over {plural(len(found.tables[found.reference].partners), 'partner')}, at {found.last} of the training. "
        f"{said}. Intervals, over neurons, are in the data."
    )
    rows = tuple(
        (f"layer {layer}", f"layer {other}", *shown(cells[layer, other]), shown(chance[layer, other])[0])
        for layer in layers
        for other in layers
    )
    columns = (
        Column("neuron in"), Column("best partner in"), Column("share, %", 2), Column("low", 2), Column("high", 2),
        Column("other tokens, %", 2),
    )  # fmt: skip
    alt = f"Heat map of the layer of the best partner by the layer of the neuron, {found.depth} layers. {said}."
    return figure(
        "parent-2c", draw, label=label, caption=caption, alt=alt,
        code=_CODE + "depths", data=DataTable("Layer of the best partner by layer", columns, rows, row_headers=2),
    )  # fmt: skip


def _diagonal(cells: Mapping[tuple[int, int], Measurement], depth: int) -> float:
    return float(np.mean([cells[layer, layer].value for layer in range(depth)]))
