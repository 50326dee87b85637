"""What the page of one claim says about what was measured, and what it does not say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.render.fakes import ARTIFACTS, record, share
from universal_neurons.evidence.criteria import AtMost, GreaterThan
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.summary import ClaimSummary, summaries
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.render.pages import claim as shown

if TYPE_CHECKING:
    from universal_neurons.evidence.record import EvidenceRecord


def claim(*records: EvidenceRecord) -> ClaimSummary:
    found = [replace(one, test=f"{one.test}{place}") for place, one in enumerate(records)]
    return summaries(found)[0]


def case(value: float, reach: float, **changes: Any) -> EvidenceRecord:
    given = {"partner": f"p{value}", "threshold": 0.5}
    return record("N2", GreaterThan(0.0), share(value, reach), parameters=given, **changes)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.01, " token blocks instead of "),
        (0.0, "no number of token blocks would decide"),
        (0.0001, "more than 1000 times as many token blocks would be needed to decide"),
        (0.2, ""),
    ],
)
def test_an_open_case_says_how_much_more_data_would_decide(value: float, said: str) -> None:
    table = shown.measurements(claim(case(value, 0.03), case(0.3, 0.001)))
    assert said in table
    assert ("decide" in table) == bool(said)


def test_the_verdict_says_along_which_parameter_it_changes() -> None:
    cases = [
        record("N2", GreaterThan(0.0), share(value, 0.01), parameters={"partner": partner, "checkpoint": label})
        for partner in "bc"
        for label, value in (("25 %", -0.05), ("50 %", 0.0), ("75 %", 0.05), ("100 %", 0.06))
    ]
    assert "Refuted at 25 %, inconclusive at 50 %, reproduced from 75 %." in shown.outcome(claim(*cases)).replace(
        "\u00a0", " "
    )
    assert "Reproduced" not in shown.outcome(claim(cases[0], cases[6])).replace("reproduced", "")


def test_parameters_that_do_not_vary_stand_in_the_caption() -> None:
    table = shown.measurements(claim(case(0.02, 0.001), case(0.03, 0.001)))
    assert "What was measured for N2, threshold 0.5 throughout" in table
    assert '<th scope="col">partner</th>' in table
    assert '<th scope="col">threshold</th>' not in table


def test_every_measurement_is_drawn_on_one_axis_and_marked_with_its_case() -> None:
    table = shown.measurements(claim(case(0.02, 0.001), case(-0.03, 0.001)))
    assert table.count('<svg class="mark"') == 2
    assert 'data-case="N2/0" data-verdict="reproduced"' in table
    assert 'data-case="N2/1" data-verdict="refuted"' in table


def test_many_cases_are_folded_under_one_drawing() -> None:
    many = shown.measurements(claim(*(case(0.02 + i / 1000, 0.001) for i in range(30))))
    assert "<summary>All 30 cases</summary>" in many
    assert many.count('<svg class="strip"') == 1
    assert "<details>" not in shown.measurements(claim(*(case(0.02 + i / 1000, 0.001) for i in range(5))))


def test_the_adjusted_p_value_is_shown_where_the_family_is_corrected() -> None:
    corrected = claim(case(0.02, 0.001, correction="holm"), case(-0.03, 0.031, correction="holm"))
    assert "adjusted p" in shown.measurements(corrected)
    assert "&lt; 0.0001" in shown.measurements(corrected)
    assert "adjusted p" not in shown.measurements(claim(case(0.02, 0.001)))


def test_a_refutation_that_the_correction_takes_back_says_so() -> None:
    # At the border of its interval each is refuted alone, and two of them together no longer are.
    cases = [case(-0.0101 - i / 1e5, 0.01, correction="holm") for i in range(2)]
    found = claim(*cases)
    assert {record.verdict for record in found.items} == {Verdict.REFUTED}
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "counts as inconclusive after the correction" in shown.measurements(found)
    assert "It takes back 2 refutations" in shown.correction_sentence(found)
    assert shown.correction_sentence(claim(case(0.02, 0.001))) == ""


def test_cases_without_a_number_are_counted_by_what_kept_them_from_one() -> None:
    missing = replace(case(0.1, 0.1), measurement=None, verdict=Verdict.NOT_EVALUATED, reason="missing", command="run")
    assert shown.unmeasured(claim(missing, missing)) == "All 2 cases are without a number: missing."
    assert shown.unmeasured(claim(missing, case(0.02, 0.001))) == "1 case without a number: missing."
    assert shown.measurements(claim(missing)) == ""
    assert shown.commands(claim(missing)).startswith("<pre")
    assert "<code>run\n" in shown.commands(claim(missing))


def test_readings_that_change_the_verdict_are_marked_and_counted() -> None:
    other: dict[str, Any] = {"role": "reading", "ambiguity": "A1", "says": "else"}
    high = record("N1", AtMost(0.05), share(0.2, 0.01), test="c.py::test_high", **other)
    low = record("N1", AtMost(0.05), share(0.01, 0.001), test="c.py::test_low", **other)
    lost = record("N1", verdict=Verdict.ERROR, test="c.py::test_lost", **other)
    html = shown.readings(summaries([record(), high, low, lost])[0])
    assert html.count('<tr class="marked">') == 1
    assert "1 reading of 3 would change the verdict; 1 came to no judgement." in html
    assert "It came to no judgement." in shown.readings(summaries([record(), lost])[0])
    assert shown.readings(summaries([record()])[0]) == ""


def test_the_history_sets_the_accepted_verdict_beside_this_one() -> None:
    found = claim(case(0.02, 0.001, item="a"), case(0.03, 0.001, item="b"))
    accepted = Ledger({"N2": {"a": Verdict.REFUTED, "b": Verdict.REPRODUCED}})
    html = shown.history(found, accepted)
    assert "1 case with another verdict." in html
    assert 'data-item="refuted"' in html
    assert "has been accepted for this suite" in shown.history(found, Ledger())
    same = shown.history(found, Ledger({"N2": {"b": Verdict.REPRODUCED}}))
    assert "No case differs from its accepted verdict. 1 case had none before." in same


def test_artifacts_are_listed_by_stage() -> None:
    html = shown.artifacts(claim(case(0.02, 0.001)), {ARTIFACTS[-1]: "universality"})
    assert "<dt>universality (1)</dt>" in html
    assert ARTIFACTS[-1][:12] in html
    assert "No artifact was read" in shown.artifacts(claim(case(0.02, 0.001, artifacts=())), {})
