"""The page "The paper, rebuilt": table 1, figures 1 to 20 of Nandan et al. 2025 v1, and figures it lacks.

The page fixes the order and labels of the figures and the claims that judge them.  A build without one of the figures
in :data:`REQUIRED` fails.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from universal_neurons.render.escaping import Html, Markdown, markdown, raw_html
from universal_neurons.render.figures.ablation import AblationFigures, ablation_figures
from universal_neurons.render.figures.emergence import layer_heat_map, partner_lines, reading_lines, threshold_curves
from universal_neurons.render.figures.figure import Figure, Sources, judged_links, side_by_side
from universal_neurons.render.figures.persistence import PersistenceFigures, in_words, persistence_figures
from universal_neurons.render.figures.robustness import RobustnessFigures, robustness_figures
from universal_neurons.render.formatting import count, decimal, listed, plural, with_interval
from universal_neurons.render.listings import drawing
from universal_neurons.render.pages.table_one import pairs_data, table_one
from universal_neurons.render.tables import Column, DataTable
from universal_neurons.render.template_lines import expression_line, location
from universal_neurons.render.templates import TemplateWrong, known

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from universal_neurons.render.figures.persistence import Persistence
    from universal_neurons.render.listings import Listing
    from universal_neurons.render.results import Results

# Which claims judge what a figure shows, in the order of the page; ours are lettered in this order.
CLAIMS: Mapping[str, tuple[str, ...]] = {
    "partners": ("N2", "N3", "N5"),
    "thresholds": ("N4",),
    "readings": ("N1",),
    "layers": ("N6",),
    "paper-1": ("N7", "N8", "N9", "N12", "N22", "V3"),
    "paper-3": ("N7", "N10", "N11"),
    "paper-4": ("N8", "N9", "N12"),
    "paper-5": ("N8", "N9", "N11", "N12"),
    "paper-6": ("N8", "N9", "N10", "N12"),
    "ceiling": ("N7", "V6", "F4"),
    "paper-2": ("N14", "N19"),
    "paper-7": ("N15", "N20"),
    "paper-8": ("N15", "N19"),
    "twin-4": ("V2", "V4"),
    "twin-5": ("V2", "V4", "V7"),
    "twin-6": ("V2", "V4"),
    "twin-models": ("V2", "V4"),
    "sets": ("N14", "N19", "N20"),
    "dose": ("N20",),
    "paper-9": ("N17", "N18"),
    "paper-10": ("N17",),
    "paper-11": ("N17", "N18"),
    "paper-12": ("N17",),
    **{f"paper-{number}": ("N16",) for number in range(13, 21)},
    "variants": ("F2", "F2-rotation", "F7", "F7-padding"),
    "tokens": ("F8",),
}
TABLE_ONE = "tbl-paper-1"
TABLE_CSV, PAIRS_CSV = "data/table-one.csv", "data/table-one-pairs.csv"
TABLE_ONE_CODE = "measures.universality.definition_share"
TABLE_ONE_CLAIMS = ("N1", "N2", "N3", "N4", "N5")
# The figures and the table that the page must contain.
REQUIRED = (
    TABLE_ONE,
    *(f"fig-paper-{number}" for number in range(1, 21)),
    *(f"fig-{name}" for name in ("layers", "readings", "ceiling", "sets", "dose", "variants", "tokens", "twin-models")),
)


# The figures that stand side by side, by the name under which the template shows them together.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "by_layer": ("paper-3", "paper-4", "paper-5", "paper-6"),
    "losses": ("paper-7", "paper-8"),
    "twins": ("twin-4", "twin-5", "twin-6", "twin-models"),
    "layers": ("paper-9", "paper-10", "paper-11", "paper-12"),
    "lower": ("paper-13", "paper-14", "paper-15", "paper-16"),
    "higher": ("paper-17", "paper-18", "paper-19", "paper-20"),
}
# The ids of the page's table and figures from its top to its bottom.
ORDER = (TABLE_ONE, *(f"fig-{name}" for name in CLAIMS))


def expression_of(anchor: str) -> str:
    """The template expression that shows the figure or table ``anchor``.

    >>> expression_of("fig-paper-14"), expression_of("fig-dose"), expression_of("tbl-paper-1")
    ('groups.lower', 'figures.dose', 'table_one')
    """
    name = anchor.removeprefix("fig-")
    group = next((group for group, names in GROUPS.items() if name in names), None)
    if anchor == TABLE_ONE:
        return "table_one"
    return f"groups.{group}" if group else f"figures.{name.replace('-', '_')}"


def check_figures(template: Path, page: str, required: Collection[str] = REQUIRED) -> None:
    """Raise TemplateWrong if the generated ``page`` lacks one of the ``required`` figures.

    The message names the line of the page's ``template`` below which it belongs.
    """
    for anchor in (one for one in required if f'id="{one}"' not in page):
        before = [expression_of(one) for one in ORDER[: ORDER.index(anchor)]] if anchor in ORDER else []
        lines = [line for one in before if one != expression_of(anchor) and (line := expression_line(template, one))]
        raise TemplateWrong(
            f"{location(template, max(lines, default=None))}: the figure or table {anchor} is missing; "
            f"expected << {expression_of(anchor)} >> below this line"
        )


@dataclass(frozen=True)
class PaperFigures:
    """The figures of the page, grouped as their sections show them."""

    emergence: Mapping[str, Figure]
    persistence: PersistenceFigures
    ablation: AblationFigures
    robustness: RobustnessFigures

    @property
    def all(self) -> tuple[Figure, ...]:
        """Every figure once, with its label and what it rests on."""
        kept, ablation = self.persistence, self.ablation
        return (
            *self.emergence.values(), kept.aggregated, kept.by_interval, *kept.by_layer, kept.beside_ceiling,
            ablation.outputs, *ablation.losses, *ablation.twins, ablation.readings, ablation.dose, *ablation.layers,
            *ablation.lower, *ablation.higher, self.robustness.variants, self.robustness.tokens,
        )  # fmt: skip


def paper_figures(found: Results) -> PaperFigures:
    """All figures of the page, drawn."""
    emergence = (
        partner_lines(found.by_partner), threshold_curves(found.thresholds), reading_lines(found.by_reading),
        layer_heat_map(found.layers),
    )  # fmt: skip
    return PaperFigures(
        emergence={one.name: one for one in emergence},
        persistence=persistence_figures(found.persistence),
        ablation=ablation_figures(found.ablation),
        robustness=robustness_figures(found.robustness),
    )


def labelled(found: Results, drawn: PaperFigures, tests: Mapping[str, Listing]) -> dict[str, Figure]:
    """Every figure by name, with its label, its claims (linked where ``tests`` judged them) and its artifacts.

    Figures of ours have letters in the order of the page, so that a number always is one of the paper's.
    """
    letters = _letters(drawn)
    artifacts = _artifacts(found, drawn)
    named = {}
    for one in drawn.all:
        where = "after the second version of the paper" if one.name.startswith("twin") else "not in the paper"
        label = one.label or f"Figure {letters[one.name]}, {where}."
        sources = Sources(CLAIMS.get(one.name, ()), artifacts[one.name]).among(tests)
        named[one.name] = replace(one, label=label, sources=sources)
    return named


def _letters(drawn: PaperFigures) -> dict[str, str]:
    ours = [one.name for one in drawn.all if not one.label]
    return dict(zip(ours, string.ascii_uppercase, strict=False))


def _artifacts(found: Results, drawn: PaperFigures) -> dict[str, tuple[str, ...]]:
    kept = drawn.persistence
    groups = (
        (drawn.emergence.values(), found.artifacts),
        ((kept.aggregated, kept.by_interval, *kept.by_layer, kept.beside_ceiling), found.persistence.artifacts),
        ((drawn.robustness.variants, drawn.robustness.tokens), found.robustness.artifacts),
    )
    elsewhere = {one.name: digests for figures, digests in groups for one in figures}
    return {one.name: elsewhere.get(one.name, found.ablation.artifacts) for one in drawn.all}


def paper_page(found: Results, drawn: PaperFigures, tests: Mapping[str, Listing]) -> dict[str, Any]:
    """The values of the page; ``tests`` are those that judged the claims which have a page to link to."""
    named = labelled(found, drawn, tests)
    kept, ablation = drawn.persistence, drawn.ablation
    groups = {
        "by_layer": (kept.by_layer, kept.partners, kept.by_interval),
        "losses": (ablation.losses, ablation.bars, None),
        "layers": (ablation.layers, ablation.checkpoints, None),
        "lower": (ablation.lower, ablation.partners, None),
        "higher": (ablation.higher, ablation.partners, None),
        "twins": (ablation.twins, ablation.bands, None),
    }
    suite = found.suite
    shown = {
        name: partial(side_by_side, [named[one.name] for one in ((first,) if first else ()) + tuple(figures)], keys)
        for name, (figures, keys, first) in groups.items()
    }
    return known(
        {
            "figures": lambda: known({name.replace("-", "_"): one.block for name, one in named.items()}),
            "groups": lambda: known(shown),
            "ref": lambda: {name.replace("-", "_"): link(one) for name, one in named.items()},
            "table_one": lambda: _table_one(found, tests),
            "models": lambda: plural(len(found.ablation.models), "model"),
            "is_ours": lambda: found.is_ours,
            "reference": lambda: found.reference,
            "partners": lambda: listed(found.partners),
            "suite": lambda: {"title": suite.title, "name": suite.name},
            "threshold": lambda: decimal(found.threshold, 1),
            "lower": lambda: decimal(min(suite.universality.thresholds), 1),
            "higher": lambda: decimal(max(suite.universality.thresholds), 1),
            "numbers": lambda: _numbers(found),
        }
    )


def link(one: Figure) -> Markdown:
    """A link to a figure by what it is called, for the text: "Figure 7", "Figure C"."""
    called = " ".join(one.label.rstrip(".").replace(",", "").split()[:2])
    return Markdown(f"[{markdown(called)}](#{one.anchor})")


def _numbers(found: Results) -> dict[str, Any]:
    """The numbers that the text of the page states."""
    kept, ablation = found.persistence, found.ablation
    said = _persistence(kept)
    pairs = [m for key, m in ablation.pairs.items() if key.threshold == found.threshold]
    return known(
        {
            "first": lambda: with_interval(found.first, 2),
            "last": lambda: with_interval(found.last, 2),
            "first_label": lambda: found.checkpoints[0].label,
            "last_label": lambda: found.checkpoints[-1].label,
            "persistence": lambda: said["persistence"],
            "persistence_span": lambda: said["persistence_span"],
            "no_persistence": lambda: said["no_persistence"],
            "persistence_printed": lambda: f"over {decimal(kept.printed.overall * 100, 0)} %",
            "draws": lambda: count(int(max((m.details.get("draws", 1) for m in pairs), default=1))),
            "blocks": lambda: count(pairs[0].n),
        }
    )


def _persistence(kept: Persistence) -> dict[str, str]:
    """The values of the text on persistence; without numbers if the suite has none."""
    longest = kept.all_spans[kept.longest] if kept.spans else None
    if longest is None:
        return {"persistence": "", "persistence_span": "", "no_persistence": "This needs two checkpoints."}
    words = in_words(kept.longest)
    none = f"No neuron is universal at {kept.longest[0]} of the training that could." if longest.is_missing else ""
    return {
        "persistence": "" if none else with_interval(longest, 1), "persistence_span": words, "no_persistence": none,
    }  # fmt: skip


def _table_one(found: Results, tests: Mapping[str, Listing]) -> Markdown:
    """Table 1 as a block of its own number: ours with interval and the pairs' standard deviation, then the printed."""
    number = "Table 1 of the paper."
    words = (
        f"Share of universal neurons in per cent at each threshold (rows) and share of training, reference "
        f"{found.reference}, mean over {plural(len(found.partners), 'partner')}: ours with its interval over token "
        f"blocks and ± the standard deviation between partners, below it what was printed for GPT-2 small."
    )
    opening = Html(f'<figure id="{TABLE_ONE}" class="tbl">\n<figcaption>')
    caption = f"**{markdown(number)}** {markdown(words)}{judged_links(Sources(TABLE_ONE_CLAIMS).among(tests))}"
    details = (
        f'<details class="data"><summary>Pair by pair</summary>{pairs_data(found).html(css="data")}'
        f'<p class="source">The same numbers, unrounded: <a href="{PAIRS_CSV}" download>{PAIRS_CSV}</a>, and the '
        f'table: <a href="{TABLE_CSV}" download>{TABLE_CSV}</a>. Computed by '
        f"{drawing(TABLE_ONE_CODE).link()}.</p></details>"
    )
    body = Html(f"</figcaption>\n{table_one(found, spread=True)}\n{details}\n</figure>")
    return Markdown(f"{raw_html(opening)}\n\n{caption}\n\n{raw_html(body)}\n")


def paper_data(found: Results, drawn: PaperFigures) -> dict[str, DataTable]:
    """The tables of the page as CSV files by name."""
    return {**{one.csv_name: one.data for one in drawn.all if not one.absence}, PAIRS_CSV: pairs_data(found)}


def what_figures_rest_on(figures: Iterable[Figure]) -> DataTable:
    """A row per figure and artifact, with the figure's claims, their tests and the function that drew it."""
    rests = tuple(
        (
            one.label.rstrip(".") or f"front page: {one.name}",
            one.anchor,
            ", ".join(one.sources.claims),
            ", ".join(dict.fromkeys(test.name for test in one.sources.tests)),
            one.code,
            digest,
        )
        for one in figures
        if not one.absence
        for digest in one.sources.artifacts
    )
    columns = tuple(map(Column, ("figure", "anchor", "claims", "tests", "drawn by", "artifact")))
    return DataTable("What every figure rests on", columns, rests)
