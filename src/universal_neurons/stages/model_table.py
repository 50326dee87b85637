"""The base class of tables about single models, each made of the model's weights and of the suite's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from universal_neurons.stages.base import Case, Need, Reader, Stage, step_of
from universal_neurons.stages.tokens import ONLY, TOKENS, corpus_ref

if TYPE_CHECKING:
    from universal_neurons.stages.workspace import Workspace


class ModelTable(Stage):
    """A table about every model at the last checkpoint; a stage that is about more, or made of more, says so."""

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """Every model at the last checkpoint."""
        return tuple(Case(work.last_step, name) for name in work.suite.zoo.models)

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The weights and the tokens."""
        return {"model": work.model(case.model, step_of(case)).digest, "tokens": corpus_ref(work).sha256}

    def needs(self, work: Workspace, case: Case) -> tuple[Need, ...]:
        """The tokens."""
        return ((TOKENS, ONLY),)

    def read(self, reader: Reader, work: Workspace, case: Case) -> Any:
        """The table as it is stored."""
        return reader(self, case)[0].table


def reference_at_every_step(work: Workspace) -> tuple[Case, ...]:
    """The reference at every step, untrained too, and every model at the last."""
    last = (Case(work.last_step, name) for name in work.suite.zoo.models)
    return tuple(dict.fromkeys((*(Case(step, work.reference) for step in work.steps), *last)))
