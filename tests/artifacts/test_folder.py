from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from universal_neurons.artifacts.codec import encode
from universal_neurons.artifacts.folder import Contents, Folder, folders
from universal_neurons.artifacts.key import Key
from universal_neurons.artifacts.manifest import DamageError, Manifest
from universal_neurons.artifacts.provenance import Provenance
from universal_neurons.files import STALE_SECONDS

KEY = Key("shares", 1, {"threshold": 0.5})
PROVENANCE = Provenance("2026-01-02T03:04:05Z", None, "cpu", {}, 1.0, None)


def contents(**value: Any) -> Contents:
    suffix, payload = encode(value)
    return Contents(Manifest.of(KEY, suffix, payload, PROVENANCE), payload)


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_committed_folder_holds_payload_and_manifest_and_nothing_else(tmp_path: Path) -> None:
    folder = Folder.of(tmp_path, KEY)
    assert folder.contents() is None
    assert folder.commit(contents(share=1))
    found = folder.contents()
    assert found is not None
    assert found.value() == {"share": 1}
    assert found.manifest == contents(share=1).manifest
    assert files(tmp_path) == [f"shares/{KEY.digest}/manifest.json", f"shares/{KEY.digest}/payload.json"]
    assert [(f.path, f.stage, f.digest) for f in folders(tmp_path, besides=frozenset())] == [
        (folder.path, "shares", KEY.digest)
    ]
    assert folder.root == tmp_path


def test_a_name_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    folder = Folder.of(tmp_path, KEY)
    assert folder.commit(contents(share=1))
    assert not folder.commit(contents(share=2))
    assert folder.contents().value() == {"share": 1}  # type: ignore[union-attr]
    assert len(files(tmp_path)) == 2

    folder.path.joinpath("manifest.json").unlink()
    assert not folder.commit(contents(share=2))
    assert files(tmp_path) == [f"shares/{KEY.digest}/payload.json"]


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_a_name_that_something_else_has_is_left_alone(tmp_path: Path, kind: str) -> None:
    folder = Folder.of(tmp_path, KEY)
    folder.path.parent.mkdir()
    if kind == "file":
        folder.path.write_text("mine")
    else:
        folder.path.symlink_to(tmp_path / "nowhere")
    assert not folder.commit(contents(share=1))
    with pytest.raises(DamageError, match="missing"):
        folder.contents()
    assert list(folder.path.parent.iterdir()) == [folder.path]


def test_the_calls_come_in_the_order_that_makes_them_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    names: dict[int, str] = {}

    def name(path: Any) -> str:
        text = Path(path).relative_to(tmp_path).as_posix()
        parts = ["<staging>" if part.startswith(".staging-") else part for part in text.split("/")]
        return "/".join("<digest>" if part == KEY.digest else part for part in parts)

    real_open, real_fsync, real_rename = os.open, os.fsync, os.rename

    def spy_open(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        descriptor = real_open(path, flags, *rest, **more)
        if not more:
            names[descriptor] = name(path)
        return descriptor

    def spy_fsync(descriptor: int) -> None:
        calls.append(f"fsync {names[descriptor]}")
        real_fsync(descriptor)

    def spy_rename(source: Any, target: Any) -> None:
        calls.append(f"rename {name(source)} {name(target)}")
        real_rename(source, target)

    monkeypatch.setattr(os, "open", spy_open)
    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "rename", spy_rename)
    Folder.of(tmp_path, KEY).commit(contents(share=1))
    assert calls == [
        "fsync .",
        "fsync shares/<staging>/payload.json",
        "fsync shares/<staging>/manifest.json",
        "fsync shares/<staging>",
        "rename shares/<staging> shares/<digest>",
        "fsync shares",
    ]


def test_at_no_moment_a_reader_sees_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, whole = Folder.of(tmp_path, KEY), contents(share=1)
    seen: list[bool] = []

    def watched(call: str) -> None:
        real = getattr(os, call)

        def look_then_call(*arguments: Any, **options: Any) -> Any:
            found = folder.contents()
            assert found is None or found.payload == whole.payload
            assert len(list(folders(tmp_path, besides=frozenset()))) == (found is not None)
            seen.append(found is not None)
            return real(*arguments, **options)

        monkeypatch.setattr(os, call, look_then_call)

    for call in ("open", "write", "fsync", "rename", "mkdir", "close"):
        watched(call)
    folder.commit(whole)
    assert seen == sorted(seen), "first absent, then there for good"
    assert seen.count(False) > 10
    assert seen[-1]


def test_a_folder_that_appears_while_one_looks_is_not_taken_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder.of(tmp_path, KEY)
    real = Path.read_bytes

    def too_early(self: Path) -> bytes:
        monkeypatch.setattr(Path, "read_bytes", real)
        folder.commit(contents(share=1))
        raise FileNotFoundError(errno.ENOENT, "not yet")

    for look in (folder.manifest, folder.contents):
        monkeypatch.setattr(Path, "read_bytes", too_early)
        assert look() is not None


def test_a_disk_that_loses_bytes_is_noticed_before_anything_is_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lossy(descriptor: int, data: bytes) -> int:
        real(descriptor, bytes(data)[:-1])
        return len(data)

    real = os.write
    monkeypatch.setattr(os, "write", lossy)
    with pytest.raises(DamageError):
        Folder.of(tmp_path, KEY).commit(contents(share=1))
    assert files(tmp_path) == []


def test_only_leftovers_older_than_a_day_are_swept(tmp_path: Path) -> None:
    folder = Folder.of(tmp_path, KEY)
    folder.commit(contents(share=1))
    now = folder.path.stat().st_mtime
    for name, age in ((".staging-old", STALE_SECONDS + 60), (".staging-young", STALE_SECONDS - 60), (".other", 1e9)):
        leftover = folder.path.parent / name
        leftover.mkdir()
        (leftover / "payload.json").write_text("{")
        os.utime(leftover, (now - age, now - age))
    folder.sweep()
    assert {path.name for path in folder.path.parent.iterdir()} == {".other", ".staging-young", KEY.digest}
