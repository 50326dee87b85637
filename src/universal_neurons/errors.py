"""Errors that the user can mend: one line each, no traceback."""

from __future__ import annotations


class UserError(Exception):
    """A mistake in the user's input: one line that says what, where, expected, got, and what to run.

    The command line prints the line and exits with status 4; nothing already computed is lost.
    """


class ArtifactMissing(UserError):
    """Evidence that was not computed yet; ``command`` computes it."""

    def __init__(self, message: str, *, command: str) -> None:
        super().__init__(message)
        self.command = command


class SuiteNotFetched(ArtifactMissing):
    """The models of a suite were not pinned yet, so that its evidence has not even keys."""


class NotOnSuite(UserError):
    """A question that the suite cannot answer, whatever is computed: it lacks a checkpoint, a model, a variant.

    A claim that asks it is not evaluated on this suite; elsewhere it is an error of the user's.
    """
