"""Kill a piece of code at any of its system calls, or let another process run whole there."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALLS = ("open", "write", "rename", "replace", "mkdir", "unlink", "rmdir", "scandir")


class Killed(BaseException):
    """No more system calls of this process."""


@contextmanager
def at_call(moment: int, happens: Callable[[], object]) -> Iterator[None]:
    """Let something happen before system call ``moment`` of the body; where it is a kill, no call follows."""
    left, is_dead = moment, False

    def patched(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left, is_dead
            if is_dead:
                raise Killed
            left -= 1
            if left == -1:
                try:
                    happens()
                except Killed:
                    is_dead = True
                    if real is write:  # half of the bytes are on the disk
                        write(args[0], bytes(args[1])[: len(args[1]) // 2])
                    raise
            return real(*args, **kwargs)

        return call

    write = os.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # no loss of power here
        patch.setattr(io, "open", patched(io.open))
        for name in CALLS:
            patch.setattr(os, name, patched(getattr(os, name)))
        yield


def kill() -> None:
    raise Killed


def kills(body: Callable[[], object]) -> Iterator[int]:
    """Run ``body`` again and again, killed at its first system call, its second and so on; yields after each kill."""
    for moment in count():
        try:
            with at_call(moment, kill):
                body()
        except Killed:
            yield moment
        else:
            return
