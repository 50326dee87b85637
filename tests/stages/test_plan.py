from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.cases import ARTIFACTS, TABLES, pairs, table_rows
from tests.stages.suites import shaped, speed, step_costs
from universal_neurons.errors import UserError
from universal_neurons.stages import tokens
from universal_neurons.stages.base import Case
from universal_neurons.stages.plan import Plan, PlannedStage, local_speed, plan, sizes_of
from universal_neurons.stages.profiles import PROFILES
from universal_neurons.stages.runner import compute
from universal_neurons.stages.speeds import KeptSpeed, measured_where
from universal_neurons.stages.universality import UNIVERSALITY
from universal_neurons.stages.workspace import Resources

if TYPE_CHECKING:
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.artifacts.key import Key
    from universal_neurons.stages.speeds import DeviceSpeed

SCORES = ["moments", "universality", "null-rotated", "null-permuted", "candidates"]
# The nulls are scored together with the tables, whose row has the time of both.
UNTIMED = {"null-rotated", "null-permuted"}
NOWHERE = "http://127.0.0.1:9"


def unit_speed(_: object) -> DeviceSpeed:
    return speed()


def gpu_speed(_: object) -> DeviceSpeed:
    return speed(device="a GPU", kind="cuda", memory_bytes=2**30)


def without(project: Miniature, key: Key) -> None:
    shutil.rmtree(project.working / key.stage / key.digest)


def never(*_: Any, **__: Any) -> DeviceSpeed:
    raise AssertionError("nothing is measured")


def test_a_plan_has_every_stage_of_every_step_in_order(miniature: Miniature, tmp_path: Path) -> None:
    planned = plan(miniature.workspace(store=tmp_path), measure=unit_speed)
    assert [(row.stage, row.step) for row in planned.steps] == [
        ("corpus", None), ("evaluation", None),
        ("moments", 0), ("universality", 0),
        *((stage, 15) for stage in SCORES[:-2]),
        *((stage, 30) for stage in SCORES[:-1]),
        ("candidates", 0), ("candidates", 15), ("candidates", 30),
        ("variants", 15), ("variants", 30),
        ("ablation", 0), ("ablation", 15), ("ablation", 30),
        ("extensions", 15), ("extensions", 30),
        *((stage, step) for stage, step, _ in table_rows()),
    ]  # fmt: skip
    assert all(row.present == 0 for row in planned.steps)
    # Untrained models have no candidates to weigh.
    timed = [row for row in planned.steps if row.stage not in UNTIMED and (row.stage, row.step) != ("candidates", 0)]
    assert all(row.seconds is not None and row.seconds > 0 for row in timed)
    assert all(row.host_bytes > 0 and row.device_bytes == 0 for row in timed)
    assert (planned.whole.artifacts, planned.whole.present) == (ARTIFACTS, 0)


def test_a_stage_is_the_sum_of_its_steps_and_holds_what_the_largest_holds(miniature: Miniature, tmp_path: Path) -> None:
    planned = plan(miniature.workspace(store=tmp_path), measure=unit_speed)
    stages = ["corpus", "evaluation", *SCORES, "variants", "ablation", "extensions", *TABLES]
    assert [row.stage for row in planned.stages] == stages
    moments = [row for row in planned.steps if row.stage == "moments"]
    (together,) = (row for row in planned.stages if row.stage == "moments")
    assert (together.step, together.passes) == (None, 3)
    assert together.seconds == pytest.approx(sum(row.seconds or 0 for row in moments))
    assert together.host_bytes == max(row.host_bytes for row in moments)


def test_planning_samples_no_tokens_and_writes_nothing(
    miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sampled(*_: Any, **__: Any) -> None:
        raise AssertionError("a plan samples nothing")

    for stage in (tokens.Tokens, tokens.EvaluationRows):
        monkeypatch.setattr(stage, "sample", sampled)
    plan(miniature.workspace(store=tmp_path / "store"), measure=unit_speed)
    assert not (tmp_path / "store").exists()


def test_of_what_is_there_nothing_is_measured(computed: Miniature) -> None:
    planned = plan(computed.workspace(), measure=never)
    assert [row.stage for row in planned.steps if row.stage == "moments"] == []
    assert all(row.present == row.artifacts for row in planned.steps)
    assert {(row.passes, row.operations, row.host_bytes, row.disk_bytes, row.seconds) for row in planned.steps} == {
        (0, 0.0, 0, 0, 0)
    }
    assert (planned.whole.present, planned.whole.seconds, planned.device) == (ARTIFACTS, 0, "")


def test_from_scratch_nothing_counts_as_present(computed: Miniature, miniature: Miniature, tmp_path: Path) -> None:
    scratch = plan(computed.workspace(), from_scratch=True, measure=unit_speed)
    empty = plan(miniature.workspace(store=tmp_path), measure=unit_speed)
    # What is free changes from one moment to the next.
    assert replace(scratch, budget=empty.budget) == empty


def test_from_scratch_a_published_suite_is_planned_without_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", NOWHERE)
    work = shaped(tmp_path, layers=3, mlp=64, tokens=100_000)
    planned = plan(work, from_scratch=True, measure=unit_speed)
    by_name = {(row.stage, row.step): row for row in planned.steps}
    # How long the text takes to arrive, nobody knows.
    assert by_name["corpus", None].seconds is None
    assert by_name["corpus", None].disk_bytes > 0
    assert by_name["moments", 20].operations > 0
    assert planned.stages[0].seconds is None
    assert planned.whole.seconds == pytest.approx(sum(row.seconds or 0 for row in planned.steps))
    assert not (tmp_path / ".universal-neurons").exists()
    assert list((tmp_path / "fixtures" / "suites").iterdir()) == [tmp_path / "fixtures" / "suites" / "tiny.toml"]


def test_time_is_the_work_at_the_speed(miniature: Miniature, tmp_path: Path) -> None:
    def twice(_: object) -> DeviceSpeed:
        rates = dict.fromkeys(speed().rates, 2.0)
        return speed(forward={128: 2.0}, products={"float32": 2.0}, rates=rates)

    work = miniature.workspace(store=tmp_path)
    fast, slow = plan(work, measure=twice), plan(work, measure=unit_speed)
    assert [row.seconds for row in slow.steps] == [2 * (row.seconds or 0) for row in fast.steps]
    moments = next(row for row in slow.steps if row.stage == "moments")
    cost = step_costs(work, sizes_of(work, speed(), sampled=False), 0)["moments"]
    # At one unit a second, the seconds are the units of all kinds.
    assert moments.seconds == pytest.approx(sum(cost.work.values()))
    assert moments.operations == cost.operations < (moments.seconds or 0)


def test_a_gpu_has_memory_of_its_own(miniature: Miniature, tmp_path: Path) -> None:
    gpu = plan(miniature.workspace(store=tmp_path), measure=gpu_speed)
    assert gpu.device == "a GPU"
    beside = {"corpus", "evaluation", "labels", *UNTIMED}
    working = [row for row in gpu.steps if row.stage not in beside and (row.stage, row.step) != ("candidates", 0)]
    assert all(row.device_bytes > 0 for row in working)
    assert gpu.whole.device_bytes == max(row.device_bytes for row in gpu.steps) < gpu.budget < 2**30


def test_the_process_itself_is_in_what_every_stage_that_runs_holds(own: Miniature, tmp_path: Path) -> None:
    work = own.workspace()
    without(own, PROFILES.key(work, Case(30, "a")))
    plain, large = plan(work, measure=unit_speed), plan(work, measure=lambda _: speed(process_bytes=10**9))
    beyond = {one.stage: one.host_bytes - other.host_bytes for one, other in zip(large.steps, plain.steps, strict=True)}
    assert beyond.pop("profiles") == 10**9
    assert set(beyond.values()) == {0}


def test_what_is_absent_is_what_compute_then_makes(own: Miniature) -> None:
    work = own.workspace(local=True)
    without(own, UNIVERSALITY.key(work, pairs(work, 15)[0]))
    planned = plan(work, measure=unit_speed)
    needed = [(row.stage, row.step) for row in planned.steps if row.seconds]
    assert needed == [("moments", 15), ("universality", 15)]
    assert planned.whole.artifacts - planned.whole.present == compute(work) == 1


def test_a_budget_makes_more_passes_and_one_too_small_is_one_line(tmp_path: Path) -> None:
    work = shaped(tmp_path, layers=12, mlp=3072, tokens=1_000_000)

    def planned(memory: int) -> Plan:
        resources = Resources(memory=memory, device="cpu")
        return plan(replace(work, resources=resources), from_scratch=True, measure=unit_speed)

    wide, narrow = planned(400 * 2**30), planned(8 * 2**30)
    assert narrow.whole.passes > wide.whole.passes
    assert narrow.as_dict()["memory_budget_bytes"] == 8 * 2**30
    with pytest.raises(UserError, match=r"^suite tiny: memory: expected at least .* for one layer against one layer"):
        planned(10**6)


def test_a_precision_that_the_device_does_not_have_is_one_line(miniature: Miniature, tmp_path: Path) -> None:
    work = miniature.workspace(store=tmp_path, narrowing={"precision": "tf32"}, resources=Resources(device="cpu"))
    with pytest.raises(UserError, match=r"^universality.precision: tf32 is a format of .*; choose float32 or bfloat16"):
        plan(work)
    with pytest.raises(UserError, match=r"^--on t4: universality.precision: expected float32, got tf32$"):
        plan(replace(work, resources=Resources()), on="t4")


def test_a_plan_is_json_with_raw_numbers_that_name_their_units(miniature: Miniature, tmp_path: Path) -> None:
    planned = plan(miniature.workspace(store=tmp_path), measure=unit_speed)
    raw = json.loads(json.dumps(planned.as_dict(), allow_nan=False))
    assert list(raw) == ["suite", "device", "speeds", "memory_budget_bytes", "steps", "stages", "all"]
    assert list(raw["all"]) == [
        "stage", "step", "artifacts", "present", "passes", "operations",
        "device_bytes", "host_bytes", "disk_bytes", "seconds",
    ]  # fmt: skip
    assert raw["all"]["seconds"] == pytest.approx(sum(row["seconds"] for row in raw["steps"]))


# --- another device, and this one ------------------------------------------------------------------------------------


def test_on_another_device_nothing_is_measured_and_its_memory_is_the_budget(tmp_path: Path) -> None:
    work = shaped(tmp_path, layers=12, mlp=3072, tokens=1_000_000)
    large, small = (plan(work, from_scratch=True, on=name, measure=never) for name in ("h200", "rtx3090"))
    assert (large.device, small.device) == ("NVIDIA H200 SXM", "NVIDIA GeForce RTX 3090")
    assert large.budget == pytest.approx(0.9 * 141 * 2**30, rel=0.01)
    assert small.budget == pytest.approx(0.9 * 24 * 2**30, rel=0.01)
    assert large.whole.passes < small.whole.passes
    assert (large.whole.seconds or 0) < (small.whole.seconds or 0)
    given = replace(work, resources=Resources(memory=2**34))
    assert plan(given, from_scratch=True, on="h200").budget == 2**34
    with pytest.raises(UserError, match=r"^--on: expected a device that is not here, or --device, got both$"):
        plan(replace(work, resources=Resources(device="cpu")), from_scratch=True, on="h200")


def test_this_device_is_measured_once(miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def noted(device: Any) -> DeviceSpeed:
        measured.append(str(device))
        return speed(process_bytes=len(measured))

    monkeypatch.setattr("universal_neurons.stages.calibration.measured_speed", noted)
    work = replace(miniature.workspace(), root=tmp_path, resources=Resources(device="cpu"))
    first, again = local_speed(work), local_speed(work)
    assert measured == ["cpu"]
    assert first == again
    (kept,) = (tmp_path / ".universal-neurons").iterdir()
    kept.write_text("{}")
    assert local_speed(work).process_bytes == 2
    assert local_speed(work).process_bytes == 2


def test_a_speed_that_cannot_be_kept_is_a_warning(
    miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("universal_neurons.stages.calibration.measured_speed", unit_speed)
    (tmp_path / ".universal-neurons").write_text("a file where a folder should be")
    said: list[str] = []
    work = replace(miniature.workspace(), root=tmp_path, resources=Resources(device="cpu"), warn=said.append)
    assert local_speed(work) == speed()
    assert len(said) == 1
    assert "the device's speed cannot be kept" in said[0]


def test_with_a_kept_speed_and_on_another_device_a_plan_imports_no_torch(tmp_path: Path) -> None:
    shaped(tmp_path, layers=2, mlp=64, tokens=100_000)
    KeptSpeed(tmp_path / ".universal-neurons", measured_where("cpu")).write(speed())
    for more in ("--device cpu", "--on h200"):
        code = (
            "import sys, universal_neurons.cli as cli\n"
            f"sys.argv = 'universal-neurons plan --suite tiny --from-scratch {more}'.split()\n"
            "try: cli.main()\n"
            "except SystemExit as stop: assert not stop.code\n"
            "print(sorted({'torch', 'transformers', 'transformer_lens', 'matplotlib'} & sys.modules.keys()))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "UNIVERSAL_NEURONS_ROOT": str(tmp_path)},
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == "[]"
        assert done.stdout.startswith("suite tiny: ")


def test_a_plan_of_nothing_has_no_stage_and_takes_no_memory() -> None:
    # The claims that were chosen are about other suites.
    nothing = PlannedStage.of("all", ())
    assert (nothing.artifacts, nothing.device_bytes, nothing.host_bytes) == (0, 0, 0)
