"""A content-addressed artifact store that verifies everything it reads.

Keys map to folders, ``<root>/<stage>/<digest>/{payload.<suffix>, manifest.json}``.  Reading looks in the working store,
then in the shipped ones, then in the imported one; writing goes to the working store only.  Nothing that was ever
committed is deleted: damage goes to quarantine, with one warning, and counts as absent.
"""

from __future__ import annotations

import errno
import os
import secrets
import shlex
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, cast

import pandas as pd

from universal_neurons.artifacts.codec import encode
from universal_neurons.artifacts.folder import Contents, Folder, folders
from universal_neurons.artifacts.manifest import DamageError, Manifest
from universal_neurons.errors import UserError
from universal_neurons.files import locked, replace_file, resolved, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from universal_neurons.artifacts.codec import NumericArray, Payload
    from universal_neurons.artifacts.key import JSON, Key
    from universal_neurons.artifacts.provenance import Provenance

    _Sound = tuple[Contents, Payload]

QUARANTINE = "quarantine"
LOCKS = "locks"
CACHEDIR_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# Everything here can be computed again; see https://bford.info/cachedir/.\n"
)
# Every attempt but the last fails only if another process commits or removes the same artifact at that moment.
_ATTEMPTS = 10
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class StoreError(UserError):
    """The store cannot read or write something: one line saying what, where, why and what to run."""


class Origin(StrEnum):
    """The store that has an artifact."""

    WORKING = "working"
    SHIPPED = "shipped"
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """A value read from a store, or just written to it, after its digest was verified."""

    value: Payload
    manifest: Manifest
    origin: Origin

    @property
    def key(self) -> Key:
        """The key that names it."""
        return self.manifest.key

    @property
    def sha256(self) -> str:
        """Digest of the payload's bytes."""
        return self.manifest.sha256

    @property
    def provenance(self) -> Provenance:
        """The circumstances of its computation."""
        return self.manifest.provenance

    @property
    def table(self) -> pd.DataFrame:
        """The value of an artifact that is a table; raises :class:`StoreError` for other kinds."""
        if not isinstance(self.value, pd.DataFrame):
            raise self._other_kind("a table")
        return self.value

    @property
    def arrays(self) -> Mapping[str, NumericArray]:
        """The value of an artifact that consists of arrays; raises :class:`StoreError` for other kinds."""
        if self.manifest.suffix != "safetensors":
            raise self._other_kind("arrays")
        return cast("Mapping[str, NumericArray]", self.value)

    @property
    def document(self) -> Mapping[str, JSON]:
        """The value of an artifact that is a JSON object; raises :class:`StoreError` for other kinds."""
        if self.manifest.suffix != "json":
            raise self._other_kind("a JSON object")
        return cast("Mapping[str, JSON]", self.value)

    def _other_kind(self, expected: str) -> StoreError:
        return StoreError(f"{self.key} is stored as {self.manifest.suffix}; expected {expected}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed artifact as its verified manifest describes it; the payload was not read."""

    manifest: Manifest
    origin: Origin
    path: Path

    @property
    def key(self) -> Key:
        """The key that names it."""
        return self.manifest.key


@dataclass(frozen=True, slots=True)
class Problem:
    """A folder that is not the artifact that its name promises."""

    origin: Origin
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


class Store:
    """A working store that is read and written, and behind it shipped ones and an imported one.

    Shipped stores are only read; the imported one receives what others computed (:meth:`adopt`) and comes after them,
    so that whatever was computed here comes first.

    ``warn`` gets one line for each repair: damage moved to quarantine, a second writer with other bytes, a lock that
    cannot be taken.

    Raises :class:`StoreError` if ``working`` is a file, one of the shipped stores or the imported one.
    """

    def __init__(
        self,
        working: Path,
        shipped: Sequence[Path] = (),
        *,
        imported: Path | None = None,
        warn: Callable[[str], None],
    ) -> None:
        self.working = working.absolute()
        self.shipped = tuple(root.absolute() for root in shipped)
        self.imported = None if imported is None else imported.absolute()
        self._warn = warn
        if (self.working.is_symlink() or self.working.exists()) and not self.working.is_dir():
            raise StoreError(f"working store {shown(self.working)} is no folder; expected a folder or a free name")
        if resolved(self.working) in map(resolved, self.shipped):
            raise StoreError(
                f"working store {shown(self.working)} is a shipped store, which is read-only; name another"
            )
        if self.imported is not None and resolved(self.working) == resolved(self.imported):
            raise StoreError(
                f"working store {shown(self.working)} holds imported evidence, which must stay apart from what is "
                "computed here; name another"
            )

    @property
    def imported_root(self) -> Path:
        """The imported store; raises :class:`StoreError` where nothing may be read that was computed elsewhere."""
        if self.imported is None:
            raise StoreError("importing: this run reads nothing that was computed elsewhere; leave out --recompute")
        return self.imported

    def read(self, key: Key) -> Artifact | None:
        """The artifact of ``key`` from the first store that has it, verified; None if none has.

        A damaged folder of the working or the imported store is moved to quarantine and counts as absent.  A damaged
        one in a shipped store raises :class:`StoreError`: evidence is restored, never silently computed again.
        """
        found = self._find(key)
        return None if found is None else Artifact(found[1], found[0].manifest, found[2])

    def contents(self, key: Key) -> Contents:
        """The bytes of the artifact that :meth:`read` would return; raises :class:`StoreError` if there is none."""
        found = self._find(key)
        if found is None:
            raise StoreError(f"export: {self.why(key)}; compute it first")
        return found[0]

    def has(self, key: Key) -> bool:
        """True if a store here has the artifact; as thorough as :meth:`read`, but it leaves damage where it is."""
        for folder, origin, sound in self._looked_at(key):
            if isinstance(sound, DamageError) and origin is Origin.SHIPPED:
                raise _shipped_damage(folder, sound) from sound
            if sound is not None and not isinstance(sound, DamageError):
                return True
        return False

    def write(self, key: Key, value: Payload, provenance: Provenance) -> Artifact:
        """Commit ``value`` to the working store and return what any later :meth:`read` of it will return.

        If another process committed the key first, its artifact stays and is returned, with a warning if the bytes
        differ.  Raises :class:`StoreError` if the system refuses (no space left, no permission); nothing of the new
        artifact is then visible, and nothing committed earlier is touched.
        """
        suffix, payload = encode(value)
        contents = Contents(Manifest.of(key, suffix, payload, provenance), payload)
        present = self._kept("writing", self.working, contents)
        if present is None:
            return Artifact(contents.value(), contents.manifest, Origin.WORKING)
        first, second = present[0].manifest, contents.manifest
        if first.sha256 != second.sha256:
            self._warn(
                f"{key} was computed twice with different bytes; the first result stays ({first.sha256[:12]}), "
                f"the second ({second.sha256[:12]}) is dropped"
            )
        return Artifact(present[1], present[0].manifest, Origin.WORKING)

    def adopt(self, contents: Contents) -> bool:
        """Commit an artifact of somebody else to the imported store, byte by byte, its provenance included.

        False, and nothing changed, if the imported store has a sound artifact of that key already, even with other
        bytes. Raises :class:`DamageError` if the payload is not what its manifest promises, and :class:`StoreError` as
        :meth:`write` does.
        """
        contents.manifest.check(contents.payload)
        contents.value()
        return self._kept("importing", self.imported_root, contents) is None

    def _kept(self, doing: str, root: Path, contents: Contents) -> _Sound | None:
        """Commit ``contents`` to the store ``root`` unless it has a sound artifact of that key, which is returned."""
        with in_one_line(f"{doing} {contents.manifest.key} to", root):
            _prepare(root)
        return _settled(doing, root, contents, self._sound_or_quarantined)

    def lock(self, key: Key, *, patience: float = 3600.0) -> AbstractContextManager[bool]:
        """Keep other processes from computing ``key`` meanwhile; yields whether the lock is held.

        Advice only: after ``patience`` seconds, or where the file system has no locks, the body runs all the same.
        Two results of one key do no harm; a lock that is never released does.
        """
        return self._locked(self.working, f"{key.stage}-{key.digest}", str(key), patience)

    def import_lock(self, suite: str, *, patience: float = 3600.0) -> AbstractContextManager[bool]:
        """Keep other processes from importing the evidence of ``suite`` meanwhile; advice only, as :meth:`lock` is."""
        return self._locked(self.imported_root, f"import-{suite}", f"import of suite {suite}", patience)

    @contextmanager
    def _locked(self, root: Path, name: str, what: str, patience: float) -> Iterator[bool]:
        with suppress(OSError):  # which taking the lock then says
            _prepare(root)
        lock, waiting = root / LOCKS / f"{name}.lock", f"{what}: another process is at it; waiting until it has ended"
        with locked(lock, what, warn=self._warn, patience=patience, waiting=waiting) as held:
            yield held

    def entries(self) -> tuple[Entry, ...]:
        """All committed artifacts, the working store's first, by stage and digest.

        Manifests are verified, payloads are not read; what is damaged is left out here and reported by :meth:`verify`.
        """
        entries = []
        for folder, origin in self._everything():
            with in_one_line("listing", folder.root), suppress(DamageError):
                manifest = folder.manifest()
                if manifest is not None:
                    entries.append(Entry(manifest, origin, folder.path))
        return tuple(entries)

    def verify(self) -> list[Problem]:
        """All problems in all stores; every byte is read, nothing is moved."""
        problems = []
        for folder, origin in self._everything():
            with in_one_line("verifying", folder.root):
                try:
                    _read(folder)
                except DamageError as damage:
                    problems.append(Problem(origin, folder.path, str(damage)))
        return problems

    def why(self, key: Key) -> str:
        """One line: where the artifact of ``key`` is, or why it would be computed.

        For an absent one the nearest existing artifact of its stage is named (fewest differing settings, then by
        digest) with what differs.
        """
        lines: list[str] = []
        for folder, origin, sound in self._looked_at(key):
            if not isinstance(sound, DamageError):
                if sound is not None:
                    return "; ".join([*lines, f"{key} is in the {origin} store {shown(folder.root)}"])
            elif origin is Origin.SHIPPED:
                return str(_shipped_damage(folder, sound))
            else:
                lines.append(f"{key} is damaged in the {origin} store ({sound}) and will go to quarantine")
        return lines[0] if lines else self._why_absent(key)

    def export(self, keys: Iterable[Key], target: Path) -> tuple[Manifest, ...]:
        """Copy the artifacts of ``keys``, byte by byte, into the shipped store ``target``; returns what lies there.

        An artifact that is there with the same payload stays as it is, its provenance included.  Raises
        :class:`StoreError` at the first one that is in no store, and at the first one that ``target`` has with other
        bytes or damaged: the same key must not come to mean something else.
        """
        ordered = sorted(set(keys), key=lambda key: (key.stage, key.digest))
        return tuple(_exported(self.contents(key), target.absolute()) for key in ordered)

    def _find(self, key: Key) -> tuple[Contents, Payload, Origin] | None:
        for folder, origin in self._folders(key):
            with in_one_line(f"reading {key} from", folder.root):
                shipped = origin is Origin.SHIPPED
                sound = _sound_or_raised(folder, _shipped_damage) if shipped else self._sound_or_quarantined(folder)
                if sound is not None:
                    return *sound, origin
        return None

    def _folders(self, key: Key) -> Iterator[tuple[Folder, Origin]]:
        for root, origin in self._roots():
            yield Folder.of(root, key), origin

    def _looked_at(self, key: Key) -> Iterator[tuple[Folder, Origin, _Sound | DamageError | None]]:
        """The folder of ``key`` in every store: sound, damaged, or absent (None); nothing is moved."""
        for folder, origin in self._folders(key):
            with in_one_line(f"reading {key} from", folder.root):
                try:
                    sound: _Sound | DamageError | None = _read(folder)
                except DamageError as damage:
                    sound = damage
            yield folder, origin, sound

    def _roots(self) -> Iterator[tuple[Path, Origin]]:
        yield self.working, Origin.WORKING
        for root in self.shipped:
            yield root, Origin.SHIPPED
        if self.imported is not None:
            yield self.imported, Origin.IMPORTED

    def _everything(self) -> Iterator[tuple[Folder, Origin]]:
        for root, origin in self._roots():
            with in_one_line("listing", root):
                present = list(folders(root, besides=frozenset({QUARANTINE, LOCKS})))
            yield from ((folder, origin) for folder in present)

    def _why_absent(self, key: Key) -> str:
        kin = sorted({entry.key for entry in self.entries() if entry.key.stage == key.stage}, key=lambda k: k.digest)
        if not kin:
            return f"{key} is absent: no artifact of stage {key.stage} is in any store yet"
        nearest = min(kin, key=lambda other: len(key.differences(other)))
        differences = key.differences(nearest)
        rest = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        return f"{key} is absent; in the nearest one, {nearest}, {', '.join(differences[:3])}{rest}"

    def _sound_or_quarantined(self, folder: Folder) -> _Sound | None:
        """Contents and value of a folder, or None; damage is moved to quarantine."""
        for _ in range(_ATTEMPTS):
            try:
                return _read(folder)
            except DamageError as damage:
                self._quarantine(folder, damage)
        return None

    def _quarantine(self, folder: Folder, damage: DamageError) -> None:
        cell = Folder(
            folder.root / QUARANTINE / f"{folder.stage}-{folder.digest}-{secrets.token_hex(4)}",
            folder.stage,
            folder.digest,
        )
        try:
            cell.path.parent.mkdir(exist_ok=True)
            folder.path.rename(cell.path)
        except FileNotFoundError:
            return  # another process was faster
        except OSError as error:
            if error.errno not in _FORBIDDEN:
                raise
            raise StoreError(
                f"{shown(folder.path)} is damaged ({damage}) and cannot be moved to quarantine ({_cause(error)}); "
                "make the store writable, or name another"
            ) from error
        try:
            _read(cell)
        except DamageError:
            self._warn(f"{folder} was damaged ({damage}): moved to {shown(cell.path)}, it counts as absent")
            return
        # Since it was read, another process had put a sound artifact in its place: that one goes back.  If yet another
        # has been committed meanwhile, the bytes are safe there.
        with suppress(OSError):
            cell.path.rename(folder.path)


def _prepare(root: Path) -> None:
    """Create the store ``root`` with the tag that keeps backups from copying it."""
    tag = root / "CACHEDIR.TAG"
    if tag.exists():
        return
    root.mkdir(parents=True, exist_ok=True)
    replace_file(tag, CACHEDIR_TAG.encode())


def _read(folder: Folder) -> _Sound | None:
    """Contents and value of a folder; None if it does not exist; raises :class:`DamageError`."""
    contents = folder.contents()
    return None if contents is None else (contents, contents.value())


def _sound_or_raised(folder: Folder, explain: Callable[[Folder, DamageError], StoreError]) -> _Sound | None:
    """Contents and value of a folder that is not repaired, or None; raises what ``explain`` makes of damage."""
    try:
        return _read(folder)
    except DamageError as damage:
        raise explain(folder, damage) from damage


def _exported(contents: Contents, target: Path) -> Manifest:
    """Copy an artifact into the shipped store ``target``; returns the manifest that lies there."""
    present = _settled("exporting", target, contents, partial(_sound_or_raised, explain=_exported_damage))
    if present is None:
        return contents.manifest
    found = present[0].manifest
    if found.sha256 != contents.manifest.sha256:
        raise StoreError(
            f"export: {shown(Folder.of(target, found.key).path)} holds other bytes ({found.sha256[:12]}) than "
            f"{contents.manifest.sha256[:12]}; raise the stage's version, or remove it first"
        )
    return found


def _shipped_damage(folder: Folder, damage: DamageError) -> StoreError:
    path = shown(folder.path)
    return StoreError(f"{path} is damaged ({damage}); run: git checkout -- {shlex.quote(path)}")


def _exported_damage(folder: Folder, damage: DamageError) -> StoreError:
    path = shown(folder.path)
    return StoreError(f"export: {path} is damaged ({damage}); remove it and export again, or name another folder")


def _settled(doing: str, root: Path, contents: Contents, look: Callable[[Folder], _Sound | None]) -> _Sound | None:
    """Commit ``contents`` to the store ``root`` unless ``look`` sees a sound artifact there, which is returned."""
    key = contents.manifest.key
    folder = Folder.of(root, key)
    with in_one_line(f"{doing} {key} to", root):
        for _ in range(_ATTEMPTS):
            if (present := look(folder)) is not None:
                return present
            try:
                if folder.commit(contents):
                    folder.sweep()
                    return None
            except DamageError as damage:
                raise StoreError(
                    f"writing {folder} to {shown(root)}: the disk gave back other bytes ({damage}); check the disk"
                ) from damage
    raise StoreError(f"{doing} {key}: {shown(folder.path)} keeps being taken and removed; run again")


@contextmanager
def in_one_line(doing: str, root: Path) -> Iterator[None]:
    """Turn what the system refuses while ``doing`` something with ``root`` into a :class:`StoreError` of one line."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{doing} {shown(root)}: {_cause(error)}; {_advice(error, root)}") from error


def _cause(error: Exception) -> str:
    if not isinstance(error, OSError) or error.errno is None:
        return " ".join(str(error).split()) or type(error).__name__
    if error.errno in _FULL:
        return "no space left"
    if error.errno in _FORBIDDEN:
        return "permission denied"
    return os.strerror(error.errno)


def _advice(error: OSError, root: Path) -> str:
    path = shlex.quote(shown(root))
    if error.errno in _FULL:
        return f"nothing committed is lost; free some space there (df -h {path}) and run again"
    if error.errno in _FORBIDDEN:
        return f"see ls -ld {path}, or name another folder"
    return "nothing committed is lost; run again"
