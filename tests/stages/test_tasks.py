"""Tasks: one list everywhere, that computes what one process computes, in any split."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.cases import TABLES, TASKS, table_parts
from tests.stages.suites import speed
from universal_neurons.artifacts.store import Store
from universal_neurons.errors import UserError
from universal_neurons.stages.registry import suite_cases, suite_keys
from universal_neurons.stages.tasks import (
    TASK_SECONDS,
    Task,
    chain_seconds,
    chosen,
    compute_tasks,
    longest_first,
    named,
    planned,
    simulate,
    simulated,
    tasks,
)
from universal_neurons.stages.universality import CANDIDATES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.stages.workspace import Workspace


@pytest.fixture
def work(miniature: Miniature, tmp_path: Path) -> Workspace:
    """The suite before anything is computed."""
    return miniature.workspace("brief", store=tmp_path / "store", local=True)


@pytest.fixture(scope="module")
def single(brief: Miniature) -> Workspace:
    """The suite as one process computes it."""
    return brief.workspace("brief", local=True)


def payloads(work: Workspace, *, but: Collection[str] = ()) -> dict[str, str]:
    """The sha256 of everything that the working store holds, by stage and digest of the key."""
    entries = [entry for entry in work.store.entries() if entry.key.stage not in but]
    return {f"{entry.key.stage} {entry.key.digest}": entry.manifest.sha256 for entry in entries}


def test_the_list_is_the_same_everywhere_and_holds_every_case_once(computed: Miniature, tmp_path: Path) -> None:
    there, nothing = computed.workspace(local=True), computed.workspace(store=tmp_path / "store", local=True)
    listed = tasks(there)
    assert listed == tasks(nothing)
    cases = [case for task in listed for case in task.cases]
    assert sorted(map(repr, cases)) == sorted(map(repr, suite_cases(there)))
    assert len({task.name for task in listed}) == len(listed)
    # Two token sets, three pairs (untrained those of the reference), candidates at three steps, and single cases.
    assert [task.name for task in listed[:4]] == ["corpus", "evaluation", "universality@0:a+b", "universality@0:a+c"]
    assert len(listed) == 2 + (2 + 3 + 3) + 3 + 2 + 7 + 2 + 3 + 5 + 3 + 3 + 1 + 3 + 3 + 3 + 3 + 3 + 2


def test_a_task_needs_only_tasks_before_it(computed: Miniature) -> None:
    listed = tasks(computed.workspace(local=True))
    for number, task in enumerate(listed):
        assert set(task.needs) <= {earlier.name for earlier in listed[:number]}
    needs = {task.name: task.needs for task in listed}
    assert needs["corpus"] == ()
    # The candidates of all references at a step rest on all of its pairs, an untrained ablation on the last step's.
    assert needs["candidates@15:a+b+c"] == ("universality@15:a+b", "universality@15:a+c", "universality@15:b+c")
    assert needs["ablation@0:a"] == ("evaluation", "universality@30:a+b", "universality@30:a+c")


def test_tasks_in_processes_of_their_own_write_the_bytes_of_one_process(work: Workspace, single: Workspace) -> None:
    listed = tasks(work)
    count = sum(compute_tasks(_reopened(work), listed, [task]) for task in listed)
    assert payloads(work) == payloads(single)
    assert count == len(suite_keys(single))
    assert not work.store.verify()


def test_shares_leave_what_waits_for_others_and_end_with_the_same_bytes(work: Workspace, single: Workspace) -> None:
    listed = tuple(task for task in tasks(work) if task.name.partition("@")[0] not in TABLES)
    # The last share first: what it needs is nobody's yet.
    with pytest.raises(UserError, match="wait for others"):
        compute_tasks(_reopened(work), listed, chosen(listed, "3/3"))
    for share in ["1/3", "2/3", "3/3"] * 4:
        with suppress(UserError):
            compute_tasks(_reopened(work), listed, chosen(listed, share))
    assert payloads(work) == payloads(single, but=table_parts())


def test_a_task_that_is_done_computes_nothing(single: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("universal_neurons.stages.tasks.compute", lambda *_: pytest.fail("computed again"))
    listed = tasks(single)
    assert compute_tasks(single, listed, listed) == 0


def test_a_task_without_what_it_needs_is_one_line(work: Workspace) -> None:
    listed = tasks(work)
    with pytest.raises(
        UserError, match=r"1 of 1 tasks wait for others, the first, candidates@30:a\+b\+c, for universal"
    ):
        compute_tasks(work, listed, named(listed, ["candidates@30:a+b+c"]))


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("0/3", "expected I/N with I from 1 to N, got 0/3"),
        ("4/3", "expected I/N"),
        ("nonsense", f"expected one of the {TASKS} that universal-neurons tasks lists, got nonsense"),
    ],
)
def test_an_unknown_share_or_task_is_one_line(work: Workspace, which: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        chosen(tasks(work), which)


def test_every_task_is_in_exactly_one_share(work: Workspace) -> None:
    listed = tasks(work)
    shares = [task for number in (1, 2, 3, 4) for task in chosen(listed, f"{number}/4")]
    assert sorted(task.name for task in shares) == sorted(task.name for task in listed)


def test_a_task_that_somebody_else_has_just_computed_is_not_computed_again(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import contextmanager

    from universal_neurons.stages.runner import compute

    listed, lock = tasks(work), Store.lock

    @contextmanager
    def while_another_computes(store: Store, key: Any, **_: Any) -> Iterator[bool]:
        monkeypatch.setattr(Store, "lock", lock)
        compute(_reopened(work), listed[0].cases)
        yield True

    monkeypatch.setattr(Store, "lock", while_another_computes)
    assert compute_tasks(work, listed, listed[:1]) == 0


def test_tables_without_their_spreads_are_scored_again_for_candidates(single: Workspace, tmp_path: Path) -> None:
    # As evidence is: tables alone.
    evidence = tmp_path / "evidence"
    single.store.export([key for key in suite_keys(single) if key.stage != CANDIDATES.name], evidence)
    other = replace(single, store=Store(tmp_path / "store", [evidence], warn=single.warn), cache={})
    listed = tasks(other)
    compute_tasks(other, listed, named(listed, ["candidates@30:a+b+c"]))
    for case in CANDIDATES.cases(single):
        key = CANDIDATES.key(single, case)
        found, expected = other.store.read(key), single.store.read(key)
        assert found is not None
        assert expected is not None
        assert found.sha256 == expected.sha256


def test_the_plan_of_a_task_is_of_its_own_cases(work: Workspace) -> None:
    listed = tasks(work)
    rows = {row.stage: row for row in planned(work, listed, speed())}
    pair, whole = rows["universality@30:b+c"], planned(work, [_together(listed)], speed())[0]
    assert 0 < pair.operations < whole.operations < 3 * pair.operations * 2
    assert rows["ablation@30:a"].operations > rows["ablation@30:b"].operations
    assert all(row.artifacts > 0 and row.present == 0 for row in rows.values())


def test_the_longest_chain_is_first_and_needs_stay_before(work: Workspace) -> None:
    listed = longest_first(work, tasks(work))
    assert listed[0].name == "corpus"
    for number, task in enumerate(listed):
        assert set(task.needs) <= {earlier.name for earlier in listed[:number]}


def _reopened(work: Workspace) -> Workspace:
    """The workspace as another process opens it."""
    return replace(work, cache={})


def _together(listed: tuple[Task, ...]) -> Task:
    own = [task for task in listed if task.name.startswith("universality")]
    return replace(own[0], cases=tuple(case for task in own for case in task.cases))


# --- simulation ------------------------------------------------------------------------------------------------------


def chained(name: str, *needs: str) -> Any:
    return Task(name, 0, None, None, (), needs)  # type: ignore[arg-type]


DIAMOND = [chained("start"), chained("left", "start"), chained("right", "start"), chained("end", "left", "right")]
SECONDS = {"start": 1.0, "left": 2.0, "right": 4.0, "end": 3.0}


@pytest.mark.parametrize(("workers", "makespan"), [(1, 10.0), (2, 8.0), (64, 8.0)])
def test_a_simulated_run_respects_workers_and_needs(workers: int, makespan: float) -> None:
    run = simulate(DIAMOND, SECONDS, workers=workers)
    assert (run.makespan, run.work, run.critical) == (makespan, 10.0, 8.0)
    assert run.efficiency == pytest.approx(10 / (workers * makespan))


def test_tasks_without_needs_fill_the_workers() -> None:
    run = simulate([chained(str(n)) for n in range(10)], {str(n): 1.0 for n in range(10)}, workers=4)
    assert run.makespan == 3.0


def test_the_longest_chain_of_a_task_includes_all_that_follows() -> None:
    assert chain_seconds(DIAMOND, SECONDS) == {"start": 8.0, "left": 5.0, "right": 7.0, "end": 3.0}


def test_nothing_left_takes_no_time(single: Workspace) -> None:
    run = simulated(single, tasks(single), speed(), workers=8)
    assert (run.tasks, run.makespan) == (0, 0.0)


def test_what_is_done_is_not_simulated(work: Workspace, single: Workspace) -> None:
    whole = simulated(work, tasks(work), speed(), workers=1)
    assert whole.tasks == TASKS
    assert whole.makespan == pytest.approx(whole.work)
    assert whole.work > 30 * TASK_SECONDS
