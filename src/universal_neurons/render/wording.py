"""Sentences that state a verdict, generated from the verdict.

No template contains the name of a verdict, so a page cannot contradict its evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from universal_neurons.evidence.criteria import (
    AtLeast,
    AtMost,
    Between,
    Criterion,
    Equivalent,
    GreaterThan,
    LessThan,
    Near,
    NotJudged,
    number,
)
from universal_neurons.evidence.verdict import PRECEDENCE, Verdict, claim_verdict, tally
from universal_neurons.render.formatting import MINUS, count, is_share, listed, plural

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Wording:
    """How one verdict is said: the label, a sign that works without colour, a plain meaning, a predicate for prose."""

    label: str
    sign: str
    meaning: str
    predicate: str


WORDING: dict[Verdict, Wording] = {
    Verdict.REPRODUCED: Wording(
        "reproduced", "●", "what was measured satisfies the criterion", "reproduced"
    ),
    Verdict.REFUTED: Wording(
        "refuted", "✕", "what was measured contradicts the criterion, with the whole of its uncertainty", "refuted"
    ),
    Verdict.INCONCLUSIVE: Wording(
        "inconclusive", "◐", "the uncertainty reaches across the border of the criterion, so these data do not decide",
        "left open",
    ),
    Verdict.NOT_EVALUATED: Wording(
        "not evaluated", "○", "nothing is concluded here, for the reason given", "not evaluated"
    ),
    Verdict.VACUOUS: Wording(
        "vacuous", "∅", "a control that must fail satisfies the criterion too, so satisfying it shows nothing",
        "vacuous",
    ),
    Verdict.ERROR: Wording(
        "error", "!", "the test itself failed, which says nothing about the claim",
        "without a verdict, as the test failed",
    ),
    Verdict.STALE: Wording(
        "stale", "↻", "the evidence was judged by another criterion than the present one", "stale"
    ),
}  # fmt: skip


def counted(verdicts: Sequence[Verdict]) -> str:
    """The verdicts counted, in the order of precedence.

    >>> counted([Verdict.REPRODUCED, Verdict.REFUTED, Verdict.REPRODUCED])
    '1 refuted and 2 reproduced'
    """
    return listed(f"{count(number)} {WORDING[verdict].label}" for verdict, number in tally(verdicts).items())


def verdict_sentence(verdicts: Sequence[Verdict]) -> str:
    """One sentence that states the verdict on a claim and what it means.

    >>> verdict_sentence([Verdict.REFUTED])
    'Refuted: what was measured contradicts the criterion, with the whole of its uncertainty.'
    """
    decided = claim_verdict(verdicts)
    words = WORDING[decided]
    sentence = f"{words.label.capitalize()}: {words.meaning}"
    if len(verdicts) < 2:
        return f"{sentence}."
    if len(set(verdicts)) == 1:
        return f"{sentence}, in {'both' if len(verdicts) == 2 else f'all {count(len(verdicts))}'} cases."
    return f"{sentence}. Its {count(len(verdicts))} cases: {counted(verdicts)}."


def summary_sentence(claims: Sequence[tuple[str, Verdict]]) -> str:
    """One sentence on all claims: "Of 8 claims, 3 are reproduced (N1, N2 and V5) and 1 is refuted (N6)."."""
    if not claims:
        return "No claim was judged."
    parts = []
    for verdict in (Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE, *PRECEDENCE):
        names = [name for name, found in claims if found is verdict]
        part = (
            f"{count(len(names))} {'is' if len(names) == 1 else 'are'} {WORDING[verdict].predicate} ({listed(names)})"
        )
        if names and part not in parts:
            parts.append(part)
    return f"Of {plural(len(claims), 'claim')}, {listed(parts)}."


def criterion_phrase(criterion: Criterion, unit: str) -> str:
    """What counts as reproducing a claim about a quantity of ``unit``; shares are said in per cent.

    >>> criterion_phrase(AtMost(0.05), "share"), criterion_phrase(AtLeast(2.5), "")
    ('at most 5 %', 'at least 2.5')
    """
    match criterion:
        case AtMost(bound):
            return f"at most {quantity(number(bound), unit)}"
        case LessThan(bound):
            return f"below {quantity(number(bound), unit)}"
        case AtLeast(bound):
            return f"at least {quantity(number(bound), unit)}"
        case GreaterThan(bound):
            return f"above {quantity(number(bound), unit)}"
        case Between(lower, upper):
            return f"from {quantity(number(lower), unit)} to {quantity(number(upper), unit)}"
        case Near(target, absolute, relative):
            reach = quantity(absolute, unit).replace(" %", " points")
            return f"within {reach} or {quantity(relative, 'share')} of {quantity(number(target), unit)}"
        case Equivalent(to, margin):
            return f"within {quantity(margin, unit).replace(' %', ' points')} of {quantity(number(to), unit)}"
        case NotJudged(reason):
            return f"not judged: {reason}"
        case _:
            return criterion.text()


def quantity(value: float, unit: str) -> str:
    """A number of a paper or a criterion as it is said: all of its digits, shares in per cent."""
    if is_share(unit):
        return f"{value * 100:.6g} %".replace("-", MINUS)
    return f"{value:.6g}{' ' if unit else ''}{unit}".replace("-", MINUS)
