"""A suite's evidence written out for others, and others' evidence taken over: verified, and kept apart from our own.

This module decides what belongs to an export, in which order an import believes what it reads, and what it says of what
is not there.  An import takes only what the suite of this checkout asks for, by the names that this checkout gives it:
evidence of other settings has other names and is refused with the difference.

An import is one step before the work: what a remote place lacks or refuses shows before anything is judged, and a run
reads from this machine only.  Killed at any moment, it leaves whole artifacts; the same command goes on from there.
"""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from universal_neurons.artifacts.archive import check_format, is_archive, write_archive
from universal_neurons.artifacts.bundle import (
    Bundle,
    ExportDamaged,
    ExportUnfit,
    ForeignManifestError,
    Listed,
    SharingError,
    bundle_name,
)
from universal_neurons.artifacts.folder import replace_file
from universal_neurons.artifacts.manifest import DamageError
from universal_neurons.artifacts.receipt import Receipt, receipts_of
from universal_neurons.artifacts.store import Origin, in_one_line
from universal_neurons.progress import NoProgress
from universal_neurons.sharing.locks import adopted, lock_text
from universal_neurons.sharing.sources import FileAbsent, opened
from universal_neurons.stages.registry import stages, suite_keys
from universal_neurons.stages.workspace import IMPORTED, WORK_FOLDER, open_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from universal_neurons.artifacts.key import Key
    from universal_neurons.artifacts.manifest import Manifest
    from universal_neurons.artifacts.store import Store
    from universal_neurons.progress import Progress, Warn
    from universal_neurons.sharing.sources import Files
    from universal_neurons.stages.workspace import Workspace

# A list of a million artifacts would be larger than this; whatever claims to be one and is, is not read.
LARGEST_LIST = 1 << 28
LARGEST_MANIFEST = 1 << 20
# The stage of the tables that say which neurons are universal.
TABLE = "universality"
# Manifests that are looked through for the one that comes nearest to what was asked for.
MOST_KIN = 64


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written where: the list of the export, and the files besides it."""

    bundle: Bundle
    target: Path

    def __str__(self) -> str:
        return f"exported {len(self.bundle.artifacts)} artifacts to {self.target} (evidence {self.bundle.sha256[:12]})"


@dataclass(frozen=True, slots=True)
class _Taken:
    """Of some artifacts: how many are ``new``, how many were ``present``, and which the export lacks."""

    new: int
    present: int
    absent: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Pulled:
    """What an import did: artifacts that are ``new``, that were ``present``, and that the export lacks (``absent``, for
    the ``reason`` that the first of them is)."""

    suite: str
    source: str
    new: int
    present: int
    absent: tuple[Key, ...]
    reason: str = ""

    def __str__(self) -> str:
        return f"suite {self.suite}: {self.new} artifacts imported from {self.source}, {self.present} were here"


def export_suite(work: Workspace, target: Path) -> Exported:
    """Write everything that judging the suite reads to ``target``: a folder, or an archive where its name says so.

    Two exports of the same evidence are the same bytes.  A folder may hold the exports of several suites, each with a
    list of its own, and serves as shipped evidence.  The text itself is never among it.

    Raises StoreError if an artifact is absent, or if the target holds other bytes under its name, SharingError for an
    archive that exists with other bytes; an archive is whole or not there, and of a folder the list comes last.
    """
    check_format(target.name, shown=str(target))
    keys = sorted(set(suite_keys(work)), key=lambda key: (key.stage, key.digest))
    manifests = (work.store.contents(key).manifest for key in keys)
    bundle = Bundle.of(work.suite.name, work.suite.narrowing, lock_text(work), manifests)
    if is_archive(target.name):
        _archive(work.store, bundle, keys, target)
    else:
        work.store.export(keys, target)
        with in_one_line("exporting to", target):
            replace_file(target / bundle.name, bundle.encode())
    return Exported(bundle, target)


def _archive(store: Store, bundle: Bundle, keys: Sequence[Key], target: Path) -> None:
    with in_one_line("exporting to", target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_archive(target, _files(store, bundle, keys))
        except FileExistsError as error:
            raise SharingError(f"{target}: exists, with other bytes; remove it, or name another file") from error


def _files(store: Store, bundle: Bundle, keys: Sequence[Key]) -> Iterator[tuple[str, bytes]]:
    """The members of an archive, its list first."""
    yield bundle.name, bundle.encode()
    for key in keys:
        contents, listed = store.contents(key), bundle.find(key)
        if listed is None or Listed.of(contents.manifest) != listed:
            raise SharingError(f"export: {key} changed in the store meanwhile; run again")
        yield listed.manifest_file, contents.manifest.encode()
        yield listed.payload_file, contents.payload


def pull(
    suite: str,
    source: str,
    *,
    root: Path | None = None,
    store: Path | None = None,
    warn: Warn = print,
    progress: Progress | None = None,
    narrowing: Mapping[str, Any] | None = None,
) -> Pulled:
    """Import from ``source`` what the suite (or a part of it) needs and no store here has; ``warn`` gets what it lacks.

    Raises SharingError for a place that cannot be read, damage, another suite, other settings or another version, and
    StoreError for what the system refuses.  Artifacts that were verified before stay.
    """
    options: dict[str, Any] = {"root": root, "store": store, "warn": warn, "narrowing": narrowing}
    work = open_workspace(suite, **options)
    command = work.suite.command(f"universal-neurons store import {shlex.quote(source)}")
    with opened(source, scratch=work.root / WORK_FOLDER, command=command, warn=warn) as files:
        bundle = _bundle(files, suite)
        if bundle.lock is not None and (news := adopted(work, bundle.lock, source=files.shown)):
            warn(f"the lock of suite {suite} has {news} new entries: what the evidence is about")
            work = open_workspace(suite, **options)
        with work.store.import_lock(suite):
            pulled = _Import(work, files, bundle, progress or NoProgress()).run()
    if pulled.absent:
        counts = _by_stage(pulled.absent)
        warn(f"{pulled.source} lacks {len(pulled.absent)} artifacts of suite {suite} ({counts}); {pulled.reason}")
    return pulled


def _bundle(files: Files, suite: str) -> Bundle:
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
    return bundle


@dataclass(frozen=True)
class _Import:
    """One import under way."""

    work: Workspace
    files: Files
    bundle: Bundle
    progress: Progress

    def run(self) -> Pulled:
        """Take over the identities of the token sets, of which all other names are made, then the tables, on which
        everything else rests, then the rest."""
        try:
            required = {"corpus", "evaluation", TABLE}
            parts = tuple(
                self._taken(
                    [key for case in stage.cases(self.work) for key in stage.keys(self.work, case)],
                    required=stage.name in required,
                )
                for stage in stages()
            )
        finally:
            # Also of what broke off: whatever was taken is imported, and its source should be known.
            self._sign()
        absent = tuple(key for part in parts for key in part.absent)
        return Pulled(
            self.work.suite.name,
            self.files.shown,
            new=sum(part.new for part in parts),
            present=sum(part.present for part in parts),
            absent=absent,
            reason=self._difference(absent[0]) if absent else "",
        )

    def _taken(self, keys: Sequence[Key], *, required: bool) -> _Taken:
        """Have the artifacts of ``keys`` here, as far as the export has them.

        Raises ExportUnfit if some are needed, ``required``, and it has none of them.
        """
        needed = [key for key in dict.fromkeys(keys) if not self.work.store.has(key)]
        listed = [one for key in needed if (one := self.bundle.find(key)) is not None]
        if required and needed and not listed:
            raise ExportUnfit(
                f"{self.files.shown}: its evidence is not that of suite {self.work.suite} here: "
                f"{self._difference(needed[0])}; use the version and the options that it was exported with, or "
                "compute it"
            )
        self._check_space(listed)
        self.progress.start(f"importing from {self.files.shown}", len(listed))
        new = 0
        for one in listed:
            new += self._adopted(one)
            self.progress.advance()
        self.progress.finish()
        absent = tuple(key for key in needed if self.bundle.find(key) is None)
        return _Taken(new, len(set(keys)) - new - len(absent), absent)

    def _adopted(self, listed: Listed) -> bool:
        with self._told(listed):
            manifest = self.files.read(listed.manifest_file, LARGEST_MANIFEST)
            contents = listed.contents(manifest, self.files.read(listed.payload_file, listed.size))
        return self.work.store.adopt(contents)

    @contextmanager
    def _told(self, listed: Listed) -> Iterator[None]:
        """Say of which artifact it is that something is wrong."""
        what = f"{self.files.shown}: {listed}"
        try:
            yield
        except (DamageError, FileAbsent) as damage:
            reason = "it is listed and not there" if isinstance(damage, FileAbsent) else str(damage)
            raise ExportDamaged(
                f"{what}: {reason}; cut short or damaged, get it again (what was verified before it stays)"
            ) from damage
        except ForeignManifestError as foreign:
            raise ExportUnfit(
                f"{what}: {foreign}; written by another version of the project: use that one, or have it exported again"
            ) from foreign

    def _check_space(self, listed: Sequence[Listed]) -> None:
        needed = sum(one.size for one in listed)
        place = next(path for path in (self._imported, *self._imported.parents) if path.exists())
        with in_one_line("importing into", place):
            free = shutil.disk_usage(place).free
        if needed > free:
            raise SharingError(
                f"{self.files.shown}: needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free for "
                f"{WORK_FOLDER}/{IMPORTED}; free some space and run again"
            )

    def _sign(self) -> None:
        """Remember what came from here."""
        listed = {one.digest: one.sha256 for one in self.bundle.artifacts}
        here = {
            entry.key.digest: entry.manifest.sha256
            for entry in self.work.store.entries()
            if entry.origin is Origin.IMPORTED
        }
        own = {digest: sha256 for digest, sha256 in here.items() if listed.get(digest) == sha256}
        if not own:
            return
        suite, sealed = self.work.suite.name, self.bundle.sha256
        known = [one for one in receipts_of(self._imported, suite) if one.bundle == sealed]
        first = known[0] if known else Receipt(suite, self.files.shown, sealed, {})
        with in_one_line("importing into", self._imported):
            first.with_more(own).write(self._imported)

    def _difference(self, key: Key) -> str:
        """In which settings the export's nearest artifact differs from the one that is asked for."""
        kin = [one for one in self.bundle.artifacts if one.stage == key.stage][:MOST_KIN]
        found = [self._manifest(one).key for one in kin]
        differences = min((key.differences(other) for other in found), key=len, default=("there is none",))
        return f"{key.stage}: {', '.join(differences[:3])}"

    def _manifest(self, listed: Listed) -> Manifest:
        with self._told(listed):
            return listed.manifest(self.files.read(listed.manifest_file, LARGEST_MANIFEST))

    @property
    def _imported(self) -> Path:
        return self.work.store.imported_root


def _by_stage(keys: Sequence[Key]) -> str:
    counts = Counter(key.stage for key in keys)
    return ", ".join(f"{count} {stage}" for stage, count in sorted(counts.items()))
