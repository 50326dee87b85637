"""Table of verdicts in the README, written from a run of the claims.

``pytest claims --update-verdicts`` rewrites the text between :data:`BEGIN` and :data:`END` for the suite
:data:`README_SUITE`; the rest of the README is prose.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from universal_neurons.evidence.criteria import Criterion, NotJudged
from universal_neurons.evidence.record import replace_text
from universal_neurons.evidence.summary import by_kind
from universal_neurons.evidence.verdict import Verdict, tally
from universal_neurons.harness.table import measured_cell, measured_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from universal_neurons.evidence.claim import ClaimKind
    from universal_neurons.evidence.summary import ClaimSummary

README_SUITE = "mini"
BEGIN, END = "<!-- verdicts -->\n", "<!-- /verdicts -->"
HEADINGS = (
    "claim",
    "statement",
    f"criterion on {README_SUITE}",
    "measured, with the outermost interval ends",
    "verdict",
)
_WIDTH = 120
_MARK = "\\*"
_REGISTRATION = (
    f"{_MARK} The rule was registered or changed after the suite was measured: "
    "`fixtures/verdicts/registered.toml` says when and why."
)
# The order of the opening sentence; each verdict's words for one claim and for several.
_PHRASES = {
    Verdict.REPRODUCED: ("is reproduced", "are reproduced"),
    Verdict.REFUTED: ("is refuted", "are refuted"),
    Verdict.INCONCLUSIVE: (
        "stays open because its intervals reach across the bound",
        "stay open because their intervals reach across the bound",
    ),
    Verdict.VACUOUS: (
        "is vacuous because a control satisfies it too",
        "are vacuous because a control satisfies them too",
    ),
    Verdict.NOT_EVALUATED: ("cannot be judged on it", "cannot be judged on it"),
    Verdict.STALE: ("was judged by another criterion", "were judged by another criterion"),
    Verdict.ERROR: ("has no verdict because its test failed", "have no verdict because their tests failed"),
}
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def update_readme(path: Path, claims: Sequence[ClaimSummary]) -> bool:
    """Write the verdicts of ``claims`` into the README at ``path``; return True if that changed it.

    A file without the markers is left alone.
    """
    text, updated = _read(path), readme_with(_read(path), claims)
    if updated != text:
        replace_text(path, updated)
    return updated != text


def is_current(path: Path, claims: Sequence[ClaimSummary]) -> bool:
    """True if the README at ``path`` has the verdicts of ``claims``, or no markers to put them between."""
    return readme_with(_read(path), claims) == _read(path)


def readme_with(text: str, claims: Sequence[ClaimSummary]) -> str:
    """The README's ``text`` with the verdicts of ``claims`` between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}{verdicts_text(claims)}\n{end}{after}" if begin and end else text


def verdicts_text(claims: Sequence[ClaimSummary]) -> str:
    """The opening sentence with the number of each verdict, and a table with a row for every claim."""
    kinds = by_kind(claims).items()
    sentence = textwrap.wrap(" ".join(opening([c.verdict for c in of_kind], kind) for kind, of_kind in kinds), _WIDTH)
    headings, *rows = (f"| {' | '.join(row)} |" for row in (HEADINGS, *map(_row, claims)))
    lines = [*sentence, "", headings, "|---" * len(HEADINGS) + "|", *rows, ""]
    if any(claim.first.registration for claim in claims):
        lines += [*textwrap.wrap(_REGISTRATION, _WIDTH), ""]
    return "\n".join(lines)


_NAMES: dict[ClaimKind, tuple[str, str]] = {
    "finding": ("claim about models", "claims about models"),
    "method": ("check of the method", "checks of the method"),
}


def opening(verdicts: Sequence[Verdict], kind: ClaimKind = "finding") -> str:
    """The sentence that counts the verdicts of one kind of claims.

    >>> opening([Verdict.REPRODUCED, Verdict.REFUTED, Verdict.REFUTED])
    'Of the three claims about models, one is reproduced on the mini suite, and two are refuted.'
    """
    counts = tally(verdicts)
    parts = [
        f"{number_word(counts[verdict])} {phrases[counts[verdict] > 1]}"
        for verdict, phrases in _PHRASES.items()
        if verdict in counts
    ]
    parts[:1] = [f"{first} on the {README_SUITE} suite" for first in parts[:1]]
    listed = ", ".join([*parts[:-1], f"and {parts[-1]}"]) if len(parts) > 1 else "".join(parts)
    return f"Of the {number_word(len(verdicts))} {_NAMES[kind][len(verdicts) > 1]}, {listed}."


def number_word(number: int) -> str:
    """``number`` in words up to ninety-nine, in digits beyond.

    >>> number_word(7), number_word(20), number_word(38), number_word(100)
    ('seven', 'twenty', 'thirty-eight', '100')
    """
    if number < len(_ONES):
        return _ONES[number]
    tens, ones = divmod(number, 10)
    if tens > len(_TENS) + 1:
        return str(number)
    return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")


def _row(claim: ClaimSummary) -> tuple[str, ...]:
    criterion = Criterion.from_dict(claim.first.criterion).without_sources()
    rule = "not judged" if isinstance(criterion, NotJudged) else criterion.text()
    cells = (claim.claim, claim.first.statement, rule, measured_cell(measured_of(claim)), _verdict(claim))
    return tuple(cell.replace("|", "\\|") for cell in cells)


def _verdict(claim: ClaimSummary) -> str:
    """The verdict and the number of cases that have it."""
    total, count = len(claim.items), tally(claim.corrected)[claim.verdict]
    cases = f" ({total} cases)" if count == total else f" ({count} of {total})"
    mark = _MARK if claim.first.registration else ""
    return f"**{claim.verdict.value.replace('_', ' ')}**{mark}{cases if total > 1 else ''}"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
