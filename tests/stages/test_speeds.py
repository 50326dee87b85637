from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.stages.suites import speed
from universal_neurons.errors import UserError
from universal_neurons.stages import speeds
from universal_neurons.stages.costs import Cost, WorkKind
from universal_neurons.stages.speeds import (
    KeptSpeed,
    available_threads,
    default_device,
    interpolated,
    measured_where,
    published_speed,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KNOWN = ["h200", "h100", "a100", "a100-40gb", "l40s", "l4", "t4", "v100", "rtx4090", "rtx3090", "laptop"]
HERE: dict[str, str | int] = {"device": "cpu", "threads": 2, "torch": "2.13.0"}


# --- seconds ---------------------------------------------------------------------------------------------------------


def test_seconds_are_the_work_over_the_speeds() -> None:
    rates = {str(kind): 4.0 for kind in WorkKind}
    device = speed(forward={64: 1.0, 256: 4.0}, products={"float32": 5.0, "bfloat16": 10.0}, rates=rates)
    cost = Cost({WorkKind.FORWARD: 6.0, WorkKind.PRODUCT: 20.0, WorkKind.RANDOM: 2.0})
    assert device.seconds(cost, width=128, precision="float32") == pytest.approx(6 / 2 + 20 / 5 + 2 / 4)
    assert device.seconds(cost, width=256, precision="bfloat16") == pytest.approx(6 / 4 + 20 / 10 + 2 / 4)
    assert device.seconds(Cost({}), width=128, precision="float32") == 0
    with pytest.raises(KeyError, match="tf32"):
        device.seconds(cost, width=128, precision="tf32")


@pytest.mark.parametrize(("width", "rate"), [(1, 10.0), (128, 10.0), (256, 20.0), (512, 40.0), (4096, 40.0)])
def test_between_two_widths_a_speed_is_interpolated_and_beyond_them_constant(width: int, rate: float) -> None:
    assert interpolated({512: 40.0, 128: 10.0}, width) == pytest.approx(rate)


@pytest.mark.parametrize(
    "changed",
    [
        {"forward": {}},
        {"products": {}},
        {"products": {"float32": 0.0}},
        {"forward": {128: float("nan")}},
        {"rates": {}},
    ],
)
def test_a_speed_that_lacks_something_is_none(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a speed of every kind of work"):
        speed(**changed)


# --- kept ------------------------------------------------------------------------------------------------------------


def test_a_measured_speed_is_kept_whole(tmp_path: Path) -> None:
    kept, measured = KeptSpeed(tmp_path / "work", HERE), speed(forward={128: 3.0, 768: 5.0})
    assert kept.read() is None
    kept.write(measured)
    assert kept.read() == measured
    assert list(kept.path.parent.iterdir()) == [kept.path]


def test_every_device_number_of_threads_and_torch_has_a_file_of_its_own(tmp_path: Path) -> None:
    others = [HERE, *(HERE | {name: "another"} for name in HERE)]
    assert len({KeptSpeed(tmp_path, where).path for where in others}) == len(HERE) + 1


def _cut(text: str) -> str:
    return text[: len(text) // 2]


def _without_a_speed(text: str) -> str:
    raw = json.loads(text)
    del raw["speed"]["forward"]
    return json.dumps(raw)


def _negative(text: str) -> str:
    raw = json.loads(text)
    raw["speed"]["products"]["float32"] = -1.0
    return json.dumps(raw)


def _as_text(text: str) -> str:
    raw = json.loads(text)
    raw["speed"]["products"]["float32"] = "fast"
    return json.dumps(raw)


def _of_another_machine(text: str) -> str:
    return json.dumps(json.loads(text) | {"where": HERE | {"torch": "1.0"}})


def _of_another_format(text: str) -> str:
    return json.dumps(json.loads(text) | {"format": speeds.FORMAT + 1})


@pytest.mark.parametrize(
    "damage",
    [
        _cut, _without_a_speed, _negative, _as_text, _of_another_machine, _of_another_format,
        lambda _: "", lambda _: "[]", lambda _: "null",
    ],
)  # fmt: skip
def test_a_damaged_or_foreign_file_is_no_speed(tmp_path: Path, damage: Callable[[str], str]) -> None:
    kept = KeptSpeed(tmp_path, HERE)
    kept.write(speed())
    kept.path.write_text(damage(kept.path.read_text()))
    assert kept.read() is None


def test_threads_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert available_threads() == measured_where("cpu")["threads"] == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert available_threads() >= 1


def test_a_hidden_gpu_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert default_device() == "cpu"


# --- published -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KNOWN)
def test_a_published_device_says_its_figures_and_their_source(name: str) -> None:
    device = published_speed(name)
    assert device.memory_bytes > 2**33
    assert device.kind == ("cpu" if name == "laptop" else "cuda")
    assert "float32" in device.products
    assert "TFLOP/s float32 " in device.source
    assert "in brackets the share of the peak" in device.source


def test_published_peaks_are_reached_in_part() -> None:
    h200 = published_speed("h200")
    assert h200.products["tf32"] == pytest.approx(0.55 * 494e12)
    assert h200.rates[WorkKind.MEMORY] == pytest.approx(0.6 * 4.8e12)
    assert h200.forward[128] < h200.forward[768] < 67e12
    assert h200.memory_bytes == 141 * 2**30
    assert h200.source.startswith("NVIDIA H200 Tensor Core GPU data sheet: TFLOP/s float32 67 (70%), tf32 494 (55%)")


def test_a_precision_that_a_device_lacks_has_no_speed() -> None:
    assert list(published_speed("t4").products) == ["float32"]


def test_an_unknown_device_is_one_line_with_the_known_ones() -> None:
    with pytest.raises(UserError) as error:
        published_speed("abacus")
    assert str(error.value) == f"--on: expected one of {', '.join(KNOWN)}, got 'abacus'"
