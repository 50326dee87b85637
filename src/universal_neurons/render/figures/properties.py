"""Figures 3, 9, 10 and 14 of Gurnee et al. 2024, at the last checkpoint of a suite, and when its properties appear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.distributions import (
    bounded_median,
    dealt_range,
    medians_by_bin,
    medians_by_layer,
    shares_by_bin,
)
from universal_neurons.measures.properties import (
    PERCENTILE,
    Ranking,
    alignment_and_frequency,
    early_share_of_frequent,
    mean_median_percentile,
    median_percentile,
)
from universal_neurons.render.escaping import markdown
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
    row_figure,
    universal_and_others,
)
from universal_neurons.render.figures.figure import Figure, FigureGroup
from universal_neurons.render.figures.parent import ALSO_BY_LAYER, NAMES, TWINS
from universal_neurons.render.figures.style import OTHERS, OWN, PRINTED
from universal_neurons.render.formatting import count, decimal, listed, span, with_interval

if TYPE_CHECKING:
    from universal_neurons.measures.arrays import Floats
    from universal_neurons.render.figures.parent import Parent

_CODE = "render.figures.properties."
DEALINGS = 20
COSINES = np.linspace(-1.0, 1.0, 21)
# What is nearly the same neuron (figure 10 speaks of "literal" duplicates).
NEAR = 0.8
NONE = "no neuron is universal on average in any of the models."


def property_figures(found: Parent) -> dict[str, FigureGroup]:
    """The figures of what universal neurons are like."""
    layers, twins = properties_by_layer(found), twins_in_model(found)
    return {
        "properties": FigureGroup((properties(found),)),
        "appearing": FigureGroup((appearing(found),)),
        "properties_by_layer": FigureGroup(
            tuple(line_figure(c, code=_CODE + "properties_by_layer", otherwise=NONE) for c in layers),
            keys(layers[0]),
        ),
        "alignment": FigureGroup((alignment(found),)),
        "twins_in_model": FigureGroup(
            tuple(_twin_figure(found, name, chart) for name, chart in zip(TWINS, twins, strict=True)), keys(twins[0])
        ),
    }


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
    caption = markdown(
        f"Where neurons {found.set_of} rank in their layers, by each of eight properties: the median percentile, "
        f"{whose} ({count(number)} neurons), at {found.last} of the training. Bars are intervals over "
        f"{known[0].value.over.value}, {bands}diamonds are published for GPT-2 Small. The control: labels dealt "
        f"out within layers {count(DEALINGS)} times give {decimal(min(dealt), 0)} to {decimal(max(dealt), 0)}."
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
    labels = found.labels
    curves = [Series("now", OWN, tuple(_median(found.over_training[label]) for label in labels))]
    if found.before:
        curves.append(Series("before training", OTHERS, tuple(_median(found.before[label]) for label in labels)))
    chart = LineChart(
        "properties-training", "", "The eight properties over the training",
        found.training, "percentile in the layer", "time", tuple(curves),
        (Rule(50.0, "no difference"),),
    )  # fmt: skip
    first, last = curves[0].values[0], curves[0].values[-1]
    same = " Grey: the same neurons before the training, as a control." if found.before else ""
    caption = markdown(
        f"How far the neurons of model {found.reference} that are {found.set_of} at each checkpoint lie on the "
        f"published side of their layers, median over neurons of the mean over eight properties, as a percentile: "
        f"{with_interval(first)} at {labels[0]}, {with_interval(last)} at {labels[-1]}. Bars are intervals over "
        f"neurons.{same}"
    )
    why = "no neuron is universal on average at any checkpoint."
    return line_figure(chart, code=_CODE + "appearing", caption=caption, wide=True, height=280, otherwise=why)


def _median(one: Ranking) -> Measurement:
    return bounded_median(one.percentile[one.universal], level=one.level, unit=PERCENTILE)


def _by_layer(found: Parent, name: str) -> LineChart:
    """One panel of figure 14: the median of a property by layer, of universal neurons and of all others."""
    models = list(found.rankings[name].values())
    called = NAMES[name][1] if name in NAMES else ALSO_BY_LAYER[name]
    layers = ChartAxis.of_layers(found.depth)
    medians = (medians_by_layer(models, universal=universal, depth=found.depth) for universal in (True, False))
    return LineChart(
        f"parent-14-{name.replace('_', '-')}", "Figure 14 of the parent paper.",
        f"{called[0].upper()}{called[1:]}, median over the neurons of {found.models} at {found.last}", layers, called,
        "set", universal_and_others(*medians),
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
    medians = (
        medians_by_bin(frequency[chosen], cosine[chosen], COSINES, level=found.level)
        for chosen in (universal, ~universal)
    )
    chart = LineChart(
        "parent-9", "Figure 9 of the parent paper.", "Activation frequency by the cosine of input and output weights",
        ChartAxis.of_bins("input-output cosine", COSINES), "median share of active tokens",
        "set", universal_and_others(*medians),
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
    caption = markdown(
        f"Share of tokens at which a neuron is active (pre-activation above 0) by the cosine of its input and "
        f"output weights, median over the neurons of each bin, {found.models} at {found.last} of the training. "
        f"Bars are intervals over neurons. Pearson’s correlation over all neurons: "
        f"{span([m.value for m in values], '', 2)} by model (model {found.reference}: "
        f"{with_interval(values[0], 2)}); with cosines dealt out within layers, {span(dealt, '', 2)}; read off "
        f"the paper’s figure: {printed}."
        f"{frequent}"
    )
    return line_figure(chart, code=_CODE + "alignment", caption=caption, wide=True, height=320)


def _twins(found: Parent, name: str) -> LineChart:
    """One panel of figure 10: neurons by the largest cosine of their weights with another neuron's of the model."""
    edges = np.linspace(0.0, 1.0, 11)
    side = TWINS[name]
    shares = (
        shares_by_bin(_values(found, name, universal=universal), edges, level=found.level)
        for universal in (True, False)
    )
    return LineChart(
        f"parent-10-{side}", "Figure 10 of the parent paper.",
        f"Largest cosine of the {side} weights with another neuron’s",
        ChartAxis.of_bins("largest cosine", edges), "neurons of the set, %", "set", universal_and_others(*shares),
    )  # fmt: skip


def _values(found: Parent, name: str, *, universal: bool) -> Floats:
    """A property of the universal neurons, or of all others, of all models."""
    return np.concatenate([one.value[one.universal == universal] for one in found.rankings[name].values()])


def _twin_figure(found: Parent, name: str, chart: LineChart) -> Figure:
    near = [
        shares_by_bin(_values(found, name, universal=universal), np.array([NEAR, 1.0]), level=found.level)[0]
        for universal in (True, False)
    ]
    caption = markdown(
        f"{chart.title} of the same model, {found.models} at {found.last}: share of the neurons that are universal "
        f"on average, and of all others. Above {decimal(NEAR, 1)} are {with_interval(near[0])} and "
        f"{with_interval(near[1])} of them. Bars are intervals over neurons."
    )
    return line_figure(chart, code=_CODE + "twins_in_model", caption=caption, otherwise=NONE)


def properties_by_layer(found: Parent) -> tuple[LineChart, ...]:
    """The panels of figure 14."""
    return tuple(_by_layer(found, name) for name in (*NAMES, *ALSO_BY_LAYER))


def twins_in_model(found: Parent) -> tuple[LineChart, ...]:
    """The panels of figure 10."""
    return tuple(_twins(found, name) for name in TWINS)
