"""The pages about all claims: the index, the readings, the ambiguities and the corrections for multiple testing.

The page of a single claim is :mod:`universal_neurons.render.pages.claim`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from universal_neurons.errors import UserError
from universal_neurons.evidence.record import natural_order
from universal_neurons.evidence.summary import by_kind
from universal_neurons.render.escaping import Html, Markdown, fragment, html_text, markdown
from universal_neurons.render.formatting import count, listed, plural
from universal_neurons.render.html.checks import Stated
from universal_neurons.render.links import claim_link, entry_id, page_of
from universal_neurons.render.pages.claim import CORRECTIONS, UNJUDGED, changes
from universal_neurons.render.pages.scoreboard import (
    badge,
    in_sections,
    marks,
    measured_line,
)
from universal_neurons.render.pages.sections import PageSection
from universal_neurons.render.pages.sentences import in_the_papers_words, sentences_of
from universal_neurons.render.tables import Cell, Column, DataTable, scrolling
from universal_neurons.render.wording import NOUNS, WORDING, counted, summary_sentences, verdict_sentence

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from universal_neurons.evidence.summary import ClaimSummary, ReadingSummary
    from universal_neurons.evidence.untested import Untested
    from universal_neurons.render.pages.ambiguities import Ambiguity
    from universal_neurons.render.pages.sentences import Sentence

KINDS = {"interpretive": "interpretive", "untestable": "untestable", "open": "not tested yet"}


class ReadingUnknown(UserError):
    """A reading names an ambiguity that the list of ambiguities does not have."""


def claims_page(
    claims: Sequence[ClaimSummary], untested: Sequence[Untested], sentences: Sequence[Sentence] = ()
) -> dict[str, Any]:
    """The values of the list of claims; ``sentences`` are the papers' own, for the statements that are not tested."""
    return {
        "sections": [_section(name, found) for name, found in in_sections(claims).items()],
        "untested": untested_list(untested, {claim.claim for claim in claims}, sentences),
        "kinds": _kinds(untested),
    }


def _section(name: str, claims: Sequence[ClaimSummary]) -> PageSection:
    links = "".join(
        f'<li id="{entry_id(claim.claim)}">{claim_link(claim.claim)} {badge(claim.verdict, claim=claim.claim)}</li>'
        for claim in claims
    )
    return PageSection(
        heading=Markdown(f"## {markdown(name.capitalize())} {{#section-{fragment(name)} .unnumbered}}"),
        says=" ".join(
            f"{plural(len(own), *NOUNS[kind])}: {counted([claim.verdict for claim in own])}."
            for kind, own in by_kind(claims).items()
        ),
        body=Html(f'<ul class="index">{links}</ul>'),
    )


def untested_list(untested: Sequence[Untested], judged: Collection[str], sentences: Sequence[Sentence] = ()) -> Html:
    """The statements that no test judges, with the reason and links to the claims that come nearest."""
    return Html('<div class="entries">' + "\n".join(_untested(one, judged, sentences) for one in untested) + "</div>")


def _untested(one: Untested, judged: Collection[str], sentences: Sequence[Sentence]) -> str:
    links = ", ".join(claim_link(name) if name in judged else html_text(name) for name in one.see)
    see = f'<p class="origin">See {links}.</p>' if links else ""
    return (
        f'<article class="entry quoted" id="untested-{fragment(one.id)}"><h3>{html_text(one.id)}</h3>'
        f'<div><p>{html_text(one.statement)}</p><p class="origin">{html_text(one.source)}</p>'
        f"{in_the_papers_words(sentences_of(one.id, sentences))}"
        f'<p class="reason">{html_text(one.reason)}</p>{see}</div>'
        f'<div class="found"><span class="kind">{html_text(KINDS[one.kind])}</span></div></article>'
    )


def _kinds(untested: Sequence[Untested]) -> str:
    kinds = dict.fromkeys(one.kind for one in untested)
    return listed(f"{count(sum(one.kind == kind for one in untested))} {KINDS[kind]}" for kind in kinds)


def readings_page(claims: Sequence[ClaimSummary], ambiguities: Mapping[str, Ambiguity]) -> dict[str, Any]:
    """The values of the page on readings.

    Raises ReadingUnknown where a reading names an ambiguity that is not in ``ambiguities``.
    """
    read = by_ambiguity(claims)
    for name, found in read.items():
        if name not in ambiguities:
            claim, reading = found[0]
            raise ReadingUnknown(
                f"claims/ambiguities.toml: {name} is missing; the reading {reading.name} of {claim.claim} names it"
            )
    return {
        "summary": readings_sentence(claims),
        "matrix": matrix(claims, list(read)),
        "sections": [_ambiguity(ambiguities[name], found) for name, found in read.items()],
        "none": not read,
    }


def by_ambiguity(claims: Sequence[ClaimSummary]) -> dict[str, list[tuple[ClaimSummary, ReadingSummary]]]:
    """Every reading after its claim, by ambiguity in natural order."""
    found: dict[str, list[tuple[ClaimSummary, ReadingSummary]]] = {}
    for claims_of_section in in_sections(claims).values():
        for claim in claims_of_section:
            for reading in claim.readings:
                found.setdefault(reading.ambiguity, []).append((claim, reading))
    return {name: found[name] for name in sorted(found, key=natural_order)}


def readings_sentence(claims: Sequence[ClaimSummary]) -> str:
    """A sentence on the number of verdicts that depend on the reading of the papers."""
    every = [(claim, reading) for claim in claims for reading in claim.readings]
    if not every:
        return "No claim has other readings."
    changed = [(claim, reading) for claim, reading in every if changes(reading, claim)]
    names = sorted({claim.claim for claim, _ in changed}, key=natural_order)
    open_ones = sum(reading.verdict in UNJUDGED for _, reading in every)
    unseen = f" {plural(open_ones, 'reading')} came to no judgement." if open_ones else ""
    if not changed:
        return f"No reading of {count(len(every))} would change the verdict on its claim.{unseen}"
    return (
        f"Of {plural(len(every), 'reading')}, {count(len(changed))} would change the verdict on the claim "
        f"({listed(names)}).{unseen}"
    )


def matrix(claims: Sequence[ClaimSummary], ambiguities: Sequence[str]) -> Html:
    """Claims against ambiguities: the claim's own verdict, and the sign of every reading's, loud where it differs."""
    ordered = [c for section in in_sections(claims).values() for c in section if c.readings]
    head = "".join(f'<th scope="col"><a href="#{fragment(name)}">{html_text(name)}</a></th>' for name in ambiguities)
    rows = "\n".join(
        f'<tr><th scope="row">{claim_link(claim.claim)}</th>'
        f"<td>{badge(claim.verdict, claim=claim.claim)}</td>"
        + "".join(f"<td>{_signs(claim, name)}</td>" for name in ambiguities)
        + "</tr>"
        for claim in ordered
    )
    return scrolling(
        "Claims against ambiguities",
        '<table class="matrix"><thead><tr><th scope="col">claim</th><th scope="col">by default</th>'
        f"{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>",
    )


def _signs(claim: ClaimSummary, ambiguity: str) -> str:
    return " ".join(
        f'<span class="verdict{"" if changes(reading, claim) else " same"}" title="{html_text(reading.says)}" '
        f"{marks(reading.verdict, reading=f'{claim.claim}/{reading.name}')}>"
        f'<span class="sign" aria-hidden="true">{WORDING[reading.verdict].sign}</span>'
        f'<span class="unseen">{WORDING[reading.verdict].label}</span></span>'
        for reading in claim.readings
        if reading.ambiguity == ambiguity
    )


def _ambiguity(ambiguity: Ambiguity, found: Sequence[tuple[ClaimSummary, ReadingSummary]]) -> PageSection:
    rows: list[tuple[Cell, ...]] = [
        (
            claim_link(claim.claim),
            reading.says,
            badge(claim.verdict, claim=claim.claim),
            badge(reading.verdict, reading=f"{claim.claim}/{reading.name}"),
            measured_line(reading.items) or "not measured",
        )
        for claim, reading in found
    ]
    marked = frozenset(place for place, (claim, reading) in enumerate(found) if changes(reading, claim))
    columns = tuple(map(Column, ("claim", "read as", "by default", "read so", "measured")))
    question = ambiguity.question
    return PageSection(
        heading=Markdown(f"### {markdown(f'{ambiguity.id}: {question}')} {{#{fragment(ambiguity.id)} .unnumbered}}"),
        says=f"By default: {ambiguity.default}",
        body=DataTable(f"Readings of {ambiguity.id}", columns, tuple(rows), marked=marked).html(
            css="stack readings compared"
        ),
    )


def ambiguity_table(ambiguities: Mapping[str, Ambiguity], claims: Sequence[ClaimSummary]) -> Html:
    """Every ambiguity with the reading that the claims take, and how many other readings were tried."""
    read = by_ambiguity(claims)
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            Html(f'<a href="readings.html#{fragment(name)}">{html_text(name)}</a>') if name in read else name,
            one.question,
            one.default,
            str(len(read.get(name, ()))) if name in read else "none",
        )
        for name, one in ambiguities.items()
    )
    columns = tuple(map(Column, ("id", "what is left open", "read by default as", "other readings")))
    return DataTable("Ambiguities and their default readings", columns, rows).html(css="stack")


def families_table(claims: Sequence[ClaimSummary]) -> Html:
    """The claims corrected together: the method, the number of tests and of refutations withdrawn."""
    groups: dict[tuple[str, str], list[ClaimSummary]] = {}
    for section, found in in_sections(claims).items():
        for claim in found:
            groups.setdefault((section, claim.first.correction or ""), []).append(claim)
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            section,
            CORRECTIONS.get(correction, "none"),
            listed(claim.claim for claim in found),
            count(sum(len(claim.tested) for claim in found)) if correction else "–",
            count(sum(_taken_back(claim) for claim in found)) if correction else "–",
        )
        for (section, correction), found in groups.items()
    )
    columns = (
        *map(Column, ("family", "correction", "claims")), Column("tests", 0), Column("refutations taken back", 0),
    )  # fmt: skip
    return DataTable("Families of claims and their corrections", columns, rows).html(css="stack")


def _taken_back(claim: ClaimSummary) -> int:
    return sum(own.verdict is not counts for own, counts in zip(claim.items, claim.corrected, strict=True))


def stated(claims: Sequence[ClaimSummary], others: Mapping[str, str] | None = None) -> Stated:
    """The verdicts of readings and cases, the page of each claim, and the sentences that state verdicts.

    ``others`` are the verdicts of another run ("other N1") that stands beside this one.
    """
    readings = {f"reading {c.claim}/{r.name}": r.verdict.value for c in claims for r in c.readings}
    cases = {f"case {c.claim}/{place}": r.verdict.value for c in claims for place, r in enumerate(c.items)}
    return Stated(
        parts=readings | cases | dict(others or {}),
        pages={page_of(claim.claim): claim.claim for claim in claims},
        sentences={
            "index.html": [summary_sentences(claims)],
            "readings.html": [readings_sentence(claims)],
            **{page_of(claim.claim): [verdict_sentence(claim.corrected)] for claim in claims},
        },
    )
