"""The scoreboard: one line per claim, its filters, and the verdict badges that all pages use.

The words of a verdict come from :mod:`universal_neurons.render.wording`, the numbers from the record.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from universal_neurons.evidence.criteria import Criterion
from universal_neurons.evidence.record import natural_order
from universal_neurons.evidence.split import spelled, where_it_breaks
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.render.escaping import Html, html_text
from universal_neurons.render.figures.strips import strip
from universal_neurons.render.figures.style import Colour
from universal_neurons.render.formatting import (
    EN_DASH,
    NO_BREAK,
    count,
    decimal_or_infinity,
    listed,
    places_of,
    plural,
    scale,
    span,
    with_interval,
)
from universal_neurons.render.links import claim_link
from universal_neurons.render.tables import Column, DataTable, scrolling
from universal_neurons.render.wording import WORDING, counted, criterion_phrase, quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from universal_neurons.evidence.record import EvidenceRecord
    from universal_neurons.evidence.summary import ClaimSummary
    from universal_neurons.measurement import Measurement

NUMBERS_SPELLED = 2
# The sections of the papers in the order of their argument; claims of another family come before the last ones.
SECTIONS = ("emergence", "persistence", "ablation", "prevalence", "properties", "families")
ELSEWHERE = "other"
LAST_SECTIONS = ("robustness", "extensions", ELSEWHERE)
_WORD = re.compile(r"[a-z][a-z-]*")
COLOURS = {Verdict.REPRODUCED: Colour.GREEN, Verdict.REFUTED: Colour.VERMILION, Verdict.INCONCLUSIVE: Colour.ORANGE}


def badge(verdict: Verdict, *, claim: str = "", reading: str = "", case: str = "", other: str = "") -> Html:
    """A verdict as sign and word.

    One that names its ``claim``, ``reading`` ("N1/test_x"), ``case`` ("N1/0") or the claim of an ``other`` run is
    compared with the evidence when the built page is checked.
    """
    words = WORDING[verdict]
    return Html(
        f'<span class="verdict" {marks(verdict, claim=claim, reading=reading, case=case, other=other)}>'
        f'<span class="sign" aria-hidden="true">{words.sign}</span>{words.label}</span>'
    )


def marks(verdict: Verdict, *, claim: str = "", reading: str = "", case: str = "", other: str = "") -> str:
    """The attributes that mark an element as the statement of a verdict."""
    named = {"claim": claim, "reading": reading, "case": case, "other": other}
    stated = "".join(f'data-{name}="{html_text(value)}" ' for name, value in named.items() if value)
    return f'{stated}data-{"verdict" if stated else "item"}="{verdict.value}"'


def section_of(claim: ClaimSummary) -> str:
    """The section of the papers that a claim belongs to; a family that is no plain word is no heading either."""
    family = claim.first.family or ""
    return family if _WORD.fullmatch(family) else ELSEWHERE


def in_sections(claims: Sequence[ClaimSummary]) -> dict[str, list[ClaimSummary]]:
    """The claims by section, both in the order in which pages show them; sections without claims are left out."""
    found: dict[str, list[ClaimSummary]] = {}
    for claim in sorted(claims, key=lambda claim: natural_order(claim.claim)):
        found.setdefault(section_of(claim), []).append(claim)
    places = {name: place - len(SECTIONS) for place, name in enumerate(SECTIONS)}
    places |= {name: place for place, name in enumerate(LAST_SECTIONS, start=1)}
    return {name: found[name] for name in sorted(found, key=lambda name: (places.get(name, 0), name))}


def criteria(records: Sequence[EvidenceRecord]) -> list[str]:
    """The different criteria of a claim in words."""
    return list(
        dict.fromkeys(criterion_phrase(Criterion.from_dict(record.criterion), unit_of(records)) for record in records)
    )


def unit_of(records: Iterable[EvidenceRecord]) -> str:
    """The unit of what a claim measures; none until something was measured, as a wrong one misstates a criterion."""
    return next((m.unit for record in records if (m := record.measured()) is not None), "")


def published_numbers(records: Sequence[EvidenceRecord], beside: str = "") -> str:
    """The numbers of the papers that the criteria of a claim name; where they name none, ``beside`` or a dash."""
    found = [
        p.value for record in records for p in Criterion.from_dict(record.criterion).published if p.value is not None
    ]
    if not found:
        return beside or EN_DASH
    spelled = list(dict.fromkeys(quantity(value, unit_of(records)) for value in found))
    return listed(spelled) if len(spelled) <= NUMBERS_SPELLED else f"{plural(len(spelled), 'number')}, by case"


def filters(claims: Sequence[ClaimSummary]) -> Html:
    """The filters of the scoreboard: verdict, section, words and order; hidden until their script is there."""
    verdicts = Counter(claim.verdict for claim in claims)
    buttons = "".join(
        f'<button type="button" aria-pressed="false" data-outcome="{verdict.value}">'
        f'<span class="verdict" data-item="{verdict.value}"><span class="sign" aria-hidden="true">'
        f"{WORDING[verdict].sign}</span>{WORDING[verdict].label}</span> {count(verdicts[verdict])}</button>"
        for verdict in WORDING
        if verdicts[verdict]
    )
    sections = "".join(f'<option value="{html_text(name)}">{html_text(name)}</option>' for name in in_sections(claims))
    return Html(
        '<div class="filters" id="filters" role="search" aria-label="Narrow the list of claims" hidden>'
        f'<div class="chips" role="group" aria-label="Verdicts">{buttons}</div>'
        '<label>Find <input type="search" id="filter-words" autocomplete="off" spellcheck="false"></label>'
        f'<label>Section <select id="filter-section"><option value="">all</option>{sections}</select></label>'
        '<label>Order <select id="filter-order"><option value="given">as in the papers</option>'
        '<option value="claim">by name</option><option value="verdict">by verdict</option></select></label>'
        f'<p role="status" id="filter-shown">{plural(len(claims), "claim")}</p>'
        '<button type="button" id="filter-clear" hidden>Show all</button></div>'
    )


def scoreboard(claims: Sequence[ClaimSummary], beside: Mapping[str, str] | None = None) -> Html:
    """All claims in one table: statement, what would reproduce it, every measurement drawn, the verdict.

    ``beside`` has what the papers print for a claim whose criterion names no number.
    """
    titles = ("Claim", "Statement", "Published", "Criterion", "Ours", "Verdict")
    sorting = {"Claim": ' data-order="claim"', "Verdict": ' data-order="verdict"'}
    head = "".join(f'<th scope="col"{sorting.get(title, "")}>{title}</th>' for title in titles)
    ordered = [claim for section in in_sections(claims).values() for claim in section]
    names = sorted(claims, key=lambda claim: natural_order(claim.claim))
    places = {claim.claim: place for place, claim in enumerate(names)}
    rows = "\n".join(_score(claim, places[claim.claim], (beside or {}).get(claim.claim, "")) for claim in ordered)
    table = (
        f'<table class="stack score" id="scoreboard"><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>'
    )
    return Html(f'<div class="wide">{filters(claims)}{scrolling("The claims and their verdicts", table)}</div>')


def tally(claim: ClaimSummary) -> Html:
    """The parameter along which the verdicts on a claim change, or how many each has; empty where all are alike."""
    if len(set(claim.corrected)) <= 1:
        return Html("")
    said = where_it_breaks(claim.items, claim.corrected) or counted(claim.corrected)
    return Html(f'<span class="tally">{html_text(said)}</span>')


def _score(claim: ClaimSummary, place: int, beside: str) -> str:
    first, verdict, section = claim.first, claim.verdict, html_text(section_of(claim))
    keys = (
        f'data-outcome="{verdict.value}" data-section="{section}" '
        f'data-place="{place}" data-rank="{list(WORDING).index(verdict)}"'
    )
    return (
        f'<tr {keys}><th scope="row">{claim_link(claim.claim)}<span class="origin">{section}</span></th>'
        f'<td><span class="statement">{html_text(first.statement)}</span>'
        f'<span class="origin">{html_text(first.source)}</span></td>'
        f'<td data-label="Published:">{html_text(published_numbers(claim.items, beside))}</td>'
        f'<td data-label="Criterion:">{html_text(criteria_line(claim.items))}</td>'
        f'<td data-label="Ours:">{drawn(claim)}{html_text(ours(claim))}</td>'
        f"<td>{badge(verdict, claim=claim.claim)}{tally(claim)}</td></tr>"
    )


def criteria_line(records: Sequence[EvidenceRecord]) -> str:
    """The criterion of a claim in one line."""
    phrases = criteria(records)
    return phrases[0] if len(phrases) == 1 else f"{plural(len(phrases), 'criterion', 'criteria')}, by case"


def ours(claim: ClaimSummary) -> str:
    """The measurements of a claim in one line: the value with its interval, or the range over cases."""
    return measured_line(claim.items) or (
        "no measurement" if claim.verdict is not Verdict.NOT_EVALUATED else "not measured"
    )


def measured_line(records: Sequence[EvidenceRecord]) -> str:
    """The measurements of ``records`` in one line, with an interval; empty if none has a number.

    The interval of several is the smallest that holds all of theirs.
    """
    found = [m for m, _ in numbers_of(records)]
    if not found:
        return ""
    if len(found) == 1:
        return with_interval(found[0])
    if len({m.unit for m in found}) > 1:
        return f"{plural(len(found), 'measurement')} in different units"
    places, factor = places_of(found), scale(found[0].unit)
    low, high = min(m.low for m in found), max(m.high for m in found)
    ends = (decimal_or_infinity(end * factor, places) for end in (low, high))
    values = span([m.value for m in found], found[0].unit, places)
    return f"{values} [{f',{NO_BREAK}'.join(ends)}] over {plural(len(found), 'case')}"


def numbers_of(records: Sequence[EvidenceRecord]) -> list[tuple[Measurement, EvidenceRecord]]:
    """The records that measured a number, each after its measurement."""
    return [(m, record) for record in records if (m := record.measured()) is not None and not m.is_missing]


def drawn(claim: ClaimSummary) -> Html:
    """The strip of a claim's measurements; none where the cases have different units."""
    found = numbers_of(claim.items)
    if not found or len({m.unit for m, _ in found}) > 1:
        return Html("")
    criteria = {record.criterion_text for _, record in found}
    bounds = Criterion.from_dict(found[0][1].criterion).region.ends if len(criteria) == 1 else None
    colours = [COLOURS.get(record.verdict, Colour.MUTED) for _, record in found]
    return strip([m for m, _ in found], colours, bounds, f"Measurements of claim {claim.claim}: {ours(claim)}.")


def parameters(records: Sequence[EvidenceRecord]) -> list[str]:
    """The names of the parameters of ``records``, in the order in which they occur."""
    return list(dict.fromkeys(str(name) for record in records for name in record.parameters))


def case_name(record: EvidenceRecord) -> str:
    """The parameters of a record in words; "all" for the one case of a claim without any."""
    return (
        listed(f"{name} {spelled(value)}" for name, value in record.parameters.items()) if record.parameters else "all"
    )


def words_of(node: str) -> str:
    """A node id without its file and parameters, as words."""
    return node.rpartition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")


def verdict_table() -> Html:
    """The meaning of each verdict, in the order in which they decide about a claim."""
    rows = tuple((badge(verdict), WORDING[verdict].meaning) for verdict in WORDING)
    return DataTable("The verdicts", (Column("verdict"), Column("meaning")), rows).html()
