from __future__ import annotations

import math
import time
from typing import Any

import pytest

from tests.miniature import CORPUS
from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.core.matmul import UnknownDeviceMode
from universal_neurons.inputs.corpus import wheel_documents
from universal_neurons.inputs.tokenization import train_tokenizer
from universal_neurons.planning.calibration import Bench, Pace, Text, calibrated, device_name
from universal_neurons.planning.efforts import Effort, Shape

SHAPE = Shape(layers=2, width=16, heads=2, mlp=24, vocabulary=300, context=32, row=32)
TEXT = {Effort.READING, Effort.ENCODING}
# Differences of two times, of which noise on a busy machine may make nothing.
DIFFERENCES = {Effort.BLOCK, Effort.EDIT, Effort.SEARCH}


@pytest.fixture(scope="module")
def text() -> Text:
    assert "iniconfig" in CORPUS
    return Text("iniconfig", train_tokenizer(wheel_documents("iniconfig"), vocabulary=300, seed=0))


def test_every_kind_of_work_has_a_pace(text: Text) -> None:
    pace = calibrated(SHAPE, Effort, device="cpu", text=text, budget=0)
    assert set(pace.seconds) == set(Effort)
    assert {effort for effort, seconds in pace.seconds.items() if not 0 < seconds < 1} <= DIFFERENCES
    assert all(0 <= seconds < math.inf for seconds in pace.seconds.values())
    assert not pace.is_gpu
    assert pace.device.startswith("CPU, ")
    assert 0 < pace.measured_in < 60
    # Python with torch and the backend is hundreds of megabytes.
    assert 10**8 < pace.process < 10**11


@pytest.mark.parametrize("layers", [1, 7])
def test_shapes_of_one_block_and_of_many_have_a_pace(layers: int) -> None:
    shape = Shape(layers=layers, width=8, heads=2, mlp=12, vocabulary=40, context=16, row=64)
    pace = calibrated(shape, [Effort.FORWARD, Effort.CLEAN, Effort.HEAD, Effort.VOCABULARY], device="cpu", budget=0)
    assert all(seconds > 0 for seconds in pace.seconds.values())


def test_what_nobody_asks_for_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Effort] = []

    def measured(self: Bench, effort: Effort) -> dict[Effort, float]:
        asked.append(effort)
        return {effort: 1.0, Effort.TURN: 2.0, Effort.SEARCH: 3.0}

    monkeypatch.setattr(Bench, "measured", measured)
    pace = calibrated(SHAPE, [Effort.SEARCH, Effort.TURN, Effort.SCORE], device="cpu")
    # Turns came with scores, searches too: each measurement is made once.
    assert asked == [Effort.SCORE]
    assert pace.seconds[Effort.TURN] == 2.0
    assert calibrated(SHAPE, [], device="cpu").seconds == {}


def test_products_are_measured_in_the_precision_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    made = PairwiseAccumulator.__init__

    def noted(self: PairwiseAccumulator, *arguments: Any, **options: Any) -> None:
        seen.append(options["mode"])
        made(self, *arguments, **options)

    monkeypatch.setattr(PairwiseAccumulator, "__init__", noted)
    Bench(SHAPE, "cpu", "bfloat16", 3, 0.0).product()
    assert seen == ["bfloat16"]
    with pytest.raises(UnknownDeviceMode, match="tf32"):
        Bench(SHAPE, "cpu", "tf32", 3, 0.0).product()


def test_text_has_no_pace_without_text() -> None:
    with pytest.raises(ValueError, match="the pace of text"):
        calibrated(SHAPE, [Effort.READING], device="cpu")


@pytest.mark.parametrize("effort", sorted(TEXT))
def test_text_is_none_of_a_devices_work(effort: Effort) -> None:
    with pytest.raises(ValueError, match="not measured on a device"):
        Bench(SHAPE, "cpu", "float32", 3, 0.0).measured(effort)


def test_a_measurement_is_the_median_of_runs_without_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # Beginnings and ends: the first run takes 100 seconds, the next 1, 9 and 2, when the budget is spent.
    clock = iter([0, 100, 100, 101, 101, 110, 110, 112])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert Bench(SHAPE, "cpu", "float32", 3, budget=11)._seconds(lambda: None) == 2


def test_the_time_of_efforts_is_their_sum_at_the_pace() -> None:
    pace = Pace("CPU", is_gpu=False, seconds={Effort.SCORE: 2.0, Effort.TURN: 0.5}, measured_in=1.0)
    assert pace.total({Effort.SCORE: 3.0, Effort.TURN: 4.0}) == 8.0
    assert pace.total({}) == 0
    with pytest.raises(KeyError):
        pace.total({Effort.FORWARD: 1.0})


def test_a_device_is_called_by_what_its_speed_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    assert device_name("cpu") == "CPU, 1 thread"
    monkeypatch.setattr("torch.get_num_threads", lambda: 16)
    assert device_name("cpu") == "CPU, 16 threads"
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"GPU of {device}")
    assert device_name("cuda") == "GPU of cuda"
