"""A suite's lock with the source of its files, and what to run where a hub has others now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from universal_neurons.errors import SuiteNotFetched
from universal_neurons.files import shown
from universal_neurons.inputs.hub import HubError, NotInCache, RepositoryKind, Revision, Source, source_from_environment
from universal_neurons.inputs.lock import LOCK_SUFFIX, Lock, LockedFiles, turn
from universal_neurons.progress import discard

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from universal_neurons.progress import Warn

_Files = TypeVar("_Files", bound=LockedFiles)


class NotPinned(HubError, SuiteNotFetched):
    """The lock lacks an entry: the hub was never asked, so there cannot be evidence about it either."""


class RepositoryChanged(HubError):
    """A branch means another commit, or other files, than the lock says."""


def fetch_command(suite: str) -> str:
    """The command that pins and fetches a suite's models and text."""
    return f"universal-neurons fetch --suite {suite}"


def accept_command(fetch: str) -> str:
    """The command that accepts a changed repository; ``fetch`` locked the one before."""
    return f"{fetch} --accept-changes"


@dataclass
class Pins:
    """The lock of ``suite`` in the checkout ``root``, and the ``source`` of the files that it pins.

    ``command`` is what a user runs to fetch them; ``warn`` gets a line if another process must be waited for.
    """

    root: Path
    suite: str
    source: Source
    command: str
    warn: Warn

    @classmethod
    def open(
        cls, root: Path, suite: str, *, source: Source | None = None, command: str = "", warn: Warn = discard
    ) -> Pins:
        """The pins of ``suite``; without a ``source`` it is the one of the environment."""
        fetch = command or fetch_command(suite)
        return cls(root, suite, source or source_from_environment(fetch, warn=warn), fetch, warn)

    @property
    def path(self) -> Path:
        """The file of the lock, which need not exist."""
        return self.root / "fixtures" / "suites" / f"{self.suite}{LOCK_SUFFIX}"

    def turn(self) -> AbstractContextManager[None]:
        """Keep other processes from changing the lock; see :func:`~universal_neurons.inputs.lock.turn`."""
        return turn(self.root, self.path.name, warn=self.warn)

    def write(self, lock: Lock) -> None:
        """Replace the file by ``lock``."""
        lock.write(self.path, command=fetch_command(self.suite))

    def not_pinned(self, what: str) -> NotPinned:
        """The error that the lock lacks ``what``."""
        return NotPinned(
            f"{self.suite}: {what}: not pinned in {shown(self.path)}; run: {self.command}", command=self.command
        )

    def renewed(self, what: str, known: _Files | None, ask: Callable[[], _Files], *, accept: bool) -> _Files:
        """The entry of the lock after ``ask`` said what the hub has now: that, unless a change is not accepted.

        Where the network must not be used, the ``known`` entry stays.  A folder, which has no commit, does not take the
        commit out of the lock.  Raises :class:`RepositoryChanged`, with the command that accepts the change, and
        :class:`HubError` as ``ask`` does: also without network, if nothing is known or if changes are to be accepted.
        """
        try:
            now = ask()
        except NotInCache:
            if known is None or accept:
                raise
            return known
        if known is None:
            return now
        if not accept and not known.succeeded_by(now):
            differing = sorted({file for file, _ in known.files.items() ^ now.files.items()})
            files = f"{', '.join(differing)} differ" if differing else "the files taken are the same"
            raise RepositoryChanged(
                f"{what}: {known.repository}@{known.revision} changed: commit {known.commit or 'none'} is locked, the "
                f"branch is now {now.commit or 'none'} ({files}); to accept it run: {accept_command(self.command)}"
            )
        return known if not now.commit and known.files == now.files else now


def revision_of(entry: LockedFiles, kind: RepositoryKind = "model") -> Revision:
    """The revision that the files of ``entry`` are from."""
    return Revision(entry.repository, entry.revision, entry.commit, kind)


def fields_of(revision: Revision) -> dict[str, str]:
    """The fields of a lock that name ``revision``."""
    return {"repository": revision.repository, "revision": revision.name, "commit": revision.commit}
