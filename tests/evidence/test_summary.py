from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from tests.evidence.records import record
from universal_neurons.evidence.criteria import GreaterThan, Near, NotJudged
from universal_neurons.evidence.summary import summaries
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measurement import Measurement, Over

if TYPE_CHECKING:
    from universal_neurons.evidence.record import EvidenceRecord


def item_at(z: float, item: str = "", *, claim: str = "N1", **changes: object) -> EvidenceRecord:
    """An item of family f that claims an increase, ``z`` half-widths of its interval above 0."""
    measurement = Measurement(z, z - 1, z + 1, 100, Over.NEURONS)
    judgement = GreaterThan(0).judge(measurement)
    values = {
        "claim": claim,
        "family": "f",
        "correction": "holm",
        "measurement": measurement.as_dict(),
        "criterion": GreaterThan(0).as_dict(),
        "verdict": judgement.verdict,
        "test": f"claims/test_{claim.lower()}.py::test_{claim.lower()}[{item}]",
    }
    return record(item, **{**values, **changes})


def test_a_refutation_by_chance_among_many_items_is_taken_back() -> None:
    many = [item_at(-1.05, "a"), *(item_at(0.1, f"b{n}") for n in range(9))]
    (alone,), (among,) = summaries(many[:1]), summaries(many)
    assert (alone.verdict, among.verdict) == (Verdict.REFUTED, Verdict.INCONCLUSIVE)
    assert among.items[0].verdict is Verdict.REFUTED
    assert set(among.corrected) == {Verdict.INCONCLUSIVE}
    assert among.adjusted_p == pytest.approx(10 * among.tested[among.items[0].test].p)


def test_a_strong_refutation_survives_among_many_items() -> None:
    (claim,) = summaries([item_at(-2.5, "a"), *(item_at(0.1, f"b{n}") for n in range(9))])
    assert claim.verdict is Verdict.REFUTED
    assert claim.adjusted_p is not None
    assert claim.adjusted_p < 0.025


def test_the_p_value_of_a_refuted_claim_is_its_strongest_refutations() -> None:
    (claim,) = summaries([item_at(-2.5, "a"), item_at(-1.5, "b")])
    strong, weak = claim.tested.values()
    assert claim.adjusted_p == strong.adjusted < weak.adjusted


def test_an_undecided_claim_and_one_without_correction_have_no_p_value() -> None:
    (undecided,) = summaries([item_at(0.1)])
    (uncorrected,) = summaries([item_at(1.05, correction=None)])
    assert (undecided.verdict, undecided.adjusted_p) == (Verdict.INCONCLUSIVE, None)
    assert (uncorrected.verdict, uncorrected.adjusted_p) == (Verdict.REPRODUCED, None)


def test_reproduced_items_stay_reproduced_however_many_there_are() -> None:
    (claim,) = summaries([item_at(1.05, f"b{n}") for n in range(20)])
    assert claim.verdict is Verdict.REPRODUCED
    assert (
        claim.adjusted_p
        == max(t.p for t in claim.tested.values())
        < 0.025
        < min(t.adjusted for t in claim.tested.values())
    )


def test_other_families_corrections_and_items_without_judgement_do_not_count() -> None:
    weak = item_at(-1.05)
    others = [
        item_at(0.1, claim="N2", family="g"),
        item_at(0.1, claim="N3", correction="benjamini-hochberg"),
        item_at(0.1, claim="N4", correction=None),
        item_at(0.1, claim="N5", verdict=Verdict.VACUOUS),
        item_at(0.1, claim="N6", verdict=Verdict.ERROR, measurement=None),
        item_at(0.1, claim="N7", verdict=Verdict.NOT_EVALUATED, measurement=None, command="compute"),
        item_at(0.1, claim="N8", role="control"),
        item_at(0.1, claim="N8", role="reading", ambiguity="A1", says="so"),
    ]
    first, *rest = summaries([weak, *others])
    assert first.verdict is Verdict.REFUTED
    assert first.adjusted_p == first.tested[weak.test].p
    assert next(claim for claim in rest if claim.claim == "N5").verdict is Verdict.VACUOUS
    first, _ = summaries([weak, item_at(0.1, claim="N2")])
    assert first.verdict is Verdict.INCONCLUSIVE


def test_a_reading_takes_the_place_of_its_claims_items_in_the_family() -> None:
    own = [item_at(0.1, f"b{n}") for n in range(9)]
    read = item_at(-1.05, role="reading", ambiguity="A10", says="macro", test="claims/test_n1.py::test_macro")
    (claim,) = summaries([*own, read])
    (reading,) = claim.readings
    assert (reading.name, reading.ambiguity, reading.says) == ("test_macro", "A10", "macro")
    # Nine undecided items of the claim itself would have taken the refutation back.
    assert (claim.verdict, reading.verdict) == (Verdict.INCONCLUSIVE, Verdict.REFUTED)
    (_, claim) = summaries([item_at(0.1, claim="M1"), *own, read])
    assert claim.readings[0].verdict is Verdict.INCONCLUSIVE


def test_readings_with_items_are_gathered_by_their_function() -> None:
    read = [
        record(item, role="reading", ambiguity="A1", says=name, test=f"c.py::test_{name}[{item}]")
        for name in ("mean", "union")
        for item in ("a-b", "a-c")
    ]
    (claim,) = summaries([record(), *read])
    assert [(reading.name, len(reading.items)) for reading in claim.readings] == [("test_mean", 2), ("test_union", 2)]
    assert summaries(read) == ()


def test_controls_stand_beside_the_items_of_their_claim() -> None:
    controls = record("x", role="control"), record("y", role="control")
    claim, other = summaries([record(), *controls, record(claim="N2")])
    assert (claim.items, claim.controls, other.controls) == ((record(),), controls, ())


def test_a_match_with_a_published_number_has_no_p_value() -> None:
    near = Near(0.0474)
    (claim,) = summaries([record(family="f", correction="holm", criterion=near.as_dict())])
    assert claim.verdict is Verdict.REPRODUCED
    assert claim.adjusted_p is None
    (refutes,) = claim.tested.values()
    assert refutes.p > 0.9
    (alone,) = summaries([record(family="f", correction="holm", criterion=NotJudged("no").as_dict())])
    assert [math.isnan(tested.p) for tested in alone.tested.values()] == [True]
