"""Ablation: its numbers from a study's tables, and figures 2 and 7 to 20 of Nandan et al. 2025 v1.

With them the corresponding figures of v2, the dose curve and the readings of the control.  Where the paper has one
curve per model, the curves are the partners of the reference (ambiguity A3, first reading); where it averages, the mean
over all models as reference.  "Non-universal" are as many random others (A4, second reading), in one layer as many of
that layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.ablation import NATS, PERCENTILE, dose_curve, effect, effect_over_random
from universal_neurons.measures.ablation_table import AblationTable, Quantity, SetKind, SetOf
from universal_neurons.measures.intervals import jackknife
from universal_neurons.measures.tables import Definition
from universal_neurons.render.escaping import Markdown, markdown
from universal_neurons.render.figures.charts import (
    ChartAxis,
    ChartRow,
    LineChart,
    RowChart,
    Series,
    alike,
    at_the_end,
    keys,
    line_figure,
    line_figure_or_sentence,
    percent,
    row_figure,
)
from universal_neurons.render.figures.figure import FigureGroup, LegendEntry
from universal_neurons.render.figures.style import OWN, Colour, Mark, model_marks, time_marks
from universal_neurons.render.formatting import decimal, listed, places_of, span, with_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from universal_neurons.inputs.suite import Checkpoint
    from universal_neurons.render.figures.figure import Figure
    from universal_neurons.stages.study import StoredStudy


# What the paper's figures compare: the universal neurons, and its "non-universal" ones.
COMPARED = (SetKind.UNIVERSAL, SetKind.RANDOM_OTHERS)
COMPARED_IN_LAYER = (SetKind.UNIVERSAL, SetKind.LAYER_MATCHED)
# The random control of v2's figures, and the one that cannot be explained by where the neurons are.
BANDS = (SetKind.RANDOM_OTHERS, SetKind.LAYER_MATCHED)


@dataclass(frozen=True, slots=True)
class PairEffect:
    """Key of an effect against one partner."""

    kind: SetKind
    threshold: float
    quantity: Quantity
    partner: str
    checkpoint: str


@dataclass(frozen=True, slots=True)
class LayerEffect:
    """Key of an effect of one layer alone, mean over models."""

    kind: SetKind
    quantity: Quantity
    checkpoint: str
    layer: int


@dataclass(frozen=True, slots=True)
class TwinEffect:
    """Key of a loss increase of neurons that are universal by their mean excess."""

    kind: SetKind
    threshold: float
    checkpoint: str


@dataclass(frozen=True)
class AblationResults:
    """Effects of ablations in nats per prediction; checkpoints by their labels, ``models`` taken as the reference.

    ``doses`` are the dose curves of every model at the last checkpoint, ``readings`` there the effect of every kind of
    set in the reference, ``exceeding`` by (model, checkpoint) the loss increase beyond the 95th percentile of random
    others.
    """

    reference: str
    models: tuple[str, ...]
    partners: tuple[str, ...]
    checkpoints: tuple[str, ...]
    shares: tuple[float, ...]
    thresholds: tuple[float, ...]
    threshold: float
    depth: int
    pairs: Mapping[PairEffect, Measurement]
    layers: Mapping[LayerEffect, Measurement]
    twins: Mapping[TwinEffect, Measurement]
    exceeding: Mapping[tuple[str, str], Measurement]
    doses: Mapping[str, pd.DataFrame]
    readings: Mapping[SetKind, Measurement]
    level: float
    artifacts: tuple[str, ...]

    def in_layer(self, kind: SetKind, quantity: Quantity, checkpoint: str, layer: int) -> Measurement:
        """The effect of one layer alone; missing where the suite ablates none."""
        missing = Measurement.missing(n=0, over=Over.MODELS, unit=NATS)
        return self.layers.get(LayerEffect(kind, quantity, checkpoint, layer), missing)


def ablation_results(study: StoredStudy) -> AblationResults:
    """All numbers about ablation; raises the study's ArtifactMissing where the ablations were not computed."""
    before = len(study.reads)
    spec = study.suite.universality
    models = study.suite.references
    tables = {(m, c.label): study.ablation(checkpoint=c, reference=m) for c in study.checkpoints for m in models}
    own = {c.label: tables[study.reference, c.label] for c in study.checkpoints}
    last = study.checkpoints[-1].label
    averaged = SetOf(spec.threshold, definition=Definition.AVERAGED)
    first = own[last]
    return AblationResults(
        reference=study.reference,
        models=models,
        partners=study.partners(),
        checkpoints=tuple(c.label for c in study.checkpoints),
        shares=tuple(c.share for c in study.checkpoints),
        thresholds=spec.thresholds,
        threshold=spec.threshold,
        depth=study.suite.layers,
        pairs=_pairs(own, study.partners(), spec.thresholds),
        layers=_by_layer(tables, models, study.checkpoints, averaged, study.suite.layers)
        if study.suite.ablation.by_layer
        else {},
        twins=_twins(own, spec.thresholds),
        exceeding={
            place: effect_over_random(table, averaged, SetKind.RANDOM_OTHERS, quantity=Quantity.LOSS)
            for place, table in tables.items()
        },
        doses={model: dose_curve(tables[model, last], averaged) for model in models},
        readings={kind: effect(first, averaged, kind) for kind in first.kinds(averaged)},
        level=first.resampling.level,
        artifacts=tuple(dict.fromkeys(study.reads[before:])),
    )


def _pairs(
    own: Mapping[str, AblationTable], partners: Sequence[str], thresholds: Sequence[float]
) -> dict[PairEffect, Measurement]:
    return {
        PairEffect(kind, threshold, quantity, partner, label): effect(
            table, SetOf(threshold, partner), kind, quantity=quantity
        )
        for label, table in own.items()
        for partner in partners
        for threshold in thresholds
        for quantity in Quantity
        for kind in COMPARED
    }


def _by_layer(
    tables: Mapping[tuple[str, str], AblationTable],
    models: Sequence[str],
    checkpoints: Sequence[Checkpoint],
    averaged: SetOf,
    depth: int,
) -> dict[LayerEffect, Measurement]:
    return {
        LayerEffect(kind, quantity, c.label, layer): over_models(
            [effect(tables[m, c.label], averaged.in_layer(layer), kind, quantity=quantity) for m in models],
            least=0.0 if quantity is Quantity.KL else -math.inf,
        )
        for c in checkpoints
        for layer in range(depth)
        for quantity in Quantity
        for kind in COMPARED_IN_LAYER
    }


def _twins(own: Mapping[str, AblationTable], thresholds: Sequence[float]) -> dict[TwinEffect, Measurement]:
    return {
        TwinEffect(kind, threshold, label): effect(
            table, SetOf(threshold, definition=Definition.AVERAGED), kind, quantity=Quantity.LOSS
        )
        for label, table in own.items()
        for threshold in thresholds
        for kind in (SetKind.UNIVERSAL, *BANDS)
    }


def over_models(effects: Sequence[Measurement], *, least: float = -math.inf) -> Measurement:
    """The mean effect over models with its interval over models; the mean number of neurons in the details.

    The jackknife of a mean, which is Student's interval (``measures.intervals.jackknife``).  It ends at ``least``, the
    smallest value that the quantity can have: a divergence is never negative.  Missing if any effect is, and with fewer
    than two models.
    """
    values = [one.value for one in effects]
    if len(values) < 2 or any(map(math.isnan, values)):
        return Measurement.missing(n=len(values), over=Over.MODELS, unit=NATS)
    value, level = sum(values) / len(values), effects[0].level
    rest = [(value * len(values) - one) / (len(values) - 1) for one in values]
    low, high = jackknife(value, rest, level=level)
    low = max(low, least)
    size = sum(one.details["size"] for one in effects) / len(effects)
    return Measurement(
        value, min(low, value), max(high, value), len(values), Over.MODELS, level, NATS, {"size": size}
    )  # fmt: skip


NAN = float("nan")
_CODE = "render.figures.ablation."
_ONE_MODEL = "it is a mean over models, and this suite has only one reference."
_NO_LAYERS = "this suite ablates no layer alone."
_NONE = "no neuron is universal in any of the models, so none could be ablated."
_QUANTITIES = {Quantity.KL: "KL divergence, nats", Quantity.LOSS: "loss increase, nats"}
_WORDS = {Quantity.KL: "KL divergence", Quantity.LOSS: "Loss increase"}
_NEURONS = {
    SetKind.UNIVERSAL: "the neurons universal with each partner",
    SetKind.RANDOM_OTHERS: "as many others",
    SetKind.LAYER_MATCHED: "as many others of the layer",
}
_ON_AVERAGE = {**_NEURONS, SetKind.UNIVERSAL: "the neurons universal on average"}
# Every kind of set in the words of a reader: what "non-universal" may mean, and two sets that are not of that kind.
READINGS = {
    SetKind.UNIVERSAL: "universal",
    SetKind.OTHERS: "literally all others",
    SetKind.RANDOM_OTHERS: "as many others",
    SetKind.LAYER_MATCHED: "others, matched by layer",
    SetKind.NORM_MATCHED: "others, matched by norm",
    SetKind.RANDOM: "random, of all neurons",
    SetKind.TOP_NORM: "largest norm, of all neurons",
}


def ablation_figures(found: AblationResults) -> dict[str, FigureGroup]:
    """All figures about ablation; figures 13 to 20 are at the lowest and the highest threshold."""
    losses = alike(
        [
            _pair_chart(found, number, kind, found.threshold, Quantity.LOSS, bars=True)
            for number, kind in zip((7, 8), COMPARED, strict=True)
        ]
    )
    layers = layer_charts(found)
    twins = alike([twin_chart(found, threshold) for threshold in found.thresholds])
    partners = tuple(
        LegendEntry(f"with {p}", m) for p, m in zip(found.partners, model_marks(len(found.partners)), strict=True)
    )
    why = _ONE_MODEL if found.layers else _NO_LAYERS
    return {
        "paper_2": FigureGroup((outputs(found),)),
        "losses": FigureGroup(_figures(losses, "ablation_figures"), keys(losses[0])),
        "twins": FigureGroup((*(_twin(chart) for chart in twins), exceeding(found)), keys(twins[0])),
        "sets": FigureGroup((readings(found),)),
        "dose": FigureGroup((dose(found),)),
        "layers_alone": FigureGroup(_figures(layers, "layer_charts", why), keys(layers[0])),
        "lower": FigureGroup(_at_threshold(found, 13, min(found.thresholds)), partners),
        "higher": FigureGroup(_at_threshold(found, 17, max(found.thresholds)), partners),
    }


def _figures(charts: Sequence[LineChart], code: str, why: str = _ONE_MODEL) -> tuple[Figure, ...]:
    return tuple(
        line_figure_or_sentence(chart, why, partial(line_figure, chart, code=_CODE + code)) for chart in charts
    )


def _training(found: AblationResults) -> ChartAxis:
    return ChartAxis("share of training", found.shares, found.checkpoints)


def _sizes(values: Sequence[Measurement]) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Further columns of the data: the size of the set and, for random sets, the range of the draws."""
    names = {"size": "neurons", "draws_low": "lowest draw", "draws_high": "highest draw"}
    return tuple(
        (title, tuple(m.details.get(key, NAN) for m in values))
        for key, title in names.items()
        if any(key in m.details for m in values)
    )


def _of_pair(
    found: AblationResults, kind: SetKind, threshold: float, quantity: Quantity, partner: str
) -> tuple[Measurement, ...]:
    return tuple(found.pairs[PairEffect(kind, threshold, quantity, partner, label)] for label in found.checkpoints)


def _pair_chart(
    found: AblationResults, number: int, kind: SetKind, threshold: float, quantity: Quantity, *, bars: bool = False
) -> LineChart:
    curves = tuple(
        Series(f"with {partner}", mark, values, columns=_sizes(values))
        for partner, mark in zip(found.partners, model_marks(len(found.partners), bars=bars), strict=True)
        if (values := _of_pair(found, kind, threshold, quantity, partner))
    )
    title = f"{_WORDS[quantity]} without {_NEURONS[kind]}, threshold {decimal(threshold, 1)}"
    return LineChart(
        f"paper-{number}", f"Figure {number} of the paper.", title, _training(found), _QUANTITIES[quantity], "partner",
        curves, bars=bars,
    )  # fmt: skip


def _at_threshold(found: AblationResults, first: int, threshold: float) -> tuple[Figure, ...]:
    """Four figures: KL and loss, each without universal and without as many other neurons on one scale."""
    charts: list[LineChart] = []
    for at, quantity in enumerate(Quantity):
        pair = [
            _pair_chart(found, first + 2 * at + side, kind, threshold, quantity) for side, kind in enumerate(COMPARED)
        ]
        charts += alike(pair)
    return _figures(charts, "ablation_figures")


def outputs(found: AblationResults) -> Figure:
    """Figure 2: the KL divergence without universal neurons and without as many others, one curve per partner."""
    curves = [
        Series(
            f"{found_name} {partner}",
            replace(mark, dashed=dashed), values, columns=_sizes(values),
        )
        for kind, found_name, dashed in zip(COMPARED, ("universal with", "as many others,"), (False, True), strict=True)
        for partner, mark in zip(found.partners, model_marks(len(found.partners)), strict=True)
        if (values := _of_pair(found, kind, found.threshold, Quantity.KL, partner))
    ]  # fmt: skip
    chart = LineChart(
        "paper-2", "Figure 2 of the paper.", "KL divergence after ablation", _training(found),
        _QUANTITIES[Quantity.KL], "set", tuple(curves),
    )  # fmt: skip
    number = len(found.partners)
    last = [curve.values[-1].value for curve in curves]
    places = places_of(chart.measurements)
    caption = Markdown(
        f"KL divergence of the output of model {markdown(found.reference)} after ablating the neurons that are "
        "universal with each partner (solid), and as many random others (dashed, mean of the draws); excess "
        "correlation above "
        f"{markdown(decimal(found.threshold, 1))}. At {markdown(found.checkpoints[-1])} of the training: "
        f"{markdown(span(last[:number], NATS, places))} against {markdown(span(last[number:], NATS, places))}."
    )
    return line_figure(chart, code=_CODE + "outputs", caption=caption, wide=True, height=380)


def layer_charts(found: AblationResults) -> tuple[LineChart, ...]:
    """Figures 9 to 12: KL then loss, each for universal neurons and for as many others of the layer, on one scale."""
    axis = ChartAxis("layer", tuple(map(float, range(found.depth))), tuple(map(str, range(found.depth))), "in layer")
    charts: list[LineChart] = []
    for at, quantity in enumerate(Quantity):
        pair = []
        for side, kind in enumerate(COMPARED_IN_LAYER):
            number = 9 + 2 * at + side
            curves = tuple(
                Series(label, mark, values, columns=_sizes(values))
                for label, mark in zip(found.checkpoints, time_marks(len(found.checkpoints)), strict=True)
                if (values := tuple(found.in_layer(kind, quantity, label, layer) for layer in range(found.depth)))
            )
            title = f"{_WORDS[quantity]} without {_ON_AVERAGE[kind]}, one layer at a time, mean over models"
            pair.append(
                LineChart(
                    f"paper-{number}", f"Figure {number} of the paper.", title, axis, _QUANTITIES[quantity],
                    "checkpoint", curves,
                )
            )  # fmt: skip
        charts += alike(pair)
    return tuple(charts)


_BAND_MARKS = {
    SetKind.UNIVERSAL: OWN,
    SetKind.RANDOM_OTHERS: Mark(Colour.MUTED, "s", dashed=True),
    SetKind.LAYER_MATCHED: Mark(Colour.MUTED, "^", dashed=True, strength=0.7),
}


def twin_chart(found: AblationResults, threshold: float) -> LineChart:
    """The loss increase of the reference beside every draw of two random controls, at one threshold."""
    curves = []
    for kind in (SetKind.UNIVERSAL, *BANDS):
        values = tuple(found.twins[TwinEffect(kind, threshold, label)] for label in found.checkpoints)
        band = tuple((m.details["draws_low"], m.details["draws_high"]) for m in values) if kind.is_random else ()
        name = {SetKind.UNIVERSAL: "universal on average", SetKind.RANDOM_OTHERS: "as many others, all draws"}
        curves.append(
            Series(name.get(kind, "the same, matched by layer"), _BAND_MARKS[kind], values, band, _sizes(values))
        )
    return LineChart(
        f"twin-{round(threshold * 10)}", "",
        f"Loss increase without the neurons universal on average, threshold {decimal(threshold, 1)}", _training(found),
        _QUANTITIES[Quantity.LOSS], "set", tuple(curves),
    )  # fmt: skip


def _twin(chart: LineChart) -> Figure:
    own, *random = [curve.values[-1] for curve in chart.curves]
    places = places_of([own])
    drawn = [
        f"{span([m.details['draws_low'], m.details['draws_high']], NATS, places)} in draws of {name}"
        for m, name in zip(random, ("as many others", "as many of every layer"), strict=True)
    ]
    said = f"{chart.title}: {with_interval(own, places)} {chart.axis.said(-1)}, {listed(drawn)}."
    return line_figure(chart, code=_CODE + "twin_chart", caption=markdown(said))


def exceeding(found: AblationResults) -> Figure:
    """The loss increase of every model in excess of its random draws."""
    curves = tuple(
        Series(f"model {model}", mark, tuple(found.exceeding[model, label] for label in found.checkpoints))
        for model, mark in _models(found).items()
    )
    chart = LineChart(
        "twin-models", "", "Loss increase beyond the draws, every model", _training(found),
        f"nats beyond the {PERCENTILE:.0%} quantile", "model", curves,
    )  # fmt: skip
    ends = [m for curve in curves if not (m := curve.values[-1]).is_missing]
    above = sum(m.low > 0 for m in ends)
    below = sum(m.high < 0 for m in ends)
    caption = Markdown(
        markdown(
            f"The loss increase without the neurons of each model that are universal on average, minus the "
            f"{PERCENTILE:.0%} quantile of "
            "as many "
            f"random others: {at_the_end(chart)}. The interval lies above zero for {above} of {len(ends)} models "
            "there, and "
            f"below for {below}."
        )
    )
    return line_figure_or_sentence(chart, _NONE, partial(line_figure, chart, code=_CODE + "exceeding", caption=caption))


def _models(found: AblationResults) -> dict[str, Mark]:
    """The mark of every model, the reference first."""
    others = [model for model in found.models if model != found.reference]
    return {found.reference: OWN, **dict(zip(others, model_marks(len(others)), strict=True))}


def dose(found: AblationResults) -> Figure:
    """The dose curve of the reference with its random orders as a band, and the other models' thinly beside it."""
    own = found.doses[found.reference]
    fractions = tuple(float(f) for f in own["fraction"])
    axis = ChartAxis("universal neurons ablated, %", fractions, tuple(f"{f * 100:.0f}" for f in fractions))
    curves = [_dose_curve(found, m, mark, banded=m == found.reference) for m, mark in _models(found).items()]
    chart = LineChart(
        "dose", "", "KL divergence by the share of the universal neurons that is ablated", axis,
        _QUANTITIES[Quantity.KL], "model", tuple(curves),
    )  # fmt: skip
    half = min(range(len(fractions)), key=lambda i: abs(fractions[i] - 0.5))
    values, whole = curves[0].values[half], curves[0].values[-1]
    ratio = f", {percent(values.value / whole.value, 0)} of the whole effect" if whole.value > 0 else ""
    caption = Markdown(
        markdown(
            f"KL divergence after ablating a growing share of the neurons universal on average, chosen in "
            f"{int(own['orders'].max())} random orders (band: their range, model {found.reference}), at "
            f"{found.checkpoints[-1]} of the training. "
            f"{axis.labels[half]} % of the neurons of model {found.reference} give {with_interval(values)}{ratio}."
        )
    )
    return line_figure(chart, code=_CODE + "dose", caption=caption, wide=True, height=340)


def _dose_curve(found: AblationResults, model: str, mark: Mark, *, banded: bool = False) -> Series:
    rows = found.doses[model].to_dict("records")
    blocks = next(iter(found.readings.values())).n
    values = tuple(
        Measurement(r["value"], r["low"], r["high"], blocks, Over.TOKEN_BLOCKS, found.level, NATS, {"size": r["size"]})
        for r in rows
    )
    band = tuple((float(r["orders_low"]), float(r["orders_high"])) for r in rows)
    return Series(f"model {model}", mark, values, band if banded else (), _sizes(values))


def readings(found: AblationResults) -> Figure:
    """The effect of the universal neurons and of every possible meaning of "non-universal"."""
    rows = tuple(
        ChartRow(
            f"{name} ({m.details['size']:.0f})", m,
            OWN if kind is SetKind.UNIVERSAL else Mark(Colour.MUTED),
            reach=(m.details["draws_low"], m.details["draws_high"]) if kind.is_random else None,
            columns=tuple((title, values[0]) for title, values in (
                *_sizes([m]), ("norm", (m.details["norm"],)), ("per neuron", (m.details["per_neuron"],))
            )),
        )
        for kind, name in READINGS.items()
        if (m := found.readings.get(kind)) is not None
    )  # fmt: skip
    own = found.readings[SetKind.UNIVERSAL]
    ratios = [
        f"{own.value / m.value:.2g} times that of {READINGS[kind]}"
        for kind, m in found.readings.items()
        if kind is not SetKind.UNIVERSAL and m.value > 0
    ]
    caption = Markdown(
        markdown(
            f"KL divergence after ablating the neurons universal on average and every set that “non-universal” may "
            f"mean, "
            f"in model {found.reference} at {found.checkpoints[-1]} of the training, on a "
            "logarithmic "
            f"scale (number of neurons in brackets; bars: range of the draws). The effect of the universal neurons, "
            f"{with_interval(own)}, is {listed(ratios)}."
        )
    )
    return row_figure(
        RowChart(
            "sets", "", "KL divergence after ablating each kind of set", _QUANTITIES[Quantity.KL], rows, own.value,
            logarithmic=own.value > 0,
        ),
        code=_CODE + "readings", caption=caption,
    )  # fmt: skip
