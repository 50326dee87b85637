"""Dependence on the text: the share of universal neurons on other texts, and how many of them are the same.

The numbers come from ``measures.texts``, as for the claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.errors import NotOnSuite
from universal_neurons.measures.pooled import pooled_growth, pooled_share
from universal_neurons.measures.texts import overlap_beyond_ceiling, text_pairs
from universal_neurons.render.escaping import markdown
from universal_neurons.render.figures.charts import ChartRow, RowChart, percent, row_figure
from universal_neurons.render.figures.figure import Figure, FigureGroup
from universal_neurons.render.figures.style import OWN
from universal_neurons.render.formatting import count, decimal, listed

if TYPE_CHECKING:
    from universal_neurons.measurement import Measurement
    from universal_neurons.stages.study import StoredStudy

_CODE = "render.figures.texts."
_NAMES = {"other_rows": "other rows of the same text", "other_python": "other Python", "english": "English"}
_OVER = "Pairs of the reference; bars are intervals over its partners."
_WHY = "it compares texts, and this suite has only one, or too few models."


@dataclass(frozen=True)
class OnText:
    """One text: the share there, its change from the suite's text, and the overlap beyond what halves differ in."""

    name: str
    share: Measurement
    change: Measurement
    overlap: Measurement


def on_texts(study: StoredStudy) -> tuple[OnText, ...]:
    """The numbers of every text of the suite; none where it has too few models to leave out in turn."""
    threshold, last = study.suite.universality.threshold, study.checkpoints[-1]
    rows = []
    for text in study.suite.variants.texts:
        pairs = text_pairs(study, text, last)
        try:
            share = pooled_share({pair: (there,) for pair, (_, there) in pairs.items()}, threshold)
            rows.append(OnText(text, share, pooled_growth(pairs, threshold), overlap_beyond_ceiling(pairs, threshold)))
        except NotOnSuite:
            return ()
    return tuple(rows)


def text_figures(found: tuple[OnText, ...], *, tokens: int, threshold: float, last: str) -> dict[str, FigureGroup]:
    """The figures about texts, left out where the suite has no other text."""
    where = f"{count(tokens)} tokens of each text, {last} of the training, threshold {decimal(threshold, 1)}"
    figures = {"texts_share": texts_share(found, where), "texts_overlap": texts_overlap(found, where)}
    return {name: FigureGroup((one,)) for name, one in figures.items()}


def texts_share(found: tuple[OnText, ...], where: str) -> Figure:
    """The change of the share from the suite's text to every other."""
    if not found:
        return Figure.left_out("texts-share", _WHY)
    rows = tuple(ChartRow(_named(one), one.change, OWN, columns=(("share", one.share.value),)) for one in found)
    shares = listed(f"{percent(one.share.value, 2)} on {_named(one)}" for one in found)
    caption = (
        f"Share of universal neurons on other texts minus the share on the suite's text ({where}): {shares}. {_OVER}"
    )
    return row_figure(
        RowChart(
            "texts-share", "", "Share of universal neurons on other texts", "difference, percentage points", rows, 0.0
        ),
        code=_CODE + "texts_share", caption=markdown(caption),
    )  # fmt: skip


def texts_overlap(found: tuple[OnText, ...], where: str) -> Figure:
    """The overlap of universal neurons of two texts minus the overlap of the halves of one, for every other text."""
    if not found:
        return Figure.left_out("texts-overlap", _WHY)
    names = ("overlap", "first", "second", "chance")
    titles = ("overlap", "halves of the suite's text", "halves of the other text", "by chance")
    rows = tuple(
        ChartRow(
            _named(one), one.overlap, OWN,
            columns=tuple((title, one.overlap.details[name]) for title, name in zip(titles, names, strict=True)
                          if name in one.overlap.details),
        )
        for one in found
    )  # fmt: skip
    said = listed(
        f"{percent(one.overlap.details['overlap'], 0)} with {_named(one)} where halves of one text share "
        f"{percent(one.overlap.details['within'], 0)}"
        for one in found
        if not one.overlap.is_missing
    )
    caption = (
        f"Overlap of the universal neurons of the suite's text and of another, minus the overlap of the two halves of "
        f"one text ({where}; half of the tokens in each set, share of the smaller set): {said}. {_OVER}"
    )
    return row_figure(
        RowChart(
            "texts-overlap", "", "Overlap of the universal neurons of two texts", "difference, percentage points", rows,
            0.0,
        ),
        code=_CODE + "texts_overlap", caption=markdown(caption),
    )  # fmt: skip


def _named(one: OnText) -> str:
    return _NAMES.get(one.name, one.name.replace("_", " "))
