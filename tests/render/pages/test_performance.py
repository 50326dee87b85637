"""What everything cost, what benches say, and what the size of a suite leaves open."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from tests.render.fakes import FakeStudy, fake_records, record, share
from tests.render.sides import bench
from tests.render.test_report import text_of
from tests.sources import ROOT
from universal_neurons.artifacts.provenance import SharedRun
from universal_neurons.evidence.criteria import GreaterThan
from universal_neurons.evidence.summary import summaries
from universal_neurons.inputs.benchmarks import BenchmarkError
from universal_neurons.measurement import Measurement, Over
from universal_neurons.render.pages.performance import (
    Performance,
    benches_table,
    limits,
    performance,
    performance_page,
    stage_costs,
    stages_table,
    total_sentence,
    undecided,
    undecided_table,
    whole_seconds,
)

if TYPE_CHECKING:
    from pathlib import Path

PASS = SharedRun("moments of all pairs", "2025-11-20T09:00:00Z", 100.0)


def artifact(stage: str, created: str, seconds: float, **changes: Any) -> dict[str, Any]:
    row = {
        "stage": stage, "created": created, "wall_seconds": seconds, "device": "cpu", "peak_memory_bytes": 2.0**30,
        "shared": (),
    }  # fmt: skip
    return {**row, **changes}


ARTIFACTS = pd.DataFrame(
    [
        # One run wrote two tables, a null and, of another stage, draws; two runs rest on one pass.
        artifact("universality", "1", 10.0, shared=(PASS,)),
        artifact("universality", "1", 10.0, shared=(PASS,)),
        artifact("null-rotated", "1", 10.0, shared=(PASS,)),
        artifact("universality", "2", 20.0, shared=(PASS,), peak_memory_bytes=2.0**31),
        artifact("ablation", "3", 50.0, peak_memory_bytes=math.nan),
    ]
)


def plain(text: str) -> str:
    return " ".join(text.replace("\u00a0", " ").replace("\u202f", " ").replace("\u2212", "-").split())


@pytest.fixture
def published(root: Path) -> Path:
    """A checkout with one bench."""
    bench().write(root)
    return root


def made(root: Path, **changes: Any) -> Performance:
    claims = summaries(fake_records())
    return replace(performance(root, FakeStudy().suite, ARTIFACTS, claims), **changes)


def test_a_run_counts_once_in_a_stage_and_once_in_the_whole() -> None:
    costs = {one.stage: one for one in stage_costs(ARTIFACTS)}
    assert list(costs) == ["moments of all pairs", "ablation", "universality", "null-rotated"]
    assert {name: one.seconds for name, one in costs.items()} == {
        "moments of all pairs": 100.0, "ablation": 50.0, "universality": 30.0, "null-rotated": 10.0,
    }  # fmt: skip
    assert whole_seconds(ARTIFACTS) == 100 + 10 + 20 + 50
    assert {name: one.artifacts for name, one in costs.items()} == {
        "moments of all pairs": 4, "ablation": 1, "universality": 3, "null-rotated": 1,
    }  # fmt: skip
    assert costs["universality"].memory == 2.0**31
    assert costs["ablation"].memory is None


def test_two_kinds_of_device_are_two_rows() -> None:
    both = pd.concat([ARTIFACTS, pd.DataFrame([artifact("ablation", "4", 5.0, device="cuda")])])
    assert [(one.stage, one.device) for one in stage_costs(both) if one.stage == "ablation"] == [
        ("ablation", "cpu"),
        ("ablation", "cuda"),
    ]


def test_what_everything_took_is_said_in_a_sentence(root: Path) -> None:
    assert plain(total_sentence(made(root))) == (
        "The 5 artifacts of suite mini took 3.0 min of wall time on cpu, with at most 2.0 GiB of memory."
    )
    shares = {row[0]: row[4] for row in stages_table(made(root)).rows}
    assert shares["moments of all pairs"] == pytest.approx(100 * 100 / 180)


def test_a_suite_that_nobody_computed_costs_nothing(root: Path) -> None:
    nothing = made(root, stages=(), seconds=0.0, artifacts=0)
    assert total_sentence(nothing) == "No artifact of this suite was computed."
    assert stage_costs(ARTIFACTS.iloc[:0]) == ()
    assert whole_seconds(ARTIFACTS.iloc[:0]) == 0


def test_benches_are_shown_with_device_day_command_versions_and_size(published: Path) -> None:
    found = made(published)
    (section,) = performance_page(found)["benches"]
    assert section.heading == "The correlation engine, A processor, 2 threads"
    assert plain(section.says) == (
        "Measured on 2026-11-21 with torch 2.13.0, commit e5e5e5e5e5e5 by: nox -s bench -- --publish. Size: models 5, "
        "layers 4, width 512, residual 128, tokens 100 000, draws 20 and half draws 5."
    )
    for said in ("54.0 s", "43 097 tokens/s", "3.5 × 10⁻⁷ nats", "0.900", "43.9 min"):
        assert said in plain(section.body), said
    assert [row[3] for row in benches_table(found.benches).rows][:2] == ["pass_seconds", "scores_seconds"]
    assert benches_table(found.benches).rows[4][5] == 3.5e-7


def test_without_a_bench_the_page_says_how_to_get_one(report: Path) -> None:
    said = text_of(report / "performance.html")
    assert "No benchmark is published in this checkout; nox -s bench -- --publish runs and publishes them." in said


def test_a_damaged_file_of_benches_is_one_line(published: Path) -> None:
    (published / "fixtures" / "benchmarks" / "engine-cpu.json").write_text("{}")
    with pytest.raises(BenchmarkError, match=r"^fixtures/benchmarks/engine-cpu\.json: "):
        made(published)


# --- limits ----------------------------------------------------------------------------------------------------------


def straddling(value: float, reach: float, over: Over, **changes: Any) -> Any:
    measured = Measurement(value, value - reach, value + reach, 100, over, unit="share")
    return record("N2", GreaterThan(0.0), measured, **changes)


def test_a_claim_is_as_far_from_decided_as_its_hardest_open_case() -> None:
    records = [
        straddling(0.01, 0.02, Over.NEURONS, parameters={"partner": "b"}),
        straddling(0.01, 0.03, Over.NEURONS, parameters={"partner": "c"}),
        straddling(0.01, 0.04, Over.TOKEN_BLOCKS, parameters={"partner": "d"}),
        record("N2", GreaterThan(0.0), share(0.02, 0.01), parameters={"partner": "e"}),
    ]
    (claim,) = summaries(records)
    found = undecided(claim)
    assert found is not None
    assert (found.cases, found.of, found.neurons, found.blocks) == pytest.approx((3, 4, 9.0, 16.0))
    assert found.is_within(9.0, 16.0)
    assert not found.is_within(8.9, 16.0)
    assert not found.is_within(9.0, 15.9)


@pytest.mark.parametrize("claim", ["N1", "N3", "G6", "G7", "V5"])
def test_a_claim_with_a_verdict_or_without_a_number_is_not_undecided(claim: str) -> None:
    assert [undecided(one) for one in summaries(fake_records()) if one.claim == claim] == [None]


def test_a_case_that_no_number_decides_is_out_of_reach() -> None:
    (claim,) = summaries([straddling(0.0, 0.02, Over.NEURONS)])
    found = undecided(claim)
    assert found is not None
    assert math.isinf(found.neurons)
    assert math.isnan(found.blocks)
    assert not found.is_within(1e9, 1e9)


def test_the_limits_say_what_the_size_of_the_papers_suite_would_decide(root: Path) -> None:
    open_ = made(root)
    assert [one.claim for one in open_.undecided] == ["N2", "N5"]
    size, left = (plain(line) for line in limits(open_))
    assert size == (
        "A model of suite mini has 2048 neurons in 4 layers, measured over 200 000 tokens; a model of "
        "suite paper has 36 864 in 12 layers, measured over 5 000 000."
    )
    assert left.startswith("2 claims are left open. If every value stayed as it is, 18 times the neurons and 25 times")
    assert left.endswith(("would decide 1 of them (N5).", "would decide all of them.", "would decide none of them."))
    within = [one.claim for one in open_.undecided if one.is_within(18, 25)]
    assert {0: "none of them", 1: f"1 of them ({within[0] if within else ''})", 2: "all of them"}[len(within)] in left


def test_a_suite_that_leaves_nothing_open_says_so(root: Path) -> None:
    assert limits(made(root, undecided=()))[1] == "No claim is left undecided for lack of data."
    assert limits(made(root, larger=None))[1] == "2 claims are left open."


def test_factors_are_rounded_upwards_and_whole_in_the_file(root: Path) -> None:
    (claim,) = summaries([straddling(0.01, 0.0201, Over.NEURONS)])
    found = undecided(claim)
    assert found is not None
    page, file = (undecided_table(made(root, undecided=(found,)), numbers=numbers).rows[0] for numbers in (False, True))
    assert page[2:] == ("4.1", "")
    assert float(str(file[2])) == pytest.approx(2.01**2)
    assert file[3] is None


def test_the_built_page_has_the_costs_and_the_limits(report: Path) -> None:
    said = text_of(report / "performance.html")
    for part in (
        "Where the time goes",
        "Benchmarks",
        "The limits of this suite",
    ):
        assert part in said
    assert "2 claims are left open." in said
    assert len(pd.read_csv(report / "data" / "undecided.csv")) == 2


def test_the_page_of_the_checkout_itself_can_be_made() -> None:
    found = performance(ROOT, FakeStudy().suite, ARTIFACTS, summaries(fake_records()))
    assert performance_page(found)["total"]
