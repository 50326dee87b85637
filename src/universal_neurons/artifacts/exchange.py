"""Export of a suite's artifacts, and import of others' artifacts, verified and kept apart from what is computed here.

An import takes only the artifacts of given keys: evidence of other settings has other keys, and is refused with the
difference.  It runs before the work: anything that a remote lacks or refuses shows before a claim is judged, and a run
reads from this machine only.  Killed at any moment, it leaves whole artifacts; the same command resumes it.

The caller names the artifacts that belong to a suite.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from universal_neurons.artifacts.archive import check_format, is_archive, write_archive
from universal_neurons.artifacts.bundle import Bundle, ExportUnfit, Listed, SharingError
from universal_neurons.artifacts.receipt import Receipt, receipts_of
from universal_neurons.artifacts.store import Origin, in_one_line
from universal_neurons.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from universal_neurons.artifacts.key import Key
    from universal_neurons.artifacts.remote import RemoteExport
    from universal_neurons.artifacts.schema import Schema
    from universal_neurons.artifacts.store import Store
    from universal_neurons.progress import Progress


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished export: its list, and where it was written."""

    bundle: Bundle
    target: Path

    def __str__(self) -> str:
        return f"exported {len(self.bundle.artifacts)} artifacts to {self.target} (evidence {self.bundle.sha256[:12]})"


@dataclass(frozen=True, slots=True)
class ImportBatch:
    """Artifacts that are imported together, each of its ``schema``.

    Without any of the ``required`` ones an export is of no use.
    """

    keys: tuple[Key, ...]
    schema: Callable[[Key], Schema]
    required: bool = False


@dataclass(frozen=True, slots=True)
class Pulled:
    """A finished import: how many artifacts are ``new``, how many were ``present``, which the export lacks
    (``absent``), and the ``reason`` for the first of these."""

    suite: str
    source: str
    new: int
    present: int
    absent: tuple[Key, ...]
    reason: str = ""

    def __str__(self) -> str:
        return f"suite {self.suite}: {self.new} artifacts imported from {self.source}, {self.present} were here"

    @property
    def lacks(self) -> str | None:
        """One line that says what the export lacks, or None."""
        if not self.absent:
            return None
        counts = sorted(Counter(key.stage for key in self.absent).items())
        stages = ", ".join(f"{count} {stage}" for stage, count in counts)
        return f"{self.source} lacks {len(self.absent)} artifacts of suite {self.suite} ({stages}); {self.reason}"


def export_artifacts(
    store: Store, keys: Iterable[Key], target: Path, *, suite: str, narrowing: str, lock: str | None
) -> Exported:
    """Write the artifacts of ``keys`` to ``target``: a folder, or an archive where its name says so.

    Two exports of the same artifacts are the same bytes.  A folder may hold the exports of several suites, each with a
    list of its own, and serves as a shipped store.  ``narrowing`` and ``lock`` go into the list (:class:`Bundle`).

    Raises StoreError if an artifact is absent, or if the target holds other bytes under its name, SharingError for an
    archive that exists with other bytes; an archive is whole or not there, and of a folder the list comes last.
    """
    check_format(target.name, shown=str(target))
    ordered = sorted(set(keys), key=lambda key: (key.stage, key.digest))
    bundle = Bundle.of(suite, narrowing, lock, (store.contents(key).manifest for key in ordered))
    if is_archive(target.name):
        with in_one_line("exporting to", target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                write_archive(target, _files(store, bundle, ordered))
            except FileExistsError as error:
                raise SharingError(f"{target}: exists, with other bytes; remove it, or name another file") from error
    else:
        # Of an artifact that is there already from another run, the list must name the manifest that stays.
        bundle = Bundle.of(suite, narrowing, lock, store.export(ordered, target))
        with in_one_line("exporting to", target):
            replace_file(target / bundle.name, bundle.encode())
    return Exported(bundle, target)


def _files(store: Store, bundle: Bundle, keys: Sequence[Key]) -> Iterator[tuple[str, bytes]]:
    """The members of an archive, its list first."""
    yield bundle.name, bundle.encode()
    for key in keys:
        contents, listed = store.contents(key), bundle.find(key)
        if listed is None or Listed.of(contents.manifest) != listed:
            raise SharingError(f"export: {key} changed in the store meanwhile; run again")
        yield listed.manifest_file, contents.manifest.encode()
        yield listed.payload_file, contents.payload


def import_artifacts(
    store: Store, remote: RemoteExport, needs: Iterable[ImportBatch], *, suite: str, described: str, progress: Progress
) -> Pulled:
    """Adopt from ``remote`` what of ``needs`` no store has, in that order, and note what came from there.

    A later need may be made of artifacts of an earlier one: ``needs`` is taken one by one.  ``described`` names the
    suite with its options in errors.

    Raises SharingError for damage, too little space, and an export that lacks all of a required need, StoreError for
    what the system refuses.  Artifacts that were verified before stay.
    """
    with store.import_lock(suite):
        new = present = 0
        absent: list[Key] = []
        try:
            for need in needs:
                missing = [key for key in dict.fromkeys(need.keys) if not store.has(key)]
                listed = [key for key in missing if remote.find(key) is not None]
                if need.required and missing and not listed:
                    raise ExportUnfit(
                        f"{remote.shown}: its evidence is not that of suite {described} here: "
                        f"{remote.difference(missing[0])}; use the version and the options that it was exported with, "
                        "or compute it"
                    )
                taken = _taken(store, remote, listed, need.schema, progress)
                lacking = [key for key in missing if remote.find(key) is None]
                new, present = new + taken, present + len(set(need.keys)) - taken - len(lacking)
                absent += lacking
        finally:
            # Also if it broke off: whatever was taken is imported, and its source should be known.
            _sign(store, remote, suite)
    return Pulled(suite, remote.shown, new, present, tuple(absent), remote.difference(absent[0]) if absent else "")


def _taken(
    store: Store, remote: RemoteExport, keys: Sequence[Key], schema: Callable[[Key], Schema], progress: Progress
) -> int:
    """Fetch listed artifacts; returns how many are new."""
    _check_space(store.imported_root, remote, keys)
    progress.start(f"importing from {remote.shown}", len(keys))
    new = 0
    for key in keys:
        contents = remote.contents(key, schema(key))
        new += contents is not None and store.adopt(contents)
        progress.advance()
    progress.finish()
    return new


def _check_space(imported: Path, remote: RemoteExport, keys: Sequence[Key]) -> None:
    needed = sum(listed.size for key in keys if (listed := remote.find(key)) is not None)
    folder = next(path for path in (imported, *imported.parents) if path.exists())
    with in_one_line("importing into", folder):
        free = shutil.disk_usage(folder).free
    if needed > free:
        raise SharingError(
            f"{remote.shown}: needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free for "
            f"{imported.parent.name}/{imported.name}; free some space and run again"
        )


def _sign(store: Store, remote: RemoteExport, suite: str) -> None:
    """Note in a receipt which imported artifacts came with this export."""
    imported = store.imported_root
    listed = {entry.digest: entry.sha256 for entry in remote.bundle.artifacts}
    here = {entry.key.digest: entry.manifest.sha256 for entry in store.entries() if entry.origin is Origin.IMPORTED}
    own = {digest: sha256 for digest, sha256 in here.items() if listed.get(digest) == sha256}
    if not own:
        return
    known = [receipt for receipt in receipts_of(imported, suite) if receipt.bundle == remote.bundle.sha256]
    first = known[0] if known else Receipt(suite, remote.shown, remote.bundle.sha256, {})
    with in_one_line("importing into", imported):
        replace(first, artifacts={**first.artifacts, **own}).write(imported)
