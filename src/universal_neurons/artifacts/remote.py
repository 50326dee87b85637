"""Exports elsewhere, read file by file: a folder, an archive, a URL, or a commit of a hub's data set.

    exported/                                    a folder, as ``store export`` writes it
    evidence.zip                                 one archive
    s3://bucket/folder   https://host/mini.zip   a URL that fsspec can open
    hf://datasets/OWNER/NAME@COMMIT[/folder]     a data set of a hub, pinned by its commit of forty digits

A :class:`RemoteExport` is such an export with its list: it gives artifacts by key, and only if every byte is the listed
one.
"""

from __future__ import annotations

import base64
import io
import re
import secrets
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from universal_neurons.artifacts.archive import Archive, check_format, is_archive
from universal_neurons.artifacts.bundle import (
    LARGEST_LIST,
    LARGEST_MANIFEST,
    Bundle,
    ExportDamaged,
    ExportUnfit,
    FileAbsent,
    ForeignManifestError,
    SharingError,
    SourceUnavailable,
    bundle_name,
)
from universal_neurons.artifacts.manifest import DamageError
from universal_neurons.artifacts.schema import MalformedArtifact
from universal_neurons.files import resolved, shown_url, sweep, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.client import HTTPMessage

    from universal_neurons.artifacts.bundle import Listed
    from universal_neurons.artifacts.folder import Contents
    from universal_neurons.artifacts.key import Key
    from universal_neurons.artifacts.schema import Schema

HUB = "hf://"
# Copies of archives that were downloaded.
COPY = ".remote-"
# Seconds without a single byte after which a transfer counts as broken off; a whole transfer may take any time.
READ_SECONDS = 60.0
# Attempts in a row that bring nothing.
ATTEMPTS = 4
PIECE = 1 << 20
# Bytes of a disk that a download leaves free.
SPARE = 1 << 26
# Manifests that are looked through for the one that comes nearest to a key.
MOST_KIN = 64
_URL = re.compile(r"[A-Za-z][\w+.-]*://")
_WEB = ("http://", "https://")
# Characters of a URL that are sent as they are: those with a meaning, and the per cent of what is quoted already.
_SAFE = "/%:@!$&'()*+,;=~?"
# Answers of a web server that has no such file, and of one that may give it later.
_GONE = frozenset({404, 410})
_BUSY = frozenset({408, 429, 500, 502, 503, 504})


class Files(Protocol):
    """The files of an export by name; ``shown`` is how messages and the report call the source.

    It names no path of this machine, no password and no query of a URL.
    """

    @property
    def shown(self) -> str:
        """The name of the source."""

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a file that has at most ``limit``.

        Raises :class:`FileAbsent`, :class:`ExportDamaged` if it has more, and :class:`SharingError` if it cannot be
        read.
        """


@dataclass(frozen=True)
class RemoteExport:
    """The export of one suite, from which a store can read artifacts that are nowhere else."""

    files: Files
    bundle: Bundle

    @classmethod
    def of(cls, files: Files, suite: str) -> RemoteExport:
        """The export of ``suite`` among ``files``.

        Raises :class:`ExportUnfit` if there is none or its list is of another format, :class:`ExportDamaged` if the
        list is damaged, and what :meth:`Files.read` raises.
        """
        name = bundle_name(suite)
        try:
            data = files.read(name, LARGEST_LIST)
        except FileAbsent as absent:
            raise ExportUnfit(
                f"{files.shown}: has no {name}, so it is no evidence of suite {suite}; expected what was written by: "
                f"universal-neurons store export --suite {suite}"
            ) from absent
        bundle = Bundle.decode(data, where=f"{files.shown}: {name}")
        if bundle.suite != suite:
            raise ExportUnfit(f"{files.shown}: {name} is about suite {ascii(bundle.suite)[:60]}; expected {suite}")
        return cls(files, bundle)

    @property
    def shown(self) -> str:
        """The name of the source."""
        return self.files.shown

    def find(self, key: Key) -> Listed | None:
        """The entry of ``key`` in the list, or None."""
        return self.bundle.find(key)

    def contents(self, key: Key, schema: Schema) -> Contents | None:
        """The verified artifact of ``key``; None if the list has none.

        Raises :class:`ExportDamaged` if it is not the listed one, :class:`ExportUnfit` for one of another version of
        the project or of another form than ``schema``, and what :meth:`Files.read` raises.
        """
        listed = self.find(key)
        if listed is None:
            return None
        with self._about(listed):
            manifest = self.files.read(listed.manifest_file, LARGEST_MANIFEST)
            if listed.size > (most := schema.limits.size):
                raise MalformedArtifact(f"payload: expected at most {most} bytes, got {listed.size}")
            return listed.contents(manifest, self.files.read(listed.payload_file, listed.size), schema)

    def difference(self, key: Key) -> str:
        """In which settings the nearest artifact of the same stage differs from ``key``."""
        kin = [listed for listed in self.bundle.artifacts if listed.stage == key.stage][:MOST_KIN]
        differences = (key.differences(self._key(listed)) for listed in kin)
        return f"{key.stage}: {', '.join(min(differences, key=len, default=('there is none',))[:3])}"

    def _key(self, listed: Listed) -> Key:
        with self._about(listed):
            return listed.manifest(self.files.read(listed.manifest_file, LARGEST_MANIFEST)).key

    @contextmanager
    def _about(self, listed: Listed) -> Iterator[None]:
        """Name the artifact in what goes wrong with it."""
        what = f"{self.shown}: {listed}"
        try:
            yield
        except (DamageError, FileAbsent) as damage:
            reason = "it is listed and not there" if isinstance(damage, FileAbsent) else str(damage)
            raise ExportDamaged(
                f"{what}: {reason}; cut short or damaged, get it again (what was verified before it stays)"
            ) from damage
        except MalformedArtifact as malformed:
            raise ExportUnfit(
                f"{what}: {malformed}; no evidence of this suite, nothing of it was used: have it exported again"
            ) from malformed
        except ForeignManifestError as foreign:
            raise ExportUnfit(
                f"{what}: {foreign}; written by another version of the project: use that one, or have it exported again"
            ) from foreign


@contextmanager
def opened(
    source: str, *, scratch: Path, dataset: Callable[[str], Files], largest: Callable[[], int]
) -> Iterator[Files]:
    """The files of the export at ``source`` while the context lasts.

    An archive behind a URL is first copied into the folder ``scratch``, of at most ``largest`` bytes; ``dataset`` opens
    the addresses of a hub.
    Raises :class:`SourceUnavailable` and what :meth:`Files.read` raises.
    """
    with ExitStack() as stack:
        if source.startswith(HUB):
            yield dataset(source)
        elif _URL.match(source):
            url = _Url.at(source)
            check_format(url.shown, shown=url.shown)
            yield _copied(url, scratch, stack, largest) if is_archive(url.shown) else url
        else:
            yield _local(Path(source), stack)


def _local(path: Path, stack: ExitStack) -> Files:
    shown = path.name or "the current folder"
    check_format(shown, shown=shown)
    try:
        if path.is_dir():
            return _Folder(path)
        if not path.is_file():
            raise SourceUnavailable(
                f"{path}: no folder and no archive; expected what universal-neurons store export wrote, a URL, or "
                "hf://datasets/OWNER/NAME@COMMIT"
            )
        if not is_archive(shown):
            raise SourceUnavailable(f"{path}: expected a folder or a file that ends in .zip")
        file = stack.enter_context(path.open("rb"))
    except OSError as error:
        raise SourceUnavailable(f"{str(path)[:200]}: cannot be read ({error.strerror})") from error
    return Archive(file, shown=shown)


def _copied(url: _Url, scratch: Path, stack: ExitStack, largest: Callable[[], int]) -> Archive:
    """The archive at ``url``, copied into ``scratch`` until ``stack`` ends."""
    scratch.mkdir(parents=True, exist_ok=True)
    copy = scratch / f"{COPY}{secrets.token_hex(4)}"
    stack.callback(copy.unlink, missing_ok=True)
    file = stack.enter_context(copy.open("x+b"))
    sweep(scratch, f"{COPY}*", now=copy.stat().st_mtime)

    most = largest()

    def check(size: int) -> None:
        if size > most:
            raise ExportDamaged(f"{url.shown}: more than {most / 1e6:.0f} MB, which no evidence of the suite takes")
        if shutil.disk_usage(scratch).free < SPARE:
            raise SharingError(
                f"{url.shown}: the disk is full after {size / 1e6:.1f} MB of it; free some space and run again"
            )

    url.transfer("", file, check)
    file.seek(0)
    return Archive(file, shown=url.shown)


@dataclass(frozen=True)
class _Folder:
    """A folder of this machine."""

    path: Path

    @property
    def shown(self) -> str:
        """The folder's own name: its path means nothing elsewhere."""
        return f"folder {resolved(self.path).name}"

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a file; a pipe or a device is none, and reading one might never end."""
        path = self.path / name
        if not path.is_file():
            raise FileAbsent(f"{self.path}: has no {name}")
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise SourceUnavailable(f"{path}: cannot be read ({error.strerror})") from error
        check_size(len(data), limit, f"{self.path}: {name}")
        return data


class _BrokenOffError(Exception):
    """A transfer ended before its file did."""


@dataclass(frozen=True)
class _Stream:
    """An open file that begins at byte ``start``, its next bytes, and its whole size in bytes where that is known."""

    file: Any
    read: Callable[[int], bytes]
    start: int
    size: int | None


@dataclass(frozen=True)
class _Url:
    """A folder or a file behind a URL; ``open`` gives the stream of a URL from about a byte on."""

    url: str
    shown: str
    open: Callable[[str, int], _Stream]

    @classmethod
    def at(cls, url: str) -> _Url:
        """The files at ``url``; raises :class:`SourceUnavailable` where the driver of its scheme is not installed."""
        shown = shown_url(url)
        if url.lower().startswith(_WEB):
            return cls(url, shown, _web_stream)
        if "::" in url:
            raise SourceUnavailable(f"{shown}: expected one URL, got several joined by '::'")
        from fsspec.core import url_to_fs

        with _one_line(shown):
            system, path = url_to_fs(url)

        def stream(name: str, start: int) -> _Stream:
            file = system.open(name, "rb")
            if start:
                file.seek(start)
            size = getattr(file, "size", None)
            return _Stream(file, file.read, start, size if isinstance(size, int) else None)

        return cls(str(path), shown, stream)

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a file below the URL."""
        sink = io.BytesIO()
        self.transfer(name, sink, lambda size: check_size(size, limit, f"{self.shown}/{name}"))
        return sink.getvalue()

    def transfer(self, name: str, sink: IO[bytes], check: Callable[[int], None]) -> None:
        """Copy a file below the URL (or, without ``name``, the one at it) to ``sink``.

        ``check`` gets the number of bytes after each piece and may raise.  A transfer that breaks off is resumed, from
        its beginning where the server cannot do better.
        """
        where, url = self.shown, self.url
        if name:
            where, url = f"{where}/{name}", _below(url, name)
        failures = furthest = 0
        with _one_line(where, absent=f"{self.shown}: has no {name}" if name else None):
            while True:
                try:
                    return self._attempt(url, sink, check)
                except _BrokenOffError as broken:
                    failures = 0 if sink.tell() > furthest else failures + 1
                    furthest = max(furthest, sink.tell())
                    if failures >= ATTEMPTS:
                        raise broken.__cause__ or broken from None
                _pause(2.0**failures - 1)

    def _attempt(self, url: str, sink: IO[bytes], check: Callable[[int], None]) -> None:
        """Append to ``sink`` until the file ends; raises :class:`_BrokenOffError`."""
        begun = sink.tell()
        with _broken_off(begun):
            stream = self.open(url, begun)
        with closing(stream.file):
            sink.seek(stream.start)
            sink.truncate()
            while True:
                with _broken_off(sink.tell()):
                    piece = stream.read(PIECE)
                if not piece:
                    break
                _append(sink, piece)
                check(sink.tell())
            if stream.size is not None and sink.tell() < stream.size:
                raise _BrokenOffError(f"ended after {sink.tell()} of {stream.size} bytes")


def _pause(seconds: float) -> None:
    time.sleep(seconds)


def _append(sink: IO[bytes], piece: bytes) -> None:
    try:
        sink.write(piece)
    except OSError as error:
        raise SharingError(
            f"what was downloaded cannot be kept here ({error.strerror}); free some space and run again"
        ) from error


def _below(url: str, name: str) -> str:
    """The URL of a file in the folder ``url``, whose query (a signature) is kept."""
    path, mark, query = url.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{query}"


@contextmanager
def _broken_off(size: int) -> Iterator[None]:
    """Raise :class:`_BrokenOffError` for an error after ``size`` bytes if another attempt may bring more."""
    try:
        yield
    except Exception as error:  # every driver has exceptions of its own
        if size == 0 or getattr(error, "code", 503) not in _BUSY:
            raise
        raise _BrokenOffError from error


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Redirections as usual, with the connection closed when one leads nowhere."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> Any:
        """Follow a redirection; raises ValueError, HTTPError or URLError for an address that cannot be followed."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except Exception:
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _web_stream(url: str, start: int) -> _Stream:
    """The file at ``url`` of a web server, from ``start`` on if the server can do that, else from its beginning."""
    plain, credentials = _without_credentials(url)
    request = urllib.request.Request(plain)  # noqa: S310  (only http and https come here)
    if credentials is not None:
        # Not sent on to the host of a redirection.
        request.add_unredirected_header("Authorization", f"Basic {credentials}")
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        answer = urllib.request.build_opener(_Redirections).open(request, timeout=READ_SECONDS)
    except urllib.error.HTTPError as refused:
        refused.close()
        raise
    partial = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
    length = answer.headers.get("Content-Length", "")
    begin = start if partial else 0
    # read1 returns what has arrived; read would lose a piece that breaks off.
    return _Stream(answer, answer.read1, begin, begin + int(length) if length.isdigit() else None)


def _without_credentials(url: str) -> tuple[str, str | None]:
    """``url`` as it is sent, without fragment, user and password, and these as basic authentication has them."""
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    path, query = (urllib.parse.quote(part, safe=_SAFE) for part in (parts.path, parts.query))
    plain = urllib.parse.urlunsplit(parts._replace(netloc=host, path=path, query=query, fragment=""))
    return plain, base64.b64encode(urllib.parse.unquote(user).encode()).decode() if at else None


def check_size(size: int, limit: int, where: str) -> None:
    """Raise :class:`ExportDamaged` if a file has more than the ``limit`` bytes that its list announced."""
    if size > limit:
        raise ExportDamaged(f"{where}: has more than the {limit} bytes that were announced; get it again")


@contextmanager
def _one_line(where: str, *, absent: str | None = None) -> Iterator[None]:
    """Turn whatever a driver raises into one line."""
    try:
        yield
    except SharingError:
        raise
    except FileNotFoundError as error:
        raise FileAbsent(absent or f"{where}: there is nothing") from error
    except ImportError as error:
        raise SourceUnavailable(f"{where}: {_first_line(error)} (pip install that, and run again)") from error
    except Exception as error:  # every driver has exceptions of its own
        if getattr(error, "code", None) in _GONE:
            raise FileAbsent(absent or f"{where}: there is nothing") from error
        raise SourceUnavailable(f"{where}: cannot be read ({_first_line(error)}); nothing was used") from error


def _first_line(error: BaseException) -> str:
    # Drivers repeat the whole URL, with the password or the signature that it may carry.
    lines = without_secrets(str(error)).strip().splitlines()
    return lines[0].rstrip(".")[:200] if lines else type(error).__name__
