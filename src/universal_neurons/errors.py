"""Errors that the user can mend: one line each, no traceback."""

from __future__ import annotations

from importlib.util import find_spec

# The modules that only the extra "compute" installs.
COMPUTING = ("torch", "transformers", "transformer_lens", "jaxtyping", "zstandard")


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


class TooFewNeurons(NotOnSuite):
    """Universal neurons too few for a statement about a part of the model; the message says how many would do."""

    def __init__(self, where: str, neurons: int, fewest: int) -> None:
        found = f"{neurons} universal neuron{'' if neurons == 1 else 's'}"
        more = f", {fewest / neurons:.2g} times as many," if neurons else ""
        super().__init__(
            f"{where}: {found}; expected at least {fewest}{more} from a wider, deeper or longer trained model"
        )


class ExtraMissing(UserError):
    """Something that needs packages which the base installation does not have."""

    def __init__(self, what: str, module: str, *, extra: str = "compute") -> None:
        super().__init__(f"{what} needs {module}, which is not installed; run: pip install universal-neurons[{extra}]")


def check_extra(what: str) -> None:
    """Raise :class:`ExtraMissing` unless everything is here that computing takes."""
    for module in COMPUTING:
        if find_spec(module) is None:
            raise ExtraMissing(what, module)
