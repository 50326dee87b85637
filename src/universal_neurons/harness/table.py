"""Verdicts at the end of a run, as plain text: what was decided about each claim first, its statement after it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.characters import visible
from universal_neurons.evidence.criteria import Criterion
from universal_neurons.evidence.split import in_full, where_it_breaks
from universal_neurons.evidence.verdict import Verdict, tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from universal_neurons.evidence.summary import ClaimSummary
    from universal_neurons.measurement import Measurement

# From this width on, criterion and statement stand on the line of the verdict.
WIDE = 130
# Fewest characters of a line of a statement, however narrow the terminal.
_NARROWEST = 40
_MAX_CRITERION = 36
_MIN_STATEMENT = 24
# On a wider one the eye loses the line.
_MAX_STATEMENT = 100
_GAP = 2
_SMALLEST_P = 0.001
_WORDS = {Verdict.INCONCLUSIVE: "open"}


@dataclass(frozen=True, slots=True)
class VerdictLines:
    """The lines about one claim: its id, its verdict in words, the rest of that line, and the lines ``below``."""

    claim: str
    said: str
    rest: str
    below: tuple[str, ...]
    verdict: Verdict


def verdict_lines(claims: Iterable[ClaimSummary], *, width: int) -> list[VerdictLines]:
    """The lines about every claim, aligned; a statement is wrapped below its verdict, or shortened beside it."""
    summaries = list(claims)
    cells = [list(column) for column in zip(*map(_cells, summaries), strict=True)]
    if not summaries:
        return []
    # There is no column of p values where no claim was corrected.
    names, verdicts, *rest = ([text.ljust(max(map(len, column))) for text in column] for column in cells if any(column))
    indent = " " * (len(names[0]) + _GAP)
    statements = [visible(summary.first.statement) for summary in summaries]
    breaks = [where_it_breaks(summary.items, summary.corrected, word=word) for summary in summaries]
    beside = statements if width >= WIDE else [""] * len(summaries)
    if width >= WIDE:
        rest.append(_criteria(summaries))
        room = width - sum(len(column[0]) + _GAP for column in (names, verdicts, *rest))
        beside = [
            textwrap.shorten(text, min(_MAX_STATEMENT, max(_MIN_STATEMENT, room)), placeholder="...")
            for text in statements
        ]
    wrapped = [
        [*_wrapped(where, width - len(indent)), *([] if width >= WIDE else _wrapped(text, width - len(indent)))]
        for where, text in zip(breaks, statements, strict=True)
    ]
    return [
        VerdictLines(
            name,
            said,
            (" " * _GAP).join([*texts, statement]).rstrip(),
            tuple(indent + line for line in below),
            summary.verdict,
        )
        for name, said, texts, statement, below, summary in zip(
            names, verdicts, zip(*rest, strict=True), beside, wrapped, summaries, strict=True
        )
    ]


def counted(claims: Iterable[ClaimSummary]) -> str:
    """The number of claims with each verdict: ``7 reproduced · 14 refuted · 15 open``."""
    counts = tally(claim.verdict for claim in claims)
    order = (Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE, *counts)
    return " · ".join(f"{counts[verdict]} {word(verdict)}" for verdict in dict.fromkeys(order) if verdict in counts)


def word(verdict: Verdict) -> str:
    """A verdict as a terminal says it: open where intervals reach across the bound."""
    return _WORDS.get(verdict, in_full(verdict))


def measured_of(claim: ClaimSummary) -> list[Measurement]:
    """The measurements of a claim's cases, without the missing ones."""
    return [m for record in claim.items if (m := record.measured()) is not None and not m.is_missing]


def measured_cell(measurements: Sequence[Measurement]) -> str:
    """The range of the values and the interval that holds all intervals: ``3.0 to 3.6 % [2.4, 4.1]``.

    Shares are in per cent with one decimal, nats have three decimals, other numbers two; one more where everything
    would be zero.
    """
    units = {m.unit for m in measurements}
    if len(units) != 1:
        return "several units" if units else "nothing"
    (unit,) = units
    scale, decimals = (100, 1) if unit == "share" else (1, 3 if unit == "nats" else 2)
    values, lows, highs = ([getattr(m, name) * scale for m in measurements] for name in ("value", "low", "high"))
    ends = (min(values), max(values), min(lows), max(highs))
    if all(abs(end) < 0.5 / 10**decimals for end in ends):
        decimals += 1
    smallest, largest, low, high = (_decimal(end, decimals) for end in ends)
    between = smallest if smallest == largest else f"{smallest} to {largest}"
    suffix = {"share": " %", "nats": " nats", "sd of draws": " sd"}.get(unit, "")
    return f"{between}{suffix} [{low}, {high}]"


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` characters; a number and its per cent sign stay on one line."""
    glued = text.replace(" %", "\u00a0%")
    return [line.replace("\u00a0", " ") for line in textwrap.wrap(glued, max(_NARROWEST, width))]


def _decimal(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def _cells(summary: ClaimSummary) -> tuple[str, str, str, str]:
    """Id, verdict, measured range and p value of a claim."""
    p = summary.adjusted_p
    shown = "" if p is None else f"p {p:.2g}" if p >= _SMALLEST_P else f"p <{_SMALLEST_P:g}"
    return visible(summary.claim), cases_said(summary), measured_cell(measured_of(summary)), shown


def cases_said(summary: ClaimSummary) -> str:
    """The verdict of a claim and the number of its cases that have it."""
    total, count = len(summary.items), tally(summary.corrected)[summary.verdict]
    said = word(summary.verdict)
    if total == 1:
        return said
    return f"{said} ({total})" if count == total else f"{said} ({count} of {total})"


def _criteria(summaries: Sequence[ClaimSummary]) -> list[str]:
    texts = [visible(Criterion.from_dict(summary.first.criterion).without_sources().text()) for summary in summaries]
    short = [textwrap.shorten(text, _MAX_CRITERION, placeholder="...") for text in texts]
    return [text.ljust(max(map(len, short))) for text in short]
