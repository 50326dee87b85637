"""The page "The paper, rebuilt": table 1, figures 1 to 20 of Nandan et al. 2025 v1, and figures it lacks.

The page fixes the order and labels of the figures and the claims that judge them.
"""

from __future__ import annotations

import string
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from universal_neurons.measures.ablation_table import Quantity
from universal_neurons.render.escaping import Markdown, markdown
from universal_neurons.render.figures.ablation import COMPARED, ablation_figures
from universal_neurons.render.figures.emergence import emergence_figures
from universal_neurons.render.figures.families import families_figures
from universal_neurons.render.figures.figure import FigureGroup, Sources
from universal_neurons.render.figures.parent import NAMES, parent_figures
from universal_neurons.render.figures.persistence import in_words, persistence_figures
from universal_neurons.render.figures.properties import property_figures
from universal_neurons.render.figures.robustness import robustness_figures
from universal_neurons.render.figures.roles import role_figures
from universal_neurons.render.figures.training import training_figures
from universal_neurons.render.formatting import count, decimal, listed, plural, with_interval
from universal_neurons.render.pages.table_one import table_one
from universal_neurons.render.tables import Column, DataTable
from universal_neurons.render.templates import known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from universal_neurons.render.figures.figure import Figure
    from universal_neurons.render.listings import Listing
    from universal_neurons.render.results import Results

# Which claims judge what a figure shows, in the order of the pages; ours are lettered in this order.
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
    "texts-share": ("F16-share-english", "F16-share-python"),
    "texts-overlap": ("F16-identity-english", "F16-identity-python"),
    "training": ("N24",),
    # The figures of the parent paper.
    "prevalence": ("G1", "G2", "G3", "G4"),
    "parent-2a": ("G7",),
    "parent-11": ("G7",),
    "parent-2b": ("G5", "G5-range"),
    "parent-2c": ("G6",),
    "parent-3": tuple(f"G{number}" for number in range(10, 18)),
    "properties-training": ("G10-training",),
    **{f"parent-14-{name.replace('_', '-')}": ("G10-layers", claim) for name, (claim, _) in NAMES.items()},
    "parent-14-vocabulary-skewness": ("G10-layers",),
    "parent-4": ("G20", "G26"),
    "parent-15": ("G9", "G9-half", "G9b", "G9b-share"),
    "parent-16": ("G20-early",),
    "parent-17": ("G21",),
    "parent-18": ("G22",),
    "parent-19": ("G23",),
    "parent-20": ("G24",),
    "parent-21": ("G25",),
    "parent-9": ("G60", "G60-layers", "G61"),
    "parent-10-input": ("G62",),
    "parent-10-output": ("G62-output",),
    "parent-5-promotes": ("G35",),
    "parent-5-suppresses": ("G35",),
    "parent-6": ("G30a", "G30b", "G31", "G35"),
    "parent-24": ("G33", "G33-prediction"),
    **{f"parent-7-{name}": ("G40", "G42", "G43") for name in ("entropy", "scale", "first-kept")},
    "parent-8": ("G52", "G53"),
}
TABLE_ONE = "tbl-paper-1"
TABLE_ONE_CODE = "measures.universality.definition_share"
TABLE_ONE_CLAIMS = ("N1", "N2", "N3", "N4", "N5")
# The figures and the table that the page must contain.
REQUIRED = (
    TABLE_ONE,
    *(f"fig-paper-{number}" for number in range(1, 21)),
    *(f"fig-{name}" for name in ("layers", "readings", "ceiling", "sets", "dose", "variants", "tokens", "twin-models")),
)

Groups = dict[str, FigureGroup]


def drawn_figures(found: Results) -> Groups:
    """All figures of the report by the name of their group; raises MissingFigure for one without a number."""
    parts = (
        (emergence_figures(found.emergence), found.emergence.artifacts),
        (persistence_figures(found.persistence), found.persistence.artifacts),
        (ablation_figures(found.ablation), found.ablation.artifacts),
        (robustness_figures(found.robustness), found.robustness.artifacts),
        (training_figures(found.curves, found.checkpoint_tokens), (found.training_digest,)),
        (parent_figures(found.parent), found.parent.artifacts),
        (families_figures(found.families), found.families.artifacts if found.families else ()),
        (property_figures(found.parent), found.parent.artifacts),
        (role_figures(found.roles), found.roles.artifacts if found.roles else ()),
    )
    return {name: _resting_on(artifacts, group) for groups, artifacts in parts for name, group in groups.items()}


def _resting_on(artifacts: tuple[str, ...], group: FigureGroup) -> FigureGroup:
    return group.each(lambda one: replace(one, sources=Sources(CLAIMS.get(one.name, ()), artifacts)))


def labelled(groups: Groups, tests: Mapping[str, Listing]) -> Groups:
    """The figures with labels and with links to the claims that ``tests`` judged.

    Figures of ours have letters in the order of the pages, so that a number always is one of the paper's.
    """
    places = {name: place for place, name in enumerate(CLAIMS)}
    # A figure may stand on two pages, at two sizes.
    ours = {one.name for group in groups.values() for one in group.figures if not one.label}
    ordered = sorted(ours, key=lambda name: (places.get(name, len(places)), name))
    letters = dict(zip(ordered, string.ascii_uppercase, strict=False))

    def label(one: Figure) -> Figure:
        where = "after the second version of the paper" if one.name.startswith("twin") else "not in the paper"
        called = one.label or f"Figure {letters[one.name]}, {where}."
        return replace(one, label=called, sources=one.sources.among(tests))

    return {name: group.each(label) for name, group in groups.items()}


def figures_of(groups: Groups) -> dict[str, Figure]:
    """Every figure by its own name."""
    return {one.name: one for group in groups.values() for one in group.figures}


def paper_page(found: Results, groups: Groups, tests: Mapping[str, Listing]) -> dict[str, Any]:
    """The values of the page; ``tests`` are those that judged the claims which have a page to link to."""
    suite = found.suite
    return known(
        {
            "figures": lambda: known({name: group.block for name, group in groups.items()}),
            "ref": lambda: {name.replace("-", "_"): link(one) for name, one in figures_of(groups).items()},
            "table_one": lambda: table_one(found, Sources(TABLE_ONE_CLAIMS).among(tests), TABLE_ONE, TABLE_ONE_CODE),
            "models": lambda: plural(len(found.suite.references), "model"),
            "is_ours": lambda: found.is_ours,
            "reference": lambda: found.reference,
            "partners": lambda: listed(found.partners),
            "suite": lambda: {"title": suite.title, "name": suite.name},
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
    effects = [m for kind in COMPARED for m in ablation.of_pair(kind, found.threshold, Quantity.KL, found.partners[0])]
    return known(
        {
            "first": lambda: with_interval(found.emergence.first_share, 2),
            "last": lambda: with_interval(found.emergence.last_share, 2),
            "first_label": lambda: found.checkpoints[0].label,
            "last_label": lambda: found.checkpoints[-1].label,
            "persistence": lambda: kept.said(kept.longest) if kept.spans else "",
            "persistence_span": lambda: in_words(kept.longest) if kept.spans else "",
            "persistence_printed": lambda: f"over {decimal(kept.printed.overall * 100, 0)} %",
            "draws": lambda: count(int(max((m.details.get("draws", 1) for m in effects), default=1))),
            "blocks": lambda: count(effects[0].n),
        }
    )


def what_figures_rest_on(figures: Iterable[Figure]) -> DataTable:
    """A row per figure and artifact, with the figure's claims, their tests and the function that drew it."""
    rests = tuple(
        (
            one.label.rstrip("."),
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
