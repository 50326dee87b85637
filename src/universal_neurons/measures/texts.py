"""Dependence of the universal neurons on the text: their share, and which neurons they are, on another text.

The reference is scored against its partners on the suite's tokens and on as many tokens of another text.  Two sets of
universal neurons *overlap* as far as the smaller of them lies in the larger, |A and B| / min(|A|, |B|): a text that has
fewer universal neurons could still have the same ones.  Sets are taken of halves of the tokens, so that the overlap of
two texts and the overlap of the two halves of one text are about equally many tokens, none of them in both sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.measures.arrays import quotient
from universal_neurons.measures.groups import pair_group
from universal_neurons.measures.pooled import own_pairs, pooled

if TYPE_CHECKING:
    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.arrays import Flags, Floats
    from universal_neurons.measures.pooled import PairTables
    from universal_neurons.measures.study import HasStep, Study
    from universal_neurons.measures.tables import UniversalityTable

_HALVES = ("excess_half_a", "excess_half_b")


def text_pairs(study: Study, text: str, checkpoint: HasStep) -> PairTables:
    """The pairs of the reference at a checkpoint on the suite's own tokens, and on ``text``.

    Other references have no other texts.  Raises NotOnSuite for a text that the suite does not have, and UserError for
    any checkpoint but the last.
    """
    tables = study.table("texts", checkpoint=checkpoint, text=text)
    return {pair: (own, tables[pair[1]]) for pair, (own,) in own_pairs(study, checkpoint).items()}


def overlap_beyond_ceiling(pairs: PairTables, threshold: float) -> Measurement:
    """The overlap of the universal neurons of two texts minus the overlap of the two halves of one text.

    Of the two texts the one whose halves overlap less is the ceiling, sought anew whenever a model is left out, so that
    a text with more noise does not seem to be about other neurons.  Negative where other neurons are universal on the
    other text than on other tokens of the same.  Counts are summed over directed pairs, over all four pairs of a half
    of one text with a half of the other, and over neurons defined in all four.  Interval over models
    (:func:`universal_neurons.measures.pooled.pooled`).

    Details: ``overlap``; ``first`` and ``second``, the overlaps within each text, and ``within``, the smaller of
    them; ``chance``, the overlap of sets that were dealt out among all neurons: the larger share.  Missing where a
    text has none.
    """

    def details(c: Floats) -> dict[str, float]:
        shared, own, other, first, second, neurons = c
        within = {"first": quotient(2 * first, own), "second": quotient(2 * second, other)}
        overlap, chance = quotient(shared, 2 * min(own, other)), quotient(max(own, other), 2 * neurons)
        return {"overlap": overlap, "within": min(within.values()), **within, "chance": chance}

    def beyond(c: Floats) -> float:
        found = details(c)
        return found["overlap"] - found["within"]

    return pooled(pairs, lambda tables: _counts(tables, threshold), beyond, details=details)


def _counts(tables: tuple[UniversalityTable, ...], threshold: float) -> Floats:
    """Of one pair of models: universal on both texts (over four pairs of halves), on the first and on the second (over
    its halves), on both halves of the first and of the second; neurons.
    """
    halved = [_half_states(table, threshold) for table in tables]
    defined = ~np.isnan(halved).any(axis=(0, 1))
    (a, b), (c, d) = (((one > 0) & defined for one in halves) for halves in halved)
    shared = sum(_both(x, y) for x in (a, b) for y in (c, d))
    sizes = [a.sum() + b.sum(), c.sum() + d.sum(), _both(a, b), _both(c, d), defined.sum()]
    return np.array([shared, *sizes], dtype=np.float64)


def _half_states(table: UniversalityTable, threshold: float) -> list[Floats]:
    return [pair_group(table).states(threshold, half) for half in _HALVES]


def _both(first: Flags, second: Flags) -> int:
    return int(np.count_nonzero(first & second))
