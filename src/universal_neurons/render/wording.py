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
from universal_neurons.evidence.summary import by_kind
from universal_neurons.evidence.verdict import PRECEDENCE, Verdict, claim_verdict, tally
from universal_neurons.render.formatting import MINUS, count, is_share, listed, plural, suffix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.evidence.claim import ClaimKind
    from universal_neurons.evidence.summary import ClaimSummary


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of a verdict: label, sign that works without colour, plain meaning, predicate for prose."""

    label: str
    sign: str
    meaning: str
    predicate: str


WORDING: dict[Verdict, Wording] = {
    Verdict.REPRODUCED: Wording(
        "reproduced", "●", "the measurement satisfies the criterion", "reproduced"
    ),
    Verdict.REFUTED: Wording(
        "refuted", "✕", "the measurement contradicts the criterion with its whole interval", "refuted"
    ),
    Verdict.INCONCLUSIVE: Wording(
        "inconclusive", "◐", "the interval crosses the bound of the criterion, so these data do not decide",
        "left open",
    ),
    Verdict.NOT_EVALUATED: Wording(
        "not evaluated", "○", "nothing is concluded here, for the reason given", "not evaluated"
    ),
    Verdict.VACUOUS: Wording(
        "vacuous", "∅", "a control that must fail satisfies the criterion as well, so satisfying it shows nothing",
        "vacuous",
    ),
    Verdict.ERROR: Wording(
        "error", "!", "the test itself failed, so nothing is known about the claim",
        "without a verdict, as the test failed",
    ),
    Verdict.STALE: Wording(
        "stale", "↻", "the evidence was judged by a criterion that has changed since", "stale"
    ),
}  # fmt: skip


# One and several claims of a kind.
NOUNS: dict[ClaimKind, tuple[str, str]] = {
    "finding": ("claim", "claims"),
    "method": ("check of the method", "checks of the method"),
}


def counted(verdicts: Sequence[Verdict]) -> str:
    """The verdicts counted, in the order of precedence.

    >>> counted([Verdict.REPRODUCED, Verdict.REFUTED, Verdict.REPRODUCED])
    '1 refuted and 2 reproduced'
    """
    return listed(f"{count(number)} {WORDING[verdict].label}" for verdict, number in tally(verdicts).items())


def verdict_sentence(verdicts: Sequence[Verdict]) -> str:
    """A sentence that states the verdict on a claim and its meaning.

    >>> verdict_sentence([Verdict.REFUTED])
    'Refuted: the measurement contradicts the criterion with its whole interval.'
    """
    decided = claim_verdict(verdicts)
    words = WORDING[decided]
    sentence = f"{words.label.capitalize()}: {words.meaning}"
    if len(verdicts) < 2:
        return f"{sentence}."
    if len(set(verdicts)) == 1:
        return f"{sentence}, in {'both' if len(verdicts) == 2 else f'all {count(len(verdicts))}'} cases."
    return f"{sentence}. Its {count(len(verdicts))} cases: {counted(verdicts)}."


def summary_sentence(verdicts: Sequence[Verdict], kind: ClaimKind = "finding") -> str:
    """A sentence that counts all claims; their names are in the table beside it.

    >>> summary_sentence([Verdict.REPRODUCED, Verdict.REFUTED, Verdict.REPRODUCED])
    'Of 3 claims, 2 are reproduced and 1 is refuted.'
    """
    if not verdicts:
        return "No claim was judged."
    counts = tally(verdicts)
    order = dict.fromkeys((Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE, *PRECEDENCE))
    parts = [
        f"{count(counts[verdict])} {'is' if counts[verdict] == 1 else 'are'} {WORDING[verdict].predicate}"
        for verdict in order
        if verdict in counts
    ]
    return f"Of {plural(len(verdicts), *NOUNS[kind])}, {listed(parts)}."


def summary_sentences(claims: Sequence[ClaimSummary]) -> str:
    """:func:`summary_sentence` of the findings, and one of the checks of method apart from them."""
    kinds = by_kind(claims).items()
    sentences = [summary_sentence([claim.verdict for claim in own], kind) for kind, own in kinds]
    return " ".join(sentences) or summary_sentence([])


def criterion_phrase(criterion: Criterion, unit: str) -> str:
    """A criterion in words, for a quantity of ``unit``; shares are given in per cent.

    >>> criterion_phrase(AtMost(0.05), "share"), criterion_phrase(AtLeast(2.5), "")
    ('at most 5 %', 'at least 2.5')
    >>> criterion_phrase(LessThan(50), "percentile")
    'below the 50th percentile'
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
    """A number of a paper or a criterion with all of its digits; shares in per cent."""
    if is_share(unit):
        return f"{value * 100:.6g} %".replace("-", MINUS)
    if unit == "percentile":
        return f"the {value:.6g}th percentile"
    return f"{value:.6g}{suffix(unit)}".replace("-", MINUS)
