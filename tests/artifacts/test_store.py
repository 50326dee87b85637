from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pandas as pd
import pytest

import universal_neurons
from universal_neurons.artifacts.bundle import Bundle, ExportDamaged, FileAbsent, Listed
from universal_neurons.artifacts.codec import Payload, encode, json_bytes
from universal_neurons.artifacts.exchange import export_artifacts
from universal_neurons.artifacts.folder import Contents, Folder
from universal_neurons.artifacts.key import Key
from universal_neurons.artifacts.manifest import DamageError, Manifest
from universal_neurons.artifacts.provenance import Provenance
from universal_neurons.artifacts.remote import RemoteExport
from universal_neurons.artifacts.schema import Schema
from universal_neurons.artifacts.store import CACHEDIR_TAG, Origin, Store, StoreError

PROVENANCE = Provenance("2026-01-02T03:04:05Z", "ab" * 20, "cpu", {"python": "3.11.7"}, 1.25, 2**30)
MODEL = "ab" * 32
VALUES: dict[str, Payload] = {
    "parquet": pd.DataFrame({"neuron": np.arange(4, dtype=np.int32), "excess": np.array([0.5, np.nan, -1, 0], "f4")}),
    "safetensors": {"influence": np.arange(6, dtype=np.float32).reshape(2, 3), "neuron": np.arange(3)},
    "json": {"share": 0.01, "models": ["a", "b"]},
}
KINDS = tuple(VALUES)


def key(number: int = 0, stage: str = "shares") -> Key:
    return Key(stage, 1, {"number": number, "kind": "gaussian"}, {"model": MODEL})


def path_of(root: Path, wanted: Key) -> Path:
    return root / wanted.stage / wanted.digest


def same(one: object, other: object) -> bool:
    if isinstance(one, pd.DataFrame) and isinstance(other, pd.DataFrame):
        return one.equals(other) and bool((one.dtypes == other.dtypes).all())
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
    return False


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


class Lines(list[str]):
    """The warnings of a store; every warning is one line."""

    def __call__(self, line: str) -> None:
        assert line.isprintable()
        self.append(line)


@pytest.fixture
def said() -> Lines:
    return Lines()


@pytest.fixture
def store(tmp_path: Path, said: Lines) -> Store:
    return Store(tmp_path / "working", warn=said)


def shipped(tmp_path: Path, said: Lines, *keys: Key, kind: str = "json") -> Store:
    """A store with nothing in its working folder and ``keys`` shipped."""
    source = Store(tmp_path / "source", warn=said)
    for wanted in keys:
        source.write(wanted, VALUES[kind], PROVENANCE)
    source.export(keys, tmp_path / "shipped")
    return Store(tmp_path / "working", [tmp_path / "shipped"], warn=said)


# --- what is written is what is read


@pytest.mark.parametrize("kind", KINDS)
def test_a_written_artifact_is_read_back(store: Store, said: Lines, kind: str) -> None:
    assert store.read(key()) is None
    assert not store.has(key())
    written = store.write(key(), VALUES[kind], PROVENANCE)
    read = store.read(key())
    assert read is not None
    assert store.has(key())
    for artifact in (written, read):
        assert same(artifact.value, VALUES[kind])
        assert (artifact.key, artifact.provenance, artifact.origin) == (key(), PROVENANCE, Origin.WORKING)
        payload = path_of(store.working, key()) / f"payload.{kind}"
        assert artifact.sha256 == sha256(payload.read_bytes()).hexdigest()
    assert store.verify() == []
    assert said == []


@pytest.mark.parametrize("kind", KINDS)
def test_two_stores_with_the_same_artifacts_are_byte_for_byte_the_same(tmp_path: Path, said: Lines, kind: str) -> None:
    for name in ("one", "other"):
        Store(tmp_path / name, warn=said).write(key(), VALUES[kind], PROVENANCE)
    assert tree(tmp_path / "one") == tree(tmp_path / "other")
    assert sorted(tree(tmp_path / "one")) == sorted(
        ["CACHEDIR.TAG", f"shares/{key().digest}/manifest.json", f"shares/{key().digest}/payload.{kind}"]
    )
    assert tree(tmp_path / "one")["CACHEDIR.TAG"].decode() == CACHEDIR_TAG


def test_an_artifact_gives_its_value_only_as_its_own_kind(store: Store) -> None:
    artifacts = [store.write(key(i), value, PROVENANCE) for i, value in enumerate(VALUES.values())]
    for i, view in enumerate(("table", "arrays", "document")):
        assert same(getattr(artifacts[i], view), artifacts[i].value)
        for other in artifacts[:i] + artifacts[i + 1 :]:
            with pytest.raises(StoreError, match="is stored as"):
                getattr(other, view)


def test_write_returns_the_value_that_read_would_return_and_not_the_callers_object(store: Store) -> None:
    value: dict[str, Any] = {"steps": (1, 2)}
    written = store.write(key(), value, PROVENANCE)
    read = store.read(key())
    assert read is not None
    assert written.value == read.value == {"steps": [1, 2]}


def test_the_working_store_comes_before_the_shipped_one(tmp_path: Path, said: Lines) -> None:
    store = shipped(tmp_path, said, key(0), key(1))
    store.write(key(0), {"share": 0.02}, PROVENANCE)
    first, second = store.read(key(0)), store.read(key(1))
    assert first is not None
    assert second is not None
    assert (first.origin, first.document) == ("working", {"share": 0.02})
    assert (second.origin, second.document) == ("shipped", VALUES["json"])
    assert said == []


def test_reading_changes_nothing_on_the_disk(tmp_path: Path, said: Lines) -> None:
    store = shipped(tmp_path, said, key(0))
    before = tree(tmp_path)
    store.read(key(0))
    store.read(key(1))
    store.has(key(0))
    store.entries()
    store.verify()
    store.why(key(1))
    assert tree(tmp_path) == before
    assert not store.working.exists()


def test_a_working_store_that_is_a_file_or_shipped_is_refused(tmp_path: Path, said: Lines) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is no folder"):
        Store(tmp_path / "file", warn=said)
    (tmp_path / "evidence").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "evidence")
    with pytest.raises(StoreError, match="read-only"):
        Store(tmp_path / "link", [tmp_path / "evidence"], warn=said)


def test_the_artifacts_package_does_not_load_torch(forge: Forge) -> None:
    assert not forge.torch


# --- listing


def test_all_entries_are_listed_with_their_origin(tmp_path: Path, said: Lines) -> None:
    store = shipped(tmp_path, said, key(0), key(1))
    store.write(key(0), VALUES["json"], PROVENANCE)
    store.write(key(0, stage="curves"), VALUES["parquet"], PROVENANCE)
    Folder.of(store.working, key(2)).path.mkdir()  # has no manifest, so it is no artifact
    with store.lock(key(5)):
        pass
    listed = [(entry.key, entry.origin, entry.manifest.provenance) for entry in store.entries()]
    by_digest = sorted([key(0), key(1)], key=lambda k: k.digest)
    assert listed == [
        (key(0, stage="curves"), Origin.WORKING, PROVENANCE),
        (key(0), Origin.WORKING, PROVENANCE),
        *((k, Origin.SHIPPED, PROVENANCE) for k in by_digest),
    ]


def test_why_names_the_store_that_has_it(tmp_path: Path, said: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = shipped(tmp_path, said, key(0))
    assert store.why(key(0)) == f"{key(0)} is in the shipped store shipped"
    store.write(key(0), VALUES["json"], PROVENANCE)
    assert store.why(key(0)) == f"{key(0)} is in the working store working"


def test_why_names_the_nearest_artifact_and_what_differs(tmp_path: Path, said: Lines) -> None:
    store = shipped(tmp_path, said, Key("shares", 1, {"draws": 20, "seed": 1}, {"model": MODEL}))
    wanted = Key("shares", 2, {"draws": 5, "seed": 1}, {"model": "cd" * 32})
    assert Store(tmp_path / "empty", warn=said).why(wanted) == (
        f"{wanted} is absent: no artifact of stage shares is in any store yet"
    )
    far = Key("shares", 1, {"draws": 20, "seed": 1}, {"model": MODEL})
    assert store.why(wanted) == (
        f"{wanted} is absent; in the nearest one, {far}, inputs.model is abababababab instead of cdcdcdcdcdcd, "
        "parameters.draws is 20 instead of 5, version is 1 instead of 2"
    )
    near = Key("shares", 2, {"draws": 5, "seed": 1}, {"model": MODEL})
    store.write(near, VALUES["json"], PROVENANCE)
    assert store.why(wanted) == (
        f"{wanted} is absent; in the nearest one, {near}, inputs.model is abababababab instead of cdcdcdcdcdcd"
    )
    assert "and 1 more" in store.why(Key("shares", 3, {"draws": 4, "seed": 2}, {"model": "cd" * 32}))


def test_why_names_the_damage(tmp_path: Path, said: Lines) -> None:
    store = shipped(tmp_path, said, key(0))
    store.write(key(1), VALUES["json"], PROVENANCE)
    for root, number in ((store.shipped[0], 0), (store.working, 1)):
        (path_of(root, key(number)) / "payload.json").write_bytes(b"{}")
    assert "run: git checkout -- " in store.why(key(0))
    assert "has 2 bytes instead of" in store.why(key(1))
    assert "quarantine" in store.why(key(1))
    assert said == []


# --- damage

Damage = Callable[[Path, Path], None]


def resealed(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a manifest as somebody would who knows how to seal it."""
    raw = json.loads((folder / "manifest.json").read_bytes())
    change(raw)
    del raw["manifest_sha256"]
    raw["manifest_sha256"] = sha256(json_bytes(raw)).hexdigest()
    (folder / "manifest.json").write_bytes(json_bytes(raw))


def payload_of(folder: Path) -> Path:
    return next(iter(folder.glob("payload.*")))


def rewritten(pattern: str, change: Callable[[bytes], bytes]) -> Damage:
    def damage(folder: Path, other: Path) -> None:
        path = next(iter(folder.glob(pattern)))
        path.write_bytes(change(path.read_bytes()))

    return damage


def swapped(pattern: str) -> Damage:
    def damage(folder: Path, other: Path) -> None:
        shutil.copy(next(iter(other.glob(pattern))), next(iter(folder.glob(pattern))))

    return damage


def replaced(pattern: str, by: Callable[[Path], object]) -> Damage:
    def damage(folder: Path, other: Path) -> None:
        path = next(iter(folder.glob(pattern)))
        path.unlink()
        by(path)

    return damage


def other_folder(folder: Path, other: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def a_file(folder: Path, other: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder")


def a_dangling_link(folder: Path, other: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(folder.with_name("nowhere"))


def an_empty_folder(folder: Path, other: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def other_suffix(folder: Path, other: Path) -> None:
    payload_of(folder).rename(folder / "payload.bin")


def other_payload_under_its_own_digest(folder: Path, other: Path) -> None:
    payload = b"not what the suffix says"
    payload_of(folder).write_bytes(payload)
    digest = sha256(payload).hexdigest()
    resealed(folder, lambda raw: raw["payload"].update(sha256=digest, bytes=len(payload)))


def sealed(change: Callable[[dict[str, Any]], Any]) -> Damage:
    return lambda folder, other: resealed(folder, change)


DAMAGES: dict[str, Damage] = {
    "payload empty": rewritten("payload.*", lambda data: b""),
    "payload without its last byte": rewritten("payload.*", lambda data: data[:-1]),
    "payload without its first byte": rewritten("payload.*", lambda data: data[1:]),
    "half of the payload": rewritten("payload.*", lambda data: data[: len(data) // 2]),
    "payload with a byte more": rewritten("payload.*", lambda data: data + b"\0"),
    "payload of zeros": rewritten("payload.*", lambda data: bytes(len(data))),
    "payload backwards": rewritten("payload.*", lambda data: data[::-1]),
    "payload deleted": replaced("payload.*", lambda path: None),
    "payload a folder": replaced("payload.*", Path.mkdir),
    "payload a dangling link": replaced("payload.*", lambda path: path.symlink_to("nowhere")),
    "payload of another key": swapped("payload.*"),
    "payload of another suffix": other_suffix,
    "payload exchanged and resealed": other_payload_under_its_own_digest,
    "manifest empty": rewritten("manifest.json", lambda data: b""),
    "half of the manifest": rewritten("manifest.json", lambda data: data[: len(data) // 2]),
    "manifest of zeros": rewritten("manifest.json", lambda data: bytes(len(data))),
    "manifest null": rewritten("manifest.json", lambda data: b"null"),
    "manifest a list": rewritten("manifest.json", lambda data: b"[]"),
    "manifest a bomb": rewritten("manifest.json", lambda data: b"[" * 100_000),
    "manifest with carriage returns": rewritten("manifest.json", lambda data: data.replace(b"\n", b"\r\n")),
    "manifest with a byte order mark": rewritten("manifest.json", lambda data: b"\xef\xbb\xbf" + data),
    "manifest twice": rewritten("manifest.json", lambda data: data * 2),
    "manifest deleted": replaced("manifest.json", lambda path: None),
    "manifest a folder": replaced("manifest.json", Path.mkdir),
    "manifest of another key": swapped("manifest.json"),
    "manifest with another size": sealed(lambda raw: raw["payload"].update(bytes=raw["payload"]["bytes"] + 1)),
    "manifest with another suffix": sealed(lambda raw: raw["payload"].update(suffix="pickle")),
    "manifest with a path as suffix": sealed(lambda raw: raw["payload"].update(suffix="/../../../../etc/passwd")),
    "manifest with another parameter": sealed(lambda raw: raw["key"]["parameters"].update(kind="orthogonal")),
    "manifest with another stage": sealed(lambda raw: raw["key"].update(stage="other")),
    "manifest with another version": sealed(lambda raw: raw["key"].update(version=2)),
    "manifest with another digest": sealed(lambda raw: raw.update(digest="0" * 64)),
    "manifest with a path": sealed(lambda raw: raw["provenance"].update(device="/home/somebody")),
    "manifest of the future": sealed(lambda raw: raw.update(format=2)),
    "folder of another key": other_folder,
    "folder empty": an_empty_folder,
    "folder a file": a_file,
    "folder a dangling link": a_dangling_link,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_in_the_working_store_goes_to_quarantine_and_counts_as_absent(
    store: Store, said: Lines, damage: str, kind: str
) -> None:
    for number in (0, 1):
        value = VALUES[kind] if number == 0 else {"other": number}
        store.write(key(number), value, PROVENANCE)
    if kind != "json" and damage == "payload of another key":
        shutil.copy(payload_of(path_of(store.working, key(1))), payload_of(path_of(store.working, key(0))))
    else:
        DAMAGES[damage](path_of(store.working, key(0)), path_of(store.working, key(1)))
    assert not store.has(key(0))
    assert len(store.verify()) == 1
    assert said == []

    assert store.read(key(0)) is None
    assert len(said) == 1
    assert f"{key(0)} was damaged" in said[0]
    assert len(list((store.working / "quarantine").iterdir())) == 1
    assert store.verify() == []
    assert [entry.key for entry in store.entries()] == [key(1)]

    again = store.write(key(0), VALUES[kind], PROVENANCE)
    assert same(again.value, VALUES[kind])
    assert store.has(key(0))
    assert len(said) == 1


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("call", ["mkdir", "rename"])
def test_damage_in_a_store_that_cannot_be_written_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    store.write(key(), VALUES["json"], PROVENANCE)
    (path_of(store.working, key()) / "payload.json").write_bytes(b"{}")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(StoreError) as error:
        store.read(key())
    assert f"{key().digest} is damaged (payload.json has 2 bytes instead of " in str(error.value)
    assert "cannot be moved to quarantine (permission denied); make the store writable" in str(error.value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_in_a_shipped_store_is_an_error_that_says_how_to_restore_it(
    tmp_path: Path, said: Lines, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shipped(tmp_path, said, key(0))
    Store(tmp_path / "source", warn=said).write(key(1), {"other": 1}, PROVENANCE)
    folder = path_of(tmp_path / "shipped", key(0))
    DAMAGES[damage](folder, path_of(tmp_path / "source", key(1)))
    before = tree(tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)
    for look in (store.read, store.has, lambda wanted: store.export([wanted], tmp_path / "more")):
        with pytest.raises(StoreError) as error:
            look(key(0))
        assert str(error.value).startswith(f"shipped/shares/{key(0).digest} is damaged (")
        assert str(error.value).endswith(f"; run: git checkout -- shipped/shares/{key(0).digest}")
        assert str(error.value).isprintable()
    assert len(store.verify()) == 1
    assert tree(tmp_path / "shipped") == before
    assert not (tmp_path / "more").exists()
    assert said == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_anywhere_is_noticed(store: Store, said: Lines, kind: str) -> None:
    store.write(key(), VALUES[kind], PROVENANCE)
    folder = path_of(store.working, key())
    rng = random.Random(kind)
    for path in (payload_of(folder), folder / "manifest.json"):
        pristine = path.read_bytes()
        for _ in range(120):
            flipped = bytearray(pristine)
            flipped[rng.randrange(len(pristine))] ^= 1 << rng.randrange(8)
            path.write_bytes(flipped)
            assert not store.has(key())
        path.write_bytes(pristine)
        assert store.has(key())


def test_damage_in_the_working_store_uncovers_the_shipped_artifact(tmp_path: Path, said: Lines) -> None:
    store = shipped(tmp_path, said, key(0))
    store.write(key(0), {"share": 2}, PROVENANCE)
    (path_of(store.working, key(0)) / "payload.json").write_bytes(b"{}")
    read = store.read(key(0))
    assert read is not None
    assert (read.origin, read.document) == (Origin.SHIPPED, VALUES["json"])
    assert len(said) == 1


def test_a_folder_that_is_no_artifact_is_a_problem(store: Store) -> None:
    store.write(key(), VALUES["json"], PROVENANCE)
    folder = path_of(store.working, key())
    shutil.copytree(folder, folder.with_name("backup"))
    shutil.copytree(folder.parent, store.working / "other")
    problems = store.verify()
    assert sorted(problem.path.relative_to(store.working).as_posix() for problem in problems) == [
        "other/backup",
        f"other/{key().digest}",
        "shares/backup",
    ]
    assert all(str(problem).isprintable() and "belongs to" in str(problem) for problem in problems)


def test_a_sound_artifact_that_replaced_a_damaged_one_meanwhile_is_not_lost(
    store: Store, said: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(key(), VALUES["json"], PROVENANCE)
    real = Folder._contents
    damaged_first = iter([DamageError("seen a moment ago"), DamageError("seen again")])

    def contents(self: Folder) -> Any:
        for error in damaged_first:
            raise error
        return real(self)

    monkeypatch.setattr(Folder, "_contents", contents)
    read = store.read(key())
    assert read is not None
    assert read.document == VALUES["json"]
    assert said == []
    assert list((store.working / "quarantine").iterdir()) == []


# --- writing twice


def test_the_same_bytes_twice_are_one_artifact_and_the_first_provenance_stays(store: Store, said: Lines) -> None:
    store.write(key(), VALUES["json"], PROVENANCE)
    before = tree(store.working)
    later = Provenance("2027-01-01T00:00:00Z", None, "NVIDIA H200", {}, 9.0, None)
    assert store.write(key(), VALUES["json"], later).provenance == PROVENANCE
    assert tree(store.working) == before
    assert said == []


@pytest.mark.parametrize("second", [{"share": 0.02}, VALUES["parquet"]], ids=["other value", "other kind"])
def test_other_bytes_under_the_same_key_are_kept_out_with_a_warning(store: Store, said: Lines, second: Any) -> None:
    store.write(key(), VALUES["json"], PROVENANCE)
    before = tree(store.working)
    kept = store.write(key(), second, PROVENANCE)
    assert kept.document == VALUES["json"]
    assert tree(store.working) == before
    assert len(said) == 1
    assert "computed twice with different bytes" in said[0]


def test_a_writer_that_comes_second_by_a_moment_gets_the_first_ones_artifact(
    store: Store, said: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename
    rival = Store(store.working, warn=said)

    def beaten(source: Any, target: Any) -> None:
        monkeypatch.setattr(os, "rename", real)
        rival.write(key(), {"share": "the rival's"}, PROVENANCE)
        real(source, target)

    monkeypatch.setattr(os, "rename", beaten)
    assert store.write(key(), {"share": "mine"}, PROVENANCE).document == {"share": "the rival's"}
    assert len(said) == 1
    assert store.verify() == []


# --- export


def test_an_export_is_a_copy_that_can_be_shipped(tmp_path: Path, store: Store, said: Lines) -> None:
    keys = [key(i) for i in range(3)]
    for i, wanted in enumerate(keys):
        store.write(wanted, VALUES[KINDS[i]], PROVENANCE)
    there = store.export([*keys[:2], keys[0]], tmp_path / "one")
    store.export(reversed(keys[:2]), tmp_path / "other")
    assert tree(tmp_path / "one") == tree(tmp_path / "other")
    assert {found.key for found in there} == set(keys[:2])
    assert {name: data for name, data in tree(store.working).items() if name in tree(tmp_path / "one")} == tree(
        tmp_path / "one"
    )
    reader = Store(tmp_path / "fresh", [tmp_path / "one"], warn=said)
    assert same(reader.read(keys[1]).value, VALUES[KINDS[1]])  # type: ignore[union-attr]
    assert reader.read(keys[2]) is None
    assert reader.export(keys[:2], tmp_path / "again") == there
    assert tree(tmp_path / "again") == tree(tmp_path / "one")


def test_exporting_again_keeps_what_is_there(tmp_path: Path, said: Lines) -> None:
    shipped(tmp_path, said, key(0))
    before = tree(tmp_path / "shipped")
    later = Provenance("2027-01-01T00:00:00Z", None, "cpu", {}, 9.0, None)
    recomputed = Store(tmp_path / "recomputed", warn=said)
    recomputed.write(key(0), VALUES["json"], later)
    recomputed.export([key(0)], tmp_path / "shipped")
    assert tree(tmp_path / "shipped") == before


def test_other_bytes_do_not_replace_shipped_ones(tmp_path: Path, said: Lines) -> None:
    shipped(tmp_path, said, key(0))
    before = tree(tmp_path / "shipped")
    recomputed = Store(tmp_path / "recomputed", warn=said)
    recomputed.write(key(0), {"share": 0.02}, PROVENANCE)
    with pytest.raises(StoreError, match="holds other bytes"):
        recomputed.export([key(0)], tmp_path / "shipped")
    assert tree(tmp_path / "shipped") == before


@pytest.mark.parametrize("target", ["folder", "archive.zip"])
def test_an_export_of_something_absent_changes_nothing(tmp_path: Path, store: Store, target: str) -> None:
    store.write(key(0), VALUES["json"], PROVENANCE)
    with pytest.raises(StoreError, match=r"is absent; in the nearest one.*compute it first"):
        export_artifacts(store, [key(0), key(1)], tmp_path / target, suite="mini", narrowing="", lock=None)
    assert not (tmp_path / target).exists()


def test_no_file_names_a_user_or_a_path(tmp_path: Path, store: Store) -> None:
    store.write(key(), VALUES["parquet"], PROVENANCE)
    store.export([key()], tmp_path / "target")
    for data in tree(tmp_path / "target").values():
        assert str(tmp_path).encode() not in data
        assert str(Path.home()).encode() + b"/" not in data


# --- the lock


def test_the_lock_keeps_a_second_one_out_until_its_patience_ends(store: Store, said: Lines) -> None:
    other = Store(store.working, warn=said)
    with store.lock(key(0)) as had:
        assert had
        with other.lock(key(1)) as had_other:
            assert had_other
        with other.lock(key(0), patience=0.05) as had_second:
            assert not had_second
            other.write(key(0), VALUES["json"], PROVENANCE)
    assert len(said) == 2
    assert "another process is at it" in said[0]
    assert "going on without the lock" in said[1]
    with other.lock(key(0), patience=0.05) as had_again:
        assert had_again
    assert store.verify() == []


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSYS, "x"), PermissionError(errno.EACCES, "x"), NotImplementedError("no")]
)
def test_without_locks_the_body_runs_with_one_warning(
    store: Store, said: Lines, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with store.lock(key()) as had:
        assert not had
    assert len(said) == 1


def test_an_error_in_the_locked_body_is_not_mistaken_for_one_of_the_lock(store: Store, said: Lines) -> None:
    with pytest.raises(OSError, match="mine"), store.lock(key()):
        raise OSError("mine")
    with store.lock(key(), patience=0.05) as had:
        assert had
    assert said == []


# --- faults at every call

CALLS = ("open", "write", "fsync", "rename", "replace", "mkdir", "close", "stat", "lstat", "unlink", "rmdir", "listdir")


class Faults:
    """The system calls of the store, the ``at``-th of which fails, before or after it took effect, once or for good."""

    def __init__(
        self, at: int | None, fault: BaseException | None, *, after: bool = False, for_good: bool = False
    ) -> None:
        self.count, self.at, self.fault, self.after, self.for_good = 0, at, fault, after, for_good

    @contextmanager
    def injected(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self.wrapped(name, getattr(os, name)))
            patch.setattr(Path, "read_bytes", self.wrapped("read", Path.read_bytes))
            yield

    def wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            number, self.count = self.count, self.count + 1
            due = self.at is not None and (number == self.at or (self.for_good and number > self.at))
            if not due:
                return real(*arguments, **options)
            if (self.after and name != "open") or name == "close":
                with suppress(OSError):
                    real(*arguments, **options)
            assert self.fault is not None
            raise self.fault

        return call


def number_of_calls(action: Callable[[], object]) -> int:
    counter = Faults(None, None)
    with counter.injected():
        action()
    return counter.count


FAULTS: dict[str, Callable[[], BaseException]] = {
    "input/output error": lambda: OSError(errno.EIO, os.strerror(errno.EIO)),
    "no space left": lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "interrupt": KeyboardInterrupt,
}


def prepared(root: Path, said: Lines, situation: str) -> Store:
    """A store with one sound artifact, and the second one absent, damaged or there."""
    store = Store(root, warn=said)
    store.write(key(0), VALUES["json"], PROVENANCE)
    if situation != "absent":
        store.write(key(1), VALUES["safetensors"], PROVENANCE)
    if situation == "damaged":
        (path_of(root, key(1)) / "payload.safetensors").write_bytes(b"damaged")
    return store


ACTIONS: dict[str, Callable[[Store], object]] = {
    "write": lambda store: store.write(key(1), VALUES["safetensors"], PROVENANCE),
    "read": lambda store: store.read(key(1)),
    "export": lambda store: store.export([key(0)], store.working.with_name("target")),
}
CASES = [
    ("write", "absent"),
    ("write", "damaged"),
    ("write", "there"),
    ("read", "damaged"),
    ("read", "there"),
    ("export", "there"),
]


@pytest.mark.parametrize(
    ("after", "for_good"), [(False, False), (True, False), (False, True)], ids=["before", "after", "for good"]
)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("action", "situation"), CASES)
def test_after_any_failing_call_nothing_committed_is_lost_and_nothing_partial_is_read(
    tmp_path: Path, action: str, situation: str, fault: str, *, after: bool, for_good: bool
) -> None:
    pristine = prepared(tmp_path / "pristine", Lines(), situation).working
    trial = Store(shutil.copytree(pristine, tmp_path / "trial" / "working"), warn=Lines())
    for at in range(number_of_calls(lambda: ACTIONS[action](trial))):
        said = Lines()
        root = shutil.copytree(pristine, tmp_path / str(at) / "working")
        store = Store(root, warn=said)
        error: BaseException | None = None
        with Faults(at, FAULTS[fault](), after=after, for_good=for_good).injected():
            try:
                ACTIONS[action](store)
            except (StoreError, KeyboardInterrupt) as raised:
                error = raised
        if isinstance(error, StoreError):
            assert str(error).isprintable()
            assert fault in str(error).lower()

        fresh = Store(root, [root.with_name("target")], warn=said)
        first, second = fresh.read(key(0)), fresh.read(key(1))
        assert first is not None
        assert first.document == VALUES["json"]
        assert second is None or same(second.value, VALUES["safetensors"])
        assert situation != "there" or second is not None
        assert fresh.verify() == []
        assert len(said) <= (situation == "damaged")
        if not for_good and not any(path.name.startswith(".staging") for path in root.rglob("*")):
            assert {path.name for path in root.iterdir()} <= {"CACHEDIR.TAG", "shares", "quarantine"}

        ACTIONS[action](fresh)
        fresh.write(key(1), VALUES["safetensors"], PROVENANCE)
        assert fresh.verify() == []
        assert {entry.key for entry in fresh.entries()} == {key(0), key(1)}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_a_write_that_fails_leaves_no_temporary_file(tmp_path: Path, fault: str, call: str) -> None:
    store = prepared(tmp_path / "working", Lines(), "absent")
    before = tree(store.working)

    def failing(*_: Any, **__: Any) -> None:
        raise FAULTS[fault]()

    with pytest.MonkeyPatch.context() as patch:
        real_open = os.open
        if call == "open":
            # Cleaning up opens folders as well, so only the opening of new files fails.
            patch.setattr(os, "open", lambda p, f, *a, **k: failing() if f & os.O_CREAT else real_open(p, f, *a, **k))
        else:
            patch.setattr(os, call, failing)
        with pytest.raises((StoreError, KeyboardInterrupt)):
            store.write(key(1), VALUES["json"], PROVENANCE)
    assert tree(store.working) == before
    assert [path.name for path in (store.working / "shares").iterdir()] == [key(0).digest]


@pytest.mark.parametrize("path", ["working", "with blank and 'quote'", "line\nbreak\u202e"])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, ["no space left", "nothing committed is lost", "df -h"]),
        (errno.EDQUOT, ["no space left", "df -h"]),
        (errno.EACCES, ["permission denied", "ls -ld"]),
        (errno.EROFS, ["permission denied"]),
        (errno.EIO, ["Input/output error", "run again"]),
    ],
)
def test_an_error_of_the_system_becomes_one_line_with_advice(
    tmp_path: Path, said: Lines, code: int, words: list[str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code), "secret")

    store = Store(tmp_path / path, warn=said)
    monkeypatch.setattr(os, "write", failing)
    with pytest.raises(StoreError) as error:
        store.write(key(), VALUES["json"], PROVENANCE)
    message = str(error.value)
    assert message.isprintable()
    assert message.startswith(f"writing {key()} to ")
    assert all(word in message for word in words)


def test_a_folder_that_cannot_be_read_is_an_error_and_neither_damage_nor_absence(
    store: Store, said: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(key(), VALUES["json"], PROVENANCE)

    def failing(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, "x")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", failing)
        for look in (store.read, store.has, store.why, lambda _: store.entries(), lambda _: store.verify()):
            with pytest.raises(StoreError, match="permission denied"):
                look(key())
    assert store.has(key())
    assert said == []


# --- kills and crowds


class Forge:
    """A process with the store loaded that forks others to order, so that one costs milliseconds and not a start."""

    script = """
import os, signal, sys
import numpy as np
from pathlib import Path
from universal_neurons.artifacts.key import Key
from universal_neurons.artifacts.provenance import Provenance
from universal_neurons.artifacts.store import Store

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # one call, so that lines of processes never mix

def value(number, own):
    return {"x": np.full((64, 64), float(number)), "own": np.array([own])}

def work(root, process, count, shared):
    said = []
    store = Store(Path(root), warn=said.append)
    say(os.getpid(), "started")
    provenance = Provenance("2026-01-02T03:04:05Z", None, "cpu", {}, 1.0, None)
    kept = []
    for step in range(count):
        number = (step * (1, 3, 7, 9)[process] + process) % count  # each in its own order
        own = 0 if number < shared else process
        key = Key("crowd", 1, {"number": number})
        store.read(key)
        artifact = store.write(key, value(number, own), provenance)
        kept.append((number, int(artifact.arrays["own"][0])))
    say(os.getpid(), "finished", len(said), sorted(kept))

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
say("ready", "torch" in sys.modules)
for line in sys.stdin:
    root, process, count, shared = line.rstrip("\\n").split("\\t")
    if os.fork() == 0:
        try:
            work(root, int(process), int(count), int(shared))
        finally:
            os._exit(0)
"""

    def __init__(self) -> None:
        source = str(Path(universal_neurons.__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
        )
        self.torch = self.line()[1] == "True"

    def start(self, root: Path, *, process: int = 0, count: int, shared: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{root}\t{process}\t{count}\t{shared}\n")
        self.process.stdin.flush()

    def line(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split(maxsplit=3)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=10)


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    made = Forge()
    yield made
    made.close()


def test_a_writer_killed_at_any_moment_loses_nothing_and_leaves_no_part(
    tmp_path: Path, forge: Forge, said: Lines
) -> None:
    rng = random.Random(0)
    root, count, committed, cut_short = tmp_path / "killed", 1000, 0, 0
    for _ in range(20):
        forge.start(root, count=count, shared=count)
        pid, state, *_rest = forge.line()
        assert state == "started"
        time.sleep(rng.uniform(0.001, 0.06))
        os.kill(int(pid), signal.SIGKILL)
        store = Store(root, warn=said)
        assert store.verify() == []
        now = len(store.entries())
        assert now >= committed
        cut_short += bool(list(root.glob("crowd/.staging-*")))
        committed = now
    assert said == []
    assert 0 < committed < count, "killed while it was writing"
    assert cut_short, "at least one kill came between the first and the last call of a write"

    # What the killed ones left is exactly what an undisturbed run would have written.
    other = tmp_path / "undisturbed"
    forge.start(other, count=committed, shared=committed)
    forge.line()
    assert forge.line()[1] == "finished"
    left = {name: data for name, data in tree(root).items() if ".staging-" not in name}
    names = {f"crowd/{Key('crowd', 1, {'number': n}).digest}" for n in range(committed)}
    assert {name for name in left if name != "CACHEDIR.TAG"} == {
        f"{folder}/{file}" for folder in names for file in ("manifest.json", "payload.safetensors")
    }
    for name, data in tree(other).items():
        if name.rsplit("/", 1)[0] in names:
            assert left[name] == data


def test_many_concurrent_writers_of_the_same_keys_agree(tmp_path: Path, forge: Forge, said: Lines) -> None:
    processes, count, shared = 4, 10, 5
    for attempt in range(5):
        root = tmp_path / str(attempt)
        for process in range(processes):
            forge.start(root, process=process, count=count, shared=shared)
        lines = [forge.line() for _ in range(2 * processes)]
        finished = [line[2:] for line in lines if line[1] == "finished"]
        assert len(finished) == processes
        warnings, kept = zip(
            *((int(n), json.loads(rest.replace("(", "[").replace(")", "]"))) for n, rest in finished), strict=True
        )
        assert all(other == kept[0] for other in kept), "all of them go on with the same values"
        assert sum(warnings) == (processes - 1) * (count - shared), "every loser with other bytes is told"
        store = Store(root, warn=said)
        assert store.verify() == []
        assert len(store.entries()) == count
        assert not list(root.glob("crowd/.staging-*"))
    assert said == []


def test_many_concurrent_readers_of_damage_repair_it_once(tmp_path: Path) -> None:
    said = Lines()
    root = tmp_path / "working"
    errors: list[BaseException] = []

    def reader() -> None:
        store = Store(root, warn=said)
        try:
            for _ in range(100):
                found = store.read(key())
                found = found or store.write(key(), VALUES["safetensors"], PROVENANCE)
                assert same(found.value, VALUES["safetensors"])
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=reader) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        with suppress(OSError):
            (path_of(root, key()) / "payload.safetensors").write_bytes(b"damaged")
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert errors == []
    store = Store(root, warn=said)
    store.read(key()) or store.write(key(), VALUES["safetensors"], PROVENANCE)
    assert store.verify() == []
    assert all("was damaged" in line for line in said)


# --- what others computed


def contents(number: int = 0, value: Payload | None = None, stage: str = "shares") -> Contents:
    suffix, payload = encode(VALUES["json"] if value is None else value)
    return Contents(Manifest.of(key(number, stage), suffix, payload, PROVENANCE), payload)


@pytest.fixture
def importing(tmp_path: Path, said: Lines) -> Store:
    return Store(tmp_path / "working", imported=tmp_path / "imported", warn=said)


def test_an_adopted_artifact_is_read_byte_for_byte_as_imported(importing: Store, said: Lines) -> None:
    assert importing.adopt(contents())
    found = importing.read(key())
    assert found is not None
    assert (found.origin, found.document, found.provenance) == (Origin.IMPORTED, VALUES["json"], PROVENANCE)
    assert importing.contents(key()).payload == contents().payload
    assert f"{key()} is in the imported store " in importing.why(key())
    assert [(entry.key, entry.origin) for entry in importing.entries()] == [(key(), Origin.IMPORTED)]
    assert not importing.working.exists()
    assert importing.verify() == []
    assert said == []


def test_working_and_shipped_artifacts_come_before_imported_ones(tmp_path: Path, said: Lines) -> None:
    source = Store(tmp_path / "source", warn=said)
    source.write(key(1), {"share": 1}, PROVENANCE)
    source.export([key(1)], tmp_path / "shipped")
    store = Store(tmp_path / "working", [tmp_path / "shipped"], imported=tmp_path / "imported", warn=said)
    for number in range(3):
        store.adopt(contents(number, {"share": "theirs"}))
    store.write(key(0), {"share": 0}, PROVENANCE)
    origins = [found.origin for number in range(3) if (found := store.read(key(number))) is not None]
    assert origins == ["working", "shipped", "imported"]


class Elsewhere:
    """The files of an export, in memory; what was read of it."""

    shown = "elsewhere"

    def __init__(self, *present: Contents) -> None:
        self.bundle = Bundle.of("mini", "", None, [one.manifest for one in present])
        self.files = {self.bundle.name: self.bundle.encode()}
        for one in present:
            listed = Listed.of(one.manifest)
            self.files |= {listed.manifest_file: one.manifest.encode(), listed.payload_file: one.payload}

    def read(self, name: str, limit: int) -> bytes:
        if name not in self.files:
            raise FileAbsent(name)
        return self.files[name][: limit + 1]


def test_an_artifact_of_a_remote_is_given_and_a_damaged_one_is_an_error() -> None:
    elsewhere = Elsewhere(contents(0))
    remote, schema = RemoteExport.of(elsewhere, "mini"), Schema.of(VALUES["json"], {}, {})
    given = remote.contents(key(0), schema)
    assert given is not None
    assert given.payload == contents(0).payload
    assert remote.contents(key(1), schema) is None
    name = Listed.of(contents(0).manifest).payload_file
    elsewhere.files[name] = elsewhere.files[name].replace(b"0", b"9")
    with pytest.raises(ExportDamaged, match=f"^elsewhere: {key(0)}: payload.json has digest .* get it again"):
        remote.contents(key(0), schema)
    del elsewhere.files[name]
    with pytest.raises(ExportDamaged, match="it is listed and not there"):
        remote.contents(key(0), schema)


def test_adopting_twice_keeps_the_first_bytes(importing: Store) -> None:
    assert importing.adopt(contents())
    assert importing.imported is not None
    before = tree(importing.imported)
    assert not importing.adopt(contents())
    assert not importing.adopt(contents(value={"share": "other"}))
    assert tree(importing.imported) == before


@pytest.mark.parametrize("payload", [b"", b"{}", b'{\n  "models": []\n}\n'])
def test_a_payload_that_does_not_match_its_manifest_is_not_adopted(importing: Store, payload: bytes) -> None:
    with pytest.raises(DamageError):
        importing.adopt(Contents(contents().manifest, payload))
    assert not importing.imported_root.exists()


def test_a_payload_of_another_kind_than_its_suffix_is_not_adopted(importing: Store) -> None:
    payload = b"no JSON"
    with pytest.raises(DamageError, match="not readable as json"):
        importing.adopt(Contents(Manifest.of(key(), "json", payload, PROVENANCE), payload))
    assert not importing.imported_root.exists()


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_in_the_imported_store_goes_to_its_own_quarantine_and_can_be_imported_again(
    importing: Store, said: Lines, damage: str
) -> None:
    for number in (0, 1):
        importing.adopt(contents(number, {"share": number}))
    root = importing.imported_root
    DAMAGES[damage](path_of(root, key(0)), path_of(root, key(1)))
    assert not importing.has(key(0))
    assert len(importing.verify()) == 1
    assert importing.read(key(0)) is None
    assert len(said) == 1
    assert len(list((root / "quarantine").iterdir())) == 1
    assert importing.adopt(contents(0, {"share": 0}))
    assert importing.verify() == []


def test_without_an_imported_store_nothing_can_be_adopted(store: Store) -> None:
    for action in (lambda: store.adopt(contents()), lambda: store.import_lock("mini")):
        with pytest.raises(StoreError, match=r"reads nothing that was computed elsewhere; leave out --recompute$"):
            action()


def test_a_working_store_that_holds_imported_evidence_is_refused(tmp_path: Path, said: Lines) -> None:
    with pytest.raises(StoreError, match="holds imported evidence, which must stay apart"):
        Store(tmp_path / "one", imported=tmp_path / "one", warn=said)


def test_contents_of_an_absent_artifact_raise_the_reason(store: Store) -> None:
    with pytest.raises(StoreError, match=r"is absent: no artifact of stage shares .*; compute it first$"):
        store.contents(key())


def test_an_export_over_a_damaged_one_says_what_to_do(tmp_path: Path, store: Store) -> None:
    store.write(key(), VALUES["json"], PROVENANCE)
    store.export([key()], tmp_path / "target")
    (path_of(tmp_path / "target", key()) / "payload.json").write_bytes(b"{}")
    with pytest.raises(StoreError, match=r"is damaged \(.*\); remove it and export again, or name another folder$"):
        store.export([key()], tmp_path / "target")


def test_the_lock_of_an_import_keeps_a_second_one_out(importing: Store, said: Lines) -> None:
    other = Store(importing.working, imported=importing.imported, warn=said)
    with importing.import_lock("mini") as had, other.import_lock("paper") as had_other:
        assert (had, had_other) == (True, True)
        with other.import_lock("mini", patience=0.05) as had_second:
            assert not had_second
    assert [line.partition(" has ")[0].partition(":")[0] for line in said] == ["import of suite mini"] * 2


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("after", "for_good"), [(False, False), (True, False), (False, True)])
def test_after_any_failing_call_of_an_adoption_nothing_partial_is_read(
    tmp_path: Path, fault: str, *, after: bool, for_good: bool
) -> None:
    def store_in(name: str) -> Store:
        store = Store(tmp_path / name / "working", imported=tmp_path / name / "imported", warn=Lines())
        store.adopt(contents(0))
        return store

    trial = store_in("trial")
    for at in range(number_of_calls(lambda: trial.adopt(contents(1)))):
        store = store_in(str(at))
        with (
            Faults(at, FAULTS[fault](), after=after, for_good=for_good).injected(),
            suppress(StoreError, KeyboardInterrupt),
        ):
            store.adopt(contents(1))
        assert store.verify() == []
        assert store.has(key(0))
        store.adopt(contents(1))
        assert store.has(key(1))
