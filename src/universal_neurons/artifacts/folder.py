"""The folder of one artifact on the disk, committed whole or not at all and verified when it is read.

Payload and manifest are written and flushed in a folder of another name beside the final one, the manifest last; they
are read back and verified; then the folder gets its name in one rename.  Whatever is killed or fails in between, no
reader ever sees a part, and of two writers one wins without a lock.

One rename, because two (payload, then manifest) would let two writers of different bytes pair one's payload with the
other's manifest.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from universal_neurons.artifacts.codec import LARGEST, PayloadError, decode
from universal_neurons.artifacts.manifest import DamageError, Manifest
from universal_neurons.files import renamed, sweep, sync_folder, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from universal_neurons.artifacts.codec import Payload, PayloadLimits
    from universal_neurons.artifacts.key import Key

T = TypeVar("T")

MANIFEST = "manifest.json"
STAGING = ".staging-"


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """Manifest and payload of an artifact whose digests were verified."""

    manifest: Manifest
    payload: bytes

    def value(self, limits: PayloadLimits = LARGEST) -> Payload:
        """The payload decoded; raises :class:`DamageError` if it exceeds ``limits`` or is not what its suffix says."""
        try:
            return decode(self.manifest.suffix, self.payload, limits)
        except PayloadError as error:
            raise DamageError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder ``path`` of the artifact of ``stage`` and ``digest``, which need not exist.

    What lies there is believed only if its manifest states that stage and that digest.
    """

    path: Path
    stage: str
    digest: str

    @classmethod
    def of(cls, root: Path, key: Key) -> Folder:
        """The folder of ``key`` in the store ``root``."""
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
        """Create the folder with ``contents``; False, and nothing changed, if something has its name.

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
            if not renamed(staging.path, self.path):
                return False
        finally:
            shutil.rmtree(staging.path, ignore_errors=True)
        sync_folder(stage)
        return True

    def sweep(self) -> None:
        """Remove what writers killed a day ago left beside this committed folder."""
        with suppress(OSError):
            sweep(self.path.parent, f"{STAGING}*", now=self.path.stat().st_mtime)


def folders(root: Path, *, besides: frozenset[str]) -> Iterator[Folder]:
    """The folders of the store ``root`` that should be artifacts, by stage and name, except in ``besides``."""
    if not root.is_dir():
        return
    for stage in sorted(root.iterdir()):
        if stage.name in besides or stage.name.startswith(".") or not stage.is_dir():
            continue
        for path in sorted(stage.iterdir()):
            if not path.name.startswith("."):
                yield Folder(path, stage.name, path.name)


def _twice(look: Callable[[], T]) -> T:
    """The result of ``look``; damage only if a second look finds it too.

    Between the reading of two names in a folder another process can put a sound folder in its place.  That once looked
    like a folder without manifest, and the first result of two went to quarantine.
    """
    try:
        return look()
    except DamageError:
        return look()


def _bytes(path: Path) -> bytes | None:
    """The bytes of a file; None if there is no file of that name, whatever else there is."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
