from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.worlds import claim_file
from universal_neurons.evidence.verdict import Verdict

if TYPE_CHECKING:
    from tests.harness.projects import Project

pytest_plugins = ("pytester",)


AROUND = "Measurement(0.02, 0.01, 0.03, 9, Over.NEURONS"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            AROUND.replace("Over.NEURONS", "'neurons'") + ")",
            "over: expected Over, one of token blocks, *, got 'neurons'",
        ),
        (f"{AROUND}, details=[0.5])", "details: expected a mapping of names to numbers, got [[]0.5]"),
        (f"{AROUND}, level=95)", "level: expected a number in (0, 1) such as 0.95, got 95"),
        ("0.02", "returned float, expected a Measurement"),
        ("None", "returned NoneType, expected a Measurement"),
    ],
)
def test_what_is_no_measurement_is_one_line_of_its_claim_and_the_run_goes_on(
    project: Project, body: str, said: str
) -> None:
    project.write(claim_file(body), claim_file(id="N2", name="two"))
    project.accept(N1="reproduced", N2="reproduced")
    result = project.run("claims", "-rf")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines([f"error: test_few*{said}"])
    result.stdout.no_fnmatch_line("*Error*")
    assert project.records()["claim N1"].verdict is Verdict.ERROR


def test_an_async_claim_is_one_line_and_the_run_goes_on(project: Project) -> None:
    project.write(claim_file().replace("def test_few", "async def test_few"), claim_file(id="N2", name="two"))
    project.accept(N1="reproduced", N2="reproduced")
    result = project.run("claims", "-rf")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["error: test_few is async; expected a plain function that returns a Measurement"])
    result.stdout.no_fnmatch_line("*never awaited*")


def test_a_control_that_satisfies_the_criterion_makes_the_claim_vacuous(project: Project) -> None:
    project.write(claim_file(control="around(0.01)"))
    project.accept(N1="reproduced")
    result = project.run()
    result.assert_outcomes(failed=1, xfailed=1)
    result.stdout.fnmatch_lines(["changed from reproduced to vacuous: its control test_control_of_few satisfies*"])
    record = project.records()["claim N1"]
    assert record.verdict is Verdict.VACUOUS
    assert [control.verdict for control in record.controls] == [Verdict.REPRODUCED]
    assert record.rejudged().verdict is Verdict.VACUOUS


def test_an_accepted_vacuous_claim_is_expected_and_so_is_its_control(project: Project) -> None:
    project.write(claim_file(control="around(0.01)"))
    project.accept(N1="vacuous")
    result = project.run()
    result.assert_outcomes(xfailed=2)
    assert result.ret == 0


@pytest.mark.parametrize(
    ("control", "verdict"),
    [("around(0.5)", "refuted"), ("around(0.05)", "inconclusive"), ("Measurement.missing()", "not_evaluated")],
)
def test_a_control_passes_unless_it_is_reproduced_and_the_record_says_which(
    project: Project, control: str, verdict: str
) -> None:
    project.write(claim_file(control=control))
    project.accept(N1="reproduced")
    project.run().assert_outcomes(passed=2)
    assert project.records()["control N1"].verdict is Verdict(verdict)
    assert project.records()["claim N1"].controls[0].verdict is Verdict(verdict)


def test_a_claim_with_a_broken_control_is_an_error(project: Project) -> None:
    project.write(claim_file(control="1 / 0"))
    project.accept(N1="reproduced")
    result = project.run()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["error: its control test_control_of_few broke: ZeroDivisionError: division by zero", "E *ZeroDivisionError*"]
    )
    assert project.records()["claim N1"].verdict is Verdict.ERROR


def test_a_control_is_evaluated_with_the_parameters_of_the_item(project: Project) -> None:
    project.write(
        claim_file(
            takes="study, checkpoint",
            control="around(0.01 if checkpoint.step == 2 else 0.5)",
        )
    )
    project.accept(N1={"25%": "reproduced", "50%": "vacuous", "100%": "reproduced"})
    result = project.run()
    result.assert_outcomes(passed=4, xfailed=2)
    assert project.claims()[0].verdict == "vacuous"


def test_a_claim_judges_its_control_even_if_the_control_is_deselected(project: Project) -> None:
    project.write(claim_file(control="around(0.01)"))
    project.accept(N1="reproduced")
    project.run("claims", "-m", "claim").assert_outcomes(failed=1, deselected=1)
    assert project.records()["claim N1"].verdict is Verdict.VACUOUS


def test_a_control_may_take_fewer_axes_and_other_fixtures_than_its_claim(project: Project) -> None:
    project.write(
        """
@claim("N1", "Few.", source="table 1", expect=AtMost(0.05))
def test_few(study, partner, checkpoint):
    return around(0.02)


@control(of=test_few)
def test_untrained(study, partner, tmp_path):
    assert tmp_path.is_dir()
    return around(0.5)
"""
    )
    project.accept(N1={f"a-{p}-{c}": "reproduced" for p in "bc" for c in ("25%", "50%", "100%")})
    project.run().assert_outcomes(passed=8)


def test_a_control_is_computed_once_for_its_own_item_and_those_it_guards(project: Project) -> None:
    project.write(claim_file(takes="study, layer", control="(print('computed', layer), around(0.5))[1]"))
    project.accept(N1={"L0": "reproduced", "L1": "reproduced"})
    result = project.run("claims", "-s")
    result.assert_outcomes(passed=4)
    assert [result.stdout.str().count(f"computed {layer}") for layer in (0, 1)] == [1, 1]


def test_a_control_whose_own_fixture_breaks_is_an_error_of_its_claim_too(project: Project) -> None:
    project.write(
        """
import pytest

@pytest.fixture
def broken():
    raise RuntimeError("no weights")

@claim("N1", "Few.", source="table 1", expect=AtMost(0.05))
def test_few(study):
    return around(0.02)

@control(of=test_few)
def test_untrained(study, broken):
    return around(0.5)
"""
    )
    project.accept(N1="reproduced")
    result = project.run()
    result.assert_outcomes(failed=1, errors=1)
    assert result.ret == 1
    assert project.records()["claim N1"].reason == "its control test_untrained broke: RuntimeError: no weights"
    assert project.records()["control N1"].verdict is Verdict.ERROR


def test_a_fixture_of_a_claim_that_breaks_is_an_error(project: Project) -> None:
    fixture = "import pytest\n\n@pytest.fixture\ndef broken():\n    raise AssertionError('no')\n"
    project.write(fixture, claim_file(takes="study, broken"))
    project.accept(N1="refuted")
    project.run().assert_outcomes(errors=2)
    assert project.records()["claim N1"].verdict is Verdict.ERROR
    assert project.records()["claim N1"].reason == "setup failed: AssertionError: no"


def test_a_control_that_uses_other_fixtures_is_computed_anew_with_each_of_them(project: Project) -> None:
    project.write(
        """
@claim("N1", "Few.", source="table 1", expect=AtMost(0.05))
def test_few(study, layer):
    return around(0.02)

@control(of=test_few)
def test_untrained(study, tmp_path):
    print("computed in", tmp_path.name)
    return around(0.5)
"""
    )
    project.accept(N1={"L0": "reproduced", "L1": "reproduced"})
    output = project.run("claims", "-s").stdout.str()
    assert [output.count(f"computed in {name}0") for name in ("test_few_L0_", "test_few_L1_", "test_untrained")] == [
        1
    ] * 3
