from __future__ import annotations

import doctest
import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import pytest

from tests.kills import Killed, at_call, kills
from universal_neurons import files
from universal_neurons.files import (
    STALE_SECONDS,
    aside,
    locked,
    replace_file,
    replace_folder,
    replacing,
    restore_folder,
    shown,
    shown_url,
    sweep,
    sync_folder,
    write_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "hunter2"


def replace_by_body(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


WRITERS: dict[str, Callable[[Path, bytes], None]] = {"bytes": replace_file, "a body": replace_by_body}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_file_is_replaced_in_one_step_and_nothing_else_is_left(
    tmp_path: Path, write: Callable[[Path, bytes], None]
) -> None:
    path = tmp_path / "file.json"
    for data in (b"old", b"new", b""):
        write(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=["full", "interrupt"])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_write_that_fails_leaves_the_old_file_whole_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str, call: str, error: BaseException
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        # The body of a ``replacing`` writes by itself.
        if (writer, call) == ("a body", "write"):
            patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(type(error)):
            WRITERS[writer](path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def fail_half_way(path: Path) -> None:
    path.write_bytes(b"half")
    raise OSError("mine")


def test_a_body_that_fails_or_writes_nothing_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file.npy"
    path.write_bytes(b"old")
    with replacing(path) as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".npy")
        temporary.write_bytes(b"old")
    with pytest.raises(OSError, match="mine"), replacing(path) as temporary:
        fail_half_way(temporary)
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_bytes_reach_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, bytes], None]
) -> None:
    calls: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def spy_fsync(descriptor: int) -> None:
        calls.append("fsync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        real_fsync(descriptor)

    def spy_replace(source: Any, target: Any) -> None:
        calls.append("replace")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    write(tmp_path / "file", b"data")
    assert calls == ["fsync file", "replace", "fsync folder"]


def test_a_new_file_is_never_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "file", b"yours")
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_disk_that_takes_few_bytes_at_a_time_gets_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:7]))
    write_file(tmp_path / "file", b"a longer text than seven")
    assert (tmp_path / "file").read_bytes() == b"a longer text than seven"


@pytest.mark.parametrize(("code", "fails"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_only_a_file_system_without_the_call_may_refuse_to_flush_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, *, fails: bool
) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    if fails:
        with pytest.raises(OSError, match="output"):
            sync_folder(tmp_path)
    else:
        sync_folder(tmp_path)


def test_only_leftovers_older_than_a_day_are_swept(tmp_path: Path) -> None:
    now = 1e9
    for name, age in ((".part-old", STALE_SECONDS + 60), (".part-young", STALE_SECONDS - 60), (".other", 1e8)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
        (tmp_path / f"{name}-file").write_text("x")
        for path in (tmp_path / name, tmp_path / f"{name}-file"):
            os.utime(path, (now - age, now - age))
    sweep(tmp_path, ".part-*", now=now)
    assert {path.name for path in tmp_path.iterdir()} == {
        ".other", ".other-file", ".part-young", ".part-young-file",
    }  # fmt: skip
    sweep(tmp_path / "nowhere", "*", now=now)


# --- folders ---------------------------------------------------------------------------------------------------------


def folder(path: Path, content: str) -> Path:
    path.mkdir(parents=True)
    for name in ("index.html", "index.css"):
        (path / name).write_text(content)
    return path


def content_of(path: Path) -> set[str]:
    """What a folder says; a half of one is another set."""
    return {(path / name).read_text() if (path / name).exists() else "nothing" for name in ("index.html", "index.css")}


def test_whenever_a_replacement_is_killed_the_next_start_finds_one_whole_folder(tmp_path: Path) -> None:
    project = tmp_path
    seen: set[str] = set()

    def replace() -> None:
        replace_folder(project / "report", folder(project / "scratch" / "report", "new"))

    def prepare(moment: int) -> None:
        nonlocal project
        project = tmp_path / str(moment)
        folder(project / "report", "old")

    prepare(0)
    for moment in kills(replace):
        assert content_of(project / "report") in ({"old"}, {"new"}) or content_of(project / "report.old") == {"old"}
        restore_folder(project / "report")
        assert len(content_of(project / "report")) == 1
        seen |= content_of(project / "report")
        replace_folder(project / "report", folder(project / "again" / "report", "newer"))
        assert content_of(project / "report") == {"newer"}
        assert not aside(project / "report").exists()
        prepare(moment + 1)
    assert seen == {"old", "new"}
    assert content_of(project / "report") == {"new"}


@pytest.mark.parametrize("killed", [False, True])
def test_a_second_builder_at_any_call_of_the_first_loses_nothing(tmp_path: Path, *, killed: bool) -> None:
    for moment in range(20):
        report = tmp_path / str(moment) / "report"
        folder(report, "old")
        first = folder(report.with_name("first") / "report", "first")
        second = folder(report.with_name("second") / "report", "second")

        def build(report: Path = report, second: Path = second) -> None:
            restore_folder(report)
            replace_folder(report, second)
            if killed:
                raise Killed

        with suppress(Killed), at_call(moment, build):
            replace_folder(report, first)
        assert content_of(report) in ({"first"}, {"second"})
        assert killed or not first.exists()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=["full", "interrupt"])
def test_a_replacement_that_fails_leaves_the_old_folder_in_its_place(tmp_path: Path, error: BaseException) -> None:
    for moment in range(20):
        report = folder(tmp_path / str(moment) / "report", "old")
        new = folder(report.with_name("scratch") / "report", "new")

        def fail() -> None:
            raise error

        with suppress(type(error)), at_call(moment, fail):
            replace_folder(report, new)
            break
        assert content_of(report) in ({"old"}, {"new"})
    assert moment >= 3
    assert content_of(report) == {"new"}


def test_the_temporary_file_of_a_killed_writer_is_swept_by_the_next_a_day_later(tmp_path: Path) -> None:
    path = tmp_path / "mini[1].toml"
    leftovers = set()
    for _ in kills(lambda: replace_file(path, b"text")):
        leftovers |= {found for found in tmp_path.iterdir() if found != path}
    assert leftovers
    (tmp_path / ".0123-mini[1].toml").touch()
    young = min(leftovers)
    for leftover in leftovers - {young}:
        os.utime(leftover, (0, 0))
    replace_file(path, b"text")
    assert {found.name for found in tmp_path.iterdir()} == {path.name, ".0123-mini[1].toml", young.name}


def test_a_lock_keeps_others_out_until_their_patience_ends(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "locks" / "x.lock"
    with locked(path, "x", warn=said.append) as held:
        assert held
        with locked(path, "x", warn=said.append, patience=0.05) as second:
            assert not second
        with locked(path, "x", warn=said.append, patience=0.05, waiting="waiting for x"):
            pass
    late = "x has been locked by another process for 0.05 seconds; going on without the lock"
    assert said == [late, "waiting for x", late]
    with locked(path, "x", warn=said.append, waiting="never said") as again:
        assert again
    assert len(said) == 3


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSYS, "no such call"), PermissionError(errno.EACCES, "no"), NotImplementedError("no")]
)
def test_without_locks_the_body_runs_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    said: list[str] = []
    with locked(tmp_path / "x.lock", "x", warn=said.append) as held:
        assert not held
    assert len(said) == 1
    assert said[0].startswith("x cannot be locked in ")


def test_an_error_in_the_body_is_not_mistaken_for_one_of_the_lock(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="mine"), locked(tmp_path / "x.lock", "x", warn=print):
        raise OSError("mine")
    with locked(tmp_path / "x.lock", "x", warn=print, patience=0.05) as held:
        assert held


def test_a_path_is_shown_from_here_and_on_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b") == str(Path("a/b"))
    assert shown(tmp_path.parent / "x") == str(tmp_path.parent / "x")
    assert shown(Path("a\nb\u202e")).isprintable()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://" + f"me:{SECRET}" + f"@host/a/mini.zip?key={SECRET}#x", "https://host/a/mini.zip"),
        ("file:///home/somebody/evidence/", "file:///evidence"),
        ("http://" + f"me:{SECRET}" + "@[::1/x", "http://..."),
        ("http://[" + SECRET + "]/x", "http://..."),
        ("s3://bucket", "s3://bucket"),
    ],
)
def test_a_url_is_shown_without_secrets_even_if_malformed(url: str, expected: str) -> None:
    assert shown_url(url) == expected
    assert shown_url("s3://bucket/a\u202eb").isprintable()


def test_the_examples_in_the_docstrings_hold() -> None:
    results = doctest.testmod(files)
    assert results.attempted > 0
    assert results.failed == 0
