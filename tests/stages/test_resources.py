"""What a computation may use: the device that is asked for, and what is free of its memory less a margin."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest
import torch

from tests.refusals import refusal
from universal_neurons.errors import UserError
from universal_neurons.stages import resources
from universal_neurons.stages.resources import OutOfMemory, budget, device, enough_memory, free_bytes, give_back
from universal_neurons.stages.workspace import Resources

if TYPE_CHECKING:
    from pathlib import Path

    from tests.miniature import Miniature
    from universal_neurons.stages.workspace import Workspace

CPU = torch.device("cpu")


@pytest.fixture
def work(miniature: Miniature, tmp_path: Path) -> Workspace:
    return miniature.workspace(store=tmp_path)


def asking(work: Workspace, **asked: object) -> Workspace:
    return replace(work, resources=Resources(**asked))  # type: ignore[arg-type]


def test_the_device_is_a_gpu_where_there_is_one(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device(work) == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device(work) == torch.device("cuda")
    assert device(asking(work, device="cpu")) == CPU


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("cuda:3", "--device cuda:3: there are 2 GPUs that torch can use here"),
        ("toaster", "--device: expected cpu or cuda, got 'toaster'"),
        ("meta", "--device: expected cpu or cuda, got 'meta'"),
    ],
)
def test_a_device_that_is_not_here_is_one_line(
    work: Workspace, monkeypatch: pytest.MonkeyPatch, name: str, line: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError) as refused:
        device(asking(work, device=name))
    assert str(refused.value) == line


def test_the_budget_is_what_is_asked_for_or_what_is_free_less_a_margin(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "free_bytes", lambda _: 1000)
    assert budget(asking(work, memory=77), CPU, resident=5) == 77
    assert budget(work, CPU, resident=5) == 705
    assert budget(work, torch.device("cuda"), resident=5) == 905


def test_a_control_group_allows_less_than_the_machine_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = free_bytes(CPU)
    assert machine > 2**20
    monkeypatch.setattr(resources, "_CONTROL_GROUP", tmp_path)
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("1800\n")
    (tmp_path / "memory.stat").write_text("anon 900\ninactive_file 300\nactive_file 7\n")
    assert free_bytes(CPU) == 3500
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(CPU) > 2**20
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.stat").unlink()
    assert free_bytes(CPU) > 2**20


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_lack_of_memory_is_one_line_by_whatever_name(work: Workspace, error: Exception) -> None:
    def fail() -> None:
        with enough_memory(asking(work, device="cpu"), "step 7: ablations"):
            raise error

    assert refusal(OutOfMemory, fail).startswith("step 7: ablations: out of memory on cpu; what was finished is kept")


def test_what_is_no_lack_of_memory_keeps_its_name(work: Workspace) -> None:
    with pytest.raises(RuntimeError, match="shapes"), enough_memory(work, "step 7"):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the kernel how much of the process is there")
def test_what_was_freed_below_something_in_use_is_given_back() -> None:
    def resident() -> int:
        return int(psutil.Process().memory_info().rss)

    # Small pieces, so that glibc takes them from one heap and what is in use at its end keeps all of it.
    pieces = [torch.ones(4096) for _ in range(8192)]
    held, kept = resident(), pieces[-1]
    del pieces
    give_back()
    assert held - resident() > 0.8 * 8191 * 4096 * 4
    assert float(kept.sum()) == 4096
