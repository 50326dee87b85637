"""Text from a hub: documents of a data set by commit, in a seeded order, and rows of tokens made of them.

A data set is large and a suite needs its beginning, so files are read in pieces from the first byte on and until enough
tokens are kept.  The pieces stay (``.universal-neurons/downloads``): a killed run resumes, with the same result.  The
lock pins the text: the commit, and for each file its size and its sha256.  A file that was read to its end is compared
with the sha256; where one was not, others can compare the sha256 of the rows.

Deviation: the newer paper's code takes documents in the order of the data set; here they pass a seeded shuffle buffer,
so that a smaller number of tokens is not another mixture of subsets.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from universal_neurons.inputs.corpus import CorpusError, Document, is_held_out
from universal_neurons.inputs.hub import DigestMismatch, FileMissing, Source, source_from_environment
from universal_neurons.inputs.lock import LOCK_SUFFIX, Lock, LockedCorpus, turn
from universal_neurons.inputs.pinning import fetch_command, fields_of, not_pinned, renewed, revision_of, shown
from universal_neurons.inputs.unpacking import UnpackingError, unpacked
from universal_neurons.inputs.validation import first_problem
from universal_neurons.progress import discard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from universal_neurons.inputs.hub import Revision, Snapshot
    from universal_neurons.progress import Warn

KIND = "hub"
DOWNLOADS = Path(".universal-neurons") / "downloads"
PIECE = 8 << 20
_SURROGATE = re.compile("[\ud800-\udfff]")
Part = Literal["identification", "evaluation"]
Cutting = Literal["documents", "published"]


class HubCorpusRecipe(BaseModel):
    """The files of a data set and the rule for reading them (a TOML file in fixtures with ``kind = "hub"``).

    ``text`` and ``subset`` are the places of the text and of its label in a document's JSON.  Documents of fewer than
    ``shortest`` characters are left out.  ``buffer`` documents are shuffled at a time.  ``evaluation_share`` of the
    documents identify no neuron: ablations are judged on them.  ``cutting`` says how rows are made:
    ``documents``: beginning-of-sequence, then text, with end-of-text after every document;
    ``published``: an emulation of the newer paper's code (claims/README.md, Published code), which takes the first
    tokens of each document, as many as a row has, and neither separates documents nor begins rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Literal["hub"]
    title: str
    repository: str
    revision: str
    files: tuple[str, ...] = Field(min_length=1)
    text: tuple[str, ...] = Field(min_length=1)
    subset: tuple[str, ...] = Field(min_length=1)
    shortest: int = Field(ge=1)
    buffer: int = Field(ge=1)
    evaluation_share: float = Field(gt=0, lt=1)
    cutting: Cutting

    @classmethod
    def read(cls, path: Path) -> Self:
        """The recipe in the TOML file ``path``; raises :class:`CorpusError`."""
        try:
            return cls.model_validate_json(json.dumps(tomllib.loads(path.read_text(encoding="utf-8")), default=str))
        except OSError as error:
            raise CorpusError(f"{shown(path)}: cannot be read ({error.strerror}); expected a corpus recipe") from None
        except ValidationError as error:
            raise CorpusError(f"{shown(path)}: {first_problem(error)}") from None
        except ValueError as error:
            raise CorpusError(f"{shown(path)}: not TOML: {error}") from None


def is_on_hub(path: Path) -> bool:
    """Tell whether the corpus recipe in ``path`` is of text on a hub; an unreadable file is not."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")).get("kind") == KIND
    except (OSError, ValueError):
        return False


def shuffled(documents: Iterable[Document], *, buffer: int, seed: int) -> Iterator[Document]:
    """``documents`` in a seeded order: each leaves a buffer of ``buffer`` documents from a random slot.

    The order of what was read does not depend on what follows by more than ``buffer`` documents, so asking for more
    tokens never changes the first ones.
    """
    held: list[Document] = []
    # ``random()`` is the one method whose sequence Python promises not to change.
    dice = random.Random(seed)  # noqa: S311  a sample, not a secret
    for document in documents:
        if len(held) < buffer:
            held.append(document)
            continue
        slot = int(dice.random() * buffer)
        yield held[slot]
        held[slot] = document
    while held:
        yield held.pop(int(dice.random() * len(held)))


@dataclass
class HubCorpus:
    """The documents of ``recipe`` as ``suite``'s lock at ``path`` pins them; pieces that were read lie in ``folder``.

    ``read`` counts the bytes of each file that were read since documents were last asked for.  ``command`` is what a
    user runs to fetch the text; ``warn`` gets a line if another process must be waited for.
    """

    name: str
    recipe: HubCorpusRecipe
    suite: str
    path: Path
    folder: Path
    source: Source
    command: str
    read: dict[str, int] = field(default_factory=dict)
    warn: Warn = discard

    @classmethod
    def open(
        cls,
        root: Path,
        name: str,
        *,
        suite: str,
        source: Source | None = None,
        command: str = "",
        warn: Warn = discard,
    ) -> HubCorpus:
        """The corpus ``name`` of the checkout ``root``, locked for ``suite``; ``command`` fetches less of it.

        Raises :class:`CorpusError`.
        """
        recipe = HubCorpusRecipe.read(root / "fixtures" / "corpora" / f"{name}.toml")
        path = root / "fixtures" / "suites" / f"{suite}{LOCK_SUFFIX}"
        fetch = command or fetch_command(suite)
        files = source or source_from_environment(fetch, warn=warn)
        return cls(name, recipe, suite, path, root / DOWNLOADS, files, fetch, warn=warn)

    @property
    def locked(self) -> LockedCorpus:
        """The data set as the lock has it; raises :class:`NotPinned` if it has none, or another one."""
        entry = Lock.read(self.path).corpus
        if entry is None or not self._is_meant(entry):
            raise not_pinned(f"text ({self.recipe.repository})", self.path, suite=self.suite, command=self.command)
        return entry

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that decides the documents and their order: the files' digests and the recipe.

        The commit does not enter, the files do: another README is no other text.  Raises :class:`NotPinned`.
        """
        digests = self.locked.files
        settings = self.recipe.model_dump(mode="json", include={"text", "subset", "shortest", "buffer", "cutting"})
        material = [[digests[name] for name in self.recipe.files], settings, self.recipe.evaluation_share]
        return hashlib.sha256(json.dumps(material, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def pin(self, *, accept: bool = False) -> None:
        """Ask the hub which commit and which files the recipe means, and write the lock if something is new.

        Nothing is downloaded where the hub announces the files' sha256.  Another process that pins the same suite
        waits.  Raises :class:`RepositoryChanged` if hub and lock differ and ``accept`` is False, and :class:`HubError`
        for anything that the hub lacks.
        """
        with turn(self.path.parents[2], self.path.name, warn=self.warn):
            self._pin(accept=accept)

    def _pin(self, *, accept: bool) -> None:
        lock = Lock.read(self.path)
        known = lock.corpus if lock.corpus is not None and self._is_meant(lock.corpus) else None
        entry = renewed("text", known, self._resolved, fetch=self.command, accept=accept)
        if entry != lock.corpus:
            lock.model_copy(update={"corpus": entry}).write(self.path, command=fetch_command(self.suite))

    def _resolved(self) -> LockedCorpus:
        snapshot = self.source.snapshot(self.recipe.repository, self.recipe.revision, "dataset")
        absent = [name for name in self.recipe.files if name not in snapshot.files]
        if absent:
            raise FileMissing(f"{snapshot.revision}: expected {absent[0]}, got {', '.join(sorted(snapshot.files)[:8])}")
        return LockedCorpus(
            **fields_of(snapshot.revision),
            files={name: self._digest(snapshot, name) for name in self.recipe.files},
            bytes={name: _size(snapshot, name) for name in self.recipe.files},
        )

    def pin_missing(self) -> None:
        """:meth:`pin`, unless the lock has it."""
        entry = Lock.read(self.path).corpus
        if entry is None or not self._is_meant(entry):
            self.pin()

    def documents(self, part: Part, *, seed: int) -> Iterator[Document]:
        """The documents of one part in their seeded order, read as they are asked for.

        The part of a document follows from its file and line, whatever else is read.  Raises :class:`HubError` if the
        text cannot be had, :class:`CorpusError` if it is no text.
        """
        self.read.clear()
        share, is_evaluation = self.recipe.evaluation_share, part == "evaluation"
        of_part = (
            document for document in self._all() if is_held_out(document.path, share=share, seed=seed) == is_evaluation
        )
        return shuffled(of_part, buffer=self.recipe.buffer, seed=seed)

    def _is_meant(self, entry: LockedCorpus) -> bool:
        named = (entry.repository, entry.revision, sorted(entry.files))
        return named == (self.recipe.repository, self.recipe.revision, sorted(self.recipe.files))

    def _digest(self, snapshot: Snapshot, name: str) -> str:
        announced = snapshot.files[name]
        if announced.sha256 is not None:
            return announced.sha256
        digest = hashlib.sha256()
        for start, stop in _spans(0, _size(snapshot, name)):
            digest.update(self.source.part(snapshot.revision, name, start, stop))
        return digest.hexdigest()

    def _all(self) -> Iterator[Document]:
        for name in self.recipe.files:
            for number, line in enumerate(self._lines(name), start=1):
                if not line.strip():
                    continue
                document = self._document(name, number, line)
                if len(document.text) >= self.recipe.shortest:
                    yield document

    def _document(self, name: str, number: int, line: bytes) -> Document:
        try:
            raw = json.loads(line)
            text, subset = _at(raw, self.recipe.text), _at(raw, self.recipe.subset)
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusError(
                f"{self.recipe.repository}/{name}:{number}: expected JSON with {'.'.join(self.recipe.text)} and "
                f"{'.'.join(self.recipe.subset)}, got {line[:40]!r} ({type(error).__name__})"
            ) from None
        return Document(subset, f"{name}:{number}", text)

    def _lines(self, name: str) -> Iterator[bytes]:
        rest = b""
        for content in self._unpacked(name):
            *lines, rest = (rest + content).split(b"\n")
            yield from lines
        if rest:
            yield rest

    def _unpacked(self, name: str) -> Iterator[bytes]:
        try:
            yield from unpacked(name, self._pieces(name))
        except UnpackingError as error:
            self._downloaded(name).unlink(missing_ok=True)
            raise DigestMismatch(
                f"{revision_of(self.locked, 'dataset')}/{name}: damaged ({error}); nothing was used; "
                f"run again: {self.command}"
            ) from None

    def _pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a file from its beginning; the ones that are not here yet are fetched and kept."""
        locked = self.locked
        revision, size, path = revision_of(locked, "dataset"), locked.bytes[name], self._downloaded(name)
        digest, start = hashlib.sha256(), 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            while start < size:
                piece = self._piece(file, revision, name, start, min(start + PIECE, size))
                start += len(piece)
                digest.update(piece)
                self.read[name] = start
                if start == size and digest.hexdigest() != locked.files[name]:
                    path.unlink(missing_ok=True)
                    raise DigestMismatch(
                        f"{revision}/{name}: sha256 {locked.files[name][:12]} expected, got {digest.hexdigest()[:12]}; "
                        f"nothing was used; run again: {self.command}"
                    )
                yield piece

    def _piece(self, file: BinaryIO, revision: Revision, name: str, start: int, stop: int) -> bytes:
        """The bytes from ``start`` to ``stop`` of a file, or as many of them as are here; none here are fetched.

        One process at a time fetches: bytes that another one appended meanwhile must not come twice.
        """
        if _end(file) <= start:
            # The wait is for one piece at most, so no line is worth it.
            with turn(self.path.parents[2], Path(file.name).name, warn=discard):
                if _end(file) <= start:
                    piece = self.source.part(revision, name, start, stop)
                    file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
                    return piece
        here = min(_end(file), stop)
        file.seek(start)
        return file.read(here - start)

    def _downloaded(self, name: str) -> Path:
        # By its digest: pieces of two commits of one branch must never come together.
        return self.folder / f"{self.locked.files[name]}.part"


def _spans(start: int, stop: int) -> Iterator[tuple[int, int]]:
    return ((first, min(first + PIECE, stop)) for first in range(start, stop, PIECE))


def _end(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _size(snapshot: Snapshot, name: str) -> int:
    size = snapshot.files[name].size
    if size is None:
        raise FileMissing(f"{snapshot.revision}/{name}: expected its size, got none")
    return size


def _at(raw: Any, path: tuple[str, ...]) -> str:
    for name in path:
        raw = raw[name]
    if not isinstance(raw, str):
        raise TypeError(path)
    # JSON may name one half of a pair of surrogates alone, which is no character and which nothing can encode.
    return raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if _SURROGATE.search(raw) else raw
