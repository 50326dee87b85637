"""Terminal output of the harness: the verdicts, and the progress of computations."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Protocol

from universal_neurons.characters import visible
from universal_neurons.evidence.registration import is_explained
from universal_neurons.evidence.summary import by_kind
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.run import ACCEPTED
from universal_neurons.harness.table import WIDE, counted, verdict_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from universal_neurons.evidence.summary import ClaimSummary
    from universal_neurons.harness.run import Run

# Width of a pipe or a file: wide enough for whole statements.
UNBOUNDED = 240
# Lines break at no space of this kind.
GLUE = "\u00a0"

JUDGED = (Verdict.REPRODUCED, Verdict.REFUTED, Verdict.INCONCLUSIVE)
COLOURS = {
    Verdict.REPRODUCED: "green",
    Verdict.REFUTED: "red",
    Verdict.VACUOUS: "red",
    Verdict.ERROR: "red",
}


class Terminal(Protocol):
    """The part of pytest's terminal reporter that is used here; it leaves colours out where NO_COLOR is set."""

    def write_sep(self, sep: str, title: str | None = None, /) -> None:
        """Write ``title`` between rows of ``sep``."""

    def write_line(self, line: str, **markup: bool) -> None:
        """Write a line."""

    def write(self, content: str, *, flush: bool = False, **markup: bool) -> None:
        """Write text without ending the line."""

    def ensure_newline(self) -> None:
        """End a line of test dots, if there is one."""


def print_verdicts(terminal: Terminal, run: Run, *, width: int, encoding: str | None) -> None:
    """Print the verdict of every claim, what else there is to say about the run, and in the last line the counts."""
    terminal.write_sep("=", f"verdicts of suite {run.suite}")
    for lines in verdict_lines(run.claims, width=width):
        terminal.write(f"{_encodable(lines.claim, encoding)}  ")
        terminal.write(_encodable(lines.said, encoding), **{COLOURS.get(lines.verdict, "yellow"): True})
        for line in (f"  {lines.rest}".rstrip(), *lines.below):
            terminal.write_line(_encodable(line, encoding))
    for line in (*registrations(run.claims), *other_readings(run.claims), *run.collection.warnings, *run.notes):
        for part in _parts(_printable(line, encoding), width):
            terminal.write_line(part, yellow=True)
    for line in counts(run.claims, run.acceptance):
        for part in _parts(line.replace(ACCEPTED, ACCEPTED.replace(" ", GLUE)), width):
            terminal.write_line(_encodable(part.replace(GLUE, " "), encoding), bold=True)


def counts(claims: Sequence[ClaimSummary], acceptance: str) -> list[str]:
    """The checks of the method with each verdict, and the findings; the last line says what is accepted."""
    lines = [
        counted(own) if kind == "finding" else f"checks of the method: {counted(own)}"
        for kind, own in by_kind(claims).items()
    ]
    *before, last = lines[::-1] or [""]
    return [*before, " · ".join(filter(None, [last, acceptance]))]


def _parts(line: str, width: int) -> list[str]:
    """A note in lines that fit a narrow terminal; one line on a wide one and in a file, which people search."""
    return [line] if width >= WIDE else textwrap.wrap(line, width, subsequent_indent="  ", break_long_words=False)


def registrations(claims: Iterable[ClaimSummary]) -> Iterator[str]:
    """One line for each difference from the registered rules, with the claims' names, and one that counts the rest.

    The reasons of rules that were registered after measuring fill pages; they are on the pages of their claims.
    """
    notes: dict[str, list[str]] = {}
    for claim in claims:
        if claim.first.registration:
            notes.setdefault(claim.first.registration, []).append(claim.claim)
    late = sum(len(names) for note, names in notes.items() if is_explained(note))
    for note, names in notes.items():
        if not is_explained(note):
            yield f"{', '.join(names)}: {note}"
    if late:
        said = "1 claim has a rule" if late == 1 else f"{late} claims have rules"
        yield f"{said} registered after measuring: the report says why"


def other_readings(claims: Iterable[ClaimSummary]) -> Iterator[str]:
    """One line that names the claims with another verdict under another reading, and the page that says which."""
    names = [
        claim.claim
        for claim in claims
        if any(reading.verdict in JUDGED and reading.verdict is not claim.verdict for reading in claim.readings)
    ]
    if names:
        yield f"other readings of the papers give {', '.join(names)} another verdict: readings.html in the report"


def _printable(line: str, encoding: str | None) -> str:
    """``line`` with control characters spelled out: the texts of claims and errors must not control the terminal."""
    return _encodable(visible(line), encoding)


def _encodable(line: str, encoding: str | None) -> str:
    """``line`` with characters replaced that ``encoding`` lacks: they would end the run with an error."""
    try:
        return line.encode(encoding or "ascii", "replace").decode(encoding or "ascii")
    except LookupError:
        return _encodable(line, "ascii")


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
