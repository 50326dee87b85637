"""Table 1 under other choices of mask, padding, rotation, draws and tokens: numbers and figures.

The numbers come from ``measures.robustness``, as for the claims.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.robustness import SUITE, table_one_under, token_convergence
from universal_neurons.render.escaping import markdown
from universal_neurons.render.figures.charts import (
    ChartAxis,
    ChartRow,
    LineChart,
    RowChart,
    Rule,
    Series,
    finite,
    line_figure,
    percent,
    row_figure,
)
from universal_neurons.render.figures.figure import Figure, FigureGroup
from universal_neurons.render.figures.numbers import Numbers, settings_of
from universal_neurons.render.figures.style import OWN
from universal_neurons.render.figures.texts import OnText, on_texts, text_figures
from universal_neurons.render.formatting import PERCENT, count, decimal, listed, plural
from universal_neurons.render.tables import Column, DataTable

if TYPE_CHECKING:
    import pandas as pd

    from universal_neurons.stages.study import StoredStudy


@dataclass(frozen=True)
class Robustness(Numbers):
    """Table 1 under every variant and the convergence with tokens, in the columns of ``measures.robustness``.

    ``neurons``: the number of neurons of a model.  ``texts``: the numbers of every other text.
    """

    table: pd.DataFrame
    convergence: pd.DataFrame
    neurons: int
    texts: tuple[OnText, ...]


def robustness_results(study: StoredStudy) -> Robustness:
    """All numbers about robustness; raises the study's ArtifactMissing where the variants were not computed."""
    spec, last = study.suite.universality, study.checkpoints[-1]
    table = table_one_under(study, spec.thresholds, study.checkpoints)
    convergence = token_convergence(study, checkpoint=last, threshold=spec.threshold)
    neurons = len(study.universality(partner=study.partners()[0], checkpoint=last).frame)
    return Robustness(*settings_of(study), table, convergence, neurons, on_texts(study))


POINTS = "points"
_CODE = "render.figures.robustness."
_CHOICES = ("mask", "padding", "rotation", "draws")
_NAMES = {
    "mask:published": "mask: the paper’s",
    "mask:published-first": "mask: the paper’s and first positions",
    "mask:special-only": "mask: special tokens only",
    "mask:all": "mask: none",
    "padding:published": "padding counted",
    "padding:dropped": "padding not counted",
    "rotation:orthogonal": "rotation: orthogonal",
    "rotation:whitened": "rotation: whitened",
}


def robustness_figures(found: Robustness) -> dict[str, FigureGroup]:
    """All figures about robustness."""
    return {
        "variants": FigureGroup((variants(found),)),
        "tokens": FigureGroup((tokens(found),)),
        **text_figures(found.texts, tokens=found.suite.corpus.tokens, threshold=found.threshold, last=found.last),
    }


def variant_name(variant: str) -> str:
    """A variant in the words of a reader.

    >>> variant_name("tokens:20000").replace("\\u202f", " "), variant_name("draws:1")
    ('20 000 tokens', 'baseline of 1 draw')
    """
    choice, _, value = variant.partition(":")
    if choice == "tokens":
        return f"{count(int(value))} tokens"
    if choice == "draws":
        return f"baseline of {plural(int(value), 'draw')}"
    return _NAMES.get(variant, variant.replace(":", ": "))


def table_one_variants(found: Robustness) -> DataTable:
    """Table 1 under every variant: share, difference and overlap of the sets, one row per variant and cell."""
    rows = tuple(
        (
            "as computed" if row["variant"] == SUITE else variant_name(str(row["variant"])),
            decimal(row["threshold"], 1), str(row["checkpoint"]), row["share"] * PERCENT,
            *(_points(row[name]) for name in ("difference", "low", "high")), finite(row["jaccard"]),
        )
        for row in found.table.to_dict("records")
    )  # fmt: skip
    columns = (
        Column("variant"), Column("threshold"), Column("checkpoint"), Column("share, %", 2),
        Column("difference, points", 2), Column("low", 2), Column("high", 2), Column("overlap of the sets", 2),
    )  # fmt: skip
    return DataTable("Table 1 under other choices", columns, rows, row_headers=3)


def _points(value: float) -> float | None:
    return value * PERCENT if math.isfinite(value) else None


def _difference(found: Robustness, row: dict[Any, Any]) -> Measurement:
    """The change of the share in percentage points."""
    if not math.isfinite(row["low"]):
        return Measurement.missing(n=found.neurons, over=Over.NEURONS, unit=POINTS)
    low, value, high = (float(row[name]) * PERCENT for name in ("low", "difference", "high"))
    return Measurement(value, min(low, value), max(high, value), found.neurons, Over.NEURONS, found.level, POINTS)


def _at_the_end(found: Robustness) -> list[dict[Any, Any]]:
    table = found.table
    kept = table[(table["checkpoint"] == found.last) & (table["threshold"] == found.threshold)]
    return [dict(row) for row in kept.to_dict("records")]


def variants(found: Robustness) -> Figure:
    """The change of one share of table 1 under every other choice, with the whole table as data; left out if none."""
    ends = _at_the_end(found)
    own = next(row for row in ends if row["variant"] == SUITE)
    shown = [r for r in ends if str(r["variant"]).partition(":")[0] in _CHOICES]
    if not shown:
        return Figure.left_out("variants", "it compares other choices, and this suite computes none.")
    rows = tuple(
        ChartRow(
            variant_name(str(r["variant"])), _difference(found, r), OWN,
        )
        for r in shown
    )  # fmt: skip
    biggest = sorted(shown, key=lambda r: -abs(r["difference"]))[:2]
    said = [
        f"{'+' if r['difference'] > 0 else ''}{decimal(r['difference'] * PERCENT, 2)} points "
        f"({variant_name(str(r['variant']))})"
        for r in biggest
    ]
    caption = markdown(
        f"Change of table 1 under choices that the paper does not justify: difference from our share "
        f"({percent(own['share'], 2)}) at {found.last} of the training and threshold "
        f"{decimal(found.threshold, 1)}, intervals over neurons. The largest changes: {listed(said)}. The table "
        "has every threshold and checkpoint."
    )
    figure = row_figure(
        RowChart(
            "variants", "", "Difference from table 1 under other choices", "difference, percentage points", rows, 0.0
        ),
        code=_CODE + "variants", caption=caption,
    )  # fmt: skip
    return replace(figure, data=table_one_variants(found))


def tokens(found: Robustness) -> Figure:
    """The share by the number of tokens that it is measured on; left out where the suite has no smaller number."""
    if len(found.convergence) < 2:
        return Figure.left_out("tokens", "it compares numbers of tokens, and this suite has only one.")
    rows = found.convergence.to_dict("records")
    whole = float(rows[-1]["share"])
    values = tuple(
        Measurement(
            r["share"], *_around(r), found.neurons, Over.NEURONS, found.level, "share",
        )
        for r in rows
    )  # fmt: skip
    axis = ChartAxis(
        "scored tokens", tuple(math.log10(r["tokens"]) for r in rows), tuple(count(int(r["tokens"])) for r in rows)
    )
    columns = (
        ("error of the excess", tuple(float(r["excess_error"]) for r in rows)),
        ("overlap of the sets", tuple(float(r["jaccard"]) for r in rows)),
    )
    chart = LineChart(
        "tokens", "", "Share of universal neurons by the number of tokens", axis, "universal neurons, % of all",
        "share", (Series("our share", OWN, values, columns=columns),),
        (Rule(whole, "all our tokens"),),
    )  # fmt: skip
    fewest = rows[0]
    caption = markdown(
        f"Share of universal neurons by the number of scored tokens (logarithmic axis; {found.last} of the "
        f"training, threshold {decimal(found.threshold, 1)}): {percent(fewest['share'], 2)} from {axis.labels[0]} "
        f"tokens, {percent(whole, 2)} from {axis.labels[-1]}. Intervals are of the difference from all tokens, "
        f"over neurons. With {axis.labels[0]} tokens the excess of a neuron is off by "
        f"{decimal(fewest['excess_error'], 3)} (root mean square){_common(fewest['jaccard'])}."
    )
    return line_figure(chart, code=_CODE + "tokens", caption=caption, wide=True, height=280)


def _common(jaccard: float) -> str:
    """The overlap of the two sets of universal neurons, in words; neither has any if it is undefined."""
    if not math.isfinite(jaccard):
        return ", and neither calls any neuron universal"
    return f", and {percent(jaccard, 0)} of the neurons that either calls universal are common to both"


def _around(row: dict[Any, Any]) -> tuple[float, float]:
    """The interval of the difference, moved to the share; none for the whole."""
    if not math.isfinite(row["low"]):
        return row["share"], row["share"]
    offset = row["share"] - row["difference"]
    return min(row["low"] + offset, row["share"]), max(row["high"] + offset, row["share"])
