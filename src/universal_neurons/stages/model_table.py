"""The base class of tables about single models, each made of the model's weights and of the suite's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from universal_neurons.stages.base import Artifacts, Case, Reader, step_of
from universal_neurons.stages.comparison import Comparison, relative_difference
from universal_neurons.stages.tokens import TokenTable, corpus_ref

if TYPE_CHECKING:
    from universal_neurons.stages.workspace import Workspace


class ModelTable(TokenTable):
    """A table about every model at the last checkpoint; a stage that is about more, or made of more, says so."""

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """Every model at the last checkpoint."""
        return tuple(Case(work.last_step, name) for name in work.suite.zoo.models)

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The weights and the tokens."""
        return {"model": work.model(case.model, step_of(case)).digest, "tokens": corpus_ref(work).sha256}

    def read(self, reader: Reader, work: Workspace, case: Case) -> Any:
        """The table as it is stored."""
        return reader(self, case)[0].table


class RelativeTable(ModelTable):
    """A table whose numbers are compared relative to each, or to the median of its column, within ``tolerance``.

    ``named``: the columns that say what a row is about.
    """

    named: ClassVar[tuple[str, ...]] = ("layer", "neuron")
    tolerance: ClassVar[float]

    def comparison(self, work: Workspace, case: Case, stored: Artifacts, again: Artifacts) -> Comparison:
        """The stored numbers against recomputed ones."""
        differences = {}
        for part, mine, theirs in zip(self.parts, stored, again, strict=True):
            names = [name for name in mine.table if name not in self.named]
            differences[part] = relative_difference(mine.table[names], theirs.table[names], self.tolerance)
        return Comparison(self.name, "neurons", len(stored[0].table), differences)
