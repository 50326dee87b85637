"""Figures 6 to 8 and 24 to 26 of Gurnee et al. 2024: what neurons do to predictions, entropy and attention.

All models of a suite at its last checkpoint; the numbers come from ``measures``, as for the claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from universal_neurons.errors import NotOnSuite
from universal_neurons.inputs.published import published_table
from universal_neurons.measures.attention import PATH_CORRELATIONS, Action, PathCorrelation, path_correlation
from universal_neurons.measures.attention import every_model as every_head
from universal_neurons.measures.entropy import CLAMPS, ClampedRole, clamp_curve
from universal_neurons.measures.entropy import every_model as every_last_layer
from universal_neurons.measures.predictions import (
    CALIBRATION,
    SharpRole,
    every_model,
    median_auc,
    role_share,
)
from universal_neurons.measures.study import models_of
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
    percent,
    row_figure,
)
from universal_neurons.render.figures.figure import Figure, FigureGroup, without_tables
from universal_neurons.render.figures.numbers import Numbers, settings_of
from universal_neurons.render.figures.style import OTHERS, OWN, PRINTED, Colour, Mark
from universal_neurons.render.figures.writing import (
    ROLE_MARKS,
    TOKENS_LABEL,
    RoleExample,
    own_tokens,
    role_examples,
)
from universal_neurons.render.formatting import count, decimal, listed, plural, with_interval

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from universal_neurons.measures.attention import AttentionTables
    from universal_neurons.measures.entropy import EntropyTables
    from universal_neurons.measures.predictions import Writing
    from universal_neurons.measures.profiles import NeuronProfiles
    from universal_neurons.stages.study import StoredStudy

_CODE = "render.figures.roles."
CLAMP_MARKS: dict[ClampedRole, tuple[str, Mark]] = {
    "candidate": ("candidate", OWN), "other": ("others of large norm", OTHERS),
    "planted": ("planted direction", Mark(Colour.BLUE, "D")),
}  # fmt: skip
ClampedColumn = Literal["entropy", "scale", "first_kept"]
CLAMPED: dict[ClampedColumn, tuple[str, str]] = {
    "entropy": ("Entropy where a last-layer neuron is set to a value", "change of entropy, nats"),
    "scale": ("Scale of the final layer norm where a last-layer neuron is set to a value", "scale, clean is 1"),
    "first_kept": ("Positions that keep their most probable token", "share of positions"),
}
PAIRS = dict(
    zip(PATH_CORRELATIONS, ("activation and attention", "attention and norm", "activation and norm"), strict=True)
)
FEW_MODELS = "an interval over models takes three of them."


@dataclass(frozen=True)
class Roles(Numbers):
    """The tables of all models at the last checkpoint, the reference first, and printed correlations of paths.

    ``examples``: the neuron of the reference that stands out most by each role.
    """

    writing: tuple[Writing, ...]
    profiles: tuple[NeuronProfiles, ...]
    examples: tuple[RoleExample, ...]
    entropy: tuple[EntropyTables, ...]
    attention: tuple[AttentionTables, ...]
    printed: Mapping[tuple[str, str], float]

    @property
    def said(self) -> str:
        """The models in words: all of the suite, whether or not they are taken as the reference."""
        names = (self.reference, *self.partners)
        return f"{plural(len(names), 'model')} {listed(names)}"


def printed_paths(root: Path) -> dict[tuple[str, str], float]:
    """The correlations of figures 8 and 26 by action and pair; raises PublishedError without them."""
    rows = published_table("gurnee2024.paths", root=root).rows
    return {(str(row.keys["action"]), str(row.keys["pair"])): row.value for row in rows}


def roles_of(study: StoredStudy, printed: Mapping[tuple[str, str], float]) -> Roles:
    """The numbers behind the figures; raises the study's own errors where an artifact is missing."""
    last = study.checkpoints[-1]
    writing = every_model(study, last)
    profiles = tuple(study.profiles(model=model) for model in models_of(study))
    return Roles(
        *settings_of(study),
        writing=writing,
        profiles=profiles,
        examples=role_examples(writing[0], profiles[0]),
        entropy=every_last_layer(study, last),
        attention=every_head(study, last),
        printed=printed,
    )


# The figures of each group and what they are called.
LAYERS_LABEL = "Figures 6 and 22 of the parent paper."
NEXT_LABEL = "Figure 24 of the parent paper."
CLAMPS_LABEL = "Figures 7 and 25 of the parent paper."
PATHS_LABEL = "Figures 8 and 26 of the parent paper."
GROUPS = {
    "own_tokens": dict.fromkeys(("parent-5-promotes", "parent-5-suppresses"), TOKENS_LABEL),
    "roles_by_layer": {"parent-6": LAYERS_LABEL},
    "next_tokens": {"parent-24": NEXT_LABEL},
    "clamps": {f"parent-7-{column.replace('_', '-')}": CLAMPS_LABEL for column in CLAMPED},
    "paths": {"parent-8": PATHS_LABEL},
}


def role_figures(found: Roles | None) -> dict[str, FigureGroup]:
    """All figures of what neurons do; left out in a first look."""
    if found is None:
        return without_tables(GROUPS)
    panels = tuple(_clamped(found, column) for column in CLAMPED)
    return {
        "own_tokens": own_tokens(found.writing, found.profiles, whose=found.said, last=found.last),
        "roles_by_layer": FigureGroup((roles_by_layer(found),)),
        "next_tokens": FigureGroup((next_tokens(found),)),
        "clamps": FigureGroup(tuple(_clamped_figure(found, chart) for chart in panels), keys(panels[0])),
        "paths": FigureGroup((paths(found),)),
    }


def roles_by_layer(found: Roles) -> Figure:
    """Figure 6: which share of each layer's neurons predict, suppress or part tokens."""
    layers = range(found.depth)
    axis = ChartAxis.of_layers(found.depth)
    curves = tuple(
        Series(f"{role} neurons", mark, tuple(role_share(found.writing, role, layer) for layer in layers))
        for role, mark in ROLE_MARKS.items()
    )
    chart = LineChart(
        "parent-6", LAYERS_LABEL, "Neurons by what they write into the vocabulary, by layer",
        axis, "neurons of the layer, %", "role", curves, (Rule(1 - CALIBRATION, "random directions"),),
    )  # fmt: skip
    last = curves[0].values[-1], curves[1].values[-1]
    caption = markdown(
        f"Share of the neurons of each layer that are prediction, suppression or partition neurons, "
        f"{found.said} together at {found.last} of the training; in the last layer {with_interval(last[0])} "
        f"predict and {with_interval(last[1])} suppress. Bars are intervals over neurons. Thresholds are the "
        f"{decimal(100 * CALIBRATION, 1)}th percentiles of random directions, of which {percent(1 - CALIBRATION)} "
        f"are above (dashed). The paper draws percentiles of kurtosis and skewness."
    )
    return line_figure(chart, code=_CODE + "roles_by_layer", caption=caption, wide=True, height=300)


def next_tokens(found: Roles) -> Figure:
    """Figure 24 as numbers: whether neurons are more active before the tokens that they promote or suppress."""
    label = NEXT_LABEL
    try:
        measured = {role: median_auc(found.writing, role) for role in get_args(SharpRole)}
        others = {role: median_auc(found.writing, role, matched=True) for role in get_args(SharpRole)}
    except NotOnSuite:
        return Figure.left_out("parent-24", "it needs four layers, a quarter of the depth each.", label=label)
    rows = tuple(
        ChartRow(
            f"{role} neurons", measured[role], ROLE_MARKS[role], ticks=(Tick(others[role].value, OTHERS),),
            columns=(("other tokens of the same frequency", others[role].value), ("above 0.5", m.details["share"])),
        )
        for role, m in measured.items()
        if not m.is_missing
    )  # fmt: skip
    if not rows:
        return Figure.left_out("parent-24", "no neuron of the last quarter of the layers predicts.", label=label)
    counted = listed(f"{count(m.n)} {role} neurons" for role, m in measured.items())
    caption = markdown(
        f"Whether a neuron is more active where the next token is one that it promotes or suppresses most: "
        f"area under the ROC curve, median over {counted} of the last quarter of the layers, {found.said} at "
        f"{found.last} of the training. Bars are intervals over neurons; grey squares: other tokens of the same "
        f"frequencies, the control. The paper shows five suppression neurons."
    )
    return row_figure(
        RowChart("parent-24", label, "Activation before a neuron’s own tokens", "area under the curve", rows, 0.5),
        code=_CODE + "next_tokens", caption=caption,
    )  # fmt: skip


def _clamped(found: Roles, column: ClampedColumn) -> LineChart:
    """One panel of figures 7 and 25."""
    title, quantity = CLAMPED[column]
    # Evenly spaced: two of the values lie so close that their marks would be cut.
    places = tuple(map(float, range(len(CLAMPS))))
    axis = ChartAxis("activation that is set", places, tuple(decimal(v, 2 if v < 0 else 0) for v in CLAMPS))
    curves = tuple(
        Series(called, mark, clamp_curve(found.entropy, role, column)) for role, (called, mark) in CLAMP_MARKS.items()
    )
    name, label = f"parent-7-{column.replace('_', '-')}", CLAMPS_LABEL
    return LineChart(name, label, title, axis, quantity, "neuron", curves)


def _clamped_figure(found: Roles, chart: LineChart) -> Figure:
    highest = [with_interval(curve.values[-1]) for curve in chart.curves]
    caption = markdown(
        f"{chart.title}: mean over the {found.said} at {found.last} of the training, intervals over models. At "
        f"{chart.axis.labels[-1]}: {highest[0]} (the candidate: of large norm the one with the least variance of "
        f"logits), {highest[1]} (the control, other neurons of large norm), {highest[2]} (a direction planted in "
        f"the null space of the unembedding)."
    )
    return line_figure(chart, code=_CODE + "role_figures", caption=caption, otherwise=FEW_MODELS)


def paths(found: Roles) -> Figure:
    """Figures 8 and 26 as numbers: three correlations of taking a neuron out of a head's query."""
    label = PATHS_LABEL
    rows = tuple(_path_row(found, action, pair) for action in get_args(Action) for pair in PAIRS)
    if all(row.value.is_missing for row in rows):
        return Figure.left_out(
            "parent-8", "it needs three models with heads that rest on the first position.", label=label
        )
    caption = markdown(
        f"A neuron is taken out of a head’s query alone: correlations over tokens of its activation, the change of "
        f"the head’s attention to the first position, and the change of the norm of what the head writes. Of the "
        f"neuron with the largest score for each head that rests on the first position (off), and with "
        f"the smallest (on); mean over heads and over the {found.said} at {found.last} of the training: "
        f"activation and attention {listed(with_interval(row.value) for row in rows[:: len(PAIRS)])}. "
        f"Intervals over models; grey squares: a random neuron of the same layer, the control; diamonds: the "
        f"examples of the paper, in GPT-2 Medium."
    )
    return row_figure(
        RowChart("parent-8", label, "Neurons that turn heads off and on", "correlation over tokens", rows, 0.0),
        code=_CODE + "paths", caption=caption,
    )  # fmt: skip


def _path_row(found: Roles, action: Action, pair: PathCorrelation) -> ChartRow:
    m = path_correlation(found.attention, action, "scored", pair)
    other = path_correlation(found.attention, action, "matched", pair)
    printed = found.printed[action, PAIRS[pair]]
    return ChartRow(
        f"{'off' if action == 'deactivation' else 'on'}: {PAIRS[pair]}", m, OWN,
        ticks=(Tick(other.value, OTHERS), Tick(printed, PRINTED)),
        columns=(("random neuron of the layer", other.value), ("printed example", printed)),
    )  # fmt: skip
