from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from universal_neurons.evidence.criteria import (
    AboveDraws,
    AtLeast,
    AtMost,
    Between,
    Criterion,
    CriterionError,
    Equivalent,
    GreaterThan,
    LessThan,
    Near,
    NotJudged,
    Published,
)
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measurement import CEILING, Measurement, Over

TABLE_1 = Published("nandan2025.table1", threshold=0.5, step=100_000)


def measured(low: float, value: float, high: float) -> Measurement:
    return Measurement(value, low, high, 100, Over.TOKEN_BLOCKS)


# Intervals at, just inside and just outside every border, with the verdict that the definition gives.
JUDGEMENTS: list[tuple[Criterion, tuple[float, float, float], str]] = [
    (AtMost(0.5), (0.1, 0.2, 0.5), "reproduced"),
    (AtMost(0.5), (0.1, 0.2, 0.500001), "inconclusive"),
    (AtMost(0.5), (0.5, 0.6, 0.7), "inconclusive"),
    (AtMost(0.5), (0.500001, 0.6, 0.7), "refuted"),
    (LessThan(0.5), (0.1, 0.2, 0.499999), "reproduced"),
    (LessThan(0.5), (0.1, 0.2, 0.5), "inconclusive"),
    (LessThan(0.5), (0.499999, 0.6, 0.7), "inconclusive"),
    (LessThan(0.5), (0.5, 0.6, 0.7), "refuted"),
    (AtLeast(0.5), (0.5, 0.6, 0.7), "reproduced"),
    (AtLeast(0.5), (0.499999, 0.6, 0.7), "inconclusive"),
    (AtLeast(0.5), (0.1, 0.2, 0.5), "inconclusive"),
    (AtLeast(0.5), (0.1, 0.2, 0.499999), "refuted"),
    (GreaterThan(0.0), (0.000001, 0.1, 0.2), "reproduced"),
    (GreaterThan(0.0), (0.0, 0.1, 0.2), "inconclusive"),
    (GreaterThan(0.0), (-0.1, -0.05, 0.000001), "inconclusive"),
    (GreaterThan(0.0), (-0.1, -0.05, 0.0), "refuted"),
    (Between(0.25, 0.5), (0.25, 0.3, 0.5), "reproduced"),
    (Between(0.25, 0.5), (0.2, 0.3, 0.4), "inconclusive"),
    (Between(0.25, 0.5), (0.3, 0.4, 0.6), "inconclusive"),
    (Between(0.25, 0.5), (0.1, 0.2, 0.25), "inconclusive"),
    (Between(0.25, 0.5), (0.5, 0.6, 0.7), "inconclusive"),
    (Between(0.25, 0.5), (0.1, 0.3, 0.9), "inconclusive"),
    (Between(0.25, 0.5), (0.1, 0.2, 0.249999), "refuted"),
    (Between(0.25, 0.5), (0.500001, 0.6, 0.7), "refuted"),
    (Equivalent(to=0.0, margin=0.25), (-0.2, 0.0, 0.2), "reproduced"),
    (Equivalent(to=0.0, margin=0.25), (-0.2, 0.0, 0.25), "inconclusive"),
    (Equivalent(to=0.0, margin=0.25), (-0.3, 0.0, 0.3), "inconclusive"),
    (Equivalent(to=0.0, margin=0.25), (0.25, 0.3, 0.4), "refuted"),
    (Equivalent(to=0.0, margin=0.25), (-0.4, -0.3, -0.25), "refuted"),
    # The target lies in the interval, however wide that is.
    (Near(0.5, absolute=0.0, relative=0.0), (0.1, 0.2, 0.9), "reproduced"),
    # The value is within the tolerance, though the interval excludes the target.
    (Near(0.5, absolute=0.125, relative=0.0), (0.6, 0.625, 0.7), "reproduced"),
    # The interval overlaps the band only beside the value.
    (Near(0.5, absolute=0.125, relative=0.0), (0.625, 0.7, 0.8), "inconclusive"),
    (Near(0.5, absolute=0.125, relative=0.0), (0.625001, 0.7, 0.8), "refuted"),
    (Near(0.5, absolute=0.125, relative=0.0), (0.1, 0.2, 0.374999), "refuted"),
    # The larger of the two tolerances counts, and the relative one is of the target's size, not its sign.
    (Near(-1.0, absolute=0.005, relative=0.25), (-0.85, -0.8, -0.76), "reproduced"),
    (Near(0.02), (0.022, 0.0249, 0.03), "reproduced"),
    # Above the draws' 95th percentile, below their mean, and between.
    (AboveDraws(), (1.65, 3.0, 9.0), "reproduced"),
    (AboveDraws(), (1.64, 3.0, 9.0), "inconclusive"),
    (AboveDraws(), (0.1, 0.5, 0.9), "inconclusive"),
    (AboveDraws(), (-2.0, -1.0, 0.0), "inconclusive"),
    (AboveDraws(), (-2.0, -1.0, -0.001), "refuted"),
    (AboveDraws(0.99), (1.65, 3.0, 9.0), "inconclusive"),
]


@pytest.mark.parametrize(("criterion", "interval", "verdict"), JUDGEMENTS)
def test_the_whole_interval_is_judged(criterion: Criterion, interval: tuple[float, float, float], verdict: str) -> None:
    judgement = criterion.judge(measured(*interval))
    assert judgement.verdict is Verdict(verdict)
    assert criterion.text() in judgement.reason


@pytest.mark.parametrize(
    ("criterion", "ends"),
    [
        (AtMost(0.05), (None, 0.05)),
        (AtLeast(0.05), (0.05, None)),
        (Between(0.1, 0.2), (0.1, 0.2)),
        (Near(0.5, absolute=0.1, relative=0.1), (0.4, 0.6)),
        (Equivalent(1.0, 0.25), (0.75, 1.25)),
        (AboveDraws(0.975), (pytest.approx(1.96, abs=0.001), None)),
        (NotJudged("other models"), (None, None)),
    ],
)
def test_the_region_of_a_criterion_has_the_ends_that_it_names(
    criterion: Criterion, ends: tuple[float | None, float | None]
) -> None:
    assert criterion.region.ends == ends


ALL = [
    AtMost(0.05),
    LessThan(1),
    AtLeast(0.8),
    GreaterThan(0.0),
    Between(0.01, 0.05),
    Near(TABLE_1.at(0.0474)),
    Equivalent(to=TABLE_1.at(0.0474), margin=0.005),
    AboveDraws(),
    NotJudged("the published number is about GPT-2 small"),
]


@pytest.mark.parametrize("criterion", ALL, ids=lambda c: c.kind)
def test_a_criterion_survives_json(criterion: Criterion) -> None:
    again = Criterion.from_dict(json.loads(json.dumps(criterion.as_dict(), allow_nan=False)))
    assert again == criterion
    assert again.text() == criterion.text()
    for low, value, high in ((0.0, 0.001, 0.002), (0.04, 0.0474, 0.06), (0.9, 0.95, 1.0)):
        assert again.judge(measured(low, value, high)) == criterion.judge(measured(low, value, high))


def test_every_kind_of_criterion_is_covered() -> None:
    assert {criterion.kind for criterion in ALL} == set(Criterion.kinds)


@pytest.mark.parametrize("criterion", ALL, ids=lambda c: c.kind)
def test_nothing_measured_is_never_a_judgement(criterion: Criterion) -> None:
    assert criterion.judge(Measurement.missing()).verdict is Verdict.NOT_EVALUATED


def test_not_judged_is_no_judgement_whatever_was_measured() -> None:
    judgement = NotJudged("about another model").judge(measured(0.1, 0.2, 0.3))
    assert judgement.verdict is Verdict.NOT_EVALUATED
    assert judgement.reason == "not judged: about another model"


def test_a_case_that_is_not_evaluated_says_why_and_repeats_neither_number_nor_criterion() -> None:
    seen = replace(measured(0.2, 0.3, 0.4), unit="share", details={CEILING: 0.7716})
    assert AtLeast(0.8).judge(seen).reason == (
        "not evaluable here: at most 77.2 % can be seen, the agreement of two halves of the tokens"
    )
    assert AtLeast(0.8).judge(Measurement.missing(n=14)).reason == "nothing to measure (n = 14)"


def test_texts_are_phrases() -> None:
    assert [criterion.text() for criterion in ALL] == [
        "at most 0.05",
        "less than 1",
        "at least 0.8",
        "greater than 0",
        "between 0.01 and 0.05",
        "near 0.0474 (nandan2025.table1[threshold=0.5, step=100000]) within max(0.005, 10 %)",
        "equivalent to 0.0474 (nandan2025.table1[threshold=0.5, step=100000]) within 0.005",
        "above the 95th percentile of the draws, refuted below their mean",
        "not judged: the published number is about GPT-2 small",
    ]


def test_a_published_number_is_looked_up_before_judging_and_kept() -> None:
    asked = []

    def resolver(reference: Published) -> float:
        asked.append((reference.table, dict(reference.where)))
        return 0.0474

    criterion = Near(TABLE_1)
    with pytest.raises(
        CriterionError, match=r"nandan2025\.table1\[threshold=0\.5, step=100000\] has not been looked up"
    ):
        criterion.judge(measured(0.04, 0.0474, 0.05))
    resolved = criterion.resolved(resolver)
    assert asked == [("nandan2025.table1", {"threshold": 0.5, "step": 100_000})]
    assert resolved.judge(measured(0.04, 0.045, 0.05)).verdict is Verdict.REPRODUCED
    assert resolved.as_dict()["target"] == {
        "published": "nandan2025.table1",
        "where": {"threshold": 0.5, "step": 100_000},
        "value": 0.0474,
    }


def test_the_short_text_leaves_out_where_a_known_number_stands() -> None:
    bounds = Between(Published("text", bound="lower").at(0.01), TABLE_1)
    assert bounds.without_sources().text() == "between 0.01 and nandan2025.table1[threshold=0.5, step=100000]"
    assert AtMost(0.05).without_sources() == AtMost(0.05)


def test_a_label_of_a_published_number_may_be_called_table() -> None:
    assert Published("gurnee2024.counts", table=1).where == (("table", 1),)


def test_contradictory_bounds_are_noticed_once_published_ones_are_known() -> None:
    criterion = Between(0.1, TABLE_1)
    with pytest.raises(CriterionError, match=r"exceeds upper 0\.0474"):
        criterion.resolved(lambda _: 0.0474)


@pytest.mark.parametrize(
    "build",
    [
        lambda: AtMost(math.nan),
        lambda: AtLeast(math.inf),
        lambda: AtMost(True),
        lambda: AtMost("0.05"),  # type: ignore[arg-type]
        lambda: Between(0.5, 0.25),
        lambda: Near(0.5, absolute=-0.1),
        lambda: Near(TABLE_1, relative=-0.1),
        lambda: Equivalent(to=0.0, margin=0.0),
        lambda: NotJudged(" "),
        lambda: Criterion.from_dict({"kind": "roughly", "bound": 1.0}),
    ],
)
def test_a_criterion_that_cannot_be_meant_is_refused(build: object) -> None:
    assert callable(build)
    with pytest.raises(CriterionError):
        build()
