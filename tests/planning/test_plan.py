from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from universal_neurons.planning.efforts import Effort

from tests.planning.suites import shaped
from universal_neurons.errors import UserError
from universal_neurons.pipeline import stages as pipeline
from universal_neurons.pipeline import tokens
from universal_neurons.planning import Plan, plan
from universal_neurons.planning.calibration import Pace
from universal_neurons.workspace import Resources, corpus_key, profiles_key, universality_key

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.artifacts.key import Key

STAGES = ["moments", "universality", "candidates", "variants", "ablation", "extensions"]
NOWHERE = "http://127.0.0.1:9"


def a_second_per_unit(shape: Any, efforts: Iterable[Effort], **_: Any) -> Pace:
    return Pace("CPU, 1 thread", is_gpu=False, seconds=dict.fromkeys(efforts, 1.0), measured_in=2.0)


def on_a_gpu(shape: Any, efforts: Iterable[Effort], **_: Any) -> Pace:
    return Pace("a GPU", is_gpu=True, seconds=dict.fromkeys(efforts, 1.0), measured_in=2.0)


def without(project: Miniature, key: Key) -> None:
    shutil.rmtree(project.working / key.stage / key.digest)


def never(*_: Any, **__: Any) -> Pace:
    raise AssertionError("nothing is missing, so nothing is measured")


def test_a_plan_has_every_stage_of_every_step_in_order(miniature: Miniature, tmp_path: Path) -> None:
    found = plan(miniature.workspace(store=tmp_path), calibrate=a_second_per_unit)
    assert [(one.stage, one.step) for one in found.stages] == [
        ("tokens", None),
        ("moments", 0), ("universality", 0), ("candidates", 0), ("ablation", 0),
        *((stage, 15) for stage in STAGES),
        *((stage, 30) for stage in [*STAGES, "profiles"]),
    ]  # fmt: skip
    assert all(one.present == 0 for one in found.stages)
    assert all(one.seconds is not None and one.seconds > 0 for one in found.stages)
    assert all(one.host_mb > 0 and one.device_mb == 0 for one in found.stages)
    assert (found.whole.artifacts, found.whole.present) == (60, 0)


def test_planning_samples_no_tokens_and_writes_nothing(
    miniature: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sampled(*_: Any, **__: Any) -> None:
        raise AssertionError("a plan samples nothing")

    for name in ("token_set", "evaluation_tokens", "_sampled_tokens", "_sampled_evaluation"):
        monkeypatch.setattr(tokens, name, sampled)
    plan(miniature.workspace(store=tmp_path / "store"), calibrate=a_second_per_unit)
    assert not (tmp_path / "store").exists()


def test_of_what_is_there_nothing_is_measured(computed: Miniature) -> None:
    found = plan(computed.workspace(), calibrate=never)
    assert [one.stage for one in found.stages if one.stage == "moments"] == []
    assert all(one.present == one.artifacts for one in found.stages)
    assert {(one.passes, one.teraflop, one.host_mb, one.disk_mb, one.seconds) for one in found.stages} == {
        (0, 0.0, 0.0, 0.0, 0)
    }
    assert (found.whole.present, found.whole.seconds, found.calibrated_in) == (60, 0, 0)


def test_from_scratch_nothing_counts_as_present(computed: Miniature, miniature: Miniature, tmp_path: Path) -> None:
    scratch = plan(computed.workspace(), from_scratch=True, calibrate=a_second_per_unit)
    empty = plan(miniature.workspace(store=tmp_path), calibrate=a_second_per_unit)
    # What is free changes from one moment to the next.
    assert replace(scratch, budget=empty.budget) == empty


def test_from_scratch_a_published_suite_is_planned_without_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", NOWHERE)
    work = shaped(tmp_path, layers=3, mlp=64, tokens=100_000)
    found = plan(work, from_scratch=True, calibrate=a_second_per_unit)
    by_name = {(one.stage, one.step): one for one in found.stages}
    # How long the text takes to arrive, nobody knows.
    assert by_name["tokens", None].seconds is None
    assert by_name["tokens", None].disk_mb > 0
    assert by_name["moments", 20].teraflop > 0
    assert not (tmp_path / ".universal-neurons").exists()
    assert list((tmp_path / "fixtures" / "suites").iterdir()) == [tmp_path / "fixtures" / "suites" / "tiny.toml"]


def test_time_is_the_work_at_the_pace(miniature: Miniature, tmp_path: Path) -> None:
    def twice(shape: Any, efforts: Iterable[Effort], **_: Any) -> Pace:
        return Pace("CPU", is_gpu=False, seconds=dict.fromkeys(efforts, 2.0), measured_in=0.0)

    slow, fast = (plan(miniature.workspace(store=tmp_path), calibrate=pace) for pace in (twice, a_second_per_unit))
    assert [one.seconds for one in slow.stages] == [2 * (one.seconds or 0) for one in fast.stages]


def test_a_gpu_has_memory_of_its_own(miniature: Miniature, tmp_path: Path) -> None:
    gpu, cpu = (plan(miniature.workspace(store=tmp_path), calibrate=pace) for pace in (on_a_gpu, a_second_per_unit))
    assert gpu.device == "a GPU"
    for one, other in zip(gpu.stages, cpu.stages, strict=True):
        assert one.device_mb + one.host_mb == pytest.approx(other.host_mb)
    assert gpu.whole.device_mb == max(one.device_mb for one in gpu.stages) > 0


def test_the_process_itself_is_in_what_every_stage_that_runs_holds(own: Miniature, tmp_path: Path) -> None:
    def large(shape: Any, efforts: Iterable[Effort], **_: Any) -> Pace:
        return replace(a_second_per_unit(shape, efforts), process=10**9)

    work = own.workspace()
    without(own, profiles_key(work, work.models(30)[0]))
    plain, found = (plan(work, calibrate=pace) for pace in (a_second_per_unit, large))
    beyond = {one.stage: one.host_mb - other.host_mb for one, other in zip(found.stages, plain.stages, strict=True)}
    assert beyond.pop("profiles") == pytest.approx(1000)
    assert set(beyond.values()) == {0}


def test_what_is_absent_is_what_compute_then_makes(own: Miniature) -> None:
    work = own.workspace(local=True)
    without(own, universality_key(work, work.pairs(15)[0]))
    found = plan(work, calibrate=a_second_per_unit)
    needed = [(one.stage, one.step) for one in found.stages if one.seconds]
    assert needed == [("moments", 15), ("universality", 15)]
    assert found.whole.artifacts - found.whole.present == pipeline.compute(work) == 1


def test_text_is_measured_on_the_shortest_distribution(miniature: Miniature, tmp_path: Path) -> None:
    asked: list[Any] = []

    def noted(shape: Any, efforts: Iterable[Effort], *, text: Any, **_: Any) -> Pace:
        asked.append(text)
        return a_second_per_unit(shape, efforts)

    work = miniature.workspace(store=tmp_path)
    plan(work, calibrate=noted)
    assert asked[0].distribution == "iniconfig"
    assert not work.store.has(corpus_key(work, "corpus"))


def test_a_budget_makes_more_passes_and_one_too_small_is_one_line(tmp_path: Path) -> None:
    work = shaped(tmp_path, layers=12, mlp=3072, tokens=1_000_000)

    def planned(memory: int) -> Plan:
        resources = Resources(memory=memory, device="cpu")
        return plan(replace(work, resources=resources), from_scratch=True, calibrate=a_second_per_unit)

    wide, narrow = planned(400 * 2**30), planned(8 * 2**30)
    assert narrow.whole.passes > wide.whole.passes
    assert narrow.as_dict()["memory_budget_bytes"] == 8 * 2**30
    with pytest.raises(UserError, match=r"^suite tiny: memory: expected at least .* for one layer against one layer"):
        planned(10**6)


def test_a_precision_that_the_device_does_not_have_is_one_line(miniature: Miniature, tmp_path: Path) -> None:
    work = miniature.workspace(store=tmp_path, narrowing={"precision": "tf32"}, resources=Resources(device="cpu"))
    with pytest.raises(UserError, match=r"^universality.precision: tf32 is a format of .*; choose float32 or bfloat16"):
        plan(work)


def test_a_plan_is_json_with_nothing_but_numbers_and_names(miniature: Miniature, tmp_path: Path) -> None:
    found = plan(miniature.workspace(store=tmp_path), calibrate=a_second_per_unit)
    raw = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert list(raw) == ["suite", "device", "memory_budget_bytes", "calibrated_in_seconds", "stages", "all"]
    assert raw["all"]["stage"] == "all"
    assert [*raw["stages"], raw["all"]] == json.loads(json.dumps(found.rows))
    assert raw["all"]["seconds"] == pytest.approx(sum(one["seconds"] for one in raw["stages"]), rel=1e-3)


def test_the_device_measures_what_is_missing_and_nothing_else(own: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    work = own.workspace()
    without(own, profiles_key(work, work.models(30)[0]))
    measured: list[set[Effort]] = []

    def noted(shape: Any, efforts: Iterable[Effort], **_: Any) -> Pace:
        measured.append(set(efforts))
        return a_second_per_unit(shape, efforts)

    plan(work, calibrate=noted)
    assert measured == [
        {
            Effort.LOADING, Effort.FORWARD, Effort.CLEAN, Effort.BLOCK, Effort.HEAD, Effort.PROFILE, Effort.VOCABULARY,
        }
    ]  # fmt: skip
