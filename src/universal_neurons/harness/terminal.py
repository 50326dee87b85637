"""What the harness shows on the terminal: the verdict table, and the progress of what has to be computed first."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol

from universal_neurons.evidence.record import summaries
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.table import verdict_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from universal_neurons.harness.run import Run

COLOURS = {
    None: "bold",
    Verdict.REPRODUCED: "green",
    Verdict.REFUTED: "red",
    Verdict.VACUOUS: "red",
    Verdict.ERROR: "red",
}


class Terminal(Protocol):
    """What is needed of pytest's terminal reporter, which leaves colours out where NO_COLOR is set."""

    def write_sep(self, sep: str, title: str | None = None, /) -> None:
        """Write ``title`` between rows of ``sep``."""

    def write_line(self, line: str, **markup: bool) -> None:
        """Write a line."""

    def write(self, content: str, /, *, flush: bool = False) -> None:
        """Write text without ending the line."""

    def ensure_newline(self) -> None:
        """End a line of test dots, if there is one."""


def print_verdicts(terminal: Terminal, run: Run, *, width: int, encoding: str | None) -> None:
    """Print the verdict table of ``run`` and what else it has to say."""
    terminal.write_sep("=", f"verdicts of suite {run.suite}")
    for row in verdict_table(summaries(run.records.values()), width=width, encoding=encoding):
        terminal.write_line(row.text, **{COLOURS.get(row.verdict, "yellow"): True})
    for line in (*run.collection.warnings, *run.notes):
        terminal.write_line(line, yellow=True)


class TerminalStream(io.StringIO):
    """A text stream that writes where pytest reports, past the capture of standard output.

    ``uncaptured`` suspends that capture: while a fixture is set up, pytest's own terminal is redirected as well, and
    ten minutes of progress would only be seen when they are over.
    """

    def __init__(self, terminal: Terminal, uncaptured: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self._terminal = terminal
        self._uncaptured = uncaptured

    def write(self, text: str) -> int:
        """Write ``text``, beginning on a line of its own."""
        with self._uncaptured():
            self._terminal.ensure_newline()
            self._terminal.write(text, flush=True)
        return len(text)
