from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.stages import calibration
from universal_neurons.stages.calibration import Bench, device_name, measured_speed, precisions

CPU = torch.device("cpu")


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "POSITIONS", {128: 128, 768: 128})
    monkeypatch.setattr(calibration, "NEURONS", {"cpu": 64})
    monkeypatch.setattr(calibration, "LAYER", {"cpu": 32})
    monkeypatch.setattr(calibration, "LOADED_BYTES", 2**12)


@pytest.mark.usefixtures("_tiny")
def test_a_processor_has_a_speed_of_every_kind_of_work() -> None:
    speed = measured_speed(CPU, running=0)
    # That none is missing and all are above 0 a speed checks itself.
    assert (speed.kind, speed.threads, speed.memory_bytes) == ("cpu", torch.get_num_threads(), 0)
    assert list(speed.forward) == [128, 768]
    assert list(speed.products) == ["float32", "bfloat16"]
    # Python with torch and the backend is hundreds of megabytes.
    assert 10**8 < speed.process_bytes < 10**11
    assert speed.source.startswith("speeds measured on it on 20")


@pytest.mark.usefixtures("_tiny")
@pytest.mark.parametrize(
    ("load", "said"), [(0.4, ""), (7.25, ", while other work kept the processors busy (load 7.2)")]
)
def test_a_measurement_on_a_busy_machine_says_so(monkeypatch: pytest.MonkeyPatch, load: float, said: str) -> None:
    monkeypatch.setattr(calibration, "available_threads", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    assert calibration.other_load() == said


def test_products_are_measured_in_the_precision_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    made = PairwiseAccumulator.__init__

    def noted(self: PairwiseAccumulator, *arguments: Any, **options: Any) -> None:
        seen.append(options["mode"])
        made(self, *arguments, **options)

    monkeypatch.setattr(PairwiseAccumulator, "__init__", noted)
    assert Bench(CPU, 0).product("bfloat16") > 0
    assert seen == ["bfloat16"]


def test_a_processor_has_no_tf32() -> None:
    assert precisions(CPU) == ["float32", "bfloat16"]


def test_a_measurement_is_the_fastest_of_the_runs_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # Beginnings and ends: the first run takes half a second, the next 1, 9 and 2, when enough was run.
    clock = iter([0, 0.5, 1, 2, 2, 11, 11, 13])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert Bench(CPU, running=11)._seconds(lambda: None) == 1


def test_a_device_is_called_by_what_its_speed_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    assert device_name(CPU) == "CPU, 1 thread"
    monkeypatch.setattr("torch.get_num_threads", lambda: 16)
    assert device_name(CPU) == "CPU, 16 threads"
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"GPU of {device}")
    assert device_name(torch.device("cuda")) == "GPU of cuda"
