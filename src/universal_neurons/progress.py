"""How long work shows how far it is.

On a terminal a bar with rate and time left; elsewhere plain lines, one every half minute at most.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from universal_neurons.characters import visible

if TYPE_CHECKING:
    from collections.abc import Iterator


class Reporter:
    """Draws one task at a time on ``stream``; implements the pipeline's progress protocol and its warnings."""

    def __init__(self, stream: TextIO, *, line_seconds: float = 30.0) -> None:
        self._stream = stream
        self._line_seconds = line_seconds
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._title, self._total, self._done = "", 0, 0
        self._began = self._said = 0.0
        if stream.isatty():
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(file=stream),
                transient=True,
            )

    @classmethod
    @contextmanager
    def on_stderr(cls) -> Iterator[Reporter]:
        """A reporter on standard error for the time of a command."""
        reporter = cls(sys.stderr)
        try:
            if reporter._bar is not None:
                reporter._bar.start()
            yield reporter
        finally:
            if reporter._bar is not None:
                reporter._bar.stop()

    def warn(self, line: str) -> None:
        """One line that stays."""
        line = visible(line)
        if self._bar is not None:
            self._bar.console.print(f"warning: {line}", markup=False, highlight=False, soft_wrap=True)
        else:
            self._line(f"warning: {line}")

    def start(self, title: str, total: int) -> None:
        """A task of ``total`` steps begins."""
        self._title, self._total, self._done = visible(title), total, 0
        self._began = self._said = time.monotonic()
        if self._bar is not None:
            self._task = self._bar.add_task(self._title, total=total, rate="")
        else:
            self._line(f"{self._title} ...")

    def advance(self, steps: int = 1) -> None:
        """``steps`` more are done."""
        self._done += steps
        now = time.monotonic()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, rate=self._rate(now))
        elif now - self._said > self._line_seconds:
            self._said = now
            left = (now - self._began) / max(1, self._done) * (self._total - self._done)
            self._line(f"{self._title}: {self._done}/{self._total}, {self._rate(now)}, {left:.0f} s left")

    def finish(self) -> None:
        """The task is done."""
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
