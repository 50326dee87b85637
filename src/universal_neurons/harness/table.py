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
# With it a line fits 80 columns, whatever the verdict.
_LONGEST_NAME = 14
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
    if not summaries:
        return []
    ids, said, *cells = (list(column) for column in zip(*map(_cells, summaries), strict=True))
    # A longer name takes of the room beside its verdict: a column as wide as it would not fit a narrow terminal.
    longest = max((len(one) for one in ids if len(one) <= _LONGEST_NAME), default=_LONGEST_NAME)
    names = [one.ljust(longest) for one in ids]
    room = max(map(len, said)) + longest
    verdicts = [text.ljust(room - len(name)) for name, text in zip(names, said, strict=True)]
    taken = max(len(name) + len(text) for name, text in zip(names, verdicts, strict=True)) + 2 * _GAP
    lines = _in_columns(summaries, cells, width - taken) if width >= WIDE else _in_lines(cells, width - taken)
    indent = " " * (longest + _GAP)
    return [
        VerdictLines(
            name,
            verdict,
            rest[0],
            tuple(
                indent + part
                for text in (*rest[1:], *_texts(one, width))
                for part in _wrapped(text, width - len(indent))
            ),
            one.verdict,
        )
        for name, verdict, rest, one in zip(names, verdicts, lines, summaries, strict=True)
    ]


def _texts(summary: ClaimSummary, width: int) -> list[str]:
    """What stands below a verdict: where it changes, and the statement if that is not beside it."""
    where = where_it_breaks(summary.items, summary.corrected, word=word)
    return [where] if width >= WIDE else [where, visible(summary.first.statement)]


def _in_columns(summaries: Sequence[ClaimSummary], cells: Sequence[Sequence[str]], room: int) -> list[list[str]]:
    """One line each: the cells, criterion and statement in columns, the last shortened to the ``room`` left."""
    # There is no column of p values where no claim was corrected.
    columns = [[text.ljust(max(map(len, column))) for text in column] for column in cells if any(column)]
    columns.append(_criteria(summaries))
    left = min(_MAX_STATEMENT, max(_MIN_STATEMENT, room - sum(len(column[0]) + _GAP for column in columns)))
    columns.append([textwrap.shorten(visible(one.first.statement), left, placeholder="...") for one in summaries])
    return [[(" " * _GAP).join(texts).rstrip()] for texts in zip(*columns, strict=True)]


def _in_lines(cells: Sequence[Sequence[str]], room: int) -> list[list[str]]:
    """The cells of each in one line if there is ``room`` for it, else in a line each: columns would take more."""
    return [_together([text for text in texts if text], room) for texts in zip(*cells, strict=True)]


def _together(texts: list[str], room: int) -> list[str]:
    line = (" " * _GAP).join(texts)
    return [line] if len(line) <= room else texts


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
