"""Export and import of a suite's evidence: its artifacts, their order and its lock.

The exchange of artifacts itself is in :mod:`universal_neurons.artifacts.exchange`.
"""

from __future__ import annotations

import io
import re
import shlex
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from universal_neurons.artifacts.archive import Archive, check_format, is_archive
from universal_neurons.artifacts.bundle import LARGEST_LIST, ExportDamaged, FileAbsent, SourceUnavailable
from universal_neurons.artifacts.exchange import ImportBatch, export_artifacts, import_artifacts
from universal_neurons.artifacts.remote import RemoteExport, check_size, opened
from universal_neurons.inputs.hub import FileMissing, HubError, source_from_environment
from universal_neurons.inputs.lock_adoption import adopt_lock, lock_text
from universal_neurons.inputs.suite import load_suite
from universal_neurons.progress import NoProgress
from universal_neurons.stages.registry import stages, suite_keys
from universal_neurons.stages.schemas import schemas
from universal_neurons.stages.workspace import WORK_FOLDER, hub_corpus, open_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from universal_neurons.artifacts.exchange import Exported, Pulled
    from universal_neurons.artifacts.key import Key
    from universal_neurons.artifacts.remote import Files
    from universal_neurons.artifacts.schema import Schema
    from universal_neurons.inputs.hub import Snapshot, Source
    from universal_neurons.progress import Progress, Warn
    from universal_neurons.stages.base import Case, Stage
    from universal_neurons.stages.workspace import Workspace

_DATASET = re.compile(r"hf://datasets/(?P<repository>[^/@]+/[^/@]+)@(?P<revision>[^/@]+)(?:/(?P<path>.+?))?/?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Bytes of a manifest, with what an archive says of its two files.
MANIFEST_BYTES = 1 << 14
# All other keys are made from the tokens, and all other tables rest on these.
REQUIRED = ("corpus", "evaluation", "universality")


def export_suite(work: Workspace, target: Path) -> Exported:
    """Write everything that judging the suite reads to ``target``: a folder, or an archive if it is named like one.

    The text itself is never included.  Raises as :func:`~universal_neurons.artifacts.exchange.export_artifacts` does.
    """
    suite, lock = work.suite, lock_text(work.zoo, hub_corpus(work))
    return export_artifacts(
        work.store, suite_keys(work), target, suite=suite.name, narrowing=suite.narrowing, lock=lock
    )


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
    """Import from ``source`` what the suite (or a part of it) needs and no store here has.

    ``warn`` gets a line about what ``source`` lacks.  Raises SharingError for a source that cannot be read, damage,
    another suite, other settings or another version, and StoreError for what the system refuses.  Artifacts that
    were verified before stay.
    """
    options: dict[str, Any] = {"root": root, "store": store, "warn": warn, "narrowing": narrowing}
    work = open_workspace(suite, **options)
    command = work.suite.command(f"universal-neurons store import {shlex.quote(source)}")
    largest = partial(largest_export, replace(work, suite=load_suite(suite, work.root), cache={}))
    dataset = partial(open_dataset, command=command, warn=warn, largest=largest)
    with opened(source, scratch=work.root / WORK_FOLDER, dataset=dataset, largest=largest) as files:
        remote = RemoteExport.of(files, suite)
        lock = remote.bundle.lock
        if lock is not None and (news := _adopted(work, lock, source=remote.shown)):
            warn(f"the lock of suite {suite} has {news} new entries: what the evidence is about")
            work = open_workspace(suite, **options)
        pulled = import_artifacts(
            work.store, remote, _needs(work), suite=suite, described=str(work.suite), progress=progress or NoProgress()
        )
    if pulled.lacks is not None:
        warn(pulled.lacks)
    return pulled


def _needs(work: Workspace) -> Iterator[ImportBatch]:
    """The keys of every stage in their order; an export without token sets or universality tables is of no use."""
    for stage in stages():
        parts = {stage.key(work, case, part): (stage, case, part) for case in stage.taken(work) for part in stage.parts}

        def form(key: Key, parts: Mapping[Key, tuple[Stage, Case, str]] = parts) -> Schema:
            stage, case, part = parts[key]
            return schemas(work, stage, case)[part]

        yield ImportBatch(tuple(parts), form, required=stage.name in REQUIRED)


def largest_export(work: Workspace) -> int:
    """Bytes that no export of the suite exceeds: its list, and for every artifact its manifest and its payload."""
    forms = (form for stage in stages() for case in stage.taken(work) for form in schemas(work, stage, case).values())
    return LARGEST_LIST + sum(form.limits.size + MANIFEST_BYTES for form in forms)


def _adopted(work: Workspace, lock: str, *, source: str) -> int:
    checkpoints = [(model, step) for step in work.steps for model in work.suite.zoo.models]
    return adopt_lock(lock, work.zoo, hub_corpus(work), checkpoints, source=source)


def open_dataset(source: str, *, command: str, warn: Warn, largest: Callable[[], int]) -> Files:
    """The files of the data set that ``source`` names, or of an archive in it.

    ``command`` is what an error tells the user to run; an archive has at most ``largest`` bytes.  Raises
    :class:`SourceUnavailable` unless it is pinned by a commit, and HubError.
    """
    named = _DATASET.fullmatch(source)
    if named is None:
        raise SourceUnavailable(f"{source}: expected hf://datasets/OWNER/NAME@COMMIT, with a folder after it if any")
    hub = source_from_environment(command, warn=warn)
    repository, revision, path = named["repository"], named["revision"], named["path"] or ""
    snapshot = hub.snapshot(repository, revision, "dataset")
    if _COMMIT.fullmatch(revision) is None:
        now = f", now {snapshot.revision.commit}" if snapshot.revision.commit else ""
        raise SourceUnavailable(
            f"{source}: {revision} is a branch and may come to mean something else; name a commit{now}"
        )
    check_format(path, shown=source)
    files = _DataSet(snapshot, hub, path)
    return Archive(io.BytesIO(files.read("", largest())), shown=files.shown) if is_archive(path) else files


@dataclass(frozen=True)
class _DataSet:
    """A folder, or one file, of a data set at one commit: ``path`` in it, empty for all of it."""

    snapshot: Snapshot
    source: Source
    path: str

    @property
    def shown(self) -> str:
        """Repository and commit."""
        revision = self.snapshot.revision
        return f"{revision.path}@{revision.name[:12]}{f'/{self.path}' if self.path else ''}"

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of ``name`` in the folder (without one, of ``path`` itself), as the hub announced them."""
        path = "/".join(part for part in (self.path, name) if part)
        announced = self.snapshot.files.get(path)
        if announced is None:
            raise FileAbsent(f"{self.shown}: has no {name or path}")
        if announced.size is not None and announced.size > limit:
            raise ExportDamaged(f"{self.shown}: {name or path} has {announced.size} bytes, expected at most {limit}")
        try:
            data = self.source.content(self.snapshot.revision, path, announced)
        except FileMissing as missing:
            raise FileAbsent(str(missing)) from missing
        except HubError as error:
            raise SourceUnavailable(str(error)) from error
        check_size(len(data), limit, f"{self.shown}: {name or path}")
        return data
