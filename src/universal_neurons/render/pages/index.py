"""The first page of the report: which models it is about, three findings, and the scoreboard.

Its template holds no number and no verdict; both come from here as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from universal_neurons.measures.ablation import NATS
from universal_neurons.measures.ablation_table import SetKind
from universal_neurons.render.escaping import Html, html_text
from universal_neurons.render.formatting import (
    count,
    decimal,
    listed,
    places_of,
    plural,
    span,
    with_interval,
)
from universal_neurons.render.links import claim_link
from universal_neurons.render.pages.scoreboard import badge, scoreboard
from universal_neurons.render.pages.table_one import PERCENT_PLACES
from universal_neurons.render.templates import known
from universal_neurons.render.wording import summary_sentences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.evidence.summary import ClaimSummary
    from universal_neurons.render.figures.persistence import Persistence
    from universal_neurons.render.pages.paper import Groups
    from universal_neurons.render.results import Results


@dataclass(frozen=True, slots=True)
class Finding:
    """A result of the first page: its heading, ours in a sentence, what the papers print, and claims.

    ``group`` has its one figure.
    """

    heading: str
    ours: str
    published: str
    group: str
    claims: tuple[str, ...]


def index_page(
    found: Results,
    claims: Sequence[ClaimSummary],
    groups: Groups,
    unseen: Sequence[str],
    beside: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The values of the front page.

    ``unseen`` are the claims of the project that were not run, ``beside`` what the papers print for a claim.
    """
    suite = found.suite
    judged = {claim.claim: claim for claim in claims}
    return known(
        {
            "about": lambda: about(found),
            "findings": lambda: [
                {
                    "heading": one.heading,
                    "ours": one.ours,
                    "beside": _beside(one, judged),
                    "figure": groups[one.group].block(),
                }
                for one in findings(found)
            ],
            "summary": lambda: summary_sentences(claims),
            "threshold": lambda: decimal(found.threshold, 1),
            "narrowing": lambda: suite.narrowing,
            "scoreboard": lambda: scoreboard(claims, beside),
            "unseen": lambda: _not_run(unseen, len(claims) + len(unseen)),
        }
    )


def about(found: Results) -> str:
    """What the report is about, and what follows from it for the papers' own model."""
    suite = found.suite
    if found.is_ours:
        return (
            f"This report is about {suite.title}. Its models differ in nothing but their seed. It did not measure "
            f"GPT-2 Small, the model of the papers, and decides nothing about it: what holds or fails here shows "
            f"whether the papers' statements carry over to these models."
        )
    models = plural(len(suite.zoo.models), "model")
    return (
        f"This report is about {suite.title}: {models} published by others, which differ in nothing but their seed. "
        f"The papers' numbers are for GPT-2 Small; they can be repeated only where these are the same models."
    )


def findings(found: Results) -> tuple[Finding, Finding, Finding]:
    """The three results of the papers: neurons become universal, stay so, and matter."""
    more = "no number; the loss rises more than after random ablations"
    return (
        Finding(
            "Emergence", _emergence(found), _printed_shares(found), "partners", ("N1", "N2", "N3", "N5")
        ),
        Finding(
            "Persistence", _persistence(found), _printed_persistence(found), "paper_1", ("N7", "N10", "N22")
        ),
        Finding("Impact", _impact(found), more, "impact", ("N14", "N15", "V4")),
    )  # fmt: skip


def _emergence(found: Results) -> str:
    first, last = found.checkpoints[0], found.checkpoints[-1]
    later = f" and {with_interval(found.emergence.last_share, PERCENT_PLACES)} at {last.label}" if last != first else ""
    return (
        f"Of the neurons of model {found.reference}, {with_interval(found.emergence.first_share, PERCENT_PLACES)} are "
        f"universal at {first.label} of the training{later}, on average over {plural(len(found.partners), 'partner')}."
    )


def _printed_shares(found: Results) -> str:
    cells = [cell for cell in found.emergence.published if cell.threshold == found.threshold]
    if not cells:
        return "no number at this threshold"
    first, last = (choose(cells, key=lambda cell: cell.training) for choose in (min, max))
    return (
        f"{decimal(first.value * 100, PERCENT_PLACES)} % at {first.label} steps and "
        f"{decimal(last.value * 100, PERCENT_PLACES)} % at {last.label} steps"
    )


def _persistence(found: Results) -> str:
    kept = found.persistence
    if not kept.spans:
        return "Persistence needs two checkpoints, and this suite has one."
    parts = [_kept(kept, span) for span in kept.spans[:-1] or kept.spans]
    said = "; ".join(parts)
    return f"{said[0].upper()}{said[1:]}."


def _kept(kept: Persistence, span: tuple[str, str]) -> str:
    given, then = span
    said = kept.said(span)
    where = f"universal with a partner at {given} of the training"
    if not said:
        return f"no neuron is {where}, so none could stay so"
    return f"of the neurons {where}, {said} are still universal with it at {then}"


def _printed_persistence(found: Results) -> str:
    return f"over {decimal(found.persistence.printed.overall * 100, 0)} % from one checkpoint to the next"


def _impact(found: Results) -> str:
    ablation = found.ablation
    label = found.checkpoints[-1].label
    own, control = (ablation.twin(kind, found.threshold, label) for kind in (SetKind.UNIVERSAL, SetKind.LAYER_MATCHED))
    if own.is_missing:
        return f"No neuron of model {found.reference} is universal on average over its partners, so none was ablated."
    draws = [control.details["draws_low"], control.details["draws_high"]]
    return (
        f"Without the {count(round(own.details['size']))} neurons that are universal on average, the loss of model "
        f"{found.reference} at {label} of the training rises by {with_interval(own)}; without as many others of the "
        f"same layers it rises by {span(draws, NATS, places_of([own]))}, depending on the draw."
    )


def _beside(one: Finding, judged: Mapping[str, ClaimSummary]) -> Html:
    """What the papers print, and the verdicts on the claims about it."""
    verdicts = ", ".join(
        f"{claim_link(name)} {badge(judged[name].verdict, claim=name)}" for name in one.claims if name in judged
    )
    rows = {"Published for GPT-2 Small": html_text(one.published), "Judged by": verdicts}
    inside = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows.items() if value)
    return Html(f'<div class="card"><dl>{inside}</dl></div>')


def _not_run(unseen: Sequence[str], every: int) -> str:
    if not unseen:
        return ""
    were = "was" if len(unseen) == 1 else "were"
    return f"Of the project's {plural(every, 'claim')}, {count(len(unseen))} {were} not run: {listed(unseen)}."
