"""Figures 5 and 23 of Gurnee et al. 2024: what neurons of each role write to their own tokens, and an example of each.

The paper draws the logits of single neurons over the whole vocabulary.  Evidence has the moments of that distribution
and its two ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from universal_neurons.measures.predictions import WritingRole, median_cosine
from universal_neurons.render.escaping import markdown
from universal_neurons.render.figures.charts import (
    ChartAxis,
    LineChart,
    Series,
    keys,
    line_figure,
)
from universal_neurons.render.figures.figure import Figure, FigureGroup
from universal_neurons.render.figures.style import OTHERS, OWN, Colour, Mark
from universal_neurons.render.formatting import count, decimal, listed, with_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.measures.arrays import Floats
    from universal_neurons.measures.predictions import Writing
    from universal_neurons.measures.profiles import NeuronProfiles

_CODE = "render.figures.writing."
TOKENS_LABEL = "Figures 5 and 23 of the parent paper."
ROLE_MARKS: dict[WritingRole, Mark] = {
    "prediction": OWN, "suppression": Mark(Colour.VERMILION, "s"), "partition": Mark(Colour.GREEN, "^"),
}  # fmt: skip
# The groups of neurons, those without a role last.
GROUPS: dict[WritingRole | None, tuple[str, Mark]] = {
    **{role: (f"{role} neurons", mark) for role, mark in ROLE_MARKS.items()}, None: ("without a role", OTHERS),
}  # fmt: skip
VocabularyEnd = Literal["promotes", "suppresses"]
GAUSSIAN_KURTOSIS = 3


@dataclass(frozen=True)
class RoleExample:
    """The neuron of a model that stands out most by its role, its moments over the vocabulary and its tokens' ids."""

    role: WritingRole
    layer: int
    neuron: int
    kurtosis: float
    skewness: float
    variance: float
    promoted: tuple[int, ...]
    suppressed: tuple[int, ...]


def role_examples(one: Writing, profiles: NeuronProfiles) -> tuple[RoleExample, ...]:
    """Of each role that a neuron has the one with the largest kurtosis, of partition neurons the largest variance."""
    neuron = profiles.frame["neuron"].to_numpy()
    found = []
    for role in get_args(WritingRole):
        rows = np.flatnonzero(one.role(role))
        if rows.size:
            row = int(rows[np.argmax((one.variance if role == "partition" else one.kurtosis)[rows])])
            found.append(
                RoleExample(
                    role, int(one.layer[row]), int(neuron[row]), float(one.kurtosis[row]), float(one.skewness[row]),
                    float(one.variance[row]), promoted=tuple(map(int, profiles.promoted_token[row])),
                    suppressed=tuple(map(int, profiles.suppressed_token[row])),
                )
            )  # fmt: skip
    return tuple(found)


def own_tokens(
    models: tuple[Writing, ...], profiles: Sequence[NeuronProfiles], *, whose: str, last: str
) -> FigureGroup:
    """Figures 5 and 23: cosines with the tokens at both ends of each neuron's vocabulary, by role.

    ``whose`` names the models, ``last`` their checkpoint.
    """
    charts = [_tokens_chart(models, profiles, end) for end in get_args(VocabularyEnd)]
    figures = tuple(_tokens_figure(models, chart, f"{whose} at {last} of the training") for chart in charts)
    return FigureGroup(figures, keys(charts[0]))


def _tokens_chart(models: tuple[Writing, ...], profiles: Sequence[NeuronProfiles], end: VocabularyEnd) -> LineChart:
    of_model = [one.promoted_cosine if end == "promotes" else one.suppressed_cosine for one in profiles]
    cosines: tuple[Floats, ...] = tuple(values.astype(np.float64) for values in of_model)
    ranks = range(cosines[0].shape[1])
    axis = ChartAxis("rank of the token", tuple(map(float, ranks)), tuple(str(rank + 1) for rank in ranks), "at rank")
    curves = tuple(
        Series(name, mark, tuple(median_cosine(models, cosines, role, rank) for rank in ranks))
        for role, (name, mark) in GROUPS.items()
    )
    return LineChart(
        f"parent-5-{end}", TOKENS_LABEL, f"Tokens that a neuron {end} most", axis,
        "cosine with the token", "role", curves,
    )  # fmt: skip


def _tokens_figure(models: tuple[Writing, ...], chart: LineChart, whose: str) -> Figure:
    kurtosis = {
        role: np.concatenate([one.kurtosis[one.role(role)] for one in models]).astype(np.float64) for role in GROUPS
    }
    named = {role: name for role, (name, _) in GROUPS.items() if role is not None}
    first = [(name, curve.values[0]) for name, curve in zip(named.values(), chart.curves, strict=False)]
    said = listed(f"{with_interval(m)} ({name})" for name, m in first if not m.is_missing)
    tails = listed(f"{decimal(float(np.median(kurtosis[role])), 1)}" for role in GROUPS if kurtosis[role].size)
    caption = markdown(
        f"{chart.title}: cosine with its output weights, median over "
        f"{listed(f'{count(len(kurtosis[role]))} {name}' for role, name in named.items())} of the {whose}. At rank "
        f"{chart.axis.labels[0]}: {said}. Bars are intervals over neurons; grey: the "
        f"{count(len(kurtosis[None]))} neurons without a role, the control. Over all tokens the median kurtosis is "
        f"{tails}, in this order; a Gaussian has {GAUSSIAN_KURTOSIS}. The paper draws single neurons."
    )
    return line_figure(chart, code=_CODE + "own_tokens", caption=caption, otherwise="too few neurons have a role.")
