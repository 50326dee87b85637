"""Figures 4 and 15 to 21 of Gurnee et al. 2024: families of neurons, at the last checkpoint of a suite.

The paper shows examples of neurons; these are the numbers of all of them, beside other neurons and beside labels of
other rows.  Who is of a family is what the claim about it says (measures.families.is_member).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.measurement import Over
from universal_neurons.measures.distributions import share_among, shares_by_bin, shares_by_layer
from universal_neurons.measures.families import (
    ANY,
    CARRIED,
    EXPLAINED,
    LETTERS,
    Explanations,
    explanations,
    is_member,
    letter_flags,
    universal_neurons,
)
from universal_neurons.render.escaping import markdown
from universal_neurons.render.figures.charts import (
    ChartAxis,
    ChartRow,
    LineChart,
    RowChart,
    Series,
    Tick,
    keys,
    line_figure,
    percent,
    row_figure,
    universal_and_others,
)
from universal_neurons.render.figures.figure import Figure, FigureGroup, without_tables
from universal_neurons.render.figures.numbers import Numbers, references_of, settings_of
from universal_neurons.render.figures.properties import NEAR, NONE
from universal_neurons.render.figures.style import OTHERS, OWN, Colour, Mark
from universal_neurons.render.formatting import decimal, listed, with_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.arrays import Flags, Floats
    from universal_neurons.stages.study import StoredStudy

_CODE = "render.figures.families."
ELSEWHERE = Mark(Colour.BLUE, "^", dashed=True)
# Edges of the bins of correlations within a model.
CORRELATIONS = np.linspace(0.0, 1.0, 11)
# The figures of neurons by layer: the family, and which of its neurons are meant.
BY_LAYER: dict[str, tuple[str, str]] = {
    "parent-16": ("unigram", "neurons of one token"),
    "parent-18": ("previous", "neurons of the token before"),
    "parent-19": ("position", "neurons of the position"),
    "parent-20": ("syntax", "neurons of syntax beyond the token"),
    "parent-21": ("domain", "neurons of the domain"),
}


@dataclass(frozen=True)
class FamilyNumbers(Numbers):
    """The explanations of all neurons of every model at the last checkpoint, and who of them is universal.

    ``nearest`` is the largest correlation of a neuron (neuron,) with another one of its model.
    """

    tables: Mapping[str, Explanations]
    universal: Mapping[str, Flags]
    nearest: Mapping[str, Floats]

    @property
    def families(self) -> tuple[str, ...]:
        """The families of the suite's labels."""
        return next(iter(self.tables.values())).families


def families_of(study: StoredStudy) -> FamilyNumbers:
    """The numbers behind the figures; raises the study's own errors where an artifact is missing."""
    last, threshold = study.checkpoints[-1], study.suite.universality.threshold
    models = references_of(study.suite, study.reference)
    nearest = {name: study.table("duplicates", model=name, checkpoint=last)["correlation"] for name in models}
    return FamilyNumbers(
        *settings_of(study),
        tables={name: explanations(study, last, name) for name in models},
        universal={name: universal_neurons(study, last, threshold, name) for name in models},
        nearest={name: column.to_numpy(dtype=np.float64) for name, column in nearest.items()},
    )


# The figures of each group.
GROUPS = {
    "families": ("parent-4",), "duplicated": ("parent-15",), "families_by_layer": tuple(BY_LAYER),
    "alphabet": ("parent-17",),
}  # fmt: skip


def families_figures(found: FamilyNumbers | None) -> dict[str, FigureGroup]:
    """All figures of families; left out in a first look."""
    if found is None:
        return without_tables({group: {name: _label(name) for name in names} for group, names in GROUPS.items()})
    charts = [by_layer(found, name) for name in BY_LAYER if BY_LAYER[name][0] in found.families]
    absent = [
        Figure.left_out(name, f"the labels of the suite have no {family}.", label=_label(name))
        for name, (family, _) in BY_LAYER.items()
        if family not in found.families
    ]
    drawn = [line_figure(one, code=_CODE + "by_layer", otherwise=NONE) for one in charts]
    return {
        "families": FigureGroup((explained(found),)),
        "duplicated": FigureGroup((duplicated(found),)),
        "families_by_layer": FigureGroup((*drawn, *absent), keys(charts[0]) if charts else ()),
        "alphabet": FigureGroup((alphabet(found),)),
    }


def _label(name: str) -> str:
    return f"Figure {name.removeprefix('parent-')} of the parent paper."


def _pooled(found: FamilyNumbers, chosen: Mapping[str, Flags]) -> tuple[Flags, Flags]:
    """The chosen neurons of all models, and who of them is universal."""
    return np.concatenate([*chosen.values()]), np.concatenate([found.universal[name] for name in chosen])


def explained(found: FamilyNumbers) -> Figure:
    """Figure 4 as numbers: the share of universal neurons that the best label of each family explains."""
    rows = []
    for family in (ANY, *found.families):
        chosen, universal = _pooled(found, {name: one.score(family) > EXPLAINED for name, one in found.tables.items()})
        again, _ = _pooled(found, {name: one.elsewhere(family) > EXPLAINED for name, one in found.tables.items()})
        others = share_among(chosen, ~universal, level=found.level)
        control = share_among(again, universal, level=found.level)
        rows.append(
            ChartRow(
                "any family" if family == ANY else family, share_among(chosen, universal, level=found.level), OWN,
                ticks=(Tick(others.value, OTHERS), Tick(control.value, ELSEWHERE)),
                columns=(("others", 100 * others.value), ("labels of other rows", 100 * control.value)),
            )
        )  # fmt: skip
    if rows[0].value.is_missing:
        return Figure.left_out("parent-4", NONE, label=_label("parent-4"))
    caption = markdown(
        f"Share of the neurons universal on average (mean excess above {decimal(found.threshold, 1)}) of which the "
        f"best label of a family explains more than half of the variance, on tokens that did not choose it; "
        f"{found.models} at {found.last} of the training. Any label explains {with_interval(rows[0].value)}. Grey "
        "squares: all other neurons. Blue triangles: universal neurons with the labels of other rows, as a "
        "control. Bars are intervals over neurons."
    )
    return row_figure(
        RowChart("parent-4", _label("parent-4"), "Universal neurons explained by each family of labels",
                 "explained, % of universal neurons", tuple(rows)),
        code=_CODE + "explained", caption=caption,
    )  # fmt: skip


def duplicated(found: FamilyNumbers) -> Figure:
    """Figure 15 as numbers: neurons by their largest correlation with another neuron of their model."""
    values, universal = np.concatenate([*found.nearest.values()]), np.concatenate([*found.universal.values()])
    shares = (shares_by_bin(values[chosen], CORRELATIONS, level=found.level) for chosen in (universal, ~universal))
    chart = LineChart(
        "parent-15", _label("parent-15"), "Neurons by their correlation with another neuron of their model",
        ChartAxis.of_bins("largest correlation", CORRELATIONS), "neurons of the set, %", "set",
        universal_and_others(*shares),
    )  # fmt: skip
    near = [
        shares_by_bin(values[chosen], np.array([NEAR, 1.0]), level=found.level)[0] for chosen in (universal, ~universal)
    ]
    caption = markdown(
        f"{chart.title}, {found.models} at {found.last}. Above {decimal(NEAR, 1)} are {with_interval(near[0])} of "
        f"the neurons universal on average, and {with_interval(near[1])} of all others. Bars are intervals over "
        "neurons."
    )
    return line_figure(chart, code=_CODE + "duplicated", caption=caption, wide=True, height=280, otherwise=NONE)


def by_layer(found: FamilyNumbers, name: str) -> LineChart:
    """The share of each layer's neurons that are of a family: universal ones, all others, and by other rows' labels."""
    family, what = BY_LAYER[name]

    def shares(*, universal: bool | None, elsewhere: bool = False) -> tuple[Measurement, ...]:
        among = {
            model: np.ones(len(flags), dtype=np.bool_) if universal is None else flags == universal
            for model, flags in found.universal.items()
        }
        models = [
            (one.layer, is_member(one, family, elsewhere=elsewhere), among[model])
            for model, one in found.tables.items()
        ]
        return shares_by_layer(models, depth=found.depth, level=found.level)

    curves = (
        *universal_and_others(shares(universal=True), shares(universal=False)),
        Series("all neurons, labels of other rows", ELSEWHERE, shares(universal=None, elsewhere=True)),
    )
    layers = ChartAxis.of_layers(found.depth)
    title = f"{what[0].upper()}{what[1:]}, {found.models} at {found.last}"
    return LineChart(name, _label(name), title, layers, "neurons of the layer, %", "set", curves)


def alphabet(found: FamilyNumbers) -> Figure:
    """Figure 17 as numbers: in how many of the models a universal neuron carries each letter."""
    every = np.stack([letter_flags(one, found.universal[name]) for name, one in found.tables.items()])
    others = np.stack([letter_flags(one, ~found.universal[name]) for name, one in found.tables.items()])
    models = np.ones(len(every), dtype=np.bool_)
    rows = tuple(
        ChartRow(
            letter, share_among(every[:, at], models, level=found.level, over=Over.MODELS), OWN,
            ticks=(Tick(float(others[:, at].mean()), OTHERS),),
            columns=(("another neuron", 100 * float(others[:, at].mean())),),
        )
        for at, letter in enumerate(LETTERS)
    )  # fmt: skip
    counts = listed(f"{one.sum()} ({name})" for name, one in zip(found.tables, every, strict=True))
    caption = markdown(
        f"Share of the models in which a neuron that is universal on average carries a letter (its unigram "
        f"explains more than {percent(CARRIED, 0)} of its variance); {found.models} at {found.last}. Letters "
        f"by model: {counts} of {len(LETTERS)}. Grey squares: a neuron that is not universal does. Bars "
        "are intervals over models."
    )
    return row_figure(
        RowChart("parent-17", _label("parent-17"), "Letters that a universal neuron carries", "models, %", rows),
        code=_CODE + "alphabet", caption=caption,
    )  # fmt: skip
