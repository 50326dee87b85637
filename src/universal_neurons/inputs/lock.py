"""A suite's lock: which commit of which repository it means, and the sha256 of every file that is taken from it.

fixtures/suites/<suite>.lock.toml
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from universal_neurons.files import locked, replace_file
from universal_neurons.inputs.validation import Table, checked_model, parsed_toml, read_toml
from universal_neurons.inputs.weights import SHARD
from universal_neurons.inputs.zoo import CONFIG, ZooError, equal_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from universal_neurons.progress import Warn

LOCK_SUFFIX = ".lock.toml"
TURNS = Path(".universal-neurons") / "locks"
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# The fields of a lock by what messages call their entries.
_FIELDS = {"tokenizer": "tokenizer", "text": "corpus"}
_Commit = Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")]


class LockError(ZooError):
    """A lock is damaged."""


class EqualWeights(ZooError):
    """Two checkpoints hold the same weights: comparing them would compare a model with itself."""


class LockedFiles(Table):
    """Files of one commit by their sha256; ``commit`` is empty for files that came from a local folder."""

    repository: str
    revision: str
    commit: _Commit
    files: dict[str, _Sha256]

    def __str__(self) -> str:
        return f"{self.repository}@{self.commit[:12] or self.revision}"

    @property
    def source(self) -> str:
        """The repository with its commit, which is what references to models carry."""
        return f"{self.repository}@{self.commit or self.revision}"

    def succeeded_by(self, other: LockedFiles) -> bool:
        """Tell whether ``other`` means the same files of the same commit and may replace this entry silently."""
        same_commit = self.commit == other.commit or not self.commit or not other.commit
        return same_commit and self.files == other.files


class LockedCheckpoint(LockedFiles):
    """The files of one model at one step; ``weights`` names the one that holds the tensors, or the index of several."""

    weights: str

    @property
    def shards(self) -> tuple[str, ...]:
        """The files that hold the tensors where ``weights`` is an index of them."""
        return tuple(sorted(file for file in self.files if file not in (CONFIG, self.weights)))

    @property
    def digest(self) -> str:
        """sha256 of the weights' file, or over the digests of its shards: equal weights have equal indices."""
        if not self.shards:
            return self.files[self.weights]
        return sha256("".join(self.files[shard] for shard in self.shards).encode()).hexdigest()


class LockedCorpus(LockedFiles):
    """The files of a data set and their sizes in bytes, because of a large one only the beginning is ever read."""

    bytes: dict[str, int]


class Lock(Table):
    """Checkpoints by model and step, the tokenizer, the text; empty until something was fetched."""

    tokenizer: LockedFiles | None = None
    corpus: LockedCorpus | None = None
    checkpoints: dict[str, dict[int, LockedCheckpoint]] = Field(default={})

    @classmethod
    def read(cls, path: Path) -> Lock:
        """The lock in ``path``, empty where there is no file; raises :class:`LockError` and :class:`EqualWeights`."""
        if not os.path.lexists(path):  # not Path.exists, which raises for a name that is too long
            return cls()
        return cls._checked(read_toml(path, error=LockError, advice="expected a lock"), where=str(path))

    @classmethod
    def parse(cls, text: str, *, where: str) -> Lock:
        """The lock that ``text`` is; raises :class:`LockError` and :class:`EqualWeights`, in which it is ``where``."""
        return cls._checked(parsed_toml(text, where=where, error=LockError), where=where)

    @classmethod
    def _checked(cls, raw: object, *, where: str) -> Lock:
        lock = checked_model(cls, raw, where=where, error=LockError)
        lock.check(where=where)
        return lock

    def entries(self) -> Iterator[tuple[str, int, LockedCheckpoint]]:
        """Every checkpoint as (model, step, files)."""
        for model, steps in self.checkpoints.items():
            for step, entry in steps.items():
                yield model, step, entry

    def find(self, model: str, step: int) -> LockedCheckpoint | None:
        """The files of ``model`` at ``step``, or None."""
        return self.checkpoints.get(model, {}).get(step)

    def entry(self, what: str) -> LockedFiles | None:
        """The files of ``what``: "tokenizer", "text" or ``model@step``; None if the lock lacks them."""
        if what in _FIELDS:
            return getattr(self, _FIELDS[what])  # type: ignore[no-any-return]
        model, _, step = what.rpartition("@")
        return self.find(model, int(step))

    def with_entry(self, what: str, entry: LockedFiles) -> Lock:
        """This lock with other files of ``what``."""
        if what in _FIELDS:
            return self.model_copy(update={_FIELDS[what]: entry})
        model, _, step = what.rpartition("@")
        steps = {**self.checkpoints.get(model, {}), int(step): entry}
        return self.model_copy(update={"checkpoints": {**self.checkpoints, model: steps}})

    def check(self, *, where: str) -> None:
        """Raise :class:`LockError` for an entry without weights and :class:`EqualWeights` for two with the same.

        A loader once returned the same weights for every checkpoint label (TransformerLens issue 453).
        """
        for model, step, entry in self.entries():
            if entry.weights not in entry.files:
                raise LockError(
                    f"{where}: {model}@{step}: files: expected {entry.weights!r}, got {sorted(entry.files)}"
                )
            if strange := [name for name in entry.shards if not SHARD.fullmatch(name)]:
                raise LockError(f"{where}: {model}@{step}: files: expected shards of weights, got {strange[0]!r}")
        if equal := equal_weights((f"{model}@{step} ({entry})", entry.digest) for model, step, entry in self.entries()):
            raise EqualWeights(f"{where}: {equal}")

    def write(self, path: Path, *, command: str) -> None:
        """Write the lock to ``path`` in one step: a killed run leaves the old one; ``command`` made it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, self.text(command=command).encode())

    def text(self, *, command: str) -> str:
        """The lock as TOML, models and steps in order, so that a change of one checkpoint is a change of its lines."""
        parts = [
            "# Which commits and which bytes the suite means.  Written by:",
            f"#   {command}",
            "",
        ]
        for name, entry in (("tokenizer", self.tokenizer), ("corpus", self.corpus)):
            parts += _table(name, entry) if entry is not None else []
        for model in sorted(self.checkpoints):
            for step in sorted(self.checkpoints[model]):
                parts += _table(f"checkpoints.{_quoted(model)}.{step}", self.checkpoints[model][step])
        return "\n".join(parts)


@contextmanager
def turn(root: Path, name: str, *, warn: Warn) -> Iterator[None]:
    """Keep the other processes of this checkout out of what is called ``name``; ``warn`` gets a line before a wait.

    Two fetches of one suite would else read the same lock, and the second to write it would remove the first one's
    entries.  The system ends the turn of a process that is killed.  On a file system without locks ``warn`` is told
    that there are no turns.  Raises :class:`LockError` where a turn cannot be taken: no permission, no space.
    """
    path = root / TURNS / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise LockError(f"{path}: cannot be written ({error.strerror or error})") from None
    with locked(path, name, warn=warn, waiting=f"{name}: another process is fetching; waiting for it"):
        yield


def _table(name: str, entry: LockedFiles) -> list[str]:
    fields = entry.model_dump()
    lines = [f"[{name}]", *(f"{key} = {_quoted(value)}" for key, value in fields.items() if isinstance(value, str))]
    for key, values in fields.items():
        if isinstance(values, dict):
            lines.append(f"[{name}.{key}]")
            lines += [
                f"{_quoted(file)} = {value if isinstance(value, int) else _quoted(value)}"
                for file, value in sorted(values.items())
            ]
    return [*lines, ""]


def _quoted(text: str) -> str:
    # Repositories, branches and file names of a hub hold neither quotes nor control characters; what does is no name.
    if any(character in '"\\' or ord(character) < 32 for character in text):
        raise LockError(f"{text!r}: expected a name without quotes, backslashes and control characters")
    return f'"{text}"'
