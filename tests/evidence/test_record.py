from __future__ import annotations

import json
import math
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from tests.evidence.records import CRITERION, MEASUREMENT, RECORD, record
from universal_neurons.evidence.criteria import AtMost
from universal_neurons.evidence.record import (
    ControlResult,
    EvidenceLog,
    EvidenceRecord,
    RecordError,
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
    assert json.loads(json.dumps(first.as_dict()))["items"][0]["item"] == "a-c-25%"


def test_numbers_inside_names_count_as_numbers() -> None:
    assert sorted(["a-b-100%", "a-b-25%", "N10", "N2"], key=natural_order) == ["N2", "N10", "a-b-25%", "a-b-100%"]


def test_the_log_of_a_run_replaces_that_of_the_run_before(tmp_path: Path) -> None:
    for items in (["a-b-25%", "a-c-25%"], ["a-d-25%"]):
        log = EvidenceLog(tmp_path / "evidence")
        for item in items:
            log.append(record(item))
        log.conclude({"claims": []})
    assert [r.item for r in EvidenceLog.read(tmp_path / "evidence")] == ["a-d-25%"]


def test_a_run_that_is_killed_leaves_its_records_and_no_verdicts_of_another_run(tmp_path: Path) -> None:
    first = EvidenceLog(tmp_path)
    first.append(record("a-b-25%"))
    first.conclude({})
    EvidenceLog(tmp_path).append(record("a-c-25%"))
    assert [r.item for r in EvidenceLog.read(tmp_path)] == ["a-c-25%"]
    assert not (tmp_path / "verdicts.json").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"records\.jsonl:2: not an evidence record"),
        ('{"version": 2, "verdict": "maybe"}', r"records\.jsonl:2: not an evidence record"),
        ('{"version": 99}', r"records\.jsonl:2: evidence record has version 99, expected 2"),
    ],
)
def test_a_damaged_log_is_refused_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "records.jsonl").write_text(f"{RECORD.to_json()}\n{line}\n")
    with pytest.raises(RecordError, match=message):
        list(EvidenceLog.read(tmp_path))


def test_a_log_that_is_not_there_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="run: pytest claims"):
        list(EvidenceLog.read(tmp_path))
