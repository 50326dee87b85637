"""Evidence records of collected items, made from their evaluations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from universal_neurons.evidence.record import EvidenceRecord
from universal_neurons.evidence.registration import Register
from universal_neurons.harness.axes import recorded
from universal_neurons.harness.declare import ReadingDeclaration, axes_of, claim_of
from universal_neurons.harness.evaluation import control_result
from universal_neurons.harness.register import parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from universal_neurons.evidence.criteria import Criterion
    from universal_neurons.harness.declare import Declaration
    from universal_neurons.harness.evaluation import Evaluation
    from universal_neurons.inputs.suite import Suite


_NOTHING_REGISTERED = Register()


@dataclass(frozen=True)
class Subject:
    """A collected item: its declaration, node id, id in brackets, values of parameters, and ``file:line``."""

    declared: Declaration
    test: str
    item: str
    values: Mapping[str, Any]
    locator: str

    def parameters(self, suite: Suite) -> dict[str, Any]:
        """The values of the axes that the function takes, and the reference wherever a partner is one of them.

        An item whose axis is empty on this suite has no value for it.
        """
        axes = axes_of(self.declared.function)
        given = {axis: value for axis in axes if (value := self.values.get(axis)) is not None}
        values: dict[str, Any] = {axis: recorded(axis, value) for axis, value in given.items()}
        reference = {"reference": suite.zoo.reference} if "partner" in axes and "reference" not in axes else {}
        return {**reference, **values}

    def record(
        self,
        suite: Suite,
        criterion: Criterion,
        own: Evaluation,
        controls: Mapping[str, Evaluation],
        register: Register = _NOTHING_REGISTERED,
    ) -> EvidenceRecord:
        """The evidence record of the item."""
        claim = claim_of(self.declared).claim
        read = self.declared if isinstance(self.declared, ReadingDeclaration) else None
        return EvidenceRecord(
            claim=claim.id,
            role=self.declared.role,
            test=self.test,
            item=self.item,
            statement=claim.statement,
            source=claim.source,
            family=claim.family,
            promise=claim.promise,
            suite=suite.name,
            parameters=self.parameters(suite),
            measurement=own.measured,
            criterion=criterion.as_dict(),
            criterion_text=criterion.text(),
            verdict=own.judgement.verdict,
            reason=own.judgement.reason,
            command=own.command,
            controls=tuple(control_result(name, evaluation) for name, evaluation in controls.items()),
            artifacts=own.artifacts,
            locator=self.locator,
            duration_seconds=own.seconds,
            correction=claim.correction,
            ambiguity=None if read is None else read.ambiguity,
            says=None if read is None else read.says,
            narrowed_by=suite.narrowed_by,
            kind=claim.kind,
            registration=register.note(suite.name, claim.id, parts_of(claim_of(self.declared), suite.name)),
        )
