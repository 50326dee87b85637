"""The page "The parent paper": the figures of Gurnee et al. 2024 that a suite's tables fill, and why others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from universal_neurons.ids import NeuronId
from universal_neurons.render.escaping import Html, html_text, token_text
from universal_neurons.render.formatting import decimal, plural
from universal_neurons.render.tables import Column, DataTable
from universal_neurons.render.templates import known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.render.figures.figure import FigureGroup
    from universal_neurons.render.results import Results

PAGE = "parent"
# Tokens at either end of an example's vocabulary that are shown.
EXAMPLE_TOKENS = 5
GROUPS = (
    "prevalence", "correlations", "densities", "ranges", "depths", "properties", "appearing", "properties_by_layer",
    "alignment", "twins_in_model", "families", "families_by_layer", "alphabet", "duplicated",
    "own_tokens", "roles_by_layer", "next_tokens", "clamps", "paths",
)  # fmt: skip
# The figures that the page must contain.
REQUIRED = tuple(
    f"fig-{name}"
    for name in ("prevalence", "parent-2a", "parent-2b", "parent-2c", "parent-11", "parent-3", "properties-training",
                 "parent-9", "parent-10-input", "parent-10-output", "parent-14-pre-kurtosis", "parent-4", "parent-6",
                 "parent-5-promotes", "parent-5-suppresses", "parent-24", "parent-7-entropy", "parent-8",
                 *(f"parent-{number}" for number in range(15, 22)))
)  # fmt: skip
# What the figures of the paper show that are not among ours, and what they would need.
_WHOLE = (
    "a table of every neuron’s cosine with every token, which no suite has; this page has the moments and both ends"
)
_OTHERS = "the suites of these models: universal-neurons compute --suite gurnee_small (gurnee_medium, pythia_160m)"
NOT_DRAWN: tuple[tuple[str, str, str], ...] = (
    ("1", "examples of what the paper finds", "nothing of its own: every part is another figure"),
    ("5, 23", "the whole distribution over the vocabulary", _WHOLE),
    ("12, 13, 22, 25", "figures 2, 6 and 7 for the paper’s other models", _OTHERS),
)


def parent_page(found: Results, groups: Mapping[str, FigureGroup], vocabulary: Sequence[str]) -> dict[str, Any]:
    """The values of the page; ``vocabulary`` is the text of each token id."""
    return known(
        {
            "figures": lambda: known({name: groups[name].block for name in GROUPS}),
            "suite": lambda: {"title": found.suite.title, "name": found.suite.name},
            "models": lambda: plural(len(found.parent.tables), "model"),
            "threshold": lambda: decimal(found.threshold, 1),
            "last": lambda: found.parent.last,
            "reference": lambda: found.reference,
            "examples": lambda: examples(found, vocabulary),
            "not_drawn": not_drawn,
        }
    )


def examples(found: Results, vocabulary: Sequence[str]) -> Html:
    """The neuron of each role that stands out most in the reference, with a link to the explorer and its tokens.

    Nothing in a first look.
    """
    if found.roles is None:
        return Html("")
    columns = (
        Column("role"), Column("neuron"), Column("kurtosis", 1), Column("skewness", 1), Column("variance", 4),
        Column("promotes most"), Column("suppresses most"),
    )  # fmt: skip
    rows = tuple(
        (
            one.role, _link(found.reference, NeuronId(one.layer, one.neuron)), one.kurtosis, one.skewness, one.variance,
            _tokens(one.promoted, vocabulary), _tokens(one.suppressed, vocabulary),
        )
        for one in found.roles.examples
    )  # fmt: skip
    caption = f"The neuron of model {found.reference} that stands out most by each role"
    return DataTable(caption, columns, rows).html(css="stack")


def _link(model: str, neuron: NeuronId) -> Html:
    return Html(f'<a href="neurons.html#{quote(model, safe="")}:{neuron}">{neuron}</a>')


def _tokens(ids: Sequence[int], vocabulary: Sequence[str]) -> Html:
    texts = (token_text(vocabulary[one]) for one in ids[:EXAMPLE_TOKENS] if 0 <= one < len(vocabulary))
    return Html(" ".join(f'<code class="token">{html_text(text)}</code>' for text in texts))


def not_drawn() -> Html:
    """The figures of the paper that this page lacks, with what they would need."""
    columns = tuple(map(Column, ("figures", "content", "needs")))
    return DataTable("Figures of the parent paper that are not drawn here", columns, NOT_DRAWN).html(css="stack")
