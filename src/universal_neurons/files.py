"""Durable files: write whole or not at all, lock, sweep leftovers, and show paths and URLs in messages.

Whatever is killed or fails on the way, a file has its old bytes or its new ones, never a part of either.  Everything
here raises OSError as the system does; callers say in their own words what could not be written.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import secrets
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STALE_SECONDS = 24 * 3600
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})
_URL = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\"]+")


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and wait until the disk has it; raises OSError, also if ``path`` exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Give a file new bytes in one step, in a folder that exists: a reader sees the old ones or these.

    Raises OSError; the old file then stays whole and no temporary file is left.
    """
    with _beside(path) as temporary:
        write_file(temporary, data)
        temporary.replace(path)
    _finish(path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a temporary file beside ``path`` that takes its place when the body ends without an error.

    For files that something else writes; the name has the suffix of ``path``.  Raises OSError as :func:`replace_file`
    does, also where the body wrote nothing.
    """
    with _beside(path) as temporary:
        yield temporary
        descriptor = os.open(temporary, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    _finish(path)


def _finish(path: Path) -> None:
    """Wait until the disk knows the new file, and remove what killed writers of the same file left beside it."""
    sync_folder(path.parent)
    with suppress(OSError):
        sweep(path.parent, f".{'[0-9a-f]' * 8}-{glob.escape(path.name)}", now=path.stat().st_mtime)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yield a free name in the folder of ``path``, and remove what still has it at the end."""
    temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Wait until the disk knows the names in a folder, where the system can do that for folders at all."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems have no such call.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def replace_folder(path: Path, new: Path) -> None:
    """Put the folder ``new`` in the place of the folder ``path``, which need not exist; both lie in one file system.

    Whatever is killed or fails on the way, ``path`` or :func:`aside` is whole, and :func:`restore_folder` puts the old
    one back.  The old one ends up beside ``new``, in a folder that the caller removes.  Of two callers the later one
    wins.  Raises OSError; the old folder is then in its place.
    """
    old = aside(path)
    try:
        while not renamed(new, path):
            # One is in place, so what a killed process put aside is of no use.
            _move(old, new.with_name(secrets.token_hex(4)))
            _move(path, old)
        _move(old, new.with_name(secrets.token_hex(4)))
    except BaseException:
        restore_folder(path)
        raise


def restore_folder(path: Path) -> None:
    """Put back what a killed :func:`replace_folder` put aside, if nothing is in its place; raises OSError."""
    if not path.exists():
        _move(aside(path), path)


def aside(path: Path) -> Path:
    """The name of the old folder while a new one takes its place: one that a person who misses it finds."""
    return path.with_name(f"{path.name}.old")


def _move(source: Path, target: Path) -> None:
    """Rename a folder, unless another process was faster: it is gone, or the name is taken."""
    with suppress(FileNotFoundError):
        renamed(source, target)


def renamed(source: Path, target: Path) -> bool:
    """Rename a folder; False, and nothing changed, if something that is not an empty folder has the name."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True


def sweep(folder: Path, pattern: str, *, now: float) -> None:
    """Remove what killed processes left in ``folder`` under names that match ``pattern`` a day or longer ago.

    ``now`` is a time by the clock of that file system, in seconds.  Errors are ignored: leftovers do no harm.
    """
    with suppress(OSError):
        for leftover in folder.glob(pattern):
            if leftover.lstat().st_mtime >= now - STALE_SECONDS:
                continue
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


@contextmanager
def locked(
    path: Path,
    what: str,
    *,
    warn: Callable[[str], None],
    patience: float | None = None,
    waiting: str | None = None,
) -> Iterator[bool]:
    """Keep other processes out of the body with a lock on the file ``path``; yields whether the lock is held.

    Advice only: after ``patience`` seconds (None: as long as it takes), or where no lock can be taken, the body runs
    all the same, and ``warn`` gets a line that names ``what``.  ``waiting`` is a line for ``warn`` before a wait.  The
    system releases the lock of a process that is killed.
    """
    import filelock

    lock = filelock.FileLock(path)
    longest = -1 if patience is None else patience
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=longest if waiting is None else 0)
        except filelock.Timeout:
            if waiting is None:
                raise
            warn(waiting)
            lock.acquire(timeout=longest)
    except filelock.Timeout:
        warn(f"{what} has been locked by another process for {patience:g} seconds; going on without the lock")
    except (OSError, NotImplementedError) as error:
        cause = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        warn(f"{what} cannot be locked in {shown(path.parent)} ({cause}); going on without the lock")
    try:
        yield lock.is_locked
    finally:
        lock.release()


def resolved(path: Path) -> Path:
    """Return ``path`` without links, where they lead anywhere; ``Path.resolve`` raises RuntimeError for a loop."""
    return Path(os.path.realpath(path))


def shown(path: Path) -> str:
    """Show ``path`` as one would type it here, on one line: from the working directory, if it lies below that."""
    with suppress(ValueError, OSError):
        path = path.relative_to(Path.cwd())
    return str(path) if str(path).isprintable() else ascii(str(path))


def shown_url(url: str) -> str:
    """Show ``url`` without what must not be shown (user, password, query); never raises.

    A file of this machine keeps its name only.

    >>> shown_url("s3://bucket/evidence/")
    's3://bucket/evidence'
    >>> shown_url("https://" + "me:secret" + "@host/mini.zip?token=1")
    'https://host/mini.zip'
    >>> shown_url("http://" + "me:secret" + "@[::1")
    'http://...'
    >>> shown_url("me:secret" + "@host")
    'host'
    """
    if "://" not in url:
        return url.rpartition("@")[2].partition("?")[0]
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{url.partition('://')[0][:20]}://..."
    host = parts.netloc.rpartition("@")[2]
    path = f"/{parts.path.rstrip('/').rpartition('/')[2]}" if parts.scheme in ("file", "local") else parts.path
    text = f"{parts.scheme}://{host}{path.rstrip('/')}"
    return text if text.isprintable() else ascii(text)[1:-1]


def without_secrets(text: str) -> str:
    """Show every URL in ``text`` by :func:`shown_url`.

    >>> without_secrets("403 from https://" + "me:secret" + "@host/a?key=1 today")
    '403 from https://host/a today'
    """
    return _URL.sub(lambda match: shown_url(match[0]), text)
