"""The page on the mechanisms and open questions of the parent paper, with the claims that bear on each.

They are listed in ``claims/mechanisms.toml``; what the claims say is taken from the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from universal_neurons.evidence.entries import read_entries
from universal_neurons.render.escaping import Html, Markdown, markdown
from universal_neurons.render.formatting import listed
from universal_neurons.render.links import claim_link
from universal_neurons.render.pages.scoreboard import badge, ours, tally
from universal_neurons.render.pages.sentences import Sentence, in_the_papers_words
from universal_neurons.render.tables import Cell, Column, DataTable
from universal_neurons.render.wording import summary_sentences

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from universal_neurons.evidence.summary import ClaimSummary

PAGE = "mechanisms"
MechanismKind = Literal["mechanism", "question"]
HEADINGS: dict[MechanismKind, str] = {"mechanism": "Mechanisms", "question": "Open questions"}


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A mechanism or an open question in the words of a summary, and the ``claims`` that bear on it.

    ``bears`` says how they do, and what they cannot show.
    """

    kind: MechanismKind
    title: str
    text: str
    where: str
    bears: str
    claims: tuple[str, ...]

    def judged_by(self, claims: Sequence[ClaimSummary]) -> list[ClaimSummary]:
        """The ``claims`` that bear on it, in its order: a claim it names, and the parts of one ("G50-sinks")."""
        return [one for name in self.claims for one in claims if is_part(one.claim, name)]

    def without(self, claims: Sequence[ClaimSummary]) -> list[str]:
        """The claims it names of which this run has none."""
        return [name for name in self.claims if not any(is_part(one.claim, name) for one in claims)]


def is_part(claim: str, of: str) -> bool:
    """Return whether ``claim`` is the claim ``of`` or a part of it.

    >>> is_part("G5-range", "G5"), is_part("G50", "G5")
    (True, False)
    """
    return claim == of or claim.startswith(f"{of}-")


def read_mechanisms(path: Path) -> tuple[Mechanism, ...]:
    """The entries of the file at ``path``, in its order; raises EntryError."""
    return read_entries(path, "mechanism", Mechanism)


def mechanisms_page(mechanisms: Sequence[Mechanism], claims: Sequence[ClaimSummary]) -> dict[str, Any]:
    """The values of the page."""
    return {
        "groups": [
            {
                "heading": heading,
                "id": kind,
                "sections": [_section(one, claims) for one in mechanisms if one.kind == kind],
            }
            for kind, heading in HEADINGS.items()
        ]
    }


def _section(one: Mechanism, claims: Sequence[ClaimSummary]) -> dict[str, Any]:
    return {
        "heading": Markdown(f"### {markdown(one.title)} {{.unnumbered}}"),
        "quotation": in_the_papers_words([Sentence(one.claims, one.where, one.text)]),
        "bears": one.bears,
        "verdicts": verdicts_of(one, claims),
        "table": _table(one.title, one.judged_by(claims)),
        "missing": missing(one, claims),
    }


def verdicts_of(one: Mechanism, claims: Sequence[ClaimSummary]) -> str:
    """The sentence that counts the verdicts on what bears on a mechanism; empty where nothing does."""
    judged = one.judged_by(claims)
    return summary_sentences(judged) if judged else ""


def missing(one: Mechanism, claims: Sequence[ClaimSummary]) -> str:
    """A sentence on the named claims that were not part of the run; empty if all were."""
    absent = one.without(claims)
    if not absent:
        return ""
    if len(absent) == len(one.claims):
        return f"No test of this run bears on it; {listed(absent)} would."
    return f"Not part of this run: {listed(absent)}."


def _table(title: str, claims: Sequence[ClaimSummary]) -> Html:
    if not claims:
        return Html("")
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            claim_link(claim.claim),
            claim.first.statement,
            ours(claim),
            Html(f"{badge(claim.verdict, claim=claim.claim)}{tally(claim)}"),
        )
        for claim in claims
    )
    columns = tuple(map(Column, ("claim", "statement", "ours", "verdict")))
    return DataTable(f"Claims that bear on “{title}”", columns, rows).html(css="stack")
