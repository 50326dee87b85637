"""The page of one claim: verdict, measurements, controls, readings, history and commands."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from shlex import quote
from typing import TYPE_CHECKING, Any

from universal_neurons.evidence.criteria import Criterion
from universal_neurons.evidence.judging import what_would_decide
from universal_neurons.evidence.split import spelled, where_it_breaks
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measurement import Measurement, Over
from universal_neurons.render.escaping import Html, Markdown, fragment, html_text, markdown
from universal_neurons.render.figures.strips import MARK_WIDTH, StripAxis, mark
from universal_neurons.render.figures.style import Colour
from universal_neurons.render.formatting import (
    count,
    decimal,
    is_share,
    listed,
    places_of,
    plural,
    probability,
    scale,
    span,
    suffix,
)
from universal_neurons.render.links import page_of
from universal_neurons.render.listings import Listing
from universal_neurons.render.pages.claim_neurons import ClaimNeurons, neurons_of
from universal_neurons.render.pages.scoreboard import (
    COLOURS,
    badge,
    case_name,
    criteria,
    drawn,
    marks,
    measured_line,
    numbers_of,
    parameters,
    published_numbers,
    section_of,
    words_of,
)
from universal_neurons.render.pages.sentences import in_the_papers_words, sentences_of
from universal_neurons.render.tables import Cell, Column, DataTable, Room, measured, short_digest
from universal_neurons.render.templates import known
from universal_neurons.render.wording import verdict_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.evidence.history import Accepted
    from universal_neurons.evidence.ledger import Ledger
    from universal_neurons.evidence.record import ControlResult, EvidenceRecord
    from universal_neurons.evidence.summary import ClaimSummary, ReadingSummary
    from universal_neurons.render.pages.sentences import Sentence

ROWS_SHOWN = 24
CORRECTIONS = {"holm": "Holm", "benjamini-hochberg": "Benjamini and Hochberg"}
UNJUDGED = frozenset({Verdict.NOT_EVALUATED, Verdict.ERROR, Verdict.STALE})
_DECIDED = (Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE)


@dataclass(frozen=True)
class Neighbours:
    """The claims before and after one in the order of the list; None at its ends."""

    before: str | None
    after: str | None


@dataclass(frozen=True)
class Background:
    """Context of a claim's page besides the record of the run.

    ``accepted`` is the ledger of the suite and ``past`` all verdicts that were accepted before, ``stages`` the stage of
    every artifact by digest, ``tests`` where the tests of the claims stand, ``neurons`` what each claim is about,
    ``sentences`` the papers' own, ``beside`` the numbers that they print for a claim.
    """

    accepted: Ledger
    past: Sequence[Accepted]
    stages: Mapping[str, str]
    tests: Mapping[str, Listing]
    neurons: Mapping[str, ClaimNeurons | None]
    sentences: Sequence[Sentence] = ()
    beside: Mapping[str, str] = field(default_factory=dict)


def claim_page(claim: ClaimSummary, beside: Neighbours, known_of: Background) -> dict[str, Any]:
    """The values of the page of ``claim``."""
    return known(
        {
            # JSON's strings are YAML's, and Markdown's backslashes must survive them.
            "title": lambda: Markdown(json.dumps(f"Claim {markdown(claim.claim)}", ensure_ascii=False)),
            "crumb": lambda: Markdown(json.dumps(str(markdown(section_of(claim).capitalize())), ensure_ascii=False)),
            "statement": lambda: claim.first.statement,
            "printed": lambda: in_the_papers_words(sentences_of(claim.claim, known_of.sentences)),
            "outcome": lambda: outcome(claim),
            "facts": lambda: facts(claim, known_of.tests.get(claim.claim), known_of.beside.get(claim.claim, "")),
            "rule": lambda: (known_of.tests.get(claim.claim) or Listing("")).reason,
            "measurements": lambda: measurements(claim),
            "unmeasured": lambda: unmeasured(claim),
            "correction": lambda: correction_sentence(claim),
            "controls": lambda: controls(claim),
            "readings": lambda: readings(claim),
            "history": lambda: history(claim, known_of.accepted, known_of.past),
            "neurons": lambda: neurons_of(known_of.neurons.get(claim.claim)),
            "commands": lambda: commands(claim),
            "artifacts": lambda: artifacts(claim, known_of.stages),
            "turn": lambda: turn(beside),
        }
    )


def outcome(claim: ClaimSummary) -> Html:
    """The verdict in large type, a sentence with its meaning, and the parameter along which it changes, if one does."""
    says = html_text(verdict_sentence(claim.corrected))
    breaks = where_it_breaks(claim.items, claim.corrected)
    where = f'<span class="says">{html_text(breaks[0].upper() + breaks[1:])}.</span>' if breaks else ""
    registration = claim.first.registration
    rule = f"<p>{html_text(f'The rule: {registration}.')}</p>" if registration else ""
    return Html(
        f'<div class="outcome">{badge(claim.verdict, claim=claim.claim)}'
        f'<span class="says" {marks(claim.verdict, claim=claim.claim)}>{says}</span>{where}</div>{rule}'
    )


def facts(claim: ClaimSummary, test: Listing | None = None, beside: str = "") -> Html:
    """The facts fixed before the measurement: source, section, criterion, published number, suite, promise, test."""
    first = claim.first
    corrected = f"{CORRECTIONS[first.correction]}, within {first.family}" if first.correction else "none"
    rows = {
        "Source": html_text(first.source),
        "Section": html_text(section_of(claim)),
        "Criterion": html_text("; ".join(criteria(claim.items))),
        "Published": html_text(published_numbers(claim.items, beside)),
        "Suite": html_text(first.suite),
        "Correction": html_text(corrected),
        "Promise": html_text(first.promise),
        "Test": (test or Listing(first.locator)).link(root="../"),
    }
    return Html("<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows.items()) + "</dl>")


def measurements(claim: ClaimSummary) -> Html:
    """Every number with its interval drawn on one axis; empty where there is none."""
    found = [(place, record) for place, record in enumerate(claim.items) if _has_number(record)]
    if not found:
        return Html("")
    numbers = [m for m, _ in numbers_of(claim.items)]
    alike = len({m.unit for m in numbers}) == 1
    spelling = _Spelling.of(numbers)
    bounds = {place: Criterion.from_dict(record.criterion).region.ends for place, record in found}
    axis = StripAxis.over(numbers, bounds.values(), MARK_WIDTH) if alike else None
    names, common = _split(claim.items)
    kinds = list(dict.fromkeys(_over(m) for m in numbers))
    rows = tuple(
        _row(claim, place, record, names, spelling, axis, bounds[place], alike_over=len(kinds) == 1)
        for place, record in found
    )
    over = ["over"] if len(kinds) != 1 else []
    titles = [*(names or ["case"]), "measured", _axis_title(axis, numbers), "n", *over, "adjusted p", "verdict", "note"]
    caption = f"What was measured for {claim.claim}{f', {common} throughout' if common else ''}"
    if len(kinds) == 1:
        caption += f"; {kinds[0]}" if kinds[0] == "no interval" else f"; intervals over {kinds[0]}"
    columns = tuple(Column(title, 0 if title == "n" else None) for title in titles)
    table = _without_empty_columns(DataTable(caption, columns, rows), max(1, len(names))).html(css="cases")
    if len(rows) <= ROWS_SHOWN:
        return table
    drawing = f'<p class="many">{drawn(claim)}{html_text(measured_line(claim.items))}</p>' if alike else ""
    return Html(f"{drawing}<details><summary>All {plural(len(rows), 'case')}</summary>{table}</details>")


def _split(records: Sequence[EvidenceRecord]) -> tuple[list[str], str]:
    """The parameters in which the cases differ, and in words those that all of them share."""
    names = parameters(records)
    values = {
        name: list(dict.fromkeys(spelled(record.parameters.get(name, "")) for record in records)) for name in names
    }
    if len(records) == 1:
        return names, ""
    common = [name for name in names if len(values[name]) == 1]
    return [n for n in names if n not in common], listed(
        f"{name} {values[name][0]}" for name in common
    ) if common else ""


def _has_number(record: EvidenceRecord) -> bool:
    return record.measurement is not None and record.command is None


def _row(
    claim: ClaimSummary,
    place: int,
    record: EvidenceRecord,
    names: Sequence[str],
    spelling: _Spelling,
    axis: StripAxis | None,
    bounds: tuple[float | None, float | None] | None,
    *,
    alike_over: bool,
) -> tuple[Cell, ...]:
    m = record.measured()
    shown = m is not None and not m.is_missing
    colour = COLOURS.get(record.verdict, Colour.MUTED)
    tested = claim.tested.get(record.test)
    return (
        *([spelled(record.parameters.get(name, "")) for name in names] or ["all"]),
        measured(m, spelling.places, spelling.room),
        mark(m, colour, bounds, axis) if shown and m is not None and axis is not None else "",
        count(m.n) if shown and m is not None else "",
        *([] if alike_over else [_over(m)]),
        "" if tested is None or math.isnan(tested.adjusted) else probability(tested.adjusted),
        badge(record.verdict, case=f"{claim.claim}/{place}"),
        _note(claim, place, record),
    )


def _axis_title(axis: StripAxis | None, numbers: Sequence[Measurement]) -> str:
    if axis is None:
        return "interval"
    unit = numbers[0].unit
    ends = [end * scale(unit) for end in (axis.low, axis.high)]
    places = max(0, 1 - math.floor(math.log10(max(abs(end) for end in ends) or 1)))
    low, high = (decimal(end, min(places, 4)) for end in ends)
    return f"{low} to {high}{suffix(unit) if is_share(unit) else ''}"


def _over(m: Measurement | None) -> str:
    """Over what the interval is; the number of units is another matter, as an interval may resample something else."""
    if m is None or m.is_missing:
        return ""
    return "no interval" if m.over is Over.NOTHING else m.over.value


def _note(claim: ClaimSummary, place: int, record: EvidenceRecord) -> str:
    """A note on a case: why it is not judged, how much data would decide it, or the effect of the correction."""
    if record.verdict is Verdict.VACUOUS:
        satisfied = [words_of(control.test) for control in record.controls if control.verdict is Verdict.REPRODUCED]
        return f"the control “{listed(satisfied)}” satisfies it too" if satisfied else record.reason
    if record.verdict not in _DECIDED:
        return record.reason
    if claim.corrected[place] is not record.verdict:
        return "counts as inconclusive after the correction"
    return _decided_by(record)


def _decided_by(record: EvidenceRecord) -> str:
    """What would decide an inconclusive case if its value stayed as observed; empty for any other."""
    m = record.measured()
    if m is None or record.verdict is not Verdict.INCONCLUSIVE:
        return ""
    return what_would_decide(Criterion.from_dict(record.criterion), m)


def unmeasured(claim: ClaimSummary) -> str:
    """The cases without a number, by what kept them from one; empty where every case has one."""
    reasons: dict[str, int] = {}
    for record in claim.items:
        if not _has_number(record):
            reasons[record.reason] = reasons.get(record.reason, 0) + 1
    whole = len(claim.items) if len(reasons) == 1 else 0
    parts = [
        f"{_all(number) if number == whole else plural(number, 'case')} without a number: {reason}."
        for reason, number in reasons.items()
    ]
    return " ".join(parts)


def _all(number: int) -> str:
    return "The one case is" if number == 1 else f"All {plural(number, 'case')} are"


def correction_sentence(claim: ClaimSummary) -> str:
    """A sentence on the effect of the correction for multiple testing; empty if there is none."""
    first = claim.first
    if first.correction is None:
        return ""
    name = CORRECTIONS[first.correction]
    refuted = sum(record.verdict is Verdict.REFUTED for record in claim.items)
    taken = sum(own.verdict is not counted for own, counted in zip(claim.items, claim.corrected, strict=True))
    if taken:
        did = f"It takes back {plural(taken, 'refutation')}: the p value adjusted by {name} no longer supports it."
    elif refuted:
        did = "It takes back no refutation here."
    else:
        did = "There is none here."
    return f"Refutations are corrected by {name} over the claims of the family {first.family} that ask for it. {did}"


def controls(claim: ClaimSummary) -> Html:
    """The results of the controls, one row per control; the record beside the report has every case."""
    cases = [(control, record) for record in claim.items for control in record.controls]
    if not cases:
        return Html('<p class="quiet">No control was run.</p>')
    names = list(dict.fromkeys(control.test.partition("[")[0] for control, _ in cases))
    found = {name: [c for c, _ in cases if c.test.partition("[")[0] == name] for name in names}
    single = [m for part in found.values() if len(numbers := _numbers(part)) == 1 for m in numbers]
    rows = tuple(_control_row(name, part, _Spelling.of(single)) for name, part in found.items())
    columns = tuple(map(Column, ("control", "measured", "satisfies the criterion?")))
    return DataTable(f"Controls of {claim.claim}", columns, rows).html(css="stack")


@dataclass(frozen=True, slots=True)
class _Spelling:
    """The format of a column of measurements that aligns their decimal points."""

    places: int | None = None
    room: Room | None = None

    @classmethod
    def of(cls, numbers: Sequence[Measurement]) -> _Spelling:
        """The common format of ``numbers``; no alignment if their units differ."""
        if not numbers or len({m.unit for m in numbers}) > 1:
            return cls()
        places = places_of(numbers)
        return cls(places, Room.of(numbers, places))


def _numbers(controls: Sequence[ControlResult]) -> list[Measurement]:
    read = [Measurement.from_dict(c.measurement) for c in controls if c.measurement is not None]
    return [m for m in read if not m.is_missing]


def _control_row(name: str, cases: Sequence[ControlResult], spelling: _Spelling) -> tuple[Cell, ...]:
    found = _numbers(cases)
    satisfied = sum(control.verdict is Verdict.REPRODUCED for control in cases)
    broken = sum(control.verdict in {Verdict.ERROR, Verdict.STALE} for control in cases)
    if all(_is_absent(control) for control in cases):
        said: Cell = "not measured: the suite lacks the data"
    elif broken:
        said = f"broken in {count(broken)} of {plural(len(cases), 'case')}"
    elif satisfied:
        said = Html(
            f'<span class="verdict" data-item="{Verdict.REFUTED.value}">'
            f"in {count(satisfied)} of {plural(len(cases), 'case')}: vacuous there</span>"
        )
    else:
        said = "no, as required" if len(cases) == 1 else f"no, as required, in all {plural(len(cases), 'case')}"
    return words_of(name), _range(found, spelling), said


def _is_absent(control: ControlResult) -> bool:
    """Return whether the suite lacks the data of a control, which is then neither satisfied nor failed."""
    return control.verdict is Verdict.NOT_EVALUATED and control.measurement is None


def _range(found: Sequence[Measurement], spelling: _Spelling) -> Cell:
    if not found:
        return Html('<span class="none">nothing to measure</span>')
    if len(found) == 1:
        return measured(found[0], spelling.places, spelling.room)
    if len({m.unit for m in found}) > 1:
        return "in different units"
    return span([m.value for m in found], found[0].unit, places_of(found))


def changes(reading: ReadingSummary, claim: ClaimSummary) -> bool:
    """Return whether a judged reading has another verdict than the claim."""
    return reading.verdict is not claim.verdict and reading.verdict not in UNJUDGED


def readings(claim: ClaimSummary) -> Html:
    """The verdicts under other readings of the paper; readings that change the verdict are marked."""
    if not claim.readings:
        return Html("")
    ordered = sorted(claim.readings, key=lambda reading: (reading.ambiguity[:1], int(reading.ambiguity[1:] or 0)))
    rows = tuple(
        (
            Html(f'<a href="../readings.html#{fragment(reading.ambiguity)}">{html_text(reading.ambiguity)}</a>'),
            reading.says,
            measured_line(reading.items) or "not measured",
            badge(reading.verdict, reading=f"{claim.claim}/{reading.name}"),
        )
        for reading in ordered
    )
    marked = frozenset(place for place, reading in enumerate(ordered) if changes(reading, claim))
    columns = tuple(map(Column, ("ambiguity", "read as", "measured", "verdict then")))
    said = _readings_sentence(len(rows), len(marked), sum(r.verdict in UNJUDGED for r in ordered))
    table = DataTable(f"Readings of {claim.claim}", columns, rows, marked=marked)
    return Html(f'<p class="said">{said}</p>{table.html(css="stack readings")}')


def _readings_sentence(every: int, changed: int, unjudged: int) -> str:
    if unjudged == every:
        return (
            f"{'It' if every == 1 else f'None of the {count(every)}'} came to {'no' if every == 1 else 'a'} judgement."
        )
    of = f" of {count(every)}" if every > 1 else ""
    did = f"{plural(changed, 'reading') if changed else 'No reading'}{of} would change the verdict"
    return f"{did}; {count(unjudged)} came to no judgement." if unjudged else f"{did}."


def history(claim: ClaimSummary, accepted: Ledger, past: Sequence[Accepted] = ()) -> Html:
    """The accepted verdict beside this run's, the cases that differ, and all verdicts accepted before."""
    return Html(f"{_beside_accepted(claim, accepted)}{_past(claim, past)}")


def _past(claim: ClaimSummary, past: Sequence[Accepted]) -> Html:
    """The verdicts that were accepted, the latest first, each with what else changed; nothing where none is known."""
    entries = [entry for entry in past if entry.claim == claim.claim]
    rows: list[tuple[Cell, ...]] = [
        (
            entry.date.isoformat(),
            badge(entry.verdict),
            entry.because(before),
            entry.criterion,
            short_digest(entry.evidence),
        )
        for before, entry in zip([None, *entries], entries, strict=False)
    ]
    titles = ("accepted on", "verdict", "because", "criterion then", "digest of the evidence")
    table = _without_empty_columns(
        DataTable(f"Every accepted verdict of {claim.claim}", tuple(map(Column, titles)), tuple(reversed(rows))), 3
    )
    return table.html() if rows else Html("")


def _beside_accepted(claim: ClaimSummary, accepted: Ledger) -> Html:
    agreed = accepted.accepted_claim(claim.claim)
    if agreed is None:
        return Html('<p class="quiet">No verdict on this claim has been accepted for this suite.</p>')
    before = [(r, accepted.accepted(claim.claim, r.item)) for r in claim.items]
    rows = [("the claim", badge(agreed), badge(claim.verdict, claim=claim.claim))]
    rows += [
        (case_name(record), badge(old), badge(record.verdict, case=f"{claim.claim}/{place}"))
        for place, (record, old) in enumerate(before)
        if old is not None and old is not record.verdict
    ]
    new = sum(old is None for _, old in before)
    columns = tuple(map(Column, ("what", "accepted verdict", "this run")))
    table = DataTable(f"Accepted verdicts of {claim.claim}", columns, tuple(rows))
    said = (
        "No case differs from its accepted verdict."
        if len(rows) == 1
        else f"{plural(len(rows) - 1, 'case')} with another verdict."
    )
    more = f" {plural(new, 'case')} had none before." if new else ""
    return Html(f'{table.html()}<p class="source">{said}{more}</p>')


def commands(claim: ClaimSummary) -> Html:
    """The commands that compute missing artifacts and judge this claim alone."""
    first = claim.first
    missing = list(dict.fromkeys(r.command for r in claim.items if r.command is not None))
    options = f"--claims {quote(first.claim)} --suite {quote(first.suite)} {first.narrowed_by}".rstrip()
    text = "\n".join(map(html_text, [*missing, f"nox -s claims -- {options}", f"pytest claims {options}"]))
    return Html(f'<pre tabindex="0" role="region" aria-label="Commands"><code>{text}</code></pre>')


def artifacts(claim: ClaimSummary, stages: Mapping[str, str]) -> Html:
    """The digests of what the claim was judged from, by stage."""
    digests = sorted({digest for record in claim.items for digest in record.artifacts})
    if not digests:
        return Html('<p class="quiet">No artifact was read.</p>')
    by_stage: dict[str, list[str]] = {}
    for digest in digests:
        by_stage.setdefault(stages.get(digest, "unknown"), []).append(digest)
    rows = "".join(
        f"<dt>{html_text(stage)} ({count(len(part))})</dt><dd>"
        + " ".join(short_digest(digest) for digest in part)
        + "</dd>"
        for stage, part in sorted(by_stage.items())
    )
    summary = f"Judged from {plural(len(digests), 'artifact')}"
    return Html(
        f'<details><summary>{summary}</summary><dl class="digests">{rows}</dl>'
        '<p class="source">Whole digests: <a href="../data/artifacts.csv">the list of artifacts</a>.</p></details>'
    )


def turn(beside: Neighbours) -> Html:
    """Links to the claims before and after."""
    links = []
    for label, css, claim in (("before", "before", beside.before), ("after", "after", beside.after)):
        if claim is not None:
            arrow = ("← ", "") if label == "before" else ("", " →")
            target = page_of(claim).rpartition("/")[2]
            links.append(f'<a class="{css}" href="{target}">{arrow[0]}{html_text(claim)}{arrow[1]}</a>')
    return Html(f'<nav class="turn" aria-label="Neighbouring claims">{"".join(links)}</nav>')


def _without_empty_columns(table: DataTable, kept_first: int) -> DataTable:
    """``table`` without its empty columns; the ``kept_first`` first ones are always kept."""
    kept = [
        place
        for place in range(len(table.columns))
        if place < kept_first or any(row[place] not in ("", None) for row in table.rows)
    ]
    rows = tuple(tuple(row[place] for place in kept) for row in table.rows)
    return DataTable(table.caption, tuple(table.columns[place] for place in kept), rows, table.row_headers)
