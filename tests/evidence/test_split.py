"""Where the verdicts on the cases of a claim change, in words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.render.fakes import record
from universal_neurons.evidence.split import where_it_breaks
from universal_neurons.evidence.verdict import Verdict

R, F, OPEN = Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE
SPANS = [{"earlier": {"label": a}, "later": {"label": b}} for a, b in (("25 %", "50 %"), ("50 %", "75 %"))]


def said(cases: list[dict[str, Any]], verdicts: list[Verdict]) -> str:
    return where_it_breaks([record(parameters=case) for case in cases], verdicts)


@pytest.mark.parametrize(
    ("cases", "verdicts", "words"),
    [
        (
            [{"checkpoint": label} for label in ("25 %", "50 %", "75 %", "100 %")],
            [F, OPEN, R, R],
            "refuted at 25 %, inconclusive at 50 %, reproduced from 75 %",
        ),
        (
            [{"interval": span, "threshold": 0.5} for span in SPANS],
            [OPEN, R],
            "inconclusive from 25 % to 50 %, reproduced from 50 % to 75 %",
        ),
        (
            [{"reference": name, "checkpoint": "100 %"} for name in "abc"],
            [OPEN, R, R],
            "inconclusive for model a, reproduced for model b and c",
        ),
        ([{"partner": name, "checkpoint": at} for name in "bc" for at in ("25 %", "50 %")], [F, R, F, R],
         "refuted at 25 %, reproduced at 50 %"),
        # Two parameters change together: neither alone is the reason.
        ([{"partner": "b", "reference": "a"}, {"partner": "c", "reference": "d"}], [F, R], ""),
        ([{"partner": name, "checkpoint": at} for name in "bc" for at in ("25 %", "50 %")], [F, R, R, R], ""),
        ([{"partner": "b"}, {"partner": "c"}], [R, R], ""),
    ],
)  # fmt: skip
def test_the_one_parameter_that_explains_the_verdicts_is_named(
    cases: list[dict[str, Any]], verdicts: list[Verdict], words: str
) -> None:
    assert said(cases, verdicts) == words
