"""Comparison of two runs: the cases that both judged, the differences of their values, and the settings that differ.

Cases of two runs are the same question where their parameters are the same; a checkpoint is the same where its label is
("25 %"), whatever its step, so runs of two suites can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from universal_neurons.evidence.record import natural_order
from universal_neurons.measurement import Incomparable, Measurement, independent_difference

if TYPE_CHECKING:
    from universal_neurons.evidence.record import EvidenceRecord
    from universal_neurons.evidence.summary import ClaimSummary


@dataclass(frozen=True)
class JudgedRun:
    """The claims of one run, and the suite and the code that it was run with.

    ``suite`` has the options that narrowed it, ``code`` is the commit and the versions that judged it (empty where the
    run did not record them), ``complete`` says whether all claims of the project ran.
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
    """A difference; None where there is none, with the reason if both numbers are there."""

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
        difference = independent_difference(left, right)
    except Incomparable as reason:
        return Subtracted(None, str(reason))
    if difference.is_missing:
        return Subtracted(None)
    if math.isinf(difference.low) or math.isinf(difference.high):
        return Subtracted(None, "an interval has no end")
    return Subtracted(difference)


def is_beyond(difference: Measurement) -> bool:
    """True if zero lies outside the interval of the difference."""
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


@dataclass(frozen=True)
class ClaimPair:
    """One claim in two runs; None where a run did not judge it."""

    claim: str
    left: ClaimSummary | None
    right: ClaimSummary | None
    cases: tuple[CasePair, ...]

    @property
    def present(self) -> ClaimSummary:
        """The right summary, or the left one where there is no right one: for the statement of the claim."""
        summary = self.right or self.left
        assert summary is not None  # noqa: S101 - a pair is made of at least one
        return summary

    @property
    def has_other_verdict(self) -> bool:
        """True if the verdicts differ, or if one run did not judge the claim."""
        return self.left is None or self.right is None or self.left.verdict is not self.right.verdict

    @property
    def differences(self) -> tuple[Measurement, ...]:
        """The differences of all cases that have one."""
        return tuple(case.difference for case in self.cases if case.difference is not None)

    @property
    def incomparable(self) -> tuple[str, ...]:
        """Why cases of both runs have no difference, each reason once."""
        return tuple(dict.fromkeys(case.incomparable for case in self.cases if case.incomparable))

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {
            "claim": self.claim,
            "statement": self.present.first.statement,
            "left": None if self.left is None else self.left.verdict.value,
            "right": None if self.right is None else self.right.verdict.value,
            "other_verdict": self.has_other_verdict,
            "cases": [_case_as_dict(case) for case in self.cases],
        }


@dataclass(frozen=True)
class RunComparison:
    """Two runs and every claim that either judged, in natural order of ids."""

    left: JudgedRun
    right: JudgedRun
    claims: tuple[ClaimPair, ...]

    @property
    def changed(self) -> tuple[ClaimPair, ...]:
        """The claims with another verdict."""
        return tuple(pair for pair in self.claims if pair.has_other_verdict)

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {
            "left": self.left.as_dict(),
            "right": self.right.as_dict(),
            "claims": [pair.as_dict() for pair in self.claims],
        }


@dataclass(frozen=True)
class KeyFigurePair:
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
class DifferingSetting:
    """A setting, input or version that two runs do not share, with its two values as text."""

    name: str
    left: str
    right: str

    def as_dict(self) -> dict[str, str]:
        """Builtin types only."""
        return {"name": self.name, "left": self.left, "right": self.right}


@dataclass(frozen=True)
class SideBySide:
    """Two runs compared, with the studies that they were judged from.

    ``key_figures`` are shares and effects of ablations, ``settings`` the settings, inputs and versions that differ,
    ``absences`` the parts that could not be compared, each with the reason.
    """

    comparison: RunComparison
    key_figures: tuple[KeyFigurePair, ...] = ()
    settings: tuple[DifferingSetting, ...] = ()
    absences: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """True if everything was compared, and no verdict, number or setting differs."""
        cases = [case for pair in self.comparison.as_dict()["claims"] for case in pair["cases"]]
        numbers = [pair.as_dict() for pair in self.key_figures]
        is_known = not (self.settings or self.absences or self.comparison.changed)
        return is_known and all(pair["left"] == pair["right"] for pair in (*cases, *numbers))

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {
            **self.comparison.as_dict(),
            "key_figures": [pair.as_dict() for pair in self.key_figures],
            "settings": [setting.as_dict() for setting in self.settings],
            "absences": list(self.absences),
        }


def compared(left: JudgedRun, right: JudgedRun) -> RunComparison:
    """Compare two runs, claim by claim.

    >>> compared(JudgedRun("a", "mini", ()), JudgedRun("b", "paper", ())).claims
    ()
    """
    lefts, rights = ({summary.claim: summary for summary in run.claims} for run in (left, right))
    names = sorted(lefts.keys() | rights.keys(), key=natural_order)
    pairs = ((name, lefts.get(name), rights.get(name)) for name in names)
    return RunComparison(left, right, tuple(ClaimPair(name, one, two, _cases(one, two)) for name, one, two in pairs))


def case_of(record: EvidenceRecord) -> str:
    """The parameters of a record in words, checkpoints by their labels; empty for the one case of a claim without any.

    Two items of one claim with the same words are the same question, in whichever suite and at whatever step.
    """
    return ", ".join(f"{name} {_spelled(value)}" for name, value in record.parameters.items())


def _cases(left: ClaimSummary | None, right: ClaimSummary | None) -> tuple[CasePair, ...]:
    """The cases of a claim: the left run's in its order, then the right run's others."""
    lefts, rights = ({case_of(r): r for r in (() if claim is None else claim.items)} for claim in (left, right))
    return tuple(CasePair(case, lefts.get(case), rights.get(case)) for case in {**lefts, **rights})


def _numbers(m: Measurement) -> tuple[Any, ...]:
    """The parts of a measurement that are judged: value, interval, unit."""
    return m.value, m.low, m.high, m.level, m.unit, m.over


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
