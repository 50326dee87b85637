"""Claims as tables and cards: the scoreboard, every measurement, what the controls showed.

Decides how a claim and its evidence are laid out.  The words of a verdict come from
:mod:`universal_neurons.render.wording`, the numbers from the record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.evidence.criteria import Criterion
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measurement import Measurement
from universal_neurons.measures.universality import SHARE
from universal_neurons.render.escaping import Html, Markdown, fragment, html_text, markdown
from universal_neurons.render.evidence_log import accepted_interval, measured_of
from universal_neurons.render.grids import Cell, Column, Grid, measured, strip
from universal_neurons.render.numerals import EN_DASH, UNDEFINED, count, listed, places_of, plural, span, with_interval
from universal_neurons.render.plotting import Colour
from universal_neurons.render.wording import WORDING, counted, criterion_phrase, quantity, verdict_sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from universal_neurons.evidence.record import ClaimSummary, EvidenceRecord

DIGEST_SHOWN = 12
NUMBERS_SPELLED = 2
_COLOURS = {Verdict.REPRODUCED: Colour.GREEN, Verdict.REFUTED: Colour.VERMILION, Verdict.INCONCLUSIVE: Colour.ORANGE}


def anchor(claim: str) -> str:
    """The id of a claim's card."""
    return f"claim-{fragment(claim)}"


def badge(verdict: Verdict, *, claim: str = "") -> Html:
    """A verdict as sign and word; with ``claim`` it is that claim's, and the output check compares it with the log."""
    words = WORDING[verdict]
    marks = (
        f'data-claim="{html_text(claim)}" data-verdict="{verdict.value}"' if claim else f'data-item="{verdict.value}"'
    )
    return Html(
        f'<span class="verdict" {marks}><span class="sign" aria-hidden="true">{words.sign}</span>{words.label}</span>'
    )


def criteria(records: Sequence[EvidenceRecord]) -> list[str]:
    """What counts as reproducing the claim, in words, once per different criterion."""
    return list(
        dict.fromkeys(criterion_phrase(Criterion.from_dict(record.criterion), unit_of(records)) for record in records)
    )


def unit_of(records: Iterable[EvidenceRecord]) -> str:
    """The unit of what a claim measures; shares until something else was measured, as most claims are about shares."""
    return next((m.unit for record in records if (m := record.measured()) is not None), SHARE)


def published_numbers(records: Sequence[EvidenceRecord]) -> str:
    """The numbers of the papers that the criteria of a claim name; a dash where they name none."""
    found = [
        p.value for record in records for p in Criterion.from_dict(record.criterion).published if p.value is not None
    ]
    if not found:
        return EN_DASH
    spelled = list(dict.fromkeys(quantity(value, unit_of(records)) for value in found))
    return listed(spelled) if len(spelled) <= NUMBERS_SPELLED else f"{plural(len(spelled), 'number')}, by case"


def scoreboard(claims: Sequence[ClaimSummary]) -> Html:
    """All claims in one table: statement, what would reproduce it, every measurement drawn, the verdict."""
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("Claim", "Statement", "Published", "Criterion", "Ours", "Verdict")
    )
    rows = "\n".join(_score(claim) for claim in claims)
    return Html(
        '<div class="scroll" role="region" tabindex="0" aria-label="The claims and their verdicts">'
        f'<table class="stack"><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'
    )


def _score(claim: ClaimSummary) -> str:
    first = claim.first
    verdicts = [record.verdict for record in claim.items]
    tally = f'<span class="tally">{html_text(counted(verdicts))}</span>' if len(set(verdicts)) > 1 else ""
    name = f'<a href="claims.html#{anchor(claim.claim)}">{html_text(claim.claim)}</a>'
    return (
        f'<tr><th scope="row">{name}</th>'
        f'<td><span class="statement">{html_text(first.statement)}</span>'
        f'<span class="origin">{html_text(first.source)}</span></td>'
        f'<td data-label="Published:">{html_text(published_numbers(claim.items))}</td>'
        f'<td data-label="Criterion:">{html_text(_criteria_line(claim.items))}'
        f'<span class="origin">suite {html_text(first.suite)}</span></td>'
        f'<td data-label="Ours:">{_drawn(claim)}{html_text(ours(claim))}</td>'
        f"<td>{badge(claim.verdict, claim=claim.claim)}{tally}</td></tr>"
    )


def _criteria_line(records: Sequence[EvidenceRecord]) -> str:
    phrases = criteria(records)
    return phrases[0] if len(phrases) == 1 else f"{plural(len(phrases), 'criterion', 'criteria')}, by case"


def ours(claim: ClaimSummary) -> str:
    """What we measured, in one line: the value with its interval, or the range over the cases."""
    found = measured_of(claim)
    if not found:
        return "no measurement" if claim.verdict is not Verdict.NOT_EVALUATED else "not measured"
    if len(found) == 1:
        return with_interval(found[0])
    return f"{span([m.value for m in found], found[0].unit, places_of(found))} over {plural(len(found), 'case')}"


def _drawn(claim: ClaimSummary) -> Html:
    """The strip of a claim's measurements; none where the cases have different criteria or units."""
    judged = [(m, r) for r in claim.items if (m := r.measured()) is not None and not m.is_missing]
    if not judged:
        return Html("")
    criteria = {r.criterion_text for _, r in judged}
    bounds = accepted_interval(Criterion.from_dict(judged[0][1].criterion)) if len(criteria) == 1 else None
    colours = [_COLOURS.get(r.verdict, Colour.MUTED) for _, r in judged]
    if len({m.unit for m, _ in judged}) > 1:
        return Html("")
    return strip([m for m, _ in judged], colours, bounds, f"Measurements of claim {claim.claim}: {ours(claim)}.")


@dataclass(frozen=True, slots=True)
class Card:
    """The page section of one claim."""

    heading: Markdown
    statement: str
    facts: Html
    sentence: str
    measurements: Html
    controls: Html
    details: Html


def card(claim: ClaimSummary) -> Card:
    """Everything that the evidence says about one claim."""
    return Card(
        heading=Markdown(f"## {markdown(claim.claim)} {{#{anchor(claim.claim)} .unnumbered}}"),
        statement=claim.first.statement,
        facts=_facts(claim),
        sentence=verdict_sentence([record.verdict for record in claim.items]),
        measurements=_measurements(claim),
        controls=_controls(claim),
        details=_details(claim),
    )


def _facts(claim: ClaimSummary) -> Html:
    first = claim.first
    path, _, line = first.locator.rpartition(":")
    facts = {
        "Verdict": badge(claim.verdict, claim=claim.claim),
        "Source": html_text(first.source),
        "Criterion": html_text("; ".join(criteria(claim.items))),
        "Suite": html_text(first.suite),
        "Promise": html_text(first.promise),
        "Code": Html(f"<code>{html_text(first.locator if path else line)}</code>"),
        "Run just this": Html(f"<code>nox -s claims -- -k {html_text(claim.claim)}</code>"),
    }
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items())
    return Html(f"<dl>{rows}</dl>")


def _measurements(claim: ClaimSummary) -> Html:
    names = _parameters(claim.items)
    units = {m.unit for m in measured_of(claim)}
    places = places_of(measured_of(claim)) if len(units) == 1 else None
    rows = tuple(
        (
            *_parameter_cells(record, names),
            measured(record.measured(), places)
            if record.measurement is not None
            else Html('<span class="none">none</span>'),
            _over(record.measured()),
            badge(record.verdict),
            _because(record),
        )
        for record in claim.items
    )
    columns = (
        *(Column(name) for name in names),
        Column("measured"),
        Column("interval over"),
        Column("verdict"),
        Column("because"),
    )
    if not names:
        columns, rows = (Column("case"), *columns), tuple(("all", *row) for row in rows)
    return _without_empty_columns(Grid(f"What was measured for {claim.claim}", columns, rows)).html()


def _because(record: EvidenceRecord) -> str:
    """The reason, where a verdict is not a judgement of the number beside it."""
    judged = record.verdict in {Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE}
    return "" if judged else record.reason


def _over(measurement: Measurement | None) -> str:
    if measurement is None or measurement.is_missing:
        return ""
    return f"{measurement.over.value} (n = {count(measurement.n)})"


def _controls(claim: ClaimSummary) -> Html:
    rows = [
        (
            _test_name(control.test),
            _case_name(record),
            Html("–") if control.measurement is None else measured(Measurement.from_dict(control.measurement)),
            _control_outcome(control.verdict),
        )
        for record in claim.items
        for control in record.controls
    ]
    if not rows:
        return Html('<p class="quiet">No control was run.</p>')
    columns = (Column("control"), Column("case"), Column("measured"), Column("satisfies the criterion?"))
    shown = Grid(f"Controls of {claim.claim}", columns, tuple(rows)).html()
    satisfied = sum(c.verdict is Verdict.REPRODUCED for r in claim.items for c in r.controls)
    said = f"Controls: {plural(len(rows), 'case')}, {count(satisfied)} of them satisfied the criterion"
    return Html(f"<details{' open' if satisfied else ''}><summary>{said}</summary>{shown}</details>")


def _control_outcome(verdict: Verdict) -> Html:
    if verdict is Verdict.REPRODUCED:
        return Html(f'<span class="verdict" data-item="{Verdict.REFUTED.value}">yes: the claim is vacuous here</span>')
    if verdict in {Verdict.ERROR, Verdict.STALE}:
        return badge(verdict)
    return html_text("no, as it must")


def _details(claim: ClaimSummary) -> Html:
    """The numbers that belong to the measurements but were not judged, and what they were computed from."""
    found = [(record, m) for record in claim.items if (m := record.measured()) is not None and m.details]
    names = list(dict.fromkeys(name for _, m in found for name in m.details))
    digests = sorted({digest for record in claim.items for digest in record.artifacts})
    parts: list[str] = []
    if names:
        columns = (Column("case"), *(Column(name.replace("_", " ")) for name in names))
        rows = tuple((_case_name(record), *(_plain(m.details.get(name)) for name in names)) for record, m in found)
        parts.append(
            Grid(f"Further numbers of {claim.claim}, not judged; shares as fractions", columns, rows).html(css="data")
        )
    if digests:
        shown = " ".join(f'<span class="digest">{html_text(digest[:DIGEST_SHOWN])}</span>' for digest in digests)
        parts.append(f'<p class="source">From {plural(len(digests), "artifact")}: {shown}</p>')
    if not parts:
        return Html("")
    return Html(f"<details><summary>Further numbers and artifacts</summary>{''.join(parts)}</details>")


def _plain(number: float | None) -> str:
    return UNDEFINED if number is None or math.isnan(number) else f"{number:.4g}"


def _parameters(records: Sequence[EvidenceRecord]) -> list[str]:
    return list(dict.fromkeys(str(name) for record in records for name in record.parameters))


def _parameter_cells(record: EvidenceRecord, names: Sequence[str]) -> tuple[Cell, ...]:
    return tuple(spelled(record.parameters.get(name, "")) for name in names)


def _case_name(record: EvidenceRecord) -> str:
    return (
        listed(f"{name} {spelled(value)}" for name, value in record.parameters.items()) if record.parameters else "all"
    )


def spelled(value: object) -> str:
    """A parameter in words: a checkpoint by its label, an interval by the labels of its ends."""
    if isinstance(value, Mapping):
        ends = (spelled(value[end]) for end in ("earlier", "later") if end in value)
        return " to ".join(ends) or str(value.get("label", value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _test_name(node: str) -> str:
    """A node id without its file and parameters, as words."""
    return node.rpartition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")


def _without_empty_columns(grid: Grid) -> Grid:
    """``grid`` without the columns after the first in which no row says anything."""
    keep: Callable[[int], bool] = lambda i: i < grid.row_headers or any(row[i] not in ("", None) for row in grid.rows)  # noqa: E731
    kept = [i for i in range(len(grid.columns)) if keep(i)]
    rows = tuple(tuple(row[i] for i in kept) for row in grid.rows)
    return Grid(grid.caption, tuple(grid.columns[i] for i in kept), rows, grid.row_headers)


def verdict_table() -> Html:
    """What each verdict means, in the order in which they decide about a claim."""
    rows = tuple((badge(verdict), WORDING[verdict].meaning) for verdict in WORDING)
    return Grid("The verdicts", (Column("verdict"), Column("meaning")), rows).html()
