"""Summary of each claim of a run: its items, controls and readings, and its verdict after correction.

The terminal, the ledger and the report take the verdict of a claim from here.  An item keeps its own verdict, because
it is one interval; the correction for many intervals belongs to the claim.

The correction for multiple testing (claims/README.md, Decision rules: within each family) concerns refutations. A
claim over many items is *refuted* if any of them is: the more items, the more likely one interval misses by chance, so
a claim counts as refuted only if an item is still refuted after the items of all claims of its family with the same
``correction`` were adjusted together. A claim is *reproduced* only if every item is. That is an intersection-union
test, which has the level of its single tests without any correction (Berger 1982, Technometrics 24, 295-300), and
correcting it would only throw away power: reproduced items therefore stay reproduced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never, get_args

from universal_neurons.evidence.claim import ClaimKind
from universal_neurons.evidence.criteria import Criterion
from universal_neurons.evidence.multiplicity import Correction, Tested, adjusted, p_values_of
from universal_neurons.evidence.record import natural_order
from universal_neurons.evidence.verdict import Verdict, claim_verdict
from universal_neurons.measurement import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from universal_neurons.evidence.record import EvidenceRecord


@dataclass(frozen=True, slots=True)
class ReadingSummary:
    """All items of one reading of a claim, and the verdict that the claim would have under it.

    ``tested`` corrects them as if they stood in the family in place of the claim's own items.
    """

    items: tuple[EvidenceRecord, ...]
    tested: Mapping[str, Tested] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its function."""
        return self.items[0].reading.partition("[")[0]

    @property
    def ambiguity(self) -> str:
        """The catalogue's id of the question that the paper leaves open."""
        return self.items[0].ambiguity or ""

    @property
    def says(self) -> str:
        """The reading in words."""
        return self.items[0].says or ""

    @property
    def verdict(self) -> Verdict:
        """The verdict that the claim would have."""
        return claim_verdict(after_correction(self.items, self.tested))


@dataclass(frozen=True, slots=True)
class ClaimSummary:
    """All items of one claim in one run, with its controls, its readings and its correction.

    ``tested`` holds, by node id, the p value of every item that the family's correction tested, and is empty for a
    claim without one.
    """

    items: tuple[EvidenceRecord, ...]
    controls: tuple[EvidenceRecord, ...]
    readings: tuple[ReadingSummary, ...] = ()
    tested: Mapping[str, Tested] = field(default_factory=dict)

    @property
    def claim(self) -> str:
        """The claim's id."""
        return self.first.claim

    @property
    def first(self) -> EvidenceRecord:
        """The first item, for what all items share: statement, source, criterion."""
        return self.items[0]

    @property
    def verdict(self) -> Verdict:
        """The claim's verdict, from all its items after correction."""
        return claim_verdict(self.corrected)

    @property
    def corrected(self) -> tuple[Verdict, ...]:
        """The verdict of each item as it counts for the claim."""
        return after_correction(self.items, self.tested)

    @property
    def adjusted_p(self) -> float | None:
        """The p value that the claim's verdict rests on, or None without a correction or a test.

        Where an item is refuted, the smallest adjusted p value of such items, whether or not it upheld the refutation;
        where every item is reproduced, the largest p value of all, which the intersection-union test does not adjust.
        A match with a published number rejects nothing and has no p value.
        """
        refuted = [r.test for r in self.items if r.verdict is Verdict.REFUTED and r.test in self.tested]
        if refuted:
            return min(self.tested[test].adjusted for test in refuted)
        if not self.tested or self.verdict is not Verdict.REPRODUCED:
            return None
        found = [p_values_of(*case).fails for record in self.items if (case := _case(record)) is not None]
        return None if any(map(math.isnan, found)) else max(found)


def summaries(records: Iterable[EvidenceRecord]) -> tuple[ClaimSummary, ...]:
    """One summary per claim in natural order of ids (N2 before N10); a claim of which only others ran has none.

    Corrections are made over ``records``, which must hold the whole family for the correction to be the family's.
    """
    items: dict[str, list[EvidenceRecord]] = {}
    controls: dict[str, list[EvidenceRecord]] = {}
    readings: dict[str, dict[str, list[EvidenceRecord]]] = {}
    for record in records:
        match record.role:
            case "claim":
                items.setdefault(record.claim, []).append(record)
            case "control":
                controls.setdefault(record.claim, []).append(record)
            case "reading":
                named = readings.setdefault(record.claim, {})
                named.setdefault(record.reading.partition("[")[0], []).append(record)
            case _:
                assert_never(record.role)
    families = Families(record for claim in items.values() for record in claim)
    return tuple(
        ClaimSummary(
            tuple(items[claim]),
            tuple(controls.get(claim, ())),
            tuple(ReadingSummary(tuple(r), families.tested_with(r)) for r in readings.get(claim, {}).values()),
            families.tested(items[claim]),
        )
        for claim in sorted(items, key=natural_order)
    )


def by_kind(claims: Iterable[ClaimSummary]) -> dict[ClaimKind, tuple[ClaimSummary, ...]]:
    """Findings and checks of method, in this order, each in the order given; for every count of verdicts."""
    every = tuple(claims)
    kinds: dict[ClaimKind, tuple[ClaimSummary, ...]] = {
        kind: tuple(claim for claim in every if claim.first.kind == kind) for kind in get_args(ClaimKind)
    }
    return {kind: of_kind for kind, of_kind in kinds.items() if of_kind}


class Families:
    """The families of a run that are corrected: all items whose claims name the same family and correction.

    An item that came to no judgement (an error, missing evidence, a control that satisfies the criterion) tests nothing
    and does not count into the size of its family.
    """

    def __init__(self, items: Iterable[EvidenceRecord]) -> None:
        self._cases: dict[_Family, dict[str, _Case]] = {}
        self._claims: dict[str, str] = {}
        for record in items:
            if record.correction is not None and (case := _case(record)) is not None:
                self._cases.setdefault((record.family, record.correction), {})[record.test] = case
                self._claims[record.test] = record.claim
        self._tested = {family: _adjusted(cases, family[1]) for family, cases in self._cases.items()}

    def tested(self, items: Sequence[EvidenceRecord]) -> dict[str, Tested]:
        """The corrected case of each of ``items`` by node id; empty for a claim without a correction."""
        first = items[0]
        tested = {} if first.correction is None else self._tested.get((first.family, first.correction), {})
        return {record.test: tested[record.test] for record in items if record.test in tested}

    def tested_with(self, items: Sequence[EvidenceRecord]) -> dict[str, Tested]:
        """The same for the ``items`` of a reading, which take the place of their claim's items in the family."""
        first = items[0]
        if first.correction is None:
            return {}
        own = {record.test: case for record in items if (case := _case(record)) is not None}
        family = self._cases.get((first.family, first.correction), {})
        others = {test: case for test, case in family.items() if self._claims[test] != first.claim}
        tested = _adjusted({**own, **others}, first.correction)
        return {test: tested[test] for test in own}


def after_correction(items: Iterable[EvidenceRecord], tested: Mapping[str, Tested]) -> tuple[Verdict, ...]:
    """The verdicts of ``items`` as they count for their claim: their own, unless a refutation is taken back.

    Only refutations are corrected; see the module's text.
    """
    return tuple(
        tested[record.test].verdict if record.verdict is Verdict.REFUTED and record.test in tested else record.verdict
        for record in items
    )


_Case = tuple[Criterion, Measurement]
_Family = tuple[str | None, Correction]


def _case(record: EvidenceRecord) -> _Case | None:
    measurement = record.measured()
    judged = (Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE)
    if measurement is None or record.verdict not in judged:
        return None
    return Criterion.from_dict(record.criterion), measurement


def _adjusted(cases: Mapping[str, _Case], correction: Correction) -> dict[str, Tested]:
    return dict(zip(cases, adjusted(list(cases.values()), correction), strict=True))
