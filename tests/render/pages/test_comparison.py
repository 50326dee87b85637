"""Another run beside that of the report: the words of differences, the page, what a terminal gets."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests.render.conftest import computed_once, copied_checkout
from tests.render.fakes import FakeStudy, fake_records, record, share, write_log
from tests.render.hostile import hostile_log
from tests.render.neurons import local_text
from tests.render.payloads import PAYLOADS
from tests.render.read import attributes, elements
from tests.render.sides import key_figures, other_records, side_by_side
from tests.render.test_report import text_of
from universal_neurons.evidence.comparison import DifferingSetting, JudgedRun, SideBySide, compared
from universal_neurons.evidence.summary import summaries
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.render import build_report
from universal_neurons.render.html.checks import CheckedPage, ReportBroken
from universal_neurons.render.pages.comparison import (
    comparison_data,
    difference_line,
    labels,
    other_differences,
    other_differences_line,
    other_verdicts,
    summary,
)
from universal_neurons.render.pages.comparison_text import lines, tables

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.render.pages.paper import Groups
    from universal_neurons.render.results import Results

BOTH = side_by_side()
PAIRS = {pair.claim: pair for pair in BOTH.comparison.claims}


def built(root: Path, both: SideBySide, name: str = "built", records: list[object] | None = None) -> Path:
    log = write_log(root.parent / f"{name}-log", records or fake_records())  # type: ignore[arg-type]
    return build_report(
        FakeStudy(), root=root, text=local_text(), output=root.parent / name, verdicts=log, engine="pandoc", both=both
    ).parent


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ").replace("\u2212", "-")


# --- words -----------------------------------------------------------------------------------------------------------


def test_the_summary_counts_verdicts_claims_of_one_run_only_and_values() -> None:
    assert summary(BOTH.comparison) == [
        "7 claims were judged both in mini and in paper: 2 have another verdict (N5 and N6).",
        "1 was judged in mini and not in paper (G6).",
        "1 was judged in paper and not in mini (X1).",
        "Of 20 measurements that both have, 1 differs by more than their combined uncertainty.",
    ]


def test_two_equal_runs_are_said_to_be_equal() -> None:
    same = side_by_side(right=fake_records()).comparison
    assert summary(same) == [
        "8 claims were judged both in mini and in paper: no verdict differs.",
        "All 21 measurements that both have are identical, with their intervals.",
    ]
    assert {difference_line(pair) for pair in same.claims} == {"none", ""}


def test_runs_that_share_nothing_say_so() -> None:
    nothing = side_by_side(left=[record()], right=[record("X1")]).comparison
    assert summary(nothing)[0] == "0 claims were judged both in mini and in paper: no verdict differs."
    assert summary(nothing)[-1] == "No case has a measurement in both runs that can be subtracted."


def test_a_run_of_a_part_of_the_claims_is_said_to_be_one() -> None:
    comparison = BOTH.comparison
    part = replace(comparison, right=replace(comparison.right, complete=False))
    assert "In paper only a part of the claims ran" in summary(part)[-1]


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ("N1", "none"),
        ("N5", "-1.9 points [-2.5, -1.3]"),
        ("N6", "none"),
        ("V5", "none"),
        ("G7", ""),
        ("G6", ""),
    ],
)
def test_a_difference_is_said_in_points_with_its_interval(claim: str, said: str) -> None:
    assert plain(difference_line(PAIRS[claim])) == said


def test_differences_of_many_cases_are_said_as_a_range_and_a_count() -> None:
    left = [record(parameters={"partner": p}, measurement=share(0.02, 0.004)) for p in "bcd"]
    right = [
        record(parameters={"partner": p}, measurement=share(value, 0.004), artifacts=("f" * 64,))
        for p, value in zip("bcd", (0.02, 0.021, 0.06), strict=True)
    ]
    (pair,) = side_by_side(left, right).comparison.claims
    assert plain(difference_line(pair)) == "0.0 to 4.0 points over 3 cases, 1 beyond uncertainty"


def test_what_else_differs_is_named_with_both_values() -> None:
    assert other_differences(PAIRS["N1"]) == []
    assert other_differences(PAIRS["N5"]) == [("artifacts", "1", "1, 0 in common")]
    assert plain(other_differences_line(PAIRS["N6"])) == "criterion: above 0 %, then above -100 %"
    assert other_differences(PAIRS["X1"]) == []
    left = [record(parameters={"partner": p}) for p in "bcd"]
    right = [
        record(parameters={"partner": p}, suite="paper", correction="holm", narrowed_by="--tokens 50k") for p in "cde"
    ]
    (pair,) = side_by_side(left, right).comparison.claims
    assert other_differences(pair) == [("correction", "none", "holm"), ("cases", "3", "3, 2 in common")]


def test_a_criterion_is_the_same_where_only_one_run_could_measure() -> None:
    nothing = record(measurement=None, verdict=Verdict.NOT_EVALUATED, reason="not evaluated on this suite: no text")
    (pair,) = side_by_side([record()], [nothing]).comparison.claims
    assert other_differences(pair) == []


def test_two_runs_of_one_name_are_told_apart() -> None:
    run = JudgedRun("mini", "mini", ())
    assert labels(compared(run, run)) == ("mini (left)", "mini (right)")


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, found: Results, drawn: Groups) -> Path:
    with computed_once(found, drawn):
        return built(copied_checkout(tmp_path_factory.mktemp("compared") / "checkout"), BOTH)


def test_the_page_has_both_verdicts_of_every_claim(page: Path) -> None:
    found = CheckedPage.read(page / "compare.html")
    assert dict(found.verdicts) == {c.claim: c.verdict.value for c in BOTH.comparison.left.claims}
    assert dict(found.parts) == other_verdicts(BOTH.comparison)
    assert "claims/n5.html" in found.links
    assert "claims/x1.html" not in found.links


def test_the_page_says_what_differs_and_with_what_both_were_made(page: Path) -> None:
    said = plain(text_of(page / "compare.html"))
    for part in (
        "7 claims were judged both in mini and in paper", "-1.9 points [-2.5, -1.3]", "criterion: above 0 %",
        "commit cccccccccccc", "not recorded", "Zou and Donner", "2.10.0", "divergence of the output",
        "as many others of each layer",
    ):  # fmt: skip
        assert part in said, part


def test_every_page_links_to_the_comparison_where_there_is_one(page: Path, report: Path) -> None:
    for name in ("index.html", "methods.html", "neurons.html", "claims/n1.html", "compare.html"):
        assert "compare.html" in (page / name).read_text(encoding="utf-8"), name
    assert not (report / "compare.html").exists()
    assert "compare.html" not in (report / "index.html").read_text(encoding="utf-8")


def test_the_data_beside_the_page_are_every_case_and_every_number(page: Path) -> None:
    cases = pd.read_csv(page / "data" / "compare-cases.csv", keep_default_na=False)
    assert len(cases) == sum(len(pair.cases) for pair in BOTH.comparison.claims)
    row = cases[(cases["claim"] == "N5")].iloc[0]
    assert (row["left verdict"], row["right verdict"], row["unit"]) == ("inconclusive", "reproduced", "share")
    assert float(row["difference value"]) == pytest.approx(-0.019)
    numbers = pd.read_csv(page / "data" / "compare-shares-and-ablations.csv")
    assert len(numbers) == len(key_figures())
    both = numbers.dropna(subset=["left value", "right value"])
    assert both["difference value"].to_numpy() == pytest.approx((both["right value"] - both["left value"]).to_numpy())
    assert len(numbers[numbers["left value"].isna()]) == 6


@pytest.mark.usefixtures("measured_once")
def test_sides_without_tables_have_no_numbers_and_say_why(root: Path) -> None:
    both = replace(BOTH, key_figures=(), settings=(), absences=("paper: the artifacts are not here (nobody computed)",))
    said = text_of(built(root, both) / "compare.html")
    assert "Not compared here: paper: the artifacts are not here (nobody computed)." in said
    assert "Shares and ablations" not in said
    assert "No recorded setting, input or version differs." in said


@pytest.mark.usefixtures("measured_once")
def test_two_builds_beside_another_run_are_the_same_bytes(page: Path, root: Path) -> None:
    again = built(root, side_by_side())
    for name in ("compare.html", "performance.html", *comparison_data(BOTH)):
        assert (page / name).read_bytes() == (again / name).read_bytes(), name


def test_a_verdict_of_the_other_run_that_is_shown_wrongly_stops_the_build(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {**other_verdicts(BOTH.comparison), "other N5": Verdict.REFUTED.value}
    monkeypatch.setattr("universal_neurons.render.pages.comparison.other_verdicts", lambda _: wrong)
    with pytest.raises(ReportBroken, match=r"compare\.html:\d+: other N5 is shown as 'reproduced'"):
        built(root, BOTH)


@pytest.mark.usefixtures("measured_once")
def test_hostile_texts_of_the_other_run_leave_no_new_element_and_no_new_attribute(root: Path) -> None:
    everything = " ".join(PAYLOADS)
    pages = {}
    for name, texts, word in (("tame", ["tame"] * len(PAYLOADS), "tame"), ("wild", list(PAYLOADS), everything)):
        other = hostile_log(texts)
        both = side_by_side(right=other, absences=(word,), settings=(DifferingSetting(word, word, word),))
        run = replace(both.comparison.right, name=word, suite=word, code={"commit": word})
        both = replace(both, comparison=replace(both.comparison, right=run))
        found = CheckedPage.read(built(root, both, name) / "compare.html")
        pages[name] = elements(found), attributes(found)
    assert pages["wild"] == pages["tame"]


# --- the terminal ----------------------------------------------------------------------------------------------------


def test_a_terminal_gets_the_claims_the_numbers_and_what_both_were_made_with() -> None:
    claims, numbers, settings = tables(BOTH)
    row = next(row for row in claims.rows if row["claim"] == "N5")
    assert (row["changed"], row["left"], row["right"], row["other"]) == (
        "*",
        "inconclusive",
        "reproduced",
        "artifacts: 1, then 1, 0 in common",
    )
    assert row["difference"] == "\u22121.9 points [\u22122.5, \u22121.3]"
    assert claims.columns["left"] == "mini"
    assert len(numbers.rows) == len(key_figures())
    assert settings.rows[0] == {"name": "universality: draws", "left": "20", "right": "5"}
    assert {row["right"] for row in claims.rows if row["claim"] == "G6"} == {"not judged"}


def test_only_changed_claims_are_shown_where_asked_for() -> None:
    claims = next(iter(tables(BOTH, only_changed=True)))
    assert [row["claim"] for row in claims.rows] == ["G6", "N5", "N6", "X1"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_of_a_run_controls_the_terminal(payload: str) -> None:
    both = side_by_side(
        absences=(payload + "\x1b[31m",), settings=(DifferingSetting(payload + "\x1b]0;x\x07", "\x9b1m", "\u202e"),)
    )
    shown = [text for table in tables(both) for row in table.rows for text in (table.title, *row.values())]
    for text in (*shown, *lines(both)):
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2028\u2029" for c in text), ascii(text)


def test_no_cell_of_the_data_is_a_formula() -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\t=1"]
    both = side_by_side(right=hostile_log(texts))
    for table in comparison_data(both).values():
        for row in csv.reader(table.csv().splitlines()):
            for cell in row:
                assert not cell.startswith(("=", "@", "\t", "+")) or cell == "+", cell


def test_summaries_of_hostile_runs_stay_one_line() -> None:
    comparison = compared(
        JudgedRun("a", "a", summaries(fake_records())), JudgedRun("b\nc", "b", summaries(other_records()))
    )
    assert all("\n" not in line for line in lines(SideBySide(comparison)))
