from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from tests.evidence.records import record
from universal_neurons.evidence.comparison import (
    ClaimPair,
    DifferingSetting,
    JudgedRun,
    KeyFigurePair,
    SideBySide,
    case_of,
    compared,
    is_beyond,
    subtracted,
)
from universal_neurons.evidence.criteria import AtMost, GreaterThan
from universal_neurons.evidence.record import strict_json
from universal_neurons.evidence.summary import summaries
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measurement import Measurement, Over

if TYPE_CHECKING:
    from universal_neurons.evidence.criteria import Criterion
    from universal_neurons.evidence.record import EvidenceRecord


def measured(value: float, reach: float = 0.01, **changes: Any) -> Measurement:
    return Measurement(value, value - reach, value + reach, 900, **{"over": Over.TOKEN_BLOCKS, **changes})


def judged(
    value: float, claim: str = "N1", *, criterion: Criterion | None = None, reach: float = 0.01, **changes: Any
) -> EvidenceRecord:
    """A record of ``claim`` judged as it must be."""
    rule = criterion or AtMost(0.05)
    measurement = measured(value, reach)
    given = {
        "claim": claim,
        "measurement": measurement.as_dict(),
        "criterion": rule.as_dict(),
        "criterion_text": rule.text(),
        "verdict": rule.judge(measurement).verdict,
    }
    item = changes.pop("item", "a-b-25%")
    return record(item, **{**given, "test": f"claims/test_{claim}.py::test_{claim}[{item}]", **changes})


def run(*records: EvidenceRecord, name: str = "run", suite: str = "mini") -> JudgedRun:
    return JudgedRun(name, suite, summaries(records))


def pair_of(left: EvidenceRecord, right: EvidenceRecord) -> ClaimPair:
    (found,) = compared(run(left), run(right)).claims
    return found


def test_two_runs_that_found_the_same_differ_in_nothing() -> None:
    found = pair_of(judged(0.03), judged(0.03))
    assert found.has_other_verdict is False
    (difference,) = found.differences
    assert (difference.low, difference.value, difference.high) == (0, 0, 0)
    assert not is_beyond(difference)


def test_another_value_from_other_artifacts_has_a_difference() -> None:
    found = pair_of(judged(0.03), judged(0.09, artifacts=("ffff",)))
    assert found.has_other_verdict is True
    (difference,) = found.differences
    assert difference.value == pytest.approx(0.06)
    assert difference.high - difference.value == pytest.approx(math.hypot(0.01, 0.01))
    assert is_beyond(difference)


def test_a_small_difference_is_not_beyond_the_uncertainty() -> None:
    found = pair_of(judged(0.03), judged(0.031))
    assert found.has_other_verdict is False
    assert not is_beyond(found.differences[0])


def test_a_verdict_that_only_the_rest_of_the_family_changed_is_another_verdict() -> None:
    def item(z: float, name: str, claim: str = "N1") -> EvidenceRecord:
        return judged(z, claim, criterion=GreaterThan(0), reach=1, item=name, family="f", correction="holm",
                      parameters={"partner": name})  # fmt: skip

    alone = run(item(-1.05, "b"))
    among = run(item(-1.05, "b"), *(item(0.1, f"c{n}", "N2") for n in range(9)))
    first = compared(alone, among).claims[0]
    assert (first.left and first.left.verdict, first.right and first.right.verdict) == (
        Verdict.REFUTED,
        Verdict.INCONCLUSIVE,
    )
    assert first.has_other_verdict is True


def test_checkpoints_of_two_trainings_are_the_same_by_their_label() -> None:
    left = judged(0.03, parameters={"partner": "b", "checkpoint": {"step": 3906, "label": "25 %"}})
    right = judged(0.04, parameters={"partner": "b", "checkpoint": {"step": 100000, "label": "25 %"}}, item="other")
    (case,) = pair_of(left, right).cases
    assert case.case == "partner b, checkpoint 25 %"
    assert case.difference is not None
    later = {"earlier": {"step": 1, "label": "25 %"}, "later": {"step": 2, "label": "50 %"}}
    assert (
        case_of(judged(0.1, parameters={"interval": later, "threshold": 0.5})) == "interval 25 % to 50 %, threshold 0.5"
    )


def test_a_case_of_one_run_only_is_kept_and_named() -> None:
    cases = [judged(0.03, item=name, parameters={"partner": name}) for name in ("b", "c")]
    left, right = run(*cases), run(cases[1], judged(0.2, item="d", parameters={"partner": "d"}))
    (found,) = compared(left, right).claims
    assert [(case.case, bool(case.left), bool(case.right)) for case in found.cases] == [
        ("partner b", True, False),
        ("partner c", True, True),
        ("partner d", False, True),
    ]
    assert len(found.differences) == 1


def test_a_claim_that_one_run_did_not_judge_has_another_verdict_there() -> None:
    found = compared(run(judged(0.03), judged(0.03, "N10")), run(judged(0.03), judged(0.2, "N2")))
    assert [pair.claim for pair in found.claims] == ["N1", "N2", "N10"]
    assert [pair.claim for pair in found.changed] == ["N2", "N10"]
    assert found.claims[1].present.first.claim == "N2"


@pytest.mark.parametrize(
    ("right", "why"),
    [
        (measured(0.03, unit="nats"), "units differ: none and nats"),
        (Measurement(0.03, -math.inf, math.inf, 9, Over.TOKEN_BLOCKS), "an interval has no end"),
        (measured(0.03, over=Over.NEURONS), "intervals are over token blocks and over neurons"),
        (Measurement(math.inf, 0.0, math.inf, 9, Over.TOKEN_BLOCKS), ""),
        (Measurement.missing(), ""),
        (None, ""),
    ],
)
def test_numbers_that_cannot_be_subtracted_say_why(right: Measurement | None, why: str) -> None:
    found = subtracted(measured(0.02), right)
    assert (found.difference, found.incomparable) == (None, why)
    raw = None if right is None else right.as_dict()
    assert pair_of(judged(0.02), judged(0.03, measurement=raw)).incomparable == ((why,) if why else ())


def test_the_same_endless_interval_twice_is_no_difference() -> None:
    endless = Measurement(0.03, 0.0, math.inf, 9, Over.TOKEN_BLOCKS)
    found = subtracted(endless, endless).difference
    assert found is not None
    assert (found.low, found.high) == (0, 0)


@pytest.mark.parametrize(
    ("other", "given", "is_same"),
    [
        (judged(0.03), {}, True),
        (judged(0.031), {}, False),
        (judged(0.09), {}, False),
        (judged(0.03), {"settings": (DifferingSetting("universality: draws", "20", "5"),)}, False),
        (judged(0.03), {"absences": ("then: no artifacts",)}, False),
        (
            judged(0.03),
            {"key_figures": (KeyFigurePair("share", "", 0.5, "25 %", measured(0.03), measured(0.04)),)},
            False,
        ),
    ],
)
def test_two_runs_are_the_same_if_nothing_differs_and_all_was_compared(
    other: EvidenceRecord, given: dict[str, Any], is_same: bool
) -> None:
    assert SideBySide(compared(run(judged(0.03)), run(other)), **given).is_same is is_same


def test_everything_about_two_sides_is_data_without_nan_and_infinity() -> None:
    endless = Measurement(0.5, 0.4, math.inf, 9, Over.TOKEN_BLOCKS, details={"ratio": math.nan})
    both = SideBySide(
        compared(run(judged(0.03), name="now"), run(judged(0.09, artifacts=("ffff",)), name="then")),
        key_figures=(KeyFigurePair("share", "universal", 0.5, "25 %", measured(0.03), endless),),
        settings=(DifferingSetting("universality: draws", "20", "5"),),
        absences=("then: no artifacts",),
    )
    raw = json.loads(strict_json(both.as_dict()))
    assert (raw["left"]["name"], raw["right"]["name"]) == ("now", "then")
    (claim,) = raw["claims"]
    assert (claim["left"], claim["right"], claim["other_verdict"]) == ("reproduced", "refuted", True)
    assert claim["cases"][0]["difference"]["value"] == pytest.approx(0.06)
    assert raw["key_figures"][0]["right"]["high"] == "inf"
    assert raw["key_figures"][0]["difference"] is None
    assert raw["settings"] == [{"name": "universality: draws", "left": "20", "right": "5"}]
