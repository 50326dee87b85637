"""Claims: statements of a paper that can be judged, with their source and their criteria by suite."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

from universal_neurons.errors import UserError
from universal_neurons.evidence.criteria import Criterion
from universal_neurons.evidence.entries import ID
from universal_neurons.evidence.multiplicity import Correction

if TYPE_CHECKING:
    from collections.abc import Mapping

Promise = Literal["bit-exact", "protocol-exact"]
ClaimKind = Literal["finding", "method"]


class ClaimError(UserError):
    """A claim or a control that is declared wrongly; the message names it and says what was expected."""


@dataclass(frozen=True)
class Claim:
    """One claim: ``statement`` in our words, ``source`` with section, figure or table, and the criterion.

    ``expect`` holds on every suite that ``on`` does not name.  The items of all claims of one ``family`` that name the
    same ``correction`` are corrected together for multiple testing; see ``evidence.summary``.  ``promise`` is what
    rerunning gives: the same bits, or a number from the same protocol.  ``kind`` sets what is found about models apart
    from checks of the method that finds it, which hold or fail whatever the papers say and are counted apart.

    Raises :class:`ClaimError` for an id that is no plain word (it becomes a TOML key and a row of a table), an empty
    statement or source, something that is not a criterion, an unknown promise, kind or correction, or a correction
    without a family.
    """

    id: str
    statement: str
    source: str
    expect: Criterion
    on: Mapping[str, Criterion] = field(default_factory=dict)
    family: str | None = None
    promise: Promise = "protocol-exact"
    correction: Correction | None = None
    kind: ClaimKind = "finding"

    def __post_init__(self) -> None:
        if not ID.fullmatch(self.id):
            raise ClaimError(f"claim {self.id!r}: an id is a letter followed by letters, digits, _ or -, such as N1")
        for name, text in (("statement", self.statement), ("source", self.source)):
            if not text.strip():
                raise ClaimError(f"claim {self.id}: {name} is empty")
        for where, criterion in (("expect", self.expect), *((f"on[{suite!r}]", c) for suite, c in self.on.items())):
            if not isinstance(criterion, Criterion):
                raise ClaimError(
                    f"claim {self.id}: {where} must be a criterion such as AtMost(0.05), got {criterion!r}"
                )
        if self.promise not in get_args(Promise):
            raise ClaimError(f"claim {self.id}: promise is {self.promise!r}, expected {' or '.join(get_args(Promise))}")
        if self.kind not in get_args(ClaimKind):
            raise ClaimError(f"claim {self.id}: kind is {self.kind!r}, expected {' or '.join(get_args(ClaimKind))}")
        if self.correction is not None and self.correction not in get_args(Correction):
            raise ClaimError(
                f"claim {self.id}: correction is {self.correction!r}, expected {' or '.join(get_args(Correction))}"
            )
        if self.correction is not None and not self.family:
            raise ClaimError(f"claim {self.id}: correction {self.correction} needs the family that is corrected")
        # A mapping shared with the caller could change the criterion after the measurement.
        object.__setattr__(self, "on", MappingProxyType(dict(self.on)))

    def criterion_for(self, suite: str) -> Criterion:
        """The criterion by which the claim is judged on ``suite``."""
        return self.on.get(suite, self.expect)
