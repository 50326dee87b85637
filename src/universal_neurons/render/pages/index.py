"""The first page of the report: summary, scoreboard, table 1 and the figures of the training.

Its template holds no number and no verdict; both come from here as text.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from universal_neurons.render.evidence_log import measured_of
from universal_neurons.render.figures.emergence import partner_lines
from universal_neurons.render.figures.figure import Sources
from universal_neurons.render.figures.training import training_curves
from universal_neurons.render.formatting import (
    count,
    decimal,
    listed,
    plural,
    with_interval,
)
from universal_neurons.render.pages.paper import CLAIMS
from universal_neurons.render.pages.scoreboard import scoreboard
from universal_neurons.render.pages.table_one import table_one
from universal_neurons.render.templates import known
from universal_neurons.render.wording import summary_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.evidence.summary import ClaimSummary
    from universal_neurons.render.figures.emergence import PublishedCell
    from universal_neurons.render.figures.figure import Figure
    from universal_neurons.render.listings import Listing
    from universal_neurons.render.results import Results


PERCENT_PLACES = 2
FRONT_CLAIMS = {"partners": CLAIMS["partners"], "training": ("N24",)}


def index_figures(found: Results) -> tuple[Figure, ...]:
    """The figures of the front page, in the order of its text; of published models without their training."""
    training = (training_curves(found.training, found.checkpoint_tokens),) if found.training else ()
    return partner_lines(found.by_partner), *training


def with_sources(found: Results, drawn: Sequence[Figure], tests: Mapping[str, Listing]) -> tuple[Figure, ...]:
    """The figures of the front page with what they rest on: claims, their tests, artifacts or the training log."""
    digests = {"partners": found.artifacts, "training": (found.training_digest,)}
    return tuple(
        replace(one, sources=Sources(FRONT_CLAIMS[one.name], tuple(filter(None, digests[one.name]))).among(tests))
        for one in drawn
    )


def index_page(
    found: Results, claims: Sequence[ClaimSummary], drawn: Sequence[Figure], unseen: Sequence[str]
) -> dict[str, Any]:
    """The values of the front page."""
    suite = found.suite
    return known(
        {
            "summary": lambda: summary(found, claims, unseen),
            "threshold": lambda: decimal(found.threshold, 1),
            "suite": lambda: {"title": suite.title, "description": suite.description},
            "narrowing": lambda: suite.narrowing,
            "is_ours": lambda: found.is_ours,
            "scoreboard": lambda: scoreboard(claims),
            "unseen": lambda: listed(unseen) if unseen else "",
            "table_number": lambda: "1",
            "table_one": lambda: table_one(found),
            "reference": lambda: found.reference,
            "partners": lambda: plural(len(found.partners), "partner"),
            "level": lambda: f"{suite.resampling.level * 100:g} %",
            "figures": lambda: known({figure.name: figure.block for figure in drawn}),
            "models": lambda: count(len(suite.zoo.models)),
        }
    )


def summary(found: Results, claims: Sequence[ClaimSummary], unseen: Sequence[str]) -> tuple[str, ...]:
    """The sentences of the front page: what was tested, what was not run, what came out, how many neurons it is about.

    ``unseen`` are the claims of the project that were not run; where there are none, nothing is said about them.
    """
    number = plural(len(claims), "claim")
    measurements = sum(len(measured_of(claim)) for claim in claims)
    first, last = found.checkpoints[0], found.checkpoints[-1]
    published = [cell for cell in found.published if cell.threshold == found.threshold]
    printed = ""
    if published:
        earliest, latest = min(published, key=_training), max(published, key=_training)
        printed = (
            f"; for GPT-2 small the paper printed {_percent(earliest.value)} at {earliest.label} and "
            f"{_percent(latest.value)} at {latest.label}"
        )
    later = f" and {with_interval(found.last, PERCENT_PLACES)} at {last.label}" if last != first else ""
    return (
        f"{number} about universal neurons {_were(len(claims))} put to the test "
        f"on {plural(len(found.suite.zoo.models), 'model')} that differ in nothing but their seed: "
        f"{plural(measurements, 'measurement')}, each with an interval.",
        *_not_run(unseen, len(claims) + len(unseen)),
        summary_sentence([(claim.claim, claim.verdict) for claim in claims]),
        f"Of the neurons of model {found.reference}, {with_interval(found.first, PERCENT_PLACES)} are universal at "
        f"{first.label} of the training{later}{printed}.",
    )


def _not_run(unseen: Sequence[str], every: int) -> tuple[str, ...]:
    if not unseen:
        return ()
    return (f"Of the project's {plural(every, 'claim')}, {count(len(unseen))} {_were(len(unseen))} not run.",)


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _training(cell: PublishedCell) -> float:
    return cell.training


def _percent(share: float) -> str:
    return f"{decimal(share * 100, PERCENT_PLACES)} %"
