"""An export as one file, zip or tar: written byte for byte the same every time, read without ever being unpacked.

This module decides which archives are touched at all.  Members are read by name into memory, up to a size that the
caller knows beforehand; no path of an archive ever becomes a path of this machine.  An archive with a member that has a
dangerous name or is no file (a link, a device) is refused as a whole: nobody who means well makes one.

Archives are not compressed, as their payloads are: other versions of zlib would give other bytes, and a tar that is
read without decompression cannot be larger than it looks.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import stat
import struct
import tarfile
import zipfile
import zlib
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Protocol, Self

from universal_neurons.artifacts.bundle import ExportDamaged, SharingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SUFFIXES = (".zip", ".tar")
# Formats that would have to be decompressed as a whole before anything in them can be judged.
_COMPRESSED = (".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar")
_DRIVE = re.compile(r"[A-Za-z]:")
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
    ValueError, LookupError, OverflowError, MemoryError,
)  # fmt: skip
# The first moment that a zip can name.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644


class MemberMissing(SharingError):
    """The archive has no member of that name."""


class MemberTooLarge(ExportDamaged):
    """The archive holds more under a name than was announced."""


class _NoFileError(Exception):
    """A member is neither a file nor a folder."""


class _Members(Protocol):
    """What both kinds of archives can do: a size for each member's name, and its first bytes."""

    def sizes(self) -> Iterator[tuple[str, int | None]]:
        """Every member's name, and its size in bytes if it is a file, None if it is a folder.

        Raises :class:`_NoFileError` for what is neither.
        """

    def head(self, name: str, limit: int) -> bytes:
        """The first ``limit`` bytes of a member."""


def is_archive(name: str) -> bool:
    """Whether a file of this name would be taken for an archive.

    >>> [is_archive(name) for name in ("evidence.zip", "EVIDENCE.TAR", "evidence", "fixtures/evidence")]
    [True, True, False, False]
    """
    return name.lower().endswith(SUFFIXES)


def check_format(name: str, *, shown: str) -> None:
    """Raise :class:`SharingError` for the name of an archive of a kind that is neither written nor read."""
    if name.lower().endswith(_COMPRESSED):
        raise SharingError(f"{shown}: compressed; expected a folder or an archive that ends in {' or '.join(SUFFIXES)}")


class Archive:
    """The members of an open archive, of which every name was judged; ``shown`` names the archive in errors."""

    def __init__(self, members: _Members, *, shown: str) -> None:
        self.shown = shown
        self._members = members
        self._sizes: dict[str, int] = {}
        with self._readable():
            for name, size in members.sizes():
                self._note(name, size)

    @classmethod
    def opened(cls, file: IO[bytes], name: str, *, shown: str) -> Self:
        """The archive in ``file``, whose kind ``name`` tells.

        Raises :class:`ExportDamaged` if it is cut short, no archive, or has a member that must not be there.
        """
        try:
            members = _Zip(file) if name.lower().endswith(".zip") else _Tar(file)
        except _BROKEN as error:
            raise _damaged(shown, error) from error
        return cls(members, shown=shown)

    @property
    def names(self) -> tuple[str, ...]:
        """The files of the archive, in its order."""
        return tuple(self._sizes)

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of the member ``name``, which has at most ``limit``.

        Raises :class:`MemberMissing`, :class:`MemberTooLarge`, and :class:`ExportDamaged` if it cannot be read.
        """
        if name not in self._sizes:
            raise MemberMissing(f"{self.shown}: has no {name}; cut short, or no export; get it again")
        if self._sizes[name] > limit:
            raise MemberTooLarge(
                f"{self.shown}: {name} has {self._sizes[name]} bytes, expected at most {limit}; get it again"
            )
        with self._readable():
            return self._members.head(name, limit)

    def _note(self, name: str, size: int | None) -> None:
        if (defect := _defect(name)) is not None:
            raise ExportDamaged(f"{self.shown}: refused, a member {defect}: {ascii(name)[:80]}")
        if size is None:
            return
        plain = name.removeprefix("./")
        if plain in self._sizes:
            raise ExportDamaged(f"{self.shown}: refused, two members of the name {ascii(plain)[:80]}")
        self._sizes[plain] = size

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except _NoFileError as error:
            raise ExportDamaged(f"{self.shown}: refused, a member is a link or a device: {error}") from error
        except _BROKEN as error:
            raise _damaged(self.shown, error) from error


def _damaged(shown: str, error: Exception) -> ExportDamaged:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return ExportDamaged(f"{shown}: cut short, damaged, or no archive ({reason}); get it again")


def _defect(name: str) -> str | None:
    """What is wrong with a member's name, or None."""
    if not name.isprintable() or "\\" in name:
        return "with characters that no file of an export has"
    if name.startswith(("/", "~")) or _DRIVE.match(name):
        return "with an absolute path"
    return "that points out of its folder" if ".." in name.split("/") else None


class _Zip:
    """The members of a zip."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file)
        self._found: dict[str, zipfile.ZipInfo] = {}

    def sizes(self) -> Iterator[tuple[str, int | None]]:
        """Every member; a link is a file whose mode says so."""
        for member in self._zip.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _NoFileError(ascii(member.filename)[:80])
            self._found[member.filename.removeprefix("./")] = member
            # orig_filename, because a name with a NUL in it is cut off there in the other.
            yield member.orig_filename, None if member.is_dir() else member.file_size

    def head(self, name: str, limit: int) -> bytes:
        """The first bytes; the whole member is checked against its CRC if it is no longer than that."""
        with self._zip.open(self._found[name]) as file:
            return file.read(limit)


class _Tar:
    """The members of a tar that is not compressed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115  (whoever opened the file closes it)
        self._found: dict[str, tarfile.TarInfo] = {}

    def sizes(self) -> Iterator[tuple[str, int | None]]:
        """Every member."""
        for member in self._tar:
            if not (member.isreg() or member.isdir()) or member.issparse():
                raise _NoFileError(ascii(member.name)[:80])
            self._found[member.name.removeprefix("./")] = member
            yield member.name, None if member.isdir() else member.size

    def head(self, name: str, limit: int) -> bytes:
        """The first bytes."""
        file = self._tar.extractfile(self._found[name])
        if file is None:
            raise ValueError(f"{name} is no file")
        with file:
            data = file.read(limit)
        if len(data) != min(limit, self._found[name].size):
            raise EOFError(f"{name} ends after {len(data)} bytes")
        return data


def write_archive(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write ``files`` (name, bytes) in their order to the new archive ``path``, whole or not at all.

    Equal files give equal bytes: no time, no owner, no compression.  Raises FileExistsError if ``path`` exists with
    other bytes, OSError for what the system refuses; nothing half-written stays.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            if path.name.lower().endswith(".zip"):
                _write_zip(file, files)
            else:
                _write_tar(file, files)
            file.flush()
            os.fsync(file.fileno())
        if path.exists() and not _same(path, temporary):
            raise FileExistsError(f"{path.name} exists, with other bytes")
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _write_zip(file: IO[bytes], files: Iterable[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, strict_timestamps=True) as archive:
        for name, data in files:
            member = zipfile.ZipInfo(name, _EPOCH)
            member.create_system = 3
            member.external_attr = (stat.S_IFREG | _MODE) << 16
            archive.writestr(member, data)


def _write_tar(file: IO[bytes], files: Iterable[tuple[str, bytes]]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), _MODE
            archive.addfile(member, io.BytesIO(data))


def _same(one: Path, other: Path) -> bool:
    """Whether two files have the same bytes."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as mine, other.open("rb") as theirs:
        while chunk := mine.read(1 << 20):
            if chunk != theirs.read(1 << 20):
                return False
    return True
