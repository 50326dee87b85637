"""The page "The parent paper": the figures of Gurnee et al. 2024 that a suite's tables fill, and why others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from universal_neurons.render.formatting import decimal, plural
from universal_neurons.render.tables import Column, DataTable
from universal_neurons.render.templates import known

if TYPE_CHECKING:
    from collections.abc import Mapping

    from universal_neurons.render.escaping import Html
    from universal_neurons.render.figures.figure import FigureGroup
    from universal_neurons.render.results import Results

PAGE = "parent"
GROUPS = (
    "prevalence", "correlations", "ranges", "depths", "properties", "appearing", "properties_by_layer", "alignment",
    "twins_in_model", "families", "families_by_layer", "alphabet", "duplicated",
    "roles_by_layer", "next_tokens", "clamps", "paths",
)  # fmt: skip
# The figures that the page must contain.
REQUIRED = tuple(
    f"fig-{name}"
    for name in ("prevalence", "parent-2a", "parent-2b", "parent-2c", "parent-3", "properties-training", "parent-9",
                 "parent-10-input", "parent-10-output", "parent-14-pre-kurtosis", "parent-4", "parent-6", "parent-24",
                 "parent-7-entropy", "parent-8", *(f"parent-{number}" for number in range(15, 22)))
)  # fmt: skip
# What the figures of the paper show that are not among ours, and what they would need.
_VOCABULARY = "a figure of one neuron’s logits over all tokens; the explorer has the tokens at both ends"
NOT_DRAWN: tuple[tuple[str, str, str], ...] = (
    ("1", "examples of what the paper finds", "nothing of its own: every part is another figure"),
    ("5, 23", "single neurons by what they write to every token", _VOCABULARY),
    ("11 to 13, 22", "figures 2 and 6 for other models", "the suites of these models"),
)


def parent_page(found: Results, groups: Mapping[str, FigureGroup]) -> dict[str, Any]:
    """The values of the page."""
    return known(
        {
            "figures": lambda: known({name: groups[name].block for name in GROUPS}),
            "suite": lambda: {"title": found.suite.title, "name": found.suite.name},
            "models": lambda: plural(len(found.parent.tables), "model"),
            "threshold": lambda: decimal(found.threshold, 1),
            "last": lambda: found.parent.last,
            "reference": lambda: found.reference,
            "not_drawn": not_drawn,
        }
    )


def not_drawn() -> Html:
    """The figures of the paper that this page lacks, with what they would need."""
    columns = tuple(map(Column, ("figures", "content", "needs")))
    return DataTable("Figures of the parent paper that are not drawn here", columns, NOT_DRAWN).html(css="stack")
