"""The state of an unfinished computation on disk, from which a killed run resumes.

A state is a document and named tensors, in a folder: tensors in pieces, each a file whose sha256 the document states,
and the document last.  A new state is written beside the old one and takes its place by a rename, so a kill at any
moment leaves one of them whole.  A state that does not verify counts as absent: that costs time, never a wrong number.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from universal_neurons.artifacts.codec import PayloadError, decode, encode
from universal_neurons.files import sync_folder, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    import torch

# A name that is no stage, so the store does not take it for one.  Below it, a folder per suite and computation.
STATES = ".unfinished"
DOCUMENT = "state.json"
# In this order: a state that was written whole and not yet renamed is the newest.
NEXT, CURRENT, OLD = "next", "current", "old"
# Bytes of one file.  A whole tensor may be larger than what the host has left.
PIECE_BYTES = 2**26
# How long an interrupted computation waits for somebody to go on with it; its state may be gigabytes.
KEPT_DAYS = 30
_DAY = 86_400
# Writing states may take this share of the time.
_SHARE = 0.1


@dataclass(frozen=True)
class State:
    """A state as read: ``document`` in JSON's types, ``tensors`` by name, on the CPU."""

    document: dict[str, Any]
    tensors: dict[str, torch.Tensor]


@dataclass(frozen=True)
class StateFolder:
    """The place of the state of one computation; ``warn`` gets one line for what was damaged."""

    path: Path
    warn: Callable[[str], None]

    def write(self, document: Mapping[str, Any], tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Replace the state; after an OSError the previous state stays."""
        target = self.path / NEXT
        try:
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            files = list(_written(target, tensors))
            content = json.dumps({"document": dict(document), "files": files}, allow_nan=False)
            digest = hashlib.sha256(content.encode()).hexdigest()
            write_file(target / DOCUMENT, f"{digest}\n{content}".encode())
            sync_folder(target)
        except OSError:
            shutil.rmtree(target, ignore_errors=True)
            raise
        current, old = self.path / CURRENT, self.path / OLD
        shutil.rmtree(old, ignore_errors=True)
        if current.exists():
            current.rename(old)
        target.rename(current)
        sync_folder(self.path)
        shutil.rmtree(old, ignore_errors=True)

    def read(self) -> State | None:
        """The newest state that is whole and verified; None if there is none."""
        for name in (NEXT, CURRENT, OLD):
            folder = self.path / name
            if not (folder / DOCUMENT).exists():
                continue
            try:
                return _read(folder)
            except (OSError, ValueError, LookupError, TypeError, PayloadError) as error:
                cause = " ".join(str(error).split()) or type(error).__name__
                self.warn(f"the state of an interrupted computation is damaged ({cause}); it is not used")
        return None

    def remove(self) -> None:
        """Forget the state; its content is in artifacts now, or of no use."""
        shutil.rmtree(self.path, ignore_errors=True)


@dataclass
class Checkpoints:
    """The states that a computation writes every ``seconds`` or so, less often where writing takes long.

    ``title`` is what ``warn`` calls the computation where a state cannot be written; it goes on without.
    """

    folder: StateFolder
    title: str
    seconds: float
    _written: float = field(default_factory=time.monotonic)
    _writing: float = 0.0

    def is_due(self) -> bool:
        """Whether it is time to write the state."""
        return time.monotonic() - self._written >= max(self.seconds, self._writing / _SHARE)

    def write(self, document: Mapping[str, Any], tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Replace the state, if the disk takes it."""
        began = time.monotonic()
        try:
            self.folder.write(document, tensors)
        except OSError as error:
            self.folder.warn(f"{self.title}: the state cannot be written ({error.strerror}); going on")
        self._written = time.monotonic()
        self._writing = self._written - began


def sweep(folder: Path, warn: Callable[[str], None]) -> None:
    """Remove the states in ``folder``, in a folder per suite, that no run has touched for ``KEPT_DAYS`` days."""
    for path in sorted(folder.glob("*/*")):
        age = (time.time() - _last_written(path)) / _DAY
        if age > KEPT_DAYS:
            shutil.rmtree(path, ignore_errors=True)
            warn(f"the state of a computation that was interrupted {age:.0f} days ago is removed")


def _last_written(path: Path) -> float:
    return max((found.stat().st_mtime for found in (path, *path.rglob("*"))), default=0.0)


def _written(folder: Path, tensors: Iterable[tuple[str, torch.Tensor]]) -> Iterator[dict[str, Any]]:
    """Write the tensors, small ones together, large ones in pieces; of every file its digest and what is in it."""
    number, held, names = 0, 0, list[str]()
    arrays: dict[str, Any] = {}
    for name, array in _pieces(tensors):
        if arrays and held + array.nbytes > PIECE_BYTES:
            yield _file(folder, number, arrays, names)
            number, held, arrays, names = number + 1, 0, {}, []
        arrays[str(len(names))] = array
        names.append(name)
        held += array.nbytes
    if arrays:
        yield _file(folder, number, arrays, names)


def _pieces(tensors: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, Any]]:
    for name, tensor in tensors:
        rows = max(1, PIECE_BYTES // max(1, tensor[:1].numel() * tensor.element_size()))
        for start in range(0, max(1, len(tensor)), rows):
            yield name, tensor[start : start + rows].detach().cpu().numpy()


def _file(folder: Path, number: int, arrays: dict[str, Any], names: list[str]) -> dict[str, Any]:
    _, payload = encode(arrays)
    write_file(folder / f"{number}.safetensors", payload)
    return {"tensors": names, "sha256": hashlib.sha256(payload).hexdigest()}


def _read(folder: Path) -> State:
    import torch

    digest, _, content = (folder / DOCUMENT).read_text(encoding="utf-8").partition("\n")
    if hashlib.sha256(content.encode()).hexdigest() != digest:
        raise ValueError(f"{DOCUMENT} has another digest")
    described = json.loads(content)
    pieces: dict[str, list[torch.Tensor]] = {}
    for number, file in enumerate(described["files"]):
        payload = (folder / f"{number}.safetensors").read_bytes()
        if hashlib.sha256(payload).hexdigest() != file["sha256"]:
            raise ValueError(f"{number}.safetensors has another digest")
        arrays: Any = decode("safetensors", payload)
        for place, name in enumerate(file["tensors"]):
            pieces.setdefault(name, []).append(torch.from_numpy(arrays[str(place)].copy()))
    tensors = {name: parts[0] if len(parts) == 1 else torch.cat(parts) for name, parts in pieces.items()}
    return State(described["document"], tensors)


@dataclass
class Interruption:
    """Whether the user has asked to stop; see :func:`deferred_interruption`."""

    wanted: bool = False


@contextmanager
def deferred_interruption() -> Iterator[Interruption]:
    """Ctrl-C inside the block is noted and not raised, so that the code there can stop where its state is whole.

    A second Ctrl-C is raised at once.  Outside the main thread, which gets no signals, nothing is changed, nor
    where Ctrl-C is ignored, as in a background process.
    """
    asked = Interruption()
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if is_ignored or threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        if asked.wanted:
            raise KeyboardInterrupt
        asked.wanted = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
