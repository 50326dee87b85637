"""Progress reporting for long tasks, and the lines of warning that go with it.

:class:`Reporter` draws a bar with rate and time left on a terminal; elsewhere it writes plain lines, one every half
minute at most.  The rest of the package knows the protocol :class:`Progress` only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from universal_neurons.characters import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich import progress as bars

# Receives one line of warning for the user.
Warn = Callable[[str], None]


def discard(_: str) -> None:
    """Ignore a line of warning."""


class Progress(Protocol):
    """Receives the progress of a long computation, one task at a time."""

    def start(self, title: str, total: int) -> None:
        """Begin a task of ``total`` steps."""

    def advance(self, steps: int = 1) -> None:
        """Count ``steps`` more steps of the current task as done."""

    def describe(self, title: str) -> None:
        """Give the current task another title."""

    def finish(self) -> None:
        """End the current task."""


class NoProgress:
    """Progress that is not shown."""

    def start(self, title: str, total: int) -> None:
        """Ignore the task."""

    def advance(self, steps: int = 1) -> None:
        """Ignore the steps."""

    def describe(self, title: str) -> None:
        """Ignore the title."""

    def finish(self) -> None:
        """Ignore the end."""


class Reporter:
    """Progress and warnings on ``stream``."""

    def __init__(self, stream: TextIO, *, line_seconds: float = 30.0) -> None:
        self._stream = stream
        self._line_seconds = line_seconds
        self._bar: bars.Progress | None = None
        self._task: bars.TaskID | None = None
        self._title, self._total, self._done = "", 0, 0
        self._began = self._said = 0.0
        if stream.isatty():
            self._bar = _bar(stream)

    @classmethod
    @contextmanager
    def on_stderr(cls) -> Iterator[Reporter]:
        """Show progress on standard error while the context lasts."""
        reporter = cls(sys.stderr)
        try:
            if reporter._bar is not None:
                reporter._bar.start()
            yield reporter
        finally:
            if reporter._bar is not None:
                reporter._bar.stop()

    def warn(self, line: str) -> None:
        """Print a warning above the bar."""
        line = visible(line)
        if self._bar is not None:
            self._bar.console.print(f"warning: {line}", markup=False, highlight=False, soft_wrap=True)
        else:
            self._line(f"warning: {line}")

    def start(self, title: str, total: int) -> None:
        """Begin a task of ``total`` steps."""
        self._title, self._total, self._done = visible(title), total, 0
        self._began = self._said = time.monotonic()
        if self._bar is not None:
            self._task = self._bar.add_task(self._title, total=total, rate="")
        else:
            self._line(f"{self._title} ...")

    def advance(self, steps: int = 1) -> None:
        """Count ``steps`` more steps as done."""
        self._done += steps
        now = time.monotonic()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, rate=self._rate(now))
        elif now - self._said > self._line_seconds:
            self._said = now
            left = (now - self._began) / max(1, self._done) * (self._total - self._done)
            self._line(f"{self._title}: {self._done}/{self._total}, {self._rate(now)}, {left:.0f} s left")

    def describe(self, title: str) -> None:
        """Give the task another title; elsewhere than on a terminal it is written with the next step."""
        self._title = visible(title)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=self._title)

    def finish(self) -> None:
        """End the task and print how long it took."""
        seconds = time.monotonic() - self._began
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
            self._bar.console.print(f"{self._title}: {seconds:.1f} s", markup=False, highlight=False)
        else:
            self._line(f"{self._title}: {seconds:.1f} s")

    def _rate(self, now: float) -> str:
        return f"{self._done / max(1e-9, now - self._began):,.1f}/s"

    def _line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def _bar(stream: TextIO) -> bars.Progress:
    # Imported here, because most commands draw no bar.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(file=stream),
        transient=True,
    )
