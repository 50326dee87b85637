"""Text from a hub: documents of a data set by commit, in a seeded order, and rows of tokens made of them.

A data set is large and a suite needs its beginning, so files are read in pieces from the first byte on and until enough
tokens are kept.  The pieces stay (``.universal-neurons/downloads``), each under its sha256: a killed run resumes, with
the same result, and what changed on the disk is fetched again.  The lock pins the text: the commit, and for each file
its size and its sha256.  A file that was read to its end is compared with the sha256; where one was not, others can
compare the sha256 of the rows.

Deviation: the newer paper's code takes documents in the order of the data set; here they pass a seeded shuffle buffer,
so that a smaller number of tokens is not another mixture of subsets.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from universal_neurons.files import replace_file, shown
from universal_neurons.inputs.corpus import CorpusError, Cutting, Document, is_held_out
from universal_neurons.inputs.hub import DigestMismatch, FileMissing
from universal_neurons.inputs.lock import Lock, LockedCorpus, turn
from universal_neurons.inputs.pinning import Pins, fields_of, revision_of
from universal_neurons.inputs.unpacking import UnpackingError, unpacked
from universal_neurons.inputs.validation import StrictTable, read_model
from universal_neurons.progress import discard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from universal_neurons.inputs.hub import Revision, Snapshot

DOWNLOADS = Path(".universal-neurons") / "downloads"
PIECE = 8 << 20
# Bytes of the longest document that is read.
LONGEST_LINE = 1 << 26
_SURROGATE = re.compile("[\ud800-\udfff]")
Part = Literal["identification", "evaluation"]


class HubCorpusRecipe(StrictTable):
    """The files of a data set and the rule for reading them (a TOML file in fixtures with ``kind = "hub"``).

    ``text`` and ``subset`` are the places of the text and of its label in a document's JSON.  Documents of fewer than
    ``shortest`` characters are left out.  ``buffer`` documents are shuffled at a time.  ``evaluation_share`` of the
    documents identify no neuron: ablations are judged on them.  ``cutting`` says how rows are made:
    ``documents``: beginning-of-sequence, then text, with end-of-text after every document;
    ``published``: an emulation of the newer paper's code (claims/README.md, Published code), which takes the first
    tokens of each document, as many as a row has, and neither separates documents nor begins rows.
    """

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
        return read_model(cls, path, error=CorpusError, advice="expected a corpus recipe")


def is_on_hub(path: Path) -> bool:
    """Tell whether the corpus recipe in ``path`` is of text on a hub; an unreadable file is not."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")).get("kind") == "hub"
    except (OSError, ValueError, RecursionError):
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
    """The documents of ``recipe`` as the lock of ``pins`` has them; pieces that were read stay in the checkout.

    ``read`` counts the bytes of each file that were read since documents were last asked for.
    """

    recipe: HubCorpusRecipe
    pins: Pins
    read: dict[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, name: str, pins: Pins) -> HubCorpus:
        """The corpus ``name`` of the checkout of ``pins``; raises :class:`CorpusError`."""
        return cls(HubCorpusRecipe.read(pins.root / "fixtures" / "corpora" / f"{name}.toml"), pins)

    @property
    def locked(self) -> LockedCorpus:
        """The data set as the lock has it; raises :class:`NotPinned` if it has none, or another one."""
        entry = self._known(Lock.read(self.pins.path))
        if entry is None:
            raise self.pins.not_pinned(f"text ({self.recipe.repository})")
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
        with self.pins.turn():
            lock = Lock.read(self.pins.path)
            entry = self.pins.renewed("text", self._known(lock), self._resolved, accept=accept)
            if entry != lock.corpus:
                self.pins.write(lock.with_entry("text", entry))

    def _resolved(self) -> LockedCorpus:
        snapshot = self.pins.source.snapshot(self.recipe.repository, self.recipe.revision, "dataset")
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
        if self._known(Lock.read(self.pins.path)) is None:
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

    def _known(self, lock: Lock) -> LockedCorpus | None:
        """The entry of ``lock`` if it is about the recipe's files."""
        entry, meant = lock.corpus, (self.recipe.repository, self.recipe.revision, sorted(self.recipe.files))
        return entry if entry and (entry.repository, entry.revision, sorted(entry.files)) == meant else None

    def _digest(self, snapshot: Snapshot, name: str) -> str:
        announced = snapshot.files[name]
        if announced.sha256 is not None:
            return announced.sha256
        digest = hashlib.sha256()
        for start, stop in _spans(_size(snapshot, name)):
            digest.update(self.pins.source.part(snapshot.revision, name, start, stop))
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
        except (ValueError, LookupError, TypeError, RecursionError) as error:
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
            if len(rest) > LONGEST_LINE:
                raise CorpusError(
                    f"{self.recipe.repository}/{name}: expected a document per line, got a line of {len(rest)} bytes"
                )
        if rest:
            yield rest

    def _unpacked(self, name: str) -> Iterator[bytes]:
        try:
            yield from unpacked(name, self._pieces(name))
        except UnpackingError as error:
            shutil.rmtree(self._downloaded(name), ignore_errors=True)
            raise DigestMismatch(
                f"{revision_of(self.locked, 'dataset')}/{name}: damaged ({error}); nothing was used; "
                f"run again: {self.pins.command}"
            ) from None

    def _pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a file from its beginning; the ones that are not here yet are fetched and kept."""
        locked = self.locked
        revision, size, folder = revision_of(locked, "dataset"), locked.bytes[name], self._downloaded(name)
        digest = hashlib.sha256()
        folder.mkdir(parents=True, exist_ok=True)
        for start, stop in _spans(size):
            piece = self._piece(folder, revision, name, start, stop)
            digest.update(piece)
            self.read[name] = stop
            if stop == size and digest.hexdigest() != locked.files[name]:
                shutil.rmtree(folder, ignore_errors=True)
                raise DigestMismatch(
                    f"{revision}/{name}: sha256 {locked.files[name][:12]} expected, got {digest.hexdigest()[:12]}; "
                    f"nothing was used; run again: {self.pins.command}"
                )
            yield piece

    def _piece(self, folder: Path, revision: Revision, name: str, start: int, stop: int) -> bytes:
        """The bytes from ``start`` to ``stop`` of a file; what is not here is fetched, by one process at a time."""
        span = f"{start}-{stop}-"
        piece = self._kept(folder, span)
        if piece is None:
            # The wait is for one piece at most, so no line is worth it.
            with turn(self.pins.root, folder.name, warn=discard):
                piece = self._kept(folder, span)
                if piece is None:
                    piece = self.pins.source.part(revision, name, start, stop)
                    replace_file(folder / f"{span}{hashlib.sha256(piece).hexdigest()}", piece)
        return piece

    def _kept(self, folder: Path, span: str) -> bytes | None:
        """A piece that is here, None if there is none; the sha256 in its name finds what changed on the disk."""
        for path in folder.glob(f"{span}*"):
            piece = path.read_bytes()
            if path.name == f"{span}{hashlib.sha256(piece).hexdigest()}":
                return piece
            self.pins.warn(f"{shown(path)}: changed on the disk since it was fetched; it is fetched again")
            path.unlink(missing_ok=True)
        return None

    def _downloaded(self, name: str) -> Path:
        # By its digest: pieces of two commits of one branch must never come together.
        return self.pins.root / DOWNLOADS / self.locked.files[name]


def _spans(size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + PIECE, size)) for start in range(0, size, PIECE))


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
