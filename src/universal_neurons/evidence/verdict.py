"""Verdicts of items, and the verdict of a claim that follows from its items."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Verdict(StrEnum):
    """The conclusion about a claim or about one of its items.

    The first three judge a measurement.  The others say why there is no judgement, so that none of them can be read as
    one: evidence missing or nothing to measure (``not_evaluated``), a control that satisfies the criterion too
    (``vacuous``), an exception (``error``), a record made under another criterion than the present one (``stale``).
    """

    REPRODUCED = "reproduced"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    NOT_EVALUATED = "not_evaluated"
    VACUOUS = "vacuous"
    ERROR = "error"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the one line that explains it."""

    verdict: Verdict
    reason: str


# The first verdict of this order that occurs among the items is the claim's: a broken or empty test says nothing at
# all, one counterexample refutes a claim over all items, and a claim is reproduced only where every item is.
PRECEDENCE = (
    Verdict.ERROR,
    Verdict.VACUOUS,
    Verdict.REFUTED,
    Verdict.INCONCLUSIVE,
    Verdict.STALE,
    Verdict.NOT_EVALUATED,
    Verdict.REPRODUCED,
)


def claim_verdict(items: Iterable[Verdict]) -> Verdict:
    """The verdict of a claim from the verdicts of its items: the first in :data:`PRECEDENCE` that occurs.

    A claim without items is not evaluated.

    >>> claim_verdict([Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE]).value
    'refuted'
    """
    present = set(items)
    return next((verdict for verdict in PRECEDENCE if verdict in present), Verdict.NOT_EVALUATED)


def tally(items: Iterable[Verdict]) -> dict[Verdict, int]:
    """Count the items with each verdict that occurs, in the order of :data:`PRECEDENCE`."""
    counts = Counter(items)
    return {verdict: counts[verdict] for verdict in PRECEDENCE if counts[verdict]}
