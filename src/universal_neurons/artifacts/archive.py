"""Exports as one file, zip or tar: written reproducibly, read without being unpacked.

Members are read by name into memory, up to a size that the caller knows beforehand; no path of an archive ever becomes
a path of this machine.  An archive with a member that has a dangerous name, is no file (a link, a device), is
compressed or encrypted is refused as a whole, before anything in it is read.

Archives are not compressed, as their payloads are: other versions of zlib would give other bytes, and an archive that
is read without decompression cannot be larger than it looks.
"""

from __future__ import annotations

import filecmp
import io
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING

from universal_neurons.artifacts.bundle import ExportDamaged, FileAbsent, SharingError
from universal_neurons.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

SUFFIXES = (".zip", ".tar")
# Formats that would have to be decompressed as a whole before anything in them can be judged.
_COMPRESSED = (".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar")
_DRIVE = re.compile(r"[A-Za-z]:")
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
    ValueError, LookupError, OverflowError, MemoryError, OSError,
)  # fmt: skip
# The first moment that a zip can name.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644


@dataclass(frozen=True, slots=True)
class _Member:
    """One file of an archive: its name as the archive spells it, its size in bytes, and a reader of its first bytes."""

    name: str
    size: int
    head: Callable[[int], bytes]


class _RefusedError(Exception):
    """Something in an archive that no export has: what it is, and the name of the member."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"refused, {what}: {ascii(name)[:80]}")


def is_archive(name: str) -> bool:
    """Tell by its name if a file is an archive.

    >>> [is_archive(name) for name in ("evidence.zip", "EVIDENCE.TAR", "evidence", "fixtures/evidence")]
    [True, True, False, False]
    """
    return name.lower().endswith(SUFFIXES)


def check_format(name: str, *, shown: str) -> None:
    """Raise :class:`SharingError` for the name of an archive of a kind that is neither written nor read."""
    if name.lower().endswith(_COMPRESSED):
        raise SharingError(f"{shown}: compressed; expected a folder or an archive that ends in {' or '.join(SUFFIXES)}")


class Archive:
    """The files of an open archive by name; ``shown`` names the archive in errors.

    ``name`` tells its kind.  Raises :class:`ExportDamaged` if ``file`` is cut short, no archive, or has a member that
    must not be there.
    """

    def __init__(self, file: IO[bytes], name: str, *, shown: str) -> None:
        self.shown = shown
        self._members: dict[str, _Member] = {}
        with self._readable():
            for member in _zip_members(file) if name.lower().endswith(".zip") else _tar_members(file):
                plain = member.name.removeprefix("./")
                if plain in self._members:
                    raise _RefusedError("two members of the name", plain)
                self._members[plain] = member

    @property
    def names(self) -> tuple[str, ...]:
        """The files of the archive, in its order."""
        return tuple(self._members)

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of the member ``name``, which has at most ``limit``.

        Raises :class:`FileAbsent`, and :class:`ExportDamaged` if it is larger or cannot be read.
        """
        member = self._members.get(name)
        if member is None:
            raise FileAbsent(f"{self.shown}: has no {name}; cut short, or no export; get it again")
        if member.size > limit:
            raise ExportDamaged(f"{self.shown}: {name} has {member.size} bytes, expected at most {limit}; get it again")
        with self._readable():
            return member.head(limit)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except _RefusedError as error:
            raise ExportDamaged(f"{self.shown}: {error}") from error
        except _BROKEN as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise ExportDamaged(f"{self.shown}: cut short, damaged, or no archive ({reason}); get it again") from error


def _check_name(name: str) -> None:
    if not name.isprintable() or "\\" in name:
        raise _RefusedError("a member with characters that no file of an export has", name)
    if name.startswith(("/", "~")) or _DRIVE.match(name):
        raise _RefusedError("a member with an absolute path", name)
    if ".." in name.split("/"):
        raise _RefusedError("a member that points out of its folder", name)


def _zip_members(file: IO[bytes]) -> Iterator[_Member]:
    """The files of a zip; folders are left out."""
    archive = zipfile.ZipFile(file)
    for member in archive.infolist():
        # orig_filename, because a name with a NUL in it is cut off there in the other.
        name = member.orig_filename
        _check_name(name)
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _RefusedError("a member is a link or a device", name)
        if member.flag_bits & 1:
            raise _RefusedError("a member is encrypted", name)
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise _RefusedError("a member is compressed", name)
        if not member.is_dir():
            yield _Member(name, member.file_size, partial(_zip_head, archive, member))


def _zip_head(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """The first bytes; the whole member is checked against its CRC if it is no longer than ``limit``."""
    with archive.open(member) as file:
        return file.read(limit)


def _tar_members(file: IO[bytes]) -> Iterator[_Member]:
    """The files of a tar that is not compressed; folders are left out."""
    archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115  (the caller closes the file)
    for member in archive:
        _check_name(member.name)
        if not (member.isreg() or member.isdir()) or member.issparse():
            raise _RefusedError("a member is a link or a device", member.name)
        if not member.isdir():
            yield _Member(member.name, member.size, partial(_tar_head, archive, member))


def _tar_head(archive: tarfile.TarFile, member: tarfile.TarInfo, limit: int) -> bytes:
    file = archive.extractfile(member)
    if file is None:
        raise ValueError(f"{member.name} is no file")
    with file:
        data = file.read(limit)
    if len(data) != min(limit, member.size):
        raise EOFError(f"{member.name} ends after {len(data)} bytes")
    return data


def write_archive(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write ``files`` (name, bytes) in their order to the new archive ``path``, whole or not at all.

    Equal files give equal bytes: no time, no owner, no compression.  Raises FileExistsError if ``path`` exists with
    other bytes, OSError for what the system refuses; nothing half-written stays.
    """
    with replacing(path) as temporary:
        with temporary.open("xb") as file:
            (_write_zip if path.name.lower().endswith(".zip") else _write_tar)(file, files)
        if path.exists() and not filecmp.cmp(path, temporary, shallow=False):
            raise FileExistsError(f"{path.name} exists, with other bytes")


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
