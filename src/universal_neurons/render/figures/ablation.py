"""Ablation: its numbers from a study's tables, and figures 2 and 7 to 20 of Nandan et al. 2025 v1.

With them the corresponding figures of v2, the dose curve and the readings of the control.  Where the paper has one
curve per model, the curves are the partners of the reference (ambiguity A3, first reading); where it averages, the mean
over all models as reference.  "Non-universal" are as many random others of the same layers (A4, third reading).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from universal_neurons.evidence.criteria import AboveDraws
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.ablation import NATS, dose_curve, effect, standing
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
    percent,
    row_figure,
)
from universal_neurons.render.figures.figure import FigureGroup, LegendEntry
from universal_neurons.render.figures.numbers import Numbers, references_of, settings_of
from universal_neurons.render.figures.style import OWN, Colour, Mark, model_marks, time_marks
from universal_neurons.render.formatting import listed, places_of, span, with_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.render.figures.figure import Figure
    from universal_neurons.stages.study import StoredStudy


# What the paper's figures compare: the universal neurons, and its "non-universal" ones.
COMPARED = (SetKind.UNIVERSAL, SetKind.LAYER_MATCHED)
# The random controls that cannot be explained by the layers, or by the layers and norms, of universal neurons.
BANDS = (SetKind.LAYER_MATCHED, SetKind.NORM_MATCHED)


@dataclass(frozen=True)
class AblationNumbers(Numbers):
    """The ablations of every model taken as the reference, by model and label of the checkpoint.

    Effects are in nats per prediction.
    """

    tables: Mapping[tuple[str, str], AblationTable]

    @property
    def on_average(self) -> SetOf:
        """The neurons that are universal by their mean excess over the partners, and the sets beside them."""
        return SetOf(self.threshold, definition=Definition.AVERAGED)

    def of_pair(self, kind: SetKind, threshold: float, quantity: Quantity, partner: str) -> tuple[Measurement, ...]:
        """The effect in the reference of what is universal with a partner, at every checkpoint."""
        which = SetOf(threshold, partner)
        return tuple(
            effect(self.tables[self.reference, label], which, kind, quantity=quantity) for label in self.labels
        )

    def twin(self, kind: SetKind, threshold: float, label: str) -> Measurement:
        """The loss increase in the reference without neurons that are universal on average."""
        which = SetOf(threshold, definition=Definition.AVERAGED)
        return effect(self.tables[self.reference, label], which, kind, quantity=Quantity.LOSS)

    def in_layer(self, kind: SetKind, quantity: Quantity, label: str, layer: int) -> Measurement:
        """The effect of one layer alone, mean over models; missing where the suite ablates none."""
        if not self.suite.ablation.by_layer:
            return Measurement.missing(n=0, over=Over.MODELS, unit=NATS)
        which = self.on_average.in_layer(layer)
        return over_models(
            [effect(self.tables[model, label], which, kind, quantity=quantity) for model in self.suite.references],
            least=0.0 if quantity is Quantity.KL else -math.inf,
        )

    def exceeding(self, model: str, label: str) -> Measurement:
        """The standing of a model's loss increase among as many others of the same layers."""
        return standing(self.tables[model, label], self.on_average, quantity=Quantity.LOSS)

    def readings(self) -> dict[SetKind, Measurement]:
        """The effect of every kind of set in the reference, at the last checkpoint."""
        table = self.tables[self.reference, self.last]
        return {kind: effect(table, self.on_average, kind) for kind in table.kinds(self.on_average)}


def ablations(study: StoredStudy) -> AblationNumbers:
    """The ablations of a study; raises its ArtifactMissing where they were not computed."""
    models = study.suite.references
    tables = {(m, c.label): study.ablation(checkpoint=c, reference=m) for c in study.checkpoints for m in models}
    return AblationNumbers(*settings_of(study), tables)


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
    SetKind.LAYER_MATCHED: "as many others of each layer",
}
_ON_AVERAGE = {**_NEURONS, SetKind.UNIVERSAL: "the neurons universal on average"}
# Every kind of set in the words of a reader: what "non-universal" may mean, and two sets that are not of that kind.
READINGS = {
    SetKind.UNIVERSAL: "universal",
    SetKind.OTHERS: "literally all others",
    SetKind.RANDOM_OTHERS: "as many others",
    SetKind.LAYER_MATCHED: "others, matched by layer",
    SetKind.NORM_MATCHED: "others, matched by norm",
    SetKind.TOP_NORM: "largest norm, of all neurons",
}


def ablation_figures(found: AblationNumbers) -> dict[str, FigureGroup]:
    """All figures about ablation; figures 13 to 20 are at the lowest and the highest threshold."""
    thresholds = found.suite.universality.thresholds
    losses = alike(
        [
            _pair_chart(found, number, kind, found.threshold, Quantity.LOSS, bars=True)
            for number, kind in zip((7, 8), COMPARED, strict=True)
        ]
    )
    layers = layer_charts(found)
    twins = alike([twin_chart(found, threshold) for threshold in thresholds])
    partners = tuple(
        LegendEntry(f"with {p}", m) for p, m in zip(found.partners, model_marks(len(found.partners)), strict=True)
    )
    why = _ONE_MODEL if found.suite.ablation.by_layer else _NO_LAYERS
    return {
        "paper_2": FigureGroup((outputs(found),)),
        "losses": FigureGroup(_figures(losses, "ablation_figures"), keys(losses[0])),
        "twins": FigureGroup((*(_twin(chart) for chart in twins), exceeding(found)), keys(twins[0])),
        "impact": FigureGroup((_twin(twin_chart(found, found.threshold), wide=True),)),
        "sets": FigureGroup((readings(found),)),
        "dose": FigureGroup((dose(found),)),
        "layers_alone": FigureGroup(_figures(layers, "layer_charts", why), keys(layers[0])),
        "lower": FigureGroup(_at_threshold(found, 13, min(thresholds)), partners),
        "higher": FigureGroup(_at_threshold(found, 17, max(thresholds)), partners),
    }


def _figures(charts: Sequence[LineChart], code: str, why: str = _ONE_MODEL) -> tuple[Figure, ...]:
    return tuple(line_figure(chart, code=_CODE + code, otherwise=why) for chart in charts)


def _sizes(values: Sequence[Measurement]) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Further columns of the data: the size of the set and, for random sets, the range of the draws."""
    names = {"size": "neurons", "draws_low": "lowest draw", "draws_high": "highest draw"}
    return tuple(
        (title, tuple(m.details.get(key, NAN) for m in values))
        for key, title in names.items()
        if any(key in m.details for m in values)
    )


def _pair_chart(
    found: AblationNumbers, number: int, kind: SetKind, threshold: float, quantity: Quantity, *, bars: bool = False
) -> LineChart:
    curves = tuple(
        Series(f"with {partner}", mark, values, columns=_sizes(values))
        for partner, mark in zip(found.partners, model_marks(len(found.partners), bars=bars), strict=True)
        if (values := found.of_pair(kind, threshold, quantity, partner))
    )
    title = f"{_WORDS[quantity]} without {_NEURONS[kind]}, threshold {threshold:g}"
    return LineChart(
        f"paper-{number}", f"Figure {number} of the paper.", title, found.training, _QUANTITIES[quantity], "partner",
        curves, bars=bars,
    )  # fmt: skip


def _at_threshold(found: AblationNumbers, first: int, threshold: float) -> tuple[Figure, ...]:
    """Four figures: KL and loss, each without universal and without as many other neurons on one scale."""
    charts: list[LineChart] = []
    for at, quantity in enumerate(Quantity):
        pair = [
            _pair_chart(found, first + 2 * at + side, kind, threshold, quantity) for side, kind in enumerate(COMPARED)
        ]
        charts += alike(pair)
    return _figures(charts, "ablation_figures")


def outputs(found: AblationNumbers) -> Figure:
    """Figure 2: the KL divergence without universal neurons and without as many others, one curve per partner."""
    curves = [
        Series(
            f"{found_name} {partner}",
            replace(mark, dashed=dashed), values, columns=_sizes(values),
        )
        for kind, found_name, dashed in zip(COMPARED, ("universal with", "as many others,"), (False, True), strict=True)
        for partner, mark in zip(found.partners, model_marks(len(found.partners)), strict=True)
        if (values := found.of_pair(kind, found.threshold, Quantity.KL, partner))
    ]  # fmt: skip
    chart = LineChart(
        "paper-2", "Figure 2 of the paper.", "KL divergence after ablation", found.training,
        _QUANTITIES[Quantity.KL], "set", tuple(curves),
    )  # fmt: skip
    number = len(found.partners)
    last = [curve.values[-1].value for curve in curves]
    places = places_of(chart.measurements)
    caption = Markdown(
        f"KL divergence of the output of model {markdown(found.reference)} after ablating the neurons that are "
        "universal with each partner (solid), and as many others of the same layers (dashed, mean of the draws); "
        "excess correlation above "
        f"{found.threshold:g}. At {markdown(found.last)} of the training: "
        f"{markdown(span(last[:number], NATS, places))} against {markdown(span(last[number:], NATS, places))}."
    )
    return line_figure(chart, code=_CODE + "outputs", caption=caption, wide=True, height=380)


def layer_charts(found: AblationNumbers) -> tuple[LineChart, ...]:
    """Figures 9 to 12: KL then loss, each for universal neurons and for as many others of the layer, on one scale."""
    axis = ChartAxis.of_layers(found.depth)
    charts: list[LineChart] = []
    for at, quantity in enumerate(Quantity):
        pair = []
        for side, kind in enumerate(COMPARED):
            number = 9 + 2 * at + side
            curves = tuple(
                Series(label, mark, values, columns=_sizes(values))
                for label, mark in zip(found.labels, time_marks(len(found.labels)), strict=True)
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
    SetKind.LAYER_MATCHED: Mark(Colour.MUTED, "s", dashed=True),
    SetKind.NORM_MATCHED: Mark(Colour.MUTED, "^", dashed=True, strength=0.7),
}

_BAND_NAMES = {
    SetKind.UNIVERSAL: "universal on average",
    SetKind.LAYER_MATCHED: "matched by layer",
    SetKind.NORM_MATCHED: "matched by norm",
}


def twin_name(threshold: float) -> str:
    """The name of the figure of one threshold, which no other has.

    >>> twin_name(0.4), twin_name(0.05)
    ('twin-4', 'twin-05')
    """
    return f"twin-{threshold:g}".replace("-0.", "-")


def twin_chart(found: AblationNumbers, threshold: float) -> LineChart:
    """The loss increase of the reference beside every draw of two random controls, at one threshold."""
    curves = []
    for kind in (SetKind.UNIVERSAL, *BANDS):
        values = tuple(found.twin(kind, threshold, label) for label in found.labels)
        band = tuple((m.details["draws_low"], m.details["draws_high"]) for m in values) if kind.is_random else ()
        curves.append(Series(_BAND_NAMES[kind], _BAND_MARKS[kind], values, band, _sizes(values)))
    return LineChart(
        twin_name(threshold), "",
        f"Loss increase without the neurons universal on average, threshold {threshold:g}", found.training,
        _QUANTITIES[Quantity.LOSS], "set", tuple(curves),
    )  # fmt: skip


def _twin(chart: LineChart, *, wide: bool = False) -> Figure:
    own, *random = [curve.values[-1] for curve in chart.curves]
    places = places_of([own])
    drawn = [
        f"{span([m.details['draws_low'], m.details['draws_high']], NATS, places)} in draws of {name}"
        for m, name in zip(random, ("as many others of every layer", "others of like norm"), strict=True)
    ]
    said = f"{chart.title}: {with_interval(own, places)} {chart.axis.said(-1)}, {listed(drawn)}."
    return line_figure(chart, code=_CODE + "twin_chart", caption=markdown(said), wide=wide)


def exceeding(found: AblationNumbers) -> Figure:
    """The standing of the loss increase of every model among its matched draws."""
    curves = tuple(
        Series(f"model {model}", mark, tuple(found.exceeding(model, label) for label in found.labels))
        for model, mark in _models(found).items()
    )
    chart = LineChart(
        "twin-models", "", "Loss increase beyond the draws, every model", found.training,
        "standard deviations above the mean of the draws", "model", curves,
    )  # fmt: skip
    ends = [m for curve in curves if not (m := curve.values[-1]).is_missing]
    above, below = sum(m.low > AboveDraws().bound for m in ends), sum(m.high < 0 for m in ends)
    caption = markdown(
        "The loss increase without the universal neurons of each model, in standard deviations above the mean "
        f"of as many others of the same layers: {at_the_end(chart)}. The interval lies above the others' 95th "
        f"percentile for {above} of {len(ends)} models there, and below their mean for {below}."
    )
    return line_figure(chart, code=_CODE + "exceeding", caption=caption, otherwise=_NONE)


def _models(found: AblationNumbers) -> dict[str, Mark]:
    """The mark of every model, the reference first."""
    models = references_of(found.suite, found.reference)
    return dict(zip(models, (OWN, *model_marks(len(models) - 1)), strict=True))


def dose(found: AblationNumbers) -> Figure:
    """The dose curve of the reference with its random orders as a band, and the other models' thinly beside it."""
    own = dose_curve(found.tables[found.reference, found.last], found.on_average)
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
    caption = markdown(
        f"KL divergence after ablating a growing share of the neurons universal on average, chosen in "
        f"{int(own['orders'].max())} random orders (band: their range, model {found.reference}), at "
        f"{found.last} of the training. "
        f"{axis.labels[half]} % of the neurons of model {found.reference} give {with_interval(values)}{ratio}."
    )
    return line_figure(chart, code=_CODE + "dose", caption=caption, wide=True, height=340)


def _dose_curve(found: AblationNumbers, model: str, mark: Mark, *, banded: bool = False) -> Series:
    table = found.tables[model, found.last]
    rows = dose_curve(table, found.on_average).to_dict("records")
    like = effect(table, found.on_average)
    values = tuple(
        replace(like, value=r["value"], low=r["low"], high=r["high"], details={"size": r["size"]}) for r in rows
    )
    band = tuple((float(r["orders_low"]), float(r["orders_high"])) for r in rows)
    return Series(f"model {model}", mark, values, band if banded else (), _sizes(values))


def readings(found: AblationNumbers) -> Figure:
    """The effect of the universal neurons and of every possible meaning of "non-universal"."""
    effects = found.readings()
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
        if (m := effects.get(kind)) is not None
    )  # fmt: skip
    own = effects[SetKind.UNIVERSAL]
    ratios = [
        f"{own.value / m.value:.2g} times that of {READINGS[kind]}"
        for kind, m in effects.items()
        if kind is not SetKind.UNIVERSAL and m.value > 0
    ]
    caption = markdown(
        f"KL divergence after ablating the neurons universal on average and every set that “non-universal” may "
        f"mean, in model {found.reference} at {found.last} of the training, on a logarithmic scale (number of neurons "
        f"in brackets; bars: range of the draws). The effect of the universal neurons, {with_interval(own)}, is "
        f"{listed(ratios)}."
    )
    return row_figure(
        RowChart(
            "sets", "", "KL divergence after ablating each kind of set", _QUANTITIES[Quantity.KL], rows, own.value,
            logarithmic=own.value > 0,
        ),
        code=_CODE + "readings", caption=caption,
    )  # fmt: skip
