from __future__ import annotations

from dataclasses import replace

import pytest

from universal_neurons.stages.plan import Plan, PlannedStage
from universal_neurons.stages.plan_table import spoken_bytes, spoken_time, table

TEXT = PlannedStage("tokens", None, 2, 0, 0, 0.0, 0, 600_000_000, 15_000_000, None)
MOMENTS = PlannedStage("moments", 100_000, 0, 0, 3, 2e15, 18_000_000_000, 2_100_000_000, 0, 7_800.0)
SCORES = PlannedStage("universality", 100_000, 28, 5, 0, 1e12, 9_400_000_000, 2_700_000_000, 125_000_000, 40.0)
PLAN = Plan(
    "paper", "a GPU", "speeds of a test", 20_000_000_000, (TEXT, MOMENTS, SCORES, replace(SCORES, step=200_000))
)


def test_the_table_has_a_row_per_stage_and_one_for_all() -> None:
    assert table(PLAN).splitlines() == [
        "suite paper: time, memory of device and host, disk",
        "",
        "stage               time  device    host    disk  passes  there  to do",
        "tokens           unknown       -  600 MB   15 MB       -      -      2",
        "moments       2 h 10 min   18 GB  2.1 GB       -       3      -      -",
        "universality  1 min 20 s  9.4 GB  2.7 GB  250 MB       -     10     46",
        "all           2 h 11 min   18 GB  2.7 GB  265 MB       3     10     48",
        "",
        "On a GPU within 20 GB of memory, without the time in which text comes over a",
        "network; speeds of a test.",
    ]


def test_a_long_name_of_a_suite_fits_the_columns() -> None:
    narrowed = replace(PLAN, suite=f"mini (quick: {', '.join(['few draws'] * 12)})")
    assert max(map(len, table(narrowed).splitlines())) <= 80


def test_by_step_it_has_a_row_per_stage_and_step() -> None:
    _, _, heading, *lines = table(PLAN, by_step=True).splitlines()
    assert heading.split() == ["stage", "step", "time", "device", "host", "disk", "passes", "there", "to", "do"]
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["moments", "100000"], ["universality", "100000"], ["universality", "200000"],
    ]  # fmt: skip
    assert all(len(line) <= 80 for line in lines)


def test_where_everything_is_there_no_device_is_named() -> None:
    done = replace(PLAN, device="", source="everything is there, so no speed is needed")
    assert table(done).endswith("\n\nEverything is there, so no speed is needed.")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "unknown"), (0, "-"), (0.4, "under 1 s"), (1, "1 s"), (59.4, "59 s"), (59.6, "1 min"), (3599.6, "1 h"),
        (3_600 + 29, "1 h"), (3_600 + 31, "1 h 1 min"), (86_400, "1 d"), (86_399, "1 d"), (1e7, "115 d 18 h"),
    ],
)  # fmt: skip
def test_a_time_is_said_in_its_two_largest_units(seconds: float | None, said: str) -> None:
    assert spoken_time(seconds) == said


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "-"),
        (900, "0.9 kB"),
        (9_940_000, "9.9 MB"),
        (9_960_000, "10 MB"),
        (999_600_000, "1.0 GB"),
        (2e15, "2.0 PB"),
    ],
)
def test_bytes_are_said_in_powers_of_a_thousand(size: float, said: str) -> None:
    assert spoken_bytes(size) == said
