"""Exports as one file, a zip: written reproducibly, read without being unpacked.

Members are read by name into memory, up to a size that the caller knows beforehand and into bytes whose digest it
knows: no path of an archive ever becomes a path of this machine, and what nobody asks for is never read.

Archives are not compressed, as their payloads are: other versions of zlib would give other bytes, and an archive that
is read without decompression cannot be larger than it looks.
"""

from __future__ import annotations

import filecmp
import stat
import struct
import zipfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from universal_neurons.artifacts.bundle import ExportDamaged, FileAbsent, SharingError
from universal_neurons.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SUFFIX = ".zip"
# Kinds of archives that are neither written nor read.
_OTHERS = (".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar")
_BROKEN = (
    zipfile.BadZipFile, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError,
    LookupError, OverflowError, MemoryError, OSError,
)  # fmt: skip
# The first moment that a zip can name.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644


def is_archive(name: str) -> bool:
    """Tell by its name if a file is an archive.

    >>> [is_archive(name) for name in ("evidence.zip", "EVIDENCE.ZIP", "evidence", "fixtures/evidence")]
    [True, True, False, False]
    """
    return name.lower().endswith(SUFFIX)


def check_format(name: str, *, shown: str) -> None:
    """Raise :class:`SharingError` for the name of an archive of a kind that is neither written nor read."""
    if name.lower().endswith(_OTHERS):
        raise SharingError(f"{shown}: another kind of archive; expected a folder or an archive that ends in {SUFFIX}")


class Archive:
    """The files of an open archive by name; ``shown`` names the archive in errors.

    Raises :class:`ExportDamaged` if ``file`` is cut short, no zip, or has members that are compressed or encrypted.
    """

    def __init__(self, file: IO[bytes], *, shown: str) -> None:
        self.shown = shown
        with self._readable():
            self._zip = zipfile.ZipFile(file)
            self._members = {member.filename: _plain(member) for member in self._zip.infolist()}

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of the member ``name``, which has at most ``limit``.

        Raises :class:`FileAbsent`, and :class:`ExportDamaged` if it is larger or cannot be read.
        """
        if name not in self._members:
            raise FileAbsent(f"{self.shown}: has no {name}; cut short, or no export; get it again")
        member = self._members[name]
        if (size := member.file_size) > limit:
            raise ExportDamaged(f"{self.shown}: {name} has {size} bytes, expected at most {limit}; get it again")
        with self._readable():
            data = self._zip.open(member).read(size)
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


def _plain(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """The ``member`` itself; raises ValueError unless its bytes lie there as they are."""
    stored = member.compress_type == zipfile.ZIP_STORED and member.compress_size == member.file_size
    if not stored or member.flag_bits & 1:
        raise ValueError(f"a member is compressed or encrypted: {ascii(member.filename)[:80]}")
    return member


def write_archive(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write ``files`` (name, bytes) in their order to the new archive ``path``, whole or not at all.

    Equal files give equal bytes: no time, no owner, no compression.  Raises FileExistsError if ``path`` exists with
    other bytes, OSError for what the system refuses; nothing half-written stays.
    """
    with replacing(path) as temporary:
        with zipfile.ZipFile(temporary, "x", zipfile.ZIP_STORED, strict_timestamps=True) as archive:
            for name, data in files:
                member = zipfile.ZipInfo(name, _EPOCH)
                member.create_system = 3
                member.external_attr = (stat.S_IFREG | _MODE) << 16
                archive.writestr(member, data)
        if path.exists() and not filecmp.cmp(path, temporary, shallow=False):
            raise FileExistsError(f"{path.name} exists, with other bytes")
