"""Comparison of a lock with what a hub has now, and the messages where they differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from universal_neurons.errors import SuiteNotFetched
from universal_neurons.inputs.hub import HubError, NotInCache, RepositoryKind, Revision
from universal_neurons.inputs.lock import LockedFiles

if TYPE_CHECKING:
    from collections.abc import Callable

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


def not_pinned(what: str, path: Path, *, suite: str, command: str) -> NotPinned:
    """The error that the lock in ``path`` lacks ``what``, which ``command`` adds."""
    return NotPinned(f"{suite}: {what}: not pinned in {shown(path)}; run: {command}", command=command)


def renewed(what: str, known: _Files | None, ask: Callable[[], _Files], *, fetch: str, accept: bool) -> _Files:
    """The entry of a lock after ``ask`` said what the hub has now: that, unless it is a change and none is accepted.

    Where the network must not be used, the ``known`` entry of the lock stays.  A folder, which has no commit, does not
    take the commit out of the lock.  Raises :class:`RepositoryChanged`, with the command that accepts the change
    (``fetch`` and one option more), and :class:`HubError` as ``ask`` does: also without network, if nothing is known or
    if changes are to be accepted.
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
            f"{what}: {known.repository}@{known.revision} changed: commit {known.commit or 'none'} is locked, "
            f"the branch is now {now.commit or 'none'} ({files}); to accept it run: {accept_command(fetch)}"
        )
    return known if not now.commit and known.files == now.files else now


def revision_of(entry: LockedFiles, kind: RepositoryKind = "model") -> Revision:
    """The revision that the files of ``entry`` are from."""
    return Revision(entry.repository, entry.revision, entry.commit, kind)


def fields_of(revision: Revision) -> dict[str, str]:
    """The fields of a lock that name ``revision``."""
    return {"repository": revision.repository, "revision": revision.name, "commit": revision.commit}


def shown(path: Path) -> str:
    """``path`` as a user reads it: from the working directory, where it lies below that."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
