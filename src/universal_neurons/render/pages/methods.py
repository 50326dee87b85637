"""The page on methods and provenance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from universal_neurons.inputs.corpus import MaskPolicy
from universal_neurons.render.escaping import Html, html_text
from universal_neurons.render.formatting import count
from universal_neurons.render.pages.claims import ambiguity_table, families_table
from universal_neurons.render.pages.imported import checked
from universal_neurons.render.pages.performance import COVERAGE
from universal_neurons.render.pages.scoreboard import verdict_table
from universal_neurons.render.tables import Cell, Column, DataTable
from universal_neurons.render.templates import known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.evidence.summary import ClaimSummary
    from universal_neurons.inputs.benchmarks import Benchmark
    from universal_neurons.render.citation import Citation
    from universal_neurons.render.pages.ambiguities import Ambiguity
    from universal_neurons.render.pages.deviations import Deviation
    from universal_neurons.render.pages.paper import Groups
    from universal_neurons.render.pages.provenance import ReportProvenance
    from universal_neurons.render.results import Results


MASKS = {
    MaskPolicy.PUBLISHED: "padding, beginning-of-sequence, end-of-text and newline tokens",
    MaskPolicy.PUBLISHED_FIRST: (
        "padding, beginning-of-sequence, end-of-text and newline tokens, and the first position of each row"
    ),
    MaskPolicy.SPECIAL_ONLY: "padding, beginning-of-sequence and end-of-text tokens",
    MaskPolicy.ALL: "nothing",
}


def methods_page(
    found: Results,
    groups: Groups,
    admitted: Sequence[Deviation],
    provenance: ReportProvenance,
    claims: Sequence[ClaimSummary],
    ambiguities: Mapping[str, Ambiguity],
    citation: Citation,
    benches: Sequence[Benchmark],
) -> dict[str, Any]:
    """The values of the page on methods and provenance."""
    spec, corpus, resampling = found.suite.universality, found.suite.corpus, found.suite.resampling
    return known(
        {
            "narrowing": lambda: found.suite.narrowing,
            "is_ours": lambda: found.is_ours,
            "models": lambda: count(len(found.suite.zoo.models)),
            "training": groups["training"].block,
            "tokens": lambda: count(corpus.tokens),
            "mask": lambda: MASKS[corpus.mask],
            "draws": lambda: count(spec.draws),
            "rotation": lambda: "Gaussian" if spec.rotation == "gaussian" else spec.rotation,
            "level": lambda: f"{resampling.level * 100:g} %",
            "blocks": lambda: count(spec.blocks),
            "resamples": lambda: count(resampling.resamples),
            "coverage": lambda: coverage_table(benches),
            "verdict_table": verdict_table,
            "families": lambda: families_table(claims),
            "ambiguities": lambda: ambiguity_table(ambiguities, claims),
            "citation": lambda: {"sentence": citation.sentence, "bibtex": citation.bibtex()},
            "deviations": lambda: deviations_table(admitted),
            "provenance": lambda: provenance.tables(),
            "checked_imports": lambda: checked(provenance.imported),
        }
    )


def coverage_table(benches: Sequence[Benchmark]) -> Html:
    """The share of intervals that contain the truth, by kind of number; empty where it was not published."""
    found = [bench for bench in benches if bench.bench == COVERAGE]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (*figure.says.rsplit(", over ", 1), figure.value, int(bench.size("studies")))
        for bench in found
        for figure in bench.figures.values()
    )
    columns = (Column("number"), Column("interval over"), Column("covered, %", 1), Column("simulated studies", 0))
    return DataTable("Coverage of the intervals", columns, rows).html() if rows else Html("")


def deviations_table(admitted: Sequence[Deviation]) -> Html:
    """Every admitted deviation after the object that admits it; empty where there is none."""
    rows = tuple((_dotted(d.where), d.text) for d in admitted)
    return DataTable("Deviations", (Column("where"), Column("deviation")), rows).html() if rows else Html("")


def _dotted(name: str) -> Html:
    """The name of a piece of code, which may break after a dot or an underscore and nowhere else."""
    breakable = re.sub(r"([._])", r"\1<wbr>", html_text(name))
    return Html(f"<code>{breakable}</code>")
