"""Provenance of a computation: commit, device, versions, wall time, peak memory.

It is never part of a key, and names neither host nor user nor path.
"""

from __future__ import annotations

import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import cast

from universal_neurons.artifacts.key import JSON, is_absolute_path, plain_json
from universal_neurons.errors import UserError

PACKAGES = ("numpy", "pandas", "pyarrow", "safetensors", "torch", "transformer-lens", "transformers")
PACKAGE = Path(__file__).resolve().parents[1]
_FIELDS = ("created", "device", "git_commit", "peak_memory_bytes", "versions", "wall_seconds")
# Linux tells the memory of this process there.
_STATUS = Path("/proc/self/status")
_SHARED, _PRECISION = "shared", "precision"


class ProvenanceError(UserError):
    """A provenance that is incomplete, or that would name a path of a machine."""


@dataclass(frozen=True, slots=True)
class SharedRun:
    """A computation whose result several artifacts were made from: the pass over the tokens that feeds all pairs.

    ``what``: a few words.  ``created``: its end, UTC, ISO 8601 in seconds.  ``wall_seconds``: elapsed time, summed over
    the processes that had a part in it.  Equal runs are one run: a sum of costs counts it once, however many artifacts
    name it.

    Raises :class:`ProvenanceError` as :class:`Provenance` does.
    """

    what: str
    created: str
    wall_seconds: float

    def __post_init__(self) -> None:
        _check(texts=(self.what, self.created), amounts=(self.wall_seconds,))

    def as_dict(self) -> dict[str, JSON]:
        """Builtin types only."""
        return {"what": self.what, "created": self.created, "wall_seconds": self.wall_seconds}

    @classmethod
    def from_dict(cls, raw: object) -> SharedRun:
        """The inverse of :meth:`as_dict`; raises :class:`ProvenanceError` for anything else."""
        fields = ("what", "created", "wall_seconds")
        if not isinstance(raw, Mapping) or set(raw) != set(fields):
            raise ProvenanceError(f"provenance: expected shared runs with exactly the fields {', '.join(fields)}")
        return cls(**raw)


@dataclass(frozen=True, slots=True)
class Provenance:
    """The circumstances of one computation.

    ``created``: UTC, ISO 8601 in seconds.  ``git_commit``: 40 hexadecimal digits, with ``-dirty`` if the package
    differed from it, None where the package is not under version control.  ``device``: its name for torch.
    ``versions``: Python and the packages that numbers depend on.  ``wall_seconds``: elapsed time, without the
    ``shared`` runs whose results were used.  ``peak_memory_bytes``: the largest resident set of the process up to the
    end of the computation, so what ran before it in the same process counts; None where the system does not tell.
    ``precision``: how exact products over tokens were, as measured beside them; None where there were none.

    Raises :class:`ProvenanceError` for other types, numbers that are not finite or negative, and absolute paths.
    """

    created: str
    git_commit: str | None
    device: str
    versions: Mapping[str, str]
    wall_seconds: float
    peak_memory_bytes: int | None
    shared: Sequence[SharedRun] = ()
    precision: Mapping[str, JSON] | None = None

    def __post_init__(self) -> None:
        texts = [self.created, self.device, *self.versions, *self.versions.values()]
        if self.git_commit is not None:
            texts.append(self.git_commit)
        memory = () if self.peak_memory_bytes is None else (self.peak_memory_bytes,)
        _check(texts=texts, amounts=(self.wall_seconds, *memory))
        object.__setattr__(self, "versions", dict(self.versions))
        object.__setattr__(self, _SHARED, tuple(self.shared))

    def as_dict(self) -> dict[str, JSON]:
        """Builtin types only; without the fields ``shared`` and ``precision`` where there is nothing in them.

        Older artifacts have no such fields, and a manifest is read only if it would be written again byte for byte.
        """
        raw = {name: getattr(self, name) for name in _FIELDS}
        if self.shared:
            raw[_SHARED] = [run.as_dict() for run in self.shared]
        if self.precision is not None:
            raw[_PRECISION] = dict(self.precision)
        return cast("dict[str, JSON]", plain_json(raw, "provenance"))

    @classmethod
    def from_dict(cls, raw: object) -> Provenance:
        """The inverse of :meth:`as_dict`; raises :class:`ProvenanceError` for anything else."""
        if not isinstance(raw, Mapping) or set(raw) - {_SHARED, _PRECISION} != set(_FIELDS):
            raise ProvenanceError(f"provenance: expected a mapping with exactly the fields {', '.join(_FIELDS)}")
        shared, precision = raw.get(_SHARED, ()), raw.get(_PRECISION)
        if precision is not None and not isinstance(precision, Mapping):
            raise ProvenanceError("provenance: expected a mapping as precision")
        if not isinstance(raw["versions"], Mapping) or not isinstance(shared, Sequence) or isinstance(shared, str):
            raise ProvenanceError("provenance: expected a mapping of versions and a list of shared runs")
        return cls(**{**raw, _SHARED: [SharedRun.from_dict(run) for run in shared]})


def _check(*, texts: Sequence[object], amounts: Sequence[object]) -> None:
    if not all(isinstance(text, str) and text.isprintable() and not is_absolute_path(text) for text in texts):
        raise ProvenanceError("provenance: expected printable text without absolute paths everywhere")
    # bool is a number to Python and no number of seconds to anybody.
    if not all(type(amount) in {int, float} and 0 <= cast("float", amount) < math.inf for amount in amounts):
        raise ProvenanceError("provenance: expected finite numbers of seconds and bytes, from 0 on")


@dataclass(slots=True)
class Measured:
    """A computation being measured; ``device`` may be named while it runs."""

    device: str
    _provenance: Provenance | None = field(default=None, repr=False)

    @property
    def provenance(self) -> Provenance:
        """The provenance of the finished computation; raises RuntimeError before its end and if it failed."""
        if self._provenance is None:
            raise RuntimeError("the computation has not finished, so it has no provenance yet")
        return self._provenance

    def as_shared(self, what: str) -> SharedRun:
        """The finished computation as one that others rest on, to be handed to :func:`capture`; raises RuntimeError."""
        own = self.provenance
        return SharedRun(what, own.created, own.wall_seconds)


@contextmanager
def capture(device: str = "cpu", *, shared: Sequence[SharedRun] = ()) -> Iterator[Measured]:
    """Measure the body: ``with capture() as run: value = ...`` and then ``run.provenance``.

    ``shared``: the runs whose results the body uses and that were measured by themselves.
    """
    measured = Measured(device)
    commit = git_commit()
    start = time.perf_counter()
    yield measured
    measured._provenance = Provenance(
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        git_commit=commit,
        device=measured.device,
        versions=versions(),
        # In microseconds: two short passes of one second and of equal milliseconds would be counted as one run.
        wall_seconds=round(time.perf_counter() - start, 6),
        peak_memory_bytes=peak_memory_bytes(),
        shared=shared,
    )


def versions() -> dict[str, str]:
    """Versions of Python and of the installed ones of ``PACKAGES``, asked of their metadata: none is imported."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def peak_memory_bytes() -> int | None:
    """The largest resident set of this process since its start, in bytes; None on systems that do not tell."""
    if _STATUS.is_file():
        # Not getrusage: on Linux a process starts with the counter of its parent.
        peak = re.search(r"^VmHWM:\s*(\d+) kB$", _STATUS.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
        if peak is not None:
            return int(peak[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, all others kibibytes.
    return largest if sys.platform == "darwin" else largest * 1024


@cache
def git_commit(package: Path = PACKAGE) -> str | None:
    """The commit of the repository that holds ``package``, with ``-dirty`` if the package differs from it.

    None without git, outside a repository, before its first commit, and where the package is installed inside a
    repository that does not track it: another project's commit would be a false statement.  Read once per process,
    like the code itself.
    """
    if not _git(package, "ls-files", "--error-unmatch", "--", "__init__.py"):
        return None
    commit = _git(package, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    return commit if _git(package, "status", "--porcelain", "--", ".") == "" else f"{commit}-dirty"


def _git(folder: Path, *arguments: str) -> str | None:
    # Inside a git hook these variables point to another repository or index.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()
