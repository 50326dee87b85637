from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from tests.render.fakes import FakeStudy
from universal_neurons.artifacts.provenance import SharedRun
from universal_neurons.render.pages.provenance import ReportProvenance, own_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST = SharedRun("moments of all pairs", "2026-01-01T09:00:00Z", 600.0)
SECOND = SharedRun("moments of all pairs", "2026-01-02T09:00:00Z", 60.0)


def artifacts(rows: Sequence[tuple[str, str, float, tuple[SharedRun, ...]]]) -> pd.DataFrame:
    common: dict[str, Any] = {
        "digest": "ab" * 32, "origin": "working", "git_commit": None, "device": "cpu", "versions": {},
        "peak_memory_bytes": 2**30,
    }  # fmt: skip
    names = ("stage", "created", "wall_seconds", "shared")
    return pd.DataFrame([{**dict(zip(names, row, strict=True)), **common} for row in rows])


def cells(found: pd.DataFrame, fake: FakeStudy) -> list[list[str]]:
    """The rows of the cost table, cell by cell."""
    table = str(ReportProvenance((), fake.corpus(), found).tables()["stages"])
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table, flags=re.DOTALL)[1:]
    found_cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, flags=re.DOTALL) for row in rows]
    return [[re.sub(r"<[^>]+>", "", cell).strip() for cell in row] for row in found_cells]


@pytest.fixture
def fake() -> FakeStudy:
    return FakeStudy()


def test_the_cost_of_a_shared_pass_is_a_row_of_its_own_and_counts_once(fake: FakeStudy) -> None:
    found = artifacts(
        [
            ("candidates", "2026-01-01T09:02:00Z", 30.0, (FIRST,)),
            ("universality", "2026-01-01T09:01:00Z", 10.0, (FIRST,)),
            ("universality", "2026-01-01T09:01:00Z", 10.0, (FIRST,)),
            ("universality", "2026-01-02T09:01:00Z", 20.0, (SECOND,)),
            ("variants", "2026-01-02T10:00:00Z", 300.0, ()),
        ]
    )
    times = {row[0]: (row[1], row[5]) for row in cells(found, fake)}
    assert times == {
        "candidates": ("1", "30.0 s"),
        "universality": ("3", "30.0 s"),
        "variants": ("1", "5.0 min"),
        "moments of all pairs (shared)": ("4", "11.0 min"),
        "all": ("5", "17.0 min"),
    }


def test_without_shared_runs_the_cost_is_that_of_the_stages(fake: FakeStudy) -> None:
    found = artifacts([("variants", "2026-01-02T10:00:00Z", 300.0, ()), ("corpus", "2026-01-02T10:00:00Z", 5.0, ())])
    assert [row[0] for row in cells(found, fake)] == ["corpus", "variants", "all"]
    assert own_seconds(found) == 305.0
