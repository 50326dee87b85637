"""The folder of one artifact on the disk: how it comes to be there, whole or not at all, and how it is verified.

This module decides the order of system calls.  Payload and manifest are written and flushed in a folder of another
name beside the final one, the manifest last; they are read back and verified; then the folder gets its name in one
rename.  Whatever is killed or fails in between, no reader ever sees a part, and of two writers one wins without a lock.

It refuses to know which store it belongs to and what to do about damage.

One rename, because two (payload, then manifest) would let two writers of different bytes pair one's payload with the
other's manifest.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from universal_neurons.artifacts.codec import PayloadError, decode
from universal_neurons.artifacts.manifest import DamageError, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import Key

T = TypeVar("T")

MANIFEST = "manifest.json"
STAGING = ".staging-"
STALE_SECONDS = 24 * 3600
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What lies in a folder, after every digest was verified."""

    manifest: Manifest
    payload: bytes

    def value(self) -> Payload:
        """The payload decoded; raises :class:`DamageError` if the bytes are not what their suffix says."""
        try:
            return decode(self.manifest.suffix, self.payload)
        except PayloadError as error:
            raise DamageError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Folder:
    """A place that may hold the artifact of ``stage`` and ``digest``; ``path`` need not exist.

    What lies there is believed only if its manifest states that stage and that digest.
    """

    path: Path
    stage: str
    digest: str

    @classmethod
    def of(cls, root: Path, key: Key) -> Folder:
        """The place of ``key`` in the store ``root``."""
        return cls(root / key.stage / key.digest, key.stage, key.digest)

    def __str__(self) -> str:
        return f"{self.stage}/{self.digest[:12]}"

    @property
    def root(self) -> Path:
        """The store in which it lies."""
        return self.path.parents[1]

    def manifest(self) -> Manifest | None:
        """The verified manifest; None if nothing has the folder's name; raises :class:`DamageError`."""
        return _twice(self._manifest)

    def contents(self) -> Contents | None:
        """Manifest and payload, both verified; None if nothing has the folder's name; raises :class:`DamageError`."""
        return _twice(self._contents)

    def _manifest(self) -> Manifest | None:
        data = _bytes(self.path / MANIFEST)
        if data is None:
            if not os.path.lexists(self.path):
                return None
            raise DamageError(f"{MANIFEST} is missing")
        manifest = Manifest.decode(data)
        if (manifest.key.stage, manifest.key.digest) != (self.stage, self.digest):
            raise DamageError(f"its manifest belongs to {manifest.key}")
        return manifest

    def _contents(self) -> Contents | None:
        manifest = self._manifest()
        if manifest is None:
            return None
        payload = _bytes(self.path / manifest.file)
        if payload is None:
            raise DamageError(f"{manifest.file} is missing")
        manifest.check(payload)
        return Contents(manifest, payload)

    def commit(self, contents: Contents) -> bool:
        """Bring the folder into being with ``contents``; False, and nothing changed, if something has its name.

        Raises :class:`DamageError` if the disk gives back other bytes than it was given, and OSError for everything
        that the system refuses; what was written so far is then removed.
        """
        stage = self.path.parent
        if not stage.is_dir():
            stage.mkdir(parents=True, exist_ok=True)
            sync_folder(stage.parent)
        staging = Folder(stage / f"{STAGING}{secrets.token_hex(8)}", self.stage, self.digest)
        try:
            staging.path.mkdir()
            write_file(staging.path / contents.manifest.file, contents.payload)
            write_file(staging.path / MANIFEST, contents.manifest.encode())
            sync_folder(staging.path)
            if staging.contents() is None:
                raise DamageError("it vanished while it was written")
            if not _renamed(staging.path, self.path):
                return False
        finally:
            shutil.rmtree(staging.path, ignore_errors=True)
        sync_folder(stage)
        return True

    def sweep(self) -> None:
        """Remove what writers killed a day ago left beside this committed folder, by the file system's own clock."""
        with suppress(OSError):
            limit = self.path.stat().st_mtime - STALE_SECONDS
            for leftover in self.path.parent.glob(f"{STAGING}*"):
                if leftover.stat().st_mtime < limit:
                    shutil.rmtree(leftover, ignore_errors=True)


def folders(root: Path, *, besides: frozenset[str]) -> Iterator[Folder]:
    """Everything in the store ``root`` that should be an artifact, by stage and name, except in ``besides``."""
    if not root.is_dir():
        return
    for stage in sorted(root.iterdir()):
        if stage.name in besides or stage.name.startswith(".") or not stage.is_dir():
            continue
        for path in sorted(stage.iterdir()):
            if not path.name.startswith("."):
                yield Folder(path, stage.name, path.name)


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and wait until the disk has it; raises OSError, also if ``path`` exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Give a small file its new bytes in one step: whoever reads it sees the old ones or these.

    Raises OSError; nothing half-written stays.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        write_file(temporary, data)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Wait until the disk knows the names in a folder, where the system can do that for folders at all."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems have no such call.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def _twice(look: Callable[[], T]) -> T:
    """What ``look`` sees; damage only if a second look sees it too.

    Between the reading of two names in a folder another process can put a sound folder in its place.  That once looked
    like a folder without manifest, and the first result of two went to quarantine.
    """
    try:
        return look()
    except DamageError:
        return look()


def _renamed(source: Path, target: Path) -> bool:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True


def _bytes(path: Path) -> bytes | None:
    """The bytes of a file; None if there is no file of that name, whatever else there is."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
