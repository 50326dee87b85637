"""Two runs side by side: which verdicts differ, by how much the values do, and what else differs that could be why.

Decides which cases of two runs are the same question, and what counts as a cause.  A run may be of another suite: then
checkpoints are the same where their labels are ("25 %"), whatever their steps.  Refuses to know where a run was found
and how it is shown.

A cause is something in the records that differs between the runs.  It is named wherever it does, whether or not the
verdict changed: a comparison that only explains changes would hide that two equal verdicts rest on other evidence.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from universal_neurons.evidence.record import natural_order
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.measurement import Incomparable, Measurement, independent_difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from universal_neurons.evidence.record import EvidenceRecord
    from universal_neurons.evidence.summary import ClaimSummary


class Cause(StrEnum):
    """What can differ between two runs of one claim, in the order in which a reader should look at it."""

    PRESENCE = "judged in one run only"
    SUITE = "another suite"
    BROKEN = "the test failed"
    MISSING = "evidence missing"
    CRITERION = "another criterion"
    CORRECTION = "another correction"
    CASES = "other cases"
    EVIDENCE = "other evidence"
    CODE = "other code on the same evidence"
    CONTROLS = "a control came out otherwise"
    FAMILY = "other tests in its family"


@dataclass(frozen=True)
class JudgedRun:
    """The claims of one run and what it was run with.

    ``name`` is how it is called, ``suite`` what it was about, with the options that narrowed it; ``code`` the commit
    and the versions that judged it (empty where the run did not record them), ``complete`` whether all claims of the
    project ran.
    """

    name: str
    suite: str
    claims: tuple[ClaimSummary, ...]
    code: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {"name": self.name, "suite": self.suite, "code": dict(self.code), "complete": self.complete}


@dataclass(frozen=True, slots=True)
class Subtracted:
    """A difference, or None and, where two numbers are there that have none, why."""

    difference: Measurement | None
    incomparable: str = ""


def subtracted(left: Measurement | None, right: Measurement | None) -> Subtracted:
    """``right`` - ``left`` with the interval of :func:`independent_difference`.

    A point at zero where value and interval are the same: two runs of one computation do not differ at all, and an
    interval that takes them for independent would say that they might.
    """
    if left is None or right is None or left.is_missing or right.is_missing:
        return Subtracted(None)
    if _numbers(left) == _numbers(right):
        return Subtracted(Measurement(0.0, 0.0, 0.0, right.n, right.over, right.level, right.unit))
    try:
        found = independent_difference(left, right)
    except Incomparable as reason:
        return Subtracted(None, str(reason))
    if found.is_missing:
        return Subtracted(None)
    if math.isinf(found.low) or math.isinf(found.high):
        return Subtracted(None, "an interval has no end")
    return Subtracted(found)


def is_beyond(difference: Measurement) -> bool:
    """Whether two values differ by more than their uncertainty: zero lies outside the interval of the difference."""
    return difference.low > 0 or difference.high < 0


@dataclass(frozen=True)
class CasePair:
    """One case of a claim in two runs; None where a run does not have it.  ``case`` names it in words."""

    case: str
    left: EvidenceRecord | None
    right: EvidenceRecord | None

    @cached_property
    def _subtracted(self) -> Subtracted:
        if self.left is None or self.right is None:
            return Subtracted(None)
        return subtracted(self.left.measured(), self.right.measured())

    @property
    def difference(self) -> Measurement | None:
        """Right minus left; see :func:`subtracted`."""
        return self._subtracted.difference

    @property
    def incomparable(self) -> str:
        """Why two numbers have no difference; empty where they have one, or where one run has no number."""
        return self._subtracted.incomparable

    @property
    def has_same_numbers(self) -> bool:
        """Whether both runs have this case and recorded the same value with the same interval, or both none."""
        if self.left is None or self.right is None:
            return False
        return _numbers(self.left.measured()) == _numbers(self.right.measured())


@dataclass(frozen=True)
class ClaimPair:
    """One claim in two runs; None where a run did not judge it."""

    claim: str
    left: ClaimSummary | None
    right: ClaimSummary | None
    cases: tuple[CasePair, ...]

    @property
    def present(self) -> ClaimSummary:
        """The right one, or the left one where there is no right one: for what claims say themselves."""
        found = self.right or self.left
        assert found is not None  # noqa: S101 - a pair is made of at least one
        return found

    @property
    def has_other_verdict(self) -> bool:
        """Whether the verdicts differ; a claim that one run did not judge has another verdict there: none."""
        return self.left is None or self.right is None or self.left.verdict is not self.right.verdict

    @property
    def has_other_numbers(self) -> bool:
        """Whether any case that both runs have was measured otherwise."""
        return any(not case.has_same_numbers for case in self.shared)

    @property
    def shared(self) -> tuple[CasePair, ...]:
        """The cases that both runs have."""
        return tuple(case for case in self.cases if case.left is not None and case.right is not None)

    @property
    def differences(self) -> tuple[Measurement, ...]:
        """The differences of all cases that have one."""
        return tuple(case.difference for case in self.cases if case.difference is not None)

    @property
    def incomparable(self) -> tuple[str, ...]:
        """Why cases of both runs have no difference, each reason once."""
        return tuple(dict.fromkeys(case.incomparable for case in self.cases if case.incomparable))

    @cached_property
    def causes(self) -> tuple[Cause, ...]:
        """What differs besides verdict and value, in the order of :class:`Cause`; empty where nothing does."""
        if self.left is None or self.right is None:
            return (Cause.PRESENCE,)
        found = set(_causes_of_claims(self.left, self.right, self.cases))
        for case in self.shared:
            found.update(_causes_of_case(case))
        if _suite(self.left) != _suite(self.right):
            # Another suite is other evidence: saying both says less.
            found.discard(Cause.EVIDENCE)
        if not found and _counted(self.left) != _counted(self.right):
            found.add(Cause.FAMILY)
        return tuple(cause for cause in Cause if cause in found)

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {
            "claim": self.claim,
            "statement": self.present.first.statement,
            "left": None if self.left is None else self.left.verdict.value,
            "right": None if self.right is None else self.right.verdict.value,
            "other_verdict": self.has_other_verdict,
            "causes": [cause.value for cause in self.causes],
            "cases": [_case_as_dict(case) for case in self.cases],
        }


@dataclass(frozen=True)
class Comparison:
    """Two runs and every claim that either judged, in natural order of ids."""

    left: JudgedRun
    right: JudgedRun
    claims: tuple[ClaimPair, ...]

    @property
    def changed(self) -> tuple[ClaimPair, ...]:
        """The claims with another verdict."""
        return tuple(pair for pair in self.claims if pair.has_other_verdict)

    @property
    def transitions(self) -> Counter[tuple[Verdict, Verdict]]:
        """How many claims that both runs judged have each pair of verdicts."""
        both = ((pair.left, pair.right) for pair in self.claims)
        return Counter((left.verdict, right.verdict) for left, right in both if left and right)

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {
            "left": self.left.as_dict(),
            "right": self.right.as_dict(),
            "claims": [pair.as_dict() for pair in self.claims],
        }


@dataclass(frozen=True)
class LandmarkPair:
    """One number by which two studies are compared (``measures.key_figures``); None where a study does not have it."""

    what: str
    of: str
    threshold: float
    checkpoint: str
    left: Measurement | None
    right: Measurement | None

    @property
    def difference(self) -> Measurement | None:
        """Right minus left; see :func:`subtracted`."""
        return subtracted(self.left, self.right).difference

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        numbers = {"left": self.left, "right": self.right, "difference": self.difference}
        names = {name: getattr(self, name) for name in ("what", "of", "threshold", "checkpoint")}
        return {**names, **{name: None if m is None else m.as_dict() for name, m in numbers.items()}}


@dataclass(frozen=True, slots=True)
class Ground:
    """One setting, input or version that two sides do not share: ``where`` it counts, its name, both values."""

    where: str
    setting: str
    left: str
    right: str

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {"where": self.where, "setting": self.setting, "left": self.left, "right": self.right}


@dataclass(frozen=True)
class SideBySide:
    """Everything that is said about two sides.

    ``landmarks`` are shares and effects of ablations, ``grounds`` what the two were made with, ``absences`` what could
    not be compared and why.
    """

    comparison: Comparison
    landmarks: tuple[LandmarkPair, ...] = ()
    grounds: tuple[Ground, ...] = ()
    absences: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {
            **self.comparison.as_dict(),
            "landmarks": [pair.as_dict() for pair in self.landmarks],
            "grounds": [ground.as_dict() for ground in self.grounds],
            "absences": list(self.absences),
        }


def compared(left: JudgedRun, right: JudgedRun) -> Comparison:
    """The comparison of two runs.

    >>> compared(JudgedRun("a", "mini", ()), JudgedRun("b", "paper", ())).claims
    ()
    """
    lefts, rights = ({summary.claim: summary for summary in run.claims} for run in (left, right))
    names = sorted(lefts.keys() | rights.keys(), key=natural_order)
    pairs = ((name, lefts.get(name), rights.get(name)) for name in names)
    return Comparison(left, right, tuple(ClaimPair(name, one, two, _cases(one, two)) for name, one, two in pairs))


def case_of(record: EvidenceRecord) -> str:
    """The parameters of a record in words, checkpoints by their labels; empty for the one case of a claim without any.

    Two items of one claim with the same words are the same question, in whichever suite and at whatever step.
    """
    return ", ".join(f"{name} {_spelled(value)}" for name, value in record.parameters.items())


def _cases(left: ClaimSummary | None, right: ClaimSummary | None) -> tuple[CasePair, ...]:
    """The cases of a claim: those of the left run in its order, then those that only the right run has."""
    lefts, rights = ({case_of(r): r for r in (() if side is None else side.items)} for side in (left, right))
    return tuple(CasePair(case, lefts.get(case), rights.get(case)) for case in {**lefts, **rights})


def _causes_of_claims(left: ClaimSummary, right: ClaimSummary, cases: Sequence[CasePair]) -> Iterator[Cause]:
    if _suite(left) != _suite(right):
        yield Cause.SUITE
    if left.first.correction != right.first.correction:
        yield Cause.CORRECTION
    if any(case.left is None or case.right is None for case in cases):
        yield Cause.CASES
    if _criteria(left) != _criteria(right) and not any(case.left and case.right for case in cases):
        yield Cause.CRITERION


def _causes_of_case(case: CasePair) -> Iterator[Cause]:
    left, right = case.left, case.right
    if left is None or right is None:
        return
    if dict(left.criterion) != dict(right.criterion):
        yield Cause.CRITERION
    if (left.verdict is Verdict.ERROR) != (right.verdict is Verdict.ERROR):
        yield Cause.BROKEN
    elif (left.command is None) != (right.command is None):
        yield Cause.MISSING
    elif set(left.artifacts) != set(right.artifacts):
        yield Cause.EVIDENCE
    elif not case.has_same_numbers:
        yield Cause.CODE
    if _satisfied(left) != _satisfied(right):
        yield Cause.CONTROLS


def _suite(claim: ClaimSummary) -> str:
    """The suite of a claim's run, with the options that narrowed it: less of a suite is another question."""
    return f"{claim.first.suite} {claim.first.narrowed_by}".rstrip()


def _criteria(claim: ClaimSummary) -> set[str]:
    return {record.criterion_text for record in claim.items}


def _counted(claim: ClaimSummary) -> dict[str, Verdict]:
    """The verdict of each case as it counts for the claim, after correction."""
    return {case_of(record): verdict for record, verdict in zip(claim.items, claim.corrected, strict=True)}


def _satisfied(record: EvidenceRecord) -> set[str]:
    """The controls of an item that satisfy its criterion too, by the name of their function."""
    functions = (control.test.rpartition("::")[2].partition("[")[0] for control in record.controls)
    pairs: Iterable[tuple[str, Verdict]] = zip(functions, (c.verdict for c in record.controls), strict=True)
    return {name for name, verdict in pairs if verdict is Verdict.REPRODUCED}


def _numbers(found: Measurement | None) -> tuple[Any, ...] | None:
    """What of a measurement is judged: value, interval, unit; its details and n are shown beside it only."""
    if found is None or found.is_missing:
        return None
    return found.value, found.low, found.high, found.level, found.unit, found.over


def _spelled(value: object) -> str:
    if isinstance(value, Mapping):
        ends = [_spelled(value[end]) for end in ("earlier", "later") if end in value]
        return " to ".join(ends) if ends else str(value.get("label", dict(value)))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _case_as_dict(case: CasePair) -> dict[str, Any]:
    return {
        "case": case.case,
        "left": None if case.left is None else _record_as_dict(case.left),
        "right": None if case.right is None else _record_as_dict(case.right),
        "difference": None if case.difference is None else case.difference.as_dict(),
        "incomparable": case.incomparable,
    }


def _record_as_dict(record: EvidenceRecord) -> dict[str, Any]:
    raw = record.measurement
    return {
        "verdict": record.verdict.value,
        "reason": record.reason,
        "criterion": record.criterion_text,
        "measurement": None if raw is None else dict(raw),
        "artifacts": list(record.artifacts),
    }
