"""A state is read as it was written or not at all, whatever was killed or damaged in between."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import torch

from universal_neurons.stages import resume
from universal_neurons.stages.resume import CURRENT, DOCUMENT, KEPT_DAYS, NEXT, OLD, State, StateFolder, sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def folder(tmp_path: Path, lines: list[str]) -> StateFolder:
    return StateFolder(tmp_path / "state", lines.append)


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "large": torch.randn(300, 7, generator=generator, dtype=torch.float64),
        "turned": torch.randn(4, 9, generator=generator).T,
        "counts": torch.arange(5),
        "empty": torch.empty(0, 3),
        "undefined": torch.tensor([float("nan"), float("inf")]),
    }


def assert_state(found: State | None, seed: int) -> None:
    assert found is not None
    assert found.document == {"seed": seed, "left": [[1, 2]]}
    for name, tensor in tensors(seed).items():
        torch.testing.assert_close(found.tensors[name], tensor, rtol=0, atol=0, equal_nan=True)


def write(folder: StateFolder, seed: int) -> None:
    folder.write({"seed": seed, "left": [[1, 2]]}, tensors(seed).items())


@pytest.mark.parametrize("piece", [200, 5000, 2**26])
def test_a_state_is_read_as_it_was_written(folder: StateFolder, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(resume, "PIECE_BYTES", piece)
    assert folder.read() is None
    for seed in (1, 2):
        write(folder, seed)
        assert_state(folder.read(), seed)
    assert [path.name for path in folder.path.iterdir()] == [CURRENT]
    folder.remove()
    assert folder.read() is None


def test_a_state_that_was_half_written_does_not_hide_the_one_before(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, 1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resume, "sync_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            write(folder, 2)
    # All of it was there, only not yet by its name: it is the newer one.
    assert_state(folder.read(), 2)
    (folder.path / NEXT / DOCUMENT).unlink()
    assert_state(folder.read(), 1)


def test_a_kill_between_the_two_renames_loses_nothing(folder: StateFolder) -> None:
    write(folder, 1)
    (folder.path / CURRENT).rename(folder.path / OLD)
    assert_state(folder.read(), 1)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [_cut, _flip, lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["0.safetensors", DOCUMENT])
def test_damage_counts_as_absent_and_is_said(
    folder: StateFolder, lines: list[str], name: str, damage: Callable[[Path], None]
) -> None:
    write(folder, 1)
    damage(folder.path / CURRENT / name)
    assert folder.read() is None
    if (folder.path / CURRENT / DOCUMENT).exists():
        assert len(lines) == 1
        assert lines[0].startswith("the state of an interrupted computation is damaged (")


def test_what_the_system_refuses_leaves_the_state_of_before(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(resume, "write_file", full)
        with pytest.raises(OSError, match="No space left"):
            write(folder, 2)
    assert_state(folder.read(), 1)
    assert [path.name for path in folder.path.iterdir()] == [CURRENT]


def test_states_of_what_was_given_up_are_removed_and_said(tmp_path: Path, lines: list[str]) -> None:
    for name, days in (("old", KEPT_DAYS + 1), ("waiting", KEPT_DAYS - 1)):
        state = tmp_path / "suite" / name
        write(StateFolder(state, lines.append), 1)
        written = time.time() - days * 86_400
        for path in (state, *state.rglob("*")):
            os.utime(path, (written, written))
    sweep(tmp_path, lines.append)
    assert [path.name for path in tmp_path.glob("*/*")] == ["waiting"]
    assert lines == [f"the state of a computation that was interrupted {KEPT_DAYS + 1} days ago is removed"]
    sweep(tmp_path / "nowhere", lines.append)


def test_two_that_write_one_state_at_once_leave_a_whole_one_or_none(folder: StateFolder) -> None:
    def write(number: int) -> None:
        quiet = StateFolder(folder.path, lambda _: None)
        for _ in range(20):
            with suppress(OSError):
                quiet.write({"number": number}, [(str(i), torch.full((50,), float(number))) for i in range(3)])
            found = quiet.read()
            if found is not None:
                values = {float(value) for tensor in found.tensors.values() for value in tensor}
                seen.append(values == {float(found.document["number"])})

    seen: list[bool] = []
    writers = [threading.Thread(target=write, args=(number,)) for number in (1, 2, 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert seen
    assert all(seen)
