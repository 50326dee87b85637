"""The one exception that means: the user can mend this."""

from __future__ import annotations


class UserError(Exception):
    """A mistake in what the user gave: one line saying what, where, what was expected, what was got, what to run.

    The command line prints the line and exits with status 4; nothing already computed is lost.
    """


class ArtifactMissing(UserError):
    """Evidence that nobody has computed yet; ``command`` is what computes it."""

    def __init__(self, message: str, *, command: str) -> None:
        super().__init__(message)
        self.command = command


class SuiteNotFetched(ArtifactMissing):
    """Nobody has asked a hub yet what a suite of published models is: its evidence has not even a name."""


class NotOnSuite(UserError):
    """What the suite at hand cannot answer, whatever is computed: it lacks a checkpoint, a model, a variant.

    A claim that asks for it is not evaluated on this suite; whoever else does gets the line.
    """
