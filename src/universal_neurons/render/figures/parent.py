"""Figures 2, 3, 9, 10 and 14 of Gurnee et al. 2024, at the last checkpoint of a suite, and when its properties appear.

The numbers come from ``measures``, as for the claims.  Universal is the mean excess over the partners above the
threshold, as the paper defines it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.inputs.published import published, published_table
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.agreement import excess_agreement, range_over_partners
from universal_neurons.measures.distributions import (
    bounded_median,
    dealt_range,
    medians_by_bin,
    medians_by_layer,
    partner_layers,
    shares_by_bin,
)
from universal_neurons.measures.properties import (
    ALL,
    EIGHT,
    PERCENTILE,
    Ranking,
    alignment_and_frequency,
    early_share_of_frequent,
    mean_median_percentile,
    median_percentile,
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
    Rule,
    Series,
    Tick,
    heat_cell,
    keys,
    line_figure,
    line_figure_or_sentence,
    row_figure,
    shown,
)
from universal_neurons.render.figures.drawing import Drawing, drawing
from universal_neurons.render.figures.figure import Figure, FigureGroup, figure
from universal_neurons.render.figures.style import OWN, Colour, Mark, Size
from universal_neurons.render.formatting import count, decimal, listed, places_of, plural, span, with_interval
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
DEALINGS = 20
# Edges of the bins of correlations and of cosines.
CORRELATIONS = np.linspace(-0.1, 1.0, 23)
COSINES = np.linspace(-1.0, 1.0, 21)
OTHERS = Mark(Colour.MUTED, "s", dashed=True)
PRINTED = Mark(Colour.MUTED, "D")
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
# Largest cosines of weights, and what is nearly the same neuron (figure 10 speaks of "literal" duplicates).
TWINS = {"twin_in": "input", "twin_out": "output"}
NEAR = 0.8
NONE = "no neuron is universal on average in any of the models."
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
class Parent:
    """The tables of all models at the last checkpoint, every property as a ranking, and the reference's over training.

    ``permuted`` is the null model of partners that read other tokens.  ``training`` are the rankings by the mean of the
    eight properties at each checkpoint, ``before`` the same neurons before training (empty if the suite has none).
    """

    reference: str
    last: str
    depth: int
    threshold: float
    level: float
    tables: Mapping[str, ReferenceTables]
    permuted: ReferenceTables
    properties: Mapping[str, pd.DataFrame]
    rankings: Mapping[str, Mapping[str, Ranking]]
    training: Mapping[str, Ranking]
    before: Mapping[str, Ranking]
    shares: tuple[float, ...]
    printed: PrintedByParent
    artifacts: tuple[str, ...]

    @property
    def models(self) -> str:
        """The models in words."""
        return f"{plural(len(self.tables), 'model')} {listed(self.tables)}"

    @property
    def set_of(self) -> str:
        """Which neurons are universal, for a caption."""
        return f"universal on average (mean excess above {decimal(self.threshold, 1)})"


def parent_of(study: StoredStudy, printed: PrintedByParent) -> Parent:
    """The numbers behind the figures; raises the study's own errors where an artifact is missing."""
    before = len(study.reads)
    last, threshold = study.checkpoints[-1], study.suite.universality.threshold
    references = study.suite.references
    models = (study.reference, *(name for name in references if name != study.reference))
    untrained = study.untrained
    return Parent(
        reference=study.reference,
        last=last.label,
        depth=study.suite.layers,
        threshold=threshold,
        level=study.suite.resampling.level,
        tables={name: study.reference_tables(checkpoint=last, reference=name) for name in models},
        permuted=null_tables(study, checkpoint=last, kind="permuted"),
        properties={name: study.table("properties", model=name, checkpoint=last) for name in models},
        rankings={
            name: {model: ranked(study, name, last, threshold, model=model) for model in models}
            for name in (*EIGHT, *ALSO_BY_LAYER, *TWINS)
        },
        training={c.label: ranked(study, ALL, c, threshold) for c in study.checkpoints},
        before={}
        if untrained is None
        else {c.label: ranked(study, ALL, c, threshold, properties_at=untrained) for c in study.checkpoints},
        shares=tuple(c.share for c in study.checkpoints),
        printed=printed,
        artifacts=tuple(dict.fromkeys(study.reads[before:])),
    )


def parent_figures(found: Parent) -> dict[str, FigureGroup]:
    """All figures of the page."""
    layers, twins = properties_by_layer(found), twins_in_model(found)
    return {
        "prevalence": FigureGroup((prevalence(found),)),
        "correlations": FigureGroup((correlations(found),)),
        "ranges": FigureGroup((ranges(found),)),
        "depths": FigureGroup((depths(found),)),
        "properties": FigureGroup((properties(found),)),
        "appearing": FigureGroup((appearing(found),)),
        "properties_by_layer": FigureGroup(
            tuple(
                line_figure_or_sentence(c, NONE, partial(line_figure, c, code=_CODE + "properties_by_layer"))
                for c in layers
            ),
            keys(layers[0]),
        ),
        "alignment": FigureGroup((alignment(found),)),
        "twins_in_model": FigureGroup(
            tuple(_twin_figure(found, name, chart) for name, chart in zip(TWINS, twins, strict=True)), keys(twins[0])
        ),
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
    caption = Markdown(
        markdown(
            f"Share of the neurons of each model that are {found.set_of} over all other models, at {found.last} of "
            f"the training: {said}. Intervals over {values[0].over.value}. Diamonds: printed for other models."
        )
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


def _middles(edges: Floats) -> ChartAxis:
    centres = tuple(float(c) for c in (edges[:-1] + edges[1:]) / 2)
    return ChartAxis("", centres, tuple(decimal(c, 2) for c in centres))


def correlations(found: Parent) -> Figure:
    """Figure 2a: distributions of the maximum correlation, its baseline, the excess, and the null model."""
    own, permuted = found.tables[found.reference], found.permuted
    curves = {
        "maximum correlation": (OWN, _mean_over_partners(own, "correlation")),
        "rotated partners": (OTHERS, _mean_over_partners(own, "baseline")),
        "excess": (Mark(Colour.BLUE, "o"), _mean_over_partners(own, "excess")),
    }
    axis = _middles(CORRELATIONS)
    chart = LineChart(
        "parent-2a", "Figure 2a of the parent paper.",
        "Neurons by their correlation with their best partner", ChartAxis("correlation", axis.places, axis.labels),
        "neurons of the model, %", "quantity",
        tuple(
            Series(name, mark, _until_the_last(shares_by_bin(values, CORRELATIONS, level=found.level)))
            for name, (mark, values) in curves.items()
        ),
    )  # fmt: skip
    medians = listed(f"{decimal(float(np.nanmedian(values)), 3)} ({name})" for name, (_, values) in curves.items())
    null = float(np.nanmax(_mean_over_partners(permuted, "correlation")))
    caption = Markdown(
        markdown(
            f"All neurons of model {found.reference} at {found.last} of the training by their maximum correlation, "
            f"mean over {plural(len(own.partners), 'partner')}; by the same with rotated partners (the baseline); and "
            f"by the excess over it. Medians: {medians}. The control, partners that read other tokens, has none above "
            f"{decimal(null, 2)}. Bins of {decimal(float(np.diff(CORRELATIONS)[0]), 2)}; bars are intervals over "
            f"neurons. The paper’s figures 11 to 13 show the same for three other models and print no number."
        )
    )
    return line_figure(chart, code=_CODE + "correlations", caption=caption, wide=True, height=320)


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
    label = "Figure 2b of the parent paper."
    if all(m.is_missing for m in measured.values()):
        return Figure.left_out("parent-2b", "it needs universal neurons, and more than one of them.", label=label)
    agreement = excess_agreement(found.tables[found.reference])
    between = (
        f" Of the variation of the excess of model {found.reference}, {with_interval(agreement)} is between neurons "
        "and the rest between partners (intraclass correlation)."
        if not agreement.is_missing
        else ""
    )
    caption = Markdown(
        markdown(
            f"Range over partners of a neuron’s maximum correlation, mean over the neurons {found.set_of}, at "
            f"{found.last} of the training; grey squares: over all neurons. Intervals over neurons.{between} Diamonds: "
            "published for other models."
        )
    )
    return row_figure(
        RowChart("parent-2b", label, "Range of the correlation over partners",
                 "range over partners", tuple(rows), 0.0),
        code=_CODE + "ranges", caption=caption,
    )  # fmt: skip


def depths(found: Parent) -> Figure:
    """Figure 2c: the layer of the most correlated partner by the layer of the neuron, as a heat map."""
    cells = partner_layers(found.tables[found.reference], depth=found.depth)
    chance = partner_layers(found.permuted, depth=found.depth)
    layers = range(found.depth)
    peak = max((m.value for m in cells.values() if not m.is_missing), default=0.0)

    def draw(size: Size) -> Drawing:
        with drawing(size, (40 if found.depth <= 6 else 28) * found.depth + 86, left=40, right=2, top=34) as canvas:
            for (layer, other), m in cells.items():
                heat_cell(canvas, other, layer, m, peak=peak, places=1)
            axes = canvas.axes
            axes.set_xlim(-0.5, found.depth - 0.5)
            axes.set_ylim(-0.5, found.depth - 0.5)
            axes.grid(visible=False)
            axes.spines["bottom"].set_visible(False)
            axes.tick_params(length=0)
            axes.set_xticks(layers)
            axes.set_yticks(layers)
            canvas.label_y("layer of the neuron; % of its neurons")
            canvas.label_x("layer of its best partner")
        return canvas

    own, null = (_diagonal(one, found.depth) for one in (cells, chance))
    said = (
        f"On the diagonal are {decimal(own * 100, 1)} % of the neurons, mean over layers; where partners read other "
        f"tokens, {decimal(null * 100, 1)} %"
    )
    caption = Markdown(
        markdown(
            f"Where the most correlated partner of a neuron lies: of all neurons of each layer of model "
            f"{found.reference} (upwards) the share whose best partner is in each layer of the other models, mean "
            f"over {plural(len(found.tables[found.reference].partners), 'partner')}, at {found.last} of the training. "
            f"{said}. Intervals, over neurons, are in the data."
        )
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
        "parent-2c", draw, label="Figure 2c of the parent paper.", caption=caption, alt=alt, code=_CODE + "depths",
        data=DataTable("Layer of the best partner by layer", columns, rows, row_headers=2),
    )  # fmt: skip


def _diagonal(cells: Mapping[tuple[int, int], Measurement], depth: int) -> float:
    return float(np.mean([cells[layer, layer].value for layer in range(depth)]))


# --- figures 3 and 14 ------------------------------------------------------------------------------------------------


def properties(found: Parent) -> Figure:
    """Figure 3: the median percentile of universal neurons in their layers, for each of the eight properties.

    The mean over models with its interval over them; of fewer than three, the reference's median.
    """
    label = "Figure 3 of the parent paper."
    rows = [_property_row(found, name) for name in NAMES]
    known = [row for row in rows if not row.value.is_missing]
    if not known:
        return Figure.left_out("parent-3", "too few neurons are universal on average.", label=label)
    over_models = known[0].value.over is Over.MODELS
    dealt = [value for row in known for title, value in row.columns if title.endswith("dealing")]
    every = found.rankings["pre_mean"]
    counted = every.values() if over_models else [every[found.reference]]
    number = sum(int(one.universal.sum()) for one in counted)
    whose = f"mean over the {found.models}" if over_models else f"model {found.reference}"
    bands = "bands reach from the lowest model to the highest, " if over_models else ""
    caption = Markdown(
        markdown(
            f"Where neurons {found.set_of} rank in their layers, by each of eight properties: the median percentile, "
            f"{whose} ({count(number)} neurons), at {found.last} of the training. Bars are intervals over "
            f"{known[0].value.over.value}, {bands}diamonds are published for GPT-2 Small. The control: labels dealt "
            f"out within layers {count(DEALINGS)} times give {decimal(min(dealt), 0)} to {decimal(max(dealt), 0)}."
        )
    )
    return row_figure(
        RowChart("parent-3", label, "Median percentile of universal neurons in their layers",
                 "percentile in the layer", tuple(rows), 50.0),
        code=_CODE + "properties", caption=caption,
    )  # fmt: skip


def _property_row(found: Parent, name: str) -> ChartRow:
    models = found.rankings[name]
    every = mean_median_percentile(models)
    shown_of = {found.reference: models[found.reference]} if every.is_missing else models
    m = _median(models[found.reference]) if every.is_missing else every
    return ChartRow(
        NAMES[name][1], m, OWN, reach=_range(every), ticks=(Tick(found.printed.percentiles[name], PRINTED),),
        columns=(
            *((f"model {model}", median_percentile([one]).value) for model, one in models.items()),
            *zip(("lowest dealing", "highest dealing"), dealt_range(shown_of, dealings=DEALINGS), strict=True),
            ("published for GPT-2 Small", found.printed.percentiles[name]),
        ),
    )  # fmt: skip


def _range(m: Measurement) -> tuple[float, float] | None:
    return None if m.is_missing else (m.details["lowest"], m.details["highest"])


def appearing(found: Parent) -> Figure:
    """When the properties appear: the mean of the eight over the training, and of the same neurons before it."""
    labels = tuple(found.training)
    curves = [Series("now", OWN, tuple(_median(found.training[label]) for label in labels))]
    if found.before:
        curves.append(Series("before training", OTHERS, tuple(_median(found.before[label]) for label in labels)))
    chart = LineChart(
        "properties-training", "", "The eight properties over the training",
        ChartAxis("share of training", found.shares, labels), "percentile in the layer", "time", tuple(curves),
        (Rule(50.0, "no difference"),),
    )  # fmt: skip
    first, last = curves[0].values[0], curves[0].values[-1]
    same = " Grey: the same neurons before the training, as a control." if found.before else ""
    caption = Markdown(
        markdown(
            f"How far the neurons of model {found.reference} that are {found.set_of} at each checkpoint lie on the "
            f"published side of their layers, median over neurons of the mean over eight properties, as a percentile: "
            f"{with_interval(first)} at {labels[0]}, {with_interval(last)} at {labels[-1]}. Bars are intervals over "
            f"neurons.{same}"
        )
    )
    why = "no neuron is universal on average at any checkpoint."
    return line_figure_or_sentence(
        chart, why, partial(line_figure, chart, code=_CODE + "appearing", caption=caption, wide=True, height=280)
    )


def _median(one: Ranking) -> Measurement:
    return bounded_median(one.percentile[one.universal], level=one.level, unit=PERCENTILE)


def _by_layer(found: Parent, name: str) -> LineChart:
    """One panel of figure 14: the median of a property by layer, of universal neurons and of all others."""
    models = list(found.rankings[name].values())
    called = NAMES[name][1] if name in NAMES else ALSO_BY_LAYER[name]
    layers = ChartAxis("layer", tuple(map(float, range(found.depth))), tuple(map(str, range(found.depth))), "in layer")
    curves = tuple(
        Series(title, mark, medians_by_layer(models, universal=universal, depth=found.depth))
        for title, mark, universal in (("universal on average", OWN, True), ("all others", OTHERS, False))
    )
    return LineChart(
        f"parent-14-{name.replace('_', '-')}", "Figure 14 of the parent paper.",
        f"{called[0].upper()}{called[1:]}, median over the neurons of {found.models} at {found.last}", layers, called,
        "set", curves,
    )  # fmt: skip


# --- figures 9 and 10 ------------------------------------------------------------------------------------------------


def alignment(found: Parent) -> Figure:
    """Figure 9: how often neurons are active by the cosine of their input and output weights."""
    every = {name: alignment_and_frequency(table, level=found.level) for name, table in found.properties.items()}
    dealt = [alignment_and_frequency(table, level=found.level, seed=0).value for table in found.properties.values()]
    cosine, frequency = (
        np.concatenate([table[name].to_numpy(dtype=np.float64) for table in found.properties.values()])
        for name in ("cos_in_out", "frequency")
    )
    universal = np.concatenate([one.universal for one in found.rankings["cos_in_out"].values()])
    axis = _middles(COSINES)
    curves = tuple(
        Series(title, mark, medians_by_bin(frequency[chosen], cosine[chosen], COSINES, level=found.level))
        for title, mark, chosen in (("universal on average", OWN, universal), ("all others", OTHERS, ~universal))
    )
    chart = LineChart(
        "parent-9", "Figure 9 of the parent paper.", "Activation frequency by the cosine of input and output weights",
        ChartAxis("input-output cosine", axis.places, axis.labels), "median share of active tokens",
        "set", curves,
    )  # fmt: skip
    values = list(every.values())
    early = early_share_of_frequent(list(found.properties.values()), level=found.level)
    frequent = (
        f" Of the {count(early.n)} neurons active at more than half of the tokens, {with_interval(early)} are in the "
        f"first quarter of the layers."
        if not early.is_missing
        else ""
    )
    printed = listed(f"{decimal(value, 2)} ({name})" for name, value in found.printed.correlations.items())
    caption = Markdown(
        markdown(
            f"Share of tokens at which a neuron is active (pre-activation above 0) by the cosine of its input and "
            f"output weights, median over the neurons of each bin, {found.models} at {found.last} of the training. "
            f"Bars are intervals over neurons. Pearson’s correlation over all neurons: "
            f"{span([m.value for m in values], '', 2)} by model (model {found.reference}: "
            f"{with_interval(values[0], 2)}); with cosines dealt out within layers, {span(dealt, '', 2)}; read off "
            f"the paper’s figure: {printed}."
            f"{frequent}"
        )
    )
    return line_figure(chart, code=_CODE + "alignment", caption=caption, wide=True, height=320)


def _twins(found: Parent, name: str) -> LineChart:
    """One panel of figure 10: neurons by the largest cosine of their weights with another neuron's of the model."""
    edges = np.linspace(0.0, 1.0, 11)
    axis = _middles(edges)
    side = TWINS[name]
    curves = tuple(
        Series(title, mark, shares_by_bin(_values(found, name, universal=universal), edges, level=found.level))
        for title, mark, universal in (("universal on average", OWN, True), ("all others", OTHERS, False))
    )
    return LineChart(
        f"parent-10-{side}", "Figure 10 of the parent paper.",
        f"Largest cosine of the {side} weights with another neuron’s",
        ChartAxis("largest cosine", axis.places, axis.labels), "neurons of the set, %", "set", curves,
    )  # fmt: skip


def _values(found: Parent, name: str, *, universal: bool) -> Floats:
    """A property of the universal neurons, or of all others, of all models."""
    return np.concatenate([one.value[one.universal == universal] for one in found.rankings[name].values()])


def _twin_figure(found: Parent, name: str, chart: LineChart) -> Figure:
    near = [
        shares_by_bin(_values(found, name, universal=universal), np.array([NEAR, 1.0]), level=found.level)[0]
        for universal in (True, False)
    ]
    caption = Markdown(
        markdown(
            f"{chart.title} of the same model, {found.models} at {found.last}: share of the neurons that are universal "
            f"on average, and of all others. Above {decimal(NEAR, 1)} are {with_interval(near[0])} and "
            f"{with_interval(near[1])} of them. Bars are intervals over neurons."
        )
    )
    return line_figure_or_sentence(
        chart, NONE, partial(line_figure, chart, code=_CODE + "twins_in_model", caption=caption)
    )


def properties_by_layer(found: Parent) -> tuple[LineChart, ...]:
    """The panels of figure 14."""
    return tuple(_by_layer(found, name) for name in (*NAMES, *ALSO_BY_LAYER))


def twins_in_model(found: Parent) -> tuple[LineChart, ...]:
    """The panels of figure 10."""
    return tuple(_twins(found, name) for name in TWINS)
