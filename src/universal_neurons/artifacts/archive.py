"""Exports as one file, zip or tar: written reproducibly, read without being unpacked.

Members are read by name into memory, up to a size that the caller knows beforehand and into bytes whose digest it
knows: no path of an archive ever becomes a path of this machine, and what nobody asks for is never read.

Archives are not compressed, as their payloads are: other versions of zlib would give other bytes, and an archive that
is read without decompression cannot be larger than it looks.
"""

from __future__ import annotations

import filecmp
import io
import stat
import struct
import tarfile
import zipfile
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING

from universal_neurons.artifacts.bundle import ExportDamaged, FileAbsent, SharingError
from universal_neurons.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    # The size of a file in an archive, and a function that opens it.
    _Member = tuple[int, Callable[[], IO[bytes] | None]]

SUFFIXES = (".zip", ".tar")
# Formats that would have to be decompressed as a whole before anything in them can be judged.
_COMPRESSED = (".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar")
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError,
    LookupError, OverflowError, MemoryError, OSError,
)  # fmt: skip
# The first moment that a zip can name.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644


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

    ``name`` tells its kind.  Raises :class:`ExportDamaged` if ``file`` is cut short, no archive, or compressed.
    """

    def __init__(self, file: IO[bytes], name: str, *, shown: str) -> None:
        self.shown = shown
        with self._readable():
            members = _zip_members(file) if name.lower().endswith(".zip") else _tar_members(file)
            self._members = {name.removeprefix("./"): member for name, member in members}

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of the member ``name``, which has at most ``limit``.

        Raises :class:`FileAbsent`, and :class:`ExportDamaged` if it is larger or cannot be read.
        """
        if name not in self._members:
            raise FileAbsent(f"{self.shown}: has no {name}; cut short, or no export; get it again")
        size, opened = self._members[name]
        if size > limit:
            raise ExportDamaged(f"{self.shown}: {name} has {size} bytes, expected at most {limit}; get it again")
        with self._readable():
            file = opened()
            data = b"" if file is None else file.read(size)
            if len(data) != size:
                raise EOFError(f"{name} ends after {len(data)} bytes")
            return data

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except _BROKEN as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise ExportDamaged(f"{self.shown}: cut short, damaged, or no archive ({reason}); get it again") from error


def _zip_members(file: IO[bytes]) -> Iterator[tuple[str, _Member]]:
    archive = zipfile.ZipFile(file)
    for member in archive.infolist():
        stored = member.compress_type == zipfile.ZIP_STORED and member.compress_size == member.file_size
        if not stored or member.flag_bits & 1:
            raise ValueError(f"a member is compressed or encrypted: {ascii(member.filename)[:80]}")
        yield member.filename, (member.file_size, partial(archive.open, member))


def _tar_members(file: IO[bytes]) -> Iterator[tuple[str, _Member]]:
    archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115  (the caller closes the file)
    for member in archive:
        if member.isreg():
            yield member.name, (member.size, partial(archive.extractfile, member))


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
