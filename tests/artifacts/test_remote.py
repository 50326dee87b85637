from __future__ import annotations

import base64
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from universal_neurons.artifacts.archive import write_archive
from universal_neurons.artifacts.bundle import ExportDamaged, FileAbsent, SharingError, SourceUnavailable
from universal_neurons.artifacts.remote import ATTEMPTS, SPARE, Files, opened
from universal_neurons.files import STALE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from universal_neurons.errors import UserError

FILES = {"evidence-mini.json": b"{}\n", "shares/aa/manifest.json": b"manifest", "shares/aa/payload.json": b"x" * 999}
SECRET = "hunter2"
# Nobody waits so long for a server that falls silent.
SILENCE_SECONDS = 20
# Bytes of the largest archive.
LARGEST = 10_000_000_000


def put(folder: Path) -> Path:
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def archive(path: Path) -> Path:
    write_archive(path, FILES.items())
    return path


def read_from(source: Path | str, scratch: Path, action: Callable[[Files], Any]) -> Any:
    with opened(str(source), scratch=scratch, dataset=no_hub, largest=lambda: LARGEST) as files:
        return action(files)


def no_hub(source: str) -> Files:
    raise AssertionError(f"{source} is no address of a hub")


def everything(files: Files) -> tuple[dict[str, bytes], str]:
    return {name: files.read(name, len(data)) for name, data in FILES.items()}, files.shown


def refusal(kind: type[UserError], source: Path | str, scratch: Path, name: str = "evidence-mini.json") -> str:
    """The one line that reading a file fails with."""
    with pytest.raises(kind) as caught:
        read_from(source, scratch, lambda files: files.read(name, 100))
    assert type(caught.value) is kind
    assert str(caught.value).isprintable()
    return str(caught.value)


# --- on this machine -------------------------------------------------------------------------------------------------


def test_a_folder_is_read_and_shown_by_its_own_name(tmp_path: Path) -> None:
    assert read_from(put(tmp_path / "evidence"), tmp_path, everything) == (FILES, "folder evidence")


def test_an_archive_is_read_and_shown_by_its_own_name(tmp_path: Path) -> None:
    assert read_from(archive(tmp_path / "mini.zip"), tmp_path, everything) == (FILES, "mini.zip")


def test_a_missing_folder_archive_or_file_is_a_one_line_error(tmp_path: Path) -> None:
    put(tmp_path / "evidence")
    assert refusal(SourceUnavailable, tmp_path / "nowhere", tmp_path).startswith(
        f"{tmp_path}/nowhere: no folder and no"
    )
    assert refusal(FileAbsent, tmp_path / "evidence", tmp_path, "other").endswith("/evidence: has no other")
    archive(tmp_path / "mini.zip")
    assert refusal(FileAbsent, tmp_path / "mini.zip", tmp_path, "other").startswith("mini.zip: has no other; cut short")


def test_a_file_of_another_kind_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "evidence.txt").write_text("x")
    assert refusal(SourceUnavailable, tmp_path / "evidence.txt", tmp_path).endswith(
        "expected a folder or a file that ends in .zip"
    )
    assert "another kind of archive; expected a folder" in refusal(SharingError, tmp_path / "evidence.tar.gz", tmp_path)
    os.mkfifo(tmp_path / "pipe.zip")
    assert "no folder and no archive" in refusal(SourceUnavailable, tmp_path / "pipe.zip", tmp_path)


def test_a_file_of_a_folder_that_is_too_long_or_cannot_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "evidence")
    assert "has more than the 100 bytes" in refusal(
        ExportDamaged, tmp_path / "evidence", tmp_path, "shares/aa/payload.json"
    )

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be read (Permission denied)" in refusal(SourceUnavailable, tmp_path / "evidence", tmp_path)


def test_a_file_of_an_archive_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ExportDamaged, match="has 999 bytes, expected at most 100"):
        read_from(archive(tmp_path / "m.zip"), tmp_path, lambda files: files.read("shares/aa/payload.json", 100))


# --- an URL ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Any]:
    """A file system in memory with a folder and an archive."""
    system = fsspec.filesystem("memory")
    for name, data in FILES.items():
        system.pipe_file(f"/evidence/{name}", data)
    system.pipe_file("/archives/mini.zip", archive(tmp_path / "mini.zip").read_bytes())
    yield system
    for folder in ("/evidence", "/archives"):
        if system.exists(folder):
            system.rm(folder, recursive=True)


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("url", ["memory://evidence", "memory://evidence/", "memory:///evidence"])
def test_a_folder_of_any_file_system_of_fsspec_is_read(tmp_path: Path, url: str) -> None:
    assert read_from(url, tmp_path / "scratch", everything)[0] == FILES


@pytest.mark.usefixtures("memory")
def test_an_archive_of_any_file_system_is_copied_here_read_and_removed(tmp_path: Path) -> None:
    found = read_from("memory://archives/mini.zip", tmp_path / "scratch", everything)
    assert found == (FILES, "memory://archives/mini.zip")
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.usefixtures("memory")
def test_a_file_missing_behind_a_url_is_a_one_line_error(tmp_path: Path) -> None:
    assert refusal(FileAbsent, "memory://evidence", tmp_path, "other") == "memory://evidence: has no other"
    assert refusal(FileAbsent, "memory://nowhere/mini.zip", tmp_path) == "memory://nowhere/mini.zip: there is nothing"
    assert "has more than the 100 bytes" in refusal(
        ExportDamaged, "memory://evidence", tmp_path, "shares/aa/payload.json"
    )


def test_an_unknown_scheme_is_a_one_line_error(tmp_path: Path) -> None:
    assert "cannot be read (Protocol not known: nonsense" in refusal(SourceUnavailable, "nonsense://x", tmp_path)
    assert refusal(SourceUnavailable, "sftp://host/x", tmp_path).endswith("(pip install that, and run again)")
    assert "got several joined" in refusal(SourceUnavailable, "zip://a::memory://b.zip", tmp_path)


def test_an_error_of_a_driver_becomes_one_line_without_the_password(
    tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DriverError(Exception):
        pass

    def refuse(*_: Any, **__: Any) -> Any:
        raise DriverError("403 from https://" + f"me:{SECRET}" + f"@host/evidence?key={SECRET}\nsecond line")

    monkeypatch.setattr(type(memory), "open", refuse)
    said = refusal(SourceUnavailable, "memory://evidence", tmp_path)
    assert said == (
        "memory://evidence/evidence-mini.json: cannot be read (403 from https://host/evidence); nothing was used"
    )


def test_a_folder_behind_a_file_url_is_shown_by_its_own_name(tmp_path: Path) -> None:
    assert read_from(f"file://{put(tmp_path / 'evidence')}", tmp_path, everything) == (FILES, "file:///evidence")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server that knows no ranges, as simple ones do."""
    put(tmp_path / "served" / "evidence")
    archive(tmp_path / "served" / "mini.zip")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "served")))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_folder_and_an_archive_on_a_web_server_are_read(tmp_path: Path, web: str) -> None:
    assert read_from(f"{web}/evidence", tmp_path, everything) == (FILES, f"{web}/evidence")
    assert read_from(f"{web}/mini.zip?signature={SECRET}", tmp_path, everything) == (FILES, f"{web}/mini.zip")


def test_a_url_with_blanks_and_letters_beyond_ascii_is_read(tmp_path: Path, web: str) -> None:
    put(tmp_path / "served" / "a b" / "\u00e9")
    for path in ("a b/\u00e9", "a%20b/%C3%A9"):
        assert read_from(f"{web}/{path}", tmp_path, everything)[0] == FILES


def test_a_web_server_without_the_file_and_none_at_all_are_one_line(tmp_path: Path, web: str) -> None:
    assert refusal(FileAbsent, f"{web}/evidence", tmp_path, "other") == f"{web}/evidence: has no other"
    assert "has more than the 100 bytes" in refusal(
        ExportDamaged, f"{web}/evidence", tmp_path, "shares/aa/payload.json"
    )
    nowhere = "http://127.0.0.1:9/evidence"
    assert refusal(SourceUnavailable, nowhere, tmp_path).startswith(f"{nowhere}/evidence-mini.json: cannot be read (")


# --- transfers that break off ----------------------------------------------------------------------------------------


@dataclass
class Web:
    """A web server with one file: how it behaves, and what it was asked for."""

    body: bytes
    after: int | None = None  # bytes that one answer brings
    silent: bool = False  # then, instead of closing the connection
    ranges: bool = True
    endless: bool = False
    status: int = 200
    location: str | None = None
    url: str = ""
    seen: list[str | None] = field(default_factory=list)
    authorization: list[str | None] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.seen.append(wanted)
        self.authorization.append(request.headers.get("Authorization"))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        request.send_response(206 if start else self.status)
        if self.location is not None:
            request.send_header("Location", self.location)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}")
        if not self.endless:
            request.send_header("Content-Length", str(len(self.body) - start))
        request.end_headers()
        with suppress(OSError):
            while self.endless:
                request.wfile.write(b"\0" * 65536)
            rest = self.body[start:]
            request.wfile.write(rest if self.after is None else rest[: self.after])
            if self.silent and self.after is not None and len(rest) > self.after:
                self.ended.wait(SILENCE_SECONDS)


class _Handler(_Quiet):
    web: Web

    def do_GET(self) -> None:
        self.web.answer(self)


Serve = Callable[..., Web]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a server of an archive that behaves as told."""
    monkeypatch.setattr("universal_neurons.artifacts.remote._pause", lambda _: None)
    monkeypatch.setattr("universal_neurons.artifacts.remote.READ_SECONDS", 0.1)
    monkeypatch.setattr("universal_neurons.artifacts.remote.PIECE", 64)
    servers = []

    def started(**behaviour: Any) -> Web:
        web = Web(archive(tmp_path / "mini.zip").read_bytes(), **behaviour)
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"web": web}))
        servers.append((server, web))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        web.url = f"http://127.0.0.1:{server.server_port}/mini.zip"
        return web

    yield started
    for server, web in servers:
        web.ended.set()
        server.shutdown()
        server.server_close()


BREAKS: dict[str, dict[str, Any]] = {
    "closes the connection": {"after": 700},
    "falls silent": {"after": 700, "silent": True},
}


@pytest.mark.parametrize("behaviour", BREAKS.values(), ids=BREAKS)
def test_a_transfer_that_breaks_off_is_resumed_at_the_byte_where_it_ended(
    serve: Serve, tmp_path: Path, behaviour: dict[str, Any]
) -> None:
    web, begun = serve(**behaviour), time.monotonic()
    assert read_from(web.url, tmp_path / "scratch", everything)[0] == FILES
    assert time.monotonic() - begun < SILENCE_SECONDS
    assert len(web.seen) > 1
    assert web.seen == [None, *(f"bytes={700 * i}-" for i in range(1, len(web.seen)))]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_file_of_a_folder_is_resumed_too(serve: Serve, tmp_path: Path) -> None:
    web = serve(after=400)
    folder = web.url.removesuffix("/mini.zip")
    assert read_from(folder, tmp_path, lambda files: files.read("any", len(web.body))) == web.body


@pytest.mark.parametrize("behaviour", BREAKS.values(), ids=BREAKS)
def test_a_server_without_ranges_that_always_breaks_off_is_one_line(
    serve: Serve, tmp_path: Path, behaviour: dict[str, Any]
) -> None:
    web = serve(**behaviour, ranges=False)
    assert refusal(SourceUnavailable, web.url, tmp_path / "scratch").startswith(f"{web.url}: cannot be read (")
    assert len(web.seen) == ATTEMPTS + 1
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(("status", "kind"), [(404, FileAbsent), (410, FileAbsent), (403, SourceUnavailable)])
def test_a_permanent_refusal_of_a_server_is_not_retried(
    serve: Serve, tmp_path: Path, status: int, kind: type[UserError]
) -> None:
    web = serve(status=status)
    assert refusal(kind, web.url, tmp_path / "scratch").startswith(f"{web.url}: ")
    assert len(web.seen) == 1


def with_password(url: str) -> str:
    return url.replace("//", "//" + f"me:{SECRET}@")


def test_user_and_password_of_an_url_are_sent_and_not_shown(serve: Serve, tmp_path: Path) -> None:
    web = serve()
    assert read_from(with_password(web.url), tmp_path / "scratch", everything) == (FILES, web.url)
    assert web.authorization == ["Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()]


def test_a_password_does_not_follow_a_redirection(serve: Serve, tmp_path: Path) -> None:
    other = serve()
    web = serve(status=302, location=other.url)
    assert read_from(with_password(web.url), tmp_path / "scratch", everything) == (FILES, web.url)
    assert (len(web.authorization), other.authorization) == (1, [None])


@pytest.mark.parametrize(
    "target", ["http://" + "[::1", with_password("http://" + "[::1/x"), "file:///etc/passwd", "http://\0"]
)
def test_a_malformed_redirection_is_one_line_without_the_password(serve: Serve, tmp_path: Path, target: str) -> None:
    web = serve(status=302, location=target)
    assert SECRET not in refusal(SourceUnavailable, with_password(web.url), tmp_path / "scratch")


def test_an_endless_download_stops_before_the_disk_is_full(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = serve(endless=True)
    free = iter(range(SPARE + 300_000, 0, -1000))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free)))
    said = refusal(SharingError, web.url, tmp_path / "scratch")
    assert said == f"{web.url}: the disk is full after 0.0 MB of it; free some space and run again"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_endless_download_stops_at_the_size_of_the_suite_s_evidence(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = serve(endless=True)
    monkeypatch.setitem(globals(), "LARGEST", 300_000)
    said = refusal(ExportDamaged, web.url, tmp_path / "scratch")
    assert said == f"{web.url}: more than 0 MB, which no evidence of the suite takes"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_endless_file_stops_at_the_announced_size(serve: Serve, tmp_path: Path) -> None:
    folder = serve(endless=True).url.removesuffix("/mini.zip")
    assert "has more than the 100 bytes" in refusal(ExportDamaged, folder, tmp_path)


@pytest.mark.usefixtures("memory")
def test_copies_of_killed_imports_are_removed_after_a_day(tmp_path: Path) -> None:
    now = time.time()
    for name, age in ((".remote-old", STALE_SECONDS + 60), (".remote-young", STALE_SECONDS - 60), (".other", 1e6)):
        (tmp_path / name).write_bytes(b"half an archive")
        os.utime(tmp_path / name, (now - age, now - age))
    (tmp_path / ".remote-older-version").mkdir()
    os.utime(tmp_path / ".remote-older-version", (now - 1e6, now - 1e6))
    read_from("memory://archives/mini.zip", tmp_path, everything)
    assert {path.name for path in tmp_path.iterdir()} == {".remote-young", ".other", "mini.zip"}
