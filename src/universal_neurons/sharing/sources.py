"""Where an export lies: a folder, an archive, an fsspec URL, or a commit of a hub's data set; read file by file.

This module decides what the words after ``--remote`` mean and what each failure is called.  It refuses to know what the
files say.  Nothing that is read here is believed by anybody before its digest was compared.

    exported/                                    a folder, as ``store export`` writes it
    evidence.zip   evidence.tar                  one archive
    s3://bucket/folder   https://host/mini.zip   what fsspec can open
    hf://datasets/OWNER/NAME@COMMIT[/folder]     a data set of a hub, pinned by its commit of forty digits
"""

from __future__ import annotations

import io
import re
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from universal_neurons.artifacts.archive import Archive, MemberMissing, check_format, is_archive
from universal_neurons.artifacts.bundle import ExportDamaged, SharingError
from universal_neurons.inputs.hub import Announced, FileMissing, HubError, source_from_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from universal_neurons.inputs.hub import Snapshot, Source

HUB = "hf://"
_DATASET = re.compile(r"hf://datasets/(?P<repository>[^/@]+/[^/@]+)@(?P<revision>[^/@]+)(?:/(?P<path>.+?))?/?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_URL = re.compile(r"[A-Za-z][\w+.-]*://")
_ANY_URL = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\"]+")
# No archive of evidence is larger than this; a size that a stranger states is not believed beyond it.
MOST_BYTES = 1 << 40
_WEB = frozenset({"http", "https"})
# What a web server answers where there is no such file.
_GONE = frozenset({404, 410})


class SourceUnavailable(SharingError):
    """Nothing can be read there: the place does not exist, does not answer, or must not be read."""


class FileAbsent(SharingError):
    """The export has no file of that name."""


class Files(Protocol):
    """The files of an export by name; ``shown`` is what the place is called in messages and in the report.

    It names no path of this machine, no password and no query of a URL.
    """

    @property
    def shown(self) -> str:
        """What the place is called."""

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a file that has at most ``limit``.

        Raises :class:`FileAbsent`, :class:`ExportDamaged` if it has more, and :class:`SharingError` if it cannot be
        read.
        """


@contextmanager
def opened(source: str, *, scratch: Path, command: str, warn: Callable[[str], None]) -> Iterator[Files]:
    """The files of the export at ``source`` while the context lasts.

    An archive that is not on this machine is first copied into the folder ``scratch``; ``command`` is what an error
    tells the user to run again.  Raises :class:`SourceUnavailable` and what :meth:`Files.read` raises.
    """
    with ExitStack() as stack:
        if source.startswith(HUB):
            place = _DataSet.at(source, command=command, warn=warn)
            yield place if place.archive is None else _of_bytes(place.content(place.archive), place)
        elif _URL.match(source):
            url = _Url.at(source)
            check_format(url.shown, shown=url.shown)
            if not is_archive(url.shown):
                yield url
                return
            scratch.mkdir(parents=True, exist_ok=True)
            copy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".remote-", dir=scratch))) / "archive"
            url.copy_to(copy)
            file = stack.enter_context(copy.open("rb"))
            yield _ArchiveFiles(Archive.opened(file, url.shown, shown=url.shown))
        else:
            yield _local(Path(source), stack)


def _local(path: Path, stack: ExitStack) -> Files:
    shown = path.name or "the current folder"
    check_format(shown, shown=shown)
    if path.is_dir():
        return _Folder(path)
    if not path.is_file():
        raise SourceUnavailable(
            f"{path}: no folder and no archive; expected what universal-neurons store export wrote, a URL, or "
            "hf://datasets/OWNER/NAME@COMMIT"
        )
    if not is_archive(shown):
        raise SourceUnavailable(f"{path}: expected a folder or a file that ends in .zip or .tar")
    try:
        file = stack.enter_context(path.open("rb"))
    except OSError as error:
        raise SourceUnavailable(f"{path}: cannot be read ({error.strerror})") from error
    return _ArchiveFiles(Archive.opened(file, shown, shown=shown))


def _of_bytes(content: bytes, place: _DataSet) -> Files:
    return _ArchiveFiles(Archive.opened(io.BytesIO(content), place.archive or "", shown=place.shown))


@dataclass(frozen=True)
class _Folder:
    """A folder of this machine."""

    path: Path

    @property
    def shown(self) -> str:
        """The folder's own name: where it lies means nothing elsewhere."""
        return f"folder {self.path.resolve().name}"

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a file; a pipe or a device is none, and reading one might never end."""
        path = self.path / name
        if not path.is_file():
            raise FileAbsent(f"{self.path}: has no {name}")
        try:
            with path.open("rb") as file:
                return _at_most(file.read(limit + 1), limit, f"{self.path}: {name}")
        except OSError as error:
            raise SourceUnavailable(f"{path}: cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class _ArchiveFiles:
    """The members of an archive."""

    archive: Archive

    @property
    def shown(self) -> str:
        """What the archive is called."""
        return self.archive.shown

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a member."""
        try:
            return self.archive.read(name, limit)
        except MemberMissing as missing:
            raise FileAbsent(str(missing)) from missing


@dataclass(frozen=True)
class _Url:
    """A folder or a file that fsspec opens."""

    url: str
    shown: str
    system: Any

    @classmethod
    def at(cls, url: str) -> _Url:
        """The place ``url``; raises :class:`SourceUnavailable` where the driver of its scheme is not installed."""
        from fsspec.core import url_to_fs

        shown = shown_url(url)
        if "::" in url:
            raise SourceUnavailable(f"{shown}: expected one URL, got several joined by '::'")
        with _one_line(shown):
            system, path = url_to_fs(url)
        return cls(str(path), shown, system)

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a file below the URL."""
        with _one_line(f"{self.shown}/{name}", absent=f"{self.shown}: has no {name}"), self._open(name) as file:
            return _at_most(file.read(limit + 1), limit, f"{self.shown}/{name}")

    def copy_to(self, target: Path) -> None:
        """Put the file at the URL itself into ``target``, piece by piece."""
        size = 0
        with _one_line(self.shown), self._open("") as file, target.open("xb") as copy:
            while piece := file.read(1 << 20):
                size += copy.write(piece)
                if size > MOST_BYTES:
                    raise ExportDamaged(f"{self.shown}: does not end; expected an archive of evidence")

    def _open(self, name: str) -> Any:
        path = f"{self.url.rstrip('/')}/{name}" if name else self.url
        protocol = self.system.protocol
        protocols = {protocol} if isinstance(protocol, str) else set(protocol)
        # Without block_size=0 a web server is asked for pieces of the file, which simple ones do not know.
        return self.system.open(path, "rb", **({"block_size": 0} if protocols & _WEB else {}))


@dataclass(frozen=True)
class _DataSet:
    """A folder of a data set at one commit, or an archive in it."""

    snapshot: Snapshot
    source: Source
    folder: str
    archive: str | None

    @classmethod
    def at(cls, source: str, *, command: str, warn: Callable[[str], None]) -> _DataSet:
        """The data set that ``source`` names; raises :class:`SourceUnavailable` unless it is pinned, and HubError."""
        named = _DATASET.fullmatch(source)
        if named is None:
            raise SourceUnavailable(
                f"{source}: expected hf://datasets/OWNER/NAME@COMMIT, with a folder after it if any"
            )
        files = source_from_environment(command, warn=warn)
        repository, revision, path = named["repository"], named["revision"], named["path"] or ""
        snapshot = files.snapshot(repository, revision, "dataset")
        if _COMMIT.fullmatch(revision) is None:
            now = f", now {snapshot.revision.commit}" if snapshot.revision.commit else ""
            raise SourceUnavailable(
                f"{source}: {revision} is a branch and may come to mean something else; name a commit{now}"
            )
        check_format(path, shown=source)
        if is_archive(path):
            return cls(snapshot, files, "", path)
        return cls(snapshot, files, f"{path}/" if path else "", None)

    @property
    def shown(self) -> str:
        """Repository and commit."""
        revision = self.snapshot.revision
        inside = self.archive or self.folder.rstrip("/")
        return f"{revision.path}@{revision.name[:12]}{f'/{inside}' if inside else ''}"

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a file of the data set."""
        announced = self._announced(f"{self.folder}{name}", name)
        if announced.size is not None and announced.size > limit:
            raise ExportDamaged(f"{self.shown}: {name} has {announced.size} bytes, expected at most {limit}")
        return _at_most(self.content(f"{self.folder}{name}"), limit, f"{self.shown}: {name}")

    def content(self, name: str) -> bytes:
        """The bytes of a file, which are those that the hub announced at that commit."""
        announced = self._announced(name, name)
        try:
            return self.source.content(self.snapshot.revision, name, announced)
        except FileMissing as missing:
            raise FileAbsent(str(missing)) from missing
        except HubError as error:
            raise SourceUnavailable(str(error)) from error

    def _announced(self, path: str, name: str) -> Announced:
        found = self.snapshot.files.get(path)
        if found is None:
            raise FileAbsent(f"{self.shown}: has no {name}")
        return found


def shown_url(url: str) -> str:
    """``url`` without what must not be shown: user, password and query.

    >>> shown_url("s3://bucket/evidence/")
    's3://bucket/evidence'
    >>> shown_url("https://" + "me:secret" + "@host/mini.zip?token=1")
    'https://host/mini.zip'
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    # A file of this machine keeps its name only.
    path = f"/{parts.path.rstrip('/').rpartition('/')[2]}" if parts.scheme in ("file", "local") else parts.path
    shown = f"{parts.scheme}://{host}{path.rstrip('/')}"
    return shown if shown.isprintable() else ascii(shown)[1:-1]


def _at_most(data: bytes, limit: int, where: str) -> bytes:
    if len(data) > limit:
        raise ExportDamaged(f"{where}: has more than the {limit} bytes that were announced; get it again")
    return data


@contextmanager
def _one_line(where: str, *, absent: str | None = None) -> Iterator[None]:
    """Turn whatever a driver of fsspec raises into one line."""
    try:
        yield
    except SharingError:
        raise
    except FileNotFoundError as error:
        # fsspec says so of a web server that does not answer, too; why stands in the cause.
        cause = error.__cause__
        if cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", 0) in _GONE:
            raise FileAbsent(absent or f"{where}: there is nothing") from error
        raise SourceUnavailable(f"{where}: cannot be read ({_first_line(cause)}); nothing was used") from error
    except ImportError as error:
        raise SourceUnavailable(f"{where}: {_first_line(error)} (pip install that, and run again)") from error
    except Exception as error:  # every driver has exceptions of its own
        raise SourceUnavailable(f"{where}: cannot be read ({_first_line(error)}); nothing was used") from error


def _first_line(error: BaseException) -> str:
    # Drivers repeat the whole URL, with the password or the signature that it may carry.
    lines = _ANY_URL.sub(lambda found: shown_url(found[0]), str(error)).strip().splitlines()
    return lines[0].rstrip(".")[:200] if lines else type(error).__name__
