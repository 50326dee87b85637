from __future__ import annotations

import json
import math
from pathlib import PurePosixPath

import numpy as np
import pytest

from tests.evidence.records import CRITERION, MEASUREMENT, RECORD, record
from universal_neurons.evidence.criteria import AtMost
from universal_neurons.evidence.record import (
    ControlResult,
    EvidenceRecord,
    natural_order,
)
from universal_neurons.evidence.summary import summaries
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measurement import Measurement, Over

SATISFIED = ControlResult("test_untrained", Verdict.REPRODUCED, "0.01 satisfies", MEASUREMENT.as_dict())
REFUTED = ControlResult("test_untrained", Verdict.REFUTED, "0.5 contradicts", None)


def test_a_record_survives_json_and_is_one_line() -> None:
    full = record(controls=(REFUTED,), family="emergence")
    line = full.to_json()
    assert "\n" not in line
    assert EvidenceRecord.from_json(line) == full


def test_a_record_holds_builtin_types_whatever_the_claim_computed_with() -> None:
    measurement = Measurement(np.float64(0.5), np.float64(0.25), np.float64(0.75), np.int64(7), Over.NEURONS)  # type: ignore[arg-type]
    full = record(measurement=measurement.as_dict(), parameters={"layer": np.int32(3), "threshold": np.float32(0.5)})
    raw = json.loads(full.to_json())
    assert raw["measurement"]["n"] == 7
    assert raw["parameters"] == {"layer": 3, "threshold": 0.5}


def test_what_json_does_not_have_survives_nevertheless() -> None:
    open_ended = Measurement(1.0, 0.5, math.inf, 3, Over.MODELS, details={"ratio": math.nan})
    again = EvidenceRecord.from_json(record(measurement=open_ended.as_dict()).to_json()).measured()
    assert again is not None
    assert again.high == math.inf
    assert math.isnan(again.details["ratio"])


def test_a_record_refuses_what_is_not_data() -> None:
    with pytest.raises(TypeError, match="builtin types only, got PurePosixPath"):
        record(parameters={"store": PurePosixPath("x")}).to_json()


def test_a_record_is_judged_again_from_json_alone() -> None:
    again = EvidenceRecord.from_json(RECORD.to_json()).rejudged()
    assert (again.verdict, again.reason) == (RECORD.verdict, RECORD.reason)


@pytest.mark.parametrize(("control", "verdict"), [(SATISFIED, Verdict.VACUOUS), (REFUTED, Verdict.REPRODUCED)])
def test_judging_again_includes_the_controls(control: ControlResult, verdict: Verdict) -> None:
    assert record(controls=(control,)).rejudged().verdict is verdict


@pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.STALE])
def test_judging_again_does_not_turn_a_broken_item_into_a_judgement(verdict: Verdict) -> None:
    assert record(verdict=verdict).rejudged().verdict is verdict


def test_judging_again_keeps_missing_evidence_missing() -> None:
    missing = record(verdict=Verdict.NOT_EVALUATED, command="universal-neurons compute")
    assert missing.rejudged().verdict is Verdict.NOT_EVALUATED


def test_a_record_judged_by_another_criterion_is_stale() -> None:
    assert RECORD.under(CRITERION) is RECORD
    stale = RECORD.under(AtMost(0.06))
    assert stale.verdict is Verdict.STALE
    assert stale.reason == "judged as 'at most 0.05', the claim now says 'at most 0.06'; run the claims again"


def test_summaries_are_in_natural_order_and_gather_items_and_controls() -> None:
    records = [
        record(claim="N10"),
        record("a-c-25%", claim="N2", verdict=Verdict.REFUTED),
        record(claim="N2"),
        record(claim="N2", role="control"),
        record(claim="N3", role="control"),
    ]
    first, second = summaries(records)
    assert (first.claim, second.claim) == ("N2", "N10")
    assert first.verdict is Verdict.REFUTED
    assert [len(first.items), len(first.controls)] == [2, 1]
    assert first.items[0].item == "a-c-25%"


def test_numbers_inside_names_count_as_numbers() -> None:
    assert sorted(["a-b-100%", "a-b-25%", "N10", "N2"], key=natural_order) == ["N2", "N10", "a-b-25%", "a-b-100%"]
